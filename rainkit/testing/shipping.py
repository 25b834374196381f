"""Tests of a method's trained weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rainkit import networks, weights
from rainkit.testing.shared import Contract, picture_of, seeded, wrapped

__all__ = ["Shipping"]


class Shipping(Contract):
    """Tests of weights files."""

    def test_weights_survive_a_file(self, tmp_path: Path) -> None:
        """A network that is saved and loaded again computes the same bits."""
        method = self.described()
        settings = method.default.network
        first, second = seeded(method, settings, 0), seeded(method, settings, 1)
        path = tmp_path / "weights.safetensors"
        state = first.state_dict()
        weights.save(path, state, method=method, variant="default", network=settings)
        file = weights.open_file(method, path)
        assert file.network == settings, f"the header gives {file.network}, not {settings}"
        weights.load(second, file)
        spec, picture = method.image(settings), picture_of(1, 29, 37)
        same = torch.equal(wrapped(first, spec)(picture), wrapped(second, spec)(picture))
        assert same, "a network differs after a round trip: some of its state is in no buffer"

    def test_shipped_weights_are_whole(self) -> None:
        """Each declared file exists, has its hash, names its variant, and loads."""
        method = self.described()
        if not method.weights:
            pytest.skip("Method.weights is empty: the method ships no weights")
        tags = [declared.tag for declared in method.weights]
        assert len(set(tags)) == len(tags), f"two weights share a tag: {tags}"
        for declared in method.weights:
            who = f"weights {method.name}.{declared.tag}"
            known = declared.variant in method.variants
            assert known, f"{who}: the method has no variant {declared.variant!r}"
            for name in ("licence", "trained_on", "recipe"):
                assert getattr(declared, name).strip(), f"{who}: {name} is empty"
            if declared.file is None:
                assert declared.url, f"{who}: give a file or a url"
                continue  # tests download nothing
            file = weights.find(method, declared.tag)
            assert file.variant == declared.variant, (
                f"{who}: declared for {declared.variant}, its header says {file.variant}"
            )
            fits = method.variants[declared.variant].network
            assert file.network == fits, f"{who}: made for {file.network}, {fits} is declared"
            network = weights.load(networks.build(method, file.network), file)
            image = wrapped(network, method.image(file.network))(picture_of(1, 29, 37))
            assert image.isfinite().all(), f"{who}: gives nan or inf"

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

    def test_released_names_fill_the_network(self, network_variant: str, tmp_path: Path) -> None:
        """A checkpoint with the authors' names becomes weights that hold the same values."""
        method = self.described()
        if method.released_names is None:
            pytest.skip("Method.released_names is None: checkpoints have the network's own names")
        settings = method.variants[network_variant].network
        own = seeded(method, settings, 0).state_dict()
        names = method.released_names(settings)
        assert set(names) == set(own), (
            f"released_names has no names for {sorted(set(own) - set(names))[:3]}, and names for "
            f"{sorted(set(names) - set(own))[:3]}, which the network does not have"
        )
        released: dict[str, torch.Tensor] = {}
        for name, theirs in names.items():
            pieces = own[name].tensor_split(len(theirs)) if len(theirs) > 1 else (own[name],)
            for piece, their in zip(pieces, theirs, strict=True):
                assert their not in released, f"released_names uses {their} twice"
                released[their] = piece.clone()
        torch.save(released, tmp_path / "released.pth")
        path = tmp_path / "imported.safetensors"
        weights.import_checkpoint(method, tmp_path / "released.pth", path, variant=network_variant)
        file = weights.open_file(method, path)
        filled = weights.load(seeded(method, file.network, 1), file).state_dict()
        wrong = [name for name, tensor in own.items() if not torch.equal(tensor, filled[name])]
        assert not wrong, f"{wrong[0]} has other values after an import"

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

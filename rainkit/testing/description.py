"""Tests of how a method describes itself, and of the weights that ship with it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rainkit import hyperparameters, networks, weights
from rainkit.api import Method
from rainkit.errors import UsageError, WeightsError
from rainkit.testing.shared import Contract, picture_of, seeded, wrapped
from rainkit.training.schedules import ignored

__all__ = [
    "Description",
    "Shipping",
]


HEAVY = ("torch", "torchvision", "timm", "numpy", "cv2", "PIL", "albumentations", "piq")


class Description(Contract):
    """Tests of METHOD itself; none runs a network."""

    def test_describing_it_imports_nothing_heavy(self) -> None:
        """The module that holds METHOD imports only rainkit.api and the standard library."""
        script = (
            "import sys; from rainkit import plugins; plugins.get(sys.argv[1]); "
            f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
        )
        run = [sys.executable, "-c", script, self.method]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"loading {self.method} fails: {done.stderr}"
        loaded = done.stdout.strip()
        assert not loaded, f"importing METHOD loads {loaded}: import them in network.py instead"

    def test_names_licence_and_paper_are_given(self) -> None:
        """The name fits a command line, and tables can show where the method comes from."""
        method, paper = self.described(), self.described().paper
        right = re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", method.name)
        assert right, f"name {method.name!r}: use lower case, digits and hyphens"
        taken = method.name in ("all", "auto")
        assert not taken, f"name {method.name!r}: --method {method.name} means another thing"
        for name in ("title", "summary", "licence"):
            assert getattr(method, name).strip(), f"Method.{name} is empty: fill it in"
        assert paper.title.strip(), "Paper.title is empty: fill it in"
        year = paper.year
        assert year is None or 1950 < year < 2100, f"Paper.year is {year}"
        assert "\n" not in method.summary, "Method.summary must be one line"
        short = len(method.good_at) <= 72 and "\n" not in method.good_at
        assert short, "Method.good_at must be one line of at most 72 characters"

    def test_times_are_of_named_machines_and_variants(self) -> None:
        """Times in ``rainkit methods`` say what was timed, and on which machine."""
        method = self.described()
        for each in method.timings:
            assert each.machine.strip(), "Timing.machine is empty: name the processor or GPU"
            assert each.seconds > 0, f"Timing.seconds is {each.seconds}"
            assert re.fullmatch(r"\d+x\d+", each.size), f"Timing.size is {each.size!r}: HxW"
            assert each.variant in method.variants, f"Timing.variant {each.variant!r} is unknown"

    def test_every_hyperparameter_is_documented(self) -> None:
        """Every hyperparameter has a doc, which ``methods show`` prints."""
        rows = hyperparameters.describe(self.described().default)
        silent = [row.path for row in rows if not row.doc]
        assert not silent, f"no doc: {', '.join(silent)}; declare them with rainkit.api.option"

    def test_variant_is_valid_and_survives_json(self, variant: str) -> None:
        """Every variant keeps its own bounds, and a run folder gives it back unchanged."""
        method = self.described()
        values, default = method.variants[variant], method.default
        for section in ("network", "objective"):
            kind, wanted = type(getattr(values, section)), type(getattr(default, section))
            assert kind is wanted, (
                f"{section} of {variant} is a {kind.__name__}, not a {wanted.__name__}"
            )
        text = json.dumps(hyperparameters.to_data(values), allow_nan=False)
        again = hyperparameters.from_data(method, json.loads(text))
        assert again == values, f"{variant} becomes {again} by way of JSON"

    def test_no_training_setting_is_ignored(self, variant: str) -> None:
        """Every setting of a schedule that a variant changes is one that its schedule reads."""
        training = self.described().variants[variant].training
        unread = ignored(training)
        assert not unread, (
            f"{variant} sets training.{unread[0]}, which the schedule {training.schedule} ignores: "
            "leave it out, or choose another training.schedule"
        )

    def test_variants_to_compare_exist(self) -> None:
        """The variants that ``rainkit train --ablation`` trains as published and ours exist."""
        method = self.described()
        if not (method.ablation or method.own_ablation):
            pytest.skip("Method.ablation is empty: no variants are compared")
        for name in ("ablation", "own_ablation"):
            listed = getattr(method, name)
            absent = set(listed) - set(method.variants)
            assert not absent, f"{name} names {', '.join(sorted(absent))}: no such variants"
            assert len(set(listed)) == len(listed), f"{name} names a variant twice"

    def test_published_figures_are_text_as_printed(self) -> None:
        """Every published row has figures, as text with the paper's digits, and no row is twice."""
        seen = set()
        for row in self.described().paper.results:
            place = f"{row.table or 'the text'}, {row.method or 'own'} {row.variant}".strip()
            where = f"Paper.results, {place} on {row.dataset!r}"
            assert row.dataset.strip(), f"{where}: PublishedResult.dataset is empty"
            figures = {
                name: getattr(row, name)
                for name in ("psnr", "ssim", "ap", "seconds")
                if getattr(row, name) is not None
            }
            assert figures or row.parameters, f"{where}: the row has no figure"
            for name, value in figures.items():
                printed = isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value)
                assert printed, f"{where}: {name} is {value!r}; give it as text, as it is printed"
                share = name in ("ssim", "ap")
                assert not share or float(value) <= 1, f"{where}: {name} is {value}, above 1"
            assert row.seconds is None or row.device, f"{where}: name the device of the time"
            key = (row.table, row.method, row.variant, row.dataset, row.device, row.trained_on)
            for name in figures:
                assert (*key, name) not in seen, f"{where}: {name} is there twice"
                seen.add((*key, name))

    def test_unknown_settings_are_refused_at_every_level(self) -> None:
        """A mistyped setting is refused by name, so that it cannot train another network."""
        method = self.described()
        for place in ("", *_sections(method.default)):
            data = hyperparameters.to_data(method.default)
            table = data
            for name in filter(None, place.split(".")):
                table = table[name]
            table["no_such_setting"] = 1
            refusal = _refusal(method, data)
            assert refusal, f"{place or 'the root'} takes a setting it does not have"
            assert "no_such_setting" in refusal, f"refused without its name: {refusal}"


def _refusal(method: Method, data: dict[str, Any]) -> str | None:
    try:
        hyperparameters.from_data(method, data)
    except UsageError as error:
        return str(error)
    return None


def _sections(like: Any, prefix: str = "") -> Iterator[str]:
    """Yield the paths of nested dataclasses: ``network``, ``network.encoder``, ..."""
    for field in dataclasses.fields(like):
        value = getattr(like, field.name)
        if dataclasses.is_dataclass(value):
            yield prefix + field.name
            yield from _sections(value, f"{prefix}{field.name}.")


class Shipping(Contract):
    """Tests of weights files."""

    def test_weights_survive_a_file(self, tmp_path: Path) -> None:
        """A network that is saved and loaded again computes the same bits."""
        method = self.described()
        if method.objective is None:
            pytest.skip("Method.objective is None: rainkit writes no weights of the method")
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

    def test_checkpoints_are_read_or_refused(self, tmp_path: Path) -> None:
        """A file of another program gives the same network twice, and one of noise is refused."""
        method = self.described()
        if method.checkpoints is None:
            pytest.skip("Method.checkpoints is None: the method takes rainkit's own files alone")
        noise = tmp_path / "noise.pth"
        noise.write_bytes(b"no checkpoint")
        with contextlib.suppress(WeightsError):
            weights.find(method, str(noise))
            pytest.fail("checkpoints takes a file of noise: raise ValueError for it")
        settings = self.settings_of("default")
        first, second = (seeded(method, settings, seed).state_dict() for seed in (0, 1))
        fresh = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
        assert not fresh, f"{fresh[0]} is not of the file: give the built network its weights"

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

    def test_declared_work_is_that_of_the_network(self) -> None:
        """``Weights.gflop``, by which ``--method auto`` weighs time, is what torch counts."""
        method = self.described()
        declared = [each for each in method.weights if each.gflop is not None]
        if not declared:
            pytest.skip("no Weights.gflop is given")
        for each in declared:
            settings = method.variants[each.variant].network
            multiple = method.image(settings).multiple_of
            counted = _work(networks.build(method, settings).eval(), 512 + -512 % multiple)
            assert each.gflop == pytest.approx(counted, rel=0.05), (
                f"weights {method.name}.{each.tag}: gflop={each.gflop}, torch counts {counted:.1f}"
            )


def _work(network: nn.Module, side: int) -> float:
    """Count on tensors without values, if the network can take such; else on a picture."""
    try:
        return networks.gflop(copy.deepcopy(network).to("meta"), side)
    except RuntimeError:
        return networks.gflop(network, side)

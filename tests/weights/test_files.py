"""Weights files: what their headers promise, and every way a file can be wrong."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from rainkit_graspp_gan import METHOD, Network
from safetensors.torch import save_file

from rainkit import files, networks, weights
from rainkit.api import Weights
from rainkit.errors import UsageError, WeightsError
from rainkit.files import sha256

SMALL = Network(width1=8, width2=8, width3=8, width4=8, context=8)


def test_a_file_says_which_network_it_fits_and_fills_it(saved: Path) -> None:
    file = weights.find(METHOD, str(saved))
    assert file.network == SMALL
    assert file.variant == "default"
    assert file.header["step"] == "12"
    torch.manual_seed(3)
    same = networks.build(METHOD, SMALL).state_dict()
    torch.manual_seed(4)
    loaded = weights.load(networks.build(METHOD, SMALL), file).state_dict()
    for name, tensor in same.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0)


def test_a_file_is_hashed_once_until_it_changes(saved: Path, monkeypatch) -> None:
    hashed = []

    def count(path: Path) -> str:
        hashed.append(path)
        return sha256(path)

    monkeypatch.setattr(files, "sha256", count)
    first = weights.find(METHOD, str(saved))
    assert first.sha256 == weights.find(METHOD, str(saved)).sha256 == weights.inspect(saved).sha256
    assert first.sha256 == sha256(saved)
    assert hashed == [saved]
    saved.write_bytes(saved.read_bytes() + b" ")
    assert first.sha256 == sha256(saved)
    assert hashed == [saved, saved]


def test_a_truncated_file_is_named(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"small\.safetensors: not a whole safetensors"):
        weights.find(METHOD, str(saved))


def test_a_file_of_another_method_is_refused(saved: Path) -> None:
    other = dataclasses.replace(METHOD, name="other")
    with pytest.raises(WeightsError, match="of graspp-gan, not of other"):
        weights.find(other, str(saved))


def test_a_file_without_a_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="an unnamed method"):
        weights.find(METHOD, str(path))


def test_tensors_that_do_not_fit_are_refused(saved: Path) -> None:
    with pytest.raises(WeightsError, match="does not fit"):
        weights.load(networks.build(METHOD, Network()), weights.find(METHOD, str(saved)))


def test_an_unknown_tag_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no such tag"):
        weights.find(METHOD, "nope")
    with pytest.raises(UsageError, match="no such weights file"):
        weights.find(METHOD, "nope.safetensors")


def test_a_method_without_weights_says_what_to_do() -> None:
    with pytest.raises(WeightsError, match="ships no weights"):
        weights.find(dataclasses.replace(METHOD, weights=()))


def test_a_changed_file_is_refused(saved: Path, tmp_path: Path, monkeypatch) -> None:
    """A plugin's own file, checked by its hash before it is read."""
    package = tmp_path / "somewhere" / "tampered_plugin"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(saved, package / "w.safetensors")
    monkeypatch.syspath_prepend(package.parent)
    declared = Weights(
        tag="one", variant="default", file="w.safetensors", sha256=sha256(saved),
        licence="Apache-2.0", trained_on="nothing", recipe="none",
    )  # fmt: skip
    method = dataclasses.replace(METHOD, network="tampered_plugin:x", weights=(declared,))
    assert weights.find(method).name == "graspp-gan.one"
    assert weights.find(method, "graspp-gan.one").path == package / "w.safetensors"
    with (package / "w.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(WeightsError, match="reinstall the plugin"):
        weights.find(method, "one")

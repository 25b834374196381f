"""What a file says of itself, and whether it is good."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rainkit_granet import METHOD as GRANET
from rainkit_graspp_gan import METHOD, Network
from safetensors.torch import save_file

from rainkit import networks, plugins, weights
from rainkit.errors import UsageError, WeightsError
from rainkit.files import sha256

ALL = ("whole", "method", "fits", "finite", "works")


def test_a_file_of_rainkit(make, saved: Path) -> None:
    found = weights.inspect(saved)
    network = make(3)
    assert (found.method, found.variant) == ("graspp-gan", "default")
    assert found.parameters == networks.parameters(network)
    assert found.header["step"] == "12"
    assert (found.sha256, found.size) == (sha256(saved), saved.stat().st_size)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert {tensor.name: tensor.shape for tensor in found.tensors} == shapes
    assert found.to_data()["tensors"][0].keys() == {"name", "shape", "dtype"}


def test_a_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    tensors = {
        "a.weight": torch.zeros(2, 3, dtype=torch.bfloat16),
        "a.num_batches_tracked": torch.tensor(3),
    }
    save_file(tensors, path)
    found = weights.inspect(path)
    assert (found.method, found.variant, dict(found.header)) == (None, None, {})
    assert found.parameters == 6
    assert [(t.name, t.shape, t.dtype) for t in found.tensors] == [
        ("a.num_batches_tracked", (), "I64"),
        ("a.weight", (2, 3), "BF16"),
    ]


def test_files_that_cannot_be_inspected(saved: Path, tmp_path: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"small\.safetensors: not a whole safetensors"):
        weights.inspect(saved)
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(WeightsError, match="not a whole safetensors"):
        weights.inspect(tmp_path / "text.safetensors")
    with pytest.raises(UsageError, match="no such weights file"):
        weights.inspect(tmp_path)


def test_inspecting_needs_neither_torch_nor_a_plugin(saved: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from rainkit import weights\n"
        "weights.inspect(Path(sys.argv[1]))\n"
        "print(*(m for m in sys.modules if m in ('torch', 'rainkit_graspp_gan')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, saved], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_a_good_file_passes_every_check(saved: Path) -> None:
    (found,) = weights.verify(saved)
    assert (found.name, found.held, found.problem) == (str(saved), ALL, None)


def test_everything_shipped_is_good() -> None:
    found = {each.name: each for each in weights.verify()}
    declared = {
        f"{row.name}.{each.tag}"
        for row in plugins.installed()
        for each in plugins.get(row.name).weights
    }
    assert set(found) == declared
    assert {each.problem for each in found.values()} <= {None}
    assert all(each.held == ("sha256", *ALL[1:]) for each in found.values())


def test_a_method_or_a_tag() -> None:
    names = [f"granet.{each.tag}" for each in GRANET.weights]
    assert [each.name for each in weights.verify("granet")] == names
    assert [each.name for each in weights.verify(names[0])] == names[:1]
    assert [each.name for each in weights.verify("rainkit-granet:granet")] == names


def test_names_that_are_unknown(tmp_path: Path) -> None:
    for which in ("granett", "granet.nope", str(tmp_path), tmp_path / "no.safetensors"):
        with pytest.raises(UsageError):
            weights.verify(which)


def test_a_truncated_file_is_no_exception(saved: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved.read_bytes()[:-100])
    bad, good = weights.verify(cut, saved)
    assert bad.held == ()
    assert "not a whole safetensors" in bad.problem
    assert good.problem is None


def test_weights_of_a_method_that_is_not_installed(make, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    other = dataclasses.replace(METHOD, name="other")
    weights.save(path, make(3).state_dict(), method=other, variant="x", network=Network())
    (found,) = weights.verify(path)
    assert found.held == ("whole",)
    assert "these weights are of other, which is not installed" in found.problem
    save_file({"a": torch.zeros(1)}, path)
    assert "an unnamed method" in weights.verify(path)[0].problem


def test_tensors_that_do_not_fit_their_header(make, tmp_path: Path) -> None:
    path = tmp_path / "misfit.safetensors"
    weights.save(path, make(3).state_dict(), method=METHOD, variant="x", network=Network())
    (found,) = weights.verify(path)
    assert found.held == ("whole", "method")
    assert "does not fit its network" in found.problem


def test_nan_is_found(make, tmp_path: Path) -> None:
    path = tmp_path / "nan.safetensors"
    state = make(3).state_dict()
    state[next(iter(state))].view(-1)[0] = torch.nan
    small = Network(width1=8, width2=8, width3=8, width4=8, context=8)
    weights.save(path, state, method=METHOD, variant="default", network=small)
    (found,) = weights.verify(path)
    assert found.held == ("whole", "method", "fits")
    assert "nan" in found.problem


def test_a_network_that_gives_no_picture(make, tmp_path: Path) -> None:
    """Finite numbers, but such that their products are not."""
    path = tmp_path / "large.safetensors"
    state = {n: torch.full_like(v, 3e38) if v.dim() > 1 else v
             for n, v in make(3).state_dict().items()}  # fmt: skip
    small = Network(width1=8, width2=8, width3=8, width4=8, context=8)
    weights.save(path, state, method=METHOD, variant="default", network=small)
    (found,) = weights.verify(path)
    assert found.held == ("whole", "method", "fits", "finite")
    assert "nan or infinity instead of a picture" in found.problem


def test_a_changed_shipped_file(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = dataclasses.replace(GRANET.weights[0], sha256="0" * 64)
    method = dataclasses.replace(GRANET, weights=(changed,))
    monkeypatch.setattr("rainkit_granet.METHOD", method)
    (found,) = weights.verify("granet")
    assert found.held == ()
    assert "reinstall the plugin" in found.problem


def test_a_broken_plugin_is_a_row(plugin_folder) -> None:
    done = plugin_folder.run("weights", "verify", RAINKIT_METHODS="broken,future,granet")
    assert done.returncode == 1
    assert "granet.rain-v1" in done.stdout
    assert "rainkit_module_that_does_not_exist" in done.stderr
    assert ">=99" in done.stderr
    assert "Traceback" not in done.stderr

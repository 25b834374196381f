"""Weights on disk: hashes are checked, nothing is downloaded, the figures are piq's."""

import hashlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import piq
import pytest
import torch
from torch import nn

from rainkit.errors import WeightsError
from rainkit.evaluation.metrics import perceptual
from rainkit.evaluation.metrics.registry import load_metrics

WIDTHS = (64, 128, 256, 512, 512)
VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Maps of the convolutions; 0 for a pooling."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something wants the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins of the right shapes, for the files nobody may download here."""
    folder = tmp_path_factory.mktemp("weights")
    draw = torch.Generator().manual_seed(0)
    state, before = {}, 3
    index = 0
    for width in VGG16:
        if width:
            size = (2 / (9 * before)) ** 0.5
            kernel = torch.randn(width, before, 3, 3, generator=draw) * size
            state |= {
                f"features.{index}.weight": kernel,
                f"features.{index}.bias": kernel[:, 0, 0, 0],
            }
            before = width
        index += 2 if width else 1
    torch.save(state | {"classifier.0.bias": torch.zeros(1)}, folder / "vgg16-397923af.pth")
    lpips = [torch.rand(1, width, 1, 1, generator=draw) for width in WIDTHS]
    torch.save(lpips, folder / "lpips_weights.pt")
    alpha, beta = torch.rand(2, 1, 3 + sum(WIDTHS), 1, 1, generator=draw)
    total = alpha.sum() + beta.sum()
    torch.save({"alpha": alpha / total, "beta": beta / total}, folder / "dists_weights.pt")
    svm = (torch.randn(40, 1, generator=draw), torch.randn(40, 36, generator=draw))
    torch.save(svm, folder / "brisque_svm_weights.pt")
    return folder


@pytest.fixture
def listed(folder: Path) -> Iterator[Path]:
    """The folder with its SHA256SUMS, without the large file: it is not the true one anyway."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("*.pt"))
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
    yield folder
    (folder / "SHA256SUMS").unlink()


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(5)
    target = draw.integers(0, 230, (32, 36, 3)).astype(np.uint8)
    return target + draw.integers(0, 25, target.shape).astype(np.uint8), target


def tensors(*pictures: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in pictures]


@pytest.fixture
def their_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand piq the same files where it would download."""

    def load(url: str, **_: object) -> object:
        return torch.load(folder / url.rpartition("/")[2], weights_only=True)

    class Vgg(nn.Module):
        def __init__(self, **_: object) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            before = 3
            for width in VGG16:
                convolution = [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()] if width else []
                layers += convolution or [nn.MaxPool2d(2)]
                before = width or before
            self.features = nn.Sequential(*layers).requires_grad_(False)
            state = torch.load(folder / "vgg16-397923af.pth", weights_only=True)
            self.load_state_dict({k: v for k, v in state.items() if k.startswith("features.")})

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", load)
    monkeypatch.setattr("piq.perceptual.vgg16", Vgg)
    monkeypatch.setattr(sys.modules["piq.brisque"], "load_url", load)


def test_lpips_is_piqs(listed, pair, their_files):
    ours = perceptual.lpips(listed / "vgg16-397923af.pth", listed / "lpips_weights.pt")
    x, y = tensors(*pair)
    assert ours(x, y).item() == pytest.approx(piq.LPIPS()(x, y).item(), rel=1e-6)
    assert ours(x, y).item() > ours(y, y).item() == 0


def test_dists_is_piqs(listed, pair, their_files):
    ours = perceptual.dists(listed / "vgg16-397923af.pth", listed / "dists_weights.pt")
    x, y = tensors(*pair)
    assert ours(x, y).item() == pytest.approx(piq.DISTS()(x, y).item(), rel=1e-6)
    assert ours(x, y).item() > ours(y, y).item() == pytest.approx(0, abs=1e-5)


def test_brisque_is_piqs(listed, pair, their_files):
    (each,), skipped = load_metrics(["brisque"], weights_dir=listed)
    assert not skipped
    theirs = piq.brisque(*tensors(pair[0])).item()
    assert each.measure(pair[0]) == pytest.approx(theirs, rel=1e-5)
    assert each.measure(pair[0]) == each.measure(pair[0]), "piq transposes its weights in place"
    file = listed / "brisque_svm_weights.pt"
    assert each.sha256 == {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}


def test_a_file_that_is_not_listed_is_not_loaded(folder):
    found, (line,) = load_metrics(["brisque"], weights_dir=folder)
    assert not found
    sha256 = hashlib.sha256((folder / "brisque_svm_weights.pt").read_bytes()).hexdigest()
    assert f"'{sha256}  brisque_svm_weights.pt'" in line
    assert "SHA256SUMS" in line


def test_a_file_that_differs_is_not_loaded(listed):
    sums = listed / "SHA256SUMS"
    sums.write_text(f"{'0' * 64} *brisque_svm_weights.pt\n")
    found, (line,) = load_metrics(["brisque"], weights_dir=listed)
    assert not found
    assert "is not that of SHA256SUMS" in line


def test_a_list_that_is_no_text_is_told(listed):
    sums = listed / "SHA256SUMS"
    sums.write_text(sums.read_text(), encoding="utf-16")
    found, (line,) = load_metrics(["brisque"], weights_dir=listed)
    assert not found
    assert "SHA256SUMS: cannot be read as text; save it as UTF-8" in line


def test_torchvisions_own_hash_holds_without_a_list(folder):
    (line,) = load_metrics(["lpips"], weights_dir=folder).skipped
    assert "does not begin with 397923af" in line


@pytest.mark.parametrize("function", [perceptual.lpips, perceptual.dists])
def test_other_weights_are_refused(listed, function):
    with pytest.raises(WeightsError, match="not piq's"):
        function(listed / "vgg16-397923af.pth", listed / "vgg16-397923af.pth")
    own = listed / f"{function.__name__}_weights.pt"
    with pytest.raises(WeightsError, match="vgg16"):
        function(listed / "brisque_svm_weights.pt", own)


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save(Trap(), tmp_path / "trap.pt")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        perceptual.brisque(tmp_path / "trap.pt")
    assert not (tmp_path / "ran").exists()

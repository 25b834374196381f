"""Metrics that need trained weights: LPIPS, DISTS and BRISQUE, as piq computes them.

Nothing is ever downloaded. The files lie in one folder, whose ``SHA256SUMS`` (what ``sha256sum``
prints) says which of them are meant: a file that is not listed there, or differs, is not loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rainkit.errors import WeightsError
from rainkit.files import sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "BRISQUE",
    "DISTS",
    "LPIPS",
    "SUMS",
    "VGG16",
    "WeightFile",
    "all_checked",
    "brisque",
    "checked",
    "dists",
    "lpips",
]

SUMS = "SHA256SUMS"

Figure = Callable[..., "Tensor"]
"""A function of pictures [B,3,H,W], float32 RGB in [0,1], that returns a scalar."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file that a metric needs.

    Attributes:
        name: its name in the folder of weights.
        url: where it is published.
        sha256_prefix: the beginning of its SHA-256 if its publisher tells it; else empty.
    """

    name: str
    url: str
    sha256_prefix: str = ""


_PIQ = "https://github.com/photosynthesis-team/piq/releases/download"
VGG16 = WeightFile(
    "vgg16-397923af.pth",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    # torchvision writes it into the file's name.
    "397923af",
)
LPIPS = WeightFile("lpips_weights.pt", f"{_PIQ}/v0.4.0/lpips_weights.pt")
DISTS = WeightFile("dists_weights.pt", f"{_PIQ}/v0.4.1/dists_weights.pt")
BRISQUE = WeightFile("brisque_svm_weights.pt", f"{_PIQ}/v0.4.0/brisque_svm_weights.pt")

_LAYERS = ("3", "8", "15", "22", "29")  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
_CHANNELS = (3, 64, 128, 256, 512, 512)  # the picture's and theirs


def checked(file: WeightFile, folder: Path | None) -> tuple[Path, str]:
    """Return where a file lies, and its SHA-256.

    Raises:
        WeightsError: it is not there, not listed in ``SHA256SUMS``, or not what it says.
    """
    path = None if folder is None else folder / file.name
    if path is None or not path.is_file():
        where = (
            "the folder of its weights is not given (--metric NAME=FOLDER)"
            if path is None
            else f"{path} is missing"
        )
        begins = f", SHA-256 {file.sha256_prefix}..." if file.sha256_prefix else ""
        raise WeightsError(f"{where}; {file.name} is at {file.url}{begins}")
    found = sha256(path)
    if not found.startswith(file.sha256_prefix):
        raise WeightsError(f"{path}: SHA-256 {found} does not begin with {file.sha256_prefix}")
    listed = _listed(path.with_name(SUMS)).get(file.name)
    if listed is None and not file.sha256_prefix:
        raise WeightsError(
            f"{path}: its publisher gives no hash; if it is the right file, add the line"
            f" '{found}  {file.name}' to {path.with_name(SUMS)}"
        )
    if listed not in (None, found):
        raise WeightsError(f"{path}: SHA-256 {found} is not that of {SUMS}")
    return path, found


def all_checked(files: Iterable[WeightFile], folder: Path | None) -> list[tuple[Path, str]]:
    """Check several files as :func:`checked` does; one error says what is wrong with each.

    Raises:
        WeightsError: one or more of them are not as they should be.
    """
    found, wrong = [], []
    for file in files:
        try:
            found.append(checked(file, folder))
        except WeightsError as error:
            wrong.append(str(error))
    if wrong:
        raise WeightsError("; ".join(dict.fromkeys(wrong)))
    return found


def lpips(vgg16: Path, linear: Path) -> Figure:
    """Return LPIPS with VGG16 and piq's linear weights; it is 0 for equal pictures.

    Raises:
        WeightsError: a file holds something else.
    """
    from piq.perceptual import ContentLoss

    weights = _load(linear)
    if not isinstance(weights, list) or len(weights) != len(_LAYERS):
        raise WeightsError(f"{linear}: not piq's LPIPS weights")
    found: Figure = ContentLoss(
        _features(vgg16), layers=_LAYERS, weights=weights, normalize_features=True
    )
    return found


def dists(vgg16: Path, weights: Path) -> Figure:
    """Return DISTS with VGG16 and piq's weights; it is 0 for equal pictures.

    Raises:
        WeightsError: a file holds something else.
    """
    import piq
    from piq.perceptual import ContentLoss

    loaded = _load(weights)
    try:
        parts = [
            part for name in ("alpha", "beta") for part in loaded[name].split(_CHANNELS, dim=1)
        ]
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{weights}: not piq's DISTS weights") from error
    # Its own constructor would download; everything after that is piq's.
    found = piq.DISTS.__new__(piq.DISTS)
    ContentLoss.__init__(
        found,
        _features(vgg16),
        layers=_LAYERS,
        weights=parts,
        replace_pooling=True,
        allow_layers_weights_mismatch=True,
    )
    figure: Figure = found
    return figure


def brisque(weights: Path) -> Figure:
    """Return BRISQUE with piq's support vectors; lower is better.

    Raises:
        WeightsError: the file holds something else.
    """
    import torch
    from piq.functional import imresize, rgb2yiq

    # By name: piq's attribute brisque is the function.
    module = import_module("piq.brisque")
    loaded = _load(weights)
    try:
        coefficients, vectors = loaded
        vectors = vectors.t()
    except (TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{weights}: not piq's BRISQUE weights") from error

    def figure(picture: Tensor) -> Tensor:
        # As piq.brisque, which would download its weights at every call.
        luma = torch.round(rgb2yiq(picture * 255)[:, :1])
        features = [module._natural_scene_statistics(luma)]
        half = imresize(luma, sizes=(luma.size(2) // 2, luma.size(3) // 2))
        features.append(module._natural_scene_statistics(half))
        scaled = module._scale_features(torch.cat(features, dim=-1))
        kernel = module._rbf_kernel(features=scaled, sv=vectors)
        score: Tensor = kernel @ coefficients.type(scaled.dtype) + 153.591
        return score.mean()

    return figure


def _features(vgg16: Path) -> nn.Module:
    """Return VGG16's convolutions, without the 120 million weights that only classify."""
    import torch
    from torchvision.models.vgg import cfgs, make_layers

    with torch.device("meta"):
        network: nn.Module = make_layers(cfgs["D"])
    state = _load(vgg16)
    prefix = "features."
    try:
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        network.load_state_dict(state, assign=True)
    except (AttributeError, RuntimeError) as error:
        raise WeightsError(f"{vgg16}: not the weights of torchvision's vgg16") from error
    return network.eval()


def _load(path: Path) -> Any:
    import torch

    try:
        # Tensors alone: nothing in the file is run.
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path}: cannot be read as weights") from error


def _listed(sums: Path) -> dict[str, str]:
    """Return names and hashes of ``sha256sum``'s output; empty if there is no such file.

    Raises:
        WeightsError: it cannot be read as text.
    """
    if not sums.is_file():
        return {}
    try:
        text = sums.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{sums}: cannot be read as text; save it as UTF-8") from error
    lines = (line.split(maxsplit=1) for line in text.splitlines())
    return {line[1].removeprefix("*"): line[0].lower() for line in lines if len(line) == 2}

"""Metrics beside PSNR and SSIM, by name: which way is better, what they need, how to load them.

Figures of different implementations do not compare, so each has a label with a version, and those
of piq with piq's. They work on RGB in [0,1] with their library's default parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rainkit.choices import unknown
from rainkit.errors import PairingError, UsageError, WeightsError
from rainkit.evaluation.metrics import perceptual, psnr_ssim
from rainkit.evaluation.metrics.perceptual import WeightFile
from rainkit.images import RGB8, to_tensor
from rainkit.rain import streak_energy

__all__ = ["METRICS", "LoadedMetric", "Metric", "load_metrics", "metric"]

Compute = Callable[..., float]
"""A function of the restored picture and those of :attr:`Metric.needs`, all HWC uint8 RGB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A metric of restored pictures.

    Attributes:
        name: what the command line takes.
        title: what tables print.
        version: it changes when a figure would.
        higher_is_better: which way is better; None for neither.
        smallest: the shortest side in pixels for which it is defined.
        needs: the pictures that it needs beside the restored one: ``target`` or ``input``, the
            rainy picture.
        weights: the files that it needs.
        library: the library that computes it; empty for rainkit.
        about: what it measures, with its range or unit.
        load: takes the files' paths, in order, and returns the function that computes it.
    """

    name: str
    title: str
    about: str
    load: Callable[..., Compute]
    version: int = 1
    higher_is_better: bool | None = False
    smallest: int = 1
    needs: tuple[str, ...] = ("target",)
    weights: tuple[WeightFile, ...] = ()
    library: str = "piq"

    @property
    def label(self) -> str:
        """Name and version, as printed beside every figure."""
        made = f"+{self.library}{installed(self.library)}" if self.library else ""
        return f"{self.name}/{self.version}{made}"

    @property
    def arrow(self) -> str:
        """An arrow for the head of a column that shows which way is better; empty for neither."""
        if self.higher_is_better is None:
            return ""
        return "↑" if self.higher_is_better else "↓"


class LoadedMetric:
    """A metric whose weights, if it needs any, are loaded.

    Attributes:
        metric: which.
        sha256: of its weights' files, by name.
    """

    def __init__(self, metric: Metric, weights_dir: Path | None = None) -> None:
        files = perceptual.all_checked(metric.weights, weights_dir)
        self.metric = metric
        self._weights_dir = weights_dir
        self.sha256 = {path.name: sha256 for path, sha256 in files}
        self._compute = metric.load(*(path for path, _ in files))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let other processes load the metric again."""
        return _load_again, (self.metric.name, self._weights_dir)

    def measure(
        self, restored: RGB8, *, target: RGB8 | None = None, rainy: RGB8 | None = None
    ) -> float:
        """Return the figure; NaN if the picture is too small or lacks what is measured.

        Args:
            restored: HWC uint8 RGB.
            target: of the same size; unused by metrics that do not need it.
            rainy: likewise.

        Raises:
            UsageError: a picture that it needs is not given.
            PairingError: the pictures differ in size.
        """
        given = {"target": target, "input": rainy}
        others = [given[name] for name in self.metric.needs]
        pictures = [restored, *(other for other in others if other is not None)]
        if len(pictures) <= len(others):
            raise UsageError(f"{self.metric.name} needs the {' and the '.join(self.metric.needs)}")
        for picture in pictures:
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise ValueError(f"expected HWC uint8 RGB, got {picture.dtype} {picture.shape}")
            if picture.shape != restored.shape:
                (h, w), (th, tw) = restored.shape[:2], picture.shape[:2]
                raise PairingError(f"sizes differ: {w}x{h} against {tw}x{th}")
        if min(restored.shape[:2]) < self.metric.smallest:
            return math.nan
        return self._compute(*pictures)

    def to_data(self) -> dict[str, Any]:
        """Return what defines its figures, for metrics.json."""
        each = self.metric
        return {
            "name": each.name,
            "label": each.label,
            "higher_is_better": each.higher_is_better,
            "smallest_side": each.smallest,
            "needs": list(each.needs),
            "about": each.about,
            "weights": self.sha256,
        }


class _Loaded(NamedTuple):
    metrics: tuple[LoadedMetric, ...]
    skipped: tuple[str, ...]


def metric(name: str) -> Metric:
    """Return the metric of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in METRICS:
        raise unknown("--metric", name, METRICS)
    return METRICS[name]


def _load_again(name: str, weights_dir: Path | None) -> LoadedMetric:
    return LoadedMetric(metric(name), weights_dir)


def load_metrics(
    names: Iterable[str] | str,
    *,
    weights_dir: Path | None = None,
    have: Iterable[str] = ("target", "input"),
) -> _Loaded:
    """Load metrics, and return them with a line for each that cannot be computed.

    Args:
        names: a name of :data:`METRICS` or several, each taken once; ``lpips=FOLDER`` names the
            folder of the metric's weights, too.
        weights_dir: folder of the weights of all other metrics; None if there is none.
        have: pictures that there will be beside the restored ones.

    Raises:
        UsageError: an unknown name, or a folder for a metric without weights.
    """
    there = set(have)
    found, skipped = [], []
    folders: dict[str, Path | None] = {}
    for text in (names,) if isinstance(names, str) else names:
        name, given, folder = text.partition("=")
        if given and not metric(name).weights:
            raise UsageError(f"--metric {text}: {name} needs no weights; write --metric {name}")
        folders.setdefault(name, Path(folder) if given else weights_dir)
    for each, place in [(metric(name), place) for name, place in folders.items()]:
        if lacking := [need for need in each.needs if need not in there]:
            skipped.append(f"{each.name} skipped: it needs the {' and the '.join(lacking)}")
            continue
        try:
            found.append(LoadedMetric(each, place))
        except WeightsError as error:
            skipped.append(f"{each.name} skipped: {error}")
    return _Loaded(tuple(found), tuple(skipped))


def _mae(restored: RGB8, target: RGB8) -> float:
    return float(np.mean(np.abs(restored.astype(np.int16) - target.astype(np.int16))))


def _tone_psnr(restored: RGB8, target: RGB8) -> float:
    fitted = psnr_ssim.tone_fitted(restored, target)
    error = psnr_ssim.squared_error(fitted, psnr_ssim.channels(target, exact=True))
    return psnr_ssim.psnr(error if error > _ROUNDING else 0.0)


_ROUNDING = 1e-9
"""Mean squared error, in squared levels, that a fit of equal pictures leaves by rounding."""


def _rain_removed(restored: RGB8, rainy: RGB8) -> float:
    return streak_energy.brighter_share(rainy, restored)


def _on_tensors(figure: Callable[..., Any], *pictures: RGB8) -> float:
    import torch

    with torch.inference_mode():
        return float(figure(*map(to_tensor, pictures)))


def _piq(name: str) -> Callable[..., Compute]:
    """Return the loader of a function of piq, which is imported when the metric is loaded."""

    def load() -> Compute:
        import piq

        return partial(_on_tensors, partial(getattr(piq, name), data_range=1.0))

    return load


def _variation() -> Compute:
    import piq

    def compute(restored: RGB8) -> float:
        # piq sums over the picture; the mean does not grow with it.
        total = partial(piq.total_variation, norm_type="l1")
        return 255 * _on_tensors(total, restored) / restored.size

    return compute


def _weighted(load: Callable[..., Any]) -> Callable[..., Compute]:
    return lambda *paths: partial(_on_tensors, load(*paths))


def _niqe() -> Compute:
    raise WeightsError(
        "neither its model of pristine pictures nor code for it comes with piq or rainkit;"
        " pyiqa has both"
    )


_METRICS = (
    Metric(
        name="mae",
        library="",
        title="MAE",
        about="mean absolute error of RGB in grey levels, 0 to 255",
        load=lambda: _mae,
    ),
    Metric(
        name="tone_psnr",
        library="",
        title="tone-fitted PSNR",
        about="PSNR of RGB in dB after a cubic tone curve of each channel, fitted to the target",
        higher_is_better=True,
        load=lambda: _tone_psnr,
    ),
    Metric(
        name="ms_ssim",
        title="MS-SSIM",
        about="SSIM over five scales (Wang et al. 2003), 0 to 1",
        higher_is_better=True,
        smallest=161,
        load=_piq("multi_scale_ssim"),
    ),
    Metric(
        name="gmsd",
        title="GMSD",
        about="deviation of the similarity of gradients (Xue et al. 2014), from 0",
        smallest=16,
        load=_piq("gmsd"),
    ),
    Metric(
        name="fsim",
        title="FSIMc",
        about="similarity of phase congruency, gradients and chroma (Zhang et al. 2011), 0 to 1",
        higher_is_better=True,
        smallest=16,
        load=_piq("fsim"),
    ),
    Metric(
        name="vif",
        title="VIFp",
        about="visual information fidelity, in pixels (Sheikh and Bovik 2006), 1 for equal",
        higher_is_better=True,
        smallest=41,
        load=_piq("vif_p"),
    ),
    Metric(
        name="haarpsi",
        title="HaarPSI",
        about="similarity of Haar wavelets (Reisenhofer et al. 2018), 0 to 1",
        higher_is_better=True,
        smallest=16,
        load=_piq("haarpsi"),
    ),
    Metric(
        name="mdsi",
        title="MDSI",
        about="deviation of the similarity of gradients and chroma (Nafchi et al. 2016), from 0",
        smallest=16,
        load=_piq("mdsi"),
    ),
    Metric(
        name="tv",
        needs=(),
        title="TV",
        smallest=2,
        about="total variation: mean step to the right plus down, in grey levels; detail too",
        load=_variation,
    ),
    Metric(
        name="rain_left",
        library="",
        title="rain left",
        about="share of the pixels more than 8 levels of luma brighter than the target, 0 to 1",
        load=lambda: streak_energy.brighter_share,
    ),
    Metric(
        name="rain_removed",
        library="",
        title="rain removed",
        higher_is_better=None,
        needs=("input",),
        about="share of the pixels more than 8 levels of luma darker than the rainy ones, 0 to 1",
        load=lambda: _rain_removed,
    ),
    Metric(
        name="streak_energy",
        library="",
        title="streak energy",
        smallest=streak_energy.SMALLEST,
        needs=("input",),
        about="energy along the rainy picture's streaks, 1 for all of the rainy picture's",
        load=lambda: streak_energy.directional_energy,
    ),
    Metric(
        name="lpips",
        title="LPIPS",
        smallest=32,
        about="distance of VGG16's features (Zhang et al. 2018), from 0",
        load=_weighted(perceptual.lpips),
        weights=(perceptual.VGG16, perceptual.LPIPS),
    ),
    Metric(
        name="dists",
        title="DISTS",
        smallest=32,
        about="structure and texture of VGG16's features (Ding et al. 2020), from 0",
        load=_weighted(perceptual.dists),
        weights=(perceptual.VGG16, perceptual.DISTS),
    ),
    Metric(
        name="brisque",
        needs=(),
        title="BRISQUE",
        smallest=32,
        about="unnaturalness (Mittal et al. 2012), about 0 to 100, of the picture at its own size",
        load=_weighted(perceptual.brisque),
        weights=(perceptual.BRISQUE,),
    ),
    Metric(
        name="niqe",
        needs=(),
        library="",
        title="NIQE",
        smallest=192,
        about="distance from pristine pictures (Mittal et al. 2013), from 0",
        load=_niqe,
    ),
)
METRICS: Mapping[str, Metric] = MappingProxyType({each.name: each for each in _METRICS})
"""By name. NIQE is listed only to say why there is none."""

"""Looking at some pictures of a synthesised dataset, and measuring them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rainkit import images
from rainkit.datasets import depth as depths
from rainkit.datasets.degradation import Degradation
from rainkit.datasets.records import Record
from rainkit.datasets.stored import Stored
from rainkit.engine import Failed, Work, open_engine, paying_workers
from rainkit.errors import DatasetError, ImageError
from rainkit.rain import RainSettings, render
from rainkit.rain.realism import Fit, Measures, fog_fit, measure

__all__ = ["Sample", "Scorer", "choose", "depth_of", "look_at", "settings_of"]

RGB8 = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]


class Scorer(Protocol):
    """PSNR and SSIM under a named protocol, such as :class:`rainkit.evaluation.Protocol`."""

    @property
    def label(self) -> str:
        """Its name and version."""
        ...

    def scores(self, restored: RGB8, target: RGB8, /) -> tuple[float, float]:
        """PSNR in dB and SSIM."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A picture of the dataset that was looked at.

    Attributes:
        record: what the manifest says of it.
        psnr: in dB, rainy against clean.
        ssim: likewise.
        streaks: measured against the same picture with its fog but without streaks, which is drawn
            again from the record; None for noise, or what cannot be drawn again.
        fog: how well that picture follows Koschmieder's law; None without fog to speak of.
    """

    record: Record
    psnr: float
    ssim: float
    streaks: Measures | None = None
    fog: Fit | None = None


def choose(records: Sequence[Record], most: int) -> list[Record]:
    """At most so many, evenly from the lightest rain to the heaviest; always the same ones."""
    ranked = sorted(records, key=lambda record: (record.rate_mm_h, record.id))
    if len(ranked) <= most:
        return ranked
    return [ranked[round(i)] for i in np.linspace(0, len(ranked) - 1, most)]


def look_at(
    dataset: Path,
    records: Sequence[Record],
    scorer: Scorer,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Sample], list[tuple[str, str]]]:
    """Measure pictures, in the order of the records; also the id of what failed, and why.

    Args:
        dataset: its folder.
        records: of the pictures to look at.
        scorer: for PSNR and SSIM.
        workers: processes; None for as many as pay.
        on_progress: called after each.
    """
    count = paying_workers(len(records), workers, len(records))
    done: dict[str, Sample | str] = {}
    with open_engine(workers=count) as engine:
        for outcome in engine.run(Work.calling(_look, dataset, scorer), records):
            done[outcome.item.id] = outcome.reason if isinstance(outcome, Failed) else outcome.value
            if on_progress is not None:
                on_progress(len(done), len(records))
    results = [(record.id, done[record.id]) for record in records]
    return (
        [result for _, result in results if isinstance(result, Sample)],
        [(name, result) for name, result in results if isinstance(result, str)],
    )


def _look(dataset: Path, scorer: Scorer, record: Record) -> Sample:
    """Measure one picture."""
    rainy = Stored.at(dataset, record.input).read()
    clean = Stored.at(dataset, record.target).read()
    psnr, ssim = scorer.scores(rainy, clean)
    sample = Sample(record=record, psnr=psnr, ssim=ssim)
    settings = settings_of(record)
    if settings is None:
        return sample
    z = depth_of(dataset, record)
    behind = _without_streaks(clean, record, settings, z)
    return replace(
        sample,
        streaks=measure(behind, rainy),
        fog=_fog(clean, behind, record, settings, z),
    )


def settings_of(record: Record) -> RainSettings | None:
    """Settings of the rain, at the rate that was drawn; None for noise, or settings not known."""
    try:
        settings = Degradation.of((record,)).settings
    except DatasetError:
        return None
    return None if settings is None else settings.at_rate(record.rate_mm_h)


def depth_of(dataset: Path, record: Record) -> Plane | None:
    """The depth map in metres along the optical axis, [H,W], if one was used."""
    if record.depth is None:
        return None
    code = images.read(Stored.at(dataset, record.depth.path).path).rgb[..., 0]
    if code.dtype != np.uint16:
        raise ImageError(f"{record.depth.path}: not a depth map of 16 bits; make the dataset again")
    return depths.decode(code)


def _without_streaks(clean: RGB8, record: Record, settings: RainSettings, z: Plane | None) -> RGB8:
    return render(
        clean,
        replace(settings, streak_gain=0.0),
        record.seed,
        distance=record.distance if isinstance(record.distance, float) else None,
        depth=z,
        frame_width=record.frame_width,
        airlight=record.airlight,
    ).rainy


def _fog(
    clean: RGB8, behind: RGB8, record: Record, settings: RainSettings, z: Plane | None
) -> Fit | None:
    """Dimmed scenes and linear light have no such simple law."""
    plain = settings.dim == 1 and settings.gamma == 1 and settings.light == "srgb"
    if z is None or not plain or record.beta_per_m == 0:
        return None
    focal = settings.focal_px(record.frame_width)
    height, width = z.shape
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / focal
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / focal
    away = z * np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2)
    return fog_fit(clean, behind, record.airlight, away, record.beta_per_m)

"""Checks of a dataset: whether its rain measures what it should."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rainkit.datasets.duplicates import near_hashes
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.manifest import Record
from rainkit.datasets.phash import LIMIT
from rainkit.engine import Failed, Work, open_engine, paying_workers
from rainkit.errors import DatasetError
from rainkit.images import RGB8
from rainkit.rain import PRESETS, RainSettings, render
from rainkit.rain.realism import Fit, Measures, coverage_slope, expected_tilt, fog_fit, measure
from rainkit.synthesis.degradation import Degradation
from rainkit.synthesis.verify import read_clean, read_depth

__all__ = [
    "BANDS",
    "Check",
    "Sample",
    "Scorer",
    "checks",
    "choose",
    "expected_strength",
    "measure_pictures",
    "settings_of",
    "tilt_error",
]


Plane = npt.NDArray[np.float32]


class Scorer(Protocol):
    """PSNR and SSIM under a named protocol, such as :class:`rainkit.evaluation.Protocol`."""

    @property
    def label(self) -> str:
        """Name and version of the protocol."""
        ...

    def scores(self, restored: RGB8, target: RGB8, /) -> tuple[float, float]:
        """Return PSNR in dB and SSIM."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A picture of the dataset that was measured.

    Attributes:
        record: its record in the manifest.
        psnr: PSNR of the rainy picture against the clean one, in dB.
        ssim: SSIM of the rainy picture against the clean one.
        streaks: measures of the streaks against the same picture with fog but without streaks,
            which is drawn again; None for noise, or if the picture cannot be drawn again.
        fog: fit of that picture to Koschmieder's law; None without fog.
    """

    record: Record
    psnr: float
    ssim: float
    streaks: Measures | None = None
    fog: Fit | None = None


def choose(records: Sequence[Record], most: int) -> list[Record]:
    """Return at most ``most`` records, evenly from the lightest rain to the heaviest."""
    ranked = sorted(records, key=lambda record: (record.rate_mm_h, record.id))
    if len(ranked) <= most:
        return ranked
    return [ranked[round(i)] for i in np.linspace(0, len(ranked) - 1, most)]


def measure_pictures(
    dataset: Path,
    records: Sequence[Record],
    scorer: Scorer,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Sample], list[tuple[str, str]]]:
    """Measure pictures.

    Args:
        dataset: folder of the dataset.
        records: records of the pictures to measure.
        scorer: what computes PSNR and SSIM.
        workers: number of processes; None for as many as pay.
        on_progress: called after each picture with the number done and their total.

    Returns:
        Samples in the order of the records, and the id of each picture that failed with the reason.
    """
    count = paying_workers(len(records), workers, len(records))
    samples, failures = [], []
    with open_engine(workers=count) as engine:
        outcomes = engine.run(Work.calling(_measure_picture, dataset, scorer), records)
        for done, outcome in enumerate(outcomes, start=1):
            if isinstance(outcome, Failed):
                failures.append((outcome.item.id, outcome.reason))
            else:
                samples.append(outcome.value)
            if on_progress is not None:
                on_progress(done, len(records))
    return samples, failures


def _measure_picture(dataset: Path, scorer: Scorer, record: Record) -> Sample:
    rainy = ImageRef.from_locator(dataset, record.input).read()
    clean = read_clean(dataset, record)
    psnr, ssim = scorer.scores(rainy, clean)
    sample = Sample(record=record, psnr=psnr, ssim=ssim)
    settings = settings_of(record)
    if settings is None:
        return sample
    z = read_depth(dataset, record)
    behind = _without_streaks(clean, record, settings, z)
    return replace(
        sample,
        streaks=measure(behind, rainy),
        fog=_fog_fit(clean, behind, record, settings, z),
    )


def settings_of(record: Record) -> RainSettings | None:
    """Return the settings of the rain at the rate that was drawn; None for noise, or if unknown."""
    try:
        settings = Degradation.of((record,)).settings
    except DatasetError:
        return None
    return None if settings is None else settings.at_rate(record.rate_mm_h)


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


def _fog_fit(
    clean: RGB8, behind: RGB8, record: Record, settings: RainSettings, z: Plane | None
) -> Fit | None:
    """Return the fit of the fog; None for dimmed scenes and linear light, which have other laws."""
    plain = settings.dim == 1 and settings.gamma == 1 and settings.light == "srgb"
    if z is None or not plain or record.beta_per_m == 0:
        return None
    focal = settings.focal_px(record.frame_width)
    height, width = z.shape
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / focal
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / focal
    away = z * np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2)
    return fog_fit(clean, behind, record.airlight, away, record.beta_per_m)


BANDS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "default": ((2, 40.6, 0.982), (7, 33.7, 0.941), (25, 26.9, 0.849), (80, 21.0, 0.719)),
    "spa": ((7, 34.2, 0.946),),
    "rain12": ((7, 30.14, 0.893),),
    "rain100l": ((17, 26.9, 0.841),),
    "rain100h": ((120, 13.56, 0.378),),
    "wide": ((7, 31.6, 0.935), (25, 24.5, 0.839)),
    "short": ((7, 34.9, 0.945),),
}
"""Rate in mm/h, and PSNR in dB and SSIM on Y, of each preset without fog on BSDS500."""

_FEWEST = 8  # pictures that a check needs


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One property that was checked.

    Attributes:
        name: name of the property.
        found: the value, as text.
        expected: the range, as text.
        passed: whether the value lies in the range; None if there was nothing to check.
        n: number of pictures that were measured.
        how: how the value was measured.
    """

    name: str
    found: str
    expected: str
    passed: bool | None
    n: int
    how: str


def checks(records: Sequence[Record], samples: Sequence[Sample], protocol: str) -> list[Check]:
    """Return all checks in the order of the page.

    Args:
        records: records of the whole dataset.
        samples: pictures of it that were measured.
        protocol: label of the protocol of PSNR and SSIM.
    """
    return [
        *_strength(samples, protocol),
        _tilt(samples),
        _darker(samples),
        _growth(samples),
        _slope(samples),
        _fog_check(samples),
        _lengths(samples),
        _apart(records),
    ]


def expected_strength(sample: Sample) -> tuple[float, float] | None:
    """Return PSNR and SSIM of the preset at a picture's rate; None with fog or other settings."""
    record, settings = sample.record, settings_of(sample.record)
    band = BANDS.get(record.preset)
    if band is None or settings is None or record.beta_per_m > 0:
        return None
    if settings != PRESETS[record.preset].at_rate(record.rate_mm_h):
        return None
    rates, psnr, ssim = zip(*band, strict=True)
    if not 0.99 * rates[0] <= record.rate_mm_h <= 1.01 * rates[-1]:
        return None
    at = math.log(record.rate_mm_h)
    return float(np.interp(at, np.log(rates), psnr)), float(np.interp(at, np.log(rates), ssim))


def tilt_error(sample: Sample) -> tuple[float, float] | None:
    """Return expected and measured tilt in degrees; None with strong wind or too little rain."""
    settings, streaks = settings_of(sample.record), sample.streaks
    if settings is None or streaks is None or abs(sample.record.wind_m_s) > 6:
        return None
    if streaks.brighter < 0.002 or math.isnan(streaks.tilt_deg):
        return None
    expected = settings.roll_deg + expected_tilt(
        sample.record.rate_mm_h, sample.record.wind_m_s, settings.smallest_mm
    )
    # A line has no direction: 89 degrees are 2 from -89.
    away = (streaks.tilt_deg - expected + 90) % 180 - 90
    return expected, expected + away


def _strength(samples: Sequence[Sample], protocol: str) -> list[Check]:
    away = [
        (sample.psnr - expected[0], sample.ssim - expected[1])
        for sample in samples
        if (expected := expected_strength(sample)) is not None and math.isfinite(sample.psnr)
    ]
    how = (
        f"mean over pictures without fog, {protocol}; expected are pictures like those of BSDS500:"
        " others may differ by more"
    )
    psnr = [each[0] for each in away]
    ssim = [each[1] for each in away if math.isfinite(each[1])]
    return [
        _judged("PSNR against the preset's", psnr, fmean, "{:+.2f} dB", (-0.7, 0.7), how),
        _judged("SSIM against the preset's", ssim, fmean, "{:+.3f}", (-0.03, 0.03), how),
    ]


def _tilt(samples: Sequence[Sample]) -> Check:
    pairs = [each for each in map(tilt_error, samples) if each is not None]
    return _judged(
        "Tilt of the streaks",
        [abs(measured - expected) for expected, measured in pairs],
        median,
        "off by {:.1f}°",
        (0, 2),
        "structure tensor of the residual against wind and fall speed; median, winds up to 6 m/s",
    )


def _darker(samples: Sequence[Sample]) -> Check:
    return _judged(
        "Pixels darkened by streaks",
        [sample.streaks.darker for sample in samples if sample.streaks is not None],
        fmean,
        "{:.3f}",
        (0, 0.02),
        "mean share with a residual below -8 levels; streaks add light",
    )


def _growth(samples: Sequence[Sample]) -> Check:
    """Check that coverage grows over four groups of equal size by rain rate."""
    points = sorted(
        (s.record.rate_mm_h, s.streaks.brighter) for s in samples if s.streaks is not None
    )
    groups = [g for g in np.array_split(np.array(points).reshape(-1, 2), 4) if len(g)]
    means = [float(group[:, 1].mean()) for group in groups]
    wide = len(points) >= _FEWEST and points[-1][0] >= 4 * points[0][0]
    return Check(
        name="Coverage grows with the rain rate",
        found=" < ".join(f"{mean:.3f}" for mean in means) if wide else "",
        expected="rising",
        passed=bool(np.all(np.diff(means) > 0)) if wide else None,
        n=len(points),
        how="mean share of pixels above 8 levels, in quarters of the pictures by rain rate",
    )


def _slope(samples: Sequence[Sample]) -> Check:
    default = PRESETS["default"]
    points = [
        (s.record.rate_mm_h, s.streaks.brighter)
        for s in samples
        if s.streaks is not None
        and (settings := settings_of(s.record)) is not None
        and settings.streak_gain == default.streak_gain
        and settings.exposure_s == default.exposure_s
    ]
    fit = coverage_slope([p[0] for p in points], [p[1] for p in points])
    return Check(
        name="Coverage against rain rate, log-log",
        found="" if fit is None else f"slope {fit.slope:.2f}",
        expected="1.11 to 1.41",
        passed=None if fit is None else 1.11 <= fit.slope <= 1.41,
        n=0 if fit is None else sum(0.5 <= rate <= 8 for rate, _ in points),
        how="pictures at 0.5 to 8 mm/h with the default gain and exposure",
    )


def _fog_check(samples: Sequence[Sample]) -> Check:
    fits = [s.fog for s in samples if s.fog is not None and s.record.rate_mm_h >= 10]
    slopes = [fit.slope for fit in fits]
    check = _judged(
        "Fog follows depth",
        slopes,
        median,
        "slope {:.3f}",
        (0.97, 1.03),
        "-ln of transmission against optical depth, median at 10 mm/h and more; streaks left out",
        fewest=1,
    )
    if not fits:
        return check
    r = median(fit.r for fit in fits)
    return Check(
        name=check.name,
        found=f"{check.found}, r {r:.3f}",
        expected=f"{check.expected}, r from 0.99",
        passed=bool(check.passed) and r >= 0.99,
        n=check.n,
        how=check.how,
    )


def _lengths(samples: Sequence[Sample]) -> Check:
    points = [
        (s.record.exposure_s, s.streaks.length_px)
        for s in samples
        if s.streaks is not None
        and s.record.exposure_s is not None
        and math.isfinite(s.streaks.length_px)
    ]
    wide = len(points) >= 2 * _FEWEST and max(p[0] for p in points) >= 2 * min(p[0] for p in points)
    r = float(np.corrcoef(np.log(np.array(points).T))[0, 1]) if wide else math.nan
    return Check(
        name="Longer exposures draw longer streaks",
        found=f"r {r:.2f}" if wide else "",
        expected="r from 0.5",
        passed=r >= 0.5 if wide else None,
        n=len(points),
        how="log of length (full width at half maximum along the tilt) against log of exposure",
    )


def _apart(records: Sequence[Record]) -> Check:
    """Compare the hashes of all scenes in the manifest."""
    hashes: dict[str, set[int]] = {"train": set(), "test": set()}
    for record in records:
        if record.phash is not None and record.split is not None:
            hashes.setdefault(record.split, set()).add(int(record.phash, 16))
    split = bool(hashes["train"] and hashes["test"])
    shared = len({j for _, j, _ in near_hashes(sorted(hashes["train"]), sorted(hashes["test"]))})
    return Check(
        name="No scene in both train and test",
        found=f"{shared} shared" if split else "",
        expected="0 shared",
        passed=shared == 0 if split else None,
        n=len(records) if split else 0,
        how=f"perceptual hashes of all clean pictures, at most {LIMIT} of 64 bits apart",
    )


def _judged(
    name: str,
    values: Sequence[float],
    middle: Callable[[Sequence[float]], float],
    form: str,
    bounds: tuple[float, float],
    how: str,
    *,
    fewest: int = _FEWEST,
) -> Check:
    low, high = bounds
    enough = len(values) >= fewest
    value = middle(values) if enough else math.nan
    return Check(
        name=name,
        found=form.format(value) if enough else "",
        expected=_range(low, high),
        passed=low <= value <= high if enough else None,
        n=len(values),
        how=how,
    )


def _range(low: float, high: float) -> str:
    if low == 0:
        return f"up to {high:g}"
    return f"within {high:g}" if low == -high else f"{low:g} to {high:g}"

"""The page about a synthesised dataset: samples, plots, and checks of its rain."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import rainkit
from rainkit import images
from rainkit.datasets import manifest
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.manifest import Record
from rainkit.files import write_json, write_text
from rainkit.render.html import render, thumbnail
from rainkit.synthesis.report.checks import Check, Sample, Scorer, checks, choose, measure_pictures
from rainkit.synthesis.report.plots import plots
from rainkit.synthesis.verify import read_clean, read_depth

__all__ = ["PAGE", "write_rain_page"]

PAGE = "report.html"
"""Name of the page in the folder of a dataset; report.json holds the same values."""

_MOST = 200  # pictures that are measured
_SHOWN = 12  # pictures that are shown
_SIDE = 480  # px


@dataclass(frozen=True, slots=True)
class _Shown:
    """A picture of the contact sheet, with its kinds of pictures as JPEG files."""

    record: Record
    caption: str
    pictures: tuple[tuple[str, bytes], ...]


def write_rain_page(
    dataset: Path,
    scorer: Scorer,
    *,
    most: int = _MOST,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write ``report.html``, a page without other files, and ``report.json`` to a dataset's folder.

    Args:
        dataset: a folder that ``rainkit synth`` wrote.
        scorer: what computes PSNR and SSIM.
        most: number of pictures to measure, evenly from the lightest rain to the heaviest.
        workers: number of processes; None for as many as pay.
        on_progress: called after each picture with the number measured and their total.

    Returns:
        The path of the page. Files of its name are replaced.

    Raises:
        DatasetError: There is no manifest, or it cannot be read.
        FileError: The page cannot be written.
    """
    records = manifest.read(dataset)
    samples, failures = measure_pictures(
        dataset, choose(records, most), scorer, workers=workers, on_progress=on_progress
    )
    judged = checks(records, samples, scorer.label)
    path = dataset / PAGE
    html = _page(
        title=f"Rain in {dataset.resolve().name}",
        facts=_facts(records, samples, scorer.label),
        checks=judged,
        plots=plots(records, samples, scorer.label),
        table=_table(samples),
        shown=_contact_sheet(dataset, [sample.record for sample in samples]),
        failures=failures,
        protocol=scorer.label,
        version=rainkit.__version__,
    )
    write_text(path, html, overwrite=True, errors="replace")
    data = _to_data(records, samples, judged, failures, scorer.label)
    write_json(path.with_suffix(".json"), data)
    return path


def _page(**parts: Any) -> str:
    return render("rainkit.synthesis.report", "rain.html.j2", **parts)


def _facts(records: Sequence[Record], samples: Sequence[Sample], protocol: str) -> dict[str, str]:
    splits = Counter(record.split for record in records if record.split)
    scenes = {record.scene for record in records}
    depth = Counter(
        record.depth.source if record.depth else "none" for record in records
    ).most_common(3)
    sizes = {(record.w, record.h) for record in records}
    facts = {
        "Pairs": f"{len(records)} of {len(scenes)} scenes",
        "Split": ", ".join(f"{name} {count}" for name, count in splits.items()) or "none",
        "Preset": ", ".join(sorted({record.preset for record in records})),
        "Renderer": ", ".join(sorted({record.renderer for record in records})),
        "Depth": ", ".join(f"{name} ({count})" for name, count in depth),
        "Size": f"{min(sizes)[0]} × {min(sizes)[1]}" if len(sizes) == 1 else f"{len(sizes)} sizes",
        "Measured": f"{len(samples)} pictures",
        "Protocol": protocol,
    }
    return facts


def _table(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return the means by preset and level."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.record.preset, sample.record.level or "–"), []).append(sample)
    rows = []
    for (preset, level), group in groups.items():
        streaks = [s.streaks for s in group if s.streaks is not None]
        rows.append(
            {
                "preset": preset,
                "level": level,
                "n": len(group),
                "rate": _mean([s.record.rate_mm_h for s in group]),
                "psnr": _mean([s.psnr for s in group]),
                "ssim": _mean([s.ssim for s in group]),
                "mean_dy": _mean([s.mean_dy for s in streaks]),
                "brighter": _mean([s.brighter for s in streaks]),
                "p99": _mean([s.p99 for s in streaks]),
                "tilt_sd_deg": _mean([s.tilt_sd_deg for s in streaks]),
                "length_px": _mean([s.length_px for s in streaks]),
                "width_px": _mean([s.width_px for s in streaks]),
                "chroma": _mean([s.chroma for s in streaks]),
            }
        )
    return rows


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def _contact_sheet(dataset: Path, records: Sequence[Record]) -> list[_Shown]:
    """Return pictures from the lightest rain to the heaviest, with as many scenes as possible."""
    shown = []
    taken: Counter[str] = Counter()
    groups = np.array_split(np.arange(len(records)), min(_SHOWN, len(records)) or 1)
    for group in groups:
        candidates = [records[int(i)] for i in group]
        if not candidates:
            continue
        record = min(candidates, key=lambda each: taken[each.scene])
        taken[record.scene] += 1
        shown.append(_Shown(record, _caption(record), _pictures(dataset, record)))
    return shown


def _caption(record: Record) -> str:
    parts = [f"{record.rate_mm_h:.3g} mm/h" if record.degradation == "rain" else "noise"]
    if record.level:
        parts.append(record.level)
    if record.stats.y_psnr is not None:
        parts.append(f"{record.stats.y_psnr:.1f} dB")
    return " · ".join(parts)


def _pictures(dataset: Path, record: Record) -> tuple[tuple[str, bytes], ...]:
    """Return the pictures of a record by kind."""
    rainy = ImageRef.from_locator(dataset, record.input).read()
    found = [
        ("clean", thumbnail(read_clean(dataset, record), _SIDE)),
        ("rainy", thumbnail(rainy, _SIDE)),
    ]
    z = read_depth(dataset, record)
    if z is not None:
        near, far = np.log(np.clip(z, 1, 300).min()), np.log(np.clip(z, 1, 300).max())
        scaled = (np.log(np.clip(z, 1, 300)) - near) / max(far - near, 1e-6)
        code = np.rint(255 * (1 - scaled)).astype(np.uint8)
        colour = cv2.applyColorMap(code, cv2.COLORMAP_MAGMA)
        found.append(("depth", thumbnail(np.ascontiguousarray(colour[..., ::-1]), _SIDE)))
    for kind, side in (("transmission", "trans"), ("mask", "mask")):
        path = dataset / side / f"{record.id}.png"
        if path.is_file():
            found.append((kind, thumbnail(images.read(path).rgb, _SIDE)))
    return tuple(found)


def _to_data(
    records: Sequence[Record],
    samples: Sequence[Sample],
    judged: Sequence[Check],
    failures: Sequence[tuple[str, str]],
    protocol: str,
) -> dict[str, Any]:
    return {
        "v": 1,
        "rainkit": rainkit.__version__,
        "protocol": protocol,
        "pairs": len(records),
        "measured": len(samples),
        "checks": [asdict(check) for check in judged],
        "by_preset": _table(samples),
        "pictures": [_finite(_sample_to_data(sample)) for sample in samples],
        "failures": [{"id": name, "reason": reason} for name, reason in failures],
    }


def _sample_to_data(sample: Sample) -> dict[str, Any]:
    record = sample.record
    return {
        "id": record.id,
        "rate_mm_h": record.rate_mm_h,
        "wind_m_s": record.wind_m_s,
        "exposure_s": record.exposure_s,
        "beta_per_m": record.beta_per_m,
        "psnr": sample.psnr,
        "ssim": sample.ssim,
        "streaks": None if sample.streaks is None else _finite(asdict(sample.streaks)),
        "fog": None if sample.fog is None else asdict(sample.fog),
    }


def _finite(data: dict[str, Any]) -> dict[str, Any]:
    """Return data without infinity and NaN, which JSON does not have."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in data.items()
    }

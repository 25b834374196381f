"""Verifying a dataset: drawing its rain again on its clean pictures, and comparing."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rainkit import depth as depths
from rainkit import images
from rainkit.datasets import manifest
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.manifest import Record
from rainkit.datasets.phash import pixel_hash
from rainkit.engine import Work, open_engine, paying_workers
from rainkit.errors import DatasetError, RainkitError, UsageError
from rainkit.images import RGB8
from rainkit.rain import RENDERER, Rendered
from rainkit.synthesis.degradation import NOISE, Degradation
from rainkit.synthesis.request import versions
from rainkit.synthesis.scene import measure

__all__ = [
    "Finding",
    "VerifyResult",
    "read_clean",
    "read_depth",
    "verify",
]


_DRAWN = (
    "rng",
    "rate_mm_h",
    "wind_m_s",
    "distance",
    "frame_width",
    "beta_per_m",
    "airlight",
    "streak_rgb",
    "n_drops",
    "n_kept",
    "exposure_s",
)
"""Values of a record that drawing its picture again gives, too."""

_CLOSE = 1e-5  # tolerance of values: last digits may differ between processors, pixels may not


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference between a picture and what the manifest says.

    Attributes:
        id: id of the record.
        kind: ``missing`` if a file is, ``changed`` if a file or a value of the manifest is, and
            ``unrenderable`` if the picture cannot be drawn again or comes out differently.
        what: the file or field, or the reason.
    """

    id: str
    kind: Literal["missing", "changed", "unrenderable"]
    what: str


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """The result of verifying a dataset.

    Attributes:
        manifest: the manifest.
        pairs: number of pictures that it lists.
        rendered: number of pictures that were drawn again with equal pixels.
        findings: all differences, in the order of the manifest.
        notes: limits of the comparison.
        seconds: wall time.
    """

    manifest: Path
    pairs: int
    rendered: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def pictures_per_second(self) -> float:
        """Pictures per second, reading and comparing included."""
        return self.pairs / self.seconds if self.seconds > 0 else math.inf

    def to_data(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "manifest": str(self.manifest),
            "verified": not self.findings,
            "pairs": self.pairs,
            "rendered": self.rendered,
            "findings": [asdict(finding) for finding in self.findings],
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "pictures_per_second": round(self.pictures_per_second, 1),
        }


def verify(
    path: Path,
    root: Path | None = None,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> VerifyResult:
    """Draw every picture of a dataset again and compare pixels, files and values.

    Rainy pictures that are JPEG files are only decoded, since they are not exactly what was drawn.

    Args:
        path: the manifest, or the folder that holds it.
        root: folder of the dataset; None for the one that holds the manifest.
        workers: number of processes; None for as many as pay.
        on_progress: called after each scene with the number of pictures done and their total.

    Raises:
        DatasetError: The manifest cannot be read.
        UsageError: ``root`` is not a folder.
    """
    started = time.monotonic()
    if root is not None and not root.is_dir():
        raise UsageError(f"{root}: is not a folder; name the folder of the dataset")
    records = manifest.read(path, root=root)
    scenes = defaultdict(list)
    for record in records:
        scenes[record.scene].append(record)
    home = root if root is not None else manifest.find(path)[0].parent
    found: dict[str, Sequence[Finding]] = {}
    seen = rendered = 0
    count = paying_workers(len(records), workers, len(scenes))
    with open_engine(workers=count, threads=None) as engine:
        for outcome in engine.run(Work.calling(_compare, home), scenes.values()):
            compared = outcome.get()
            found[outcome.item[0].scene] = compared.findings
            rendered += compared.rendered
            seen += len(outcome.item)
            if on_progress is not None:
                on_progress(seen, len(records))
    return VerifyResult(
        manifest=path,
        pairs=len(records),
        rendered=rendered,
        findings=tuple(finding for scene in scenes for finding in found[scene]),
        notes=tuple(_notes(records)),
        seconds=time.monotonic() - started,
    )


def _notes(records: Sequence[Record]) -> Iterator[str]:
    """Yield what differs from when the dataset was made, and what cannot be compared."""
    ours = {RENDERER, NOISE}
    others = sorted({record.renderer for record in records} - ours)
    if others:
        yield f"made by renderer {', '.join(others)}; this is {RENDERER}: pixels may differ"
    here = versions()
    for name in here:
        there = sorted({record.lib.get(name, "unknown") for record in records} - {here[name]})
        if there:
            yield f"made with {name} {', '.join(there)}; this is {here[name]}"
    lossy = sum(record.encode.get("fmt") != "png" for record in records)
    if lossy:
        yield (
            f"{lossy} rainy pictures are JPEG files, which do not hold what was drawn: drawing was "
            "compared, of the files only that they can be decoded"
        )


@dataclass(frozen=True, slots=True)
class _Compared:
    """The comparison of one scene.

    Attributes:
        findings: all differences, in the order of the records.
        rendered: number of pictures that were drawn again with equal pixels.
    """

    findings: tuple[Finding, ...]
    rendered: int


def _compare(root: Path, records: Sequence[Record]) -> _Compared:
    """Compare all records of one scene with their files and with pictures drawn again."""
    variants: defaultdict[int, list[Record]] = defaultdict(list)
    for record in records:
        variants[record.variant].append(record)
    findings: list[Finding] = []
    equal = 0
    for some in variants.values():
        for record in some:
            findings += _compare_file(root, record)
        clean = _clean(root, some[0])
        if isinstance(clean, Finding):
            findings += [replace(clean, id=record.id) for record in some]
            continue
        try:
            for record, rendered in _draw(root, some, clean):
                wrong = list(_compare_drawn(record, clean, rendered))
                equal += not any(finding.kind == "unrenderable" for finding in wrong)
                findings += wrong
        except RainkitError as error:
            findings += [Finding(record.id, "unrenderable", str(error)) for record in some]
    return _Compared(tuple(findings), equal)


def _clean(root: Path, record: Record) -> RGB8 | Finding:
    """Return the clean picture, or what is wrong with it."""
    try:
        clean = read_clean(root, record)
    except RainkitError as error:
        return _unreadable(root, record, record.target, error)
    if pixel_hash(clean) != record.sha256.clean:
        return Finding(record.id, "changed", f"{record.target}: other pixels")
    return clean


def _compare_file(root: Path, record: Record) -> Iterator[Finding]:
    """Compare the rainy picture with its hash, unless its file has lost some of it."""
    try:
        rainy = images.to_uint8(ImageRef.from_locator(root, record.input).read())
    except RainkitError as error:
        yield _unreadable(root, record, record.input, error)
        return
    if rainy.shape[:2] != (record.h, record.w):
        yield Finding(record.id, "changed", f"{record.input}: another size")
    elif record.encode.get("fmt") == "png" and pixel_hash(rainy) != record.sha256.input:
        yield Finding(record.id, "changed", f"{record.input}: other pixels")


def _unreadable(root: Path, record: Record, locator: str, error: RainkitError) -> Finding:
    if not (root / locator.partition("::")[0]).exists():
        return Finding(record.id, "missing", locator)
    return Finding(record.id, "changed", str(error))


def _draw(root: Path, records: Sequence[Record], clean: RGB8) -> Iterator[tuple[Record, Rendered]]:
    """Yield each record of one scene and variant with its picture drawn again."""
    frames = Degradation.of(records).apply(clean, read_depth(root, records[0]))
    wanted = {record.frame or 1: record for record in records}
    for frame, rendered in enumerate(frames, start=1):
        if frame in wanted:
            yield wanted[frame], rendered


def _compare_drawn(record: Record, clean: RGB8, rendered: Rendered) -> Iterator[Finding]:
    if pixel_hash(rendered.rainy) != record.sha256.input:
        yield Finding(record.id, "unrenderable", "comes out differently")
    drawn = {name: rendered.record[name] for name in _DRAWN if name in rendered.record}
    drawn |= {"w": clean.shape[1], "h": clean.shape[0], "level": record.settings.get("level")}
    drawn |= asdict(measure(clean, rendered.rainy))
    noted = asdict(record) | asdict(record.stats)
    for name, value in drawn.items():
        if noted[name] is not None and not _equal(noted[name], value):
            yield Finding(record.id, "changed", f"manifest: {name} is {value}, not {noted[name]}")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return bool(one == other)


def read_clean(root: Path, record: Record) -> RGB8:
    """Return the clean picture of a record, uint8 [H, W, 3].

    Raises:
        ImageError, DatasetError: It is missing, damaged, or lies outside the dataset.
    """
    return images.to_uint8(ImageRef.from_locator(root, record.target).read())


def read_depth(root: Path, record: Record) -> NDArray[np.float32] | None:
    """Return the depth map that a record was drawn with, metres [H, W]; None if it had none.

    Raises:
        ImageError, DatasetError: It is missing, damaged, has another size, or is not a depth map.
    """
    if record.depth is None:
        return None
    path = ImageRef.from_locator(root, record.depth.path).path
    samples = images.read(path).rgb
    if samples.dtype != np.uint16 or samples.shape[:2] != (record.h, record.w):
        raise DatasetError(f"{path}: is not a 16-bit depth map of {record.w}x{record.h} pixels")
    z = depths.decode(np.ascontiguousarray(samples[..., 0]))
    if not (z > 0).all():
        raise DatasetError(f"{path}: holds depths of 0, which no dataset has")
    return z

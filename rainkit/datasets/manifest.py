"""``manifest.jsonl``: what a synthesised dataset holds and how each rainy picture was made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rainkit.errors import DatasetError
from rainkit.images import atomic_path

__all__ = ["MANIFEST", "Hashes", "Record", "Stats", "read", "write"]

MANIFEST = "manifest.jsonl"
"""The manifest's name in a dataset folder."""

_VERSION = 1
_NO_OTHERS = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hashes:
    """SHA-256 in hex, see :func:`rainkit.datasets.scenes.pixel_hash`.

    Attributes:
        clean: of the decoded clean picture.
        input: of the rainy pixels, before any lossy encoding.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    clean: str
    input: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """How strong the rain came out, on luma Y (BT.601) of the rainy against the clean picture.

    Attributes:
        y_psnr: PSNR in dB on Y from 16 to 235 as published tables have it; None when equal.
        mean_dy: mean change of full-range Y, in levels.
        coverage: share of pixels that became more than 8 levels brighter.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    y_psnr: float | None
    mean_dy: float
    coverage: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One rainy picture.

    Attributes:
        id: unique in the dataset: scene and variant.
        scene: one clean picture and all its rains; splits must keep scenes whole.
        variant: counts from 1.
        source: name of the photograph the scene was made from.
        input: rainy picture, relative to the dataset folder, with forward slashes.
        target: clean picture, likewise.
        w: width in px.
        h: height in px.
        seed: dataset seed, scene key (from the clean pixels) and variant.
        rng: random generator that the seed feeds.
        preset: name of the preset that the settings started from.
        level: named strength the rate was drawn from, if any.
        rate_mm_h: rain rate.
        wind_m_s: wind to the right of the picture.
        distance: metres to a flat scene, 'map' for a depth map, None for no veil.
        frame_width: width in px of the camera's picture.
        beta_per_m: extinction by the veil, 0 without one.
        airlight: RGB, 0 to 255.
        streak_rgb: RGB, 0 to 255.
        n_drops: drops drawn.
        n_kept: streaks drawn one by one.
        settings: every field of RainSettings.
        stats: strength of the result.
        sha256: of pixels, not of files.
        renderer: name and version.
        lib: versions of the libraries that decide pixels.
        encode: file format, and quality where there is one.
        v: version of this record.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    id: str
    scene: str
    variant: int
    source: str
    input: str
    target: str
    w: int
    h: int
    seed: tuple[int, ...]
    rng: str
    preset: str
    level: str | None
    rate_mm_h: float
    wind_m_s: float
    distance: float | str | None
    frame_width: float
    beta_per_m: float
    airlight: tuple[float, float, float]
    streak_rgb: tuple[float, float, float]
    n_drops: int
    n_kept: int
    settings: dict[str, Any]
    stats: Stats
    sha256: Hashes
    renderer: str
    lib: dict[str, str]
    encode: dict[str, str | int] = field(default_factory=lambda: {"fmt": "png"})
    v: int = _VERSION


_RECORD = TypeAdapter(Record)


def write(path: Path, records: Iterable[Record], *, overwrite: bool = False) -> None:
    """Write records, one JSON object a line, in the order given.

    Raises:
        ImageError: the file exists and ``overwrite`` is False, or the system refuses to write.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        lines = (json.dumps(asdict(record), allow_nan=False) + "\n" for record in records)
        temporary.write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> list[Record]:
    """Read a manifest back.

    Raises:
        DatasetError: a file that cannot be read, or a line that is no record; it names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as a manifest ({error})") from error
    records = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = _RECORD.validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DatasetError(
                f"{path}, line {number}: {where or 'record'}: {first['msg']}; make it again"
            ) from error
        if record.v != _VERSION:
            raise DatasetError(
                f"{path}, line {number}: version {record.v} of the manifest, this rainkit reads "
                f"{_VERSION}"
            )
        records.append(record)
    return records

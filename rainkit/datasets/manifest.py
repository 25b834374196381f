"""The manifest of a synthesised dataset: its pairs, and how each rainy picture was made."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rainkit.datasets import parquet
from rainkit.errors import DatasetError
from rainkit.files import atomic_path, system_reason

__all__ = [
    "MANIFEST",
    "PARQUET",
    "SIDES",
    "VERSION",
    "DepthUsed",
    "Hashes",
    "Record",
    "Stats",
    "find",
    "part_name",
    "read",
    "records_from_data",
    "write",
    "write_parquet",
]


MANIFEST = "manifest.jsonl"
"""Name of the manifest in a dataset folder."""

PARQUET = "manifest.parquet"
"""Name of the manifest as Parquet."""

VERSION = 2
"""Version of the records that are written. Version 1 is read too; it lacks fields with defaults."""

SIDES = ("mask", "trans")
"""Folders of side outputs: ``mask/<id>.png`` holds the streaks' opacity as uint8, and
``trans/<id>.png`` the veil's transmission as uint16."""

_NO_OTHERS = ConfigDict(extra="forbid", allow_inf_nan=False)
_PART = re.compile(r"manifest-(\d{5})-of-(\d{5})\.jsonl")
_REMEDY = "put the original manifest back, or make the dataset again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hashes:
    """Hashes of a pair's pixels, see :func:`rainkit.datasets.phash.pixel_hash`.

    Attributes:
        clean: hash of the clean picture as its file decodes.
        input: hash of the rainy picture before any lossy encoding.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    clean: str
    input: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """The strength of the rain, measured on luma Y (BT.601) of the rainy and the clean picture.

    Attributes:
        y_psnr: PSNR in dB on Y from 16 to 235, as in published tables; None for equal pictures.
        mean_dy: mean change of full-range Y in grey levels.
        coverage: share of pixels that became more than 8 levels brighter.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    y_psnr: float | None
    mean_dy: float
    coverage: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthUsed:
    """The depth that a scene was rendered with.

    Attributes:
        path: path of the map, uint16 metres x 256, relative to the dataset folder.
        source: origin of the map: name of a file or of a network, or ``heuristic``.
        kind: quantity that the source gives, such as ``z``, ``disparity`` or ``relative``.
        metric: whether the metres were measured.
        coverage: share of the pixels whose depth the source knows; the rest was filled in.
        fog_scale: factor on the settings' fog gain, below 1 for estimated depth; the record's
            settings hold the product.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    path: str
    source: str
    kind: str
    metric: bool
    coverage: float
    fog_scale: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One rainy picture and how it was made.

    Attributes:
        id: identifier, unique in the dataset: scene, variant and frame.
        scene: name of the scene, a clean picture and all its rains; splits keep scenes whole.
        variant: number of the scene's rain, from 1.
        source: name of the photograph that the scene was made from.
        input: locator of the rainy picture: its path relative to the dataset folder, with forward
            slashes. A member of a tar file is ``path::member``, half of a picture is
            ``path::left`` or ``path::right``.
        target: locator of the clean picture.
        w: width in px.
        h: height in px.
        seed: dataset seed, scene key (from the photograph's pixels) and variant.
        rng: random generator that takes the seed.
        preset: name of the preset that the settings started from.
        level: named strength that the rate was drawn from, if any.
        rate_mm_h: rain rate.
        wind_m_s: wind speed to the right of the picture.
        distance: distance to a flat scene in metres, 'map' for a depth map, or None for no veil.
        frame_width: width in px of the camera's picture.
        beta_per_m: extinction by the veil; 0 for no veil.
        airlight: colour of the veil, RGB from 0 to 255.
        streak_rgb: colour of the streaks, RGB from 0 to 255.
        n_drops: number of drops that were sampled.
        n_kept: number of streaks that were drawn one by one.
        settings: every field of RainSettings; empty for noise.
        stats: strength of the result.
        sha256: hashes of the pixels.
        renderer: name and version of the renderer.
        lib: versions of the libraries that decide pixels.
        encode: file format, and its quality if it has one.
        split: ``train`` or ``test``; None if the dataset is not split.
        frame: number of the frame in a sequence, from 1.
        fps: frames per second of a sequence of moving rain; None for independent frames.
        group: first of the scenes that show the same thing; None if the dataset is not split.
        phash: perceptual hash of the clean picture in hex.
        depth: the depth map used, if any.
        exposure_s: exposure time in seconds.
        degradation: ``rain``, or ``noise`` for Gaussian noise; its records have no rain.
        sigma: standard deviation of the noise in grey levels.
        v: version of the record.
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
    split: str | None = None
    frame: int | None = None
    fps: float | None = None
    group: str | None = None
    phash: str | None = None
    depth: DepthUsed | None = None
    exposure_s: float | None = None
    degradation: Literal["rain", "noise"] = "rain"
    sigma: float | None = None
    v: int = VERSION

    @property
    def files(self) -> tuple[str, ...]:
        """Return the paths of the picture's files, side outputs included; they need not exist."""
        depth = () if self.depth is None else (self.depth.path,)
        sides = (f"{side}/{self.id}.png" for side in SIDES)
        located = (locator.partition("::")[0] for locator in (self.input, self.target))
        return (*located, *depth, *sides)


_RECORD = TypeAdapter(Record)


def part_name(shard: int, shards: int) -> str:
    """Return the name of the manifest of one of ``shards`` shards, counted from 1."""
    return f"manifest-{shard:05d}-of-{shards:05d}.jsonl"


def write(path: Path, records: Iterable[Record], *, overwrite: bool = False) -> None:
    """Write records as lines of JSON in the given order.

    Raises:
        FileError: the file exists and ``overwrite`` is False, or the system refuses to write.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        lines = (json.dumps(asdict(record), allow_nan=False) + "\n" for record in records)
        temporary.write_text("".join(lines), encoding="utf-8")


def write_parquet(path: Path, records: Iterable[Record], *, overwrite: bool = False) -> None:
    """Write records as Parquet, see :func:`rainkit.datasets.parquet.write_parquet`.

    Raises:
        UsageError: pyarrow is not installed.
        FileError: as :func:`write`.
    """
    parquet.write_parquet(path, [asdict(record) for record in records], overwrite=overwrite)


def find(path: Path) -> tuple[Path, ...]:
    """Return the files of a manifest: ``path`` itself, or those in the folder ``path``.

    Raises:
        DatasetError: the folder has no manifest, or the part of a shard is missing.
    """
    if not path.is_dir():
        return (path,)
    for name in (MANIFEST, PARQUET):
        if (path / name).is_file():
            return (path / name,)
    parts = {name[0]: name for name in map(_PART.fullmatch, _names(path)) if name}
    if not parts:
        raise DatasetError(f"{path}: holds no {MANIFEST}; name the folder of a dataset")
    counts = {int(part[2]) for part in parts.values()}
    wanted = [part_name(shard, max(counts)) for shard in range(1, max(counts) + 1)]
    missing = [name for name in wanted if name not in parts]
    if missing or len(counts) > 1:
        raise DatasetError(
            f"{path}: {', '.join(missing) or 'parts of different runs'} among its shards' "
            "manifests; run the missing shards of rainkit synth, of one --shard I/N"
        )
    return tuple(path / name for name in wanted)


def read(path: Path, *, root: Path | None = None) -> list[Record]:
    """Read a manifest from a file, or from the folder that holds it or all its parts.

    Args:
        path: a file of JSON lines, a Parquet file, or a folder.
        root: folder that the paths in the manifest are relative to; by default the manifest's.

    Raises:
        DatasetError: a file cannot be read, or a line is not a valid record or names a file
            outside the dataset folder; the message names the line.
    """
    files = find(path)
    found = [pair for file in files for pair in _read_one(file)]
    folder = root if root is not None else files[0].parent
    outside = cache(_leaves)
    for where, record in found:
        _check_paths(where, record, folder, outside)
    for column, names in {
        "id": Counter(record.id for _, record in found),
        "input": Counter(record.input for _, record in found),
    }.items():
        twice = next((name for name, times in names.items() if times > 1), None)
        if twice is not None:
            raise DatasetError(f"{path}: holds the {column} {twice} twice; {_REMEDY}")
    return [record for _, record in found]


def records_from_data(data: Iterable[Any]) -> tuple[Record, ...]:
    """Return records from plain data as ``asdict`` makes it; their paths are not checked.

    Raises:
        DatasetError: the data are not valid.
    """
    return tuple(_validated(json.dumps(each), "record") for each in data)


def _read_one(path: Path) -> list[tuple[str, Record]]:
    """Return the records of one file, each with its place in the file."""
    if path.suffix == ".parquet":
        rows = enumerate(parquet.read_parquet(path), start=1)
        return [
            (where := f"{path}, row {number}", _validated(json.dumps(row), where))
            for number, row in rows
        ]
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as a manifest ({error})") from error
    return [
        (f"{path}, line {number}", _validated(line, f"{path}, line {number}"))
        # Only \n ends a line: names may hold other Unicode line separators.
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]


def _validated(line: str, where: str) -> Record:
    try:
        record = _RECORD.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{where}: {field or 'record'}: {first['msg']}; {_REMEDY}") from error
    if not isinstance(record.encode.get("fmt"), str):
        raise DatasetError(f"{where}: encode.fmt: names no format; {_REMEDY}")
    if not 1 <= record.v <= VERSION:
        raise DatasetError(
            f"{where}: has version {record.v}, but this rainkit reads versions up to {VERSION}"
        )
    return record


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be listed ({system_reason(error)})") from error


def _check_paths(where: str, record: Record, root: Path, leaves: Any) -> None:
    """Refuse paths that lead out of the dataset: a manifest may come from an unknown source."""
    # Side outputs are called like the pair, and a split is a folder of some layouts.
    named = {"input": record.input, "target": record.target, "id": record.id}
    named |= {} if record.split is None else {"split": record.split}
    if record.depth is not None:
        named["depth.path"] = record.depth.path
    for column, locator in named.items():
        names_files = column not in ("id", "split")
        path = locator.partition("::")[0] if names_files else locator
        pure = PurePosixPath(path)
        plain = pure.as_posix() == path and ".." not in pure.parts and path not in ("", ".")
        if not plain or pure.is_absolute() or re.search(r"[\\\0]|^[A-Za-z]:", path):
            raise DatasetError(
                f"{where}: {column} {locator!r} is not a plain path below the dataset's folder; "
                f"{_REMEDY}"
            )
        if names_files and (
            leaves(root, pure.parent) or ((root / path).is_symlink() and _leaves(root, pure))
        ):
            raise DatasetError(
                f"{where}: {column} {locator!r} is a link that leaves the dataset's folder; "
                "copy what it points to into the dataset"
            )


def _leaves(root: Path, below: PurePosixPath) -> bool:
    return not (root / below).resolve().is_relative_to(root.resolve())

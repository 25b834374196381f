"""The request for a dataset, and the result: plain data of ``rainkit synth``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import rainkit
from rainkit import choices
from rainkit.datasets.manifest import Record
from rainkit.datasets.writers import LAYOUTS
from rainkit.errors import UsageError
from rainkit.rain import DEPTHLESS, PRESETS, RENDERER, RainSettings
from rainkit.synthesis.degradation import Degradation

__all__ = [
    "SETTINGS",
    "DepthChoice",
    "OnProgress",
    "SynthRequest",
    "SynthResult",
    "check_field",
    "check_layout",
    "option",
    "versions",
]

SETTINGS = (
    "depth_camera",
    "depth_format",
    "fps",
    "group_by",
    "manifest_format",
    "save",
    "split_seed",
)
"""Names of what the command line sets with ``--set NAME=VALUE``; the rest has an option."""

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the current step, the number of photographs done, and their total."""

_COUNTS = {
    "variants": 9999,
    "sequence": 9999,
    "test_scenes": None,
    "workers": None,
}  # the most of each
_AMOUNTS = {"distance": "metres", "fps": "frames a second", "noise": "grey levels"}
_CHOICES: Mapping[str, type[StrEnum]] = {
    "depth_format": choices.DepthFormat,
    "format": choices.FileFormat,
    "layout": choices.WrittenLayout,
    "levels": choices.Level,
    "manifest_format": choices.ManifestFormat,
    "preset": choices.Preset,
    "save": choices.SideOutput,
}
_MOST_SHARDS = 99_999


def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide pixels."""
    return {
        "rainkit": rainkit.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


@dataclass(frozen=True, kw_only=True)
class DepthChoice:
    """The source of depth; see :func:`rainkit.depth.open_source`.

    Attributes:
        name: ``auto``, ``none``, a folder of maps, or a network; None for ``none`` with presets
            that imitate datasets without depth, and ``auto`` with others.
        form: format of the files in a folder, if they do not say it themselves.
        camera: camera file for disparity maps.
    """

    name: str | None = None
    form: str | None = None
    camera: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SynthRequest:
    """A dataset to make.

    Attributes:
        inputs: files, folders and patterns of clean photographs.
        out: folder to write the dataset to.
        settings: settings of the rain.
        preset: name of the preset that the settings started from, for the record.
        levels: named strengths that the variants take in turn, instead of the settings' rate.
        rates: rain rates in mm/h that the variants take in turn.
        noise: standard deviation in grey levels of Gaussian noise, which replaces the rain.
        distance: distance of the scene in metres, which is taken as flat, instead of depth.
        depth: where depth comes from.
        variants: number of rains per photograph.
        sequence: number of frames of each rain over a static scene; None for single pictures.
        fps: frames a second of moving rain; None for frames without a common time.
        test_scenes: number of scenes in the test split; None for no split.
        group_by: regular expression whose first group tells photographs of one scene by name.
        split_seed: seed that decides which scenes are for testing.
        layout: names of files and folders, one of :data:`rainkit.datasets.writers.LAYOUTS`.
        save: side outputs to store, of :data:`rainkit.datasets.manifest.SIDES`.
        seed: seed of the dataset.
        format: ``png`` or ``jpg``.
        manifest_format: ``jsonl``, or ``parquet`` for both.
        overwrite: write into a folder that is not empty; the files that its manifest lists are
            deleted once the new ones are there, and nothing else is.
        workers: number of processes; None for as many as pay.
        shard: which part of how many to make, both from 1.
        command: the command line that goes into the dataset's card.

    Raises:
        UsageError: A value is out of bounds or unknown, or values contradict each other.
    """

    inputs: tuple[str, ...]
    out: Path
    settings: RainSettings = PRESETS["default"]
    preset: str = "default"
    levels: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    noise: float | None = None
    distance: float | None = None
    depth: DepthChoice = DepthChoice()
    variants: int = 1
    sequence: int | None = None
    fps: float | None = None
    test_scenes: int | None = None
    group_by: str | None = None
    split_seed: int = 0
    layout: str = "restormer"
    save: tuple[str, ...] = ()
    seed: int = 0
    format: str = "png"
    manifest_format: str = "jsonl"
    overwrite: bool = False
    workers: int | None = None
    shard: tuple[int, int] | None = None
    command: str = ""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            check_field(name, getattr(self, name), called=option(name))
        if self.levels and self.rates:
            raise UsageError("--rate: give named levels or numbers, not both")
        if self.fps is not None and self.sequence is None:
            raise UsageError("fps is for the frames of a sequence: add --sequence N")
        if self.group_by is not None and self.test_scenes is None:
            raise UsageError("group_by groups scenes for a split: add --test-scenes N")
        if self.distance is not None and self.depth.name not in (None, "none"):
            raise UsageError("a distance replaces the depth of a scene: give one of them")
        if self.noise is not None and (self.sequence or self.distance or self.save):
            raise UsageError("--noise adds noise alone: leave out --sequence, a distance and save")
        check_layout(self.layout, self.format, sequences=self.sequence is not None)
        if self.shard is not None and self.overwrite:
            raise UsageError("--shard needs an empty folder: leave out --overwrite")

    def rain(self, variant: int) -> RainSettings:
        """Return the settings of a variant; levels, or rates, are taken in turn."""
        turn = variant - 1
        if self.levels:
            return self.settings.at_level(self.levels[turn % len(self.levels)])
        if self.rates:
            return self.settings.at_rate(self.rates[turn % len(self.rates)])
        return self.settings

    def degradation(self, scene_key: int, variant: int) -> Degradation:
        """Return what is done to a scene, whose key is derived from its pixels."""
        noise = self.noise is not None
        return Degradation(
            seed=(self.seed, scene_key, variant),
            settings=None if noise else self.rain(variant),
            sigma=self.noise,
            distance=self.distance,
            frames=self.sequence,
            fps=self.fps,
        )

    @property
    def depth_name(self) -> str:
        """Name of the depth source to open: the one asked for, or the one that suits the preset."""
        if self.noise is not None or self.distance is not None:
            return "none"
        if self.depth.name is not None:
            return self.depth.name
        return "none" if self.preset in DEPTHLESS else "auto"

    def to_data(self) -> dict[str, Any]:
        """Return plain data for JSON, without the folder and how the work is shared.

        The same data and photographs make the same files.
        """
        data = asdict(self)
        for name in ("out", "overwrite", "workers", "shard", "command"):
            del data[name]
        camera = self.depth.camera
        data["depth"] |= {"name": self.depth_name, "camera": camera and str(camera)}
        return {
            "schema": 1,
            "command": self.command,
            "renderer": RENDERER,
            "versions": versions(),
            "request": data,
        }


@dataclass(frozen=True, kw_only=True)
class SynthResult:
    """A dataset that was made.

    Attributes:
        out: folder of the dataset.
        manifest: path of its manifest, or of this shard's part of it.
        scenes: number of photographs that became scenes.
        pairs: number of rainy pictures.
        splits: number of scenes and of pairs in each split; empty without a split.
        depths: number of scenes for each source of depth, ``flat`` and ``none`` included; the most
            frequent comes first.
        resumed: number of scenes that an earlier run had made.
        notes: remarks for the user.
        failures: photographs that were left out, each with the reason.
        seconds: wall time.
    """

    out: Path
    manifest: Path
    scenes: int
    pairs: int
    splits: Mapping[str, tuple[int, int]]
    depths: Mapping[str, int]
    resumed: int
    notes: tuple[str, ...]
    failures: tuple[tuple[Path, str], ...]
    seconds: float

    @classmethod
    def of(cls, records: Sequence[Record], **others: Any) -> SynthResult:
        """Return a result with what follows from the records of all pairs.

        Args:
            records: the records.
            others: the remaining attributes.
        """
        pairs = Counter(record.split for record in records if record.split is not None)
        depths = {}
        for record in records:
            flat = "none" if record.distance is None else "flat"
            depths[record.scene] = flat if record.depth is None else record.depth.source
        return cls(
            scenes=len(depths),
            pairs=len(records),
            splits={
                split: (len({r.scene for r in records if r.split == split}), pairs[split])
                for split in sorted(pairs, reverse=True)
            },
            depths=dict(Counter(depths.values()).most_common()),
            **others,
        )

    def to_data(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "out": str(self.out),
            "manifest": str(self.manifest),
            "scenes": self.scenes,
            "pairs": self.pairs,
            "splits": {
                name: {"scenes": scenes, "pairs": pairs}
                for name, (scenes, pairs) in self.splits.items()
            },
            "depths": dict(self.depths),
            "resumed": self.resumed,
            "notes": list(self.notes),
            "failures": [{"path": str(path), "reason": why} for path, why in self.failures],
            "seconds": round(self.seconds, 3),
        }


def option(name: str) -> str:
    """Return how the command line spells a field of :class:`SynthRequest`."""
    spelled = {"levels": "rate", "rates": "rate", "distance": "depth"}.get(name, name)
    return f"--set {name}" if name in SETTINGS else f"--{spelled.replace('_', '-')}"


def check_field(name: str, value: Any, *, called: str) -> None:
    """Check one value of a :class:`SynthRequest` by itself.

    Args:
        name: name of the field.
        value: its value.
        called: what the user calls it, for the message.

    Raises:
        UsageError: The value is out of bounds or unknown.
    """
    if value is None:
        return
    if name in _COUNTS:
        most = _COUNTS[name]
        if value < 1 or (most is not None and value > most):
            bounds = "at least 1" if most is None else f"1 to {most}"
            raise UsageError(f"{called} must be {bounds}, not {value}")
    elif name in _AMOUNTS:
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"{called} must be above 0 {_AMOUNTS[name]}, not {value:g}")
    elif name in ("seed", "split_seed"):
        if value < 0:
            raise UsageError(f"{called} must be a whole number from 0 up, not {value}")
    elif name == "rates":
        for rate in value:
            RainSettings.check("rate_mm_h", rate, called=called)
    elif name == "shard":
        if not 1 <= value[0] <= value[1] <= _MOST_SHARDS:
            raise UsageError(f"{called} {value[0]}/{value[1]}: write I/N with I from 1 to N")
    elif name in _CHOICES:
        for each in (value,) if isinstance(value, str) else value:
            choices.choose(_CHOICES[name], each, called)


def check_layout(layout: str, form: str, *, sequences: bool) -> None:
    """Refuse a layout that is unknown or that cannot hold the dataset.

    Args:
        layout: name of the layout.
        form: file format.
        sequences: whether the dataset holds sequences of frames.

    Raises:
        UsageError: The layout or the format is unknown, or they do not fit.
    """
    check_field("format", form, called="--format")
    check_field("layout", layout, called="--layout")
    if sequences and not LAYOUTS[layout].sequences:
        raise UsageError(f"--layout {layout} has no place for sequences: use --layout restormer")
    if layout == "did" and form == "jpg":
        raise UsageError(
            "--layout did needs --format png, since JPEG lets colour leak from one half into the "
            "other"
        )

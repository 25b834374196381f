"""What ``rainkit synth`` is asked to make, and what it says it made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import rainkit
from rainkit.datasets.manifest import SIDES
from rainkit.datasets.writers import LAYOUTS
from rainkit.errors import UsageError
from rainkit.rain import DEPTHLESS, LEVELS, PRESETS, RENDERER, RainSettings
from rainkit.synthesis.degradation import Degradation

__all__ = [
    "FORMATS",
    "MANIFEST_FORMATS",
    "DepthChoice",
    "OnProgress",
    "SynthRequest",
    "SynthResult",
    "check_layout",
    "versions",
]

FORMATS = ("png", "jpg")
"""File formats a dataset can be written in."""

MANIFEST_FORMATS = ("jsonl", "parquet")
"""What the manifest can be written as; JSON lines it is always."""

OnProgress = Callable[[str, int, int], None]
"""Called with what is going on, and how many photographs of how many are done."""

_MOST_VARIANTS = 9999
_MOST_FRAMES = 9999


def versions() -> dict[str, str]:
    """Of the libraries that decide pixels."""
    return {
        "rainkit": rainkit.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


@dataclass(frozen=True, kw_only=True)
class DepthChoice:
    """Where depth comes from; see :func:`rainkit.depth.open_source`.

    Attributes:
        name: ``auto``, ``none``, a folder of maps, or a network; None for ``auto`` where the
            preset imitates a set that has depth in it.
        form: how the files of a folder are coded, where they do not say it themselves.
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
        settings: the rain.
        preset: name of the preset the settings started from, for the record.
        levels: named strengths that the variants take in turn, instead of the settings' rate.
        rates: rain rates in mm/h, likewise.
        noise: standard deviation of Gaussian noise in levels, to make noisy pairs, without rain.
        distance: metres to the scene, taken as flat, instead of depth.
        depth: where depth comes from.
        variants: rains per photograph.
        sequence: frames of each rain, of a static scene; None for single pictures.
        fps: frames a second of moving rain; None for frames that know nothing of each other.
        test_scenes: scenes to put into a test split; None for no split.
        group_by: regular expression whose first group tells photographs of one scene by name.
        split_seed: decides which scenes are for testing.
        layout: names of files and folders, one of :data:`rainkit.datasets.writers.LAYOUTS`.
        save: side outputs to store, of :data:`rainkit.datasets.manifest.SIDES`.
        seed: of the dataset.
        format: ``png`` or ``jpg``.
        manifest_format: ``jsonl``, or ``parquet`` beside it.
        overwrite: write into a folder that is not empty; files that its manifest lists are deleted
            once the new ones are there, and nothing else is.
        workers: processes; None for as many as pay.
        shard: which part of how many to make, both from 1.
        command: what to put into the dataset's card as the way it was made.
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
        _check_count("--variants", self.variants, _MOST_VARIANTS)
        _check_count("--sequence", self.sequence, _MOST_FRAMES)
        _check_count("--workers", self.workers)
        _check_count("--test-scenes", self.test_scenes)
        _check_name("--manifest-format", self.manifest_format, MANIFEST_FORMATS)
        for side in self.save:
            _check_name("--save", side, SIDES)
        for level in self.levels:
            _check_name("--level", level, tuple(LEVELS))
        for rate in self.rates:
            RainSettings.check("rate_mm_h", rate, called="--rate")
        for option, seed in (("--seed", self.seed), ("--split-seed", self.split_seed)):
            if seed < 0:
                raise UsageError(f"{option}: a whole number from 0 up, not {seed}")
        for option, value in (
            ("--distance: metres", self.distance),
            ("--fps: frames a second", self.fps),
            ("--noise: levels", self.noise),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{option} above 0, not {value:g}")
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.levels and self.rates:
            raise UsageError("--level and --rate: give one of them")
        if self.fps is not None and self.sequence is None:
            raise UsageError("--fps: is of the frames of a sequence; add --sequence N")
        if self.group_by is not None and self.test_scenes is None:
            raise UsageError("--group-by: groups scenes for a split; add --test-scenes N")
        if self.distance is not None and self.depth.name not in (None, "none"):
            raise UsageError("--distance and --depth: give one of them")
        if self.noise is not None and (self.sequence or self.distance or self.save):
            raise UsageError("--noise: makes noise alone, without --sequence, --distance or --save")
        check_layout(self.layout, self.format, sequences=self.sequence is not None)
        if self.shard is not None and self.overwrite:
            raise UsageError("--shard: needs an empty folder; leave out --overwrite")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1] <= 99_999:
            raise UsageError(f"--shard {self.shard[0]}/{self.shard[1]}: I from 1 to N")

    def rain(self, variant: int) -> RainSettings:
        """Settings of a variant: the levels, or rates, take turns."""
        turn = variant - 1
        if self.levels:
            return self.settings.at_level(self.levels[turn % len(self.levels)])
        if self.rates:
            return self.settings.at_rate(self.rates[turn % len(self.rates)])
        return self.settings

    def degradation(self, scene_key: int, variant: int) -> Degradation:
        """What is done to a scene, whose key comes from its pixels."""
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
        """The depth source to open: what was asked for, or what suits the rest."""
        if self.noise is not None or self.distance is not None:
            return "none"
        if self.depth.name is not None:
            return self.depth.name
        return "none" if self.preset in DEPTHLESS else "auto"

    def to_data(self) -> dict[str, Any]:
        """What the dataset is, as plain data: not where it lies, nor how the work was shared.

        With the same photographs the same data make the same files.
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
    """What was made.

    Attributes:
        out: the dataset folder.
        manifest: its manifest, or this shard's part of it.
        scenes: photographs that became scenes.
        pairs: rainy pictures written.
        splits: scenes and pairs of each split, in a dataset that is split.
        depths: number of scenes for each kind of depth used.
        resumed: scenes that an earlier run, which did not end, had made.
        notes: what the user should know.
        failures: photographs left out, each with the reason.
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

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
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


def check_layout(layout: str, form: str, *, sequences: bool) -> None:
    """Refuse names that are unknown, and what a layout cannot hold.

    Raises:
        UsageError: it cannot be.
    """
    _check_name("--format", form, FORMATS)
    _check_name("--layout", layout, tuple(LAYOUTS))
    if sequences and not LAYOUTS[layout].sequences:
        raise UsageError(f"--layout {layout}: has no place for sequences; use --layout restormer")
    if layout == "did" and form == "jpg":
        raise UsageError(
            "--layout did: needs --format png, since JPEG lets colour leak from one half into the "
            "other"
        )


def _check_count(option: str, value: int | None, most: int | None = None) -> None:
    if value is not None and not (value >= 1 and (most is None or value <= most)):
        bounds = "at least 1" if most is None else f"1 to {most}"
        raise UsageError(f"{option}: {bounds}, not {value}")


def _check_name(option: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UsageError(f"{option}: one of {', '.join(known)}, not {name!r}")

"""The request for a dataset, its result, and the recipes that requests come from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import cv2
import numpy as np

import rainkit
from rainkit import choices
from rainkit.choices import unknown
from rainkit.datasets.manifest import Record
from rainkit.datasets.writers import LAYOUTS
from rainkit.errors import UsageError
from rainkit.files import system_reason
from rainkit.rain import DEPTHLESS, PRESETS, RENDERER, RainSettings
from rainkit.synthesis.degradation import Degradation

__all__ = [
    "SETTINGS",
    "DepthChoice",
    "OnProgress",
    "Recipe",
    "SynthRequest",
    "SynthResult",
    "build_request",
    "check_field",
    "check_layout",
    "option",
    "read_recipe",
    "read_settings",
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
    "engine": choices.Engine,
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
        workers: number of processes; None for as many as pay, or as a Ray cluster has room for.
        engine: ``local`` for processes on this machine, or ``ray``.
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
    engine: str = choices.Engine.LOCAL
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
        longest = self.settings.exposure_s * self.settings.exposure_spread
        if self.fps is not None and self.fps * longest > 1 + 1e-9:
            raise UsageError(
                f"fps: {self.fps:g} frames a second leave no time for exposures of up to "
                f"{longest:.3g} s (exposure_s x exposure_spread); take up to {1 / longest:.4g}"
            )
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
        for name in ("out", "overwrite", "workers", "engine", "shard", "command"):
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
        if name == "noise" and value > 255:
            raise UsageError(f"{called} must be at most 255 grey levels, not {value:g}")
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


_KINDS: Mapping[str, Any] = {
    "depth": float | str,
    "depth_camera": Path,
    "depth_format": str,
    "format": str,
    "fps": float,
    "engine": str,
    "group_by": str,
    "layout": str,
    "manifest_format": str,
    "noise": float,
    "output": Path,
    "overwrite": bool,
    "photos": tuple[str, ...],
    "preset": str,
    "rate": tuple[float | str, ...],
    "report": bool,
    "save": tuple[str, ...],
    "seed": int,
    "sequence": int,
    "shard": str,
    "split_seed": int,
    "test_scenes": int,
    "variants": int,
    "workers": int,
}
"""What ``[synth]`` may hold, with the type of each value."""

_RATES = ("rate_mm_h", "level")
"""Settings of the rain that the command line gives with ``--rate``."""


_UNCHANGED = SynthRequest.__dataclass_fields__.keys() & _KINDS.keys() - {"depth", "preset"}
"""Names that mean the same in recipes and requests."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A TOML file whose values are checked one by one.

    Attributes:
        path: the file; None if there is none.
        synth: what its table ``[synth]`` holds.
        rain: what its table ``[rain]`` holds.
    """

    path: Path | None = None
    synth: Mapping[str, Any] = field(default_factory=dict)
    rain: Mapping[str, Any] = field(default_factory=dict)

    @property
    def report(self) -> bool:
        """True if the recipe asks for a page about the dataset."""
        return bool(self.synth.get("report"))

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Name the file in every :class:`UsageError`, whose cause may be one of its values."""
        try:
            yield
        except UsageError as error:
            if self.path is None:
                raise
            raise UsageError(f"with --config {self.path}: {error}") from error


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: The file cannot be read, is not TOML, or holds a name or a value that is wrong.
    """
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({system_reason(error)})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: is not TOML ({error})") from error
    for section, table in content.items():
        _check_known(f"--config {path}: section", section, ("synth", "rain"))
        if not isinstance(table, dict):
            raise UsageError(f"--config {path}: {section} must be a table, [{section}]")
    synth: dict[str, Any] = {}
    for key, value in content.get("synth", {}).items():
        name = key.replace("-", "_")
        _check_known(f"--config {path}: [synth]", name, _KINDS)
        synth[name] = _checked(name, value, f"--config {path}: [synth] {key}")
    rain: dict[str, Any] = {}
    for name, value in content.get("rain", {}).items():
        _check_known(f"--config {path}: [rain]", name, RainSettings.__dataclass_fields__)
        rain[name] = _rain_value(name, value, f"--config {path}: [rain] {name}")
    return Recipe(path=path, synth=synth, rain=rain)


def build_request(
    recipe: Recipe,
    options: Mapping[str, Any],
    *,
    settings: Sequence[str] = (),
    rain: Sequence[str] = (),
    command: str = "",
) -> SynthRequest:
    """Return the request that a recipe, options and ``NAME=VALUE`` texts make together.

    Args:
        recipe: the recipe, which may be empty.
        options: values of options by their names in recipes; None for those that are not given.
        settings: texts that were given with ``--set``.
        rain: texts that were given with ``--rain``.
        command: the command line, for the dataset's card.

    Raises:
        UsageError: A name is unknown, a value is wrong, or values contradict each other.
    """
    given = {
        name: _checked(name, value, option(name))
        for name, value in options.items()
        if value is not None
    }
    changes = _rain_changes(rain)
    values = {**recipe.synth, **given, **read_settings(settings)}
    if not values.get("photos"):
        raise UsageError("no photographs: name files, folders or patterns")
    if "output" not in values:
        raise UsageError("no folder for the dataset: add -o DIR")
    with recipe.named_in_errors():  # single values were checked above, contradictions were not
        return _request(values, {**recipe.rain}, changes, command)


def read_settings(texts: Sequence[str], names: Sequence[str] = SETTINGS) -> dict[str, Any]:
    """Return the values of ``--set NAME=VALUE`` texts by their names.

    Args:
        texts: the texts.
        names: names that may be set.

    Raises:
        UsageError: A text has no ``=``, or a name or a value is wrong.
    """
    values = {}
    for text in texts:
        name, value = _assignment("--set", text)
        if name in _KINDS and name not in SETTINGS:
            raise UsageError(f"--set {text}: use {option(name)}")
        _check_known("--set", name, names)
        values[name] = _checked(name, value, f"--set {name}")
    return values


def _request(
    values: Mapping[str, Any], recipe: dict[str, Any], changes: dict[str, Any], command: str
) -> SynthRequest:
    rates = values.get("rate", ())
    if values.get("noise") is not None and (recipe or changes or rates):
        raise UsageError("--noise adds noise alone: leave out --rain, --rate and [rain]")
    if values.get("noise") is not None and {"preset", "depth"} & set(values):
        raise UsageError("--noise adds noise alone: leave out --preset and --depth")
    if recipe.get("level") is not None:
        recipe.setdefault("rate_mm_h", None)
    elif recipe.get("rate_mm_h") is not None:
        recipe.setdefault("level", None)
    preset = values.get("preset", "default")
    depth = values.get("depth")
    request = SynthRequest(
        inputs=values["photos"],
        out=values["output"],
        settings=PRESETS[preset].changed(recipe | changes),
        preset=preset,
        levels=tuple(rate for rate in rates if isinstance(rate, str)),
        rates=tuple(rate for rate in rates if not isinstance(rate, str)),
        distance=depth if isinstance(depth, float) else None,
        depth=DepthChoice(
            name=depth if isinstance(depth, str) else None,
            form=values.get("depth_format"),
            camera=values.get("depth_camera"),
        ),
        command=command,
        **{name: value for name, value in values.items() if name in _UNCHANGED},
    )
    if changes.get("fog_gain") and request.distance is None and request.depth_name == "none":
        raise UsageError(
            "--rain fog_gain: fog depends on how far away things are; add --depth auto, or --depth "
            "METRES for a flat scene"
        )
    return request


def _rain_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the rain that ``--rain NAME=VALUE`` texts give."""
    changes: dict[str, Any] = {}
    for text in texts:
        name, value = _assignment("--rain", text)
        if name in _RATES:
            raise UsageError(f"--rain {text}: use --rate")
        names = [each for each in RainSettings.__dataclass_fields__ if each not in _RATES]
        _check_known("--rain", name, names)
        changes[name] = _rain_value(name, value, f"--rain {name}")
    return changes


def _check_known(called: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise unknown(called, name, known)


def _assignment(called: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{called} {text}: write NAME=VALUE")
    return name.strip().replace("-", "_"), value.strip()


def _checked(name: str, value: Any, called: str) -> Any:
    """Return a value of ``[synth]`` as the request takes it."""
    kind = _KINDS[name]
    if isinstance(value, StrEnum):
        value = str(value)
    if get_origin(kind) is tuple:
        if isinstance(value, str) and name != "photos":  # whose names may have commas
            value = [part.strip() for part in value.split(",") if part.strip()]
        elif not isinstance(value, (list, tuple)):
            value = [value]
    elif isinstance(value, (list, dict)):
        raise UsageError(f"{called} takes one value")
    if name in ("depth", "rate"):
        value = [_number(each) for each in value] if name == "rate" else _number(value)
    if name == "shard" and isinstance(value, str):
        part, slash, of = value.partition("/")
        if not (slash and part.isdecimal() and of.isdecimal()):
            raise UsageError(f"{called} {value}: write I/N, such as 1/4")
        value = int(part), int(of)
    else:
        value = _valid(kind, value, called)
    if name == "depth":
        check_field("distance", value if isinstance(value, float) else None, called=called)
    elif name == "rate":
        named = [rate for rate in value if isinstance(rate, str)]
        check_field("levels", named, called=called)
        check_field("rates", [rate for rate in value if rate not in named], called=called)
    else:
        check_field(name, value, called=called)
    return value


def _number(value: Any) -> Any:
    """Return a text that is a number as one, and everything else as it is."""
    try:
        return float(value) if isinstance(value, (str, int)) else value
    except ValueError:
        return value


def _rain_value(name: str, value: Any, called: str) -> Any:
    """Return a setting of the rain; a text may be ``none``, a number, or a list with commas."""
    kind = _rain_kinds()[name]
    if isinstance(value, str) and value.casefold() == "none":
        value = None
    elif isinstance(value, str) and get_origin(kind) is tuple:
        value = [part for part in value.split(",") if part.strip()]
    checked = _valid(kind, value, called)
    if isinstance(checked, float):
        RainSettings.check(name, checked, called=called)
    return checked


@cache
def _rain_kinds() -> dict[str, Any]:
    return get_type_hints(RainSettings)


def _valid(kind: Any, value: Any, called: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"]
        raise UsageError(f"{called}: {value!r} is not valid: {why}") from error

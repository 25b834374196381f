"""Recipes: a request from a TOML file, from options, and from ``NAME=VALUE`` texts.

A recipe has two tables. ``[synth]`` holds what the command line gives as options or with ``--set``,
``[rain]`` holds settings of the rain, which the command line gives with ``--rain``. What the
command line gives wins over the recipe, and the recipe wins over the preset.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from rainkit.choices import unknown
from rainkit.errors import UsageError
from rainkit.files import system_reason
from rainkit.rain import PRESETS, RainSettings
from rainkit.synthesis.request import (
    SETTINGS,
    DepthChoice,
    SynthRequest,
    check_field,
    option,
)

__all__ = ["Recipe", "build_request", "read_recipe", "read_settings"]

_KINDS: Mapping[str, Any] = {
    "depth": float | str,
    "depth_camera": Path,
    "depth_format": str,
    "format": str,
    "fps": float,
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

"""What the options of ``rainkit synth`` mean: recipes, rain settings, shards."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rainkit.errors import UsageError
from rainkit.files import system_reason

if TYPE_CHECKING:
    from rainkit.rain import RainSettings

__all__ = [
    "OPTIONS",
    "RAIN",
    "command_line",
    "rain_settings",
    "read_recipe",
    "refuse_others",
    "shard",
]

OPTIONS = {
    "rate_mm_h": "--rate",
    "level": "--level",
    "streak_gain": "--streak-gain",
    "fog_gain": "--fog-gain",
    "wind_m_s": "--wind",
    "dim": "--dim",
    "gamma": "--gamma",
    "light": "--light",
}
"""Rain settings that have an option of their own."""

RAIN = "rainkit.synth.rain"
"""Where the context keeps a recipe's ``[rain]``."""

_HERE = {"-o", "--output", "--workers", "--shard"}
_HERE_FLAGS = {"--overwrite", "--json", "-q", "--quiet", "--report"}
"""Options that say nothing of what is made."""

_NOT_IN_RECIPES = {"config", "help", "verify", "from_manifest", "from_video", "as_json", "quiet"}


def read_recipe(context: typer.Context, path: Path | None) -> Path | None:
    """Take a recipe's ``[synth]`` as the options' defaults; called before they are looked at.

    Raises:
        UsageError: no such file, not TOML, or a key that no option has.
    """
    if path is None:
        return None
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({system_reason(error)})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not TOML: {error}") from error
    for section, table in content.items():
        _check_known(f"--config {path}: no section", section, ("synth", "rain"))
        if not isinstance(table, dict):
            raise UsageError(f"--config {path}: {section} must be a table, [{section}]")
    known = {_option(parameter): parameter for parameter in context.command.params}
    known = {name: p for name, p in known.items() if p.name not in _NOT_IN_RECIPES}
    defaults: dict[str, Any] = {}
    for key, value in content.get("synth", {}).items():
        name = key.replace("_", "-")
        _check_known(f"--config {path}: [synth] has no", name, tuple(known))
        parameter = known[name]
        several = getattr(parameter, "multiple", False) or parameter.nargs == -1
        if isinstance(value, (dict, list)) and not (several and isinstance(value, list)):
            raise UsageError(f"--config {path}: [synth] {key} takes one value")
        defaults[str(parameter.name)] = (
            [value] if several and not isinstance(value, list) else value
        )
    context.default_map = {**(context.default_map or {}), **defaults}
    context.meta[RAIN] = content.get("rain", {})
    return path


def rain_settings(
    preset: str,
    recipe: Mapping[str, Any],
    options: Mapping[str, Any],
    assignments: Sequence[str],
) -> RainSettings:
    """The preset, changed by a recipe, then by options, then by ``--set NAME=VALUE``.

    Raises:
        UsageError: an unknown name, or a value that the setting cannot take.
    """
    from rainkit.rain import PRESETS

    _check_known("--preset", preset, tuple(PRESETS))
    settings = PRESETS[preset]
    fields = [name for name in type(settings).__dataclass_fields__ if name not in OPTIONS]
    changes: dict[str, Any] = {}
    for name, value in recipe.items():
        _check_known("--config: [rain] has no", name, (*OPTIONS, *fields))
        changes[name] = _value(settings, name, value, f"--config: [rain] {name}")
    if changes.get("level") is not None:
        changes.setdefault("rate_mm_h", None)
    elif changes.get("rate_mm_h") is not None:
        changes.setdefault("level", None)
    for name, value in options.items():
        if value is not None:
            changes[name] = _value(settings, name, value, OPTIONS[name])
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if name in OPTIONS:
            raise UsageError(f"--set {assignment}: use {OPTIONS[name]}")
        if not equals:
            raise UsageError(f"--set {assignment}: write NAME=VALUE")
        _check_known("--set", name, tuple(fields))
        changes[name] = _value(settings, name, text.strip(), f"--set {name}")
    return settings.changed(changes)


def refuse_others(context: typer.Context, option: str, meant: Collection[str]) -> None:
    """Refuse options on the command line that mean nothing beside ``option``.

    Raises:
        UsageError: one that is not among the parameters ``meant``.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        given = source is not None and source.name == "COMMANDLINE"
        if given and parameter.name not in meant:
            raise UsageError(f"--{_option(parameter)}: means nothing with {option}; leave it out")


def shard(text: str | None) -> tuple[int, int] | None:
    """``--shard I/N`` as two numbers.

    Raises:
        UsageError: it is no such thing.
    """
    if text is None:
        return None
    one, slash, of = text.partition("/")
    if not (slash and one.isdecimal() and of.isdecimal()):
        raise UsageError(f"--shard {text}: write I/N, such as 1/4")
    return int(one), int(of)


def command_line(arguments: Sequence[str]) -> str:
    """The command for a dataset's card, without what says only where and how it was run."""
    kept: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word in _HERE:
            next(rest, None)
        elif word.partition("=")[0] not in _HERE | _HERE_FLAGS:
            kept.append(word)
    return shlex.join(["rainkit", *kept, "-o", "dataset"])


def _value(settings: RainSettings, name: str, value: Any, called: str) -> Any:
    """A value as its setting takes it; text is read: ``none``, numbers, lists with commas."""
    from typing import get_type_hints

    from pydantic import TypeAdapter, ValidationError

    kind = get_type_hints(type(settings))[name]
    if isinstance(value, str) and value.casefold() == "none":
        value = None
    elif isinstance(value, str) and "tuple" in str(kind):
        value = [part for part in value.split(",") if part.strip()]
    try:
        checked = TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"]
        raise UsageError(f"{called}: {value!r} will not do: {why}") from error
    if isinstance(checked, float):
        settings.check(name, checked, called=called)
    return checked


def _check_known(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
        raise UsageError(f"{what} {name}: unknown; {hint}")


def _option(parameter: Any) -> str:
    """An option's name in recipes: the long one, without dashes in front."""
    long = [name for name in parameter.opts if name.startswith("--")]
    return long[0].removeprefix("--") if long else str(parameter.name)

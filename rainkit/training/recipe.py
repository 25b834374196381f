"""Recipes: TOML files that say how a network is trained, without the folders of one machine.

A recipe has ``method``, ``variant``, ``seed``, the sections of the method's hyperparameters
(``[network]``, ``[objective]``, ``[training]``) and ``[data]``, whose fields are those of
:class:`rainkit.datasets.sources.DataRequest`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rainkit.datasets.sources import DataRequest
from rainkit.errors import UsageError
from rainkit.rain import Mixture
from rainkit.rain.noise import Noise

__all__ = ["Recipe", "data_request", "read", "with_settings"]

_SECTIONS = ("network", "objective", "training")
_TABLES: Mapping[str, type] = {"rain": Mixture, "noise": Noise}
_NOT_SET = ("clean", "pairs", "scenes", "validation")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A recipe as read; ``hyperparameters`` and ``data`` are checked by who uses them."""

    method: str | None = None
    variant: str | None = None
    seed: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: no such file, not TOML, or a key that no recipe has.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not TOML: {error}") from error
    known = ("method", "variant", "seed", "data", *_SECTIONS)
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f": did you mean {near[0]}?" if near else f"; a recipe has {', '.join(known)}"
            raise UsageError(f"--config {path}: no key {key}{hint}")
    for key, kind in {"method": str, "variant": str, "seed": int, "data": dict}.items():
        if not isinstance(content.get(key, kind()), kind):
            raise UsageError(f"--config {path}: {key} must be a {kind.__name__}")
    return Recipe(
        method=content.get("method"),
        variant=content.get("variant"),
        seed=content.get("seed"),
        hyperparameters={key: content[key] for key in _SECTIONS if key in content},
        data=content.get("data", {}),
    )


def data_request(data: Mapping[str, Any], folders: Mapping[str, Sequence[str]]) -> DataRequest:
    """Check a recipe's ``[data]`` and give it the folders named on the command line.

    Raises:
        UsageError: an unknown key or a value of the wrong type.
    """
    _refuse_unknown(data, DataRequest, "data")
    for name, kind in _TABLES.items():
        _refuse_unknown(data.get(name, {}), kind, f"data.{name}")
    try:
        request = TypeAdapter(DataRequest).validate_python(dict(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(("data", *map(str, first["loc"])))
        raise UsageError(f"{path}: {first['msg']}") from error
    named: dict[str, Any] = {name: tuple(given) for name, given in folders.items() if given}
    return replace(request, **named)


def with_settings(data: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A recipe's ``[data]`` changed by ``data.name=value`` settings.

    Raises:
        UsageError: a setting that is not of this form.
    """
    changed: dict[str, Any] = {**data, **{name: dict(data.get(name, {})) for name in _TABLES}}
    for setting in settings:
        path, equals, value = setting.partition("=")
        match path.strip().split("."):
            case ["data", table, name] if equals and table in _TABLES:
                changed[table][name] = value.strip()
            case ["data", name] if equals and name not in (*_TABLES, *_NOT_SET):
                changed[name] = value.strip()
            case _:
                raise UsageError(f"--set {setting}: write data.name=value or data.rain.name=value")
    return changed


def _refuse_unknown(data: Any, kind: type, path: str) -> None:
    if not isinstance(data, Mapping):
        raise UsageError(f"{path} must be a table")
    known = [field.name for field in fields(kind)]
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f": did you mean {path}.{near[0]}?" if near else f"; choose {', '.join(known)}"
            raise UsageError(f"{path}.{key}: no such setting{hint}")

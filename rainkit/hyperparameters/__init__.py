"""Reading, checking and describing hyperparameters.

A plugin declares them once, as frozen dataclasses whose fields carry a doc and bounds
(:func:`rainkit.api.option`). From these come the validation of recipes and ``--set``, the JSON of
run folders and weights headers, and the tables of ``rainkit methods show``.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rainkit.api import Hyperparameters, Method
from rainkit.errors import UsageError
from rainkit.hyperparameters.describing import Row, describe, differences, plain
from rainkit.hyperparameters.validating import check, ending_in

__all__ = [
    "Row",
    "describe",
    "differences",
    "from_data",
    "resolve",
    "section_to_data",
    "to_data",
]


def resolve(
    method: Method,
    variant: str = "default",
    config: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
) -> Hyperparameters:
    """A variant's hyperparameters, changed by a recipe, changed by ``section.name=value`` settings.

    Args:
        method: whose hyperparameters.
        variant: the preset to start from.
        config: sections of a recipe, such as ``{"network": {"width": 48}}``; values may be text.
        settings: what ``--set`` was given.

    Raises:
        UsageError: an unknown variant, section or name (with the nearest one), or a bad value.
    """
    if variant not in method.variants:
        raise UsageError(
            f"{method.name} has no variant {variant!r}{_suggestion(variant, method.variants)}"
        )
    data = to_data(method.variants[variant])
    _merge(data, config or {})
    for setting in settings:
        _set(method, data, setting)
    return from_data(method, data)


def to_data(hyperparameters: Hyperparameters) -> dict[str, Any]:
    """Hyperparameters as JSON-able data; :func:`from_data` gives back equal ones."""
    return section_to_data(hyperparameters)


def section_to_data(section: Any) -> dict[str, Any]:
    """One section (``hyperparameters.network``) as JSON-able data."""
    data: dict[str, Any] = plain(dataclasses.asdict(section))
    return data


def from_data(method: Method, data: Mapping[str, Any]) -> Hyperparameters:
    """Check data and make it the method's hyperparameters; what it leaves out has its default.

    Raises:
        UsageError: an unknown section or name, or a value of the wrong type or out of bounds.
    """
    hyperparameters: Hyperparameters = check(method.default, dict(data))
    return hyperparameters


def _merge(data: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(data.get(key), dict):
            _merge(data[key], value)
        else:
            data[key] = plain(value)


def _set(method: Method, data: dict[str, Any], setting: str) -> None:
    path, equals, value = setting.partition("=")
    *sections, name = path.strip().split(".")
    if not (equals and name and sections):
        wanted = [f"{known}=value" for known in ending_in(method.default, name)]
        form = " or ".join(wanted) or "section.name=value, such as training.lr=1e-4"
        raise UsageError(f"--set {setting}: write {form}")
    table: Any = data
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {setting}: {section} holds a value, not settings")
    table[name] = value.strip()


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    meant = f": did you mean {near[0]}?" if near else ";"
    return f"{meant} it has {', '.join(known)}"

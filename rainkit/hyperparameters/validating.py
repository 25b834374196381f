"""Checking hyperparameters: a pydantic twin of each dataclass, and errors in plain words."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import types
import typing
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from rainkit.errors import UsageError
from rainkit.hyperparameters.describing import (
    SIGNS,
    alternatives_of,
    annotated,
    choices_of,
    limits_of,
    rows_of,
    words_of,
)

__all__ = ["check", "ending_in"]


def check(default: Any, data: Any) -> Any:
    """Data as a dataclass like ``default``; what it leaves out has the dataclass's default.

    Raises:
        UsageError: an unknown name (the nearest is told), a wrong type, or out of bounds.
    """
    try:
        checked = TypeAdapter(_twin(default)).validate_python(data)
    except ValidationError as error:
        raise UsageError(_explain(default, error)) from error
    return _rebuild(default, checked)


def ending_in(default: Any, name: str) -> list[str]:
    """Full paths of the settings of a name, whatever their section."""
    return [row.path for row in rows_of(default, "") if row.path.rpartition(".")[2] == name]


def _twin(like: Any) -> Any:
    """A dataclass with the same fields whose annotations hold the bounds; extra keys are refused.

    Sections are recognised by their values, so that a base class may annotate them with ``Any``.
    """
    fields: list[tuple[str, Any, Any]] = []
    for field, annotation in annotated(like):
        value = getattr(like, field.name)
        kind = _twin(value) if dataclasses.is_dataclass(value) else _bounded(field, annotation)
        fields.append((field.name, kind, _default_of(field)))
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return dataclasses.make_dataclass(
        type(like).__name__, fields, kw_only=True, namespace={"__pydantic_config__": config}
    )


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=field.default_factory)
    if field.default is not dataclasses.MISSING:
        return dataclasses.field(default=field.default)
    return dataclasses.field()


def _bounded(field: dataclasses.Field[Any], annotation: Any) -> Any:
    bounds: dict[str, Any] = {
        name: field.metadata[name] for name in SIGNS if name in field.metadata
    }
    bounded = annotation
    if bounds and typing.get_origin(annotation) is tuple:  # the bounds are those of its members
        members = tuple(
            member if member is Ellipsis else Annotated[member, Field(**bounds)]
            for member in typing.get_args(annotation)
        )
        bounded = types.GenericAlias(tuple, members)
    elif bounds:
        bounded = Annotated[annotation, Field(**bounds)]
    return Annotated[bounded, BeforeValidator(functools.partial(_read, annotation))]


def _read(annotation: Any, value: Any) -> Any:
    """Text from the command line as the type it stands for; other values as they are."""
    if isinstance(value, bool) and not _takes(annotation, bool):
        raise ValueError("a number is wanted")  # Python would take true for 1
    if not isinstance(value, str):
        return value
    for choice in choices_of(annotation):
        if value in (str(choice), json.dumps(choice)):
            return choice
    if value.lower() in ("none", "null") and _takes(annotation, types.NoneType):
        return None
    if typing.get_origin(annotation) is tuple:
        return [member.strip() for member in value.strip("[]()").split(",") if member.strip()]
    return value


def _takes(annotation: Any, kind: type) -> bool:
    return kind in alternatives_of(annotation) or kind in map(type, choices_of(annotation))


def _rebuild(like: Any, checked: Any) -> Any:
    """The plugin's own dataclass with the values of its validated twin."""
    values = {}
    for field in dataclasses.fields(like):
        value, model = getattr(checked, field.name), getattr(like, field.name)
        values[field.name] = _rebuild(model, value) if dataclasses.is_dataclass(model) else value
    return type(like)(**values)


def _explain(default: Any, error: ValidationError) -> str:
    """One line for the first thing that is wrong, with the nearest name or what is allowed."""
    faults = error.errors(include_url=False)
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    parent, names = default, []
    for part in map(str, first["loc"]):  # it goes on inside values: positions, union members
        names.append(part)
        inner = getattr(parent, part, None)
        if not dataclasses.is_dataclass(inner) or len(names) == len(first["loc"]):
            break
        parent = inner
    path = ".".join(names)
    if first["type"] == "unexpected_keyword_argument":
        return f"{path}: no such setting{_nearest(default, parent, names)}{more}"
    if first["type"] == "missing":
        return f"{path}: missing{more}"
    here = getattr(parent, names[-1]) if names else default
    if dataclasses.is_dataclass(here):
        known = ", ".join(field.name for field in dataclasses.fields(here))
        return f"{path}: is a section; set one of its values ({known}){more}"
    field, annotation = next(pair for pair in annotated(parent) if pair[0].name == names[-1])
    wanted = " ".join(filter(None, (words_of(annotation), limits_of(field))))
    return f"{path} = {first['input']}: must be {wanted}{more}"


def _nearest(default: Any, parent: Any, names: list[str]) -> str:
    prefix = "".join(f"{name}." for name in names[:-1])
    siblings = [field.name for field in dataclasses.fields(parent)]
    near = [prefix + name for name in difflib.get_close_matches(names[-1], siblings, n=1)]
    meant = near or ending_in(default, names[-1])
    if meant:
        return f": did you mean {meant[0]}?"
    return f": choose one of {', '.join(prefix + name for name in siblings)}"

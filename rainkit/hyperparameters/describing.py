"""Describing hyperparameters in words: what ``methods show`` prints and error messages quote."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

from rainkit.api import Hyperparameters
from rainkit.errors import MethodError

__all__ = [
    "SIGNS",
    "Row",
    "alternatives_of",
    "annotated",
    "choices_of",
    "describe",
    "differences",
    "limits_of",
    "plain",
    "rows_of",
    "words_of",
]

SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
"""Bounds in a field's metadata (:func:`rainkit.api.option`) and how they are printed."""

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    types.NoneType: "none",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One hyperparameter, for tables and JSON.

    Attributes:
        path: as ``--set`` takes it, such as ``network.width``.
        type: what it takes, in words.
        default: its value in the hyperparameters described.
        bounds: such as ``>= 4``; empty when unbounded.
        choices: the allowed values of a choice, else empty.
        doc: what it means.
    """

    path: str
    type: str
    default: Any
    bounds: str
    choices: tuple[Any, ...]
    doc: str


def describe(hyperparameters: Hyperparameters) -> tuple[Row, ...]:
    """Every hyperparameter, sections in their order, fields in theirs."""
    return tuple(rows_of(hyperparameters, ""))


def differences(hyperparameters: Hyperparameters, base: Hyperparameters) -> dict[str, Any]:
    """What differs from ``base``: paths such as ``network.width`` and their values here."""
    before = {row.path: row.default for row in rows_of(base, "")}
    after = {row.path: row.default for row in rows_of(hyperparameters, "")}
    return {path: value for path, value in after.items() if value != before.get(path)}


def rows_of(like: Any, prefix: str) -> Iterator[Row]:
    """Rows of a dataclass's fields and of the dataclasses in it; ``prefix`` ends with a dot."""
    for field, annotation in annotated(like):
        value, path = getattr(like, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from rows_of(value, f"{path}.")
            continue
        yield Row(
            path=path,
            type=words_of(annotation),
            default=plain(value),
            bounds=limits_of(field),
            choices=choices_of(annotation),
            doc=str(field.metadata.get("doc", "")),
        )


def words_of(annotation: Any) -> str:
    """A type in words: ``a whole number``, ``one of mse, l2``."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple:
        if Ellipsis in arguments:
            return f"a list, each {words_of(arguments[0])}"
        return f"a list of {len(arguments)}: {', '.join(map(words_of, arguments))}"
    alternatives = alternatives_of(annotation)
    if len(alternatives) > 1:
        return " or ".join(map(words_of, alternatives))
    if choices := choices_of(annotation):
        return f"one of {', '.join(map(str, choices))}"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def limits_of(field: dataclasses.Field[Any]) -> str:
    """Bounds in signs: ``>= 0 and < 1``; empty when there are none."""
    limits = [f"{sign} {field.metadata[n]:g}" for n, sign in SIGNS.items() if n in field.metadata]
    return " and ".join(limits)


def alternatives_of(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation itself."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """The values of a ``Literal``, or of those in a union."""
    literals = [a for a in alternatives_of(annotation) if typing.get_origin(a) is Literal]
    return tuple(choice for literal in literals for choice in typing.get_args(literal))


def annotated(like: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    """Fields of a dataclass's instance with their types.

    Raises:
        MethodError: an annotation names something that does not exist.
    """
    kind = type(like)
    try:
        hints = typing.get_type_hints(kind)
    except Exception as error:
        raise MethodError(
            f"{kind.__module__}.{kind.__name__}: {error}: correct its types"
        ) from error
    return [(field, hints[field.name]) for field in dataclasses.fields(like)]


def plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value

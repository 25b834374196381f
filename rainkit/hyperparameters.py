"""Reading, checking and describing hyperparameters.

A plugin declares its hyperparameters once, as frozen dataclasses whose fields carry a doc and
bounds (:func:`rainkit.api.option`). From these come the validation of recipes and ``--set``, the
JSON of run folders and weights headers, and the tables of ``rainkit methods show``.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from rainkit.api import Hyperparameters, Method
from rainkit.errors import MethodError, UsageError

__all__ = [
    "Row",
    "check",
    "describe",
    "differences",
    "from_data",
    "resolve",
    "section_to_data",
    "to_data",
]

Section = TypeVar("Section")

_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
"""Bounds in a field's metadata (:func:`rainkit.api.option`) and how they are printed."""

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    types.NoneType: "none",
}


def resolve(
    method: Method,
    variant: str = "default",
    config: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
) -> Hyperparameters[Any, Any]:
    """Return a variant's hyperparameters, changed by a recipe and then by settings.

    Args:
        method: the method.
        variant: name of the variant to start from.
        config: sections of a recipe, such as ``{"network": {"width": 48}}``; values may be text.
        settings: values of ``--set``, each ``section.name=value``.

    Raises:
        UsageError: a variant, section or name is unknown (the error gives the nearest one), or a
            value is not allowed.
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


def to_data(hyperparameters: Hyperparameters[Any, Any]) -> dict[str, Any]:
    """Return hyperparameters as JSON-able data; :func:`from_data` gives back equal ones."""
    return section_to_data(hyperparameters)


def section_to_data(section: Any) -> dict[str, Any]:
    """Return one section, such as ``hyperparameters.network``, as JSON-able data."""
    data: dict[str, Any] = _plain(dataclasses.asdict(section))
    return data


def from_data(method: Method, data: Mapping[str, Any]) -> Hyperparameters[Any, Any]:
    """Check data and return it as the method's hyperparameters.

    A setting that the data lack has the default of its dataclass.

    Raises:
        UsageError: a section or name is unknown, or a value has the wrong type or is out of bounds.
    """
    hyperparameters: Hyperparameters[Any, Any] = check(method.default, data)
    return hyperparameters


def check(default: Section, data: Mapping[str, Any]) -> Section:
    """Check data and return it as a dataclass like ``default``.

    Args:
        default: instance of a frozen dataclass whose fields come from :func:`rainkit.api.option`,
            or which holds such dataclasses.
        data: values by field name; a field that they lack has the default of its dataclass.

    Raises:
        UsageError: a name is unknown, or a value has the wrong type or is out of bounds.
    """
    try:
        checked = TypeAdapter(_twin(default)).validate_python(dict(data))
    except ValidationError as error:
        raise UsageError(_explain(default, error)) from error
    section: Section = _rebuild(default, checked)
    return section


def _merge(data: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(data.get(key), dict):
            _merge(data[key], value)
        else:
            data[key] = _plain(value)


def _set(method: Method, data: dict[str, Any], setting: str) -> None:
    path, equals, value = setting.partition("=")
    *sections, name = path.strip().split(".")
    if not (equals and name and sections):
        wanted = [f"{known}=value" for known in _paths_ending_in(method.default, name)]
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


# Checking: pydantic validates a twin of each dataclass, and errors become plain words.


def _twin(like: Any) -> Any:
    """Return a dataclass with the same fields, whose annotations hold the bounds.

    It refuses keys that it does not have. Sections are recognised by their values, since the
    contract annotates them with type variables.
    """
    fields: list[tuple[str, Any, Any]] = []
    for field, annotation in _annotated(like):
        value = getattr(like, field.name)
        section = dataclasses.is_dataclass(value)
        kind = _twin(value) if section else _bounded(field, annotation)
        fields.append((field.name, kind, _default_of(field, value)))
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return dataclasses.make_dataclass(
        type(like).__name__, fields, kw_only=True, namespace={"__pydantic_config__": config}
    )


def _default_of(field: dataclasses.Field[Any], value: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=field.default_factory)
    if field.default is not dataclasses.MISSING:
        return dataclasses.field(default=field.default)
    if dataclasses.is_dataclass(value) and not _required(value):
        return dataclasses.field(default_factory=type(value))
    return dataclasses.field()


def _required(section: Any) -> list[str]:
    """Return the names of the fields that have no default."""
    missing = dataclasses.MISSING
    return [
        field.name
        for field in dataclasses.fields(section)
        if field.default is missing and field.default_factory is missing
    ]


def _bounded(field: dataclasses.Field[Any], annotation: Any) -> Any:
    bounds: dict[str, Any] = {
        name: field.metadata[name] for name in _SIGNS if name in field.metadata
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
    """Convert text from the command line to the type of a field; leave other values alone."""
    if isinstance(value, bool) and not _takes(annotation, bool):
        raise ValueError("a number is wanted")  # Python would take true for 1
    if not isinstance(value, str):
        return value
    for choice in _choices_of(annotation):
        if value in (str(choice), json.dumps(choice)):
            return choice
    if value.lower() in ("none", "null") and _takes(annotation, types.NoneType):
        return None
    if typing.get_origin(annotation) is tuple:
        return [member.strip() for member in value.strip("[]()").split(",") if member.strip()]
    return value


def _takes(annotation: Any, kind: type) -> bool:
    return kind in _alternatives_of(annotation) or kind in map(type, _choices_of(annotation))


def _rebuild(like: Any, checked: Any) -> Any:
    """Return the plugin's own dataclass with the values of its validated twin."""
    values = {}
    for field in dataclasses.fields(like):
        value, model = getattr(checked, field.name), getattr(like, field.name)
        values[field.name] = _rebuild(model, value) if dataclasses.is_dataclass(model) else value
    return type(like)(**values)


def _explain(default: Any, error: ValidationError) -> str:
    """Return one line about the first fault, with the nearest name or the values allowed."""
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
    field, annotation = next(pair for pair in _annotated(parent) if pair[0].name == names[-1])
    wanted = " ".join(filter(None, (_words_of(annotation), _limits_of(field))))
    return f"{path} = {first['input']}: must be {wanted}{more}"


def _nearest(default: Any, parent: Any, names: list[str]) -> str:
    prefix = "".join(f"{name}." for name in names[:-1])
    siblings = [field.name for field in dataclasses.fields(parent)]
    near = [prefix + name for name in difflib.get_close_matches(names[-1], siblings, n=1)]
    meant = near or _paths_ending_in(default, names[-1])
    if meant:
        return f": did you mean {meant[0]}?"
    return f": choose one of {', '.join(prefix + name for name in siblings)}"


def _paths_ending_in(default: Any, name: str) -> list[str]:
    """Return the full paths of the settings of a name, in every section."""
    return [row.path for row in _rows_of(default, "") if row.path.rpartition(".")[2] == name]


# Describing: what ``methods show`` prints and error messages quote.


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One hyperparameter, for tables and JSON.

    Attributes:
        path: path as ``--set`` takes it, such as ``network.width``.
        type: description of its type in words.
        default: its value in the hyperparameters described.
        bounds: bounds such as ``>= 4``; empty if there are none.
        choices: allowed values of a choice; empty for other types.
        doc: meaning of the hyperparameter.
    """

    path: str
    type: str
    default: Any
    bounds: str
    choices: tuple[Any, ...]
    doc: str


def describe(hyperparameters: Hyperparameters[Any, Any]) -> tuple[Row, ...]:
    """Return a row for every hyperparameter, in the order of sections and fields."""
    return tuple(_rows_of(hyperparameters, ""))


def differences(
    hyperparameters: Hyperparameters[Any, Any], base: Hyperparameters[Any, Any]
) -> dict[str, Any]:
    """Return the paths, such as ``network.width``, of what differs from ``base``, with values."""
    before = {row.path: row.default for row in _rows_of(base, "")}
    after = {row.path: row.default for row in _rows_of(hyperparameters, "")}
    return {path: value for path, value in after.items() if value != before.get(path)}


def _rows_of(like: Any, prefix: str) -> Iterator[Row]:
    """Yield the rows of a dataclass's fields and sections; ``prefix`` ends with a dot."""
    for field, annotation in _annotated(like):
        value, path = getattr(like, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _rows_of(value, f"{path}.")
            continue
        yield Row(
            path=path,
            type=_words_of(annotation),
            default=_plain(value),
            bounds=_limits_of(field),
            choices=_choices_of(annotation),
            doc=str(field.metadata.get("doc", "")),
        )


def _words_of(annotation: Any) -> str:
    """Return a type in words, such as ``a whole number`` or ``one of mse, l2``."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple:
        if Ellipsis in arguments:
            return f"a list, each {_words_of(arguments[0])}"
        return f"a list of {len(arguments)}: {', '.join(map(_words_of, arguments))}"
    alternatives = _alternatives_of(annotation)
    if len(alternatives) > 1:
        return " or ".join(map(_words_of, alternatives))
    if choices := _choices_of(annotation):
        return f"one of {', '.join(map(str, choices))}"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limits_of(field: dataclasses.Field[Any]) -> str:
    """Return bounds in signs, such as ``>= 0 and < 1``; empty if there are none."""
    limits = [f"{sign} {field.metadata[n]:g}" for n, sign in _SIGNS.items() if n in field.metadata]
    return " and ".join(limits)


def _alternatives_of(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation itself."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _choices_of(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a ``Literal``, or of those in a union."""
    literals = [a for a in _alternatives_of(annotation) if typing.get_origin(a) is Literal]
    return tuple(choice for literal in literals for choice in typing.get_args(literal))


def _annotated(like: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    """Return the fields of a dataclass's instance with their types.

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


def _plain(value: Any) -> Any:
    """Return tuples as lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value

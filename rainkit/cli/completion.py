"""What the shell offers after Tab: names of methods, variants, weights and settings, without torch.

A function gets what has been typed of a word, and perhaps the context with the options before it.
A broken plugin offers nothing; after a completion that is empty, shells offer files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

if TYPE_CHECKING:
    from rainkit.api import Method

__all__ = [
    "Offered",
    "hyperparameters",
    "method_names",
    "methods",
    "methods_with_weights",
    "starting",
    "variants",
    "weights",
    "weights_names",
]

Offered = list[tuple[str, str]]
"""Words, and what each of them means."""

_WIDEST = 70


def starting(values: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a completion of fixed words."""
    words = list(map(str, values))

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def method_names(*more: str) -> Offered:
    """Return the installed methods that can be used, and further words that stand for some."""
    from rainkit import plugins

    names = [(each.name, each.summary) for each in plugins.installed() if each.problem is None]
    told = {"all": "every method that ships weights", "auto": "by the rain of each picture"}
    return names + [(word, told.get(word, "")) for word in more]


def methods(incomplete: str) -> Offered:
    """Complete the name of a method."""
    return _beginning(method_names(), incomplete)


def methods_with_weights(*more: str) -> Callable[[str], Offered]:
    """Return a completion of ``NAME[=WEIGHTS]`` and of further words, such as ``all``."""

    def complete(incomplete: str) -> Offered:
        name, equals, _ = incomplete.partition("=")
        if not equals:
            return _beginning(method_names(*more), incomplete)
        tags = [(f"{name}={tag}", about) for tag, about in _tags(_loaded([name]))]
        return _beginning(tags, incomplete)

    return complete


def variants(ctx: typer.Context, incomplete: str) -> Offered:
    """Complete a variant of the method that was named before, or of any method."""
    found = ((name, method.title) for method in _chosen(ctx) for name in method.variants)
    return _beginning(found, incomplete)


def weights(ctx: typer.Context, incomplete: str) -> Offered:
    """Complete a tag of the method that was named before, or of any method."""
    return _beginning(_tags(_chosen(ctx)), incomplete)


def weights_names(incomplete: str) -> Offered:
    """Complete ``METHOD.TAG`` or the name of a method."""
    full = [
        (f"{method.name}.{tag}", about)
        for method in _loaded(name for name, _ in method_names())
        for tag, about in _tags([method])
    ]
    return _beginning([*method_names(), *full], incomplete)


def hyperparameters(ctx: typer.Context, incomplete: str) -> Offered:
    """Complete ``section.name=`` of the hyperparameters of the method that was named before."""
    from rainkit.hyperparameters import describe

    rows = (row for method in _chosen(ctx) for row in describe(method.default))
    return _beginning(((f"{row.path}=", row.doc) for row in rows), incomplete)


def _chosen(ctx: typer.Context) -> Iterator[Method]:
    named = ctx.params.get("methods") or ctx.params.get("method") or ctx.params.get("name")
    texts = [named] if isinstance(named, str) else list(named or ())
    names = [text.partition("=")[0].partition("@")[0] for text in texts]
    return _loaded(names or [name for name, _ in method_names()])


def _loaded(names: Iterable[str]) -> Iterator[Method]:
    from rainkit import plugins

    for name in names:
        # Whatever a plugin raises, the terminal must not show it while somebody types.
        with suppress(Exception):
            yield plugins.get(name)


def _tags(chosen: Iterable[Method]) -> Offered:
    return [
        (each.tag, f"{method.title}, variant {each.variant}")
        for method in chosen
        for each in method.weights
    ]


def _beginning(found: Iterable[tuple[str, Any]], incomplete: str) -> Offered:
    # One short line each; typer takes square brackets for markup.
    return list(
        {
            word: escape(shorten(str(about), _WIDEST, placeholder="..."))
            for word, about in found
            if word.startswith(incomplete)
        }.items()
    )

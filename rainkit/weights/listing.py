"""All weights that installed methods declare: where they are, and getting what is not here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rainkit import plugins
from rainkit.api import Method, Weights
from rainkit.errors import RainkitError, UsageError
from rainkit.weights import fetching
from rainkit.weights.store import address_of, find, inspect, package_file

__all__ = ["Got", "ListedWeights", "get", "list_weights"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedWeights:
    """Weights that a plugin declares, or that were fetched from an address.

    Attributes:
        name: ``method.tag``, or the address.
        method: the method that they are of; None if the file does not say it.
        variant: the variant that they are of.
        default: whether the method takes them if no others are named.
        where: ``package``, ``cache``, ``missing`` if they can be fetched, or ``broken``.
        path: the file; None if it is not here.
        size: size of the file in bytes; None if it is not here.
        licence: SPDX name of the licence.
        trained_on: description of the training data.
        problem: what is wrong with them; None if nothing is known to be.
    """

    name: str
    method: str | None
    variant: str | None
    default: bool = False
    where: Literal["package", "cache", "missing", "broken"]
    path: Path | None
    size: int | None
    licence: str = ""
    trained_on: str = ""
    problem: str | None = None

    def to_data(self) -> dict[str, Any]:
        """Return the description as plain data for ``--json``."""
        return asdict(self) | {"path": self.path and str(self.path)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Got:
    """A weights file that is here now.

    Attributes:
        name: what was asked for.
        path: the file.
        sha256: its hash.
        method: the method that its header names; None for a file of another program.
        fetched: whether it came over the network just now.
    """

    name: str
    path: Path
    sha256: str
    method: str | None
    fetched: bool

    def to_data(self) -> dict[str, Any]:
        """Return the result as plain data for ``--json``."""
        return asdict(self) | {"path": str(self.path)}


def list_weights(*methods: str) -> tuple[ListedWeights, ...]:
    """Return the weights of methods; by default of all that are installed, and fetched files.

    Nothing is fetched, and no hash is computed.

    Raises:
        UsageError: an unknown method.
        MethodError: a method that was named is broken.
    """
    if methods:
        return tuple(each for name in methods for each in _declared(plugins.get(name)))
    rows: list[ListedWeights] = []
    own: set[str] = set()
    for found in plugins.installed():
        try:
            method = plugins.get(found.qualified)
        except RainkitError:
            continue  # `rainkit methods` says what is wrong with it
        rows += _declared(method)
        own |= {str(each.url) for each in method.weights}
    return (*rows, *_from_addresses(own))


def _declared(method: Method) -> Iterator[ListedWeights]:
    for number, declared in enumerate(method.weights):
        path, problem = None, None
        try:
            if declared.file:
                path = package_file(method, declared)
            else:
                path = fetching.local(address_of(method, declared))
        except RainkitError as error:
            problem = str(error)
        here: Literal["package", "cache"] = "package" if declared.file else "cache"
        yield ListedWeights(
            name=f"{method.name}.{declared.tag}",
            method=method.name,
            variant=declared.variant,
            default=number == 0,
            where="broken" if problem else "missing" if path is None else here,
            path=path,
            size=None if path is None else path.stat().st_size,
            licence=declared.licence,
            trained_on=declared.trained_on,
            problem=problem,
        )


def _from_addresses(own: set[str]) -> Iterator[ListedWeights]:
    """Give the files that were fetched from addresses which no plugin declares."""
    for url in sorted(set(fetching.known_addresses()) - own):
        try:
            path = fetching.local(fetching.parse(url))
            if path is None:  # the cache was emptied
                continue
            found = inspect(path)
        except RainkitError as error:
            yield ListedWeights(
                name=url, method=None, variant=None, where="broken", path=None, size=None,
                problem=str(error),
            )  # fmt: skip
            continue
        yield ListedWeights(
            name=url,
            method=found.method,
            variant=found.variant,
            where="cache",
            path=path,
            size=found.size,
            licence=found.header.get("licence", ""),
        )


def get(which: str, on_progress: fetching.Progress | None = None) -> tuple[Got, ...]:
    """Fetch weights into the cache unless they are here, and check their hash.

    Args:
        which: ``method.tag``, a method for all its weights, or an address.
        on_progress: called while bytes come.

    Raises:
        UsageError: an unknown method or tag, or an address that is none.
        WeightsError: a file cannot be fetched, or is not what it should be.
        FileError: the cache cannot be written.
    """
    if fetching.is_address(which):
        return (_got(which, fetching.parse(which), on_progress),)
    package, colon, rest = which.rpartition(":")
    name, dot, tag = rest.partition(".")
    method = plugins.get(f"{package}{colon}{name}")
    chosen = [each for each in method.weights if not dot or each.tag == tag]
    if not chosen:
        known = ", ".join(each.tag for each in method.weights) or "none"
        raise UsageError(f"{which}: {name} has no such weights (it has: {known})")
    return tuple(_of_plugin(method, each, on_progress) for each in chosen)


def _of_plugin(method: Method, declared: Weights, on_progress: fetching.Progress | None) -> Got:
    name = f"{method.name}.{declared.tag}"
    if not declared.file:
        return _got(name, address_of(method, declared), on_progress)
    found = find(method, declared.tag)
    return Got(name=name, path=found.path, sha256=found.sha256, method=method.name, fetched=False)


def _got(name: str, address: fetching.Address, on_progress: fetching.Progress | None) -> Got:
    before = fetching.local(address)
    path = before or fetching.fetch(address, on_progress)
    found = inspect(path)
    return Got(
        name=name, path=path, sha256=found.sha256, method=found.method, fetched=before is None
    )

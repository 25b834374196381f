"""Finding installed methods: a broken plugin is a row in a table, never a crash.

Listing reads package metadata alone and imports no plugin; :func:`get` imports the one plugin that
it is asked for; :func:`resolve` imports its network or objective. Two environment variables change
what they do:

``RAINKIT_METHODS``
    Comma-separated names of methods; if it is set and not empty, all other methods are ignored.
``RAINKIT_STRICT``
    If it is ``1``, a plugin's own exception is raised as it is, for plugin authors.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import rainkit
from rainkit import api
from rainkit.api import API, ENTRY_POINT_GROUP, Hyperparameters, Method
from rainkit.errors import MethodError, UsageError

__all__ = ["Installed", "get", "installed", "none_installed", "resolve"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """An installed method, as its package's metadata describes it.

    Attributes:
        name: name of the method.
        distribution: name of the package that brings it.
        version: version of that package.
        summary: one-line summary of that package.
        problem: reason, as far as the metadata tell, why the method cannot be used under this
            name; None if there is none.
    """

    name: str
    distribution: str
    version: str
    summary: str
    problem: str | None

    @property
    def qualified(self) -> str:
        """The name ``distribution:name``, which no other distribution can claim."""
        return f"{self.distribution}:{self.name}"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An entry point and what its distribution says about it."""

    entry: metadata.EntryPoint
    distribution: str
    version: str
    summary: str
    unsuited: str | None

    def answers_to(self, name: str) -> bool:
        distribution, colon, short = name.rpartition(":")
        if not colon:
            return self.entry.name == name
        same = canonicalize_name(distribution) == canonicalize_name(self.distribution)
        return same and self.entry.name == short


def installed() -> tuple[Installed, ...]:
    """Return every installed method, sorted by name. This imports no plugin."""
    candidates = _candidates()
    rows = []
    for candidate in candidates:
        name = candidate.entry.name
        rivals = [other for other in candidates if other.entry.name == name]
        rows.append(
            Installed(
                name=name,
                distribution=candidate.distribution,
                version=candidate.version,
                summary=candidate.summary,
                problem=candidate.unsuited or (_clash(rivals) if len(rivals) > 1 else None),
            )
        )
    return tuple(rows)


def none_installed() -> str:
    """Return one line for a user who has no method, or none that works, with the remedy."""
    if _candidates():
        return "no installed method can be used: rainkit doctor says why"
    hidden = len(metadata.entry_points(group=ENTRY_POINT_GROUP))
    if not hidden:
        return (
            "no method is installed; each is a package of its own, and rainkit's README lists them"
        )
    methods = "the one installed method" if hidden == 1 else f"all {hidden} installed methods"
    chosen = os.environ.get("RAINKIT_METHODS", "")
    return f"RAINKIT_METHODS={chosen} hides {methods}: correct or unset it"


def get(name: str) -> Method:
    """Return the method of a name, or of ``distribution:name`` if two packages claim one name.

    Raises:
        UsageError: no installed method has that name, or several have it.
        MethodError: the plugin cannot be imported, is written for another contract, or its
            ``METHOD`` is not what its entry point says.
    """
    candidates = _candidates()
    matches = [candidate for candidate in candidates if candidate.answers_to(name)]
    if not matches:
        raise UsageError(_unknown(name, candidates))
    if len(matches) > 1:
        raise UsageError(f"method {name} is {_clash(matches)}")
    return _load(matches[0])


def resolve(target: str) -> Any:
    """Import the object that a ``"module:Class"`` string of a plugin names.

    Raises:
        MethodError: there is no such module or attribute, or its import fails.
    """
    module, colon, attribute = target.partition(":")
    if not (module and colon and attribute):
        raise MethodError(f"{target!r} is not 'module:Class': correct the plugin's METHOD")
    try:
        value: Any = importlib.import_module(module)
        for part in attribute.split("."):
            value = getattr(value, part)
    except (Exception, SystemExit) as error:
        if _strict():
            raise
        raise MethodError(f"{target} cannot be imported: {_one_line(error)}") from error
    return value


def _candidates() -> list[_Candidate]:
    chosen = [name.strip() for name in os.environ.get("RAINKIT_METHODS", "").split(",")]
    limits = [name for name in chosen if name]
    kept = [c for c in _read(_path()) if not limits or any(c.answers_to(name) for name in limits)]
    return sorted(kept, key=lambda c: (c.entry.name, c.distribution))


def _path() -> tuple[tuple[str, int], ...]:
    """Return the folders of the path, and when packages were last added to or removed from each."""
    found = []
    for folder in sys.path:
        place = os.path.abspath(folder)
        try:
            found.append((place, os.stat(place).st_mtime_ns))
        except OSError:
            found.append((place, 0))
    return tuple(found)


@lru_cache(maxsize=1)
def _read(path: tuple[tuple[str, int], ...]) -> tuple[_Candidate, ...]:
    """Read the metadata of all packages, which takes long, once for each state of the path."""
    return tuple(_candidate(entry) for entry in metadata.entry_points(group=ENTRY_POINT_GROUP))


def _candidate(entry: metadata.EntryPoint) -> _Candidate:
    distribution = entry.dist
    try:
        if distribution is None:
            raise LookupError("the entry point belongs to no distribution")
        about = distribution.metadata
        return _Candidate(
            entry,
            distribution=about["Name"] or "unknown",
            version=about["Version"] or "unknown",
            summary=(about["Summary"] or "").strip(),
            unsuited=_unsuited(distribution),
        )
    except Exception as error:
        # Damaged metadata (half-removed packages) must not take the healthy methods along.
        reason = f"its package metadata cannot be read ({_one_line(error)}): reinstall it"
        return _Candidate(entry, "unknown", "unknown", "", reason)


def _unsuited(distribution: metadata.Distribution) -> str | None:
    """Return why a distribution's own requirements exclude the running rainkit, if they do."""
    for line in distribution.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != "rainkit":
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(rainkit.__version__, prereleases=True):
            return (
                f"needs rainkit {requirement.specifier} and this is {rainkit.__version__}: "
                f"upgrade {distribution.metadata['Name']}, or install such a rainkit"
            )
    return None


def _load(candidate: _Candidate) -> Method:
    name = candidate.entry.name
    who = f"method {name} of {candidate.distribution} {candidate.version}"
    if candidate.unsuited:
        raise MethodError(f"{who} {candidate.unsuited}")
    try:
        method = candidate.entry.load()
    except (Exception, SystemExit) as error:
        if _strict():
            raise
        remedy = "reinstall or uninstall the package"
        if _misses_in_contract(error):
            remedy = (
                f"this rainkit serves contract {API}, and the plugin may be written for another: "
                f"upgrade {candidate.distribution} and rainkit"
            )
        raise MethodError(
            f"{who} cannot be imported: {_one_line(error)} "
            f"(rainkit doctor shows the traceback; {remedy})"
        ) from error
    fault = _fault(method, name, candidate.distribution)
    if fault:
        raise MethodError(f"{who} {fault}")
    loaded: Method = method
    return loaded


def _misses_in_contract(error: BaseException) -> bool:
    """Return whether an import failed on what rainkit offers or what its dataclasses take."""
    if isinstance(error, ImportError):
        return (error.name or "").partition(".")[0] == "rainkit"
    signatures = tuple(f"{name}.__init__()" for name in api.__all__)
    return isinstance(error, TypeError) and str(error).startswith(signatures)


def _fault(method: Any, name: str, distribution: str) -> str | None:
    """Return what is wrong with a loaded ``METHOD``; None if nothing is."""
    if not isinstance(method, Method):
        return f"gives a {type(method).__name__}, not a rainkit.api.Method: correct its entry point"
    number: Any = method.api
    if number != API:
        remedy = "upgrade rainkit"
        if isinstance(number, int) and number < API:
            remedy = f"upgrade the plugin {distribution}"
        return f"was written for contract {number} and this rainkit serves contract {API}: {remedy}"
    if method.name != name:
        return f"calls itself {method.name!r}: its entry point and METHOD.name must be equal"
    if "default" not in method.variants:
        return "has no variant 'default': add one to METHOD.variants"
    strange = [n for n, v in method.variants.items() if not issubclass(type(v), Hyperparameters)]
    if strange:
        return f"has a variant {strange[0]!r} that is not a rainkit.api.Hyperparameters"
    return None


def _clash(rivals: list[_Candidate]) -> str:
    claimants = " and ".join(rival.distribution for rival in rivals)
    choices = " or ".join(f"{rival.distribution}:{rival.entry.name}" for rival in rivals)
    return f"claimed by {claimants}: say {choices}, or uninstall one"


def _unknown(name: str, candidates: list[_Candidate]) -> str:
    message = f"no method {name!r} is installed"
    names = sorted({candidate.entry.name for candidate in candidates})
    short = name.lower().rpartition(":")[2]
    near = difflib.get_close_matches(short, names, n=1) or [n for n in names if short in n]
    if near:
        return f"{message}: did you mean {near[0]}?"
    if os.environ.get("RAINKIT_METHODS"):
        message += f" or let through by RAINKIT_METHODS={os.environ['RAINKIT_METHODS']}"
    # Never a package of the name that was typed: anyone may have published one.
    known = f"installed: {', '.join(names)}" if names else "no method is installed"
    return f"{message} ({known}); rainkit's README lists the packages that bring methods"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _strict() -> bool:
    return os.environ.get("RAINKIT_STRICT") == "1"

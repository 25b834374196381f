"""Checks of the environment: versions, devices, OpenCV, and the state of every plugin.

A check that fails becomes a problem in the result, so that broken environments can be examined.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from packaging.requirements import Requirement
from packaging.version import Version

import rainkit
from rainkit import config, plugins
from rainkit.errors import MethodError, UsageError

__all__ = ["Check", "examine"]

_OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
"""Distributions that all install the folder ``cv2`` and overwrite each other's files."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check of the environment.

    Attributes:
        name: what was checked.
        state: ``ok``, ``note`` (worth knowing) or ``problem`` (something does not work).
        value: what was found.
        remedy: what to do about it; empty if there is nothing to do.
        traceback: traceback of a broken plugin or import, or else empty.
    """

    name: str
    state: Literal["ok", "note", "problem"] = "ok"
    value: str
    remedy: str = ""
    traceback: str = ""


def examine() -> tuple[Check, ...]:
    """Run all checks. This imports torch, OpenCV and every plugin, and raises no error."""
    rooms: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("python", _python),
        ("settings", _settings),
        ("dependencies", _dependencies),
        ("torch", _torch),
        ("threads", _threads),
        ("OpenCV", _opencv),
        ("plugins", _plugins),
    )
    return tuple(check for name, room in rooms for check in _guarded(name, room))


def _guarded(name: str, room: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from room()
    except Exception as error:
        yield Check(
            name=name,
            state="problem",
            value=f"cannot be examined: {type(error).__name__}: {error}",
            remedy="reinstall the package that the traceback names",
            traceback=traceback.format_exc(),
        )


def _python() -> Iterator[Check]:
    yield Check(name="python", value=f"{platform.python_version()} at {sys.executable}")
    yield Check(name="platform", value=platform.platform())
    yield Check(name="rainkit", value=rainkit.__version__)


def _settings() -> Iterator[Check]:
    try:
        found = [each for each in config.settings().values() if each.origin != "default"]
    except UsageError as error:
        yield Check(name="settings", state="problem", value=str(error), remedy="as it says")
        return
    for each in found:
        if each.problem is not None:
            remedy = "rainkit config set changes the file, and unset removes a setting"
            yield Check(name=each.key, state="problem", value=each.problem, remedy=remedy)
    told = ", ".join(f"{each.key} = {each.value}" for each in found if each.problem is None)
    yield Check(name="settings", value=f"{told or 'none'}; {config.file_path()}")
    if not any(each.key == "cache" and each.problem is not None for each in found):
        yield Check(name="cache", value=str(config.cache_folder()))


def _dependencies() -> Iterator[Check]:
    for line in metadata.requires("rainkit") or ():
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        wanted = f"pip install '{requirement.name}{requirement.specifier}'"
        version = _version(requirement.name)
        if version is None:
            yield Check(name=requirement.name, state="problem", value="missing", remedy=wanted)
        elif not requirement.specifier.contains(version, prereleases=True):
            value = f"{version}, and rainkit needs {requirement.specifier}"
            yield Check(name=requirement.name, state="problem", value=value, remedy=wanted)
        else:
            yield Check(name=requirement.name, value=version)


def _torch() -> Iterator[Check]:
    import torch

    from rainkit.precision import choose_runtime

    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        value = f"{about.name}, {about.total_memory / 2**30:.1f} GiB"
        yield Check(name=f"cuda:{index}", value=value)
    if torch.backends.mps.is_available():
        yield Check(name="mps", value="available")
    runtime = choose_runtime()
    yield Check(name="--device auto", value=f"{runtime.device.type}, {runtime.precision}")
    native = choose_runtime("cpu").precision == "bf16"
    yield Check(
        name="bfloat16 on the CPU",
        state="ok" if native else "note",
        value="native" if native else "emulated, so that the CPU runs in float32",
    )


def _threads() -> Iterator[Check]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    chosen = [f"{name}={os.environ[name]}" for name in _THREADS if name in os.environ]
    value = ", ".join((f"torch uses {torch.get_num_threads()} of {cores} cores", *chosen))
    yield Check(name="threads", value=value)


def _opencv() -> Iterator[Check]:
    versions = {name: version for name in _OPENCV if (version := _version(name))}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    if len(set(versions.values())) > 1:
        newest = max(versions.values(), key=Version)
        same = " ".join(f"{name}=={newest}" for name in versions)
        yield Check(
            name="OpenCV wheels",
            state="problem",
            value=f"{told}: they overwrite each other's files",
            remedy=f"pip install --force-reinstall --no-deps {same}",
        )
    elif len(versions) > 1:
        value = f"{told}: they share one folder, which the same version allows"
        yield Check(name="OpenCV wheels", state="note", value=value)
    else:
        yield Check(name="OpenCV wheels", value=told or "none")
    try:
        yield Check(name="import cv2", value=f"works, {importlib.import_module('cv2').__version__}")
    except Exception as error:
        yield Check(
            name="import cv2",
            state="problem",
            value=f"{type(error).__name__}: {error}",
            remedy=_cv2_remedy(error),
            traceback=traceback.format_exc(),
        )


def _cv2_remedy(error: Exception) -> str:
    if ".so" in str(error):  # slim images lack libGL.so.1 and libgthread-2.0.so.0
        return (
            "install the system libraries (Debian, Ubuntu: apt-get install libgl1 libglib2.0-0), "
            "or pip uninstall -y opencv-python, then "
            "pip install --force-reinstall --no-deps opencv-python-headless"
        )
    return "pip install --force-reinstall --no-deps opencv-python"


def _plugins() -> Iterator[Check]:
    rows = plugins.installed()
    if not rows:
        remedy = "install the package of a method: rainkit ships them in its folder plugins"
        yield Check(name="methods", state="note", value="none is installed", remedy=remedy)
    for row in rows:
        yield _plugin(row)


def _plugin(row: plugins.Installed) -> Check:
    name = f"method {row.qualified}"
    try:
        method = plugins.get(row.qualified)
        plugins.resolve(method.network)
        for named in (method.objective, method.checkpoints):
            if named is not None:
                plugins.resolve(named)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, MethodError) else error
        return Check(
            name=name,
            state="problem",
            value=str(error),
            remedy=f"reinstall, upgrade or uninstall {row.distribution}",
            traceback="".join(traceback.format_exception(cause)) if cause else "",
        )
    if row.problem:  # it works, but not under its short name
        return Check(name=name, state="problem", value=row.problem, remedy="uninstall one of them")
    tags = ", ".join(weights.tag for weights in method.weights) or "none"
    return Check(name=name, value=f"{row.version}, loads; weights: {tags}")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None

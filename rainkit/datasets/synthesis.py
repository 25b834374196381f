"""Making a dataset: rainy and clean pairs from a folder of clean photographs."""

from __future__ import annotations

import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2

from rainkit import images
from rainkit.datasets import manifest
from rainkit.datasets.scenes import Done, Scene, make
from rainkit.errors import DatasetError, RainkitError, UsageError
from rainkit.rain import PRESETS, RainSettings

__all__ = ["FORMATS", "SynthRequest", "SynthResult", "synthesise"]

FORMATS = ("png", "jpg")
"""File formats a dataset can be written in."""

_MOST_VARIANTS = 9999
_PICTURES_PER_PROCESS = 40  # fewer do not pay for starting another process


@dataclass(frozen=True, kw_only=True)
class SynthRequest:
    """A dataset to make.

    Attributes:
        inputs: files, folders and patterns of clean photographs.
        out: folder to write ``input/``, ``target/`` and the manifest to.
        settings: the rain.
        preset: name of the preset the settings started from, for the record.
        distance: metres to the scene, taken as flat; None for streaks without a veil.
        variants: rains per photograph.
        seed: of the dataset.
        format: ``png`` or ``jpg``.
        overwrite: write into a folder that is not empty; pairs that its manifest lists are deleted
            once the new ones are there, and nothing else is.
        workers: processes; None for as many as pay.
    """

    inputs: tuple[str, ...]
    out: Path
    settings: RainSettings = PRESETS["default"]
    preset: str = "default"
    distance: float | None = None
    variants: int = 1
    seed: int = 0
    format: str = "png"
    overwrite: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.variants <= _MOST_VARIANTS:
            raise UsageError(f"--variants: 1 to {_MOST_VARIANTS}, not {self.variants}")
        if self.seed < 0:
            raise UsageError(f"--seed: a whole number from 0 up, not {self.seed}")
        if self.format not in FORMATS:
            raise UsageError(f"--format: one of {', '.join(FORMATS)}, not {self.format!r}")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers: at least 1, not {self.workers}")
        if self.distance is not None and not (math.isfinite(self.distance) and self.distance > 0):
            raise UsageError(f"--distance: metres above 0, not {self.distance:g}")


@dataclass(frozen=True, kw_only=True)
class SynthResult:
    """What was made.

    Attributes:
        out: the dataset folder.
        manifest: its manifest.
        scenes: photographs that became scenes.
        pairs: rainy pictures written.
        failures: photographs left out, each with the reason.
        seconds: wall time.
    """

    out: Path
    manifest: Path
    scenes: int
    pairs: int
    failures: tuple[tuple[Path, str], ...]
    seconds: float

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "out": str(self.out),
            "manifest": str(self.manifest),
            "scenes": self.scenes,
            "pairs": self.pairs,
            "failures": [{"path": str(path), "reason": why} for path, why in self.failures],
            "seconds": round(self.seconds, 3),
        }


def synthesise(
    request: SynthRequest, on_progress: Callable[[int, int], None] | None = None
) -> SynthResult:
    """Make a dataset of rainy and clean pairs.

    The rain of a picture follows from the dataset seed, the clean picture's pixels and the number
    of the variant: neither other pictures, nor their order, nor the number of workers change it.
    A photograph that cannot be read is reported in the result and the others are made.

    Args:
        request: what to make.
        on_progress: called with photographs done and all photographs, after each.

    Raises:
        UsageError: no photograph to be found, or the folder is not empty.
        ImageError: a result cannot be written; what was made until then stays, with its manifest.
    """
    started = time.monotonic()
    scenes = _name_scenes(request)
    path = request.out / manifest.MANIFEST
    former = _former_files(request, path)
    records: list[manifest.Record] = []
    failures: list[tuple[Path, str]] = []
    late: list[Done] = []
    try:
        with closing(_run(request, scenes, late)) as run:
            for count, done in enumerate(run, start=1):
                records += done.records
                if done.reason:
                    failures.append((done.path, done.reason))
                if on_progress is not None:
                    on_progress(count, len(scenes))
    except BaseException:
        # A full disk or Ctrl-C: what is there is whole and can be used, if the list still fits.
        records += [record for done in late for record in done.records]
        if records:
            with suppress(RainkitError):
                _finish(request, path, records, former)
        raise
    _finish(request, path, records, former)
    return SynthResult(
        out=request.out,
        manifest=path,
        scenes=len(scenes) - len(failures),
        pairs=len(records),
        failures=tuple(failures),
        seconds=time.monotonic() - started,
    )


def _run(
    request: SynthRequest, scenes: Sequence[Scene], late: list[Done]
) -> Generator[Done, None, None]:
    """Make scenes one after another, or in several processes; in order either way.

    ``late`` gets the scenes that other processes had made when the run was stopped.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pictures = len(scenes) * request.variants
    workers = request.workers or min(cores or 1, pictures // _PICTURES_PER_PROCESS)
    workers = min(workers, len(scenes))
    if workers <= 1:
        for scene in scenes:
            yield make(request, scene)
        return
    # Spawned, not forked: the caller may have threads of OpenCV or torch running.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    futures = [pool.submit(make, request, scene) for scene in scenes]
    taken = 0
    try:
        for future in futures:
            done = future.result()
            taken += 1
            yield done
    finally:
        pool.shutdown(cancel_futures=True)
        for future in futures[taken:]:
            if not future.cancelled() and future.exception() is None:
                late.append(future.result())


def _start_worker() -> None:
    """One thread a process, and Ctrl-C is the parent's to handle."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _name_scenes(request: SynthRequest) -> list[Scene]:
    """Find the photographs and give each a name of its own, whatever their order."""
    out = request.out.resolve()
    # A dataset made earlier inside the folder of photographs is no photograph.
    found = [each for each in images.find(request.inputs) if out not in each.path.resolve().parents]
    if not found:
        raise UsageError(f"nothing but {request.out} itself to be found: name clean photographs")
    plain = ["-".join(each.relative.with_suffix("").parts) for each in found]
    count = Counter(name.casefold() for name in plain)
    names = [
        name if count[name.casefold()] == 1 else f"{name}-{each.path.suffix[1:]}"
        for name, each in zip(plain, found, strict=True)
    ]
    taken: dict[str, Path] = {}
    for name, each in zip(names, found, strict=True):
        other = taken.setdefault(name.casefold(), each.path)
        if other != each.path:
            raise UsageError(f"{other} and {each.path} would both become {name}: rename one")
    return [
        Scene(name, each.relative.as_posix(), each.path)
        for name, each in zip(names, found, strict=True)
    ]


def _former_files(request: SynthRequest, path: Path) -> set[str]:
    """Names of the pairs that a dataset to be overwritten lists."""
    if request.out.exists() and not request.out.is_dir():
        raise UsageError(f"{request.out} is a file: name a folder to write to")
    try:
        empty = not request.out.is_dir() or not any(request.out.iterdir())
    except OSError as error:
        raise UsageError(f"{request.out} cannot be listed ({error.strerror})") from error
    if empty:
        return set()
    if not request.overwrite:
        raise UsageError(f"{request.out} is not empty: add --overwrite, or name another folder")
    try:
        return {name for r in manifest.read(path) for name in (r.input, r.target)}
    except DatasetError:
        return set()


def _finish(
    request: SynthRequest, path: Path, records: list[manifest.Record], former: set[str]
) -> None:
    """Write the manifest and remove pairs of the overwritten dataset that are not in it."""
    manifest.write(path, records, overwrite=request.overwrite)
    kept = {name for record in records for name in (record.input, record.target)}
    for name in former - kept:
        stale = request.out / name
        # Names come from a file: nothing outside the dataset is ever removed.
        if stale.parent in (request.out / "input", request.out / "target"):
            stale.unlink(missing_ok=True)

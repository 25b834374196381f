"""Where results go. Everything that cannot work is refused here, before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rainkit.errors import ImageError, UsageError
from rainkit.images import SUFFIXES, Found

__all__ = ["Job", "Plan", "check_writable", "plan"]


@dataclass(frozen=True, slots=True)
class Job:
    """One picture and where its result goes.

    Attributes:
        input: the rainy file.
        output: the file to write.
        name: what reports call it: its path below the input folder.
        exists: the output is there already and was not to be overwritten.
    """

    input: Path
    output: Path
    name: str
    exists: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs, and the folder or the one file they write to."""

    jobs: tuple[Job, ...]
    output: Path
    report: Path


def plan(
    found: Sequence[Found],
    method: str,
    output: Path | None,
    *,
    overwrite: bool,
    report: Path | None = None,
) -> Plan:
    """Decide where every result goes.

    Without ``output``, ``photo.jpg`` alone gives ``photo-METHOD.jpg`` beside it, and the pictures
    of a folder ``photos``, of a pattern in it, or several of its files, go to ``photos-METHOD``
    beside it. With an ``output`` folder, they go there. A folder's tree is mirrored.

    Raises:
        UsageError: results would replace inputs or each other, or every result exists.
    """
    found = _without_results(found, output)
    if len(found) == 1 and found[0].root is None:
        jobs = [_single(found[0], method, output)]
        place = jobs[0].output
        page = place.with_suffix(".html")
    else:
        if output is not None and _names_a_picture(output):
            raise UsageError(
                f"--output {output} names a picture, but there are {len(found)}: name a folder"
            )
        folders = [output or _beside(each, method) for each in found]
        jobs = [
            Job(each.path, folder / each.relative, each.relative.as_posix())
            for each, folder in zip(found, folders, strict=True)
        ]
        place = folders[0]
        if len(set(folders)) > 1:
            place = Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
        page = place / "report.html"
    _refuse_collisions(jobs)
    if not overwrite:
        jobs = [Job(job.input, job.output, job.name, job.output.exists()) for job in jobs]
        if all(job.exists for job in jobs):
            there = f"{jobs[0].output} exists" if len(jobs) == 1 else f"all results are in {place}"
            raise UsageError(f"{there}; pass --overwrite, or name another --output")
    return Plan(tuple(jobs), place, report or page)


def check_writable(folder: Path) -> None:
    """Make a folder and try a file in it, before hours of computing.

    Raises:
        ImageError: the folder is read-only or cannot be made.
    """
    probe = folder / f".rainkit-probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(
            f"{folder}: results cannot be written there ({reason}); name another --output"
        ) from error


def _single(found: Found, method: str, output: Path | None) -> Job:
    path = found.path
    if output is None:
        return Job(path, path.with_name(f"{path.stem}-{method}{path.suffix}"), path.name)
    if _names_a_picture(output):
        return Job(path, output, path.name)
    return Job(path, output / path.name, path.name)


def _names_a_picture(output: Path) -> bool:
    return output.suffix.lower() in SUFFIXES and not output.is_dir()


def _beside(found: Found, method: str) -> Path:
    root = found.path.parent if found.root is None else found.root
    if root.name in ("", ".."):
        root = Path(os.path.abspath(root))
    return root.with_name(f"{root.name}-{method}") if root.name else root / f"rainkit-{method}"


def _without_results(found: Sequence[Found], output: Path | None) -> Sequence[Found]:
    """A folder that holds the output folder is searched without it: results are no inputs."""
    if output is None:
        return found
    place = Path(os.path.abspath(output))
    kept = [
        each
        for each in found
        if each.root is None
        or not Path(os.path.abspath(each.path)).is_relative_to(place)
        or Path(os.path.abspath(each.root)).is_relative_to(place)
    ]
    if not kept:
        raise UsageError(f"all pictures lie in the output folder {output}: name another --output")
    return kept


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    inputs = {os.path.realpath(job.input) for job in jobs}
    sources: dict[str, Path] = {}
    for job in jobs:
        target = os.path.realpath(job.output)
        if target in inputs:
            raise UsageError(f"{job.output} is an input and would be lost: name another --output")
        other = sources.setdefault(target, job.input)
        if other != job.input:
            raise UsageError(
                f"{other} and {job.input} would both become {job.output}: "
                "derain them in separate runs, with an --output each"
            )

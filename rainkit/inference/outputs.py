"""Where results go. Everything that cannot work is refused here, before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from rainkit.errors import ImageError, UsageError
from rainkit.images import SUFFIXES, Found

__all__ = ["Job", "Plan", "check_writable", "plan"]

_FOREIGN = frozenset(
    {".arw", ".avif", ".cr2", ".cr3", ".dng", ".exr", ".heic", ".heif", ".hif", ".jxl"}
    | {".nef", ".orf", ".raf", ".raw", ".rw2", ".svg"}
)
"""Of pictures that neither Pillow nor rainkit writes: no user means a folder by them."""


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
    """Where everything goes.

    Attributes:
        jobs: one for each picture.
        outputs: the folders they write to, or the one file.
        folders: the folders they write to.
        report: where the page would go.
    """

    jobs: tuple[Job, ...]
    outputs: tuple[Path, ...]
    folders: tuple[Path, ...]
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

    Without ``output``, a file named directly, ``photo.jpg``, gives ``photo-METHOD.jpg`` beside it,
    and the pictures of a folder ``photos`` or of a pattern in it go to ``photos-METHOD`` beside
    it. With an ``output`` folder, they go there. A folder's tree is mirrored.

    Raises:
        UsageError: results would replace inputs or each other, or an ``output`` that cannot be.
    """
    found = _without_results(found, method, output, overwrite=overwrite)
    single = len(found) == 1 and found[0].root is None
    if output is not None:
        _check_output(output, found, single=single)
    placed = [_place(each, method, output, single=single) for each in found]
    jobs = [
        Job(each.path, path, each.relative.as_posix(), not overwrite and path.exists())
        for each, (_, path) in zip(found, placed, strict=True)
    ]
    _refuse_collisions(jobs)
    folders = tuple(dict.fromkeys(folder for folder, _ in placed))
    outputs = (jobs[0].output,) if single else folders
    page = jobs[0].output.with_suffix(".html") if single else folders[0] / "report.html"
    return Plan(tuple(jobs), outputs, folders, report or page)


def check_writable(folder: Path, option: str = "--output") -> None:
    """Make a folder and try a file in it, before hours of computing.

    Args:
        folder: where something is to be written.
        option: the one to name another by.

    Raises:
        ImageError: the folder is read-only or cannot be made.
    """
    probe = folder / f".rainkit-probe-{os.getpid()}"
    what = "results" if option == "--output" else "the report"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(
            f"{folder}: {what} cannot be written there ({reason}); name another {option}"
        ) from error


def _check_output(output: Path, found: Sequence[Found], *, single: bool) -> None:
    suffix = output.suffix.lower()
    if not output.is_dir():
        if suffix in SUFFIXES:
            if not single:
                several = f"there are {len(found)}" if len(found) > 1 else "the input is a folder"
                raise UsageError(f"--output {output} names a picture, but {several}: name a folder")
        elif suffix in _FOREIGN or suffix in Image.registered_extensions():
            raise UsageError(
                f"--output {output}: cannot write {suffix} pictures; "
                f"use {', '.join(sorted(SUFFIXES))}, or name a folder"
            )
        elif output.exists():
            raise UsageError(f"--output {output} is a file: name a folder, or a picture to make")
    for parent in output.parents:
        if parent.exists() and not parent.is_dir():
            raise UsageError(f"--output {output}: {parent} is a file, not a folder")


def _place(found: Found, method: str, output: Path | None, *, single: bool) -> tuple[Path, Path]:
    """The folder of results that a result belongs to, and the result."""
    if output is None and found.root is None:
        path = _beside_file(found.path, method)
        return path.parent, path
    if output is not None and single and output.suffix.lower() in SUFFIXES and not output.is_dir():
        return output.parent, output
    folder = output or _beside_folder(found.root or found.path.parent, method)
    return folder, folder / found.relative


def _beside_file(path: Path, method: str) -> Path:
    return path.with_name(f"{path.stem}-{method}{path.suffix}")


def _beside_folder(root: Path, method: str) -> Path:
    if root.name in ("", ".."):
        root = Path(os.path.abspath(root))
    return root.with_name(f"{root.name}-{method}") if root.name else root / f"rainkit-{method}"


def _without_results(
    found: Sequence[Found], method: str, output: Path | None, *, overwrite: bool
) -> Sequence[Found]:
    """Results are no inputs.

    Neither those beside files named directly, as a shell expands ``*.jpg`` when it is run again,
    nor those in an output folder within the folder that is searched.
    """
    if output is None:
        if overwrite:  # then they would be lost, which is refused
            return found
        direct = (each.path for each in found if each.root is None)
        results = {os.path.realpath(_beside_file(path, method)) for path in direct}
        return [each for each in found if os.path.realpath(each.path) not in results]
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

"""Output files: where results go. Whatever cannot work is refused before anything is computed."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter

from PIL import Image

from rainkit.api import RAIN
from rainkit.choices import ResultFormat
from rainkit.errors import FileError, UsageError
from rainkit.files import fault_of_name, system_reason
from rainkit.images import SUFFIXES, VIDEO_SUFFIXES, PictureFile
from rainkit.images import encoding as videos
from rainkit.inference.inputs import RemotePath
from rainkit.inference.outcomes import STDOUT, MethodToRun

__all__ = [
    "Job",
    "Naming",
    "Plan",
    "among_results",
    "check_writable",
    "file_name",
    "label",
    "plan",
    "plan_several",
]

_FOREIGN = frozenset(
    {".arw", ".avif", ".cr2", ".cr3", ".dng", ".exr", ".heic", ".heif", ".hif", ".jxl"}
    | {".nef", ".orf", ".raf", ".raw", ".rw2", ".svg"}
)
"""Suffixes of pictures that neither Pillow nor rainkit writes; no user means a folder by them."""


@dataclass(frozen=True, slots=True)
class Job:
    """A picture, and where its result goes.

    Attributes:
        input: the rainy file.
        output: the file to write.
        name: its name in reports, the path below the input folder.
        parts: the folder of the method's parts; None if they are not asked for.
        part_file: the file in the folder of each part; None if the picture has its own folder.
        home: the folder of results, which holds the record of how they were made.
        alone: whether the picture was named by itself, so that its folder may be the user's.
        made: whether the output exists and is not to be overwritten.
        exists: whether the same holds for all parts that are asked for, so that nothing is left
            to do.
        other: why an output that exists is not what this run would make; None if it is.
        failed: whether the picture failed when it was tried last.
        suffix: suffix of the format of the result.
    """

    input: Path
    output: Path
    name: str
    home: Path
    alone: bool = False
    parts: Path | None = None
    part_file: Path | None = None
    made: bool = False
    exists: bool = False
    other: str | None = None
    failed: bool = False
    suffix: str = ""

    @property
    def piped(self) -> bool:
        """Whether the result goes to standard output."""
        return self.output == STDOUT

    @property
    def video(self) -> bool:
        """Whether the input is a video."""
        return _is_video(self.input)

    @property
    def key(self) -> str:
        """The name of the output in the record."""
        return self.output.relative_to(self.home).as_posix()

    def part(self, name: str) -> Path:
        """Return the file of a part.

        Raises:
            ValueError: parts are not asked for.
        """
        if self.parts is None:
            raise ValueError("this job has no parts")
        own = self.parts / f"{name}.png"
        return own if self.part_file is None else self.parts / name / self.part_file


@dataclass(frozen=True, slots=True)
class Plan:
    """Output files of all pictures.

    Attributes:
        jobs: one job for each picture.
        outputs: the folders of the results, or the file of a single result.
        folders: the folders of the results and of the parts.
        parts: the folders of the parts, if they are asked for.
        report: the file of the page, if one is asked for.
    """

    jobs: tuple[Job, ...]
    outputs: tuple[Path, ...]
    folders: tuple[Path, ...]
    parts: tuple[Path, ...]
    report: Path


_FIELDS = ("stem", "suffix", "ext", "method")


@dataclass(frozen=True, slots=True)
class Naming:
    """Names and formats of results.

    Attributes:
        template: a name with ``{stem}``, the input's name without its suffix; ``{suffix}``, that of
            the result with its dot; ``{ext}``, that of the input without it; and ``{method}``. None
            for the name of the input, with the method's behind it where both share a folder.
        format: the format of all results; None for that of each input, or for that of the
            template if it ends with a suffix of its own.
    """

    template: str | None = None
    format: ResultFormat | None = None

    def __post_init__(self) -> None:
        text = self.template
        if text is None:
            return
        known = ", ".join(f"{{{field}}}" for field in _FIELDS)
        try:
            parsed = list(Formatter().parse(text))
        except ValueError as error:
            raise UsageError(f"--name {text}: {error}; write {{{{ for a brace") from None
        for _, name, form, conversion in parsed:
            if name is not None and (name not in _FIELDS or form or conversion):
                raise UsageError(f"--name {text}: {{{name}}} is not known; use {known}")
        if {"/", "\0", os.sep} & set(text) or text in ("", ".", ".."):
            raise UsageError(f"--name {text}: names a file without folders, which --output names")
        own = Path(text).suffix.lower()
        if text.endswith("{suffix}"):
            return
        if own not in SUFFIXES:
            raise UsageError(
                f"--name {text}: end it with {{suffix}}, or with that of a format such as .png"
            )
        if self.format is not None and own != f".{self.format}":
            raise UsageError(f"--name {text} and --format {self.format} differ; leave one out")

    @classmethod
    def split(
        cls, output: Path | None, template: str | None, format: ResultFormat | None
    ) -> tuple[Path | None, Naming]:
        """Return the output folder and the names, if the last part of ``output`` is a template.

        Raises:
            UsageError: there are two templates, or one is not possible.
        """
        if output is None or not re.search(r"\{(\w+)\}", output.name) or output.exists():
            return output, cls(template, format)
        if template is not None:
            raise UsageError(f"--output {output} holds a template; leave out --name {template}")
        return output.parent, cls(output.name, format)

    def named(self, name: Path, method: str, *, beside: bool) -> str:
        """Return the name of the result of a picture.

        Args:
            name: the name of the picture.
            method: the method's name.
            beside: whether the result lies in the folder of the picture.
        """
        keeps = self.format is None or _is_video(name)
        suffix = name.suffix if keeps else f".{self.format}"
        if self.template is None:
            return f"{name.stem}-{method}{suffix}" if beside else f"{name.stem}{suffix}"
        ext = name.suffix.removeprefix(".")
        return self.template.format(stem=name.stem, suffix=suffix, ext=ext, method=method)


_AS_INPUTS = Naming()


def plan(
    found: Sequence[PictureFile],
    method: str,
    output: Path | None,
    *,
    overwrite: bool,
    report: Path | None = None,
    parts: bool = False,
    naming: Naming = _AS_INPUTS,
) -> Plan:
    """Decide where every result goes.

    Without ``output``, the result of a file that is named directly, ``photo.jpg``, is
    ``photo-METHOD.jpg`` beside it; the results of a folder ``photos``, or of a pattern in it, go to
    ``photos-METHOD`` beside it. With an ``output`` folder they go there. The tree of a folder is
    mirrored.

    Parts of ``photo-METHOD.jpg`` go to ``photo-METHOD-parts/PART.png``, those of the results in
    ``photos-METHOD`` to ``photos-METHOD-parts/PART/`` with the same tree.

    Raises:
        UsageError: results would replace inputs or each other, or ``output`` is not possible.
    """
    if output == STDOUT:
        return _piped(found, naming, report=report, parts=parts)
    found = _without_results(found, (method,), output, naming, overwrite=overwrite)
    return _plan(
        found, method, output, overwrite=overwrite, report=report, parts=parts, naming=naming
    )


def plan_several(
    found: Sequence[PictureFile],
    names: Sequence[str],
    output: Path | None,
    *,
    overwrite: bool,
    report: Path | None = None,
    parts: bool = False,
    naming: Naming = _AS_INPUTS,
) -> tuple[Plan, ...]:
    """Decide where the results of several methods go; return a plan for each.

    Without ``output`` this is as in :func:`plan`; an ``output`` folder has a folder for each
    method. All plans have the same report: ``report.html`` in ``output``, or ``photos-report.html``
    beside ``photos``.

    Args:
        found: the pictures.
        names: a name for each method, all different, that can be part of a file name.
        output: a folder; None for places beside the inputs.
        overwrite: whether results may exist.
        report: the file of the page; None for its default.
        parts: whether parts are saved, too.
        naming: names and formats of results.

    Raises:
        UsageError: as in :func:`plan`, or ``output`` names a picture.
    """
    if output == STDOUT:
        raise UsageError(f"--output - takes one result, but there are {len(names)} methods")
    found = _without_results(found, names, output, naming, overwrite=overwrite)
    if output is not None:
        if not output.is_dir() and output.suffix.lower() in SUFFIXES:
            raise UsageError(
                f"--output {output} names a picture, but there are {len(names)} methods: "
                "name a folder"
            )
        _check_output(output, found, single=False)
    if report is None:
        report = _page_of_several(found[0], output)
    return tuple(
        _plan(
            found,
            name,
            None if output is None else output / name,
            overwrite=overwrite,
            report=report,
            parts=parts,
            naming=naming,
        )
        for name in names
    )


def _page_of_several(first: PictureFile, output: Path | None) -> Path:
    if output is not None:
        return output / "report.html"
    if first.root is None:
        return first.path.with_name(f"{first.path.stem}-report.html")
    place = _beside_folder(first.root, "report")
    return place.with_name(f"{place.name}.html")


def _plan(
    found: Sequence[PictureFile],
    method: str,
    output: Path | None,
    *,
    overwrite: bool,
    report: Path | None,
    parts: bool,
    naming: Naming,
) -> Plan:
    if output is None and any(isinstance(each.path, RemotePath) for each in found):
        remote = next(each.path for each in found if isinstance(each.path, RemotePath))
        raise UsageError(f"{remote} is no file of this machine: name an --output for its result")
    single = len(found) == 1 and found[0].root is None
    if output is not None:
        _check_output(output, found, single=single)
    placed = [_place(each, method, output, naming, single=single) for each in found]
    jobs = [
        Job(
            input=each.path,
            output=path,
            name=each.relative.as_posix(),
            home=folder,
            alone=alone,
            parts=_parts_of(path if alone else folder, alone=alone)
            if parts and not _is_video(each.path)
            else None,
            part_file=None if alone or _is_video(each.path) else path.relative_to(folder),
            made=not overwrite and os.path.exists(path),  # False for names that are too long
            suffix=path.suffix,
        )
        for each, (folder, path, alone) in zip(found, placed, strict=True)
    ]
    _refuse_collisions(jobs)
    for job in jobs:
        if job.video:
            videos.check_output(job.input, job.output)
    if parts:
        _refuse_shared_parts(jobs)
        jobs = _with_part_files(jobs)
    jobs = [
        dataclasses.replace(
            job,
            exists=job.made and (job.parts is None or job.part(RAIN).exists()),
            other=None if overwrite else _other_parts(job),
        )
        for job in jobs
    ]
    folders = tuple(dict.fromkeys(folder for folder, _, _ in placed))
    outputs = (jobs[0].output,) if single else folders
    page = jobs[0].output.with_suffix(".html") if single else folders[0] / "report.html"
    apart = tuple(dict.fromkeys(job.parts for job in jobs if job.parts is not None))
    return Plan(tuple(jobs), outputs, (*folders, *apart), apart, report or page)


def _other_parts(job: Job) -> str | None:
    """Return that parts are there which cannot be those of a result that is not made yet."""
    if job.made or job.parts is None or not os.path.exists(job.part(RAIN)):
        return None
    return f"is not there, but parts of another result are in {job.parts}"


def check_writable(folder: Path, option: str = "--output") -> None:
    """Make a folder and write a file to it as a test, before hours of computing.

    Args:
        folder: the folder to write to.
        option: the option that names another folder.

    Raises:
        FileError: the folder is read-only or cannot be made.
    """
    probe = folder / f".rainkit-probe-{os.getpid()}"
    what = "results" if option == "--output" else "the report"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = system_reason(error)
        raise FileError(
            f"{folder}: {what} cannot be written there ({reason}); name another {option}"
        ) from error


def _check_output(output: Path, found: Sequence[PictureFile], *, single: bool) -> None:
    suffix = output.suffix.lower()
    if not output.is_dir():
        if single and _is_video(found[0].path) and suffix in SUFFIXES | videos.OUTPUTS:
            videos.check_output(found[0].path, output)
        elif suffix in VIDEO_SUFFIXES:
            several = f"there are {len(found)} inputs" if len(found) > 1 else "the input is none"
            raise UsageError(f"--output {output} names a video, but {several}: name a folder")
        elif suffix in SUFFIXES:
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


def _piped(
    found: Sequence[PictureFile], naming: Naming, *, report: Path | None, parts: bool
) -> Plan:
    """Return the plan of a single result on standard output."""
    if len(found) != 1 or found[0].root is not None:
        several = f"there are {len(found)}" if len(found) > 1 else "the input is a folder"
        raise UsageError(f"--output - takes one picture, but {several}: name a folder")
    for option, given in (("--name", naming.template), ("--parts", parts), ("--report", report)):
        if given:
            raise UsageError(f"{option} cannot be used with --output -; leave it out")
    (only,) = found
    if _is_video(only.path):
        raise UsageError(f"--output - takes a picture, but {only.path} is a video: name a file")
    suffix = only.path.suffix if naming.format is None else f".{naming.format}"
    job = Job(only.path, STDOUT, only.path.name, STDOUT.parent, alone=True, suffix=suffix)
    return Plan((job,), (STDOUT,), (), (), STDOUT)


def _place(
    found: PictureFile, method: str, output: Path | None, naming: Naming, *, single: bool
) -> tuple[Path, Path, bool]:
    """Return the folder of results, the file, and whether the result stands alone."""
    if output is None and found.root is None:
        path = found.path.with_name(naming.named(Path(found.path.name), method, beside=True))
        return path.parent, path, True
    if output is not None and single and _names_file(output, found) and not output.is_dir():
        if naming.template is not None:
            raise UsageError(f"--output {output} names the result; leave out --name")
        if (
            naming.format is not None
            and not _is_video(found.path)
            and _kind(output.suffix) != _kind(f".{naming.format}")
        ):
            raise UsageError(
                f"--output {output} and --format {naming.format} differ; leave one out"
            )
        return output.parent, output, True
    folder = output or _beside_folder(found.root or found.path.parent, method)
    name = naming.named(Path(found.relative.name), method, beside=False)
    return folder, folder / found.relative.with_name(name), False


def _names_file(output: Path, found: PictureFile) -> bool:
    return output.suffix.lower() in (videos.OUTPUTS if _is_video(found.path) else SUFFIXES)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _kind(suffix: str) -> str:
    return {".jpeg": ".jpg", ".jfif": ".jpg", ".tif": ".tiff"}.get(suffix.lower(), suffix.lower())


def _parts_of(results: Path, *, alone: bool = False) -> Path:
    """Return the folder of parts beside the results, so that results are kept apart."""
    if results.name in ("", ".."):
        results = Path(os.path.abspath(results))
    return results.with_name(f"{results.stem if alone else results.name}-parts")


def _with_part_files(jobs: Sequence[Job]) -> list[Job]:
    """Name the PNG files of parts: ``a.png``, but ``a.jpg.png`` if there is also an ``a.tif``."""
    short = Counter(job.part_file.with_suffix("") for job in jobs if job.part_file is not None)

    def named(file: Path | None) -> Path | None:
        if file is None:
            return None
        unique = short[file.with_suffix("")] == 1
        return file.with_name(f"{file.stem if unique else file.name}.png")

    return [dataclasses.replace(job, part_file=named(job.part_file)) for job in jobs]


def _beside_folder(root: Path, method: str) -> Path:
    if root.name in ("", ".."):
        root = Path(os.path.abspath(root))
    return root.with_name(f"{root.name}-{method}") if root.name else root / f"rainkit-{method}"


def among_results(each: PictureFile, output: Path) -> bool:
    """Return whether a picture lies in an output folder inside the folder that is searched."""
    if each.root is None or isinstance(each.path, RemotePath):
        return False
    path, root = Path(os.path.abspath(each.path)), Path(os.path.abspath(each.root))
    places = [Path(os.path.abspath(place)) for place in (output, _parts_of(output))]
    return any(path.is_relative_to(p) and not root.is_relative_to(p) for p in places)


def _without_results(
    found: Sequence[PictureFile],
    methods: Sequence[str],
    output: Path | None,
    naming: Naming,
    *,
    overwrite: bool,
) -> Sequence[PictureFile]:
    """Leave out results of an earlier run.

    These are files beside inputs that are named directly, as by ``*.jpg`` in a second run, and
    files in an output folder inside the folder that is searched.
    """
    if output is None:
        if overwrite:  # they would be lost, which is refused later
            return found
        direct = [each.path for each in found if each.root is None]
        results = {
            os.path.realpath(path.with_name(naming.named(Path(path.name), method, beside=True)))
            for path in direct
            for method in methods
        }
        return [each for each in found if os.path.realpath(each.path) not in results]
    kept = [each for each in found if not among_results(each, output)]
    if not kept:
        raise UsageError(f"all pictures lie in the output folder {output}: name another --output")
    return kept


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    """Refuse results that would replace inputs or each other, also where case makes no difference.

    Raises:
        UsageError: there are such results.
    """
    real = _real_paths()
    inputs = {real(job.input) for job in jobs if not isinstance(job.input, RemotePath)}
    sources: dict[str, Job] = {}
    folded: dict[str, Job] = {}
    for job in jobs:
        if fault := fault_of_name(job.output.name):
            raise UsageError(f"{job.output}: {fault}; choose other names with --name")
        target = real(job.output)
        if target in inputs:
            raise UsageError(f"{job.output} is an input and would be lost: name another --output")
        other = sources.setdefault(target, job)
        alike = folded.setdefault(unicodedata.normalize("NFC", target).casefold(), job)
        if other is job and alike is not job and _ignores_case(job.output):
            other = alike
        if other is not job:
            raise UsageError(
                f"{other.input} and {job.input} would both become {job.output}: "
                f"{_apart(other.input, job.input)}"
            )


def _apart(one: Path, other: Path) -> str:
    if one.parent == other.parent and one.stem == other.stem:
        return "tell them apart by --name '{stem}-{ext}{suffix}'"
    return "derain them in separate runs, with an --output each"


def _real_paths() -> Callable[[Path], str]:
    """Return a function that resolves links, of each folder once."""
    folder = cache(os.path.realpath)

    def real(path: Path) -> str:
        whole = os.path.join(folder(str(path.parent)), path.name)
        return os.path.realpath(whole) if os.path.islink(whole) else whole

    return real


def _ignores_case(path: Path) -> bool:
    """Return whether the folder that a file will be in has one file for names in either case."""
    there = next(each for each in Path(os.path.abspath(path)).parents if each.is_dir())
    swapped = there.with_name(there.name.swapcase())
    return swapped.name != there.name and swapped.exists() and swapped.samefile(there)


def _refuse_shared_parts(jobs: Sequence[Job]) -> None:
    """Refuse pictures that stand alone and whose parts would share a folder."""
    places = Counter(job.parts for job in jobs if job.alone and job.parts is not None)
    for place, number in places.items():
        if number > 1:
            raise UsageError(f"the parts of {number} pictures would go to {place}: add an --output")


def label(chosen: MethodToRun) -> str:
    """Return the name of a method in names of files: its label, or its name with its weights."""
    if chosen.label is not None:
        return chosen.label
    if chosen.weights is None:
        return chosen.method
    return f"{chosen.method}-{Path(chosen.weights).name.removesuffix('.safetensors')}"


def file_name(label: str) -> str:
    """Return a label as part of a file name that has no suffix."""
    return re.sub(r"[^\w+-]+", "-", label).strip("-") or "method"

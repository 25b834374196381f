"""What a run is asked for, what became of each picture, and hooks that follow a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from rainkit.choices import Engine, ResultFormat
from rainkit.files import each_of
from rainkit.runtime_options import RuntimeOptions

__all__ = [
    "STDOUT",
    "InferRequest",
    "InferResult",
    "MethodToRun",
    "MethodsResult",
    "Outcome",
    "Progress",
    "Status",
]


STDOUT = Path("-")
"""The output that stands for standard output; a file of this name is ``./-``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """Pictures to derain, and how.

    Attributes:
        inputs: files, folders (with their subfolders), glob patterns, lists, URLs and standard
            input, see :mod:`rainkit.inference.inputs`; a lone one becomes a tuple.
        method: an installed method, or ``auto``; None for the method of the weights, or the only
            one that is installed, or else ``auto``.
        output: a folder, or a file for a single picture, or :data:`STDOUT` for a single picture on
            standard output; None for a place beside the input, see
            :func:`rainkit.inference.outputs.plan`.
        name: a template of the names of results, such as ``{stem}-{method}{suffix}``, see
            :class:`rainkit.inference.outputs.Naming`; None for the names of the inputs.
        format: the format of results; None for that of each input.
        weights: a tag of the method or a ``.safetensors`` file; None for the method's first.
        variant: the variant that the weights must be of; None for any.
        options: device, precision, tiles, work size and effort.
        parts: save what the method estimates besides its results.
        overwrite: replace existing results, which are skipped otherwise; inputs are never replaced.
        keep_dry: leave pictures in which no rain is found as they are, byte for byte.
        retry_failed: take only the pictures that failed when they were tried last.
        shard: take only one part of the pictures, such as ``2/8``; None for all.
        workers: number of threads that decode, and of those that encode; None for a number that
            suits the machine. On Ray, number of workers; None for as many as there is room for.
        engine: where networks run: ``local`` for this process, or ``ray``.
        batch: largest number of pictures of one size that a network takes at a time; None for one
            that suits the device.
        quality: quality of JPEG, WebP, HEIC and AVIF results, 1 to 100; None for that of the input,
            see :func:`rainkit.images.write`.
        steady: reduce the flicker of videos, see :mod:`rainkit.inference.steady`.
        report: make a page that shows pictures and results side by side.
        report_path: file of this page; None for ``report.html`` in the first folder of results (of
            several methods, see :func:`rainkit.inference.outputs.plan_several`).
    """

    inputs: tuple[Path | str, ...]
    method: str | None = None
    output: Path | None = None
    weights: str | None = None
    variant: str | None = None
    options: RuntimeOptions = field(default_factory=RuntimeOptions)
    parts: bool = False
    name: str | None = None
    format: ResultFormat | None = None
    overwrite: bool = False
    keep_dry: bool = False
    retry_failed: bool = False
    shard: str | None = None
    workers: int | None = None
    engine: Engine = Engine.LOCAL
    batch: int | None = None
    quality: int | None = None
    steady: bool = False
    report: bool = False
    report_path: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", each_of(self.inputs))


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodToRun:
    """One of several methods that take the same pictures.

    Attributes:
        method: name of an installed method.
        weights: a tag of the method or a ``.safetensors`` file; None for the method's first.
        label: its name in file names and on the page; None for the method's name, with its weights
            if they were chosen.
    """

    method: str
    weights: str | None = None
    label: str | None = None


Status: TypeAlias = Literal["done", "skipped", "kept", "failed", "not attempted"]
"""``skipped``: the result existed, made with the same settings; ``kept``: a file existed that was
not, or that no record tells of; ``not attempted``: for example after the disk was full."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The outcome for one picture.

    Attributes:
        input: the rainy file.
        output: the file of the result, whether or not it was written.
        status: whether it was written.
        error: the reason in one line if there is no result, or if it is a video that was damaged,
            whose result is there as far as it could be made; or else None.
        seconds: time in the network, transfers included; 0 if the picture did not get there.
        size: width and height in pixels; None if the picture was not read.
        blocks: number of blocks that ran; None if that is unknown, or if the method is not an
            anytime method.
        work_size: width and height that the network saw, if it was another size; else None.
        by: name of the weights, if they were chosen for the picture.
        rain: the kind of rain that they were chosen for.
        dry: whether the picture was left as it is, since no rain was found.
        parts: files of the parts by name, if they were asked for.
        notes: what else became of the picture, such as what the format of the result cannot hold.
        frames: number of frames of a video; None for a picture.
    """

    input: Path
    output: Path
    status: Status = "done"
    error: str | None = None
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    blocks: int | None = None
    work_size: tuple[int, int] | None = None
    by: str | None = None
    rain: str | None = None
    dry: bool = False
    parts: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    frames: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InferResult:
    """The outcomes for all pictures.

    Attributes:
        outcomes: one outcome for each picture, in the order of the inputs.
        method: name of the method.
        title: the method's name on the page: the paper's, or the label that was given.
        weights: name of the weights.
        device: the device it ran on; None if no picture was left to do.
        precision: the number format it ran in; None if no picture was left to do.
        backend: what executed the network, such as ``openvino``, or ``eager, then openvino`` if it
            changed during the run; None if no picture was left to do, and on Ray.
        outputs: the folders of the results, or the file of a single result.
        parts: the folders of the parts, if they were asked for.
        blocks: number of blocks of the network; None if the method is not an anytime method.
        seconds: wall time of the whole run after loading.
        report: file of the page; None if it was not asked for or not made.
        report_error: the reason in one line if the page could not be written, or else None.
        full: whether the run ended early because nothing more can be written.
    """

    outcomes: tuple[Outcome, ...]
    method: str
    title: str
    weights: str
    device: str | None
    precision: str | None
    outputs: tuple[Path, ...]
    seconds: float
    parts: tuple[Path, ...] = ()
    blocks: int | None = None
    backend: str | None = None
    report: Path | None = None
    report_error: str | None = None
    full: bool = False

    @property
    def done(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures whose result was written."""
        return self._of("done")

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures whose result existed."""
        return self._of("skipped")

    @property
    def kept(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures in whose place is a result that other settings made."""
        return self._of("kept")

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures that were tried and have no result."""
        return self._of("failed")

    @property
    def damaged(self) -> tuple[Outcome, ...]:
        """Outcomes of the videos whose result was written although they were damaged."""
        return tuple(each for each in self.done if each.error is not None)

    @property
    def not_attempted(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures that were not tried, since nothing could be written any more."""
        return self._of("not attempted")

    @property
    def exit_code(self) -> int:
        """0 if all results and the report exist, or else 1."""
        lacking = self.failed or self.not_attempted or self.kept or self.damaged
        return 1 if lacking or self.report_error is not None else 0

    @property
    def last_error(self) -> str | None:
        """The reason of the last picture that has no result; None if all have one."""
        reasons = [each.error for each in self.outcomes if each.error is not None]
        return reasons[-1] if reasons else None

    def _of(self, status: Status) -> tuple[Outcome, ...]:
        return tuple(each for each in self.outcomes if each.status == status)

    def to_data(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {
            "method": self.method,
            "title": self.title,
            "weights": self.weights,
            "device": self.device,
            "precision": self.precision,
            "backend": self.backend,
            "outputs": [str(each) for each in self.outputs],
            "parts": [str(each) for each in self.parts],
            "blocks": self.blocks,
            "report": None if self.report is None else str(self.report),
            "report_error": self.report_error,
            "seconds": self.seconds,
            "done": len(self.done),
            "skipped": len(self.skipped),
            "kept": len(self.kept),
            "failed": len(self.failed),
            "not_attempted": len(self.not_attempted),
            "pictures": [
                {
                    "input": str(each.input),
                    "output": str(each.output),
                    "status": each.status,
                    "seconds": each.seconds,
                    "width": each.size[0] if each.size else None,
                    "height": each.size[1] if each.size else None,
                    "blocks": each.blocks,
                    "work_size": each.work_size,
                    "by": each.by,
                    "rain": each.rain,
                    "dry": each.dry,
                    "parts": {name: str(path) for name, path in each.parts.items()},
                    "notes": list(each.notes),
                    "frames": each.frames,
                    "error": each.error,
                }
                for each in self.outcomes
            ],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodsResult:
    """The results of several methods on the same pictures.

    Attributes:
        results: one result for each method, in their order, without reports of their own.
        report: file of the page; None if it was not asked for or not made.
        report_error: the reason in one line if the page could not be written, or else None.
        notices: what the user must know, such as files that were passed over.
    """

    results: tuple[InferResult, ...]
    report: Path | None = None
    report_error: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def first(self) -> InferResult:
        """The result of the first method, with the page."""
        first = self.results[0]
        return dataclasses.replace(first, report=self.report, report_error=self.report_error)

    @property
    def exit_code(self) -> int:
        """0 if all results and the report exist, or else 1."""
        failed = self.report_error is not None or any(each.exit_code for each in self.results)
        return 1 if failed else 0

    def to_data(self) -> dict[str, Any]:
        """Return the results as plain data for JSON."""
        return {
            "report": None if self.report is None else str(self.report),
            "report_error": self.report_error,
            "notices": list(self.notices),
            "methods": [each.to_data() for each in self.results],
        }


class Progress:
    """Hooks that are called while a run goes on, in its thread; override those that you need."""

    def start(self, total: int) -> None:
        """Called before anything is loaded with the number of pictures, over all methods."""

    def method(self, title: str) -> None:
        """Called before a method begins with its name on the page."""

    def tile(self, picture: Path, done: int, total: int) -> None:
        """Called after each tile of a picture with the number of tiles done and of all tiles.

        Where several devices take part, it is called in their threads.
        """

    def frame(self, video: Path, done: int, total: int) -> None:
        """Called after each frame of a video with the number of those done and of all, if known.

        A run that goes on where an earlier one was stopped begins with what that has done.
        """

    def advance(self, outcome: Outcome) -> None:
        """Called after each picture, in the order of the inputs."""

    def page(self, done: int, total: int) -> None:
        """Called after each picture of the page with the number of those done and of all."""

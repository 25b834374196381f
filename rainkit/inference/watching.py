"""Deraining pictures as they arrive in folders, such as those that a camera uploads to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rainkit import images
from rainkit.choices import Engine as Place
from rainkit.errors import FileError, UsageError
from rainkit.files import expanded
from rainkit.images import PictureFile
from rainkit.inference.batch import check, planned, run, set_up_all
from rainkit.inference.inputs import Found, fingerprint
from rainkit.inference.outcomes import (
    InferRequest,
    InferResult,
    MethodsResult,
    MethodToRun,
    Outcome,
    Progress,
)
from rainkit.inference.outputs import Naming, Plan, among_results
from rainkit.inference.setup import Setup

if TYPE_CHECKING:
    from rainkit.inference.derainer import Derainer

__all__ = ["EVERY", "watch"]

EVERY = 2.0
"""Seconds between two looks; a file is taken when it has not changed from one to the next."""


def watch(
    request: InferRequest,
    methods: Sequence[MethodToRun],
    progress: Progress | None = None,
    *,
    every: float = EVERY,
    stop: threading.Event | None = None,
) -> MethodsResult:
    """Take the rain out of the pictures of folders, and of those that arrive, until it is stopped.

    Networks are loaded once. A file is taken when it has some bytes, and the same size and time at
    two looks. One that is written anew later is taken again.

    Args:
        request: folders and options; ``report`` and ``report_path`` are refused.
        methods: the methods.
        progress: hooks that are called; ``start`` is called for each group of new pictures.
        every: seconds between two looks.
        stop: ends the function when it is set; Ctrl-C does so, too.

    Returns:
        The outcomes of all pictures.

    Raises:
        UsageError: an input is no folder, or as :func:`rainkit.inference.infer_methods`.
        FileError, MethodError, WeightsError: as :func:`rainkit.inference.infer_methods`.
    """
    folders = [expanded(each) for each in request.inputs]
    output, _ = Naming.split(request.output, request.name, request.format)
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: is no folder, which --watch needs")
        if output is not None and folder.resolve().is_relative_to(output.resolve()):
            raise UsageError(
                f"--output {output} holds {folder}, where results would be taken for new pictures: "
                "name another folder"
            )
    for option, given in (
        ("--report", request.report or request.report_path),
        ("--retry-failed", request.retry_failed),
    ):
        if given:
            raise UsageError(
                f"{option} cannot be used with --watch; do it later, by the same command without "
                "--watch"
            )
    if request.engine != Place.LOCAL:
        raise UsageError(f"--engine {request.engine} cannot be used with --watch; leave it out")
    check(request, methods)
    setups = set_up_all(request, methods)
    seen = _Seen(progress or Progress())
    arrivals = _Arrivals(folders, output)
    build = _kept()
    stop = stop or threading.Event()
    made: dict[Path, Path] = {}

    def take(found: tuple[PictureFile, ...]) -> None:
        """Derain pictures that have arrived; one that cannot be taken does not stop the others."""
        seen.begun.clear()
        try:
            _refuse_replacing(planned(request, methods, Found(found, ())), made)
            seen.rounds.append(run(request, methods, Found(found, ()), seen, setups, build))
        except (UsageError, FileError) as error:
            if len(found) > 1:
                for each in found:
                    take((each,))
                return
            seen.refused(found[0].path, str(error), setups)
        seen.begun.clear()

    try:
        while not stop.is_set():
            if found := arrivals.look():
                take(found)
                if seen.rounds and any(each.full for each in seen.rounds[-1].results):
                    break
            stop.wait(every)
    except KeyboardInterrupt:
        pass  # the usual end
    noted = (line for each in seen.rounds for line in each.notices)
    left = images.left_out(folders, videos=False)
    return _joined(seen, setups, tuple(dict.fromkeys((*left, *noted))))


def _refuse_replacing(plans: Sequence[Plan], made: dict[Path, Path]) -> None:
    """Refuse results that would replace those of other pictures which arrived before.

    Args:
        plans: where the results of the pictures go.
        made: the input of each result so far, to which those of the plans are added.

    Raises:
        UsageError: one would, and its remedy; nothing is added then.
    """
    jobs = [job for each in plans for job in each.jobs]
    for job in jobs:
        other = made.get(job.output, job.input)
        if other != job.input:
            raise UsageError(
                f"{job.input} and {other} would both become {job.output}: tell them apart by "
                "--name '{stem}-{ext}{suffix}'"
            )
    made.update((job.output, job.input) for job in jobs)


class _Arrivals:
    """Pictures that have arrived in folders and are no longer written to."""

    def __init__(self, folders: Sequence[Path], output: Path | None) -> None:
        self._folders = folders
        self._output = output
        self._taken: dict[Path, str] = {}
        self._before: dict[Path, str] = {}

    def look(self) -> tuple[PictureFile, ...]:
        """Return the pictures that are new since the last look, and were there then."""
        now: dict[Path, str] = {}
        ready: list[PictureFile] = []
        for folder in self._folders:
            for path in images.pictures_below(folder):
                picture = PictureFile(path, path.relative_to(folder), folder)
                if self._output is not None and among_results(picture, self._output):
                    continue
                state = fingerprint(path)
                if state is None or state.startswith("0 ") or self._taken.get(path) == state:
                    continue
                now[path] = state
                if self._before.get(path) == state:
                    ready.append(picture)
        self._before = now
        self._taken.update((each.path, now[each.path]) for each in ready)
        return tuple(ready)


class _Seen(Progress):
    """Hooks that are passed on, and the outcomes of groups of pictures."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self.rounds: list[MethodsResult] = []
        self.begun: list[list[Outcome]] = []

    def start(self, total: int) -> None:
        self.begun.clear()
        self._inner.start(total)

    def method(self, title: str) -> None:
        self.begun.append([])
        self._inner.method(title)

    def tile(self, picture: Path, done: int, total: int) -> None:
        self._inner.tile(picture, done, total)

    def advance(self, outcome: Outcome) -> None:
        self.begun[-1].append(outcome)
        self._inner.advance(outcome)

    def refused(self, picture: Path, reason: str, setups: Sequence[Setup]) -> None:
        """Note that a picture could not be taken, for each method."""
        self.start(len(setups))
        results = []
        for setup in setups:
            self.method(setup.title)
            outcome = Outcome(input=picture, output=picture, status="failed", error=reason)
            self.advance(outcome)
            results.append(
                InferResult(
                    outcomes=(outcome,),
                    method=setup.name,
                    title=setup.title,
                    weights=setup.weights_name,
                    device=None,
                    precision=None,
                    outputs=(),
                    seconds=0.0,
                )
            )
        self.rounds.append(MethodsResult(results=tuple(results)))


def _kept() -> Callable[[Setup], list[Derainer]]:
    """Return a function that builds the networks of each set-up once."""
    built: dict[int, list[Derainer]] = {}

    def build(setup: Setup) -> list[Derainer]:
        from rainkit.inference.loading import build_all  # imports torch

        if id(setup) not in built:
            built[id(setup)] = build_all(setup)
        return built[id(setup)]

    return build


def _joined(seen: _Seen, setups: Sequence[Setup], notices: tuple[str, ...]) -> MethodsResult:
    """Return the results of all rounds as one, with the outcomes of one that was interrupted."""
    results = []
    for number, setup in enumerate(setups):
        rounds = [each.results[number] for each in seen.rounds]
        last = next((each for each in reversed(rounds) if each.device is not None), None)
        whole = [outcome for each in rounds for outcome in each.outcomes]
        whole += seen.begun[number] if number < len(seen.begun) else []
        results.append(
            InferResult(
                outcomes=tuple(whole),
                method=setup.name,
                title=rounds[0].title if rounds else setup.title,
                weights=setup.weights_name,
                device=None if last is None else last.device,
                precision=None if last is None else last.precision,
                outputs=tuple(dict.fromkeys(path for each in rounds for path in each.outputs)),
                parts=tuple(dict.fromkeys(path for each in rounds for path in each.parts)),
                blocks=setup.blocks,
                backend=None if last is None else last.backend,
                seconds=sum(each.seconds for each in rounds),
                full=any(each.full for each in rounds),
            )
        )
    return MethodsResult(results=tuple(results), notices=notices)

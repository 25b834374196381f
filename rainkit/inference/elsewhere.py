"""Pictures through workers of an engine, which may be on other machines.

A worker reads, derains and writes whole pictures; paths, hashes and outcomes are all that travels.
The record stays in this process, which also gives a result its name once the record tells of it. So
a run that is killed at any moment goes on as one in a single process does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rainkit.engine import Done, Engine, Failed, Work
from rainkit.errors import WeightsError
from rainkit.inference.outcomes import InferRequest, MethodToRun, Outcome
from rainkit.inference.outputs import Job
from rainkit.inference.pipeline import Finished, derain_one, refused, untried
from rainkit.inference.record import Notes, Records
from rainkit.inference.setup import Setup, set_up

__all__ = ["Elsewhere", "Runtime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """The device of a worker and the number format that its network runs in, by name."""

    device: str
    precision: str


class Elsewhere:
    """A method in the workers of an engine.

    Args:
        engine: the workers.
        request: how results are written.
        method: the method.
        setup: the method's set-up here, whose weights those of the workers must be.

    Raises:
        RainkitError: what :func:`rainkit.inference.loading.build` raises in a worker.
        WorkerError: workers cannot be started.
    """

    def __init__(
        self, engine: Engine, request: InferRequest, method: MethodToRun, setup: Setup
    ) -> None:
        self._engine = engine
        self._mark = secrets.token_hex(6)  # in the names of files that have none of their own yet
        asked = replace(request, method=method.method, weights=method.weights, inputs=())
        self._work: Work[Any, Any] = Work.holding(_do, _Worker, asked, setup.sha256, self._mark)
        self._overwrite = request.overwrite
        self.runtime: Runtime = next(iter(engine.run(self._work, [None]))).get()

    def derain_all(
        self, jobs: Sequence[Job], records: Records, finish: Callable[[Finished], None]
    ) -> None:
        """Derain pictures and write the results.

        Args:
            jobs: the pictures.
            records: the open records of how results are made.
            finish: called with each picture's end, in the order of the jobs.
        """
        try:
            self._derain_all(jobs, records, finish)
        except BaseException:  # Ctrl-C, perhaps
            self._engine.close()  # else workers would go on writing
            raise
        finally:
            self._remove_unplaced(jobs)

    def _derain_all(
        self, jobs: Sequence[Job], records: Records, finish: Callable[[Finished], None]
    ) -> None:
        outcomes = self._engine.run(self._work, (job for job in jobs if not job.exists))
        hopeless: str | None = None
        for job in jobs:
            if job.exists or hopeless is not None:
                finish(Finished(untried(job, hopeless or "")))
                continue
            finished = self._placed(job, next(outcomes), records)
            if finished.hopeless:
                hopeless = finished.outcome.error
            finish(finished)

    def _remove_unplaced(self, jobs: Sequence[Job]) -> None:
        """Delete what workers have written, or half written, and the record does not know.

        Other shards may be writing to the same folders.
        """
        written = [job for job in jobs if not job.exists]
        pattern = f".rainkit-{self._mark}*"
        with suppress(OSError):
            for folder in {job.output.parent for job in written}:
                for path in folder.glob(pattern):
                    path.unlink(missing_ok=True)
            for folder in {job.parts for job in written if job.parts is not None}:
                for path in folder.rglob(pattern):
                    path.unlink(missing_ok=True)

    def _placed(
        self,
        job: Job,
        outcome: Done[Job, _Answer] | Failed[Job],
        records: Records,
    ) -> Finished:
        """Note a result in the record and give it its name."""
        if isinstance(outcome, Failed):
            error = f"{job.input}: {outcome.reason}"
            records.failed(job, error)
            failed = Outcome(input=job.input, output=job.output, status="failed", error=error)
            return Finished(failed)
        answer = outcome.value
        try:
            answer.notes.add_to(records, job, overwrite=self._overwrite)
        except Exception as unwritten:
            error, hopeless = refused(job, unwritten)
            records.failed(job, error)
            return Finished(
                replace(answer.finished.outcome, status="failed", error=error), hopeless
            )
        return answer.finished


@dataclass(frozen=True, slots=True)
class _Answer:
    finished: Finished
    notes: Notes


class _Worker:
    """A network in a worker."""

    def __init__(self, asked: InferRequest, sha256: str, mark: str) -> None:
        from rainkit.inference import loading  # imports torch

        setup = set_up(
            asked.method or "", asked.options, weights=asked.weights, variant=asked.variant
        )
        if setup.sha256 != sha256:
            raise WeightsError(
                f"{setup.weights_name}: the machines have different weights under this name"
            )
        self._derainer = loading.build(setup)
        self._asked = asked
        self._mark = mark

    def derain(self, job: Job) -> _Answer:
        notes = Notes(self._mark)
        finished = derain_one(
            job,
            self._derainer,
            notes,
            overwrite=self._asked.overwrite,
            quality=self._asked.quality,
            steady=self._asked.steady,
            keep_dry=self._asked.keep_dry,
        )
        return _Answer(finished, notes)

    def runtime(self) -> Runtime:
        runtime = self._derainer.runtime
        return Runtime(runtime.describe(), str(runtime.precision))


def _do(worker: _Worker, job: Job | None) -> _Answer | Runtime:
    return worker.runtime() if job is None else worker.derain(job)

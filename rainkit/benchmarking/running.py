"""Running a benchmark: processes that time networks in turns, and again where it is noisy.

On the CPU, each row has a process of its own, which gives a clean memory figure; on a GPU, rows
share one, whose start takes seconds. A network that runs out of memory or crashes costs its row
and not the table.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from rainkit import plugins
from rainkit.benchmarking import machine
from rainkit.benchmarking.rows import (
    NOISY,
    PAIRWISE,
    Benchmark,
    BenchRequest,
    Job,
    Roof,
    Row,
    Timing,
    jobs_of,
    least_time,
    spread,
    summarised,
)
from rainkit.environment import calm_openmp
from rainkit.errors import UsageError
from rainkit.published import PublishedRow, published_rows
from rainkit.runtime_options import RuntimeOptions

__all__ = ["Process", "run"]

Advance = Callable[[str, Job], None]
"""Called before each measurement with where the benchmark stands and with the job."""

_AGAIN = 2
"""Number of times that noisy rows are measured again."""


class Process:
    """A process that times networks, and the messages to it.

    Attributes:
        alive: whether it can be asked.
    """

    def __init__(self) -> None:
        environment = os.environ.copy()
        calm_openmp(environment)
        self.alive = True
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rainkit.benchmarking.timing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )

    def ask(self, **message: Any) -> dict[str, Any]:
        """Return the answer to a message; if the process has died, one with a ``problem``."""
        pipes = self._process.stdin, self._process.stdout
        assert pipes[0] is not None  # noqa: S101
        assert pipes[1] is not None  # noqa: S101
        line = ""
        with suppress(OSError):
            pipes[0].write(json.dumps(message) + "\n")
            pipes[0].flush()
            line = pipes[1].readline()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            self.alive = False
            return {"problem": self._death(), "usage": False}
        return answer

    def _death(self) -> str:
        code = self._process.wait()
        if code == -9:
            return "killed by the system, most likely because memory ran out: take a smaller --size"
        self._errors.seek(0)
        last = self._errors.read().strip().splitlines()[-1:] or ["it said nothing"]
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"its process ended with {how}: {last[0]}"

    def close(self, *, at_once: bool = False) -> None:
        """Let the process end; without waiting for its work if ``at_once``."""
        self.alive = False
        if at_once:
            self._process.kill()
        with suppress(OSError):  # it has died
            self._process.communicate()
        self._errors.close()


@dataclass(slots=True, eq=False)
class _Case:
    """A job while it is measured."""

    number: int
    job: Job
    process: Process | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    measured: list[dict[str, Any]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    usage: bool = False

    @property
    def pair(self) -> tuple[Any, ...]:
        """What it has in common with the rows that it is compared with."""
        return tuple(getattr(self.job, name) for name in PAIRWISE)

    def counted(self, rounds: int) -> list[float]:
        """Return the times that count: those of the quietest measurements."""
        quietest = sorted(self.measured, key=lambda each: spread(each["times"]))[:rounds]
        return [each for measured in quietest for each in measured["times"]]

    def row(self, rounds: int, roofs: Sequence[Roof], speed_up: float | None) -> Row:
        """Return the row of the table."""
        if self.problem is not None:
            return Row(job=self.job, problem=self.problem, usage=self.usage)
        facts = dict(self.facts)
        layers, _ = facts.pop("layers"), facts.pop("kind")
        facts["cpus"] = tuple(facts["cpus"])
        times = self.counted(rounds)
        seconds = least_time(layers, roofs, facts["device"], facts["threads"])
        energy = [each["energy_j"] for each in self.measured if each["energy_j"] is not None]
        numbers: dict[str, Any] = summarised(times)
        timing = Timing(
            **facts,
            **numbers,
            passes=len(times),
            measurements=len(self.measured),
            noisy=spread(times) > NOISY,
            cpu_s=statistics.median(each["cpu_s"] for each in self.measured),
            energy_j=statistics.median(energy) if energy else None,
            roof_ms=None if seconds is None else seconds * 1e3,
            speed_up=speed_up,
            **{name: each for name, each in self.found.items() if name != "roofs"},
        )
        return Row(job=self.job, timing=timing)


class _Session:
    """The processes of a benchmark, and what is known of the device."""

    def __init__(self, rounds: int, advance: Advance, seconds: float | None) -> None:
        self.rounds = rounds
        self._seconds = seconds
        self._begun = time.monotonic()
        self.roofs: dict[tuple[str, int, str], Roof] = {}
        self._advance = advance
        self._shared: Process | None = None
        self._open: list[Process] = []

    def __enter__(self) -> _Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for process in self._open:
            process.close(at_once=error is not None)

    def measure(self, cases: Sequence[_Case], where: str) -> None:
        """Measure rows in turns, measure those that scatter again, and finish them."""
        for case in cases:
            if self._over():
                case.problem = f"not begun within {self._seconds:g} seconds"
                continue
            self._advance(f"{where}, preparing", case.job)
            self._prepare(case)
            if self.rounds == 1:
                self._time(case, alone=len(cases) == 1)
        for number in range(self.rounds if self.rounds > 1 else 0):
            for case in cases:
                self._advance(f"{where}, round {number + 1} of {self.rounds}", case.job)
                self._time(case, alone=False)
        for _ in range(_AGAIN):
            noisy = {
                case.pair
                for case in cases
                if case.problem is None and spread(case.counted(self.rounds)) > NOISY
            }
            for case in cases:
                if case.pair in noisy and not self._over():  # with its rivals: ratios must hold
                    self._advance(f"{where}, again since times scatter", case.job)
                    self._time(case, alone=len(cases) == 1)
        for case in cases:
            self._finish(case)

    def _over(self) -> bool:
        """Return whether the time for the whole benchmark is over."""
        return self._seconds is not None and time.monotonic() - self._begun > self._seconds

    def _prepare(self, case: _Case) -> None:
        if self._shared is not None and not self._shared.alive:
            self._shared = None
        case.process = self._shared
        if case.process is None:
            case.process = Process()
            self._open.append(case.process)
        answer = self._ask(case, do="prepare", job=asdict(case.job))
        if answer is None:
            if case.process is not self._shared and case.process in self._open:
                self._close(case.process)
            return
        case.facts = answer
        if answer["kind"] != "cpu":
            self._shared = case.process

    def _time(self, case: _Case, *, alone: bool) -> None:
        if case.problem is not None:
            return
        if case.process is None or not case.process.alive:  # another row has ended the process
            self._prepare(case)
        answer = self._ask(case, do="time", rounds=self.rounds, rest=not alone)
        if answer is not None:
            case.measured.append(answer)

    def _finish(self, case: _Case) -> None:
        if case.problem is not None:
            self._drop(case)
            return
        if case.process is None or not case.process.alive:  # another row has ended the process
            case.found = {"peak_memory_mib": None}
            return
        answer = self._ask(case, do="finish")
        if answer is not None:
            case.found = answer
            for precision, gflop_s, gb_s in answer["roofs"]:
                self._note(case, precision, gflop_s, gb_s)
            median = statistics.median(case.counted(self.rounds))
            case.process.ask(id=case.number, do="remember", median_ms=median)
        self._drop(case)

    def _drop(self, case: _Case) -> None:
        process = case.process
        if process is None or not process.alive:
            return
        if process is self._shared:
            process.ask(do="drop", id=case.number)
        else:
            self._close(process)

    def _close(self, process: Process) -> None:
        process.close()
        self._open.remove(process)

    def _note(self, case: _Case, precision: str, gflop_s: float, gb_s: float) -> None:
        """Keep the best of several measurements: the device has shown that it can do it."""
        key = case.facts["device"], case.facts["threads"], precision
        before = self.roofs.get(key)
        if before is not None:
            gflop_s, gb_s = max(gflop_s, before.gflop_s), max(gb_s, before.gb_s)
        self.roofs[key] = Roof(
            device=key[0], threads=key[1], precision=precision, gflop_s=gflop_s, gb_s=gb_s
        )

    def _ask(self, case: _Case, **message: Any) -> dict[str, Any] | None:
        """Return the answer of a case's process; None if it failed, which the case notes."""
        if case.process is None or case.problem is not None:
            return None
        answer = case.process.ask(id=case.number, **message)
        if "problem" in answer:
            case.problem, case.usage = answer["problem"], answer["usage"]
            if "CUDA error" in answer["problem"] and case.process.alive:
                self._close(case.process)  # nothing runs after it in the same process
            return None
        return answer


def run(request: BenchRequest, advance: Advance | None = None) -> Benchmark:
    """Measure all rows of a request.

    With one round, the rows of a network are measured in turns, and one network after another. With
    several, all rows are ready at the same time and take turns, so that their ratios hold on a
    machine whose pace changes. Rows whose times scatter are measured again.

    A method that cannot run is a row with the reason.

    Raises:
        UsageError: an unknown method, device or precision; no method is installed; or no row can
            run as asked for, for example in a precision that every method refuses.
    """
    for precision in request.precisions:
        RuntimeOptions.parse(device=request.device, precision=precision)
    about = machine.described()
    rows = jobs_of(request)
    cases = {i: _Case(i, row) for i, row in enumerate(rows) if isinstance(row, Job)}
    groups = _groups(cases.values(), together=request.rounds > 1)
    with _Session(request.rounds, advance or (lambda where, job: None), request.seconds) as session:
        done = 0
        for group in groups:
            session.measure(group, f"{done + 1} of {len(cases)}")
            done += len(group)
    roofs = tuple(session.roofs.values())
    ratios = _speed_ups(list(cases.values()))
    rows = [
        cases[i].row(request.rounds, roofs, ratios.get(i)) if i in cases else row
        for i, row in enumerate(rows)
    ]
    result = tuple(row for row in rows if isinstance(row, Row))
    if result and all(row.usage for row in result):
        raise UsageError("; ".join(dict.fromkeys(str(row.problem) for row in result)))
    return Benchmark(
        rows=result,
        machine=about,
        roofs=roofs,
        rounds=request.rounds,
        published=_published(request, result),
    )


def _groups(cases: Iterable[_Case], *, together: bool) -> list[list[_Case]]:
    """Return the cases that take turns: all, or those that are compared with one another."""
    groups: dict[tuple[Any, ...], list[_Case]] = {}
    for case in cases:
        groups.setdefault(() if together else case.pair, []).append(case)
    return list(groups.values())


def _speed_ups(cases: Sequence[_Case]) -> dict[int, float]:
    """Return how many times faster each row is than the first one of its network and size."""
    found = {}
    for group in _groups(cases, together=False):
        first, *others = [case for case in group if case.problem is None] or group[:1]
        for case in others:
            turns = zip(first.measured, case.measured, strict=False)
            ratios = [
                statistics.median(a["times"]) / statistics.median(b["times"]) for a, b in turns
            ]
            if ratios:
                found[case.number] = statistics.median(ratios)
        if others:
            found[first.number] = 1.0
    return found


def _published(request: BenchRequest, rows: Sequence[Row]) -> tuple[PublishedRow, ...]:
    """Return the times that the papers of the timed methods print, of their rivals, too."""
    timed = dict.fromkeys(
        row.job.method for row in rows if row.timing and row.job.source == "method"
    )
    found = published_rows(map(plugins.get, timed if request.published else ()))
    return tuple(row for row in found if row.result.seconds)

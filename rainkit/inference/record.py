"""The record of how results were made, which each folder of results holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any

from rainkit.errors import FileError, UsageError
from rainkit.files import alone_in, sha256
from rainkit.inference.outputs import Job, Plan
from rainkit.ledger import Ledger

__all__ = ["Records", "compared"]

_RECORD = ".rainkit-infer.jsonl"
_HEAD = {"record": "infer"}
_LOSSY = (".avif", ".heic", ".heif", ".hif", ".jfif", ".jpeg", ".jpg", ".webp")


def compared(plan: Plan, settings: Mapping[str, Any]) -> Plan:
    """Return the plan with a reason for each existing output that was not made as it is asked for.

    The record in the folder of results tells how they were made. Such outputs are kept.

    Args:
        plan: where results go.
        settings: JSON data: ``method``, ``weights``, ``sha256`` of the weights, and options.
    """
    read = cache(lambda home: Ledger[Any].read(home / _RECORD))

    def one(job: Job) -> Job:
        if not job.made:
            return job
        held = read(job.home)
        reason = _difference(job, held and held.done.get(job.key), settings)
        return dataclasses.replace(job, exists=True, other=reason) if reason else job

    return dataclasses.replace(plan, jobs=tuple(map(one, plan.jobs)))


def _difference(job: Job, entry: Any, settings: Mapping[str, Any]) -> str | None:
    """Return what is different about an output from what was asked for; None if nothing is."""
    try:
        made, source, result = entry["settings"], entry["input"], entry["output"]
        names = (settings.keys() | made.keys()) - {"weights"}
        differing = {name for name in names if made.get(name) != settings.get(name)}
        maker = f"{made['method']} with {made['weights']}"
    except (AttributeError, KeyError, TypeError):
        return "is there, and no record tells how it was made"
    if "method" in differing or "sha256" in differing:
        return f"is there, made by {maker}"
    if job.output.suffix.lower() not in _LOSSY:
        differing.discard("quality")
    if differing:
        options = " and ".join(name.replace("_", " ") for name in sorted(differing))
        return f"is there, made with another {options}"
    with suppress(FileError):  # reading it will tell
        if sha256(job.output) != result:
            return "is there, and was changed since it was made"
        if sha256(job.input) != source:
            return "is there, made of another picture"
    return None


class Records:
    """Records of how results are made, one in each folder of results, while a run adds to them.

    No other run can add to the record of a folder of results meanwhile. A record in a folder where
    a picture stands alone is held only for the moment.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._held = ExitStack()
        self._open: dict[Path, Ledger[Any]] = {}

    def begin(self, jobs: Iterable[Job]) -> None:
        """Hold the records of all folders in which results will be made.

        Raises:
            UsageError: another run is writing results to one of them.
            FileError: a record cannot be written.
        """
        for job in jobs:
            if not (job.exists or job.alone or job.home in self._open):
                self._open[job.home] = self._held.enter_context(_record(job.home))

    def add(self, job: Job, output: str) -> None:
        """Note how a result is made, before it is written.

        Args:
            job: the picture.
            output: the SHA-256 of the result's file.

        Raises:
            FileError: the input cannot be read, or the record not be written.
        """
        entry = {"settings": self._settings, "input": sha256(job.input), "output": output}
        if job.home in self._open:
            self._open[job.home].record(job.key, entry)
            return
        job.home.mkdir(parents=True, exist_ok=True)
        # A run over a whole folder may hold the record.
        with suppress(UsageError), alone_in(job.home), _record(job.home) as record:
            record.record(job.key, entry)

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()


def _record(home: Path) -> Ledger[Any]:
    return Ledger[Any].open(home / _RECORD, settings=_HEAD, restart=True, writer="rainkit infer")

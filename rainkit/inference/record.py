"""The record of how results were made, which each folder of results holds.

It is a :class:`rainkit.ledger.Ledger`: a line for each picture that is done or has failed, with the
hash of the settings, which have a line of their own, hashes of the input, of the result and of its
parts, and when it was made. Each shard of an array job writes a record of its own beside it; all of
them are read as one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from time import time
from typing import IO, Any, TypeAlias

from rainkit.errors import FileError, ImageError, UsageError
from rainkit.files import (
    alone_in,
    atomic_path,
    is_temporary,
    put_in_place,
    sha256,
    staged_path,
    system_reason,
    try_lock,
)
from rainkit.images import VIDEO_SUFFIXES
from rainkit.inference import inputs
from rainkit.inference.inputs import Shard
from rainkit.inference.outputs import Job, Plan
from rainkit.ledger import Ledger

__all__ = ["Notes", "Records", "compared"]

_RECORD = ".rainkit-infer.jsonl"
_SHARDS = ".rainkit-infer-*of*.jsonl"
_HEAD = {"record": "infer"}
_SETTINGS = "/settings/"
"""Begin of the keys of lines with settings; those of pictures are relative paths."""
_LOSSY = (".avif", ".heic", ".heif", ".hif", ".jfif", ".jpeg", ".jpg", ".webp")
_HOUR, _DAY = 3600.0, 86_400.0

_Entry: TypeAlias = dict[str, Any]


def compared(plan: Plan, settings: Mapping[str, Any]) -> Plan:
    """Return the plan with what the records tell of each picture.

    An existing output that was not made as it is asked for gets the reason, and is kept; a picture
    that failed the last time is marked.

    Args:
        plan: where results go.
        settings: JSON data: ``method``, ``weights``, ``sha256`` of the weights, and options.
    """
    read = cache(_entries)

    def one(job: Job) -> Job:
        if job.piped:
            return job
        entries = read(job.home).get(job.key, [])
        newest = entries[0] if entries else None
        if job.other is not None:
            return dataclasses.replace(job, exists=True)
        if not job.made:
            failed = newest is not None and newest.get("status") == "failed"
            return dataclasses.replace(job, failed=failed)
        # The clocks of machines that share a folder differ: what fits the file is what made it.
        reasons = [_difference(job, each, settings) for each in entries or [None]]
        if None not in reasons:
            return dataclasses.replace(job, exists=True, other=reasons[0])
        entry = entries[reasons.index(None)]
        there = job.exists and all(job.part(name).exists() for name in _parts(job, entry))
        return dataclasses.replace(job, exists=there)

    return dataclasses.replace(plan, jobs=tuple(map(one, plan.jobs)))


def _entries(home: Path) -> dict[str, list[Any]]:
    """Return the entries of all records in a folder, with their settings written out.

    Of one output, that which was written last by the clock of its machine comes first.
    """
    found: dict[str, list[Any]] = {}
    for path in (home / _RECORD, *sorted(home.glob(_SHARDS))):
        held = Ledger[Any].read(path)
        done = {} if held is None else held.done
        for key, entry in done.items():
            if key.startswith(_SETTINGS) or not isinstance(entry, dict):
                continue
            named = entry.get("settings")
            known = done.get(f"{_SETTINGS}{named}") if isinstance(named, str) else named
            found.setdefault(key, []).insert(0, {**entry, "settings": known})
    for entries in found.values():
        entries.sort(key=lambda entry: str(entry.get("time", "")), reverse=True)
    return found


def _parts(job: Job, entry: Any) -> Mapping[str, str]:
    parts = entry.get("parts") if job.parts is not None and isinstance(entry, dict) else None
    return parts if isinstance(parts, dict) else {}


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
    differing.discard("keep_dry" if job.video else "steady")
    if differing:
        options = " and ".join(name.replace("_", " ") for name in sorted(differing))
        return f"is there, made with another {options}"
    with suppress(FileError):  # reading it will tell
        # The size and the time of a file that nobody has written to say so without reading it.
        written, seen = entry.get("written"), entry.get("seen")
        if inputs.fingerprint(job.output) != (written or "") and sha256(job.output) != result:
            return "is there, and was changed since it was made"
        if inputs.fingerprint(job.input) != (seen or "") and _hash(job.input) != source:
            return "is there, made of another picture"
        return _other_parts(job, _parts(job, entry))
    return None


def _other_parts(job: Job, known: Mapping[str, str]) -> str | None:
    if not job.exists or job.parts is None:
        return None
    if not known:
        return "is there, and no record tells how the parts beside it were made"
    for name, digest in known.items():
        if job.part(name).exists() and sha256(job.part(name)) != digest:
            return f"is there, and its part {name} was changed since it was made"
    return None


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(inputs.read_bytes(path)).hexdigest()
    except ImageError as error:
        raise FileError(str(error)) from error


class Records:
    """Records of how results are made, one in each folder of results, while a run adds to them.

    No other run can add to the record of a folder of results meanwhile, except that shards of one
    number can be made at the same time. A record in a folder where a picture stands alone is held
    only for the moment. Threads may share it.
    """

    def __init__(self, settings: Mapping[str, Any], shard: Shard | None = None) -> None:
        self._settings = dict(settings)
        text = json.dumps(self._settings, sort_keys=True)
        self._hash = hashlib.sha256(text.encode()).hexdigest()
        self._shard = shard
        self._held = ExitStack()
        self._open: dict[Path, Ledger[Any]] = {}
        self._lock = threading.Lock()

    def begin(self, jobs: Iterable[Job]) -> None:
        """Hold the records of all folders in which results will be made.

        Files that a killed run was writing are deleted.

        Raises:
            UsageError: another run is writing results to one of them.
            FileError: a record cannot be written.
        """
        folders: set[Path] = set()
        for job in jobs:
            if job.exists or job.alone or job.piped:
                continue
            folders.add(job.output.parent)
            if job.home not in self._open:
                self._open[job.home] = self._held.enter_context(self._opened(job.home))
        for folder in folders:
            # Other shards may be writing to the same folder.
            _remove_temporary(folder, older=0.0 if self._shard is None else _DAY)

    def _opened(self, home: Path) -> Ledger[Any]:
        if self._shard is None:
            return _record(home)
        home.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(_shared(home / _RECORD, home))
        own = f".rainkit-infer-{self._shard.number}of{self._shard.of}.jsonl"
        for path in home.glob(_SHARDS):
            if path.stem.rpartition("of")[2] != str(self._shard.of):
                _shared(path, home).close()
        return Ledger[Any].open(
            home / own, settings=_HEAD, restart=True, writer=f"rainkit infer --shard {self._shard}"
        )

    def done(
        self,
        job: Job,
        *,
        source: str | None,
        seen: str | None,
        output: str,
        written: str | None,
        seconds: float,
    ) -> None:
        """Note how a result is made, before it is there under its name.

        Args:
            job: the picture.
            source: the SHA-256 of the input.
            seen: the :func:`rainkit.inference.inputs.fingerprint` of the input before it was read.
            output: the SHA-256 of the result's file.
            written: the fingerprint of this file.
            seconds: time in the network.

        Raises:
            FileError: the record cannot be written.
        """
        self._note(
            job,
            {
                "status": "done",
                "input": source,
                "seen": seen,
                "output": output,
                "written": written,
                "seconds": round(seconds, 3),
            },
        )

    def file(self, path: Path, *, overwrite: bool) -> AbstractContextManager[Path]:
        """Give a temporary file to write to, see :func:`rainkit.files.atomic_path`."""
        return atomic_path(path, overwrite=overwrite)

    def parts(self, job: Job, hashes: Mapping[str, str]) -> None:
        """Add the SHA-256 of each part to the note of a result, before the last one is there.

        Raises:
            FileError: the record cannot be written.
        """
        self._note(job, {"parts": dict(hashes)}, more=True)

    def failed(self, job: Job, reason: str) -> None:
        """Note that there is no result; a result of an earlier run keeps its note."""
        if not (job.piped or os.path.exists(job.output)):  # False for names that are too long
            with suppress(FileError):  # such as a full disk, which is known by then
                self._note(job, {"status": "failed", "error": reason})

    def _note(self, job: Job, entry: _Entry, *, more: bool = False) -> None:
        if job.piped:
            return
        if job.home in self._open:
            self._append(self._open[job.home], job.key, entry, more=more)
            return
        job.home.mkdir(parents=True, exist_ok=True)
        # A run over a whole folder may hold the record.
        with suppress(UsageError), alone_in(job.home), _record(job.home) as record:
            self._append(record, job.key, entry, more=more)

    def _append(self, record: Ledger[Any], key: str, entry: _Entry, *, more: bool) -> None:
        named = f"{_SETTINGS}{self._hash}"
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock:
            if record.done(named) is None:
                record.record(named, self._settings)
            known = record.done(key) if more else None
            if more and known is None:  # another record has what the result was made with
                known = next(iter(_entries(record.path.parent).get(key, ())), None)
            record.record(key, {**(known or {}), "settings": self._hash, **entry, "time": now})

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()


class Notes:
    """What a worker in another process would add to records, and the files that it has written.

    The process that holds the records adds it to them, and gives the files their names.

    Args:
        mark: what the temporary names of the files have in common, in hexadecimal digits.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._steps: list[tuple[str, Any]] = []

    def done(self, job: Job, **known: Any) -> None:
        """Note what :meth:`Records.done` takes."""
        self._steps.append(("done", known))

    def parts(self, job: Job, hashes: Mapping[str, str]) -> None:
        """Note what :meth:`Records.parts` takes."""
        self._steps.append(("parts", dict(hashes)))

    def failed(self, job: Job, reason: str) -> None:
        """Note what :meth:`Records.failed` takes."""
        self._steps.append(("failed", reason))

    @contextmanager
    def file(self, path: Path, *, overwrite: bool) -> Iterator[Path]:
        """Give a temporary file to write to, which is given its name by :meth:`add_to`."""
        with staged_path(path, overwrite=overwrite, mark=self._mark) as temporary:
            yield temporary
        self._steps.append(("file", (temporary, path)))

    def add_to(self, records: Records, job: Job, *, overwrite: bool) -> None:
        """Add everything to records in the order in which it was noted.

        Raises:
            FileError: a record cannot be written, or a file not get its name.
        """
        files = [what for step, what in self._steps if step == "file"]
        try:
            for step, what in self._steps:
                if step == "done":
                    records.done(job, **what)
                elif step == "parts":
                    records.parts(job, what)
                elif step == "failed":
                    records.failed(job, what)
                else:
                    put_in_place(*what, overwrite=overwrite)
        finally:
            for temporary, _ in files:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)


def _record(home: Path) -> Ledger[Any]:
    return Ledger[Any].open(home / _RECORD, settings=_HEAD, restart=True, writer="rainkit infer")


def _shared(path: Path, home: Path) -> IO[bytes]:
    """Return an open record that a run over the whole folder cannot have before it is closed."""
    try:
        file = path.open("ab")
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({system_reason(error)})") from error
    if not try_lock(file, shared=True):
        file.close()
        raise UsageError(
            f"{home}: another rainkit infer is writing there, for all pictures or for another "
            "number of shards; wait for its end"
        )
    return file


def _remove_temporary(folder: Path, *, older: float) -> None:
    """Delete what a killed run has left in a folder, if it is older than a number of seconds.

    Videos take long to write, and a single one holds no record that would keep this run away.
    """
    for path in folder.glob(".rainkit-*"):
        least = max(older, _HOUR) if path.suffix.lower() in VIDEO_SUFFIXES else older
        with suppress(OSError):
            if is_temporary(path) and time() - path.stat().st_mtime >= least:
                path.unlink()

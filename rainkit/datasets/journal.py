"""The journal of a run: what an unfinished dataset holds already, whatever ended the run.

JSON lines: first what the run is, then one line for each finished scene. A scene's files are whole
before its line is written, and the line is on the disk before the next one is begun.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

from rainkit.datasets import manifest
from rainkit.datasets.manifest import Record
from rainkit.errors import DatasetError, RainkitError, UsageError

__all__ = ["Journal", "files_in"]

_VERSION = 1


class _Content(NamedTuple):
    """What of a journal is whole: its head, the scenes, and how many bytes they take."""

    plan: str
    former: tuple[str, ...]
    done: dict[str, tuple[Record, ...]]
    size: int

    @property
    def files(self) -> tuple[str, ...]:
        made = (name for records in self.done.values() for r in records for name in r.files)
        return tuple(dict.fromkeys((*self.former, *made)))


class Journal:
    """An open journal; while it is, no other process can open it.

    Attributes:
        path: of the file.
        former: files of an overwritten dataset, relative to the folder, to be removed at the end.
        done: records of the finished scenes by their names.
    """

    def __init__(
        self, path: Path, plan: str, former: Iterable[str] = (), *, restart: bool = False
    ) -> None:
        """Open the journal of a run, or begin it.

        A last line that was cut off is removed: its scene is made again.

        Args:
            path: of the file; its folder exists.
            plan: what tells this run from another, such as a hash.
            former: written down where the journal is new.
            restart: begin anew where the journal is of another plan; what that had made becomes
                former files.

        Raises:
            UsageError: another run is writing it, or it is of another plan.
            DatasetError: it cannot be opened or written.
        """
        self.path = path
        try:
            self._file: BinaryIO = path.open("a+b")
        except OSError as error:
            raise self._failed(error) from error
        try:
            self._lock()
            self._file.seek(0)
            old = _parse(self._file)
            if old is not None and old.plan == plan:
                self._file.truncate(old.size)
                self.former, self.done = old.former, old.done
                return
            if old is not None and not restart:
                raise UsageError(
                    f"{path.parent} holds an unfinished dataset of other photographs, or of ones "
                    "that have changed since; add --overwrite to start again"
                )
            self.former = (*former, *(() if old is None else old.files))
            self.done = {}
            self._file.truncate(0)
            self._append({"v": _VERSION, "plan": plan, "former": self.former})
        except OSError as error:
            self._file.close()
            raise self._failed(error) from error
        except RainkitError:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, scene: str, records: Iterable[Record]) -> None:
        """Note a finished scene, on the disk when this returns.

        Raises:
            DatasetError: it cannot be written.
        """
        self.done[scene] = tuple(records)
        self._append({"scene": scene, "records": [asdict(r) for r in self.done[scene]]})

    def remove(self) -> None:
        """Delete the file: the dataset is finished."""
        self.path.unlink(missing_ok=True)

    def _append(self, data: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(data, allow_nan=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{self.path.parent}: another rainkit synth is writing there; wait for its end"
            ) from error
        except OSError:  # a file system without locks
            return

    def _failed(self, error: OSError) -> DatasetError:
        return DatasetError(f"{self.path}: cannot be written ({error.strerror or error})")


def files_in(path: Path) -> tuple[str, ...]:
    """Files of a dataset that the journal at ``path`` knows; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = _parse(file)
    except OSError:
        return ()
    return () if content is None else content.files


def _parse(file: BinaryIO) -> _Content | None:
    """Read up to the first line that is damaged; None where that is the head."""
    head: dict[str, Any] | None = None
    done: dict[str, tuple[Record, ...]] = {}
    size = 0
    for line in file:
        try:
            if not line.endswith(b"\n"):
                break
            data = json.loads(line)
            if head is None:
                if data["v"] != _VERSION:
                    return None
                head = {"plan": str(data["plan"]), "former": tuple(map(str, data["former"]))}
            else:
                done[data["scene"]] = manifest.records_from_data(data["records"])
        except (ValueError, KeyError, TypeError, DatasetError):
            break
        size += len(line)
    return None if head is None else _Content(head["plan"], head["former"], done, size)

"""A record of finished work that survives whatever ends a run.

A ledger is a file of JSON lines: the first line says which run it belongs to, and each further line
is one finished piece of work. Whoever records a piece has written its files whole before, and the
line is on the disk when :meth:`Ledger.record` returns. A run that was killed opens the ledger again
and goes on with what is not in it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, BinaryIO, Generic, TypeVar

from rainkit.errors import FileError, RainkitError, UsageError
from rainkit.files import flush_folder, lock_holder, system_reason, try_lock

__all__ = ["Held", "Ledger"]

_VERSION = 1

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Held(Generic[Entry]):
    """Content of the whole lines of a ledger.

    Attributes:
        settings: what tells the run from others.
        about: what the run noted when it began.
        done: the finished pieces by their keys, in the order in which they were recorded.
    """

    settings: Any
    about: Mapping[str, Any]
    done: Mapping[str, Entry]

    def is_of(self, settings: Any) -> bool:
        """Return whether a run with these settings can go on from here."""
        return bool(self.settings == _plain(settings))


class Ledger(Generic[Entry]):
    """An open ledger; while it is open, no other process can open it.

    It is a context manager that closes the file. :meth:`Ledger.open` makes one.
    """

    def __init__(
        self,
        path: Path,
        file: FileIO,
        about: dict[str, Any],
        done: dict[str, Entry],
        encode: Callable[[Entry], Any],
    ) -> None:
        """Take over a locked file that ends with a whole line."""
        self.path = path
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._about = about
        self._done = done
        self._encode = encode

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        settings: Any,
        about: Callable[[Held[Entry] | None], Mapping[str, Any]] | None = None,
        encode: Callable[[Entry], Any] = lambda entry: entry,
        decode: Callable[[Any], Entry] = lambda data: data,
        restart: bool = False,
        writer: str = "rainkit",
        other: str = "",
    ) -> Ledger[Entry]:
        """Open the ledger of a run, or begin it.

        A last line that was cut off by a kill is removed. Other damaged lines are passed over: that
        work is done again. A file whose first line is damaged is put aside under another name.

        Args:
            path: the file; its folder is made if it is missing.
            settings: JSON data that tells this run from others, such as a hash.
            about: called when the ledger is begun, with the ledger of other settings that it
                replaces or None; what it returns is noted in the first line.
            encode: turns an entry into JSON data.
            decode: turns JSON data into an entry. A line that it cannot read is damaged; it says so
                by ValueError, KeyError, TypeError or a RainkitError.
            restart: begin anew if the ledger there is of other settings.
            writer: the command that writes such ledgers, for the message to a second one.
            other: the message if the ledger there is of other settings and ``restart`` is False.

        Raises:
            UsageError: another process is writing the ledger, or it is of other settings, or of a
                version that this rainkit does not know.
            FileError: the file cannot be opened or written.
        """
        settings = _plain(settings)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = _open_locked(path, writer)
        except OSError as error:
            raise _failed(path, error) from error
        try:
            file.seek(0)
            held, size, version = _parse(content := BytesIO(file.readall()), decode)
            if version not in (None, _VERSION):
                raise UsageError(
                    f"{path}: is a record of version {version!r}, and this rainkit knows "
                    f"{_VERSION}; use the rainkit that wrote it, or move the file away"
                )
            if held is None and content.getvalue().count(b"\n") > 1:
                aside = path.with_name(f"{path.name}.damaged")
                aside.write_bytes(content.getvalue())
            if held is not None and held.is_of(settings):
                file.truncate(size)
                return cls(path, file, dict(held.about), dict(held.done), encode)
            if held is not None and not restart:
                raise UsageError(
                    other
                    or f"{path}: belongs to a run with other settings, which is unfinished; repeat "
                    "its command to finish it, or add --overwrite to start again"
                )
            noted = {} if about is None else dict(about(held))
            file.truncate(0)
            ledger = cls(path, file, noted, {}, encode)
            ledger._append({"ledger": _VERSION, "settings": settings, "about": noted})
            flush_folder(path.parent)
        except OSError as error:
            file.close()
            raise _failed(path, error) from error
        except BaseException:
            file.close()
            raise
        return ledger

    @staticmethod
    def read(
        path: Path, *, decode: Callable[[Any], Entry] = lambda data: data
    ) -> Held[Entry] | None:
        """Return what a ledger holds without opening it for writing; None if there is none."""
        try:
            with path.open("rb") as file:
                return _parse(file, decode)[0]
        except OSError:
            return None

    @property
    def about(self) -> Mapping[str, Any]:
        """Facts that the run recorded when it began."""
        return MappingProxyType(self._about)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All finished pieces by their keys, in the order in which they were recorded."""
        return MappingProxyType(self._done)

    def done(self, key: str) -> Entry | None:
        """Return the entry of a finished piece of work; None if it is not finished."""
        return self._done.get(key)

    def record(self, key: str, entry: Entry) -> None:
        """Note a finished piece of work; the line is on the disk when this returns.

        A key that is recorded again has its newer entry from then on.

        Raises:
            FileError: the line cannot be written.
        """
        self._append({"key": key, "entry": self._encode(entry)})
        self._done[key] = entry

    def remove(self) -> None:
        """Delete the file: everything is finished."""
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:  # Windows deletes no open files
            self.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file and let other processes have it."""
        self._file.close()

    def __enter__(self) -> Ledger[Entry]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, data: dict[str, Any]) -> None:
        line = json.dumps(data, allow_nan=False).encode() + b"\n"
        try:
            # Else the next run would not know what this one has made.
            if not os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            # Half a line would hide the whole ones after it.
            with suppress(OSError):
                self._file.truncate(self._size)
            raise _failed(self.path, error) from error
        self._size += len(line)


def _plain(data: Any) -> Any:
    """Return data as JSON gives it back: tuples become lists."""
    return json.loads(json.dumps(data))


def _open_locked(path: Path, writer: str) -> FileIO:
    while True:
        file = FileIO(path, "a+")
        if not try_lock(file):
            file.close()
            holder = lock_holder(path)
            who = "" if holder is None else f" (process {holder})"
            raise UsageError(
                f"{path.parent}: another {writer}{who} is writing there; wait for its end"
            )
        # A run that has just finished may have deleted the file between the two steps.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _failed(path: Path, error: OSError) -> FileError:
    return FileError(f"{path}: cannot be written ({system_reason(error)})")


def _parse(
    file: BinaryIO, decode: Callable[[Any], Entry]
) -> tuple[Held[Entry] | None, int, int | None]:
    """Return what the whole lines say, how many bytes these are, and the version of the file.

    The version is None if the first line is damaged.
    """
    head: dict[str, Any] | None = None
    done: dict[str, Entry] = {}
    size = 0
    for line in file:
        if not line.endswith(b"\n"):
            break
        try:
            data = json.loads(line)
            if head is None:
                if data["ledger"] != _VERSION:
                    return None, 0, data["ledger"]
                head = {"settings": data["settings"], "about": dict(data["about"])}
            else:
                done[str(data["key"])] = decode(data["entry"])
        except (ValueError, KeyError, TypeError, RecursionError, RainkitError):
            if head is None:
                break
        size += len(line)
    if head is None:
        return None, 0, None
    return Held(head["settings"], head["about"], done), size, _VERSION

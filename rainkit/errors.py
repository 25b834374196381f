"""Every error rainkit raises on purpose, and the exit codes of its commands.

    RainkitError              exit code 1
    ├── UsageError            exit code 2: an option, a name or a combination that cannot work
    │   └── PairingError      exit code 2: rainy and clean pictures that do not match up
    ├── MethodError           a plugin that is missing, broken or too new
    ├── FileError             a file that cannot be read or written
    │   └── ImageError        a picture that cannot be read or written
    ├── DatasetError          a folder, manifest or record that is not what it should be
    ├── WeightsError          a weights file that is missing, damaged or of another method
    ├── TrainingError         a training run that cannot start, continue or be saved
    └── WorkerError           worker processes that cannot be set up, or that end early

A command ends with 0 if all was done, with 1 if something failed (one bad picture does not end a
run), with 2 if it was used wrongly, with 3 (:data:`BAR_MISSED`) if a score misses a bar that was
set, and with 130 (:data:`INTERRUPTED`) after Ctrl-C.

Messages are one line that names the file or option at fault and the remedy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "BAR_MISSED",
    "INTERRUPTED",
    "DatasetError",
    "FileError",
    "ImageError",
    "MethodError",
    "PairingError",
    "RainkitError",
    "TrainingError",
    "UsageError",
    "WeightsError",
    "WorkerError",
    "described",
    "exiting",
    "one_line",
]


BAR_MISSED = 3
"""Exit code of a command whose scores miss a bar, such as ``--max-drop``."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class RainkitError(Exception):
    """Base of every error raised on purpose; the CLI prints its message and no traceback."""

    exit_code = 1


class UsageError(RainkitError):
    """The request itself cannot work: a wrong option, an unknown name, nothing to do."""

    exit_code = 2


class PairingError(UsageError):
    """Rainy and clean pictures do not match up by name or size."""


class MethodError(RainkitError):
    """An installed method is missing, broken, or written for another rainkit."""


class FileError(RainkitError):
    """A file or folder cannot be read or written."""


class ImageError(FileError):
    """A picture cannot be read or written."""


class DatasetError(RainkitError):
    """A dataset on disk is not what it should be."""


class WeightsError(RainkitError):
    """A weights file is missing, damaged, or belongs to another method."""


class TrainingError(RainkitError):
    """A training run cannot start, continue or be saved."""


class WorkerError(RainkitError):
    """Worker processes cannot be set up, or one ended before its item was done."""


def one_line(error: BaseException) -> str:
    """Return another library's message in one line of at most 200 characters, or its class."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def exiting() -> Iterator[None]:
    """End a script with one line and an exit code, as commands end, if rainkit raises an error.

    Raises:
        SystemExit: a :class:`RainkitError` was raised inside, whose message stderr has got.
    """
    try:
        yield
    except RainkitError as error:
        sys.stderr.write(f"error: {described(error)}\n")
        raise SystemExit(error.exit_code) from None


def described(error: Exception) -> str:
    """Return any error as one line for a report.

    This is the message of an error that was raised on purpose, and class and message of any other.
    """
    if isinstance(error, RainkitError):
        return " ".join(str(error).split())
    kind = "out of memory" if isinstance(error, MemoryError) else type(error).__name__
    return f"{kind}: {one_line(error)}" if str(error).strip() else kind

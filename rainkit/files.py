"""Files and folders: atomic writes, hashes, locks, JSON, and how names are ordered and counted."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rainkit.errors import FileError

__all__ = [
    "alone_in",
    "atomic_path",
    "counted",
    "each_of",
    "expanded",
    "fault_of_name",
    "flush_folder",
    "is_device",
    "is_temporary",
    "lock_holder",
    "natural",
    "put_in_place",
    "read_json",
    "remove_temporary",
    "sha256",
    "staged_path",
    "system_reason",
    "try_lock",
    "write_json",
    "write_text",
]

_FAR = 0x7FFF_FFF0
_LOCK = ".rainkit.lock"
"""File in a folder that stands for the folder where folders themselves cannot be locked."""
_TEMPORARY = re.compile(r"\.rainkit-[0-9a-f]{12,}(\.\w+)?")


@contextmanager
def atomic_path(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary sibling of ``path`` to write to, which becomes ``path`` at the end.

    The folder is made if it is missing. The temporary name is hidden and has the suffix of
    ``path``. The file is flushed to the disk before it is renamed, and it is removed if the block
    raises anything, Ctrl-C included.

    Args:
        path: the file to make.
        overwrite: replace an existing file.

    Raises:
        FileError: the file exists and ``overwrite`` is False, or the system refuses to write.
    """
    with staged_path(path, overwrite=overwrite) as temporary:
        yield temporary
    put_in_place(temporary, path, overwrite=overwrite)


@contextmanager
def staged_path(path: Path, *, overwrite: bool, mark: str = "") -> Iterator[Path]:
    """Do as :func:`atomic_path`, but leave the last step, :func:`put_in_place`, to the caller.

    Args:
        path: the file to make.
        overwrite: replace an existing file.
        mark: hexadecimal digits in the temporary name by which the caller finds it again.

    Raises:
        FileError: as there.
    """
    temporary = path.with_name(f".rainkit-{mark}{secrets.token_hex(6)}{path.suffix}")
    try:
        _refuse_existing(path, overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
    except BaseException as error:
        # If the folder itself could not be made, there is nothing to remove but an error.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritten(path, error) from error
        raise


def put_in_place(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Give a file that is written and flushed its own name, or remove it if that is refused.

    Raises:
        FileError: the file exists and ``overwrite`` is False, or the system refuses.
    """
    try:
        _refuse_existing(path, overwrite)
        temporary.replace(path)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _unwritten(path: Path, error: OSError) -> FileError:
    return FileError(f"{path}: cannot be written ({system_reason(error)})")


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise FileError(f"{path}: is a folder; name a file")
    if not overwrite and path.exists():
        raise FileError(f"{path}: exists; pass --overwrite, or write somewhere else")


def expanded(path: Path | str) -> Path:
    """Return a path with ``~`` replaced by the user's folder, unless it exists as it is written."""
    found = Path(path)
    if os.path.lexists(found):
        return found
    with suppress(RuntimeError):  # there is no such user: the name merely begins like this
        return found.expanduser()
    return found


def is_temporary(path: Path) -> bool:
    """Return whether a file's name is one that :func:`atomic_path` writes to."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_temporary(folder: Path) -> None:
    """Delete the temporary files that a killed process has left in a folder and below it."""
    for path in folder.rglob(".rainkit-*"):
        if is_temporary(path):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, overwrite: bool, errors: str = "backslashreplace") -> None:
    """Write a text file in UTF-8; it appears whole or not at all.

    Args:
        path: the file to make.
        text: its content; line ends are written as they are.
        overwrite: replace an existing file.
        errors: what becomes of names of files that are not UTF-8, as for :meth:`str.encode`. By
            default the bytes of such names are written as ``\\udcd3``, which JSON reads back.

    Raises:
        FileError: the file exists and ``overwrite`` is False, or the system refuses to write.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors, newline="")


def write_json(path: Path, data: Any, *, overwrite: bool = True) -> None:
    """Write data as indented JSON that people can read, too.

    Raises:
        FileError: the file exists and ``overwrite`` is False, or the system refuses to write.
        ValueError: the data holds an infinity or NaN, which JSON does not have.
    """
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n", overwrite=overwrite)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        FileError: the file cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({system_reason(error)})") from error
    except ValueError as error:
        raise FileError(f"{path}: is not valid JSON ({error}); make it again") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex.

    Raises:
        FileError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({system_reason(error)})") from error


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process holds this folder, and hold it during the block.

    The system lets go for a process that is killed. On a file system without locks the block runs
    at once.

    Raises:
        FileError: the folder cannot be opened.
    """
    try:
        try:
            handle = os.open(folder, os.O_RDONLY)
        except PermissionError:  # Windows opens no folders
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise FileError(f"{folder}: cannot be opened ({system_reason(error)})") from error
    try:
        with suppress(OSError):  # a file system without locks
            _lock(handle, wait=True)
        yield
    finally:
        os.close(handle)


def flush_folder(folder: Path) -> None:
    """Make sure that the name of a new file survives a power cut, too.

    Windows opens no folders, and needs no such call.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789"))
)


def is_device(name: str) -> bool:
    """Return whether Windows takes a file's name for that of a device, such as ``aux.png``."""
    return name.partition(".")[0].rstrip().casefold() in _DEVICES


def fault_of_name(name: str, *, windows: bool = os.name == "nt") -> str | None:
    """Return why a file cannot have a name; None if it can.

    Windows would write ``a:b.png`` into a hidden stream of the file ``a``, and ``aux.png`` nowhere.

    Args:
        name: the name, without folders.
        windows: whether the rules of Windows count.
    """
    if not windows:
        return None
    if odd := sorted(set(name) & set('<>:"/\\|?*')):
        return f"Windows allows no {' '.join(odd)} in names"
    if name.endswith((".", " ")):
        return "Windows allows no dot or space at the end of a name"
    return f"{name.partition('.')[0]} is a device of Windows" if is_device(name) else None


def try_lock(file: IO[Any], *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; return False if another process has locked it.

    On a file system without locks the answer is True.

    Args:
        file: the file.
        shared: whether other processes may have shared locks at the same time.
    """
    try:
        _lock(file.fileno(), wait=False, shared=shared)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _lock(handle: int, *, wait: bool, shared: bool = False) -> None:
    """Lock an open file until it is closed; other processes may share a shared lock.

    Raises:
        BlockingIOError, PermissionError: another process has locked it, and we do not wait.
        OSError: the file system, or the operating system, has no locks.
    """
    with suppress(ImportError):
        fcntl: Any = importlib.import_module("fcntl")
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(handle, kind | (0 if wait else fcntl.LOCK_NB))
        return
    try:
        msvcrt: Any = importlib.import_module("msvcrt")
    except ImportError as error:
        raise OSError("this system has no locks") from error
    if shared:
        raise OSError("this system has no locks that can be shared")
    # Windows locks bytes, and against reading, too: one that no file reaches.
    position = os.lseek(handle, 0, os.SEEK_CUR)
    os.lseek(handle, _FAR, os.SEEK_SET)
    try:
        while True:
            try:
                msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:  # after ten seconds
                if not wait:
                    raise
            else:
                return
    finally:
        os.lseek(handle, position, os.SEEK_SET)


def lock_holder(path: Path) -> int | None:
    """Return the number of the process that has locked a file; None if the system does not say.

    Only Linux says, and only for processes of the same machine.
    """
    with suppress(OSError, ValueError):
        inode = str(path.stat().st_ino)
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            # 1: FLOCK  ADVISORY  WRITE 9432 fe:00:2146346 0 EOF
            words = line.split()
            if "->" not in words and words[1] == "FLOCK" and words[5].endswith(f":{inode}"):
                return int(words[4]) or None
    return None


def each_of(given: Iterable[Path | str] | Path | str) -> tuple[Path | str, ...]:
    """Return several names as they are, and a lone one, which is no list of letters, as one."""
    return (given,) if isinstance(given, (str, Path)) else tuple(given)


def natural(text: str) -> tuple[str | int, ...]:
    """Return a sort key that counts: ``a2`` comes before ``a10``."""
    parts = re.split(r"(\d+)", text)
    return tuple(int(part) if i % 2 else part.casefold() for i, part in enumerate(parts))


def counted(number: int, noun: str = "picture") -> str:
    """Return ``1 picture`` or ``2 pictures``, for nouns that take an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def system_reason(error: OSError) -> str:
    """Return the system's words for an error, such as ``No space left on device``."""
    return error.strerror or str(error)

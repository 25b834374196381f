"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rainkit.errors import ImageError

__all__ = ["atomic_path"]


@contextmanager
def atomic_path(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary file beside ``path``, which becomes ``path`` when the block succeeds.

    The folder is created if it is missing. The temporary file is hidden and has the suffix of
    ``path``. It is removed on any exception, including Ctrl-C.

    Args:
        path: path of the file to write.
        overwrite: whether an existing file is replaced.

    Raises:
        ImageError: The file exists and ``overwrite`` is False, or the system refuses to write.
    """
    temporary = path.with_name(f".rainkit-{secrets.token_hex(6)}{path.suffix}")
    try:
        _refuse_existing(path, overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _refuse_existing(path, overwrite)
        temporary.replace(path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({_reason(error)})") from error
    finally:
        # Where the folder itself could not be made there is nothing to remove, but an error.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; name a file")
    if not overwrite and path.exists():
        raise ImageError(f"{path}: exists; pass --overwrite, or write somewhere else")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)

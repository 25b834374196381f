"""Receiving pictures and clips over HTTP, within limits.

Pictures are held in memory, and clips are written to folders that the server has made for them.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from rainkit.files import system_reason
from rainkit.serving.jobs import Memory, Upload
from rainkit.serving.pool import Pool

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["Receiver", "plain_name"]

_AROUND = 16_384
"""Largest number of bytes around a picture in a form: boundaries, headers, small fields."""

_LONGEST_NAME = 100


def plain_name(name: str, nameless: str = "picture") -> str:
    """Return what is left of a client's file name without folders and unusual characters.

    Args:
        name: the name.
        nameless: what is returned if nothing is left.
    """
    last = re.split(r"[\\/]", name)[-1]
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(" .")
    if len(kept) > _LONGEST_NAME:
        stem, dot, suffix = kept.rpartition(".")
        kept = (stem or suffix)[: _LONGEST_NAME - 10].rstrip() + (dot + suffix)[:10] * bool(stem)
    return kept or nameless


class Receiver:
    """Reads the bodies of requests.

    Args:
        pool: its queue has a place for every file that is received.
        held: what counts the bytes of files.
        most_bytes: of a file.
        seconds: longest time in which the files of a request must arrive.
        folder: makes a new folder for a file that is written to the disk, as clips are; None for
            pictures, which are held in memory.
    """

    def __init__(
        self,
        pool: Pool,
        held: Memory,
        *,
        most_bytes: int,
        seconds: float,
        folder: Callable[[], Path] | None = None,
    ) -> None:
        self._pool = pool
        self._held = held
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._running: set[asyncio.Timeout] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False
        self._folder = folder
        self._what = "picture" if folder is None else "clip"

    async def receive(self, request: Request, *, most: int = 1) -> list[Upload]:
        """Return the files of a request: a form with files, or the bytes of one file.

        Each of them that has no error holds a place of the queue, and its bytes.

        Args:
            request: a request whose body was not read.
            most: largest number of files.

        Raises:
            HTTPException: the body is no form, has no file or too many, took too long to arrive, or
                cannot be written (400, 408, 413, 500).
            BusyError: the queue, the memory or the disk is full.
        """
        limit = most * (self._most_bytes + _AROUND)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise HTTPException(413, f"{declared} bytes are too many: {self._told()}")
        kind, options = parse_options_header(request.headers.get("content-type"))
        form = kind.lower() == b"multipart/form-data"
        if form and not options.get(b"boundary"):
            raise HTTPException(400, "the form has no boundary: send multipart/form-data")
        body = _Body(self._pool, self._held, self._most_bytes, most, self._what, self._folder)
        received = 0
        limit_of_time: asyncio.Timeout | None = None
        try:
            parser = MultipartParser(options[b"boundary"], body.callbacks()) if form else None
            if parser is None:
                body.begin(self._what)
            async with asyncio.timeout(self._seconds) as limit_of_time:
                self._running.add(limit_of_time)
                self._loop = asyncio.get_running_loop()
                if self._stopped:
                    raise TimeoutError
                async for chunk in request.stream():
                    received += len(chunk)
                    if received > limit:
                        raise HTTPException(413, f"too many bytes: {self._told()}")
                    if parser is None:
                        body.add(chunk)
                    else:
                        parser.write(chunk)
            if parser is None:
                body.end()
            else:
                parser.finalize()
                if not body.whole:
                    raise HTTPException(400, "the form ends too early: send it whole")
            return body.taken()
        except FormParserError as error:
            raise HTTPException(400, "the form is damaged: send multipart/form-data") from error
        except TimeoutError as error:
            if self._stopped:
                raise HTTPException(503, "the server is about to end; try again later") from error
            limit_s = f"{self._seconds:g} s"
            raise HTTPException(408, f"the {self._what} did not arrive in {limit_s}") from error
        except OSError as error:  # after TimeoutError, which is one
            text = f"the {self._what} cannot be written ({system_reason(error)})"
            raise HTTPException(500, text) from error
        finally:
            if limit_of_time is not None:
                self._running.discard(limit_of_time)
            body.give_back()

    def stop(self) -> None:
        """Give up what is arriving, and take nothing more; a handler of signals may call it."""
        self._stopped = True
        if (loop := self._loop) is None or loop.is_closed():
            return

        def give_up() -> None:
            for each in self._running:
                if not each.expired():  # whose time cannot be changed any more
                    each.reschedule(loop.time())

        loop.call_soon_threadsafe(give_up)

    def _told(self) -> str:
        return f"a {self._what} may have {self._most_bytes:,}"


class _Spool:
    """A file in a new folder, which is used as a bytearray is."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "source"
        self._file = self.path.open("xb")
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def extend(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._size += len(chunk)

    def close(self) -> None:
        self._file.close()

    def clear(self) -> None:
        """Remove the file and its folder."""
        with suppress(OSError):  # what cannot be written is removed all the same
            self._file.close()
        self._size = 0
        shutil.rmtree(self.path.parent, ignore_errors=True)


class _Body:
    """Files of a body that is being received, and what they hold."""

    def __init__(
        self,
        pool: Pool,
        held: Memory,
        most_bytes: int,
        most: int,
        what: str,
        folder: Callable[[], Path] | None,
    ) -> None:
        self._pool = pool
        self._held = held
        self._most_bytes = most_bytes
        self._most = most
        self._what = what
        self._folder = folder
        self._uploads: list[Upload] = []
        self._name: str | None = None
        self._data: bytearray | _Spool = bytearray()
        self._size = 0
        self._places = 0
        self._bytes = 0
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self.whole = False

    def callbacks(self) -> MultipartCallbacks:
        """Return what the parser of the form calls."""
        return {
            "on_part_begin": self._part,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_over,
            "on_headers_finished": self._headers_over,
            "on_part_data": lambda data, start, end: self.add(data[start:end]),
            "on_part_end": self.end,
            "on_end": self._all_over,
        }

    def begin(self, name: str) -> None:
        """Begin a file."""
        if len(self._uploads) >= self._most:
            raise HTTPException(413, f"more than {self._most} {self._what}s: send fewer at a time")
        self._pool.reserve()
        self._places += 1
        self._name, self._size = plain_name(name, self._what), 0
        self._data = bytearray() if self._folder is None else _Spool(self._folder())

    def add(self, chunk: bytes) -> None:
        """Add bytes to the file; those above the limit are left out."""
        if self._name is None:  # a field that is no file
            return
        self._size += len(chunk)
        if self._size <= self._most_bytes:
            if self._bytes + len(chunk) > self._held.most:
                raise HTTPException(
                    413, f"more than the {self._held.most:,} bytes of {self._held.what}: send less"
                )
            self._held.take(len(chunk))
            self._bytes += len(chunk)
            self._data.extend(chunk)
        elif self._data:
            self._drop()

    def end(self) -> None:
        """End the file."""
        if self._name is None:
            return
        error = None
        if too_large := self._size > self._most_bytes:
            error = f"{self._name}: has more than {self._most_bytes:,} bytes"
        elif self._size == 0:
            error = f"{self._name}: is empty (0 bytes)"
        if error is not None:
            self._drop()
            self._pool.release()
            self._places -= 1
        data, file = b"", None
        if not isinstance(self._data, _Spool):
            data = bytes(self._data)
        elif error is None:
            self._data.close()
            file = self._data.path
        self._uploads.append(Upload(self._name, data, error, too_large, file, self._size))
        self._name, self._data = None, bytearray()

    def taken(self) -> list[Upload]:
        """Return the files, which hold what they hold from now on."""
        if not self._uploads:
            raise HTTPException(
                400,
                f"there is no {self._what}: send its bytes, or a form with a file (curl -F file=@)",
            )
        taken, self._uploads = self._uploads, []
        self._places = self._bytes = 0
        return taken

    def give_back(self) -> None:
        """Give back what was not taken."""
        for _ in range(self._places):
            self._pool.release()
        self._held.give(self._bytes)
        self._places = self._bytes = 0
        if self._name is not None:
            self._data.clear()
        for upload in self._uploads:
            if upload.file is not None:
                shutil.rmtree(upload.file.parent, ignore_errors=True)

    def _drop(self) -> None:
        """Let go of the file, of which nothing is needed any more."""
        self._held.give(len(self._data))
        self._bytes -= len(self._data)
        self._data.clear()

    def _part(self) -> None:
        self._disposition = b""

    def _header_over(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _headers_over(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"filename")
        if name is not None:
            self.begin(name.decode("utf-8", "replace"))

    def _all_over(self) -> None:
        self.whole = True

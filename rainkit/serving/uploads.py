"""Receiving pictures over HTTP, within limits and without touching the disk."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from rainkit.serving.jobs import Limits, Memory, Upload
from rainkit.serving.pool import Pool

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["Receiver", "plain_name"]

_AROUND = 16_384
"""Largest number of bytes around a picture in a form: boundaries, headers, small fields."""

_LONGEST_NAME = 100


def plain_name(name: str) -> str:
    """Return what is left of a client's file name without folders and unusual characters."""
    last = re.split(r"[\\/]", name)[-1]
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(" .")
    if len(kept) > _LONGEST_NAME:
        stem, dot, suffix = kept.rpartition(".")
        kept = (stem or suffix)[: _LONGEST_NAME - 10].rstrip() + (dot + suffix)[:10] * bool(stem)
    return kept or "picture"


class Receiver:
    """Reads the bodies of requests.

    Args:
        limits: how much clients may send.
        pool: its queue has a place for every picture that is received.
        memory: what counts the bytes of pictures.
    """

    def __init__(self, limits: Limits, pool: Pool, memory: Memory) -> None:
        self._limits = limits
        self._pool = pool
        self._memory = memory

    async def receive(self, request: Request, *, most: int) -> list[Upload]:
        """Return the pictures of a request: a form with files, or the bytes of one picture.

        Each of them that has no error holds a place of the queue, and its bytes of the memory.

        Args:
            request: a request whose body was not read.
            most: largest number of pictures.

        Raises:
            HTTPException: the body is no form, has no picture or too many, or took too long to
                arrive (400, 408, 413).
            BusyError: the queue or the memory is full.
        """
        limit = most * (self._limits.upload_bytes + _AROUND)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise HTTPException(413, f"{declared} bytes are too many: {self._told()}")
        kind, options = parse_options_header(request.headers.get("content-type"))
        form = kind.lower() == b"multipart/form-data"
        if form and not options.get(b"boundary"):
            raise HTTPException(400, "the form has no boundary: send multipart/form-data")
        body = _Body(self._limits, self._pool, self._memory, most)
        received = 0
        try:
            parser = MultipartParser(options[b"boundary"], body.callbacks()) if form else None
            if parser is None:
                body.begin("picture")
            async with asyncio.timeout(self._limits.seconds):
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
            limit_s = f"{self._limits.seconds:g} s"
            raise HTTPException(408, f"the pictures did not arrive within {limit_s}") from error
        finally:
            body.give_back()

    def _told(self) -> str:
        return f"a picture may have {self._limits.upload_bytes:,}"


class _Body:
    """Pictures of a body that is being received, and what they hold."""

    def __init__(self, limits: Limits, pool: Pool, memory: Memory, most: int) -> None:
        self._limits = limits
        self._pool = pool
        self._memory = memory
        self._most = most
        self._uploads: list[Upload] = []
        self._name: str | None = None
        self._data = bytearray()
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
        """Begin a picture."""
        if len(self._uploads) >= self._most:
            raise HTTPException(413, f"more than {self._most} pictures: send fewer at a time")
        self._pool.reserve()
        self._places += 1
        self._name, self._size = plain_name(name), 0
        self._data = bytearray()

    def add(self, chunk: bytes) -> None:
        """Add bytes to the picture; those above the limit are left out."""
        if self._name is None:  # a field that is no file
            return
        self._size += len(chunk)
        if self._size <= self._limits.upload_bytes:
            self._memory.take(len(chunk))
            self._bytes += len(chunk)
            self._data += chunk
        elif self._data:
            self._memory.give(len(self._data))
            self._bytes -= len(self._data)
            self._data = bytearray()

    def end(self) -> None:
        """End the picture."""
        if self._name is None:
            return
        error = None
        if too_large := self._size > self._limits.upload_bytes:
            error = f"{self._name}: has more than {self._limits.upload_bytes:,} bytes"
        elif self._size == 0:
            error = f"{self._name}: is empty (0 bytes)"
        if error is not None:
            self._pool.release()
            self._places -= 1
        self._uploads.append(Upload(self._name, bytes(self._data), error, too_large))
        self._name, self._data = None, bytearray()

    def taken(self) -> list[Upload]:
        """Return the pictures, which hold what they hold from now on."""
        if not self._uploads:
            raise HTTPException(
                400, "there is no picture: send its bytes, or a form with a file (curl -F file=@)"
            )
        self._places = self._bytes = 0
        return self._uploads

    def give_back(self) -> None:
        """Give back what was not taken."""
        for _ in range(self._places):
            self._pool.release()
        self._memory.give(self._bytes)
        self._places = self._bytes = 0

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

"""Directories of tags, which describe TIFF files and hold the EXIF data of all formats.

Values are kept as the bytes of the file, so that text in any encoding, maker notes and tags that
nobody knows go along unchanged. Pillow writes text that is not ASCII as question marks.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["BROKEN", "Directory", "Entry", "Tree", "first", "head", "pack", "parse"]

# Sizes in bytes of the types of TIFF 6.0, section 2, of its supplement 1, and of BigTIFF.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}

BROKEN = (struct.error, ValueError, IndexError, OverflowError)
"""What reading broken directories raises."""


class Entry(NamedTuple):
    """A tag's type, number of values, and values in the byte order of the file."""

    kind: int
    number: int
    data: bytes | memoryview

    @classmethod
    def of(cls, code: str, order: str, *values: int) -> Entry:
        """Return an entry of whole numbers, ``H`` of 16 or ``I`` of 32 bits."""
        kind = {"H": 3, "I": 4}[code]
        return cls(kind, len(values), struct.pack(f"{order}{len(values)}{code}", *values))


Tree: TypeAlias = Mapping[int, "Entry | Tree"]
"""A directory to write; a tag's value may be a directory in turn."""


class Directory(NamedTuple):
    """A directory of tags.

    Attributes:
        order: byte order in the notation of :mod:`struct`, ``<`` or ``>``.
        big: whether the file is a BigTIFF.
        entries: the entries whose values lie within the file.
        following: offset of the next directory, 0 after the last one.
    """

    order: Literal["<", ">"]
    big: bool
    entries: dict[int, Entry]
    following: int

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return the whole numbers of a tag, or the default without the tag.

        Raises:
            ValueError: It holds something else.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return default
        if (code := _WHOLE.get(entry.kind)) is None:
            raise ValueError(f"its tag {tag} holds no whole number")
        return struct.unpack(f"{self.order}{entry.number}{code}", entry.data)

    def number(self, tag: int, default: int) -> int:
        """Return the whole number of a tag.

        Raises:
            ValueError: It holds several, or something else.
        """
        values = self.numbers(tag, (default,))
        if len(values) != 1:
            raise ValueError(f"its tag {tag} has {len(values)} values")
        return values[0]

    def below(self, data: bytes, tag: int) -> Directory | None:
        """Return the directory that a tag points to, None without the tag.

        Raises:
            BROKEN: The directory lies outside the data.
        """
        offset = self.number(tag, 0)
        return parse(data, offset, self.order, self.big) if offset else None


def first(data: bytes) -> Directory:
    """Return the first directory of a TIFF file or of EXIF data without its ``Exif`` prefix.

    Raises:
        BROKEN: The data are no TIFF file.
    """
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(f"{order}H", data, 2)
    if data[:2] not in (b"II", b"MM") or version not in (42, 43):
        raise ValueError("no TIFF header")
    big = version == 43
    (offset,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    return parse(data, offset, order, big)


def parse(data: bytes, offset: int, order: Literal["<", ">"], big: bool = False) -> Directory:
    """Return the directory at an offset.

    Raises:
        BROKEN: The directory lies outside the data.
    """
    view, pointer = memoryview(data), "Q" if big else "I"
    (number,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, offset)
    start, step, room = offset + (8 if big else 2), (20 if big else 12), (8 if big else 4)
    if start + number * step > len(data):
        raise ValueError("a directory lies outside the file")
    entries: dict[int, Entry] = {}
    for place in range(start, start + number * step, step):
        tag, kind, count = struct.unpack_from(f"{order}HH{pointer}", data, place)
        size = _SIZES.get(kind, 0) * count
        at = place + step - room
        if size > room:
            (at,) = struct.unpack_from(f"{order}{pointer}", data, at)
        if size and at + size <= len(data):
            entries[tag] = Entry(kind, count, view[at : at + size])
    end = start + number * step
    following = (
        struct.unpack_from(f"{order}{pointer}", data, end)[0] if end + room <= len(data) else 0
    )
    return Directory(order, big, entries, following)


def head(order: str, offset: int) -> bytes:
    """Return the start of a TIFF file whose first directory is at an offset."""
    return (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, offset)


def pack(tree: Tree, order: str, start: int) -> bytes:
    """Return a directory that starts at an even offset, followed by its values."""
    head, tail = struct.pack(f"{order}H", len(tree)), b""
    behind = start + 2 + 12 * len(tree) + 4
    for tag, value in sorted(tree.items()):
        if isinstance(value, Entry):
            kind, count, data = value.kind, value.number, bytes(value.data)
            inside = len(data) <= 4
        else:
            kind, count, inside = 4, 1, False
            data = pack(value, order, behind + len(tail))
        head += struct.pack(f"{order}HHI", tag, kind, count)
        if inside:
            head += data.ljust(4, b"\0")
        else:
            head += struct.pack(f"{order}I", behind + len(tail))
            tail += data + b"\0" * (len(data) % 2)
    return head + b"\0\0\0\0" + tail

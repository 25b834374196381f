"""The work on one picture or clip that was sent: decode it, take its rain out, encode it again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rainkit import images, plugins
from rainkit.errors import ImageError, RainkitError, UsageError
from rainkit.evaluation.methods import MethodChoice, choose_methods
from rainkit.images import Picture
from rainkit.inference.choice import AutoSetup
from rainkit.inference.setup import AUTO, set_up
from rainkit.runtime_options import RuntimeOptions

if TYPE_CHECKING:
    from rainkit.inference.derainer import Derainer

__all__ = [
    "CLIP_HEAD",
    "LONGEST_VIEW",
    "NO_CLIP",
    "Answer",
    "ClipWork",
    "Derainers",
    "Offer",
    "OnTile",
    "StoppedError",
    "Task",
    "clip_kind",
    "offers",
    "takes_clips",
]


LONGEST_VIEW = 4096
"""Longest side in pixels of a picture that is made for browsers."""

_LOADED = 4
"""Number of networks that a worker keeps in memory."""

_KINDS = (
    (b"\xff\xd8\xff", 0, ".jpg", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, ".png", "image/png"),
    (b"WEBP", 8, ".webp", "image/webp"),
    (b"II*\0", 0, ".tif", "image/tiff"),
    (b"MM\0*", 0, ".tif", "image/tiff"),
    (b"II+\0", 0, ".tif", "image/tiff"),
    (b"MM\0+", 0, ".tif", "image/tiff"),
    (b"BM", 0, ".bmp", "image/bmp"),
    (b"GIF8", 0, ".gif", "image/gif"),
    (b"ftypavif", 4, ".avif", "image/avif"),
    (b"ftypavis", 4, ".avif", "image/avif"),
    (b"ftyphe", 4, ".heic", "image/heic"),
    (b"ftypmif1", 4, ".heic", "image/heic"),
    (b"ftypmsf1", 4, ".heic", "image/heic"),
)
"""First bytes of the formats that are read, at which offset, their suffix and media type."""

_CLIPS = {
    ".m4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""Media types of clips by their suffix."""

_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip")
"""Names of the parts that QuickTime files begin with which do not tell their brand."""

CLIP_HEAD = 64
"""Number of bytes by which :func:`clip_kind` knows a clip."""

NO_CLIP = "{}: is no MP4, MOV, MKV or WebM clip; convert it to MP4 (H.264)"

OnTile = Callable[[int, int], None]
"""Called after each tile or frame with the number of those done and of all; may raise an error."""


class StoppedError(Exception):
    """The work on a picture or clip was stopped because nobody waits for it any longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A method with weights that clients may choose.

    Attributes:
        name: what clients call it: ``METHOD``, ``METHOD=TAG``, or a label.
        method: name of the installed method.
        weights: a tag or a file; None for the method's first weights.
        title: title of the method.
        summary: one line about it.
        weights_name: name of the weights.
    """

    name: str
    method: str
    weights: str | None
    title: str
    summary: str
    weights_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipWork:
    """Where a clip is, and what may become of it.

    Attributes:
        source: its file.
        result: the file to write, without its suffix, which the answer tells.
        steady: whether to reduce flicker.
        pixels: largest number of pixels of a frame.
        length: longest playing time in seconds.
    """

    source: Path
    result: Path
    steady: bool
    pixels: int
    length: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One picture or clip to work on.

    Attributes:
        data: the bytes of a picture's file; of a clip, none.
        name: its name in messages.
        offer: name of the offer that takes its rain out; None to make a JPEG file that browsers
            can show of a picture as it is.
        strength: factor of the rain that is taken off, 0 to 1.5.
        clip: where a clip is; None for a picture.
    """

    data: bytes
    name: str
    offer: str | None
    strength: float = 1.0
    clip: ClipWork | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What became of a picture or a clip.

    Attributes:
        data: the bytes of a picture's file; a clip is in the file that its task named.
        suffix: suffix of its format, such as ``.jpg``.
        media_type: media type of its format.
        width: width in pixels.
        height: height in pixels.
        seconds: time that the work took.
        frames: number of frames of a clip.
        notes: what was wrong with a clip, and what its result does not keep, a line each.
    """

    data: bytes
    suffix: str
    media_type: str
    width: int
    height: int
    seconds: float
    frames: int = 0
    notes: tuple[str, ...] = ()


def takes_clips() -> bool:
    """Return whether clips can be worked on here, which needs ``rainkit[video]``."""
    return find_spec("av") is not None


def clip_kind(head: bytes) -> str | None:
    """Return the suffix of the kind of clip that a file is; None if it is none that is taken.

    Args:
        head: the first :data:`CLIP_HEAD` bytes of the file, or more.
    """
    if head.startswith(b"\x1a\x45\xdf\xa3"):  # EBML, which names its kind a little later
        return ".webm" if b"webm" in head else ".mkv"
    if head[4:8] == b"ftyp":
        if any(head.startswith(each, place) for each, place, *_ in _KINDS if place == 4):
            return None  # AVIF and HEIC pictures
        return {b"qt  ": ".mov", b"M4V ": ".m4v"}.get(head[8:12], ".mp4")
    return ".mov" if head[4:8] in _QUICKTIME else None


def offers(named: Sequence[str], options: RuntimeOptions) -> tuple[Offer, ...]:
    """Return what clients may choose; the first is the default.

    Args:
        named: methods as ``NAME[=WEIGHTS][@LABEL]``, or ``auto`` for the one that suits the rain of
            each picture; if empty, ``auto`` and all weights inside the packages of the installed
            methods.
        options: how networks are to run, which not every method can.

    Raises:
        UsageError: an unknown method or weights tag, or no method with weights.
        MethodError: a method is broken.
        WeightsError: weights are missing or damaged.
    """
    chosen: list[tuple[str | None, str, str | None]] = [] if named else _all_shipped()
    for text in named:
        rows = [MethodChoice(AUTO)] if text == AUTO else choose_methods([text]).rows
        chosen += [(row.label, row.method, row.weights) for row in rows]
    made: dict[str, Offer] = {}
    for label, name, weights in chosen:
        setup = set_up(name, options, weights=weights)
        short = name if weights is None else f"{name}={setup.weights.name.removeprefix(f'{name}.')}"
        offer = Offer(
            name=label or short,
            method=name,
            weights=weights,
            title=setup.title,
            summary=setup.why() if isinstance(setup, AutoSetup) else setup.method.summary,
            weights_name=setup.weights_name,
        )
        if made.setdefault(offer.name, offer) is not offer:
            raise UsageError(
                f"--method: two are called {offer.name}; name one by NAME=WEIGHTS@LABEL"
            )
    return tuple(made.values())


def _all_shipped() -> list[tuple[str | None, str, str | None]]:
    """Return label, method and weights of what is offered if nothing is named."""
    chosen: list[tuple[str | None, str, str | None]] = []
    for found in plugins.installed():
        if found.problem is None:
            tags = [each.tag for each in plugins.get(found.name).weights if each.file]
            chosen += [(None, found.name, tag if i else None) for i, tag in enumerate(tags)]
    if not chosen:
        raise UsageError("no installed method ships weights: name some by --method NAME=FILE")
    several = len({name for _, name, _ in chosen}) > 1
    return [(None, AUTO, None), *chosen] if several else chosen


class Derainers:
    """The networks of all offers, each loaded when it is needed.

    Args:
        choices: the offers.
        options: how networks run.
        largest: the largest number of pixels of a picture.
    """

    def __init__(self, choices: Sequence[Offer], options: RuntimeOptions, largest: int) -> None:
        self._offers = {offer.name: offer for offer in choices}
        self._options = options
        self._largest = largest
        self._derainer = lru_cache(_LOADED)(self._load)

    def load(self, offer: str) -> Derainer:
        """Return the network of an offer, loaded.

        Raises:
            UsageError: there is no such offer, or this machine lacks the device.
            MethodError, WeightsError: it cannot be built.
        """
        if offer not in self._offers:
            raise UsageError(f"method {offer}: choose from {', '.join(self._offers)}")
        return self._derainer(offer)

    def _load(self, name: str) -> Derainer:
        from rainkit.inference.loading import open_derainer

        offer = self._offers[name]
        return open_derainer(offer.method, self._options, weights=offer.weights)

    def run(self, task: Task, on_tile: OnTile | None = None) -> Answer:
        """Work on a picture or a clip.

        Raises:
            ImageError: it cannot be read, is too large, or its format cannot hold the result.
            UsageError: there is no such offer.
            RainkitError: the network failed, or there is too little memory.
        """
        started = time.perf_counter()
        if task.clip is not None:
            try:
                answer = self._run_clip(task, task.clip, on_tile or (lambda done, total: None))
            except RainkitError as error:
                raise _as_named(error, task) from error
            return replace(answer, seconds=time.perf_counter() - started)
        suffix, media_type = _kind(task)
        every = task.offer is not None
        picture = images.decode(task.data, task.name, every_frame=every, largest=self._largest)
        if task.offer is None:
            suffix, media_type = ".jpg", "image/jpeg"
            picture = _view(picture)
        else:
            derainer = self.load(task.offer).suited_to([picture.rgb])
            derainer = copy(derainer)  # they share the network
            derainer.strength = task.strength
            picture = derainer.derain_picture(picture, on_tile).picture
        data = images.encode(picture, suffix)
        width, height = picture.size
        return Answer(
            data=data,
            suffix=suffix,
            media_type=media_type,
            width=width,
            height=height,
            seconds=time.perf_counter() - started,
        )

    def _run_clip(self, task: Task, work: ClipWork, on_frame: OnTile) -> Answer:
        from rainkit.images.containers import Clip, looks
        from rainkit.images.encoding import copied_streams
        from rainkit.inference.video import derain_video

        with work.source.open("rb") as file:
            suffix = clip_kind(file.read(CLIP_HEAD))
        if suffix is None:
            raise ImageError(NO_CLIP.format(task.name))
        clip = Clip.of(work.source, largest=work.pixels)
        length = float(clip.count / clip.rate)
        if length > work.length:
            raise ImageError(
                f"{task.name}: plays {length:.1f} s, more than {work.length:g} s; cut it"
            )
        result = work.result.with_suffix(suffix)
        notes: tuple[str, ...] = ()
        try:
            copied_streams(clip, result)
        except UsageError:
            result = work.result.with_suffix(suffix := ".mkv")
            notes = ("it became an MKV file, since its own format cannot hold its sound or text",)

        def tell(done: int, total: int) -> None:
            if done / clip.rate > work.length + 1:  # whatever its header says
                raise ImageError(f"{task.name}: plays more than {work.length:g} s; cut it")
            on_frame(*((done, max(1, total)) if clip.count else (0, 1)))

        derainer = copy(self.load(task.offer or "").suited_to(looks(clip)))
        derainer.strength = task.strength
        done = derain_video(derainer, work.source, result, steady=work.steady, on_frame=tell)
        width, height = done.size
        return Answer(
            data=b"",
            suffix=suffix,
            media_type=_CLIPS[suffix],
            width=width,
            height=height,
            seconds=done.seconds,
            frames=done.frames,
            notes=(*done.damage, *notes, *done.notes),
        )


def _as_named(error: RainkitError, task: Task) -> RainkitError:
    """Return an error that tells the name that the client gave a clip, and not our own files'."""
    assert task.clip is not None  # noqa: S101
    text = str(error)
    for path in (task.clip.source, task.clip.result):
        # The bare names are words, too: only what is before a colon or has a suffix is a file.
        for ours in (rf"{re.escape(str(path))}(\.\w+)?", rf"\b{path.name}(\.\w+\b|(?=:))"):
            text = re.sub(ours, lambda _: task.name, text)
    return type(error)(text)


def _kind(task: Task) -> tuple[str, str]:
    """Return suffix and media type of a picture, whatever its name is."""
    if not task.data:
        raise ImageError(f"{task.name}: is empty (0 bytes)")
    # By all the brands that it names, of which the first may be that of another format.
    if (heif := images.heif.kind_of(task.data)) is not None:
        return (".avif", "image/avif") if heif == "AVIF" else (".heic", "image/heic")
    for head, place, suffix, media_type in _KINDS:
        if task.data.startswith(head, place):
            return suffix, media_type
    if clip_kind(task.data[:CLIP_HEAD]) is not None:
        raise ImageError(f"{task.name}: is a clip; send it to /api/clips")
    images.decode(task.data, task.name, largest=1)  # it names other kinds of files in its error
    raise ImageError(f"{task.name}: its format cannot be written; send it as PNG or JPEG")


def _view(picture: Picture) -> Picture:
    """Return a picture that browsers show like the given one, without its metadata."""
    rgb = images.to_uint8(images.shrink(picture.rgb, LONGEST_VIEW))
    return Picture(rgb, icc=picture.icc, grey=picture.grey)

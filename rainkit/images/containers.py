"""Video files through PyAV: what is in them, and their frames as pictures.

PyAV, which is not installed with rainkit, is imported on first use; :mod:`rainkit.images.video`
reads frames without it, as far as OpenCV can. :mod:`rainkit.images.encoding` writes videos.
"""

from __future__ import annotations

import importlib
import logging
import os
import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rainkit.errors import FileError, ImageError, RainkitError, UsageError, one_line
from rainkit.files import system_reason
from rainkit.images.picture import Pixels

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

__all__ = [
    "CONVERT",
    "EXACT",
    "UNKNOWN",
    "Clip",
    "Frame",
    "Hdr",
    "Heard",
    "as_coded",
    "assumed_matrix",
    "av_errors",
    "load_av",
    "looks",
    "open_clip",
    "read_frames",
]

_LOOKS = 3
"""Number of frames that are spread over a video to look at it."""

_DEMUXERS = "mov,matroska,webm,gif,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,flv,asf,ogg,mxf"
"""FFmpeg's names of the formats that are read. Playlists, which name further files, are none of
them, so that nobody can have other files of this machine, or addresses, read through one."""

CONVERT = "convert it to MP4 (H.264)"


def load_av() -> Any:
    """Return PyAV.

    Raises:
        UsageError: it is not installed.
    """
    os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 writes to the terminal, else
    try:
        library = importlib.import_module("av")
    except ImportError as error:
        raise UsageError("videos need PyAV: pip install av") from error
    logging.getLogger("libav").propagate = False
    return library


@contextmanager
def av_errors(path: Path, output: Path | None = None) -> Iterator[None]:
    """Turn PyAV's errors into errors of the file."""
    import av

    try:
        yield
    except (RainkitError, KeyboardInterrupt):
        raise
    except (av.FFmpegError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and output is not None:
            raise FileError(f"{output}: cannot be written ({system_reason(error)})") from error
        if output is not None:
            raise FileError(f"{output}: cannot be written ({one_line(error)})") from error
        raise ImageError(
            f"{path}: cannot be decoded as a video ({one_line(error)}); {CONVERT}"
        ) from error


def open_clip(path: Path) -> InputContainer:
    """Open a video; metadata that is not UTF-8 keeps its bytes.

    Raises:
        ImageError: there is no such file, or it is no video.
    """
    import av

    if not path.is_file():
        raise ImageError(f"{path}: no such file; name a video")
    if not path.stat().st_size:
        raise ImageError(f"{path}: is empty (0 bytes)")
    with av_errors(path):
        return av.open(
            str(path),
            container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"},
            metadata_errors="surrogateescape",
        )


def _main_stream(container: InputContainer, path: Path) -> av.VideoStream:
    """Return the stream of pictures that is no cover.

    Raises:
        ImageError: there is none.
    """
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise ImageError(f"{path}: has no stream of pictures; name a video")


def _stream(container: InputContainer, clip: Clip) -> av.VideoStream:
    return next(each for each in container.streams.video if each.index == clip.index)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hdr:
    """What HDR10 says of the screen that a video was made on, and of its brightness.

    Attributes:
        chromaticities: x and y of red, green, blue and white; empty if they are not given.
        luminance: least and most of the screen in cd/m2; empty if they are not given.
        light: of the brightest pixel, and of the brightest frame on average, in cd/m2; empty if
            they are not given.
    """

    chromaticities: tuple[Fraction, ...] = ()
    luminance: tuple[Fraction, ...] = ()
    light: tuple[int, ...] = ()

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Hdr | None:
        """Return what a frame says; None if it says nothing."""
        mastering, light = (
            _beside(frame, name) for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
        )
        if mastering is None and light is None:
            return None
        numbers: tuple[Fraction, ...] = ()
        has_chromaticities = has_luminance = 0
        if mastering is not None:  # AVMasteringDisplayMetadata: ten fractions and two flags
            *parts, has_chromaticities, has_luminance = struct.unpack("=22i", mastering[:88])
            numbers = tuple(
                Fraction(n, d or 1) for n, d in zip(parts[::2], parts[1::2], strict=True)
            )
        return cls(
            chromaticities=numbers[:8] if has_chromaticities else (),
            luminance=numbers[8:] if has_luminance else (),
            light=() if light is None else struct.unpack("=2I", light[:8]),
        )


_DYNAMIC = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_METADATA": "Dolby Vision",
}
"""Metadata that says how each frame is to be shown, by PyAV's names of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """What is known of a video from its header and its first frame.

    Attributes:
        path: the file.
        index: number of the stream of pictures.
        time_base: unit of its timestamps in seconds.
        rate: average number of frames per second.
        width: width of the frames as they are coded, in pixels.
        height: their height.
        aspect: aspect ratio of pixels; None for square ones.
        matrix: the display matrix, nine numbers as in FFmpeg; None if frames are upright.
        bits: bits per sample.
        tags: range, primaries, transfer function and matrix of the colours as FFmpeg counts them.
        hdr: the metadata of HDR10; None if it has none.
        count: number of frames as the header tells it, or an estimate of it; 0 if unknown.
        counted: whether the header tells the number.
        end: seconds at which the file ends as the header tells it; None if unknown.
        notes: what of it cannot be kept.
    """

    path: Path
    index: int
    time_base: Fraction
    rate: Fraction
    width: int
    height: int
    aspect: Fraction | None
    matrix: tuple[int, ...] | None
    bits: int
    tags: tuple[int, int, int, int]
    hdr: Hdr | None
    count: int
    counted: bool
    end: float | None
    notes: tuple[str, ...]

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        turned = self.matrix is not None and _quarter(self.matrix)
        return (self.height, self.width) if turned else (self.width, self.height)

    @classmethod
    def of(cls, path: Path, *, largest: int | None = None) -> Clip:
        """Read header and first frame.

        Args:
            path: the video.
            largest: the largest number of pixels of its frames; None for any.

        Raises:
            ImageError: the video cannot be read, or its frames are too large.
        """
        with open_clip(path) as container, av_errors(path):
            stream = _main_stream(container, path)
            _check_size(path, stream.codec_context, largest)  # before anything is decoded
            first = next(_pictures(container, stream), None)
            if first is None:
                raise ImageError(f"{path}: no frame can be decoded; {CONVERT}")
            _check_size(path, first, largest)
            bits = max(each.bits for each in first.format.components)
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            length = None if container.duration is None else container.duration / 1_000_000
            # That of Matroska files is the time of their end.
            begins = 0 if "matroska" in container.format.name else container.start_time or 0
            start = begins / 1_000_000
            notes = []
            # VP9 keeps it in a picture beside each picture, which FFmpeg's decoder leaves out.
            beside = {name.lower(): value for name, value in stream.metadata.items()}
            alpha = beside.get("alpha_mode") == "1"
            if alpha or any(each.is_alpha for each in first.format.components):
                notes.append("the transparency is not kept")
            if first.interlaced_frame:
                notes.append("it is interlaced, and both fields were derained as one picture")
            notes += [
                f"the metadata of {told} for each frame is not kept"
                for name, told in _DYNAMIC.items()
                if _beside(first, name) is not None
            ]
            return cls(
                path=path,
                index=stream.index,
                time_base=stream.time_base or Fraction(1, 1000),
                rate=rate,
                width=first.width,
                height=first.height,
                aspect=stream.sample_aspect_ratio or None,
                matrix=_matrix(first),
                bits=bits,
                tags=(
                    int(first.color_range),
                    int(first.color_primaries),
                    int(first.color_trc),
                    int(first.colorspace),
                ),
                hdr=Hdr.of(first),
                count=stream.frames or round((length or 0) * rate),
                counted=stream.frames > 0,
                end=None if length is None else start + length,
                notes=tuple(notes),
            )


def _check_size(
    path: Path, seen: av.VideoFrame | av.VideoCodecContext, largest: int | None
) -> None:
    if largest is not None and seen.width * seen.height > largest:
        raise ImageError(
            f"{path}: its frames have {seen.width}x{seen.height} pixels, more than {largest:,}; "
            "make them smaller"
        )


def _beside(frame: av.VideoFrame, name: str) -> bytes | None:
    """Return the side data of a frame by PyAV's name of it; None if there is none."""
    from av.sidedata.sidedata import Type

    beside: Any = frame.side_data
    try:
        return bytes(beside[Type[name]])
    except KeyError:  # also of a PyAV that does not know the name
        return None


def _matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    data = _beside(frame, "DISPLAYMATRIX")
    if data is None:
        return None
    matrix: tuple[int, ...] = struct.unpack("=9i", data[:36])
    return None if matrix[:2] + matrix[3:5] == (1 << 16, 0, 0, 1 << 16) else matrix


def _quarter(matrix: Sequence[int]) -> bool:
    """Return whether a display matrix exchanges width and height."""
    a, b, _, c, d = matrix[:5]
    return a == 0 and d == 0 and b != 0 and c != 0


def _upright(coded: Pixels, matrix: Sequence[int] | None) -> Pixels:
    """Return a picture as it is shown; a matrix that is not of right angles changes nothing."""
    if matrix is None:
        return coded
    a, b, _, c, d = matrix[:5]
    if _quarter(matrix):
        turned = coded.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
    elif b == 0 and c == 0:
        turned = coded[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    else:
        return coded
    return np.ascontiguousarray(turned)


def as_coded(shown: Pixels, matrix: Sequence[int] | None) -> Pixels:
    """Undo :func:`_upright`."""
    if matrix is None:
        return shown
    a, b, _, c, d = matrix[:5]
    if _quarter(matrix):
        turned = shown[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1].swapaxes(0, 1)
    elif b == 0 and c == 0:
        turned = shown[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    else:
        return shown
    return np.ascontiguousarray(turned)


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: its timestamp, its duration (0 if unknown), its upright picture."""

    pts: int
    duration: int
    rgb: Pixels
    damaged: bool


@dataclass(slots=True)
class Heard:
    """What went wrong while frames were decoded: timestamps, and how the file ended."""

    damaged: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    ended: str | None = None


def _pictures(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Yield the frames that can be decoded, and let the others go."""
    for frame, _ in _decoded(container, stream, Heard()):
        yield frame


def _decoded(
    container: InputContainer, stream: av.VideoStream, heard: Heard
) -> Iterator[tuple[av.VideoFrame, bool]]:
    """Yield each frame that can be decoded, and whether it is damaged.

    Decoders conceal damage and tell of it in their log alone, by the thread that decodes; so there
    is one.
    """
    import av

    if not stream.codec_context.is_open:
        stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            heard.ended = one_line(error)
            packet = None
        frames: list[av.VideoFrame] = []
        stamp = None if packet is None else packet.pts
        try:
            with _log_of_errors() as log:
                frames = stream.codec_context.decode(packet)
        except av.EOFError:
            return
        except av.FFmpegError:
            if stamp is not None:
                heard.damaged.add(stamp)
                heard.lost.add(stamp)
        if packet is not None and stamp is not None and (log or packet.is_corrupt):
            heard.damaged.add(stamp)
            if packet.is_corrupt and not frames:
                heard.lost.add(stamp)
        for frame in frames:
            damaged = bool(frame.is_corrupt) or frame.pts in heard.damaged
            heard.lost.discard(-1 if frame.pts is None else frame.pts)
            yield frame, damaged
        if packet is None or packet.size == 0:
            return


@contextmanager
def _log_of_errors() -> Iterator[list[tuple[int, str, str]]]:
    """Give the list of FFmpeg's errors that this thread causes."""
    import av

    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture(local=True) as log:
            yield log
    finally:
        av.logging.set_level(None)


_REORDERED = 1
"""Seconds within which frames are decoded in another order than they are shown in."""


def read_frames(clip: Clip, heard: Heard, after: int | None) -> Generator[Frame, None, None]:
    """Yield the frames of a video as RGB arrays.

    Args:
        clip: the video.
        heard: receives what goes wrong.
        after: begin at the frame with this timestamp or a little before; None for the first one.
    """
    last: int | None = None
    with open_clip(clip.path) as container, av_errors(clip.path):
        stream = _stream(container, clip)
        if after is not None:
            # A key frame whose decoding begins before a time may be shown after it.
            early = round(_REORDERED / clip.time_base)
            container.seek(max(after - early, min(after, stream.start_time or 0)), stream=stream)
        for frame, damaged in _decoded(container, stream, heard):
            step = frame.duration or max(1, round(1 / clip.rate / clip.time_base))
            pts = frame.pts
            if pts is None:
                pts = 0 if last is None else last + step
            if last is not None and pts <= last:  # no encoder takes a second frame at a time
                pts = last + 1
            last = pts
            rgb = _upright(_to_rgb(frame, clip), clip.matrix)
            yield Frame(pts, frame.duration or 0, rgb, damaged)


def _to_rgb(frame: av.VideoFrame, clip: Clip) -> Pixels:
    """Convert a frame to RGB, uint8 or, if it has more than 8 bits, uint16."""
    if clip.tags[3] == UNKNOWN and not frame.format.is_rgb:
        frame.colorspace = assumed_matrix(clip)
    converted = frame.reformat(
        clip.width,
        clip.height,
        "rgb24" if clip.bits <= 8 else "rgb48le",
        dst_color_range=2,
        interpolation=EXACT,
    )
    return np.asarray(converted.to_ndarray())


UNKNOWN = 2
"""FFmpeg's number of a colour tag that is not given."""

EXACT = 0x4 | 0x2000 | 0x40000
"""Bicubic, with all chroma samples and exact rounding."""


def assumed_matrix(clip: Clip) -> int:
    """Return the matrix that players assume where none is named: BT.709 for HD, else BT.601."""
    return 1 if clip.height >= 720 else 5


def looks(clip: Clip) -> Iterator[Pixels]:
    """Yield the pictures of a few frames that are spread over a video."""
    import av

    with open_clip(clip.path) as container, av_errors(clip.path):
        stream = _stream(container, clip)
        first = stream.start_time or 0
        length = round((clip.count / clip.rate) / clip.time_base)
        for number in range(_LOOKS):
            with suppress(av.FFmpegError):
                container.seek(first + length * (2 * number + 1) // (2 * _LOOKS), stream=stream)
            frame = next(_pictures(container, stream), None)
            if frame is not None:
                yield _upright(_to_rgb(frame, clip), clip.matrix)

"""Videos: frames are decoded, derained and encoded one after another, and all else is copied.

The derained frames are encoded in segments of a hundred frames, which are kept in a hidden folder
beside the result until all are there. A run that was killed goes on after its last whole segment.
At the end the segments are put together with the sound, the subtitles and the chapters of the
source; frames keep their timestamps, so that rates may vary. Nothing that is held in memory grows
with the video but a few numbers for each frame.

PyAV, which is not installed with rainkit, is imported on first use.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import shutil
import statistics
import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rainkit.errors import FileError, ImageError, RainkitError, UsageError, described, one_line
from rainkit.files import atomic_path, counted, sha256, system_reason
from rainkit.images import Pixels
from rainkit.inference.steady import REACH, steadied
from rainkit.ledger import Ledger

if TYPE_CHECKING:
    import av
    from av.container import InputContainer, OutputContainer

    from rainkit.inference.derainer import Derainer

__all__ = ["OUTPUTS", "SUFFIXES", "OnFrame", "VideoResult", "check_output", "derain_video"]

SUFFIXES = frozenset({".m4v", ".mkv", ".mov", ".mp4", ".webm"})
"""Suffixes, in lower case, of the files that are taken for videos."""

OUTPUTS = SUFFIXES | {".gif"}
"""Suffixes, in lower case, of the files that videos can be written to."""

OnFrame = Callable[[int, int], None]
"""Called after each frame with the number of frames done, and of all as far as is known."""

_SEGMENT = 100
"""Number of frames of a segment, which begins with a key frame."""

_AHEAD = 3
"""Largest number of frames that wait for the network, and for the encoder."""

_LOOKS = 3
"""Number of frames from which the work size of a video is chosen."""

_TOLD = 5
"""Number of damaged frames that are named one by one."""

_STALE = ("BPS", "DURATION", "NUMBER_OF_", "_STATISTICS_", "ENCODER", "VENDOR_ID", "ROTATE")
_BRANDS = ("MAJOR_BRAND", "MINOR_VERSION", "COMPATIBLE_BRANDS")
"""Beginnings of metadata, in upper case, that describe the source's own coding."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoResult:
    """A derained video.

    Attributes:
        output: the file that was written.
        frames: number of its frames.
        size: width and height in pixels, as they are shown.
        seconds: wall time.
        ready: number of frames that an earlier run, which was stopped, had finished.
        work_size: longest side in pixels of what the network saw, if frames were shrunk for it;
            else None.
        damage: what could not be read or derained, a line each. Frames that were damaged, or on
            which the network failed, are in the result as they were in the source.
        notes: what the result does not keep of its source, a line each.
    """

    output: Path
    frames: int
    size: tuple[int, int]
    seconds: float
    ready: int = 0
    work_size: int | None = None
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def derain_video(
    derainer: Derainer,
    path: Path,
    output: Path,
    *,
    steady: bool = False,
    overwrite: bool = False,
    on_frame: OnFrame | None = None,
    segment: int = _SEGMENT,
) -> VideoResult:
    """Take the rain out of a video.

    Sound, subtitles, chapters, timestamps, rotation and colour tags are kept. The work size is
    chosen once. A run that is repeated after it was stopped goes on after the last whole segment;
    until then the result is not there.

    Args:
        derainer: the method.
        path: the video.
        output: the file to write; its suffix, one of :data:`OUTPUTS`, decides on the format.
        steady: reduce flicker, see :mod:`rainkit.inference.steady`.
        overwrite: replace an existing file.
        on_frame: called after each frame.
        segment: number of frames of a segment.

    Raises:
        UsageError: PyAV is missing, the output cannot hold what the video holds, or another run is
            making it.
        ImageError: the video cannot be read.
        FileError: the result cannot be written.
    """
    started = time.monotonic()
    _import()
    if output.exists() and not overwrite:
        raise FileError(f"{output}: exists; pass --overwrite, or write somewhere else")
    clip = _Clip.of(path)
    target = _Target.of(clip, output)
    copied, notes = _copied_streams(clip, output)
    derainer = derainer.suited_to(_upright(rgb, clip.matrix) for rgb in _looks(clip))
    longest = _choose_work_size(derainer, clip)
    derainer = derainer.at_work_size(longest)
    settings = _settings(derainer, clip, target, steady=steady, segment=segment)
    folder = output.with_name(f".{output.name}.rainkit-part")
    ledger = Ledger[Any].open(
        folder / "ledger.jsonl", settings=settings, restart=True, writer="rainkit infer"
    )
    with ledger:
        parts = _Parts(folder, ledger)
        ready = parts.frames
        damage = _derain_rest(
            derainer, clip, target, parts, steady=steady, segment=segment, tell=on_frame
        )
        if not parts.frames:
            raise ImageError(f"{path}: no frame can be decoded; {_CONVERT}")
        with atomic_path(output, overwrite=overwrite) as temporary, _av_errors(path, output):
            target.assemble(clip, parts, copied, temporary)
        ledger.remove()
    shutil.rmtree(folder, ignore_errors=True)
    return VideoResult(
        output=output,
        frames=parts.frames,
        size=clip.shown,
        seconds=time.monotonic() - started,
        ready=ready,
        work_size=longest if 0 < longest < max(clip.shown) else None,
        damage=damage,
        notes=(*clip.notes, *target.notes, *notes),
    )


def check_output(path: Path, output: Path) -> None:
    """Refuse an output for a video before anything is computed.

    Raises:
        UsageError: PyAV is missing, or the output has not the suffix of a video.
    """
    _import()
    if output.suffix.lower() not in OUTPUTS:
        raise UsageError(
            f"{output}: {path.name} is a video, which cannot be written as "
            f"{output.suffix or 'a file without a suffix'}; use {', '.join(sorted(OUTPUTS))}"
        )


_CONVERT = "convert it to MP4 (H.264)"


def _import() -> Any:
    """Return PyAV.

    Raises:
        UsageError: it is not installed.
    """
    os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 writes to the terminal, else
    try:
        library = importlib.import_module("av")
    except ImportError as error:
        raise UsageError("videos need PyAV: pip install 'rainkit[video]'") from error
    logging.getLogger("libav").propagate = False
    return library


@contextmanager
def _av_errors(path: Path, output: Path | None = None) -> Iterator[None]:
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
            f"{path}: cannot be decoded as a video ({one_line(error)}); {_CONVERT}"
        ) from error


def _open(path: Path) -> InputContainer:
    """Open a video; metadata that is not UTF-8 keeps its bytes.

    Raises:
        ImageError: there is no such file, or it is no video.
    """
    import av

    if not path.is_file():
        raise ImageError(f"{path}: no such file; name a video")
    if not path.stat().st_size:
        raise ImageError(f"{path}: is empty (0 bytes)")
    with _av_errors(path):
        return av.open(str(path), metadata_errors="surrogateescape")


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


def _stream(container: InputContainer, clip: _Clip) -> av.VideoStream:
    return next(each for each in container.streams.video if each.index == clip.index)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clip:
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
    def of(cls, path: Path) -> _Clip:
        """Read header and first frame.

        Raises:
            ImageError: the video cannot be read.
        """
        with _open(path) as container, _av_errors(path):
            stream = _main_stream(container, path)
            first = next(_pictures(container, stream), None)
            if first is None:
                raise ImageError(f"{path}: no frame can be decoded; {_CONVERT}")
            bits = max(each.bits for each in first.format.components)
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            length = None if container.duration is None else container.duration / 1_000_000
            start = (container.start_time or 0) / 1_000_000
            notes = []
            if any(each.is_alpha for each in first.format.components):
                notes.append("the transparency is not kept")
            if first.interlaced_frame:
                notes.append("it is interlaced, and both fields were derained as one picture")
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
                count=stream.frames or round((length or 0) * rate),
                counted=stream.frames > 0,
                end=None if length is None else start + length,
                notes=tuple(notes),
            )


def _matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    from av.sidedata.sidedata import Type

    beside: Any = frame.side_data
    try:
        data = bytes(beside[Type.DISPLAYMATRIX])
    except KeyError:
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


def _as_coded(shown: Pixels, matrix: Sequence[int] | None) -> Pixels:
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


# Reading frames


@dataclass(frozen=True, slots=True)
class _Frame:
    """A decoded frame: its timestamp, its duration (0 if unknown), its upright picture."""

    pts: int
    duration: int
    rgb: Pixels
    damaged: bool


@dataclass(slots=True)
class _Heard:
    """What went wrong while frames were decoded: timestamps, and how the file ended."""

    damaged: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    ended: str | None = None


def _pictures(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Yield the frames that can be decoded, and let the others go."""
    for frame, _ in _decoded(container, stream, _Heard()):
        yield frame


def _decoded(
    container: InputContainer, stream: av.VideoStream, heard: _Heard
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


def _read_frames(clip: _Clip, heard: _Heard, after: int | None) -> Generator[_Frame, None, None]:
    """Yield the frames of a video as RGB arrays.

    Args:
        clip: the video.
        heard: receives what goes wrong.
        after: begin at the frame with this timestamp or a little before; None for the first one.
    """
    last: int | None = None
    with _open(clip.path) as container, _av_errors(clip.path):
        stream = _stream(container, clip)
        if after is not None:
            container.seek(after, stream=stream)
        for frame, damaged in _decoded(container, stream, heard):
            step = frame.duration or max(1, round(1 / clip.rate / clip.time_base))
            pts = frame.pts
            if pts is None:
                pts = 0 if last is None else last + step
            if last is not None and pts <= last:  # no encoder takes a second frame at a time
                pts = last + 1
            last = pts
            rgb = _upright(_to_rgb(frame, clip), clip.matrix)
            yield _Frame(pts, frame.duration or 0, rgb, damaged)


def _to_rgb(frame: av.VideoFrame, clip: _Clip) -> Pixels:
    """Convert a frame to RGB, uint8 or, if it has more than 8 bits, uint16."""
    if clip.tags[3] == _UNKNOWN and not frame.format.is_rgb:
        frame.colorspace = _assumed_matrix(clip)
    converted = frame.reformat(
        clip.width,
        clip.height,
        "rgb24" if clip.bits <= 8 else "rgb48le",
        dst_color_range=2,
        interpolation=_EXACT,
    )
    return np.asarray(converted.to_ndarray())


_UNKNOWN = 2
"""FFmpeg's number of a colour tag that is not given."""

_EXACT = 0x4 | 0x2000 | 0x40000
"""Bicubic, with all chroma samples and exact rounding."""


def _assumed_matrix(clip: _Clip) -> int:
    """Return the matrix that players assume where none is named: BT.709 for HD, else BT.601."""
    return 1 if clip.height >= 720 else 5


def _choose_work_size(derainer: Derainer, clip: _Clip) -> int:
    """Return the longest side at which the network sees all frames; 0 for their full size.

    It is the median of what suits a few frames that are spread over the video.
    """
    if derainer.work_size is not None:
        return derainer.work_size
    sizes = [derainer.suited_work_size(_upright(rgb, clip.matrix)) for rgb in _looks(clip)]
    return round(statistics.median_low(sizes)) if sizes else 0


def _looks(clip: _Clip) -> Iterator[Pixels]:
    """Yield the pictures of a few frames that are spread over a video."""
    import av

    with _open(clip.path) as container, _av_errors(clip.path):
        stream = _stream(container, clip)
        first = stream.start_time or 0
        length = round((clip.count / clip.rate) / clip.time_base)
        for number in range(_LOOKS):
            with suppress(av.FFmpegError):
                container.seek(first + length * (2 * number + 1) // (2 * _LOOKS), stream=stream)
            frame = next(_pictures(container, stream), None)
            if frame is not None:
                yield _to_rgb(frame, clip)


# Deraining what is left


class _Parts:
    """The segments that are finished, in the hidden folder beside the result.

    A segment is a file of packets one behind another. Its entry in the ledger tells their sizes and
    timestamps.
    """

    def __init__(self, folder: Path, ledger: Ledger[Any]) -> None:
        self.folder = folder
        self.ledger = ledger
        self.entries: list[dict[str, Any]] = []
        for entry in ledger.entries.values():
            file = self._file(len(self.entries))
            size = sum(packet[1] for packet in entry["packets"])
            if not file.is_file() or file.stat().st_size != size:
                break
            self.entries.append(entry)

    @property
    def frames(self) -> int:
        """Number of frames that are finished."""
        return sum(len(entry["pts"]) for entry in self.entries)

    @property
    def stamps(self) -> list[int]:
        """The timestamps of the frames that are finished."""
        return [pts for entry in self.entries for pts in entry["pts"]]

    @property
    def delay(self) -> int:
        """Number of packets that come before the packet of the first frame that is shown."""
        return max((_delay([p[0] for p in entry["packets"]]) for entry in self.entries), default=0)

    def add(self, packets: Sequence[Any], frames: Sequence[_Done]) -> None:
        """Write a segment; when this returns, it is on the disk."""
        file = self._file(len(self.entries))
        data = [bytes(packet) for packet in packets]
        with atomic_path(file, overwrite=True) as temporary:
            temporary.write_bytes(b"".join(data))
        entry = {
            "pts": [frame.pts for frame in frames],
            "last": frames[-1].duration,
            "damage": [[frame.pts, frame.damage] for frame in frames if frame.damage],
            "packets": [
                [packet.pts, len(each), bool(packet.is_keyframe)]
                for packet, each in zip(packets, data, strict=True)
            ],
        }
        self.ledger.record(str(len(self.entries)), entry)
        self.entries.append(entry)

    def packets(self, number: int) -> Iterator[tuple[int, bytes, bool]]:
        """Yield timestamp, bytes and whether it is a key frame of each packet of a segment."""
        with self._file(number).open("rb") as file:
            for pts, size, key in self.entries[number]["packets"]:
                yield pts, file.read(size), key

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.bin"


def _delay(stamps: Sequence[int]) -> int:
    rank = {pts: place for place, pts in enumerate(sorted(stamps))}
    return max((place - rank[pts] for place, pts in enumerate(stamps)), default=0)


@dataclass(frozen=True, slots=True)
class _Done:
    """A derained frame, upright, and the reason why it is not derained, if so."""

    pts: int
    duration: int
    rgb: Pixels
    damage: str | None


def _derain_rest(
    derainer: Derainer,
    clip: _Clip,
    target: _Target,
    parts: _Parts,
    *,
    steady: bool,
    segment: int,
    tell: OnFrame | None,
) -> tuple[str, ...]:
    """Derain what is not in the finished segments; return what was wrong, a line each."""
    stamps = parts.stamps
    heard = _Heard()
    done = len(stamps)
    after, finished = None, None
    if stamps:
        finished = stamps[-1]
        # The filter against flicker sees some frames before the first one that is left.
        after = stamps[max(0, len(stamps) - REACH)]
    total = max(clip.count, done)
    if tell is not None:
        tell(done, total)
    with (
        ThreadPoolExecutor(1, thread_name_prefix="rainkit-decode") as decoder,
        ThreadPoolExecutor(1, thread_name_prefix="rainkit-encode") as encoder,
        closing(_read_frames(clip, heard, after)) as source,
        closing(_ahead(decoder, _from(source, after))) as frames,
    ):
        pairs = _derained(derainer, frames)
        made = _steadied(pairs) if steady else (done for _, done in pairs)
        waiting: deque[Future[None]] = deque()
        writer = _Writer(target, parts, segment)
        try:
            for each in made:
                if finished is not None and each.pts <= finished:
                    continue
                waiting.append(encoder.submit(writer.add, each))
                while len(waiting) > _AHEAD:
                    waiting.popleft().result()
                done += 1
                if tell is not None:
                    tell(done, max(total, done))
            waiting.append(encoder.submit(writer.flush))
        finally:
            while waiting:
                waiting.popleft().result()
    return _damage(clip, heard, parts)


def _from(frames: Iterable[_Frame], first: int | None) -> Iterator[_Frame]:
    """Leave out what comes before a timestamp."""
    return (frame for frame in frames if first is None or frame.pts >= first)


def _ahead(pool: ThreadPoolExecutor, items: Iterator[T]) -> Generator[T, None, None]:
    """Yield items that a thread makes a few ahead."""
    end = object()
    coming: deque[Future[Any]] = deque()

    def ask() -> None:
        coming.append(pool.submit(next, items, end))

    try:
        for _ in range(_AHEAD):
            ask()
        while (item := coming.popleft().result()) is not end:
            ask()
            yield item
    finally:
        while coming:  # the generator must not be closed while it runs
            with suppress(Exception):
                coming.popleft().result()


def _derained(derainer: Derainer, frames: Iterable[_Frame]) -> Iterator[tuple[Pixels, _Done]]:
    """Yield each frame with its result; one on which the network fails goes through as it is."""
    for frame in frames:
        clean, reason = frame.rgb, None
        if frame.damaged:
            reason = "damaged"
        else:
            try:
                clean = derainer.derain(frame.rgb)
            except Exception as error:  # the other frames can be derained
                reason = described(error)
        yield frame.rgb, _Done(frame.pts, frame.duration, clean, reason)


def _steadied(pairs: Iterable[tuple[Pixels, _Done]]) -> Iterator[_Done]:
    frames = ((rainy, done.rgb, done, done.damage is None) for rainy, done in pairs)
    for rgb, done in steadied(frames):
        yield replace(done, rgb=rgb)


def _damage(clip: _Clip, heard: _Heard, parts: _Parts) -> tuple[str, ...]:
    """Return what was wrong with a video, a line each."""

    def at(pts: int) -> str:
        return f"{float(pts * clip.time_base):.2f} s"

    lines = []
    reasons: dict[str, list[int]] = {}
    for entry in parts.entries:
        for pts, reason in entry["damage"]:
            reasons.setdefault(reason, []).append(pts)
    for reason, stamps in reasons.items():
        what = f"{counted(len(stamps), 'frame')} passed through as found ({reason})"
        lines.append(f"{what}, at {_listed(map(at, stamps))}")
    stamps = sorted(heard.lost - set(parts.stamps))
    if stamps:
        what = f"{counted(len(stamps), 'frame')} cannot be decoded"
        lines.append(f"{what}, at {_listed(map(at, stamps))}: the frame before stays")
    frames = parts.frames
    last = parts.entries[-1] if parts.entries else None
    if last is not None and frames + len(stamps) < clip.count:
        end = float((last["pts"][-1] + last["last"]) * clip.time_base)
        if clip.counted:
            lines.append(f"the file ends early: {frames} of {clip.count} frames are there")
        elif clip.end is not None and end < clip.end - max(0.5, 0.02 * clip.end):
            lines.append(f"the file ends early: {end:.2f} of {clip.end:.2f} s are there")
    if heard.ended is not None and not any(line.startswith("the file") for line in lines):
        lines.append(f"the file ends with an error ({heard.ended})")
    return tuple(lines)


def _listed(words: Iterable[str]) -> str:
    every = list(words)
    more = f" and {len(every) - _TOLD} more" if len(every) > _TOLD else ""
    return ", ".join(every[:_TOLD]) + more


def _settings(
    derainer: Derainer, clip: _Clip, target: _Target, *, steady: bool, segment: int
) -> dict[str, Any]:
    """Return what decides the bytes of segments."""
    import av

    return {
        "source": sha256(clip.path),
        "method": derainer.method.name,
        "weights": derainer.weights.sha256,
        "derainer": derainer.settings(),
        "steady": steady,
        "segment": segment,
        "encoder": [target.codec, target.pix_fmt, target.options],
        "av": av.__version__,
    }


# Writing


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    """How frames are encoded, and the file that they are put into.

    Attributes:
        clip: the source.
        suffix: suffix of the file, in lower case.
        codec: name of FFmpeg's encoder.
        pix_fmt: format of the samples.
        options: options of the encoder.
        tag: code by which players know the coding; None for the usual one.
        size: width and height of the coded frames.
        matrix: the display matrix; None if frames are coded upright.
        notes: what of the source it does not keep.
    """

    clip: _Clip
    suffix: str
    codec: str
    pix_fmt: str
    options: Mapping[str, str]
    tag: str | None
    size: tuple[int, int]
    matrix: tuple[int, ...] | None
    notes: tuple[str, ...]

    @classmethod
    def of(cls, clip: _Clip, output: Path) -> _Target:
        """Choose an encoder whose results play everywhere and that keeps the bits."""
        suffix = output.suffix.lower()
        notes = []
        names = _ENCODERS["webm" if suffix == ".webm" else "all"]
        deep = clip.bits > 8 and suffix != ".gif"
        codec = next((name for name in names[deep] if _has(name)), None)
        if codec is None and deep:
            deep = False
            codec = next((name for name in names[False] if _has(name)), None)
        if codec is None:
            raise UsageError(
                f"{output}: this PyAV has no encoder of {' or '.join(names[False])}; install the "
                "one from PyPI: pip install --force-reinstall av"
            )
        if clip.bits > 8 and not deep:
            notes.append(f"its {clip.bits} bits per sample became 8")
        elif clip.bits > 10:
            notes.append(f"its {clip.bits} bits per sample became 10")
        pix_fmt = "yuv420p10le" if deep else "yuv420p"
        width, height = clip.width, clip.height
        if suffix == ".gif":
            pix_fmt = "yuv444p"
            width, height = clip.shown
        if pix_fmt != "yuv444p" and (width % 2 or height % 2):
            width, height = width + width % 2, height + height % 2
            notes.append(
                f"its odd size {clip.width}x{clip.height} became {width}x{height}: the last column "
                "or row is there twice, since most players need even sizes"
            )
        options, tag = _OPTIONS[codec], None
        if codec == "libx265" and suffix in (".mp4", ".mov", ".m4v"):
            tag = "hvc1"  # the only one that Apple's players know
        return cls(
            clip=clip,
            suffix=suffix,
            codec=codec,
            pix_fmt=pix_fmt,
            options=options,
            tag=tag,
            size=(width, height),
            matrix=None if suffix == ".gif" else clip.matrix,
            notes=tuple(notes),
        )

    def configure(self, context: Any) -> None:
        """Set up an encoder, or a stream that has one."""
        clip = self.clip
        context.width, context.height = self.size
        context.pix_fmt = self.pix_fmt
        context.time_base = clip.time_base
        context.framerate = clip.rate
        context.options = dict(self.options)
        context.thread_count = 0
        if clip.aspect is not None:
            context.sample_aspect_ratio = clip.aspect
        color_range, primaries, transfer, matrix = clip.tags
        context.color_range = color_range
        context.color_primaries = primaries
        context.color_trc = transfer
        context.colorspace = _UNKNOWN if matrix == 0 else matrix
        if self.tag is not None:
            context.codec_tag = self.tag

    def encoder(self) -> av.VideoCodecContext:
        """Return a new encoder."""
        from av.codec.context import CodecContext, Flags

        context: Any = CodecContext.create(self.codec, "w")
        self.configure(context)
        context.flags |= Flags.global_header
        return context  # type: ignore[no-any-return]

    def frame(self, done: _Done) -> av.VideoFrame:
        """Convert a picture to a frame for the encoder."""
        import av

        clip, rgb = self.clip, _as_coded(done.rgb, self.matrix)
        width, height = self.size
        if rgb.shape[:2] != (height, width):
            rgb = np.pad(
                rgb, ((0, height - rgb.shape[0]), (0, width - rgb.shape[1]), (0, 0)), "edge"
            )
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(rgb), "rgb24" if rgb.dtype == np.uint8 else "rgb48le"
        )
        color_range, primaries, transfer, matrix = clip.tags
        known = matrix not in (0, _UNKNOWN)
        coded = frame.reformat(
            format=self.pix_fmt,
            src_color_range=2,
            dst_colorspace=matrix if known else _assumed_matrix(clip),
            dst_color_range=color_range or 1,
            interpolation=_EXACT,
        )
        coded.color_range = color_range
        coded.colorspace = matrix if known else _UNKNOWN
        coded.color_primaries = primaries
        coded.color_trc = transfer
        coded.pts = done.pts
        coded.time_base = clip.time_base
        return coded

    def assemble(self, clip: _Clip, parts: _Parts, copied: Sequence[int], temporary: Path) -> None:
        """Put the segments together with the other streams of the source."""
        if self.suffix == ".gif":
            _write_gif(self, parts, temporary)
            return
        import av

        with (
            _open(clip.path) as source,
            av.open(
                str(temporary),
                "w",
                format=_FORMATS[self.suffix],
                container_options=_container_options(self.suffix, source.metadata),
                metadata_errors="surrogateescape",
            ) as made,
        ):
            stream: Any = made.add_stream(self.codec, rate=clip.rate)
            self.configure(stream.codec_context)
            stream.time_base = clip.time_base
            stream.metadata.update(_kept(source.streams[clip.index].metadata))
            stream.disposition = source.streams[clip.index].disposition
            if self.matrix is not None:
                stream.set_display_matrix(self.matrix)
            made.metadata.update(_kept(source.metadata))
            others = _add_streams(made, source, copied)
            with suppress(NotImplementedError):
                made.set_chapters(source.chapters())
            made.start_encoding()
            _mux(made, _video_packets(self, parts, stream), _other_packets(source, others))


_ENCODERS: Mapping[str, Mapping[bool, tuple[str, ...]]] = {
    "all": {False: ("libx264",), True: ("libx265",)},
    "webm": {False: ("libvpx-vp9", "libsvtav1"), True: ("libsvtav1",)},
}
"""Encoders of files by whether there are more than 8 bits, best first."""

_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "libx264": {"preset": "medium", "crf": "18"},
    "libx265": {"preset": "medium", "crf": "20", "x265-params": "log-level=none"},
    "libvpx-vp9": {"crf": "24", "b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"},
    "libsvtav1": {"crf": "24", "preset": "7"},
}
"""Settings of encoders at which a difference can hardly be seen."""


def _has(codec: str) -> bool:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    try:
        Codec(codec, "w")
    except UnknownCodecError:
        return False
    return True


def _container_options(suffix: str, metadata: Mapping[str, str]) -> dict[str, str]:
    if suffix not in (".mp4", ".mov", ".m4v"):
        return {}
    # The index comes first, so that a page can play the file while it loads.
    flags = "+faststart"
    if any(name.startswith("com.") for name in metadata):  # phones note place and model so
        flags += "+use_metadata_tags"
    return {"movflags": flags}


def _kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata without what describes the source's own coding."""
    return {
        name: text
        for name, text in metadata.items()
        if not name.upper().startswith(_STALE + _BRANDS)
    }


class _Writer:
    """Encodes frames and writes segments; used by one thread."""

    def __init__(self, target: _Target, parts: _Parts, segment: int) -> None:
        self._target = target
        self._parts = parts
        self._segment = segment
        self._encoder: av.VideoCodecContext | None = None
        self._packets: list[Any] = []
        self._frames: list[_Done] = []

    def add(self, done: _Done) -> None:
        """Encode a frame; write the segment if it is full."""
        with _av_errors(self._target.clip.path, self._parts.folder):
            if self._encoder is None:
                self._encoder = self._target.encoder()
            self._packets += self._encoder.encode(self._target.frame(done))
        # The picture is not needed any more.
        self._frames.append(replace(done, rgb=_NOTHING))
        if len(self._frames) == self._segment:
            self.flush()

    def flush(self) -> None:
        """Write what is there as a segment."""
        if self._encoder is None:
            return
        with _av_errors(self._target.clip.path, self._parts.folder):
            self._packets += self._encoder.encode(None)
        self._parts.add(self._packets, self._frames)
        self._encoder, self._packets, self._frames = None, [], []


_NOTHING = np.empty((0, 0, 3), np.uint8)


def _video_packets(target: _Target, parts: _Parts, stream: Any) -> Iterator[Any]:
    """Yield all packets of the video, with decoding times that never go back.

    The packet at place i of a stream that is reordered by at most d places can be decoded when the
    frame at place i - d is shown.
    """
    import av

    delay = parts.delay
    times: deque[int] = deque()
    for number, entry in enumerate(parts.entries):
        order = sorted(entry["pts"])
        if number == 0:
            step = order[1] - order[0] if len(order) > 1 else 1
            times.extend(order[0] - step * (delay - i) for i in range(delay))
        times.extend(order)
        if number + 1 < len(parts.entries):
            end = parts.entries[number + 1]["pts"][0]
        else:
            end = order[-1] + (entry["last"] or order[-1] - order[max(0, len(order) - 2)] or 1)
        durations = {a: b - a for a, b in zip(order, [*order[1:], end], strict=True)}
        for pts, data, key in parts.packets(number):
            packet: Any = av.Packet(data)
            packet.time_base = target.clip.time_base
            packet.pts, packet.dts = pts, times.popleft()
            packet.duration = durations.get(pts, 0)
            packet.is_keyframe = key
            packet.stream = stream
            yield packet


# What is copied


_FORMATS: Mapping[str, str] = {
    ".gif": "gif",
    ".m4v": "mp4",
    ".mkv": "matroska",
    ".mov": "mov",
    ".mp4": "mp4",
    ".webm": "webm",
}
"""FFmpeg's names of the formats."""


def _copied_streams(clip: _Clip, output: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the numbers of the streams that are copied, and what is left out.

    Raises:
        UsageError: the format of the output cannot hold the sound or the subtitles.
    """
    suffix = output.suffix.lower()
    copied, notes = [], []
    with _open(clip.path) as source:
        for stream in source.streams:
            kind = stream.type
            if stream.index == clip.index:
                continue
            what = {"audio": "sound", "subtitle": "subtitles", "video": "further pictures"}.get(
                kind, kind
            )
            name = getattr(stream, "name", None) or "unknown"
            if suffix == ".gif":
                notes.append(f"a GIF holds no {what}")
            elif kind == "attachment" or _holds(suffix, stream):
                copied.append(stream.index)
            elif kind in ("audio", "subtitle"):
                raise UsageError(
                    f"{output}: a {suffix[1:]} file cannot hold the {what} ({name}) of "
                    f"{clip.path.name}; use {clip.path.suffix.lower()} or .mkv"
                )
            else:
                notes.append(f"the stream of {what} ({name}) is left out")
    return tuple(copied), tuple(dict.fromkeys(notes))


def _holds(suffix: str, stream: Any) -> bool:
    """Return whether a format takes a copy of a stream, by writing a header."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=_FORMATS[suffix]) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError, TypeError, NotImplementedError):
        return False
    return True


def _add_streams(
    made: OutputContainer, source: InputContainer, copied: Sequence[int]
) -> dict[int, Any]:
    """Add copies of streams; return them by the numbers of their sources."""
    added: dict[int, Any] = {}
    for index in copied:
        stream: Any = source.streams[index]
        if stream.type == "attachment":
            with suppress(ValueError):  # formats other than Matroska hold none
                made.add_attachment(stream.name or "file", stream.mimetype or "", stream.data)
            continue
        copy: Any = made.add_stream_from_template(stream)
        copy.time_base = stream.time_base
        copy.metadata.update(_kept(stream.metadata))
        copy.disposition = stream.disposition
        added[index] = copy
    return added


def _other_packets(source: InputContainer, others: Mapping[int, Any]) -> Iterator[Any]:
    """Yield the packets of the copied streams as far as they can be read."""
    import av

    if not others:
        return
    with suppress(av.FFmpegError):
        for packet in source.demux(*(source.streams[index] for index in others)):
            if packet.dts is not None and packet.size and not packet.is_corrupt:
                packet.stream = others[packet.stream_index]
                yield packet


def _mux(made: OutputContainer, video: Iterator[Any], others: Iterator[Any]) -> None:
    """Write packets in the order of their decoding times."""
    waiting = next(others, None)
    for packet in video:
        while waiting is not None and _time(waiting) <= _time(packet):
            made.mux(waiting)
            waiting = next(others, None)
        made.mux(packet)
    while waiting is not None:
        made.mux(waiting)
        waiting = next(others, None)


def _time(packet: Any) -> Fraction:
    return Fraction(packet.dts * packet.time_base)


_GIF_STEP = 2
"""Shortest time between frames of a GIF in hundredths of a second; browsers slow down others."""


def _write_gif(target: _Target, parts: _Parts, temporary: Path) -> None:
    """Decode the segments and write them as a GIF, with a palette for each frame."""
    import av
    from av.codec.context import CodecContext
    from av.filter import Graph
    from av.video.format import VideoFormat

    encoder: Any = target.encoder()
    encoder.open()
    decoder: Any = CodecContext.create("h264", "r")
    decoder.extradata = encoder.extradata
    width, height = target.size
    graph = Graph()
    source = graph.add_buffer(
        width=width,
        height=height,
        format=VideoFormat(target.pix_fmt),
        time_base=target.clip.time_base,
    )
    split = graph.add("split")
    palette, use = graph.add("palettegen", "stats_mode=single"), graph.add("paletteuse", "new=1")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    with av.open(str(temporary), "w", format="gif") as made:
        stream: Any = made.add_stream("gif", rate=target.clip.rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        stream.codec_context.time_base = Fraction(1, 100)
        stream.time_base = Fraction(1, 100)
        last: int | None = None

        def show(frames: Iterable[Any]) -> None:
            nonlocal last
            for frame in frames:
                stamp = round(frame.pts * target.clip.time_base * 100)
                if last is not None and stamp < last + _GIF_STEP:
                    continue
                last = stamp
                source.push(frame)
                coloured: Any = sink.pull()
                coloured.pts, coloured.time_base = stamp, Fraction(1, 100)
                made.mux(stream.encode(coloured))

        for number in range(len(parts.entries)):
            for pts, data, key in parts.packets(number):
                packet: Any = av.Packet(data)
                packet.pts, packet.time_base, packet.is_keyframe = pts, target.clip.time_base, key
                show(decoder.decode(packet))
        show(decoder.decode(None))
        made.mux(stream.encode(None))

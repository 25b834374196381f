"""Encoding of videos in segments, and putting segments together with what is copied.

A segment is a file of packets, which begins with a key frame. Segments that are finished are noted
in a ledger, so that a run that was killed goes on after the last whole one. At the end they are put
into one file with the sound, the subtitles and the chapters of the source. Nothing that is held in
memory grows with the video but a few numbers for each frame.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rainkit.errors import UsageError
from rainkit.files import atomic_path
from rainkit.images.containers import (
    EXACT,
    UNKNOWN,
    Clip,
    Hdr,
    as_coded,
    assumed_matrix,
    av_errors,
    open_clip,
)
from rainkit.images.find import VIDEO_SUFFIXES
from rainkit.images.picture import Pixels
from rainkit.ledger import Ledger

if TYPE_CHECKING:
    import av
    from av.container import InputContainer, OutputContainer

__all__ = ["OUTPUTS", "Done", "Encoding", "Segments", "Writer", "check_output", "copied_streams"]

OUTPUTS = VIDEO_SUFFIXES | {".gif"}
"""Suffixes, in lower case, of the files that videos can be written to."""


def check_output(path: Path, output: Path) -> None:
    """Refuse an output that has not the suffix of a video.

    Args:
        path: the video.
        output: the file to write.

    Raises:
        UsageError: the output cannot be a video.
    """
    if output.suffix.lower() not in OUTPUTS:
        raise UsageError(
            f"{output}: {path.name} is a video, which cannot be written as "
            f"{output.suffix or 'a file without a suffix'}; use {', '.join(sorted(OUTPUTS))}"
        )


_STALE = (
    "ALPHA_MODE",
    "BPS",
    "DURATION",
    "NUMBER_OF_",
    "_STATISTICS_",
    "ENCODER",
    "VENDOR_ID",
    "ROTATE",
)
_BRANDS = ("MAJOR_BRAND", "MINOR_VERSION", "COMPATIBLE_BRANDS")
"""Beginnings of metadata, in upper case, that describe the source's own coding."""


class Segments:
    """The segments that are finished, in the hidden folder beside the result.

    A segment is a file of packets one behind another. Its entry in the ledger tells their sizes and
    timestamps.
    """

    def __init__(self, folder: Path, ledger: Ledger[Any]) -> None:
        self.folder = folder
        self.ledger = ledger
        self.entries: list[dict[str, Any]] = []
        self.lost: Callable[[], Iterable[int]] = tuple  # timestamps of what cannot be decoded
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

    def add(self, packets: Sequence[Any], frames: Sequence[Done]) -> None:
        """Write a segment; when this returns, it is on the disk."""
        file = self._file(len(self.entries))
        data = [bytes(packet) for packet in packets]
        with atomic_path(file, overwrite=True) as temporary:
            temporary.write_bytes(b"".join(data))
        entry = {
            "pts": [frame.pts for frame in frames],
            "last": frames[-1].duration,
            "damage": [[frame.pts, frame.damage] for frame in frames if frame.damage],
            "lost": sorted(self.lost()),
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
class Done:
    """A derained frame, upright, and the reason why it is not derained, if so."""

    pts: int
    duration: int
    rgb: Pixels
    damage: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
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

    clip: Clip
    suffix: str
    codec: str
    pix_fmt: str
    options: Mapping[str, str]
    tag: str | None
    size: tuple[int, int]
    matrix: tuple[int, ...] | None
    notes: tuple[str, ...]

    @classmethod
    def of(cls, clip: Clip, output: Path) -> Encoding:
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
        if clip.aspect not in (None, 1) and suffix in (".gif", ".webm"):
            notes.append(
                f"its pixels are {float(clip.aspect or 1):.3g} times as wide as high, which a "
                f"{suffix[1:]} file does not tell: it looks narrower or wider"
            )
        if suffix == ".gif":
            pix_fmt = "yuv444p"
            width, height = clip.shown
        if pix_fmt != "yuv444p" and (width % 2 or height % 2):
            width, height = width + width % 2, height + height % 2
            notes.append(
                f"its odd size {clip.width}x{clip.height} became {width}x{height}: the last column "
                "or row is there twice, since most players need even sizes"
            )
        options, tag = dict(_OPTIONS[codec]), None
        if clip.hdr is not None:
            name, told, whole = _told_hdr(codec, clip.hdr)
            if told:
                options[name] = ":".join(filter(None, (options.get(name), told)))
            if not whole:
                notes.append("its metadata of HDR10 (screen and brightness) is not kept")
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
        color_range, primaries, transfer, _ = clip.tags
        context.color_range = color_range
        context.color_primaries = primaries
        context.color_trc = transfer
        context.colorspace = self._told_matrix
        if self.tag is not None:
            context.codec_tag = self.tag

    @property
    def _told_matrix(self) -> int:
        """The tag of the matrix; a GIF's colours are computed by it, so that it must have one."""
        matrix = self.clip.tags[3]
        if matrix not in (0, UNKNOWN):
            return matrix
        return assumed_matrix(self.clip) if self.suffix == ".gif" else UNKNOWN

    def encoder(self) -> av.VideoCodecContext:
        """Return a new encoder."""
        from av.codec.context import CodecContext, Flags

        context: Any = CodecContext.create(self.codec, "w")
        self.configure(context)
        context.flags |= Flags.global_header
        return context  # type: ignore[no-any-return]

    def frame(self, done: Done) -> av.VideoFrame:
        """Convert a picture to a frame for the encoder."""
        import av

        clip, rgb = self.clip, as_coded(done.rgb, self.matrix)
        width, height = self.size
        if rgb.shape[:2] != (height, width):
            rgb = np.pad(
                rgb, ((0, height - rgb.shape[0]), (0, width - rgb.shape[1]), (0, 0)), "edge"
            )
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(rgb), "rgb24" if rgb.dtype == np.uint8 else "rgb48le"
        )
        color_range, primaries, transfer, matrix = clip.tags
        known = matrix not in (0, UNKNOWN)
        coded = frame.reformat(
            format=self.pix_fmt,
            src_color_range=2,
            dst_colorspace=matrix if known else assumed_matrix(clip),
            dst_color_range=color_range or 1,
            interpolation=EXACT,
        )
        coded.color_range = color_range
        coded.colorspace = self._told_matrix
        coded.color_primaries = primaries
        coded.color_trc = transfer
        coded.pts = done.pts
        coded.time_base = clip.time_base
        return coded

    def assemble(self, clip: Clip, parts: Segments, copied: Sequence[int], temporary: Path) -> None:
        """Put the segments together with the other streams of the source."""
        if self.suffix == ".gif":
            _write_gif(self, parts, temporary)
            return
        import av

        with (
            open_clip(clip.path) as source,
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
            with suppress(RuntimeError):  # a format without chapters
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


def _told_hdr(codec: str, hdr: Hdr) -> tuple[str, str, bool]:
    """Return the option of an encoder that takes the metadata of HDR10, its text, and if it is all.

    Encoders take the screen's chromaticities and luminance together.
    """
    whole = bool(hdr.chromaticities) == bool(hdr.luminance)
    screen: list[float] = []
    if hdr.chromaticities and hdr.luminance:
        red, green, blue, white = (map(float, hdr.chromaticities[i : i + 2]) for i in (0, 2, 4, 6))
        screen = [*green, *blue, *red, *white, *map(float, reversed(hdr.luminance))]
    light = ",".join(map(str, hdr.light))
    if codec == "libx265":  # counts in units of the standard
        form = "G(%d,%d)B(%d,%d)R(%d,%d)WP(%d,%d)L(%d,%d)"
        units = [50_000] * 8 + [10_000] * 2
        counts = tuple(round(v * u) for v, u in zip(screen, units, strict=False))
        said = {"master-display": screen and form % counts, "max-cll": light}
        name, more = "x265-params", ["hdr10=1"]
    elif codec == "libsvtav1":
        form = "G(%.5f,%.5f)B(%.5f,%.5f)R(%.5f,%.5f)WP(%.5f,%.5f)L(%.4f,%.4f)"
        said = {"mastering-display": screen and form % tuple(screen), "content-light": light}
        name, more = "svtav1-params", []
    else:
        return "", "", False
    told = [f"{key}={value}" for key, value in said.items() if value]
    return name, ":".join([*more, *told]) if told else "", whole


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


class Writer:
    """Encodes frames and writes segments; used by one thread."""

    def __init__(self, target: Encoding, parts: Segments, segment: int) -> None:
        self._target = target
        self._parts = parts
        self._segment = segment
        self._encoder: av.VideoCodecContext | None = None
        self._packets: list[Any] = []
        self._frames: list[Done] = []

    def add(self, done: Done) -> None:
        """Encode a frame; write the segment if it is full."""
        with av_errors(self._target.clip.path, self._parts.folder):
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
        with av_errors(self._target.clip.path, self._parts.folder):
            self._packets += self._encoder.encode(None)
        self._parts.add(self._packets, self._frames)
        self._encoder, self._packets, self._frames = None, [], []


_NOTHING = np.empty((0, 0, 3), np.uint8)


def _video_packets(target: Encoding, parts: Segments, stream: Any) -> Iterator[Any]:
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


_FORMATS: Mapping[str, str] = {
    ".gif": "gif",
    ".m4v": "mp4",
    ".mkv": "matroska",
    ".mov": "mov",
    ".mp4": "mp4",
    ".webm": "webm",
}
"""FFmpeg's names of the formats."""


def copied_streams(clip: Clip, output: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the numbers of the streams that are copied, and what is left out.

    Raises:
        UsageError: the format of the output cannot hold the sound or the subtitles.
    """
    from av.stream import Disposition

    suffix = output.suffix.lower()
    copied, notes = [], []
    with open_clip(clip.path) as source:
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
                if kind == "video" and not stream.disposition & Disposition.attached_pic:
                    notes.append("its second stream of pictures is copied with its rain")
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
    except (av.FFmpegError, ValueError, TypeError, RuntimeError):
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


def _write_gif(target: Encoding, parts: Segments, temporary: Path) -> None:
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

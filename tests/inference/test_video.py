"""Videos in, videos out: what is kept, what is said, and how a stopped run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rainkit.errors import FileError, ImageError, UsageError
from rainkit.images import Picture, Pixels, write
from rainkit.images.encoding import check_output
from rainkit.inference.steady import Flicker, measure_flicker, steadied
from rainkit.inference.video import VideoResult, derain_video
from rainkit.runtime_options import Magnification

av = pytest.importorskip("av")

MATRIX_90 = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
"""The display matrix of a phone that was held upright: shown, the right side is below."""


class Stub:
    """A method that takes ten levels off and remembers what it saw."""

    method = type("Method", (), {"name": "stub"})
    weights = type("Weights", (), {"sha256": "0"})

    def __init__(
        self, work_size: int | Magnification | None = 0, fails: Callable[[int], bool] | None = None
    ):
        self.work_size = work_size
        self.fails = fails
        self.seen: list[Pixels] = []
        self.asked = 0

    def settings(self) -> dict[str, Any]:
        return {"work_size": str(self.work_size)}

    def suited_work_size(self, rgb: Pixels) -> int:
        self.asked += 1
        return 32

    def suited_to(self, looks: Any) -> Stub:
        return self

    def at_work_size(self, longest: int) -> Stub:
        self.work_size = longest
        return self

    def derain(self, rgb: Pixels) -> Pixels:
        self.seen.append(rgb)
        if self.fails is not None and self.fails(len(self.seen)):
            raise ValueError("no")
        ten = 10 if rgb.dtype == np.uint8 else 2570
        return np.where(rgb > ten, rgb - ten, 0).astype(rgb.dtype)


def picture(number: int, width: int = 64, height: int = 48) -> Pixels:
    """A smooth picture of which each frame has another brightness; its left half is red."""
    rgb = np.full((height, width, 3), 60 + 8 * number, np.uint8)
    rgb[:, : width // 2, 0] = 200
    return rgb


def make(
    path: Path,
    *,
    stamps: tuple[int, ...] = tuple(range(0, 1000, 100)),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    sound: bool = False,
    text: bool = False,
    matrix: tuple[int, ...] | None = None,
    tags: tuple[int, int, int, int] = (1, 1, 1, 1),
    seed: int | None = None,
    title: str = "",
    x265: str = "",
) -> Path:
    """Write a clip with a time base of a thousandth of a second."""
    rng = np.random.default_rng(seed)
    with av.open(
        str(path), "w", container_options={"movflags": "faststart"} if path.suffix == ".mp4" else {}
    ) as made:
        made.metadata["title"] = title
        stream = made.add_stream(
            codec,
            rate=10,
            options={"crf": "4", "x265-params": ":".join(filter(None, ("log-level=none", x265)))}
            if codec == "libx265"
            else {"crf": "4"},
        )
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000)
        context = stream.codec_context
        context.color_range, context.color_primaries, context.color_trc, context.colorspace = tags
        if matrix is not None:
            stream.set_display_matrix(matrix)
        audio = made.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number, stamp in enumerate(stamps):
            rgb = (
                picture(number, *size)
                if seed is None
                else rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
            )
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
                format=pix_fmt, dst_colorspace=tags[3], dst_color_range=tags[0]
            )
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
        if audio is not None:
            tone = np.sin(np.arange(8000) / 5).astype(np.float32)[None] / 2
            frame = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            frame.sample_rate, frame.pts = 8000, 0
            made.mux(audio.encode(frame))
            made.mux(audio.encode(None))
    return path


def frames(path: Path) -> list[Any]:
    with av.open(str(path)) as clip:
        return list(clip.decode(video=0))


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as clip:
        stream = getattr(clip.streams, kind)[0]
        return [(p.pts * p.time_base, bytes(p)) for p in clip.demux(stream) if p.size]


def run(path: Path, output: Path, derainer: Stub | None = None, **options: Any) -> VideoResult:
    return derain_video(derainer or Stub(), path, output, **options)  # type: ignore[arg-type]


UNEVEN = (0, 40, 100, 130, 333, 400, 401, 700, 900, 1250)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_timestamps_sound_and_title_are_kept(tmp_path: Path, suffix: str):
    source = make(tmp_path / f"in{suffix}", stamps=UNEVEN, sound=True, title="Regen in Köln")
    output = tmp_path / f"out{suffix}"
    result = run(source, output, segment=4)
    assert (result.frames, result.size, result.damage, result.notes) == (10, (64, 48), (), ())
    assert [round(f.time * 1000) for f in frames(output)] == list(UNEVEN)
    assert packets(output, "audio") == packets(source, "audio")
    with av.open(str(output)) as clip:
        assert clip.metadata["title"] == "Regen in Köln"
        assert clip.streams.video[0].codec_context.name == "h264"
        assert clip.streams.video[0].codec_context.pix_fmt == "yuv420p"
    assert not list(tmp_path.glob(".*"))


def test_the_rain_is_taken_out_of_each_frame_and_colours_stay(tmp_path: Path):
    source = make(tmp_path / "in.mp4")
    run(source, tmp_path / "out.mp4", segment=4)
    for before, after in zip(frames(source), frames(tmp_path / "out.mp4"), strict=True):
        a = before.to_ndarray(format="rgb24").astype(int)
        b = after.to_ndarray(format="rgb24").astype(int)
        inside = np.abs(a - b - 10)[:, np.r_[4:26, 38:60]]  # away from the edge of the colours
        assert inside.mean() < 2


@pytest.mark.parametrize("tags", [(1, 9, 16, 9), (2, 1, 13, 5), (0, 2, 2, 2)])
def test_colour_tags_are_kept_and_used(tmp_path: Path, tags: tuple[int, int, int, int]):
    source = make(tmp_path / "in.mp4", tags=tags, stamps=(0, 100))
    derainer = Stub()
    run(source, tmp_path / "out.mp4", derainer)
    after = frames(tmp_path / "out.mp4")[0]
    assert (after.color_range, after.color_primaries, after.color_trc, after.colorspace) == tags
    if tags[3] != 2:
        assert np.abs(derainer.seen[0].astype(int) - picture(0))[:, 4:26].mean() < 3


def test_a_turned_video_is_derained_upright_and_stays_turned(tmp_path: Path):
    source = make(tmp_path / "in.mp4", matrix=MATRIX_90)
    derainer = Stub()
    result = run(source, tmp_path / "out.mp4", derainer)
    assert result.size == (48, 64)
    seen = derainer.seen[0]
    assert seen.shape == (64, 48, 3)
    assert seen[:28, :, 0].min() > 180 > seen[36:, :, 0].max()  # red was left and is above
    before, after = frames(source)[0], frames(tmp_path / "out.mp4")[0]
    assert (after.rotation, after.width, after.height) == (before.rotation, 64, 48)


def test_ten_bits_are_kept(tmp_path: Path):
    source = make(tmp_path / "in.mkv", pix_fmt="yuv420p10le", stamps=(0, 100, 200))
    derainer = Stub()
    result = run(source, tmp_path / "out.mp4", derainer)
    assert derainer.seen[0].dtype == np.uint16
    after = frames(tmp_path / "out.mp4")[0]
    assert (after.format.name, result.notes) == ("yuv420p10le", ())
    with av.open(str(tmp_path / "out.mp4")) as clip:
        assert clip.streams.video[0].codec_context.codec_tag == "hvc1"


HDR10 = (
    "bframes=0:hdr10=1:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
)


def hdr(path: Path) -> dict[str, list[float]]:
    """Return the metadata of HDR10 of the first frame, as numbers."""
    found = {}
    for each in frames(path)[0].side_data:
        if each.type.name == "MASTERING_DISPLAY_METADATA":
            parts = np.frombuffer(bytes(each), np.int32)[:20].reshape(10, 2)
            found["screen"] = (parts[:, 0] / parts[:, 1]).tolist()
        if each.type.name == "CONTENT_LIGHT_LEVEL":
            found["light"] = np.frombuffer(bytes(each), np.uint32).tolist()
    return found


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_the_metadata_of_hdr10_is_kept(tmp_path: Path, suffix: str):
    tags = (1, 9, 16, 9)
    source = make(
        tmp_path / "in.mkv", codec="libx265", pix_fmt="yuv420p10le", stamps=(0, 100), tags=tags,
        x265=HDR10,
    )  # fmt: skip
    before = hdr(source)
    assert (before["light"], before["screen"][8:]) == ([1000, 400], [0.005, 1000])
    result = run(source, tmp_path / f"out{suffix}")
    after = hdr(tmp_path / f"out{suffix}")
    assert (after["light"], result.notes) == (before["light"], ())
    np.testing.assert_allclose(after["screen"], before["screen"], rtol=2e-3)
    frame = frames(tmp_path / f"out{suffix}")[0]
    found = (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace)
    assert tuple(map(int, found)) == tags


def test_a_gif_says_that_it_has_no_hdr10(tmp_path: Path):
    source = make(
        tmp_path / "in.mkv", codec="libx265", pix_fmt="yuv420p10le", stamps=(0, 100), x265=HDR10
    )
    result = run(source, tmp_path / "out.gif")
    assert "its metadata of HDR10 (screen and brightness) is not kept" in result.notes


def test_webm_gif_and_odd_sizes(tmp_path: Path):
    source = make(tmp_path / "in.webm", codec="libvpx-vp9", size=(63, 47), stamps=(0, 100, 200))
    run(source, tmp_path / "out.webm")
    assert [round(f.time * 1000) for f in frames(tmp_path / "out.webm")] == [0, 100, 200]
    even = run(source, tmp_path / "out.mp4")
    after = frames(tmp_path / "out.mp4")[0]
    assert (after.width, after.height) == (64, 48)
    assert "63x47 became 64x48" in even.notes[0]
    run(source, tmp_path / "out.gif", segment=2)
    moving = frames(tmp_path / "out.gif")
    assert [round(f.time * 1000) for f in moving] == [0, 100, 200]
    assert (moving[0].width, moving[0].height) == (63, 47)


def test_what_the_output_cannot_hold_is_refused_before_anything_is_done(tmp_path: Path):
    source = make(tmp_path / "in.mp4", sound=True, stamps=(0, 100))
    derainer = Stub()
    with pytest.raises(UsageError, match=r"cannot hold the sound \(aac\) of in.mp4; use .mp4 or"):
        run(source, tmp_path / "out.webm", derainer)
    assert not derainer.seen
    with pytest.raises(UsageError, match=r"a video, which cannot be written as \.png"):
        check_output(source, tmp_path / "out.png")
    (tmp_path / "out.mp4").touch()
    with pytest.raises(FileError, match="exists"):
        run(source, tmp_path / "out.mp4", derainer)


def test_a_stopped_run_goes_on_after_its_last_segment(tmp_path: Path):
    source = make(tmp_path / "in.mp4", sound=True)
    run(source, tmp_path / "whole.mp4", segment=3, steady=True)

    def stop(done: int, _: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out.mp4", segment=3, steady=True, on_frame=stop)
    assert not (tmp_path / "out.mp4").exists()
    derainer, told = Stub(), []
    result = run(
        source,
        tmp_path / "out.mp4",
        derainer,
        segment=3,
        steady=True,
        on_frame=lambda done, total: told.append((done, total)),
    )
    assert result.ready == 6
    assert told == [(6, 10), (7, 10), (8, 10), (9, 10), (10, 10)]
    assert len(derainer.seen) == 4 + 3  # some before them are seen again by the filter
    assert packets(tmp_path / "out.mp4", "video") == packets(tmp_path / "whole.mp4", "video")
    assert not list(tmp_path.glob(".*"))


def test_other_settings_begin_anew(tmp_path: Path):
    source = make(tmp_path / "in.mp4")

    def stop(done: int, _: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out.mp4", segment=3, on_frame=stop)
    assert run(source, tmp_path / "out.mp4", segment=3, steady=True).ready == 0


def test_frames_on_which_the_network_fails_go_through_and_are_told(tmp_path: Path):
    source = make(tmp_path / "in.mp4")
    result = run(source, tmp_path / "out.mp4", Stub(fails=lambda number: number == 4), steady=True)
    assert result.frames == 10
    assert result.damage == ("1 frame passed through as found (ValueError: no), at 0.30 s",)
    before, after = frames(source)[3], frames(tmp_path / "out.mp4")[3]
    a, b = (f.to_ndarray(format="gray").astype(int) for f in (before, after))
    assert np.abs(a - b).mean() < 2


def test_a_damaged_frame_is_told_and_goes_through(tmp_path: Path):
    source = make(tmp_path / "in.mp4", seed=1)
    data = bytearray(source.read_bytes())
    at = data.find(packets(source, "video")[4][1]) + 200
    for place in range(at, at + 400, 50):
        data[place] ^= 0x55
    source.write_bytes(data)
    derainer = Stub()
    result = run(source, tmp_path / "out.mp4", derainer)
    assert len(result.damage) == 1
    assert "1 frame" in result.damage[0]
    assert len(derainer.seen) == 9


def test_a_truncated_file_gives_what_can_be_read(tmp_path: Path):
    for name in ("in.mp4", "in.mkv"):
        source = make(tmp_path / name, seed=1, stamps=tuple(range(0, 3000, 100)))
        source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
        result = run(source, tmp_path / f"out-{name}")
        assert 5 <= result.frames < 20
        assert any("ends early" in line for line in result.damage)
        assert len(frames(tmp_path / f"out-{name}")) == result.frames


def shifted(source: Path, target: Path, by: int) -> Path:
    """Copy the packets of a clip at other times: before 0, an edit list hides them in an MP4."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as made:
        stream = made.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                ticks = round(Fraction(by, 1000) / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = stream
                made.mux(packet)
    return target


def test_clips_that_were_cut_without_being_coded_again_are_whole(tmp_path: Path):
    source = make(tmp_path / "in.mp4")
    trimmed = shifted(source, tmp_path / "trimmed.mp4", -300)
    with av.open(str(trimmed)) as clip:
        assert clip.streams.video[0].frames == 10
    shown = len(frames(trimmed))
    late = shifted(source, tmp_path / "late.mkv", 5000)
    for clip, count in ((trimmed, shown), (late, 10)):
        result = run(clip, tmp_path / f"out-{clip.name}")
        assert (result.frames, result.damage) == (count, ())
    assert shown < 10


def test_a_stopped_run_loses_no_frame_that_is_shown_before_its_key_frame(tmp_path: Path):
    source = tmp_path / "open.mp4"
    options = "keyint=20:min-keyint=1:scenecut=0:bframes=4:b-adapt=0:open-gop=1:rc-lookahead=10"
    with av.open(str(source), "w") as made:
        stream = made.add_stream("libx264", rate=25, options={"x264-params": options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(50):
            rgb = np.full((48, 64, 3), number * 4, np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    with av.open(str(source)) as clip:
        keys = [
            packet.pts * packet.time_base * 25
            for packet in clip.demux(video=0)
            if packet.is_keyframe
        ]
    assert len(keys) > 2

    def stop(done: int, _: int) -> None:
        if done == segment + 4:
            raise KeyboardInterrupt

    for segment in (round(keys[1]) - 1, round(keys[1])):
        out = tmp_path / f"out{segment}.mp4"
        with pytest.raises(KeyboardInterrupt):
            run(source, out, segment=segment, on_frame=stop)
        result = run(source, out, segment=segment)
        assert result.ready > 0
        assert (result.frames, result.damage) == (50, ())


def test_what_was_lost_before_a_stop_is_told(tmp_path: Path):
    with av.open(str(tmp_path / "in.mp4"), "w") as made:
        stream = made.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24").reformat(format="yuvj420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in stream.encode(frame):
                if number == 1:
                    lost = av.Packet(b"\0" * 40)
                    lost.pts, lost.dts, lost.time_base = packet.pts, packet.dts, packet.time_base
                    lost.stream, lost.is_keyframe = packet.stream, True
                    packet = lost
                made.mux(packet)
        made.mux(stream.encode(None))

    def stop(done: int, _: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    whole = run(tmp_path / "in.mp4", tmp_path / "whole.mp4", segment=3)
    assert "1 frame cannot be decoded, at 0.04 s" in whole.damage[0]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in.mp4", tmp_path / "out.mp4", segment=3, on_frame=stop)
    again = run(tmp_path / "in.mp4", tmp_path / "out.mp4", segment=3)
    assert again.ready > 0
    assert again.damage == whole.damage


def test_colours_of_an_untagged_gif_are_those_of_the_other_formats(tmp_path: Path):
    source = make(tmp_path / "in.mkv", size=(96, 720), tags=(1, 2, 2, 2), stamps=(0, 100))
    run(source, tmp_path / "out.gif")
    run(source, tmp_path / "out.mp4")
    shown = frames(tmp_path / "out.gif")[0].to_ndarray(format="rgb24")
    other = frames(tmp_path / "out.mp4")[0]
    other.colorspace = 1  # BT.709, as players take it from 720 rows on
    other = other.to_ndarray(format="rgb24")
    assert np.abs(shown[300, 20].astype(int) - other[300, 20]).max() <= 4


def test_what_a_format_cannot_tell_of_a_clip_is_a_note(tmp_path: Path):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as made:
        streams = [made.add_stream("libx264", rate=10) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for number in range(3):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                made.mux(stream.encode(frame))
        for stream in streams:
            made.mux(stream.encode(None))
    assert run(source, tmp_path / "out.mkv").notes == (
        "its second stream of pictures is copied with its rain",
    )
    notes = run(source, tmp_path / "out.webm").notes
    assert any("1.45 times as wide as high" in note for note in notes)


def test_what_is_no_video_is_refused(tmp_path: Path):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    for name, reason in (("text", "cannot be decoded"), ("empty", "0 bytes"), ("none", "no such")):
        with pytest.raises(ImageError, match=reason):
            run(tmp_path / f"{name}.mp4", tmp_path / "out.mp4")


def moving_square(count: int = 10) -> list[Pixels]:
    """A bright square that crosses a still, textured background, with noise."""
    rng = np.random.default_rng(0)
    background = np.kron(rng.integers(60, 120, (12, 16, 3)), np.ones((4, 4, 1)))
    every = []
    for number in range(count):
        shown = background + rng.normal(0, 2, background.shape)
        shown[16:28, 4 + 4 * number : 16 + 4 * number] = 230
        every.append(np.clip(shown, 0, 255).astype(np.uint8))
    return every


@pytest.mark.parametrize("scale", [1, 257])
def test_the_filter_calms_what_is_still_and_leaves_no_trail(scale: int):
    shown = [each.astype(np.uint8 if scale == 1 else np.uint16) * scale for each in moving_square()]
    made = list(steadied((each, each, number, True) for number, each in enumerate(shown)))
    assert [number for _, number in made] == list(range(10))
    calm = [rgb for rgb, _ in made]
    still = measure_flicker(zip(shown, shown, strict=True))
    assert measure_flicker(zip(shown, calm, strict=True)).mean < still.mean / 3
    for number, (before, after) in enumerate(zip(shown, calm, strict=True)):
        square = (slice(16, 28), slice(4 + 4 * number, 16 + 4 * number))
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after[square], before[square])
        assert np.abs(after.astype(int) - before).max() <= 12 * scale  # the noise, no trail


def test_an_unsound_frame_is_averaged_with_no_other():
    shown = moving_square(8)
    broken = np.full_like(shown[0], 7)
    frames = [broken if number == 3 else each for number, each in enumerate(shown)]
    made = [rgb for rgb, _ in steadied((each, each, None, k != 3) for k, each in enumerate(frames))]
    np.testing.assert_array_equal(made[3], broken)


def test_flicker_is_measured_where_nothing_moves():
    dark, light = (np.full((48, 64, 3), level, np.uint8) for level in (100, 104))
    shown = [light if number % 2 else dark for number in range(6)]
    input = [dark] * 6
    assert measure_flicker(zip(input, shown, strict=True)) == Flicker(pytest.approx(4), 1)
    brighter = [dark + number for number in range(6)]
    assert measure_flicker(zip(brighter, brighter, strict=True)).mean == pytest.approx(0, abs=1e-4)
    with pytest.raises(ValueError, match="at least three"):
        measure_flicker([(dark, dark)] * 2)


def test_the_work_size_is_chosen_once(tmp_path: Path):
    source = make(tmp_path / "in.mp4")
    derainer = Stub(work_size=None)
    result = run(source, tmp_path / "out.mp4", derainer)
    assert (derainer.asked, derainer.work_size, result.work_size) == (3, 32, 32)


@pytest.mark.parametrize(
    ("asked", "seen"), [(Magnification(2), 128), (32, 32), (64, None), (4000, None), (0, None)]
)
def test_a_work_size_that_was_asked_for_holds_for_all_frames(
    tmp_path: Path, asked: int | Magnification, seen: int | None
):
    derainer = Stub(work_size=asked)
    result = run(make(tmp_path / "in.mp4"), tmp_path / "out.mp4", derainer)
    assert (derainer.asked, derainer.work_size, result.work_size) == (0, asked, seen)


def test_videos_beside_pictures(
    tmp_path: Path, tiny_weights: Path, rainkit: Callable[..., tuple[int, str, str]]
):
    folder = tmp_path / "trip"
    folder.mkdir()
    make(folder / "a.mp4", stamps=(0, 100, 200, 300), sound=True)
    write(folder / "b.png", Picture(picture(1)))
    broken = make(folder / "c.mkv", seed=1, stamps=tuple(range(0, 3000, 100)))
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    (folder / "d.mov").write_text("no video")
    command = ("infer", folder, "-m", "tiny", "--weights", tiny_weights, "--device", "cpu")
    code, out, err = rainkit(*command, "--json", "--report", "--parts", "--steady")
    assert code == 1, err
    made = tmp_path / "trip-tiny"
    result = json.loads(out)
    assert [each["status"] for each in result["pictures"]] == ["done", "done", "done", "failed"]
    assert result["pictures"][0]["frames"] == 4
    assert "ends early" in result["pictures"][2]["error"]
    assert "cannot be decoded as a video" in result["pictures"][3]["error"]
    assert '"event": "frame"' in err
    assert len(frames(made / "a.mp4")) == 4
    assert sorted(path.name for path in made.glob("[!.]*")) == [
        "a.mp4",
        "b.png",
        "c.mkv",
        "report.html",
    ]
    (folder / "d.mov").unlink()
    code, out, err = rainkit(*command, "--parts", "--steady")
    assert (code, "nothing to do" in out) == (0, True), err
    code, out, err = rainkit(*command)  # which the picture does not mind
    assert code == 1
    assert "a.mp4 is there, made with another steady (and so are 1 more)" in err


def test_names_of_outputs_of_videos(
    tmp_path: Path, tiny_weights: Path, rainkit: Callable[..., tuple[int, str, str]]
):
    source = make(tmp_path / "in.mp4", stamps=(0, 100))
    write(tmp_path / "in.png", Picture(picture(1)))
    command = ("-m", "tiny", "--weights", tiny_weights, "--device", "cpu")
    assert rainkit("infer", source, *command)[0] == 0
    assert len(frames(tmp_path / "in-tiny.mp4")) == 2
    assert rainkit("infer", source, *command, "-o", tmp_path / "out.mkv")[0] == 0
    assert len(frames(tmp_path / "out.mkv")) == 2
    for given, output, said in (
        (source, "out.png", "cannot be written as .png"),
        (tmp_path / "in.png", "out.mp4", "names a video"),
        (source, "-", "name a file"),
    ):
        target = output if output == "-" else tmp_path / output
        code, _, err = rainkit("infer", given, *command, "-o", target)
        assert (code, said in err) == (2, True), err


def test_a_playlist_with_the_name_of_a_video_is_refused(tmp_path: Path):
    make(tmp_path / "other.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(ImageError, match=r"list\.mp4: cannot be decoded as a video"):
        derain_video(Stub(), tmp_path / "list.mp4", tmp_path / "clean.mp4")  # type: ignore[arg-type]

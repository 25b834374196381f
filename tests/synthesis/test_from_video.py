"""Scenes cut from videos that are made here, so that the camera's true motion is known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.errors import DatasetError, ImageError, UsageError
from rainkit.images.video import read_frames
from rainkit.rain import RainSettings, render
from rainkit.synthesis import from_video
from rainkit.synthesis.from_video import VideoRequest, cut_clips

SIZE = (240, 180)
RAIN = RainSettings(rate_mm_h=10.0, streak_gain=32.0, streak_grey=220.0)


def view(photo: np.ndarray, dx: float = 0.0, dy: float = 0.0, turn: float = 0.0) -> np.ndarray:
    """What a camera of a quarter of the photograph's resolution sees of its middle.

    The scene lies dx px to the right, dy px lower and turned clockwise by ``turn`` degrees. From
    pictures four times finer, interpolation errors are too small to count.
    """
    fine = (SIZE[0] * 2, SIZE[1] * 2)
    matrix = cv2.getRotationMatrix2D(((photo.shape[1] - 1) / 2, (photo.shape[0] - 1) / 2), -turn, 1)
    matrix[:, 2] += 2 * dx - (photo.shape[1] - fine[0]) / 2, 2 * dy - (photo.shape[0] - fine[1]) / 2
    return cv2.resize(
        cv2.warpAffine(photo, matrix, fine, flags=cv2.INTER_LANCZOS4), SIZE,
        interpolation=cv2.INTER_AREA,
    )  # fmt: skip


def rained(frames: Iterable[np.ndarray]) -> list[np.ndarray]:
    return [render(rgb, RAIN, (7, n)).rainy for n, rgb in enumerate(frames)]


def film(path: Path, frames: Iterable[np.ndarray]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, SIZE)
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 97)
    for rgb in frames:
        writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def read(out: Path, scene: str) -> list[np.ndarray]:
    return [images.read(f.path).rgb for f in images.find([out / "seq" / scene])]


@pytest.fixture(scope="module")
def still(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("still") / "still.avi"
    return film(path, rained([view(data.coffee())] * 24))


def test_a_resting_camera_keeps_its_pixels(still: Path, tmp_path: Path) -> None:
    result = cut_clips(VideoRequest(video=still, out=tmp_path, frames=6))
    (scene,) = result.scenes
    assert (scene.name, scene.steady, scene.width, scene.height) == ("still-1", 24, *SIZE)
    assert [frame.source for frame in scene.frames] == [0, 5, 9, 14, 18, 23]
    assert not any(frame.warped for frame in scene.frames)
    assert scene.drift_px[1] < 0.05
    decoded = dict(read_frames(still))
    for frame, written in zip(scene.frames, read(tmp_path, "still-1"), strict=True):
        assert np.array_equal(written, decoded[frame.source])


def test_a_sway_is_measured_and_taken_out(tmp_path: Path) -> None:
    phase = np.linspace(0, 2.5 * np.pi, 30)
    sway = np.stack([1.4 * np.sin(phase), 0.6 * np.cos(phase), 0.3 * np.sin(phase)], axis=1)
    path = film(tmp_path / "sway.avi", rained(view(data.coffee(), *pose) for pose in sway))
    (scene,) = cut_clips(VideoRequest(video=path, out=tmp_path, frames=30)).scenes
    found = np.array([(f.dx, f.dy, f.rotation_deg) for f in scene.frames])
    # The reference is a median of all frames: only differences between frames are known.
    error = (found - sway) - np.median(found - sway, axis=0)
    assert np.abs(error[:, :2]).max() < 0.1
    assert np.abs(error[:, 2]).max() < 0.06
    assert scene.drift_px[1] > 1.2
    assert scene.left_px[1] < 0.1
    assert sum(frame.warped for frame in scene.frames) > 20
    written = read(tmp_path, "sway-1")
    assert {rgb.shape for rgb in written} == {(scene.height, scene.width, 3)}
    assert SIZE[0] - 16 < scene.width < SIZE[0]

    def unrest(frames: list[np.ndarray]) -> float:
        return float(np.std(np.array(frames, np.float32), axis=0).mean())

    assert unrest(written) < 0.7 * unrest([rgb for _, rgb in read_frames(path)])


def test_a_cut_parts_scenes_and_the_longest_is_taken(tmp_path: Path) -> None:
    shots = [data.coffee()] * 10 + [data.astronaut()] * 14
    path = film(tmp_path / "cut.avi", rained(map(view, shots)))
    longest = cut_clips(VideoRequest(video=path, out=tmp_path / "longest", frames=10))
    assert [(s.name, s.steady) for s in longest.scenes] == [("cut-2", 14)]
    assert longest.dropped == {}
    every = cut_clips(VideoRequest(video=path, out=tmp_path / "all", frames=10, scenes="all"))
    assert [(s.name, s.steady) for s in every.scenes] == [("cut-1", 10), ("cut-2", 14)]
    assert [f.source for f in every.scenes[0].frames] == list(range(10))
    assert abs(read(tmp_path / "all", "cut-1")[0].mean() - view(data.coffee()).mean()) < 12


def test_a_pan_is_dropped(tmp_path: Path) -> None:
    pan = [(0.0, 0.0)] * 12 + [(1.5 * n, 0.0) for n in range(16)] + [(24.0, 0.0)] * 14
    path = film(tmp_path / "pan.avi", rained(view(data.coffee(), *place) for place in pan))
    result = cut_clips(VideoRequest(video=path, out=tmp_path, scenes="all"))
    chosen = [[frame.source for frame in scene.frames] for scene in result.scenes]
    assert len(chosen) == 2
    assert set(chosen[0]) <= set(range(13))
    assert set(chosen[1]) <= set(range(27, 42))
    assert min(map(len, chosen)) >= 8
    assert sum(result.dropped.values()) >= 14
    assert set(result.dropped) <= {"moving", "moved", "short"}


def test_a_pan_without_rest_is_refused(tmp_path: Path) -> None:
    pan = (view(data.coffee(), 1.5 * n) for n in range(16))
    path = film(tmp_path / "pan.avi", rained(pan))
    with pytest.raises(DatasetError, match=r"pan\.avi: no 8 frames .*moving.*tripod"):
        cut_clips(VideoRequest(video=path, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_other_light_and_repeated_frames_are_dropped(tmp_path: Path) -> None:
    frames = rained([view(data.coffee())] * 20)
    frames[5] = cv2.convertScaleAbs(frames[5], alpha=1.0, beta=30)  # a flash
    frames[9] = frames[8]
    path = film(tmp_path / "light.avi", frames)
    result = cut_clips(VideoRequest(video=path, out=tmp_path))
    assert result.dropped == {"light": 1, "repeated": 1}
    chosen = [frame.source for frame in result.scenes[0].frames]
    assert chosen == [n for n in range(20) if n not in (5, 9)]


def test_new_light_for_good_starts_another_scene(tmp_path: Path) -> None:
    frames = rained([view(data.coffee())] * 30)
    frames[15:] = [cv2.convertScaleAbs(rgb, alpha=1.0, beta=30) for rgb in frames[15:]]
    path = film(tmp_path / "light.avi", frames)
    result = cut_clips(VideoRequest(video=path, out=tmp_path, scenes="all"))
    assert [scene.steady for scene in result.scenes] == [15, 10]


def test_the_record_says_what_was_done(still: Path, tmp_path: Path) -> None:
    result = cut_clips(VideoRequest(video=still, out=tmp_path, frames=4))
    (line,) = (tmp_path / from_video.SEQUENCES).read_text().splitlines()
    assert json.loads(line) == json.loads(json.dumps(result.scenes[0].to_data()))
    assert from_video.read_list(tmp_path) == {"still-1": result.scenes[0]}
    assert json.loads(json.dumps(result.to_data()))["decoded"] == 24
    assert re.search(r"24 frames, 24 steady; none dropped", result.summary())
    assert re.search(
        r"still-1: 4 frames of 240x180, 0 registered; .* as written 0\.0\d \(most 0\.0\d\) px",
        result.summary(),
    )


def test_the_median_is_written_when_asked_for(still: Path, tmp_path: Path) -> None:
    cut_clips(VideoRequest(video=still, out=tmp_path, frames=5, median=True))
    folder = tmp_path / "seq" / "still-1"
    frames = [images.read(folder / f"{n:04d}.png").rgb for n in range(1, 6)]
    assert np.array_equal(images.read(folder / "median.png").rgb, np.median(frames, axis=0))


def stamps(out: Path) -> dict[str, tuple[int, bytes]]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(f.relative_to(out)): (f.stat().st_mtime_ns, f.read_bytes()) for f in files}


def test_nothing_is_made_twice_or_overwritten(still: Path, tmp_path: Path) -> None:
    request = VideoRequest(video=still, out=tmp_path, frames=4)
    cut_clips(request)
    before = stamps(tmp_path)
    assert cut_clips(request).ready == 1
    assert stamps(tmp_path) == before
    with pytest.raises(UsageError, match="still-1: is there already; add --overwrite"):
        cut_clips(VideoRequest(video=still, out=tmp_path, frames=5))
    cut_clips(VideoRequest(video=still, out=tmp_path, frames=3, overwrite=True))
    assert len(read(tmp_path, "still-1")) == 3
    (tmp_path / "seq" / "still-1" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=r"mine\.txt"):
        cut_clips(VideoRequest(video=still, out=tmp_path, frames=3, overwrite=True))


def test_a_folder_of_somebody_else_is_left_alone(still: Path, tmp_path: Path) -> None:
    (tmp_path / "seq" / "still-1").mkdir(parents=True)
    with pytest.raises(UsageError, match="is there already"):
        cut_clips(VideoRequest(video=still, out=tmp_path))


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_stopped_run_goes_on(
    still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """Stopped while pictures are written, or between the list and the folder."""
    request = VideoRequest(video=still, out=tmp_path / "stopped", frames=4)
    cut_clips(VideoRequest(video=still, out=tmp_path / "whole", frames=4))
    with monkeypatch.context() as patch:
        name, owner = ("write", images) if calls else ("rename", Path)
        patch.setattr(owner, name, _stops_after(calls, getattr(owner, name)))
        with pytest.raises(KeyboardInterrupt):
            cut_clips(request)
    assert not (request.out / "seq" / "still-1").exists()
    cut_clips(request)
    whole, stopped = stamps(tmp_path / "whole"), stamps(request.out)
    assert {k: v[1] for k, v in stopped.items()} == {k: v[1] for k, v in whole.items()}


def _stops_after(calls: int, function: Callable[..., object]) -> Callable[..., object]:
    left = [calls]

    def stopping(*args: object, **kwargs: object) -> object:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return function(*args, **kwargs)

    return stopping


def test_scenes_of_several_videos_share_a_folder(still: Path, tmp_path: Path) -> None:
    other = film(tmp_path / "b.avi", rained([view(data.astronaut())] * 10))
    for path in (other, still):
        cut_clips(VideoRequest(video=path, out=tmp_path / "out", frames=4))
    assert list(from_video.read_list(tmp_path / "out")) == ["b-1", "still-1"]


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such file"), (b"", "empty"), (b"rain" * 500, "cannot be decoded as a video")],
)
def test_what_is_no_video_is_one_clear_error(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"film\.mp4: .*{says}"):
        cut_clips(VideoRequest(video=path, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_decoders_keep_quiet(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"rain" * 500)
    script = (
        "import contextlib, pathlib; from rainkit.images.video import read_frames\n"
        "with contextlib.suppress(Exception): list(read_frames(pathlib.Path('film.mp4')))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_damaged_list_is_named(still: Path, tmp_path: Path) -> None:
    (tmp_path / from_video.SEQUENCES).write_text('{"name": 1}\n')
    with pytest.raises(DatasetError, match=r"sequences\.jsonl: not a list of scenes"):
        cut_clips(VideoRequest(video=still, out=tmp_path))


def test_requests_have_bounds(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--frames"):
        VideoRequest(video=tmp_path, out=tmp_path, frames=1)
    with pytest.raises(UsageError, match="longest, all"):
        VideoRequest(video=tmp_path, out=tmp_path, scenes="most")

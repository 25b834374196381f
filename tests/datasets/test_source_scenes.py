"""Time-lapse scenes as pairs: a frame, and the average of the other frames of its scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sequences import average_frames
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.errors import ImageError, UsageError
from rainkit.images import Picture

WHOLE = Training(patch=16, whole=64, augment="none")


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A scene of three frames, and one of four; a clean picture, which is no frame."""
    rng = np.random.default_rng(1)
    for scene, count in (("a", 3), ("b", 4)):
        for frame in range(count):
            rgb = rng.integers(0, 256, (18, 24, 3)).astype(np.uint8)
            images.write(tmp_path / "s" / scene / f"{frame}.png", Picture(rgb=rgb))
        images.write(tmp_path / "s" / scene / "clean.png", Picture(rgb=np.zeros_like(rgb)))
    return tmp_path / "s"


@pytest.mark.parametrize("by", ["mean", "median"])
@pytest.mark.parametrize("budget", [1 << 30, 0], ids=["kept", "made again each time"])
def test_the_target_is_the_average_of_the_other_frames(
    scenes: Path, by: str, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rainkit.datasets.sources.base.CACHE_BYTES", budget)
    expected = {}
    for scene in ("a", "b"):
        paths = sorted(scenes.glob(f"{scene}/[0-9].png"))
        frames = [images.read(path).rgb for path in paths]
        for place, frame in enumerate(frames):
            expected[frame.tobytes()] = average_frames(frames[:place] + frames[place + 1 :], by)
    request = DataRequest(scenes=(str(scenes),), scene_target=by)
    source = open_sources(request, WHOLE, 2, kind="pairs")
    assert f"frames and the {by} of the others (7 pictures)" in source.describe()
    seen = set()
    for k in range(60):
        frame, average = (each.permute(1, 2, 0).contiguous().numpy() for each in source[k])
        seen.add(frame.tobytes())
        np.testing.assert_array_equal(average, expected[frame.tobytes()])
    assert len(seen) == 7, "every frame of every scene is drawn"


def test_frames_and_averages_are_cropped_and_turned_alike(tmp_path: Path) -> None:
    """Of two frames, each is the other's average: the pairs are those of frames."""
    ramp = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40, 1) % 251
    first = np.repeat(ramp, 3, axis=2).astype(np.uint8)
    images.write(tmp_path / "s" / "0.png", Picture(rgb=first))
    images.write(tmp_path / "s" / "1.png", Picture(rgb=255 - first))
    request = DataRequest(scenes=(str(tmp_path / "s"),))
    source = open_sources(request, Training(patch=16), 0, kind="pairs")
    for k in range(8):
        frame, average = source[k]
        assert frame.shape == (3, 16, 16)
        assert (frame + average == 255).all()


def test_what_is_kept_of_scenes_makes_room_for_itself(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of two scenes fit, and no frame beside them: no scene is read through twice."""
    monkeypatch.setattr("rainkit.datasets.sources.base.CACHE_BYTES", 4 * 18 * 24 * 3)
    reads: list[Path] = []
    decode = images.decode

    def counting(data: bytes, name: str) -> Picture:
        reads.append(Path(name))
        return decode(data, name)

    monkeypatch.setattr(images, "decode", counting)
    for seed in range(6):
        source = open_sources(DataRequest(scenes=(str(scenes),)), WHOLE, seed, kind="pairs")
        reads.clear()
        for k in range(40):
            source[k]
        assert len(reads) <= 7 + 40, "each frame once for its scene, and one for each sample"


def test_a_method_that_learns_from_frames_gets_frames(scenes: Path) -> None:
    frames = {images.read(path).rgb.tobytes() for path in scenes.glob("*/[0-9].png")}
    source = open_sources(DataRequest(scenes=(str(scenes),)), WHOLE, 2, kind="frames")
    for k in range(10):
        assert all(each.permute(1, 2, 0).numpy().tobytes() in frames for each in source[k])


def test_photos_and_scenes_share_the_samples(scenes: Path, tmp_path: Path) -> None:
    images.write(tmp_path / "photo.png", Picture(rgb=np.zeros((30, 30, 3), np.uint8)))
    request = DataRequest(
        clean=(str(tmp_path / "photo.png"),), scenes=(str(scenes),), clean_share=0.25
    )
    source = open_sources(request, Training(patch=16), 0, kind="pairs")
    from_photo = sum(int(source[k][1].max() == 0) for k in range(100))
    assert 12 <= from_photo <= 40


def test_a_broken_frame_stops_or_its_scene_is_skipped(scenes: Path) -> None:
    broken = scenes / "a" / "1.png"
    broken.write_bytes(broken.read_bytes()[:-40])  # its header can still be read
    request = DataRequest(scenes=(str(scenes),))
    source = open_sources(request, WHOLE, 0, kind="pairs")
    errors = [sample for k in range(20) if isinstance(sample := source[k], ImageError)]
    assert errors
    assert all(str(error).startswith(str(broken)) for error in errors)
    skipping = open_sources(replace(request, unreadable="skip"), WHOLE, 0, kind="pairs")
    samples = [skipping[k] for k in range(20)]
    assert not any(isinstance(sample, Exception) for sample in samples)
    redrawn = {line for sample in samples for line in getattr(sample, "skipped", ())}
    assert redrawn == {str(errors[0])}, "named by one line"


def test_a_frame_that_cannot_be_opened_is_skipped_too(scenes: Path) -> None:
    (scenes / "a" / "1.png").write_bytes(b"no picture")
    request = DataRequest(scenes=(str(scenes),), unreadable="skip")
    for kind in ("frames", "pairs"):
        source = open_sources(request, WHOLE, 0, kind=kind)
        samples = [source[k] for k in range(30)]
        assert not any(isinstance(sample, Exception) for sample in samples)
        skipped = [line for sample in samples for line in getattr(sample, "skipped", ())]
        assert skipped
        assert all("1.png" in line for line in skipped)


def test_averages_are_mean_or_median() -> None:
    with pytest.raises(UsageError, match=r"data\.scene_target = mode: choose mean or median"):
        DataRequest(scene_target="mode")

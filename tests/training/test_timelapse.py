"""Training a method that learns from frames of static scenes, without clean pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage import data

from rainkit import images, training
from rainkit.api import Method, Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.errors import TrainingError, UsageError
from rainkit.images import Picture
from rainkit.rain import PRESETS, render
from rainkit.training import TrainRequest

OBJECTIVE = """
from rainkit.objective import Frames, Loss, Objective

class FromFrames(Objective):
    def __init__(self, settings):
        super().__init__()

    def losses(self, phase, outputs, batch, progress):
        assert isinstance(batch, Frames)
        assert not (batch.first == batch.second).flatten(1).all(1).any()
        return {"loss": Loss((outputs.image - batch.second).abs().mean())}

    def outputs(self, network, batch):
        assert type(batch) is Frames
        return super().outputs(network, batch)
"""

Make = Callable[..., TrainRequest]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes to learn from, and one that is the test set's."""
    root = tmp_path_factory.mktemp("scenes")
    for place, photo in {
        "train/seq/a_01": "astronaut",
        "train/seq/b_01": "coffee",
        "test/seq/c_01": "chelsea",
    }.items():
        clean = np.ascontiguousarray(getattr(data, photo)()[100:170, 100:200])
        folder = root / place
        for frame in range(1, 5):
            rainy = render(clean, PRESETS["rain100l"], (frame,)).rainy
            images.write(folder / f"{frame:04d}.png", Picture(rgb=rainy))
        images.write(folder / "clean.png", Picture(rgb=clean))
    return root


@pytest.fixture
def timelapse(
    request_for: Make,
    tiny_method: Method,
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    """The tiny network with an objective of frames."""
    (tmp_path / "from_frames.py").write_text(OBJECTIVE)
    monkeypatch.syspath_prepend(tmp_path)
    objective = {"training_data": "frames", "objective": "from_frames:FromFrames"}
    method = dataclasses.replace(tiny_method, **objective)

    def make(run: str = "run", **fields: object) -> TrainRequest:
        wanted = {"method": method, "data": DataRequest(scenes=(str(scenes),))}
        return request_for(run, **{**wanted, **fields})

    return make


def test_frames_train_and_resume_to_the_same_bits(timelapse: Make) -> None:
    through = training.train(timelapse("through"))
    assert through.steps == 6
    record = json.loads((through.run / "run.json").read_text())
    assert [Path(folder).is_absolute() for folder in record["data"]["scenes"]] == [True]
    short = timelapse("stopped")
    training.train(short)
    (last,) = (short.run / "checkpoints").glob("*6")
    for file in last.iterdir():
        file.unlink()
    last.rmdir()
    resumed = training.train(dataclasses.replace(short, resume=True))
    assert resumed.done_now == 3
    one, other = load_file(through.weights), load_file(resumed.weights)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_sample_is_one_place_in_two_frames_of_a_training_scene(scenes: Path) -> None:
    request = DataRequest(scenes=(str(scenes),))
    source, again = (
        open_sources(request, Training(patch=32), seed=2, kind="frames") for _ in range(2)
    )
    frames = {
        path: images.read(path).rgb for path in scenes.glob("train/seq/*/0*.png")
    }  # 4 frames of 2 scenes
    assert "(8 pictures)" in source.describe()
    drawn = set()
    for k in range(12):
        first, second = source[k]
        assert torch.equal(first, again[k][0])
        assert first.dtype == torch.uint8
        assert first.shape == second.shape == (3, 32, 32)
        places = [_find(crop.permute(1, 2, 0).numpy(), frames) for crop in (first, second)]
        (one, where), (other, there) = places
        assert one.parent == other.parent
        assert one != other
        assert where == there, "cropped at one place and turned alike"
        drawn.add(one.parent.name)
    assert drawn == {"a_01", "b_01"}


def _find(crop: np.ndarray, frames: dict[Path, np.ndarray]) -> tuple[Path, tuple[int, ...]]:
    """Which frame a crop is from, and row, column, mirroring and quarter turns of the crop."""
    side = len(crop)
    for mirrored in (0, 1):
        for turns in range(4):
            upright = np.rot90(crop[:, ::-1] if mirrored else crop, turns)
            for path, frame in frames.items():
                windows = np.lib.stride_tricks.sliding_window_view(frame, (side, side), (0, 1))
                rows, columns = np.nonzero((windows[..., 0, 0] == upright[0, 0]).all(axis=2))
                for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                    if np.array_equal(frame[row : row + side, column : column + side], upright):
                        return path, (row, column, mirrored, turns)
    raise AssertionError("the crop is of no frame: it was resized or recoloured")


def test_an_objective_can_stop_a_training_that_is_lost(
    timelapse: Make, tiny_method: Method, tmp_path: Path
) -> None:
    """Up to step 4 all is well, and the checkpoint of step 3 stays."""
    told = "raise DivergedError('all is black; raise objective.structure')"
    stop = f"        if progress.step == 4:\n            {told}\n        assert isinstance"
    lost = OBJECTIVE.replace("import Frames", "import DivergedError, Frames")
    lost = lost.replace("        assert isinstance", stop)
    (tmp_path / "lost.py").write_text(lost)
    objective = {"training_data": "frames", "objective": "lost:FromFrames"}
    method = dataclasses.replace(tiny_method, **objective)
    request = timelapse(method=method)
    with pytest.raises(TrainingError, match=r"at step 4: all is black; raise .*last\.safetensors$"):
        training.train(request)
    assert [path.name[-1] for path in (request.run / "checkpoints").iterdir()] == ["3"]


def test_a_photograph_gives_two_frames_with_rain_of_their_own(
    timelapse: Make, photos: Path, scenes: Path
) -> None:
    """The training never gets the photograph itself, but for the share without rain."""
    request = DataRequest(clean=(str(photos),), rain_free=0.0, jpeg=0.0)
    source = open_sources(request, Training(patch=32), seed=2, kind="frames")
    pairs = open_sources(request, Training(patch=32), seed=2, kind="pairs")
    drawn = [(source[k], pairs[k]) for k in range(8)]
    for (first, second), (rainy, clean) in drawn:
        assert torch.equal(first, rainy), "the first frame is the rainy picture of a pair"
        assert not torch.equal(second, clean) or torch.equal(rainy, clean)
    assert sum(not torch.equal(*frames) for frames, _ in drawn) >= 6
    dry = open_sources(
        dataclasses.replace(request, rain_free=1.0), Training(patch=32), seed=2, kind="frames"
    )
    assert all(torch.equal(*dry[k]) for k in range(3))
    noise = dataclasses.replace(request, degradation="noise")
    noisy = open_sources(noise, Training(patch=32), seed=2, kind="frames")
    assert not torch.equal(*noisy[0])
    both = dataclasses.replace(request, scenes=(str(scenes),), clean_share=0.5)
    assert training.train(timelapse(data=both)).steps == 6


def test_data_of_the_other_kind_is_refused(
    timelapse: Make, request_for: Make, photos: Path, pairs: Path, scenes: Path
) -> None:
    with pytest.raises(UsageError, match=r"learns from time-lapse frames.*\(--scenes\)"):
        training.train(timelapse(data=DataRequest()))
    painted = DataRequest(clean=(str(photos),), rain_on="device", jpeg=0.0)
    with pytest.raises(UsageError, match=r"rain_on = device: workers paint the two frames"):
        training.train(timelapse(data=painted))
    with pytest.raises(UsageError, match=r"--pairs: .* use --scenes, or --clean"):
        training.train(timelapse(data=DataRequest(pairs=(str(pairs),))))
    for name in ("dry_weight", "ssim_weight"):
        with pytest.raises(UsageError, match=rf"{name} = 1: .* frames, which have no clean"):
            training.train(timelapse(settings=(f"training.{name}=1",)))


def test_a_method_of_pairs_learns_from_frames_and_the_mean_of_the_others(
    request_for, scenes: Path
) -> None:
    assert training.train(request_for(data=DataRequest(scenes=(str(scenes),)))).steps == 6


def test_a_plan_counts_the_pass_of_two_frames(timelapse: Make) -> None:
    plan = training.plan(timelapse())
    assert plan.memory_mib["activations"] > 0

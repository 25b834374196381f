"""Tiny real trainings: what a run leaves behind, that it learns, and that it resumes exactly."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import multiprocessing
import random
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rainkit_graspp_gan import METHOD
from rich.console import Console
from safetensors.torch import load_file

from rainkit import hyperparameters, images, networks, training, weights
from rainkit.api import ImageSpec
from rainkit.datasets.pairs import Dataset, find_pairs
from rainkit.datasets.sources import DataRequest
from rainkit.errors import ImageError, TrainingError, UsageError
from rainkit.images import Picture
from rainkit.training.data import _quiet_worker
from rainkit.training.phases import Phases
from rainkit.training.validation import refuse_trained_on


def _scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    with (run / "log.csv").open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
    return found


def _equal(a: Path, b: Path) -> bool:
    left, right = load_file(a), load_file(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_a_run_leaves_weights_checkpoints_logs_and_its_record(adversarial_for) -> None:
    request = adversarial_for()
    result = training.train(request)
    run = request.run
    assert result.steps == 6
    file = weights.find(METHOD, str(result.weights))
    assert file.network == request.hyperparameters.network
    weights.load(networks.build(METHOD, file.network), file)
    assert result.best is not None
    assert [f.name for f in sorted((run / "checkpoints").iterdir())] == [
        "step-00000003",
        "step-00000006",
    ]
    scalars = _scalars(run)
    assert [step for step, _ in scalars["validation/pairs0/psnr"]] == [3, 6]
    assert scalars["critic/real"][0][0] == 6, "the critic joins after its warm-up epoch"
    assert any((run / "tensorboard").iterdir())
    record = json.loads((run / "run.json").read_text())
    assert record["hyperparameters"]["training"]["patch"] == 32
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert record["versions"]["rainkit-graspp-gan"]
    assert json.loads(file.header["training"])["patch"] == 32
    assert "photos" not in str(file.header), "weights do not tell the folders of one machine"


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_a_resumed_run_ends_in_the_same_bits(optimiser: str, adversarial_for) -> None:
    """Weights, average, critic and optimisers, with augmentation and rain on the fly."""
    settings = ("training.steps=9", f"training.optimiser={optimiser}")
    whole = adversarial_for("whole", settings=settings, keep=9)
    training.train(whole)
    cut = whole.run.with_name("cut")
    shutil.copytree(whole.run, cut)
    shutil.rmtree(cut / "checkpoints" / "step-00000009")
    (cut / "last.safetensors").unlink()
    result = training.train(training.reopen(cut, settings=("run.workers=1",)))
    assert result.steps == 9
    for name in ("model", "average"):
        last = Path("checkpoints", "step-00000009", f"{name}.safetensors")
        assert _equal(whole.run / last, cut / last), name
    first, second = (
        torch.load(run / "checkpoints/step-00000009/state.pt", weights_only=True)
        for run in (whole.run, cut)
    )
    assert first.pop("data") == second.pop("data")
    for name in first["optimisers"]:
        groups = [state["optimisers"][name].pop("param_groups") for state in (first, second)]
        assert groups[0] == groups[1]
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first["optimisers"]["critic"]["state"], "the critic has stepped"
    assert _scalars(whole.run)["generator/l2"] == _scalars(cut)["generator/l2"]


PLATEAU = (
    "training.schedule=plateau", "training.plateau_on=psnr", "training.patience=0",
    "training.factor=0.5", "training.lr_floor=0.25", "training.stop_at_floor=true",
    "training.epoch_steps=1", "training.patch=16", "training.batch=1", "training.ema=0",
)  # fmt: skip


def test_a_plateau_of_the_validation_ends_at_the_floor_and_resumes_in_the_same_bits(
    request_for, tiny_method, capsys: pytest.CaptureFixture[str]
) -> None:
    def request(run: str, *settings: str):
        values = hyperparameters.resolve(tiny_method, settings=(*PLATEAU, *settings))
        return request_for(run, method=tiny_method, hyperparameters=values, keep=99)

    def state(run: Path, step: int) -> dict:
        path = run / "checkpoints" / f"step-{step:08d}" / "state.pt"
        return torch.load(path, weights_only=True)

    asked = request("still", "training.steps=9", "training.lr=1e-12")
    still = training.train(asked, Console(width=300))
    assert [line for line in capsys.readouterr().out.splitlines() if "falls" in line] == [
        f"step {step}: the learning rate falls to {rate}"
        for step, rate in ((2, "5e-13"), (3, "2.5e-13"))
    ]
    assert (still.steps, still.stopped) == (4, "no gain"), "two falls to the floor, one in vain"
    plateau = state(still.run, 4)["memory"]["plateau"]
    assert plateau == {"best": -still.scores["pairs0/psnr"], "waited": 0, "falls": 3}
    assert training.train(training.reopen(still.run)).steps == 4, "it stays ended"

    whole = training.train(request("whole", "training.steps=7", "training.lr=0.05"))
    first = state(whole.run, whole.steps)
    assert 0 < state(whole.run, 3)["memory"]["plateau"]["falls"] < 3
    cut = whole.run.with_name("cut")
    shutil.copytree(whole.run, cut)
    for folder in (cut / "checkpoints").iterdir():
        if int(folder.name[-1]) > 3:
            shutil.rmtree(folder)
    again = training.train(training.reopen(cut))
    assert (again.steps, again.stopped) == (whole.steps, whole.stopped)
    second = state(cut, whole.steps)
    assert first.pop("data") == second.pop("data")
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert _equal(whole.weights, again.weights)


@pytest.mark.parametrize(
    ("settings", "fields", "named"),
    [
        (PLATEAU, {"data": DataRequest()}, r"plateau_on = psnr: .*--validate"),
        (PLATEAU, {"validate_every": 2}, r"run\.validate_every = 2: .*plateau_on"),
        ((*PLATEAU, "training.lr_floor=0"), {}, r"stop_at_floor: .*lr_floor = 0"),
        (("training.whole=64", "training.crop=64"), {}, r"crop = 64: .*training\.whole = 0"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(
    request_for, settings: tuple[str, ...], fields: dict, named: str
) -> None:
    request = request_for(settings=settings, **fields)
    with pytest.raises(UsageError, match=named):
        training.train(request)
    assert not request.run.exists()


def test_a_run_stopped_before_its_first_checkpoint_starts_anew(request_for) -> None:
    request = request_for()
    training.train(request)
    cut = request.run.with_name("cut")
    cut.mkdir()
    shutil.copy(request.run / "run.json", cut)
    training.train(training.reopen(cut))
    assert _equal(request.run / "last.safetensors", cut / "last.safetensors")


def test_a_training_leaves_the_random_generators_as_they_were(request_for) -> None:
    def drawn() -> list[float]:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        if wanted:
            training.train(request_for())
        return [random.random(), np.random.rand(), float(torch.rand(1))]

    wanted: list[float] = []
    wanted = drawn()
    assert drawn() == wanted


def test_another_seed_gives_other_weights(request_for) -> None:
    ends = [training.train(request_for(f"run{seed}", seed=seed)).weights for seed in (1, 2)]
    assert not _equal(*ends)


def test_training_lowers_the_loss(request_for, pairs: Path) -> None:
    request = request_for(
        settings=(
            "training.steps=100", "training.epoch_steps=50", "training.ema=0",
            "training.schedule=constant",
        ),
        data=DataRequest(pairs=(str(pairs),)),
    )  # fmt: skip
    training.train(request)
    first, last = (value for _, value in _scalars(request.run)["network/total"])
    assert last < 0.9 * first


def test_bf16_trains(request_for) -> None:
    training.train(request_for(precision="bf16"))


def test_a_folder_that_holds_a_run_is_refused(request_for) -> None:
    request = request_for()
    training.train(request)
    with pytest.raises(UsageError, match="holds a run already"):
        training.train(request)


def test_a_run_without_a_checkpoint_is_replaced(request_for) -> None:
    request = request_for()
    request.run.mkdir()
    (request.run / "run.json").write_text("{}")
    assert training.train(request).steps == 6


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to resume"):
        training.reopen(tmp_path)


@pytest.mark.parametrize("damage", ["truncate", "pickle"])
def test_a_damaged_checkpoint_is_named(request_for, damage: str) -> None:
    request = request_for()
    training.train(request)
    state = request.run / "checkpoints" / "step-00000006" / "state.pt"
    if damage == "truncate":
        state.write_bytes(state.read_bytes()[:1000])
    else:
        torch.save({"memory": Path}, state)
    with pytest.raises(TrainingError, match=r"step-00000006.*resume from the one before"):
        training.train(training.reopen(request.run))


def test_an_unfinished_checkpoint_is_not_taken(request_for) -> None:
    request = request_for()
    training.train(request)
    folder = request.run / "checkpoints"
    (folder / "step-00000006").rename(folder / "unfinished-00000006")
    result = training.train(training.reopen(request.run))
    assert result.steps == 6
    assert (folder / "step-00000006").is_dir()


def test_no_data_is_a_usage_error(request_for) -> None:
    with pytest.raises(UsageError, match="nothing to train on"):
        training.train(request_for(data=DataRequest()))


def test_validation_pairs_of_different_sizes_are_refused_at_once(
    request_for, photos: Path, tmp_path: Path
) -> None:
    for folder, side in {"input": 40, "target": 50}.items():
        rgb = np.zeros((side, 40, 3), np.uint8)
        images.write(tmp_path / "bad" / folder / "a.png", Picture(rgb=rgb), overwrite=False)
    data = DataRequest(clean=(str(photos),), validation=(str(tmp_path / "bad"),))
    request = request_for(data=data)
    with pytest.raises(UsageError, match="sizes differ"):
        training.train(request)
    assert not request.run.exists()


def test_a_photo_that_cannot_be_read_is_named_in_one_line(request_for, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    request = request_for(data=DataRequest(clean=(str(tmp_path / "photos"),)), workers=1)
    with pytest.raises(ImageError, match=r"broken\.png") as caught:
        training.train(request)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**32}, "seed 4294967296"),
        (
            {
                "method": dataclasses.replace(METHOD, training_data="frames"),
                "data": DataRequest(pairs=("nowhere",)),
            },
            "time-lapse",
        ),
        (
            {"method": dataclasses.replace(METHOD, image=lambda _: ImageSpec(multiple_of=48))},
            "training.patch = 32",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    adversarial_for, change: dict, named: str
) -> None:
    request = adversarial_for(**change)
    with pytest.raises(UsageError, match=named):
        training.train(request)
    assert not request.run.exists()


def test_weights_that_broke_never_replace_a_good_checkpoint(request_for, monkeypatch) -> None:
    request = request_for(settings=("training.steps=9",), keep=1)
    real = Phases.step

    def poisoned(self, batch, step, plateau):
        shown = real(self, batch, step, plateau)
        if step == 5:
            next(self.network.parameters()).data.fill_(math.nan)
        return shown

    monkeypatch.setattr(Phases, "step", poisoned)
    with pytest.raises(TrainingError, match=r"at step 6.*last good weights are .*last\.safe"):
        training.train(request)
    assert [f.name for f in (request.run / "checkpoints").iterdir()] == ["step-00000003"]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_itself(request_for) -> None:
    request = request_for(settings=("training.lr=1e30",))
    with pytest.raises(TrainingError, match=r"not finite at step .*; no weights had been saved"):
        training.train(dataclasses.replace(request))


def test_loading_processes_start_whatever_opencv_did_before() -> None:
    """A forked process that asks OpenCV for one thread waits for its parent's threads for ever."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (3000, 3000))
        with warnings.catch_warnings(action="ignore"):  # of forks beside threads
            worker = multiprocessing.get_context("fork").Process(target=_quiet_worker, args=(0,))
            worker.start()
        worker.join(60)
        code = worker.exitcode
        worker.kill()
        worker.join()
    finally:
        cv2.setNumThreads(threads)
    assert code == 0


def test_what_is_trained_on_is_no_validation_set_whatever_it_is_called(
    request_for, pairs: Path, tmp_path: Path
) -> None:
    shutil.copytree(pairs, tmp_path / "others")
    for side in ("input", "target"):
        for path in (tmp_path / "others" / side).iterdir():
            path.rename(path.with_name(f"x{path.name}"))
    data = DataRequest(pairs=(str(tmp_path / "others"),), validation=(str(pairs),))
    with pytest.raises(UsageError, match=r"--validate .*pairs0: all of its pictures are trained"):
        training.train(request_for(data=data))
    first = next((tmp_path / "others" / "input").iterdir())
    first.write_bytes(first.read_bytes() + b"0")  # one picture is another one
    sets = [Dataset("pairs0", pairs, find_pairs(pairs))]
    refuse_trained_on(find_pairs(tmp_path / "others"), sets)


def test_a_resume_says_that_pictures_are_gone(request_for, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "clean")
    data = DataRequest(clean=(str(tmp_path / "clean"),))
    request = request_for(data=data, settings=("training.steps=3",))
    training.train(request)
    next((tmp_path / "clean").iterdir()).unlink()
    resumed = training.reopen(request.run, max_steps=4)
    said = Console(record=True, width=400)
    training.train(resumed, said)
    assert "2 pictures instead of 3 pictures" in said.export_text()
    cut = request.run / "checkpoints" / "step-00000004" / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-9])
    with pytest.raises(TrainingError, match=r"remove the folder .*step-00000004 to resume"):
        training.train(training.reopen(request.run, max_steps=5))
    shutil.rmtree(cut.parent)
    with pytest.raises(UsageError, match="--init"):
        training.train(training.reopen(request.run, max_steps=2))

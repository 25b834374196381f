"""Tiny real trainings: what a run leaves behind, that it learns, and that it resumes exactly."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from rainkit_graspp_gan import METHOD
from safetensors.torch import load_file

from rainkit import networks, training, weights
from rainkit.datasets.sources import DataRequest
from rainkit.errors import TrainingError, UsageError


def _scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    with (run / "log.csv").open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
    return found


def _equal(a: Path, b: Path) -> bool:
    left, right = load_file(a), load_file(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_a_run_leaves_weights_checkpoints_logs_and_its_record(request_for) -> None:
    request = request_for()
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


def test_a_resumed_run_ends_in_the_same_bits(request_for) -> None:
    """Weights, average, critic and optimisers, with augmentation and rain on the fly."""
    whole = request_for("whole", keep=9)
    training.train(whole)
    cut = whole.run.with_name("cut")
    shutil.copytree(whole.run, cut)
    shutil.rmtree(cut / "checkpoints" / "step-00000006")
    (cut / "last.safetensors").unlink()
    result = training.train(training.reopen(cut, device="cpu", workers=1))
    assert result.steps == 6
    for name in ("model", "average"):
        last = Path("checkpoints", "step-00000006", f"{name}.safetensors")
        assert _equal(whole.run / last, cut / last), name
    states = [
        torch.load(run / "checkpoints/step-00000006/state.pt", weights_only=True)
        for run in (whole.run, cut)
    ]
    critics = [state["objective"] for state in states]
    assert all(torch.equal(critics[0][key], critics[1][key]) for key in critics[0])
    assert states[0]["memory"] == states[1]["memory"]
    assert _scalars(whole.run)["generator/l2"] == _scalars(cut)["generator/l2"]


def test_another_seed_gives_other_weights(request_for) -> None:
    ends = [training.train(request_for(f"run{seed}", seed=seed)).weights for seed in (1, 2)]
    assert not _equal(*ends)


def test_training_lowers_the_loss(request_for, pairs: Path) -> None:
    request = request_for(
        settings=(
            "training.steps=100", "training.epoch_steps=50", "training.lr=5e-3",
            "objective.beta=0", "training.ema=0", "training.schedule=constant",
        ),
        data=DataRequest(pairs=(str(pairs),)),
    )  # fmt: skip
    training.train(request)
    first, last = (value for _, value in _scalars(request.run)["generator/total"])
    assert last < 0.9 * first


def test_bf16_trains(request_for) -> None:
    training.train(request_for(precision="bf16"))


def test_a_folder_that_holds_a_run_is_refused(request_for) -> None:
    request = request_for()
    request.run.mkdir()
    (request.run / "run.json").write_text("{}")
    with pytest.raises(TrainingError, match="holds a run already"):
        training.train(request)


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to resume"):
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


def test_a_loss_that_is_not_finite_stops_the_run_and_names_itself(request_for) -> None:
    request = request_for(settings=("training.lr=1e30",))
    with pytest.raises(TrainingError, match="not finite at step"):
        training.train(dataclasses.replace(request))

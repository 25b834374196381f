"""Distillation: a frozen teacher's pictures are one more target, recorded with its hash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rainkit import hyperparameters, networks, training, weights
from rainkit.api import Method
from rainkit.errors import MethodError, TrainingError, UsageError
from rainkit.objective import Frames, Pair
from rainkit.precision import choose_runtime
from rainkit.training import TrainRequest
from rainkit.training.distillation import Teacher, TeacherFile
from rainkit.training.schedules import Plateau
from rainkit.training.setup import Setup

SMALL = (
    "training.batch=2", "training.patch=16", "training.steps=4", "training.epoch_steps=2",
    "training.distill_weight=0.25",
)  # fmt: skip


@pytest.fixture
def teacher(tiny_method: Method, tmp_path: Path) -> Path:
    """Weights of a wider network than the student's."""
    return _save(tiny_method, tmp_path / "teacher.safetensors", seed=7)


def _save(method: Method, path: Path, seed: int) -> Path:
    settings = method.variants["paper"].network
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = networks.build(method, settings).state_dict()
    weights.save(path, state, method=method, variant="paper", network=settings)
    return path


@pytest.fixture
def taught(request_for, tiny_method: Method, teacher: Path) -> Callable[..., TrainRequest]:
    def make(run: str = "run", **fields) -> TrainRequest:
        values = hyperparameters.resolve(tiny_method, settings=SMALL)
        wanted = {"method": tiny_method, "hyperparameters": values, "keep": 9}
        wanted["teacher"] = TeacherFile.find(f"tiny={teacher}")
        return request_for(run, **{**wanted, **fields})

    return make


def test_the_distance_to_the_teachers_picture_is_a_weighted_term(taught, teacher: Path) -> None:
    setup = Setup(taught())
    file = weights.open_file(setup.request.method, teacher)
    network = weights.load(networks.build(setup.request.method, file.network), file)
    (batch,) = next(iter(setup.feed.steps(0, 1)))
    with torch.no_grad():
        student = setup.network(batch.rainy).image
        off = (student - network(batch.rainy).image.clamp(0, 1)).abs().mean()
    losses, shown = setup.phases.step([batch], 0, Plateau())
    torch.testing.assert_close(losses["network/teacher"], off)
    total = losses["network/error"] + 0.25 * losses["network/teacher"]
    torch.testing.assert_close(losses["network/total"], total)
    assert shown["network/teacher/weight"] == 0.25
    assert setup.teacher is not None
    assert "teacher teacher.safetensors (443 parameters, " in setup.describe()
    assert training.plan(taught()).memory_mib["teacher"] == pytest.approx(443 * 4 / 2**20)


def test_without_its_term_the_training_is_the_same(taught) -> None:
    """The teacher draws no random numbers and changes no batch."""
    alone, with_teacher = Setup(taught(teacher=None)), Setup(taught())
    errors = [
        setup.phases.step(next(iter(setup.feed.steps(0, 1))), 0, Plateau())[0]["network/error"]
        for setup in (alone, with_teacher)
    ]
    assert torch.equal(*errors)


def test_a_resumed_student_ends_in_the_same_bits_with_the_same_teacher(
    taught, teacher: Path, tiny_method: Method
) -> None:
    whole = training.train(taught("whole"))
    cut = whole.run.with_name("cut")
    shutil.copytree(whole.run, cut)
    shutil.rmtree(cut / "checkpoints" / "step-00000004")
    request = training.reopen(cut)
    again = training.train(request)
    assert (again.done_now, again.steps) == (2, 4)
    one, other = load_file(whole.weights), load_file(again.weights)
    assert all(torch.equal(one[name], other[name]) for name in one)
    record = json.loads((cut / "run.json").read_text())["teacher"]
    assert record == {
        "name": f"tiny={teacher}",
        "sha256": weights.open_file(tiny_method, teacher).sha256,
    }
    header = json.loads(weights.open_file(tiny_method, again.weights).header["teacher"])
    assert header == {**record, "name": "teacher.safetensors"}, "no folder of this machine"
    _save(tiny_method, teacher, seed=8)
    with pytest.raises(TrainingError, match=r"run\.json: .* tiny=.* has changed: its sha256 was"):
        training.reopen(cut)
    teacher.unlink()
    with pytest.raises(TrainingError, match=r"run\.json: .* is missing .*put it back, or start"):
        training.reopen(cut)


def test_teachers_that_do_not_exist_are_refused(tiny_method: Method) -> None:
    for text in ("tiny.rain-v9", "tiny=nowhere.safetensors"):
        with pytest.raises(UsageError, match=rf"--teacher {text}: .*\(it ships: none\)"):
            TeacherFile.find(text)
    with pytest.raises(UsageError, match="tinny"):
        TeacherFile.find("tinny.rain-v1")


def test_a_teacher_derains_what_the_student_was_given(tiny_method: Method, teacher: Path) -> None:
    found = Teacher(TeacherFile.find(f"tiny={teacher}"), choose_runtime("cpu", "fp32"))
    first, second = torch.rand(2, 2, 3, 9, 11)
    both = torch.cat([first, second])
    targets = found.targets(Frames(first, second), both)
    assert torch.equal(targets, found.pictures(both))
    assert not targets.requires_grad
    assert 0 <= targets.min() < targets.max() <= 1
    torch.testing.assert_close(found.targets(Frames(first, second), first), targets[:2])
    torch.testing.assert_close(found.targets(Pair(second, first), second), targets[2:])
    with pytest.raises(MethodError, match="not one picture for each rainy one"):
        found.targets(Pair(first, second), both)


def test_a_precision_that_is_unsafe_for_the_teacher_is_the_students_alone(
    tiny_method: Method, teacher: Path
) -> None:
    file = TeacherFile.find(f"tiny={teacher}")
    assert Teacher(file, choose_runtime("cpu", "bf16")).runtime.precision == "bf16"
    assert Teacher(file, choose_runtime("cpu", "fp16")).runtime.precision == "fp32"


def test_a_recipe_names_a_teacher_and_the_command_line_another(
    rainkit, tiny_method: Method, teacher: Path, photos: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"method = 'tiny'\nteacher = 'tiny={teacher}'\n[training]\npatch = 16\n")
    plan = ("train", "--config", recipe, "--clean", photos, "--dry-run", "plan")
    code, shown, _ = rainkit(*plan)
    assert code == 0
    assert "teacher teacher.safetensors" in " ".join(shown.split())
    code, _, told = rainkit(*plan, "--teacher", "tiny.best")
    assert code == 2
    assert told.startswith("error: --teacher tiny.best: ")
    recipe.write_text("method = 'tiny'\nteacher = 'tiny.best'\n")
    code, _, told = rainkit(*plan)
    assert code == 2
    assert told.startswith(f"error: --config {recipe}: --teacher tiny.best: "), told

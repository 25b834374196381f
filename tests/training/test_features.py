"""What a run can be asked for beside training: parts, memory, freezing, starting weights, ends."""

from __future__ import annotations

import csv
import itertools
import math
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rainkit_graspp_gan import METHOD
from rich.console import Console
from safetensors.torch import load_file
from torch import nn

from rainkit import networks, plugins, training
from rainkit.datasets.sources import DataRequest
from rainkit.errors import TrainingError, UsageError
from rainkit.training import TrainRequest, planning
from rainkit.training.setup import Setup, freeze, recompute

SMALL = ("training.batch=4", "training.steps=4", "training.epoch_steps=2", "training.ema=0")


def _rows(run: Path) -> list[tuple[int, str, float]]:
    with (run / "log.csv").open() as file:
        return [(int(r["step"]), r["name"], float(r["value"])) for r in csv.DictReader(file)]


def test_a_batch_in_parts_gives_the_gradients_of_the_whole(request_for, tiny_method) -> None:
    """Of a network without BatchNorm."""
    whole = load_file(training.train(request_for("whole", SMALL)).weights)
    settings = (*SMALL, "training.accumulate=4")
    parts = load_file(training.train(request_for("parts", settings)).weights)
    start = networks.build(tiny_method, tiny_method.default.network).state_dict()
    moved = max((whole[name] - start[name]).abs().max().item() for name in whole)
    for name, value in whole.items():
        assert (parts[name] - value).abs().max() < 0.02 * moved, name


def test_activations_computed_twice_give_the_same_network_in_less_memory(request_for) -> None:
    def small(run: str, *settings: str) -> TrainRequest:
        settings = (*SMALL, "network.width=4", "network.blocks=3", *settings)
        return request_for(run, settings, method=plugins.get("resguidenet"))

    kept, twice = small("kept"), small("twice", "training.recompute=true")
    ends = [load_file(training.train(request).weights) for request in (kept, twice)]
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-4, atol=1e-6)
    planned = [
        training.plan(request).memory_mib["activations"]
        for request in (small("plan"), small("plan", "training.recompute=true"))
    ]
    assert planned[1] < 0.8 * planned[0]


def test_blocks_with_batch_statistics_compute_once() -> None:
    block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))
    with pytest.raises(UsageError, match="no blocks without BatchNorm"):
        recompute(nn.Sequential(block, nn.ReLU()))
    plain = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))
    assert recompute(nn.Sequential(plain, nn.ReLU())) == 1


def test_frozen_parameters_and_their_statistics_stay(adversarial_for) -> None:
    first = training.train(adversarial_for("first"))
    request = adversarial_for("second", ("training.freeze=encoder.*",), init=first.weights)
    before = load_file(first.weights)
    after = load_file(training.train(request).weights)
    frozen = [name for name in before if name.startswith("encoder.")]
    assert frozen
    assert any(name.endswith("running_mean") for name in frozen)
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_statistics_alone_are_frozen(adversarial_for) -> None:
    first = training.train(adversarial_for("first"))
    settings = ("training.freeze_statistics=true",)
    request = adversarial_for("second", settings, init=first.weights)
    before = load_file(first.weights)
    after = load_file(training.train(request).weights)
    statistics = {name for name in before if "running" in name or "num_batches" in name}
    assert statistics
    assert {name for name in before if torch.equal(before[name], after[name])} == statistics


def test_freezing_statistics_that_are_not_there_is_refused(request_for) -> None:
    request = request_for("plain", ("training.freeze_statistics=true",))
    with pytest.raises(UsageError, match=r"training\.freeze_statistics: .* no running statistics"):
        training.train(request)


def test_freezing_nothing_or_everything_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1))
    with pytest.raises(UsageError, match=r"nothing is named head\.\*; there is 0\.weight"):
        freeze(network, ["head.*"])
    with pytest.raises(UsageError, match="nothing is left to train"):
        freeze(network, ["*"])


def test_a_training_starts_from_weights(request_for) -> None:
    first = training.train(request_for("first"))
    settings = ("training.steps=1", "training.lr=1e-12", "training.ema=0")
    second = training.train(request_for("second", settings, init=first.weights))
    one, other = load_file(first.weights), load_file(second.weights)
    for name in one:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(one[name], other[name], rtol=1e-6, atol=1e-6)


def test_time_fixes_the_steps_and_is_kept(request_for, monkeypatch) -> None:
    """By a clock that ticks a hundredth of a second whenever the planning looks at it."""
    ticks = itertools.count(time.monotonic(), 0.01)
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr(planning, "time", clock)
    request = request_for(max_seconds=2.0, settings=("training.epoch_steps=20",))
    result = training.train(request)
    assert 60 < result.planned < 300, "the time decides, not the settings"
    assert result.stopped in (None, "time")
    held = training.reopen(request.run)
    assert held.hyperparameters.training.steps == result.planned, "resume keeps the schedule"
    assert result.scores


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("1h30m", 5400), ("45s", 45), ("2h", 7200)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert training.parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "m", "1.5h", "0s", "-1m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write a time such as 90m"):
        training.parse_time(text)


def test_measuring_leaves_no_trace_in_the_training(adversarial_for) -> None:
    """A set-up whose steps were fixed by a time equals one that was given those steps."""
    measured = Setup(adversarial_for("timed"))
    found = planning.fit(measured, 3600.0)
    fresh = Setup(adversarial_for("plain", settings=(f"training.steps={found.steps}",)))
    assert measured.training == fresh.training
    assert measured.request.hyperparameters == fresh.request.hyperparameters
    for one, other in ((measured.network, fresh.network), (measured.shipping, fresh.shipping)):
        first, second = one.state_dict(), other.state_dict()
        assert all(torch.equal(first[name], second[name]) for name in second)
    torch.testing.assert_close(measured.phases.state(), fresh.phases.state(), rtol=0, atol=0)


def test_a_finished_run_is_extended_and_says_what_the_schedule_does(
    request_for, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for()
    assert training.train(request).steps == 6
    assert capsys.readouterr().out == "", "nothing is shown without a console"
    with pytest.raises(UsageError, match="has done 6 steps already; give more"):
        training.train(training.reopen(request.run, max_steps=6))
    more = training.reopen(request.run, max_steps=9)
    monkeypatch.setattr("rainkit.training.logging._EVERY", 0.0)
    result = training.train(more, Console(width=40))
    assert (result.steps, result.done_now, result.planned) == (9, 3, 9)
    shown = capsys.readouterr().out
    assert "9 steps instead of 6: the cosine schedule follows" in shown
    pace = r"^step \d of 9, \S+ step/s, \d+ MiB, loss \S+, about 0 min left$"
    assert re.search(pace, shown, re.M), "a line, and no bar, where there is no terminal"
    assert "━" not in shown
    assert training.reopen(request.run).hyperparameters.training.steps == 9


def test_a_run_that_ended_without_gain_goes_on_when_it_is_extended(request_for) -> None:
    settings = ("training.steps=30", "training.lr=1e-12", "training.stop_after=2")
    request = request_for(settings=settings)
    ended = training.train(request)
    assert ended.stopped == "no gain"
    result = training.train(training.reopen(request.run, max_steps=33))
    assert result.done_now > 0


def test_an_extension_that_is_killed_before_its_checkpoint_is_not_forgotten(
    request_for, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("training.steps=30", "training.lr=1e-12", "training.stop_after=2")
    request = request_for(settings=settings)
    training.train(request)

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rainkit.training.loop._Run._step", killed)
        with pytest.raises(KeyboardInterrupt):
            training.train(training.reopen(request.run, max_steps=33))
    assert training.train(training.reopen(request.run)).done_now > 0


def test_each_validation_shows_the_score_of_the_input(
    request_for, capsys: pytest.CaptureFixture[str]
) -> None:
    result = training.train(request_for(settings=("training.lr=1e-12",)), Console(width=300))
    shown = re.findall(r"\(input ([\d.]+) dB [\d.]+(, below the input)?\)", capsys.readouterr().out)
    assert shown
    assert all(float(psnr) == round(result.scores["pairs0/input_psnr"], 2) for psnr, _ in shown)
    below = result.scores["pairs0/psnr"] < result.scores["pairs0/input_psnr"]
    assert bool(shown[-1][1]) == below


def test_too_little_time_is_refused_before_anything_is_written(request_for) -> None:
    request = request_for(max_seconds=0.01)
    with pytest.raises(UsageError, match="not one fits"):
        training.train(request)
    assert not request.run.exists()


def test_a_training_that_no_longer_improves_ends(request_for) -> None:
    settings = ("training.steps=30", "training.lr=1e-12", "training.stop_after=2")
    request = request_for(settings=settings)
    result = training.train(request)
    assert (result.stopped, result.steps) == ("no gain", 9), "the best, and two without a better"
    again = training.train(training.reopen(request.run))
    assert (again.stopped, again.done_now) == ("no gain", 0)
    assert again.scores == result.scores


def test_the_log_tells_memory_time_weights_and_gradients(adversarial_for) -> None:
    request = adversarial_for(histograms=True, trackers=("tensorboard",))
    training.train(request)
    names = {name for _, name, _ in _rows(request.run)}
    assert {"memory MiB", "seconds", "steps per second", "validation/pairs0/images"} <= names
    adversarial = [n for n in names if n.startswith("generator/") and n.endswith("/weight")]
    assert adversarial, "the weight of the adversarial term"
    events = b"".join(p.read_bytes() for p in (request.run / "tensorboard").glob("events*"))
    assert b"gradients/generator/" in events
    assert (request.run / "rainkit").is_dir(), "the tracker's own folder"


@pytest.mark.parametrize(
    ("name", "said"),
    [("nobody", "choose one of"), ("aim", "is not installed; try pip install aim")],
)
def test_trackers_that_are_not_there_are_refused(request_for, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        training.train(request_for(trackers=(name,)))


def test_whole_pictures_train(request_for) -> None:
    settings = ("training.whole=64", "training.accumulate=2")
    assert training.train(request_for(settings=settings)).steps == 6


def test_a_batch_that_does_not_divide_is_refused(request_for) -> None:
    with pytest.raises(TrainingError, match="does not divide among 3 parts: choose a multiple"):
        training.train(request_for(settings=("training.accumulate=3",)))


def test_a_broken_photo_is_skipped_and_counted_on_request(
    request_for, photos: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    data = DataRequest(clean=(str(photos), str(broken)), unreadable="skip")
    result = training.train(request_for(data=data))
    assert result.steps == 6
    assert len(result.skipped) == 1
    assert "broken.png" in next(iter(result.skipped))


def test_a_plan_says_what_would_be_done_and_writes_nothing(adversarial_for) -> None:
    request = adversarial_for()
    plan = training.plan(request)
    assert not request.run.exists()
    network = networks.build(METHOD, request.hyperparameters.network)
    assert plan.parameters["network"] == networks.parameters(network)
    assert plan.part == (2, 3, 32, 32)
    assert plan.validation == {"pairs0": 3}
    critic, generator = plan.phases
    assert (generator["from_step"], critic["from_step"]) == (0, 3)
    assert generator["lr"][0] == request.hyperparameters.training.lr
    assert generator["lr"] == sorted(generator["lr"], reverse=True)
    gradients = 4 * sum(plan.parameters.values()) / 2**20
    assert math.isclose(plan.memory_mib["gradients"], gradients)
    more = training.plan(adversarial_for(settings=("training.batch=8",)))
    ratio = more.memory_mib["activations"] / plan.memory_mib["activations"]
    assert ratio == pytest.approx(4)


def test_a_profile_adds_up_and_writes_nothing(request_for) -> None:
    request = request_for(workers=1)
    profile = training.profile(request, steps=2)
    assert not request.run.exists()
    assert sum(profile.parts.values()) == pytest.approx(1e3 / profile.loading, rel=1e-3)
    assert {"waiting for data", "forward", "network: backward"} <= set(profile.parts)
    assert profile.ratio > 0
    assert any("convolution" in each.name for each in profile.operators)

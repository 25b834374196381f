"""Learning rates as functions of the step."""

from __future__ import annotations

import pytest

from rainkit.api import Training
from rainkit.training.schedules import Plateau, at_floor, ignored, learning_rate


def _rate(training: Training, step: int, falls: int = 0) -> float:
    return learning_rate(training, step, Plateau(falls=falls))


def test_warm_up_rises_linearly_to_the_full_rate() -> None:
    training = Training(lr=1.0, warmup_steps=4, schedule="constant")
    assert [_rate(training, step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_falls_from_the_rate_to_its_floor() -> None:
    training = Training(lr=1.0, warmup_steps=10, steps=110, lr_floor=0.1)
    assert _rate(training, 10) == pytest.approx(1.0)
    assert _rate(training, 60) == pytest.approx(0.55)
    assert _rate(training, 110) == pytest.approx(0.1)
    rates = [_rate(training, step) for step in range(10, 111)]
    assert rates == sorted(rates, reverse=True)


def test_milestones_count_epochs() -> None:
    training = Training(
        lr=1.0, schedule="milestones", milestones=(2, 3), factor=0.2, epoch_steps=10
    )
    assert [_rate(training, s) for s in (19, 20, 30)] == pytest.approx([1.0, 0.2, 0.04])


def test_plateau_falls_after_its_patience_and_then_waits_again() -> None:
    training = Training(lr=1.0, schedule="plateau", factor=0.1, patience=1)
    plateau = Plateau()
    rates = []
    for loss in (1.0, 0.9, 0.9, 0.89999, 0.9, 0.9, 0.5):
        plateau.observe(loss, training.patience)
        rates.append(learning_rate(training, 0, plateau))
    assert rates == pytest.approx([1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_a_value_below_zero_improves_as_it_falls() -> None:
    """The PSNR of a validation is observed as its negative."""
    plateau = Plateau()
    falls = [plateau.observe(-psnr, patience=0) for psnr in (30.0, 30.001, 29.999, 30.1, 30.0)]
    assert falls == [False, True, True, False, True]
    assert plateau.best == -30.1


def test_the_floor_of_a_plateau_is_reached_after_its_falls() -> None:
    training = Training(schedule="plateau", factor=0.9, lr_floor=0.2)
    assert [at_floor(training, Plateau(falls=falls)) for falls in (0, 15, 16)] == [
        False, False, True
    ]  # fmt: skip


def test_plateau_and_milestones_stop_at_the_floor() -> None:
    """A rate that falls by a tenth each time passes a fifth of itself after 16 falls."""
    plateau = Training(lr=5e-4, schedule="plateau", factor=0.9, lr_floor=0.2)
    assert _rate(plateau, 0, falls=15) == pytest.approx(5e-4 * 0.9**15)
    assert [_rate(plateau, 0, falls=n) for n in (16, 36)] == pytest.approx([1e-4, 1e-4])
    milestones = Training(
        lr=1.0, schedule="milestones", milestones=(1, 2), factor=0.1, lr_floor=0.05, epoch_steps=1
    )
    assert [_rate(milestones, step) for step in range(4)] == pytest.approx([1.0, 0.1, 0.05, 0.05])


def test_the_warm_up_may_be_below_the_floor() -> None:
    training = Training(lr=1.0, warmup_steps=10, schedule="plateau", lr_floor=0.5)
    assert _rate(training, 0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "unread"),
    [
        ({"schedule": "cosine", "lr_floor": 0.1, "warmup_steps": 5}, []),
        ({"schedule": "cosine", "patience": 3}, ["patience"]),
        ({"plateau_on": "psnr", "stop_at_floor": True}, ["plateau_on", "stop_at_floor"]),
        ({"schedule": "constant", "lr_floor": 0.1, "factor": 0.5}, ["factor", "lr_floor"]),
        ({"schedule": "constant", "milestones": (3,)}, ["milestones"]),
        ({"schedule": "milestones", "milestones": (3,), "factor": 0.5, "lr_floor": 0.1}, []),
        ({"schedule": "milestones", "patience": 3}, ["patience"]),
        ({"schedule": "plateau", "patience": 3, "factor": 0.5, "lr_floor": 0.1}, []),
        ({"schedule": "plateau", "plateau_on": "psnr", "stop_at_floor": True}, []),
    ],
)
def test_settings_that_a_schedule_ignores_are_named(changes: dict, unread: list[str]) -> None:
    assert ignored(Training(**changes)) == unread


def test_only_the_names_that_are_given_count() -> None:
    training = Training(schedule="constant", factor=0.5, lr_floor=0.1)
    assert ignored(training, ["schedule", "lr", "factor"]) == ["factor"]

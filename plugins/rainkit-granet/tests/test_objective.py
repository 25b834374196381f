"""The mean absolute error of the result and, with a weight, of the coarse picture."""

from __future__ import annotations

import pytest
import torch
from rainkit_granet import METHOD, Objective
from rainkit_granet.network import GraNet
from rainkit_granet.objective import MeanAbsoluteError

from rainkit.objective import Derained, Pair, Progress, weighted_sum
from rainkit.training.schedules import Plateau, learning_rate

NOW = Progress(step=0, steps=100, epoch=0.0)


def _batch() -> tuple[Derained, Pair]:
    """Results off by 0.1 below and above, coarse pictures by 0.3."""
    clean = torch.full((2, 3, 8, 8), 0.5)
    off = torch.where(torch.arange(8) % 2 == 0, -1.0, 1.0).expand_as(clean)
    parts = {"mask": 0 * clean, "coarse": clean - 0.3}
    return Derained(clean + 0.1 * off, parts), Pair(clean, clean)


def test_the_paper_takes_the_error_of_the_result_alone() -> None:
    outputs, pair = _batch()
    losses = MeanAbsoluteError(METHOD.variants["paper"].objective)
    terms = losses.loss(outputs, pair, NOW)
    assert set(terms) == {"mae"}
    assert weighted_sum(terms).item() == pytest.approx(0.1)


def test_the_coarse_picture_is_supervised_by_its_weight() -> None:
    outputs, pair = _batch()
    terms = MeanAbsoluteError(Objective(coarse=0.25)).loss(outputs, pair, NOW)
    assert terms["coarse"].value.item() == pytest.approx(0.3)
    assert weighted_sum(terms).item() == pytest.approx(0.1 + 0.25 * 0.3)


@pytest.mark.parametrize(
    ("variant", "terms"),
    [
        ("default", {"mae", "coarse"}),
        ("paper", {"mae"}),
        ("no-context", {"mae", "coarse"}),
        ("coarse", {"mae"}),
        ("coarse-no-ra", {"mae"}),
    ],
)
def test_a_coarse_picture_that_is_the_result_counts_once(variant: str, terms: set[str]) -> None:
    torch.manual_seed(0)
    values = METHOD.variants[variant]
    pair = Pair(*torch.rand(2, 1, 3, 16, 16))
    objective = MeanAbsoluteError(values.objective)
    outputs = objective.outputs(GraNet(values.network), pair)
    losses = objective.loss(outputs, pair, NOW)
    assert set(losses) == terms
    torch.testing.assert_close(losses["mae"].value, (outputs.image - pair.clean).abs().mean())


def test_errors_are_float32_whatever_the_network_gives() -> None:
    outputs, pair = _batch()
    rounded = Derained(
        outputs.image.bfloat16(), {k: p.bfloat16() for k, p in outputs.parts.items()}
    )
    for name, loss in MeanAbsoluteError(Objective(coarse=1.0)).loss(rounded, pair, NOW).items():
        assert loss.value.dtype == torch.float32, name


def test_the_papers_learning_rate_falls_by_a_tenth_each_time_and_stops_at_its_floor() -> None:
    training = METHOD.variants["paper"].training
    rates = [learning_rate(training, 0, Plateau(falls=falls)) for falls in (0, 1, 15, 16, 36)]
    assert rates == pytest.approx([5e-4, 4.5e-4, 5e-4 * 0.9**15, 1e-4, 1e-4])

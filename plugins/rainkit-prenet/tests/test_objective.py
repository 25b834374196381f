"""PReNet's losses: one of the last stage, or one of each stage."""

from __future__ import annotations

import pytest
import torch
from rainkit_prenet import METHOD
from rainkit_prenet.objective import PReNetObjective

from rainkit.losses import ssim
from rainkit.objective import Derained, Pair, Progress, weighted_sum

NOW = Progress(step=0, steps=1, epoch=0.0)


def _answer() -> tuple[Derained, Pair]:
    generator = torch.Generator().manual_seed(0)
    rainy, clean, *stages = (torch.rand(2, 3, 16, 16, generator=generator) for _ in range(5))
    parts = {f"stage{t}": x for t, x in enumerate(stages, 1)}
    return Derained(stages[-1], parts), Pair(rainy, clean)


def test_the_last_stage_alone_is_supervised() -> None:
    outputs, pair = _answer()
    losses = PReNetObjective(METHOD.default.objective).loss(outputs, pair, NOW)
    assert losses.keys() == {"ssim"}
    torch.testing.assert_close(weighted_sum(losses), -ssim(outputs.image, pair.clean).mean())
    perfect = PReNetObjective(METHOD.default.objective).loss(Derained(pair.clean, {}), pair, NOW)
    assert float(perfect["ssim"].value) == pytest.approx(-1)


def test_the_squared_error() -> None:
    outputs, pair = _answer()
    losses = PReNetObjective(METHOD.variants["mse"].objective).loss(outputs, pair, NOW)
    torch.testing.assert_close(losses["mse"].value, (outputs.image - pair.clean).square().mean())


def test_recursive_supervision_adds_the_stages_before() -> None:
    outputs, pair = _answer()
    losses = PReNetObjective(METHOD.variants["rec-ssim"].objective).loss(outputs, pair, NOW)
    assert list(losses) == ["ssim", "ssim1", "ssim2"]
    first, second, last = (-ssim(x, pair.clean).mean() for x in outputs.parts.values())
    torch.testing.assert_close(weighted_sum(losses), 0.5 * (first + second) + 1.5 * last)

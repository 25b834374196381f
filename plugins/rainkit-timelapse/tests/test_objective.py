"""The four losses of two frames, the printed schedule and the guard against black pictures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from rainkit_timelapse import METHOD, Objective
from rainkit_timelapse.network import TimeLapse
from rainkit_timelapse.objective import GUARD_EVERY, DirectionNetwork, TimeLapseObjective

from rainkit.objective import Derained, DivergedError, Frames, Progress, weighted_sum

START = Progress(step=0, steps=100, epoch=0.0)


def _frames() -> Frames:
    torch.manual_seed(0)
    scene = 0.2 + 0.5 * torch.rand(2, 3, 16, 16)
    rains = (0.3 * (torch.rand(2, 2, 1, 16, 16) > 0.9)).unbind(0)
    return Frames(*(scene + rain for rain in rains))


def _answer(frames: Frames, streaks: torch.Tensor) -> Derained:
    rainy = torch.cat(frames)
    return Derained((rainy - streaks).clamp(min=0), {"streaks": streaks})


def _terms(settings: Objective, frames: Frames, streaks: torch.Tensor) -> dict[str, float]:
    losses = TimeLapseObjective(settings).losses("network", _answer(frames, streaks), frames, START)
    return {name: float(loss.value.detach()) for name, loss in losses.items()}


def test_the_untouched_pictures_differ_by_their_rain() -> None:
    frames = _frames()
    terms = _terms(Objective(), frames, torch.zeros(4, 1, 16, 16))
    apart = (frames.first - frames.second).abs().mean().item()
    assert terms["background"] == pytest.approx(apart)
    assert terms["structure"] == pytest.approx(apart)
    assert terms["reconstruction"] == terms["direction"] == 0


def test_each_result_is_held_against_the_other_frame() -> None:
    """M != n: a result that keeps its own frame's rain must not be rewarded for it."""
    frames = _frames()
    scene = torch.minimum(frames.first, frames.second)
    streaks = torch.cat(frames) - scene.repeat(2, 1, 1, 1)
    terms = _terms(Objective(), frames, streaks)
    rain = (streaks.chunk(2)[0].abs().mean() + streaks.chunk(2)[1].abs().mean()).item() / 2
    assert terms["background"] == pytest.approx(0, abs=1e-7)
    assert terms["structure"] == pytest.approx(rain, rel=1e-4)


def test_reconstruction_counts_what_is_taken_beyond_the_picture() -> None:
    frames = _frames()
    over = torch.cat(frames).amax(1, keepdim=True) + 0.25
    expected = (over - torch.cat(frames)).mean().item()
    terms = _terms(Objective(guard=0.0), frames, over)
    assert terms["reconstruction"] == pytest.approx(expected, rel=1e-4)
    under = _terms(Objective(), frames, torch.full((4, 1, 16, 16), 0.01))
    assert under["reconstruction"] == 0


def test_direction_is_finite_on_flat_streaks_and_0_where_nothing_slopes() -> None:
    directions = DirectionNetwork()
    flat = torch.zeros(1, 1, 12, 12, requires_grad=True)
    value = directions(flat)
    value.backward()
    assert value.item() == 0
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


def test_streaks_along_a_learnt_direction_cost_less() -> None:
    """Gradients of streaks at 20 degrees from the vertical point 20 degrees off the horizontal."""
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    directions = DirectionNetwork(directions=1)
    with torch.no_grad():
        directions.centres.fill_(math.radians(20))
    costs = []
    for degrees in (20, 50):
        angle = math.radians(degrees)
        wave = torch.sin((columns * math.cos(angle) + rows * math.sin(angle)) / 2)
        costs.append(directions(wave[None, None] * 0.5).item())
    assert costs[0] < math.radians(6)
    assert costs[1] > math.radians(20)


def test_directions_are_44_numbers_spread_over_a_third_of_a_turn() -> None:
    directions = DirectionNetwork()
    assert sum(p.numel() for p in directions.parameters()) == 44
    expected = torch.deg2rad(torch.tensor([-60.0, -20.0, 20.0, 60.0]))
    torch.testing.assert_close(directions.centres.data, expected)


@pytest.mark.parametrize(
    ("schedule", "step", "gamma"),
    [("constant", 90, 1.0), ("paper", 0, 0.1), ("paper", 15, 0.05005), ("paper", 90, 1e-4)],
)
def test_structure_is_weighed_as_scheduled(schedule: str, step: int, gamma: float) -> None:
    frames = _frames()
    objective = TimeLapseObjective(Objective(structure=0.5, schedule=schedule))  # type: ignore[arg-type]
    losses = objective.losses(
        "network",
        _answer(frames, torch.zeros(4, 1, 16, 16)),
        frames,
        Progress(step=step, steps=100, epoch=0.0),
    )
    assert losses["structure"].weight == pytest.approx(0.5 * gamma)


def test_as_printed_black_pictures_win_and_by_default_they_do_not() -> None:
    """Once gamma has fallen, S = 1 costs less than the unchanged picture."""
    frames = _frames()
    late = Progress(step=50, steps=100, epoch=0.0)
    black, untouched = torch.ones(4, 1, 16, 16), torch.zeros(4, 1, 16, 16)

    def cost(settings: Objective, streaks: torch.Tensor) -> float:
        objective = TimeLapseObjective(settings)
        losses = objective.losses("network", _answer(frames, streaks), frames, late)
        return float(weighted_sum(losses).detach())

    printed = Objective(structure=0.1, schedule="paper", guard=0.0)
    assert cost(printed, black) < cost(printed, untouched)
    assert cost(Objective(guard=0.0), black) > cost(Objective(), untouched)


def test_the_guard_stops_a_collapse() -> None:
    frames = _frames()
    answer = _answer(frames, torch.cat(frames))
    later = replace(START, step=GUARD_EVERY)
    with pytest.raises(DivergedError, match="100% of all light"):
        TimeLapseObjective(Objective()).losses("network", answer, frames, later)
    TimeLapseObjective(Objective(guard=0.0)).losses("network", answer, frames, later)
    TimeLapseObjective(Objective()).losses("network", answer, frames, START)  # fresh weights


def test_both_frames_pass_at_once_and_no_clean_picture_enters() -> None:
    torch.manual_seed(0)
    frames = _frames()
    network = TimeLapse(METHOD.default.network)
    answer = TimeLapseObjective(Objective()).outputs(network, frames)
    assert answer.image.shape == (4, 3, 16, 16)
    torch.testing.assert_close(answer.image[2:], network(frames.second).image)


@pytest.mark.parametrize(
    ("variant", "losses", "fusion"),
    [
        ("rb", "rb", "concat"),
        ("rbs", "rbs", "concat"),
        ("bsv", "bsv", "concat"),
        ("concat", "rbsv", "concat"),
        ("no-direction", "rbs", "dyn_lowrank"),
        ("no-reconstruction", "bsv", "dyn_lowrank"),
        ("default", "rbsv", "dyn_lowrank"),
        ("no-background", "rsv", "dyn_lowrank"),
        ("no-structure", "rbv", "dyn_lowrank"),
    ],
)
def test_the_rows_of_table_vi_have_their_losses_and_fusion(
    variant: str, losses: str, fusion: str
) -> None:
    values, frames = METHOD.variants[variant], _frames()
    terms = _terms(values.objective, frames, torch.zeros(4, 1, 16, 16))
    letters = {"r": "reconstruction", "b": "background", "s": "structure", "v": "direction"}
    assert set(terms) == {letters[letter] for letter in losses}
    assert values.network.fusion == fusion

"""How the time-lapse network learns from two rainy frames of one scene (section III-D).

No clean picture enters. Frames m and n differ in their rain alone: what both results share is the
scene, and the median of many frames is what no rain covers most of the time.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit.objective import Derained, DivergedError, Frames, Loss, Objective, Phase, Progress
from rainkit_timelapse import Objective as Settings

__all__ = ["DirectionNetwork", "TimeLapseObjective", "timelapse"]

FLAT = 0.01
"""Slopes of S below this, per pixel, have no direction worth asking for."""

GUARD_EVERY = 50
"""Steps between looks at how much of the pictures the network takes for rain."""


class DirectionNetwork(nn.Module):
    """Assigns each pixel of a streak layer to one of K = 4 directions, which it learns too.

    44 numbers, left out once the training is done.
    """

    def __init__(self, directions: int = 4) -> None:
        super().__init__()
        self.assign = nn.Conv2d(1, directions, 3, padding=1)
        centres = torch.linspace(-math.pi / 3, math.pi / 3, directions)
        self.centres = nn.Parameter(centres)

    def forward(self, streaks: Tensor) -> Tensor:
        """Lv of S [B,C,H,W]: how far gradients are from their directions, in radians, a scalar.

        alpha_k = softmax_k(W_k * theta + b_k); V_k is the mean of alpha_k |theta - c_k| over the
        pixels that slope, and Lv the sum of all V_k.
        """
        with torch.autocast(streaks.device.type, enabled=False):
            theta, sloping = _directions(streaks.float().flatten(0, 1).unsqueeze(1))
            alpha = self.assign(theta).softmax(1)
            off = (theta - self.centres.view(1, -1, 1, 1)).abs()
            spread = (alpha * off).sum(1, keepdim=True)
            mean: Tensor = (spread * sloping).sum() / sloping.sum().clamp(min=1)
            return mean


class TimeLapseObjective(Objective):
    """background Lb + structure Ls + direction Lv + reconstruction Lr, all means over pixels.

    The printed schedule multiplies Ls by a gamma that falls to 1e-4, after which a black picture
    costs less than an honest one (METHODS 3.3): ``schedule="paper"`` keeps it for the record. Ls
    alone is an L1 Noise2Noise objective: its minimiser is the median over the frames.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        network = Phase("network")
        self.phases = (network,)
        if settings.direction > 0:
            self.directions = DirectionNetwork()
            self.phases = (Phase("directions", trains="directions"), network)

    def outputs(self, network: nn.Module, batch: Any) -> Derained:
        """Both frames in one pass, the second ones after the first ones."""
        frames: Frames = batch
        answer: Derained = network(torch.cat([frames.first, frames.second]))
        return answer

    def losses(
        self, phase: str, outputs: Derained, batch: Any, progress: Progress
    ) -> dict[str, Loss]:
        """``directions``: direction; ``network``: every term whose weight is not 0.

        Raises:
            DivergedError: the network takes more than ``guard`` of all light for rain.
        """
        settings = self.settings
        streaks = outputs.parts["streaks"]
        if phase == "directions":
            return {"direction": Loss(self.directions(streaks))}
        frames: Frames = batch
        rainy = torch.cat([frames.first, frames.second])
        if settings.guard and progress.step % GUARD_EVERY == 0:
            self._refuse_collapse(streaks, rainy)
        derained = outputs.image.float()
        first, second = derained.chunk(2)
        losses = {}
        if settings.background > 0:
            losses["background"] = Loss(F.l1_loss(first, second), settings.background)
        if settings.structure > 0:
            # m != n: a result beside its own frame would keep that frame's rain.
            crossed = F.l1_loss(torch.cat([second, first]), rainy)
            losses["structure"] = Loss(crossed, settings.structure * self._gamma(progress))
        if settings.direction > 0:
            losses["direction"] = Loss(self.directions(streaks), settings.direction)
        if settings.reconstruction > 0:
            # |I - (B + S)| with B = max(I - S, 0)
            over = (streaks.float() - rainy).clamp(min=0).mean()
            losses["reconstruction"] = Loss(over, settings.reconstruction)
        return losses

    def _gamma(self, progress: Progress) -> float:
        if self.settings.schedule == "constant":
            return 1.0
        return 0.1 + (1e-4 - 0.1) * min(1.0, progress.fraction / 0.3)

    def _refuse_collapse(self, streaks: Tensor, rainy: Tensor) -> None:
        share = float(streaks.detach().float().mean() / rainy.mean().clamp(min=1e-6))
        if share > self.settings.guard:
            raise DivergedError(
                f"the network takes {share:.0%} of all light for rain: its results go black; "
                "raise objective.structure, or lower training.lr"
            )


def timelapse(settings: Settings) -> TimeLapseObjective:
    """The objective of given hyperparameters."""
    return TimeLapseObjective(settings)


def _directions(streaks: Tensor) -> tuple[Tensor, Tensor]:
    """Angles atan(gy / gx) in radians, and 1 where S slopes; both [N,1,H,W].

    Central differences with the border repeated. The printed quotient is 0/0 on flat S: gx is
    moved away from 0 by :data:`FLAT`, to its own side.
    """
    padded = F.pad(streaks, (1, 1, 1, 1), mode="replicate")
    gx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    gy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    theta = torch.atan(gy / torch.where(gx < 0, gx - FLAT, gx + FLAT))
    sloping = (gx.square() + gy.square()).detach() > FLAT**2
    return theta, sloping.to(theta.dtype)

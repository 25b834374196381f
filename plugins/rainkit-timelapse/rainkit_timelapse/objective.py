"""How the time-lapse network learns from two rainy frames of one scene (section III-D).

No clean picture is needed. Frames m and n differ only in their rain, so that both results must be
the same scene. Over many frames the network learns their median, the scene where no rain covers it
for most of the time.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit.objective import Derained, DivergedError, Frames, Loss, Objective, Phase, Progress
from rainkit_timelapse import Objective as Settings

__all__ = ["DirectionNetwork", "TimeLapseObjective"]

FLAT = 0.01
"""Slope of S per pixel below which its direction is not evaluated."""

GUARD_EVERY = 50
"""Number of steps between checks of how much light the network takes for rain."""


class DirectionNetwork(nn.Module):
    """A network that assigns each pixel of a streak layer to one of K = 4 learnt directions.

    It has 44 parameters and is not needed after the training.
    """

    def __init__(self, directions: int = 4) -> None:
        super().__init__()
        self.assign = nn.Conv2d(1, directions, 3, padding=1)
        centres = torch.linspace(-math.pi / 3, math.pi / 3, directions)
        self.centres = nn.Parameter(centres)

    def forward(self, streaks: Tensor) -> Tensor:
        """Return Lv of S [B,C,H,W]: the mean angle in radians from gradients to their directions.

        alpha_k = softmax_k(W_k * theta + b_k); V_k is the mean of alpha_k |theta - c_k| over the
        pixels where S has a slope, and Lv is the sum of all V_k.
        """
        with torch.autocast(streaks.device.type, enabled=False):
            theta, sloping = _directions(streaks.float().flatten(0, 1).unsqueeze(1))
            alpha = self.assign(theta).softmax(1)
            off = (theta - self.centres.view(1, -1, 1, 1)).abs()
            spread = (alpha * off).sum(1, keepdim=True)
            mean: Tensor = (spread * sloping).sum() / sloping.sum().clamp(min=1)
            return mean


class TimeLapseObjective(Objective[Frames]):
    """The weighted sum of background Lb, structure Ls, direction Lv and reconstruction Lr.

    All are means over pixels. The printed schedule multiplies Ls by a gamma that falls to 1e-4,
    after which a black picture costs less than a correct one; ``schedule="paper"`` reproduces it.
    Ls alone is an L1 Noise2Noise objective, whose minimiser is the median over the frames.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        network = Phase("network")
        self.phases = (network,)
        if settings.direction > 0:
            self.directions = DirectionNetwork()
            self.phases = (Phase("directions", trains="directions"), network)

    def outputs(self, network: nn.Module, batch: Frames) -> Derained:
        """Derain both frames in one pass, the second ones after the first ones."""
        answer: Derained = network(torch.cat([batch.first, batch.second]))
        return answer

    def losses(
        self, phase: str, outputs: Derained, batch: Frames, progress: Progress
    ) -> dict[str, Loss]:
        """Return the direction of ``directions``; of ``network`` every term that has weight.

        Raises:
            DivergedError: the network takes more than ``guard`` of all light for rain.
        """
        settings = self.settings
        streaks = outputs.parts["streaks"]
        if phase == "directions":
            return {"direction": Loss(self.directions(streaks))}
        rainy = torch.cat([batch.first, batch.second])
        # Fresh weights say nothing: before a dark scene their streaks may be half of all light.
        if settings.guard and progress.step and progress.step % GUARD_EVERY == 0:
            self._refuse_collapse(streaks, rainy)
        derained = outputs.image.float()
        first, second = derained.chunk(2)
        losses = {}
        if settings.background > 0:
            losses["background"] = Loss(F.l1_loss(first, second), settings.background)
        if settings.structure > 0:
            # m != n: a result compared with its own frame would keep that frame's rain.
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
                f"the network takes {share:.0%} of all light for rain: its results become black; "
                "raise objective.structure, or lower training.lr"
            )


def _directions(streaks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the angles atan(gy / gx) in radians, and 1 where S has a slope; both [N,1,H,W].

    The gradients are central differences with the border repeated. The printed quotient is 0/0
    where S is flat; gx is therefore moved away from 0 by :data:`FLAT`, to its own side.
    """
    padded = F.pad(streaks, (1, 1, 1, 1), mode="replicate")
    gx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    gy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    theta = torch.atan(gy / torch.where(gx < 0, gx - FLAT, gx + FLAT))
    sloping = (gx.square() + gy.square()).detach() > FLAT**2
    return theta, sloping.to(theta.dtype)

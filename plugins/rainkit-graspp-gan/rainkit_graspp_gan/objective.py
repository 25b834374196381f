"""How RASPP is trained: MSE, Sobel gradients and a conditional critic (sections 3.3 and 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit.losses import ConditionalCritic, cross_entropy
from rainkit.objective import Derained, Loss, Objective, Pair, Phase, Progress
from rainkit_graspp_gan import Objective as Settings
from rainkit_graspp_gan.network import SLOPE

__all__ = ["GrasppGanObjective", "Sobel"]


class Sobel(nn.Module):
    """Fixed, unnormalised Sobel filters (section 3.3): d/dx and d/dy of each channel."""

    kernels: Tensor

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        both = torch.stack([across, across.T]).unsqueeze(1)
        self.channels = channels
        self.register_buffer("kernels", both.repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 2C, H, W]: d/dx and d/dy of each channel in turn."""
        padded = F.pad(pictures, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.kernels, groups=self.channels)


class GrasppGanObjective(Objective[Pair]):
    """Equation 1 (sections 3.3 and 3.4), with mean squares instead of norms unless ``norm="l2"``.

    With the printed norms the adversarial term would be 1e-5 of the loss; with mean squares the
    three terms have the same magnitude. The critic's score is the probability that a picture is
    real, as in equation 3; with the sign that equation 5 prints, the generator would then be
    rewarded for pictures that look derained.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.sobel = Sobel()
        generator = Phase("generator")
        if settings.beta > 0:
            self.critic = ConditionalCritic(SLOPE)
            # beta1 is Adam's default: the paper names none.
            judged = Phase("critic", trains="critic", training={"lr": settings.critic_lr})
            self.phases = (judged, generator)
        else:
            self.phases = (generator,)

    def active(self, progress: Progress) -> tuple[str, ...]:
        """Let the generator train alone for the first epochs."""
        if progress.epoch < self.settings.alone_epochs:
            return ("generator",)
        return tuple(phase.name for phase in self.phases)

    def losses(
        self, phase: str, outputs: Derained, batch: Pair, progress: Progress
    ) -> dict[str, Loss]:
        """Return the terms of a phase.

        The critic's are ``real`` and ``fake`` (section 3.4, equation 3); the generator's are
        ``l2``, ``gradient`` (section 3.3) and ``adversarial`` (equation 5).
        """
        derained = outputs.image
        if phase == "critic":
            return {
                "real": Loss(cross_entropy(self.critic(batch.clean, batch.rainy), 1.0)),
                "fake": Loss(cross_entropy(self.critic(derained, batch.rainy), 0.0)),
            }
        error = derained.float() - batch.clean
        losses = {"l2": Loss(self._size(error))}
        if self.settings.alpha > 0:
            losses["gradient"] = Loss(self._gradient(error), self.settings.alpha)
        if "critic" in self.active(progress):
            adversarial = cross_entropy(self.critic(derained, batch.rainy), 1.0)
            losses["adversarial"] = Loss(adversarial, self.settings.beta)
        return losses

    def _gradient(self, error: Tensor) -> Tensor:
        # The Sobel filter is linear: the gradient of d - g is the difference of their gradients.
        with torch.autocast(error.device.type, enabled=False):
            slopes = self.sobel(error)
        return self._size(slopes[:, 0::2]) + self._size(slopes[:, 1::2])

    def _size(self, error: Tensor) -> Tensor:
        if self.settings.norm == "mse":
            return error.square().mean()
        norms: Tensor = torch.linalg.vector_norm(error.flatten(1), dim=1)
        return norms.mean()

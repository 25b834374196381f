"""How FreqGAN is trained: squared error, SSIM, and a relativistic critic (section 3.3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rainkit.critics import ConditionalCritic
from rainkit.objective import Derained, Loss, Objective, Pair, Phase, Progress
from rainkit.similarity import ssim
from rainkit_freq_gan import Objective as Settings

__all__ = ["FreqGanObjective", "freq_gan", "relativistic"]


class FreqGanObjective(Objective):
    """MSE + ``ssim`` x (-SSIM) + ``adversarial`` x relativistic loss; the last stage alone.

    The paper names its critic "relative" and says no more: this is the relativistic average GAN
    (Jolicoeur-Martineau, ICLR 2019), with the conditional critic of its predecessors.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        generator = Phase("generator")
        self.phases = (generator,)
        if settings.adversarial > 0:
            self.critic = ConditionalCritic()
            judging = {"lr": settings.critic_lr, "beta2": 0.99, "schedule": "constant"}
            self.phases = (Phase("critic", trains="critic", training=judging), generator)

    def active(self, progress: Progress) -> tuple[str, ...]:
        """The generator trains alone for the first epochs, then both do."""
        if progress.epoch < self.settings.alone_epochs:
            return ("generator",)
        return tuple(phase.name for phase in self.phases)

    def losses(
        self, phase: str, outputs: Derained, batch: Any, progress: Progress
    ) -> dict[str, Loss]:
        """``critic``: relativistic; ``generator``: l2, ssim, and adversarial once both train."""
        pair: Pair = batch
        derained = outputs.image
        if phase == "critic":
            return {"relativistic": Loss(self._judged(derained, pair, 1.0))}
        losses = {"l2": Loss(F.mse_loss(derained.float(), pair.clean))}
        if self.settings.ssim > 0:
            losses["ssim"] = Loss(-ssim(derained, pair.clean).mean(), self.settings.ssim)
        if "critic" in self.active(progress):
            adversarial = self._judged(derained, pair, 0.0)
            losses["adversarial"] = Loss(adversarial, self.settings.adversarial)
        return losses

    def _judged(self, derained: Tensor, pair: Pair, label: float) -> Tensor:
        # One pass each: batch normalisation must not mix the statistics of real and fake.
        return relativistic(
            self.critic(pair.clean, pair.rainy), self.critic(derained, pair.rainy), label
        )


def relativistic(real: Tensor, fake: Tensor, label: float) -> Tensor:
    """BCE(C(r) - mean C(f), label) + BCE(C(f) - mean C(r), 1 - label), means over the batch.

    The critic minimises it with the label 1: real pictures look more real than the average fake
    one. The generator minimises it with 0, and real pictures count there too.

    Args:
        real: logits [B,1] of clean pictures.
        fake: logits [B,1] of derained ones.
        label: 1 or 0.
    """
    real, fake = real.float(), fake.float()
    above, below = real - fake.mean(), fake - real.mean()
    return F.binary_cross_entropy_with_logits(
        above, torch.full_like(above, label)
    ) + F.binary_cross_entropy_with_logits(below, torch.full_like(below, 1 - label))


def freq_gan(settings: Settings) -> FreqGanObjective:
    """The objective of given hyperparameters."""
    return FreqGanObjective(settings)

"""How FreqGAN is trained: squared error, SSIM, and a relativistic critic (section I.C)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from rainkit.losses import ConditionalCritic, cross_entropy, ssim
from rainkit.objective import Derained, Loss, Objective, Pair, Phase, Progress
from rainkit_freq_gan import Objective as Settings

__all__ = ["FreqGanObjective", "relativistic"]


class FreqGanObjective(Objective[Pair]):
    """Equations 6 and 7: MSE + ``ssim`` x (-SSIM) + ``adversarial`` x relativistic loss of x_T.

    Earlier stages have no loss of their own. The paper prints no weights.

    The paper calls its critic "relative" without a definition. Here it is the relativistic average
    GAN (Jolicoeur-Martineau, ICLR 2019) with the conditional critic of earlier deraining GANs.
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
        """Let the generator train alone for the first epochs."""
        if progress.epoch < self.settings.alone_epochs:
            return ("generator",)
        return tuple(phase.name for phase in self.phases)

    def losses(
        self, phase: str, outputs: Derained, batch: Pair, progress: Progress
    ) -> dict[str, Loss]:
        """Return relativistic of the critic; l2, ssim and adversarial of the generator."""
        derained = outputs.image
        if phase == "critic":
            return {"relativistic": Loss(self._judged(derained, batch, 1.0))}
        losses = {"l2": Loss(F.mse_loss(derained.float(), batch.clean))}
        if self.settings.ssim > 0:
            losses["ssim"] = Loss(-ssim(derained, batch.clean).mean(), self.settings.ssim)
        if "critic" in self.active(progress):
            adversarial = self._judged(derained, batch, 0.0)
            losses["adversarial"] = Loss(adversarial, self.settings.adversarial)
        return losses

    def _judged(self, derained: Tensor, pair: Pair, label: float) -> Tensor:
        # Two passes: batch normalisation must not mix the statistics of real and fake.
        return relativistic(
            self.critic(pair.clean, pair.rainy), self.critic(derained, pair.rainy), label
        )


def relativistic(real: Tensor, fake: Tensor, label: float) -> Tensor:
    """Return BCE(C(r) - mean C(f), label) + BCE(C(f) - mean C(r), 1 - label) of a batch.

    The critic minimises it with the label 1, so that real pictures look more real than the average
    fake one. The generator minimises it with the label 0; real pictures count there too.

    Args:
        real: logits [B,1] of clean pictures.
        fake: logits [B,1] of derained ones.
        label: 1 or 0.
    """
    real, fake = real.float(), fake.float()
    above, below = real - fake.mean(), fake - real.mean()
    return cross_entropy(above, label) + cross_entropy(below, 1 - label)

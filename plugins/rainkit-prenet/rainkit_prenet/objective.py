"""How PReNet is trained: one loss, after the last stage or after every stage (section 3.4)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from rainkit.losses import ssim
from rainkit.objective import Derained, Loss, Objective, Pair, Progress
from rainkit_prenet import Objective as Settings

__all__ = ["PReNetObjective"]


class PReNetObjective(Objective[Pair]):
    """The negative SSIM or the squared error of x_T; with ``early`` > 0, of the stages before too.

    A single loss after the last stage is what the paper recommends; supervising every stage is its
    "recursive supervision".
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def loss(self, outputs: Derained, batch: Pair, progress: Progress) -> dict[str, Loss]:
        """Return the term of the last stage and, with recursive supervision, of each earlier one.

        Names are ``ssim`` or ``mse``, and ``ssim1``, ``ssim2``... of earlier stages.
        """
        name: str = self.settings.loss
        losses = {name: Loss(self._of(outputs.image, batch.clean), self.settings.last)}
        if self.settings.early > 0:
            *earlier, _ = outputs.parts.values()
            for t, x in enumerate(earlier, 1):
                losses[f"{name}{t}"] = Loss(self._of(x, batch.clean), self.settings.early)
        return losses

    def _of(self, x: Tensor, clean: Tensor) -> Tensor:
        if self.settings.loss == "mse":
            return F.mse_loss(x.float(), clean)
        return -ssim(x, clean).mean()

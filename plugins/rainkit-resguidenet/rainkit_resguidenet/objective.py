"""How ResGuideNet is trained: squared error and log-SSIM after every block (section 3.6)."""

from __future__ import annotations

import torch
from torch import Tensor

from rainkit.losses import ssim
from rainkit.objective import Derained, Loss, Objective, Pair, Progress
from rainkit_resguidenet import Objective as Settings

__all__ = ["DeepSupervision", "log_ssim"]

LEAST = 1e-4
"""Smallest similarity whose logarithm is taken; it keeps the loss finite."""


class DeepSupervision(Objective[Pair]):
    """The mean of squared error + ``ssim`` x log-SSIM loss over all supervised results.

    Every block's result and the merged result are supervised, or only the last one. The squared
    error is a mean over pixels: as a sum over each patch, as the paper prints it, it would have
    thousands of times the gradient of the SSIM loss, whose weight of 1 could not matter.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def loss(self, outputs: Derained, batch: Pair, progress: Progress) -> dict[str, Loss]:
        """Return ``l2`` and ``ssim``, each averaged over the supervised results."""
        results = self._supervised(outputs)
        losses = {"l2": Loss(self._squared_error(results, batch.clean))}
        if self.settings.ssim > 0:
            losses["ssim"] = Loss(log_ssim(results, batch.clean), self.settings.ssim)
        return losses

    def _supervised(self, outputs: Derained) -> Tensor:
        """Return the K supervised results [K,B,3,H,W] in float32."""
        results = [outputs.image]
        if self.settings.intermediate:
            blocks = list(outputs.parts.values())
            merged = not blocks or blocks[-1] is not outputs.image
            results = [*blocks, outputs.image] if merged else blocks
        return torch.stack(results).float()

    def _squared_error(self, results: Tensor, clean: Tensor) -> Tensor:
        error = (results - clean).square()
        if self.settings.reduction == "sum":
            return error.sum(dim=(-3, -2, -1)).mean()
        return error.mean()


def log_ssim(results: Tensor, clean: Tensor) -> Tensor:
    """Return the mean of -log(max(SSIM, 0) + 1e-4), where SSIM is averaged over each patch.

    The paper prints ``log(1 / SSIM + 1e-4)``, which diverges at 0 and has no value below, but SSIM
    can be negative. This loss is -1e-4 at identity and 9.21 wherever SSIM is not positive.

    Args:
        results: [K,B,3,H,W].
        clean: [B,3,H,W].
    """
    return -torch.log(ssim(results, clean).clamp(min=0) + LEAST).mean()

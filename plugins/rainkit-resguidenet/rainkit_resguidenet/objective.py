"""How ResGuideNet is trained: squared error and log-SSIM after every block (section 3.6)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rainkit.objective import Derained, Loss, Objective, Pair, Progress
from rainkit.similarity import ssim
from rainkit_resguidenet import Objective as Settings

__all__ = ["DeepSupervision", "deep_supervision", "log_ssim"]

LEAST = 1e-4
"""Keeps the logarithm finite."""


class DeepSupervision(Objective):
    """The mean over all supervised results of their squared error + ``ssim`` x log-SSIM loss.

    Supervised are every block's result and the merged one, or the last alone. The squared error is
    a mean over pixels: as a sum over each patch, as printed, it has thousands of times the
    gradient of the SSIM loss, whose weight of 1 then could not matter (METHODS 4.4).
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def losses(
        self, phase: str, outputs: Derained, batch: Any, progress: Progress
    ) -> dict[str, Loss]:
        """``l2`` and ``ssim``, each averaged over what is supervised."""
        pair: Pair = batch
        results = self._supervised(outputs)
        losses = {"l2": Loss(self._squared_error(results, pair.clean))}
        if self.settings.ssim > 0:
            losses["ssim"] = Loss(log_ssim(results, pair.clean), self.settings.ssim)
        return losses

    def _supervised(self, outputs: Derained) -> Tensor:
        """[K,B,3,H,W], float32."""
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
    """-log(max(SSIM, 0) + 1e-4), SSIM averaged over each patch, the loss over all of them.

    Printed as ``log(1 / SSIM + 1e-4)``, which diverges at 0 and has no value below: SSIM can be
    negative. Here it is -1e-4 at identity and 9.21 wherever SSIM is not positive.

    Args:
        results: [K,B,3,H,W].
        clean: [B,3,H,W].
    """
    return -torch.log(ssim(results, clean).clamp(min=0) + LEAST).mean()


def deep_supervision(settings: Settings) -> DeepSupervision:
    """The objective of given hyperparameters."""
    return DeepSupervision(settings)

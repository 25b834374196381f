"""How GraNet is trained: mean absolute error of the result (equation 9)."""

from __future__ import annotations

from typing import Any

from rainkit.objective import Derained, Loss, Objective, Pair, Progress
from rainkit_granet import Objective as Settings

__all__ = ["MeanAbsoluteError", "mean_absolute_error"]


class MeanAbsoluteError(Objective):
    """The error of the result and, if ``settings.coarse`` asks for it, of the coarse picture.

    The paper leaves the coarse picture and the mask unsupervised; its coarse pictures then score
    below the rainy ones. With some weight the mask is a rain layer that can be looked at.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def losses(
        self, phase: str, outputs: Derained, batch: Any, progress: Progress
    ) -> dict[str, Loss]:
        """``mae``, and ``coarse`` where it has weight and is not the result itself."""
        pair: Pair = batch
        losses = {"mae": Loss((outputs.image.float() - pair.clean).abs().mean())}
        coarse = outputs.parts["coarse"]
        if self.settings.coarse > 0 and coarse is not outputs.image:
            error = (coarse.float() - pair.clean).abs().mean()
            losses["coarse"] = Loss(error, self.settings.coarse)
        return losses


def mean_absolute_error(settings: Settings) -> MeanAbsoluteError:
    """The objective of given hyperparameters."""
    return MeanAbsoluteError(settings)

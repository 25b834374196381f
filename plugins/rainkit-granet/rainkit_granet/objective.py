"""How GraNet is trained: mean absolute error of the result (equation 9)."""

from __future__ import annotations

from rainkit.objective import Derained, Loss, Objective, Pair, Progress
from rainkit_granet import Objective as Settings

__all__ = ["MeanAbsoluteError"]


class MeanAbsoluteError(Objective[Pair]):
    """The error of the result and, with the weight ``settings.coarse``, of the coarse picture.

    The paper leaves the coarse picture and the mask unsupervised; its coarse pictures then score
    below the rainy ones. With some weight the mask becomes a recognisable rain layer.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def loss(self, outputs: Derained, batch: Pair, progress: Progress) -> dict[str, Loss]:
        """Return ``mae``, and ``coarse`` if it has weight and is not the result itself."""
        losses = {"mae": Loss((outputs.image.float() - batch.clean).abs().mean())}
        coarse = outputs.parts["coarse"]
        if self.settings.coarse > 0 and coarse is not outputs.image:
            error = (coarse.float() - batch.clean).abs().mean()
            losses["coarse"] = Loss(error, self.settings.coarse)
        return losses

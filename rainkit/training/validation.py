"""Validation: whole pictures, scored as `rainkit eval` scores them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rainkit import evaluation, images, networks
from rainkit.api import ImageSpec
from rainkit.datasets.pairs import find_datasets

__all__ = ["Validation", "ValidationResult"]

PROTOCOL = "prenet"


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """Scores by ``<set>/psnr`` and ``<set>/ssim``, their mean PSNR, and one strip per set.

    A strip is rainy | derained | clean, [3,H,3W] in [0,1].
    """

    scores: dict[str, float]
    psnr: float
    pictures: dict[str, Tensor]

    def line(self) -> str:
        """For the log."""
        return ", ".join(f"{name} {value:.4g}" for name, value in self.scores.items())


class Validation:
    """Datasets that training never sees."""

    def __init__(self, folders: Sequence[str], spec: ImageSpec, runtime: networks.Runtime) -> None:
        self.sets = [found for folder in folders for found in find_datasets(Path(folder))]
        self._spec = spec
        self._runtime = runtime

    def run(self, network: nn.Module) -> ValidationResult:
        """Score a network; the network itself is left as it is."""
        # A copy, because preparing it for half precision replaces sub-modules.
        prepared = networks.prepare(copy.deepcopy(network).eval(), self._spec, self._runtime)
        protocol = evaluation.PROTOCOLS[PROTOCOL]

        def derain(rainy: NDArray[np.uint8]) -> NDArray[np.uint8]:
            with torch.inference_mode():
                return images.to_array(prepared(images.to_tensor(rainy)), np.uint8)

        scores: dict[str, float] = {}
        pictures: dict[str, Tensor] = {}
        for dataset in self.sets:
            mean = evaluation.score(derain, dataset.pairs, protocol)
            scores[f"{dataset.name}/psnr"] = mean.psnr.mean
            scores[f"{dataset.name}/ssim"] = mean.ssim.mean
            shown = dataset.pairs[0]
            rainy, clean = images.read(shown.rainy).rgb, images.read(shown.clean).rgb
            strip = np.concatenate([rainy, derain(rainy), clean], axis=1)
            pictures[dataset.name] = images.to_tensor(strip)[0]
        psnrs = [value for name, value in scores.items() if name.endswith("/psnr")]
        return ValidationResult(scores, float(np.mean(psnrs)), pictures)

"""Validation: whole pictures, scored as `rainkit eval` scores them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rainkit import evaluation, images, networks
from rainkit.api import ImageSpec
from rainkit.datasets.pairs import ReadOptions, named_datasets
from rainkit.datasets.sizes import check_sizes
from rainkit.evaluation.protocols import RGB8

__all__ = ["Validation", "ValidationResult"]

PROTOCOL = "prenet"


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What one validation found.

    Attributes:
        scores: means by ``<set>/psnr`` and ``<set>/ssim``.
        psnr: mean PSNR over the sets, by which the best weights are chosen.
        pictures: one strip per set, rainy | derained | clean, [3,H,3W] in [0,1].
        failures: pictures that could not be read, each with its reason.
    """

    scores: dict[str, float]
    psnr: float
    pictures: dict[str, Tensor]
    failures: tuple[str, ...]

    def line(self) -> str:
        """For the log."""
        return ", ".join(f"{name} {value:.4g}" for name, value in self.scores.items())


class Validation:
    """Datasets that training never sees; they are checked before the training starts.

    Of those that are split it is the split ``val``, or else ``test``.

    Raises:
        UsageError, PairingError: folders without pairs, or pairs of different sizes.
        ImageError: the first pair of a set cannot be read.
    """

    def __init__(
        self,
        folders: Sequence[str],
        options: ReadOptions,
        spec: ImageSpec,
        runtime: networks.Runtime,
    ) -> None:
        paths = [Path(folder) for folder in folders]
        self.sets = named_datasets(paths, prefer=("val", "test"), options=options)
        check_sizes((pair.rainy, pair.clean) for s in self.sets for pair in s.pairs)
        self._shown = {each.name: evaluation.read_pair(each.pairs[0]) for each in self.sets}
        self._spec = spec
        self._runtime = runtime

    def run(self, network: nn.Module) -> ValidationResult:
        """Score a network; the network itself is left as it is."""
        prepared = networks.prepare(copy.deepcopy(network).eval(), self._spec, self._runtime)
        protocol = evaluation.PROTOCOLS[PROTOCOL]

        def derain(rainy: RGB8) -> RGB8:
            with torch.inference_mode():
                return images.to_array(prepared(images.to_tensor(rainy)), np.uint8)

        scores: dict[str, float] = {}
        pictures: dict[str, Tensor] = {}
        failures: list[str] = []
        for dataset in self.sets:
            found = evaluation.score(derain, dataset.pairs, protocol)
            failures += [failure.reason for failure in found.failures]
            scores[f"{dataset.name}/psnr"] = found.psnr.mean
            scores[f"{dataset.name}/ssim"] = found.ssim.mean
            shown = self._shown[dataset.name]
            strip = np.concatenate([shown.rainy, derain(shown.rainy), shown.clean], axis=1)
            pictures[dataset.name] = images.to_tensor(strip)[0]
        psnr = float(np.mean([scores[f"{dataset.name}/psnr"] for dataset in self.sets]))
        return ValidationResult(scores, psnr, pictures, tuple(failures))

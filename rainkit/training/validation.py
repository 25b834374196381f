"""Validation: whole pictures, scored as `rainkit eval` scores them."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from rainkit import evaluation, images, networks
from rainkit.api import ImageSpec
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import PairFiles, check_sizes
from rainkit.datasets.pairs import Dataset, ReadOptions, named_datasets
from rainkit.errors import FileError, UsageError
from rainkit.evaluation.scores import Failure, Score, Scores
from rainkit.files import sha256
from rainkit.images import RGB8
from rainkit.precision import Runtime

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Validation", "ValidationResult", "refuse_trained_on"]

PROTOCOL = "prenet"


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """Result of one validation.

    Attributes:
        scores: means by ``<set>/psnr`` and ``<set>/ssim``, and those of the rainy pictures
            themselves by ``<set>/input_psnr`` and ``<set>/input_ssim``.
        images: number of pictures of each set that were scored.
        psnr: mean PSNR over the sets, by which the best weights are chosen.
        pictures: one strip per set, rainy | derained | clean, [3,H,3W] in [0,1].
        failures: pictures that could not be read, each with its reason.
    """

    scores: dict[str, float]
    images: dict[str, int]
    psnr: float
    pictures: dict[str, Tensor]
    failures: tuple[str, ...]

    def line(self) -> str:
        """Describe the scores in one line, each beside that of the rainy pictures."""
        return "; ".join(self._of(name) for name in self.images)

    def _of(self, name: str) -> str:
        psnr, ssim, input_psnr, input_ssim = (
            self.scores[f"{name}/{score}"] for score in ("psnr", "ssim", "input_psnr", "input_ssim")
        )
        below = ", below the input" if psnr < input_psnr else ""
        return (
            f"{name} {psnr:.2f} dB {ssim:.4f} (input {input_psnr:.2f} dB {input_ssim:.4f}{below})"
        )


def refuse_trained_on(trained: Iterable[PairFiles], sets: Iterable[Dataset]) -> None:
    """Refuse a validation set all of whose rainy pictures are trained on, whatever they are called.

    Files are compared by their content; only those of equal size are read.

    Raises:
        UsageError: there is such a set.
    """
    sizes: defaultdict[int, set[ImageRef]] = defaultdict(set)
    for pair in trained:
        with suppress(OSError):  # reported when the picture is read
            sizes[pair.rainy.path.stat().st_size].add(pair.rainy)
    content = cache(sha256)

    def known(ref: ImageRef) -> bool:
        with suppress(OSError, FileError):
            alike = sizes.get(ref.path.stat().st_size, ())
            return any(
                (each.member, each.half) == (ref.member, ref.half)
                and (each.path == ref.path or content(each.path) == content(ref.path))
                for each in alike
            )
        return False

    for each in sets:
        if each.pairs and all(known(pair.rainy) for pair in each.pairs):
            raise UsageError(
                f"--validate {each.root}: all of its pictures are trained on, so that its scores "
                "would tell nothing; name pairs that --pairs does not hold"
            )


class Validation:
    """Datasets that a training is validated on; they are checked before it starts.

    If a dataset has splits, the split ``val`` is used, or else ``test``. Several processes share
    the pictures, and each of them knows the scores of all.

    Raises:
        UsageError, PairingError: a folder holds no pairs, or the sizes of a pair differ.
        ImageError: the first pair of a set cannot be read.
    """

    def __init__(
        self,
        folders: Sequence[str],
        options: ReadOptions,
        spec: ImageSpec,
        runtime: Runtime,
        accelerator: Accelerator,
    ) -> None:
        paths = [Path(folder) for folder in folders]
        self.sets = named_datasets(paths, prefer=("val", "test"), options=options)
        check_sizes((pair.rainy, pair.clean) for s in self.sets for pair in s.pairs)
        self._shown = {each.name: evaluation.read_pair(each.pairs[0]) for each in self.sets}
        self._spec = spec
        self._runtime = runtime
        self._accelerator = accelerator

    def run(self, network: nn.Module, limit: int | None = None) -> ValidationResult:
        """Score a network on the first ``limit`` pictures of each set, without changing it."""
        network = copy.deepcopy(network).eval()
        self._make_alike(network)
        prepared = networks.prepare(network, self._spec, self._runtime)
        protocol = evaluation.PROTOCOLS[PROTOCOL]

        def derain(rainy: RGB8) -> RGB8:
            with torch.inference_mode():
                return images.to_array(prepared(images.to_tensor(rainy)), np.uint8)

        scores: dict[str, float] = {}
        images_of: dict[str, int] = {}
        pictures: dict[str, Tensor] = {}
        failures: list[str] = []
        for dataset in self.sets:
            process, processes = self._accelerator.process_index, self._accelerator.num_processes
            mine = evaluation.score(derain, dataset.pairs[:limit][process::processes], protocol)
            found = self._together(mine)
            failures += [failure.reason for failure in found.failures]
            scores[f"{dataset.name}/psnr"] = found.psnr.mean
            scores[f"{dataset.name}/ssim"] = found.ssim.mean
            scores[f"{dataset.name}/input_psnr"] = found.input_psnr.mean
            scores[f"{dataset.name}/input_ssim"] = found.input_ssim.mean
            images_of[dataset.name] = len(found.rows)
            if self._accelerator.is_main_process:
                shown = self._shown[dataset.name]
                strip = np.concatenate([shown.rainy, derain(shown.rainy), shown.clean], axis=1)
                pictures[dataset.name] = images.to_tensor(strip)[0]
        psnr = float(np.mean([scores[f"{dataset.name}/psnr"] for dataset in self.sets]))
        return ValidationResult(scores, images_of, psnr, pictures, tuple(failures))

    def _make_alike(self, network: nn.Module) -> None:
        """Give all processes the running statistics of the first one, which are those saved."""
        from accelerate.utils import broadcast

        if self._accelerator.num_processes > 1:
            for buffer in network.buffers():
                buffer.copy_(broadcast(buffer))

    def _together(self, mine: Scores) -> Scores:
        """Return the scores of all processes, in an order that does not depend on their number."""
        from accelerate.utils import gather_object

        if self._accelerator.num_processes == 1:
            return mine
        rows: list[Score] = gather_object(list(mine.rows))
        failures: list[Failure] = gather_object(list(mine.failures))
        return replace(
            mine,
            rows=tuple(sorted(rows, key=lambda row: row.name)),
            failures=tuple(sorted(failures, key=lambda failure: failure.name)),
        )

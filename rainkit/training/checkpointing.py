"""What a run writes down and takes up again: checkpoints, weights, and what the loop remembers."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rainkit import weights
from rainkit.errors import TrainingError
from rainkit.files import remove_temporary
from rainkit.training import run_config
from rainkit.training.logging import Mean
from rainkit.training.schedules import Plateau
from rainkit.training.setup import Setup

__all__ = ["Keeper", "Memory"]


@dataclass(slots=True)
class Memory:
    """What the loop remembers between steps, beside weights and optimisers.

    Attributes:
        step: optimiser steps done.
        best_psnr: the highest mean PSNR of a validation.
        since_best: validations since.
        plateau: for the schedule of that name.
        losses: of the running epoch, each process's sum and count.
        ended: the training came to its end before its last step, since nothing improved.
    """

    step: int = 0
    best_psnr: float = -math.inf
    since_best: int = 0
    plateau: Plateau = field(default_factory=Plateau)
    losses: list[tuple[float, int]] = field(default_factory=list)
    ended: bool = False

    def to_data(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Memory:
        """What :meth:`to_data` gave."""
        return cls(**{**data, "plateau": Plateau(**data["plateau"])})


class Keeper:
    """Writes the weights and checkpoints of a run; of several processes, the first one does."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._run = setup.request.run

    def save(
        self, module: nn.Module, path: Path, step: int, scores: dict[str, float] | None = None
    ) -> None:
        """Write weights with all that their header tells of the training."""
        request = self._setup.request
        about = run_config.about(request) | {"step": str(step)}
        if scores:
            about["validation"] = json.dumps(scores)
        weights.save(
            path,
            module.state_dict(),
            method=request.method,
            variant=request.variant,
            network=request.hyperparameters.network,
            about=about,
        )

    def best(self, step: int, scores: dict[str, float]) -> None:
        """Keep the present weights as the best ones."""
        if self._setup.first:
            self.save(self._setup.shipping, self._run / "best.safetensors", step, scores)

    def checkpoint(
        self, memory: Memory, epoch_loss: Mean, scores: dict[str, float] | None = None
    ) -> None:
        """Write everything that a resume needs; older checkpoints go only then.

        Args:
            memory: the loop's.
            epoch_loss: of the running epoch.
            scores: what a validation at this step found.

        Raises:
            TrainingError: it cannot be written; what was there before is untouched.
        """
        setup = self._setup
        memory.losses = self._of_all(epoch_loss)
        if setup.first:
            # First, so that whoever finds the last checkpoint finds its weights here too.
            self.save(setup.shipping, self._run / "last.safetensors", memory.step, scores)
            state = {"memory": memory.to_data(), **setup.phases.state()}
            with run_config.writing(self._run, memory.step, state) as folder:
                self.save(setup.network, folder / "model.safetensors", memory.step)
                self.save(setup.shipping, folder / "average.safetensors", memory.step)
            run_config.prune(self._run, setup.request.keep)
        setup.accelerator.wait_for_everyone()

    def last_scores(self) -> dict[str, float]:
        """What the validation of the last weights found, if there was one."""
        path = self._run / "last.safetensors"
        if not path.is_file():
            return {}
        header = weights.open_file(self._setup.request.method, path).header
        scores: dict[str, float] = json.loads(header.get("validation", "{}"))
        return scores

    def resume(self) -> tuple[Memory, Mean]:
        """Take up the latest checkpoint; a run stopped before its first one starts anew.

        Raises:
            TrainingError, WeightsError: damaged, or not a checkpoint of this run.
        """
        setup = self._setup
        if setup.first:
            remove_temporary(self._run)
            run_config.remove_unfinished(self._run)
        folder = run_config.latest(self._run)
        if folder is None:
            return Memory(), Mean()  # the seed makes it the same
        method, state = setup.request.method, run_config.open_state(folder)
        weights.load(setup.network, weights.open_file(method, folder / "model.safetensors"))
        if setup.average is not None:
            averaged = weights.open_file(method, folder / "average.safetensors")
            weights.load(setup.average.module, averaged)
        try:
            setup.phases.restore(state)
            memory = Memory.from_data(state["memory"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise TrainingError(f"{folder}: not a checkpoint of this run ({error})") from error
        return memory, self._own(memory.losses)

    def _of_all(self, mean: Mean) -> list[tuple[float, int]]:
        """The sum and count of each process."""
        from accelerate.utils import gather_object

        mine = [mean.parts()]
        found: list[tuple[float, int]] = (
            gather_object(mine) if self._setup.accelerator.num_processes > 1 else mine
        )
        return found

    def _own(self, losses: list[tuple[float, int]]) -> Mean:
        """The part of this process; with another number of processes, the mean of all."""
        accelerator = self._setup.accelerator
        if not losses:
            return Mean()
        if len(losses) == accelerator.num_processes:
            total, count = losses[accelerator.process_index]
        else:
            total = math.fsum(total for total, _ in losses) / len(losses)
            count = losses[0][1]
        return Mean.of(torch.tensor(total, device=accelerator.device), count)

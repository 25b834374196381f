"""Checkpoints of a run: what it writes down, and how it takes that up again after a stop.

What ``--resume`` accepts is checked by :func:`rainkit.training.run_config.reopen`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rainkit import weights
from rainkit.errors import FileError, TrainingError, UsageError, WeightsError
from rainkit.files import flush_folder, remove_temporary
from rainkit.training import run_config
from rainkit.training.logging import Mean
from rainkit.training.schedules import Plateau
from rainkit.training.setup import Setup

__all__ = [
    "STATE",
    "Keeper",
    "Memory",
    "latest",
    "open_state",
    "refuse_existing",
]

STATE = "state.pt"
_PREFIX = "step-"
_UNFINISHED = "unfinished-"


@dataclass(slots=True)
class Memory:
    """State of the loop between steps, beside weights and optimisers.

    Attributes:
        step: number of optimiser steps done.
        best_psnr: the highest mean PSNR of a validation.
        since_best: number of validations since then.
        plateau: state of the plateau schedule.
        losses: sum and count of the losses of the running epoch, for each process.
        ended: whether the training ended before its last step because nothing improved.
        planned: number of steps that were planned then; 0 in checkpoints that lack it.
    """

    step: int = 0
    best_psnr: float = -math.inf
    since_best: int = 0
    plateau: Plateau = field(default_factory=Plateau)
    losses: list[tuple[float, int]] = field(default_factory=list)
    ended: bool = False
    planned: int = 0

    def to_data(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Memory:
        """Return the state that :meth:`to_data` described."""
        return cls(**{**data, "plateau": Plateau(**data["plateau"])})


class Keeper:
    """Writes the weights and checkpoints of a run, in the first of several processes.

    Attributes:
        notes: what the user must know about a run that was resumed.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._run = setup.request.run
        self.notes: list[str] = []

    def save(
        self, module: nn.Module, path: Path, step: int, scores: dict[str, float] | None = None
    ) -> None:
        """Write weights with a header that describes the training."""
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
        """Write the present weights as the best ones."""
        if self._setup.first:
            self.save(self._setup.shipping, self._run / "best.safetensors", step, scores)

    def checkpoint(
        self, memory: Memory, epoch_loss: Mean, scores: dict[str, float] | None = None
    ) -> None:
        """Write everything that a resume needs, then remove older checkpoints.

        Args:
            memory: state of the loop.
            epoch_loss: mean loss of the running epoch.
            scores: scores of a validation at this step, if there was one.

        Raises:
            TrainingError: the checkpoint cannot be written; earlier ones are untouched.
        """
        setup = self._setup
        memory.losses = self._of_all(epoch_loss)
        if setup.first:
            # These come first, so that the last checkpoint never lacks its weights here.
            self.save(setup.shipping, self._run / "last.safetensors", memory.step, scores)
            state = {
                "memory": memory.to_data(),
                "data": setup.data.amounts(),
                **setup.phases.state(),
            }
            with _writing(self._run, memory.step, state) as folder:
                self.save(setup.network, folder / "model.safetensors", memory.step)
                self.save(setup.shipping, folder / "average.safetensors", memory.step)
            _prune(self._run, setup.request.settings.keep)
        setup.accelerator.wait_for_everyone()

    def last_scores(self) -> dict[str, float]:
        """Return the validation scores of the last weights, or nothing if there are none."""
        path = self._run / "last.safetensors"
        if not path.is_file():
            return {}
        header = weights.open_file(self._setup.request.method, path).header
        scores: dict[str, float] = json.loads(header.get("validation", "{}"))
        return scores

    def resume(self) -> tuple[Memory, Mean]:
        """Restore the latest checkpoint; a run that stopped before its first one starts anew.

        Raises:
            TrainingError: the checkpoint is damaged, or is not one of this run.
            WeightsError: its weights are damaged or do not fit.
        """
        setup = self._setup
        if setup.first:
            remove_temporary(self._run)
            _remove_unfinished(self._run)
        folder = latest(self._run)
        if folder is None:
            return Memory(), Mean()  # the seed makes it the same run
        method, state = setup.request.method, open_state(folder)
        try:
            weights.load(setup.network, weights.open_file(method, folder / "model.safetensors"))
            if setup.average is not None:
                averaged = weights.open_file(method, folder / "average.safetensors")
                weights.load(setup.average.module, averaged)
        except WeightsError as error:
            raise TrainingError(
                f"{error}; remove the folder {folder} to resume from the checkpoint before, or "
                f"start a new run with --init {self._run / 'last.safetensors'}"
            ) from error
        known, now = state.get("data", setup.data.amounts()), setup.data.amounts()
        if known != now:
            self.notes.append(
                f"the data have changed since the checkpoint: {', '.join(now)} instead of "
                f"{', '.join(known)}; the run will end in other bits than one that never stopped"
            )
        try:
            setup.phases.restore(state)
            memory = Memory.from_data(state["memory"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise TrainingError(f"{folder}: not a checkpoint of this run ({error})") from error
        return memory, self._own(memory.losses)

    def _of_all(self, mean: Mean) -> list[tuple[float, int]]:
        """Return the sum and count of each process."""
        from accelerate.utils import gather_object

        mine = [mean.parts()]
        found: list[tuple[float, int]] = (
            gather_object(mine) if self._setup.accelerator.num_processes > 1 else mine
        )
        return found

    def _own(self, losses: list[tuple[float, int]]) -> Mean:
        """Return the part of this process, or the mean of all if their number has changed."""
        accelerator = self._setup.accelerator
        if not losses:
            return Mean()
        if len(losses) == accelerator.num_processes:
            total, count = losses[accelerator.process_index]
        else:
            total = math.fsum(total for total, _ in losses) / len(losses)
            count = losses[0][1]
        return Mean.of(torch.tensor(total, device=accelerator.device), count)


def refuse_existing(run: Path) -> None:
    """Refuse to train into the folder of another run, or of anything else.

    A run that stopped before its first checkpoint holds nothing to keep: it may be replaced.

    Raises:
        UsageError: the folder holds a checkpoint already, or other files.
    """
    record = (run / run_config.FILE).exists()
    held = (path for path in run.iterdir() if not path.name.startswith(".")) if run.is_dir() else ()
    if not record and any(held):
        raise UsageError(f"{run} is not empty and holds no run: choose another -o")
    if record and latest(run) is not None:
        raise UsageError(
            f"{run} holds a run already: continue it with --resume, or choose another -o"
        )


@contextmanager
def _writing(run: Path, step: int, state: dict[str, Any]) -> Iterator[Path]:
    """Yield a folder for weights; it gets the state and its final name if the block succeeds.

    Raises:
        TrainingError: the checkpoint cannot be written; earlier ones are untouched.
    """
    final = run / "checkpoints" / f"{_PREFIX}{step:08d}"
    folder = final.with_name(f"{_UNFINISHED}{step:08d}")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
        with (folder / STATE).open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)
        flush_folder(final.parent)
    except (OSError, RuntimeError, FileError) as error:
        raise TrainingError(
            f"{final}: the checkpoint cannot be written ({error}); free some space, "
            f"then continue with --resume {run}"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prune(run: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints."""
    for folder in _whole(run)[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_unfinished(run: Path) -> None:
    """Remove the checkpoint that a killed run was writing."""
    for folder in (run / "checkpoints").glob(f"{_UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def latest(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, or None if there is none."""
    folders = _whole(run)
    return folders[-1] if folders else None


def open_state(checkpoint: Path) -> dict[str, Any]:
    """Read the state of a checkpoint, on the CPU.

    Raises:
        TrainingError: the file is damaged, or holds more than tensors and plain values.
    """
    path = checkpoint / STATE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{path}: is damaged or is not a checkpoint of rainkit ({reason}); "
            f"remove {checkpoint.name} to resume from the one before"
        ) from error
    return state


def _whole(run: Path) -> list[Path]:
    return sorted(f for f in (run / "checkpoints").glob(f"{_PREFIX}*") if (f / STATE).is_file())

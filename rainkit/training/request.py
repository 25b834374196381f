"""What a training run is asked to do, typed; the run folder keeps it as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rainkit.api import Hyperparameters, Method
from rainkit.datasets.sources import DataRequest

__all__ = ["TrainRequest"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRequest:
    """A training run.

    Attributes:
        method: what is trained.
        variant: the variant the hyperparameters started from, for the weights' header.
        hyperparameters: the resolved settings.
        data: where pictures come from.
        run: the run folder; created, or continued when ``resume``.
        seed: of initialisation, order, augmentation and rain.
        resume: continue from the run folder's latest checkpoint.
        device: ``auto``, ``cpu``, ``cuda``...
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        workers: loading processes; 0 loads in the training process.
        validate_every: epochs between validations.
        keep: checkpoints kept beside the best one.
        command: the command line, for the record.
    """

    method: Method
    variant: str
    hyperparameters: Hyperparameters
    data: DataRequest
    run: Path
    seed: int = 0
    resume: bool = False
    device: str = "auto"
    precision: str = "auto"
    workers: int = 1
    validate_every: int = 1
    keep: int = 2
    command: tuple[str, ...] = ()

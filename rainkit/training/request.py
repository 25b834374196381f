"""What a training run is asked to do, typed; the run folder keeps it as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit.api import Hyperparameters, ImageSpec, Method
from rainkit.datasets.sources import DataRequest
from rainkit.errors import UsageError
from rainkit.networks import Runtime

__all__ = ["TrainRequest", "refuse_impossible"]


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
        init: weights to start from, ours or a state dict from elsewhere.
        save_every: steps between checkpoints beside those at the ends of epochs; 0 = none.
        max_seconds: fix the number of steps such that the training ends in this time.
        compiled: run the network through ``torch.compile``.
        histograms: write histograms of gradients at each validation.
        trackers: names of experiment trackers that Accelerate knows, such as ``wandb``.
    """

    method: Method
    variant: str
    hyperparameters: Hyperparameters[Any, Any]
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
    init: Path | None = None
    save_every: int = 0
    max_seconds: float | None = None
    compiled: bool = False
    histograms: bool = False
    trackers: tuple[str, ...] = ()


def refuse_impossible(request: TrainRequest, spec: ImageSpec, runtime: Runtime) -> None:
    """Refuse what can be known to fail before anything is written.

    Raises:
        UsageError: naming the setting and what it may be.
    """
    method, training = request.method, request.hyperparameters.training
    patch = training.patch
    _refuse_other_data(method, request.data)
    if training.whole and training.whole < max(spec.min_size, spec.multiple_of):
        raise UsageError(
            f"training.whole = {training.whole}: {method.name} takes pictures from "
            f"{max(spec.min_size, spec.multiple_of)} on"
        )
    if not training.whole and (patch < spec.min_size or patch % spec.multiple_of):
        raise UsageError(
            f"training.patch = {patch}: {method.name} takes multiples of {spec.multiple_of} "
            f"from {spec.min_size} on"
        )
    if not 0 <= request.seed < 2**32:
        raise UsageError(f"seed {request.seed}: choose 0 to {2**32 - 1}")
    if runtime.precision == "fp16" and runtime.device.type == "cpu":
        raise UsageError("--precision fp16 does not train on the CPU: choose bf16 or fp32")


def _refuse_other_data(method: Method, data: DataRequest) -> None:
    if method.training_data != "frames":
        return
    if data.clean or data.pairs:
        name = "clean" if data.clean else "pairs"
        raise UsageError(f"--{name}: {method.name} learns from time-lapse frames; use --scenes")
    if not data.scenes:
        raise UsageError(f"{method.name} learns from time-lapse frames: name a folder (--scenes)")

"""The run folder describes itself: ``run.json`` holds everything a run was asked to do."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

from rainkit import hyperparameters, plugins
from rainkit.errors import TrainingError
from rainkit.images.atomic import atomic_path
from rainkit.training import recipe
from rainkit.training.request import TrainRequest

__all__ = ["FILE", "create", "reopen"]

FILE = "run.json"

_VERSIONS = ("rainkit", "torch", "accelerate", "timm", "numpy", "opencv-python", "albumentations")


def create(request: TrainRequest) -> None:
    """Make the run folder and write down the request.

    Raises:
        TrainingError: the folder holds a run already, or cannot be made.
    """
    path = request.run / FILE
    if path.exists():
        raise TrainingError(
            f"{request.run} holds a run already: continue it with --resume, or choose another -o"
        )
    try:
        request.run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{request.run}: cannot be made ({error.strerror})") from error
    with atomic_path(path, overwrite=False) as temporary:
        temporary.write_text(json.dumps(_to_data(request), indent=2) + "\n", encoding="utf-8")


def reopen(run: Path, **changes: Any) -> TrainRequest:
    """The request of an existing run, to resume it.

    Args:
        run: the run folder.
        changes: what may differ this time: ``device``, ``workers``.

    Raises:
        TrainingError: no run there, or one that cannot be read.
    """
    path = run / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        method = plugins.get(data["method"])
        return TrainRequest(
            method=method,
            variant=data["variant"],
            hyperparameters=hyperparameters.from_data(method, data["hyperparameters"]),
            data=recipe.data_request(data["data"], {}),
            run=run,
            seed=data["seed"],
            resume=True,
            precision=data["precision"],
            validate_every=data["validate_every"],
            keep=data["keep"],
            command=tuple(data["command"]),
            **changes,
        )
    except FileNotFoundError as error:
        raise TrainingError(f"{run}: no {FILE} there, so nothing to resume") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path}: not the record of a run ({error})") from error


def _to_data(request: TrainRequest) -> dict[str, Any]:
    return {
        "schema": 1,
        "method": request.method.name,
        "variant": request.variant,
        "hyperparameters": hyperparameters.to_data(request.hyperparameters),
        "data": dataclasses.asdict(request.data),
        "seed": request.seed,
        "precision": request.precision,
        "validate_every": request.validate_every,
        "keep": request.keep,
        "command": list(request.command),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
    }

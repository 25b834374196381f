"""The run folder describes itself: ``run.json`` holds everything a run was asked to do."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rainkit import hyperparameters, plugins
from rainkit.errors import TrainingError, UsageError
from rainkit.files import atomic_path
from rainkit.training import checkpoints, recipe
from rainkit.training.request import TrainRequest

__all__ = ["FILE", "about", "create", "refuse_existing", "reopen", "to_data"]

FILE = "run.json"

_VERSIONS = ("rainkit", "torch", "accelerate", "timm", "numpy", "opencv-python", "albumentations")


def create(request: TrainRequest) -> None:
    """Make the run folder and write down the request.

    A run that stopped before its first checkpoint holds nothing to keep: it is replaced.

    Raises:
        UsageError: the folder holds a run already.
        TrainingError: it cannot be made.
    """
    refuse_existing(request)
    path = request.run / FILE
    try:
        request.run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{request.run}: cannot be made ({error.strerror})") from error
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(to_data(request), indent=2) + "\n", encoding="utf-8")


def refuse_existing(request: TrainRequest) -> None:
    """Refuse to train into the folder of another run.

    Raises:
        UsageError: the folder holds a checkpoint already.
    """
    if (request.run / FILE).exists() and checkpoints.latest(request.run) is not None:
        raise UsageError(
            f"{request.run} holds a run already: continue it with --resume, or choose another -o"
        )


def about(request: TrainRequest) -> dict[str, str]:
    """What the header of a weights file says of its training, folders left out."""
    data = dataclasses.asdict(request.data)
    told = {name: value for name, value in data.items() if not isinstance(value, tuple)}
    return {
        "seed": str(request.seed),
        "training": json.dumps(hyperparameters.section_to_data(request.hyperparameters.training)),
        "objective": json.dumps(hyperparameters.section_to_data(request.hyperparameters.objective)),
        "data": json.dumps(told),
        "versions": json.dumps(_versions(request)),
    }


def reopen(run: Path, **changes: Any) -> TrainRequest:
    """The request of an existing run, to resume it.

    Args:
        run: the run folder.
        changes: what may differ this time: ``device``, ``workers``.

    Raises:
        UsageError: no run there.
        TrainingError: its record cannot be read.
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
            validate_every=data["validate_every"],
            keep=data["keep"],
            command=tuple(data["command"]),
            precision=data["precision"],
            init=None if data.get("init") is None else Path(data["init"]),
            save_every=data.get("save_every", 0),
            max_seconds=data.get("max_seconds"),
            compiled=data.get("compiled", False),
            histograms=data.get("histograms", False),
            trackers=tuple(data.get("trackers", ())),
            **{"device": data.get("device", "auto"), "workers": data.get("workers", 1)} | changes,
        )
    except FileNotFoundError as error:
        raise UsageError(f"{run}: no {FILE} there, so nothing to resume") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path}: not the record of a run ({error})") from error


def to_data(request: TrainRequest) -> dict[str, Any]:
    """What ``run.json`` holds."""
    return {
        "schema": 1,
        "method": request.method.name,
        "variant": request.variant,
        "hyperparameters": hyperparameters.to_data(request.hyperparameters),
        "data": _absolute(dataclasses.asdict(request.data)),
        "seed": request.seed,
        "device": request.device,
        "precision": request.precision,
        "workers": request.workers,
        "validate_every": request.validate_every,
        "keep": request.keep,
        "init": None if request.init is None else os.path.abspath(request.init),
        "save_every": request.save_every,
        "max_seconds": request.max_seconds,
        "compiled": request.compiled,
        "histograms": request.histograms,
        "trackers": list(request.trackers),
        "command": list(request.command),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": _versions(request),
    }


def _absolute(data: dict[str, Any]) -> dict[str, Any]:
    """Folders as they are found from anywhere, so that a run can be resumed from anywhere."""
    return {
        name: [os.path.abspath(folder) for folder in value] if isinstance(value, tuple) else value
        for name, value in data.items()
    }


def _versions(request: TrainRequest) -> dict[str, str]:
    plugin = [i.distribution for i in plugins.installed() if i.name == request.method.name]
    found = {}
    for name in (*_VERSIONS, *plugin):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found

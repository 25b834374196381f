"""What a training run is asked to do: the request, recipes, and ``run.json``."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib.metadata
import json
import os
import pickle
import platform
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from rainkit import hyperparameters, plugins
from rainkit.api import Hyperparameters, ImageSpec, Method
from rainkit.datasets.sources import DataRequest
from rainkit.errors import FileError, TrainingError, UsageError
from rainkit.files import system_reason, write_text
from rainkit.networks import Runtime
from rainkit.rain import RainDistribution
from rainkit.rain.noise import Noise

__all__ = [
    "FILE",
    "Recipe",
    "TrainRequest",
    "about",
    "create",
    "data_request",
    "latest",
    "open_state",
    "prune",
    "read",
    "refuse_existing",
    "refuse_impossible",
    "remove_unfinished",
    "reopen",
    "to_data",
    "with_settings",
    "writing",
]


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


_SECTIONS = ("network", "objective", "training")
_TABLES: Mapping[str, type] = {"rain": RainDistribution, "noise": Noise}
_NOT_SET = ("clean", "pairs", "scenes", "validation")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A recipe as read; ``hyperparameters`` and ``data`` are checked by who uses them."""

    method: str | None = None
    variant: str | None = None
    seed: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: no such file, not TOML, or a key that no recipe has.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({system_reason(error)})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not TOML: {error}") from error
    known = ("method", "variant", "seed", "data", *_SECTIONS)
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f": did you mean {near[0]}?" if near else f"; a recipe has {', '.join(known)}"
            raise UsageError(f"--config {path}: no key {key}{hint}")
    for key, kind in {"method": str, "variant": str, "seed": int, "data": dict}.items():
        if not isinstance(content.get(key, kind()), kind):
            raise UsageError(f"--config {path}: {key} must be a {kind.__name__}")
    return Recipe(
        method=content.get("method"),
        variant=content.get("variant"),
        seed=content.get("seed"),
        hyperparameters={key: content[key] for key in _SECTIONS if key in content},
        data=content.get("data", {}),
    )


def data_request(data: Mapping[str, Any], folders: Mapping[str, Sequence[str]]) -> DataRequest:
    """Check a recipe's ``[data]`` and give it the folders named on the command line.

    Raises:
        UsageError: an unknown key or a value of the wrong type.
    """
    _refuse_unknown(data, DataRequest, "data")
    for name, kind in _TABLES.items():
        _refuse_unknown(data.get(name, {}), kind, f"data.{name}")
    try:
        request = TypeAdapter(DataRequest).validate_python(dict(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(("data", *map(str, first["loc"])))
        raise UsageError(f"{path}: {first['msg']}") from error
    named: dict[str, Any] = {name: tuple(given) for name, given in folders.items() if given}
    return replace(request, **named)


def with_settings(data: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A recipe's ``[data]`` changed by ``data.name=value`` settings.

    Raises:
        UsageError: a setting that is not of this form.
    """
    changed: dict[str, Any] = {**data, **{name: dict(data.get(name, {})) for name in _TABLES}}
    for setting in settings:
        path, equals, value = setting.partition("=")
        match path.strip().split("."):
            case ["data", table, name] if equals and table in _TABLES:
                changed[table][name] = value.strip()
            case ["data", name] if equals and name not in (*_TABLES, *_NOT_SET):
                changed[name] = value.strip()
            case _:
                raise UsageError(f"--set {setting}: write data.name=value or data.rain.name=value")
    return changed


def _refuse_unknown(data: Any, kind: type, path: str) -> None:
    if not isinstance(data, Mapping):
        raise UsageError(f"{path} must be a table")
    known = [field.name for field in fields(kind)]
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f": did you mean {path}.{near[0]}?" if near else f"; choose {', '.join(known)}"
            raise UsageError(f"{path}.{key}: no such setting{hint}")


STATE = "state.pt"
_PREFIX = "step-"
_UNFINISHED = "unfinished-"


@contextmanager
def writing(run: Path, step: int, state: dict[str, Any]) -> Iterator[Path]:
    """A folder to put weights into; it gets the state and its final name when the block succeeds.

    Raises:
        TrainingError: it cannot be written; what was there before is untouched.
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
        _flush(final.parent)
    except (OSError, RuntimeError, FileError) as error:
        raise TrainingError(
            f"{final}: checkpoint not written ({error}); free some space, "
            f"then continue with --resume {run}"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prune(run: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints."""
    for folder in _whole(run)[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(run: Path) -> None:
    """Remove what a run that was killed was writing."""
    for folder in (run / "checkpoints").glob(f"{_UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run; None before the first one."""
    folders = _whole(run)
    return folders[-1] if folders else None


def open_state(checkpoint: Path) -> dict[str, Any]:
    """What :func:`writing` wrote, on the CPU.

    Raises:
        TrainingError: the file is damaged or holds anything but tensors and plain values.
    """
    path = checkpoint / STATE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{path}: damaged or no checkpoint of rainkit ({reason}); "
            f"remove {checkpoint.name} to resume from the one before"
        ) from error
    return state


def _whole(run: Path) -> list[Path]:
    return sorted(f for f in (run / "checkpoints").glob(f"{_PREFIX}*") if (f / STATE).is_file())


def _flush(folder: Path) -> None:
    """Make a rename durable; Windows has no such call and needs none."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
        raise TrainingError(f"{request.run}: cannot be made ({system_reason(error)})") from error
    write_text(path, json.dumps(to_data(request), indent=2) + "\n", overwrite=True)


def refuse_existing(request: TrainRequest) -> None:
    """Refuse to train into the folder of another run.

    Raises:
        UsageError: the folder holds a checkpoint already.
    """
    if (request.run / FILE).exists() and latest(request.run) is not None:
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
            data=data_request(data["data"], {}),
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

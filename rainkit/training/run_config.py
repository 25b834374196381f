"""The request of a training run, recipes it comes from, and ``run.json``, which records it."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import importlib.metadata
import json
import os
import platform
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rainkit import hyperparameters, plugins
from rainkit.api import Hyperparameters, ImageSpec, Method, Training, option
from rainkit.choices import unknown
from rainkit.datasets.sources import DataRequest
from rainkit.errors import TrainingError, UsageError
from rainkit.files import each_of, expanded, system_reason, write_json
from rainkit.precision import Runtime
from rainkit.rain import RainDistribution
from rainkit.rain.noise import Noise
from rainkit.training import schedules
from rainkit.training.distillation import TeacherFile

__all__ = [
    "AS_BEGUN",
    "FILE",
    "Recipe",
    "RunSettings",
    "TrainRequest",
    "about",
    "as_begun",
    "data_request",
    "make_request",
    "read",
    "refuse_impossible",
    "reopen",
    "run_settings",
    "to_data",
    "with_settings",
    "write",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """Settings of a run that change neither its network nor its samples.

    They are set as ``--set run.NAME=VALUE`` or in the section ``[run]`` of a recipe.
    """

    workers: int = option(1, "loading processes; 0 loads in the training process", ge=0)
    validate_every: int = option(1, "epochs between validations", ge=1)
    keep: int = option(2, "newest checkpoints that are kept beside the best weights", ge=1)
    save_every: int = option(
        0, "steps between checkpoints, beside those at the ends of epochs; 0 = none", ge=0
    )
    compile: bool = option(False, "run the network through torch.compile")
    histograms: bool = option(False, "write histograms of gradients at each validation")
    trackers: tuple[str, ...] = option(
        (), "experiment trackers that Accelerate knows, such as wandb"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRequest:
    """A training run.

    Attributes:
        method: the method that is trained.
        variant: name of the variant that the hyperparameters started from, for the weights' header.
        hyperparameters: resolved settings of network, objective and training.
        data: where pictures come from.
        run: the run folder. It is created, or continued if ``resume`` is set.
        seed: seed of initialisation, order of samples, augmentation and rain.
        resume: continue from the run folder's latest checkpoint.
        steps_before: planned steps of a resumed run that is extended; None if it is not.
        device: ``auto``, ``cpu``, ``cuda``...
        precision: ``auto``, ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        settings: settings of the run.
        command: the command line, for the record.
        init: weights to start from: ours, or a state dict from elsewhere.
        teacher: trained weights whose pictures the network learns from, too.
        max_seconds: time in which the training shall end; the number of steps follows from it.
    """

    method: Method
    variant: str
    hyperparameters: Hyperparameters[Any, Any]
    data: DataRequest
    run: Path
    seed: int = 0
    resume: bool = False
    steps_before: int | None = None
    device: str = "auto"
    precision: str = "auto"
    settings: RunSettings = field(default_factory=RunSettings)
    command: tuple[str, ...] = ()
    init: Path | None = None
    teacher: TeacherFile | None = None
    max_seconds: float | None = None


def refuse_impossible(request: TrainRequest, spec: ImageSpec, runtime: Runtime) -> None:
    """Refuse requests that are known to fail, before anything is written.

    Raises:
        UsageError: names the setting and the values that it may have.
    """
    method, training = request.method, request.hyperparameters.training
    patch = training.patch
    _refuse_other_data(method, request.data)
    # The longer side is given; the shorter one of most pictures is more than a quarter of it.
    least = 4 * max(spec.min_size, spec.multiple_of)
    if training.whole and training.whole < least:
        raise UsageError(
            f"training.whole = {training.whole}: {method.name} takes whole pictures from {least} on"
        )
    if not training.whole and (patch < spec.min_size or patch % spec.multiple_of):
        raise UsageError(
            f"training.patch = {patch}: {method.name} takes multiples of {spec.multiple_of} "
            f"from {spec.min_size} on"
        )
    if training.whole and training.crop:
        raise UsageError(
            f"training.crop = {training.crop}: whole pictures are not cropped; set "
            "training.crop = 0 or training.whole = 0"
        )
    if method.training_data == "frames":
        for name in ("dry_weight", "ssim_weight"):
            if weight := getattr(training, name):
                raise UsageError(
                    f"training.{name} = {weight:g}: {method.name} learns from frames, "
                    f"which have no clean picture; set training.{name} = 0"
                )
    if training.schedule == "plateau":
        _refuse_plateau(request)
    if training.stop_after and not request.data.validation:
        raise UsageError(
            f"training.stop_after = {training.stop_after}: there is nothing to validate on; name "
            "a dataset with --validate, or set training.stop_after = 0"
        )
    if not 0 <= request.seed < 2**32:
        raise UsageError(f"seed {request.seed}: choose 0 to {2**32 - 1}")
    if runtime.precision == "fp16" and runtime.device.type == "cpu":
        raise UsageError("--precision fp16 does not train on the CPU: choose bf16 or fp32")


def _refuse_plateau(request: TrainRequest) -> None:
    training, every = request.hyperparameters.training, request.settings.validate_every
    if training.plateau_on == "psnr" and not request.data.validation:
        raise UsageError(
            "training.plateau_on = psnr: there is nothing to validate on; name a dataset with "
            "--validate, or set training.plateau_on = loss"
        )
    if training.plateau_on == "psnr" and every > 1:
        raise UsageError(
            f"run.validate_every = {every}: with training.plateau_on = psnr every epoch ends with "
            "a validation; set run.validate_every = 1 and a larger training.epoch_steps"
        )
    if training.stop_at_floor and not training.lr_floor:
        raise UsageError(
            "training.stop_at_floor: the rate never reaches training.lr_floor = 0; set a higher one"
        )


def _refuse_other_data(method: Method, data: DataRequest) -> None:
    if method.training_data != "frames":
        return
    if data.pairs:
        raise UsageError(
            f"--pairs: {method.name} learns from time-lapse frames; use --scenes, or --clean to "
            "draw two rains on each photograph"
        )
    if not (data.scenes or data.clean):
        raise UsageError(
            f"{method.name} learns from time-lapse frames: name a folder of them (--scenes), or "
            "photographs to draw two rains on (--clean)"
        )


AS_BEGUN: Mapping[str, Any] = {
    "scene_lines": 0.0,
    "sensor_noise": 0.0,
    "rain": dict.fromkeys(
        (
            "dashes",
            "near",
            "flecks",
            "faint",
            "bright",
            "defocused",
            "beaded",
            "layered",
            "lines",
        ),
        0.0,
    ),
}
"""Settings that a run.json may lack, as samples were drawn before these settings existed."""


def as_begun(data: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the data section of a run of an earlier version, so that it goes on alike."""
    rain = {**AS_BEGUN["rain"], **data.get("rain", {})}
    return {**AS_BEGUN, **data, "rain": rain}


_SECTIONS = ("network", "objective", "training")
_TABLES: Mapping[str, type] = {"rain": RainDistribution, "noise": Noise}
_NOT_SET = ("clean", "pairs", "scenes", "validation")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A recipe as it was read; the values of its sections are not checked yet."""

    method: str | None = None
    variant: str | None = None
    seed: int | None = None
    teacher: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> Recipe:
    """Read a recipe: a TOML file that says how a network is trained.

    A recipe has ``method``, ``variant``, ``seed`` and ``teacher``, the sections of the method's
    hyperparameters (``[network]``, ``[objective]``, ``[training]``), ``[run]`` with the fields of
    :class:`RunSettings`, and ``[data]`` with those of
    :class:`rainkit.datasets.sources.DataRequest`, without the folders of one machine.

    Raises:
        UsageError: the file cannot be read, is not TOML, or has a key that no recipe has.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({system_reason(error)})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not TOML: {error}") from error
    known = ("method", "variant", "seed", "teacher", "data", "run", *_SECTIONS)
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f": did you mean {near[0]}?" if near else f"; a recipe has {', '.join(known)}"
            raise UsageError(f"--config {path}: no key {key}{hint}")
    for key, kind in {
        "method": str,
        "variant": str,
        "seed": int,
        "teacher": str,
        "data": dict,
        "run": dict,
    }.items():
        if not isinstance(content.get(key, kind()), kind):
            raise UsageError(f"--config {path}: {key} must be a {kind.__name__}")
    return Recipe(
        method=content.get("method"),
        variant=content.get("variant"),
        seed=content.get("seed"),
        teacher=content.get("teacher"),
        hyperparameters={key: content[key] for key in _SECTIONS if key in content},
        data=content.get("data", {}),
        run=content.get("run", {}),
    )


def make_request(
    *,
    method: str | None,
    folders: Mapping[str, Sequence[str] | str],
    run: Path | None = None,
    config: Path | None = None,
    variant: str | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    init: Path | None = None,
    teacher: str | None = None,
    max_seconds: float | None = None,
) -> TrainRequest:
    """Resolve a recipe and the options of ``rainkit train`` to a request.

    Args:
        method: name of the method; None for the recipe's.
        folders: inputs, one or several, by field of
            :class:`rainkit.datasets.sources.DataRequest`.
        run: the run folder; None for ``runs/METHOD-VARIANT``.
        config: path of the recipe; None for no recipe.
        variant: name of the variant to start from; None for the recipe's, or else ``default``.
        settings: ``section.name=value`` settings, which win over the recipe.
        seed: None for the recipe's, or else 0.
        device: as in :class:`TrainRequest`.
        precision: as in :class:`TrainRequest`.
        init: as in :class:`TrainRequest`.
        teacher: ``METHOD.TAG`` or ``METHOD=FILE``; None for the recipe's, or else none.
        max_seconds: as in :class:`TrainRequest`.

    Raises:
        UsageError: no method is named, or a name or a value is wrong. If the recipe is to blame,
            the message names it.
        MethodError: the method is not installed or cannot be imported.
    """
    recipe = Recipe() if config is None else read(config)
    name = method or recipe.method
    if name is None:
        raise UsageError("no method named: add --method NAME (see `rainkit methods`)")
    if recipe.method is not None and name != recipe.method:
        raise UsageError(f"--method {name}: the recipe {config} is for {recipe.method}")
    found = plugins.get(name)
    if found.objective is None:
        raise UsageError(f"--method {name}: cannot be trained, since it runs finished networks")
    chosen = variant or recipe.variant or "default"
    if config is not None:
        _check_recipe(found, chosen if variant is None else "default", recipe, config)
    kinds: dict[str, list[str]] = {"data": [], "run": [], "": []}
    for setting in settings:
        section = setting.strip().partition(".")[0]
        kinds[section if section in kinds else ""].append(setting)
    taught_by = teacher or recipe.teacher
    resolved = hyperparameters.resolve(found, chosen, recipe.hyperparameters, kinds[""])
    _refuse_ignored(resolved.training, kinds[""], taught=taught_by is not None)
    return TrainRequest(
        method=found,
        variant=chosen,
        hyperparameters=resolved,
        data=data_request(with_settings(recipe.data, kinds["data"]), folders),
        run=run or Path("runs") / f"{found.name}-{chosen}",
        seed=seed if seed is not None else (recipe.seed or 0),
        device=device,
        precision=precision,
        settings=run_settings(RunSettings(), recipe.run, kinds["run"]),
        command=("rainkit", *sys.argv[1:]),
        init=init,
        teacher=None if taught_by is None else TeacherFile.find(taught_by),
        max_seconds=max_seconds,
    )


def _refuse_ignored(training: Training, settings: Sequence[str], *, taught: bool) -> None:
    """Refuse settings of the command line that would change nothing."""
    named = {setting.partition("=")[0].strip() for setting in settings}
    names = {name.removeprefix("training.") for name in named if name.startswith("training.")}
    if unread := schedules.ignored(training, names):
        raise UsageError(
            f"--set training.{unread[0]}: the schedule {training.schedule} does not read it; "
            "leave it out, or set training.schedule, too"
        )
    if "distill_weight" in names and not taught:
        raise UsageError(
            "--set training.distill_weight: there is no teacher; name one by --teacher"
        )


def _check_recipe(method: Method, variant: str, recipe: Recipe, config: Path) -> None:
    """Check a recipe's sections by themselves, so that an error can name its file."""
    try:
        hyperparameters.resolve(method, variant, recipe.hyperparameters)
        data_request(recipe.data, {})
        run_settings(RunSettings(), recipe.run)
        if recipe.teacher is not None:
            TeacherFile.find(recipe.teacher)
    except UsageError as error:
        raise UsageError(f"--config {config}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class _Sections:
    run: RunSettings


def run_settings(
    base: RunSettings, section: Mapping[str, Any], settings: Sequence[str] = ()
) -> RunSettings:
    """Return run settings, changed by a section ``[run]`` and then by ``run.name=value`` settings.

    Raises:
        UsageError: a name is unknown, or a value has the wrong type or is out of bounds.
    """
    values = dataclasses.asdict(base) | dict(section)
    for setting in settings:
        path, equals, value = setting.partition("=")
        name = path.strip().removeprefix("run.")
        if not equals or not name or "." in name:
            raise UsageError(f"--set {setting}: write run.name=value, such as run.workers=2")
        values[name] = value.strip()
    checked = hyperparameters.check(_Sections(run=base), {"run": values})
    return checked.run


def data_request(
    data: Mapping[str, Any], folders: Mapping[str, Sequence[str] | str]
) -> DataRequest:
    """Check a recipe's ``[data]`` and add the folders that the command line names.

    Raises:
        UsageError: a key is unknown or a value has the wrong type.
    """
    known = [each.name for each in fields(DataRequest) if each.default == ()]
    for name in folders:
        if name not in known:
            raise unknown("folders", name, known)
    _refuse_unknown(data, DataRequest, "data")
    for name, kind in _TABLES.items():
        _refuse_unknown(data.get(name, {}), kind, f"data.{name}")
    try:
        request = TypeAdapter(DataRequest).validate_python(dict(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(("data", *map(str, first["loc"])))
        raise UsageError(f"{path}: {first['msg']}") from error
    named: dict[str, Any] = {
        n: tuple(map(str, each_of(given))) for n, given in folders.items() if given
    }
    return replace(request, **named)


def with_settings(data: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Return a recipe's ``[data]``, changed by ``data.name=value`` settings.

    Raises:
        UsageError: a setting does not have this form.
    """
    changed: dict[str, Any] = {**data, **{name: dict(data.get(name, {})) for name in _TABLES}}
    for setting in settings:
        path, equals, value = setting.partition("=")
        match path.strip().split("."):
            case ["data", table, name] if equals and table in _TABLES:
                changed[table][name] = value.strip()
            case ["data", "streaks"] if equals:
                changed["streaks"] = (value.strip(),) if value.strip() else ()
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


FILE = "run.json"
SCHEMA = 2

_VERSIONS = ("rainkit", "torch", "accelerate", "timm", "numpy", "opencv-python", "albumentations")


def write(request: TrainRequest) -> None:
    """Make the run folder and write the request to its ``run.json``, whatever it holds.

    Raises:
        TrainingError: the folder cannot be made.
        FileError: the file cannot be written.
    """
    try:
        request.run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{request.run}: cannot be made ({system_reason(error)})") from error
    write_json(request.run / FILE, to_data(request))


def about(request: TrainRequest) -> dict[str, str]:
    """Return what the header of a weights file says of its training, without folders."""
    data = dataclasses.asdict(request.data)
    told = {name: value for name, value in data.items() if not isinstance(value, tuple)}
    if not request.data.streaks:
        del told["streak_share"], told["streak_mix"]
    teacher = request.teacher
    taught = (
        {} if teacher is None else {"name": teacher.weights.name, "sha256": teacher.weights.sha256}
    )
    return {
        **({"teacher": json.dumps(taught)} if taught else {}),
        "seed": str(request.seed),
        "training": json.dumps(hyperparameters.section_to_data(request.hyperparameters.training)),
        "objective": json.dumps(hyperparameters.section_to_data(request.hyperparameters.objective)),
        "data": json.dumps(told),
        "versions": json.dumps(_versions(request.method.name)),
    }


def reopen(
    run: Path,
    *,
    device: str | None = None,
    settings: Sequence[str] = (),
    max_steps: int | None = None,
) -> TrainRequest:
    """Return the request of an existing run, to resume it.

    Args:
        run: the run folder.
        device: where it goes on; None for where it ran.
        settings: ``run.name=value`` settings that differ this time.
        max_steps: planned steps, if the run is to be extended; schedules follow the new number.

    Raises:
        UsageError: the folder holds no run, or a setting is wrong.
        TrainingError: its record cannot be read.
    """
    path = run / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise TrainingError(
                f"{path}: was written by another version of rainkit; start a new run with "
                f"--init {run / 'last.safetensors'}"
            )
        method = plugins.get(data["method"])
        values = hyperparameters.from_data(method, data["hyperparameters"])
        request = TrainRequest(
            method=method,
            variant=data["variant"],
            hyperparameters=values,
            data=data_request(as_begun(data["data"]), {}),
            run=run,
            seed=data["seed"],
            resume=True,
            device=data["device"] if device is None else device,
            precision=data["precision"],
            settings=run_settings(RunSettings(), data["settings"]),
            command=tuple(data["command"]),
            init=None if data["init"] is None else Path(data["init"]),
            teacher=_teacher_of(data, path),
            max_seconds=data["max_seconds"],
        )
    except FileNotFoundError as error:
        raise UsageError(f"--resume {run}: there is no {FILE}, so nothing to resume") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path}: is not the record of a run ({error})") from error
    wrong = [setting for setting in settings if not setting.strip().startswith("run.")]
    if wrong:
        raise UsageError(
            f"--set {wrong[0]}: --resume takes all settings but those of run from the run; to "
            "train on with others, start a new run with --init"
        )
    request = replace(request, settings=run_settings(request.settings, {}, settings))
    return request if max_steps is None else _extended(request, max_steps)


def _teacher_of(data: Mapping[str, Any], path: Path) -> TeacherFile | None:
    taught = data.get("teacher")
    return None if taught is None else TeacherFile.from_data(taught, path)


def _extended(request: TrainRequest, steps: int) -> TrainRequest:
    training = request.hyperparameters.training
    values = replace(request.hyperparameters, training=replace(training, steps=steps))
    return replace(request, hyperparameters=values, steps_before=training.steps)


def to_data(request: TrainRequest) -> dict[str, Any]:
    """Return the content of ``run.json``."""
    return {
        "schema": SCHEMA,
        "method": request.method.name,
        "variant": request.variant,
        "hyperparameters": hyperparameters.to_data(request.hyperparameters),
        "data": _absolute(dataclasses.asdict(request.data)),
        "seed": request.seed,
        "device": request.device,
        "precision": request.precision,
        "settings": hyperparameters.section_to_data(request.settings),
        "init": None if request.init is None else os.path.abspath(request.init),
        "teacher": None if request.teacher is None else request.teacher.to_data(),
        "max_seconds": request.max_seconds,
        "command": list(request.command),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": _versions(request.method.name),
    }


def _absolute(data: dict[str, Any]) -> dict[str, Any]:
    """Make folders absolute, so that a run can be resumed from any working directory."""
    return {
        name: [os.path.abspath(expanded(each)) for each in value]
        if isinstance(value, tuple)
        else value
        for name, value in data.items()
    }


@functools.cache
def _versions(method: str) -> Mapping[str, str]:
    plugin = [i.distribution for i in plugins.installed() if i.name == method]
    found = {}
    for name in (*_VERSIONS, *plugin):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found

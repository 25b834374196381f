"""Ablations: variants of a method that are trained alike, and tables that compare them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from rainkit.errors import RainkitError, UsageError
from rainkit.evaluation import Summary
from rainkit.files import write_text
from rainkit.render.text_tables import latex, markdown
from rainkit.training import run_config
from rainkit.training.loop import train
from rainkit.training.run_config import TrainRequest

__all__ = [
    "Ablation",
    "Trained",
    "ablate",
    "alike",
    "columns",
    "rows",
    "write",
]


_BUDGET = ("steps", "epoch_steps", "batch", "accumulate", "crop", "patch", "whole")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """One training of one variant.

    Attributes:
        variant: name of the variant.
        seed: seed of the training.
        run: the run folder.
        parameters: number of parameters of the network.
        steps: number of optimiser steps done.
        seconds: seconds that they took, over all calls.
        scores: scores of the last weights, ``{"<set>/psnr": dB, "<set>/ssim": ...}``.
        problem: why the training failed; None if it did not.
    """

    variant: str
    seed: int
    run: str
    parameters: int = 0
    steps: int = 0
    seconds: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """Result of an ablation.

    Attributes:
        method: name of the method.
        folder: folder that holds all run folders.
        runs: the trainings, in the order in which they were asked for.
        interrupted: whether the last of them was stopped by a signal.
    """

    method: str
    folder: Path
    runs: tuple[Trained, ...]
    interrupted: bool = False

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the validation sets."""
        scored = (name for run in self.runs for name in run.scores)
        return tuple(dict.fromkeys(name.rpartition("/")[0] for name in scored))

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants, each once."""
        return tuple(dict.fromkeys(run.variant for run in self.runs))

    @property
    def failed(self) -> bool:
        """Whether a training failed."""
        return any(run.problem for run in self.runs)

    def scored(self, name: str, variant: str | None = None) -> tuple[float, float] | None:
        """Return mean and deviation of a score over the seeds of a variant, or over all runs."""
        own = (run for run in self.runs if variant in (None, run.variant))
        values = [run.scores[name] for run in own if name in run.scores]
        if not values:
            return None
        summary = Summary.of(values)
        return summary.mean, summary.deviation if summary.count > 1 else 0.0

    def to_data(self) -> dict[str, Any]:
        """Return JSON-able data; an infinite PSNR, that of equal pictures, is null."""
        return {
            "method": self.method,
            "protocol": "prenet/1",
            "runs": [
                asdict(run)
                | {"scores": {k: v if math.isfinite(v) else None for k, v in run.scores.items()}}
                for run in self.runs
            ],
        }


def alike(requests: Sequence[TrainRequest]) -> list[TrainRequest]:
    """Return the same trainings with the budget of the first: its steps, batches and pictures.

    Raises:
        UsageError: no set to validate on is named.
    """
    first = requests[0]
    if not first.data.validation:
        raise UsageError("--ablation: name the sets that are to be compared on (--validate)")
    budget = {name: getattr(first.hyperparameters.training, name) for name in _BUDGET}
    return [
        dataclasses.replace(
            request,
            hyperparameters=dataclasses.replace(
                request.hyperparameters,
                training=dataclasses.replace(request.hyperparameters.training, **budget),
            ),
        )
        for request in requests
    ]


def ablate(
    requests: Sequence[TrainRequest], folder: Path, console: Console | None = None
) -> Ablation:
    """Train one request after another; trainings that were begun before are resumed.

    A training that fails is reported, and the others are done nevertheless.

    Raises:
        UsageError: a request cannot work, or a run folder holds a training with other settings.
    """
    runs: list[Trained] = []
    interrupted = False
    for number, request in enumerate(requests, 1):
        if console:
            which = f"{request.variant}, seed {request.seed}"
            console.print(f"[{number}/{len(requests)}] {which}", markup=False, highlight=False)
        run = Trained(variant=request.variant, seed=request.seed, run=str(request.run))
        try:
            result = train(_begun(request), console)
        except UsageError:
            raise
        except RainkitError as error:
            runs.append(replace(run, problem=str(error)))
            continue
        runs.append(
            replace(
                run,
                parameters=result.parameters,
                steps=result.steps,
                seconds=result.all_seconds,
                scores=result.scores,
            )
        )
        if result.stopped == "signal":
            interrupted = True
            break
    return Ablation(
        method=requests[0].method.name, folder=folder, runs=tuple(runs), interrupted=interrupted
    )


def _begun(request: TrainRequest) -> TrainRequest:
    if not (request.run / run_config.FILE).is_file():
        return request
    held = run_config.reopen(request.run, device=request.device)
    held = dataclasses.replace(held, settings=request.settings)
    same = {"hyperparameters", "method", "variant", "seed", "data", "init", "teacher"}
    if request.precision != "auto":  # whose choice the run holds
        same.add("precision")
    told = run_config.to_data(request), run_config.to_data(held)
    if request.max_seconds is not None:
        for each in told:  # the steps were fixed when it began
            each["hyperparameters"]["training"].pop("steps")
    for name in sorted(same):
        if told[0][name] != told[1][name]:
            raise UsageError(
                f"{request.run} was trained with other settings ({name}): choose another -o"
            )
    return held


def columns(ablation: Ablation) -> tuple[str, ...]:
    """Return the columns of the table: a PSNR and an SSIM for each set."""
    scores = [f"{name} {score}" for name in ablation.sets for score in ("PSNR", "SSIM")]
    return ("variant", "parameters", *scores, "min")


def rows(ablation: Ablation, *, bold: bool = False) -> list[tuple[str, ...]]:
    """Return a row of the input and one of each variant, the best of a column in ``**bold**``."""
    names = [f"{name}/{score}" for name in ablation.sets for score in ("psnr", "ssim")]
    befores = [f"{name}/input_{score}" for name in ablation.sets for score in ("psnr", "ssim")]
    best = {}
    for name in names:
        known = [found[0] for v in ablation.variants if (found := ablation.scored(name, v))]
        best[name] = max(known, default=None)
    untouched = [
        _cell(name, found[0], 0.0) if (found := ablation.scored(before)) else ""
        for name, before in zip(names, befores, strict=True)
    ]
    made = [("input", "", *untouched, "")]
    for variant in ablation.variants:
        own = [run for run in ablation.runs if run.variant == variant]
        cells = []
        for name in names:
            found = ablation.scored(name, variant)
            missing = "failed" if any(run.problem for run in own) else "stopped"
            cell = missing if found is None else _cell(name, *found)
            marked = bold and found is not None and found[0] == best[name]
            cells.append(f"**{cell}**" if marked else cell)
        minutes = sum(run.seconds for run in own) / len(own) / 60
        size = max(run.parameters for run in own)
        made.append((variant, f"{size:,}", *cells, f"{minutes:.1f}"))
    return made


def write(ablation: Ablation) -> tuple[Path, ...]:
    """Write ``ablation.md``, ``.tex``, ``.csv`` (a row for each training) and ``.json``.

    Raises:
        FileError: the folder cannot be written.
    """
    contents = {
        "ablation.md": "\n".join([*_head(ablation), *_markdown(ablation)]) + "\n",
        "ablation.tex": "\n".join(latex(columns(ablation), rows(ablation, bold=True))) + "\n",
        "ablation.csv": _csv(ablation),
        "ablation.json": json.dumps(ablation.to_data(), indent=1) + "\n",
    }
    paths = []
    for name, content in contents.items():
        paths.append(ablation.folder / name)
        write_text(paths[-1], content, overwrite=True)
    return tuple(paths)


def _head(ablation: Ablation) -> list[str]:
    seeds = sorted({run.seed for run in ablation.runs})
    steps = sorted({run.steps for run in ablation.runs if not run.problem})
    spread = "; mean ± standard deviation over the seeds" if len(seeds) > 1 else ""
    return [
        f"{ablation.method}: steps {', '.join(map(str, steps))}; "
        f"seeds {', '.join(map(str, seeds))}{spread}. PSNR in dB and SSIM by protocol prenet/1, "
        "of the weights after the last step; min is the time of one training.",
        "",
    ]


def _markdown(ablation: Ablation) -> list[str]:
    lines = markdown(columns(ablation), rows(ablation, bold=True))
    problems = [run for run in ablation.runs if run.problem]
    return lines + [f"\n{run.variant}, seed {run.seed}: {run.problem}" for run in problems]


def _cell(name: str, mean: float, spread: float) -> str:
    digits = 2 if name.endswith("psnr") else 4
    shown = f"{mean:.{digits}f}"
    return f"{shown} ± {spread:.{digits}f}" if spread else shown


def _csv(ablation: Ablation) -> str:
    names = [f"{name}/{score}" for name in ablation.sets for score in ("psnr", "ssim")]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["variant", "seed", "parameters", "steps", "seconds", *names, "problem"])
    for run in ablation.runs:
        scores = [run.scores.get(name, "") for name in names]
        seconds = f"{run.seconds:.1f}"
        head = [run.variant, run.seed, run.parameters, run.steps, seconds]
        writer.writerow([*head, *scores, run.problem or ""])
    return text.getvalue()

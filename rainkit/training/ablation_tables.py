"""An ablation as tables: Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from rainkit.files import atomic_path
from rainkit.reports.text_tables import latex, markdown
from rainkit.training.ablation import Ablation

__all__ = ["columns", "rows", "write"]


def columns(ablation: Ablation) -> tuple[str, ...]:
    """Of the table: a PSNR and an SSIM for each set."""
    scores = [f"{name} {score}" for name in ablation.sets for score in ("PSNR", "SSIM")]
    return ("variant", "parameters", *scores, "min")


def rows(ablation: Ablation, *, bold: bool = False) -> list[tuple[str, ...]]:
    """The untouched input, then a row for each variant; the best of a column in ``**bold**``."""
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
            cell = "failed" if found is None else _cell(name, *found)
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
        with atomic_path(paths[-1], overwrite=True) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="")
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

"""docs/results.md: what all shipped weights score, leave and cost, and what the papers printed.

python examples/benchmarks/results.py PAIRS... -o WORK [--page docs/results.md] [--real PHOTOS]
    [--side 640] [--dry PHOTOS] [-m NAME=WEIGHTS[@LABEL]]... [--fresh] [--only LABEL]...
    [--no-measure]
python examples/benchmarks/results.py PAIRS... -o WORK --ablate NAME... --clean PHOTOS
    [--steps 800] [--batch 4] [--patch 64] [--set NAME=VALUE]...

PAIRS are sets of rainy and clean pictures, or folders of sets. The first form writes the tables
into PAGE, between the lines ``<!-- results: NAME -->`` and ``<!-- /results -->``; what stands
elsewhere in the page stays. A page that does not exist begins with all tables. Scores that a
plugin's card tells of the very same pictures (the rainy ones score alike, to the last digit) are
taken from the card unless --fresh is given; what is missing is measured by ``rainkit eval``,
photographs.py on the photographs of rain in --real, and checks/dry.py on those without rain in
--dry. -m adds rows, such as weights of yours for a method that ships none. With --only, nothing is
measured of other rows, and with --no-measure of none.

The second form trains the variants that a paper's claims are about, with the same small budget for
each, by ``rainkit train --ablation``; the next call of the first form shows what came out.

All that was measured stays in WORK: a run that was stopped goes on, and one that was finished
writes the same page at once. Rows are measured anew where the weights are others. Where WORK has
been lost, what it would say stays as the page has it: cells of rows that nobody measures now, rows
that -m added, and the tables of trainings. So new weights need no measurement of the old ones.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rainkit import evaluation, networks, plugins
from rainkit import weights as weight_files
from rainkit.api import Method, PublishedResult, Weights
from rainkit.datasets.pairs import Dataset, ReadOptions
from rainkit.errors import exiting
from rainkit.evaluation.scoring import scored_datasets
from rainkit.files import write_json
from rainkit.published import paper_tables, published_rows, rows_on, same_dataset
from rainkit.render.text_tables import bold, markdown
from rainkit.training import ablation

HERE = Path(__file__).resolve().parent
PROTOCOL = "prenet"
LABEL = f"{PROTOCOL}/1"

BLOCKS = {
    "scores": "## Scores on pairs",
    "tone": "## Pairs of another tone",
    "photographs": "## Photographs of real rain",
    "dry": "## White, and photographs without rain",
    "cost": "## Size and time",
    "published": "## Published on the same sets",
    "claims": "## The papers' claims under equal budget",
    "ablations": "## The variants that were trained for them",
    "papers": "## All published tables",
}
"""The tables of the page, and the headings of a page that does not exist yet."""

BLOCK = r"<!-- results: (?P<name>[\w-]+) -->\n(?P<text>.*?)\n?<!-- /results -->"
ROWS_OF_WEIGHTS = ("scores", "tone", "photographs", "dry", "cost")
TRAINED = ("claims", "ablations")


@dataclass(frozen=True)
class Row:
    """One set of weights.

    Attributes:
        label: name in the tables.
        method: the method.
        which: what ``-m`` takes: ``NAME=WEIGHTS``.
        sha256: hash of the weights file.
        shipped: what the method's card says of the weights; None if they are the user's.
    """

    label: str
    method: Method
    which: str
    sha256: str
    shipped: Weights | None = None


@dataclass(frozen=True)
class Claim:
    """What a paper, or a plugin, says that a part of its method is worth.

    Attributes:
        method: the method.
        part: what is added.
        variant: the variant with it.
        without: the variant without it.
        printed: names of the two rows in the paper, with and without; empty if it has no figures.
    """

    method: str
    part: str
    variant: str
    without: str
    printed: tuple[str, str] | None = None


def claims(text: str) -> tuple[Claim, ...]:
    """Return the claims of a table: method, part, variants and printed rows with and without."""
    found = []
    for line in filter(str.strip, text.splitlines()):
        method, part, variant, without, *printed = (cell.strip() for cell in line.split("|"))
        rows = (printed[0], printed[1]) if printed else None
        found.append(Claim(method, part, variant, without, rows))
    return tuple(found)


CLAIMS = claims(
    """
graspp-gan  | gradient loss               | graspp      | raspp          | GRASPP | RASPP
graspp-gan  | critic                      | default     | graspp         | GRASPP-GAN | GRASPP
granet      | region-aware attention      | coarse      | coarse-no-ra   | {ra}   | {no ra}
granet      | fine stage without context  | no-context  | coarse         | {fine} | {ra}
granet      | context of the fine stage   | default     | no-context     | {all}  | {fine}
resguidenet | SSIM loss                   | baseline-rr | baseline-rr-l2
resguidenet | residual guidance           | baseline-rr | baseline
resguidenet | recursion                   | default     | nrecur
resguidenet | merging of blocks           | default     | block5         | merged | ResGuideNet_5
timelapse   | structure loss Ls           | rbs         | rb             | {rbs}  | {rb}
timelapse   | direction loss Lv           | concat      | rbs            | {rbsv} | {rbs}
timelapse   | reconstruction loss Lr      | concat      | bsv            | {rbsv} | {bsv}
timelapse   | dynamic filter              | default     | concat  | fusion dyn    | fusion concat
timelapse   | concatenation, not sum      | concat      | sum     | fusion concat | fusion sum
timelapse   | product, not sum            | prod        | sum     | fusion prod   | fusion sum
freq-gan    | base and detail as input    | default     | freq-none
freq-gan    | channel attention           | default     | no-attention
freq-gan    | critic                      | default     | no-gan
freq-gan    | state of the LSTM (eq. 4)   | default     | blocks-state
prenet      | recurrent layer             | default     | prn            | PReNet | PRN
""".format(
        **{
            "no ra": "Only Coarse w/o RA",
            "ra": "Only Coarse w/ RA",
            "fine": "Coarse + Fine (w/o Context)",
            "all": "Coarse + Fine (w/ Context)",
            "rb": "Lr, Lb, without Dyn",
            "rbs": "Lr, Lb, Ls, without Dyn",
            "bsv": "Lb, Ls, Lv, without Dyn",
            "rbsv": "Lr, Lb, Ls, Lv, without Dyn",
        }
    )
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pairs", type=Path, nargs="+", help="sets of pairs, or folders of sets")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of measurements")
    parser.add_argument("--page", type=Path, help="Markdown file (default: WORK/results.md)")
    parser.add_argument("--real", type=Path, help="photographs of rain")
    parser.add_argument("--side", type=int, default=640, help="longest side of --real in pixels")
    parser.add_argument("--dry", type=Path, help="photographs without rain")
    parser.add_argument("-m", "--method", action="append", default=[], help="NAME=WEIGHTS[@LABEL]")
    parser.add_argument("--limit", type=int, help="only the first pictures of each folder")
    parser.add_argument("--tone", default="rain800", help="set whose tone is another one's")
    parser.add_argument("--fresh", action="store_true", help="take no scores from cards")
    parser.add_argument("--only", action="append", help="weights to measure (default: all)")
    parser.add_argument("--no-measure", action="store_true", help="write what is known")
    parser.add_argument("--ablate", nargs="+", default=[], metavar="NAME", help="methods to train")
    parser.add_argument("--clean", type=Path, help="clean photographs to train on")
    parser.add_argument("--steps", type=int, default=800, help="of each variant (default: 800)")
    parser.add_argument("--batch", type=int, default=4, help="crops a step (default: 4)")
    parser.add_argument("--patch", type=int, default=64, help="side of a crop (default: 64)")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="NAME=VALUE")
    given = parser.parse_args()
    if given.ablate:
        if given.clean is None:
            parser.error("--ablate needs --clean, the photographs to train on")
        for name in given.ablate:
            ablate(name, given)
        return
    rows = [*shipped(), *map(own, given.method)]
    sets = scored_datasets(given.pairs, ReadOptions(), given.limit)
    scores = {row.label: known(row, sets, given) for row in rows}
    inputs = input_scores(sets)
    measured = wanted(rows, given)
    for row in measured:
        told = {} if given.fresh else card_scores(row, inputs)
        missing = [
            each
            for each in sets
            if each.name not in scores[row.label]
            and (each.name not in told or each.name == given.tone)
        ]
        if missing:
            measure(row, missing, given)
            scores[row.label] = known(row, sets, given)
    for row in () if given.fresh else rows:
        for name, figures in card_scores(row, inputs).items():
            scores[row.label][name] = scores[row.label].get(name, {}) | figures
    photographs = real(rows, measured, given)
    dry = without_rain(rows, measured, given)
    methods = [plugins.get(found.name) for found in plugins.installed() if not found.problem]
    blocks = {
        "scores": scores_table(scores, inputs, sets),
        "tone": tone_table(scores, inputs, given.tone),
        "photographs": photographs_table(photographs, rows),
        "dry": dry_table(dry),
        "cost": cost_table(rows),
        "published": published_table(methods, list(inputs)),
        "claims": claims_table(methods, given.output / "ablations"),
        "ablations": ablation_tables(given.output / "ablations"),
        "papers": papers(methods),
    }
    page = given.page or given.output / "results.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    before = page.read_text(encoding="utf-8") if page.exists() else skeleton()
    trained = any((given.output / "ablations").glob("*/ablation.json"))
    for name, old in old_blocks(before).items():
        if name in ROWS_OF_WEIGHTS:
            blocks[name] = carried(blocks[name], old, rows)
        elif name in TRAINED and old and not trained:
            blocks[name] = old
    page.write_text(filled(before, blocks), encoding="utf-8")
    print(f"wrote {page}")


# What there is


def shipped() -> list[Row]:
    """Return the weights of all installed methods."""
    rows = []
    for found in plugins.installed():
        if found.problem:
            continue
        method = plugins.get(found.name)
        for each in method.weights:
            if each.file is not None:
                name = f"{method.name}.{each.tag}"
                rows.append(Row(name, method, f"{method.name}={each.tag}", each.sha256, each))
    return rows


def own(named: str) -> Row:
    """Return weights of the user's, which ``-m`` names."""
    which, _, label = named.partition("@")
    name, _, weights = which.partition("=")
    method = plugins.get(name)
    file = weight_files.find(method, weights or None)
    return Row(label or f"{name}: {file.name}", method, which, file.sha256)


def wanted(rows: Sequence[Row], given: argparse.Namespace) -> list[Row]:
    """Return the rows that are to be measured, those with quick networks first."""
    chosen = [row for row in rows if not given.only or row.label in given.only]
    work = {row.label: (row.shipped and row.shipped.gflop) or 1e9 for row in rows}
    return [] if given.no_measure else sorted(chosen, key=lambda row: work[row.label])


# Scores


def input_scores(sets: Sequence[Dataset]) -> dict[str, dict[str, float]]:
    """Return the scores of the rainy pictures themselves, by set."""
    protocol = evaluation.protocol(PROTOCOL)
    tone, _ = evaluation.load_metrics(("tone_psnr",), have=("target", "input"))
    found = {}
    for each in sets:
        pairs = [evaluation.read_pair(pair) for pair in each.pairs]
        scores = [protocol.scores(pair.rainy, pair.clean) for pair in pairs]
        found[each.name] = {
            "images": float(len(pairs)),
            "psnr": fmean(psnr for psnr, _ in scores),
            "ssim": fmean(ssim for _, ssim in scores),
            "tone_psnr": fmean(
                tone[0].measure(pair.rainy, target=pair.clean, rainy=pair.rainy) for pair in pairs
            ),
        }
    return found


def card_scores(row: Row, inputs: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return what the card says of these very pictures, by set."""
    found = {}
    for each in row.shipped.results if row.shipped else ():
        rainy = inputs.get(each.dataset)
        if (
            rainy
            and each.protocol == LABEL
            and each.images == rainy["images"]
            and abs(each.input_psnr - rainy["psnr"]) < 0.0051
            and abs(each.input_ssim - rainy["ssim"]) < 0.000051
        ):
            found[each.dataset] = {"psnr": each.psnr, "ssim": each.ssim}
    return found


def known(
    row: Row, sets: Sequence[Dataset], given: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return what was measured of these weights on these sets, by set."""
    found = {}
    for each in sets:
        figures = current(given.output / "scores" / each.name, [row]).get(row.label)
        if figures and figures["images"] == len(each.pairs):
            found[each.name] = figures
    return found


def measure(row: Row, sets: Sequence[Dataset], given: argparse.Namespace) -> None:
    """Score weights on sets, and store the figures."""
    folder = given.output / "eval" / file_name(row)
    limit = [] if given.limit is None else ["--limit", given.limit]
    told = rainkit(
        *("eval", *(each.root for each in sets), "-m", f"{row.which}@{row.label}", *limit),
        *("--protocol", PROTOCOL, "--metric", "tone_psnr", "--alone"),
        *("-o", folder, "--overwrite", "--json"),
    )
    for result in told["results"]:
        figures = {name: result["summary"][name]["mean"] for name in ("psnr", "ssim", "tone_psnr")}
        figures["images"] = float(result["images"])
        keep(given.output / "scores" / result["dataset"], row, figures)


def scores_table(
    scores: dict[str, dict[str, dict[str, float]]],
    inputs: dict[str, dict[str, float]],
    sets: Sequence[Dataset],
) -> str:
    """PSNR and SSIM of all weights on all sets, and the mean of the sets, the best in bold."""
    names, total = [each.name for each in sets], "mean of sets"
    rows = {
        label: own
        | (
            {total: {what: fmean(own[name][what] for name in names) for what in ("psnr", "ssim")}}
            if all(name in own for name in names)
            else {}
        )
        for label, own in ({"input": inputs} | scores).items()
    }
    best = {}
    for name in (*names, total):
        rivals = [rows[label][name] for label in scores if name in rows[label]]
        best[name] = {what: max((r[what] for r in rivals), default=0) for what in ("psnr", "ssim")}
    lines = [
        [
            label if label == "input" else f"`{label}`",
            *(
                pair_cell(own.get(name), {} if label == "input" else best[name])
                for name in (*names, total)
            ),
        ]
        for label, own in rows.items()
    ]
    columns = ("weights", *(f"{each.name} ({len(each.pairs)})" for each in sets), total)
    told = f"PSNR in dB / SSIM, protocol `{LABEL}`; how many pictures in brackets."
    return "\n".join([told, "", *markdown(columns, lines)])


def pair_cell(figures: dict[str, float] | None, best: dict[str, float]) -> str:
    """Return ``PSNR / SSIM``, in bold where a figure is the best; ``-`` if it is not known."""
    if not figures:
        return "-"
    cells = {"psnr": f"{figures['psnr']:.2f}", "ssim": f"{figures['ssim']:.4f}"}
    return " / ".join(
        bold(cell) if figures[name] == best.get(name) else cell for name, cell in cells.items()
    )


def tone_table(
    scores: dict[str, dict[str, dict[str, float]]], inputs: dict[str, dict[str, float]], name: str
) -> str:
    """PSNR as it is and after each channel got the curve that fits best, of one set."""
    if name not in inputs:
        return f"No set is called {name}."
    lines = []
    for label, own in ({"input": inputs} | scores).items():
        figures = own.get(name, {})
        cells = [
            f"{figures[figure]:.{digits}f}" if figure in figures else "-"
            for figure, digits in (("psnr", 2), ("ssim", 4), ("tone_psnr", 2))
        ]
        lines.append([label if label == "input" else f"`{label}`", *cells])
    return "\n".join(
        markdown((f"{name} ({inputs[name]['images']:.0f})", "PSNR", "SSIM", "tone-fitted"), lines)
    )


# Photographs


def real(
    rows: Sequence[Row], measured: Sequence[Row], given: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return the means over photographs of rain by label, measured by photographs.py."""
    folder = given.output / "photographs"
    found = current(folder / "figures", rows)
    if given.real and any(row.label not in found for row in measured):
        named = [part for row in measured for part in ("-m", f"{row.which}@{row.label}")]
        limit = [] if given.limit is None else ["--limit", given.limit]
        size = ("--side", given.side)
        script("photographs.py", given.real, "-o", folder, *size, *named, *limit)
        told = read(folder / "no_target.json")["results"]
        for row, result in zip(measured, told, strict=True):
            figures = {name: summary["mean"] for name, summary in result["summary"].items()}
            figures["images"] = float(result["images"])
            figures["longest"] = max(max(r["width"], r["height"]) for r in result["rows"])
            keep(folder / "figures", row, figures)
    return current(folder / "figures", rows)


def photographs_table(found: dict[str, dict[str, float]], rows: Sequence[Row]) -> str:
    """What is left of the streaks in photographs, as measured, and as the cards say."""
    lines = []
    for row in rows:
        figures, card = found.get(row.label), row.shipped and row.shipped.photographs
        cells = ["-"] * 4
        if figures:
            size = f"{figures['images']:.0f}, {figures['longest']:.0f} px"
            left, gone = f"{figures['streak_energy']:.3f}", f"{100 * figures['rain_removed']:.1f} %"
            cells[:3] = [size, left, gone]
        if card:
            cells[3] = f"{card.streaks_left:.3f} ({card.images}, {card.longest_side} px)"
        lines.append([f"`{row.label}`", *cells])
    columns = ("weights", "photographs", "streaks left", "darkened", "streaks left by the card")
    return "\n".join(markdown(columns, lines))


def without_rain(
    rows: Sequence[Row], measured: Sequence[Row], given: argparse.Namespace
) -> dict[str, list[Any]]:
    """Return what checks/dry.py says of each row, by label."""
    folder = given.output / "dry"
    found = current(folder, rows)
    for row in (each for each in measured if given.dry and each.label not in found):
        rough = folder / "rows.json"
        folder.mkdir(parents=True, exist_ok=True)
        limit = [] if given.limit is None else ["--limit", given.limit]
        script("../checks/dry.py", given.dry, "-m", row.which, "--json", rough, *limit)
        keep(folder, row, read(rough))
    return current(folder, rows)


def dry_table(found: dict[str, list[Any]]) -> str:
    """What comes back of white and of photographs without rain: alone, and as users get it."""
    columns = (
        *("weights", "photographs", "white alone", "white", "PSNR alone", "PSNR", "worst"),
        *("shift alone", "shift"),
    )
    lines = []
    for label, rows in found.items():
        alone, got = rows[0], next(row for row in rows if row["used"])
        whites = [", ".join(f"{level:.1f}" for level in row["white"]) for row in (alone, got)]
        psnrs = [f"{fmean(row['psnr']):.2f}" for row in (alone, got)]
        shifts = [f"{fmean(row['shift']):.2f}" for row in (alone, got)]
        worst = f"{min(got['psnr']):.1f}"
        lines.append([f"`{label}`", f"{len(got['psnr'])}", *whites, *psnrs, worst, *shifts])
    return "\n".join(markdown(columns, lines)) if lines else "Not measured yet."


# Cost


def cost_table(rows: Sequence[Row]) -> str:
    """Parameters, arithmetic of 512 x 512 pixels, and the times that the cards tell."""
    lines, machines = [], set()
    for row in rows:
        file = weight_files.find(row.method, row.which.partition("=")[2] or None)
        network = networks.build(row.method, file.network)
        work = row.shipped.gflop if row.shipped and row.shipped.gflop else networks.gflop(network)
        times = [each for each in row.method.timings if each.variant == file.variant]
        machines |= {f"{each.size}, {each.precision}, {each.machine}" for each in times}
        timed = ", ".join(f"{each.seconds:.2f}" for each in times)
        size = f"{file.path.stat().st_size / 1e6:.2f}"
        lines.append(
            [
                f"`{row.label}`",
                f"{networks.parameters(network):,}",
                size,
                f"{work:.1f}",
                timed or "-",
            ]
        )
    columns = ("weights", "parameters", "MB", "GFLOP", "seconds")
    told = f"Seconds: {'; '.join(sorted(machines))}." if machines else "No card tells times."
    return "\n".join([told, "", *markdown(columns, lines)])


# What papers print


def published_table(methods: Sequence[Method], sets: Sequence[str]) -> str:
    """The rows of all papers on the sets that are scored, as printed."""
    found: dict[str, dict[str, str]] = {}
    for row in rows_on(published_rows(methods), sets):
        name = next(name for name in sets if same_dataset(row.result.dataset, name))
        printed = " / ".join(str(value or "-") for value in (row.result.psnr, row.result.ssim))
        found.setdefault(row.name, {}).setdefault(name, printed)
    names = [name for name in sets if any(name in cells for cells in found.values())]
    lines = [[label, *(cells.get(name, "") for name in names)] for label, cells in found.items()]
    if not lines:
        return "The papers print no figures of these sets."
    return "\n".join(markdown(("published, not measured by us", *names), lines))


def papers(methods: Sequence[Method]) -> str:
    """The tables of all papers, with the rivals in them."""
    lines = ["*Published* in the papers, not measured by us; figures as printed."]
    for method in methods:
        tables = paper_tables(method, rivals=True)
        if tables:
            lines += ["", f"### {method.title}", "", f"{method.paper.title}."]
        for each in tables:
            lines += ["", f"*{each.table.title}*", ""]
            lines += markdown(each.table.columns, each.table.rows, len(each.texts) or 1)
            lines += [f"\nNote: {note}." for note in each.notes]
    return "\n".join(lines)


# Ablations


def ablate(name: str, given: argparse.Namespace) -> None:
    """Train the variants of a method's claims, or train them on."""
    claimed = [claim for claim in CLAIMS if claim.method == name]
    if not claimed:
        known_names = ", ".join(dict.fromkeys(claim.method for claim in CLAIMS))
        sys.exit(f"--ablate {name}: there are no claims to check; choose from {known_names}")
    variants = list(dict.fromkeys(v for c in claimed for v in (c.without, c.variant)))
    command: list[object] = [
        *("train", "-m", name, "--ablation", ",".join(variants), "--clean", given.clean),
        *("-o", given.output / "ablations" / name, "--max-steps", given.steps, "--seed", 1),
    ]
    settings = (
        f"training.batch={given.batch}",
        f"training.patch={given.patch}",
        f"training.epoch_steps={max(1, given.steps // 4)}",
        f"training.warmup_steps={given.steps // 16}",
        "training.ema=0.99",
        "run.validate_every=4",
        "run.workers=0",
        *given.settings,
    )
    command += [part for setting in settings for part in ("--set", setting)]
    command += [part for folder in given.pairs for part in ("--validate", folder)]
    done = subprocess.run([sys.executable, "-m", "rainkit", *map(str, command)], check=False)
    if done.returncode:
        sys.exit(f"{name}: rainkit train --ablation ended with {done.returncode}")


def ablation_tables(folder: Path) -> str:
    """Return what each variant scored, method by method."""
    lines: list[str] = []
    for path in sorted(folder.glob("*/ablation.json")):
        told = read(path)
        runs = tuple(ablation.Trained(**run) for run in told["runs"])
        found = ablation.Ablation(method=told["method"], folder=path.parent, runs=runs)
        steps = ", ".join(dict.fromkeys(str(run.steps) for run in runs if not run.problem))
        lines += ["", f"`{found.method}`, {steps} steps:", ""]
        lines += markdown(ablation.columns(found), ablation.rows(found, bold=True))
        lines += [f"\n`{run.variant}`: {run.problem}." for run in runs if run.problem]
    return "\n".join(lines[1:]) if lines else "None yet."


def claims_table(methods: Sequence[Method], folder: Path) -> str:
    """What each claim is worth in the paper, and under the small budget."""
    lines = []
    installed = {method.name: method for method in methods}
    for claim in CLAIMS:
        if claim.method not in installed:
            continue
        told = read(folder / claim.method / "ablation.json").get("runs", ())
        runs = {run["variant"]: run for run in told if run["scores"] and not run["problem"]}
        failed = {run["variant"] for run in told if run["problem"]}
        here = None
        if claim.variant in runs and claim.without in runs:
            with_it, without = (mean_scores(runs[v]) for v in (claim.variant, claim.without))
            here = with_it[0] - without[0], with_it[1] - without[1]
        found = (gain_cell(here), verdict(here)) if here else ("not trained", "")
        if claim.variant in runs and claim.without in failed:
            found = "its training fails without it", "see below why"
        printed = printed_gain(installed[claim.method], claim)
        lines.append(
            [
                f"`{claim.method}`",
                claim.part,
                gain_cell(printed) if printed else "no figures",
                *found,
            ]
        )
    columns = ("method", "what is added", "published gain", "gain here", "holds here")
    return "\n".join(markdown(columns, lines, 2))


def mean_scores(run: dict[str, Any]) -> tuple[float, float]:
    """Return the means of PSNR and SSIM over the sets of a training's last validation."""
    scores = run["scores"]
    psnrs, ssims = (
        [value for name, value in scores.items() if name.endswith(f"/{what}")]
        for what in ("psnr", "ssim")
    )
    return fmean(psnrs), fmean(ssims)


def printed_gain(method: Method, claim: Claim) -> tuple[float, float] | None:
    """Return the gain in PSNR and SSIM that a paper prints, as a mean over its sets."""
    if claim.printed is None:
        return None
    tables: dict[tuple[str, str], dict[str, PublishedResult]] = {}
    for each in method.paper.results:
        if not each.method and each.psnr and each.ssim:
            own_rows = tables.setdefault((each.table, each.dataset), {})
            own_rows[each.variant or method.title] = each
    after, before = claim.printed
    both = [(rows[after], rows[before]) for rows in tables.values() if {after, before} <= {*rows}]
    if not both:
        return None
    return (
        fmean(float(a.psnr or 0) - float(b.psnr or 0) for a, b in both),
        fmean(float(a.ssim or 0) - float(b.ssim or 0) for a, b in both),
    )


def gain_cell(gain: tuple[float, float]) -> str:
    """Return a gain as ``+0.50 dB / +.010``."""
    return f"{gain[0]:+.2f} dB / {gain[1]:+.4f}"


def verdict(gain: tuple[float, float]) -> str:
    """Return whether a claim holds: both figures must rise, by more than noise would explain."""
    psnr, ssim = (
        0 if abs(value) < least else (1 if value > 0 else -1)
        for value, least in zip(gain, (0.1, 0.002), strict=True)
    )
    if (psnr, ssim) == (0, 0):
        return "no difference"
    if min(psnr, ssim) >= 0:
        return "yes" if psnr and ssim else ("PSNR alone" if psnr else "SSIM alone")
    if max(psnr, ssim) <= 0:
        return "no, the reverse"
    return "PSNR, at the cost of SSIM" if psnr > 0 else "SSIM, at the cost of PSNR"


# The page, files and commands


def skeleton() -> str:
    """Return a page with all headings and empty blocks."""
    parts = (
        f"{head}\n\n<!-- results: {name} -->\n<!-- /results -->\n" for name, head in BLOCKS.items()
    )
    return "\n".join(["# Results\n", *parts])


def old_blocks(page: str) -> dict[str, str]:
    """Return the text of each block of a page."""
    return {match["name"]: match["text"] for match in re.finditer(BLOCK, page, re.DOTALL)}


def carried(new: str, old: str, rows: Sequence[Row]) -> str:
    """Return a table in which what was not measured is as the page has it.

    That is, cells with a dash, rows that are missing, and rows of weights that ``-m`` named. Rows
    of weights that ship no more go, and so does a table with other columns: its sets are others.
    """
    head, now = table(new)
    old_head, before = table(old)
    if not before or (now and head != old_head):
        return new
    names = [f"`{row.label}`" for row in rows]
    shipping = {row.method.name for row in rows if row.shipped}
    own_rows = [
        name
        for name in before
        if name not in (*names, "input") and name.strip("`").split(".")[0] not in shipping
    ]
    lines = []
    for name in ("input", *names, *own_rows):
        known = [cell.replace("**", "") for cell in before.get(name, ())]
        cells = now.get(name, known)
        if known:
            cells = [k if cell == "-" else cell for cell, k in zip(cells, known, strict=True)]
        if cells:
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*(head if now else old_head), *lines])


def table(text: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return the lines up to a Markdown table's rule, and the cells of its rows by the first."""
    lines = text.splitlines()
    rule = next((i for i, line in enumerate(lines) if line.startswith("|--")), len(lines) - 1)
    rows = [line[2:-2].split(" | ") for line in lines[rule + 1 :]]
    return lines[: rule + 1], {cells[0]: cells for cells in rows}


def filled(page: str, blocks: dict[str, str]) -> str:
    """Return the page with its blocks renewed.

    Raises:
        SystemExit: the page has a block that there is not.
    """

    def renewed(match: re.Match[str]) -> str:
        if match["name"] not in blocks:
            sys.exit(f"the page has a block {match['name']}; there are {', '.join(blocks)}")
        return f"<!-- results: {match['name']} -->\n{blocks[match['name']]}\n<!-- /results -->"

    return re.sub(BLOCK, renewed, page, flags=re.DOTALL)


def file_name(row: Row) -> str:
    """Return a name of a file or folder for a row."""
    return re.sub(r"[^\w.-]+", "-", row.label)


def keep(folder: Path, row: Row, figures: Any) -> None:
    """Store figures of a row, such that the file is there whole or not at all."""
    write_json(folder / f"{file_name(row)}.json", {"sha256": row.sha256, "figures": figures})


def current(folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the figures in a folder that are of the rows' present weights, by label."""
    told = {row.label: read(folder / f"{file_name(row)}.json") for row in rows}
    return {
        row.label: told[row.label]["figures"]
        for row in rows
        if told[row.label].get("sha256") == row.sha256
    }


def read(path: Path) -> Any:
    """Return what a JSON file holds; an empty dictionary if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def script(name: str, *arguments: object) -> None:
    """Run a script beside this one; exit if it fails."""
    command = [sys.executable, str(HERE / name), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"{name} ended with {done.returncode}")


def rainkit(*arguments: object) -> Any:
    """Return the JSON that a command prints; exit if it fails."""
    command = [sys.executable, "-m", "rainkit", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"rainkit {arguments[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    with exiting():
        main()

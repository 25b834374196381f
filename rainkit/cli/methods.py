"""``rainkit methods``: list the installed methods, or show one; neither needs torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rainkit import config
from rainkit.cli import completion, features
from rainkit.cli.commands import CommandLine
from rainkit.cli.console import output, print_json, print_table, tell, warn
from rainkit.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rainkit.api import MeasuredResult, Method, Timing
    from rainkit.overview import MethodRow

__all__ = ["app", "methods", "show"]

app = CommandLine(
    name="methods", help="List the installed methods, or show one.", no_args_is_help=False
)

_JSON = "rainkit.methods.json"
"""Key under which the context keeps whether ``--json`` stands before the sub-command."""


@app.callback(invoke_without_command=True)
def methods(context: typer.Context, as_json: Json = False) -> None:
    """List the installed methods with what they are good at, or show everything about one.

    Scores and times are those that the plugins declare, and are said to be of which pairs and of
    which machine.
    """
    if context.invoked_subcommand is not None:
        context.obj = {_JSON: as_json}
        return
    from rainkit import plugins
    from rainkit.overview import methods_at_a_glance

    rows = methods_at_a_glance()
    if as_json:
        print_json([row.to_data() for row in rows])
        return
    if not rows:
        line = plugins.none_installed()
        warn(line)
        return
    _print_list(rows)


def _print_list(rows: Sequence[MethodRow]) -> None:
    from rainkit.overview import common_sets, common_timing

    sets, timing = common_sets(rows), common_timing(rows)
    timed = () if timing is None else ("seconds",)
    troubled = any(row.problem for row in rows)
    headings = ("method", "good at", *sets, *timed, *(("problem",) if troubled else ()))
    table = []
    for row in rows:
        scores = [row.on(name) for name in sets]
        cells = [row.name, row.good_at or row.summary]
        cells += ["" if each is None else _gained(each) for each in scores]
        cells += ["" if timing is None else _seconds(row, timing)] if timed else []
        table.append([*cells, row.problem or ""][: len(headings)])
    print_table(headings, table, folded={"good at", "problem"}, figures={*sets, *timed})
    measured = [found for name in sets for row in rows if (found := row.on(name))]
    if measured:
        counted = {each.dataset: each.images for each in measured}
        tell(
            f"{' and '.join(sets)}: PSNR in dB, and what is gained over the rainy pictures, by the "
            f"default weights on {' and '.join(map(str, counted.values()))} pairs that no training "
            f"saw (protocol {measured[0].protocol})."
        )
    if timing is not None:
        tell(
            f"seconds: for a picture of {timing.size} in {timing.precision} on {timing.machine}. "
            "`rainkit bench` measures them here."
        )
    tell(f"Default: {_default(rows)}.")


def _gained(result: MeasuredResult) -> str:
    return f"{result.psnr:.1f} ({result.psnr - result.input_psnr:+.1f})"


def _seconds(row: MethodRow, way: Timing) -> str:
    alike = (
        each.seconds
        for each in row.timings
        if (each.machine, each.size, each.precision) == (way.machine, way.size, way.precision)
    )
    return next((f"{each:.2f}" for each in alike), "")


def _default(rows: Sequence[MethodRow]) -> str:
    """Return what ``rainkit infer`` takes if no method is named."""
    chosen = config.settings()["method"]
    if chosen.origin != "default":
        return f"{chosen.value}, set in {chosen.place}"
    from rainkit.overview import suited

    kinds = suited(rows)
    if len(kinds) == 1:
        return f"auto, which takes {next(iter(kinds))} for all kinds of rain"
    taken = [f"{name} for {' and '.join(of)} rain" for name, of in kinds.items()]
    return f"auto, which takes {', '.join(taken)}" if taken else "none; name one by --method"


@app.command()
def show(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="An installed method, or PACKAGE:METHOD.",
            autocompletion=completion.methods,
        ),
    ],
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Show only what the paper prints: its tables, with its rivals, digit for digit.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a method: its paper, variants, hyperparameters, parts and weights."""
    from rainkit import plugins

    method = plugins.get(name)
    as_json = as_json or (context.obj or {}).get(_JSON, False)  # before the sub-command, too
    if published:
        from rainkit.published import published_rows

        if as_json:
            print_json([row.to_data() for row in published_rows([method])])
        else:
            _print_published(method, rivals=True)
        return
    about = _about(method)
    if as_json:
        print_json(about)
        return
    _print_paper(about)
    _print_published(method, rivals=False)
    _print_variants(about)
    _print_hyperparameters(about)
    _print_weights(about)


app.command()(features.features)


def _about(method: Method) -> dict[str, Any]:
    from rainkit import hyperparameters
    from rainkit.api import RAIN, Part

    default = method.default
    parts = dict(method.parts_of(default.network))
    parts.setdefault(RAIN, Part(doc="the rainy picture minus the result", signed=True))
    return {
        "name": method.name,
        "title": method.title,
        "summary": method.summary,
        "licence": method.licence,
        "training_data": method.training_data if method.objective else None,
        "checkpoints": method.checkpoints is not None,
        "image": asdict(method.image(default.network)),
        "paper": asdict(method.paper),
        "variants": {
            name: hyperparameters.differences(values, default)
            for name, values in method.variants.items()
        },
        "ablation": {"published": list(method.ablation), "ours": list(method.own_ablation)},
        "hyperparameters": [asdict(row) for row in hyperparameters.describe(default)],
        "blocks": method.blocks and method.blocks(default.network),
        "parts": {name: asdict(part) for name, part in parts.items()},
        "weights": [asdict(weights) for weights in method.weights],
        "good_at": method.good_at,
        "timings": [asdict(timing) for timing in method.timings],
    }


def _print_paper(about: dict[str, Any]) -> None:
    paper = about["paper"]
    _line(f"{about['title']} ({about['name']}): {about['summary']}", style="bold")
    if about["good_at"]:
        _line(f"Good at: {about['good_at']}.")
    for each in about["timings"]:
        _line(
            f"{each['seconds']:.2f} s for a picture of {each['size']} in {each['precision']} on "
            f"{each['machine']} (variant {each['variant']})"
        )
    _line(": ".join(filter(None, (", ".join(paper["authors"]), f"{paper['title']}."))))
    doi = f"https://doi.org/{paper['doi']}" if paper["doi"] else ""
    unknown = [f"no {name}" for name in ("venue", "year") if not paper[name]]
    where = [str(part) for part in (paper["venue"], paper["year"]) if part]
    where += [f"{' and '.join(unknown)} given"] if unknown else []
    _line(", ".join(filter(None, (*where, doi))))
    data = {"pairs": "rainy and clean pairs", "frames": "time-lapse frames"}
    learns = f"learns from {data[kind]}" if (kind := about["training_data"]) else "is not trained"
    _line(f"Code under {about['licence']}; {learns}.")
    if about["checkpoints"]:
        _line("Takes its network from a file of another program (--weights FILE).")


def _print_published(method: Method, *, rivals: bool) -> None:
    from rainkit.published import paper_tables

    tables = paper_tables(method, rivals=rivals)
    if not tables:
        _line("The plugin records no published result.")
        return
    _line("\nPublished in the paper, not measured by rainkit; figures as printed", style="bold")
    for each in tables:
        figures = set(each.table.columns) - each.texts
        print_table(
            each.table.columns,
            each.table.rows,
            folded=each.texts,
            figures=figures,
            title=each.table.title,
        )
        for note in each.notes:
            _line(f"Note: {note}.")
    if not rivals and (others := sum(bool(row.method) for row in method.paper.results)):
        _line(f"With --published, the paper's {others} results of other methods are shown, too.")


def _print_variants(about: dict[str, Any]) -> None:
    rows = []
    for name, changes in about["variants"].items():
        told = "\n".join(f"{path} = {_value(value)}" for path, value in changes.items())
        same = "the default" if name == "default" else "no setting"
        rows.append((name, told or same))
    print_table(
        ("variant", "differs from default in"),
        rows,
        folded={"differs from default in"},
        title="Variants (--variant)",
    )
    published, ours = about["ablation"]["published"], about["ablation"]["ours"]
    if published:
        _line(f"The paper compares (train --ablation published): {', '.join(published)}")
    elif ours:
        _line("The paper compares no variants.")
    if ours:
        _line(f"We compare, too (train --ablation ours): {', '.join(ours)}")


def _print_hyperparameters(about: dict[str, Any]) -> None:
    print_table(
        ("setting", "default", "takes", "meaning"),
        (
            (
                row["path"],
                _value(row["default"]),
                f"{row['type']} {row['bounds']}".strip(),
                row["doc"],
            )
            for row in about["hyperparameters"]
        ),
        folded={"default", "takes", "meaning"},
        title="Hyperparameters (--set section.name=value)",
    )
    print_table(
        ("part", "meaning"),
        ((name, part["doc"]) for name, part in about["parts"].items()),
        folded={"meaning"},
        title="Parts (infer --parts)",
    )
    if about["blocks"]:
        _line(f"Anytime: {about['blocks']} blocks, each with a result (--effort).")


def _print_weights(about: dict[str, Any]) -> None:
    if not about["weights"]:
        _line(
            "Weights: the plugin ships none; train some with rainkit train, or import a checkpoint "
            "with rainkit weights import."
        )
        return
    for weights in about["weights"]:
        _line(f"\nWeights {about['name']}.{weights['tag']}", style="bold")
        _line(f"variant {weights['variant']}, licence {weights['licence']}")
        _line(f"trained on {weights['trained_on']}")
        _line(f"recipe {weights['recipe']}")
        if weights["results"]:
            figures = ("pictures", "PSNR dB", "input dB", "SSIM", "input SSIM")
            print_table(
                ("data", "protocol", *figures),
                (
                    (
                        r["dataset"],
                        r["protocol"],
                        str(r["images"]),
                        f"{r['psnr']:.2f}",
                        f"{r['input_psnr']:.2f}",
                        f"{r['ssim']:.4f}",
                        f"{r['input_ssim']:.4f}",
                    )
                    for r in weights["results"]
                ),
                folded={"data"},
                figures=figures,
                title="Results measured by rainkit, beside those of the rainy input",
            )


def _line(text: str, style: str = "") -> None:
    output.print(text, style=style, soft_wrap=not output.is_terminal)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_value, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)

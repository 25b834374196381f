"""What ``rainkit synth`` says while it runs and when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from rainkit.cli.console import errors, output, print_json
from rainkit.files import counted

if TYPE_CHECKING:
    from rainkit.synthesis.from_video import VideoResult
    from rainkit.synthesis.run import SynthResult
    from rainkit.synthesis.verify import VerifyResult

__all__ = ["make_page", "progress", "tell_cut", "tell_made", "tell_verified"]

_LISTED = 20
"""Findings of a verification that are printed before it is said how many more there are."""


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar for each thing that is going on; says how to go on after Ctrl-C."""
    from rich.progress import Progress

    try:
        with Progress(
            console=errors, transient=True, disable=quiet or not errors.is_terminal
        ) as bars:
            tasks: dict[str, Any] = {}

            def tell(what: str, done: int, total: int | None) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=total)
                bars.update(tasks[what], completed=done, total=total)

            yield tell
    except KeyboardInterrupt:
        errors.print("stopped; repeat the command to go on", highlight=False)
        raise


def make_page(result: SynthResult, workers: int | None, *, quiet: bool) -> Path | None:
    """Write the page about a finished dataset; None where there is nothing to show yet."""
    from rainkit.evaluation.metrics.protocols import PROTOCOLS
    from rainkit.synthesis.report.page import write_rain_page

    if not result.pairs or not (result.out / "manifest.jsonl").exists():
        errors.print("no report: it comes with the last shard", highlight=False)
        return None
    scorer = next(iter(PROTOCOLS.values()))
    with progress(quiet) as tell:
        return write_rain_page(
            result.out,
            scorer,
            workers=workers,
            on_progress=lambda done, total: tell("measuring", done, total),
        )


def tell_made(result: SynthResult, page: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Say what was made, and end with the exit code."""
    for note in result.notes:
        errors.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    for path, reason in result.failures:
        text = reason if reason.startswith(str(path)) else f"{path}: {reason}"
        errors.print(f"[bold red]left out:[/] {escape(text)}", highlight=False, soft_wrap=True)
    if as_json:
        print_json(result.to_data() | {"report": page and str(page)})
    elif not quiet:
        _print_made(result)
        if page is not None:
            _print(f"report: {page}")
    if result.failures:
        raise typer.Exit(1)


def _print_made(result: SynthResult) -> None:
    made = f"{counted(result.pairs, 'pair')} of {counted(result.scenes, 'scene')}"
    split = ", ".join(f"{name} {pairs}" for name, (_, pairs) in result.splits.items())
    again = f", {result.resumed} of an earlier run" if result.resumed else ""
    rate = result.pairs / result.seconds if result.seconds else 0
    _print(
        f"{made}{f' ({split})' if split else ''} in {result.out} "
        f"({result.seconds:.1f} s, {rate:.0f} pairs/s{again})"
    )
    if set(result.depths) - {"none", "flat"}:
        _print("depth: " + ", ".join(_depth(name, n) for name, n in result.depths.items()))


def _depth(source: str, number: int) -> str:
    return counted(number, "map") if source == "map" else f"{number} {source}"


def tell_verified(result: VerifyResult, *, as_json: bool, quiet: bool) -> None:
    """Say what a verification found, and end with the exit code."""
    for note in result.notes:
        errors.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    for finding in result.findings[:_LISTED]:
        text = f"[bold red]{finding.kind}:[/] {escape(f'{finding.id}: {finding.what}')}"
        errors.print(text, highlight=False, soft_wrap=True)
    if len(result.findings) > _LISTED:
        errors.print(f"and {len(result.findings) - _LISTED} more; --json lists all")
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        wrong = len({finding.id for finding in result.findings})
        said = f"{wrong} differ" if wrong else "all as the manifest says"
        _print(
            f"{counted(result.pairs, 'pair')}, {result.rendered} drawn again with equal pixels: "
            f"{said} ({result.seconds:.1f} s, {result.pictures_per_second:.0f} pictures/s)"
        )
    if result.findings:
        raise typer.Exit(1)


def tell_cut(result: VideoResult, *, as_json: bool, quiet: bool) -> None:
    """Say what was cut out of a video, and how steady its camera was."""
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        _print(result.summary())
        _print(f"{counted(len(result.scenes), 'scene')} in {result.out} ({result.seconds:.1f} s)")


def _print(text: str) -> None:
    output.print(escape(text), highlight=False, soft_wrap=True)

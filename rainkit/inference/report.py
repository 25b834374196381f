"""The page of pictures before and after, and a run in words."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import rainkit
from rainkit.files import counted, write_text
from rainkit.render.html import MOST_SHOWN, render

if TYPE_CHECKING:
    from rainkit.inference.batch import InferResult

__all__ = [
    "ComparePage",
    "Compared",
    "before_after",
    "blocks_used",
    "compare_page",
    "tally",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A picture of the page.

    Attributes:
        name: its caption.
        before: bytes of a JPEG file.
        after: bytes of a JPEG file of the same size.
        size: width and height of the original picture.
        seconds: time that it took.
        blocks: number of blocks that ran; None if the method is not an anytime method.
    """

    name: str
    before: bytes
    after: bytes
    size: tuple[int, int]
    seconds: float
    blocks: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparePage:
    """The content of a page.

    Attributes:
        title: its heading.
        facts: facts about the run: method, weights, device, times.
        pictures: the pictures; the first :data:`~rainkit.render.html.MOST_SHOWN` are shown.
        failures: file and reason of each picture that failed.
        notes: lines about the pictures that are neither shown nor failed.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[Compared, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def compare_page(page: ComparePage, path: Path, *, overwrite: bool = False) -> None:
    """Write a self-contained HTML page with a before/after slider for each picture.

    Raises:
        FileError: the file exists, or the system refuses to write.
    """
    html = render(
        "rainkit.inference",
        "compare.html.j2",
        page=page,
        shown=page.pictures[:MOST_SHOWN],
        left_out=max(0, len(page.pictures) - MOST_SHOWN),
        version=rainkit.__version__,
    )
    # File names may hold bytes that are not UTF-8; these are shown as question marks.
    write_text(path, html, overwrite=overwrite, errors="replace")


FEW = 8
"""Largest number of pictures that are listed one by one."""


def tally(result: InferResult) -> str:
    """Return e.g. ``2 pictures derained, 1 already there (--overwrite to redo), 1 failed``."""
    parts = [f"{counted(len(result.done))} derained"]
    if result.skipped:
        parts.append(f"{len(result.skipped)} already there (--overwrite to redo)")
    if result.failed:
        parts.append(f"{len(result.failed)} failed")
    if result.not_attempted:
        parts.append(f"{len(result.not_attempted)} not attempted")
    return ", ".join(parts)


def blocks_used(result: InferResult) -> str | None:
    """Return e.g. ``blocks used, of 5: 2 for a.jpg, 4 for b.jpg``, or numbers of pictures for many.

    The result is None if the method is not an anytime method, or if all blocks ran for every
    picture.
    """
    used = [(each.input.name, each.blocks) for each in result.done if each.blocks is not None]
    if all(blocks == result.blocks for _, blocks in used):
        return None
    if len(used) <= FEW:
        told = [f"{blocks} for {name}" for name, blocks in used]
    else:
        counts = sorted(Counter(blocks for _, blocks in used).items())
        told = [f"{blocks} for {counted(number)}" for blocks, number in counts]
    return f"blocks used, of {result.blocks}: {', '.join(told)}"


def before_after(title: str, result: InferResult, shown: Sequence[Compared]) -> ComparePage:
    """Return the page of a run.

    Args:
        title: title of the method.
        result: result of the run.
        shown: the pictures that were derained.
    """
    done = len(result.done)
    time_taken = f"{result.seconds:.1f} s"
    if done > 1:
        middle = statistics.median(each.seconds for each in result.done)
        time_taken += f", {middle:.2f} s per picture"
    return ComparePage(
        title=_heading(result),
        facts={
            "Method": f"{title} ({result.method})",
            "Weights": result.weights,
            **({"Device": result.device} if result.device else {}),
            "Pictures": tally(result),
            "Time": time_taken,
            **({"Blocks": used.partition("used, ")[2]} if (used := blocks_used(result)) else {}),
        },
        pictures=tuple(shown),
        failures=tuple(
            (str(each.input), (each.error or "").removeprefix(f"{each.input}: "))
            for each in result.failed
        ),
        notes=_notes(result),
    )


def _heading(result: InferResult) -> str:
    done = len(result.done)
    if done:
        return (
            "One picture without its rain" if done == 1 else f"{done} pictures without their rain"
        )
    if result.failed or result.not_attempted:
        return "No picture could be derained"
    return "All results were there already"


def _notes(result: InferResult) -> tuple[str, ...]:
    notes = []
    if result.skipped:
        was = "was" if len(result.skipped) == 1 else "were"
        notes.append(
            f"Skipped: {counted(len(result.skipped))} whose result {was} there already "
            "(--overwrite to redo)."
        )
    if result.not_attempted:
        notes.append(
            f"Not attempted: {counted(len(result.not_attempted))}, "
            f"after: {result.not_attempted[0].error}."
        )
    return tuple(notes)

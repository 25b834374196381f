"""The page of a run, and a run in words."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rainkit import images
from rainkit.errors import FileError
from rainkit.files import counted
from rainkit.images import RGB8, Pixels
from rainkit.inference.inputs import read_bytes
from rainkit.render.side_by_side import (
    Column,
    Figure,
    Photograph,
    Result,
    Shown,
    SideBySidePage,
    side_by_side_page,
    to_show,
)
from rainkit.render.text_tables import TextTable

if TYPE_CHECKING:
    from rainkit.inference.outcomes import InferResult, Outcome

__all__ = [
    "FIGURES",
    "blocks_used",
    "is_page",
    "measured",
    "tally",
    "write_page",
]

FEW = 8
"""Largest number of pictures that are listed one by one."""

FIGURES = (
    Figure(
        name="streak_energy",
        title="streak energy",
        about="energy along the rainy picture's streaks that is left: 1 if all of it is, and less "
        "is better. The scene's own lines in that direction count, too, so compare methods on one "
        "photograph, not photographs",
        form=".3f",
    ),
    Figure(
        name="rain_removed",
        title="rain removed",
        about="share of the pixels that became more than 8 of 255 levels darker: rain, and what "
        "was taken for rain; neither way is better",
        form=".3f",
    ),
)
"""What is measured of each result; none of it needs ground truth."""


def measured(rainy: RGB8, result: RGB8) -> Mapping[str, float]:
    """Return the :data:`FIGURES` of a result; NaN where one is not defined.

    Args:
        rainy: [H,W,3].
        result: of the same size.
    """
    from rainkit.rain import streak_energy  # most runs make no page

    large = min(rainy.shape[:2]) >= streak_energy.SMALLEST
    return {
        "streak_energy": streak_energy.directional_energy(result, rainy) if large else math.nan,
        "rain_removed": streak_energy.brighter_share(rainy, result),
    }


def tally(result: InferResult) -> str:
    """Return e.g. ``2 pictures derained, 1 already there (--overwrite to redo), 1 failed``."""
    parts = [f"{counted(len(result.done))} derained"]
    if result.skipped:
        parts.append(f"{len(result.skipped)} already there (--overwrite to redo)")
    if result.kept:
        parts.append(f"{len(result.kept)} kept that were made otherwise (--overwrite to replace)")
    if result.failed:
        parts.append(f"{len(result.failed)} failed")
    if result.not_attempted:
        parts.append(f"{len(result.not_attempted)} not attempted")
    return ", ".join(parts)


def blocks_used(result: InferResult) -> str | None:
    """Return e.g. ``blocks used, of 5: 2 for a.jpg, 4 for b.jpg``, or numbers of pictures for many.

    The result is None if the method is not an anytime method, if all blocks ran for every picture,
    or if methods were chosen for each picture.
    """
    used = [(each.input.name, each.blocks) for each in result.done if each.blocks is not None]
    if result.blocks is None or all(blocks == result.blocks for _, blocks in used):
        return None
    if len(used) <= FEW:
        told = [f"{blocks} for {name}" for name, blocks in used]
    else:
        counts = sorted(Counter(blocks for _, blocks in used).items())
        told = [f"{blocks} for {counted(number)}" for blocks, number in counts]
    return f"blocks used, of {result.blocks}: {', '.join(told)}"


def write_page(
    results: Sequence[InferResult],
    names: Sequence[str],
    path: Path,
    *,
    overwrite: bool = False,
    advance: Callable[[int, int], None] | None = None,
) -> None:
    """Write the page of the results of one or several methods on the same pictures.

    The pictures are read from the files, so that results of earlier runs are on the page, too.

    Args:
        results: a result for each method, with outcomes for the same pictures in the same order.
        names: names of the pictures, such as their paths below the input folder.
        path: the file to make.
        overwrite: replace an existing file.
        advance: called after each picture with the number of those done and of all.

    Raises:
        FileError: the file exists, or the system refuses to write.
    """
    rows = [
        Photograph(
            name=name,
            read=partial(_pixels, each[0].input),
            results=tuple(map(_shown_result, each)),
        )
        for name, each in zip(names, zip(*(r.outcomes for r in results), strict=True), strict=True)
        if any(outcome.status in ("done", "skipped") for outcome in each)
    ]
    if path.exists() and not overwrite:  # noticed before all pictures are read
        raise FileError(f"{path}: exists; pass --overwrite, or name another --report-to")
    shown = to_show(rows, measure=measured, advance=advance)
    page = SideBySidePage(
        title=_heading(results, len(rows)),
        columns=tuple(Column(name=each.title, note=each.weights) for each in results),
        photographs=shown,
        figures=FIGURES,
        facts=_facts(results),
        tables=_means(results, shown),
        failures=_failures(results),
        notes=_notes(results),
        left_out=len(rows) - len(shown),
    )
    side_by_side_page(page, path, overwrite=overwrite)


def is_page(path: Path) -> bool:
    """Return whether a file is a page that rainkit has made, which may be made anew."""
    try:
        with path.open("rb") as file:
            return b'name="generator" content="rainkit' in file.read(4096)
    except OSError:
        return False


def _pixels(path: Path) -> Pixels:
    return images.decode(read_bytes(path), path).rgb


def _shown_result(outcome: Outcome) -> Result:
    if outcome.status == "kept":
        return Result(missing=f"another result {outcome.error}")
    if outcome.status not in ("done", "skipped"):
        return Result(missing=outcome.error or outcome.status)
    told = []
    if outcome.status == "done":
        told.append(f"{outcome.seconds:.2f} s")
    if outcome.blocks is not None:
        told.append(counted(outcome.blocks, "block"))
    if outcome.work_size is not None:
        told.append("rain found at {} × {}".format(*outcome.work_size))
    return Result(
        read=partial(_pixels, outcome.output),
        note=" · ".join(told),
        parts={name: partial(_pixels, path) for name, path in outcome.parts.items()},
    )


def _heading(results: Sequence[InferResult], rows: int) -> str:
    if not rows:
        return "No picture could be derained"
    pictures = "One picture" if rows == 1 else f"{rows} pictures"
    its = "its" if rows == 1 else "their"
    by = f", by {len(results)} methods" if len(results) > 1 else ""
    return f"{pictures} without {its} rain{by}"


def _facts(results: Sequence[InferResult]) -> dict[str, str]:
    if len(results) > 1:
        return {
            each.title: ", ".join(
                filter(None, (each.weights, each.device, tally(each), _pace(each)))
            )
            for each in results
        }
    (only,) = results
    taken = ", ".join(filter(None, (f"{only.seconds:.1f} s", _pace(only))))
    used = blocks_used(only)
    return {
        "Method": only.title if only.title == only.method else f"{only.title} ({only.method})",
        "Weights": only.weights,
        **({"Device": only.device} if only.device else {}),
        "Pictures": tally(only),
        **({"Time": taken} if only.done else {}),
        **({"Blocks": used.partition("used, ")[2]} if used else {}),
    }


def _pace(result: InferResult) -> str:
    """Return the median time of a picture; empty for fewer than two."""
    if len(result.done) < 2:
        return ""
    return f"{statistics.median(each.seconds for each in result.done):.2f} s per picture"


def _means(results: Sequence[InferResult], shown: Sequence[Shown]) -> tuple[TextTable, ...]:
    """Return a table of means over the photographs that all methods have a result of."""
    whole = [each for each in shown if all(result.picture for result in each.results)]
    if len(whole) < 2:
        return ()
    rows = []
    for column, each in enumerate(results):
        cells = [each.title]
        for figure in FIGURES:
            values = [photograph.results[column].figures[figure.name] for photograph in whole]
            finite = [value for value in values if math.isfinite(value)]
            cells.append(format(statistics.fmean(finite), figure.form) if finite else "not defined")
        rows.append(tuple(cells))
    of = "photographs" if len(results) == 1 else "photographs that every method derained"
    titles = tuple(figure.title for figure in FIGURES)
    return (TextTable(f"Means over {len(whole)} {of}", ("method", *titles), tuple(rows)),)


def _failures(results: Sequence[InferResult]) -> tuple[tuple[str, str], ...]:
    """Return file and reason of each failure; one that all methods share is told once."""
    methods: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for each in result.failed:
            reason = (each.error or "").removeprefix(f"{each.input}: ")
            methods.setdefault((str(each.input), reason), []).append(result.title)
    return tuple(
        (name if len(own) == len(results) else f"{name} ({', '.join(own)})", reason)
        for (name, reason), own in methods.items()
    )


def _notes(results: Sequence[InferResult]) -> tuple[str, ...]:
    notes = []
    for result in results:
        of = f"{result.title}: " if len(results) > 1 else ""
        if result.skipped:
            one = len(result.skipped) == 1
            notes.append(
                f"{of}the result{'' if one else 's'} of {counted(len(result.skipped))} "
                f"{'was' if one else 'were'} there already (--overwrite to redo)."
            )
        if result.not_attempted:
            notes.append(
                f"{of}not attempted: {counted(len(result.not_attempted))}, "
                f"after: {result.not_attempted[0].error}."
            )
    return tuple(notes)

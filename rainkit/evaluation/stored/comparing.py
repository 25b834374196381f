"""Comparing stored results picture by picture: what ``rainkit eval compare`` does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rainkit.errors import UsageError
from rainkit.evaluation.scores import Score
from rainkit.evaluation.stored.differences import Compared, Difference
from rainkit.evaluation.stored.files import FILES, write
from rainkit.evaluation.stored.paired import holm, paired
from rainkit.evaluation.stored.pairs import Entry, StoredPair, entries, pairs
from rainkit.evaluation.stored.scores import StoredMetric, StoredResult
from rainkit.evaluation.texts import check_folder

__all__ = ["CompareRequest", "compare"]

_TITLES = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "psnr_gain": "gain dB",
    "ssim_gain": "gain SSIM",
}
# What scores are computed to, see protocols.Protocol: less may come from another rainkit or
# machine, and would be the same on every picture. For other metrics, what float32 gives.
_TOLERANCES = {"psnr": 1e-4, "psnr_gain": 1e-4}
_TOLERANCE = 1e-5


_DESCRIBED = 4
"""Results that a message describes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareRequest:
    """Which results to compare.

    Attributes:
        files: ``metrics.json`` files, or folders that hold one.
        reference: name of the result that all others are compared with; None = the first.
        quantities: what is compared, such as ``ssim``; empty = psnr, ssim and every further
            metric that both have.
        output: folder for compare.md, .json, .tex and .csv; None = write nothing.
        overwrite: replace files that are there.
    """

    files: tuple[Path, ...]
    reference: str | None = None
    quantities: tuple[str, ...] = ()
    output: Path | None = None
    overwrite: bool = False


def compare(request: CompareRequest) -> Compared:
    """Compare every result with the reference on what both have.

    Raises:
        UsageError: less than two results, an unknown name, nothing that both have, or a file
            that would be replaced.
        DatasetError: a file is not a ``metrics.json``.
        FileError: the output cannot be written.
    """
    if request.output is not None:
        check_folder(request.output, FILES, overwrite=request.overwrite)
    found = entries(request.files)
    if len(found) < 2:
        names = ", ".join(map(str, request.files)) or "no file"
        raise UsageError(f"{names}: holds less than two results; give another metrics.json")
    _check_quantities(found, request.quantities)
    reference = _reference(found, request.reference)
    differences: list[Difference] = []
    notices: list[str] = []
    for other in (each for each in found if each is not reference):
        matches = pairs(reference, other)
        notices += matches.notices
        seen: set[tuple[str, str]] = set()
        for pair in matches.pairs:
            for quantity in request.quantities or _quantities(pair):
                why = _lacking(pair, quantity, (reference.name, other.name))
                if why is not None:
                    notices.append(why)
                elif quantity in _TITLES or (pair.other.dataset, quantity) not in seen:
                    # Further metrics are the same under all protocols.
                    seen.add((pair.other.dataset, quantity))
                    differences.append(_difference(pair, quantity, other.name))
    if not differences:
        raise UsageError(
            f"nothing to compare: {'; '.join([*dict.fromkeys(notices)][:1])}."
            f" {'; '.join(each.described() for each in found[:_DESCRIBED])}"
        )
    notices += [_left_out(each, reference.name) for each in differences if each.found.excluded]
    compared = Compared(
        reference=reference.name,
        files={each.name: each.results[0].file for each in found},
        differences=tuple(_adjusted(differences)),
        notices=tuple(dict.fromkeys(notices)),
    )
    if request.output is None:
        return compared
    written = write(compared, request.output, overwrite=request.overwrite)
    return replace(compared, written=written)


def _reference(found: Sequence[Entry], name: str | None) -> Entry:
    if name is None:
        return found[0]
    for each in found:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in found)
    raise UsageError(f"--reference {name}: no such result; choose from {known}")


def _check_quantities(found: Sequence[Entry], chosen: Sequence[str]) -> None:
    extras = dict.fromkeys(name for each in found for one in each.results for name in _extras(one))
    for quantity in chosen:
        if quantity not in (known := (*_TITLES, *extras)):
            raise UsageError(
                f"--metric {quantity}: in none of the files; choose from {', '.join(known)}"
            )


def _quantities(pair: StoredPair) -> tuple[str, ...]:
    """PSNR, SSIM and what else both have."""
    after = _extras(pair.other)
    return ("psnr", "ssim", *(name for name in _extras(pair.reference) if name in after))


def _extras(result: StoredResult) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in result.rows.values() for name, _ in row.extras))


def _lacking(pair: StoredPair, quantity: str, names: tuple[str, str]) -> str | None:
    """Why a quantity of a pair cannot be compared; None if it can."""
    both = (pair.reference, pair.other)
    for result, name in zip(both, names, strict=True):
        if all(_figure(row, quantity) is None for row in result.rows.values()):
            return f"{result.dataset}: {name} has no {quantity}; not compared"
    a, b = (_metric(result, quantity) for result in both)
    if a != b:
        how = f"{names[0]} by {a.label}, {names[1]} by {b.label}"
        if a.label == b.label:
            how = f"{a.label} with different weights"
        return f"{quantity} is measured differently ({how}); not compared"
    return None


def _metric(result: StoredResult, quantity: str) -> StoredMetric:
    if quantity in _TITLES:
        return StoredMetric(name=quantity, label=result.protocol, higher_is_better=True)
    return result.metrics.get(quantity, StoredMetric(name=quantity, label=quantity))


def _figure(row: Score, quantity: str) -> float | None:
    return row.value(quantity) if quantity in _TITLES else dict(row.extras).get(quantity)


def _difference(pair: StoredPair, quantity: str, name: str) -> Difference:
    pictures = tuple(
        (picture, *_figures(pair.reference.rows[picture], pair.other.rows[picture], quantity))
        for picture in pair.pictures
    )
    metric = _metric(pair.other, quantity)
    return Difference(
        dataset=pair.other.dataset,
        label=metric.label,
        restored=name,
        quantity=quantity,
        title=_TITLES.get(quantity, quantity),
        higher_is_better=metric.higher_is_better,
        found=paired(
            [before for _, before, _ in pictures],
            [after for _, _, after in pictures],
            tolerance=_TOLERANCES.get(quantity, _TOLERANCE),
        ),
        pictures=pictures,
    )


def _figures(before: Score, after: Score, quantity: str) -> tuple[float, float]:
    a, b = _figure(before, quantity), _figure(after, quantity)
    return math.nan if a is None else a, math.nan if b is None else b


def _adjusted(differences: Sequence[Difference]) -> Iterator[Difference]:
    """With p adjusted over the rows of each table.

    Another protocol asks the same once more: it has a table, and so a family of tests, of its own.
    """
    adjusted: dict[int, float | None] = {}
    families = [(each.quantity, each.label) for each in differences]
    for family in set(families):
        rows = [i for i, each in enumerate(families) if each == family]
        ps = holm([differences[i].found.p for i in rows])
        adjusted |= dict(zip(rows, ps, strict=True))
    return (replace(each, p_holm=adjusted[i]) for i, each in enumerate(differences))


def _left_out(each: Difference, reference: str) -> str:
    return (
        f"{each.dataset} ({each.label}): {each.quantity} is infinite or undefined in {reference}"
        f" or {each.restored} for {each.found.excluded} of the pictures; left out"
    )

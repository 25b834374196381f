"""Comparing stored results picture by picture."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rainkit.datasets.matching import listed
from rainkit.errors import UsageError
from rainkit.evaluation.result_files import StoredMetric, StoredResult, read, same_protocol
from rainkit.evaluation.scores import Score
from rainkit.render import text_tables
from rainkit.render.text_tables import (
    TextTable,
    check_folder,
    finite,
    json_text,
    latex_comment,
    write_texts,
)

__all__ = [
    "CONFIDENCE",
    "FILES",
    "METHOD",
    "RESAMPLES",
    "CompareRequest",
    "Compared",
    "Difference",
    "Entry",
    "PairedDifference",
    "PairsFound",
    "StoredPair",
    "compare",
    "entries",
    "holm",
    "latex",
    "markdown",
    "paired",
    "pairs",
    "tables",
    "write",
]


CONFIDENCE = 0.95
"""Of the intervals."""

RESAMPLES = 9999
"""Bootstrap samples behind an interval."""

_SEED = 0
_BATCH = 4_000_000  # figures drawn at a time: about 64 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """What is found of the differences, picture by picture.

    Attributes:
        count: pictures where both figures are finite; all else is of these.
        excluded: pictures where one is infinite or undefined.
        reference: mean of the reference; NaN of no picture.
        other: mean of the other.
        mean: mean difference, other minus reference.
        low: lower end of the mean's 95 % bootstrap interval; NaN of less than two pictures.
        high: its upper end.
        higher: pictures where the other's figure is higher.
        ties: pictures where both are equal within the tolerance.
        lower: pictures where it is lower.
        p: two-sided p of Wilcoxon's signed-rank test; 1 if all are ties, None of less than two
            pictures.
    """

    count: int
    excluded: int
    reference: float
    other: float
    mean: float
    low: float
    high: float
    higher: int
    ties: int
    lower: int
    p: float | None


def paired(
    reference: Sequence[float], other: Sequence[float], *, tolerance: float = 0.0
) -> PairedDifference:
    """Compare two results on the same pictures; the same figures always give the same answer.

    The interval is a bias-corrected and accelerated bootstrap of the mean over pictures, or of
    plain percentiles where that correction is undefined. Ties are left out of the test
    (Wilcoxon's own way, and that of most programs): they say nothing about the direction.

    Args:
        reference: a figure per picture, infinite and NaN among them.
        other: of the same pictures in the same order.
        tolerance: differences up to this are no differences, neither in the mean nor in the test.
    """
    before, after = np.asarray(reference, np.float64), np.asarray(other, np.float64)
    finite = np.isfinite(before) & np.isfinite(after)
    before, after = before[finite], after[finite]
    differences = after - before
    differences[np.abs(differences) <= tolerance] = 0
    some = bool(differences.size)
    low, high = _interval(differences)
    return PairedDifference(
        count=int(finite.sum()),
        excluded=int((~finite).sum()),
        reference=float(before.mean()) if some else math.nan,
        other=float(after.mean()) if some else math.nan,
        mean=float(differences.mean()) if some else math.nan,
        low=low,
        high=high,
        higher=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        lower=int((differences < 0).sum()),
        p=_signed_rank(differences),
    )


def holm(ps: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjust the p of several tests so that the least one means as much as that of a single test.

    Holm's step-down: the smallest of m is multiplied by m, the next by m - 1, and none becomes
    smaller than one before it, nor larger than 1.

    Args:
        ps: None for what could not be tested; it stays None and does not count.
    """
    tested = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    least = 0.0
    for rank, (p, place) in enumerate(tested):
        least = max(least, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = least
    return tuple(adjusted)


def _interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    from scipy import stats

    if differences.size < 2:
        return math.nan, math.nan
    if np.ptp(differences) == 0:
        same = float(differences[0])
        return same, same
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # What it warns of is a NaN, seen below.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            found = stats.bootstrap(
                (differences,),
                np.mean,
                n_resamples=RESAMPLES,
                batch=max(1, _BATCH // differences.size),
                confidence_level=CONFIDENCE,
                method=method,
                rng=np.random.default_rng(_SEED),
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            break
    return float(found.low), float(found.high)


def _signed_rank(differences: npt.NDArray[np.float64]) -> float | None:
    from scipy import stats

    if differences.size < 2:
        return None
    # Taken out here, and not by zero_method="wilcox", which is the same but for the exact
    # distribution: with zeros among the figures, scipy approximates it from 14 on instead of 51.
    moved = differences[differences != 0]
    return float(stats.wilcoxon(moved).pvalue) if moved.size else 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of tables: a method or folder, scored on datasets under protocols.

    Attributes:
        name: what it is called, unlike all others.
        results: one per dataset and protocol.
    """

    name: str
    results: tuple[StoredResult, ...]

    def described(self) -> str:
        """In words: what it was scored on, under what, and in which file that is."""
        under = (f"{each.dataset} under {each.protocol}" for each in self.results)
        return f"{self.name} has {', '.join(under)} ({self.results[0].file})"


@dataclass(frozen=True, slots=True)
class StoredPair:
    """The same pictures under the same protocol, scored in two results.

    Attributes:
        reference: what is compared with.
        other: what is compared.
        pictures: names of those that both have, in the reference's order; at least one.
    """

    reference: StoredResult
    other: StoredResult
    pictures: tuple[str, ...]


class PairsFound(NamedTuple):
    """What can be compared, and what a reader must know."""

    pairs: tuple[StoredPair, ...]
    notices: tuple[str, ...]


def entries(files: Sequence[Path]) -> tuple[Entry, ...]:
    """All results of files, in order; those of one name get their folder's or file's name too.

    Raises:
        DatasetError: a file is not a ``metrics.json``.
    """
    found = [
        tuple(results)
        for file in files
        for _, results in groupby(read(file), key=lambda result: result.place)
    ]
    suffixes: tuple[Callable[[Path], str], ...] = (
        lambda file: file.resolve().parent.name,
        lambda file: file.stem,
        str,
    )
    names = [results[0].restored for results in found]
    for suffix in suffixes:
        count = Counter(names)
        names = [
            f"{results[0].restored} [{suffix(results[0].file)}]" if count[name] > 1 else name
            for name, results in zip(names, found, strict=True)
        ]
    count, seen = Counter(names), Counter[str]()
    for place, (name, results) in enumerate(zip(names, found, strict=True)):
        if count[name] > 1:  # one file given twice, or two results of one name in a file
            seen[name] += 1
            names[place] = f"{results[0].restored} #{seen[name]}"
    return tuple(map(Entry, names, found))


def pairs(reference: Entry, other: Entry) -> PairsFound:
    """What two entries both have: datasets, protocols with equal parameters, and pictures."""
    found: list[StoredPair] = []
    # One side's line names the other's protocols, too.
    lines = list(_alone(other, reference))
    told = {dataset for dataset, _ in lines}
    lines += [each for each in _alone(reference, other) if each[0] not in told]
    notices = [f"{dataset}: {line}; not compared" for dataset, line in lines]
    for before in reference.results:
        after = _partner(before, other)
        if after is None:
            continue
        pictures = tuple(name for name in before.rows if name in after.rows)
        if pictures:
            notices += _differing(before, after, (reference.name, other.name))
            found.append(StoredPair(before, after, pictures))
        else:
            notices.append(
                f"{before.dataset}: {reference.name} and {other.name} have no picture in common"
            )
    return PairsFound(tuple(found), tuple(dict.fromkeys(notices)))


def _partner(result: StoredResult, entry: Entry) -> StoredResult | None:
    return next(
        (
            each
            for each in entry.results
            if (each.dataset, each.protocol) == (result.dataset, result.protocol)
            and same_protocol(each.parameters, result.parameters)
        ),
        None,
    )


def _alone(entry: Entry, other: Entry) -> Iterator[tuple[str, str]]:
    """Datasets with what an entry has of them and the other lacks."""
    for each in entry.results:
        if _partner(each, other) is not None:
            continue
        labels = [found.protocol for found in other.results if found.dataset == each.dataset]
        if not labels:
            yield each.dataset, f"{other.name} is not scored on it, {entry.name} is"
            continue
        why = f"{other.name} under {', '.join(labels)}"
        if each.protocol in labels:
            why = f"{other.name} with other parameters of it"
        yield each.dataset, f"{entry.name} is scored under {each.protocol}, {why}"


def _differing(before: StoredResult, after: StoredResult, names: tuple[str, str]) -> Iterator[str]:
    """Pictures that only one side has, and targets that are not the same."""
    a, b = names
    for rows, others, name in ((before.rows, after.rows, a), (after.rows, before.rows, b)):
        if alone := [picture for picture in rows if picture not in others]:
            yield f"{before.dataset}: only {name} has {len(alone)} of the pictures: {listed(alone)}"
    changed = [
        picture
        for picture, sha256 in before.targets.items()
        if after.targets.get(picture, sha256) != sha256
    ]
    if changed:
        yield (
            f"{before.dataset}: targets differ in {len(changed)} of the pictures"
            f" ({listed(changed)}): the figures of {a} and {b} are not of the same pictures"
        )


METHOD = (
    f"Differences are the result's figure minus the reference's. Interval: {CONFIDENCE:.0%} "
    f"bootstrap (BCa, {RESAMPLES} resamples of the pictures) of the mean difference. "
    "p: Wilcoxon's signed-rank test, two-sided, ties left out, adjusted by Holm over the rows "
    "of a table"
)
"""How the figures come about, for those who read them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One result against the reference: one quantity on one dataset.

    Attributes:
        dataset: its name.
        label: the protocol's name and version, or the metric's for further ones.
        restored: the result's name.
        quantity: such as ``psnr``.
        title: of the quantity, for tables.
        higher_is_better: which way is better; None = neither.
        found: over all pictures that both have.
        p_holm: its p, adjusted over all differences of this quantity and label.
        pictures: name, the reference's figure and the result's.
    """

    dataset: str
    label: str
    restored: str
    quantity: str
    title: str
    higher_is_better: bool | None
    found: PairedDifference
    p_holm: float | None = None
    pictures: tuple[tuple[str, float, float], ...] = ()

    def to_data(self) -> dict[str, Any]:
        """For JSON: what is undefined becomes null."""
        found, better = self.found, self.higher_is_better
        gained, lost = (found.higher, found.lower) if better else (found.lower, found.higher)
        return {
            "dataset": self.dataset,
            "label": self.label,
            "result": self.restored,
            "quantity": self.quantity,
            "higher_is_better": better,
            "pictures": found.count,
            "excluded": found.excluded,
            "reference_mean": finite(found.reference),
            "result_mean": finite(found.other),
            "mean_difference": finite(found.mean),
            "interval": None if math.isnan(found.low) else [found.low, found.high],
            "better": None if better is None else gained,
            "same": found.ties,
            "worse": None if better is None else lost,
            "higher": found.higher,
            "lower": found.lower,
            "p": found.p,
            "p_holm": self.p_holm,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What was found.

    Attributes:
        reference: name of the result that the others are compared with.
        files: of every result, by its name.
        differences: datasets and quantities in order.
        notices: what a reader of the figures must know.
        written: files written.
    """

    reference: str
    files: dict[str, Path]
    differences: tuple[Difference, ...]
    notices: tuple[str, ...] = ()
    written: tuple[Path, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """For JSON; the key order is stable."""
        return {
            "reference": self.reference,
            "results": {name: str(file) for name, file in self.files.items()},
            "method": METHOD,
            "confidence": CONFIDENCE,
            "notices": list(self.notices),
            "differences": [each.to_data() for each in self.differences],
        }


FILES = ("compare.md", "compare.json", "compare.tex", "compare.csv")
"""What :func:`write` makes."""
_COLUMNS = ("dataset", "result", "n", "mean diff", "95 % interval")


def tables(compared: Compared) -> tuple[TextTable, ...]:
    """One table per quantity and protocol, in order."""
    found: dict[tuple[str, str], list[Difference]] = {}
    for each in compared.differences:
        found.setdefault((each.label, each.quantity), []).append(each)
    return tuple(_table(compared, group) for group in found.values())


def markdown(compared: Compared) -> str:
    """The tables as Markdown, with how they are made and what qualifies them."""
    lines: list[str] = []
    for table in tables(compared):
        lines += [f"**{table.title}**", "", *text_tables.markdown(table.columns, table.rows, 2), ""]
    lines += [f"{METHOD}.", *(f"Note: {notice}." for notice in compared.notices)]
    return "\n".join(lines) + "\n"


def latex(compared: Compared) -> str:
    """The tables as ``tabular`` for the package booktabs."""
    lines: list[str] = []
    for table in tables(compared):
        lines += [latex_comment(table.title), *text_tables.latex(table.columns, table.rows, 2), ""]
    lines += [
        latex_comment(f"{METHOD}."),
        *(latex_comment(f"Note: {each}.") for each in compared.notices),
    ]
    return "\n".join(lines) + "\n"


def write(compared: Compared, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write ``compare.md``, ``compare.json``, ``compare.tex`` and ``compare.csv``.

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        ImageError: the folder cannot be written.
    """
    texts = (markdown(compared), json_text(compared.to_data()), latex(compared), _csv(compared))
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite=overwrite)


def _table(compared: Compared, group: list[Difference]) -> TextTable:
    first = group[0]
    better = first.higher_is_better
    direction = {True: "higher is better", False: "lower is better", None: "neither way is better"}
    counts = "higher/same/lower" if better is None else "better/same/worse"
    title = f"{first.title} ({first.label}, {direction[better]}): difference from"
    return TextTable(
        title=f"{title} {compared.reference}",
        columns=(*_COLUMNS, counts, "p (Holm)"),
        rows=tuple(map(_row, group)),
    )


def _row(each: Difference) -> tuple[str, ...]:
    found = each.found
    digits = 3 if each.quantity in ("psnr", "psnr_gain") else 5
    low, mean, high = (_signed(value, digits) for value in (found.low, found.mean, found.high))
    counts = [found.higher, found.ties, found.lower]
    if each.higher_is_better is False:
        counts.reverse()
    return (
        each.dataset,
        each.restored,
        str(found.count),
        mean,
        "n/a" if math.isnan(found.low) else f"{low} to {high}",
        " / ".join(map(str, counts)),
        _probability(each.p_holm),
    )


def _signed(value: float, digits: int) -> str:
    # A zero is neither gain nor loss, and has no sign, not even that of -0.0.
    if math.isnan(value):
        return "n/a"
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def _probability(p: float | None) -> str:
    if p is None:
        return "n/a"
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def _csv(compared: Compared) -> str:
    """One line per quantity, result and picture; infinite as inf, what is not as nothing."""
    text = io.StringIO()
    writer = csv.writer(text)
    head = ("dataset", "label", "quantity", "reference", "result")
    writer.writerow([*head, "picture", "reference_figure", "result_figure", "difference"])
    for each in compared.differences:
        words = (each.dataset, each.label, each.quantity, compared.reference, each.restored)
        writer.writerows((*words, *cells) for cells in _pictures(each))
    return text.getvalue()


def _pictures(each: Difference) -> Iterator[tuple[str | float, ...]]:
    for name, before, after in each.pictures:
        figures = (before, after, after - before)
        yield (name, *("" if math.isnan(figure) else figure for figure in figures))


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

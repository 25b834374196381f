"""Compare stored results picture by picture: ``rainkit compare`` as one call."""

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
from typing import Any

import numpy as np
import numpy.typing as npt

from rainkit.datasets.pairing import listed
from rainkit.errors import BAR_MISSED, UsageError
from rainkit.evaluation.result_files import StoredMetric, StoredResult, read, same_protocol
from rainkit.evaluation.scores import Score
from rainkit.files import counted
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
    "PairedDifference",
    "compare",
    "holm",
    "latex",
    "markdown",
    "paired",
    "parse_drop",
    "tables",
    "write",
]

CONFIDENCE = 0.95
"""Confidence level of the intervals."""

RESAMPLES = 9999
"""Number of bootstrap samples behind an interval."""

FEW = 25
"""Number of pictures below which the interval is Student's, since a bootstrap's is too narrow."""

METHOD = (
    f"Differences are the result's figure minus the reference's. Interval: {CONFIDENCE:.0%} "
    f"bootstrap (BCa, {RESAMPLES} resamples of the pictures) of the mean difference, or "
    f"Student's t for fewer than {FEW} pictures. "
    "p: Wilcoxon's signed-rank test, two-sided, ties left out, adjusted by Holm over the rows "
    "of a table"
)
"""How the figures are computed, for readers of the tables."""

FILES = ("compare.md", "compare.json", "compare.tex", "compare.csv")
"""Files that :func:`write` makes."""

_TITLES = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "psnr_gain": "gain dB",
    "ssim_gain": "gain SSIM",
}
# Scores are computed to these tolerances, see protocols.Protocol: a smaller difference may come
# from another rainkit or machine, and would be the same on every picture. The tolerance of other
# metrics is the accuracy of float32.
_TOLERANCES = {"psnr": 1e-4, "psnr_gain": 1e-4}
_TOLERANCE = 1e-5


# What is asked for and what is found


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareRequest:
    """Which results to compare.

    Attributes:
        files: ``metrics.json`` files, or folders that hold one.
        reference: name of the result that all others are compared with; None for the first.
        quantities: what is compared, such as ``ssim``; if empty, psnr, ssim and every further
            metric that both results have.
        max_drops: ``psnr=0.05`` and the like: how far a mean of the other files may fall below
            the one of the first file before :attr:`Compared.missed` says so.
        output: folder for compare.md, .json, .tex and .csv; None to write nothing.
        overwrite: whether existing files are replaced.
    """

    files: tuple[Path, ...]
    reference: str | None = None
    quantities: tuple[str, ...] = ()
    max_drops: tuple[str, ...] = ()
    output: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """Statistics of the differences between two results on the same pictures.

    Attributes:
        count: number of pictures whose two figures are finite; all else is about these.
        excluded: number of pictures with a figure that is infinite or undefined.
        reference: mean of the reference; NaN without pictures.
        other: mean of the other result.
        mean: mean difference, other minus reference.
        low: lower end of the mean's 95 % interval; NaN for fewer than two pictures.
        high: upper end of the interval.
        higher: number of pictures for which the other result's figure is higher.
        ties: number of pictures for which both are equal within the tolerance.
        lower: number of pictures for which it is lower.
        p: two-sided p of Wilcoxon's signed-rank test; 1 if all pictures are ties, None for fewer
            than two pictures.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One result against the reference: one quantity on one dataset.

    Attributes:
        dataset: name of the dataset.
        label: name and version of the protocol, or of the metric for further metrics.
        restored: name of the result.
        quantity: such as ``psnr``.
        title: the quantity's name in tables.
        higher_is_better: the direction that is better; None if neither is.
        found: statistics over all pictures that both results have.
        p_holm: the p of ``found``, adjusted over all differences of this quantity and label.
        pictures: name, the reference's figure and the result's figure of each picture.
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
        """Return the difference for JSON, with null for what is undefined."""
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
    """The differences between results, and what qualifies them.

    Attributes:
        reference: name of the result that the others are compared with.
        files: the file of every result, by its name.
        differences: all differences, with datasets and quantities in order.
        notices: what a reader of the figures must know.
        max_drops: the bars that were asked for.
        missed: bars that were missed, one line each.
        written: files that were written.
    """

    reference: str
    files: dict[str, Path]
    differences: tuple[Difference, ...]
    notices: tuple[str, ...] = ()
    max_drops: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    written: tuple[Path, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 if a bar was missed, else 0."""
        return BAR_MISSED if self.missed else 0

    def to_data(self) -> dict[str, Any]:
        """Return everything for JSON, in a stable order of keys."""
        bars = {"max_drops": list(self.max_drops), "missed": list(self.missed)}
        return {
            "reference": self.reference,
            "results": {name: str(file) for name, file in self.files.items()},
            "method": METHOD,
            "confidence": CONFIDENCE,
            "notices": list(self.notices),
            **(bars if self.max_drops else {}),
            "differences": [each.to_data() for each in self.differences],
        }


def compare(request: CompareRequest) -> Compared:
    """Compare every result with the reference on the pictures that both have.

    Raises:
        UsageError: there are fewer than two results, a name is unknown, the results have nothing
            in common, or a file would be replaced.
        DatasetError: a file is not a ``metrics.json``.
        FileError: the output cannot be written.
    """
    if request.output is not None:
        check_folder(request.output, FILES, overwrite=request.overwrite)
    drops = tuple(map(parse_drop, request.max_drops))
    if drops and len(request.files) < 2:
        raise UsageError("--max-drop: give two files, the baseline first and the later one second")
    results = tuple(map(read, request.files))
    for file, stored in zip(request.files, results, strict=True):
        if drops and not stored:
            raise UsageError(f"--max-drop: {file} holds no scores; give another metrics.json")
    found = _entries(results)
    if len(found) < 2:
        names = ", ".join(map(str, request.files)) or "no file"
        raise UsageError(f"{names}: holds less than two results; give another metrics.json")
    _check_quantities(found, request.quantities)
    reference = _reference(found, request.reference)
    differences: list[Difference] = []
    notices: list[str] = []
    for other in (each for each in found if each is not reference):
        pairs, told = _pairs(reference, other)
        notices += told
        seen: set[tuple[str, str]] = set()
        for pair in pairs:
            for quantity in request.quantities or _quantities(pair):
                why = _lacking(pair, quantity, (reference.name, other.name))
                if why is not None:
                    notices.append(why)
                elif quantity in _TITLES or (pair.other.dataset, quantity) not in seen:
                    # Further metrics are the same under all protocols.
                    seen.add((pair.other.dataset, quantity))
                    differences.append(_difference(pair, quantity, other.name))
    missed: list[str] = []
    covered = False
    if drops:
        before, *later = results
        for after in later:
            worse, told, common = _dropped(before, after, drops)
            missed += worse
            notices += told
            covered = covered or common
    if not differences and not covered:  # what has lost all its scores is covered, and missed
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
        max_drops=request.max_drops,
        missed=tuple(dict.fromkeys(missed)),
    )
    if request.output is None:
        return compared
    written = write(compared, request.output, overwrite=request.overwrite)
    return replace(compared, written=written)


# Results of files, and what two of them have in common

_DESCRIBED = 4
"""Number of results that a message describes."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A method or folder with its scores on datasets under protocols.

    Attributes:
        name: its name, which no other entry has.
        results: one per dataset and protocol.
    """

    name: str
    results: tuple[StoredResult, ...]

    def described(self) -> str:
        """Say on what and under which protocols it was scored, and in which file that is."""
        under = (f"{each.dataset} under {each.protocol}" for each in self.results)
        return f"{self.name} has {', '.join(under)} ({self.results[0].file})"


@dataclass(frozen=True, slots=True)
class _StoredPair:
    """Two results on the same pictures under the same protocol.

    Attributes:
        reference: the result that is compared with.
        other: the result that is compared.
        pictures: names of those that both have, in the reference's order; at least one.
    """

    reference: StoredResult
    other: StoredResult
    pictures: tuple[str, ...]


def _entries(files: Sequence[Sequence[StoredResult]]) -> tuple[_Entry, ...]:
    """Return all entries in order; entries of one name get their folder's or file's name too."""
    found = [
        tuple(results)
        for stored in files
        for _, results in groupby(stored, key=lambda result: result.place)
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
    return tuple(map(_Entry, names, found))


def _reference(found: Sequence[_Entry], name: str | None) -> _Entry:
    if name is None:
        return found[0]
    for each in found:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in found)
    raise UsageError(f"--reference {name}: no such result; choose from {known}")


def _pairs(reference: _Entry, other: _Entry) -> tuple[list[_StoredPair], list[str]]:
    """Return what two entries have in common, and notices about what they do not.

    They must have datasets, protocols with equal parameters, and pictures in common.
    """
    found: list[_StoredPair] = []
    # One side's line names the other side's protocols, too.
    lines = list(_alone(other, reference))
    told = {dataset for dataset, _ in lines}
    lines += [each for each in _alone(reference, other) if each[0] not in told]
    notices = [f"{dataset}: {line}; not compared" for dataset, line in lines]
    for before in reference.results:
        after = _partner(before, other.results)
        if after is None:
            continue
        pictures = tuple(name for name in before.rows if name in after.rows)
        if pictures:
            notices += _differing(before, after, (reference.name, other.name))
            found.append(_StoredPair(before, after, pictures))
        else:
            notices.append(
                f"{before.dataset}: {reference.name} and {other.name} have no picture in common"
            )
    return found, list(dict.fromkeys(notices))


def _partner(result: StoredResult, others: Sequence[StoredResult]) -> StoredResult | None:
    """Return the first result on the same dataset under the same protocol."""
    return next(
        (
            each
            for each in others
            if (each.dataset, each.protocol) == (result.dataset, result.protocol)
            and same_protocol(each.parameters, result.parameters)
        ),
        None,
    )


def _alone(entry: _Entry, other: _Entry) -> Iterator[tuple[str, str]]:
    """Yield each dataset of which the other entry lacks a result, and what it has instead."""
    for each in entry.results:
        if _partner(each, other.results) is not None:
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
    """Name the pictures that only one side has, and those whose targets differ."""
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


# Quantities of a pair of results


def _check_quantities(found: Sequence[_Entry], chosen: Sequence[str]) -> None:
    extras = dict.fromkeys(name for each in found for one in each.results for name in _extras(one))
    for quantity in chosen:
        if quantity not in (known := (*_TITLES, *extras)):
            raise UsageError(
                f"--metric {quantity}: in none of the files; choose from {', '.join(known)}"
            )


def _quantities(pair: _StoredPair) -> tuple[str, ...]:
    """Return PSNR, SSIM and every further metric that both results have."""
    after = _extras(pair.other)
    return ("psnr", "ssim", *(name for name in _extras(pair.reference) if name in after))


def _extras(result: StoredResult) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in result.rows.values() for name, _ in row.extras))


def _lacking(pair: _StoredPair, quantity: str, names: tuple[str, str]) -> str | None:
    """Say why a quantity of a pair cannot be compared; None if it can."""
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


def _number(row: Score, quantity: str) -> float:
    """Return a figure; NaN if there is none."""
    found = _figure(row, quantity)
    return math.nan if found is None else found


def _difference(pair: _StoredPair, quantity: str, name: str) -> Difference:
    before, after = pair.reference.rows, pair.other.rows
    pictures = tuple(
        (picture, _number(before[picture], quantity), _number(after[picture], quantity))
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
            [was for _, was, _ in pictures],
            [is_ for _, _, is_ in pictures],
            tolerance=_TOLERANCES.get(quantity, _TOLERANCE),
        ),
        pictures=pictures,
    )


def _left_out(each: Difference, reference: str) -> str:
    return (
        f"{each.dataset} ({each.label}): {each.quantity} is infinite or undefined in {reference}"
        f" or {each.restored} for {each.found.excluded} of the pictures; left out"
    )


def _adjusted(differences: Sequence[Difference]) -> Iterator[Difference]:
    """Yield the differences with their p adjusted over the rows of each table.

    Another protocol asks the same question once more: it has a table, and so a family of tests, of
    its own.
    """
    adjusted: dict[int, float | None] = {}
    families = [(each.quantity, each.label) for each in differences]
    for family in set(families):
        rows = [i for i, each in enumerate(families) if each == family]
        ps = holm([differences[i].found.p for i in rows])
        adjusted |= dict(zip(rows, ps, strict=True))
    return (replace(each, p_holm=adjusted[i]) for i, each in enumerate(differences))


# Statistics

_SEED = 0
_BATCH = 4_000_000  # figures that are drawn at a time: about 64 MB


def paired(
    reference: Sequence[float], other: Sequence[float], *, tolerance: float = 0.0
) -> PairedDifference:
    """Compare two results on the same pictures; the same figures always give the same answer.

    The interval is a bias-corrected and accelerated bootstrap of the mean over pictures, or of
    plain percentiles if that correction is undefined. For fewer than :data:`FEW` pictures, which
    say too little about their own spread, it is Student's t interval. Ties are left out of the
    test (Wilcoxon's own way, and that of most programs): they say nothing about the direction.

    Args:
        reference: one figure per picture, which may be infinite or NaN.
        other: the other result's figures for the same pictures in the same order.
        tolerance: differences up to this count as none, both in the mean and in the test.
    """
    before, after = np.asarray(reference, np.float64), np.asarray(other, np.float64)
    usable = np.isfinite(before) & np.isfinite(after)
    before, after = before[usable], after[usable]
    differences = after - before
    differences[np.abs(differences) <= tolerance] = 0
    some = bool(differences.size)
    low, high = _interval(differences)
    return PairedDifference(
        count=int(usable.sum()),
        excluded=int((~usable).sum()),
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

    This is Holm's step-down: the smallest of m is multiplied by m, the next one by m - 1, and so
    on; none becomes smaller than one before it, nor larger than 1.

    Args:
        ps: the p of each test; None for a test that could not be made, which stays None and does
            not count.
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
    if differences.size < FEW:
        error = float(differences.std(ddof=1)) / math.sqrt(differences.size)
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, differences.size - 1)) * error
        mean = float(differences.mean())
        return mean - reach, mean + reach
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # It warns of a NaN, which is checked below.
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
    # Zeros are taken out here, and not by zero_method="wilcox", which does the same but for the
    # exact distribution: with zeros among the figures, scipy approximates it from 14 figures on
    # instead of 51.
    moved = differences[differences != 0]
    return float(stats.wilcoxon(moved).pvalue) if moved.size else 1.0


# Bars: how far means may fall below those of a baseline

_FORMS = {"psnr": ".4f", "ssim": ".5f", "psnr_gain": ".4f", "ssim_gain": ".5f"}
_UNITS = {"psnr": " dB", "psnr_gain": " dB"}
_ROUNDING = 1e-9  # so that 31.40 after 31.45 is a drop of 0.05, not of a little more


def parse_drop(text: str) -> tuple[str, float]:
    """Read ``psnr=0.05`` as a quantity and how far its mean may fall.

    Raises:
        UsageError: the text is something else, or the number is negative or not finite.
    """
    quantity, _, number = text.partition("=")
    try:
        if quantity in _FORMS and 0 <= (drop := float(number)) < math.inf:
            return quantity, drop
    except ValueError:
        pass
    raise UsageError(
        f"--max-drop {text}: write psnr=0.05, ssim=0.001, psnr_gain=0.05 or ssim_gain=0.001"
    )


def _dropped(
    before: Sequence[StoredResult],
    after: Sequence[StoredResult],
    drops: Sequence[tuple[str, float]],
) -> tuple[list[str], list[str], bool]:
    """Return what became worse since a baseline, notices, and whether it covers anything.

    Worse are means over the pictures that both have, and pictures that have lost their score.
    Results are matched by name, or whatever their names if each file holds a single one.

    Raises:
        UsageError: the baseline has no scores under a protocol, a gain that it does not have is
            asked for, or two results of one name cannot be told apart.
    """
    file = before[0].file
    _check_baseline(before, after, drops)
    names = dict.fromkeys(each.restored for each in after)
    alone = len(names) == 1 == len({each.restored for each in before})
    worse: list[str] = []
    notices: list[str] = []
    used: set[tuple[str, str]] = set()
    for now in after:
        was = _partner(now, [e for e in before if alone or e.restored == now.restored])
        if was is None:
            notices.append(
                f"{now.dataset} ({now.protocol}): {now.restored} is not in the baseline {file}"
            )
            continue
        used.add((was.restored, was.dataset))
        several = f"{now.restored}: " if len(names) > 1 else ""
        worse += (several + line for line in _worse(was, now, drops))
    if not used:
        worse.append(f"{after[0].file} has nothing in common with the baseline {file}")
    notices += [
        f"{each.dataset}: {each.restored} is in the baseline {file} and not scored now"
        for each in before
        if (each.restored, each.dataset) not in used
    ]
    return worse, notices, bool(used)


def _check_baseline(
    before: Sequence[StoredResult],
    after: Sequence[StoredResult],
    drops: Sequence[tuple[str, float]],
) -> None:
    file = before[0].file
    for results in (before, after):
        places = {(e.restored, e.dataset, e.protocol) for e in results}
        if len(places) < len(results):
            raise UsageError(
                f"--max-drop: {results[0].file}: two results of one name cannot be told apart"
            )
    known = dict.fromkeys(each.protocol for each in before)
    for each in after:
        if each.protocol not in known:
            raise UsageError(
                f"--max-drop: the baseline {file} has no scores under {each.protocol}, only under"
                f" {', '.join(known)}; score it again, or choose another --protocol"
            )
    has_input = any(row.psnr_gain is not None for each in before for row in each.rows.values())
    for quantity, allowed in drops:
        if quantity.endswith("_gain") and not has_input:
            raise UsageError(
                f"--max-drop {quantity}={allowed:g}: {file} has no gains, since the rainy"
                " pictures were not scored; leave it out, or score the baseline with --input"
            )


def _worse(
    before: StoredResult, after: StoredResult, drops: Sequence[tuple[str, float]]
) -> Iterator[str]:
    """Say what became worse on one dataset under one protocol."""
    if lost := [name for name in before.rows if name not in after.rows]:
        yield (
            f"{after.dataset}: there is no score now for {len(lost)} of the baseline's"
            f" pictures: {listed(lost)}"
        )
    both = [(row, after.rows[name]) for name, row in before.rows.items() if name in after.rows]
    for quantity, allowed in drops:
        for line in _drop(quantity, allowed, both, after.protocol):
            yield f"{after.dataset}: {line}"


def _drop(
    quantity: str, allowed: float, both: Sequence[tuple[Score, Score]], label: str
) -> Iterator[str]:
    """Say how one quantity became worse over the same pictures, before and now."""
    numbers: list[tuple[float, float]] = []
    gone: dict[str, list[str]] = {}
    for before, after in both:
        was, is_ = _number(before, quantity), _number(after, quantity)
        if math.isfinite(was) and math.isfinite(is_):
            numbers.append((was, is_))
        # A picture that had no figure cannot lose it; no comparison with NaN is true.
        elif is_ < was or (math.isnan(is_) and not math.isnan(was)):
            gone.setdefault("infinite" if was == math.inf else "finite", []).append(before.name)
    for what, names in gone.items():
        yield (
            f"{quantity} is no longer {what} for {len(names)} of the pictures: {listed(names)}"
            f" ({label})"
        )
    if not numbers:
        return
    was, is_ = (sum(values) / len(numbers) for values in zip(*numbers, strict=True))
    if was - is_ > allowed + _ROUNDING:
        form, unit = _FORMS[quantity], _UNITS.get(quantity, "")
        yield (
            f"{quantity} {is_:{form}} is {was - is_:{form}}{unit} under the baseline's"
            f" {was:{form}}, more than {allowed:g} ({label}, {counted(len(numbers), 'picture')})"
        )


# Tables and files

_COLUMNS = ("dataset", "result", "n", "mean diff", "95 % interval")


def tables(compared: Compared) -> tuple[TextTable, ...]:
    """Return one table per quantity and protocol, in order."""
    found: dict[tuple[str, str], list[Difference]] = {}
    for each in compared.differences:
        found.setdefault((each.label, each.quantity), []).append(each)
    return tuple(_table(compared, group) for group in found.values())


def markdown(compared: Compared) -> str:
    """Return the tables as Markdown, with how they are computed and what qualifies them."""
    lines: list[str] = []
    for table in tables(compared):
        lines += [f"**{table.title}**", "", *text_tables.markdown(table.columns, table.rows, 2), ""]
    lines += [f"{METHOD}.", *(f"Note: {notice}." for notice in compared.notices)]
    return "\n".join(lines) + "\n"


def latex(compared: Compared) -> str:
    """Return the tables as ``tabular`` for the package booktabs."""
    lines: list[str] = []
    for table in tables(compared):
        lines += [latex_comment(table.title), *text_tables.latex(table.columns, table.rows, 2), ""]
    lines += [
        latex_comment(f"{METHOD}."),
        *(latex_comment(f"Note: {each}.") for each in compared.notices),
    ]
    return "\n".join(lines) + "\n"


def write(compared: Compared, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write :data:`FILES` to a folder and return their paths.

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        FileError: the folder cannot be written.
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
    # A zero is neither a gain nor a loss, so it has no sign, not even that of -0.0.
    if math.isnan(value):
        return "n/a"
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def _probability(p: float | None) -> str:
    if p is None:
        return "n/a"
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def _csv(compared: Compared) -> str:
    """Return one line per quantity, result and picture; cells of undefined figures are empty."""
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

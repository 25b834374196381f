"""Holding scores against those of an earlier run, so that a loss is noticed: for CI."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rainkit.datasets.matching import listed
from rainkit.errors import UsageError
from rainkit.evaluation.result_files import StoredResult, read, same_protocol
from rainkit.evaluation.scores import Comparison, Score, Scores

__all__ = ["DEFAULT_DROPS", "Baseline", "load", "parse_drop"]

DEFAULT_DROPS = ("psnr=0.05", "ssim=0.001")
"""What a mean may lose where nothing is said."""

_FORMS = {"psnr": ".4f", "ssim": ".5f", "psnr_gain": ".4f", "ssim_gain": ".5f"}
_UNITS = {"psnr": " dB", "psnr_gain": " dB"}
_ROUNDING = 1e-9  # so that 31.40 after 31.45 is a drop of 0.05, not of a little more


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """Earlier scores, and how far new ones may fall below them.

    Attributes:
        file: they were read from.
        results: one per method or folder, dataset and protocol.
        drops: quantities, each with what its mean may lose.
    """

    file: Path
    results: tuple[StoredResult, ...]
    drops: tuple[tuple[str, float], ...]

    def covers(self, protocols: Iterable[str]) -> None:
        """Check that there are earlier scores under protocols, before new ones are computed.

        Args:
            protocols: labels, such as ``prenet/1``.

        Raises:
            UsageError: under one of them there are none.
        """
        known = dict.fromkeys(each.protocol for each in self.results)
        for label in protocols:
            if label not in known:
                raise UsageError(
                    f"--baseline {self.file}: has no scores under {label}, only under"
                    f" {', '.join(known)}; score it again, or choose another --protocol"
                )

    def dropped(self, comparisons: Sequence[Comparison]) -> tuple[str, ...]:
        """What became worse, in words: means over the pictures that both have, and lost pictures.

        Results are matched by name; where either side has a single one, these two are matched.
        """
        lines: list[str] = []
        matched = False
        for comparison in comparisons:
            several = f"{comparison.restored}: " if len(comparisons) > 1 else ""
            for scores in comparison.scores:
                before = self._of(comparison, scores, comparisons)
                if before is not None:
                    matched = True
                    lines += (several + line for line in self._worse(before, scores))
        if not matched:
            return (f"nothing in common with the baseline {self.file}",)
        return tuple(dict.fromkeys(lines))

    def notices(self, comparisons: Sequence[Comparison]) -> tuple[str, ...]:
        """What could not be held against the baseline, or is not scored any more."""
        lines, used = [], set()
        for comparison in comparisons:
            for scores in comparison.scores:
                where = f"{scores.dataset} ({scores.protocol.label})"
                before = self._of(comparison, scores, comparisons)
                if before is None:
                    lines.append(
                        f"{where}: {comparison.restored} is not in the baseline {self.file}"
                    )
                    continue
                used.add((before.restored, before.dataset))
                new = [row.name for row in scores.rows if row.name not in before.rows]
                if new:
                    lines.append(
                        f"{scores.dataset}: the baseline lacks {len(new)} of the pictures:"
                        f" {listed(new)}"
                    )
        lines += [
            f"{each.dataset}: {each.restored} is in the baseline {self.file} and not scored now"
            for each in self.results
            if (each.restored, each.dataset) not in used
        ]
        return tuple(dict.fromkeys(lines))

    def _of(
        self, comparison: Comparison, scores: Scores, comparisons: Sequence[Comparison]
    ) -> StoredResult | None:
        """The earlier scores that new ones belong to."""
        alone = len(comparisons) == 1 == len({each.restored for each in self.results})
        for each in self.results:
            if (
                (alone or each.restored == comparison.restored)
                and (each.dataset, each.protocol) == (scores.dataset, scores.protocol.label)
                and same_protocol(each.parameters, scores.protocol.parameters)
            ):
                return each
        return None

    def _worse(self, before: StoredResult, scores: Scores) -> Iterator[str]:
        now = {row.name: row for row in scores.rows}
        if lost := [name for name in before.rows if name not in now]:
            yield (
                f"{scores.dataset}: there is no score now for {len(lost)} of the baseline's"
                f" pictures: {listed(lost)}"
            )
        both = [(row, now[name]) for name, row in before.rows.items() if name in now]
        for quantity, allowed in self.drops:
            yield from _drop(quantity, allowed, both, scores)


def load(path: Path, drops: Sequence[str] = ()) -> Baseline:
    """Read earlier scores.

    Args:
        path: a ``metrics.json``, or the folder it lies in.
        drops: ``psnr=0.05`` and the like; empty = :data:`DEFAULT_DROPS`.

    Raises:
        UsageError: a drop that is not ``quantity=number``, a gain that the file has not, or two
            results of one name in it.
        DatasetError: the file cannot be read, or is not what ``rainkit eval`` wrote.
    """
    parsed = tuple(map(parse_drop, drops or DEFAULT_DROPS))
    results = read(path)
    file = results[0].file
    places = {(each.restored, each.place) for each in results}
    if len(places) > len({name for name, _ in places}):
        raise UsageError(f"--baseline {file}: two results of one name cannot be told apart")
    has_input = any(row.psnr_gain is not None for each in results for row in each.rows.values())
    for quantity, allowed in parsed:
        if quantity.endswith("_gain") and not has_input:
            raise UsageError(
                f"--max-drop {quantity}={allowed:g}: {file} has no gains, since the rainy"
                " pictures were not scored; leave it out, or score the baseline with --input"
            )
    return Baseline(file=file, results=results, drops=parsed)


def parse_drop(text: str) -> tuple[str, float]:
    """``psnr=0.05`` as a quantity and what its mean may lose.

    Raises:
        UsageError: it is not one, or the number is negative or not finite.
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


def _drop(
    quantity: str, allowed: float, both: Sequence[tuple[Score, Score]], scores: Scores
) -> Iterator[str]:
    """What is worse of one quantity over the same pictures, before and now."""
    label = scores.protocol.label
    finite: list[tuple[float, float]] = []
    gone: dict[str, list[str]] = {}
    for before, after in both:
        was, is_ = _figure(before, quantity), _figure(after, quantity)
        if math.isfinite(was) and math.isfinite(is_):
            finite.append((was, is_))
        # A picture that had no figure cannot lose it; no comparison with NaN is true.
        elif is_ < was or (math.isnan(is_) and not math.isnan(was)):
            gone.setdefault("infinite" if was == math.inf else "finite", []).append(before.name)
    for what, names in gone.items():
        yield (
            f"{scores.dataset}: {quantity} is no longer {what} for {len(names)} of the pictures:"
            f" {listed(names)} ({label})"
        )
    if not finite:
        return
    was, is_ = (sum(values) / len(finite) for values in zip(*finite, strict=True))
    if was - is_ > allowed + _ROUNDING:
        form, unit = _FORMS[quantity], _UNITS.get(quantity, "")
        pictures = "1 picture" if len(finite) == 1 else f"{len(finite)} pictures"
        yield (
            f"{scores.dataset}: {quantity} {is_:{form}} is {was - is_:{form}}{unit} under the"
            f" baseline's {was:{form}}, more than {allowed:g} ({label}, {pictures})"
        )


def _figure(row: Score, quantity: str) -> float:
    found = row.value(quantity)
    return math.nan if found is None else found

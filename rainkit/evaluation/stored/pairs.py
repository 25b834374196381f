"""Which stored results can be held against each other, and what a reader must know of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from rainkit.datasets.matching import listed
from rainkit.evaluation.stored.scores import StoredResult, read, same_protocol

__all__ = ["Entry", "PairsFound", "StoredPair", "entries", "pairs"]


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

"""Merging several datasets of pairs into one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rainkit
from rainkit import images
from rainkit.datasets.duplicates import common_names, find_clean, hash_images, near_hashes
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.manifest import MANIFEST
from rainkit.datasets.output_folder import names_in, read_json
from rainkit.datasets.pairs import PairFiles, find_pairs
from rainkit.datasets.phash import LIMIT, pixel_hash
from rainkit.datasets.sampling_spec import SampledFolder, choose
from rainkit.engine import Failed, Work, open_engine, paying_workers
from rainkit.errors import DatasetError, FileError, PairingError, UsageError, described
from rainkit.files import atomic_path, remove_temporary, write_json
from rainkit.ledger import Ledger

__all__ = [
    "ChosenPair",
    "MergeRequest",
    "MergeResult",
    "MergeSource",
    "OnProgress",
    "PairHashes",
    "SourceCounts",
    "finish",
    "merge_datasets",
    "take_pair",
]

_SIDES = ("input", "target")
_RECORD = "mix.json"
"""Name of the file that says what a merged dataset was made of."""

_UNFINISHED = "mix-unfinished.jsonl"

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the stage, the number of items done, and the number of all items."""

PairHashes = tuple[str, str]
"""SHA-256 of the pixels of a pair's rainy and clean picture."""


@dataclass(frozen=True, slots=True)
class MergeSource:
    """A dataset to take pairs from.

    Attributes:
        path: folder of the dataset, or ``FOLDER/SPLIT``.
        pairs: number of pairs to take; None for all.
    """

    path: Path
    pairs: int | None = None

    @classmethod
    def parse(cls, text: str) -> MergeSource:
        """Parse ``FOLDER`` or ``FOLDER:COUNT``.

        Raises:
            UsageError: the count is not a number above 0.
        """
        folder = SampledFolder.parse(text, with_share=False)
        return cls(folder.path, folder.count)


@dataclass(frozen=True, kw_only=True)
class MergeRequest:
    """A request to merge datasets.

    Attributes:
        sources: datasets that the pairs come from.
        out: folder to write to.
        seed: seed that decides which pairs are taken.
        against: datasets whose scenes are left out, such as those used for testing.
        limit: threshold in bits up to which perceptual hashes show the same scene.
        copy: copy files; by default, hard links are made if possible.
        overwrite: replace an earlier merged dataset; files that are not in the new one are deleted.
        workers: number of processes; None for as many as pay off.
    """

    sources: tuple[MergeSource, ...]
    out: Path
    seed: int = 0
    against: tuple[Path, ...] = ()
    limit: int = LIMIT
    copy: bool = False
    overwrite: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise UsageError("no dataset to take pairs from: name FOLDER:COUNT, twice or more")
        if self.seed < 0:
            raise UsageError(f"--seed: a whole number from 0 up, not {self.seed}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceCounts:
    """The number of pairs that a source has and gave.

    Attributes:
        name: name of the source.
        path: path of the source as it was given.
        pairs: number of pairs that it has.
        left_out: number of pairs left out because they show scenes of ``against``.
        taken: number of pairs that were taken.
    """

    name: str
    path: str
    pairs: int
    left_out: int
    taken: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeResult:
    """The result of merging datasets.

    Attributes:
        out: folder that was written to.
        sources: number of pairs from each source.
        failures: pairs that are missing because they cannot be read, each with the reason.
        pairs: number of pairs in the merged dataset.
    """

    out: Path
    sources: tuple[SourceCounts, ...]
    failures: tuple[tuple[str, str], ...]
    pairs: int

    def to_data(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {
            "output": str(self.out),
            "pairs": self.pairs,
            "sources": [asdict(source) for source in self.sources],
            "failures": [{"pair": name, "reason": why} for name, why in self.failures],
        }


def merge_datasets(request: MergeRequest, on_progress: OnProgress | None = None) -> MergeResult:
    """Make one dataset with ``input/``, ``target/`` and ``mix.json`` from several.

    The pairs taken follow from the seed, the name of the source folder and the names of the pairs:
    those whose SHA-256 is lowest are taken. Files become hard links or copies, while members of
    tar files and halves of pictures become PNG files. If merging was interrupted, the same request
    continues it.

    Args:
        request: the datasets and how they are merged.
        on_progress: called after each picture that is compared and each pair that is taken.

    Raises:
        UsageError: a source has too few pairs, or the folder cannot be written to.
        DatasetError, PairingError: a source cannot be read.
        FileError: a result cannot be written.
    """
    tell = on_progress or (lambda what, done, total: None)
    names = common_names([source.path for source in request.sources])
    found = {
        name: _pairs_of(source.path, request.out)
        for name, source in zip(names, request.sources, strict=True)
    }
    apart = _without_scenes_of_others(request, found, tell)
    sources, chosen = [], []
    for name, source in zip(names, request.sources, strict=True):
        kept = _choose(apart[name], source, request.seed, len(found[name]))
        chosen += _with_new_names(name, kept)
        sources.append(
            SourceCounts(
                name=name,
                path=str(source.path),
                pairs=len(found[name]),
                left_out=len(found[name]) - len(apart[name]),
                taken=len(kept),
            )
        )
    about = {
        "v": 1,
        "rainkit": rainkit.__version__,
        "seed": request.seed,
        "against": [str(path) for path in request.against],
        "limit": request.limit,
        "sources": [asdict(source) for source in sources],
    }
    _check_output(request.out, about, chosen, overwrite=request.overwrite)
    failures: dict[str, str] = {}
    workers = paying_workers(len(chosen), request.workers, len(chosen))
    with _open_ledger(request.out, about, chosen) as ledger, open_engine(workers=workers) as engine:
        left = [each for each in chosen if each.name not in ledger.entries]
        for outcome in engine.run(Work.calling(take_pair, request.out, request.copy), left):
            if isinstance(outcome, Failed) and not isinstance(outcome.error, FileError):
                failures[outcome.item.name] = outcome.reason
            elif isinstance(result := outcome.get(), str):
                failures[outcome.item.name] = result
            else:
                ledger.record(outcome.item.name, result)
            tell("merging", len(ledger.entries) + len(failures), len(chosen))
        done = ledger.entries
        pairs = [(each, done[each.name]) for each in chosen if each.name in done]
        finish(request.out, about, pairs, ledger.about["files"])
        ledger.remove()
    return MergeResult(
        out=request.out,
        sources=tuple(sources),
        failures=tuple((c.name, failures[c.name]) for c in chosen if c.name in failures),
        pairs=len(pairs),
    )


# Choosing pairs


@dataclass(frozen=True, slots=True)
class ChosenPair:
    """A pair to take, with the files that it becomes.

    Attributes:
        name: name of the pair in the merged dataset.
        source: name of the dataset that it comes from.
        pair: the pair in that dataset.
    """

    name: str
    source: str
    pair: PairFiles

    @property
    def input(self) -> str:
        """Return the relative path of the rainy picture in the merged dataset."""
        return f"input/{self.name}{_suffix(self.pair.rainy)}"

    @property
    def target(self) -> str:
        """Return the relative path of the clean picture in the merged dataset."""
        return f"target/{self.name}{_suffix(self.pair.clean)}"


def _suffix(ref: ImageRef) -> str:
    return ref.path.suffix if _is_file(ref) else ".png"


def _is_file(ref: ImageRef) -> bool:
    """Return whether a picture has a file of its own."""
    return not ref.member and not ref.half


def _pairs_of(path: Path, out: Path) -> tuple[PairFiles, ...]:
    """Return the pairs of a dataset, or of the split that the last part of the path names."""
    if path.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(f"{out}: lies in {path}, which pairs are taken from; name another folder")
    try:
        return find_pairs(path)
    except (UsageError, PairingError):
        if not (path.parent / MANIFEST).is_file():
            raise
    return find_pairs(path.parent, split=path.name)


def _without_scenes_of_others(
    request: MergeRequest, found: dict[str, tuple[PairFiles, ...]], tell: OnProgress
) -> dict[str, list[PairFiles]]:
    """Return the pairs that show no scene of the datasets in ``against``."""
    if not request.against:
        return {name: list(pairs) for name, pairs in found.items()}
    theirs = [p for path in request.against for p in find_clean(path).clean]
    ours = list(dict.fromkeys(pair.clean for pairs in found.values() for pair in pairs))
    hashed, failures = hash_images(
        list(dict.fromkeys([*theirs, *ours])),
        workers=request.workers,
        on_progress=lambda done, total: tell("comparing", done, total),
    )
    if failures:
        raise DatasetError(f"{failures[0][1]}; --against needs to see every clean picture")
    bits = {place: one.phash for one in hashed for place in one.files}
    at = near_hashes(
        (bits[picture] for picture in ours),
        (bits[picture] for picture in theirs),
        request.limit,
    )
    leaking = {ours[index] for index, _, _ in at}
    return {
        name: [pair for pair in pairs if pair.clean not in leaking] for name, pairs in found.items()
    }


def _choose(
    pairs: Sequence[PairFiles], source: MergeSource, seed: int, all_pairs: int
) -> list[PairFiles]:
    if source.pairs is not None and all_pairs > len(pairs) < source.pairs:
        raise UsageError(
            f"{source.path}:{source.pairs}: holds {all_pairs} pairs, {all_pairs - len(pairs)} of "
            f"them left out; ask for {len(pairs)} at most"
        )
    folder = SampledFolder(source.path, source.pairs)
    return [pairs[n] for n in choose([pair.name for pair in pairs], folder, seed, kind="pairs")]


def _with_new_names(source: str, pairs: Sequence[PairFiles]) -> list[ChosenPair]:
    """Give each pair a name that is unique even on file systems that ignore case."""
    prefix = source.replace("/", "-")
    short = Counter(Path(pair.name).name.casefold() for pair in pairs)
    taken: set[str] = set()
    chosen = []
    for pair in pairs:
        last = Path(pair.name).name
        stem = last if short[last.casefold()] == 1 else pair.name.replace("/", "-")
        name, number = f"{prefix}-{stem}", 2
        while name.casefold() in taken:
            name, number = f"{prefix}-{stem}-{number}", number + 1
        taken.add(name.casefold())
        chosen.append(ChosenPair(name, source, pair))
    return chosen


# Writing them


def _check_output(
    out: Path, about: Mapping[str, Any], chosen: Sequence[ChosenPair], *, overwrite: bool
) -> None:
    """Refuse a folder that is neither empty nor holds the same merged dataset, unfinished."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder to write to")
    if overwrite or not out.exists() or not any(out.iterdir()):
        return
    held = Ledger[PairHashes].read(out / _UNFINISHED)
    if held is None:
        raise UsageError(f"{out} is not empty: add --overwrite, or name another folder")
    if not held.is_of(_settings(about, chosen)):
        raise UsageError(
            f"{out} holds another merged dataset, unfinished: repeat its command to finish it, or"
            " add --overwrite to start again"
        )


def _open_ledger(
    out: Path, about: Mapping[str, Any], chosen: Sequence[ChosenPair]
) -> Ledger[PairHashes]:
    """Open the ledger of a merge, or begin it; it holds the hashes of finished pairs by name.

    ``about["files"]`` lists the files to be made, and those of an earlier merged dataset, which
    are deleted at the end.
    """
    files = {name for each in chosen for name in (each.input, each.target)}
    files |= {pair[side] for pair in _pairs_in_record(out) for side in _SIDES}
    ledger = Ledger[PairHashes].open(
        out / _UNFINISHED,
        settings=_settings(about, chosen),
        about=lambda held: {"files": sorted(files.union(names_in(held, "files")))},
        decode=lambda hashes: (str(hashes[0]), str(hashes[1])),
        restart=True,
        writer="rainkit data merge",
    )
    (out / _RECORD).unlink(missing_ok=True)
    return ledger


def _settings(about: Mapping[str, Any], chosen: Sequence[ChosenPair]) -> str:
    """Return a hash of what must be equal for a merge to be continued."""
    pairs = [[each.name, str(each.pair.rainy), str(each.pair.clean)] for each in chosen]
    return hashlib.sha256(json.dumps([about, pairs], sort_keys=True).encode()).hexdigest()


def _pairs_in_record(out: Path) -> list[Mapping[str, str]]:
    """Return the pairs that ``mix.json`` lists."""
    held = read_json(out / _RECORD)
    pairs = held.get("pairs") if isinstance(held, dict) else None
    known = [each for each in pairs if isinstance(each, dict)] if isinstance(pairs, list) else []
    return [each for each in known if all(isinstance(each.get(s), str) for s in _SIDES)]


def take_pair(out: Path, copy: bool, chosen: ChosenPair) -> PairHashes | str:
    """Link, copy or write a pair; return its hashes, or the reason why it cannot be read.

    Raises:
        FileError: a file cannot be written.
    """
    pair = chosen.pair
    try:
        rainy, clean = pair.rainy.read(), pair.clean.read()
    except Exception as error:  # whatever it is, the other pairs can be taken
        return described(error)
    if rainy.shape != clean.shape:
        (h, w), (high, wide) = rainy.shape[:2], clean.shape[:2]
        return f"{pair.rainy}: {w}x{h}, but its clean picture is {wide}x{high}"
    for ref, rgb, place in (
        (pair.clean, clean, chosen.target),
        (pair.rainy, rainy, chosen.input),
    ):
        path = out / place
        if not _is_file(ref):
            images.write(path, images.Picture(rgb), overwrite=True)
        elif copy or not _link(ref.path, path):
            with atomic_path(path, overwrite=True) as temporary:
                shutil.copyfile(ref.path, temporary)
    return pixel_hash(rainy), pixel_hash(clean)


def _link(source: Path, path: Path) -> bool:
    """Make a hard link; return False if the file system does not allow it."""
    with suppress(OSError):
        if path.exists() and path.samefile(source):
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.link(source.resolve(), path)
        return True
    return False


def finish(
    out: Path,
    about: Mapping[str, Any],
    done: Iterable[tuple[ChosenPair, PairHashes]],
    former: Iterable[str],
) -> None:
    """Write ``mix.json``, and delete the files in ``former`` that are not part of the dataset.

    Raises:
        FileError: a file cannot be written.
    """
    pairs = [
        {
            "name": each.name,
            "source": each.source,
            "pair": each.pair.name,
            "input": each.input,
            "target": each.target,
            "sha256": {"input": hashes[0], "target": hashes[1]},
        }
        for each, hashes in done
    ]
    kept = {pair[side] for pair in pairs for side in ("input", "target")}
    for name in set(former) - kept:
        path = out / name
        # The names come from a file, so nothing outside the dataset may be removed.
        if path.resolve().is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)
    remove_temporary(out)
    write_json(out / _RECORD, {**about, "pairs": pairs})

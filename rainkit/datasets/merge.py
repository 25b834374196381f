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
from rainkit.datasets.output_folder import read_json
from rainkit.datasets.pairs import PairFiles, find_pairs
from rainkit.datasets.phash import LIMIT, pixel_hash
from rainkit.datasets.sampling_spec import CountedFolder, choose
from rainkit.engine import Failed, Work, open_engine, paying_workers
from rainkit.errors import DatasetError, FileError, ImageError, PairingError, UsageError
from rainkit.files import atomic_path, remove_temporary, write_json
from rainkit.ledger import Ledger

__all__ = [
    "MIX",
    "Chosen",
    "Hashes",
    "MixRequest",
    "MixResult",
    "MixSource",
    "Taken",
    "admit",
    "begin",
    "finish",
    "mix",
    "take",
]


MIX = "mix.json"
"""Name of the file that says what a mix was made of."""

_UNFINISHED = "mix-unfinished.jsonl"

Hashes = tuple[str, str]
"""SHA-256 of the pixels of a pair, the rainy picture's first."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A pair to take over: its new name, the source's name, and its pictures."""

    name: str
    source: str
    pair: PairFiles

    @property
    def input(self) -> str:
        """Where the rainy picture goes."""
        return f"input/{self.name}{_suffix(self.pair.rainy)}"

    @property
    def target(self) -> str:
        """Where the clean picture goes."""
        return f"target/{self.name}{_suffix(self.pair.clean)}"


def admit(
    out: Path, about: Mapping[str, Any], chosen: Sequence[Chosen], *, overwrite: bool
) -> None:
    """See whether a mix may be written to a folder: it is empty, or holds the same one unfinished.

    Raises:
        UsageError: it may not.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder to write to")
    if overwrite or not out.exists() or not any(out.iterdir()):
        return
    held = Ledger[Hashes].read(out / _UNFINISHED)
    if held is None:
        raise UsageError(f"{out} is not empty: add --overwrite, or name another folder")
    if not held.is_of(_plan(about, chosen)):
        raise UsageError(
            f"{out} holds another mix, unfinished: repeat its command to finish it, or add "
            "--overwrite to start again"
        )


def begin(out: Path, about: Mapping[str, Any], chosen: Sequence[Chosen]) -> Ledger[Hashes]:
    """Open the ledger of a mix, or begin it, with the hashes of finished pairs by their names.

    Its ``about["files"]`` lists what is going to be made, and files of an earlier mix, which are
    not to stay.

    Raises:
        UsageError: another process is writing the mix.
        FileError: the folder cannot be written to.
    """
    files = {name for each in chosen for name in (each.input, each.target)}
    files |= {pair[side] for pair in _listed(out) for side in ("input", "target")}
    ledger = Ledger[Hashes].open(
        out / _UNFINISHED,
        settings=_plan(about, chosen),
        about=lambda held: {"files": sorted(files.union(held.about["files"] if held else ()))},
        decode=lambda hashes: (str(hashes[0]), str(hashes[1])),
        restart=True,
        writer="rainkit data merge",
    )
    (out / MIX).unlink(missing_ok=True)
    return ledger


def take(out: Path, copy: bool, chosen: Chosen) -> Hashes | str:
    """Take a pair over; SHA-256 of the pixels of both pictures, or why it cannot be read.

    Raises:
        FileError: a file cannot be written.
    """
    pair = chosen.pair
    try:
        rainy, clean = pair.rainy.read(), pair.clean.read()
    except (DatasetError, ImageError) as error:
        return str(error)
    if rainy.shape != clean.shape:
        (h, w), (high, wide) = rainy.shape[:2], clean.shape[:2]
        return f"{pair.rainy}: {w}x{h}, but its clean picture is {wide}x{high}"
    for stored, rgb, place in (
        (pair.clean, clean, chosen.target),
        (pair.rainy, rainy, chosen.input),
    ):
        path = out / place
        if not _is_file(stored):
            images.write(path, images.Picture(rgb), overwrite=True)
        elif copy or not _linked(stored.path, path):
            with atomic_path(path, overwrite=True) as temporary:
                shutil.copyfile(stored.path, temporary)
    return pixel_hash(rainy), pixel_hash(clean)


def finish(
    out: Path,
    about: Mapping[str, Any],
    done: Iterable[tuple[Chosen, Hashes]],
    former: Iterable[str],
) -> None:
    """Write ``mix.json`` and delete files of an earlier mix that are not in this one.

    Raises:
        FileError: it cannot be written.
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
        # The names come from a file: nothing outside the dataset is ever removed.
        if path.resolve().is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)
    remove_temporary(out)
    write_json(out / MIX, {**about, "pairs": pairs})


def _is_file(stored: ImageRef) -> bool:
    """A picture in a file of its own."""
    return not stored.member and not stored.half


def _suffix(stored: ImageRef) -> str:
    return stored.path.suffix if _is_file(stored) else ".png"


def _linked(source: Path, path: Path) -> bool:
    """Make a hard link; False where the file system will not have it."""
    with suppress(OSError):
        if path.exists() and path.samefile(source):
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.link(source.resolve(), path)
        return True
    return False


def _plan(about: Mapping[str, Any], chosen: Sequence[Chosen]) -> str:
    """What must be equal to go on with a mix."""
    pairs = [[each.name, str(each.pair.rainy), str(each.pair.clean)] for each in chosen]
    return hashlib.sha256(json.dumps([about, pairs], sort_keys=True).encode()).hexdigest()


def _listed(out: Path) -> list[Mapping[str, str]]:
    """Return the pairs of a finished mix."""
    held = read_json(out / MIX)
    return list(held.get("pairs", [])) if isinstance(held, dict) else []


OnProgress = Callable[[str, int, int], None]
"""Called with what is going on, and how many of how many are done."""


@dataclass(frozen=True, slots=True)
class MixSource:
    """A dataset to take pairs from: its folder, or ``FOLDER/SPLIT``, and how many; None for all."""

    path: Path
    pairs: int | None = None

    @classmethod
    def parse(cls, text: str) -> MixSource:
        """``FOLDER`` or ``FOLDER:COUNT``.

        Raises:
            UsageError: a count that is none.
        """
        folder = CountedFolder.parse(text, weighted=False)
        return cls(folder.path, folder.count)


@dataclass(frozen=True, kw_only=True)
class MixRequest:
    """A mix to make.

    Attributes:
        sources: where the pairs come from.
        out: folder to write to.
        seed: decides which pairs are taken.
        against: sets whose scenes are left out, such as those that are tested on.
        limit: bits in which perceptual hashes of one scene may differ.
        copy: copy files, where the default makes hard links if it can.
        overwrite: write over an earlier mix; its files that are not in the new one are deleted.
        workers: processes; None for as many as pay.
    """

    sources: tuple[MixSource, ...]
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
class Taken:
    """What a source gave.

    Attributes:
        name: of the source.
        path: as it was given.
        pairs: how many it has.
        left_out: how many of them show scenes of the sets to stay away from.
        taken: how many were taken.
    """

    name: str
    path: str
    pairs: int
    left_out: int
    taken: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MixResult:
    """What was made.

    Attributes:
        out: the folder.
        sources: what each gave.
        failures: pairs that are missing because they could not be read, and why.
        pairs: how many there are.
    """

    out: Path
    sources: tuple[Taken, ...]
    failures: tuple[tuple[str, str], ...]
    pairs: int

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "output": str(self.out),
            "pairs": self.pairs,
            "sources": [asdict(source) for source in self.sources],
            "failures": [{"pair": name, "reason": why} for name, why in self.failures],
        }


def mix(request: MixRequest, on_progress: OnProgress | None = None) -> MixResult:
    """Make a dataset ``input/``, ``target/`` of pairs from several, and ``mix.json`` beside them.

    Which pairs are taken follows from the seed, the source folder's name and the pairs' names:
    those whose SHA-256 is lowest. Pictures that are files are hard links or copies; members of tar
    files and halves of pictures become PNG. A mix that was ended early goes on when it is asked
    for again.

    Args:
        request: what to make.
        on_progress: called after each picture looked at, and each pair taken.

    Raises:
        UsageError: a source has too few pairs, or the folder is not to be written to.
        DatasetError, PairingError: a source that cannot be read.
        FileError: a result cannot be written.
    """
    tell = on_progress or (lambda what, done, total: None)
    names = common_names([source.path for source in request.sources])
    found = {
        name: _pairs_of(source.path, request.out)
        for name, source in zip(names, request.sources, strict=True)
    }
    fair = _apart(request, found, tell)
    sources, chosen = [], []
    for name, source in zip(names, request.sources, strict=True):
        kept = _choose(fair[name], source, name, request.seed, len(found[name]))
        chosen += _named(name, kept)
        sources.append(
            Taken(
                name=name,
                path=str(source.path),
                pairs=len(found[name]),
                left_out=len(found[name]) - len(fair[name]),
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
    admit(request.out, about, chosen, overwrite=request.overwrite)
    failures: dict[str, str] = {}
    workers = paying_workers(len(chosen), request.workers, len(chosen))
    with begin(request.out, about, chosen) as ledger, open_engine(workers=workers) as engine:
        left = [each for each in chosen if each.name not in ledger.entries]
        for outcome in engine.run(Work.calling(take, request.out, request.copy), left):
            if isinstance(outcome, Failed) and not isinstance(outcome.error, FileError):
                failures[outcome.item.name] = outcome.reason
            elif isinstance(result := outcome.get(), str):
                failures[outcome.item.name] = result
            else:
                ledger.record(outcome.item.name, result)
            tell("mixing", len(ledger.entries) + len(failures), len(chosen))
        done = ledger.entries
        pairs = [(each, done[each.name]) for each in chosen if each.name in done]
        finish(request.out, about, pairs, ledger.about["files"])
        ledger.remove()
    return MixResult(
        out=request.out,
        sources=tuple(sources),
        failures=tuple((c.name, failures[c.name]) for c in chosen if c.name in failures),
        pairs=len(pairs),
    )


def _pairs_of(path: Path, out: Path) -> tuple[PairFiles, ...]:
    """Of a dataset, or of the split of one that the last part of the path names."""
    if path.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(f"{out}: lies in {path}, which pairs are taken from; name another folder")
    try:
        return find_pairs(path)
    except (UsageError, PairingError):
        if not (path.parent / MANIFEST).is_file():
            raise
    return find_pairs(path.parent, split=path.name)


def _apart(
    request: MixRequest, found: dict[str, tuple[PairFiles, ...]], tell: OnProgress
) -> dict[str, list[PairFiles]]:
    """The pairs that show no scene of the sets to stay away from."""
    if not request.against:
        return {name: list(pairs) for name, pairs in found.items()}
    theirs = [p for path in request.against for p in find_clean(path).clean]
    ours = list(dict.fromkeys(pair.clean for pairs in found.values() for pair in pairs))
    hashed, failures = hash_images(
        list(dict.fromkeys([*theirs, *ours])),
        workers=request.workers,
        on_progress=lambda done, total: tell("looking", done, total),
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
    pairs: Sequence[PairFiles], source: MixSource, name: str, seed: int, all_pairs: int
) -> list[PairFiles]:
    if source.pairs is not None and all_pairs > len(pairs) < source.pairs:
        raise UsageError(
            f"{source.path}:{source.pairs}: holds {all_pairs} pairs, {all_pairs - len(pairs)} of "
            f"them left out; ask for {len(pairs)} at most"
        )
    folder = CountedFolder(source.path, source.pairs)
    return [pairs[n] for n in choose([pair.name for pair in pairs], folder, seed, kind="pairs")]


def _named(source: str, pairs: Sequence[PairFiles]) -> list[Chosen]:
    """Give each a name that no other has, also where letters have no case."""
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
        chosen.append(Chosen(name, source, pair))
    return chosen

"""The folder that a dataset is written to, and what an earlier run left in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from rainkit import files
from rainkit.datasets import manifest
from rainkit.datasets.manifest import Record
from rainkit.datasets.splits import SPLITS
from rainkit.errors import DatasetError, FileError, UsageError
from rainkit.files import is_temporary, remove_temporary, system_reason, write_json
from rainkit.ledger import Held, Ledger

__all__ = [
    "DATASET",
    "DatasetRequest",
    "Records",
    "admit",
    "begin",
    "journal_files",
    "journal_path",
    "manifest_path",
    "names_in",
    "open_journal",
    "read_json",
    "remove_former",
]

DATASET = "dataset.json"
"""Name of the file that holds the request of a dataset."""

Records = tuple[Record, ...]

_JOURNAL = re.compile(r"journal(-\d{5}-of-\d{5})?\.jsonl")
_OF_SHARDS = re.compile(r"(?:journal|manifest)-\d{5}-of-(\d{5})\.jsonl")
_PART = re.compile(r"manifest-\d{5}-of-\d{5}\.jsonl")


class DatasetRequest(Protocol):
    """A request for a dataset.

    Attributes:
        out: folder to write the dataset to.
        overwrite: write into a folder that is not empty.
        shard: which part of how many parts is made, both from 1; None for the whole dataset.
    """

    @property
    def out(self) -> Path: ...  # noqa: D102
    @property
    def overwrite(self) -> bool: ...  # noqa: D102
    @property
    def shard(self) -> tuple[int, int] | None: ...  # noqa: D102

    def to_data(self) -> dict[str, Any]:
        """Return the request as JSON-able data."""
        ...


def journal_path(request: DatasetRequest) -> Path:
    """Return the path of the journal of a run, or of its shard."""
    return request.out / ("journal" + _shard(request) + ".jsonl")


def manifest_path(request: DatasetRequest) -> Path:
    """Return the path of the manifest that a run writes: the whole one, or its shard's part."""
    if request.shard is None:
        return request.out / manifest.MANIFEST
    return request.out / manifest.part_name(*request.shard)


def admit(request: DatasetRequest) -> None:
    """Refuse a folder that the dataset may not be written to; change nothing.

    The folder may be empty, hold the same dataset unfinished, or be overwritten.

    Raises:
        UsageError: The dataset may not be written there.
    """
    out = request.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder to write to")
    try:
        names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    except OSError as error:
        raise UsageError(f"{out} cannot be listed ({system_reason(error)})") from error
    names = {name for name in names if not is_temporary(Path(name))}
    if not names or request.overwrite:
        return
    held = read_json(out / DATASET)
    unfinished = any(map(_JOURNAL.fullmatch, names)) or manifest.MANIFEST not in names
    same = _identity(held) == _identity(request.to_data())
    if same and not unfinished:
        raise UsageError(
            f"{out} holds this dataset already, finished: add --overwrite to make it again"
        )
    if held is None or not unfinished:
        raise UsageError(f"{out} is not empty: add --overwrite, or name another folder")
    if not same:
        raise UsageError(
            f"{out} holds an unfinished dataset made with other options "
            f"({_difference(held, request)}); repeat its command to finish it, or add "
            "--overwrite to start again"
        )
    if request.shard and (parts := _shard_counts(names) - {request.shard[1]}):
        raise UsageError(
            f"{out} holds shards of {parts.pop()}: shard I/{request.shard[1]} would make some of "
            "their scenes again; name as many parts, or another folder"
        )
    if (
        request.shard
        and manifest_path(request).name in names
        and not journal_path(request).exists()
    ):
        raise UsageError(f"{out} holds shard {request.shard[0]} already; make the others")


def begin(request: DatasetRequest, plan: str) -> Ledger[Records]:
    """Lock the folder and open the journal of an earlier run, or begin one.

    The lists of a dataset that is overwritten are deleted; its pictures stay until the end.

    Args:
        request: the dataset to make.
        plan: text that differs for other scenes, such as a hash.

    Raises:
        UsageError: another process writes there, or the photographs have changed.
        DatasetError, FileError: it cannot be written to.
    """
    out = request.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{out}: cannot be made ({system_reason(error)})") from error
    wanted = request.to_data()
    held = read_json(out / DATASET)
    listed = _lists(request) if request.shard is None else []
    if held is None and not listed:
        # First of all: other shards know the folder by it.
        write_json(out / DATASET, wanted)
    former = [name for path in listed for name in _files_listed(path)]
    journal = open_journal(
        journal_path(request),
        f"{plan} {_identity(wanted)}",
        former,
        restart=request.overwrite,
    )
    try:
        for path in listed:
            path.unlink(missing_ok=True)
        if _identity(held) != _identity(wanted):
            write_json(out / DATASET, wanted)
        if request.shard is None:
            remove_temporary(out)
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written to ({system_reason(error)})") from error
    return journal


def open_journal(
    path: Path, plan: str, former: Iterable[str] = (), *, restart: bool = False
) -> Ledger[Records]:
    """Open the journal of a run, or begin it, with the records of finished scenes by their names.

    Its ``about["former"]`` lists the files of an overwritten dataset, relative to the folder, which
    are to be removed at the end.

    Args:
        path: the file; its folder exists.
        plan: what tells this run from another, such as a hash.
        former: noted if the journal is new.
        restart: begin anew if the journal is of another plan; the files that it lists become former
            files.

    Raises:
        UsageError: another run is writing it, or it is of another plan.
        FileError: it cannot be opened or written.
    """
    return Ledger[Records].open(
        path,
        settings=plan,
        about=lambda held: {"former": [*former, *(() if held is None else _files(held))]},
        encode=lambda records: [asdict(record) for record in records],
        decode=manifest.records_from_data,
        restart=restart,
        writer="rainkit synth",
        other=(
            f"{path.parent} holds an unfinished dataset of other photographs, or of ones that have "
            "changed since; add --overwrite to start again"
        ),
    )


def journal_files(path: Path) -> tuple[str, ...]:
    """Return the files of a dataset that a journal knows; none if it cannot be read."""
    held = Ledger[Records].read(path, decode=manifest.records_from_data)
    return () if held is None else _files(held)


def _files(held: Held[Any]) -> tuple[str, ...]:
    made = (name for records in held.done.values() for each in records for name in each.files)
    return tuple(dict.fromkeys((*names_in(held, "former"), *made)))


def names_in(held: Held[Any] | None, key: str) -> list[str]:
    """Return the names of files that a journal notes about its run; none if they are damaged."""
    names = None if held is None else held.about.get(key)
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def remove_former(
    out: Path, former: Iterable[str], records: Iterable[Record], sides: Iterable[str]
) -> None:
    """Delete files of an overwritten dataset that are not in the new one, and nothing else.

    ``sides`` are the side outputs that the new dataset has, of ``manifest.SIDES``.
    """
    gone_sides = {f"{side}/" for side in manifest.SIDES} - {f"{side}/" for side in sides}
    kept = {
        name
        for record in records
        for name in record.files
        if not name.startswith(tuple(gone_sides))
    }
    stale = set(former) - kept
    # Splits that are gone leave their list or table, which would name pictures that are gone.
    gone = {PurePosixPath(name).parts[0] for name in stale}
    for split in gone - {PurePosixPath(name).parts[0] for name in kept}:
        stale |= {f"{split}.txt", f"{split}/metadata.jsonl", f"{split}/metadata.parquet"}
    for name in stale:
        path = out / name
        # The names come from a file: nothing outside the dataset is ever removed.
        if path.resolve().is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)


def _lists(request: DatasetRequest) -> list[Path]:
    """Return the manifests, journals and splits in the folder except the journal of this run."""
    kinds = (_JOURNAL, _PART)
    named = (manifest.MANIFEST, manifest.PARQUET, SPLITS)
    return sorted(
        path
        for path in request.out.iterdir()
        if (path.name in named or any(kind.fullmatch(path.name) for kind in kinds))
        and path != journal_path(request)
    )


def _files_listed(path: Path) -> tuple[str, ...]:
    """Return the files that a list names; none if it is damaged."""
    if _JOURNAL.fullmatch(path.name):
        return journal_files(path)
    try:
        records = [] if path.name == SPLITS else manifest.read(path)
    except DatasetError:
        return ()
    return tuple(name for record in records for name in record.files)


def _shard_counts(names: Iterable[str]) -> set[int]:
    """Return of how many shards those are whose files these are."""
    return {int(found[1]) for name in names if (found := _OF_SHARDS.fullmatch(name))}


def _shard(request: DatasetRequest) -> str:
    return "" if request.shard is None else f"-{request.shard[0]:05d}-of-{request.shard[1]:05d}"


def read_json(path: Path) -> Any:
    """Return what a JSON file of a dataset holds; None if it is missing or damaged."""
    try:
        return files.read_json(path)
    except FileError:
        return None


def _identity(data: Any) -> str:
    """Return what must be equal to continue a dataset: all but the spelling of the command."""
    told = data if isinstance(data, dict) else {}
    return json.dumps({**told, "command": None}, sort_keys=True)


def _difference(held: Any, request: DatasetRequest) -> str:
    """Return the names of the options that differ, for the message."""
    wanted = json.loads(json.dumps(request.to_data()))  # lists for tuples
    there = held if isinstance(held, dict) else {}
    for section in ("request", "versions"):
        one, other = wanted[section], there.get(section)
        if isinstance(other, dict):
            names = [name for name in one if one[name] != other.get(name)]
            if names:
                return ", ".join(names)
    return "by another version"

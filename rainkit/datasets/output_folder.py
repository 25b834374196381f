"""The folder a dataset is written to: who may write there, and what an earlier run left."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from rainkit.datasets import manifest
from rainkit.datasets.journal import Journal, files_in
from rainkit.datasets.splits import SPLITS
from rainkit.errors import DatasetError, UsageError
from rainkit.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rainkit.datasets.manifest import Record

__all__ = [
    "DATASET",
    "DatasetRequest",
    "admit",
    "begin",
    "journal_path",
    "manifest_path",
    "read_json",
    "remove_former",
    "remove_temporary",
    "write_json",
]

DATASET = "dataset.json"
"""Name of the file that says how a dataset was asked for."""

_TEMPORARY = re.compile(r"\.rainkit-[0-9a-f]{12}(\.\w+)?")
_JOURNAL = re.compile(r"journal(-\d{5}-of-\d{5})?\.jsonl")
_PART = re.compile(r"manifest-\d{5}-of-\d{5}\.jsonl")


class DatasetRequest(Protocol):
    """A request that makes a dataset.

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
    """The journal of a run, or of its shard."""
    return request.out / ("journal" + _shard(request) + ".jsonl")


def manifest_path(request: DatasetRequest) -> Path:
    """The manifest that a run writes: the whole one, or its shard's part."""
    if request.shard is None:
        return request.out / manifest.MANIFEST
    return request.out / manifest.part_name(*request.shard)


def admit(request: DatasetRequest) -> None:
    """See whether a dataset may be written to its folder; nothing is changed.

    It may if the folder is empty, or holds the same dataset unfinished, or may be overwritten.

    Raises:
        UsageError: it may not.
    """
    out = request.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder to write to")
    try:
        names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    except OSError as error:
        raise UsageError(f"{out} cannot be listed ({error.strerror})") from error
    names = {name for name in names if not _TEMPORARY.fullmatch(name)}
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
            f"{out} holds an unfinished dataset made otherwise ({_difference(held, request)}); "
            "repeat its command to finish it, or add --overwrite to start again"
        )
    if (
        request.shard
        and manifest_path(request).name in names
        and not journal_path(request).exists()
    ):
        raise UsageError(f"{out} holds shard {request.shard[0]} already; make the others")


def begin(request: DatasetRequest, plan: str) -> Journal:
    """Take hold of the folder and open the journal of an earlier run, or begin one.

    Lists of a dataset that is overwritten are deleted; its pictures stay until the end.

    Args:
        request: what is to be made.
        plan: what tells its scenes from other ones.

    Raises:
        UsageError: another process writes there, or the photographs have changed.
        DatasetError, FileError: it cannot be written to.
    """
    out = request.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{out}: cannot be made ({error.strerror})") from error
    wanted = request.to_data()
    held = read_json(out / DATASET)
    listed = _lists(request) if request.shard is None else []
    if held is None and not listed:
        # First of all: other shards know the folder by it.
        write_json(out / DATASET, wanted)
    former = [name for path in listed for name in _files_listed(path)]
    journal = Journal(
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
        raise DatasetError(f"{out}: cannot be written to ({error.strerror})") from error
    return journal


def remove_former(out: Path, former: Iterable[str], records: Iterable[Record]) -> None:
    """Delete files of an overwritten dataset that are not in the new one, and nothing else."""
    kept = {name for record in records for name in record.files}
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


def remove_temporary(out: Path) -> None:
    """Delete what a run that was killed was writing."""
    for path in out.rglob(".rainkit-*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write data to be read by people too.

    Raises:
        FileError: the system refuses to write.
    """
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _lists(request: DatasetRequest) -> list[Path]:
    """Manifests, journals and so on in the folder but for the journal of this run."""
    kinds = (_JOURNAL, _PART)
    named = (manifest.MANIFEST, manifest.PARQUET, SPLITS)
    return sorted(
        path
        for path in request.out.iterdir()
        if (path.name in named or any(kind.fullmatch(path.name) for kind in kinds))
        and path != journal_path(request)
    )


def _files_listed(path: Path) -> tuple[str, ...]:
    """What a list that is about to be deleted names; nothing where it is damaged."""
    if _JOURNAL.fullmatch(path.name):
        return files_in(path)
    try:
        records = [] if path.name == SPLITS else manifest.read(path)
    except DatasetError:
        return ()
    return tuple(name for record in records for name in record.files)


def _shard(request: DatasetRequest) -> str:
    return "" if request.shard is None else f"-{request.shard[0]:05d}-of-{request.shard[1]:05d}"


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _identity(data: Any) -> str:
    """What must be equal to go on with a dataset: all but how the command was spelled."""
    told = data if isinstance(data, dict) else {}
    return json.dumps({**told, "command": None}, sort_keys=True)


def _difference(held: Any, request: DatasetRequest) -> str:
    """The first options that differ, for the message."""
    wanted = json.loads(json.dumps(request.to_data()))  # lists for tuples
    there = held if isinstance(held, dict) else {}
    for section in ("request", "versions"):
        one, other = wanted[section], there.get(section)
        if isinstance(other, dict):
            names = [name for name in one if one[name] != other.get(name)]
            if names:
                return ", ".join(names)
    return "by another version"

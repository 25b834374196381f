"""WebDataset: tar files of a few hundred samples each, which are read sequentially."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

from rainkit.datasets.manifest import Record
from rainkit.datasets.writers.base import (
    Entry,
    Layout,
    Place,
    parameters,
    portable,
    refuse_other_pairs,
)
from rainkit.errors import DatasetError
from rainkit.files import atomic_path

__all__ = ["STAGING", "WebDataset"]

STAGING = ".staging"
"""Folder in the dataset for pictures that are not packed yet."""

_WHOLE = "pairs"
"""Name of the tar files of a dataset without splits."""

_SAMPLES = 500
"""Number of samples in a tar file: about 500 MB of 512 x 512 PNG."""


class WebDataset(Layout):
    """Samples of ``<key>.input.png``, ``<key>.json`` (main parameters) and ``<key>.target.png``.

    Keys hold no dot, since for readers a key ends at the first dot. The tar file of a pair follows
    from its number alone.
    """

    name = "wds"
    doc = f"tar files of {_SAMPLES} samples (.input.png, .target.png, .json), for WebDataset"

    def __init__(self, samples: int = _SAMPLES) -> None:
        self.samples = samples

    def finish(
        self, out: Path, records: Sequence[Record], *, overwrite: bool, parquet: bool = False
    ) -> None:
        """Pack the pictures that were written; see :meth:`Layout.finish`.

        A tar file is made from the waiting pictures and from those that it holds already. The
        waiting pictures are deleted only afterwards, so that packing can be repeated after a stop
        at any point.
        """
        shards = defaultdict(list)
        for record in records:
            shards[record.input.partition("::")[0]].append(record)
        for name in sorted(shards):
            _pack(out / name, _waiting(out, name), _members(shards[name]), overwrite=overwrite)
        if overwrite:  # an earlier run may have left pictures that belong to no tar file
            shutil.rmtree(out / STAGING, ignore_errors=True)
        with suppress(OSError):  # it does not exist, or is not empty
            (out / STAGING).rmdir()

    def pattern(self, split: str) -> str:
        """Return a glob for the tar files of the split."""
        return f"{split or _WHOLE}-*.tar"

    def _place(self, entry: Entry) -> Place:
        shard = (entry.number - 1) // self.samples
        key = f"{portable(entry.scene, also='.')}_{entry.variant:02d}"
        path = f"{entry.split or _WHOLE}-{shard:06d}.tar"
        return Place(
            f"{path}::{key}.input{entry.suffix}",
            f"{path}::{key}.target{entry.suffix}",
        )

    def _file(self, out: Path, locator: str) -> Path:
        name, _, member = locator.partition("::")
        return _waiting(out, name) / member


def _waiting(out: Path, name: str) -> Path:
    return out / STAGING / name.removesuffix(".tar")


def _members(records: Sequence[Record]) -> dict[str, bytes | None]:
    """Return member names in order, each sample's together, with the data of JSON members."""
    members: dict[str, bytes | None] = {}
    for record in records:
        member = record.input.partition("::")[2]
        about = json.dumps(parameters(record), allow_nan=False).encode()
        members[f"{member.partition('.')[0]}.json"] = about
        members[member] = members[record.target.partition("::")[2]] = None
    return dict(sorted(members.items()))


def _pack(
    path: Path, waiting: Path, members: Mapping[str, bytes | None], *, overwrite: bool
) -> None:
    """Make a tar file of the waiting pictures and of those that it holds already."""
    fresh = {name for name in members if (waiting / name).is_file()}
    with _open(path) as old:
        held = {} if old is None else {info.name: info for info in old}
        if not overwrite:
            refuse_other_pairs(path, held, members)

        def read(name: str) -> bytes:
            if name in fresh:
                return (waiting / name).read_bytes()
            file = old.extractfile(held[name]) if old is not None and name in held else None
            if file is None:
                raise DatasetError(
                    f"{path}: {name} is neither in it nor in {waiting}; make the dataset again"
                )
            return file.read()

        known = {name: data for name, data in members.items() if data is not None}
        if (
            fresh
            or list(held) != list(members)
            or any(read(name) != data for name, data in known.items())
        ):
            with (
                atomic_path(path, overwrite=True) as temporary,
                tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as new,
            ):
                for name in members:
                    _add(new, name, known[name] if name in known else read(name))
    for name in fresh:
        (waiting / name).unlink()
    with suppress(OSError):  # it does not exist, or is not empty
        waiting.rmdir()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member without time and owner, so that equal members make equal files."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, BytesIO(data))


@contextmanager
def _open(path: Path) -> Iterator[tarfile.TarFile | None]:
    if not path.exists():
        yield None
        return
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); remove it") from error

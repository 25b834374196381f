"""The journal of a run: what an unfinished dataset holds already, whatever ended the run.

It is a ledger with the records of each finished scene. A scene's files are whole before its line is
written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rainkit.datasets import manifest
from rainkit.datasets.records import Record
from rainkit.ledger import Held, Ledger

__all__ = ["files_in", "open_journal"]

Records = tuple[Record, ...]


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


def files_in(path: Path) -> tuple[str, ...]:
    """Return the files of a dataset that a journal knows; none if it cannot be read."""
    held = Ledger[Records].read(path, decode=manifest.records_from_data)
    return () if held is None else _files(held)


def _files(held: Held[Any]) -> tuple[str, ...]:
    made = (name for records in held.done.values() for each in records for name in each.files)
    return tuple(dict.fromkeys((*held.about.get("former", ()), *made)))

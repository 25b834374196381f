"""The journal holds records; that it survives whatever ends a run is tested with the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rainkit.datasets import manifest
from rainkit.datasets.output_folder import journal_files, open_journal
from rainkit.errors import FileError, UsageError


@pytest.fixture
def other_record(plain_record: manifest.Record) -> manifest.Record:
    return replace(plain_record, id="b_01", scene="b", input="input/b_01.png")


@pytest.fixture
def path(tmp_path: Path, plain_record: manifest.Record, other_record: manifest.Record) -> Path:
    path = tmp_path / "journal.jsonl"
    with open_journal(path, "plan", ["old.png"]) as journal:
        journal.record("a", [plain_record])
        journal.record("b", [other_record])
    return path


def test_what_was_noted_is_known_again(
    path: Path, plain_record: manifest.Record, other_record: manifest.Record
) -> None:
    with open_journal(path, "plan") as journal:
        assert journal.entries == {"a": (plain_record,), "b": (other_record,)}
        assert journal.about == {"former": ["old.png"]}
        journal.remove()
    assert not path.exists()


def test_any_cut_loses_only_the_scene_that_it_cuts(
    path: Path, other_record: manifest.Record
) -> None:
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in (*ends, *(end - 1 for end in ends), 0, 5, ends[0] + 1, ends[1] + 30):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends) - 1
        with open_journal(path, "plan") as journal:
            assert list(journal.entries) == ["a", "b"][: max(kept, 0)]
            journal.record("b", [other_record])
        with open_journal(path, "plan") as journal:
            assert journal.done("b") == (other_record,)
        path.write_bytes(whole)


@pytest.mark.parametrize("damage", [b"\0" * 40, b"{}\n", b'{"key": "b", "entry": [{}]}\n'])
def test_damaged_lines_hide_no_others(path: Path, damage: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join((*lines[:2], damage.rstrip() + b"\n", lines[2])))
    with open_journal(path, "plan") as journal:
        assert list(journal.entries) == ["a", "b"]


def test_another_plan_is_refused_or_replaced(
    path: Path, plain_record: manifest.Record, other_record: manifest.Record
) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError, match="--overwrite"):
        open_journal(path, "other plan")
    assert path.read_bytes() == before
    with open_journal(path, "other plan", ["new.png"], restart=True) as journal:
        assert journal.entries == {}
        assert {"old.png", "new.png", plain_record.input, other_record.target} <= set(
            journal.about["former"]
        )
    assert set(journal_files(path)) == set(journal.about["former"])


def test_one_at_a_time(path: Path) -> None:
    with open_journal(path, "plan"), pytest.raises(UsageError, match="another rainkit synth"):
        open_journal(path, "plan")
    with open_journal(path, "plan"):
        pass


def test_what_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written"):
        open_journal(tmp_path, "plan")
    assert journal_files(tmp_path / "nothing") == ()


def test_lines_are_records_as_they_are(path: Path, plain_record: manifest.Record) -> None:
    line = json.loads(path.read_bytes().splitlines()[1])
    assert line == {"key": "a", "entry": [json.loads(json.dumps(asdict(plain_record)))]}

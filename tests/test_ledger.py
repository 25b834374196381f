"""A ledger survives whatever ends a run."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rainkit.errors import DatasetError, FileError, UsageError
from rainkit.ledger import Held, Ledger

SETTINGS = {"seed": 1, "sides": (4, 3)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    with Ledger[Any].open(path, settings=SETTINGS, about=lambda held: {"former": ["x"]}) as ledger:
        ledger.record("a", {"files": ["a.png"]})
        ledger.record("b", {"files": ["b.png"]})
    return path


def test_what_was_recorded_is_known_again(path: Path) -> None:
    with Ledger[Any].open(path, settings=SETTINGS) as ledger:
        assert ledger.done("a") == {"files": ["a.png"]}
        assert ledger.done("c") is None
        assert list(ledger.entries) == ["a", "b"]
        assert ledger.about == {"former": ["x"]}
        ledger.record("a", {"files": []})
    assert Ledger[Any].read(path) == Held(
        settings={"seed": 1, "sides": [4, 3]},
        about={"former": ["x"]},
        done={"a": {"files": []}, "b": {"files": ["b.png"]}},
    )
    held = Ledger[Any].read(path)
    assert held is not None
    assert held.is_of(SETTINGS)
    assert not held.is_of({**SETTINGS, "seed": 2})
    with Ledger[Any].open(path, settings=SETTINGS) as ledger:
        ledger.remove()
    assert not path.exists()
    assert Ledger[Any].read(path) is None


def test_any_cut_loses_only_the_entry_that_it_cuts(path: Path) -> None:
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends) - 1
        with Ledger[Any].open(path, settings=SETTINGS) as ledger:
            assert list(ledger.entries) == ["a", "b"][: max(kept, 0)]
            ledger.record("b", 2)
        with Ledger[Any].open(path, settings=SETTINGS) as ledger:
            assert ledger.done("b") == 2


def _strict(data: Any) -> Any:
    if "files" not in data:
        raise DatasetError("no files")
    return data


@pytest.mark.parametrize(
    "damage", [b"\0" * 40, b"{}\n", b"[]\n", b'{"key": "b", "entry": {}}\n', b"\xff\n"]
)
def test_a_damaged_line_hides_no_other(path: Path, damage: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join((*lines[:2], damage.rstrip() + b"\n", lines[2], b'{"key": "c"')))
    with Ledger[Any].open(path, settings=SETTINGS, decode=_strict) as ledger:
        assert list(ledger.entries) == ["a", "b"]
        ledger.record("d", {"files": []})
    with Ledger[Any].open(path, settings=SETTINGS, decode=_strict) as ledger:
        assert list(ledger.entries) == ["a", "b", "d"], "half a line at the end is cut off"


def test_a_record_whose_first_line_is_damaged_is_put_aside(path: Path) -> None:
    before = b"\xff" + path.read_bytes()
    path.write_bytes(before)
    with Ledger[Any].open(path, settings=SETTINGS) as ledger:
        assert not ledger.entries
    assert path.with_name(f"{path.name}.damaged").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="the system keeps open files where they are")
def test_a_record_that_somebody_removed_is_not_written_on(path: Path) -> None:
    with Ledger[Any].open(path, settings=SETTINGS) as ledger:
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(FileError, match=r"ledger\.jsonl: cannot be written"):
            ledger.record("c", {"files": []})


def test_other_settings_are_refused_or_replaced(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"ledger\.jsonl: .*other settings.*--overwrite"):
        Ledger[Any].open(path, settings="other")
    with pytest.raises(UsageError, match="of other photographs"):
        Ledger[Any].open(path, settings="other", other="of other photographs")
    assert path.read_bytes() == before
    seen: list[Any] = []

    def about(held: Held[Any] | None) -> dict[str, Any]:
        seen.append(held)
        return {}

    with Ledger[Any].open(path, settings="other", about=about, restart=True) as ledger:
        assert not ledger.entries
    assert list(seen[0].done) == ["a", "b"]
    with Ledger[Any].open(path, settings="other"):
        pass


def test_a_ledger_of_another_version_is_kept(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    head = json.loads(lines[0]) | {"ledger": 99}
    content = json.dumps(head).encode() + b"\n" + lines[1]
    path.write_bytes(content)
    with pytest.raises(UsageError, match="record of version 99, and this rainkit knows 1"):
        Ledger[Any].open(path, settings=SETTINGS)
    assert path.read_bytes() == content


def test_one_process_at_a_time(path: Path) -> None:
    with Ledger[Any].open(path, settings=SETTINGS):
        with pytest.raises(UsageError, match=r"another rainkit synth .*is writing there; wait"):
            Ledger[Any].open(path, settings=SETTINGS, writer="rainkit synth")
        with pytest.raises(UsageError, match="is writing there"):
            Ledger[Any].open(path, settings="other", restart=True)
    with Ledger[Any].open(path, settings=SETTINGS) as ledger:
        assert list(ledger.entries) == ["a", "b"]


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not list locks")
def test_the_message_names_the_process_that_writes(path: Path) -> None:
    with (
        Ledger[Any].open(path, settings=SETTINGS),
        pytest.raises(UsageError, match=rf"\(process {os.getpid()}\)"),
    ):
        Ledger[Any].open(path, settings=SETTINGS)


def test_a_refused_or_failed_opening_keeps_nothing_locked(path: Path) -> None:
    with pytest.raises(UsageError):
        Ledger[Any].open(path, settings="other")

    def fail(held: Held[Any] | None) -> dict[str, Any]:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        Ledger[Any].open(path, settings="other", about=fail, restart=True)
    with Ledger[Any].open(path, settings=SETTINGS) as ledger:
        assert list(ledger.entries) == ["a", "b"]


def test_what_cannot_be_written_is_one_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"ledger\.jsonl: cannot be written \(.*exists"):
        Ledger[Any].open(tmp_path / "file" / "ledger.jsonl", settings=1)
    with Ledger[Any].open(tmp_path / "new" / "ledger.jsonl", settings=1):
        pass


def test_a_line_that_does_not_fit_leaves_no_half_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Ledger[Any].open(path, settings=SETTINGS) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(FileError, match="No space left"):
                ledger.record("c", 3)
        assert ledger.done("c") is None
        ledger.record("d", 4)
    with Ledger[Any].open(path, settings=SETTINGS) as ledger:
        assert list(ledger.entries) == ["a", "b", "d"]


SCRIPT = """
import os, signal, sys
from pathlib import Path
from rainkit.ledger import Ledger

with Ledger.open(Path(sys.argv[1]), settings=7) as ledger:
    print(*ledger.entries)
    for number in range(len(ledger.entries), len(ledger.entries) + 3):
        ledger.record(str(number), number)
    if number < 8:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing_that_it_recorded(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for before in (0, 3, 6):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == (0 if before == 6 else -9), done.stderr
        held = Ledger[Any].read(path)
        assert held is not None
        assert held.done == {str(number): number for number in range(before + 3)}


def test_nothing_that_json_lacks_is_recorded(path: Path) -> None:
    with Ledger[Any].open(path, settings=SETTINGS) as ledger:
        with pytest.raises(ValueError, match="JSON"):
            ledger.record("c", float("inf"))
        assert ledger.done("c") is None

"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
from pathlib import Path

import pytest

from rainkit import files
from rainkit.errors import FileError
from rainkit.files import atomic_path


def test_a_file_appears_under_its_name_with_its_folder(tmp_path: Path):
    target = tmp_path / "new" / "a.png"
    with atomic_path(target, overwrite=False) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".png"
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_stays_after_an_exception(tmp_path: Path, error: type[BaseException]):
    (tmp_path / "a.png").write_bytes(b"old")

    def write() -> None:
        with atomic_path(tmp_path / "a.png", overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with (
        pytest.raises(FileError, match=r"a\.png: exists; pass --overwrite"),
        atomic_path(path, overwrite=False),
    ):
        pytest.fail("the block ran")
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path):
    path = tmp_path / "a.png"

    def write() -> None:
        with atomic_path(path, overwrite=False) as temporary:
            temporary.write_bytes(b"new")
            path.write_bytes(b"somebody else's")

    with pytest.raises(FileError, match="exists"):
        write()
    assert path.read_bytes() == b"somebody else's"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_system_says_why(tmp_path: Path):
    def write() -> None:
        with atomic_path(tmp_path / "a.png", overwrite=False) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FileError, match=r"a\.png: cannot be written \(No space left on device\)"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(FileError, match="is a folder"), atomic_path(tmp_path, overwrite=True):
        pytest.fail("the block ran")


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path: Path):
    left = tmp_path / "below" / "a.png"
    with atomic_path(left, overwrite=False) as temporary:
        temporary.write_bytes(b"half")
        copy = temporary.with_name(temporary.name.replace(".png", ".jpg"))
        copy.write_bytes(b"half")
        assert files.is_temporary(copy)
    other = tmp_path / ".rainkit-notes"
    other.touch()
    files.remove_temporary(tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {left, other}


def test_json_is_read_as_it_was_written(tmp_path: Path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": [1, "ü"]})
    assert files.read_json(path) == {"b": [1, "ü"]}
    with pytest.raises(FileError, match=r"a\.json: exists"):
        files.write_json(path, {}, overwrite=False)
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, float("nan"))
    assert files.read_json(path) == {"b": [1, "ü"]}


def test_json_that_cannot_be_read_names_the_file_and_the_remedy(tmp_path: Path):
    path = tmp_path / "a.json"
    with pytest.raises(FileError, match=r"a\.json: cannot be read \(No such file"):
        files.read_json(path)
    for damage in (b'{"b":', b"\xff"):
        path.write_bytes(damage)
        with pytest.raises(FileError, match=r"a\.json: is not valid JSON .*; make it again$"):
            files.read_json(path)


def test_a_hash_is_that_of_the_bytes(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(path) == known
    with pytest.raises(FileError, match="b: cannot be read"):
        files.sha256(tmp_path / "b")


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path):
    path = tmp_path / "a"
    with path.open("w") as one, path.open("w") as other:
        assert files.lock_holder(path) is None
        assert files.try_lock(one)
        assert not files.try_lock(other)
        assert files.lock_holder(path) in (os.getpid(), None)
    with path.open("w") as other:
        assert files.try_lock(other)


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path):
    order: list[str] = []

    def enter() -> None:
        with files.alone_in(tmp_path):
            order.append("second")

    thread = threading.Thread(target=enter)
    with files.alone_in(tmp_path):
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    with (
        pytest.raises(FileError, match="nothing: cannot be opened"),
        files.alone_in(tmp_path / "nothing"),
    ):
        pytest.fail("the block ran")


class _Msvcrt:
    """The locks of Windows: one byte of a file, which one open file at a time may have."""

    LK_LOCK, LK_NBLCK = 1, 2

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], int] = {}

    def locking(self, handle: int, mode: int, length: int) -> None:
        place = os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR)
        assert length == 1
        if self.held.setdefault(place, handle) != handle:
            raise PermissionError(errno.EACCES, "Permission denied")


def test_locks_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", _Msvcrt())  # type: ignore[arg-type]
    path = tmp_path / "ledger"
    path.write_bytes(b"text")
    with path.open("rb+") as one, path.open("rb+") as other:
        one.seek(2)
        assert files.try_lock(one)
        assert one.read() == b"xt", "the position is kept"
        assert not files.try_lock(other)
        assert files.try_lock(other, shared=True), "there are none that can be shared"
        with files.alone_in(tmp_path):
            assert (tmp_path / "ledger").exists()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a:b.png", "no : in names"),
        ("rain?*.png", r"no \* \? in names"),
        ("back\\slash.png", "in names"),
        ("rain.", "at the end"),
        ("aux.png", "aux is a device"),
        ("Com1 .tar.gz", "device"),
    ],
)
def test_names_that_windows_lacks(name: str, fault: str):
    assert re.search(fault, files.fault_of_name(name, windows=True) or "")
    assert files.fault_of_name(name, windows=False) is None


@pytest.mark.parametrize(
    "name", ["rain.png", "auxiliary.png", "com10.png", ".hidden", "Regen ä.png"]
)
def test_names_that_windows_has(name: str):
    assert files.fault_of_name(name, windows=True) is None


def test_numbers_in_names_count():
    names = ["a10.png", "A2.png", "a1.png", "b"]
    assert sorted(names, key=files.natural) == ["a1.png", "A2.png", "a10.png", "b"]


def test_one_and_many():
    assert files.counted(1) == "1 picture"
    assert files.counted(0, "pair") == "0 pairs"

"""Files are written whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rainkit.errors import ImageError
from rainkit.images import atomic_path


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
        pytest.raises(ImageError, match=r"a\.png: exists; pass --overwrite"),
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

    with pytest.raises(ImageError, match="exists"):
        write()
    assert path.read_bytes() == b"somebody else's"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_system_says_why(tmp_path: Path):
    def write() -> None:
        with atomic_path(tmp_path / "a.png", overwrite=False) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ImageError, match=r"a\.png: cannot be written \(No space left on device\)"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(ImageError, match="is a folder"), atomic_path(tmp_path, overwrite=True):
        pytest.fail("the block ran")

"""Pictures are found by file, folder and pattern."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from rainkit import images
from rainkit.errors import UsageError
from rainkit.images import Picture


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    names = (
        *("10.jpg", "2.JPG", "a/1.png", "a/b/é 中.webp", "a/b/scan.TIFF", "z.bmp"),
        *("notes.txt", ".hidden.jpg", ".cache/x.jpg"),
    )
    for name in names:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "photos"


def names(found: list[images.PictureFile]) -> list[str]:
    return [each.relative.as_posix() for each in found]


def test_a_folder_is_searched_in_natural_order_without_hidden_or_other_files(tree: Path):
    found = images.find([tree])
    expected = ["2.JPG", "10.jpg", "a/1.png", "a/b/scan.TIFF", "a/b/é 中.webp", "z.bmp"]
    assert names(found) == expected
    assert all(each.root == tree and each.path == tree / each.relative for each in found)


def test_a_file_is_itself_even_with_brackets_in_its_name(tree: Path):
    odd = tree / "a[1].jpg"
    odd.write_bytes(b"")
    assert images.find([odd]) == [images.PictureFile(odd, Path("a[1].jpg"))]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*.jpg", ["10.jpg"]),
        ("photos/a/*", ["1.png", "b/scan.TIFF", "b/é 中.webp"]),
        ("photos/**/*.p[mn]g", ["a/1.png"]),
        ("p*/a/?.png", ["photos/a/1.png"]),
    ],
)
def test_patterns(tree: Path, pattern: str, expected: list[str]):
    assert names(images.find([str(tree.parent / pattern)])) == expected


def test_a_pattern_is_relative_to_its_fixed_part(tree: Path):
    (found,) = images.find([str(tree / "*.jpg")])
    assert found.root == tree


def test_the_same_file_is_taken_once(tree: Path):
    assert len(images.find([tree, tree / "z.bmp", tree / "a" / ".." / "a"])) == 6


@pytest.mark.parametrize("given", ["missing", "photos/*.gif", "empty"])
def test_what_holds_nothing_is_named(tree: Path, given: str):
    (tree.parent / "empty").mkdir()
    with pytest.raises(UsageError, match=given.replace("*", r"\*")):
        images.find([tree, str(tree.parent / given)])


@pytest.mark.parametrize("kind", [str, Path])
def test_a_lone_input_is_one(tree: Path, kind: type):
    assert images.find(kind(tree / "a")) == images.find([tree / "a"])
    (tree / "a" / "clip.mov").write_bytes(b"")
    assert images.left_out(kind(tree / "a")) == images.left_out([tree / "a"]) != ()


def test_an_empty_name_is_not_the_working_folder(tree: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tree)
    with pytest.raises(UsageError, match="an empty name"):
        images.find([""])
    assert len(images.find(["."])) == 6


def test_no_input_at_all():
    with pytest.raises(UsageError, match="name a picture"):
        images.find([])


def test_links_to_folders_are_followed_once_and_what_is_passed_over_is_said(
    tree: Path, tmp_path: Path
):
    for name in ("x/3.jpg", "x/deep/4.png", "x/5.jxl", "x/6.JXL", "x/7.mov", "x/readme.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tree / "more").symlink_to(tmp_path / "x")
    (tree / "again").symlink_to(tmp_path / "x")
    (tree / "same").symlink_to(tree / "a")
    (tmp_path / "x" / "up").symlink_to(tmp_path)
    (tree / "a" / "loop").symlink_to(tree)
    found = names(images.find([tree]))
    plain = ["2.JPG", "10.jpg", "a/1.png", "a/b/scan.TIFF", "a/b/é 中.webp"]
    assert found == [*plain, "again/3.jpg", "again/deep/4.png", "z.bmp"]
    assert len(images.find([f"{tree}/**/*.png"])) == 2
    passed, *loops = images.left_out([tree])
    assert passed == "3 files passed over (2 JXL, 1 MOV)"
    assert [line.partition(":")[0] for line in loops] == [
        str(tree / "a/loop"),
        str(tree / "again/up"),
    ]
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "clip.mov").write_bytes(b"")
    with pytest.raises(UsageError, match=r"holds no picture .*; 1 file passed over \(MOV\)"):
        images.find([tmp_path / "only"])


def test_folders_that_cannot_be_listed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The tests may run with all rights, so that the system's refusal is stood in for."""
    for name in ("ok", "shut"):
        images.write(tmp_path / name / "a.png", Picture(np.zeros((4, 4, 3), np.uint8)))
    listed = os.scandir

    def refusing(path: str | Path):
        if Path(path).name == "shut":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [each.path for each in images.find([tmp_path])] == [tmp_path / "ok" / "a.png"]
    (line,) = images.left_out([tmp_path])
    assert line == f"{tmp_path / 'shut'}: cannot be listed (Permission denied)"

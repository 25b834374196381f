"""Lists, standard input, object stores and shards."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from rainkit.errors import FileError, ImageError, UsageError
from rainkit.inference import InferRequest, inputs
from rainkit.inference.inputs import Shard, find, fingerprint, read_bytes


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.jpg", "photos/trip/b.png", "photos/trip/#c.png", "photos/d.heix"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())
    return tmp_path / "photos"


def relative(*given: Path | str) -> list[str]:
    return [each.relative.as_posix() for each in find(given).pictures]


def test_a_list_mirrors_the_tree_that_its_pictures_have_in_common(photos: Path):
    Path("list.txt").write_bytes(b"# mine\r\nphotos/trip/b.png\n\nphotos/a.jpg\ngone/x.jpg")
    found = find(["@list.txt"])
    assert relative("@list.txt") == ["photos/trip/b.png", "photos/a.jpg", "gone/x.jpg"]
    assert {each.root for each in found.pictures} == {Path()}
    Path("list.txt").write_bytes(b"photos/a.jpg\0photos/trip/*\0")
    assert relative("@list.txt", photos / "a.jpg") == ["a.jpg", "trip/#c.png", "trip/b.png"]
    Path("@list.txt").write_bytes(b"a file of this name")
    assert relative("@list.txt") == ["@list.txt"]


def test_a_lone_input_of_a_request_is_one(photos: Path):
    assert InferRequest(inputs="photos").inputs == ("photos",)
    assert InferRequest(inputs=photos).inputs == (photos,)
    assert InferRequest(inputs=["photos", photos]).inputs == ("photos", photos)


def test_odd_names_in_a_list_do_not_keep_the_others(photos: Path):
    names = ["photos/a.jpg", "gone[1].png", "~nobody.png", "x" * 300 + ".png"]
    Path("list.txt").write_bytes(b"\xef\xbb\xbf" + "\n".join(names).encode())
    assert relative("@list.txt") == names
    Path("~tmp.png").write_bytes(b"a picture of this name")
    assert relative("~tmp.png") == ["~tmp.png"]
    with pytest.raises(UsageError, match="no such file"):
        find(["~nobody.png"])


def test_lists_that_give_nothing_are_refused(photos: Path):
    Path("list.txt").write_text("# nothing\n\n")
    with pytest.raises(UsageError, match=r"list\.txt: the list is empty"):
        find(["@list.txt"])
    Path("list.txt").write_text("a.jpg\nb.jpg\n")
    with pytest.raises(UsageError, match=r"nothing in the list exists, for example a\.jpg; .*work"):
        find(["@list.txt"])
    with pytest.raises(FileError, match=r"none\.txt: the list cannot be read"):
        find(["@none.txt"])


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"photos/a.jpg\n", ["a.jpg"]),
        (b"\xff\xd8\xff\xe0 and so on", ["stdin.jpg"]),
        (b"RIFF\0\0\0\0WEBPVP8 ", ["stdin.webp"]),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0", ["stdin.bmp"]),
    ],
)
def test_standard_input_is_a_list_or_a_picture(photos, monkeypatch, data: bytes, names: list[str]):
    monkeypatch.setattr(inputs.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    found = find(["-"])
    assert [each.relative.as_posix() for each in found.pictures] == names
    assert found.piped == (names != ["a.jpg"])
    if found.piped:
        assert read_bytes(found.pictures[0].path) == data


def test_object_stores_are_searched_and_read():
    store = fsspec.filesystem("memory")
    for name in ("/bucket/a10.jpg", "/bucket/a9.jpg", "/bucket/x/b.png", "/bucket/x/.h.png"):
        store.pipe(name, name.encode())
    store.pipe("/bucket/notes.txt", b"x")
    store.pipe("/bucket/x/..\\..\\away.png", b"x")  # folders of Windows, out of the output's
    assert relative("memory://bucket/") == ["a9.jpg", "a10.jpg", "x/b.png"]
    assert relative("memory://bucket/**/*.png") == ["x/b.png"]
    assert relative("memory://bucket/x") == ["b.png"]
    only = find(["memory://bucket/x/b.png"]).pictures[0]
    assert (str(only.path), only.root) == ("memory://bucket/x/b.png", None)
    assert read_bytes(only.path) == b"/bucket/x/b.png"
    before = fingerprint(only.path)
    assert before is not None
    assert before == fingerprint(only.path)
    store.rm("/bucket", recursive=True)
    with pytest.raises(ImageError, match=r"memory://bucket/x/b\.png: cannot be read"):
        read_bytes(only.path)
    for url, words in (("memory://bucket", "no such"), ("nope://x/a.jpg", "cannot be opened")):
        with pytest.raises(UsageError, match=words):
            find([url])


def test_a_file_url_is_a_file(photos: Path):
    found = find([f"file://{photos}/trip/%23c.png"])
    assert found.pictures[0].path == photos / "trip" / "#c.png"
    assert "1 file passed over (HEIX)" in find([photos.as_uri()]).left_out()[0]


def test_shards_are_disjoint_and_complete():
    names = [f"{number}.jpg" for number in range(200)]
    parts = [{n for n in names if Shard.parse(f"{i}/7").holds(n)} for i in range(1, 8)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 200
    assert min(map(len, parts)) > 10
    for text in ("0/7", "8/7", "1", "a/b", "1/0"):
        with pytest.raises(UsageError, match=f"--shard {text}"):
            Shard.parse(text)

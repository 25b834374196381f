"""A stored picture is found, read and measured wherever it is kept, and never outside."""

from __future__ import annotations

import io
import multiprocessing
import os
import tarfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from rainkit import images
from rainkit.datasets.image_ref import ImageRef
from rainkit.errors import DatasetError, ImageError

PHOTO = np.ascontiguousarray(data.astronaut()[::8, ::8])


def png(rgb: np.ndarray) -> bytes:
    return images.encode(images.Picture(rgb), ".png")


def tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))


def test_an_lmdb_is_read_by_several_processes_in_turn(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    with (
        lmdb.open(str(tmp_path / "a.lmdb"), map_size=1 << 20) as whole,
        whole.begin(write=True) as t,
    ):
        t.put(b"1", png(PHOTO))
    stored = ImageRef(tmp_path / "a.lmdb", "1")
    assert stored.size() == PHOTO.shape[1::-1]
    for method in ("fork", "spawn"):
        with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
            assert np.array_equal(pool.submit(stored.read).result(), PHOTO)
    with pytest.raises(DatasetError, match="holds no file 2"):
        ImageRef(tmp_path / "a.lmdb", "2").read()


@pytest.mark.parametrize("locator", ["/etc/passwd", "../a.png", "x/../../a.png", "", "x\\a.png"])
def test_locators_stay_inside_their_folder(tmp_path: Path, locator: str) -> None:
    with pytest.raises(DatasetError, match="is not a path inside"):
        ImageRef.from_locator(tmp_path, locator)


def test_locators_of_members_and_halves(tmp_path: Path) -> None:
    assert ImageRef.from_locator(tmp_path, "a.tar::left") == ImageRef(
        tmp_path / "a.tar", member="left"
    )
    half = ImageRef.from_locator(tmp_path, "x/a.png::left")
    assert half == ImageRef(tmp_path / "x/a.png", half="left")
    assert str(half) == f"{tmp_path}/x/a.png::left"
    with pytest.raises(DatasetError, match="no 'top'"):
        ImageRef.from_locator(tmp_path, "a.png::top")


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    images.write(tmp_path / "secret.png", images.Picture(PHOTO))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DatasetError, match="a link that leaves"):
        ImageRef.from_locator(tmp_path / "set", "a.png")


def test_what_is_stored_nowhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", {"1.png": png(PHOTO), "2.png": b"no picture"})
    assert np.array_equal(ImageRef(tmp_path / "a.tar", "1.png").read(), PHOTO)
    with pytest.raises(DatasetError, match="holds no file 3"):
        ImageRef(tmp_path / "a.tar", "3.png").read()
    with pytest.raises(ImageError, match=r"a\.tar::2\.png: is not a"):
        ImageRef(tmp_path / "a.tar", "2.png").read()
    with pytest.raises(ImageError, match=r"b\.tar"):
        ImageRef(tmp_path / "b.tar", "1.png").read()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_sizes_follow_the_orientation(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PHOTO[:, :40]).save(path, exif=exif)
    assert ImageRef(path).size() == ImageRef(path).read().shape[1::-1] == (64, 40)
    assert ImageRef(path, half="left").size() == (32, 40)


def test_a_header_is_enough_to_tell_a_size(tmp_path: Path) -> None:
    cut = png(PHOTO)[:2000]
    (tmp_path / "a.png").write_bytes(cut)
    tar(tmp_path / "a.tar", {"0.png": png(PHOTO[::2]), "a.png": cut})
    for stored in (ImageRef(tmp_path / "a.png"), ImageRef(tmp_path / "a.tar", "a.png")):
        assert stored.size() == (64, 64)
        with pytest.raises(ImageError, match=r"a\.png: is damaged"):
            stored.read()


def test_a_pipe_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")  # opening it would wait for a writer for ever
    for measure in (ImageRef(tmp_path / "a.png").read, ImageRef(tmp_path / "a.png").size):
        with pytest.raises(ImageError, match=r"a\.png: is a named pipe, not a file"):
            measure()

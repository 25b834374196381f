"""Every layout of pairs is found by itself, and what is wrong with one is said by name."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.datasets.pairs import ReadOptions, find_datasets, find_pairs, find_unpaired
from rainkit.datasets.stored import Stored
from rainkit.errors import DatasetError, ImageError, PairingError, UsageError
from rainkit.rain import PRESETS, render

PHOTOS = [np.ascontiguousarray(rgb[::8, ::8]) for rgb in (data.astronaut(), data.coffee())]


def rainy(clean: np.ndarray) -> np.ndarray:
    return render(clean, PRESETS["rain100l"], (1,), frame_width=481).rainy


def save(path: Path, rgb: np.ndarray) -> None:
    images.write(path, images.Picture(rgb))


def shown(pairs) -> list[tuple[str, np.ndarray, np.ndarray]]:
    return [(pair.name, pair.rainy.read(), pair.clean.read()) for pair in pairs]


def tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))


def png(rgb: np.ndarray) -> bytes:
    return images.encode(images.Picture(rgb), ".png")


def test_webdataset(tmp_path: Path) -> None:
    a, b = PHOTOS
    tar(
        tmp_path / "train-0.tar",
        {
            "x/1.rain.png": png(rainy(a)),
            "x/1.norain.png": png(a),
            "x/1.json": b"{}",
            "2.input.png": png(rainy(b)),
            "2.gt.png": png(b),
        },
    )
    found = shown(find_pairs(tmp_path))
    assert [name for name, _, _ in found] == ["2", "x/1"]
    assert np.array_equal(found[0][2], b)
    assert np.array_equal(found[1][1], rainy(a))
    assert find_pairs(tmp_path)[0].rainy.size() == (b.shape[1], b.shape[0])
    with pytest.raises(PairingError, match="val"):
        find_pairs(tmp_path, split="val")


def test_a_sample_without_its_target_and_a_file_that_is_no_archive(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", {"1.input.png": png(PHOTOS[0])})
    with pytest.raises(PairingError, match=r"0\.tar::1"):
        find_pairs(tmp_path)
    (tmp_path / "0.tar").write_bytes(b"nonsense" * 100)
    with pytest.raises(DatasetError, match=r"0\.tar: is no uncompressed tar"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("column", ["target_file_name", "clean_file_name"])
def test_hugging_face_tables(tmp_path: Path, column: str) -> None:
    save(tmp_path / "train/r/1.png", rainy(PHOTOS[0]))
    save(tmp_path / "train/c/1.png", PHOTOS[0])
    table = tmp_path / "train/metadata.csv"
    table.write_text(f"file_name,{column}\nr/1.png,c/1.png\n")
    for where, split in ((tmp_path, None), (tmp_path, "train"), (tmp_path / "train", None)):
        ((_, seen, clean),) = shown(find_pairs(where, split=split))
        assert np.array_equal(clean, PHOTOS[0])
        assert np.array_equal(seen, rainy(PHOTOS[0]))
    table.with_suffix(".csv").unlink()
    (tmp_path / "train/metadata.jsonl").write_text('{"file_name": "r/1.png"}\n')
    with pytest.raises(DatasetError, match=r"metadata\.jsonl, line 1: needs file_name"):
        find_pairs(tmp_path)


def test_lists_of_paths(tmp_path: Path) -> None:
    save(tmp_path / "real/1.png", rainy(PHOTOS[0]))
    save(tmp_path / "gt/1.png", PHOTOS[0])
    (tmp_path / "real_test.txt").write_text("/real/1.png /gt/1.png\n\n")
    assert [pair.name for pair in find_pairs(tmp_path)] == ["real/1"]
    (tmp_path / "real_test.txt").write_text("/real/1.png /gt/1.png\n/real/2.png /gt/2.png\n")
    with pytest.raises(PairingError, match=r"real/2\.png"):
        find_pairs(tmp_path)
    (tmp_path / "real_test.txt").write_text("real/1.png gt/1.png\nreal/1.png\n")
    with pytest.raises(DatasetError, match=r"real_test\.txt, line 2"):
        find_pairs(tmp_path)
    (tmp_path / "real_test.txt").write_text("../x/1.png gt/1.png\n")
    with pytest.raises(DatasetError, match=r"line 1: .* is not a path inside"):
        find_pairs(tmp_path)


def test_meta_info_names_the_clean_picture_first(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", rainy(PHOTOS[0]))
    save(tmp_path / "b/1.png", PHOTOS[0])
    (tmp_path / "meta_info_pair.txt").write_text("b/1.png, a/1.png\n")
    ((name, _, clean),) = shown(find_pairs(tmp_path))
    assert name == "a/1"
    assert np.array_equal(clean, PHOTOS[0])


def test_lmdb(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    for name, rgb in (("lq", rainy(PHOTOS[0])), ("gt", PHOTOS[0])):
        database = lmdb.open(str(tmp_path / f"{name}.lmdb"), map_size=1 << 20)
        with database, database.begin(write=True) as transaction:
            transaction.put(b"0001", png(rgb))
        (tmp_path / f"{name}.lmdb/meta_info.txt").write_text("0001.png (64,64,3) 1\n")
    ((name, seen, clean),) = shown(find_pairs(tmp_path))
    assert name == "0001"
    assert np.array_equal(seen, rainy(PHOTOS[0]))
    assert np.array_equal(clean, PHOTOS[0])
    (tmp_path / "gt.lmdb/meta_info.txt").write_text("0002.png (64,64,3) 1\n")
    with pytest.raises(PairingError, match="0001, 0002"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("rainy_left", [True, False])
def test_which_half_is_rainy_shows_in_its_detail(tmp_path: Path, rainy_left: bool) -> None:
    for number, clean in enumerate(PHOTOS):
        both = [rainy(clean), clean] if rainy_left else [clean, rainy(clean)]
        save(tmp_path / f"{number}.png", np.hstack(both))
    for (_, seen, target), clean in zip(shown(find_pairs(tmp_path)), PHOTOS, strict=True):
        assert np.array_equal(target, clean)
        assert np.array_equal(seen, rainy(clean))


def test_halves_that_do_not_tell_need_the_side(tmp_path: Path) -> None:
    for number, clean in enumerate(PHOTOS):
        both = [rainy(clean), clean] if number else [clean, rainy(clean)]
        save(tmp_path / f"{number}.png", np.hstack(both))
    with pytest.raises(PairingError, match="--rainy-side left or right"):
        find_pairs(tmp_path)
    told = find_pairs(tmp_path, options=ReadOptions(rainy_side="right"))
    assert {(pair.rainy.half, pair.clean.half) for pair in told} == {("right", "left")}
    with pytest.raises(UsageError, match="--rainy-side up"):
        ReadOptions(rainy_side="up")


def test_photographs_alone_are_no_pairs_but_can_be_had(tmp_path: Path) -> None:
    for number, clean in enumerate(PHOTOS):
        save(tmp_path / f"{number}.png", clean[:, : clean.shape[1] // 2 * 2])
    with pytest.raises(PairingError, match="pictures without partners"):
        find_pairs(tmp_path)
    assert [stored.path.name for stored in find_unpaired(tmp_path)] == ["0.png", "1.png"]


def test_a_layout_can_be_forced(tmp_path: Path) -> None:
    save(tmp_path / "rainy/1.png", rainy(PHOTOS[0]))
    save(tmp_path / "clean/1.png", PHOTOS[0])
    assert len(find_pairs(tmp_path, options=ReadOptions(layout="folders"))) == 1
    with pytest.raises(PairingError, match="not of the layout wds"):
        find_pairs(tmp_path, options=ReadOptions(layout="wds"))
    with pytest.raises(UsageError, match="--layout nothing: choose from rainkit, wds"):
        find_datasets(tmp_path, options=ReadOptions(layout="nothing"))


def test_pairs_of_two_sizes_can_be_cropped(tmp_path: Path) -> None:
    clean = PHOTOS[0]
    save(tmp_path / "rainy/1.png", clean[:-1, :-2])
    save(tmp_path / "clean/1.png", clean)
    (pair,) = find_pairs(tmp_path, options=ReadOptions(crop_to_common=True))
    assert pair.clean.size() == pair.rainy.size() == (clean.shape[1] - 2, clean.shape[0] - 1)
    assert np.array_equal(pair.clean.read(), pair.rainy.read())


@pytest.mark.parametrize("locator", ["/etc/passwd", "../a.png", "x/../../a.png", "", "x\\a.png"])
def test_locators_stay_inside_their_folder(tmp_path: Path, locator: str) -> None:
    with pytest.raises(DatasetError, match="is not a path inside"):
        Stored.at(tmp_path, locator)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "secret.png", PHOTOS[0])
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DatasetError, match="a link that leaves"):
        Stored.at(tmp_path / "set", "a.png")


def test_what_is_stored_nowhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", {"1.png": png(PHOTOS[0]), "2.png": b"no picture"})
    assert np.array_equal(Stored(tmp_path / "a.tar", "1.png").read(), PHOTOS[0])
    with pytest.raises(DatasetError, match="holds no file 3"):
        Stored(tmp_path / "a.tar", "3.png").read()
    with pytest.raises(ImageError, match=r"a\.tar::2\.png: is not a"):
        Stored(tmp_path / "a.tar", "2.png").read()
    with pytest.raises(ImageError, match=r"b\.tar"):
        Stored(tmp_path / "b.tar", "1.png").read()


def test_sizes_follow_the_orientation(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTOS[0][:, :40]).save(tmp_path / "a.jpg", exif=exif)
    stored = Stored(tmp_path / "a.jpg")
    assert stored.size() == stored.read().shape[1::-1] == (64, 40)
    assert Stored(tmp_path / "a.jpg", half="left").size() == (32, 40)

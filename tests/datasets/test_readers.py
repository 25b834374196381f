"""Every layout of pairs is found by itself, and what is wrong with one is said by name."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import cropped_to_common, notice_of_crops
from rainkit.datasets.pairs import ReadOptions, find_datasets, find_pairs, find_unpaired
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


def test_keys_of_a_webdataset_may_have_dots(tmp_path: Path) -> None:
    a, b = PHOTOS
    sides = {"1.input.png": rainy(a), "1.gt.png": a, "2.5.input.png": rainy(b), "2.5.gt.png": b}
    tar(tmp_path / "0.tar", {name: png(rgb) for name, rgb in sides.items()})
    found = shown(find_pairs(tmp_path))
    assert [name for name, _, _ in found] == ["1", "2.5"]
    assert np.array_equal(found[1][2], b)


def test_a_sample_without_its_target_and_a_file_that_is_no_archive(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", {"1.input.png": png(PHOTOS[0])})
    with pytest.raises(PairingError, match=r"0\.tar::1"):
        find_pairs(tmp_path)
    whole = (tmp_path / "0.tar").read_bytes()
    for damaged in (b"nonsense" * 100, gzip.compress(whole), whole[:700], b""):
        (tmp_path / "0.tar").write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"0\.tar: is not an uncompressed tar"):
            find_pairs(tmp_path)


def test_a_tar_that_lost_its_end_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    members = {f"{n}.{field}.png": b"0" * 600 for n in range(2) for field in ("input", "target")}
    tar(tmp_path / "0.tar", members)
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[: 2 * (512 + 1024)])
    with pytest.raises(DatasetError, match=r"0\.tar: .* does not end as it should"):
        find_pairs(tmp_path)


def test_a_tar_that_pictures_came_in_may_stay_beside_them(tmp_path: Path) -> None:
    for folder in ("rainy", "clean"):
        save(tmp_path / folder / "1.png", PHOTOS[0])
    tar(tmp_path / "Rain100L.tar", {"rainy/1.png": png(PHOTOS[0]), "clean/1.png": png(PHOTOS[0])})
    assert [pair.rainy.path.parent.name for pair in find_pairs(tmp_path)] == ["rainy"]


def test_keys_of_several_tars_make_names_that_differ(tmp_path: Path) -> None:
    for number in range(2):
        tar(tmp_path / f"train-{number}.tar", {"./1.lq.png": b"", "./1.hq.png": b"", "1.txt": b""})
    tar(tmp_path / "test-0.tar", {"2.lq.png": b"", "2.hq.png": b""})
    tar(tmp_path / "tester-0.tar", {"3.lq.png": b"", "3.hq.png": b""})
    found = [pair.name for pair in find_pairs(tmp_path)]
    assert found == ["2", "3", "train-0/1", "train-1/1"]
    assert [pair.name for pair in find_pairs(tmp_path, split="test")] == ["2"]


def test_hard_links_in_a_tar_are_what_they_link_to(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for name, content in (("1.hq.png", png(PHOTOS[0])), ("1.lq.png", png(PHOTOS[1]))):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
        for name, linked in (("2.hq.png", "1.hq.png"), ("2.lq.png", "1.lq.png")):
            about = tarfile.TarInfo(name)
            about.type, about.linkname = tarfile.LNKTYPE, linked
            archive.addfile(about)
    assert np.array_equal(find_pairs(tmp_path)[1].clean.read(), PHOTOS[0])


@pytest.mark.parametrize("name", ["../../etc/1.input.png", "/etc/1.input.png"])
def test_members_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    tar(tmp_path / "0.tar", {name: b"", name.replace("input", "target"): b""})
    with pytest.raises(DatasetError, match=r"0\.tar: holds '.*', which leads out"):
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


def test_tables_that_are_damaged_or_of_single_pictures(tmp_path: Path) -> None:
    save(tmp_path / "r/1.png", rainy(PHOTOS[0]))
    save(tmp_path / "c/1.png", PHOTOS[0])
    table = tmp_path / "metadata.jsonl"
    first = '{"file_name": "c/1.png", "mask_file_name": "m/1.png", "rain_file_name": "r/1.png"}\n'
    table.write_text(first)
    assert [pair.name for pair in find_pairs(tmp_path)] == ["r/1"]
    table.write_text(first + '{"file_name": "c/1.png", "rain_file_name": null}\n')
    with pytest.raises(DatasetError, match=r"metadata\.jsonl, line 2: rain_file_name names no"):
        find_pairs(tmp_path)
    table.write_text(first + '{"file_name"\n')
    with pytest.raises(DatasetError, match=r"metadata\.jsonl, line 2: is not JSON"):
        find_pairs(tmp_path)
    table.write_text('{"file_name": "a", "mask_file_name": "b", "other_file_name": "c"}\n')
    with pytest.raises(PairingError, match=r"which column.*mask_file_name, other_file_name"):
        find_pairs(tmp_path)
    table.write_text('{"file_name": "r/1.png", "label": "rain"}\n')
    with pytest.raises(PairingError, match="pictures without partners"):
        find_pairs(tmp_path)


def test_a_table_of_several_splits(tmp_path: Path) -> None:
    rows = ["file_name,target_file_name"]
    for split in ("train", "test"):
        save(tmp_path / split / "r/1.png", rainy(PHOTOS[0]))
        save(tmp_path / split / "c/1.png", PHOTOS[0])
        rows.append(f"{split}/r/1.png,{split}/c/1.png")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    assert [pair.name for pair in find_pairs(tmp_path)] == ["test/r/1", "train/r/1"]
    assert [pair.name for pair in find_pairs(tmp_path, split="test")] == ["test/r/1"]


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
    (tmp_path / "real_test.txt").write_text("real/1.png\tgt/1.png\nreal/1.png gt/1.png\n")
    assert len(find_pairs(tmp_path)) == 1
    save(tmp_path / "gt/2.png", PHOTOS[1])
    (tmp_path / "real_test.txt").write_text("real/1.png gt/1.png\nreal/1.png gt/2.png\n")
    with pytest.raises(PairingError, match=r"line 2: .*1\.png has another partner"):
        find_pairs(tmp_path)


def test_meta_info_names_the_clean_picture_first(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", rainy(PHOTOS[0]))
    save(tmp_path / "b/1.png", PHOTOS[0])
    (tmp_path / "meta_info_pair.txt").write_text("b/1.png, a/1.png\n")
    ((name, _, clean),) = shown(find_pairs(tmp_path))
    assert name == "a/1"
    assert np.array_equal(clean, PHOTOS[0])
    (tmp_path / "a").rename(tmp_path / "lq")
    (tmp_path / "b").rename(tmp_path / "gt")
    for line in ("gt/1.png, lq/1.png", "lq/1.png,gt/1.png", "1.png (64,64,3)", "1.png (64,64,3) 1"):
        (tmp_path / "meta_info_pair.txt").write_text(f"{line}\n")
        (pair,) = find_pairs(tmp_path, options=ReadOptions(layout="meta-info"))
        assert np.array_equal(pair.clean.read(), PHOTOS[0]), line
    (tmp_path / "meta_info_pair.txt").write_text("1.png (64,64,3)\nnothing here\n")
    with pytest.raises(DatasetError, match=r"meta_info_pair\.txt, line 2: is neither"):
        find_pairs(tmp_path, options=ReadOptions(layout="meta-info"))


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
    for name in ("lq", "gt"):
        database = lmdb.open(str(tmp_path / f"{name}.lmdb"), map_size=1 << 20)
        with database, database.begin(write=True) as transaction:
            transaction.put(b"0001 (2)", png(PHOTOS[0]))
        with (tmp_path / f"{name}.lmdb/meta_info.txt").open("a") as lines:
            lines.write("0001 (2).png (64,64,3) 1\n")
    assert [name for name, _, _ in shown(find_pairs(tmp_path))] == ["0001", "0001 (2)"]
    (tmp_path / "gt.lmdb/meta_info.txt").write_text("0001.png (64,64,3) 1\n0002.png (64,64,3) 1\n")
    with pytest.raises(DatasetError, match=r"gt\.lmdb/meta_info\.txt, line 2: 0002"):
        find_pairs(tmp_path)
    (tmp_path / "gt.lmdb/meta_info.txt").write_text("")
    with pytest.raises(PairingError, match=r"lq\.lmdb::0001"):
        find_pairs(tmp_path)
    (tmp_path / "gt.lmdb/data.mdb").write_bytes(b"nonsense" * 1000)
    with pytest.raises(DatasetError, match=r"gt\.lmdb: cannot be read as LMDB"):
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


def test_fog_takes_the_detail_that_streaks_add(tmp_path: Path) -> None:
    for number, clean in enumerate(PHOTOS):
        foggy = (rainy(clean) * 0.3 + 0.7 * 200).astype(np.uint8)
        save(tmp_path / f"{number}.png", np.hstack([clean, foggy]))
    with pytest.raises(PairingError, match="--rainy-side left or right"):
        find_pairs(tmp_path)


def test_one_odd_width_among_side_by_side_pictures_is_named(tmp_path: Path) -> None:
    for number in range(30):
        clean = PHOTOS[number % 2]
        both = np.hstack([rainy(clean), clean])
        save(tmp_path / f"{number}.png", both[:, 1:] if number == 29 else both)
    with pytest.raises(PairingError, match=r"of an odd width: .*29\.png"):
        find_pairs(tmp_path)
    with pytest.raises(ImageError, match=r"29\.png: is 149 px wide"):
        ImageRef(tmp_path / "29.png", half="left").read()


def test_photographs_alone_are_no_pairs_but_can_be_had(tmp_path: Path) -> None:
    for number, clean in enumerate(PHOTOS):
        save(tmp_path / f"{number}.png", clean[:, : clean.shape[1] // 2 * 2])
    with pytest.raises(PairingError, match="pictures without partners"):
        find_pairs(tmp_path)
    assert [stored.path.name for stored in find_unpaired(tmp_path)] == ["0.png", "1.png"]


def test_a_layout_can_be_forced(tmp_path: Path) -> None:
    save(tmp_path / "rainy/1.png", rainy(PHOTOS[0]))
    save(tmp_path / "clean/1.png", PHOTOS[0])
    for name in ("folders", "restormer", "ddn"):
        assert len(find_pairs(tmp_path, options=ReadOptions(layout=name))) == 1
    with pytest.raises(PairingError, match="does not have the layout wds"):
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


def test_hazy_pictures_are_the_middle_of_the_clear_ones(tmp_path: Path) -> None:
    clean = PHOTOS[0][:60]
    save(tmp_path / "SOTS/indoor/hazy/1400_1.png", clean[10:-10, 10:-10])
    save(tmp_path / "SOTS/indoor/gt/1400.png", clean)
    save(tmp_path / "SOTS/outdoor/hazy/0001_0.8_0.2.jpg", clean)
    save(tmp_path / "SOTS/outdoor/gt/0001.png", clean)
    found = find_datasets(tmp_path / "SOTS", options=ReadOptions(crop_to_common=True))
    assert [each.name for each in found] == ["indoor", "outdoor"]
    (indoor,), (outdoor,) = (each.pairs for each in found)
    assert indoor.clean.size() == indoor.rainy.size() == (44, 40)
    assert np.array_equal(indoor.clean.read(), indoor.rainy.read())
    assert outdoor.clean.crop is None
    # A crop of a crop is the middle of the middle.
    save(tmp_path / "restored/1400_1.png", clean[14:-14, 14:-14])
    restored = ImageRef(tmp_path / "restored/1400_1.png")
    crops = cropped_to_common((restored, indoor.clean, indoor.rainy))
    assert all(np.array_equal(each.read(), clean[14:-14, 14:-14]) for each in crops)
    assert notice_of_crops([(indoor.rainy, indoor.clean)]) == (
        "1 pair of two sizes was cut to the common size, from the centre",
    )

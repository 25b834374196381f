"""Datasets of rainy and clean pairs: what is written, and that it can be made again."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import images
from rainkit.datasets import manifest
from rainkit.datasets.scenes import pixel_hash
from rainkit.datasets.synthesis import SynthRequest, synthesise
from rainkit.errors import ImageError, UsageError
from rainkit.rain import PRESETS, RainSettings, render

SIZES = {"a.png": (40, 60), "b.png": (33, 21), "deep/a.png": (50, 50)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for index, (name, size) in enumerate(SIZES.items()):
        rng = np.random.default_rng(index)
        rgb = cv2.resize(rng.integers(0, 200, (4, 4, 3), dtype=np.uint8), size[::-1])
        images.write(folder / name, images.Picture(rgb))
    return folder


@pytest.fixture
def request_(photos: Path, tmp_path: Path) -> SynthRequest:
    return SynthRequest(
        inputs=(str(photos),),
        out=tmp_path / "out",
        settings=PRESETS["rain100h"],
        preset="rain100h",
        variants=2,
        workers=1,
    )


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_pairs_have_equal_names_and_the_manifest_lists_them_all(request_: SynthRequest) -> None:
    result = synthesise(request_)
    assert (result.scenes, result.pairs, result.failures) == (3, 6, ())
    scenes = ("a", "b", "deep-a")
    names = {f"{scene}_{variant:02d}.png" for scene in scenes for variant in (1, 2)}
    assert {path.name for path in (request_.out / "input").iterdir()} == names
    assert {path.name for path in (request_.out / "target").iterdir()} == names
    records = manifest.read(result.manifest)
    assert {record.input for record in records} == {f"input/{name}" for name in names}
    assert {record.source for record in records} == set(SIZES)
    assert len(list(request_.out.rglob("*"))) == 12 + 3  # nothing temporary is left


def test_the_target_is_the_photograph_and_shared_by_its_variants(
    request_: SynthRequest, photos: Path
) -> None:
    synthesise(request_)
    first, second = (request_.out / "target" / f"b_{v}.png" for v in ("01", "02"))
    np.testing.assert_array_equal(images.read(first).rgb, images.read(photos / "b.png").rgb)
    assert os.path.samefile(first, second)


def test_targets_are_copied_where_links_cannot_be_made(
    request_: SynthRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    synthesise(request_)
    first, second = (request_.out / "target" / f"b_{v}.png" for v in ("01", "02"))
    assert first.read_bytes() == second.read_bytes()
    assert not os.path.samefile(first, second)


def test_a_record_is_enough_to_make_the_picture_again(request_: SynthRequest, photos: Path) -> None:
    result = synthesise(replace(request_, distance=80.0))
    for record in manifest.read(result.manifest):
        clean = images.read(request_.out / record.target).rgb
        assert pixel_hash(clean) == record.sha256.clean
        assert record.seed[1] == int(record.sha256.clean[:16], 16)
        settings = RainSettings(**{**record.settings, "cuts_m": tuple(record.settings["cuts_m"])})
        again = render(clean, settings, record.seed, distance=record.distance).rainy
        assert pixel_hash(again) == record.sha256.input
        np.testing.assert_array_equal(again, images.read(request_.out / record.input).rgb)
        assert (record.h, record.w) == clean.shape[:2] == SIZES[record.source]
        assert record.stats.y_psnr is not None
        assert 8 < record.stats.y_psnr < 25
        assert record.beta_per_m > 0


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_any_number_of_workers_writes_the_same_bytes(request_: SynthRequest, form: str) -> None:
    here = replace(request_, format=form)
    there = replace(here, out=request_.out.with_name("other"), workers=2)
    synthesise(here)
    synthesise(there)
    assert files(here.out) == files(there.out)


def test_other_pictures_and_seeds(request_: SynthRequest, photos: Path) -> None:
    synthesise(request_)
    before = files(request_.out / "input")
    (photos / "b.png").unlink()
    synthesise(replace(request_, out=request_.out.with_name("fewer"), variants=3))
    fewer = files(request_.out.with_name("fewer") / "input")
    # Neither the other photographs nor the number of variants decide a picture's rain ...
    assert {name: fewer[name] for name in before if not name.startswith("b")} == {
        name: value for name, value in before.items() if not name.startswith("b")
    }
    # ... but the dataset's seed does.
    synthesise(replace(request_, out=request_.out.with_name("seed"), seed=1))
    seeded = files(request_.out.with_name("seed") / "input")
    assert not set(seeded.values()) & set(before.values())


def test_one_bad_photograph_is_reported_and_the_others_are_made(
    request_: SynthRequest, photos: Path
) -> None:
    (photos / "bad.jpg").write_text("not a picture")
    steps: list[tuple[int, int]] = []
    result = synthesise(request_, lambda done, total: steps.append((done, total)))
    assert [path.name for path, _ in result.failures] == ["bad.jpg"]
    assert (result.scenes, result.pairs) == (3, 6)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert not list(request_.out.rglob("*bad*"))


def test_16_bit_and_grey_photographs_and_alpha(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    ramp = np.linspace(0, 65535, 48 * 64).reshape(48, 64, 1).repeat(3, 2).astype(np.uint16)
    images.write(folder / "deep.png", images.Picture(ramp, grey=True))
    alpha = np.full((1, 1), 9, np.uint8)
    images.write(folder / "dot.png", images.Picture(np.zeros((1, 1, 3), np.uint8), alpha))
    result = synthesise(SynthRequest(inputs=(str(folder),), out=tmp_path / "out", workers=1))
    assert (result.pairs, result.failures) == (2, ())
    for path in (tmp_path / "out").rglob("*.png"):
        picture = images.read(path)
        assert picture.rgb.dtype == np.uint8
        assert picture.alpha is None


def test_equal_names_are_told_apart_by_their_kind(request_: SynthRequest, photos: Path) -> None:
    images.write(photos / "B.jpg", images.read(photos / "b.png"))
    synthesise(replace(request_, variants=1))
    names = {path.name for path in (request_.out / "input").iterdir()}
    assert names == {"a_01.png", "b-png_01.png", "B-jpg_01.png", "deep-a_01.png"}


def test_names_that_cannot_be_told_apart_are_refused(request_: SynthRequest, photos: Path) -> None:
    inputs = (str(photos / "a.png"), str(photos / "deep"))
    with pytest.raises(UsageError, match="both become a"):
        synthesise(replace(request_, inputs=inputs))
    assert not request_.out.exists()


def test_a_folder_that_is_not_empty_is_left_alone(request_: SynthRequest) -> None:
    request_.out.mkdir()
    (request_.out / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="--overwrite"):
        synthesise(request_)
    assert list(files(request_.out)) == ["mine.txt"]


def test_overwriting_leaves_no_pair_of_the_former_dataset(request_: SynthRequest) -> None:
    synthesise(replace(request_, variants=4))
    (request_.out / "input" / "mine.png").write_bytes(b"keep")
    result = synthesise(replace(request_, variants=1, overwrite=True))
    assert {path.name for path in (request_.out / "target").iterdir()} == {
        "a_01.png",
        "b_01.png",
        "deep-a_01.png",
    }
    assert (request_.out / "input" / "mine.png").exists()
    assert len(manifest.read(result.manifest)) == 3


def test_overwriting_removes_nothing_outside_the_dataset(
    request_: SynthRequest, photos: Path
) -> None:
    result = synthesise(request_)
    forged = [
        replace(record, input=f"input/../../photos/{name}")
        for record, name in zip(manifest.read(result.manifest), SIZES, strict=False)
    ]
    manifest.write(result.manifest, forged, overwrite=True)
    synthesise(replace(request_, overwrite=True))
    assert all((photos / name).exists() for name in SIZES)


def test_a_dataset_inside_the_photographs_is_not_rained_on_again(
    request_: SynthRequest, photos: Path
) -> None:
    inside = replace(request_, out=photos / "rainy")
    assert synthesise(inside).pairs == 6
    assert synthesise(replace(inside, overwrite=True)).pairs == 6
    with pytest.raises(UsageError, match="name clean photographs"):
        synthesise(replace(inside, inputs=(str(photos / "rainy"),), overwrite=True))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_run_keeps_whole_pairs_and_their_manifest(
    request_: SynthRequest, workers: int
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(replace(request_, workers=workers), stop)
    records = manifest.read(request_.out / manifest.MANIFEST)
    assert len(records) >= 4
    listed = {record.input for record in records}
    assert listed == {f"input/{path.name}" for path in (request_.out / "input").iterdir()}
    for record in records:
        assert images.read(request_.out / record.input).size == (record.w, record.h)


def test_results_that_cannot_be_written_end_the_run(request_: SynthRequest, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "input").write_text("a file where a folder must be")
    with pytest.raises(ImageError, match="input"):
        synthesise(replace(request_, out=blocked, overwrite=True))
    with pytest.raises(UsageError, match="is a file"):
        synthesise(replace(request_, out=blocked / "input"))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"variants": 0}, "variants"),
        ({"variants": 10_000}, "variants"),
        ({"seed": -1}, "seed"),
        ({"format": "gif"}, "format"),
        ({"workers": 0}, "workers"),
        ({"distance": 0.0}, "distance"),
        ({"distance": float("inf")}, "distance"),
    ],
)
def test_wrong_requests_are_refused(tmp_path: Path, values: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        SynthRequest(inputs=("x",), out=tmp_path / "out", **values)

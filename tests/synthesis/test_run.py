"""Datasets of rainy and clean pairs: what is written, and that it can be made again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import images
from rainkit.datasets import manifest
from rainkit.datasets.phash import pixel_hash
from rainkit.datasets.writers import LAYOUTS
from rainkit.errors import DatasetError, FileError, UsageError
from rainkit.rain import RainSettings, render
from rainkit.synthesis.rebuild import RebuildRequest, rebuild
from rainkit.synthesis.request import DepthChoice, SynthRequest
from rainkit.synthesis.run import synthesise
from rainkit.synthesis.verify import verify

SIZES = {"a.png": (40, 60), "b.png": (33, 21), "deep/a.png": (50, 50)}


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
    # With two folders, the manifest, the request and the card: nothing temporary is left.
    assert len(list(request_.out.rglob("*"))) == 12 + 5


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
def test_any_number_of_workers_writes_the_same_bytes(
    files, request_: SynthRequest, form: str
) -> None:
    here = replace(request_, format=form)
    there = replace(here, out=request_.out.with_name("other"), workers=2)
    synthesise(here)
    synthesise(there)
    assert files(here.out) == files(there.out)


def test_other_pictures_and_seeds(files, request_: SynthRequest, photos: Path) -> None:
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
    steps: list[tuple[str, int, int]] = []
    result = synthesise(request_, lambda *step: steps.append(step))
    assert [path.name for path, _ in result.failures] == ["bad.jpg"]
    assert (result.scenes, result.pairs) == (3, 6)
    assert steps == [("raining", done, 4) for done in (1, 2, 3, 4)]
    assert not list(request_.out.rglob("*bad*"))


def test_16_bit_and_grey_photographs_and_alpha(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    ramp = np.linspace(0, 65535, 48 * 64).reshape(48, 64, 1).repeat(3, 2).astype(np.uint16)
    images.write(folder / "deep.png", images.Picture(ramp, grey=True))
    alpha = np.full((1, 1), 9, np.uint8)
    images.write(folder / "dot.png", images.Picture(np.zeros((1, 1, 3), np.uint8), alpha))
    result = synthesise(SynthRequest(inputs=(str(folder),), out=tmp_path / "out", workers=1))
    assert (result.pairs, result.failures) == (2, ())
    for path in (tmp_path / "out").glob("*put/*.png"):
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


def test_a_folder_that_is_not_empty_is_left_alone(files, request_: SynthRequest) -> None:
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


def test_variants_take_turns(request_: SynthRequest) -> None:
    result = synthesise(replace(request_, rates=(2.0, 40.0), variants=3))
    rates = {(r.variant, r.rate_mm_h) for r in manifest.read(result.manifest)}
    assert rates == {(1, 2.0), (2, 40.0), (3, 2.0)}
    levels = replace(request_, levels=("light", "violent"), out=request_.out.with_name("levels"))
    for record in manifest.read(synthesise(levels).manifest):
        assert record.level == ("light", "violent")[record.variant - 1]
        assert (record.rate_mm_h > 2) == (record.level == "violent")


def test_a_split_keeps_scenes_whole_and_is_written_down(
    request_: SynthRequest, photos: Path
) -> None:
    for index in range(7):
        rng = np.random.default_rng(100 + index)
        rgb = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (48, 48))
        images.write(photos / f"more{index}.png", images.Picture(rgb))
    images.write(photos / "again.png", images.read(photos / "more3.png"))
    request = replace(request_, test_scenes=4, variants=3)
    result = synthesise(request)
    records = manifest.read(result.manifest)
    assert result.splits == {"train": (7, 21), "test": (4, 12)}
    assert {Path(record.input).parts[0] for record in records} == {"train", "test"}
    twins = {record.split for record in records if record.scene in ("again", "more3")}
    assert len(twins) == 1
    data = json.loads((request.out / "splits.json").read_text())
    assert (data["test"]["scenes"], data["train"]["scenes"], data["test_scenes"]) == (4, 7, 4)
    groups = data["train"]["groups"] | data["test"]["groups"]
    assert groups["again"] == ["again", "more3"]


def test_depth_is_stored_and_hides_what_is_behind(request_: SynthRequest, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    for name, (height, width) in SIZES.items():
        z = np.full((height, width, 3), 10 * 256, np.uint16)
        z[:, : width // 2] = 65535
        images.write((maps / name).with_suffix(".png"), images.Picture(z, grey=True))
    depth = DepthChoice(name=str(maps), form="kitti")
    request = replace(request_, depth=depth, preset="default", settings=RainSettings(rate_mm_h=80))
    result = synthesise(request)
    assert result.depths == {"map": 3}
    for record in manifest.read(result.manifest):
        assert record.depth is not None
        assert record.beta_per_m > 0
        stored = images.read(request.out / record.depth.path).rgb[..., 0]
        assert set(np.unique(stored)) == {2560, 65535}
        change = images.read(request.out / record.input).rgb.astype(float)
        change -= images.read(request.out / record.target).rgb
        far, near = np.array_split(np.abs(change).mean(axis=(0, 2)), 2)
        assert far.mean() > 2 * near.mean()
    assert verify(request.out).findings == ()


def test_a_unit_that_is_guessed_is_told_and_that_of_own_maps_is_known(
    request_: SynthRequest, tmp_path: Path
) -> None:
    for name, (height, width) in SIZES.items():
        z = np.linspace(3, 60, height * width, dtype=np.float32).reshape(height, width)
        path = (tmp_path / "maps" / name).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, z)
    first = replace(request_, depth=DepthChoice(name=str(tmp_path / "maps")), variants=1)
    made = synthesise(first)
    assert not made.notes
    stored = first.out / "depth"
    again = replace(first, depth=DepthChoice(name=str(stored)), out=tmp_path / "again")
    assert not synthesise(again).notes
    for name in ("a.png", "b.png"):
        same = images.read(tmp_path / "again" / "depth" / name).rgb
        assert np.array_equal(images.read(stored / name).rgb, same)
    (first.out / "dataset.json").unlink()
    other = replace(first, depth=DepthChoice(name=str(stored)), out=tmp_path / "other")
    (note,) = synthesise(other).notes
    assert " maps in millimetres" in note
    assert "--set depth_format=" in note


def test_a_photograph_without_its_map_is_left_out(request_: SynthRequest, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    images.write(maps / "b.png", images.Picture(np.full((33, 21, 3), 2560, np.uint16), grey=True))
    result = synthesise(replace(request_, depth=DepthChoice(name=str(maps), form="kitti")))
    assert (result.scenes, result.pairs) == (1, 2)
    assert [path.name for path, _ in result.failures] == ["a.png", "a.png"]
    assert all("depth map" in reason for _, reason in result.failures)


def test_side_outputs(request_: SynthRequest) -> None:
    synthesise(replace(request_, save=("mask", "trans"), distance=100.0, variants=1))
    mask = images.read(request_.out / "mask" / "a_01.png").rgb
    through = images.read(request_.out / "trans" / "a_01.png").rgb
    assert mask.dtype == np.uint8
    assert mask.max() > 0
    assert through.dtype == np.uint16
    assert 0 < int(through.max()) < 65535


def test_noise_instead_of_rain(request_: SynthRequest) -> None:
    result = synthesise(replace(request_, noise=25.0))
    for record in manifest.read(result.manifest):
        assert (record.degradation, record.sigma, record.n_drops) == ("noise", 25.0, 0)
        assert record.stats.y_psnr is not None
        assert 20 < record.stats.y_psnr < 27
    assert verify(request_.out).findings == ()


@pytest.mark.parametrize("fps", [None, 25.0])
def test_sequences(request_: SynthRequest, fps: float | None) -> None:
    result = synthesise(replace(request_, sequence=3, fps=fps, variants=1))
    records = manifest.read(result.manifest)
    assert [record.frame for record in records] == [1, 2, 3] * 3
    assert len({record.sha256.input for record in records}) == 9
    assert len({record.target for record in records}) == 3
    assert verify(request_.out).findings == ()


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_odd_names(tmp_path: Path, layout: str) -> None:
    photos = tmp_path / "photos"
    for name in ("a b.png", "c:d\\e.png", "neu\n::ñ%.png", ".".join("fgh") + ".png"):
        images.write(photos / name, images.Picture(np.full((16, 16, 3), 90, np.uint8)))
    latin = photos / os.fsdecode(b"\xe9.png")
    os.rename(photos / "a b.png", latin)
    out = tmp_path / "out"
    request = SynthRequest(
        inputs=(str(photos),), out=out, layout=layout, depth=DepthChoice(name="auto"), workers=1
    )
    assert synthesise(request).pairs == 4
    found = verify(out)
    assert (found.pairs, found.rendered, found.findings) == (4, 4, ())


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_layout_can_be_drawn_again(request_: SynthRequest, layout: str) -> None:
    synthesise(replace(request_, layout=layout, test_scenes=1))
    found = verify(request_.out)
    assert (found.pairs, found.rendered, found.findings) == (6, 6, ())


def test_a_parquet_manifest_says_the_same(request_: SynthRequest) -> None:
    result = synthesise(replace(request_, manifest_format="parquet"))
    assert manifest.read(request_.out / manifest.PARQUET) == manifest.read(result.manifest)


def test_results_that_cannot_be_written_end_the_run(request_: SynthRequest, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "input").write_text("a file where a folder must be")
    with pytest.raises(FileError, match="input"):
        synthesise(replace(request_, out=blocked, overwrite=True))
    with pytest.raises(DatasetError, match="cannot be made"):
        synthesise(replace(request_, out=blocked / "input" / "deeper"))
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
        ({"distance": 0.0}, "--depth must be above 0 metres"),
        ({"distance": float("inf")}, "--depth must be above 0 metres"),
        ({"distance": 9.0, "depth": DepthChoice(name="auto")}, "a distance replaces the depth"),
        ({"noise": -1.0}, "noise"),
        ({"noise": 5.0, "sequence": 3}, "--noise"),
        ({"levels": ("heavy",), "rates": (3.0,)}, "levels or numbers, not both"),
        ({"levels": ("torrential",)}, "--rate torrential: unknown; choose from drizzle, light"),
        ({"rates": (0.0,)}, "--rate must be"),
        ({"fps": 25.0}, "--sequence"),
        ({"sequence": 3, "layout": "ddn"}, "no place for sequences"),
        ({"group_by": "(a)"}, "--test-scenes"),
        ({"layout": "imagenet"}, "--layout imagenet: unknown; choose from restormer"),
        ({"layout": "did", "format": "jpg"}, "--format png"),
        ({"save": ("depths",)}, "--set save depths: unknown; choose from mask, trans"),
        ({"manifest_format": "csv"}, "--set manifest_format csv: unknown"),
        ({"shard": (4, 3)}, "--shard 4/3"),
        ({"shard": (1, 3), "overwrite": True}, "--overwrite"),
        ({"test_scenes": 0}, "--test-scenes"),
    ],
)
def test_wrong_requests_are_refused(tmp_path: Path, values: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        SynthRequest(inputs=("x",), out=tmp_path / "out", **values)


@pytest.mark.parametrize("layout", ["hf", "spa"])
def test_a_split_that_is_gone_leaves_no_list(files, request_: SynthRequest, layout: str) -> None:
    split = replace(request_, layout=layout, test_scenes=1)
    synthesise(split)
    listed = [path for path in files(request_.out) if Path(path).name.startswith(("test", "meta"))]
    assert any("test" in path for path in listed)
    synthesise(replace(split, test_scenes=None, overwrite=True))
    assert not any("test" in path for path in files(request_.out))


def test_side_outputs_of_former_rain_go_when_it_is_overwritten(request_: SynthRequest) -> None:
    synthesise(replace(request_, save=("mask",)))
    assert len(list((request_.out / "mask").iterdir())) == 6
    heavier = request_.settings.at_rate(80.0)
    synthesise(replace(request_, settings=heavier, overwrite=True))
    assert not list(request_.out.glob("mask/*")), "they would show other rain than the pictures"
    synthesise(replace(request_, settings=heavier, save=("trans",), overwrite=True))
    assert len(list((request_.out / "trans").iterdir())) == 6


def test_exposures_that_are_longer_than_a_frame_are_refused_before_anything_is_written(
    request_: SynthRequest,
) -> None:
    spread = request_.settings.changed({"exposure_s": 0.02, "exposure_spread": 2.0})
    for settings, fps in ((spread, 26.0), (request_.settings.changed({"exposure_s": 0.02}), 51.0)):
        with pytest.raises(UsageError, match=r"fps: .* take up to (25|50)$"):
            replace(request_, settings=settings, sequence=3, fps=fps)
    replace(request_, settings=spread, sequence=3, fps=25.0)


def test_names_that_are_too_long_for_the_system_are_cut(
    request_: SynthRequest, photos: Path
) -> None:
    for index in range(2):
        folder = photos / ("d" * 90) / ("e" * 90) / ("f" * 90)
        folder.mkdir(parents=True, exist_ok=True)
        images.write(folder / f"{index}.png", images.read(photos / "b.png"))
    images.write(photos / ("g" * 251 + ".png"), images.read(photos / "b.png"))
    result = synthesise(replace(request_, depth=DepthChoice(name="auto"), save=("mask",)))
    assert (result.scenes, result.failures) == (6, ())
    records = manifest.read(result.manifest)
    assert len({record.input for record in records}) == 12
    assert all((request_.out / name).is_file() for r in records for name in (r.input, r.target))


@pytest.mark.parametrize("layout", ["rain100", "ddn"])
def test_numbers_keep_the_gaps_of_photographs_that_were_left_out(
    request_: SynthRequest, photos: Path, tmp_path: Path, layout: str, files
) -> None:
    (photos / "b.png").write_bytes(b"no picture")
    synthesise(replace(request_, layout=layout))
    rebuild(RebuildRequest(manifest=request_.out, out=tmp_path / "again", workers=1))
    assert files(tmp_path / "again") == files(request_.out)


def test_what_a_dataset_says_of_itself_leads_nowhere_else(
    request_: SynthRequest, tmp_path: Path
) -> None:
    synthesise(request_)
    path = request_.out / "dataset.json"
    whole = json.loads(path.read_text())
    for request in ([], {"save": 3}, {"save": ["../../elsewhere"]}):
        path.write_text(json.dumps(whole | {"request": request}))
        with pytest.raises(DatasetError, match=r"dataset\.json: does not say how"):
            rebuild(RebuildRequest(manifest=request_.out, out=tmp_path / "again", workers=1))
    assert not (tmp_path / "again").exists()

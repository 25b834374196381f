"""``--parts``: what a method shows besides its result, as arrays and as files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from rainkit import images, inference
from rainkit.images import Picture
from rainkit.inference import InferRequest, InferResult
from rainkit.runtime_options import RuntimeOptions


@pytest.fixture
def run(anytime_weights: Path):
    def infer(*inputs: Path | str, tile: int | str = "auto", **options) -> InferResult:
        request = InferRequest(
            inputs=inputs,
            method="resguidenet",
            weights=str(anytime_weights),
            options=RuntimeOptions.parse(device="cpu", precision="fp32", tile=tile),
            **{"parts": True} | options,
        )
        return inference.infer(request)

    return infer


def tree(folder: Path) -> list[str]:
    """The files of a folder, without the record of how they were made."""
    files = (p.relative_to(folder).as_posix() for p in folder.rglob("[!.]*") if p.is_file())
    return sorted(files)


PARTS = ("block1", "block2", "block3", "rain")


def test_parts_of_a_folder_mirror_it_beside_the_results(run, photos: Path):
    result = run(photos)
    place = photos.with_name("photos-resguidenet-parts")
    assert tree(place) == sorted(f"{p}/{f}" for p in PARTS for f in ("a.png", "trip/b.png"))
    assert tree(photos.with_name("photos-resguidenet")) == ["a.jpg", "trip/b.png"]
    assert result.parts == (place,)
    assert result.outcomes[0].parts["block2"] == place / "block2" / "a.png"
    assert [each.blocks for each in result.outcomes] == [3, 3]


def test_parts_of_one_picture_have_a_folder_of_their_own(run, photos: Path, tmp_path: Path):
    run(photos / "a.jpg")
    assert tree(photos / "a-resguidenet-parts") == [f"{part}.png" for part in PARTS]
    run(photos / "a.jpg", output=tmp_path / "clean.png")
    assert tree(tmp_path / "clean-parts") == [f"{part}.png" for part in PARTS]


def test_names_that_differ_in_their_suffix_alone_stay_apart(run, photos: Path):
    images.write(photos / "a.tif", images.read(photos / "a.jpg"))
    run(photos)
    rain = photos.with_name("photos-resguidenet-parts") / "rain"
    assert tree(rain) == ["a.jpg.png", "a.tif.png", "trip/b.png"]


def test_rain_is_what_was_taken_away_with_zero_at_mid_grey(run, photos: Path):
    run(photos)
    rainy = images.read(photos / "trip" / "b.png").rgb.astype(float)
    clean = images.read(photos.with_name("photos-resguidenet") / "trip" / "b.png").rgb.astype(float)
    rain = images.read(photos.with_name("photos-resguidenet-parts") / "rain" / "trip" / "b.png").rgb
    np.testing.assert_allclose(rain, (rainy - clean) / 2 + 127.5, atol=1.01)


def test_signed_parts_of_a_method_are_encoded_and_given_raw(photos: Path, tmp_path: Path):
    """GraNet's mask: coarse = rainy - mask."""
    import torch
    from rainkit_granet import METHOD

    from rainkit import networks, weights
    from rainkit.api import replace

    settings = replace(METHOD.default, network={"width": 8, "growth": 4, "layers": 1}).network
    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = networks.build(METHOD, settings).state_dict()
    path = tmp_path / "small.safetensors"
    weights.save(path, state, method=METHOD, variant="default", network=settings)
    derainer = inference.load("granet", weights=path, device="cpu", precision="fp32")
    rgb = images.read(photos / "a.jpg").rgb
    parts = derainer.parts(rgb)
    assert set(parts) == {"mask", "coarse", "rain"}
    np.testing.assert_allclose(parts["coarse"] + parts["mask"], rgb / 255, atol=1e-6)
    result = derainer.derain_picture(Picture(rgb), parts=True)
    shown = result.parts["mask"].rgb
    np.testing.assert_allclose(shown, (parts["mask"] / 2 + 0.5).clip(0, 1) * 255, atol=0.51)
    assert result.blocks is None


def test_sixteen_bits_stay_sixteen(run, tmp_path: Path):
    rgb = np.full((24, 24, 3), 40_000, np.uint16)
    images.write(tmp_path / "deep.png", Picture(rgb))
    run(tmp_path / "deep.png")
    assert images.read(tmp_path / "deep-resguidenet-parts" / "rain.png").rgb.dtype == np.uint16


def test_parts_asked_for_later_are_made_and_the_result_is_left_alone(run, photos: Path):
    run(photos, parts=False)
    result = photos.with_name("photos-resguidenet") / "a.jpg"
    before = result.stat().st_mtime_ns
    again = run(photos)
    assert len(again.done) == 2
    assert result.stat().st_mtime_ns == before
    assert len(tree(photos.with_name("photos-resguidenet-parts"))) == 2 * len(PARTS)
    skipped = run(photos).skipped
    assert [list(each.parts) for each in skipped] == [list(PARTS)] * 2


def test_parts_of_another_result_are_not_taken_for_its_own(run, photos: Path):
    run(photos)
    place, result = (
        photos.with_name("photos-resguidenet-parts"),
        photos.with_name("photos-resguidenet"),
    )
    shutil.rmtree(result)
    before = {name: (place / name).read_bytes() for name in tree(place)}
    kept = run(photos).kept
    assert len(kept) == 2
    assert all("parts of another result" in each.error for each in kept)
    assert not result.exists() or not tree(result)
    assert {name: (place / name).read_bytes() for name in tree(place)} == before
    assert len(run(photos, overwrite=True).done) == 2
    # Pictures that stand alone share the folder of their stem.
    images.write(photos / "trip" / "b.jpg", images.read(photos / "a.jpg"))
    assert len(run(photos / "trip" / "b.png").done) == 1
    assert len(run(photos / "trip" / "b.jpg").kept) == 1


def test_parts_are_on_the_page_below_their_result(run, photos: Path):
    run(photos / "trip")
    found = run(photos / "trip", report=True)  # also those of an earlier run
    page = (found.report or Path()).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 + len(PARTS)
    assert page.count("<small>block2</small>") == 1
    assert page.count('<details class="parts" open>') == 1


def test_parts_are_no_inputs(run, photos: Path):
    run(photos, output=photos / "out")
    assert len(run(photos, output=photos / "out").outcomes) == 2


def test_large_pictures_give_their_parts_in_tiles(run, tmp_path: Path):
    rgb = np.random.default_rng(0).integers(0, 256, (70, 200, 3), dtype=np.uint8)
    images.write(tmp_path / "wide.png", Picture(rgb))
    run(tmp_path / "wide.png", tile=64)
    run(tmp_path / "wide.png", tile=0, output=tmp_path / "whole.png")
    for part in PARTS:
        tiled = images.read(tmp_path / "wide-resguidenet-parts" / f"{part}.png").rgb
        whole = images.read(tmp_path / "whole-parts" / f"{part}.png").rgb
        np.testing.assert_allclose(tiled.astype(int), whole.astype(int), atol=1)

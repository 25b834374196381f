"""Folders of which a part is trained on, and that are drawn from by share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.merge import MergeRequest, MergeSource, merge_datasets
from rainkit.datasets.pairs import find_pairs
from rainkit.datasets.sampling_spec import SampledFolder
from rainkit.datasets.sources import DataRequest, MixedDataset, open_sources
from rainkit.errors import RainkitError, UsageError
from rainkit.images import Picture

TRAINING = Training(patch=16)


def folder_of(root: Path, levels: Iterable[int]) -> Path:
    """Pairs of which each has a grey level of its own."""
    for level in levels:
        grey = Picture(rgb=np.full((16, 16, 3), level, np.uint8))
        for side in ("input", "target"):
            images.write(root / side / f"{level}.png", grey)
    return root


def opened(*pairs: object, seed: int = 0, **fields: object) -> MixedDataset:
    request = DataRequest(pairs=tuple(map(str, pairs)), **fields)
    return open_sources(request, TRAINING, seed, kind="pairs")


def levels_of(source: MixedDataset, samples: int) -> Counter[int]:
    drawn = [source[k] for k in range(samples)]
    assert not any(isinstance(sample, RainkitError) for sample in drawn)
    return Counter(int(clean[0, 0, 0]) for _, clean in drawn)


def test_of_a_folder_as_many_pairs_as_asked_for_are_drawn(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", range(12))
    source = opened(f"{folder}:5")
    drawn = levels_of(source, 150)
    assert len(drawn) == 5
    assert source.describe() == f"{folder} (5 of 12 pictures)"
    assert levels_of(opened(f"{folder}:5"), 150) == drawn
    others = [set(levels_of(opened(f"{folder}:5", seed=seed), 100)) for seed in range(1, 4)]
    assert any(other != set(drawn) for other in others), "the seed chooses"
    assert len(levels_of(opened(folder), 200)) == 12


def test_training_takes_the_pairs_that_mixing_would(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", range(12))
    out = tmp_path / "mixed"
    merge_datasets(MergeRequest(sources=(MergeSource(folder, 4),), out=out, seed=6))
    taken = {int(pair.clean.read()[0, 0, 0]) for pair in find_pairs(out)}
    assert set(levels_of(opened(f"{folder}:4", seed=6), 100)) == taken


def test_more_pairs_than_there_are_cannot_be_asked_for(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", range(3))
    with pytest.raises(UsageError, match=r"a:4: holds 3 pairs; ask for 3 at most"):
        opened(f"{folder}:4")
    assert len(levels_of(opened(f"{folder}:3"), 60)) == 3


def test_shares_decide_how_often_a_folder_is_drawn_from(tmp_path: Path) -> None:
    few, many = folder_of(tmp_path / "few", [200]), folder_of(tmp_path / "many", range(9))
    plain = opened(few, many)
    assert 5 <= levels_of(plain, 200)[200] <= 40, "all pictures alike: 10%"
    assert "few (1 pictures, 10%)" in plain.describe()
    shared = opened(f"{few}@3", f"{many}:4@1")
    drawn = levels_of(shared, 200)
    assert 125 <= drawn[200] <= 175, "75%"
    assert len(drawn) == 5
    assert shared.describe() == f"{few} (1 pictures, 75%), {many} (4 of 9 pictures, 25%)"


def test_shares_divide_what_clean_photos_leave(tmp_path: Path) -> None:
    few, many = folder_of(tmp_path / "few", [200]), folder_of(tmp_path / "many", range(9))
    images.write(tmp_path / "photos" / "a.png", Picture(rgb=np.full((20, 20, 3), 99, np.uint8)))
    photos = (str(tmp_path / "photos"),)
    source = opened(f"{few}@0.75", f"{many}@0.25", clean=photos, clean_share=0.6)
    assert "(1 pictures, 60%)" in source.describe()
    assert "few (1 pictures, 30%)" in source.describe()
    assert "many (9 pictures, 10%)" in source.describe()


def test_shares_of_some_folders_only_are_refused(tmp_path: Path) -> None:
    one, other = folder_of(tmp_path / "one", [1]), folder_of(tmp_path / "other", [2])
    with pytest.raises(UsageError, match=r"other has no share, but .*one@0\.3 has: .* or for none"):
        opened(f"{one}@0.3", other)
    with pytest.raises(UsageError, match=r"one has no share, but .*other@2 has"):
        opened(one, scenes=(f"{other}@2",))
    assert len(levels_of(opened(f"{one}@0.3"), 3)) == 1, "one folder may have a share alone"


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of photographs, all of the level 99 and 120."""
    roots = tmp_path / "shots@2", tmp_path / "others"
    for root, level in zip(roots, (99, 120), strict=True):
        for name in "ab":
            images.write(root / f"{name}.png", Picture(rgb=np.full((20, 20, 3), level, np.uint8)))
    return roots


def test_shares_of_clean_photos_decide_every_share(
    tmp_path: Path, photos: tuple[Path, Path]
) -> None:
    few = folder_of(tmp_path / "few", [200])
    one, other = photos
    bare = {"scene_lines": 0.0, "sensor_noise": 0.0}
    source = opened(f"{few}@0.3", clean=(f"{one}@0.5", f"{other}/*.png@0.2"), **bare)
    assert source.describe() == (
        f"{one}, rain on the fly (2 pictures, 50%), "
        f"{other}/*.png, rain on the fly (2 pictures, 20%), {few} (1 pictures, 30%)"
    )
    drawn = levels_of(source, 300)
    assert 125 <= drawn[99] <= 175
    assert 35 <= drawn[120] <= 85
    assert 65 <= drawn[200] <= 115
    alone = opened(clean=(f"{one}@3", f"{other}@1"))
    assert "others, rain on the fly (2 pictures, 25%)" in alone.describe()


def test_a_name_with_an_at_sign_is_no_share(photos: tuple[Path, Path]) -> None:
    one, _ = photos
    assert opened(clean=(str(one),)).describe() == "rain on the fly (2 pictures)"
    pattern = str(one.parent / "*@2")
    assert opened(clean=(pattern,)).describe() == "rain on the fly (2 pictures)"
    assert opened(clean=(f"{pattern}@1",)).describe() == f"{pattern}, rain on the fly (2 pictures)"
    with pytest.raises(UsageError, match=r"shots: no such file or folder"):
        opened(clean=(str(one.parent / "shots@3"),))
    with pytest.raises(UsageError, match=r"@0: write FOLDER@SHARE with a share above 0"):
        opened(clean=(f"{one}@0",))


def test_shares_of_some_inputs_only_are_refused(tmp_path: Path, photos: tuple[Path, Path]) -> None:
    few = folder_of(tmp_path / "few", [200])
    one, other = photos
    with pytest.raises(
        UsageError, match=r"others has no share, but .*@0\.5 has: .* --clean, --pairs and --scenes"
    ):
        opened(clean=(f"{one}@0.5", str(other)))
    with pytest.raises(UsageError, match=r"few has no share, but .*shots@2@0\.5 has"):
        opened(few, clean=(f"{one}@0.5",))
    with pytest.raises(
        UsageError, match=r"data\.clean_share = 0\.7: the shares of --clean replace it"
    ):
        opened(f"{few}@1", clean=(f"{one}@1",), clean_share=0.7)


def test_scenes_are_counted_and_have_shares(tmp_path: Path) -> None:
    for scene in range(4):
        for frame in range(scene + 2):
            grey = Picture(rgb=np.full((16, 16, 3), 10 * scene + frame, np.uint8))
            images.write(tmp_path / "s" / f"scene{scene}" / f"{frame}.png", grey)
    counted = DataRequest(scenes=(f"{tmp_path / 's'}:2",))
    source = open_sources(counted, TRAINING, 0, kind="frames")
    drawn = {int(source[k][0][0, 0, 0]) for k in range(120)}
    chosen = {level // 10 for level in drawn}
    assert len(chosen) == 2
    frames = sum(scene + 2 for scene in chosen)
    assert len(drawn) == frames
    assert f"(2 of 4 scenes, {frames} pictures)" in source.describe()
    pairs = folder_of(tmp_path / "p", [200])
    mixed = opened(f"{pairs}@1", scenes=(f"{tmp_path / 's'}@3",))
    assert 30 <= levels_of(mixed, 200)[200] <= 70
    with pytest.raises(UsageError, match=r"s:5: holds 4 scenes; ask for 4 at most"):
        open_sources(DataRequest(scenes=(f"{tmp_path / 's'}:5",)), TRAINING, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ("a", None, None)),
        ("a:40", ("a", 40, None)),
        ("a@0.3", ("a", None, 0.3)),
        ("a/b:40@2", ("a/b", 40, 2.0)),
        ("me@home", ("me@home", None, None)),
        ("me@home:7", ("me@home", 7, None)),
    ],
)
def test_what_is_written_after_a_folder(text: str, expected: tuple[object, ...]) -> None:
    folder = SampledFolder.parse(text)
    assert (str(folder.path), folder.count, folder.share) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a:0", "FOLDER:COUNT"),
        ("a:x", "FOLDER:COUNT"),
        (":3", "FOLDER:COUNT"),
        ("a:0@1", "FOLDER:COUNT"),
        ("a@0", "FOLDER@SHARE"),
        ("a@-1", "FOLDER@SHARE"),
        ("a:3@inf", "FOLDER@SHARE"),
        ("a@nan", "FOLDER@SHARE"),
        ("@1", "FOLDER@SHARE"),
    ],
)
def test_odd_counts_and_shares(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"{text}: write {told}"):
        SampledFolder.parse(text)


@pytest.mark.parametrize("name", ["a:2", "a@0.5", "a:2@0.5"])
def test_a_folder_that_exists_is_meant_as_it_is_written(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path / name, range(3))
    assert SampledFolder.parse(str(folder)) == SampledFolder(folder)
    assert SampledFolder.parse(f"{folder}:1@2") == SampledFolder(folder, 1, 2.0)
    assert len(levels_of(opened(f"{folder}:1"), 20)) == 1

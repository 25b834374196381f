"""Pairs are matched by name in every layout, and nothing is ever matched silently wrong."""

from pathlib import Path

import pytest

from rainkit.datasets import manifest
from rainkit.datasets.pairs import find_datasets, find_matches, find_pairs
from rainkit.errors import DatasetError, PairingError, UsageError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def pairing(root: Path, **options: str) -> dict[str, str]:
    return {
        p.rainy.path.relative_to(root).as_posix(): p.clean.path.relative_to(root).as_posix()
        for p in find_pairs(root, **options)
    }


@pytest.mark.parametrize(
    ("rainy", "clean"),
    [
        ("rainy", "clean"),
        ("input", "target"),
        ("Input_val", "Label_val"),
        ("rainy_image", "ground_truth"),
        ("lq", "gt"),
        ("rain", "norain"),
        ("hazy", "clear"),
        ("hazy", "GT"),
    ],
)
def test_two_folders_under_their_usual_names(tmp_path, rainy, clean):
    touch(tmp_path, f"{rainy}/a.png", f"{clean}/a.jpg", f"{rainy}/notes.txt", f"{clean}/._a.jpg")
    assert pairing(tmp_path) == {f"{rainy}/a.png": f"{clean}/a.jpg"}


def test_natural_order_and_unique_names(tmp_path):
    touch(tmp_path, *(f"{side}/{n}.png" for side in ("rainy", "clean") for n in (1, 2, 10)))
    assert [pair.name for pair in find_pairs(tmp_path)] == ["1", "2", "10"]


@pytest.mark.parametrize(
    ("rainy", "clean"),
    [
        ("rain-001.png", "norain-1.png"),
        ("norain-7.png", "norain-7.png"),  # JORDER-E: the folder's name outranks the file's
        ("901_14.jpg", "901.jpg"),
        ("im_0001_s80_a04.png", "im_0001.png"),
        ("1_1_0.90179.png", "1.png"),  # RESIDE: ITS, OTS, SOTS
        ("part1/0005_0.8_0.04.jpg", "0005.jpg"),
        ("part1/0005_0.8_0.04.jpg", "clear_images/0005.jpg"),
        ("0001_0.8_0.2.jpg", "0001.png"),
        ("1400_10.png", "1400.png"),
        ("x_leftImg8bit_rain_alpha_0.01_beta_0.005.png", "x_leftImg8bit.png"),
        ("x_rain_alpha_0.01_beta_0.005.png", "x_leftImg8bit.png"),
        ("street/5.png", "street/5.png"),
    ],
)
def test_names_that_differ_by_convention(tmp_path, rainy, clean):
    touch(tmp_path, f"rainy/{rainy}", f"clean/{clean}")
    assert pairing(tmp_path) == {f"rainy/{rainy}": f"clean/{clean}"}


def test_the_exact_name_wins_over_every_convention(tmp_path):
    touch(tmp_path, "rainy/a_1.png", "rainy/a.png", "clean/a_1.png", "clean/a.png")
    assert pairing(tmp_path) == {"rainy/a.png": "clean/a.png", "rainy/a_1.png": "clean/a_1.png"}


def test_many_rainy_pictures_share_one_clean_picture(tmp_path):
    touch(tmp_path, "rainy/1_1.png", "rainy/1_2.png", "clean/1.png")
    assert [pair.name for pair in find_pairs(tmp_path)] == ["1_1", "1_2"]
    assert {pair.clean.path.name for pair in find_pairs(tmp_path)} == {"1.png"}


def test_parts_share_clean_pictures_only_if_these_lie_in_one_folder(tmp_path):
    touch(tmp_path, "hazy/part1/1_1_0.9.png", "hazy/part2/1_2_0.8.png", "clear/1.png")
    assert set(pairing(tmp_path).values()) == {"clear/1.png"}
    touch(tmp_path, "hazy/part1/2_1_0.9.png", "clear/other/2.png")
    with pytest.raises(PairingError, match="no partner"):
        find_pairs(tmp_path)


def test_one_folder_of_rain_and_norain(tmp_path):
    touch(tmp_path, "rain-001.png", "norain-001.png", "rainregion-001.png", "rainstreak-001.png")
    assert pairing(tmp_path) == {"rain-001.png": "norain-001.png"}


def test_rain100h_keeps_its_rainy_pictures_one_folder_down(tmp_path):
    touch(tmp_path, "norain-001.png", "rainy/rain-001.png", "rainstreak-001.png")
    assert pairing(tmp_path) == {"rainy/rain-001.png": "norain-001.png"}


def write_manifest(root: Path, pairs: dict[str, str]) -> None:
    manifest.write(
        root / "manifest.jsonl",
        [
            manifest.Record(
                id=rainy,
                scene=clean,
                variant=1,
                source="s",
                input=rainy,
                target=clean,
                w=1,
                h=1,
                seed=(0, 1, 2),
                rng="PCG64",
                preset="p",
                level=None,
                rate_mm_h=1.0,
                wind_m_s=0.0,
                distance=None,
                frame_width=1.0,
                beta_per_m=0.0,
                airlight=(0.0, 0.0, 0.0),
                streak_rgb=(0.0, 0.0, 0.0),
                n_drops=0,
                n_kept=0,
                settings={},
                stats=manifest.Stats(y_psnr=None, mean_dy=0.0, coverage=0.0),
                sha256=manifest.Hashes(clean="0", input="0"),
                renderer="r",
                lib={},
            )
            for rainy, clean in pairs.items()
        ],
    )


def test_a_manifest_is_taken_at_its_word_and_knows_splits(tmp_path):
    pairs = {
        "train/input/a.png": "train/target/a.png",
        "test/input/b_1.png": "shared/x.png",
        "test/input/b_2.png": "shared/x.png",
    }
    touch(tmp_path, *pairs, *pairs.values(), "test/input/not_recorded.png")
    write_manifest(tmp_path, pairs)
    assert pairing(tmp_path) == pairs
    assert [pair.name for pair in find_pairs(tmp_path, split="test")] == [
        "test/input/b_1",
        "test/input/b_2",
    ]
    with pytest.raises(PairingError, match="val"):
        find_pairs(tmp_path, split="val")


def test_a_split_is_a_folder_where_there_is_no_manifest(tmp_path):
    touch(tmp_path, "test/input/a.png", "test/target/a.png")
    assert pairing(tmp_path, split="test") == {"test/input/a.png": "test/target/a.png"}


def test_a_damaged_manifest_is_named_with_its_line(tmp_path):
    (tmp_path / "manifest.jsonl").write_text("\n{")
    with pytest.raises(DatasetError, match=r"manifest\.jsonl, line 2"):
        find_pairs(tmp_path)


def test_a_manifest_may_not_name_missing_files(tmp_path):
    touch(tmp_path, "a.png")
    write_manifest(tmp_path, {"a.png": "gone.png"})
    with pytest.raises(PairingError, match=r"gone\.png"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("lonely", ["rainy/lonely.png", "clean/lonely.png"])
def test_a_file_without_a_partner_is_named_on_either_side(tmp_path, lonely):
    touch(tmp_path, "rainy/a.png", "clean/a.png", lonely)
    with pytest.raises(PairingError, match=lonely):
        find_pairs(tmp_path)


def test_a_scene_is_no_version_of_another_one_that_has_its_own(tmp_path):
    """Beside ``street``, ``street_2`` is another scene, whose clean picture is missing."""
    touch(tmp_path, *(f"rainy/street{n}.png" for n in ("", "_2", "_3")))
    touch(tmp_path, *(f"clean/street{n}.png" for n in ("", "_3")))
    with pytest.raises(PairingError, match=r"has no partner for 1 of .*street_2\.png"):
        find_pairs(tmp_path)
    (tmp_path / "rainy" / "street_2.png").unlink()
    assert len(find_pairs(tmp_path)) == 2


def test_many_lonely_files_are_counted_not_all_listed(tmp_path):
    touch(tmp_path, "clean/a.png", "rainy/a.png", *(f"rainy/x{n}.png" for n in range(50)))
    with pytest.raises(PairingError, match="and 45 more"):
        find_pairs(tmp_path)


def test_two_possible_partners_are_refused(tmp_path):
    touch(tmp_path, "rainy/a.webp", "clean/a.png", "clean/a.jpg")
    with pytest.raises(PairingError, match=r"more than one partner.*a\.webp"):
        find_pairs(tmp_path)


def test_two_rainy_folders_are_refused(tmp_path):
    touch(tmp_path, "rainy/a.png", "input/a.png", "clean/a.png")
    with pytest.raises(PairingError, match="input, rainy"):
        find_pairs(tmp_path)


def test_same_stem_twice_still_gives_two_names(tmp_path):
    touch(tmp_path, "rainy/a.png", "rainy/a.jpg", "clean/a.png", "clean/a.jpg")
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["a-jpg", "a-png"]
    assert all(pair.rainy.path.name == pair.clean.path.name for pair in pairs)


def test_folders_without_pairs_say_what_is_expected(tmp_path):
    with pytest.raises(PairingError, match="holds no rainy/clean pairs"):
        find_pairs(tmp_path)
    (tmp_path / "rainy").mkdir()
    (tmp_path / "clean").mkdir()
    with pytest.raises(PairingError, match="holds no pairs"):
        find_pairs(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        find_pairs(tmp_path / "missing")


def test_a_folder_of_datasets_counts_as_several(tmp_path):
    touch(
        tmp_path,
        "b10/rainy/a.png",
        "b10/clean/a.png",
        "b2/rain-1.png",
        "b2/norain-1.png",
        "other/x.png",
    )
    touch(tmp_path, "none/notes.txt", "wrong/rainy/a.png", "wrong/sharp/a.png")
    found = find_datasets(tmp_path)
    assert [(d.name, len(d.pairs)) for d in found] == [("b2", 1), ("b10", 1)]
    assert [d.beside for d in found] == [(tmp_path / "other", tmp_path / "wrong")] * 2
    assert [d.name for d in find_datasets(tmp_path / "b2")] == ["b2"]


def test_of_a_dataset_that_is_split_the_preferred_part_is_taken(tmp_path):
    touch(tmp_path, *(f"{s}/{d}/{s}.png" for s in ("train", "test") for d in ("input", "target")))
    assert [pair.name for pair in find_pairs(tmp_path, prefer=("train",))] == ["train"]
    ((name, split, pairs),) = [
        (each.name, each.split, each.pairs) for each in find_datasets(tmp_path, prefer=("test",))
    ]
    assert (name, split, len(pairs)) == (tmp_path.name, "test", 1)
    (both,) = find_datasets(tmp_path / "train", prefer=("test",))
    assert (both.split, len(both.pairs)) == (None, 1)


def test_of_a_manifest_that_is_split_too(tmp_path):
    pairs = {"train/input/a.png": "train/target/a.png", "test/input/b.png": "test/target/b.png"}
    touch(tmp_path, *pairs, *pairs.values())
    write_manifest(tmp_path, pairs)
    assert [pair.name for pair in find_pairs(tmp_path, prefer=("val", "test"))] == ["test/input/b"]
    assert len(find_pairs(tmp_path, prefer=("val",))) == 2


def test_datasets_in_a_preferred_split_leave_the_other_splits_out(tmp_path):
    names = [f"{split}/{name}" for split in ("test", "train") for name in ("a", "b")]
    touch(tmp_path, *(f"{name}/{side}/1.png" for name in names for side in ("rainy", "clean")))
    found = find_datasets(tmp_path, prefer=("test",))
    assert [each.root.relative_to(tmp_path).as_posix() for each in found] == ["test/a", "test/b"]
    assert [each.split for each in found] == ["test", "test"]


def test_matches_of_two_folders_or_two_files(tmp_path):
    touch(tmp_path, "ours/a.png", "ours/b.png", "gt/a.jpg", "gt/b.jpg")
    matches = find_matches(tmp_path / "ours", tmp_path / "gt")
    assert [(m.rainy.path.name, m.clean.path.name) for m in matches] == [
        ("a.png", "a.jpg"),
        ("b.png", "b.jpg"),
    ]
    (only,) = find_matches(tmp_path / "ours/a.png", tmp_path / "gt/b.jpg")
    assert (only.rainy.path.name, only.clean.path.name) == ("a.png", "b.jpg")


def test_matches_refuse_what_cannot_match(tmp_path):
    touch(tmp_path, "ours/a.png", "gt/b.png", "empty/readme.txt")
    with pytest.raises(PairingError, match=r"ours/a\.png"):
        find_matches(tmp_path / "ours", tmp_path / "gt")
    with pytest.raises(UsageError, match="does not exist"):
        find_matches(tmp_path / "ours", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="not one each"):
        find_matches(tmp_path / "ours", tmp_path / "gt/b.png")
    with pytest.raises(PairingError, match="no pictures"):
        find_matches(tmp_path / "empty", tmp_path / "empty")


@pytest.mark.parametrize(
    ("rainy", "clean"),
    [
        ("data/0_rain.png", "gt/0_clean.png"),  # Raindrop
        ("rain/X2/norain-1x2.png", "norain/norain-1.png"),  # Rain200
        ("rain/norain-1x2.png", "norain/norain-1.png"),
        ("real_test/000.png", "real_test/000gt.png"),  # SPA-Data without its list
        ("twelve/001_in.png", "twelve/001_GT.png"),  # Rain12
        ("input/001_in.png", "groundtruth/001_GT.png"),
    ],
)
def test_pairs_that_people_have(tmp_path, rainy, clean):
    others = [name.replace("0", "7").replace("1", "12") for name in (rainy, clean)]
    touch(tmp_path, rainy, clean, *others)
    home = (
        tmp_path if rainy.split("/")[0] != clean.split("/")[0] else tmp_path / rainy.split("/")[0]
    )
    found = pairing(home)
    assert {home / one: home / two for one, two in found.items()} == {
        tmp_path / rainy: tmp_path / clean,
        tmp_path / others[0]: tmp_path / others[1],
    }
    touch(tmp_path, clean.replace(".png", ".jpg"))
    with pytest.raises(PairingError, match="more than one partner"):
        find_pairs(home)


def test_results_of_infer_pair_beside_their_pictures_and_without_them(tmp_path):
    touch(tmp_path, "clean/0.png", "clean/1.png", "mine/0-graspp-gan.png", "mine/1-graspp-gan.png")

    def matches() -> dict[str, str]:
        found = find_matches(tmp_path / "mine", tmp_path / "clean")
        return {each.rainy.path.name: each.clean.path.name for each in found}

    expected = {"0-graspp-gan.png": "0.png", "1-graspp-gan.png": "1.png"}
    assert matches() == expected
    touch(tmp_path, "mine/0.png", "mine/1.png")
    assert matches() == expected
    touch(tmp_path, "mine/0-granet.png")
    with pytest.raises(PairingError, match="several methods"):
        matches()
    touch(tmp_path, "set/rainy/0.png", "set/rainy/0-granet.png", "set/clean/0.png")
    with pytest.raises(PairingError, match="no partner for 1 of"):  # a result is no rainy picture
        find_pairs(tmp_path / "set")


@pytest.mark.parametrize(
    ("rainy", "clean"),
    [
        (("1.jpg", "01.jpg"), ("1.png", "01.png")),
        (("forest.jpg", "rain_forest.jpg"), ("forest.png", "rain_forest.png")),
        (("a.jpg", "a_gt.jpg"), ("a.png", "a_gt.png")),
        (("1_1.png", "01_1.png"), ("1.png", "01.png")),
    ],
)
def test_a_name_that_is_a_files_own_is_no_other_ones(tmp_path, rainy, clean):
    touch(tmp_path, *(f"input/{name}" for name in rainy), *(f"target/{name}" for name in clean))
    assert pairing(tmp_path) == {
        f"input/{one}": f"target/{other}" for one, other in zip(rainy, clean, strict=True)
    }


def test_names_made_of_suffixes_are_no_other_pairs(tmp_path):
    names = ("a.png", "a.jpg", "a-png.png")
    touch(tmp_path, *(f"{side}/{name}" for side in ("rainy", "clean") for name in names))
    pairs = find_pairs(tmp_path)
    assert len({pair.name for pair in pairs}) == 3
    assert {pair.name for pair in pairs if pair.rainy.path.name == "a-png.png"} == {"a-png"}

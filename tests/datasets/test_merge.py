"""Several datasets are merged into one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.datasets import merge
from rainkit.datasets.merge import MergeRequest, MergeResult, MergeSource, merge_datasets
from rainkit.datasets.pairs import find_pairs
from rainkit.datasets.phash import pixel_hash
from rainkit.errors import UsageError

CHELSEA = np.ascontiguousarray(data.chelsea()[::4, ::4])


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)


def write(path: Path, rgb: np.ndarray) -> None:
    images.write(path, images.Picture(rgb))


def pairs(folder: Path, count: int, *, first: int = 0) -> Path:
    for number in range(count):
        write(folder / "rainy" / f"{number}.png", picture(1000 + first + number))
        write(folder / "clean" / f"{number}.png", picture(first + number))
    return folder


def sides(folder: Path, count: int) -> Path:
    """Rainy on the left, clean on the right."""
    for number in range(count):
        smooth = np.repeat(np.repeat(picture(number)[:8, :8], 8, 0), 8, 1)
        rng = np.random.default_rng(number)
        rough = np.clip(smooth.astype(int) + rng.integers(-40, 41, smooth.shape), 0, 255)
        write(folder / f"{number}.png", np.hstack([rough.astype(np.uint8), smooth]))
    return folder


def run(out: Path, *sources: str, **options) -> MergeResult:
    asked = tuple(map(MergeSource.parse, sources))
    return merge_datasets(MergeRequest(sources=asked, out=out, workers=1, **options))


def about(out: Path) -> dict:
    return json.loads((out / "mix.json").read_text())


def files(out: Path) -> set[str]:
    return {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}


def test_a_merged_dataset_has_what_was_asked_for(tmp_path: Path) -> None:
    a, b = pairs(tmp_path / "a", 6), pairs(tmp_path / "b", 5, first=100)
    result = run(tmp_path / "m", f"{a}:3", f"{b}:4")
    assert result.pairs == 7
    assert [(s.name, s.pairs, s.taken) for s in result.sources] == [("a", 6, 3), ("b", 5, 4)]
    found = find_pairs(tmp_path / "m")
    assert len(found) == 7
    for entry in about(tmp_path / "m")["pairs"]:
        source = a if entry["source"] == "a" else b
        number = int(entry["pair"])
        rainy = images.read(tmp_path / "m" / entry["input"]).rgb
        clean = images.read(tmp_path / "m" / entry["target"]).rgb
        assert np.array_equal(rainy, images.read(source / "rainy" / f"{number}.png").rgb)
        assert np.array_equal(clean, images.read(source / "clean" / f"{number}.png").rgb)
        assert entry["sha256"] == {"input": pixel_hash(rainy), "target": pixel_hash(clean)}


def test_the_seed_decides_and_other_sources_do_not(tmp_path: Path) -> None:
    a, b = pairs(tmp_path / "a", 12), pairs(tmp_path / "b", 2, first=100)

    def taken(out: str, *sources: str, seed: int = 0) -> set[str]:
        run(tmp_path / out, *sources, seed=seed)
        return {one["pair"] for one in about(tmp_path / out)["pairs"] if one["source"] == "a"}

    first = taken("m1", f"{a}:5")
    assert first == taken("m2", f"{b}:2", f"{a}:5")
    assert first < taken("m3", f"{a}:9")
    assert first != taken("m4", f"{a}:5", seed=1)


def test_files_are_links_unless_copies_are_wanted(tmp_path: Path) -> None:
    a = pairs(tmp_path / "a", 2)
    run(tmp_path / "m", str(a))
    assert (tmp_path / "m/input/a-0.png").samefile(a / "rainy/0.png")
    run(tmp_path / "c", str(a), copy=True)
    copy = tmp_path / "c/input/a-0.png"
    assert not copy.samefile(a / "rainy/0.png")
    assert copy.read_bytes() == (a / "rainy/0.png").read_bytes()


def test_where_links_cannot_be_made_files_are_copied(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    a = pairs(tmp_path / "a", 2)
    run(tmp_path / "m", str(a))
    assert len(find_pairs(tmp_path / "m")) == 2


def test_halves_of_pictures_become_pictures(tmp_path: Path) -> None:
    source = sides(tmp_path / "a", 10)
    run(tmp_path / "m", f"{source}:10")
    for pair in find_pairs(tmp_path / "m"):
        number = pair.name.rpartition("-")[2]
        whole = images.read(source / f"{number}.png").rgb
        assert np.array_equal(np.hstack([pair.rainy.read(), pair.clean.read()]), whole)


def test_sets_of_one_name_do_not_collide(tmp_path: Path) -> None:
    a, b = pairs(tmp_path / "x" / "train", 3), pairs(tmp_path / "y" / "train", 3, first=50)
    run(tmp_path / "m", f"{a}:3", f"{b}:3")
    assert len(find_pairs(tmp_path / "m")) == 6


def test_asking_for_too_many(tmp_path: Path) -> None:
    a = pairs(tmp_path / "a", 3)
    with pytest.raises(UsageError, match=r"a:4: holds 3 pairs; ask for 3 at most"):
        run(tmp_path / "m", f"{a}:4")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("text", ["a:0", "a:x", ":3", "a:-1"])
def test_odd_counts(text: str) -> None:
    with pytest.raises(UsageError, match="write FOLDER:COUNT"):
        MergeSource.parse(text)


def test_scenes_of_another_set_are_left_out(tmp_path: Path) -> None:
    a = pairs(tmp_path / "a", 3)
    for name in ("cat1", "cat2"):
        write(a / "rainy" / f"{name}.png", 255 - CHELSEA)
        write(a / "clean" / f"{name}.png", CHELSEA)
    tested = tmp_path / "tested"
    write(tested / "rainy" / "1.png", CHELSEA)
    write(tested / "clean" / "1.png", CHELSEA[1:, 1:])
    write(tested / "rainy" / "1.png".replace("1", "2"), picture(77))
    write(tested / "clean" / "2.png", picture(78))
    result = run(tmp_path / "m", str(a), against=(tested,))
    assert (result.sources[0].left_out, result.pairs) == (2, 3)
    assert not any("cat" in name for name in files(tmp_path / "m"))
    with pytest.raises(UsageError, match=r"2 of them left out; ask for 3 at most"):
        run(tmp_path / "m2", f"{a}:4", against=(tested,))


def test_a_pair_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    a = pairs(tmp_path / "a", 3)
    (a / "rainy" / "1.png").write_bytes(b"no picture")
    write(a / "clean" / "3.png", picture(3)[:6])
    write(a / "rainy" / "3.png", picture(3))
    result = run(tmp_path / "m", str(a))
    assert {name for name, _ in result.failures} == {"a-1", "a-3"}
    assert result.pairs == 2
    assert files(tmp_path / "m") == {
        "mix.json",
        *(f"{side}/a-{n}.png" for side in ("input", "target") for n in (0, 2)),
    }


def test_a_folder_that_is_in_use_is_not_written_to(tmp_path: Path) -> None:
    a = pairs(tmp_path / "a", 3)
    run(tmp_path / "m", f"{a}:2")
    with pytest.raises(UsageError, match="not empty"):
        run(tmp_path / "m", f"{a}:2")
    with pytest.raises(UsageError, match="lies in"):
        run(a / "merged", f"{a}:2")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        run(tmp_path / "file", f"{a}:2")


def test_overwriting_deletes_what_the_former_merge_listed_and_nothing_else(tmp_path: Path) -> None:
    a, b = pairs(tmp_path / "a", 3), pairs(tmp_path / "b", 2, first=9)
    run(tmp_path / "m", str(a))
    (tmp_path / "m" / "input" / "mine.txt").write_text("x")
    held = about(tmp_path / "m")
    held["pairs"][0]["input"] = "../a/rainy/0.png"
    (tmp_path / "m" / "mix.json").write_text(json.dumps(held))
    run(tmp_path / "m", str(b), overwrite=True)
    assert (a / "rainy" / "0.png").exists()
    assert {name for name in files(tmp_path / "m") if "a-1" in name or "a-2" in name} == set()
    assert "input/mine.txt" in files(tmp_path / "m")


@pytest.mark.parametrize("held", [{"pairs": 5}, {"pairs": [5, {"input": 3}]}, [], "x"])
def test_a_damaged_list_of_a_former_merge_is_no_obstacle(tmp_path: Path, held: object) -> None:
    a = pairs(tmp_path / "a", 3)
    run(tmp_path / "m", str(a))
    (tmp_path / "m" / "mix.json").write_text(json.dumps(held))
    run(tmp_path / "m", str(a), overwrite=True)
    assert len(about(tmp_path / "m")["pairs"]) == 3


def test_a_merge_that_was_interrupted_continues(tmp_path: Path, monkeypatch) -> None:
    a = pairs(tmp_path / "a", 5)
    run(tmp_path / "whole", f"{a}:4")
    whole, count = merge.take_pair, 0

    def dies(*arguments, **options):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    monkeypatch.setattr("rainkit.datasets.merge.take_pair", dies)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "m", f"{a}:4")
    monkeypatch.undo()
    assert not (tmp_path / "m" / "mix.json").exists()
    with pytest.raises(UsageError, match="another merged dataset, unfinished"):
        run(tmp_path / "m", f"{a}:3")
    taken = []

    def notes(out: Path, copy: bool, chosen: merge.ChosenPair) -> merge.PairHashes | str:
        taken.append(chosen.name)
        return whole(out, copy, chosen)

    monkeypatch.setattr("rainkit.datasets.merge.take_pair", notes)
    run(tmp_path / "m", f"{a}:4")
    assert len(taken) == 2, "what was finished is not taken again"
    assert files(tmp_path / "m") == files(tmp_path / "whole")
    assert about(tmp_path / "m") == about(tmp_path / "whole")


def test_two_merges_are_not_written_to_one_folder(tmp_path: Path) -> None:
    a = pairs(tmp_path / "a", 3)
    source = MergeSource.parse(f"{a}:2")

    def start_another(what: str, done: int, total: int) -> None:
        with pytest.raises(UsageError, match=r"another rainkit data merge .*is writing there"):
            run(tmp_path / "m", f"{a}:2")

    result = merge_datasets(MergeRequest(sources=(source,), out=tmp_path / "m"), start_another)
    assert result.pairs == 2


def test_starting_over_leaves_nothing_of_an_unfinished_merge(tmp_path: Path, monkeypatch) -> None:
    a, b = pairs(tmp_path / "a", 3), pairs(tmp_path / "b", 2, first=9)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rainkit.datasets.merge.finish", dies)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "m", str(a))
    monkeypatch.undo()
    run(tmp_path / "m", str(b), overwrite=True)
    assert not [name for name in files(tmp_path / "m") if "a-" in name or "unfinished" in name]

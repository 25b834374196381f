"""What sets share."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.datasets.duplicates import AuditRequest, AuditResult, audit, write_clean_list
from rainkit.errors import FileError, PairingError, UsageError

SCENES = {
    name: np.ascontiguousarray(getattr(data, name)()[::2, ::2, :3])
    for name in ("astronaut", "chelsea", "coffee", "rocket")
}


def write(path: Path, rgb: np.ndarray) -> Path:
    images.write(path, images.Picture(rgb))
    return path


def photos(folder: Path, *names: str) -> Path:
    for name in names:
        write(folder / f"{name}.png", SCENES[name])
    return folder


def pairs(folder: Path, *names: str, rains: int = 1) -> Path:
    """Rainy pictures of another scene, so that hashing them would show."""
    for name in names:
        for rain in range(rains):
            write(folder / "input" / f"{name}_{rain}.png", SCENES["rocket"])
            write(folder / "target" / f"{name}_{rain}.png", SCENES[name])
    return folder


def run(*sets: Path, **options) -> AuditResult:
    return audit(AuditRequest(sets=sets, workers=1, **options))


def test_scenes_in_two_sets_are_found(tmp_path: Path) -> None:
    a = photos(tmp_path / "a", "astronaut", "chelsea")
    b = photos(tmp_path / "b", "coffee")
    small = cv2.resize(SCENES["chelsea"], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    write(b / "cat.jpg", small)
    result = run(a, b)
    (overlap,) = result.overlaps
    (leak,) = overlap.leaks
    assert (Path(leak.a), Path(leak.b)) == (a / "chelsea.png", b / "cat.jpg")
    assert 0 <= leak.distance <= 8
    assert (overlap.shared_a, overlap.shared_b) == (1, 1)
    assert result.pictures == {"a": 2, "b": 2}
    assert result.leaks == 1


def test_three_sets_are_compared_two_by_two(tmp_path: Path) -> None:
    names = ("astronaut", "chelsea"), ("chelsea", "coffee"), ("coffee", "astronaut")
    result = run(*(photos(tmp_path / str(i), *some) for i, some in enumerate(names)))
    assert [(one.a, one.b, len(one.leaks)) for one in result.overlaps] == [
        ("0", "1", 1),
        ("0", "2", 1),
        ("1", "2", 1),
    ]


def test_of_pairs_the_clean_pictures_count(tmp_path: Path) -> None:
    a = pairs(tmp_path / "a", "astronaut", rains=3)
    assert run(a, pairs(tmp_path / "b", "chelsea")).leaks == 0  # both rainy ones are the rocket
    result = run(a, photos(tmp_path / "c", "astronaut"))
    assert result.overlaps[0].shared_a == 1
    assert result.pictures == {"a": 1, "c": 1}


def test_pictures_beside_datasets_are_no_clean_bill(tmp_path: Path) -> None:
    mine = pairs(tmp_path / "mine", "astronaut")
    pairs(tmp_path / "bench" / "good", "coffee")
    photos(tmp_path / "bench" / "leak", "astronaut")
    with pytest.raises(PairingError, match=r"leak: pictures, but no pairs, .* name each dataset"):
        run(mine, tmp_path / "bench")
    assert run(mine, tmp_path / "bench" / "leak").leaks == 1


def test_every_file_of_a_scene_is_listed(tmp_path: Path) -> None:
    """A set from which the files listed are removed leaks no more."""
    a = pairs(tmp_path / "a", "astronaut", rains=3)
    pairs(a, "chelsea", rains=2)
    small = cv2.resize(SCENES["astronaut"], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    write(a / "input" / "small.png", small)
    write(a / "target" / "small.png", small)
    b = pairs(tmp_path / "b", "astronaut", rains=2)
    (overlap,) = run(a, b).overlaps
    assert {Path(leak.b).name for leak in overlap.leaks} == {"astronaut_0.png", "astronaut_1.png"}
    for name in {Path(leak.a).name for leak in overlap.leaks}:
        (a / "target" / name).unlink()
        (a / "input" / name).unlink()
    assert {path.name for path in (a / "target").iterdir()} == {"chelsea_0.png", "chelsea_1.png"}
    assert run(a, b).leaks == 0


def test_a_list_of_what_may_be_used_holds_no_leak(tmp_path: Path) -> None:
    a = pairs(tmp_path / "a", "astronaut", "chelsea", rains=2)
    pairs(a, "coffee")
    b = photos(tmp_path / "b", "chelsea")
    result = run(a, b)
    assert result.usable == (
        ("input/astronaut_0.png", "target/astronaut_0.png"),
        ("input/astronaut_1.png", "target/astronaut_1.png"),
        ("input/coffee_0.png", "target/coffee_0.png"),
    )
    write_clean_list(result, a / "clean.txt")
    cleaned = run(a, b)  # the list is found before the folders
    assert (cleaned.leaks, cleaned.pictures) == (0, {"a": 2, "b": 1})
    with pytest.raises(FileError, match="--overwrite"):
        write_clean_list(result, a / "clean.txt")


def test_what_may_be_used_of_one_set_is_one_picture_of_each_scene(tmp_path: Path) -> None:
    folder = photos(tmp_path / "a", "astronaut", "chelsea", "coffee")
    shutil.copy(folder / "chelsea.png", folder / "copy.png")
    write(folder / "crop.png", SCENES["coffee"][1:, 1:])
    assert run(folder).usable == (("astronaut.png",), ("chelsea.png",), ("coffee.png",))


def test_halves_of_one_file_may_be_used_together(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for name in ("astronaut", "chelsea"):
        clean = SCENES[name]
        rng = np.random.default_rng(0)
        rainy = cv2.add(clean, rng.integers(0, 90, (*clean.shape[:2], 1), np.uint8).repeat(3, 2))
        write(folder / f"{name}.png", np.hstack([rainy, clean]))
    result = run(folder, photos(tmp_path / "b", "chelsea"))
    assert result.leaks == 1
    assert result.usable == (("astronaut.png",),)


def test_photographs_found_twice_in_one_folder(tmp_path: Path) -> None:
    folder = photos(tmp_path / "a", "astronaut", "chelsea", "coffee")
    shutil.copy(folder / "chelsea.png", folder / "copy.png")
    write(folder / "crop.png", SCENES["coffee"][1:, 1:])
    (overlap,) = run(folder).overlaps
    assert {(Path(one.a).name, Path(one.b).name) for one in overlap.leaks} == {
        ("chelsea.png", "copy.png"),
        ("coffee.png", "crop.png"),
    }
    assert overlap.leaks[0].distance == 0
    assert overlap.shared_a == 3


def test_many_rains_of_a_scene_are_no_duplicates(tmp_path: Path) -> None:
    assert run(pairs(tmp_path / "a", "astronaut", "chelsea", rains=3)).leaks == 0


def test_the_limit_decides(tmp_path: Path) -> None:
    a = photos(tmp_path / "a", "coffee")
    b = tmp_path / "b"
    height, width = SCENES["coffee"].shape[:2]
    write(b / "zoom.png", SCENES["coffee"][height // 20 :, width // 20 :])
    (leak,) = run(a, b, limit=31).overlaps[0].leaks
    assert run(a, b, limit=leak.distance).leaks == 1
    assert run(a, b, limit=leak.distance - 1).leaks == 0


def test_a_file_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    a = photos(tmp_path / "a", "astronaut")
    (a / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    result = run(a, photos(tmp_path / "b", "astronaut"))
    ((name, reason),) = result.failures
    assert name.endswith("broken.png")
    assert reason
    assert result.leaks == 1


def test_rainy_pictures_are_refused(tmp_path: Path) -> None:
    a, b = pairs(tmp_path / "a", "astronaut"), photos(tmp_path / "b", "rocket")
    with pytest.raises(UsageError, match="rainy pictures, by its name"):
        run(a / "input", b)
    assert run(a / "input", b, photos=True).leaks == 1


def test_pairs_that_are_not_whole_are_not_taken_for_photographs(tmp_path: Path) -> None:
    a = pairs(tmp_path / "a", "astronaut", "chelsea")
    (a / "target" / "chelsea_0.png").unlink()
    with pytest.raises(PairingError, match="chelsea_0"):
        run(a, photos(tmp_path / "b", "coffee"))


def test_wrong_use(tmp_path: Path) -> None:
    a = photos(tmp_path / "a", "astronaut")
    with pytest.raises(UsageError, match="twice"):
        run(a, tmp_path / "." / "a")
    with pytest.raises(UsageError, match="no such"):
        run(a, tmp_path / "nothing")
    with pytest.raises(UsageError, match="--limit 40"):
        run(a, limit=40)
    with pytest.raises(UsageError, match=r"--write-clean .*exists; add --overwrite"):
        run(a, clean_list=a / "astronaut.png")


def test_sets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    a, b = photos(tmp_path / "x" / "test", "coffee"), photos(tmp_path / "y" / "test", "coffee")
    assert list(run(a, b).pictures) == ["x/test", "y/test"]


def test_one_folder_of_pairs_that_is_not_whole(tmp_path: Path) -> None:
    a = tmp_path / "many" / "a"
    write(a / "norain-1.png", SCENES["astronaut"])
    write(a / "rain-1.png", SCENES["rocket"])
    write(a / "rain-2.png", SCENES["rocket"])
    with pytest.raises(PairingError, match="rain-2"):
        run(a, photos(tmp_path / "b", "rocket"))
    with pytest.raises(PairingError, match="rain-2"):
        run(tmp_path / "many", photos(tmp_path / "c", "rocket"))


def test_processes_find_the_same(tmp_path: Path) -> None:
    a, b = photos(tmp_path / "a", "astronaut", "chelsea"), photos(tmp_path / "b", "chelsea")
    alone = run(a, b)
    assert audit(AuditRequest(sets=(a, b), workers=2)) == alone

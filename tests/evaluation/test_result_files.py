"""What was written is read back, and what is something else is refused in one line."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.errors import DatasetError, UsageError
from rainkit.evaluation import PROTOCOLS, EvalRequest, FoldersRequest
from rainkit.evaluation.result_files import read

BOTH = (PROTOCOLS["prenet"], PROTOCOLS["restormer"])


def write(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1])


def scene(seed: int, side: int = 32) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 180, (5, 5, 3), np.uint8)
    return cv2.resize(coarse, (side, side))


def request(folder: Path, restored: str = "ours", **options: object) -> FoldersRequest:
    return FoldersRequest(
        restored=folder / restored, target=folder / "rain/clean", protocols=BOTH, **options
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures: one is equal to its target, one smaller than SSIM's window."""
    for name, added, side in (("a", 5, 32), ("equal", 0, 32), ("tiny", 9, 8)):
        write(tmp_path / f"rain/clean/{name}.png", scene(1, side))
        write(tmp_path / f"rain/rainy/{name}.png", scene(1, side) + np.uint8(20))
        write(tmp_path / f"ours/{name}.png", scene(1, side) + np.uint8(added))
    return tmp_path


def written(folder: Path, *sources: FoldersRequest) -> tuple[evaluation.Evaluation, Path]:
    result = evaluation.run(EvalRequest(sources=sources, output=folder / "scores"))
    return result, folder / "scores/metrics.json"


def figures(row: evaluation.Score) -> list[float]:
    names = ("psnr", "ssim", "input_psnr", "input_ssim", "psnr_gain", "ssim_gain", "mae")
    return [row.value(name) for name in (*names, "input_mae")]


def test_every_figure_comes_back_infinite_and_undefined_ones_too(folder):
    mae = evaluation.load_metrics(["mae"]).metrics
    result, path = written(folder, request(folder, rainy=folder / "rain/rainy", metrics=mae))
    stored = read(path)
    assert [each.protocol for each in stored] == ["prenet/1", "restormer/1"]
    for scores, each in zip(result.comparisons[0].scores, stored, strict=True):
        assert (each.restored, each.dataset) == ("ours", "rain")
        assert each.parameters == scores.protocol.parameters
        assert list(each.rows) == ["a", "equal", "tiny"]
        for row in scores.rows:
            np.testing.assert_array_equal(figures(each.rows[row.name]), figures(row))
    rows = stored[0].rows
    assert rows["equal"].psnr == math.inf
    assert rows["equal"].psnr_gain == math.inf
    assert math.isnan(rows["tiny"].ssim)
    assert stored[0].metrics["mae"].label == "mae/1"
    assert stored[0].metrics["mae"].higher_is_better is False


def test_infinity_is_stored_as_a_figure_and_not_in_words(folder):
    _, path = written(folder, request(folder, rainy=folder / "rain/clean"))
    data = json.loads(path.read_text())
    for row in data["results"][0]["rows"]:
        row["notes"] = []
        assert row["input_psnr"] == "inf"
    path.write_text(json.dumps(data))
    assert {row.input_psnr for row in read(path)[0].rows.values()} == {math.inf}


def test_without_rainy_pictures_there_are_no_gains(folder):
    _, path = written(folder, request(folder))
    row = read(path)[0].rows["a"]
    assert (row.input_psnr, row.input_ssim, row.psnr_gain) == (None, None, None)


def test_a_rainy_picture_equal_to_its_target_is_no_missing_one(folder):
    _, path = written(folder, request(folder, rainy=folder / "rain/clean"))
    row = read(path)[0].rows["a"]
    assert (row.input_psnr, row.psnr_gain) == (math.inf, -math.inf)


def test_several_results_in_one_file_keep_their_places(folder):
    (folder / "other").mkdir()
    for picture in (folder / "ours").iterdir():
        (folder / "other" / picture.name).write_bytes(picture.read_bytes())
    _, path = written(folder, request(folder), request(folder, "other"))
    assert [(each.restored, each.place) for each in read(path)] == [
        ("ours", 0), ("ours", 0), ("other", 1), ("other", 1),
    ]  # fmt: skip


def test_the_folder_stands_for_its_file(folder):
    _, path = written(folder, request(folder))
    assert read(path.parent) == read(path)


def test_failures_and_the_targets_hashes(folder):
    result, path = written(folder, request(folder))
    hashes = {
        file["path"]: file["sha256"]
        for file in json.loads(path.read_text())["files"]
        if file["role"] == "target"
    }
    assert read(path)[0].targets == {Path(name).stem: sha for name, sha in hashes.items()}
    (folder / "ours/a.png").write_bytes(b"not a picture")
    result = evaluation.run(
        EvalRequest(sources=(request(folder),), output=path.parent, overwrite=True)
    )
    assert [failure.name for _, failure in result.comparisons[0].failures] == ["a"]
    assert list(read(path)[0].rows) == ["equal", "tiny"]


def test_files_that_name_the_picture_are_believed(folder):
    _, path = written(folder, request(folder))
    data = json.loads(path.read_text())
    data["files"] = [{"dataset": "rain", "role": "target", "sha256": "12", "picture": "tiny"}]
    path.write_text(json.dumps(data))
    assert read(path)[0].targets == {"tiny": "12"}


def test_a_border_that_is_cut_off_is_in_the_protocols_name(folder):
    cropped = FoldersRequest(
        restored=folder / "ours/a.png",
        target=folder / "rain/clean/a.png",
        protocols=(evaluation.protocol("basicsr", crop=4),),
    )
    _, path = written(folder, cropped)
    assert read(path)[0].protocol == "basicsr/1+crop4"
    data = json.loads(path.read_text())
    del data["results"][0]["protocol"]["crop_border"]  # older rainkits knew none
    path.write_text(json.dumps(data))
    assert read(path)[0].protocol == "basicsr/1"


def changed(path: Path, **values: object) -> str:
    data = json.loads(path.read_text())
    row = data["results"][0]["rows"][0]
    row |= {key: value for key, value in values.items() if key in row}
    data |= {key: value for key, value in values.items() if key in data}
    return json.dumps(data)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"psnr": "high"}, "results.0.rows.0.psnr"),
        ({"psnr": math.nan}, "results.0.rows.0.psnr"),
        ({"name": "equal"}, "two rows of rain have one name"),
        ({"results": []}, "results"),
        ({"results": [{"dataset": "rain", "rows": [], "protocol": {}}]}, "name is missing"),
        ({"restored": None}, "restored"),
    ],
)
def test_a_damaged_file_is_told_where(folder, values, why):
    _, path = written(folder, request(folder))
    path.write_text(changed(path, **values))
    with pytest.raises(DatasetError, match=r"metrics\.json: not a metrics\.json.*") as raised:
        read(path)
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"[1, 2]", b"3", b"{}", b"\xff\xfe\x00", b'{"a']
)
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"not a metrics\.json of rainkit eval") as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "rainkit eval --output" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_no_file_is_told_by_name(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UsageError, match="does not exist") as raised:
        read(path)
    named = path / "metrics.json" if name == "." else path
    assert str(raised.value).startswith(f"{named} ")


def test_a_file_of_no_comparison_is_refused(tmp_path):
    (tmp_path / "metrics.json").write_text('{"comparisons": []}')
    with pytest.raises(DatasetError, match="comparisons"):
        read(tmp_path)

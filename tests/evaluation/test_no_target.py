"""Photographs without ground truth: pictures on disk in, figures and files out."""

import csv
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.errors import MethodError, PairingError, UsageError
from rainkit.evaluation import PROTOCOLS, DerainerRequest, MethodRequest
from rainkit.evaluation.metrics.registry import load_metrics
from rainkit.evaluation.no_target import (
    FILES,
    NoTargetRequest,
    NoTargetResult,
    evaluate,
    markdown,
    metrics_without_target,
    run,
    table,
    write,
)
from rainkit.runtime_options import Effort, RuntimeOptions
from rainkit.weights import WeightsFile


def darken(image: np.ndarray) -> np.ndarray:
    return image - np.uint8(15)


def halve(image: np.ndarray) -> np.ndarray:
    if not image[0, 0].any():
        raise MethodError("halver cannot halve what begins with black")
    return image // np.uint8(2)


METHODS = {"darkener": darken, "halver": halve}


def save(path: Path, rgb: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return path


def scene(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(60, 200, (5, 6, 3), np.uint8)
    return cv2.resize(coarse, (width, height))


def stripes(step: int) -> np.ndarray:
    """Two columns of 100 and two of more in turn: 9 steps per row, over 20 columns."""
    picture = np.full((20, 20, 3), 100, np.uint8)
    picture[:, 2::4] += np.uint8(step)
    picture[:, 3::4] += np.uint8(step)
    return picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in (1, 2, 10):
        save(tmp_path / f"photos/{i}.png", scene(i))
    return tmp_path / "photos"


class StandIn:
    """In place of a trained method."""

    def __init__(self, name: str, weights: Path, seen: list[str]) -> None:
        self.weights = WeightsFile(
            path=weights, name="standin.test", variant="default", network=None, header={}
        )
        self.runtime = SimpleNamespace(describe=lambda: "cpu (fp32)")
        self.parameters = 7
        self.effort = Effort()
        self.spare_traces = False
        self._name, self._seen = name, seen

    def derain(self, image: np.ndarray) -> np.ndarray:
        self._seen.append(self._name)
        return METHODS[self._name](image)


@pytest.fixture
def derained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names of methods, each time one of them derains."""
    seen: list[str] = []
    weights = tmp_path / "standin.safetensors"
    weights.write_bytes(b"weights")
    monkeypatch.setattr(
        "rainkit.inference.open_derainer", lambda name, *_, **__: StandIn(name, weights, seen)
    )
    # It is not installed, and has no weights to look at before.
    monkeypatch.setattr("rainkit.evaluation.no_target.check_derainers", list)
    return seen


def method(name: str = "darkener", **options: object) -> DerainerRequest:
    return DerainerRequest(method=name, **options)


def measured(*folders: Path, **options: object) -> NoTargetResult:
    options.setdefault("methods", (method(),))
    metrics, _ = metrics_without_target()
    return evaluate(NoTargetRequest(folders=folders, metrics=metrics, **options))


def test_a_picture_darkened_by_15_levels_lost_rain_everywhere_and_no_step(tmp_path, derained):
    save(tmp_path / "photos/a.png", stripes(10))
    save(tmp_path / "photos/b.png", stripes(30))
    (scores,) = measured(tmp_path / "photos").scores
    assert (scores.dataset, scores.result) == ("photos", "darkener")
    assert [row.name for row in scores.rows] == ["a", "b"]
    assert [row.figures["rain_removed"] for row in scores.rows] == [1.0, 1.0]
    # 9 steps of 10, or 30, levels in every row of 20 samples; none downwards.
    assert [row.figures["tv"] for row in scores.rows] == pytest.approx([4.5, 13.5], abs=1e-4)
    assert scores.summary("tv").mean == pytest.approx(9, abs=1e-4)
    assert scores.input_summary("tv").mean == pytest.approx(9, abs=1e-4)
    assert scores.summary("streak_energy").mean == pytest.approx(1, abs=1e-4)
    assert all(row.milliseconds >= 0 for row in scores.rows)
    assert scores.rows[0].input_figures.keys() == {"tv"}, "nothing is removed from the input"


def test_tables_begin_with_the_input_and_mark_the_best_of_each_dataset(tmp_path, photos, derained):
    save(tmp_path / "stripes/1.png", stripes(40))
    found = measured(tmp_path / "stripes", photos, methods=(method(), method("halver")))
    shown = table(found)
    assert shown.title.startswith("No ground truth")
    assert shown.columns[:5] == (
        "dataset", "result", "images", "streak_energy/1 ↓", "rain_removed/1"
    )  # fmt: skip
    assert [row[:3] for row in shown.rows] == [
        ("stripes", "input", "1"), ("", "darkener", "1"), ("", "halver", "1"),
        ("photos", "input", "3"), ("", "darkener", "3"), ("", "halver", "3"),
    ]  # fmt: skip
    # Half the steps have a quarter of the energy; 9 steps of 40 levels in 20 samples are 18.
    assert [row[3:6] for row in shown.rows[:3]] == [
        ("", "", "18.0000"),
        ("1.0000", "1.0000", "18.0000"),
        ("0.2500", "1.0000", "9.0000"),
    ]
    lines = markdown(found).splitlines()
    assert lines[0] == "**No ground truth: means over photographs**"
    assert lines[4].startswith("| stripes | input | 1 |  |  | 18.0000 |")
    assert lines[5].startswith("|  | darkener | 1 | <ins>1.0000</ins> | 1.0000 |")
    assert lines[6].startswith("|  | halver | 1 | **0.2500** | 1.0000 | **9.0000** |")


def test_pictures_are_kept_and_used_again_by_whatever_derains_the_same_ones(
    tmp_path, photos, derained
):
    keep = tmp_path / "kept"
    for i in (1, 2, 10):
        save(tmp_path / f"x/photos/clean/{i}.png", scene(i))
        save(tmp_path / f"x/photos/rainy/{i}.png", scene(i))
    pairs = MethodRequest(
        method="darkener",
        datasets=(tmp_path / "x/photos",),
        protocols=(PROTOCOLS["prenet"],),
        keep=keep,
    )
    evaluation.evaluate_method(pairs)
    assert len(derained) == 3
    first = measured(photos, methods=(method(keep=keep),))
    assert len(derained) == 3
    assert (keep / "restored/darkener/photos/10.png").is_file()
    save(photos / "2.png", scene(3))
    second = measured(photos, methods=(method(keep=keep),))
    assert len(derained) == 4
    changed = [a == b for a, b in zip(first.scores[0].rows, second.scores[0].rows, strict=True)]
    assert changed == [True, False, True]


def test_tiles_of_another_side_derain_anew(tmp_path, photos, derained):
    keep = tmp_path / "kept"
    for tile in (0, 0, 256):
        measured(photos, methods=(method(keep=keep, options=RuntimeOptions(tile=tile)),))
    assert len(derained) == 6


def test_another_work_size_derains_anew(tmp_path, photos, derained):
    keep = tmp_path / "kept"
    for size in ("full", "2x", "2x", "3x", "128"):
        options = RuntimeOptions.parse(work_size=size)
        measured(photos, methods=(method(keep=keep, options=options),))
    assert len(derained) == 12


def test_a_broken_picture_and_one_that_a_method_refuses_cost_their_rows(photos, derained):
    (photos / "2.png").write_text("not a picture")
    black = scene(10)
    black[0, 0] = 0
    save(photos / "10.png", black)
    ticks = []
    metrics, _ = metrics_without_target()
    request = NoTargetRequest(
        folders=(photos,), metrics=metrics, methods=(method(), method("halver"))
    )
    found = evaluate(request, lambda *tick: ticks.append(tick))
    assert [[row.name for row in each.rows] for each in found.scores] == [["1", "10"], ["1"]]
    (_, broken), (_, refused) = found.failures
    assert {where for where, _ in found.failures} == {"photos"}
    assert (broken.name, refused.name) == ("2", "10")
    assert "2.png" in broken.reason
    assert refused.reason.startswith("halver cannot")
    assert found.notices == ("photos: the results were not measured on the same pictures",)
    assert found.exit_code == 1
    assert ticks == [(i, 6) for i in range(1, 7)]
    assert "Not measured: photos/2: " in markdown(found)


def test_where_nothing_can_be_read_the_table_is_empty_and_the_files_are_whole(
    tmp_path, photos, derained
):
    for path in photos.iterdir():
        path.write_text("not a picture")
    found = measured(photos)
    assert [row[1:4] for row in table(found).rows] == [("darkener", "0", "")]
    data = json.loads(write(found, tmp_path / "scores")[3].read_text())
    assert len(data["results"][0]["failed"]) == 3


def test_results_made_elsewhere_are_matched_by_name(tmp_path, photos):
    for i, darker in ((10, 3), (2, 15), (1, 15)):
        save(tmp_path / f"ours/{i}.png", scene(i) - np.uint8(darker))
    (scores,) = measured(photos, methods=(), restored=tmp_path / "ours").scores
    assert (scores.dataset, scores.result) == ("photos", "ours")
    shares = {row.name: row.figures["rain_removed"] for row in scores.rows}
    assert shares == {"1": 1.0, "2": 1.0, "10": 0.0}  # 3 levels are too few to be seen
    assert scores.rows[0].milliseconds is None
    assert [Path(each.stored.path).name for each in scores.files] == ["1.png", "2.png", "10.png"]
    limited = measured(photos, methods=(), restored=tmp_path / "ours", limit=2)
    assert [row.name for row in limited.scores[0].rows] == ["1", "2"]


def test_a_result_without_a_photograph_or_of_another_size_is_refused(tmp_path, photos):
    for i in (1, 2):
        save(tmp_path / f"ours/{i}.png", scene(i))
    with pytest.raises(PairingError, match=r"no partner for .*10\.png"):
        measured(photos, methods=(), restored=tmp_path / "ours")
    save(tmp_path / "ours/10.png", scene(10, height=39))
    with pytest.raises(PairingError, match=r"ours/10\.png 48x39 against .*photos/10\.png 48x40"):
        measured(photos, methods=(), restored=tmp_path / "ours")
    cut = measured(photos, methods=(), restored=tmp_path / "ours", crop_to_common=True)
    assert [row.height for row in cut.scores[0].rows] == [40, 40, 39]
    assert cut.notices == ("1 pair of two sizes was cut to the common size, from the top left",)


def test_small_and_flat_pictures_are_left_out_of_means_and_that_is_said(photos, derained):
    save(photos / "2.png", scene(2, height=15))
    save(photos / "10.png", np.full((40, 40, 3), 90, np.uint8))
    found = measured(photos)
    (scores,) = found.scores
    summary = scores.summary("streak_energy")
    assert (summary.count, summary.excluded) == (1, 2)
    assert summary.mean == scores.rows[0].figures["streak_energy"]
    assert scores.summary("rain_removed").count == 3
    assert found.notices == (
        "photos: streak_energy: 1 picture is smaller than its 16 px and left out of the mean",
        "photos: streak_energy: 1 picture is without what it measures and left out of the mean",
    )
    assert found.exit_code == 0
    rows = json.loads(json.dumps(found.to_data(), allow_nan=False))["results"][0]["rows"]
    assert rows[1]["streak_energy"] is None


def test_files_trace_every_figure_and_say_that_there_is_no_ground_truth(tmp_path, photos, derained):
    both = (method(keep=tmp_path / "kept"), method("halver", weights="standin.safetensors"))
    found = measured(photos, methods=both)
    written = write(found, tmp_path / "new/scores")
    assert [path.name for path in written] == list(FILES)
    texts = [path.read_text() for path in written]
    assert all("no ground truth" in text.lower() for text in texts)
    rows = list(csv.DictReader(texts[2].splitlines()))
    assert [(row["result"], row["name"]) for row in rows[2:4]] == [
        ("darkener", "10"),
        ("halver (standin.test)", "1"),
    ]
    data = json.loads(texts[3])
    assert float(rows[0]["tv"]) == data["results"][0]["rows"][0]["tv"]
    assert float(rows[0]["input_tv"]) == data["results"][0]["rows"][0]["input_tv"]
    assert data["sources"][0]["weights"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert data["versions"]["opencv"] == cv2.__version__
    assert "torch" in data["versions"]
    assert [each["name"] for each in data["metrics"]] == ["streak_energy", "rain_removed", "tv"]
    roles = [(each["role"], Path(each["path"]).name) for each in data["files"]]
    assert roles == [
        *(("rainy", f"{i}.png") for i in (1, 2, 10)),
        *(("restored", f"{i}.png") for i in (1, 2, 10)),
    ], "what is not kept has no file"
    for each in data["files"]:
        assert each["sha256"] == hashlib.sha256(Path(each["path"]).read_bytes()).hexdigest()
    assert r"\textbf{" in texts[1]
    assert r"streak\_energy/1" in texts[1]
    assert "↓" not in texts[1], "plain LaTeX has no such letter"


def test_the_page_shows_results_in_columns_and_what_failed(tmp_path, photos, derained):
    save(photos / "<b>.png", np.zeros((40, 48, 3), np.uint8))  # which one of the methods refuses
    (photos / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    request = NoTargetRequest(
        folders=(photos,),
        metrics=metrics_without_target()[0],
        methods=(method(keep=out), method("halver", keep=out)),
    )
    _, written = run(request, out, report=True)
    assert written[-1] == out / "no_target.html"
    page = written[-1].read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 3 * 3 + 2
    assert page.count("halver cannot halve what begins with black") == 2  # below Failed, and there
    assert "&lt;b&gt;" in page
    assert "<b>.png" not in page
    assert page.count("<dt title=") == 3 * 7 + 4  # figures: 1 of the photograph, 3 of each result
    assert 'class="best"' in page
    with pytest.raises(UsageError, match=r"no_target\.\w+ exists"):
        run(request, out, report=True)
    run(request, out, overwrite=True)
    assert not written[-1].exists(), "it would show another run"
    with pytest.raises(UsageError, match="--report needs --output"):
        run(request, report=True)


def test_the_page_of_results_made_elsewhere_shows_them(tmp_path, photos):
    for path in photos.iterdir():
        save(tmp_path / "restored" / path.name, darken(scene(int(path.stem))))
    request = NoTargetRequest(
        folders=(photos,), metrics=metrics_without_target()[0], restored=tmp_path / "restored"
    )
    run(request, tmp_path / "out", report=True)
    page = (tmp_path / "out" / "no_target.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 * 3


def test_files_are_not_replaced_unasked_and_that_is_said_before_deraining(
    tmp_path, photos, derained
):
    folder = tmp_path / "scores"
    folder.mkdir()
    (folder / "per_image.csv").touch()  # of an evaluation with ground truth: not in the way
    metrics, _ = metrics_without_target()
    request = NoTargetRequest(folders=(photos,), metrics=metrics, methods=(method(),))
    found, paths = run(request, folder)
    assert len(derained) == found.scores[0].summary("tv").count == 3
    with pytest.raises(UsageError, match=r"no_target\.md exists; pass --overwrite"):
        run(request, folder)
    with pytest.raises(UsageError, match=r"no_target\.md is a file"):
        run(request, paths[0])
    assert len(derained) == 3
    paths[0].write_text("old")
    run(request, folder, overwrite=True)
    assert "photographs" in paths[0].read_text()
    assert run(request)[1] == ()


def test_metrics_that_compare_with_a_target_are_refused_by_name(photos, derained):
    for names in (["mae"], ["tv", "mae", "lpips"]):
        with pytest.raises(UsageError, match=r"--metric mae(, lpips)?: compares with ground truth"):
            metrics_without_target(names)
    request = NoTargetRequest(
        folders=(photos,), metrics=load_metrics(["mae"]).metrics, methods=(method(),)
    )
    with pytest.raises(UsageError, match="--metric mae"):
        evaluate(request)
    assert not derained


def test_brisque_is_asked_for_where_weights_are(tmp_path):
    metrics, skipped = metrics_without_target()
    assert [each.metric.name for each in metrics] == ["streak_energy", "rain_removed", "tv"]
    assert skipped == ()
    _, (line,) = metrics_without_target([f"brisque={tmp_path}"])
    assert line.startswith("brisque skipped: ")
    assert "brisque_svm_weights.pt is missing" in line


def test_photographs_named_one_by_one_belong_to_their_folder(photos, derained):
    save(photos / "1.jpg", scene(1))
    (scores,) = measured(photos / "2.png", photos / "1.png", photos / "1.jpg").scores
    assert scores.dataset == "photos"
    assert [row.name for row in scores.rows] == ["1-jpg", "1-png", "2"]


def test_folders_of_one_name_are_told_apart_and_limited_each(tmp_path, derained):
    folders = [tmp_path / parent / "photos" for parent in ("x", "y")]
    for folder in folders:
        for i in (1, 2):
            save(folder / f"{i}.png", scene(i))
    found = measured(*folders, limit=1)
    assert [(each.dataset, len(each.rows)) for each in found.scores] == [
        ("x/photos", 1),
        ("y/photos", 1),
    ]
    third = tmp_path / "z/x/photos"
    save(third / "1.png", scene(1))
    with pytest.raises(UsageError, match="two folders are called x/photos"):
        measured(*folders, third)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ()}, "give --method NAME, or results"),
        ({"restored": Path("ours")}, "and not both"),
        ({"methods": (method(keep=Path("photos/scores")),)}, "outside of it"),
    ],
)
def test_what_cannot_work_is_said(photos, derained, monkeypatch, options, message):
    monkeypatch.chdir(photos.parent)
    with pytest.raises(UsageError, match=message):
        measured(Path("photos"), **options)


def test_a_folder_without_pictures_is_said(tmp_path, derained):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: holds no picture"):
        measured(tmp_path / "empty")
    assert not derained

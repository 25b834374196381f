"""Whole evaluations: pictures on disk in, tables and files out."""

import csv
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.datasets.pairs import ReadOptions
from rainkit.errors import FileError, PairingError, UsageError
from rainkit.evaluation import PROTOCOLS, EvalRequest, FoldersRequest, MethodRequest
from rainkit.runtime_options import Effort, RuntimeOptions
from rainkit.weights import WeightsFile

BOTH = (PROTOCOLS["prenet"], PROTOCOLS["restormer"])


def write(path: Path, rgb: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return path


def scene(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 180, (5, 6, 3), np.uint8)
    return cv2.resize(coarse, (width, height))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for i in (1, 2, 10):
        write(tmp_path / f"pairs/clean/{i}.png", scene(i))
        write(tmp_path / f"pairs/rainy/{i}.png", scene(i) + np.uint8(20))
    return tmp_path / "pairs"


class Darkener:
    """Stands in for a trained method: it takes 15 of the 20 grey levels of rain away."""

    def __init__(self, weights: Path) -> None:
        self.weights = WeightsFile(
            path=weights, name="darkener.test", variant="default", network=None, header={}
        )
        self.runtime = SimpleNamespace(describe=lambda: "cpu (fp32)")
        self.parameters = 7
        self.effort = Effort()
        self.spare_traces = False

    def derain(self, image: np.ndarray) -> np.ndarray:
        assert image.dtype == np.uint8
        return image - np.uint8(15)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict]:
    seen: list[dict] = []
    weights = tmp_path / "darkener.safetensors"
    weights.write_bytes(b"weights")

    def load(name: str, options: RuntimeOptions, **_: object) -> Darkener:
        seen.append({"name": name, "options": options})
        return Darkener(weights)

    monkeypatch.setattr("rainkit.inference.open_derainer", load)
    # It is not installed, and has no weights to look at before.
    monkeypatch.setattr(sys.modules["rainkit.evaluation.run"], "check_derainers", list)
    return seen


def method_request(*datasets: Path, **options: object) -> MethodRequest:
    return MethodRequest(method="darkener", datasets=datasets, protocols=BOTH, **options)


def test_a_method_is_scored_under_every_protocol_in_one_pass(dataset, loads):
    ticks = []
    options = RuntimeOptions.parse(device="cpu", precision="fp32")
    source = method_request(dataset, options=options)
    result = evaluation.run(EvalRequest(sources=(source,)), lambda *tick: ticks.append(tick))
    prenet, restormer = result.comparisons[0].scores
    assert [row.name for row in prenet.rows] == ["1", "2", "10"]
    assert (prenet.protocol.name, restormer.protocol.name) == ("prenet", "restormer")
    assert prenet.psnr_gain.mean == pytest.approx(20 * np.log10(20 / 5), abs=0.01)
    assert ticks == [(1, 3), (2, 3), (3, 3)]
    assert result.exit_code == 0
    assert loads[0]["name"] == "darkener"
    assert loads[0]["options"] == options


def test_tables_start_with_the_input_and_end_with_the_mean(dataset, tmp_path, loads):
    write(tmp_path / "second/rainy/a.png", scene(5) + np.uint8(30))
    write(tmp_path / "second/clean/a.png", scene(5))
    comparison = evaluation.evaluate_method(method_request(dataset, tmp_path / "second"))
    table = evaluation.tables(comparison)[0]
    assert table.title.startswith("Protocol prenet/1")
    assert [row[:3] for row in table.rows] == [
        ("pairs", "3", "input"), ("", "", "darkener"),
        ("second", "1", "input"), ("", "", "darkener"),
        ("mean", "2 sets", "input"), ("", "", "darkener"),
    ]  # fmt: skip
    means = [float(row[3]) for row in table.rows]
    assert means[4] == pytest.approx((means[0] + means[2]) / 2, abs=0.01)
    assert float(table.rows[1][5]) == pytest.approx(means[1] - means[0], abs=0.011)


def test_output_files_trace_every_figure(dataset, tmp_path, loads):
    result = evaluation.run(
        EvalRequest(sources=(method_request(dataset),), output=tmp_path / "new/report")
    )
    assert [path.name for path in result.written] == ["per_image.csv", "metrics.json", "table.md"]
    with result.written[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["protocol"], row["name"]) for row in rows[2:4]] == [
        ("prenet/1", "10"),
        ("restormer/1", "1"),
    ]
    data = json.loads(result.written[1].read_text())
    assert float(rows[0]["psnr"]) == data["results"][0]["rows"][0]["psnr"]
    assert data["results"][1]["protocol"]["y_rounded_to_uint8"] is True
    assert data["versions"]["opencv"] == cv2.__version__
    assert data["weights"] == {
        "name": "darkener.test",
        "variant": "default",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
    }
    assert data["runtime"] == "cpu (fp32)"
    first = data["files"][0]
    assert first["sha256"] == hashlib.sha256(Path(first["path"]).read_bytes()).hexdigest()
    markdown = result.written[2].read_text()
    assert "Protocol prenet/1" in markdown
    assert "| input | " in markdown
    assert "Pictures: pairs 3." in markdown


def test_results_are_not_overwritten_unasked_and_refused_before_computing(dataset, tmp_path, loads):
    report = tmp_path / "report"
    source = method_request(dataset)
    evaluation.run(EvalRequest(sources=(source,), output=report))
    loads.clear()
    with pytest.raises(UsageError, match=r"per_image\.csv exists.*--overwrite"):
        evaluation.run(EvalRequest(sources=(source,), output=report))
    assert not loads
    evaluation.run(EvalRequest(sources=(source,), output=report, overwrite=True))


def test_kept_pictures_score_as_printed(dataset, tmp_path, loads):
    source = method_request(dataset, keep=tmp_path / "saved")
    first = evaluation.evaluate_method(source)
    second = evaluation.evaluate_folders(
        FoldersRequest(
            restored=tmp_path / "saved/restored/darkener/pairs",
            target=dataset / "clean",
            rainy=dataset / "rainy",
            protocols=BOTH,
        )
    )
    for a, b in zip(first.scores, second.scores, strict=True):
        assert [(r.psnr, r.ssim, r.input_psnr) for r in a.rows] == [
            (r.psnr, r.ssim, r.input_psnr) for r in b.rows
        ]


def test_limit_counts_per_dataset(dataset, loads):
    comparison = evaluation.evaluate_method(method_request(dataset, limit=2))
    assert [row.name for row in comparison.scores[0].rows] == ["1", "2"]


def test_datasets_of_one_name_are_told_apart(tmp_path, loads):
    for parent in ("x", "y"):
        for side in ("rainy", "clean"):
            write(tmp_path / parent / "pairs" / side / "1.png", scene(1))
    folders = (tmp_path / "x/pairs", tmp_path / "y/pairs")
    comparison = evaluation.evaluate_method(method_request(*folders))
    assert [scores.dataset for scores in comparison.scores[::2]] == ["x/pairs", "y/pairs"]
    with pytest.raises(UsageError, match="give each once"):
        evaluation.evaluate_method(method_request(folders[0], folders[0]))


def test_sizes_are_refused_before_anything_is_derained(dataset, loads):
    write(dataset / "clean/2.png", scene(2, height=39))
    with pytest.raises(PairingError, match=r"rainy/2\.png 48x40 against .*clean/2\.png 48x39"):
        evaluation.evaluate_method(method_request(dataset))
    assert not loads


def test_pairs_of_two_sizes_are_cut_when_asked_and_the_notes_say_so(dataset, tmp_path, loads):
    write(dataset / "clean/2.png", scene(2, height=39))
    cut = "1 pair of two sizes was cut to the common size, from the top left"
    reading = ReadOptions(crop_to_common=True)
    comparison = evaluation.evaluate_method(method_request(dataset, reading=reading))
    assert [row.height for row in comparison.scores[0].rows] == [40, 39, 40]
    assert f"pairs: {cut}" in comparison.notices
    request = FoldersRequest(
        restored=dataset / "rainy", target=dataset / "clean", protocols=BOTH, crop_to_common=True
    )
    comparison = evaluation.evaluate_folders(request)
    assert [row.height for row in comparison.scores[0].rows] == [40, 39, 40]
    assert cut in comparison.notices


def test_every_picture_of_an_archive_has_a_hash_of_its_own(tmp_path, loads):
    contents = {}
    with tarfile.open(tmp_path / "test-0.tar", "w") as archive:
        for number in (1, 2):
            for field, added in (("input", 20), ("target", 0)):
                _, png = cv2.imencode(".png", scene(number) + np.uint8(added))
                about = tarfile.TarInfo(f"{number}.{field}.png")
                about.size = len(png)
                archive.addfile(about, io.BytesIO(png.tobytes()))
                contents[f"{tmp_path / 'test-0.tar'}::{about.name}"] = png.tobytes()
    source = method_request(tmp_path, keep=tmp_path / "saved")
    result = evaluation.run(EvalRequest(sources=(source,), output=tmp_path / "report"))
    assert f"{tmp_path.name}: its split 'test' alone is scored" in result.comparisons[0].notices
    files = json.loads(result.written[1].read_text())["files"]
    sources = [file for file in files if file["role"] != "restored"]
    assert {file["path"]: file["sha256"] for file in sources} == {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    assert (tmp_path / "saved/restored/darkener" / tmp_path.name / "2.png").is_file()


def test_an_unreadable_picture_costs_its_row_and_the_exit_code(dataset, loads):
    (dataset / "rainy/2.png").write_text("not a picture")
    result = evaluation.run(EvalRequest(sources=(method_request(dataset),)))
    assert [row.name for row in result.comparisons[0].scores[0].rows] == ["1", "10"]
    ((where, failure),) = result.comparisons[0].failures
    assert (where, failure.name) == ("pairs", "2")
    assert "2.png" in failure.reason
    assert result.exit_code == 1


def test_sixteen_bit_pictures_are_scored_in_eight(tmp_path):
    rgb = scene(3)
    write(tmp_path / "a.png", rgb.astype(np.uint16) * 257 + 100)
    write(tmp_path / "b.png", rgb)
    request = FoldersRequest(restored=tmp_path / "a.png", target=tmp_path / "b.png", protocols=BOTH)
    comparison = evaluation.evaluate_folders(request)
    assert comparison.scores[0].psnr.mean == np.inf
    assert "the only restored picture equals its target" in comparison.notices[0]


def test_the_notes_say_what_the_tables_leave_out(dataset, tmp_path):
    def notes(ours: dict[int, int]) -> tuple[str, ...]:
        for i, added in ours.items():
            write(tmp_path / f"ours/{i}.png", scene(i) + np.uint8(added))
        request = FoldersRequest(
            restored=tmp_path / "ours", target=dataset / "clean", protocols=BOTH[:1],
            rainy=dataset / "clean",
        )  # fmt: skip
        return evaluation.evaluate_folders(request).notices

    assert notes({1: 0, 2: 0, 10: 5}) == (
        "pairs (prenet/1): 2 restored pictures equal their targets; infinite PSNR and gains are"
        " left out of the means",
        "pairs (prenet/1): all 3 rainy pictures equal their targets: PSNR is infinite",
    )
    (restored, _) = notes({10: 0})
    assert restored.endswith("all 3 restored pictures equal their targets: PSNR is infinite")


def test_jpeg_results_are_noticed(dataset, tmp_path):
    for i in (1, 2, 10):
        write(tmp_path / f"ours/{i}.jpg", scene(i))
    request = FoldersRequest(restored=tmp_path / "ours", target=dataset / "clean", protocols=BOTH)
    assert "JPEG" in evaluation.evaluate_folders(request).notices[0]


@pytest.mark.parametrize(
    ("bar", "code"),
    [("psnr=25", 0), ("psnr=60", 3), ("psnr_gain=11", 0), ("psnr_gain=13", 3), ("ssim=1.1", 3)],
)
def test_bars(dataset, loads, bar, code):
    result = evaluation.run(EvalRequest(sources=(method_request(dataset),), bars=(bar,)))
    assert result.exit_code == code
    assert bool(result.missed) == (code == 3)


def test_a_wrong_bar_is_refused_before_computing(dataset, loads):
    for bar in ("psnr", "psnr=high", "lpips=1"):
        with pytest.raises(UsageError, match=f"--fail-below {bar}: write psnr=30"):
            evaluation.run(EvalRequest(sources=(method_request(dataset),), bars=(bar,)))
    assert not loads


def test_a_gain_needs_an_input(dataset):
    source = FoldersRequest(restored=dataset / "rainy", target=dataset / "clean", protocols=BOTH)
    with pytest.raises(UsageError, match="--input"):
        evaluation.run(EvalRequest(sources=(source,), bars=("psnr_gain=1",)))


def test_an_output_that_cannot_be_made_is_said_clearly(dataset, tmp_path):
    source = FoldersRequest(restored=dataset / "rainy", target=dataset / "clean", protocols=BOTH)
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises((UsageError, FileError), match="file"):
            evaluation.run(EvalRequest(sources=(source,), output=output))

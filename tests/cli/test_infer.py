"""``rainkit infer``, its options, output and exit codes, in this process."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rainkit import images
from rainkit.cli import app, following
from rainkit.errors import ImageError
from rainkit.inference import batch, loading


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(2):
        rgb = np.full((20, 30, 3), 50 + i, np.uint8)
        images.write(tmp_path / "photos" / f"[{i}].png", images.Picture(rgb))
    return tmp_path / "photos"


@pytest.fixture
def infer(tiny_weights: Path):
    def run(*arguments: object) -> Result:
        options = ["-m", "tiny", "--weights", str(tiny_weights), "--device", "cpu"]
        return CliRunner().invoke(app, ["infer", *options, *map(str, arguments)])

    return run


def test_a_folder(infer, photos: Path):
    result = infer(photos, "--precision", "fp32")
    assert result.exit_code == 0, result.stderr
    assert "2 pictures derained" in result.stdout
    assert "on cpu (fp32), backend eager, with tiny" in result.stdout
    assert "photos-tiny" in result.stdout
    assert {p.name for p in (photos.parent / "photos-tiny").glob("[!.]*")} == {
        "[0].png",
        "[1].png",
    }


def test_json_is_the_result_alone(infer, photos: Path):
    result = infer(photos, "--json", "-o", photos.parent / "out", "--report", "--tile", 64)
    data = json.loads(result.stdout)
    assert (data["method"], data["done"], data["failed"]) == ("tiny", 2, 0)
    assert data["backend"] == "eager"
    assert Path(data["report"]).is_file()


def test_several_methods_are_told_one_by_one(photos: Path, tiny_weights: Path):
    chosen = ["-m", f"tiny={tiny_weights}@one", "-m", f"tiny={tiny_weights}@two"]
    command = ["infer", str(photos), *chosen, "--device", "cpu"]
    (photos / "[bad].jpg").write_bytes(b"not a picture")
    result = CliRunner().invoke(app, [*command, "--report"])
    assert result.exit_code == 1, result.stderr
    lines = result.stdout.splitlines()
    assert [line for line in lines if line in ("one", "two")] == ["one", "two"]
    assert lines[-1] == f"report: {photos}-report.html"
    assert result.stderr.count("[bad].jpg: is not a JPEG") == 1
    data = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert [(each["title"], each["skipped"]) for each in data["methods"]] == [
        ("one", 2),
        ("two", 2),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["-m", "granet", "-m", "tiny", "--weights", "x"],
            "--weights is for a single method",
        ),
        (
            ["-m", "granet", "-m", "tiny", "--variant", "x"],
            "--variant is for a single method",
        ),
        (
            ["-m", "granet=rain-v1", "--weights", "x"],
            "names weights already; leave out --weights x",
        ),
        (["-m", "granet", "-m", "tiny", "-o", "x.png"], "names a picture, but there are 2"),
        (["-m", "granet=rain-v1", "-m", "granet=rain-v1@granet-rain-v1"], "label them: --method"),
        (["-m", "granet", "-m", "grannet"], "grannet"),
    ],
)
def test_several_methods_refuse_what_is_of_one(photos: Path, arguments: list[str], words: str):
    result = CliRunner().invoke(app, ["infer", str(photos), *arguments])
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert words in line
    assert [each.name for each in photos.parent.iterdir()] == ["photos"]


def test_a_failure_is_one_line_and_exit_code_1(infer, photos: Path):
    (photos / "[bad].jpg").write_bytes(b"not a picture")
    result = infer(photos, "--quiet")
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert "[bad].jpg: is not a JPEG" in lines[0]


def test_a_pipe_among_the_pictures_is_reported_and_not_waited_for(infer, photos: Path):
    os.mkfifo(photos / "x.jpg")
    result = infer(photos, photos / "x.jpg", "--json", "-o", photos.parent / "out")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert (data["done"], data["failed"]) == (2, 1)
    assert "x.jpg: is a named pipe, not a file" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing"], "missing: no such file or folder"),
        (["photos", "--tile", "big"], "--tile big"),
        (["photos", "--tile", "9"], "--tile 9"),
        (["photos", "--device", "abacus"], "--device abacus"),
        (["photos", "--precision", "fp8"], "--precision fp8"),
        (["photos", "--variant", "grand"], "--variant grand"),
        (["photos", "--effort", "2"], "tiny always runs as a whole"),
        (["photos", "--effort", "half"], "--effort half: give full, auto, auto:LEVELS"),
        (["photos", "-o", "photos"], "is an input and would be lost"),
        (["photos", "-o", "one.png"], "names a picture"),
        (["photos/[[]0].png", "-o", "one.png"], "names a picture"),
        (["photos/[0].png", "-o", "one.exr"], "cannot write .exr"),
        (["photos/[0].png", "-o", "photos/[1].png/x.png"], "[1].png is a file"),
        ([""], "an empty name"),
        (["photos", "-o", ""], "--output is empty"),
        (["photos", "--report-to", ""], "--report-to is empty"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    infer, photos: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
):
    monkeypatch.chdir(photos.parent)
    result = infer(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not result.stdout
    assert {path.name for path in photos.parent.iterdir()} == {"photos"}


def test_results_are_replaced_only_when_asked(infer, photos: Path):
    assert infer(photos).exit_code == 0
    again = infer(photos)
    assert (again.exit_code, again.stderr) == (0, "")
    assert "nothing to do: all 2 results are there; --overwrite to redo" in again.stdout
    assert "2 pictures derained" in infer(photos, "--overwrite").stdout


def test_an_added_picture_alone_is_done(infer, photos: Path):
    assert infer(photos).exit_code == 0
    images.write(photos / "new.png", images.Picture(np.full((20, 30, 3), 9, np.uint8)))
    result = infer(photos)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "1 picture derained, 2 already there (--overwrite to redo)" in result.stdout
    statuses = [each["status"] for each in json.loads(infer(photos, "--json").stdout)["pictures"]]
    assert statuses == ["skipped"] * 3


def test_every_folder_of_results_is_told(infer, photos: Path):
    images.write(photos.parent / "b" / "b.png", images.Picture(np.full((9, 9, 3), 9, np.uint8)))
    told = infer(photos, photos.parent / "b").stdout.splitlines()
    places = [Path(line.removeprefix("results: ")) for line in told if line.startswith("results:")]
    assert places == [photos.parent / "photos-tiny", photos.parent / "b-tiny"]


def test_a_report_that_fails_comes_after_the_summary(
    infer, photos: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise ImageError("report.html: cannot be written (No space left on device)")

    monkeypatch.setattr(batch, "write_page", full)
    result = infer(photos, "--report")
    assert result.exit_code == 1
    assert "2 pictures derained" in result.stdout
    assert "error: report.html: cannot be written" in result.stderr


def test_pictures_not_attempted_are_one_line(infer, photos: Path, monkeypatch: pytest.MonkeyPatch):
    for i in range(10):
        (photos / f"{i}.png").write_bytes((photos / "[0].png").read_bytes())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = infer(photos)
    assert result.exit_code == 1
    assert len(re.findall(r"^not attempted: \d+ pictures?, after: ", result.stderr, re.M)) == 1
    assert "already there" not in result.stdout


def test_ctrl_c_before_the_first_picture_tells_how_many_there_are(
    infer, photos: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "build", interrupt)
    result = infer(photos)
    assert result.exit_code == 130
    assert "stopped by Ctrl-C: 0 of 2 pictures done" in result.stderr


@pytest.fixture
def anytime(anytime_weights: Path):
    def run(*arguments: object) -> Result:
        options = ["-m", "resguidenet", "--weights", str(anytime_weights), "--device", "cpu"]
        return CliRunner().invoke(app, ["infer", *options, *map(str, arguments)])

    return run


def test_blocks_that_ran_are_told_for_each_picture(anytime, photos: Path):
    result = anytime(photos, "--effort", "auto:1000", "--report")
    assert result.exit_code == 0, result.stderr
    assert "blocks used, of 3: 1 for [0].png, 1 for [1].png" in result.stdout
    page = (photos.parent / "photos-resguidenet" / "report.html").read_text()
    assert "1 block<" in page
    result = anytime(photos, "--overwrite", "--effort", "2", "--json")
    assert [each["blocks"] for each in json.loads(result.stdout)["pictures"]] == [2, 2]
    assert "blocks used" not in anytime(photos, "--overwrite").stdout


def test_parts_are_told_and_saved(anytime, photos: Path):
    result = anytime(photos, "--parts")
    assert result.exit_code == 0, result.stderr
    assert "parts: " in result.stdout
    place = photos.parent / "photos-resguidenet-parts"
    assert {path.name for path in place.iterdir()} == {"rain", "block1", "block2", "block3"}
    pictures = json.loads(anytime(photos, "--parts", "--overwrite", "--json").stdout)["pictures"]
    assert pictures[0]["parts"]["rain"] == str(place / "rain" / "[0].png")


def test_names_are_printed_as_they_are(infer, tmp_path: Path):
    """Neither ``:words:`` become pictures nor ``[words]`` colours."""
    image = tmp_path / "trip:rainbow:[bold]2[/].png"
    images.write(image, images.Picture(np.full((20, 30, 3), 50, np.uint8)))
    (tmp_path / "bad:rainbow:[red].jpg").write_bytes(b"not a picture")
    told = infer(image).stdout.splitlines()[-1]
    assert told == f"results: {tmp_path}/trip:rainbow:[bold]2[/]-tiny.png"
    assert Path(told.removeprefix("results: ")).is_file()
    failed = infer(tmp_path / "bad:rainbow:[[]red].jpg").stderr
    assert failed.startswith(f"failed: {tmp_path}/bad:rainbow:[red].jpg: is not a JPEG")


NEEDS_NO_NETWORK = (
    (["missing.jpg", "-m", "graspp-gan"], 2, "missing.jpg: no such file or folder"),
    (["photos", "-m", "grasp-gan"], 2, "grasp-gan"),
    (["photos", "-m", "graspp-gan", "--weights", "none"], 2, "--weights none: no such file"),
    (["photos", "-m", "graspp-gan", "--effort", "2"], 2, "always runs as a whole"),
    (["photos", "-m", "graspp-gan", "-o", "photos"], 2, "is an input and would be lost"),
    (["photos", "-m", "graspp-gan", "-o", "done"], 1, "no record tells how it was made"),
)


NOT_NEEDED = {
    *("timm", "albumentations", "piq", "accelerate", "scipy", "pandas", "matplotlib", "skimage"),
    *("torchvision", "tensorboard", "onnx", "onnxruntime", "openvino", "jinja2", "rainkit.rain"),
}


def test_what_needs_no_network_is_said_before_torch_is_imported(fresh, photos: Path):
    for path in photos.iterdir():
        (photos.parent / "done").mkdir(exist_ok=True)
        (photos.parent / "done" / path.name).write_bytes(path.read_bytes())
    commands = [["infer", *arguments] for arguments, _, _ in NEEDS_NO_NETWORK]
    works = ["infer", "photos", "-m", "timelapse", "--device", "cpu", "-o", "clean"]
    *refused, done = fresh(*commands, works, cwd=photos.parent)
    assert done.code == 0, done.said
    assert "torch" in done.modules
    assert not done.modules & NOT_NEEDED
    for (arguments, code, words), ended in zip(NEEDS_NO_NETWORK, refused, strict=True):
        assert ended.code == code, arguments
        assert words in ended.said
        assert "rainkit.inference.batch" in ended.modules
        assert "torch" not in ended.modules, arguments


def test_a_weights_file_names_its_method(rainkit, photos: Path, tiny_weights: Path):
    code, _, err = rainkit("infer", photos, "--weights", tiny_weights, "--device", "cpu")
    assert (code, "using tiny, the method of the weights" in err) == (0, True), err
    assert (photos.parent / "photos-tiny").is_dir()


def test_a_picture_is_piped_through(photos: Path, tiny_weights: Path):
    options = ["-m", "tiny", "--weights", str(tiny_weights), "--device", "cpu"]
    data = (photos / "[0].png").read_bytes()
    command = ["infer", "-", *options, "--format", "webp", "-o", "-"]
    piped = CliRunner().invoke(app, command, input=data)
    assert piped.exit_code == 0, piped.stderr
    assert images.decode(piped.stdout_bytes, "piped").size == (30, 20)
    assert piped.stdout_bytes.startswith(b"RIFF")
    for more, words in (
        (["--json"], "--json cannot be used with --output -"),
        (["--report"], "--report cannot be used with --output -"),
        (["--parts"], "--parts cannot be used with --output -"),
    ):
        refused = CliRunner().invoke(app, [*command, *more], input=data)
        assert (refused.exit_code, words in refused.stderr) == (2, True), refused.stderr
    nowhere = CliRunner().invoke(app, ["infer", "-", *options], input=data)
    assert "needs an --output: FILE, or - to pipe it on" in nowhere.stderr
    listed = CliRunner().invoke(app, ["infer", "-", *options], input=f"{photos}/[[]0].png\n")
    assert listed.exit_code == 0, listed.stderr


def test_json_lines_follow_a_run(infer, photos: Path):
    (photos / "bad.png").write_bytes(b"not a picture")
    result = infer(photos, "--json", "--tile", 64)
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert [each["event"] for each in events] == [
        "start",
        "method",
        "picture",
        "picture",
        "picture",
    ]
    assert events[0]["total"] == 3
    last = events[-1]
    assert (last["done"], last["total"], last["status"]) == (3, 3, "failed")
    assert "bad.png: is not a JPEG" in last["error"]
    assert json.loads(result.stdout)["failed"] == 1
    assert infer(photos, "--json", "--quiet").stderr.startswith("failed: ")


def test_a_line_every_few_seconds_where_there_is_no_terminal(
    infer, photos: Path, monkeypatch: pytest.MonkeyPatch
):
    images.write(photos / "wide.png", images.Picture(np.full((20, 90, 3), 9, np.uint8)))
    monkeypatch.setattr(following, "_EVERY", 0.0)
    said = infer(photos, "--tile", 64).stderr
    assert re.search(r"^1 of 3 pictures, \S+ s each, about \d+ s left$", said, re.M), said
    assert re.search(r"^\d of 3 pictures, wide\.png at tile 1 of 2", said, re.M), said
    monkeypatch.setattr(following, "_EVERY", -1.0)
    slow = SimpleNamespace(monotonic=iter(range(0, 10**6, 150)).__next__)
    monkeypatch.setattr(following, "time", slow)
    said = infer(photos, "--tile", 64, "--overwrite").stderr
    assert re.search(r"^2 of 3 pictures, \d+ s each", said, re.M), said


def test_sigterm_ends_a_run_as_ctrl_c_does(infer, photos: Path, monkeypatch: pytest.MonkeyPatch):
    def terminate(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loading, "build_all", terminate)
    result = infer(photos)
    assert result.exit_code == 130
    assert "stopped by SIGTERM: 0 of 2 pictures done; repeat the command to go on" in result.stderr
    assert "repeat the command without --overwrite" in infer(photos, "--overwrite").stderr


def test_watching_and_shards_are_told(infer, photos: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Event, "wait", stop)
    result = infer(photos, "--watch")
    assert (result.exit_code, "watching " in result.stderr) == (0, True)
    assert "nothing to do" in result.stdout
    refused = infer(photos, "--shard", "0/4")
    assert (refused.exit_code, "count from 1" in refused.stderr) == (2, True)
    assert "nothing to do: no picture" in infer(photos, "--retry-failed").stdout

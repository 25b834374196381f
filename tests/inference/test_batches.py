"""Runs over many pictures: the record, shards, several devices, batches and watched folders."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest

from rainkit import images, inference
from rainkit.errors import UsageError
from rainkit.inference import (
    Derainer,
    InferRequest,
    InferResult,
    MethodToRun,
    Outcome,
    Progress,
    inputs,
    loading,
    pipeline,
    record,
)
from rainkit.runtime_options import RuntimeOptions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven pictures of two sizes."""
    for number in range(7):
        rgb = np.random.default_rng(number).integers(0, 255, (20, 30, 3), np.uint8)
        picture = images.Picture(rgb if number != 3 else rgb[:16])
        images.write(tmp_path / "many" / f"{number}.png", picture)
    return tmp_path / "many"


@pytest.fixture
def run(tiny_weights: Path):
    def infer(*given: Path | str, progress=None, **options) -> InferResult:
        return inference.infer(request(tiny_weights, *given, **options), progress)

    return infer


def request(weights: Path, *given: Path | str, **options) -> InferRequest:
    how = RuntimeOptions.parse(device="cpu", precision="fp32")
    return InferRequest(inputs=given, method="tiny", weights=str(weights), options=how, **options)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def entries(folder: Path) -> dict[str, dict]:
    lines = map(json.loads, (folder / ".rainkit-infer.jsonl").read_text().splitlines())
    return {line["key"]: line["entry"] for line in lines if "key" in line}


def test_several_devices_batches_and_one_by_one_give_the_same(
    run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run(folder, output=tmp_path / "one", workers=1)
    sizes: list[int] = []
    known, build = Derainer.derain_batch, loading.build

    def counted(self, pictures):
        sizes.append(len(pictures))
        return known(self, pictures)

    monkeypatch.setattr(Derainer, "derain_batch", counted)
    result = run(folder, output=tmp_path / "batches", batch=2)
    assert sizes == [2, 2]  # 0 and 1, 4 and 5; 2 stands before one of another size, and 6 is last
    sizes.clear()
    monkeypatch.setattr(loading, "build_all", lambda setup, most: [build(setup) for _ in range(3)])
    spread = run(folder, output=tmp_path / "devices", batch=3, workers=3)
    assert sorted(sizes) == [3, 3]
    assert spread.device == "3 × cpu (fp32)"
    for each in (result, spread):
        assert [one.input.name for one in each.done] == [f"{n}.png" for n in range(7)]
    assert (
        digests(tmp_path / "one") == digests(tmp_path / "batches") == digests(tmp_path / "devices")
    )


def test_a_batch_that_fails_is_done_one_by_one(run, folder: Path, monkeypatch):
    def fails(self, pictures):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Derainer, "derain_batch", fails)
    assert len(run(folder, batch=4).done) == 7


def test_pictures_wait_in_memory_only_as_far_as_they_may(run, folder: Path, monkeypatch):
    alive = most = 0
    lock = threading.Lock()
    known, write = pipeline._read, pipeline._write  # what lies between holds a picture

    def read(job, **options):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return known(job, **options)

    def written(*given, **options):
        nonlocal alive
        with lock:
            alive -= 1
        return write(*given, **options)

    monkeypatch.setattr(pipeline, "_read", read)
    monkeypatch.setattr(pipeline, "_write", written)
    monkeypatch.setattr(pipeline, "MOST_BYTES", 1)
    assert len(run(folder, workers=4).done) == 7
    assert most <= 3  # one is read, one computed and one written


def test_the_record_says_how_each_result_was_made(run, folder: Path, tmp_path: Path):
    (folder / "bad.png").write_bytes(b"not a picture")
    out = tmp_path / "out"
    assert run(folder, output=out, parts=True).exit_code == 1
    held = entries(out)
    (named,) = [key for key in held if key.startswith("/settings/")]
    assert held[named]["method"] == "tiny"
    one = held["0.png"]
    assert one["settings"] == named.removeprefix("/settings/")
    assert one["input"] == hashlib.sha256((folder / "0.png").read_bytes()).hexdigest()
    assert one["output"] == digests(out)["0.png"]
    assert one["parts"] == {"rain": digests(tmp_path / "out-parts" / "rain")["0.png"]}
    assert (one["status"], one["seconds"] >= 0, one["time"][:2]) == ("done", True, "20")
    assert held["bad.png"]["status"] == "failed"
    assert "not a JPEG" in held["bad.png"]["error"]
    assert len(run(folder, output=out, parts=True).skipped) == 7
    (tmp_path / "out-parts" / "rain" / "1.png").write_bytes(b"mine")
    kept = run(folder, output=out, parts=True).kept
    assert [each.error for each in kept] == [
        "is there, and its part rain was changed since it was made"
    ]


def test_of_several_records_that_which_fits_the_result_counts(
    run, tiny_weights: Path, folder: Path, tmp_path: Path
):
    """The clock of the machine that wrote the other record was fast."""
    out = tmp_path / "out"
    run(folder, output=out)
    record = out / ".rainkit-infer.jsonl"
    ahead = re.sub(r'"time": "20\d\d', '"time": "2099', record.read_text())
    record.with_name(".rainkit-infer-00001-of-00002.jsonl").write_text(ahead)
    record.unlink()
    half = RuntimeOptions.parse(device="cpu", precision="fp32", strength=0.5)
    again = request(tiny_weights, folder, output=out)
    inference.infer(dataclasses.replace(again, options=half, overwrite=True))
    done = inference.infer(dataclasses.replace(again, options=half))
    assert (len(done.skipped), done.kept) == (7, ())


def test_only_what_failed_is_tried_again_and_the_page_shows_all(run, folder: Path, tmp_path: Path):
    good = (folder / "5.png").read_bytes()
    (folder / "5.png").write_bytes(good[:60])
    out = tmp_path / "out"
    assert len(run(folder, output=out).failed) == 1
    (folder / "new.png").write_bytes(good)
    (folder / "5.png").write_bytes(good)
    again = run(folder, output=out, retry_failed=True, report=True)
    assert [each.output.name for each in again.outcomes] == ["5.png"]
    assert "7 pictures without their rain" in (again.report or Path()).read_text()
    assert run(folder, output=out, retry_failed=True).outcomes == ()
    assert [each.output.name for each in run(folder, output=out).done] == ["new.png"]


def test_what_nobody_has_touched_is_not_read_again(run, folder: Path, tmp_path: Path, monkeypatch):
    run(folder, output=tmp_path / "out")

    def fails(path: Path) -> bytes:
        raise AssertionError(path)

    monkeypatch.setattr(inputs, "read_bytes", fails)
    monkeypatch.setattr(record, "sha256", fails)
    assert len(run(folder, output=tmp_path / "out").skipped) == 7


def test_shards_share_a_folder_at_the_same_time(run, folder: Path, tmp_path: Path):
    out = tmp_path / "out"
    refused: list[str] = []

    class Both(Progress):
        def advance(self, outcome: Outcome) -> None:
            if not refused:
                for shard in (None, "1/3", "1/2"):
                    with pytest.raises(UsageError, match="is writing there") as error:
                        run(folder, output=out, shard=shard)
                    refused.append(str(error.value))
                assert run(folder, output=out, shard="2/2").exit_code == 0

    first = run(folder, output=out, shard="1/2", progress=Both())
    assert len(refused) == 3
    assert "another rainkit infer --shard 1/2" in refused[2]
    assert 0 < len(first.done) < 7
    run(folder, output=tmp_path / "whole")
    assert digests(out) == digests(tmp_path / "whole")
    assert len(run(folder, output=out).skipped) == 7
    assert len(run(folder, output=out, shard="2/2").skipped) == 7 - len(first.done)
    with pytest.raises(UsageError, match="make the page by the same command without --shard"):
        run(folder, output=out, shard="1/2", report=True)


def test_pictures_of_a_store_go_to_a_folder(run, folder: Path, tmp_path: Path):
    fsspec.filesystem("memory").put(str(folder), "/store", recursive=True)
    with pytest.raises(UsageError, match="is no file of this machine: name an --output"):
        run("memory://store")
    out = tmp_path / "out"
    result = run("memory://store", output=out, report=True)
    assert str(result.done[0].input) == "memory://store/0.png"
    assert (result.report or Path()).read_text().count("data:image/jpeg;base64,") == 14
    run(folder, output=tmp_path / "local")
    assert {k: v for k, v in digests(out).items() if k != "report.html"} == digests(
        tmp_path / "local"
    )
    assert len(run("memory://store", output=out).skipped) == 7


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
from rainkit import inference
from rainkit.runtime_options import RuntimeOptions
known, done = Path.replace, []
def replace(self, target):
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(target)
    return known(self, target)
Path.replace = replace
inference.infer(inference.InferRequest(
    inputs=({folder!r},), method="tiny", weights={weights!r}, output=Path({out!r}),
    options=RuntimeOptions.parse(device="cpu", precision="fp32")))
"""


def test_a_kill_between_record_and_result_loses_that_picture_alone(
    run, folder: Path, tmp_path: Path, tiny_weights: Path
):
    out = tmp_path / "out"
    code = KILLED.format(path=sys.path, folder=str(folder), weights=str(tiny_weights), out=str(out))
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(out.glob(".rainkit-????????????.png"))) == 1
    run(folder, output=tmp_path / "whole")
    partial, whole = digests(out), digests(tmp_path / "whole")
    assert len(partial) == 3
    assert partial.items() <= whole.items()
    result = run(folder, output=out)
    assert (len(result.skipped), len(result.done)) == (3, 4)
    assert digests(out) == whole
    assert [path.name for path in out.glob(".*")] == [".rainkit-infer.jsonl"]


def test_a_watched_folder_gives_what_has_arrived_whole(
    folder: Path, tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
):
    built: list[object] = []
    known = loading.build_all
    monkeypatch.setattr(loading, "build_all", lambda s: built.append(s) or known(s))
    out, stop = folder / "clean", threading.Event()
    whole = (folder / "6.png").read_bytes()
    (folder / "6.png").write_bytes(whole[:50])
    (folder / "empty.png").touch()

    class Camera(Progress):
        seen = 0

        def advance(self, outcome: Outcome) -> None:
            self.seen += 1
            if self.seen == 7:  # all that were there; 6.png failed, and is then uploaded anew
                (folder / "6.png").write_bytes(whole)
            elif self.seen == 8:
                raise KeyboardInterrupt

    methods = [MethodToRun(method="tiny", weights=str(tiny_weights))]
    asked = request(tiny_weights, folder, output=out)
    found = inference.watch(asked, methods, Camera(), every=0.01, stop=stop)
    (result,) = found.results
    assert [each.status for each in result.outcomes] == ["done"] * 6 + ["failed", "done"]
    assert len(digests(out)) == 7
    assert len(built) == 1
    for change, words in (
        ({"report": True}, "cannot be used with --watch"),
        ({"output": tmp_path}, "would be taken for new pictures"),
        ({"inputs": (folder / "0.png",)}, "is no folder"),
    ):
        with pytest.raises(UsageError, match=words):
            inference.watch(dataclasses.replace(asked, **change), methods)


def test_an_event_ends_watching(folder: Path, tiny_weights: Path):
    stop = threading.Event()
    stop.set()
    methods = [MethodToRun(method="tiny", weights=str(tiny_weights))]
    found = inference.watch(request(tiny_weights, folder), methods, stop=stop)
    assert (found.first.outcomes, found.exit_code) == ((), 0)
    assert os.listdir(folder.parent) == ["many"]


def test_a_name_that_is_too_long_loses_that_picture_alone(run, folder: Path, tmp_path: Path):
    long = folder / f"{'x' * 249}.png"
    long.write_bytes((folder / "0.png").read_bytes())
    result = run(folder, output=tmp_path / "out", name="{stem}-derained{suffix}")
    assert (len(result.done), len(result.failed)) == (7, 1)
    assert "too long" in result.failed[0].error


def test_a_picture_that_cannot_be_taken_does_not_end_watching(
    folder: Path, tmp_path: Path, tiny_weights: Path
):
    (folder / "0.jpg").write_bytes(images.encode(images.read(folder / "0.png"), ".jpg"))
    stop = threading.Event()

    class Camera(Progress):
        seen = 0

        def advance(self, outcome: Outcome) -> None:
            self.seen += 1
            if self.seen == 8:  # one whose result would replace that of a picture before it
                (folder / "1.jpg").write_bytes((folder / "0.jpg").read_bytes())
            elif self.seen == 9:
                stop.set()

    methods = [MethodToRun(method="tiny", weights=str(tiny_weights))]
    asked = request(tiny_weights, folder, output=folder / "out" / "{stem}-dry.png", overwrite=True)
    (folder / "clip.mp4").write_bytes(b"no video")
    found = inference.watch(asked, methods, Camera(), every=0.01, stop=stop)
    lost = [each for each in found.first.outcomes if each.status == "failed"]
    assert [each.input.name for each in lost] in (["0.jpg", "1.jpg"], ["0.png", "1.jpg"])
    assert all("would both become" in each.error for each in lost)
    assert len(digests(folder / "out")) == 7
    assert any("MP4" in line for line in found.notices)

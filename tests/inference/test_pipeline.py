"""Whole runs over folders, in this process."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rainkit import images, inference
from rainkit.errors import FileError, UsageError
from rainkit.inference import InferRequest, InferResult, Outcome, batch
from rainkit.inference.outputs import Job
from rainkit.inference.record import Records
from rainkit.runtime_options import RuntimeOptions


@pytest.fixture
def run(tiny_weights: Path):
    def infer(
        *inputs: Path | str, progress=None, tile="auto", strength=1, **options
    ) -> InferResult:
        request = InferRequest(
            inputs=inputs,
            method="tiny",
            weights=str(tiny_weights),
            options=RuntimeOptions.parse(
                device="cpu", precision="fp32", tile=tile, strength=strength
            ),
            **options,
        )
        return inference.infer(request, progress)

    return infer


class Seen(inference.Progress):
    """What a run told."""

    def __init__(self) -> None:
        self.total = 0
        self.names: list[str] = []
        self.tiles: list[tuple[str, int, int]] = []

    def start(self, total: int) -> None:
        self.total = total

    def tile(self, picture: Path, done: int, total: int) -> None:
        self.tiles.append((picture.name, done, total))

    def advance(self, outcome: Outcome) -> None:
        self.names.append(outcome.input.name)


def tree(folder: Path) -> list[str]:
    """The files of a folder, without the record of how they were made."""
    files = (p.relative_to(folder).as_posix() for p in folder.rglob("[!.]*") if p.is_file())
    return sorted(files)


def test_a_folder_is_mirrored_beside_itself(run, photos: Path, derainer: inference.Derainer):
    result = run(photos)
    place = photos.with_name("photos-tiny")
    assert tree(place) == ["a.jpg", "trip/b.png"]
    rainy = photos / "trip" / "b.png"
    clean = images.read(place / "trip" / "b.png").rgb
    np.testing.assert_array_equal(clean, derainer.derain(rainy))
    assert (len(result.done), result.exit_code, result.outputs) == (2, 0, (place,))
    assert result.done[1].size == (72, 40)
    assert all(each.seconds > 0 for each in result.done)


def test_format_depth_grey_and_alpha_stay(run, tmp_path: Path):
    ramp = np.linspace(0, 65535, 20 * 30).reshape(20, 30).astype(np.uint16)
    folder = tmp_path / "in"
    grey, alpha = np.dstack([ramp] * 3), (ramp // 257).astype(np.uint8)
    images.write(folder / "grey.tif", images.Picture(grey, grey=True))
    images.write(folder / "clear.png", images.Picture(images.to_uint8(grey), alpha))
    Image.fromarray(alpha).convert("P").save(folder / "palette.png")
    run(folder, output=tmp_path / "out")
    deep = images.read(tmp_path / "out" / "grey.tif")
    assert (deep.grey, deep.rgb.dtype) == (True, np.uint16)
    np.testing.assert_array_equal(images.read(tmp_path / "out" / "clear.png").alpha, alpha)
    assert images.read(tmp_path / "out" / "palette.png").size == (30, 20)


def test_bad_pictures_are_counted_and_the_others_done(run, photos: Path):
    (photos / "0.jpg").write_bytes(b"not a picture")
    (photos / "b.jpg").write_bytes((photos / "a.jpg").read_bytes()[:900])
    (photos / "c.jpg").write_bytes(b"")
    seen = Seen()
    result = run(photos, progress=seen)
    assert [each.input.name for each in result.failed] == ["0.jpg", "b.jpg", "c.jpg"]
    assert result.exit_code == 1
    assert tree(result.outputs[0]) == ["a.jpg", "trip/b.png"]
    assert seen.total == 5
    assert seen.names == ["0.jpg", "a.jpg", "b.jpg", "c.jpg", "b.png"]


def test_progress_is_told_within_a_picture_of_many_tiles(run, photos: Path):
    seen = Seen()
    run(photos / "a.jpg", progress=seen, tile=64)  # 72 x 48
    assert seen.tiles == [("a.jpg", 1, 2), ("a.jpg", 2, 2)]


def test_existing_results_are_skipped_and_counted(run, photos: Path):
    run(photos / "a.jpg", output=photos.parent / "out")
    before = (photos.parent / "out" / "a.jpg").stat().st_mtime_ns
    result = run(photos, output=photos.parent / "out")
    assert [each.status for each in result.outcomes] == ["skipped", "done"]
    assert (len(result.skipped), len(result.failed), result.exit_code) == (1, 0, 0)
    again = run(photos, output=photos.parent / "out", report=True)
    assert (len(again.skipped), again.exit_code) == (2, 0)
    page = (again.report or Path()).read_text()
    assert "2 pictures without their rain" in page
    assert page.count("data:image/jpeg;base64,") == 4
    (photos / "trip" / "b.png").rename(photos / "c.png")
    anew = run(photos, output=photos.parent / "out", report=True)
    assert "c.png" in (anew.report or Path()).read_text()
    (photos / "c.png").rename(photos / "trip" / "b.png")
    assert (photos.parent / "out" / "a.jpg").stat().st_mtime_ns == before
    (photos.parent / "out" / "report.html").write_text("another page")
    with pytest.raises(UsageError, match="is no page of rainkit"):
        run(photos, output=photos.parent / "out", report=True)
    assert run(photos, output=photos.parent / "out", overwrite=True).exit_code == 0
    assert (photos.parent / "out" / "a.jpg").stat().st_mtime_ns > before


def test_a_full_disk_stops_the_run(run, photos: Path, monkeypatch: pytest.MonkeyPatch):
    for i in range(8):
        (photos / f"{i}.jpg").write_bytes((photos / "a.jpg").read_bytes())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = run(photos)
    assert len(result.failed) + len(result.not_attempted) == len(result.outcomes) == 10
    assert "No space left on device" in (result.outcomes[0].error or "")
    assert result.outcomes[-1].status == "not attempted"
    assert result.exit_code == 1
    assert tree(result.outputs[0]) == []


def test_a_report_that_cannot_be_written_does_not_lose_the_result(
    run, photos: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise FileError("report.html: cannot be written (No space left on device)")

    monkeypatch.setattr(batch, "write_page", full)
    result = run(photos, report=True)
    assert (len(result.done), result.report, result.exit_code) == (2, None, 1)
    assert "No space left" in (result.to_data()["report_error"] or "")


def test_a_report_that_has_no_place_is_refused_before_anything_is_computed(run, photos: Path):
    with pytest.raises(FileError, match=r"the report cannot be written there .* --report-to"):
        run(photos, report_path=photos / "a.jpg" / "report.html")
    for place, what in (
        (photos / "a.jpg", "an input"),
        (photos.parent / "o" / "a.jpg", "a result"),
    ):
        with pytest.raises(UsageError, match=rf"--report-to .* is {what} and would be lost"):
            run(photos, output=photos.parent / "o", report_path=place, overwrite=True)
    with pytest.raises(UsageError, match="is a folder: name a file by --report-to"):
        run(photos, report_path=photos)
    assert not list(photos.with_name("photos-tiny").glob("*"))


def test_ctrl_c_leaves_whole_files_and_tells_all_of_them(run, photos: Path):
    """The signal falls where it is worst: a picture is written, and not told yet."""
    for i in range(6):
        (photos / f"{i}.jpg").write_bytes((photos / "a.jpg").read_bytes())
    seen: list[Outcome] = []

    class Interrupt(inference.Progress):
        def advance(self, outcome: Outcome) -> None:
            if len(seen) == 1:
                signal.raise_signal(signal.SIGINT)
            seen.append(outcome)

    with pytest.raises(KeyboardInterrupt):
        run(photos, progress=Interrupt())
    written = tree(photos.with_name("photos-tiny"))
    assert written == [each.output.name for each in seen]
    assert 2 <= len(written) < 8
    for each in seen:
        assert images.read(each.output).size == (72, 48)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_report_holds_pictures_and_failures(run, photos: Path):
    (photos / "<bad> & worse.jpg").write_bytes(b"not a picture")
    result = run(photos, report=True)
    assert result.report == result.outputs[0] / "report.html"
    page = result.report.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 4
    assert "&lt;bad&gt; &amp; worse.jpg" in page
    assert "tiny.safetensors" in page
    other = photos.parent / "index.html"
    other.write_text("another page")
    with pytest.raises(UsageError, match="report-to"):
        run(photos / "a.jpg", report_path=other)


def test_the_report_shows_what_was_there_and_tells_what_failed(run, photos: Path):
    run(photos / "trip")
    (photos / "trip" / "new.png").write_bytes(b"not a picture")
    page = (run(photos / "trip", report=True).report or Path()).read_text(encoding="utf-8")
    assert "<h1>One picture without its rain</h1>" in page
    assert "the result of 1 picture was there already" in page
    assert page.count("data:image/jpeg;base64,") == 2
    assert page.count("<tr>") == 1
    (photos / "trip" / "b.png").unlink()
    (photos / "trip-tiny" / "report.html").unlink()
    page = (run(photos / "trip", report=True).report or Path()).read_text(encoding="utf-8")
    assert "<h1>No picture could be derained</h1>" in page


def test_the_result_is_plain_data(run, photos: Path):
    data = json.loads(json.dumps(run(photos).to_data()))
    assert (data["done"], data["failed"], data["precision"]) == (2, 0, "fp32")
    assert data["title"] == "Tiny (tiny)"
    assert data["pictures"][0] | {"seconds": 0} == {
        "input": str(photos / "a.jpg"),
        "output": str(photos.with_name("photos-tiny") / "a.jpg"),
        "status": "done",
        "seconds": 0,
        "width": 72,
        "height": 48,
        "blocks": None,
        "work_size": None,
        "parts": {},
        "notes": [],
        "frames": None,
        "by": None,
        "rain": None,
        "dry": False,
        "error": None,
    }


def test_wrong_quality_is_refused(run, photos: Path):
    with pytest.raises(UsageError, match="--quality 101"):
        run(photos, quality=101)


@pytest.mark.parametrize("step", ["decode", "derain_picture", "encode"])
def test_whatever_befalls_one_picture_ends_no_run(run, photos: Path, monkeypatch, step: str):
    owner = inference.Derainer if step == "derain_picture" else images
    known, left = getattr(owner, step), [ZeroDivisionError("of nobody's making")]

    def fail_once(*arguments, **options):
        if left:
            raise left.pop()
        return known(*arguments, **options)

    monkeypatch.setattr(owner, step, fail_once)
    result = run(photos)
    assert [each.status for each in result.outcomes] == ["failed", "done"]
    assert result.exit_code == 1
    reason = f"{photos / 'a.jpg'}: ZeroDivisionError: of nobody's making"
    assert result.failed[0].error == reason


def test_only_what_was_made_with_the_same_settings_is_skipped(
    run, photos: Path, tmp_path: Path, anytime_weights: Path
):
    out = tmp_path / "out"
    assert len(run(photos, output=out).done) == 2
    again = run(photos, output=out, quality=80)
    assert [each.status for each in again.outcomes] == ["kept", "skipped"]  # a.jpg and b.png
    assert again.kept[0].error == "is there, made with another quality"
    weaker = run(photos, output=out, strength=0.5)
    assert [each.error for each in weaker.kept] == ["is there, made with another strength"] * 2
    other = InferRequest(
        inputs=(photos,), method="resguidenet", weights=str(anytime_weights), output=out
    )
    kept = inference.infer(other)
    assert (len(kept.kept), kept.exit_code) == (2, 1)
    assert kept.kept[0].error == "is there, made by tiny with tiny.safetensors"
    images.write(out / "a.jpg", images.read(photos / "a.jpg"), overwrite=True)
    images.write(photos / "trip" / "b.png", images.read(photos / "a.jpg"), overwrite=True)
    reasons = [each.error for each in run(photos, output=out).kept]
    assert reasons == [
        "is there, and was changed since it was made",
        "is there, made of another picture",
    ]
    assert len(run(photos, output=out, overwrite=True).done) == 2
    result = run(photos, output=out)
    assert (len(result.skipped), result.exit_code) == (2, 0)
    (out / ".rainkit-infer.jsonl").unlink()
    assert "no record" in (run(photos, output=out).kept[0].error or "")


def test_two_runs_into_one_folder_are_refused(run, photos: Path, tmp_path: Path):
    with Records({}) as records:
        records.begin(
            [
                Job(
                    input=photos / "a.jpg",
                    output=tmp_path / "o/a.jpg",
                    name="a",
                    home=tmp_path / "o",
                )
            ]
        )
        with pytest.raises(UsageError, match=r"another rainkit infer .*is writing there"):
            run(photos, output=tmp_path / "o")
        alone = run(photos / "a.jpg", output=tmp_path / "o" / "b.jpg")
        assert alone.exit_code == 0

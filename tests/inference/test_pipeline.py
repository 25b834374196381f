"""Whole runs over folders, in this process."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rainkit import images, inference
from rainkit.errors import UsageError
from rainkit.inference import InferRequest, InferResult, Outcome


@pytest.fixture
def run(tiny_weights: Path):
    def infer(*inputs: Path | str, advance=None, **options) -> InferResult:
        request = InferRequest(
            inputs=inputs,
            method="graspp-gan",
            weights=str(tiny_weights),
            device="cpu",
            precision="fp32",
            **options,
        )
        return inference.infer(request, advance)

    return infer


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_folder_is_mirrored_beside_itself(run, photos: Path, derainer: inference.Derainer):
    result = run(photos)
    place = photos.with_name("photos-graspp-gan")
    assert tree(place) == ["a.jpg", "trip/b.png"]
    rainy = photos / "trip" / "b.png"
    clean = images.read(place / "trip" / "b.png").rgb
    np.testing.assert_array_equal(clean, derainer.derain(rainy))
    assert (len(result.done), result.exit_code, result.output) == (2, 0, place)
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
    seen: list[tuple[str, int, int]] = []
    result = run(photos, advance=lambda each, i, n: seen.append((each.input.name, i, n)))
    assert [each.input.name for each in result.failed] == ["0.jpg", "b.jpg", "c.jpg"]
    assert result.exit_code == 1
    assert tree(result.output) == ["a.jpg", "trip/b.png"]
    names = ["0.jpg", "a.jpg", "b.jpg", "c.jpg", "b.png"]
    assert seen == [(name, i + 1, 5) for i, name in enumerate(names)]


def test_existing_results_are_kept_and_counted(run, photos: Path):
    run(photos / "a.jpg", output=photos.parent / "out")
    before = (photos.parent / "out" / "a.jpg").stat().st_mtime_ns
    result = run(photos, output=photos.parent / "out")
    assert [each.status for each in result.outcomes] == ["failed", "done"]
    assert "pass --overwrite" in (result.outcomes[0].error or "")
    assert (photos.parent / "out" / "a.jpg").stat().st_mtime_ns == before
    assert run(photos, output=photos.parent / "out", overwrite=True).exit_code == 0
    assert (photos.parent / "out" / "a.jpg").stat().st_mtime_ns > before


def test_a_full_disk_stops_the_run(run, photos: Path, monkeypatch: pytest.MonkeyPatch):
    for i in range(8):
        (photos / f"{i}.jpg").write_bytes((photos / "a.jpg").read_bytes())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = run(photos)
    assert len(result.failed) == len(result.outcomes) == 10
    assert "No space left on device" in (result.outcomes[0].error or "")
    assert "not attempted" in (result.outcomes[-1].error or "")
    assert tree(result.output) == []


def test_ctrl_c_leaves_whole_files(run, photos: Path):
    for i in range(6):
        (photos / f"{i}.jpg").write_bytes((photos / "a.jpg").read_bytes())
    seen: list[Outcome] = []

    def interrupt(outcome: Outcome, *_: int) -> None:
        seen.append(outcome)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(photos, advance=interrupt)
    written = tree(photos.with_name("photos-graspp-gan"))
    assert written == [each.output.name for each in seen]
    assert 2 <= len(written) < 8
    for each in seen:
        assert images.read(each.output).size == (72, 48)


def test_the_report_holds_pictures_and_failures(run, photos: Path):
    (photos / "<bad> & worse.jpg").write_bytes(b"not a picture")
    result = run(photos, report=True)
    assert result.report == result.output / "report.html"
    page = result.report.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 4
    assert "&lt;bad&gt; &amp; worse.jpg" in page
    assert "tiny.safetensors" in page
    with pytest.raises(UsageError, match="report-to"):
        run(photos / "a.jpg", report_path=result.report)


def test_the_result_is_plain_data(run, photos: Path):
    data = json.loads(json.dumps(run(photos).to_data()))
    assert (data["done"], data["failed"], data["precision"]) == (2, 0, "fp32")
    assert data["pictures"][0] | {"seconds": 0} == {
        "input": str(photos / "a.jpg"),
        "output": str(photos.with_name("photos-graspp-gan") / "a.jpg"),
        "status": "done",
        "seconds": 0,
        "width": 72,
        "height": 48,
        "error": None,
    }


def test_wrong_quality_is_refused(run, photos: Path):
    with pytest.raises(UsageError, match="--quality 101"):
        run(photos, quality=101)

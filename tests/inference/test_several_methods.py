"""Several methods on the same pictures: a folder for each, one page, failures that end nothing."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from rainkit import images, inference
from rainkit.errors import MethodError, UsageError
from rainkit.inference import InferRequest, MethodsResult, MethodToRun, loading
from rainkit.runtime_options import RuntimeOptions


@pytest.fixture
def run(two_weights: dict[str, str]):
    def infer(*inputs: Path | str, progress=None, methods=("first", "second"), **options):
        request = InferRequest(
            inputs=inputs,
            options=RuntimeOptions.parse(device="cpu", precision="fp32"),
            **options,
        )
        chosen = [
            MethodToRun(method="tiny", weights=two_weights[name], label=name) for name in methods
        ]
        return inference.infer_methods(request, chosen, progress)

    return infer


def tree(folder: Path) -> list[str]:
    """The files of a folder, without the record of how they were made."""
    files = (p.relative_to(folder).as_posix() for p in folder.rglob("[!.]*") if p.is_file())
    return sorted(files)


def test_each_method_has_a_folder_and_all_have_one_page(run, photos: Path, two_weights):
    found: MethodsResult = run(photos, report=True)
    places = [photos.with_name(f"photos-{name}") for name in ("first", "second")]
    assert [each.outputs for each in found.results] == [(place,) for place in places]
    assert [tree(place) for place in places] == [["a.jpg", "trip/b.png"]] * 2
    assert (found.exit_code, found.report) == (0, photos.with_name("photos-report.html"))
    rainy = images.read(photos / "trip" / "b.png").rgb
    for name, place in zip(("first", "second"), places, strict=True):
        alone = inference.load("tiny", weights=two_weights[name], device="cpu", precision="fp32")
        result = images.read(place / "trip" / "b.png").rgb
        np.testing.assert_array_equal(result, alone.derain(rainy))
    page = found.report.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 * 3
    assert "2 pictures without their rain, by 2 methods" in page
    assert "Means over 2 photographs that every method derained" in page
    data = json.loads(json.dumps(found.to_data()))
    assert [each["done"] for each in data["methods"]] == [2, 2]
    assert data["report"] == str(found.report)


def test_an_output_folder_has_a_folder_for_each_and_is_no_input(run, photos: Path):
    run(photos, output=photos / "out", report=True)
    assert tree(photos / "out") == [
        *(f"first/{name}" for name in ("a.jpg", "trip/b.png")),
        "report.html",
        *(f"second/{name}" for name in ("a.jpg", "trip/b.png")),
    ]
    again = run(photos, output=photos / "out")
    assert [len(each.skipped) for each in again.results] == [2, 2]


def test_results_beside_their_picture_are_no_inputs_the_next_time(run, photos: Path):
    found = run(photos / "a.jpg", report=True)
    names = ["a-first.jpg", "a-report.html", "a-second.jpg", "a.jpg"]
    assert sorted(each.name for each in photos.glob("[!.]*") if each.is_file()) == names
    assert found.report == photos / "a-report.html"
    again = run(*(photos / name for name in names if name.endswith(".jpg")))
    assert [[each.input.name for each in one.outcomes] for one in again.results] == [["a.jpg"]] * 2


def test_a_second_run_goes_on_where_the_first_one_ended(run, photos: Path):
    run(photos / "trip", methods=("first",))
    run(photos / "trip", methods=("second",))
    (photos / "trip" / "new.png").write_bytes((photos / "trip" / "b.png").read_bytes())
    (photos / "trip-second" / "b.png").unlink()
    found = run(photos / "trip", report=True)
    statuses = [[each.status for each in one.outcomes] for one in found.results]
    assert statuses == [["skipped", "done"], ["done", "done"]]
    assert found.report is not None
    assert found.report.read_text().count("data:image/jpeg;base64,") == 2 * 3
    assert run(photos / "trip", report=True).report == found.report  # which is made anew


def test_a_bad_picture_ends_neither_the_run_nor_the_next_method(run, photos: Path):
    (photos / "0.jpg").write_bytes(b"not a picture")
    found = run(photos, report=True)
    assert [(len(each.done), len(each.failed)) for each in found.results] == [(2, 1)] * 2
    assert found.exit_code == 1
    page = (found.report or Path()).read_text(encoding="utf-8")
    assert page.count("is not a JPEG") == 1  # which all methods share


def test_a_method_that_cannot_run_does_not_end_the_others(
    run, photos: Path, monkeypatch: pytest.MonkeyPatch
):
    build = loading.build

    def fails(setup, **options):
        if setup.weights.path.stem == "first":
            raise MethodError("tiny cannot be built")
        return build(setup, **options)

    monkeypatch.setattr(loading, "build", fails)
    found = run(photos, report=True)
    first, second = found.results
    assert [each.status for each in first.outcomes] == ["not attempted"] * 2
    assert (len(second.done), found.exit_code) == (2, 1)
    page = (found.report or Path()).read_text(encoding="utf-8")
    assert "first: not attempted: 2 pictures, after: tiny cannot be built" in page
    with pytest.raises(MethodError, match="cannot be built"):
        run(photos, methods=("first",), output=photos.parent / "alone")


def test_a_full_disk_stops_all_methods(run, photos: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    first, second = run(photos).results
    assert "No space left" in (first.last_error or "")
    assert {each.status for each in second.outcomes} == {"not attempted"}
    assert "No space left" in (second.last_error or "")


def test_everything_is_checked_before_anything_runs(run, photos: Path, two_weights):
    request = InferRequest(inputs=(photos,))
    first = MethodToRun(method="tiny", weights=two_weights["first"], label="x")
    for other, words in (
        (first, "could not be told apart"),
        (dataclasses.replace(first, label="y", weights="gone.safetensors"), "gone.safetensors"),
        (dataclasses.replace(first, label="y", method="tinny"), "tinny"),
    ):
        with pytest.raises(UsageError, match=words):
            inference.infer_methods(request, [first, other])
    fp16 = dataclasses.replace(request, options=RuntimeOptions.parse(precision="fp16"))
    with pytest.raises(UsageError, match="tiny: --precision fp16 is not safe"):
        inference.infer_methods(fp16, [first, dataclasses.replace(first, label="y")])
    with pytest.raises(UsageError, match="names a picture, but there are 2 methods"):
        run(photos / "a.jpg", output=photos / "one.png")
    (photos.parent / "photos-report.html").write_text("old")
    with pytest.raises(UsageError, match="pass --overwrite, or name another --report-to"):
        run(photos, report=True)
    assert sorted(each.name for each in photos.parent.iterdir()) == ["photos", "photos-report.html"]


def test_the_page_says_at_which_size_rain_was_found(photos: Path, two_weights: dict[str, str]):
    options = RuntimeOptions.parse(device="cpu", precision="fp32", work_size=64)
    found = inference.infer(
        InferRequest(
            inputs=(photos / "a.jpg",),
            method="tiny",
            weights=two_weights["first"],
            options=options,
            report=True,
        )
    )
    assert "rain found at 64 × 43" in (found.report or Path()).read_text(encoding="utf-8")

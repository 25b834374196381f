"""Where results go, and what is refused before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rainkit import images
from rainkit.errors import FileError, UsageError
from rainkit.inference.outputs import check_writable, plan


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.jpg", "photos/a.png", "photos/trip/b.JPG", "other/a.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")
    return tmp_path / "photos"


def outputs(*inputs: str, output: str | None = None, overwrite: bool = False) -> list[str]:
    place = None if output is None else Path(output)
    planned = plan(images.find(inputs), "m", place, overwrite=overwrite)
    return [job.output.as_posix() for job in planned.jobs]


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        (["photos/a.jpg"], None, ["photos/a-m.jpg"]),
        (["photos/a.jpg"], "clean.png", ["clean.png"]),
        (["photos/a.jpg"], "out", ["out/a.jpg"]),
        (["photos/a.jpg"], "other", ["other/a.jpg"]),
        (["photos"], None, ["photos-m/a.jpg", "photos-m/a.png", "photos-m/trip/b.JPG"]),
        (["photos/"], "out", ["out/a.jpg", "out/a.png", "out/trip/b.JPG"]),
        (["photos/*.jpg"], None, ["photos-m/a.jpg"]),
        (["photos/a.jpg", "photos/a.png"], None, ["photos/a-m.jpg", "photos/a-m.png"]),
        (["photos/a.jpg", "photos/a.png"], "out", ["out/a.jpg", "out/a.png"]),
        (["photos/trip", "other/a.jpg"], None, ["photos/trip-m/b.JPG", "other/a-m.jpg"]),
        (["photos/trip", "other"], None, ["photos/trip-m/b.JPG", "other-m/a.jpg"]),
    ],
)
def test_where_results_go(photos: Path, inputs: list[str], output: str | None, expected: list[str]):
    assert outputs(*inputs, output=output, overwrite=True) == expected


def test_the_working_folder_has_a_name_too(photos: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(photos / "trip")
    assert outputs(".") == [(photos / "trip-m" / "b.JPG").as_posix()]
    assert outputs("*.JPG") == [(photos / "trip-m" / "b.JPG").as_posix()]


def test_an_input_is_never_replaced(photos: Path):
    for inputs, output in ((["photos"], "photos"), (["other/a.jpg"], "other/../other/a.jpg")):
        with pytest.raises(UsageError, match="is an input and would be lost"):
            outputs(*inputs, output=output, overwrite=True)
    Path("link").symlink_to("photos")
    with pytest.raises(UsageError, match="is an input"):
        outputs("photos", output="link", overwrite=True)


def test_two_inputs_never_become_one_file(photos: Path):
    with pytest.raises(UsageError, match=r"photos/a\.jpg and other/a\.jpg would both"):
        outputs("photos", "other", output="out")


def test_several_pictures_do_not_fit_into_one_file(photos: Path):
    with pytest.raises(UsageError, match=r"--output one\.jpg names a picture"):
        outputs("photos", output="one.jpg")


def test_an_output_that_is_no_folder_and_no_writable_format_is_refused(photos: Path):
    for name in ("out.jxl", "x.psd", "x.PDF"):
        with pytest.raises(UsageError, match=rf"cannot write {Path(name).suffix.lower()} .*\.png"):
            outputs("photos/a.jpg", output=name)
    with pytest.raises(UsageError, match=r"photos/a\.jpg is a file, not a folder"):
        outputs("other/a.jpg", output="photos/a.jpg/x.png")
    Path("notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt is a file: name a folder"):
        outputs("photos", output="notes.txt")
    with pytest.raises(UsageError, match=r"one\.jpg names a picture, but the input is a folder"):
        outputs("photos/trip", output="one.jpg")
    assert outputs("photos/a.jpg", output="results.2024") == ["results.2024/a.jpg"]


def test_the_real_folders_are_listed_and_the_report_is_in_the_first(photos: Path):
    planned = plan(images.find(["photos/trip", "other"]), "m", None, overwrite=False)
    assert planned.outputs == (Path("photos/trip-m"), Path("other-m"))
    assert planned.report == Path("photos/trip-m/report.html")
    beside = plan(images.find(["other/a.jpg", "photos/a.jpg"]), "m", None, overwrite=False)
    assert beside.outputs == (Path("other"), Path("photos"))
    assert beside.report == Path("other/report.html")


def test_results_that_a_shell_pattern_names_again_are_no_inputs(photos: Path):
    Path("photos/a-m.jpg").write_bytes(b"old")
    named = ("photos/a-m.jpg", "photos/a.jpg", "photos/a.png")
    planned = plan(images.find(named), "m", None, overwrite=False)
    assert [(job.input.name, job.exists) for job in planned.jobs] == [
        ("a.jpg", True),
        ("a.png", False),
    ]
    with pytest.raises(UsageError, match="is an input and would be lost"):
        outputs(*named, overwrite=True)


def test_existing_results_are_marked(photos: Path):
    Path("out/trip").mkdir(parents=True)
    Path("out/a.jpg").write_bytes(b"old")
    planned = plan(images.find(["photos"]), "m", Path("out"), overwrite=False)
    assert [job.exists for job in planned.jobs] == [True, False, False]
    planned = plan(images.find(["photos"]), "m", Path("out"), overwrite=True)
    assert not any(job.exists for job in planned.jobs)


def test_results_inside_the_input_folder_are_no_inputs(photos: Path):
    expected = ["photos/out/a.jpg", "photos/out/a.png", "photos/out/trip/b.JPG"]
    assert outputs("photos", output="photos/out") == expected
    for name in expected:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"old")
    assert outputs("photos", output="photos/out", overwrite=True) == expected


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match=r"file/out: results cannot be written there"):
        check_writable(tmp_path / "file" / "out")
    check_writable(tmp_path / "new" / "out")
    assert not list((tmp_path / "new" / "out").iterdir())

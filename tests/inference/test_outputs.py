"""Where results go, and what is refused before anything is computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rainkit import images
from rainkit.choices import ResultFormat
from rainkit.errors import FileError, UsageError
from rainkit.inference.outputs import Naming, check_writable, plan


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


def named(name: str | None, format: ResultFormat | None = None, output: str | None = "out"):
    place, naming = Naming.split(None if output is None else Path(output), name, format)
    planned = plan(images.find(["photos/trip"]), "m", place, overwrite=False, naming=naming)
    return planned.jobs[0].output.as_posix()


def test_results_are_named_by_a_template_and_a_format(photos: Path):
    assert named("{stem}-{method}{suffix}") == "out/b-m.JPG"
    assert named("{stem}-{ext}{suffix}", ResultFormat.TIFF) == "out/b-JPG.tiff"
    assert named("x.png", output=None) == "photos/trip-m/x.png"
    assert named(None, ResultFormat.AVIF) == "out/b.avif"
    assert named(None, output="out/{stem}_{{x}}{suffix}") == "out/b_{x}.JPG"
    beside = plan(
        images.find(["other/a.jpg"]), "m", None, overwrite=False, naming=Naming("{stem}.png")
    )
    assert beside.jobs[0].output == Path("other/a.png")


@pytest.mark.parametrize(
    ("name", "format", "words"),
    [
        ("{stem}", None, "end it with {suffix}"),
        ("{name}{suffix}", None, "{name} is not known; use {stem}, {suffix}, {ext}, {method}"),
        ("{stem.__class__}{suffix}", None, "is not known"),
        ("{stem{suffix}", None, "write {{ for a brace"),
        ("../{stem}{suffix}", None, "without folders"),
        ("{stem}.png", ResultFormat.JPG, "--format jpg differ"),
    ],
)
def test_templates_that_cannot_work_are_refused(name: str, format, words: str):
    with pytest.raises(UsageError, match=re.escape(words)):
        Naming(name, format)


def test_names_that_would_meet_are_refused_with_the_remedy(photos: Path, monkeypatch):
    def together(*inputs: str, naming: Naming) -> None:
        plan(images.find(inputs), "m", Path("out"), overwrite=False, naming=naming)

    with pytest.raises(UsageError, match=r"would both become out/a\.png: tell .*\{stem\}-\{ext\}"):
        together("photos", naming=Naming(None, ResultFormat.PNG))
    together("photos", naming=Naming("{stem}-{ext}{suffix}", ResultFormat.PNG))
    Path("photos/A.jpg").write_bytes(b"x")
    together("photos", naming=Naming())
    monkeypatch.setattr("rainkit.inference.outputs._ignores_case", lambda path: True)
    with pytest.raises(UsageError, match=r"photos/A\.jpg and photos/a\.jpg would both become"):
        together("photos", naming=Naming())
    with pytest.raises(UsageError, match=r"--output clean\.png names the result; leave out --name"):
        plan(
            images.find(["photos/a.jpg"]),
            "m",
            Path("clean.png"),
            overwrite=False,
            naming=Naming("{stem}{suffix}"),
        )

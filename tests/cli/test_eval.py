"""``rainkit eval`` as typed."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    picture = np.random.default_rng(0).integers(50, 150, (30, 40, 3), np.uint8)
    for name, added in (("clean", 0), ("ours", 2), ("rainy", 40)):
        (tmp_path / "set" / name).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "set" / name / "a.png"), picture + np.uint8(added))
    return tmp_path / "set"


def test_two_folders_with_input(rainkit, folders):
    code, out, _ = rainkit(
        "eval", folders / "ours", folders / "clean", "--input", folders / "rainy"
    )
    assert code == 0
    assert "prenet/1" in out
    lines = [line.split() for line in out.splitlines()]
    # Adding n grey levels to all channels: 20 log10(255 / n) dB and the studio swing's 1.322.
    assert next(line for line in lines if "input" in line)[:4] == ["set", "1", "input", "17.41"]
    ours = next(line for line in lines if line[:1] == ["ours"])
    assert (ours[1], ours[3]) == ("43.43", "+26.02")


@pytest.mark.parametrize("columns", [20, 40, 59, 60, 80])
def test_no_terminal_is_too_narrow_for_a_figure(rainkit, folders, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    (folders / "ours").rename(folders / "graspp-gan")
    code, out, _ = rainkit(
        "eval", folders / "graspp-gan", folders / "clean", "--input", folders / "rainy"
    )
    assert code == 0
    for whole in ("PSNR dB", "gain SSIM", "images", "43.43", "+26.02", "17.41", "graspp-gan"):
        assert whole in out


def test_a_long_dataset_name_takes_lines_of_its_column(rainkit, folders, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (folders / "clean").rename(folders / "a-name-of-some-thirty-characters")
    _, out, _ = rainkit("eval", folders / "ours", folders / "a-name-of-some-thirty-characters")
    table = out.splitlines()[3:]
    assert max(map(len, table)) <= 80
    assert "a-name-of-some-thirty-characters" in "".join(line.split("  ")[0] for line in table)


def test_pictures_equal_to_their_targets_are_infinite_in_table_and_note(rainkit, folders):
    code, out, err = rainkit(
        "eval", folders / "clean", folders / "clean", "--input", folders / "rainy"
    )
    assert code == 0
    assert "+inf" in out
    assert "the only restored picture equals its target: PSNR is infinite" in err
    assert "left out" not in err


def test_tile_takes_the_default_it_shows(rainkit, folders):
    assert rainkit("eval", folders / "ours", folders / "clean", "--tile", "auto")[0] == 0


def test_quiet_leaves_missed_bars(rainkit, folders):
    arguments = ("eval", folders / "ours", folders / "clean", "-q")
    assert rainkit(*arguments) == (0, "", "")
    code, out, err = rainkit(*arguments, "--fail-below", "psnr=44")
    assert (code, out, len(err.splitlines())) == (3, "", 1)


def test_json_is_one_document_with_both_protocols(rainkit, folders):
    code, out, _ = rainkit(
        "eval", folders / "ours", folders / "clean",
        "--protocol", "restormer", "--protocol", "prenet", "--json",
    )  # fmt: skip
    assert code == 0
    results = json.loads(out)["results"]
    assert [each["protocol"]["name"] for each in results] == ["restormer", "prenet"]
    assert results[1]["summary"]["psnr"]["mean"] == pytest.approx(43.43, abs=0.01)


def test_output_folder(rainkit, folders):
    arguments = ("eval", folders / "ours", folders / "clean", "-o", folders / "report")
    assert rainkit(*arguments)[0] == 0
    assert sorted(path.name for path in (folders / "report").iterdir()) == [
        "metrics.json", "per_image.csv", "table.md",
    ]  # fmt: skip
    code, _, err = rainkit(*arguments)
    assert code == 2
    assert "--overwrite" in err
    assert rainkit(*arguments, "--overwrite")[0] == 0


def test_fail_below_exits_with_3(rainkit, folders):
    arguments = ("eval", folders / "ours", folders / "clean", "--fail-below")
    assert rainkit(*arguments, "psnr=43")[0] == 0
    code, out, err = rainkit(*arguments, "psnr=44")
    assert code == 3
    assert "43.43" in out
    assert "psnr 43.4321 < 44" in err


def test_a_damaged_picture_exits_with_1_and_is_named(rainkit, folders):
    for side in ("ours", "clean"):
        (folders / side / "b.png").write_text("not a picture")
    code, out, err = rainkit("eval", folders / "ours", folders / "clean")
    assert code == 1
    assert "43.43" in out
    assert "b.png" in err
    assert "1 picture could not be scored" in err


def test_names_that_do_not_match_exit_with_2_and_are_listed(rainkit, folders):
    (folders / "ours/a.png").rename(folders / "ours/other.png")
    code, out, err = rainkit("eval", folders / "ours", folders / "clean")
    assert (code, out) == (2, "")
    assert "other.png" in err
    assert "a.png" in err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["ours"], "--method NAME"),
        (["ours", "clean", "rainy"], "--method NAME"),
        (["ours", "nowhere"], "nowhere does not exist"),
        (["ours", "clean", "--protocol", "psnr"], "choose from prenet, restormer"),
        (["ours", "clean", "--save", "x"], "--method"),
        (["ours", "clean", "--method", "graspp-gan", "--input", "rainy"], "--input"),
        (["ours", "clean", "--fail-below", "psnr"], "psnr=30"),
        (["ours", "clean", "--fail-below", "psnr=nan"], "psnr=30"),
        (["ours", "clean", "--fail-below", "ssim=-inf"], "psnr=30"),
        (["ours", "clean", "--tile", "big"], "--tile big: give auto"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(rainkit, folders, monkeypatch, arguments, remedy):
    monkeypatch.chdir(folders)
    code, out, err = rainkit("eval", *arguments)
    assert (code, out) == (2, "")
    assert remedy in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_layouts_are_found_or_forced(rainkit, folders):
    sides = [cv2.imread(str(folders / side / "a.png")) for side in ("rainy", "clean")]
    (folders / "halves").mkdir()
    (folders / "list").mkdir()
    assert cv2.imwrite(str(folders / "halves/a.png"), np.hstack(sides))
    for side in ("rainy", "clean"):
        (folders / side).rename(folders / "list" / side)
    (folders / "list/test.txt").write_text("/rainy/a.png /clean/a.png\n")
    for name, options in {
        "list": ("--layout", "spa"),
        "list/": ("--layout", "restormer"),
        "halves": ("--rainy-side", "left"),
        "halves/": ("--layout", "did", "--rainy-side", "left"),
    }.items():
        code, out, err = rainkit("eval", "--method", "timelapse", folders / name, *options)
        assert (code, "17.41" in out) == (0, True), err
    code, _, err = rainkit("eval", "--method", "timelapse", folders / "list", "--layout", "wds")
    assert (code, "is not of the layout wds" in err) == (2, True)
    code, _, err = rainkit(
        "eval", folders / "list/rainy", folders / "list/clean", "--layout", "spa"
    )
    assert (code, "needs --method" in err) == (2, True)


def test_a_method_may_run_some_of_its_blocks(rainkit, folders, anytime_weights):
    arguments = ["eval", folders, "-m", "resguidenet", "--weights", anytime_weights]
    arguments += ["--device", "cpu", "--json"]
    scores = {}
    for blocks in ("1", "2", "3"):
        code, out, _ = rainkit(*arguments, "--effort", blocks)
        assert code == 0
        result = json.loads(out)
        assert result["effort"] == {"blocks": int(blocks), "stop_below": None}
        scores[blocks] = result["results"][0]["summary"]["psnr"]["mean"]
    assert len(set(scores.values())) == 3
    _, out, _ = rainkit(*arguments, "--effort", "auto:1000")
    result = json.loads(out)
    assert result["results"][0]["summary"]["psnr"]["mean"] == scores["1"]
    code, _, err = rainkit("eval", folders / "ours", folders / "clean", "--effort", "1")
    assert code == 2
    assert "needs --method" in err


def test_several_methods_share_a_table_and_a_page(rainkit, pairs, tmp_path):
    out = tmp_path / "scores"
    asked = ("eval", "-m", "resguidenet", "-m", "timelapse", pairs, "--device", "cpu", "-o", out)
    code, shown, _ = rainkit(*asked, "--report", "--published", "--metric", "gmsd")
    assert code == 0
    assert [shown.count(name) for name in ("input", "resguidenet", "timelapse")] == [2, 2, 2]
    assert "gmsd/1" in shown
    assert {"index.html", "table.tex", "table.md", "per_image.csv"} <= {
        p.name for p in out.iterdir()
    }
    page = (out / "index.html").read_text()
    assert "published" in page
    assert "prenet/1" in page
    rows = (out / "per_image.csv").read_text().splitlines()
    assert rows[0].startswith("result,dataset,protocol")
    assert rows[0].endswith(",gmsd")
    assert len(rows) == 5
    data = json.loads((out / "metrics.json").read_text())
    assert [each["method"] for each in data["comparisons"]] == ["resguidenet", "timelapse"]


def test_the_best_of_a_table_is_bold_and_the_second_underlined(rainkit, pairs, tmp_path):
    asked = ("eval", "-m", "resguidenet", "-m", "timelapse", pairs, "--device", "cpu")
    code, _, err = rainkit(*asked, "-o", tmp_path / "out", "-q")
    assert code == 0, err
    data = json.loads((tmp_path / "out/metrics.json").read_text())
    psnr = {each["restored"]: each["results"][0]["summary"]["psnr"] for each in data["comparisons"]}
    best = max(psnr, key=lambda name: psnr[name]["mean"])
    (second,) = psnr.keys() - {best}
    lines = (tmp_path / "out/table.md").read_text().splitlines()
    assert f"| {best} | **{psnr[best]['mean']:.2f}** |" in next(x for x in lines if best in x)
    assert f"| {second} | <ins>{psnr[second]['mean']:.2f}</ins> |" in "\n".join(lines)
    alone = rainkit(
        "eval", "-m", "timelapse", pairs, "--device", "cpu", "-o", tmp_path / "one", "-q"
    )
    assert alone[0] == 0
    rows = [x for x in (tmp_path / "one/table.md").read_text().splitlines() if x.startswith("| ")]
    assert not any("**" in row or "<ins>" in row for row in rows), "one result is not ranked"


def test_scoring_again_does_not_derain_again(rainkit, pairs, tmp_path):
    out = tmp_path / "scores"
    asked = ("eval", "-m", "resguidenet", pairs, "--device", "cpu", "-o", out, "--json")
    first = json.loads(rainkit(*asked)[1])
    second = json.loads(rainkit(*asked, "--overwrite")[1])
    times = [
        [row["milliseconds"] for row in found["results"][0]["rows"]] for found in (first, second)
    ]
    assert times[0] == times[1], "kept with the time they once took"
    rainy = pairs / "rainy" / "a.png"
    assert cv2.imwrite(str(rainy), cv2.add(cv2.imread(str(rainy)), 1))
    third = json.loads(rainkit(*asked, "--overwrite")[1])["results"][0]["rows"]
    assert third[0]["milliseconds"] != times[0][0], "another rainy picture is derained"
    assert third[1]["milliseconds"] == times[0][1]


def test_a_kept_picture_that_somebody_changed_is_made_again(rainkit, pairs, tmp_path):
    out = tmp_path / "scores"
    asked = ("eval", "-m", "resguidenet", pairs, "--device", "cpu", "-o", out, "--json")
    first = json.loads(rainkit(*asked)[1])["results"][0]["rows"]
    kept = out / "restored" / "resguidenet" / "wet" / "a.png"
    made = kept.read_bytes()
    assert cv2.imwrite(str(kept), 255 - cv2.imread(str(kept)))
    second = json.loads(rainkit(*asked, "--overwrite")[1])["results"][0]["rows"]
    assert [row["psnr"] for row in first] == [row["psnr"] for row in second]
    assert kept.read_bytes() == made


def test_files_of_an_earlier_call_do_not_stay_beside_other_figures(rainkit, pairs, tmp_path):
    out = tmp_path / "scores"
    asked = ("eval", "-m", "timelapse", pairs, "--device", "cpu", "-o", out, "-q")
    assert rainkit(*asked, "--report")[0] == 0
    assert (out / "index.html").is_file()
    assert rainkit(*asked, "--overwrite", "--protocol", "rgb")[0] == 0
    left = {path.name for path in out.iterdir() if path.is_file()}
    assert left == {"per_image.csv", "metrics.json", "table.md"}


@pytest.mark.parametrize(
    ("option", "place"),
    [("-o", "wet/rainy"), ("--save", "wet/clean/more"), ("--save", "file")],
)
def test_folders_that_would_do_harm_are_refused_before_deraining(
    rainkit, pairs, monkeypatch, option, place
):
    monkeypatch.chdir(pairs.parent)
    Path("file").write_text("text")
    before = sorted(pairs.rglob("*"))
    code, _, err = rainkit("eval", "-m", "timelapse", "wet", option, place)
    assert code == 2
    assert place in err
    assert sorted(pairs.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("-m", "granet", "--all"), "not both"),
        (("-m", "granet", "-m", "resguidenet", "--weights", "rain-v1"), "NAME=WEIGHTS"),
        (("-m", "granet", "-m", "resguidenet", "--save", "x"), "--output"),
        (("-m", "granet", "--report"), "--output"),
        (("-m", "granet", "--published"), "--report"),
        (("-m", "granet", "--metric", "gmds"), "gmsd"),
        (("-m", "granet", "--protocol", "y"), "spanet"),
        (("-m", "granet=nothing"), "rain-v1"),
    ],
)
def test_what_does_not_go_together_is_refused(rainkit, pairs, arguments, remedy):
    code, _, err = rainkit("eval", pairs, *arguments)
    assert code == 2
    assert remedy in err
    assert "Traceback" not in err


def test_metrics_without_their_weights_are_skipped_with_one_line(rainkit, folders):
    code, out, err = rainkit(
        "eval", folders / "ours", folders / "clean", "--metric", "lpips", "--metric", "mae"
    )
    assert code == 0
    assert "lpips skipped" in err
    assert "mae/1" in out
    assert "2.0000" in out

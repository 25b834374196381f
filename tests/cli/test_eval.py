"""``rainkit eval`` as typed."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import images, inference


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    picture = np.random.default_rng(0).integers(50, 150, (30, 40, 3), np.uint8)
    for name, added in (("clean", 0), ("ours", 2), ("rainy", 40)):
        (tmp_path / "set" / name).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "set" / name / "a.png"), picture + np.uint8(added))
    return tmp_path / "set"


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
    assert (code, "does not have the layout wds" in err) == (2, True)


def test_folders_without_pairs_beside_datasets_are_told(rainkit, folders):
    (folders.parent / "photos").mkdir()
    (folders / "ours" / "a.png").rename(folders.parent / "photos" / "a.png")
    code, out, err = rainkit("eval", "--method", "timelapse", folders.parent)
    assert (code, "17.41" in out) == (0, True), err
    assert "photos holds pictures, but no pairs, and is passed over" in " ".join(err.split())


def test_a_method_may_run_some_of_its_blocks(rainkit, folders, anytime_weights):
    arguments = ["eval", folders, "-m", f"resguidenet={anytime_weights}"]
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


def test_datasets_may_be_called_like_commands(rainkit, pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pairs, "clean")
    pairs.rename("compare")
    code, out, err = rainkit("eval", "compare", "clean", "-m", "timelapse", "--device", "cpu")
    assert code == 0, err
    assert "compare" in out
    assert "clean" in out


SAID_EARLY = (
    (("eval", "nowhere", "-m", "granet"), "nowhere is not a folder"),
    (("eval", "wet", "-m", "granot"), "did you mean granet?"),
    (("eval", "wet", "-m", "granet", "--metric", "gmsd"), "no partner for 1 of wet"),
    (("score", "wet/rainy", "wet/clean", "--metric", "gmsd"), "no partner for 1 of wet"),
)


def test_what_is_wrong_is_said_before_torch_loads(fresh, pairs):
    (pairs / "rainy/a.png").rename(pairs / "rainy/c.png")
    ends = fresh(*(arguments for arguments, _ in SAID_EARLY), cwd=pairs.parent)
    for (arguments, said), ended in zip(SAID_EARLY, ends, strict=True):
        assert ended.code == 2, arguments
        assert said in ended.said
        assert "rainkit.evaluation" in ended.modules
        assert "torch" not in ended.modules, arguments


def test_a_weights_file_is_hashed_once_at_most(rainkit, pairs, tmp_path, monkeypatch):
    from rainkit import files

    hashed = []
    real = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: (hashed.append(path), real(path))[1])
    code, _, err = rainkit("eval", "-m", "granet", pairs, "--device", "cpu", "-o", tmp_path / "o")
    assert code == 0, err
    weights = [path for path in hashed if path.suffix == ".safetensors"]
    assert len(weights) <= 1, "an earlier test in this process may have hashed it"


def test_several_methods_share_a_table_and_a_page(rainkit, pairs, tmp_path):
    out = tmp_path / "scores"
    asked = ("eval", "-m", "resguidenet", "-m", "timelapse", pairs, "--device", "cpu", "-o", out)
    code, shown, err = rainkit(*asked, "--report", "--also", "published", "--metric", "gmsd")
    assert code == 0
    assert "the papers print no figures of wet" in err
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


def test_published_rows_stand_beside_measured_ones_and_in_no_mean(rainkit, pairs, tmp_path):
    two = tmp_path / "two"
    for name in ("rain100l", "rain100h"):
        shutil.copytree(pairs, two / name)
    asked = ("eval", "-m", "resguidenet", two, "--device", "cpu", "--also", "published")
    code, shown, err = rainkit(*asked, "-o", tmp_path / "out", "--report")
    assert code == 0, err
    (jorder,) = (x for x in shown.splitlines() if "JORDER" in x and "36.63" in x)
    assert jorder.strip().split("  ")[0] == "JORDER, ResGuideNet's Table 2 (published)"
    after_mean = shown[shown.index("mean") :]
    assert "published" not in after_mean
    table = (tmp_path / "out/table.md").read_text()
    row = "JORDER, ResGuideNet's Table 2 (published) | 26.54 | 0.835 | 36.63 | 0.974 |  |  |"
    assert row in table
    page = (tmp_path / "out/index.html").read_text()
    assert "JORDER, ResGuideNet&#39;s Table 2<span" in page
    data = json.loads((tmp_path / "out/metrics.json").read_text())
    assert {row["kind"] for row in data["published"]} == {"published"}
    assert {row["dataset"] for row in data["published"]} == {"Rain100L", "Rain100H"}
    assert "JORDER" not in json.dumps(data["results"]), "measured and published stay apart"


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
    kept = [out / f"restored/resguidenet/wet/{name}.png" for name in "ab"]
    asked = ("eval", "-m", "resguidenet", pairs, "--device", "cpu", "-o", out, "--json")

    def run(*more: str) -> tuple[list[int], list[float]]:
        """Score, and give the kept files' inode numbers, which change when a file is replaced."""
        found = json.loads(rainkit(*asked, *more)[1])["results"][0]["rows"]
        return [path.stat().st_ino for path in kept], [row["milliseconds"] for row in found]

    first, second = run(), run("--overwrite")
    assert first == second, "pictures are used again with the time that they once took"
    rainy = pairs / "rainy" / "a.png"
    assert cv2.imwrite(str(rainy), cv2.add(cv2.imread(str(rainy)), 1))
    with kept[0].open("rb"):  # so that its inode number is not given to the new file
        third, _ = run("--overwrite")
    assert third[0] != first[0][0], "another rainy picture is derained"
    assert third[1] == first[0][1]


def test_networks_alone_are_scored_without_the_traces_given_back(rainkit, pairs, tmp_path):
    """The tables of the cards are made so; the method declares that results get them back."""
    out = tmp_path / "scores"
    kept = out / "restored" / "resguidenet" / "wet" / "a.png"
    asked = ("eval", "-m", "resguidenet", pairs, "--device", "cpu", "-o", out, "--json")
    found = {}
    for alone in (False, True):
        told = json.loads(rainkit(*asked, *(["--alone", "--overwrite"] if alone else []))[1])
        assert told.get("spare_traces", True) is not alone
        assert ("resguidenet, alone" in (out / "table.md").read_text()) is alone
        rainy = images.read(pairs / "rainy" / "a.png").rgb
        network = inference.load("resguidenet", device="cpu", spare_traces=not alone)
        made = np.asarray(network.derain(rainy), np.int16)
        found[alone] = np.asarray(images.read(kept).rgb, np.int16)
        assert np.abs(found[alone] - made).max() <= 1
    assert np.abs(found[True] - found[False]).max() > 2


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
    [("-o", "wet/rainy"), ("-o", "wet/clean/more"), ("-o", "file")],
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
        ((), "--method NAME"),
        (("-m", "granet", "--tile", "big"), "--tile big: give auto"),
        (("-m", "granet", "--report"), "--output"),
        (("--restored", "x", "--also", "published"), "--method NAME"),
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

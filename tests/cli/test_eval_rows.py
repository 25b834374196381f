"""What ``rainkit eval`` sets beside each other: parts, variants, averages, photographs, models."""

import csv
import json
import shutil
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest


def results(path: Path) -> list[dict]:
    data = json.loads((path / "metrics.json").read_text())
    return data.get("comparisons", [data])


def test_parts_are_rows_of_their_own(rainkit, pairs, anytime_weights, tmp_path):
    out = tmp_path / "scores"
    asked = ("eval", "-m", f"resguidenet={anytime_weights}", pairs, "--device", "cpu")
    code, shown, err = rainkit(*asked, "--also", "parts", "-o", out, "--report", "--metric", "mae")
    assert code == 0, err
    label = "resguidenet (anytime.safetensors)"
    names = [label, *(f"{label}: block{k}" for k in (1, 2, 3))]
    assert [each["restored"] for each in results(out)] == names
    assert [each.get("part_of") for each in results(out)] == [None, label, label, label]
    assert shown.count("block2") == 2
    # The last block's picture is not the merged one, and equals a run of three blocks.
    psnr = {each["restored"]: each["results"][0]["summary"]["psnr"] for each in results(out)}
    assert psnr[names[3]] != psnr[label]
    alone = json.loads(rainkit(*asked, "--effort", "2", "--json")[1])
    assert alone["results"][0]["summary"]["psnr"]["mean"] == pytest.approx(
        psnr[names[2]]["mean"], abs=1e-9
    )
    page = (out / "index.html").read_text()
    assert page.count("PSNR of its parts (prenet/1)") == 1
    assert "block3" in (out / "parts.svg").read_text()
    table = (out / "table.md").read_text()
    assert "**" not in next(line for line in table.splitlines() if ": block1 |" in line)


def test_parts_are_kept_like_results(rainkit, pairs, anytime_weights, tmp_path):
    out = tmp_path / "scores"
    asked = ("eval", "-m", f"resguidenet={anytime_weights}", pairs, "--device", "cpu")
    asked += ("--also", "parts", "-o", out, "--overwrite", "-q")
    assert rainkit(*asked)[0] == 0
    first = results(out)
    kept = next((out / "parts").glob("resguidenet-anytime-*/block1/wet/a.png"))
    assert rainkit(*asked)[0] == 0
    times = [row["milliseconds"] for row in results(out)[0]["results"][0]["rows"]]
    assert times == [row["milliseconds"] for row in first[0]["results"][0]["rows"]]
    kept.unlink()
    assert rainkit(*asked)[0] == 0
    assert kept.is_file(), "a part that is lost is made again"
    psnr = [
        [each["results"][0]["summary"]["psnr"] for each in found] for found in (first, results(out))
    ]
    assert psnr[0] == psnr[1]


def test_blocks_that_did_not_run_have_no_parts(rainkit, pairs, anytime_weights, tmp_path):
    out = tmp_path / "scores"
    asked = (
        "eval",
        "-m",
        f"resguidenet={anytime_weights}",
        pairs,
        "--device",
        "cpu",
        "--also",
        "parts",
    )
    code, _, err = rainkit(*asked, "--effort", "2", "-o", out)
    assert code == 0, err
    label = "resguidenet (anytime.safetensors), 2 blocks"
    names = [label, f"{label}: block1", f"{label}: block2"]
    assert [each["restored"] for each in results(out)] == names
    assert rainkit(*asked, "--effort", "auto:1000")[0] == 0


def test_a_rain_layer_is_scored_against_the_rain(rainkit, pairs, tmp_path):
    out = tmp_path / "scores"
    code, _, err = rainkit(
        "eval", "-m", "granet", pairs, "--also", "parts", "--protocol", "rgb", "-o", out, "-q"
    )
    assert code == 0, err
    found = {each["restored"]: each for each in results(out)}
    mask, coarse = found["granet: mask"], found["granet: coarse"]
    assert (mask["estimates"], coarse["estimates"]) == ("rain", "picture")
    # The coarse picture is the rainy one minus the mask: but for what is cut off below zero and
    # above white, both are wrong by the same.
    for one, other in zip(mask["results"][0]["rows"], coarse["results"][0]["rows"], strict=True):
        assert one["psnr"] == pytest.approx(other["psnr"], abs=1.5)
        assert one["input_psnr"] is None


def test_variants_make_an_ablation_table_in_the_papers_order(rainkit, pairs, tmp_path):
    runs = tmp_path / "runs"
    save_variant(runs / "b/last.safetensors", "default")
    save_variant(runs / "b/best.safetensors", "default")
    save_variant(runs / "a/last.safetensors", "nrecur")
    save_variant(runs / "c/checkpoints/step.safetensors", "default")
    (runs / "other.safetensors").write_bytes(b"nothing")
    code, out, err = rainkit(
        "eval", "-m", f"resguidenet={runs}", pairs, "--device", "cpu", "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert [each["restored"] for each in found["comparisons"]] == ["nrecur", "default"]
    assert all("last.safetensors" in each["weights"]["name"] for each in found["comparisons"])
    assert "left out" in err
    assert "other.safetensors" in err
    assert "holds no weights of the paper's baseline, baseline-rr-l2, baseline-rr, block5" in err


def test_several_weights_of_a_variant_are_told_apart(rainkit, pairs, tmp_path):
    runs = tmp_path / "runs"
    for seed in (1, 2):
        save_variant(runs / f"seed{seed}/last.safetensors", "default")
    out = tmp_path / "out"
    code, _, err = rainkit("eval", "-m", f"resguidenet={runs}", pairs, "-o", out)
    assert code == 0, err
    assert [each["restored"] for each in results(out)] == ["default (seed1)", "default (seed2)"]
    assert_told_apart(out)


def test_weights_in_files_of_one_name_are_told_apart(rainkit, pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for run in ("one", "two"):
        save_variant(Path(run) / "last.safetensors", "default")
    asked = ("-m", "resguidenet=one/last.safetensors", "-m", "resguidenet=two/last.safetensors")
    code, shown, err = rainkit("eval", *asked, pairs, "-o", "out", "--device", "cpu")
    assert code == 0, err
    names = [f"resguidenet ({run}/last.safetensors)" for run in ("one", "two")]
    assert [each["restored"] for each in results(Path("out"))] == names
    assert all(name in shown for name in names)
    assert_told_apart(Path("out"))


def assert_told_apart(out: Path) -> None:
    """Two results have pictures and figures of their own."""
    first, second = results(out)
    hashes = [
        {file["sha256"] for file in each["files"] if file["role"] == "restored"}
        for each in (first, second)
    ]
    assert len(hashes[0]) == len(hashes[1]) == 2
    assert hashes[0].isdisjoint(hashes[1])
    assert first["results"][0]["summary"]["psnr"] != second["results"][0]["summary"]["psnr"]


def test_every_method_is_looked_at_before_the_first_derains(rainkit, pairs, tmp_path):
    asked = ("-m", "resguidenet", "-m", f"granet={tmp_path / 'nothing.safetensors'}")
    for more in (
        asked,
        ("-m", "resguidenet", "-m", "nosuch"),
        ("-m", "timelapse", "-m", "granet=x"),
    ):
        code, _, err = rainkit("eval", *more, pairs, "-o", tmp_path / "out")
        assert code == 2, err
        assert not (tmp_path / "out").exists()


def test_parts_are_no_results_to_compare(rainkit, pairs, tmp_path):
    for name, options in (
        (
            "a",
            (
                "--also",
                "parts",
            ),
        ),
        ("b", ()),
    ):
        out = tmp_path / name
        assert rainkit("eval", "-m", "granet", pairs, "-o", out, "-q", *options)[0] == 0
    code, out, err = rainkit("compare", tmp_path / "a", tmp_path / "b")
    assert code == 0, err
    assert "mask" not in out + err
    code, out, err = rainkit("compare", tmp_path / "a", tmp_path / "b", "--max-drop", "psnr=0")
    assert code == 0, err
    assert "baseline" not in err


def test_an_unreadable_picture_counts_once_with_its_parts(rainkit, pairs):
    (pairs / "rainy/a.png").write_bytes((pairs / "rainy/a.png").read_bytes()[:90])
    code, out, err = rainkit("eval", "-m", "granet", pairs, "--also", "parts")
    assert code == 1
    assert err.count("not scored") == 1
    assert "1 picture could not be scored" in err
    assert "granet: mask" in out


def save_variant(path: Path, variant: str) -> None:
    import torch
    from rainkit_resguidenet import METHOD

    from rainkit import networks, weights

    settings = replace(METHOD.variants[variant].network, blocks=2, width=4, recursion=1)
    with torch.random.fork_rng():
        torch.manual_seed(zlib.crc32(path.as_posix().encode()))
        state = networks.build(METHOD, settings).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    weights.save(path, state, method=METHOD, variant=variant, network=settings)


def test_averages_share_a_table_with_methods(rainkit, pairs, anytime_weights):
    for name in ("a", "b"):
        rainy = pairs / f"rainy/{name}.png"
        shutil.copy(rainy, pairs / f"rainy/{name}_1.png")
        picture = cv2.imread(str(rainy))
        assert cv2.imwrite(str(pairs / f"rainy/{name}_2.png"), 255 - (255 - picture) // 2)
        rainy.unlink()
    code, out, err = rainkit(
        "eval", "-m", f"resguidenet={anytime_weights}", "--also", "mean", pairs
    )
    assert code == 0, err
    assert "mean of all frames" in out
    assert "resguidenet (anytime.safetensors)" in out
    alone = rainkit("eval", "--also", "median=2", pairs)
    assert (alone[0], "median of 2 frames" in alone[1]) == (0, True)


def test_restored_folders_share_a_table_and_a_page_with_methods(rainkit, pairs, tmp_path):
    theirs, out = tmp_path / "theirs", tmp_path / "scores"
    shutil.copytree(pairs / "clean", theirs)
    asked = ("eval", pairs, "-m", "timelapse@ours", "--restored", f"{theirs}@rival")
    code, shown, err = rainkit(*asked, "-o", out, "--report", "--device", "cpu")
    assert code == 0, err
    assert [each["restored"] for each in results(out)] == ["ours", "rival"]
    assert results(out)[1]["results"][0]["summary"]["psnr"]["mean"] == "inf"
    assert "ours" in shown
    assert "rival" in shown
    page = (out / "index.html").read_text()
    assert "rival" in page
    # With several datasets, there is a folder for each.
    shutil.copytree(pairs, tmp_path / "damp")
    code, _, err = rainkit("eval", pairs, tmp_path / "damp", "--restored", theirs)
    assert (code, "holds no folder wet" in err) == (2, True)
    for name in ("wet", "damp"):
        shutil.copytree(pairs / "clean", tmp_path / "both" / name)
    code, _, err = rainkit("eval", pairs, tmp_path / "damp", "--restored", tmp_path / "both")
    assert code == 0, err


def test_pictures_of_a_peer_are_called_like_those_of_a_method(rainkit, tmp_path):
    """On a dataset of rainkit synth with a split, whose manifest names files by their folders."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a", "b"):
        noise = np.random.default_rng(ord(name)).integers(0, 255, (8, 8, 3), np.uint8)
        assert cv2.imwrite(str(photos / f"{name}.png"), cv2.resize(noise, (64, 64)))
    made = tmp_path / "made"
    assert rainkit("synth", photos, "-o", made, "--depth", "none", "--test-scenes", "1")[0] == 0
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    asked = ("-m", "timelapse", "--device", "cpu", "-o", ours, "-q", "--by", "rate")
    code, _, err = rainkit("eval", made, *asked)
    assert code == 0, err
    kept = ours / "restored/timelapse/made"
    side = made / "test"
    asked = (kept, side / "target", "--input", side / "input", "-o", theirs, "-q", "--by", "rate")
    code, _, err = rainkit("score", *asked)
    assert code == 0, err
    rows = [(folder / "per_image.csv").read_text().splitlines() for folder in (ours, theirs)]
    (method,), (peer,) = ([*csv.DictReader(lines)] for lines in rows)
    assert "/" not in method["name"]
    alone = {"result", "milliseconds"}
    assert {k: v for k, v in method.items() if k not in alone} == {
        k: v for k, v in peer.items() if k not in alone
    }
    code, shown, err = rainkit("compare", ours, theirs, "--json")
    assert code == 0, err
    assert json.loads(shown)["differences"][0]["pictures"] == 1
    code, _, err = rainkit("eval", made, "--restored", kept)
    assert code == 0, err
    photo = rainkit("no-target", side / "input", "--restored", kept, "--json")[1]
    assert json.loads(photo)["results"][0]["rows"][0]["name"] == method["name"]


def test_photographs_without_ground_truth(rainkit, pairs, tmp_path):
    out = tmp_path / "scores"
    code, shown, err = rainkit(
        "no-target", pairs / "rainy", "-m", "timelapse", "-o", out, "--device", "cpu"
    )
    assert code == 0, err
    assert "No ground truth" in shown
    assert "PSNR" not in shown
    with (out / "no_target.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["a", "b"]
    again = ("no-target", pairs / "rainy", "--restored", out / "restored/timelapse/rainy")
    code, shown, err = rainkit(*again, "--json", "--metric", f"brisque={tmp_path}")
    assert code == 0, err
    assert "brisque skipped: " in err
    assert "brisque_svm_weights.pt is missing" in err
    first = json.loads((out / "no_target.json").read_text())["results"]
    second = json.loads(shown)["results"]
    for one, other in zip(first[0]["rows"], second[0]["rows"], strict=True):
        assert one["rain_removed"] == other["rain_removed"]
        assert one["streak_energy"] == other["streak_energy"]


def save_bright(path: Path) -> Path:
    """A segmenter of two classes, bright and dark."""
    import torch

    class Bright(torch.nn.Module):
        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            grey = picture.mean(dim=1, keepdim=True)
            return torch.cat([0.5 - grey, grey - 0.5], dim=1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(Bright()).save(str(path))
    return path


def test_a_model_says_what_deraining_is_worth(rainkit, pairs, tmp_path):
    model = save_bright(tmp_path / "bright.pt")
    out = tmp_path / "scores"
    asked = ("downstream", pairs, "-m", "timelapse", "--device", "cpu", "-o", out)
    code, shown, err = rainkit(*asked, "--task", "segmentation", "--model", model)
    assert code == 0, err
    assert "mIoU" in shown
    assert {"downstream.md", "downstream.json", "downstream.tex"} <= {
        path.name for path in out.iterdir()
    }
    data = json.loads((out / "downstream.json").read_text())
    assert [row["result"] for row in data["rows"]] == ["input", "timelapse", "clean"]
    assert data["rows"][2]["figures"]["mIoU"] == 1


def test_scores_are_written_whatever_becomes_of_the_model(rainkit, pairs, tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    assert cv2.imwrite(str(maps / "a.png"), np.zeros((40, 56), np.uint8))
    out = tmp_path / "scores"
    asked = ("downstream", pairs, "-m", "timelapse", "-o", out, "--task", "segmentation")
    model = save_bright(tmp_path / "bright.pt")
    code, _, err = rainkit(*asked, "--model", model, "--labels", maps)
    assert code == 2
    assert "b" in err
    assert len(results(out)[0]["results"][0]["rows"]) == 2
    (maps / "b.png").write_bytes((maps / "a.png").read_bytes()[:50])
    code, _, err = rainkit(*asked, "--model", model, "--labels", maps, "--overwrite")
    assert code == 1
    assert "b.png: cannot be read as PNG" in err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("eval", "--also", "parts"), "give --method NAME"),
        (("eval", "-m", "granet=."), "holds no weights of granet"),
        (("eval", "-m", "granet", "--also", "medain"), "did you mean median?"),
        (("eval", "-m", "granet", "--also", "mean=1"), "2 is the least"),
        (("eval", "-m", "granet@a", "-m", "timelapse@a"), "two results are called a"),
        (
            ("eval", "-m", "granet", "--restored", "wet/clean@granet"),
            "two results are called granet",
        ),
        (("eval", "--restored", "nowhere"), "nowhere: is not a folder"),
        (("eval", "--restored", "wet"), "has no picture for 2 of wet: a, b"),
        (("eval", "-m", "granet", "--metric", "lpsi"), "did you mean lpips?"),
        (("eval", "-m", "granet", "--also", "mean"), "no two pictures of one scene"),
        (("eval", "-m", "granet", "--by", "colour"), "choose from rate"),
        (
            ("downstream", "-m", "granet", *["--task", "depth", "--model", "x.pt", "-o", "out"]),
            "detection",
        ),
        (
            (
                "downstream",
                "-m",
                "granet",
                *["--task", "segmant", "--model", "x", "-o", "out"],
            ),
            "--task segmant: unknown; did you mean segmentation?",
        ),
        (("no-target",), "--method NAME"),
        (("no-target", "-m", "granet", "--restored", "x"), "but not both"),
        (("no-target", "-m", "granet", "--metric", "gmsd"), "gmsd"),
    ],
)
def test_what_does_not_go_together_is_refused(rainkit, pairs, monkeypatch, arguments, remedy):
    monkeypatch.chdir(pairs.parent)
    code, out, err = rainkit(arguments[0], "wet", *arguments[1:])
    assert (code, out) == (2, "")
    assert remedy in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("out").exists()

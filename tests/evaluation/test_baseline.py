"""New scores held against those of an earlier run."""

import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.errors import DatasetError, UsageError
from rainkit.evaluation import PROTOCOLS, Comparison, EvalRequest, FoldersRequest, baseline

PRENET, RGB = PROTOCOLS["prenet"], PROTOCOLS["rgb"]


def write(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1])


def scene(name: str, side: int = 24) -> np.ndarray:
    coarse = np.random.default_rng(sum(name.encode())).integers(40, 180, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (side, side))


def source(
    folder: Path,
    off: Mapping[str, int],
    *,
    restored: str = "ours",
    dataset: str = "rain",
    rainy: Mapping[str, int] | None = None,
    protocols: tuple[evaluation.Protocol, ...] = (PRENET,),
) -> FoldersRequest:
    """Pictures that are off by so many levels: PSNR falls by 20 log10 of a growing offset."""
    home = folder / dataset
    for side in ("clean", restored):
        shutil.rmtree(home / side, ignore_errors=True)
    for name, levels in off.items():
        write(home / f"clean/{name}.png", scene(name))
        write(home / restored / f"{name}.png", scene(name) + np.uint8(levels))
    for name, levels in (rainy or {}).items():
        write(home / f"rainy/{name}.png", scene(name) + np.uint8(levels))
    return FoldersRequest(
        restored=home / restored,
        target=home / "clean",
        rainy=home / "rainy" if rainy else None,
        protocols=protocols,
    )


def scored(*sources: FoldersRequest) -> tuple[Comparison, ...]:
    return evaluation.run(EvalRequest(sources=sources)).comparisons


def stored(folder: Path, *sources: FoldersRequest) -> Path:
    evaluation.run(EvalRequest(sources=sources, output=folder / "before", overwrite=True))
    return folder / "before/metrics.json"


TWO = {"a": 4, "b": 8}


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return stored(tmp_path, source(tmp_path, TWO))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("psnr=0.05", ("psnr", 0.05)),
        ("ssim=0", ("ssim", 0)),
        ("psnr_gain=1e-2", ("psnr_gain", 0.01)),
    ],
)
def test_drops(text, expected):
    assert baseline.parse_drop(text) == expected


@pytest.mark.parametrize(
    "text", ["", "psnr", "psnr=", "psnr=much", "psnr=-0.1", "ssim=nan", "ssim=inf", "mae=1", "=1"]
)
def test_wrong_drops_are_refused(before, text):
    for refuse in (lambda: baseline.parse_drop(text), lambda: baseline.load(before, [text])):
        with pytest.raises(UsageError, match=re.escape(f"--max-drop {text}: write psnr=0.05")):
            refuse()


def test_the_same_scores_have_not_dropped(tmp_path, before):
    held = baseline.load(before.parent)
    assert held.drops == (("psnr", 0.05), ("ssim", 0.001))
    now = scored(source(tmp_path, TWO))
    assert held.dropped(now) == ()
    assert held.notices(now) == ()


def test_better_scores_have_not_dropped(tmp_path, before):
    assert baseline.load(before).dropped(scored(source(tmp_path, {"a": 3, "b": 8}))) == ()


def test_a_drop_is_told_in_figures(tmp_path, before):
    now = scored(source(tmp_path, {"a": 4, "b": 9}))
    was = json.loads(before.read_text())["results"][0]["summary"]["psnr"]["mean"]
    less = 20 * math.log10(9 / 8) / 2
    (line,) = baseline.load(before, ["psnr=0.5"]).dropped(now)
    assert line == (
        f"rain: psnr {now[0].scores[0].psnr.mean:.4f} is {less:.4f} dB under the baseline's"
        f" {was:.4f}, more than 0.5 (prenet/1, 2 pictures)"
    )
    assert baseline.load(before, ["psnr=0.52"]).dropped(now) == ()


def test_a_drop_of_just_what_is_allowed_passes(tmp_path, before):
    text = before.read_text()
    for name, figure in (("a", 31.45), ("b", 41.45)):
        data = json.loads(text)
        row = next(row for row in data["results"][0]["rows"] if row["name"] == name)
        text = text.replace(str(row["psnr"]), str(figure))
    before.write_text(text)
    now = scored(source(tmp_path, TWO))
    less = 36.45 - now[0].scores[0].psnr.mean
    assert less > 0
    last_digits = less * (1 - 1e-12)  # what adding up figures leaves of them
    assert baseline.load(before, [f"psnr={last_digits}"]).dropped(now) == ()
    assert len(baseline.load(before, [f"psnr={less - 1e-6}"]).dropped(now)) == 1


def test_ssim_has_a_bar_of_its_own(tmp_path, before):
    source(tmp_path, TWO)
    noise = np.random.default_rng(1).integers(-9, 10, (24, 24, 3))
    write(tmp_path / "rain/ours/a.png", (scene("a") + noise).astype(np.uint8))
    now = scored(
        FoldersRequest(
            restored=tmp_path / "rain/ours", target=tmp_path / "rain/clean", protocols=(PRENET,)
        )
    )
    (line,) = baseline.load(before, ["ssim=0.001"]).dropped(now)
    assert re.fullmatch(
        r"rain: ssim 0\.\d{5} is 0\.\d{5} under the baseline's 0\.\d{5}, more than 0\.001"
        r" \(prenet/1, 2 pictures\)",
        line,
    )


def test_the_mean_is_over_the_pictures_that_both_have(tmp_path, before):
    held = baseline.load(before, ["psnr=0.05"])
    now = scored(source(tmp_path, {**TWO, "new": 60}))
    assert held.dropped(now) == ()
    assert held.notices(now) == ("rain: the baseline lacks 1 of the pictures: new",)


def test_a_missing_picture_is_a_drop(tmp_path, before):
    assert baseline.load(before).dropped(scored(source(tmp_path, {"b": 8}))) == (
        "rain: there is no score now for 1 of the baseline's pictures: a",
    )


def test_a_picture_that_cannot_be_scored_is_a_drop_told_once(tmp_path):
    both = (PRENET, RGB)
    path = stored(tmp_path, source(tmp_path, TWO, protocols=both))
    again = source(tmp_path, TWO, protocols=both)
    (tmp_path / "rain/ours/a.png").write_bytes(b"not a picture")
    assert baseline.load(path).dropped(scored(again)) == (
        "rain: there is no score now for 1 of the baseline's pictures: a",
    )


@pytest.mark.parametrize(
    ("was", "now", "lines"),
    [
        (0, 0, ()),
        (8, 0, ()),
        (0, 8, ("rain: psnr is no longer infinite for 1 of the pictures: b (prenet/1)",)),
    ],
)
def test_infinite_psnr(tmp_path, was, now, lines):
    held = baseline.load(stored(tmp_path, source(tmp_path, {"a": 4, "b": was})))
    assert held.dropped(scored(source(tmp_path, {"a": 4, "b": now}))) == lines


def test_a_loss_of_all_infinite_ones_is_told_without_a_mean(tmp_path):
    held = baseline.load(stored(tmp_path, source(tmp_path, {"a": 0, "b": 0})), ["psnr=99"])
    assert held.dropped(scored(source(tmp_path, {"a": 1, "b": 0}))) == (
        "rain: psnr is no longer infinite for 1 of the pictures: a (prenet/1)",
    )


def test_gains_need_rainy_pictures_before_and_now(tmp_path, before):
    with pytest.raises(UsageError, match=r"--max-drop psnr_gain=0\.1: .*has no gains"):
        baseline.load(before, ["psnr_gain=0.1"])
    rainy = {"a": 20, "b": 20}
    held = baseline.load(stored(tmp_path, source(tmp_path, TWO, rainy=rainy)), ["psnr_gain=0.1"])
    assert held.dropped(scored(source(tmp_path, TWO, rainy=rainy))) == ()
    (line,) = held.dropped(scored(source(tmp_path, {"a": 4, "b": 9}, rainy=rainy)))
    assert f"is {20 * math.log10(9 / 8) / 2:.4f} dB under" in line
    assert held.dropped(scored(source(tmp_path, TWO))) == (
        "rain: psnr_gain is no longer finite for 2 of the pictures: a, b (prenet/1)",
    )


def test_single_results_are_matched_whatever_their_names(tmp_path, before):
    now = scored(source(tmp_path, {"a": 4, "b": 80}, restored="another"))
    (line,) = baseline.load(before, ["psnr=1"]).dropped(now)
    assert line.startswith("rain: psnr ")


def test_of_several_results_the_name_decides(tmp_path):
    good, bad = dict.fromkeys("ab", 4), dict.fromkeys("ab", 16)
    x, y = (source(tmp_path, good, restored=name) for name in "xy")
    held = baseline.load(stored(tmp_path, x, y), ["psnr=1"])
    x, z = (source(tmp_path, bad, restored=name) for name in "xz")
    now = scored(x, z)
    (line,) = held.dropped(now)
    assert line.startswith("x: rain: psnr ")
    assert held.notices(now) == (
        f"rain (prenet/1): z is not in the baseline {held.file}",
        f"rain: y is in the baseline {held.file} and not scored now",
    )


def test_two_results_of_one_name_are_refused(tmp_path):
    file = stored(tmp_path, source(tmp_path, TWO))
    data = json.loads(file.read_text())
    file.write_text(json.dumps({"comparisons": [data, data]}))
    with pytest.raises(UsageError, match="two results of one name"):
        baseline.load(file)


def test_nothing_in_common_is_a_miss(tmp_path, before):
    held = baseline.load(before)
    now = scored(source(tmp_path, TWO, dataset="snow"))
    assert held.dropped(now) == (f"nothing in common with the baseline {before}",)
    assert held.notices(now) == (
        f"snow (prenet/1): ours is not in the baseline {before}",
        f"rain: ours is in the baseline {before} and not scored now",
    )


def test_a_dataset_more_is_only_noticed(tmp_path, before):
    held = baseline.load(before)
    now = scored(source(tmp_path, TWO), source(tmp_path, TWO, dataset="snow"))
    assert held.dropped(now) == ()
    assert held.notices(now) == (f"snow (prenet/1): ours is not in the baseline {before}",)


def test_protocols_are_checked_before_computing(before):
    held = baseline.load(before)
    held.covers(["prenet/1"])
    with pytest.raises(UsageError, match="has no scores under rgb/1, only under prenet/1"):
        held.covers(["prenet/1", "rgb/1"])


def test_other_parameters_of_a_protocol_are_another_protocol(tmp_path, before):
    text = before.read_text()
    assert '"ssim_border": "valid"' in text
    before.write_text(text.replace('"ssim_border": "valid"', '"ssim_border": "repeated"'))
    assert baseline.load(before).dropped(scored(source(tmp_path, TWO)))[0].startswith("nothing")


def test_a_file_that_is_no_baseline_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        baseline.load(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(DatasetError, match="not a metrics"):
        baseline.load(tmp_path)

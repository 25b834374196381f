"""New scores held against those of an earlier run."""

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.errors import DatasetError, UsageError
from rainkit.evaluation import PROTOCOLS, EvalRequest, FoldersRequest
from rainkit.evaluation.compare import Compared, CompareRequest, compare, parse_drop

PRENET, RGB = PROTOCOLS["prenet"], PROTOCOLS["rgb"]
DROPS = ("psnr=0.05", "ssim=0.001")


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


def stored(folder: Path, *sources: FoldersRequest, name: str = "before") -> Path:
    evaluation.run(EvalRequest(sources=sources, output=folder / name, overwrite=True))
    return folder / name / "metrics.json"


def held(before: Path, *sources: FoldersRequest, drops: Sequence[str] = DROPS) -> Compared:
    """The sources' scores, compared with those of a baseline."""
    now = stored(before.parents[1], *sources, name="now")
    return compare(CompareRequest(files=(before, now), max_drops=tuple(drops)))


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
    assert parse_drop(text) == expected


@pytest.mark.parametrize(
    "text", ["", "psnr", "psnr=", "psnr=much", "psnr=-0.1", "ssim=nan", "ssim=inf", "mae=1", "=1"]
)
def test_wrong_drops_are_refused(before, text):
    request = CompareRequest(files=(before, before), max_drops=(text,))
    for refuse in (lambda: parse_drop(text), lambda: compare(request)):
        with pytest.raises(UsageError, match=re.escape(f"--max-drop {text}: write psnr=0.05")):
            refuse()


def test_the_same_scores_have_not_dropped(tmp_path, before):
    found = held(before.parent / "metrics.json", source(tmp_path, TWO))
    assert (found.missed, found.notices, found.exit_code) == ((), (), 0)
    assert found.to_data()["max_drops"] == ["psnr=0.05", "ssim=0.001"]
    assert found.to_data()["missed"] == []


def test_folders_stand_for_their_files(tmp_path, before):
    source(tmp_path, {"a": 4, "b": 9})
    after = stored(tmp_path, source(tmp_path, {"a": 4, "b": 9}), name="now")
    request = CompareRequest(files=(before.parent, after.parent), max_drops=("psnr=0.5",))
    assert len(compare(request).missed) == 1


def test_without_a_bar_nothing_is_missed(tmp_path, before):
    found = held(before, source(tmp_path, {"b": 80}), drops=())
    assert (found.missed, found.exit_code) == ((), 0)
    assert "missed" not in found.to_data()


def test_a_bar_needs_two_files(before):
    with pytest.raises(UsageError, match="--max-drop: give two files, the baseline first"):
        compare(CompareRequest(files=(before,), max_drops=DROPS))


def test_better_scores_have_not_dropped(tmp_path, before):
    assert held(before, source(tmp_path, {"a": 3, "b": 8})).missed == ()


def mean(file: Path) -> float:
    return json.loads(file.read_text())["results"][0]["summary"]["psnr"]["mean"]


def test_a_drop_is_told_in_figures(tmp_path, before):
    now = source(tmp_path, {"a": 4, "b": 9})
    less = 20 * math.log10(9 / 8) / 2
    found = held(before, now, drops=["psnr=0.5"])
    (line,) = found.missed
    assert line == (
        f"rain: psnr {mean(tmp_path / 'now/metrics.json'):.4f} is {less:.4f} dB under the"
        f" baseline's {mean(before):.4f}, more than 0.5 (prenet/1, 2 pictures)"
    )
    assert found.exit_code == 3
    assert found.to_data()["missed"] == [line]
    assert held(before, now, drops=["psnr=0.52"]).missed == ()


def test_a_drop_of_just_what_is_allowed_passes(tmp_path, before):
    text = before.read_text()
    for name, figure in (("a", 31.45), ("b", 41.45)):
        data = json.loads(text)
        row = next(row for row in data["results"][0]["rows"] if row["name"] == name)
        text = text.replace(str(row["psnr"]), str(figure))
    before.write_text(text)
    now = source(tmp_path, TWO)
    less = 36.45 - mean(stored(tmp_path, now, name="now"))
    assert less > 0
    last_digits = less * (1 - 1e-12)  # what adding up figures leaves of them
    assert held(before, now, drops=[f"psnr={last_digits}"]).missed == ()
    assert len(held(before, now, drops=[f"psnr={less - 1e-6}"]).missed) == 1


def test_ssim_has_a_bar_of_its_own(tmp_path, before):
    source(tmp_path, TWO)
    noise = np.random.default_rng(1).integers(-9, 10, (24, 24, 3))
    write(tmp_path / "rain/ours/a.png", (scene("a") + noise).astype(np.uint8))
    now = FoldersRequest(
        restored=tmp_path / "rain/ours", target=tmp_path / "rain/clean", protocols=(PRENET,)
    )
    (line,) = held(before, now, drops=["ssim=0.001"]).missed
    assert re.fullmatch(
        r"rain: ssim 0\.\d{5} is 0\.\d{5} under the baseline's 0\.\d{5}, more than 0\.001"
        r" \(prenet/1, 2 pictures\)",
        line,
    )


def test_the_mean_is_over_the_pictures_that_both_have(tmp_path, before):
    found = held(before, source(tmp_path, {**TWO, "new": 60}), drops=["psnr=0.05"])
    assert found.missed == ()
    assert found.notices == ("rain: only ours [now] has 1 of the pictures: new",)


def test_a_missing_picture_is_a_drop(tmp_path, before):
    assert held(before, source(tmp_path, {"b": 8})).missed == (
        "rain: there is no score now for 1 of the baseline's pictures: a",
    )


def test_a_picture_that_cannot_be_scored_is_a_drop_told_once(tmp_path):
    both = (PRENET, RGB)
    path = stored(tmp_path, source(tmp_path, TWO, protocols=both))
    again = source(tmp_path, TWO, protocols=both)
    (tmp_path / "rain/ours/a.png").write_bytes(b"not a picture")
    assert held(path, again).missed == (
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
    before = stored(tmp_path, source(tmp_path, {"a": 4, "b": was}))
    assert held(before, source(tmp_path, {"a": 4, "b": now})).missed == lines


def test_a_loss_of_all_infinite_ones_is_told_without_a_mean(tmp_path):
    before = stored(tmp_path, source(tmp_path, {"a": 0, "b": 0}))
    assert held(before, source(tmp_path, {"a": 1, "b": 0}), drops=["psnr=99"]).missed == (
        "rain: psnr is no longer infinite for 1 of the pictures: a (prenet/1)",
    )


def test_gains_need_rainy_pictures_before_and_now(tmp_path, before):
    gain = ["psnr_gain=0.1"]
    with pytest.raises(UsageError, match=r"--max-drop psnr_gain=0\.1: .*has no gains"):
        held(before, source(tmp_path, TWO), drops=gain)
    rainy = {"a": 20, "b": 20}
    before = stored(tmp_path, source(tmp_path, TWO, rainy=rainy))
    assert held(before, source(tmp_path, TWO, rainy=rainy), drops=gain).missed == ()
    (line,) = held(before, source(tmp_path, {"a": 4, "b": 9}, rainy=rainy), drops=gain).missed
    assert f"is {20 * math.log10(9 / 8) / 2:.4f} dB under" in line
    assert held(before, source(tmp_path, TWO), drops=gain).missed == (
        "rain: psnr_gain is no longer finite for 2 of the pictures: a, b (prenet/1)",
    )


def test_single_results_are_matched_whatever_their_names(tmp_path, before):
    now = source(tmp_path, {"a": 4, "b": 80}, restored="another")
    (line,) = held(before, now, drops=["psnr=1"]).missed
    assert line.startswith("rain: psnr ")


def test_of_several_results_the_name_decides(tmp_path):
    good, bad = dict.fromkeys("ab", 4), dict.fromkeys("ab", 16)
    x, y = (source(tmp_path, good, restored=name) for name in "xy")
    before = stored(tmp_path, x, y)
    x, z = (source(tmp_path, bad, restored=name) for name in "xz")
    found = held(before, x, z, drops=["psnr=1"])
    (line,) = found.missed
    assert line.startswith("x: rain: psnr ")
    assert found.notices == (
        f"rain (prenet/1): z is not in the baseline {before}",
        f"rain: y is in the baseline {before} and not scored now",
    )


def test_two_results_of_one_name_are_refused(tmp_path):
    same = source(tmp_path, TWO)
    before = stored(tmp_path, same)
    data = json.loads(before.read_text())
    before.write_text(json.dumps({"comparisons": [data, data]}))
    with pytest.raises(UsageError, match="two results of one name"):
        held(before, same)


def test_nothing_in_common_is_refused(tmp_path, before):
    with pytest.raises(UsageError, match=r"nothing to compare: snow: ours .* is not scored on it"):
        held(before, source(tmp_path, TWO, dataset="snow"))


def test_a_result_that_has_lost_all_its_scores_is_a_miss(tmp_path, before):
    now = source(tmp_path, TWO)
    for path in (tmp_path / "rain" / "ours").iterdir():
        path.write_bytes(b"no picture")
    found = held(before, now)
    assert found.differences == ()
    assert found.missed == ("rain: there is no score now for 2 of the baseline's pictures: a, b",)


def test_names_that_have_nothing_in_common_are_a_miss(tmp_path):
    before = stored(tmp_path, *(source(tmp_path, TWO, restored=name) for name in "xy"))
    found = held(before, *(source(tmp_path, TWO, restored=name) for name in "vw"))
    (line,) = found.missed
    assert line == f"{tmp_path}/now/metrics.json has nothing in common with the baseline {before}"


def test_a_dataset_more_is_only_noticed(tmp_path, before):
    found = held(before, source(tmp_path, TWO), source(tmp_path, TWO, dataset="snow"))
    assert found.missed == ()
    assert f"snow (prenet/1): ours is not in the baseline {before}" in found.notices


def test_a_protocol_that_the_baseline_lacks_is_refused(tmp_path, before):
    with pytest.raises(UsageError, match="has no scores under rgb/1, only under prenet/1"):
        held(before, source(tmp_path, TWO, protocols=(PRENET, RGB)))


def test_other_parameters_of_a_protocol_are_another_protocol(tmp_path, before):
    text = before.read_text()
    assert '"ssim_border": "valid"' in text
    before.write_text(text.replace('"ssim_border": "valid"', '"ssim_border": "repeated"'))
    with pytest.raises(UsageError, match="nothing to compare"):
        held(before, source(tmp_path, TWO))


def test_a_file_that_is_no_baseline_is_refused(tmp_path):
    now = source(tmp_path, TWO)
    file = tmp_path / "before/metrics.json"
    with pytest.raises(UsageError, match="does not exist"):
        held(file, now)
    file.parent.mkdir()
    file.write_text("{}")
    with pytest.raises(DatasetError, match="not a metrics"):
        held(file, now)

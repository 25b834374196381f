"""Metrics beside PSNR and SSIM: their registry, their figures, what they need and refuse."""

import math

import numpy as np
import piq
import pytest
import torch
from skimage import data

from rainkit.errors import PairingError, UsageError
from rainkit.evaluation.metrics.registry import METRICS, load_metrics, metric

FREE = [name for name, each in METRICS.items() if not each.weights and name != "niqe"]


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    target = np.ascontiguousarray(data.astronaut()[:170, 100:280])
    noise = np.random.default_rng(0).integers(-20, 61, target.shape)
    rainy = np.clip(target + noise, 0, 255).astype(np.uint8)
    restored = ((rainy.astype(int) + 2 * target.astype(int)) // 3).astype(np.uint8)
    return {"target": target, "rainy": rainy, "restored": restored}


@pytest.fixture(scope="module")
def metrics() -> dict[str, object]:
    found, skipped = load_metrics(FREE)
    assert not skipped
    return {each.metric.name: each for each in found}


def test_the_issues_metrics_are_there():
    weightless = {"mae", "tone_psnr", "ms_ssim", "gmsd", "fsim", "vif", "haarpsi", "mdsi", "tv"}
    rain = {"rain_left", "rain_removed", "streak_energy"}
    assert set(METRICS) == weightless | rain | {"lpips", "dists", "brisque", "niqe"}
    assert set(FREE) == weightless | rain


def test_labels_carry_versions():
    assert metric("mae").label == "mae/1"
    assert metric("gmsd").label == f"gmsd/1+piq{piq.__version__}"
    assert (metric("gmsd").arrow, metric("vif").arrow, metric("rain_removed").arrow) == (
        "↓",
        "↑",
        "",
    )


@pytest.mark.parametrize("name", FREE)
def test_a_better_picture_has_the_better_figure(pictures, metrics, name):
    given = {"target": pictures["target"], "rainy": pictures["rainy"]}
    worse, better, best = (
        metrics[name].measure(pictures[key], **given) for key in ("rainy", "restored", "target")
    )
    if metric(name).higher_is_better or name == "rain_removed":
        assert worse < better < best
    else:
        assert worse > better > best


@pytest.mark.parametrize(
    ("name", "perfect"),
    [("mae", 0), ("ms_ssim", 1), ("gmsd", 0), ("fsim", 1), ("vif", 1), ("haarpsi", 1),
     ("mdsi", 0), ("rain_left", 0), ("tone_psnr", np.inf)],
)  # fmt: skip
def test_equal_pictures_are_perfect(pictures, metrics, name, perfect):
    target = pictures["target"]
    found = metrics[name].measure(target, target=target)
    assert found == pytest.approx(perfect, abs=1e-5)


def test_figures_are_the_libraries_on_rgb_in_0_to_1(pictures, metrics):
    x, y = (
        torch.from_numpy(pictures[key]).permute(2, 0, 1)[None].float() / 255
        for key in ("restored", "target")
    )
    for name, theirs in (("gmsd", piq.gmsd), ("haarpsi", piq.haarpsi), ("vif", piq.vif_p)):
        ours = metrics[name].measure(pictures["restored"], target=pictures["target"])
        assert ours == pytest.approx(theirs(x, y, data_range=1.0).item(), abs=1e-6)


def test_mae_and_tv_are_in_grey_levels(metrics):
    flat = np.full((20, 30, 3), 100, np.uint8)
    stripes = flat.copy()
    stripes[:, ::2] += 10
    assert metrics["mae"].measure(stripes, target=flat) == 5
    steps = 10 * 29 / 30  # none to the right of the last column
    assert metrics["tv"].measure(stripes) == pytest.approx(steps, rel=1e-5)
    assert metrics["tv"].measure(np.tile(stripes, (2, 1, 1))) == pytest.approx(steps, rel=1e-5)


@pytest.mark.parametrize("name", FREE)
def test_from_the_smallest_side_on_there_is_a_figure(metrics, name):
    side = metric(name).smallest
    draw = np.random.default_rng(3)
    first, second = draw.integers(0, 256, (2, side, side + 9, 3)).astype(np.uint8)
    assert math.isfinite(metrics[name].measure(first, target=second, rainy=second))
    if side > 1:
        low, high = first[: side - 1], second[: side - 1]
        assert math.isnan(metrics[name].measure(low, target=high, rainy=high))


def test_what_is_missing_is_said_in_one_line(tmp_path):
    found, skipped = load_metrics(["mae", "lpips", "brisque", "niqe", "mae"], weights_dir=tmp_path)
    assert [each.metric.name for each in found] == ["mae"]
    assert [line.split(":")[0] for line in skipped] == [
        "lpips skipped", "brisque skipped", "niqe skipped",
    ]  # fmt: skip
    assert "vgg16-397923af.pth is missing" in skipped[0]
    assert "https://download.pytorch.org/" in skipped[0]
    assert "brisque_svm_weights.pt" in skipped[1]
    assert "pyiqa" in skipped[2]
    assert not any("\n" in line for line in skipped)
    (line,) = load_metrics(["dists"]).skipped
    assert load_metrics("dists").skipped == (line,)
    assert "the folder of its weights is not given" in line


def test_without_ground_truth_the_rest_remains():
    found, skipped = load_metrics(FREE, have=["input"])
    assert {each.metric.name for each in found} == {"tv", "rain_removed", "streak_energy"}
    assert "gmsd skipped: it needs the target" in skipped


def test_wrong_requests_are_refused(pictures, metrics):
    target = pictures["target"]
    with pytest.raises(UsageError, match="choose from mae"):
        metric("psnr")
    with pytest.raises(UsageError, match="--metric mae=weights: mae needs no weights"):
        load_metrics(["mae=weights"])
    with pytest.raises(UsageError, match="gmsd needs the target"):
        metrics["gmsd"].measure(target)
    with pytest.raises(PairingError, match="180x169 against 180x170"):
        metrics["mae"].measure(target[1:], target=target)
    with pytest.raises(ValueError, match="HWC uint8 RGB"):
        metrics["mae"].measure(target[..., 0], target=target)


def test_data_for_files_names_all_that_counts(metrics):
    data = metrics["vif"].to_data()
    assert data["label"] == metric("vif").label
    assert (data["higher_is_better"], data["smallest_side"], data["weights"]) == (True, 41, {})


def test_a_tone_curve_costs_no_tone_fitted_psnr(pictures, metrics):
    target = pictures["target"]
    level = np.linspace(0, 1, 256)
    darker = np.rint(255 * (0.1 + 0.5 * level + 0.2 * level**2)).astype(np.uint8)[target]
    measure = metrics["tone_psnr"].measure
    assert measure(darker, target=target) > 50
    # Noise stays: its variance, less the little that a curve of four coefficients explains.
    noise = np.random.default_rng(1).normal(0, 5, target.shape)
    noisy = np.clip(darker + noise * 0.7, 0, 255).astype(np.uint8)
    assert 25 < measure(noisy, target=target) < 36
    # By hand: the cubic polynomial of least squares of each channel.
    residue = []
    for k in range(3):
        x, y = noisy[..., k].ravel() / 255, target[..., k].ravel().astype(float)
        residue.append(np.polyval(np.polyfit(x, y, 3), x).clip(0, 255) - y)
    by_hand = 10 * np.log10(255**2 / np.mean(np.square(residue)))
    assert measure(noisy, target=target) == pytest.approx(by_hand, abs=1e-6)

"""The protocols' figures, against MATLAB-compatible golden values and other libraries.

The golden values come from GNU Octave 7.3 with its image package (imfilter 'symmetric', filter2
'valid', fspecial, uint8 rounding), on the pictures of :func:`synthetic_pair`.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import structural_similarity

from rainkit.errors import PairingError, UsageError
from rainkit.evaluation.metrics.protocols import PROTOCOLS, protocol

PRENET, RESTORMER = PROTOCOLS["prenet"], PROTOCOLS["restormer"]
MATLAB = {"prenet": PRENET, "restormer": RESTORMER}


def synthetic_pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole-number formulas alone, so that any language makes the same pictures."""
    r, c = np.mgrid[:height, :width]
    rainy, clean = np.empty((2, height, width, 3), np.uint8)
    streaks = ((7 * c + 3 * r) % 41 < 5) * 90
    for k in range(3):
        texture = (r * (3 + k) + c * (5 - k) + r * c // (17 + k)) % 256
        clean[..., k] = texture
        rainy[..., k] = np.minimum(255, texture + streaks + (r * (c + k)) % 7)
    return rainy, clean


@pytest.fixture(scope="module")
def photo_pair() -> tuple[np.ndarray, np.ndarray]:
    clean = data.chelsea()
    noise = np.random.default_rng(0).normal(12, 20, clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8), clean


GOLDEN = [
    # width, height, reduced by, prenet PSNR and SSIM, restormer PSNR and SSIM
    (480, 320, 1, 20.728816693048, 0.765296319396, 20.727244829823, 0.765234443874),
    (512, 384, 2, 20.735489076067, 0.924751753794, 20.734136620505, 0.779979476144),
    (640, 640, 3, 20.727180635245, 0.941974283732, 20.725868417476, 0.818123491897),
]


@pytest.mark.parametrize(("width", "height", "f", "psnr_a", "ssim_a", "psnr_b", "ssim_b"), GOLDEN)
def test_golden_values_of_octave(width, height, f, psnr_a, ssim_a, psnr_b, ssim_b):
    rainy, clean = synthetic_pair(height, width)
    assert PRENET.scores(rainy, clean, exact=True) == pytest.approx((psnr_a, ssim_a), abs=1e-9)
    # Octave's luma is off by one in a handful of pixels whose exact value ends in .5.
    assert RESTORMER.psnr(rainy, clean) == pytest.approx(psnr_b, abs=1e-6)
    assert RESTORMER.ssim(rainy, clean, exact=True) == pytest.approx(ssim_b, abs=1e-7)
    if f == 1:
        assert abs(ssim_a - ssim_b) < 1e-3
    else:
        assert ssim_a - ssim_b > 0.1, "the protocols must differ where one of them shrinks"


def test_ssim_equals_scikit_image(photo_pair):
    rainy, clean = photo_pair
    _, full = structural_similarity(
        PRENET.luma(rainy), PRENET.luma(clean), data_range=255, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    exact = PRENET.ssim(rainy, clean, exact=True)
    assert exact == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-9)


@pytest.mark.parametrize("each", MATLAB.values(), ids=MATLAB)
def test_both_figures_equal_piq_on_luma(photo_pair, each):
    import piq  # brings torchvision: seconds that the other tests need not wait

    rainy, clean = (torch.from_numpy(each.luma(p))[None, None] for p in photo_pair)
    psnr, ssim = each.scores(*photo_pair)
    assert ssim == pytest.approx(
        piq.ssim(rainy, clean, data_range=255, downsample=False).item(), abs=1e-6
    )
    # piq adds 1e-8 to the mean squared error of pictures in [0, 1].
    assert psnr == pytest.approx(piq.psnr(rainy, clean, data_range=255).item(), abs=1e-4)


@pytest.mark.parametrize("each", PROTOCOLS.values(), ids=PROTOCOLS)
def test_equal_pictures_score_infinity_and_one(photo_pair, each):
    psnr, ssim = each.scores(photo_pair[1], photo_pair[1], exact=True)
    assert psnr == math.inf
    assert ssim == pytest.approx(1.0, abs=1e-12)


def test_one_grey_level_is_48_1308_db_plus_the_studio_swing():
    dark = np.random.default_rng(0).integers(0, 255, (64, 64, 1), np.uint8).repeat(3, axis=2)
    one_rgb_level = 20 * math.log10(255)
    assert one_rgb_level == pytest.approx(48.1308, abs=1e-4)
    studio_swing = 20 * math.log10(255 / 219)
    assert studio_swing == pytest.approx(1.322, abs=1e-3)
    assert PRENET.psnr(dark + 1, dark) == pytest.approx(one_rgb_level + studio_swing, abs=1e-9)


def test_luma_is_studio_swing_and_red_is_red():
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255]]], np.uint8)
    assert PRENET.luma(colours) == pytest.approx(np.array([[16, 235, 81.481, 40.966]]), abs=1e-9)
    assert RESTORMER.luma(colours).tolist() == [[16, 235, 81, 41]]


def test_sizes_round_half_up_as_matlab_does():
    # min(H, W) / 256 = 2.5: MATLAB shrinks by 3, Python's round() would by 2. A pattern of
    # period 3 vanishes under a mean over 3 x 3 pixels and does not under one over 2 x 2.
    flat = np.full((640, 640, 3), 120, np.uint8)
    stripes = flat.copy()
    stripes[:, 0::3], stripes[:, 1::3] = 110, 130
    assert PRENET.ssim(stripes, flat) > 0.99
    assert RESTORMER.ssim(stripes, flat) < 0.9
    assert PRENET.ssim(stripes[:639], flat[:639]) < 0.99


@pytest.mark.parametrize("shape", [(1, 1), (6, 300), (300, 6)])
def test_pictures_smaller_than_the_window_have_no_ssim(shape):
    a, b = np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 9, np.uint8)
    for each in PROTOCOLS.values():
        assert math.isnan(each.ssim(a, b))
        assert math.isfinite(each.psnr(a, b))


def test_what_cannot_be_compared_is_refused():
    a = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(PairingError, match="30x20 against 20x30"):
        PRENET.psnr(a, a.transpose(1, 0, 2))
    for wrong in (a.astype(np.float32), a[..., 0], np.zeros((20, 30, 4), np.uint8)):
        with pytest.raises(
            UsageError, match=r"cannot score .*: give \[height, width, 3\] of uint8"
        ):
            PRENET.ssim(wrong, a)
        for each in (PRENET, PROTOCOLS["pil-y"]):
            with pytest.raises(UsageError, match="cannot score an array"):
                each.luma(wrong)


def test_protocols_are_named_and_versioned():
    for name, each in PROTOCOLS.items():
        assert protocol(name) is each
        assert each.label == f"{name}/1"
        assert each.parameters["name"] == name
        assert each.parameters["version"] == 1
    assert PRENET.parameters != RESTORMER.parameters
    with pytest.raises(UsageError, match="prenet, restormer"):
        protocol("psnr")


def test_the_guide_tells_the_protocols_apart_as_they_are():
    guide = (Path(__file__).parents[2] / "docs/commands/eval.md").read_text(encoding="utf-8")
    for name, each in PROTOCOLS.items():
        if each.channel != "Y":
            assert f"| `{name}` |" in guide
            continue
        (line,) = (line for line in guide.splitlines() if line.startswith(f"| `{name}` |"))
        luma, ssim = line.split("|")[2:4]
        assert ("not rounded" in luma) == (not each.rounded)
        assert ("shrinks" in ssim) == each.reduced

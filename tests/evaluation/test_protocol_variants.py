"""All protocols: golden values from a seed, other libraries, fast against exact, odd sizes."""

import math

import cv2
import numpy as np
import piq
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from rainkit.errors import PairingError, UsageError
from rainkit.evaluation.metrics import psnr_ssim
from rainkit.evaluation.metrics.protocols import PROTOCOLS, Protocol, protocol

each_protocol = pytest.mark.parametrize("each", PROTOCOLS.values(), ids=PROTOCOLS)


def seeded_pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of colour under noise and slanted streaks, in whole numbers alone."""
    draw = np.random.default_rng(7)
    blocks = draw.integers(20, 200, (height // 16 + 1, width // 16 + 1, 3))
    clean = blocks.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    clean = clean + draw.integers(0, 24, clean.shape)
    r, c = np.mgrid[:height, :width]
    streaks = np.where((5 * c + 2 * r) % 67 < 6, 60, 0)[..., None]
    restored = clean + streaks + draw.integers(-6, 7, clean.shape)
    return np.clip(restored, 0, 255).astype(np.uint8), clean.astype(np.uint8)


@pytest.fixture(scope="module")
def photo_pair() -> tuple[np.ndarray, np.ndarray]:
    clean = np.ascontiguousarray(data.astronaut()[:200, 60:300])
    noise = np.random.default_rng(0).normal(8, 12, clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8), clean


GOLDEN = {
    # 96 x 80 and, where SSIM shrinks, 400 x 384; prenet and restormer also follow Octave to these
    # digits in test_protocols.
    "prenet": ((24.391521613638, 0.652547457575), (24.393557823906, 0.769692082069)),
    "restormer": ((24.392219584731, 0.652545859885), (24.391378063116, 0.645402005923)),
    "basicsr": ((24.391521613638, 0.652547457575), (24.393557823906, 0.645752123744)),
    "restormer-py": ((24.391521613638, 0.639691319269), (24.393557823906, 0.644163377282)),
    "rgb": ((22.977471700578, 0.691744074877), (22.966715099413, 0.694501094634)),
    "spanet": ((22.977471700578, 0.655748106965), (22.966715099413, 0.666935015411)),
    "pil-y": ((23.068981815511, 0.600630499010), (23.069978703950, 0.600169246251)),
}


@each_protocol
def test_golden_values(each: Protocol):
    small, large = GOLDEN[each.name]
    assert each.scores(*seeded_pair(80, 96), exact=True) == pytest.approx(small, abs=1e-9)
    assert each.scores(*seeded_pair(384, 400), exact=True) == pytest.approx(large, abs=1e-9)


def test_every_protocol_gives_a_figure_of_its_own():
    assert set(GOLDEN) == set(PROTOCOLS)
    assert len({values[1] for values in GOLDEN.values()}) == len(GOLDEN)


def basicsr_luma(rgb: np.ndarray) -> np.ndarray:
    """``to_y_channel`` of BasicSR, which takes BGR, in its own precision."""
    bgr = rgb[..., ::-1].astype(np.float32) / 255.0
    luma = (np.dot(bgr, [24.966, 128.553, 65.481]) + 16.0) / 255.0
    return luma.astype(np.float32) * 255.0


def by_filter2d(x: np.ndarray, y: np.ndarray, border: int | None) -> float:
    """BasicSR's ``_ssim`` (valid) and, with a border, Restormer's ``_ssim_cly``."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    kernel = cv2.getGaussianKernel(11, 1.5)
    window = np.outer(kernel, kernel.transpose())

    def mean(plane: np.ndarray) -> np.ndarray:
        if border is None:
            return cv2.filter2D(plane, -1, window)[5:-5, 5:-5]
        return cv2.filter2D(plane, -1, window, borderType=border)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    a, b = mean(x), mean(y)
    va, vb, cov = mean(x**2) - a**2, mean(y**2) - b**2, mean(x * y) - a * b
    return float(
        (((2 * a * b + c1) * (2 * cov + c2)) / ((a**2 + b**2 + c1) * (va + vb + c2))).mean()
    )


def test_basicsr_and_its_fork_are_their_scripts(photo_pair):
    x, y = (basicsr_luma(picture) for picture in photo_pair)
    mse = np.mean((x.astype(np.float64) - y.astype(np.float64)) ** 2)
    psnr = 10 * math.log10(255 * 255 / mse)
    for name, border in (("basicsr", None), ("restormer-py", cv2.BORDER_REPLICATE)):
        found = PROTOCOLS[name].scores(*photo_pair, exact=True)
        assert found == pytest.approx((psnr, by_filter2d(x, y, border)), abs=1e-6)


def test_rgb_and_spanet_are_scikit_images(photo_pair):
    restored, clean = photo_pair
    psnr = peak_signal_noise_ratio(clean, restored, data_range=255)
    uniform = structural_similarity(clean, restored, channel_axis=2, data_range=255)
    _, full = structural_similarity(
        clean, restored, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    spanet, rgb = PROTOCOLS["spanet"], PROTOCOLS["rgb"]
    assert spanet.scores(restored, clean, exact=True) == pytest.approx((psnr, uniform), abs=1e-9)
    gaussian = full[5:-5, 5:-5].mean()
    assert rgb.scores(restored, clean, exact=True) == pytest.approx((psnr, gaussian), abs=1e-9)


def test_pil_y_is_pils_luma_and_scikit_images_ssim(photo_pair):
    each = PROTOCOLS["pil-y"]
    levels = np.arange(256, dtype=np.uint8)
    draw = np.random.default_rng(3)
    colours = [levels[:, None].repeat(256, axis=1), levels[None].repeat(256, axis=0)]
    colours.append(draw.integers(0, 256, (256, 256), np.uint8))
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        rgb = np.stack([colours[i] for i in order], axis=2)
        theirs = np.asarray(Image.fromarray(rgb).convert("YCbCr"))[..., 0]
        assert np.array_equal(each.luma(rgb), theirs)
    restored, clean = (
        np.asarray(Image.fromarray(picture).convert("YCbCr"))[..., 0] for picture in photo_pair
    )
    psnr = peak_signal_noise_ratio(clean, restored, data_range=255)
    ssim = structural_similarity(clean, restored, data_range=255)
    assert each.scores(*photo_pair, exact=True) == pytest.approx((psnr, ssim), abs=1e-9)
    # Studio swing makes 219 levels of 255, which is 1.32 dB.
    assert PROTOCOLS["prenet"].psnr(*photo_pair) - psnr == pytest.approx(1.32, abs=0.02)


@pytest.mark.parametrize("name", ["prenet", "restormer", "basicsr", "rgb"])
def test_piq_without_its_downsampling_agrees(photo_pair, name):
    each = PROTOCOLS[name]
    pair = [picture[60:120, 80:150] for picture in photo_pair]  # piq is slow in float64
    if each.channel == "Y":
        planes = [torch.from_numpy(each.luma(p))[None, None] for p in pair]
    else:
        planes = [torch.from_numpy(p.copy()).permute(2, 0, 1)[None].double() for p in pair]
    psnr, ssim = each.scores(*pair)
    theirs = piq.ssim(*planes, data_range=255, downsample=False).item()
    assert ssim == pytest.approx(theirs, abs=1e-6)
    # piq adds 1e-8 to the mean squared error of pictures in [0, 1].
    assert psnr == pytest.approx(piq.psnr(*planes, data_range=255).item(), abs=1e-4)


@each_protocol
def test_fast_scores_are_exact_ones_on_photographs(photo_pair, each):
    fast, exact = each.scores(*photo_pair), each.scores(*photo_pair, exact=True)
    assert fast == pytest.approx(exact, abs=1e-6)
    if each.channel == "Y":
        assert fast != exact, "both took the same path"


def hard_pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Where float32 is at its worst: flat colours far apart, faint differences, one bit."""
    draw = np.random.default_rng(1)
    found = []
    for _ in range(8):
        first, second = np.empty((2, 60, 70, 3), np.uint8)
        first[:], second[:] = draw.integers(0, 256, (2, 3))
        found.append((first.copy(), second.copy()))
        first[30:], second[:, :20] = draw.integers(0, 256, (2, 3))
        found.append((first, second))
        blocks = draw.integers(0, 256, (5, 6, 3)).astype(np.uint8)
        blocks = cv2.resize(blocks, (70, 60), interpolation=cv2.INTER_NEAREST)
        shifted = np.clip(blocks + draw.integers(-12, 13, 3), 0, 255).astype(np.uint8)
        noise = draw.normal(0, draw.uniform(0.3, 3), blocks.shape)
        one_bit = blocks.copy()
        one_bit[0, 0, 0] ^= 1
        noisy = np.clip(blocks + noise, 0, 255).astype(np.uint8)
        found += [(blocks, shifted), (blocks, noisy), (blocks, one_bit)]
    return found


@each_protocol
def test_fast_scores_keep_their_promise_on_hard_pictures(each):
    for restored, target in hard_pairs():
        fast = each.scores(restored, target)
        exact = each.scores(restored, target, exact=True)
        assert fast[0] == pytest.approx(exact[0], abs=1e-4)
        assert fast[1] == pytest.approx(exact[1], abs=1e-5)
        assert each.psnr(restored, target) == fast[0]
        assert each.ssim(restored, target) == fast[1]


def test_float32_alone_would_not_keep_it(monkeypatch):
    monkeypatch.setattr("rainkit.evaluation.metrics.protocols.FLOAT32_PSNR", (-math.inf, math.inf))
    each = PROTOCOLS["basicsr"]
    pairs = [(each.scores(a, b), each.scores(a, b, exact=True)) for a, b in hard_pairs()]
    assert max(abs(fast[1] - exact[1]) for fast, exact in pairs) > 1e-5


@each_protocol
def test_strips_do_not_show(photo_pair, each, monkeypatch):
    whole = each.scores(*photo_pair, exact=True)
    monkeypatch.setattr(psnr_ssim, "_STRIP", 7)
    assert each.scores(*photo_pair, exact=True) == pytest.approx(whole, abs=1e-12)


@each_protocol
@pytest.mark.parametrize("exact", [False, True])
def test_equal_pictures_are_perfect(photo_pair, each, exact):
    psnr, ssim = each.scores(photo_pair[1], photo_pair[1], exact=exact)
    assert psnr == math.inf
    assert ssim == pytest.approx(1, abs=1e-7 if not exact else 1e-12)


@each_protocol
def test_a_picture_under_the_window_has_psnr_alone(each):
    side = each.window.side
    assert side == (7 if each.name in ("spanet", "pil-y") else 11)
    pair = seeded_pair(40, 40)
    fits = [picture[:side, :30] for picture in pair]
    assert math.isfinite(each.ssim(*fits))
    for short in ([p[: side - 1, :30] for p in pair], [p[:30, : side - 1] for p in pair]):
        psnr, ssim = each.scores(*short)
        assert math.isnan(ssim)
        assert math.isfinite(psnr)


def test_a_border_is_cut_off_and_told():
    cropped, whole = protocol("basicsr", crop=4), PROTOCOLS["basicsr"]
    restored, target = seeded_pair(60, 50)
    inside = np.s_[4:-4, 4:-4]
    assert cropped.scores(restored, target) == whole.scores(restored[inside], target[inside])
    assert cropped.label == "basicsr/1+crop4"
    assert cropped.parameters["crop_border"] == 4
    assert protocol("basicsr") is whole
    with pytest.raises(PairingError, match="nothing is left"):
        cropped.psnr(restored[:8], target[:8])
    with pytest.raises(UsageError, match="-1 px"):
        protocol("basicsr", crop=-1)


def test_a_grey_result_is_scored_on_luma_and_punished_on_rgb(photo_pair):
    _, clean = photo_pair
    grey = clean.mean(axis=2, keepdims=True).round().astype(np.uint8).repeat(3, axis=2)
    assert PROTOCOLS["rgb"].psnr(grey, clean) < PROTOCOLS["prenet"].psnr(grey, clean)


def test_parameters_tell_the_protocols_apart():
    seen = [
        {k: v for k, v in each.parameters.items() if k not in ("name", "source")}
        for each in PROTOCOLS.values()
    ]
    assert all(a != b for i, a in enumerate(seen) for b in seen[:i])
    assert all(each.label == f"{name}/1" for name, each in PROTOCOLS.items())

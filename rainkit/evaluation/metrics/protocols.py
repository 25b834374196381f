"""PSNR and SSIM as the deraining papers computed them: named, versioned protocols.

They differ in the channels scored (luma Y of ITU-R BT.601, in studio swing or in full range, or
RGB), in whether Y is rounded, whether SSIM shrinks large pictures first, and in SSIM's window and
border. A choice of Y moves PSNR by 1.3 dB and the shrinking SSIM by up to 0.06 on one picture; so a
score means nothing without its protocol's name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rainkit.choices import unknown
from rainkit.errors import PairingError, UsageError
from rainkit.evaluation.metrics import psnr_ssim
from rainkit.evaluation.metrics.psnr_ssim import (
    FLOAT32_PSNR,
    GAUSSIAN,
    PEAK,
    REDUCED_SIDE,
    UNIFORM,
    Plane,
    Window,
)
from rainkit.images import RGB8

__all__ = ["PROTOCOLS", "Protocol", "chosen_protocols", "protocol"]

_Pair = tuple[RGB8, RGB8]
_Planes = tuple[tuple[Plane, ...], tuple[Plane, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """One way to score a restored picture against its target, HWC uint8 RGB of equal size.

    By default scores are computed in float32 wherever that is within 1e-4 dB and 1e-5 of SSIM of
    float64, which ``exact`` asks for throughout.

    Attributes:
        name: what ``--protocol`` takes and every table prints.
        version: it changes when a figure would.
        source: whose scripts it follows.
        channel: what is scored: ``Y``, or ``RGB`` with the errors of all three pooled and SSIM
            averaged over them.
        rounded: Y is rounded to whole grey levels, as MATLAB's ``rgb2ycbcr`` does for uint8.
        full_range: Y is PIL's, 0 to 255 and rounded down, instead of 16 to 235; implies
            ``rounded``.
        reduced: SSIM shrinks pictures to a shorter side of about 256 px first (``ssim.m``, 2009);
            without, it is ``ssim_index.m`` (2003).
        padded: SSIM repeats the border, for as many windows as pixels; else windows lie inside.
        uniform: SSIM's window is 7 x 7 and flat with sample variances, scikit-image's default;
            else 11 x 11 and Gaussian.
        crop: border in pixels cut off before anything is computed.
    """

    name: str
    version: int
    source: str
    channel: Literal["Y", "RGB"] = "Y"
    rounded: bool = False
    full_range: bool = False
    reduced: bool = False
    padded: bool = False
    uniform: bool = False
    crop: int = 0

    @property
    def label(self) -> str:
        """Name and version, as printed beside every figure, with the border cut off if any."""
        return f"{self.name}/{self.version}" + (f"+crop{self.crop}" if self.crop else "")

    @property
    def window(self) -> Window:
        """The window of SSIM; a smaller picture has no SSIM."""
        return UNIFORM if self.uniform else GAUSSIAN

    @property
    def parameters(self) -> dict[str, Any]:
        """All that defines the figures, for metrics.json."""
        luma = self.channel == "Y"
        channel = "Y of BT.601, studio swing 16 to 235" if luma else "R, G and B"
        if self.full_range:
            channel = "Y of BT.601, full range 0 to 255, rounded down (PIL)"
        return {
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "channel": channel,
            "y_rounded_to_uint8": self.rounded if luma else None,
            "crop_border": self.crop,
            "psnr_peak": PEAK,
            "ssim_window": self.window.side,
            "ssim_sigma": self.window.sigma,
            "ssim_sample_covariance": self.window.sample,
            "ssim_k": [psnr_ssim.K1, psnr_ssim.K2],
            "ssim_range": PEAK,
            "ssim_border": "repeated" if self.padded else "valid",
            "ssim_downsampling": (
                f"box of f = max(1, round(shorter side / {REDUCED_SIDE})), symmetric border,"
                " every f-th pixel"
                if self.reduced
                else None
            ),
            "aggregate": "arithmetic mean over pictures; infinite PSNR left out and counted",
        }

    def luma(self, rgb: RGB8) -> npt.NDArray[np.float64]:
        """Return Y [H,W], float64 in grey levels, of an HWC uint8 RGB picture, as it is scored.

        Raises:
            UsageError: the picture is not uint8 [H,W,3].
        """
        _refuse_other_than_rgb8(rgb)
        return self._luma(rgb, True)

    def psnr(self, restored: RGB8, target: RGB8, *, exact: bool = False) -> float:
        """Return the PSNR in dB; ``inf`` if the scored channels are equal.

        Raises:
            PairingError: the pictures differ in size.
            UsageError: one is not uint8 [H,W,3].
        """
        pair = self._checked(restored, target)
        return self._psnr(pair, self._planes(pair, exact))

    def ssim(self, restored: RGB8, target: RGB8, *, exact: bool = False) -> float:
        """Return the mean SSIM, at most 1; NaN if the window does not fit.

        Raises:
            PairingError: the pictures differ in size.
            UsageError: one is not uint8 [H,W,3].
        """
        return self.scores(restored, target, exact)[1]

    def scores(self, restored: RGB8, target: RGB8, exact: bool = False) -> tuple[float, float]:
        """Return PSNR and SSIM, with the channels of each picture computed once.

        Raises:
            PairingError: the pictures differ in size.
            UsageError: one is not uint8 [H,W,3].
        """
        pair = self._checked(restored, target)
        planes = self._planes(pair, exact)
        psnr = self._psnr(pair, planes)
        if not exact and psnr < FLOAT32_PSNR[0]:
            planes = self._planes(pair, True)
        return psnr, self._ssim(planes)

    def _checked(self, *pair: RGB8) -> tuple[RGB8, RGB8]:
        for picture in pair:
            _refuse_other_than_rgb8(picture)
        restored, target = pair
        (h, w), (th, tw) = restored.shape[:2], target.shape[:2]
        if (h, w) != (th, tw):
            raise PairingError(f"sizes differ: {w}x{h} against {tw}x{th}; scores need equal sizes")
        if min(h, w) <= 2 * self.crop:
            raise PairingError(f"{w}x{h}: nothing is left without a border of {self.crop} px")
        inside = np.s_[self.crop : h - self.crop, self.crop : w - self.crop]
        return restored[inside], target[inside]

    def _planes(self, pair: _Pair, exact: bool) -> _Planes:
        if self.channel == "RGB":
            x, y = (psnr_ssim.channels(each, exact=exact) for each in pair)
        else:
            x, y = ((self._luma(each, exact),) for each in pair)
        return x, y

    def _luma(self, rgb: RGB8, exact: bool) -> Plane:
        if self.full_range:
            return psnr_ssim.pil_luma(rgb, exact=exact)
        return psnr_ssim.luma(rgb, rounded=self.rounded, exact=exact)

    def _psnr(self, pair: _Pair, planes: _Planes) -> float:
        psnr = psnr_ssim.psnr(psnr_ssim.squared_error(*planes))
        # Whole levels are exact in float32.
        fractions = self.channel == "Y" and not self.rounded
        if fractions and planes[0][0].dtype == np.float32 and psnr > FLOAT32_PSNR[1]:
            psnr = psnr_ssim.psnr(psnr_ssim.squared_error(*self._planes(pair, True)))
        return psnr

    def _ssim(self, planes: _Planes) -> float:
        found = [self._plane_ssim(x, y) for x, y in zip(*planes, strict=True)]
        return sum(found) / len(found)

    def _plane_ssim(self, x: Plane, y: Plane) -> float:
        if min(x.shape) < self.window.side:
            return math.nan
        if self.reduced:
            x, y = psnr_ssim.reduced(x), psnr_ssim.reduced(y)
        if self.padded:
            x, y = psnr_ssim.padded(x, self.window), psnr_ssim.padded(y, self.window)
        return psnr_ssim.ssim(x, y, self.window)


def _refuse_other_than_rgb8(picture: RGB8) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise UsageError(
            f"cannot score an array of {picture.dtype} {list(picture.shape)}: "
            "give [height, width, 3] of uint8"
        )


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        each.name: each
        for each in (
            Protocol(
                name="prenet",
                version=1,
                source="PReNet, RCDNet and most tables of 2018 to 2021 (MATLAB)",
                reduced=True,
            ),
            Protocol(
                name="restormer",
                version=1,
                source="MPRNet, Restormer and followers (MATLAB)",
                rounded=True,
            ),
            Protocol(
                name="basicsr",
                version=1,
                source="BasicSR's calculate_psnr and calculate_ssim with test_y_channel (Python)",
            ),
            Protocol(
                name="restormer-py",
                version=1,
                source="the forks of BasicSR in Restormer and NAFNet, test_y_channel (Python)",
                padded=True,
            ),
            Protocol(
                name="rgb",
                version=1,
                source="derain-toolbox and most all-in-one papers (Python)",
                channel="RGB",
            ),
            Protocol(
                name="spanet",
                version=1,
                source="SPANet's own script: scikit-image on RGB (Python)",
                channel="RGB",
                uniform=True,
            ),
            Protocol(
                name="pil-y",
                version=1,
                source="NLEDN's script: PIL's luma and scikit-image's SSIM (Python)",
                rounded=True,
                full_range=True,
                uniform=True,
            ),
        )
    }
)
"""The protocols by name; the first is the default."""


def protocol(name: str, *, crop: int = 0) -> Protocol:
    """Return the protocol of a name, with a border of ``crop`` pixels left out.

    The border is what BasicSR calls ``crop_border``.

    Raises:
        UsageError: there is none, or the border is negative.
    """
    if crop < 0:
        raise UsageError(f"a border of {crop} px cannot be cut off")
    if name not in PROTOCOLS:
        raise unknown("--protocol", name, PROTOCOLS)
    found = PROTOCOLS[name]
    return replace(found, crop=crop) if crop else found


def chosen_protocols(named: Iterable[str]) -> tuple[tuple[Protocol, ...], bool]:
    """Return the protocols that ``--protocol`` names, each once, and whether to be exact.

    Args:
        named: each is ``NAME`` or ``NAME+exact``; one ``+exact`` makes all scores exact.

    Raises:
        UsageError: there is no protocol of a name.
    """
    texts = tuple(named)
    found = dict.fromkeys(protocol(text.removesuffix("+exact")) for text in texts)
    return tuple(found), any(text.endswith("+exact") for text in texts)

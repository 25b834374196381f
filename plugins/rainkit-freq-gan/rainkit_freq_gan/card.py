"""What FreqGAN's card says: its paper, its training, its claims about pictures, its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rainkit.api import ImageSpec, MeasuredResult, Paper, Part, Training, Weights, published_table

if TYPE_CHECKING:
    from rainkit_freq_gan import Network

__all__ = ["PAPER", "RADIUS", "TRAINING", "WEIGHTS", "image", "parts"]

RADIUS = 15
"""Radius of the guided filter's windows in pixels. The paper gives the filter no parameters."""

# The text states no venue and no year. Both authors are at the School of Computer Science and
# Engineering of Xi'an Technological University.
PAPER = Paper(
    authors=("Dong Wang", "Zhongsheng Wang"),
    title="Research and Implementation of Image Rain Removal Based on Deep Learning",
    results=published_table(
        "Table 1",
        """
               | not named
        GMM    | 25.9725/.9181
        JORDER | 26.4012/.9246
        RESCAN | 28.7863/.9355
        *      | 29.1035/.9661
        """,
        note="the figure beside the table names Rain100H and light rain; the row of GMM cannot be"
        " of Rain100H, where others print 15.05",
    ),
)

TRAINING = Training(
    schedule="milestones",
    factor=0.2,
    milestones=(30, 50, 80),
    steps=100_000,
    batch=18,
    patch=100,
    ema=0.0,
    augment="none",
)
"""Training of the variant ``paper``: PReNet's, whose network it extends; the paper prints none."""


def image(network: Network) -> ImageSpec:
    """With attention every pixel can change every other one; without, stages add up.

    The convolutions of a stage are its first, its gates, two in each block, and its last.
    """
    radius = None
    if network.attention == "none":
        # The guided filter averages box means once more: two radii.
        radius = network.stages * (3 + 2 * network.blocks)
        radius += 0 if network.frequency == "none" else 2 * RADIUS
    return ImageSpec(
        receptive_radius=radius,
        tiling="approximate" if radius is None else "exact",
        half=("bf16",),
        fp32_modules=("f_out",),
    )


def parts(network: Network) -> dict[str, Part]:
    """Return base and detail, if the network sees them, and the picture after each stage."""
    layers = {
        "base": Part(doc="low frequencies, by a guided filter: nearly free of rain"),
        "detail": Part(doc="the rainy picture minus its base: edges and streaks", signed=True),
    }
    stages = {
        f"stage{t}": Part(doc=f"picture x_{t} after stage {t}", estimates="picture")
        for t in range(1, network.stages + 1)
    }
    return stages if network.frequency == "none" else layers | stages


WEIGHTS = (
    Weights(
        tag="rain-v2",
        variant="blocks-state",
        sha256="379a45ecbcadd3ac7c377b49004bf2ed4bafd0837f504043a4df1038c7253b0c",
        file="weights/rain-v2.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
        recipe="examples/recipes/freq-gan.toml",
        results=(
            MeasuredResult(
                dataset="rain100l",
                protocol="prenet/1",
                images=25,
                psnr=32.60,
                ssim=0.9411,
                input_psnr=26.23,
                input_ssim=0.8204,
            ),
            MeasuredResult(
                dataset="rain100h",
                protocol="prenet/1",
                images=25,
                psnr=24.39,
                ssim=0.7745,
                input_psnr=13.83,
                input_ssim=0.3598,
            ),
            MeasuredResult(
                dataset="rain200h",
                protocol="prenet/1",
                images=15,
                psnr=23.75,
                ssim=0.7643,
                input_psnr=14.06,
                input_ssim=0.3873,
            ),
            MeasuredResult(
                dataset="rain800",
                protocol="prenet/1",
                images=15,
                psnr=21.77,
                ssim=0.7754,
                input_psnr=21.67,
                input_ssim=0.665,
            ),
            MeasuredResult(
                dataset="misc",
                protocol="prenet/1",
                images=7,
                psnr=20.63,
                ssim=0.7258,
                input_psnr=18.85,
                input_ssim=0.6574,
            ),
        ),
    ),
    Weights(
        tag="rain-v1",
        variant="blocks-state",
        sha256="17c6cf1ed2e01cb805f035559f58422318623dd28ff85e4414511beb02a43ef2",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
        recipe="examples/recipes/freq-gan.toml",
        results=(
            MeasuredResult(
                dataset="rain100l",
                protocol="prenet/1",
                images=25,
                psnr=32.26,
                ssim=0.9387,
                input_psnr=26.23,
                input_ssim=0.8204,
            ),
            MeasuredResult(
                dataset="rain100h",
                protocol="prenet/1",
                images=25,
                psnr=23.70,
                ssim=0.7557,
                input_psnr=13.83,
                input_ssim=0.3598,
            ),
            MeasuredResult(
                dataset="rain200h",
                protocol="prenet/1",
                images=15,
                psnr=23.10,
                ssim=0.7471,
                input_psnr=14.06,
                input_ssim=0.3873,
            ),
            MeasuredResult(
                dataset="rain800",
                protocol="prenet/1",
                images=15,
                psnr=21.87,
                ssim=0.7676,
                input_psnr=21.67,
                input_ssim=0.665,
            ),
            MeasuredResult(
                dataset="misc",
                protocol="prenet/1",
                images=7,
                psnr=20.32,
                ssim=0.7168,
                input_psnr=18.85,
                input_ssim=0.6574,
            ),
        ),
    ),
)

"""The paper of FreqGAN, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredResult, Paper, PublishedResult, Weights

__all__ = ["PAPER", "WEIGHTS"]

# The text states no venue and no year. Both authors are at the School of Computer Science and
# Engineering of Xi'an Technological University.
PAPER = Paper(
    authors=("Dong Wang", "Zhongsheng Wang"),
    title="Research and Implementation of Image Rain Removal Based on Deep Learning",
    results=(
        PublishedResult(
            table="Table 1",
            dataset="not named",
            psnr="29.1035",
            ssim="0.9661",
            note="the paper's only table",
        ),
    ),
)

WEIGHTS = (
    Weights(
        tag="rain-v2",
        variant="default",
        sha256="15baa5d941ae655d3261d802acae92721658e5d0af78bc45accc29d360ff5584",
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
        variant="default",
        sha256="955b44b810f7a96e851d99c1a95a2406c4e23a22ca54d22e2d74e3ff7dec3c57",
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

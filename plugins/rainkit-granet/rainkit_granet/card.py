"""The paper of GraNet, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredResult, Paper, PublishedResult, Weights

__all__ = ["PAPER", "WEIGHTS"]

PAPER = Paper(
    authors=("Weijiang Yu", "Zhe Huang", "Wayne Zhang", "Litong Feng", "Nong Xiao"),
    title="Gradual Network for Single Image De-raining",
    venue="ACM Multimedia",
    year=2019,
    doi="10.48550/arXiv.1909.09677",
    results=(
        PublishedResult(dataset="DDN test set", psnr="32.51", ssim="0.9292"),
        PublishedResult(dataset="DID test set", psnr="33.68", ssim="0.9284"),
        PublishedResult(dataset="Rain100L", psnr="37.55", ssim="0.9806"),
        PublishedResult(dataset="Rain100H", psnr="33.16", ssim="0.9290"),
        PublishedResult(dataset="Rain100L", psnr="23.10", ssim="0.7947", variant="coarse picture"),
        PublishedResult(dataset="Rain100H", psnr="18.02", ssim="0.4791", variant="coarse picture"),
        PublishedResult(dataset="Rain100L", psnr="23.50", ssim="0.1442", variant="mask"),
        PublishedResult(dataset="Rain100H", psnr="17.86", ssim="0.5531", variant="mask"),
        PublishedResult(dataset="Rain100L", psnr="35.57", ssim="0.9693", variant="coarse, no RA"),
        PublishedResult(dataset="Rain100H", psnr="30.45", ssim="0.8922", variant="coarse, no RA"),
        PublishedResult(dataset="Rain100L", psnr="36.12", ssim="0.9714", variant="coarse, RA"),
        PublishedResult(dataset="Rain100H", psnr="30.77", ssim="0.8964", variant="coarse, RA"),
        PublishedResult(dataset="Rain100L", psnr="35.93", ssim="0.9711", variant="no context"),
        PublishedResult(dataset="Rain100H", psnr="30.73", ssim="0.8979", variant="no context"),
    ),
)

WEIGHTS = (
    Weights(
        tag="rain-v1",
        variant="default",
        sha256="a30dc1b0fe280f64de2dff5f90667339623767409244d5a45a952d3897afdc87",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
        recipe="examples/recipes/granet.toml",
        results=(
            MeasuredResult(
                dataset="rain100l",
                protocol="prenet/1",
                images=25,
                psnr=32.06,
                ssim=0.9381,
                input_psnr=26.23,
                input_ssim=0.8204,
            ),
            MeasuredResult(
                dataset="rain100h",
                protocol="prenet/1",
                images=25,
                psnr=22.64,
                ssim=0.7322,
                input_psnr=13.83,
                input_ssim=0.3598,
            ),
            MeasuredResult(
                dataset="rain200h",
                protocol="prenet/1",
                images=15,
                psnr=21.74,
                ssim=0.7221,
                input_psnr=14.06,
                input_ssim=0.3873,
            ),
            MeasuredResult(
                dataset="rain800",
                protocol="prenet/1",
                images=15,
                psnr=21.79,
                ssim=0.789,
                input_psnr=21.67,
                input_ssim=0.665,
            ),
            MeasuredResult(
                dataset="misc",
                protocol="prenet/1",
                images=7,
                psnr=20.48,
                ssim=0.7049,
                input_psnr=18.85,
                input_ssim=0.6574,
            ),
        ),
    ),
)

"""The paper of GRASPP-GAN, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredResult, Paper, PublishedResult, Weights

__all__ = ["PAPER", "WEIGHTS"]

PAPER = Paper(
    authors=("Yinglong Wang", "Haokui Zhang", "Yu Liu", "Qinfeng Shi", "Bing Zeng"),
    title="Gradient Information Guided Deraining with A Novel Network and Adversarial Training",
    venue="arXiv:1910.03839",
    year=2019,
    doi="10.48550/arXiv.1910.03839",
    results=(
        PublishedResult(dataset="Rain-I", psnr="28.24", ssim="0.886", variant="RASPP"),
        PublishedResult(dataset="Rain-I", psnr="29.31", ssim="0.908", variant="GRASPP"),
        PublishedResult(dataset="Rain-I", psnr="30.28", ssim="0.911", variant="GRASPP-GAN"),
        PublishedResult(dataset="Rain-II", psnr="22.58", ssim="0.781", variant="RASPP"),
        PublishedResult(dataset="Rain-II", psnr="23.86", ssim="0.826", variant="GRASPP"),
        PublishedResult(dataset="Rain-II", psnr="24.38", ssim="0.831", variant="GRASPP-GAN"),
        PublishedResult(dataset="Rain-III", psnr="29.16", ssim="0.920", variant="RASPP"),
        PublishedResult(dataset="Rain-III", psnr="30.90", ssim="0.939", variant="GRASPP"),
        PublishedResult(dataset="Rain-III", psnr="31.70", ssim="0.943", variant="GRASPP-GAN"),
        PublishedResult(dataset="512x512 picture", seconds="0.04", device="GPU, not named"),
    ),
)

WEIGHTS = (
    Weights(
        tag="rain-v1",
        variant="default",
        sha256="0574aa4756c512ce0cfdb9169a6826193647fa157c619c968cb1500b65fd4bed",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
        recipe="examples/recipes/graspp-gan.toml",
        results=(
            MeasuredResult(
                dataset="rain100l",
                protocol="prenet/1",
                images=25,
                psnr=31.41,
                ssim=0.9307,
                input_psnr=26.23,
                input_ssim=0.8204,
            ),
            MeasuredResult(
                dataset="rain100h",
                protocol="prenet/1",
                images=25,
                psnr=23.07,
                ssim=0.7342,
                input_psnr=13.83,
                input_ssim=0.3598,
            ),
            MeasuredResult(
                dataset="rain200h",
                protocol="prenet/1",
                images=15,
                psnr=23.01,
                ssim=0.7398,
                input_psnr=14.06,
                input_ssim=0.3873,
            ),
            MeasuredResult(
                dataset="rain800",
                protocol="prenet/1",
                images=15,
                psnr=22.06,
                ssim=0.7961,
                input_psnr=21.67,
                input_ssim=0.665,
            ),
            MeasuredResult(
                dataset="misc",
                protocol="prenet/1",
                images=7,
                psnr=20.42,
                ssim=0.7278,
                input_psnr=18.85,
                input_ssim=0.6574,
            ),
        ),
    ),
)

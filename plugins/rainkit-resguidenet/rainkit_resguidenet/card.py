"""The paper of ResGuideNet, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredResult, Paper, PublishedResult, Weights

__all__ = ["PAPER", "WEIGHTS"]

PAPER = Paper(
    authors=("Zhiwen Fan", "Huafeng Wu", "Xueyang Fu", "Yue Huang", "Xinghao Ding"),
    title="Residual-Guide Network for Single Image Deraining",
    venue="ACM Multimedia",
    year=2018,
    doi="10.48550/arXiv.1804.07493",
    results=(
        PublishedResult(
            dataset="Rain100H",
            psnr="24.74",
            ssim="0.815",
            variant="ResGuideNet_3",
        ),
        PublishedResult(
            dataset="Rain100H",
            psnr="25.25",
            ssim="0.841",
            variant="ResGuideNet",
        ),
        PublishedResult(
            dataset="Rain100L",
            psnr="32.82",
            ssim="0.960",
            variant="ResGuideNet_3",
        ),
        PublishedResult(
            dataset="Rain100L",
            psnr="33.16",
            ssim="0.963",
            variant="ResGuideNet",
        ),
        PublishedResult(
            dataset="Rain12",
            psnr="29.19",
            ssim="0.936",
            variant="ResGuideNet_3",
        ),
        PublishedResult(
            dataset="Rain12",
            psnr="29.45",
            ssim="0.938",
            variant="ResGuideNet",
        ),
        PublishedResult(
            dataset="DDN test set",
            psnr="30.79",
            ssim="0.939",
            variant="ResGuideNet_3",
        ),
        PublishedResult(
            dataset="DDN test set",
            psnr="31.38",
            ssim="0.950",
            variant="ResGuideNet",
        ),
        PublishedResult(
            dataset="500x500 picture",
            seconds="0.06",
            parameters=19_404,
            variant="ResGuideNet_3",
            device="GPU",
        ),
        PublishedResult(
            dataset="500x500 picture",
            seconds="0.11",
            parameters=37_065,
            variant="ResGuideNet",
            device="GPU",
        ),
        PublishedResult(
            dataset="500x500 picture",
            seconds="1.26",
            variant="ResGuideNet_3",
            device="CPU",
        ),
        PublishedResult(
            dataset="500x500 picture",
            seconds="3.15",
            variant="ResGuideNet",
            device="CPU",
        ),
        PublishedResult(
            dataset="BSD500, noise of sigma 10",
            ssim="0.963",
            note="denoising",
        ),
        PublishedResult(
            dataset="BSD500, noise of sigma 30",
            ssim="0.914",
            note="denoising",
        ),
        PublishedResult(
            dataset="BSD500, noise of sigma 70",
            ssim="0.831",
            note="denoising",
        ),
    ),
)

WEIGHTS = (
    Weights(
        tag="rain-v1",
        variant="default",
        sha256="4c159c8475aa4dd45fed4a3980dd234650bfdcb5b4f045142fac0b228272fa6d",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
        recipe="examples/recipes/resguidenet.toml",
        results=(
            MeasuredResult(
                dataset="rain100l",
                protocol="prenet/1",
                images=25,
                psnr=31.43,
                ssim=0.9419,
                input_psnr=26.23,
                input_ssim=0.8204,
            ),
            MeasuredResult(
                dataset="rain100h",
                protocol="prenet/1",
                images=25,
                psnr=23.18,
                ssim=0.7616,
                input_psnr=13.83,
                input_ssim=0.3598,
            ),
            MeasuredResult(
                dataset="rain200h",
                protocol="prenet/1",
                images=15,
                psnr=22.78,
                ssim=0.7531,
                input_psnr=14.06,
                input_ssim=0.3873,
            ),
            MeasuredResult(
                dataset="rain800",
                protocol="prenet/1",
                images=15,
                psnr=21.83,
                ssim=0.7864,
                input_psnr=21.67,
                input_ssim=0.665,
            ),
            MeasuredResult(
                dataset="misc",
                protocol="prenet/1",
                images=7,
                psnr=20.19,
                ssim=0.7121,
                input_psnr=18.85,
                input_ssim=0.6574,
            ),
        ),
    ),
)

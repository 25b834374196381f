"""The paper of time-lapse deraining, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredResult, Paper, PublishedResult, Weights

__all__ = ["PAPER", "WEIGHTS"]

PAPER = Paper(
    authors=("Jaehoon Cho", "Seungryong Kim", "Dongbo Min", "Kwanghoon Sohn"),
    title="Single Image Deraining Using Time-Lapse Data",
    venue="IEEE Transactions on Image Processing",
    year=2020,
    results=(
        PublishedResult(dataset="SPANet test set", psnr=38.54, ssim=0.989),
        PublishedResult(dataset="SPANet test set", psnr=37.98, ssim=0.983, note="fusion sum"),
        PublishedResult(dataset="SPANet test set", psnr=38.02, ssim=0.984, note="fusion prod"),
        PublishedResult(dataset="SPANet test set", psnr=38.11, ssim=0.986, note="fusion concat"),
        *(
            PublishedResult(dataset="SPANet test set", psnr=psnr, ssim=ssim, note=note)
            for note, psnr, ssim in (
                ("Lr, Lb, without Dyn", 37.68, 0.981),
                ("Lr, Lb, Ls, without Dyn", 37.92, 0.985),
                ("Lb, Ls, Lv, without Dyn", 38.01, 0.986),
                ("Lr, Lb, Ls, with Dyn", 38.29, 0.987),
                ("Lb, Ls, Lv, with Dyn", 38.46, 0.988),
            )
        ),
        PublishedResult(dataset="DDN test set", psnr=33.73, ssim=0.94),
        PublishedResult(dataset="Rain100L", psnr=37.89, ssim=0.98),
        PublishedResult(dataset="DID test set", psnr=33.25, ssim=0.93),
        PublishedResult(dataset="512x512 picture", seconds=0.39),
    ),
)

WEIGHTS = (
    Weights(
        tag="rain-v1",
        variant="default",
        sha256="e8d697621fd73cf07c0529b702222c04de7a0ccd049db6c656bce236492ca182",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on="drawn time-lapse frames of 359 photographs; no clean picture was a target",
        recipe="examples/recipes/timelapse.sh",
        results=(
            MeasuredResult(
                dataset="rain100l",
                protocol="prenet/1",
                images=25,
                psnr=30.14,
                ssim=0.911,
                input_psnr=26.23,
                input_ssim=0.8204,
            ),
            MeasuredResult(
                dataset="rain100h",
                protocol="prenet/1",
                images=25,
                psnr=15.04,
                ssim=0.4421,
                input_psnr=13.83,
                input_ssim=0.3598,
            ),
            MeasuredResult(
                dataset="rain200h",
                protocol="prenet/1",
                images=15,
                psnr=15.25,
                ssim=0.4684,
                input_psnr=14.06,
                input_ssim=0.3873,
            ),
            MeasuredResult(
                dataset="rain800",
                protocol="prenet/1",
                images=15,
                psnr=21.58,
                ssim=0.6771,
                input_psnr=21.67,
                input_ssim=0.665,
            ),
            MeasuredResult(
                dataset="misc",
                protocol="prenet/1",
                images=7,
                psnr=19.24,
                ssim=0.6749,
                input_psnr=18.85,
                input_ssim=0.6574,
            ),
        ),
    ),
)

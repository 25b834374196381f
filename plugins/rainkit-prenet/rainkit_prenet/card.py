"""The paper of PReNet and its published results. The plugin ships no weights."""

from __future__ import annotations

from rainkit.api import Paper, PublishedResult

__all__ = ["PAPER"]

PAPER = Paper(
    authors=("Dongwei Ren", "Wangmeng Zuo", "Qinghua Hu", "Pengfei Zhu", "Deyu Meng"),
    title="Progressive Image Deraining Networks: A Better and Simpler Baseline",
    venue="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    year=2019,
    doi="10.1109/CVPR.2019.00406",
    results=(
        PublishedResult(dataset="Rain100H", psnr=29.46, ssim=0.899),
        PublishedResult(dataset="Rain100L", psnr=37.48, ssim=0.979),
        PublishedResult(dataset="Rain12", psnr=36.66, ssim=0.961),
        PublishedResult(dataset="Rain1400", psnr=32.60, ssim=0.946),
        PublishedResult(dataset="Rain100H", psnr=28.07, ssim=0.884, note="PRN"),
    ),
)

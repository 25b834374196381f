"""The paper of FreqGAN, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredResult, Paper, Weights, published_table

__all__ = ["PAPER", "WEIGHTS"]

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

WEIGHTS = (
    Weights(
        tag="rain-v2",
        variant="blocks-state",
        spare_traces=True,
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
        gflop=532.7,
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
        gflop=532.7,
    ),
)

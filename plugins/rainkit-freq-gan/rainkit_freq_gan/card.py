"""The paper of FreqGAN, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredPhotographs, Paper, Weights, measured_table, published_table

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

_PHOTOGRAPHS = "359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly"
_PAIRS = "and 473 training pairs of Rain800 with matched tone"

WEIGHTS = (
    Weights(
        tag="rain-v9",
        variant="blocks-state",
        spare_traces=True,
        sha256="48d5b7b2038aff0da794818876bbc166ccf9bf5f2592cd1dc643d1e81026d1e6",
        file="weights/rain-v9.safetensors",
        licence="Apache-2.0",
        trained_on=f"{_PHOTOGRAPHS}, {_PAIRS}",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 34.68/.9613 | 26.23/.8204
            rain100h | 25       | 27.50/.8560 | 13.83/.3598
            rain200h | 15       | 27.05/.8505 | 14.06/.3873
            rain800  | 15       | 21.35/.8253 | 21.67/.665
            misc     | 7        | 21.76/.7508 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.732),
        gflop=532.7,
    ),
    Weights(
        tag="rain-v11",
        variant="wide",
        spare_traces=True,
        sha256="ce52432efc4be0a073d6d13ef38ebd03be305f55508fd7f49ac6e1a772d3f1cc",
        file="weights/rain-v11.safetensors",
        licence="Apache-2.0",
        trained_on=f"{_PHOTOGRAPHS}, {_PAIRS}",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 34.82/.9624 | 26.23/.8204
            rain100h | 25       | 27.74/.8614 | 13.83/.3598
            rain200h | 15       | 27.13/.8519 | 14.06/.3873
            rain800  | 15       | 21.35/.8271 | 21.67/.665
            misc     | 7        | 21.88/.7521 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.713),
        gflop=2109.1,
    ),
    Weights(
        tag="rain-v6",
        variant="default",
        spare_traces=True,
        sha256="4bbe0c43a0b8ee3ca5095d8a62b524efa8eabf8995cc4299d2f67fcb8ec439c6",
        file="weights/rain-v6.safetensors",
        licence="Apache-2.0",
        trained_on=f"{_PHOTOGRAPHS}, {_PAIRS}",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 32.27/.9466 | 26.23/.8204
            rain100h | 25       | 24.92/.8181 | 13.83/.3598
            rain200h | 15       | 25.61/.8141 | 14.06/.3873
            rain800  | 15       | 21.51/.8109 | 21.67/.665
            misc     | 7        | 21.04/.7317 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.726),
        gflop=532.7,
    ),
    Weights(
        tag="rain-v2",
        variant="blocks-state",
        spare_traces=True,
        sha256="379a45ecbcadd3ac7c377b49004bf2ed4bafd0837f504043a4df1038c7253b0c",
        file="weights/rain-v2.safetensors",
        licence="Apache-2.0",
        trained_on=_PHOTOGRAPHS,
        recipe="examples/recipes/freq-gan.toml",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 32.60/.9411 | 26.23/.8204
            rain100h | 25       | 24.39/.7745 | 13.83/.3598
            rain200h | 15       | 23.75/.7643 | 14.06/.3873
            rain800  | 15       | 21.77/.7754 | 21.67/.665
            misc     | 7        | 20.63/.7258 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.666),
        gflop=532.7,
    ),
    Weights(
        tag="rain-v1",
        variant="blocks-state",
        sha256="17c6cf1ed2e01cb805f035559f58422318623dd28ff85e4414511beb02a43ef2",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on=_PHOTOGRAPHS,
        recipe="examples/recipes/freq-gan.toml",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 32.26/.9387 | 26.23/.8204
            rain100h | 25       | 23.70/.7557 | 13.83/.3598
            rain200h | 15       | 23.10/.7471 | 14.06/.3873
            rain800  | 15       | 21.87/.7676 | 21.67/.665
            misc     | 7        | 20.32/.7168 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.597),
        gflop=532.7,
    ),
)

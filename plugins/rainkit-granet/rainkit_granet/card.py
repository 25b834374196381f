"""The paper of GraNet, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredPhotographs, Paper, Weights, measured_table, published_table

__all__ = ["PAPER", "WEIGHTS"]

_RESULTS = (
    *published_table(
        "Table 1",
        """
                | DDN test set | DID test set   | Rain100L       | Rain100H[r]
        DSC     | 22.03/.7985  | 20.89/.7321    | 23.39/.8672    | 17.55/.5379
        GMM     | 25.64/.8360  | 21.37/.7923    | 28.25/.8763    | 15.96/.4180
        DDN     | 28.24/.8654  | 23.53/.7057    | 25.99/.8141    | 23.93/.7430
        JORDER  | 28.72/.8740  | 30.35/.8763    | 35.23/.9676[x] | 26.08/.8211[x]
        DID-MDN | 26.17/.8409  | 28.30/.8707[x] | 30.48/.9323    | 26.35/.8287
        NLEDN   | 29.79/.8976  | 33.16/.9192    | 36.57/.9747    | 30.38/.8939
        *       | 32.51/.9292  | 33.68/.9284    | 37.55/.9806    | 33.16/.9290
        """,
        notes={
            "r": "the paper does not say whether it left out the 546 training pictures that share"
            " backgrounds with the test set",
            "x": "trained with additional data",
        },
    ),
    *published_table(
        "ablation table",
        """
                                      | Rain100L    | Rain100H
        * Only Coarse w/o RA          | 35.57/.9693 | 30.45/.8922
        * Only Coarse w/ RA           | 36.12/.9714 | 30.77/.8964
        * Coarse + Fine (w/o Context) | 35.93/.9711 | 30.73/.8979
        * Coarse + Fine (w/ Context)  | 37.55/.9806 | 33.16/.9290
        """,
    ),
    *published_table(
        "Table 3",
        """
                        | DDN test set | DID test set | Rain100L    | Rain100H
        * coarse output | 19.66/.7389  | 19.56/.7214  | 23.10/.7947 | 18.02/.4791
        * mask output   | 19.81/.3374  | 19.48/.3650  | 23.50/.1442 | 17.86/.5531
        """,
    ),
)

PAPER = Paper(
    authors=("Weijiang Yu", "Zhe Huang", "Wayne Zhang", "Litong Feng", "Nong Xiao"),
    title="Gradual Network for Single Image De-raining",
    venue="ACM Multimedia",
    year=2019,
    doi="10.48550/arXiv.1909.09677",
    results=_RESULTS,
)

_PHOTOGRAPHS = "359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly"
_PAIRS = "and 473 training pairs of Rain800 with matched tone"

WEIGHTS = (
    Weights(
        tag="rain-v5",
        variant="default",
        spare_traces=True,
        sha256="f70bdf5d5e462847f29c503ef4d9f8f361f867a11ecc0f7d7fc85bc6dae41bc2",
        file="weights/rain-v5.safetensors",
        licence="Apache-2.0",
        trained_on=f"{_PHOTOGRAPHS}, {_PAIRS}",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 33.90/.9594 | 26.23/.8204
            rain100h | 25       | 26.24/.8377 | 13.83/.3598
            rain200h | 15       | 25.89/.8275 | 14.06/.3873
            rain800  | 15       | 22.00/.8177 | 21.67/.665
            misc     | 7        | 21.35/.7300 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.681),
        gflop=429.2,
    ),
    Weights(
        tag="rain-v6",
        variant="default",
        spare_traces=True,
        sha256="f40866feee1c3ffa1348ddf2cc6a14a06c0fe92fec4542896a08ce5d317e9ce6",
        file="weights/rain-v6.safetensors",
        licence="Apache-2.0",
        trained_on=f"{_PHOTOGRAPHS}, {_PAIRS}",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 34.32/.9601 | 26.23/.8204
            rain100h | 25       | 26.69/.8472 | 13.83/.3598
            rain200h | 15       | 26.28/.8360 | 14.06/.3873
            rain800  | 15       | 21.51/.8226 | 21.67/.665
            misc     | 7        | 21.63/.7374 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.655),
        gflop=429.2,
    ),
    Weights(
        tag="rain-v2",
        variant="default",
        spare_traces=True,
        sha256="88594942dbbe5c0d8a4312308cc84d9efe5c1811238fd087c870c9ea8e03a97a",
        file="weights/rain-v2.safetensors",
        licence="Apache-2.0",
        trained_on=f"{_PHOTOGRAPHS}, {_PAIRS}",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 31.93/.9383 | 26.23/.8204
            rain100h | 25       | 23.45/.7410 | 13.83/.3598
            rain200h | 15       | 22.93/.7342 | 14.06/.3873
            rain800  | 15       | 21.89/.7845 | 21.67/.665
            misc     | 7        | 20.48/.7032 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.506),
        gflop=429.2,
    ),
    Weights(
        tag="rain-v1",
        variant="default",
        spare_traces=True,
        sha256="a30dc1b0fe280f64de2dff5f90667339623767409244d5a45a952d3897afdc87",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on=_PHOTOGRAPHS,
        recipe="examples/recipes/granet.toml",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 32.06/.9381 | 26.23/.8204
            rain100h | 25       | 22.64/.7322 | 13.83/.3598
            rain200h | 15       | 21.74/.7221 | 14.06/.3873
            rain800  | 15       | 21.79/.789  | 21.67/.665
            misc     | 7        | 20.48/.7049 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.451),
        gflop=429.2,
    ),
)

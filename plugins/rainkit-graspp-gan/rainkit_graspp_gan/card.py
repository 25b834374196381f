"""The paper of GRASPP-GAN, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredPhotographs, Paper, Weights, measured_table, published_table

__all__ = ["PAPER", "WEIGHTS"]

_TRAINED_ON = "4,000 pairs of DID-MDN and 4,000 of reference 28"
_RESULTS = (
    *published_table(
        "Table 1",
        """
                | trained on   | Rain-I     | Rain-II (Rain100H) | Rain-III
        DDN     | its own data | 29.25/.892 | 22.17/.732         | 29.72/.887
        DID-MDN | its own data | 27.20/.898 | 20.13/.716         | 25.03/.871
        RESCAN  | its own data | 27.60/.878 | 26.45/.845[c]      | 27.34/.880
        JORDER  | its own data | 28.18/.853 | 23.45/.749         | 29.13/.881
        *       |              | 30.28/.911 | 24.38/.831         | 31.70/.943
        """,
        trained_on=_TRAINED_ON,
        notes={"c": "equal to the figure in RESCAN's README"},
    ),
    *published_table(
        "Table 2",
        """
                | Rain-I     | Rain-II (Rain100H) | Rain-III
        DDN     | 27.62/.847 | 21.50/.701         | 30.67/.912
        DID-MDN | 23.20/.897 | 19.56/.667         | 27.62/.876
        RESCAN  | 26.98/.871 | 22.91/.769         | 28.68/.901
        """,
        trained_on=_TRAINED_ON,
    ),
    *published_table(
        "Table 3",
        """
                | device         | 512x512 picture
        DDN     | CPU            | .09
        DID-MDN | not named      | .06
        RESCAN  | not named      | .50
        JORDER  | not named      | 1.40
        *       | GPU, not named | .04
        """,
        figures="seconds",
    ),
    *published_table(
        "Table 4",
        """
                     | Rain-I     | Rain-II (Rain100H) | Rain-III
        * RASPP      | 28.24/.886 | 22.58/.781         | 29.16/.920
        * GRASPP     | 29.31/.908 | 23.86/.826         | 30.90/.939
        * GRASPP-GAN | 30.28/.911 | 24.38/.831         | 31.70/.943
        """,
        trained_on=_TRAINED_ON,
    ),
)

PAPER = Paper(
    authors=("Yinglong Wang", "Haokui Zhang", "Yu Liu", "Qinfeng Shi", "Bing Zeng"),
    title="Gradient Information Guided Deraining with A Novel Network and Adversarial Training",
    venue="arXiv:1910.03839",
    year=2019,
    doi="10.48550/arXiv.1910.03839",
    results=_RESULTS,
)

WEIGHTS = (
    Weights(
        tag="rain-v12",
        variant="wide",
        spare_traces=True,
        sha256="8ad0ef64203c8fc45895171718102f59ce1a624b0f7499c7d0ec7cbb10bed180",
        file="weights/rain-v12.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly, and "
        "473 training pairs of Rain800 with matched tone",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 35.53/.9681 | 26.23/.8204
            rain100h | 25       | 27.09/.8567 | 13.83/.3598
            rain200h | 15       | 26.77/.8512 | 14.06/.3873
            rain800  | 15       | 21.19/.8284 | 21.67/.665
            misc     | 7        | 21.38/.7490 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.643),
        gflop=456.8,
    ),
    Weights(
        tag="rain-v9",
        variant="wide",
        spare_traces=True,
        sha256="8530af7d422fa240acfc9c14972c96381b5c7c0f213bb2725db1488ce15aff45",
        file="weights/rain-v9.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly, and "
        "473 training pairs of Rain800 with matched tone",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 35.25/.9664 | 26.23/.8204
            rain100h | 25       | 26.80/.8490 | 13.83/.3598
            rain200h | 15       | 26.87/.8461 | 14.06/.3873
            rain800  | 15       | 21.35/.8269 | 21.67/.665
            misc     | 7        | 21.24/.7475 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.659),
        gflop=456.8,
    ),
    Weights(
        tag="rain-v8",
        variant="default",
        spare_traces=True,
        sha256="bb63251046819cdbf4365d925352f75c2219246187fe34a11fc4f0e28307384f",
        file="weights/rain-v8.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly, and "
        "473 training pairs of Rain800 with matched tone",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 34.80/.9634 | 26.23/.8204
            rain100h | 25       | 26.46/.8371 | 13.83/.3598
            rain200h | 15       | 26.24/.8304 | 14.06/.3873
            rain800  | 15       | 21.32/.8197 | 21.67/.665
            misc     | 7        | 21.07/.7409 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.679),
        gflop=115.7,
    ),
    Weights(
        tag="rain-v2",
        variant="default",
        spare_traces=True,
        sha256="4efdbe88050c0c2e1c55a847f747154137348557b2d080602fda613a0f35f91a",
        file="weights/rain-v2.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly, and "
        "473 training pairs of Rain800 with matched tone",
        recipe="examples/recipes/real-rain-2.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 32.09/.928  | 26.23/.8204
            rain100h | 25       | 21.32/.6896 | 13.83/.3598
            rain200h | 15       | 21.4/.6935  | 14.06/.3873
            rain800  | 15       | 21.72/.8072 | 21.67/.665
            misc     | 7        | 20.55/.7174 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.557),
        gflop=115.7,
    ),
    Weights(
        tag="rain-v1",
        variant="default",
        sha256="0574aa4756c512ce0cfdb9169a6826193647fa157c619c968cb1500b65fd4bed",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
        recipe="examples/recipes/graspp-gan.toml",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 31.41/.9307 | 26.23/.8204
            rain100h | 25       | 23.07/.7342 | 13.83/.3598
            rain200h | 15       | 23.01/.7398 | 14.06/.3873
            rain800  | 15       | 22.06/.7961 | 21.67/.665
            misc     | 7        | 20.42/.7278 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.560),
        gflop=115.7,
    ),
)

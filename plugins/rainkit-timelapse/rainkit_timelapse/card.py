"""The paper of time-lapse deraining, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredPhotographs, Paper, Weights, measured_table, published_table

__all__ = ["PAPER", "WEIGHTS"]

_RESULTS = (
    *published_table(
        "Table IV",
        """
                | SPANet test set (SPA-Data)
        DSC     | 32.64/.932
        GMM     | 34.30/.943
        JCAS    | 34.95/.945
        DDN     | 34.88/.973
        JORDER  | 35.72/.977
        DID-MDN | 28.96/.941
        NLEDN   | 36.24/.980
        PReNet  | 36.08/.978
        SIRR    | 35.85/.972
        SPANet  | 38.06/.987
        *       | 38.54/.989
        """,
    ),
    *published_table(
        "Table V",
        """
                  | trained on        | DDN test set | Rain100L     | DID test set
        DSC       |                   | 20.08/.78    | 23.39/.86    | 21.44/.78
        GMM       |                   | 20.66/.81    | 24.25/.87    | 22.75/.83
        DDN       |                   | 25.63/.88    | 25.99/.81    | 27.33/.89
        JORDER    |                   | 22.26/.84    | 35.23/.96    | 24.32/.86
        DID-MDN   |                   | 26.07/.90    | 30.48/.93    | 27.95/.90
        NLEDN[j]  | JORDER's data     | 29.79/.90[d] | 36.57/.95    | 30.48/.91
        PReNet[j] | JORDER's data     | 32.55/.94[p] | 37.35/.97    | 31.20/.90
        SIRR      |                   | 28.44/.89[s] | 32.37/.92    | 28.44/.89[s]
        SPANet    |                   | 29.76/.90    | 34.46/.96    | 28.76/.90
        *         | time-lapse scenes | 33.73/.94    | 37.89/.98    | 33.25/.93
        """,
        notes={
            "j": "the table names JORDER's data for all columns, which mix several models",
            "d": "GraNet's Table 1 prints this figure for NLEDN trained on DDN's data",
            "p": "the figure of PReNet's model for Rain1400",
            "s": "the entries of DDN and DID are the same",
        },
    ),
    *published_table(
        "Table VI",
        """
                                      | SPANet test set (SPA-Data)
        * Lr, Lb, without Dyn         | 37.68/.981
        * Lr, Lb, Ls, without Dyn     | 37.92/.985
        * Lb, Ls, Lv, without Dyn     | 38.01/.986
        * Lr, Lb, Ls, Lv, without Dyn | 38.11/.986
        * Lr, Lb, Ls, with Dyn        | 38.29/.987
        * Lb, Ls, Lv, with Dyn        | 38.46/.988
        * Lr, Lb, Ls, Lv, with Dyn    | 38.54/.989
        """,
    ),
    *published_table(
        "Table VII",
        """
                        | SPANet test set (SPA-Data)
        * fusion sum    | 37.98/.983
        * fusion prod   | 38.02/.984
        * fusion concat | 38.11/.986
        * fusion dyn    | 38.54/.989
        """,
    ),
    *published_table(
        "Table VIII",
        """
               | 512x512 picture
        JORDER | .18
        PReNet | .08
        SIRR   | .71
        SPANet | .11
        *      | .39
        """,
        figures="seconds",
        device="not named",
    ),
)

PAPER = Paper(
    authors=("Jaehoon Cho", "Seungryong Kim", "Dongbo Min", "Kwanghoon Sohn"),
    title="Single Image Deraining Using Time-Lapse Data",
    venue="IEEE Transactions on Image Processing",
    year=2020,
    results=_RESULTS,
)

WEIGHTS = (
    Weights(
        tag="rain-v3",
        variant="default",
        spare_traces=True,
        sha256="761a717637bd7e3e2eafd1d072673d59663b6ca2c6ec5091ba6d1c0fab3d7d7e",
        file="weights/rain-v3.safetensors",
        licence="Apache-2.0",
        trained_on="two drawn rains on each of 359 photographs (BSDS500, SunHays80, Urban100) and "
        "of plain pictures; no clean picture was a target",
        recipe="examples/recipes/real-rain-frames.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 31.09/.9143 | 26.23/.8204
            rain100h | 25       | 23.53/.7436 | 13.83/.3598
            rain200h | 15       | 23.46/.7485 | 14.06/.3873
            rain800  | 15       | 22.31/.7359 | 21.67/.665
            misc     | 7        | 20.07/.6972 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.616),
        gflop=44.7,
    ),
    Weights(
        tag="rain-v1",
        variant="default",
        spare_traces=True,
        sha256="e8d697621fd73cf07c0529b702222c04de7a0ccd049db6c656bce236492ca182",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on="drawn time-lapse frames of 359 photographs; no clean picture was a target",
        recipe="examples/recipes/timelapse.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 30.14/.911  | 26.23/.8204
            rain100h | 25       | 15.04/.4421 | 13.83/.3598
            rain200h | 15       | 15.25/.4684 | 14.06/.3873
            rain800  | 15       | 21.58/.6771 | 21.67/.665
            misc     | 7        | 19.24/.6749 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.882),
        gflop=44.7,
    ),
)

"""The paper of ResGuideNet, its published results, and the weights that ship."""

from __future__ import annotations

from rainkit.api import MeasuredPhotographs, Paper, Weights, measured_table, published_table

__all__ = ["PAPER", "WEIGHTS"]

_RESULTS = (
    *published_table(
        "Fig. 1",
        """
                        | picture of the figure
        * ResGuideNet_1 | .927
        * ResGuideNet_3 | .935
        * ResGuideNet_5 | .943
        """,
        figures="ssim",
    ),
    *published_table(
        "Table 1",
        """
                        | DDN test set
        * ResGuideNet_5 | 29.92/.960
        * merged        | 30.11/.961
        """,
        note="Table 3 prints 31.38/0.950 for the same test set",
    ),
    *published_table(
        "Table 2",
        """
                        | Rain100H[h] | Rain100L   | Rain12
        input           | 13.56/.379  | 26.90/.838 | 30.14/.855
        GMM             | 15.05/.425  | 28.66/.865 | 32.02/.910
        DDN             | 21.92/.764  | 32.16/.936 | 31.78/.900
        JORDER          | 26.54/.835  | 36.63/.974 | 33.92/.953
        DID-MDN         | 24.53/.799  | 29.50/.907 | 28.25/.906
        * ResGuideNet_3 | 24.74/.815  | 32.82/.960 | 29.19/.936[l]
        *               | 25.25/.841  | 33.16/.963 | 29.45/.938[l]
        """,
        notes={
            "h": "the paper does not say whether it left out the 546 training pictures that share"
            " backgrounds with the test set",
            "l": "trained on Rain100L; the PSNR is below that of the rainy input",
        },
    ),
    *published_table(
        "Table 3",
        """
                        | DDN test set
        GMM             | 26.33/.838
        DDN             | 31.12/.926
        JORDER          | 32.95/.921
        DID-MDN         | 31.35/.941
        * ResGuideNet_3 | 30.79/.939
        *               | 31.38/.950[t]
        """,
        notes={"t": "Table 1 prints 30.11/0.961 for the same test set"},
    ),
    *published_table(
        "table of times",
        """
                        | device | parameters | 500x500 picture
        GMM             | CPU    |            | 1990
        DDN             | CPU    | 58,175     | 1.51
        JORDER          | CPU    | 369,792    | 295
        DID-MDN[a]      | CPU    | 135,800    | 4.20
        * ResGuideNet_3 | CPU    | 19,404     | 1.26
        *               | CPU    | 37,065     | 3.15
        DDN             | GPU    | 58,175     | .16
        JORDER          | GPU    | 369,792    | .18
        DID-MDN[a]      | GPU    | 135,800    | .14
        * ResGuideNet_3 | GPU    | 19,404     | .06
        *               | GPU    | 37,065     | .11
        """,
        figures="seconds",
        notes={"a": "the number of parameters is approximate"},
    ),
    *published_table(
        "table of denoising",
        """
              | BSD500, sigma 10 | BSD500, sigma 30 | BSD500, sigma 70
        DnCNN | .968             | .912             | .818
        *     | .963             | .914             | .831
        """,
        figures="ssim",
        trained_on="300 pictures of BSD500",
        note="200 pictures with Gaussian noise",
    ),
    *published_table(
        "section 5.2",
        """
              | KITTI vehicles, 480 synthetic | KITTI vehicles, 20 real
        input | .725                          | .591
        *     | .833                          | .657
        """,
        figures="ap",
    ),
)

PAPER = Paper(
    authors=("Zhiwen Fan", "Huafeng Wu", "Xueyang Fu", "Yue Huang", "Xinghao Ding"),
    title="Residual-Guide Network for Single Image Deraining",
    venue="ACM Multimedia",
    year=2018,
    doi="10.48550/arXiv.1804.07493",
    results=_RESULTS,
)

WEIGHTS = (
    Weights(
        tag="rain-v8",
        variant="wide",
        spare_traces=True,
        sha256="31520a095eb6764d51b708679ca72b2302e0c8fc86668bf1ef73fba13a78d9dc",
        file="weights/rain-v8.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly, and "
        "473 training pairs of Rain800 with matched tone",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 33.92/.9591 | 26.23/.8204
            rain100h | 25       | 26.25/.8483 | 13.83/.3598
            rain200h | 15       | 26.20/.8412 | 14.06/.3873
            rain800  | 15       | 21.13/.8247 | 21.67/.665
            misc     | 7        | 20.96/.7387 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.647),
        gflop=255.6,
    ),
    Weights(
        tag="rain-v5",
        variant="default",
        spare_traces=True,
        sha256="5dd2b7262275d932ff9f34007f03df35830c4d88b7dedec30eb00a3ce7dbf569",
        file="weights/rain-v5.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly, and "
        "473 training pairs of Rain800 with matched tone",
        recipe="examples/recipes/real-rain-3.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 32.34/.9442 | 26.23/.8204
            rain100h | 25       | 24.79/.8068 | 13.83/.3598
            rain200h | 15       | 24.71/.8008 | 14.06/.3873
            rain800  | 15       | 21.50/.8091 | 21.67/.665
            misc     | 7        | 20.34/.7213 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.588),
        gflop=67.6,
    ),
    Weights(
        tag="rain-v2",
        variant="default",
        spare_traces=True,
        sha256="29abfb14942e1f273224796da6e47de65ddefb696645966bebb752c6cb5b5ecd",
        file="weights/rain-v2.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly, and "
        "473 training pairs of Rain800 with matched tone",
        recipe="examples/recipes/real-rain-2.sh",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 32.12/.9413 | 26.23/.8204
            rain100h | 25       | 21.32/.7142 | 13.83/.3598
            rain200h | 15       | 21.25/.7168 | 14.06/.3873
            rain800  | 15       | 21.55/.8072 | 21.67/.665
            misc     | 7        | 20.57/.7154 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.455),
        gflop=67.6,
    ),
    Weights(
        tag="rain-v1",
        variant="default",
        spare_traces=True,
        sha256="4c159c8475aa4dd45fed4a3980dd234650bfdcb5b4f045142fac0b228272fa6d",
        file="weights/rain-v1.safetensors",
        licence="Apache-2.0",
        trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
        recipe="examples/recipes/resguidenet.toml",
        results=measured_table(
            """
                     | pictures | PSNR/SSIM   | input
            rain100l | 25       | 31.43/.9419 | 26.23/.8204
            rain100h | 25       | 23.18/.7616 | 13.83/.3598
            rain200h | 15       | 22.78/.7531 | 14.06/.3873
            rain800  | 15       | 21.83/.7864 | 21.67/.665
            misc     | 7        | 20.19/.7121 | 18.85/.6574
            """
        ),
        photographs=MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.433),
        gflop=67.6,
    ),
)

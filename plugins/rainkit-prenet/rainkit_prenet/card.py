"""The paper of PReNet and its published results. The plugin ships no weights."""

from __future__ import annotations

from rainkit.api import Paper, published_table

__all__ = ["PAPER"]

PAPER = Paper(
    authors=("Dongwei Ren", "Wangmeng Zuo", "Qinghua Hu", "Pengfei Zhu", "Deyu Meng"),
    title="Progressive Image Deraining Networks: A Better and Simpler Baseline",
    venue="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
    year=2019,
    doi="10.1109/CVPR.2019.00406",
    results=published_table(
        "the authors' list",
        """
                   | Rain100H    | Rain100L    | Rain12      | Rain1400
        *          | 29.46/0.899 | 37.48/0.979 | 36.66/0.961 | 32.60/0.946
        * PReNet_r | 28.98/0.892 | 37.10/0.977 | 36.69/0.962 | 32.44/0.944
        * PRN      | 28.07/0.884 | 36.99/0.977 | 36.62/0.952 | 31.69/0.941
        * PRN_r    | 27.43/0.874 | 36.11/0.973 | 36.16/0.961 | 31.31/0.937
        JORDER[j]  | 26.54/0.835 | 36.61/0.974 | 33.92/0.953 | -
        RESCAN[r]  | 28.88/0.866 | -           | -           | -
        """,
        note="on Y, as the authors' released results and scripts give it",
        notes={
            "j": "of the pictures that its authors provide",
            "r": "trained by PReNet's authors, on all 1,800 pictures of RainTrainH; PReNet had "
            "the 1,254 whose scenes the test set does not share",
        },
    ),
)

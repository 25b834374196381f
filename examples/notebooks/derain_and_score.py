# %% [markdown]
# # Draw rain, take it off, and score what is left
#
# A notebook in jupytext's percent format: `python derain_and_score.py` runs it; an editor, or
# `jupytext --to notebook`, opens its cells. It needs scikit-image, which brings the photograph.

# %%
import matplotlib.pyplot as plt  # noqa: TID253
import skimage.data

import rainkit
from rainkit.evaluation.metrics.protocols import protocol
from rainkit.rain import PRESETS, render

# %% [markdown]
# A clean photograph, and rain as in Rain100L. The same seed gives the same drops.

# %%
clean = skimage.data.astronaut()[:192, 64:320].copy()
rainy = render(clean, PRESETS["rain100l"], seed=(0,)).rainy

# %% [markdown]
# Two methods. `rainkit.load("auto")` would choose one by the kind of the rain.

# %%
pictures = {"clean": clean, "rainy": rainy}
for name in ("resguidenet", "graspp-gan"):
    pictures[name] = rainkit.load(name, device="cpu").derain(rainy)

# %% [markdown]
# PSNR and SSIM depend on how they are computed, so the protocol belongs to the figures.

# %%
scorer = protocol("prenet")
for name, picture in pictures.items():
    if name != "clean":
        psnr, ssim = scorer.scores(picture, clean)
        print(f"{name:12} {psnr:5.2f} dB  SSIM {ssim:.4f}  ({scorer.label})")

# %%
figure, axes = plt.subplots(1, len(pictures), figsize=(12, 3))
for axis, (name, picture) in zip(axes, pictures.items(), strict=True):
    axis.imshow(picture)
    axis.set_title(name)
    axis.axis("off")
figure.savefig("derain_and_score.png", bbox_inches="tight")

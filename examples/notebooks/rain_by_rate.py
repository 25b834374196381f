# %% [markdown]
# # One photograph at four rain rates
#
# A notebook in jupytext's percent format: `python rain_by_rate.py` runs it. One number, the rain
# rate in mm/h, decides how many drops there are, how large and fast they are, and how thick the
# veil is.

# %%
import matplotlib.pyplot as plt  # noqa: TID253
import numpy as np
import skimage.data

from rainkit.rain import PRESETS, render

# %%
clean = skimage.data.chelsea()[:200, 100:356].copy()
rates = (1, 7, 25, 100)
pictures = [
    render(clean, PRESETS["default"].at_rate(rate), seed=(0,), distance=150.0).rainy
    for rate in rates
]

# %% [markdown]
# The veil pulls dark parts up and light parts down; streaks add light here and there.

# %%
for rate, picture in zip(rates, pictures, strict=True):
    change = picture.astype(float) - clean
    print(
        f"{rate:4} mm/h: brighter by {change.mean():+5.1f} grey levels, spread {np.std(change):.1f}"
    )

# %%
figure, axes = plt.subplots(1, len(rates), figsize=(12, 3))
for axis, rate, picture in zip(axes, rates, pictures, strict=True):
    axis.imshow(picture)
    axis.set_title(f"{rate} mm/h")
    axis.axis("off")
figure.savefig("rain_by_rate.png", bbox_inches="tight")

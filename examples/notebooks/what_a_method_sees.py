# %% [markdown]
# # What a method estimates besides the result, and when it may stop
#
# A notebook in jupytext's percent format: `python what_a_method_sees.py` runs it. Methods give
# parts, such as rain masks and coarse pictures; anytime methods give a picture after each of their
# blocks.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt  # noqa: TID253
import numpy as np
import skimage.data

import rainkit
from rainkit.rain import PRESETS, render

# %%
clean = skimage.data.coffee()[100:260, 150:342].copy()
rainy = render(clean, PRESETS["rain100h"], seed=(3,)).rainy
derainer = rainkit.load("resguidenet", device="cpu", precision="fp32")
result, parts = derainer.derain_with_parts(rainy)

# %% [markdown]
# Each block of ResGuideNet ends with a picture; the later ones change less and less. This is what
# `rainkit infer --effort auto` measures.

# %%
blocks = [parts[name] for name in sorted(parts) if name.startswith("block")]
steps = [np.sqrt(np.mean((b - a) ** 2)) * 255 for a, b in pairwise(blocks)]
print("each block changes the one before by", ", ".join(f"{step:.2f}" for step in steps), "levels")

# %% [markdown]
# `rain` is the rainy picture minus the result; its zero is shown as mid-grey.

# %%
shown = {
    "rainy": rainy,
    "rain": np.clip(parts["rain"] + 0.5, 0, 1),
    "after block 1": np.clip(blocks[0], 0, 1),
    "result": result,
}
figure, axes = plt.subplots(1, len(shown), figsize=(12, 3))
for axis, (name, picture) in zip(axes, shown.items(), strict=True):
    axis.imshow(picture)
    axis.set_title(name)
    axis.axis("off")
figure.savefig("what_a_method_sees.png", bbox_inches="tight")

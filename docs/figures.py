"""Draw the figures of docs/ anew: networks as we built them, the physics of rain, and photographs.

python docs/figures.py [networks] [rain] [photographs] [failures]

Networks and plots are SVG with text, whose colours a page may set through the CSS variables of
``COLOURS``; on their own they are dark on white. The photographs are those of ``make demo``, which
are in the public domain. ``photographs`` and ``failures`` need torch, the methods' packages and
some minutes. ``failures`` are what the shipped weights of each method do not do, for its card.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES = Path(__file__).parent / "images"
COLOURS = {
    "paper": "#ffffff",
    "ink": "#1f2933",
    "line": "#52606d",
    "box": "#e6eef5",
    "data": "#fdf3dc",
    "soft": "#f4f6f8",
    "one": "#0b6e99",
    "two": "#c2410c",
    "three": "#4d7c0f",
    "four": "#7e22ce",
}
"""Colours by their names in the style sheet, ``--figure-NAME``, with what they are without one."""

Point = tuple[float, float]


def colour(name: str) -> str:
    return f"var(--figure-{name}, {COLOURS[name]})"


# Networks


class Drawing:
    """Boxes, sums and arrows on a sheet; a point is (x, y) from the top left."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.size = (width, height)
        self.title = title
        self.parts: list[str] = []

    def box(
        self, x: float, y: float, width: float, text: str, *, height: float = 46, kind: str = "box"
    ) -> None:
        """A box around (x, y); ``kind`` is box, data or soft, and lines are split at newlines."""
        radius = height / 2 if kind == "data" else 5
        self.parts.append(
            f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" '
            f'height="{height:g}" rx="{radius:g}" fill="{colour(kind)}" '
            f'stroke="{colour("line")}"/>'
        )
        self.text(x, y, text)

    def frame(
        self, x: float, y: float, width: float, height: float, text: str, *, shift: float = 6
    ) -> None:
        """A dashed frame with its top left corner at (x, y) and a caption above."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" '
            f'fill="none" stroke="{colour("line")}" stroke-dasharray="5 4"/>'
        )
        self.text(x + shift, y - 9, text, anchor="start")

    def text(self, x: float, y: float, text: str, *, anchor: str = "middle") -> None:
        lines = text.split("\n")
        top = y - 7.5 * (len(lines) - 1) + 4.5
        for i, line in enumerate(lines):
            small = ' font-size="11.5"' if i or anchor != "middle" else ""
            self.parts.append(
                f'<text x="{x:g}" y="{top + 15 * i:g}" text-anchor="{anchor}"{small} '
                f'fill="{colour("ink")}">{escape(line)}</text>'
            )

    def sum(self, x: float, y: float, sign: str = "+") -> None:
        self.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="11" fill="{colour("paper")}" '
            f'stroke="{colour("line")}"/>'
        )
        self.text(x, y, sign)

    def arrow(self, *points: Point, dashed: bool = False, kind: str = "line") -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        style = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour(kind)}" stroke-width="1.5"'
            f'{style} marker-end="url(#tip)"/>'
        )

    def svg(self) -> str:
        width, height = self.size
        tip = (
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            'markerHeight="7" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" '
            f'fill="{colour("line")}"/></marker></defs>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="system-ui, sans-serif" font-size="13">\n<title>{escape(self.title)}'
            f'</title>\n{tip}\n<rect width="{width}" height="{height}" rx="8" '
            f'fill="{colour("paper")}"/>\n' + "\n".join(self.parts) + "\n</svg>\n"
        )


def graspp_gan() -> Drawing:
    d = Drawing(900, 330, "GRASPP-GAN: encoder, atrous pyramid, fusion, and the critic of training")
    y = 120
    d.box(60, y, 84, "rainy\n3 maps", kind="data")
    d.box(170, y, 96, "conv 7×7\nno stride, 32")
    d.arrow((102, y), (122, y))
    d.frame(240, 62, 150, 116, "encoder (ResNet-18)")
    d.box(315, 97, 130, "4 layers of\n2 basic blocks", height=52)
    d.box(315, 150, 130, "32 maps each", height=32, kind="soft")
    d.arrow((218, y), (240, y))
    d.frame(420, 30, 170, 180, "atrous pyramid (ASPP)")
    for i, rate in enumerate((1, 2, 4)):
        d.box(505, 60 + 60 * i, 140, f"conv 3×3, rate {rate}\nconv 1×1")
        d.arrow((390, y), (412, y), (412, 60 + 60 * i), (435, 60 + 60 * i))
        d.arrow((575, 60 + 60 * i), (602, 60 + 60 * i), (602, y), (622, y))
    d.box(680, y, 116, "fusion\n3 × conv 3×3")
    d.arrow((738, y), (765, y))
    d.sum(776, y)
    d.arrow((60, 97), (60, 12), (776, 12), (776, 109))
    d.text(70, 26, "the rainy picture is added (not in variant paper)", anchor="start")
    d.box(845, y, 84, "result\n3 maps", kind="data")
    d.arrow((787, y), (803, y))
    d.frame(420, 250, 470, 66, "in training alone")
    d.box(520, 283, 170, "losses: squared error,\ngradients", height=40, kind="soft")
    d.box(
        740, 283, 240, "critic of (rainy, clean or result):\nthe probability of “real”", height=40
    )
    d.arrow((845, 143), (845, 263), dashed=True)
    d.arrow((815, 143), (815, 228), (520, 228), (520, 263), dashed=True)
    return d


def resguidenet() -> Drawing:
    d = Drawing(900, 390, "ResGuideNet: five blocks, each guided by the residuals before it")
    y = 110
    d.box(50, y, 76, "rainy X", kind="data")
    for k in range(5):
        x = 160 + 122 * k
        d.box(x, y, 82, f"block {k + 1}")
        d.arrow((x - 72 if k else 88, y), (x - 41, y))
        if k < 4:
            d.arrow((x + 41, y), (x + 50, y))
            d.arrow(
                (x + 56, y - 2),
                (x + 56, 52),
                (x + 122 - 10, 52),
                (x + 122 - 10, y - 23),
                kind="one",
            )
        d.arrow((x, y + 23), (x, 168), kind="one")
        d.text(x + 14, 150, f"r{k + 1}")
    d.parts.append(
        f'<line x1="216" y1="52" x2="648" y2="52" stroke="{colour("one")}" stroke-width="1.5"/>'
    )
    d.text(330, 38, "guidance: the residuals of all blocks before", anchor="start")
    d.box(410, 190, 586, "merge: 1×1 convolution of r1 to r5", height=40)
    d.arrow((703, 190), (768, 190))
    d.sum(780, 190)
    d.arrow((50, 87), (50, 16), (780, 16), (780, 178))
    d.box(850, 190, 76, "result", kind="data")
    d.arrow((792, 190), (812, 190))
    d.text(
        120,
        226,
        "each block ends with a picture, yₖ = X + rₖ: --effort k stops there",
        anchor="start",
    )
    d.frame(40, 258, 800, 112, "a block: 16 maps, 5,523 to 9,303 parameters")
    z = 318
    d.box(115, z, 120, "yₖ₋₁ and guidance", kind="data", height=36)
    d.box(260, z, 90, "conv 3×3")
    d.arrow((175, z), (215, z))
    d.text(314, z - 13, "x₀")
    d.box(405, z, 120, "conv 3×3\n+ guidance")
    d.box(530, z, 90, "conv 3×3")
    d.arrow((305, z), (345, z))
    d.arrow((465, z), (485, z))
    d.arrow((575, z), (600, z))
    d.sum(611, z)
    d.arrow((326, z), (326, z - 42), (611, z - 42), (611, z - 11))
    d.arrow((611, z + 11), (611, z + 44), (405, z + 44), (405, z + 23), dashed=True)
    d.text(420, z + 34, "five passes with the same weights", anchor="start")
    d.box(690, z, 90, "conv 3×3")
    d.arrow((622, z), (645, z))
    d.box(800, z, 60, "rₖ", kind="data", height=36)
    d.arrow((735, z), (770, z))
    return d


def granet() -> Drawing:
    d = Drawing(900, 430, "GraNet: a coarse stage with attention in regions, and a fine stage")
    d.frame(10, 34, 620, 270, "coarse stage: finds the mask M", shift=70)
    levels = [(90, "H"), (165, "H/2"), (240, "H/4")]
    d.box(60, 90, 76, "rainy I", kind="data")
    d.box(160, 90, 84, "2 × conv")
    d.arrow((98, 90), (118, 90))
    for i, (y, size) in enumerate(levels):
        x = 275 + 30 * i
        d.box(x, y, 118, f"local block\ndense, at {size}")
        d.box(520 - 24 * i, y, 138, f"unpool, + local\nat {size}")
        d.arrow((x + 59, y), (520 - 24 * i - 69, y), dashed=True)
        if i < 2:
            d.arrow((x, y + 23), (x, levels[i + 1][0] - 23))
    d.text(222, 134, "max-pool\nkeeps indices")
    d.arrow((202, 90), (216, 90))
    d.arrow((335, 263), (335, 284), (408, 284), (408, 263))
    d.text(345, 296, "global 1×1, H/8", anchor="start")
    for (low, high), name in zip(
        ((240, 165), (165, 90)), ("global 2×2, H/4", "global 4×4, H/2"), strict=True
    ):
        d.arrow(
            (545 - (240 - low) * 0 - (24 if low == 240 else 0), low - 23),
            (545 - (24 if low == 240 else 0), high + 23),
        )
        d.text(560 - (24 if low == 240 else 0), (low + high) / 2 - 3, name, anchor="start")
    d.box(720, 90, 96, "conv, tanh\nmask M")
    d.arrow((589, 90), (672, 90))
    d.sum(720, 160, "−")
    d.arrow((720, 113), (720, 149))
    d.arrow((60, 67), (60, 14), (800, 14), (800, 160), (731, 160))
    d.box(720, 225, 120, "coarse C = I − M", kind="data", height=40)
    d.arrow((720, 171), (720, 205))
    d.frame(10, 342, 880, 76, "fine stage: restores the details")
    y = 380
    d.arrow((720, 245), (720, 318), (850, 318), (850, 360))
    d.box(822, y, 116, "conv 3×3", height=40)
    for k in range(4):
        d.box(716 - 98 * k, y, 84, f"dense {k + 1}", height=40)
        d.arrow((764 if k == 0 else 772 - 98 * k, y), (758 - 98 * k, y))
    d.box(306, y, 104, "mean of the\n4 blocks", height=40)
    d.arrow((380, y), (358, y))
    d.box(206, y, 76, "conv 3×3", height=40)
    d.arrow((254, y), (244, y))
    d.sum(142, y)
    d.arrow((168, y), (153, y))
    d.arrow((660, 225), (660, 322), (142, 322), (142, 369))
    d.text(160, 316, "+ C (not in the variant paper)", anchor="start")
    d.box(70, y, 80, "result", kind="data", height=40)
    d.arrow((131, y), (110, y))
    return d


def timelapse() -> Drawing:
    d = Drawing(900, 340, "Time-lapse deraining: three encoders, a generated filter, one decoder")
    y = 150
    d.box(50, y, 76, "rainy I", kind="data")
    d.box(140, y, 70, "luma")
    d.arrow((88, y), (105, y))
    for i, kernel in enumerate((1, 3, 5)):
        at = 70 + 80 * i
        d.box(282, at, 164, f"encoder, {kernel}×{kernel} kernels\n16-32-64 maps, 3 pools")
        d.arrow((175, y), (187, y), (187, at), (200, at))
        d.arrow((364, at), (382, at), (382, y), (400, y))
    d.box(465, y, 130, "fusion at H/8\nW₀ + U diag(g) V", height=56)
    d.text(465, 196, "g from the mean\nfeatures of the picture")
    d.box(625, y, 120, "decoder\n3 levels up", height=56)
    d.arrow((530, y), (565, y))
    d.arrow((300, 47), (300, 24), (625, 24), (625, 122), dashed=True)
    d.text(360, 38, "skips of all encoders at H/4, H/2 and H", anchor="start")
    d.box(745, y, 76, "streaks S\nat least 0", height=46)
    d.arrow((685, y), (707, y))
    d.sum(806, y, "−")
    d.arrow((783, y), (795, y))
    d.box(857, y, 62, "result", kind="data", height=40)
    d.arrow((817, y), (826, y))
    d.arrow((50, 127), (50, 8), (806, 8), (806, 139))
    d.frame(10, 276, 880, 54, "in training alone: two frames of one scene, no clean picture")
    d.box(140, 303, 240, "frame 1 → result 1, streaks 1", height=34, kind="data")
    d.box(400, 303, 240, "frame 2 → result 2, streaks 2", height=34, kind="data")
    d.box(
        705,
        303,
        340,
        "losses: results are alike, I = B + S,\nstructure, direction of streaks",
        height=40,
        kind="soft",
    )
    d.arrow((520, 303), (535, 303))
    return d


def recurrent(title: str, *, base: bool) -> Drawing:
    d = Drawing(900, 330 if base else 290, title)
    y = 175
    d.box(60, y, 84, "rainy y", kind="data")
    if base:
        d.box(60, 275, 84, "guided filter")
        d.arrow((60, 198), (60, 252))
        d.box(180, 275, 110, "base and detail", kind="data", height=36)
        d.arrow((102, 275), (125, 275))
        d.arrow((200, 257), (200, 198))
    else:
        d.arrow((102, 175), (160, 175))
    d.frame(140, 60, 655, 184 if base else 172, "one stage; all stages share their weights")
    d.box(212, y, 104, "beside xₜ₋₁" if base else "y beside xₜ₋₁", height=46, kind="soft")
    d.box(322, y, 80, "f_in\nconv, ReLU")
    d.arrow((264, y), (282, y))
    d.box(434, y, 108, "f_recurrent\nconv. LSTM")
    d.arrow((362, y), (380, y))
    d.box(572, y, 124, "f_res: 5 blocks\nwith attention" if base else "f_res\n5 residual blocks")
    d.arrow((488, y), (510, y))
    d.box(684, y, 66, "f_out\nconv")
    d.arrow((634, y), (651, y))
    d.sum(752, y)
    d.arrow((717, y), (741, y))
    d.box(850, y, 76, "xₜ", kind="data", height=40)
    d.arrow((763, y), (812, y))
    d.arrow((60, 152), (60, 40), (752, 40), (752, 164))
    d.text(90, 34, "+ y", anchor="start")
    d.arrow((488, y - 12), (498, y - 12), (498, 100), (434, 100), (434, 152), kind="one")
    d.text(404, 90, "state sₜ to the next stage", anchor="start")
    if base:
        d.arrow((850, 195), (850, 306), (262, 306), (262, 216), (240, 216), (240, 198), dashed=True)
        d.arrow((600, 198), (600, 218), (434, 218), (434, 198), dashed=True, kind="two")
        d.text(440, 232, "in rain-v1 and rain-v2: what the blocks give", anchor="start")
        d.text(890, 16, "in training alone: a relativistic critic of the result", anchor="end")
    else:
        d.arrow((850, 195), (850, 266), (212, 266), (212, 198), dashed=True)
    d.text(560, 292 if base else 252, "T = 6 stages: xₜ is the input of the next; x₆ is the result")
    return d


NETWORKS: dict[str, Callable[[], Drawing]] = {
    "graspp-gan": graspp_gan,
    "resguidenet": resguidenet,
    "granet": granet,
    "timelapse": timelapse,
    "freq-gan": lambda: recurrent("FreqGAN: base and detail, derained in six stages", base=True),
    "prenet": lambda: recurrent("PReNet: one small network, unfolded over six stages", base=False),
}


def networks() -> None:
    for name, draw in NETWORKS.items():
        write(IMAGES / "networks" / f"{name}.svg", draw().svg())


# The physics of rain

RATES = (1.0, 7.0, 25.0, 100.0)
SERIES = ("one", "two", "three", "four")
INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


def plot(name: str, draw: Callable[[Axes], None], title: str) -> None:
    """Write one plot as SVG, with text as text and colours that a page may set."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.family": "sans-serif",
        "font.size": 10,
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"),
            COLOURS["ink"],
        ),
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        figure.patch.set_facecolor(COLOURS["paper"])
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        axes.grid(visible=True, color=COLOURS["box"])
        axes.set_axisbelow(True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = re.sub(
        r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL
    )
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"(?<=>)\s*<defs>", f"<title>{escape(title)}</title><defs>", text, count=1)
    for key, value in COLOURS.items():
        text = re.sub(rf"{value}(?![\w)])", colour(key), text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", text)
    write(IMAGES / "rain" / f"{name}.svg", text.strip() + "\n")


def rain() -> None:
    from rainkit.rain import PRESETS, RainSettings, physics, render

    series = list(zip(RATES, (COLOURS[name] for name in SERIES), strict=True))

    def sizes(axes: Axes) -> None:
        diameter = np.linspace(0.5, physics.LARGEST_DROP_MM, 200)
        for rate, ink in series:
            slope = physics.size_slope(rate)
            density = np.exp(-slope * diameter) * slope * physics.drop_density(rate, 0.0)
            axes.semilogy(diameter, density, color=ink, label=f"{rate:g} mm/h")
        axes.set(xlabel="diameter D in mm", ylabel="N(D) in 1/(m³ mm)", ylim=(1e-2, 1e4))

    def speed(axes: Axes) -> None:
        diameter = np.linspace(0.6, physics.LARGEST_DROP_MM, 200)
        axes.plot(diameter, physics.terminal_speed(diameter), color=COLOURS["one"])
        axes.set(xlabel="diameter D in mm", ylabel="terminal speed in m/s", ylim=(0, 10))

    def streaks(axes: Axes) -> None:
        settings, width = RainSettings(), 640
        focal = width / 2 / np.tan(np.radians(settings.fov_deg / 2))
        distance = np.linspace(settings.near_m, settings.far_m, 200)
        fall = float(physics.terminal_speed(np.array([2.0]))[0])
        for (exposure, told), ink in zip(
            ((1 / 30, "1/30 s"), (1 / 60, "1/60 s"), (1 / 250, "1/250 s")),
            (COLOURS[name] for name in SERIES),
            strict=False,
        ):
            axes.semilogy(distance, fall * exposure * focal / distance, color=ink, label=told)
        axes.set(xlabel="distance of the drop in m", ylabel="length of the streak in px")

    def veil(axes: Axes) -> None:
        distance = np.linspace(0, 2000, 200)
        for rate, ink in series:
            seen = np.exp(-physics.extinction(rate) * distance)
            axes.plot(distance, seen, color=ink, label=f"{rate:g} mm/h")
        axes.set(
            xlabel="distance of the scene in m",
            ylabel="share of its light that arrives",
            ylim=(0, 1),
        )

    def cover(axes: Axes) -> None:
        grey = np.full((256, 256, 3), 110, np.uint8)
        rates = np.geomspace(0.5, 100, 9)
        for name, ink in zip(("default", "short", "rain100l"), SERIES, strict=False):
            preset = PRESETS[name]
            shares = [
                np.mean(
                    [
                        100 * render(grey, changed(preset, rate), (1, i)).opacity.mean()
                        for i in range(6)
                    ]
                )
                for rate in rates
            ]
            axes.loglog(rates, shares, "o-", color=COLOURS[ink], label=name, markersize=4)
        axes.set(xlabel="rain rate in mm/h", ylabel="mean opacity of streaks in %")

    plot("sizes", sizes, "Number of drops by diameter, for four rain rates")
    plot("speed", speed, "Terminal speed of drops by diameter")
    plot("streaks", streaks, "Length of the streak of a 2 mm drop by distance and exposure")
    plot("veil", veil, "Light that arrives through the veil of distant rain, by distance")
    plot("cover", cover, "Opacity of streaks by rain rate, measured on rendered pictures")
    rendered()


def changed(settings: Any, rate: float) -> Any:
    """Settings of the rain with another rate."""
    from dataclasses import replace

    return replace(settings, rate_mm_h=rate)


def rendered() -> None:
    """One photograph in four rains, at a distance of 150 m."""
    from rainkit.rain import PRESETS, render

    clean = cut(photograph("coffee"), 220, 300)
    row = [
        render(clean, changed(PRESETS["default"], rate), (3,), distance=150).rainy
        for rate in (1.0, 7.0, 25.0, 100.0)
    ]
    save_row(IMAGES / "rain" / "rates.jpg", row)


# Photographs

Photo = npt.NDArray[np.uint8]


def photograph(name: str) -> Photo:
    import skimage.data

    return np.asarray(getattr(skimage.data, name)(), np.uint8)


def cut(picture: Photo, height: int, width: int, *, x: float = 0.5, y: float = 0.5) -> Photo:
    """The part of a picture around the point (x, y), in shares of its sides."""
    rows, columns = picture.shape[:2]
    top = round(min(max(y * rows - height / 2, 0), rows - height))
    left = round(min(max(x * columns - width / 2, 0), columns - width))
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def save_row(path: Path, pictures: Sequence[Photo]) -> None:
    """Write pictures side by side as one JPEG file."""
    save_sheet(path, [pictures])


def save_sheet(path: Path, rows: Sequence[Sequence[Photo]]) -> None:
    """Write rows of pictures as one JPEG file, with white lines between them."""
    from rainkit import images

    def joined(parts: Sequence[Photo], axis: int) -> Photo:
        shape = list(parts[0].shape)
        shape[axis] = 4
        gap = np.full(shape, 255, np.uint8)
        return np.concatenate([p for part in parts for p in (gap, part)][1:], axis)

    sheet = joined([joined(row, 1) for row in rows], 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, images.Picture(sheet), overwrite=True, quality=86)
    print(f"{path.relative_to(IMAGES.parent)}: {path.stat().st_size / 1000:.0f} kB")


def photographs() -> None:
    """Rain that is taken out, and rain that is not, as the shipped weights of graspp-gan do it."""
    import rainkit
    from rainkit.rain import PRESETS, RainSettings, render

    derainer = rainkit.load("graspp-gan", device="cpu")

    def case(name: str, clean: Photo, rainy: Photo, *, x: float = 0.5, y: float = 0.5) -> None:
        result = np.asarray(derainer.derain(rainy), np.uint8)
        shown = [cut(each, 230, 300, x=x, y=y) for each in (rainy, result, clean)]
        save_row(IMAGES / "deraining" / f"{name}.jpg", shown)

    cat, cup = photograph("chelsea"), photograph("coffee")
    rocket, astronaut = photograph("rocket"), photograph("astronaut")
    case("streaks", cat, render(cat, PRESETS["rain100l"], (1,)).rainy)
    case("heavy", astronaut, render(astronaut, PRESETS["rain100h"], (2,)).rainy, x=0.45, y=0.3)
    mist = RainSettings(rate_mm_h=25, streak_gain=28, fog_gain=2.5)
    case("mist", cup, render(cup, mist, (3,), distance=100).rainy)
    near = RainSettings(rate_mm_h=60, streak_gain=43, focal_mm=35, f_number=1.8, focus_m=8)
    case("near", cat, render(cat, near, (4,)).rainy)
    dry = np.asarray(derainer.derain(rocket), np.uint8)
    change = np.abs(dry.astype(np.int16) - rocket)
    shown = (rocket, dry, np.clip(8 * change, 0, 255).astype(np.uint8))
    save_row(IMAGES / "deraining" / "dry.jpg", [cut(p, 230, 300, x=0.25, y=0.72) for p in shown])


def failures() -> None:
    """What each method leaves or damages: one sheet per card, with a fault in each row."""
    import rainkit
    from rainkit import plugins
    from rainkit.rain import PRESETS, RainSettings, render

    cat, cup, rocket = photograph("chelsea"), photograph("coffee"), photograph("rocket")
    thick = RainSettings(rate_mm_h=30, streak_gain=250, near_m=0.25, far_m=1.2, smallest_mm=2.0)
    for method in (name for name in NETWORKS if plugins.get(name).weights):
        derainer = rainkit.load(method, device="cpu")
        rows = []
        for clean, rainy, x, y in (
            (cup, render(cup, thick, (1,)).rainy, 0.5, 0.5),
            (cat, render(cat, PRESETS["rain100h"], (2,)).rainy, 0.4, 0.5),
            (rocket, rocket, 0.25, 0.72),
        ):
            result = np.asarray(derainer.derain(rainy), np.uint8)
            shown = clean
            if rainy is clean:
                change = np.abs(result.astype(np.int16) - clean)
                shown = np.clip(8 * change, 0, 255).astype(np.uint8)
            rows.append([cut(each, 200, 300, x=x, y=y) for each in (rainy, result, shown)])
        save_sheet(IMAGES / "failures" / f"{method}.jpg", rows)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"{path.relative_to(IMAGES.parent)}: {path.stat().st_size / 1000:.0f} kB")


KINDS: dict[str, Callable[[], None]] = {
    "networks": networks,
    "rain": rain,
    "photographs": photographs,
    "failures": failures,
}


def main() -> int:
    wanted = sys.argv[1:] or list(KINDS)
    if unknown := set(wanted) - set(KINDS):
        print(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(KINDS)}", file=sys.stderr)
        return 2
    for kind in wanted:
        KINDS[kind]()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What happens inside a network, as one picture: its layers, its attention, and gradients.

A contact sheet shows a picture and its result, the channels of layers as tiles, where modules that
attend look, and the gradients of input, result and target.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rainkit import images
from rainkit.errors import FileError, UsageError
from rainkit.images import LUMA_WEIGHTS, RGB8, Picture
from rainkit.inference.setup import set_up
from rainkit.runtime_options import RuntimeOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rainkit.inference.derainer import Derainer

__all__ = [
    "ATTENTION",
    "FeaturesRequest",
    "FeaturesResult",
    "Layer",
    "ShownMap",
    "features",
    "gradients",
    "hooked",
    "layers",
    "levels",
]

ATTENTION = "attention_map"
"""Name of the method by which a module shows where it looks, see docs/plugin-authors.md."""

Map = NDArray[np.float32]
"""Values [H,W] of one channel."""

_ENOUGH = 6
"""The default shows the outer layers, and those inside of them if they are fewer than this."""

_MOST = 24
"""Largest number of layers that are shown by default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturesRequest:
    """A picture, a method, and what is shown of it.

    Attributes:
        picture: a rainy picture.
        method: an installed method.
        weights: a tag of the method or a ``.safetensors`` file; None for the method's first.
        variant: the variant that the weights must be of; None for any.
        device: the device that the network runs on, in float32.
        layers: patterns of layers as in :mod:`fnmatch`. A layer that runs several times is called
            ``NAME@1``, ``NAME@2`` and so on; a pattern without ``@`` shows its last run. Empty for
            the outer layers, or for none if only attention or gradients are asked for.
        attention: show where modules that attend look.
        at: column and row, in pixels of the picture, of the point whose attention is shown; None
            for the attention that each place receives from all others.
        gradients: show the horizontal and vertical gradients of picture, result and target.
        target: the clean picture, which is shown beside the result; None if there is none.
        channels: number of channels of a layer that are shown, those that vary most; None for all.
        side: longest side that the picture is shrunk to before; 0 to take it as it is.
        output: the PNG file; None for ``photo-METHOD-features.png`` beside the picture.
        overwrite: replace an existing file.
    """

    picture: Path
    method: str
    weights: str | None = None
    variant: str | None = None
    device: str = "auto"
    layers: tuple[str, ...] = ()
    attention: bool = False
    at: tuple[int, int] | None = None
    gradients: bool = False
    target: Path | None = None
    channels: int | None = 8
    side: int = 512
    output: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A module of a network that gives maps.

    Attributes:
        name: its name in the network.
        kind: its class.
        shape: channels, height and width of its maps.
        runs: how many times it runs for one picture.
        shown: whether it is shown by default.
        attends: whether it can show where it looks.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    runs: int
    shown: bool
    attends: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownMap:
    """A row of the sheet.

    Attributes:
        name: name of the layer, with the number of the run if it runs several times.
        shape: channels, height and width of its maps.
        channels: numbers of the channels that are shown, from 0.
        low: the value that is black.
        high: the value that is white.
    """

    name: str
    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturesResult:
    """A contact sheet.

    Attributes:
        output: its file.
        method: name of the method.
        weights: name of the weights.
        size: width and height of the picture as the network took it.
        layers: the layers that are shown.
        attention: the modules whose attention is shown.
        left_out: number of layers that the default leaves out.
    """

    output: Path
    method: str
    weights: str
    size: tuple[int, int]
    layers: tuple[ShownMap, ...] = ()
    attention: tuple[ShownMap, ...] = ()
    left_out: int = 0

    def to_data(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return asdict(self) | {"output": str(self.output)}


@dataclass(slots=True)
class _Kept:
    """The maps of one run of a layer, shrunk to tiles."""

    name: str
    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    tiles: list[Map]


@dataclass(slots=True)
class _Seen:
    """What the hooks saw during one forward pass."""

    kinds: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    attends: set[str] = field(default_factory=set)
    maps: list[_Kept] = field(default_factory=list)
    attention: list[_Kept] = field(default_factory=list)


def layers(request: FeaturesRequest) -> tuple[Layer, ...]:
    """Return the layers of a method's network, in the order in which they run.

    Raises:
        UsageError, ImageError, MethodError, WeightsError: as :func:`features`.
    """
    derainer, rgb = _opened(request)
    return _layers(_look(derainer, rgb)[0])


def features(request: FeaturesRequest) -> FeaturesResult:
    """Run a method on a picture and write the contact sheet.

    Raises:
        UsageError: an unknown method, weights or layer; a target of another size; or a point
            outside of the picture.
        ImageError: a picture cannot be read.
        FileError: the sheet exists, or cannot be written.
        MethodError, WeightsError: the method cannot run.
    """
    output = request.output or request.picture.with_name(
        f"{request.picture.stem}-{request.method}-features.png"
    )
    _check(request, output)
    target = None if request.target is None else _target(request)
    derainer, rgb = _opened(request)
    wanted, left_out = _wanted(request, derainer, rgb)
    at = None if request.at is None else _at(request)
    seen, image = _look(
        derainer, rgb, wanted, channels=request.channels, attention=request.attention, at=at
    )
    if request.attention and not seen.attention:
        raise UsageError(
            f"--attention: {derainer.method.name} with these weights has no module that shows "
            "where it looks; leave the option out"
        )
    pictures = {"with rain": images.to_uint8(rgb), "result": image}
    if target is not None:
        pictures["target"] = target
    sheet = _Sheet()
    sheet.heading(
        f"{derainer.method.title} ({derainer.weights.name}): {request.picture.name}, "
        f"{rgb.shape[1]} x {rgb.shape[0]}"
    )
    marked = dict(pictures)
    if at is not None:
        marked["with rain"] = _marked(pictures["with rain"], at)
    sheet.tiles([(picture, name) for name, picture in marked.items()], _Sheet.THIRD)
    if request.gradients:
        _draw_gradients(sheet, pictures)
    attention = _draw_attention(sheet, seen.attention, at)
    shown = tuple(_draw_maps(sheet, kept) for kept in seen.maps)
    images.write(output, Picture(sheet.picture()), overwrite=request.overwrite)
    return FeaturesResult(
        output=output,
        method=derainer.method.name,
        weights=derainer.weights.name,
        size=(rgb.shape[1], rgb.shape[0]),
        layers=shown,
        attention=attention,
        left_out=left_out,
    )


def gradients(rgb: RGB8) -> tuple[Map, Map]:
    """Return the strength of the horizontal and of the vertical gradient of the luma, [H,W] each.

    They are those of Sobel's operator in grey levels per pixel. The horizontal gradient is the
    change from left to right, which upright lines have.
    """
    luma = cv2.transform(rgb.astype(np.float32), LUMA_WEIGHTS)
    across, down = (
        np.abs(cv2.Sobel(luma, cv2.CV_32F, *order, scale=1 / 8)) for order in ((1, 0), (0, 1))
    )
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def levels(maps: Sequence[Map]) -> tuple[float, float]:
    """Return the values that are shown as black and white, the same for all maps of a layer.

    Maps without negative values begin at 0; for others 0 is in the middle. The largest 0.5 % of the
    values do not count, so that a single pixel does not darken all others.
    """
    values = np.concatenate([each.ravel() for each in maps])
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    if low >= -0.02 * max(high, 0.0):
        return 0.0, high or 1.0
    most = max(abs(low), abs(high))
    return -most, most


def _check(request: FeaturesRequest, output: Path) -> None:
    if output.suffix.lower() != ".png":
        raise UsageError(f"--output {output}: the sheet is a PNG file; name one that ends in .png")
    if output.exists() and not request.overwrite:
        raise FileError(f"{output}: exists; pass --overwrite, or name another --output")
    if request.channels is not None and request.channels < 1:
        raise UsageError(f"--channels {request.channels}: give 1 or more, or all")
    if request.at is not None and not request.attention:
        raise UsageError("--at is a point whose attention is shown; add --attention")


def _opened(request: FeaturesRequest) -> tuple[Derainer, NDArray[Any]]:
    """Return the method, ready to run, and the picture."""
    rgb = images.read(request.picture).rgb
    if request.side:
        rgb = images.shrink(rgb, request.side)
    options = RuntimeOptions.parse(device=request.device, precision="fp32")
    setup = set_up(request.method, options, weights=request.weights, variant=request.variant)
    from rainkit.inference.loading import build  # imports torch

    return build(setup, folded=False), rgb


def _target(request: FeaturesRequest) -> RGB8:
    if request.target is None:
        raise ValueError("this request has no target")
    target, rainy = images.read(request.target), images.read(request.picture)
    if target.size != rainy.size:
        (w, h), (rw, rh) = target.size, rainy.size
        raise UsageError(
            f"--target {request.target}: is of {w}x{h}, and {request.picture} of {rw}x{rh}; give "
            "the clean picture of the same scene and size"
        )
    pixels = images.to_uint8(target.rgb)
    return images.to_uint8(images.shrink(pixels, request.side)) if request.side else pixels


def _at(request: FeaturesRequest) -> tuple[float, float]:
    """Return the row and the column of the point, as shares of the picture."""
    width, height = images.read(request.picture).size
    x, y = request.at or (0, 0)
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(f"--at {x},{y}: lies outside of the picture, which is {width}x{height}")
    return (y + 0.5) / height, (x + 0.5) / width


def _wanted(
    request: FeaturesRequest, derainer: Derainer, rgb: NDArray[Any]
) -> tuple[Callable[[str, int], bool], int]:
    """Return which runs of which layers are shown, and how many layers the default leaves out."""
    if not request.layers and (request.attention or request.gradients):
        return (lambda name, run: False), 0
    seen, _ = _look(derainer, rgb)
    if not request.layers:
        shown = {each.name for each in _layers(seen) if each.shown}
        return (lambda name, run: name in shown and run == seen.runs[name]), len(seen.shapes) - len(
            shown
        )
    for pattern in request.layers:
        if not any(
            _matches(pattern, name, run, runs)
            for name, runs in seen.runs.items()
            for run in range(1, runs + 1)
        ):
            near = difflib.get_close_matches(pattern, [*seen.runs], n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"--layer {pattern}: {derainer.method.name} has no such layer; {hint}"
                "--list shows all"
            )
    return (
        lambda name, run: any(
            _matches(pattern, name, run, seen.runs[name]) for pattern in request.layers
        )
    ), 0


def _matches(pattern: str, name: str, run: int, runs: int) -> bool:
    if "@" in pattern:
        return fnmatchcase(f"{name}@{run}", pattern)
    return run == runs and fnmatchcase(name, pattern)


def _layers(seen: _Seen) -> tuple[Layer, ...]:
    depths = {name: _depth(name, seen.shapes) for name in seen.shapes}
    spatial = [name for name, shape in seen.shapes.items() if min(shape[1:]) > 1]
    deepest = max(depths.values(), default=1)
    depth = next(
        (
            depth
            for depth in range(1, deepest + 1)
            if sum(depths[name] <= depth for name in spatial) >= _ENOUGH
        ),
        deepest,
    )
    chosen = [name for name in spatial if depths[name] <= depth][:_MOST]
    return tuple(
        Layer(
            name=name,
            kind=seen.kinds[name],
            shape=shape,
            runs=seen.runs[name],
            shown=name in chosen,
            attends=name in seen.attends,
        )
        for name, shape in seen.shapes.items()
    )


def _depth(name: str, known: Mapping[str, Any]) -> int:
    """Return 1 for a layer that is in no other one; containers that do not run do not count."""
    parts = name.split(".")
    return 1 + sum(".".join(parts[:end]) in known for end in range(1, len(parts)))


def _look(
    derainer: Derainer,
    rgb: NDArray[Any],
    wanted: Callable[[str, int], bool] = lambda name, run: False,
    *,
    channels: int | None = 8,
    attention: bool = False,
    at: tuple[float, float] | None = None,
) -> tuple[_Seen, RGB8]:
    """Run the network once; return what the hooks saw, and the result."""
    import torch

    from rainkit.networks import pad

    network, seen = derainer.network, _Seen()
    rainy = images.to_tensor(rgb)
    height, width = rainy.shape[-2:]
    padded = pad(rainy, network.spec).shape[-2:]
    share = (height / padded[0], width / padded[1])

    def kept(name: str, maps: Tensor, number: int | None) -> _Kept:
        h, w = (
            max(1, round(side * part)) for side, part in zip(maps.shape[-2:], share, strict=True)
        )
        whole = maps[0, :, :h, :w].detach().float()
        order = list(range(whole.shape[0]))
        if number is not None and number < whole.shape[0]:
            spread = whole.flatten(1).std(1)
            order = sorted(spread.argsort(descending=True, stable=True)[:number].tolist())
        tiles = [_tile_of(whole[each].cpu().numpy()) for each in order]
        return _Kept(name, (whole.shape[0], h, w), tuple(order), tiles)

    def hook(name: str, module: nn.Module, inputs: Sequence[Any], answer: Any) -> None:
        maps = _maps_of(answer)
        if maps is None:
            return
        seen.runs[name] += 1
        run = seen.runs[name]
        seen.kinds[name] = type(module).__name__
        seen.shapes[name] = (maps.shape[1], maps.shape[2], maps.shape[3])
        attends = callable(getattr(type(module), ATTENTION, None))
        if attends:
            seen.attends.add(name)
        if wanted(name, run):
            seen.maps.append(kept(f"{name}@{run}", maps, channels))
        if attention and attends:
            looked = getattr(module, ATTENTION)(inputs[0], at)
            seen.attention.append(kept(f"{name}@{run}", looked, None))

    with torch.inference_mode(), hooked(network.network, hook):
        image = network(rainy)
    for each in (*seen.maps, *seen.attention):  # a layer that runs once needs no number
        name, _, _ = each.name.rpartition("@")
        if seen.runs[name] == 1:
            each.name = name
    result = images.to_array(image[0].clamp(0, 1), np.uint8)
    return seen, np.asarray(result, np.uint8)


@contextmanager
def hooked(
    network: nn.Module, hook: Callable[[str, nn.Module, Sequence[Any], Any], None]
) -> Iterator[None]:
    """Call a function after each run of each sub-module, but not while it runs itself.

    Args:
        network: the network.
        hook: called with a module's name, the module, its inputs and what it gave.
    """
    busy = False

    def guarded(name: str, module: nn.Module, inputs: Sequence[Any], answer: Any) -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        try:
            hook(name, module, inputs, answer)
        finally:
            busy = False

    def of(name: str) -> Callable[[nn.Module, Sequence[Any], Any], None]:
        return lambda module, inputs, answer: guarded(name, module, inputs, answer)

    handles = [
        module.register_forward_hook(of(name)) for name, module in network.named_modules() if name
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _maps_of(answer: Any) -> Tensor | None:
    """Return the maps [B,C,h,w] that a module gave; None if it gave none."""
    import torch

    candidates = answer if isinstance(answer, (tuple, list)) else (answer,)
    for each in candidates:
        if isinstance(each, torch.Tensor) and each.dim() == 4 and each.is_floating_point():
            return each
    return None


def _tile_of(values: Map) -> Map:
    """Shrink a map to the largest size that the sheet shows."""
    height, width = values.shape
    scale = _Sheet.THIRD / width
    if scale >= 1:
        return values
    size = (_Sheet.THIRD, max(1, round(height * scale)))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _draw_maps(sheet: _Sheet, kept: _Kept) -> ShownMap:
    low, high = levels(kept.tiles)
    number, h, w = kept.shape
    some = "" if len(kept.channels) == number else f", the {len(kept.channels)} that vary most"
    of = f"{number} channel{'' if number == 1 else 's'} of {w} x {h}{some}"
    sheet.heading(f"{kept.name}: {of}; black {low:.3g}, white {high:.3g}")
    labels = [""] if number == 1 else list(map(str, kept.channels))
    sheet.tiles(
        [(_grey(tile, low, high), label) for tile, label in zip(kept.tiles, labels, strict=True)],
        _Sheet.EIGHTH,
    )
    return ShownMap(name=kept.name, shape=kept.shape, channels=kept.channels, low=low, high=high)


def _draw_attention(
    sheet: _Sheet, found: Sequence[_Kept], at: tuple[float, float] | None
) -> tuple[ShownMap, ...]:
    if not found:
        return ()
    what = "that each place receives from all" if at is None else "of the point in the ring"
    sheet.heading(f"attention {what}; black 0, 1 is even attention")
    shown = []
    tiles = []
    for kept in found:
        low, high = levels(kept.tiles)
        label = f"{kept.name}, {kept.shape[2]} x {kept.shape[1]}: white {high:.3g}"
        tiles.append((_grey(kept.tiles[0], low, high), label))
        shown.append(
            ShownMap(name=kept.name, shape=kept.shape, channels=kept.channels, low=low, high=high)
        )
    sheet.tiles(tiles, _Sheet.THIRD)
    return tuple(shown)


def _draw_gradients(sheet: _Sheet, pictures: Mapping[str, RGB8]) -> None:
    found = {name: gradients(picture) for name, picture in pictures.items()}
    # One scale for all of them, so that they compare.
    _, high = levels([each for pair in found.values() for each in pair])
    for number, direction in enumerate(("horizontal", "vertical")):
        sheet.heading(f"{direction} gradient; black 0, white {high:.3g} grey levels per pixel")
        sheet.tiles(
            [(_grey(pair[number], 0, high), name) for name, pair in found.items()], _Sheet.THIRD
        )


def _grey(values: Map, low: float, high: float) -> RGB8:
    shown = np.clip((values - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
    return np.repeat(shown[..., None], 3, axis=2)


def _marked(rgb: RGB8, at: tuple[float, float]) -> RGB8:
    """Draw a ring around a point."""
    height, width = rgb.shape[:2]
    centre = (math.floor(at[1] * width), math.floor(at[0] * height))
    marked = rgb.copy()
    radius = max(4, min(height, width) // 40)
    for colour, thickness in (((0, 0, 0), 4), ((255, 220, 0), 2)):
        cv2.circle(marked, centre, radius, colour, thickness, cv2.LINE_AA)
    return marked


class _Sheet:
    """Rows of tiles below headings, on white."""

    EIGHTH = 176
    GAP = 6
    MARGIN = 18
    THIRD = (8 * EIGHTH + 7 * GAP - 2 * GAP) // 3
    WIDTH = 2 * MARGIN + 8 * EIGHTH + 7 * GAP
    _HIGHEST = 32_000

    def __init__(self) -> None:
        self._rows: list[RGB8] = []

    def heading(self, text: str) -> None:
        """Add a line of text, which is cut at the right margin."""
        image = Image.new("RGB", (self.WIDTH, 34), "white")
        font = ImageFont.load_default(15)
        shown = text.encode("utf-8", "replace").decode("utf-8")
        draw = ImageDraw.Draw(image)
        if draw.textlength(shown, font) > self.WIDTH - 2 * self.MARGIN:
            while shown and draw.textlength(f"{shown}…", font) > self.WIDTH - 2 * self.MARGIN:
                shown = shown[:-1]
            shown += "…"
        draw.text((self.MARGIN, 12), shown, "black", font)
        self._rows.append(np.asarray(image, np.uint8))

    def tiles(self, pictures: Sequence[tuple[RGB8, str]], width: int) -> None:
        """Add pictures of one width, with a label below each, in as many rows as they need."""
        across = (self.WIDTH - 2 * self.MARGIN + self.GAP) // (width + self.GAP)
        font = ImageFont.load_default(12)
        for start in range(0, len(pictures), across):
            row = [
                (_scaled(each, width), label) for each, label in pictures[start : start + across]
            ]
            height = max(tile.shape[0] for tile, _ in row)
            labelled = any(label for _, label in row)
            image = Image.new("RGB", (self.WIDTH, height + (18 if labelled else 6)), "white")
            draw = ImageDraw.Draw(image)
            for number, (tile, label) in enumerate(row):
                x = self.MARGIN + number * (width + self.GAP)
                image.paste(Image.fromarray(tile), (x, 0))
                draw.text((x, height + 1), label, "#555555", font)
            self._rows.append(np.asarray(image, np.uint8))

    def picture(self) -> RGB8:
        """Return the sheet.

        Raises:
            UsageError: it is too high for a picture that programs open.
        """
        height = sum(row.shape[0] for row in self._rows) + self.MARGIN
        if height > self._HIGHEST:
            raise UsageError(
                f"the sheet would be {height} pixels high: choose fewer layers by --layer, or "
                "fewer --channels"
            )
        end = np.full((self.MARGIN, self.WIDTH, 3), 255, np.uint8)
        return np.concatenate([*self._rows, end])


def _scaled(picture: RGB8, width: int) -> RGB8:
    """Return a picture at a width; pixels of enlarged ones stay squares."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    larger = width > picture.shape[1]
    how = cv2.INTER_NEAREST if larger else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)

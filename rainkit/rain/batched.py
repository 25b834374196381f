"""Rendering of rain over whole batches with torch, on the device that trains.

Weather, drops and lines come from the same code on the CPU as in :func:`rainkit.rain.render`, so
that a seed gives the same rain. The device adds up the same integers, in any order. Only its blur
and blending round differently, which changes a few pixels by one level.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rainkit.errors import ImageError, UsageError
from rainkit.rain import drops, physics, streaks
from rainkit.rain.composition import TO_STORED, terms
from rainkit.rain.render import SampledRain, layers, sample_rain
from rainkit.rain.settings import RainSettings

__all__ = ["paint_batch", "render_batch"]

Map = npt.NDArray[np.float32]

_CHUNK = 1 << 20  # samples of lines that are drawn at a time; they take about 50 MB


def render_batch(
    clean: Tensor,
    settings: Sequence[RainSettings],
    seeds: Sequence[Sequence[int]],
    *,
    distances: Sequence[float | None] | None = None,
    depths: Sequence[Map | None] | None = None,
    frame_widths: Sequence[float | None] | None = None,
    airlights: Sequence[Sequence[float] | None] | None = None,
) -> Tensor:
    """Render rain over a batch, uint8 [B, 3, H, W] in and out, on the batch's device.

    Each sequence holds one argument of :func:`rainkit.rain.render` per picture. Results are within
    one level of that function's, and they are the same every time on one device.

    Raises:
        ImageError: ``clean`` or a depth map has a wrong type, shape or value.
        UsageError: A seed, frame width, distance or airlight is invalid, or a sequence has another
            length than the batch.
    """
    _check(clean)
    count = len(clean)
    lists: dict[str, Sequence[Any] | None] = {
        "settings": settings,
        "seeds": seeds,
        "distances": distances,
        "depths": depths,
        "frame_widths": frame_widths,
        "airlights": airlights,
    }
    for name, given in lists.items():
        if given is not None and len(given) != count:
            raise UsageError(f"rain: {len(given)} {name} for a batch of {count}")
    each = zip(*(given or itertools.repeat(None, count) for given in lists.values()), strict=True)
    pictures = clean.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    rains = [
        sample_rain(
            picture, setting, seed, distance=distance, depth=depth, frame_width=wide, airlight=air
        )
        for picture, (setting, seed, distance, depth, wide, air) in zip(pictures, each, strict=True)
    ]
    return paint_batch(clean, rains)


def paint_batch(clean: Tensor, rains: Sequence[SampledRain]) -> Tensor:
    """Paint sampled rain over each picture of a batch, uint8 [B, 3, H, W] in and out.

    Raises:
        ImageError: ``clean`` has a wrong type or shape, or rain was sampled for another size.
    """
    _check(clean)
    sizes = {(rain.geometry.height, rain.geometry.width) for rain in rains}
    if len(rains) != len(clean) or sizes != {tuple(clean.shape[2:])}:
        raise ImageError(
            f"rain: the rain for {len(rains)} pictures of {sorted(sizes)} px does not fit a batch "
            f"of {list(clean.shape)}: sample it for its pictures"
        )
    clear = torch.exp(_thickness(rains, clean.device) * (-1 / streaks.THICKNESS_STEPS))
    for number, rain in enumerate(rains):
        if rain.cover is not None:
            clear[number] *= (255 - torch.from_numpy(rain.cover).to(clear.device).float()) / 255
    ranges = [rain.geometry.ranges() for rain in rains]
    through = _transmission(rains, ranges, clean.device)
    channels = [
        terms(s.settings, s.weather.streak, s.weather.airlight, veiled=where is not None)
        for s, where in zip(rains, ranges, strict=True)
    ]
    tone, streak, constant = (
        torch.from_numpy(np.stack(part)).to(clean.device)
        for part in zip(*(channel for picture in channels for channel in picture), strict=True)
    )
    scene = tone.gather(1, clean.reshape(len(tone), -1).long()).view(clean.shape)
    adds = torch.tensor([s.settings.blend == "add" for s in rains], device=clean.device)
    weight = clear.masked_fill(adds.view(-1, 1, 1), 1.0)
    if through is not None:
        weight *= through
    rainy = scene.mul_(weight.unsqueeze(1)).addcmul_(clear.unsqueeze(1), streak.view(-1, 3, 1, 1))
    rainy += constant.view(-1, 3, 1, 1)
    return _stored(rainy, [s.settings.light == "linear" for s in rains])


def _check(clean: Tensor) -> None:
    if clean.dtype != torch.uint8 or clean.ndim != 4 or clean.shape[1] != 3 or 0 in clean.shape:
        raise ImageError(
            "rain is rendered over uint8 RGB batches of shape [batch, 3, height, width], "
            f"not {clean.dtype} {list(clean.shape)}: convert it first"
        )


def _thickness(rains: Sequence[SampledRain], device: torch.device) -> Tensor:
    """Return the optical thickness of the streaks in view, in steps of 1/THICKNESS_STEPS.

    The result is float32 [B, H, W].
    """
    geometry = rains[0].geometry
    parts = [layers(s.drops, s.settings.cuts_m, s.geometry) for s in rains]
    deepest = max(len(part) for part in parts)
    # Each layer of each picture has a slot, and ``slot`` holds that of every drop of the batch.
    every, first = _joined([s.drops for s in rains])
    slot, chosen = np.zeros(len(every), np.int64), []
    veil, near = (torch.zeros(len(rains), deepest, 1, 1) for _ in range(2))
    for number, part in enumerate(parts):
        for depth, layer in enumerate(part):
            members = layer.chosen + first[number]
            slot[members] = number * deepest + depth
            chosen.append(members)
            veil[number, depth] = layer.veil * streaks.THICKNESS_STEPS
            near[number, depth] = layer.near_m
    planes = torch.zeros(veil.numel(), geometry.height, geometry.width, device=device)
    _draw_streaks(planes, every, np.concatenate(chosen), slot)
    total = planes.view(*veil.shape[:2], *planes.shape[1:]) + veil.to(device)
    if any(s.geometry.depth is not None for s in rains):
        nowhere = np.full((geometry.height, geometry.width), np.inf, np.float32)
        maps = [nowhere if s.geometry.depth is None else s.geometry.depth for s in rains]
        depths = torch.from_numpy(np.stack(maps)).to(device).unsqueeze(1)
        total = total.masked_fill_(depths <= near.to(device), 0.0)
    return total.sum(1)


def _joined(batch: Sequence[drops.Drops]) -> tuple[drops.Drops, list[int]]:
    """Join the drops of a batch, and return them with the index of each picture's first drop."""
    ends = np.cumsum([len(each) for each in batch])
    names = ("x", "y", "dx", "dy", "mass", "sigma", "z")
    arrays = {name: np.concatenate([getattr(each, name) for each in batch]) for name in names}
    return drops.Drops(**arrays, veil=(), n_drops=int(ends[-1])), [0, *ends.tolist()]


def _draw_streaks(
    planes: Tensor,
    every: drops.Drops,
    chosen: npt.NDArray[np.intp],
    slot: npt.NDArray[np.int64],
) -> None:
    """Add the blurred streaks of the chosen drops to planes [slots, H, W].

    Planes are in steps of 1/THICKNESS_STEPS.
    """
    _, height, width = planes.shape
    for blur in streaks.blurs(every, chosen):
        rows, columns = height + 2 * blur.pad, width + 2 * blur.pad
        used = np.unique(slot[blur.chosen])  # wide blurs are rare, and most planes need no canvas
        canvas = torch.zeros(len(used) * rows * columns, dtype=torch.int32, device=planes.device)
        for lines in streaks.lines(every, blur, rows, columns):
            for part in lines.chunks(_CHUNK):
                number = np.searchsorted(used, slot[part.drop])
                _walk(canvas, part, number * (rows * columns) + part.base)
        guard = blur.pad - blur.radius
        inner = canvas.view(-1, rows, columns)[:, guard:-guard, guard:-guard].float()
        blurred = _blurred(inner, streaks.kernel(blur))
        planes[torch.from_numpy(used).to(planes.device)] += blurred


def _walk(canvas: Tensor, lines: streaks.Lines, base: npt.NDArray[np.int64]) -> None:
    """Add lines to a flat array of canvases; ``base`` is the address of each line's first row."""
    whole = np.stack([lines.counts, lines.offset, lines.slope])
    real = np.stack([lines.mass, lines.head, lines.tail])
    counts, offset, slope = torch.from_numpy(whole).to(canvas.device)
    each, head, tail = torch.from_numpy(real).to(canvas.device)

    line = torch.repeat_interleave(counts, output_size=int(lines.counts.sum()))
    ends = counts.cumsum(0)
    starts = ends - counts
    k = torch.arange(len(line), device=canvas.device) - starts[line]  # sample k of its line
    across = slope[line] * k.int() + offset[line]
    across.clamp_(0, lines.last * streaks.POSITION_STEPS)
    column = across // streaks.POSITION_STEPS
    mass = each[line]
    mass[starts] = head
    mass[ends - 1] *= tail
    right = ((across - column * streaks.POSITION_STEPS) * mass * (1 / streaks.POSITION_STEPS)).int()
    at = torch.from_numpy(base).to(canvas.device)[line] + k * lines.stride + column * lines.step
    # Sums of integers do not depend on the order in which a device adds them.
    canvas.scatter_add_(0, at, mass.int() - right)
    canvas.scatter_add_(0, at + lines.step, right)


def _blurred(planes: Tensor, weights: Map) -> Tensor:
    """Blur [N, H + 2 r, W + 2 r] along both axes with 2 r + 1 weights, to [N, H, W].

    Shifted planes are added, because a convolution of one channel takes ten times as long on a CPU.
    """
    for axis in (1, 2):
        size = planes.shape[axis] - len(weights) + 1
        parts = [planes.narrow(axis, shift, size) for shift in range(len(weights))]
        total = parts[0] * float(weights[0])
        for part, weight in zip(parts[1:], weights[1:].tolist(), strict=True):
            total.add_(part, alpha=weight)
        planes = total
    return planes


def _transmission(
    rains: Sequence[SampledRain], ranges: Sequence[Map | None], device: torch.device
) -> Tensor | None:
    """Return the share of light that crosses the rain, float32 [B, H, W], or None for no veil."""
    geometry = rains[0].geometry
    nothing = np.zeros((geometry.height, geometry.width), np.float32)
    if all(where is None for where in ranges):
        return None
    distance = np.stack([nothing if where is None else where for where in ranges])
    beta = [s.settings.fog_gain * physics.extinction(s.weather.rate_mm_h) for s in rains]
    depth = torch.from_numpy(distance).to(device) * torch.tensor(beta, device=device).view(-1, 1, 1)
    return torch.exp(depth.clamp_(max=80.0).neg_())


def _stored(rainy: Tensor, linear: Sequence[bool]) -> Tensor:
    """Round to uint8 [B, 3, H, W], in place; ``linear`` says which pictures are linear light."""
    rows = [number for number, each in enumerate(linear) if each]
    if rows:
        index = (rainy[rows] * (65535 / 255) + 0.5).clamp_(0, 65535).long()
        rainy[rows] = torch.from_numpy(TO_STORED).to(rainy.device)[index].float()
    return rainy.round_().clamp_(0, 255).to(torch.uint8)

"""From the name of a method to a Derainer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from rainkit import networks, plugins
from rainkit import weights as weight_files
from rainkit.api import ImageSpec, Method
from rainkit.errors import UsageError, WeightsError
from rainkit.inference.derainer import SMALLEST_SIDE, Derainer
from rainkit.inference.effort import choose as choose_effort
from rainkit.inference.tiles import Grid

__all__ = ["Side", "derain", "load", "only_method"]

Side: TypeAlias = int | Literal["auto"] | None
"""Side of tiles in pixels; 0 = whole pictures; ``auto`` or None = by the device."""

_AUTO_SIDE = {"cpu": 768, "mps": 1024, "cuda": 2048}
"""Large enough that the halo costs little, small enough for most memory and for a CPU's caches."""

_HALO, _FEATHER = 48, 32
"""For methods whose tiles are approximate. Pixels matter to them from far away or everywhere, but
most of the error lies near the cut."""


def load(
    name: str | Method,
    *,
    weights: str | Path | None = None,
    variant: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    tile: Side = "auto",
    compile: bool = False,
    blocks: int | None = None,
    effort: str = "full",
    stop_below: float | None = None,
) -> Derainer:
    """Load an installed method with trained weights.

    >>> derainer = load("graspp-gan", device="cpu")  # doctest: +SKIP
    >>> clean = derainer.derain("rainy.jpg")  # an array [H,W,3]  # doctest: +SKIP

    Args:
        name: an installed method (see ``rainkit methods``).
        weights: a tag of the method or a ``.safetensors`` file; None = the method's first weights,
            or its first of the variant.
        variant: the variant the weights must be of; None = whatever the weights say.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        tile: side in pixels of the tiles that larger pictures are cut into; 0 = never cut;
            ``auto`` or None = by the device.
        compile: use ``torch.compile``; where that does not work, warn and go on without.
        blocks: of an anytime method, the blocks to run at most; None = all.
        effort: ``full``; or ``auto``, to stop a picture after the block that changes it little.
        stop_below: what is little: the root mean square of the change in levels of 255; None =
            :data:`rainkit.inference.effort.STOP_BELOW`.

    Raises:
        UsageError: an unknown method, weights tag, variant or device, a tile that cannot be, or
            blocks and effort of a method that is not an anytime one.
        MethodError: the method is broken.
        WeightsError: it has no such weights, or they are damaged.
    """
    method = plugins.get(name) if isinstance(name, str) else name
    file = _find_weights(method, None if weights is None else str(weights), variant)
    spec = method.image(file.network)
    runtime = networks.choose(device, precision, spec)
    grid = _grid(method, spec, tile, runtime.device.type)
    chosen = choose_effort(method, file.network, blocks, effort, stop_below)

    def prepare(compiled: bool) -> networks.ImageOnly:
        network = weight_files.load(networks.build(method, file.network), file)
        return networks.prepare(network, spec, runtime, compiled=compiled)

    network = _compiled(prepare) if compile else prepare(False)
    return Derainer(method=method, weights=file, network=network, grid=grid, effort=chosen)


def derain(image: Any, method: str | Method | None = None, **options: Any) -> Any:
    """Take the rain out of one picture; for several, :func:`load` a method once.

    >>> clean = derain("rainy.jpg", "graspp-gan")  # doctest: +SKIP

    Args:
        image: what :meth:`Derainer.derain` takes.
        method: an installed method; None = the only one there is.
        options: what else :func:`load` takes.
    """
    return load(only_method() if method is None else method, **options).derain(image)


def only_method() -> str:
    """The name of the one method that is installed.

    Raises:
        UsageError: there are several, or none.
    """
    names = [found.name for found in plugins.installed() if found.problem is None]
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(plugins.none_installed())
    raise UsageError(f"no method named: add --method with one of {', '.join(names)}")


def _find_weights(
    method: Method, which: str | None, variant: str | None
) -> weight_files.WeightsFile:
    if variant is not None and variant not in method.variants:
        raise UsageError(
            f"--variant {variant}: {method.name} has the variants {', '.join(method.variants)}"
        )
    if which is None and variant is not None:
        which = next((w.tag for w in method.weights if w.variant == variant), None)
        if which is None:
            raise WeightsError(
                f"{method.name} ships no weights of the variant {variant}: "
                "train some and pass --weights FILE.safetensors"
            )
    file = weight_files.find(method, which)
    if variant is not None and file.variant != variant:
        raise UsageError(
            f"--variant {variant}: the weights {file.name} are of the variant {file.variant}; "
            "leave --variant out"
        )
    return file


def _grid(method: Method, spec: ImageSpec, tile: Side, device: str) -> Grid:
    automatic = tile is None or tile == "auto"
    given: object = tile
    if not automatic and (isinstance(given, bool) or not isinstance(given, Integral)):
        raise UsageError(f"tile {tile!r}: give auto, 0, or the side of tiles in pixels")
    side = _AUTO_SIDE[device] if tile is None or tile == "auto" else int(tile)
    if spec.tiling == "never":
        if not automatic and side:
            raise UsageError(f"--tile {tile}: {method.name} needs whole pictures; leave it out")
        side = 0
    elif side and side < SMALLEST_SIDE:
        raise UsageError(f"--tile {tile}: give at least {SMALLEST_SIDE}, or 0 for whole pictures")
    radius = spec.receptive_radius
    exact = spec.tiling == "exact" and radius is not None
    return Grid(
        side=side,
        halo=radius if exact and radius is not None else min(radius or _HALO, _HALO),
        feather=0 if exact else _FEATHER,
        multiple_of=math.lcm(spec.multiple_of, spec.tile_step),
        min_size=spec.min_size,
    )


def _compiled(prepare: Callable[[bool], networks.ImageOnly]) -> networks.ImageOnly:
    """``torch.compile`` fails when it first runs, such as for want of a compiler: run it here."""
    network = prepare(True)
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, 64, 64))
    except Exception as error:  # whatever the compiler's back end raises
        reason = " ".join(str(error).split())[:120]
        warnings.warn(
            f"torch.compile does not work here ({reason}); going on without it",
            RuntimeWarning,
            stacklevel=3,
        )
        return prepare(False)
    return network

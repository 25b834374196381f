"""Loading methods: one of them, or for each picture the one that suits its rain."""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rainkit import backends, images, networks
from rainkit import weights as weight_files
from rainkit.api import Method
from rainkit.choices import Backend
from rainkit.errors import one_line
from rainkit.images import Picture
from rainkit.inference import tiles
from rainkit.inference.arrays import as_batch, check_array
from rainkit.inference.choice import AutoSetup, RainKind, rain_kind
from rainkit.inference.derainer import Derainer, Result
from rainkit.inference.dryness import can_tell
from rainkit.inference.setup import Setup, default_method, set_up
from rainkit.inference.tiles import Grid
from rainkit.precision import choose_runtime
from rainkit.runtime_options import EXPORTED, Effort, RuntimeOptions

__all__ = [
    "AutoDerainer",
    "build",
    "build_all",
    "derain",
    "load",
    "open_derainer",
]


_log = logging.getLogger(__name__)


class AutoDerainer(Derainer):
    """Derainers of several methods, of which each picture takes the one that suits its rain.

    The attributes are those of the method for sparse rain. Networks of other methods are built when
    a picture needs them.

    Args:
        setup: which method suits which rain.
        compiled: whether to compile networks.
    """

    def __init__(self, setup: AutoSetup, *, compiled: bool = False) -> None:
        first = build(setup.by_kind["sparse"], compiled=compiled)
        super().__init__(
            method=first.method,
            weights=first.weights,
            network=first.network,
            grid=first.grid,
            effort=first.effort,
            work_size=first.work_size,
            strength=first.strength,
            spare_traces=first.spare_traces,
            remake=functools.partial(AutoDerainer, setup, compiled=compiled),
        )
        self._setup, self._compiled = setup, compiled
        self._built = {first.weights.name: first}
        self._building = threading.Lock()
        self._one = len({each.weights.name for each in setup.by_kind.values()}) == 1

    def choose(self, rgb: NDArray[Any]) -> tuple[Derainer, RainKind | None]:
        """Return the derainer for a picture, and the kind of its rain; None if one suits all.

        Args:
            rgb: [H,W,3], uint8, uint16, or floats in [0,1].
        """
        kind = None if self._one else rain_kind(rgb)
        return self._of(kind), kind

    def backend(self, *, parts: bool = False) -> str:
        """Return what has executed the networks so far."""
        ran = (Derainer.backend(each, parts=parts) for each in self._built.values())
        return "; ".join(dict.fromkeys(ran))

    @property
    def name(self) -> str:
        """``auto``."""
        return self._setup.name

    @property
    def tells_dry(self) -> bool:
        """Whether what any of the methods takes off a picture says if there was rain."""
        return all(can_tell(each.weights) for each in self._setup.by_kind.values())

    def suited_to(self, frames: Iterable[NDArray[Any]]) -> Derainer:
        """Return the derainer for the kind of rain that most of the frames have."""
        kinds = () if self._one else Counter(map(rain_kind, frames)).most_common(1)
        return self._of(kinds[0][0] if kinds else None)

    def at_work_size(self, longest: int) -> Derainer:
        """Return a derainer with the same networks that sees all pictures at one size."""
        fixed = copy.copy(self)
        fixed.work_size = longest
        setups: dict[RainKind, Setup] = {
            kind: dataclasses.replace(
                each, options=dataclasses.replace(each.options, work_size=longest)
            )
            for kind, each in self._setup.by_kind.items()
        }
        fixed._setup = dataclasses.replace(self._setup, by_kind=setups)
        fixed._remake = functools.partial(AutoDerainer, fixed._setup, compiled=self._compiled)
        with self._building:
            fixed._built = {name: each.at_work_size(longest) for name, each in self._built.items()}
        fixed._building = threading.Lock()
        return fixed

    def _of(self, kind: RainKind | None) -> Derainer:
        setup = self._setup.by_kind[kind or "sparse"]
        with self._building:
            if setup.weights.name not in self._built:
                self._built[setup.weights.name] = build(setup, compiled=self._compiled)
        return self._built[setup.weights.name]

    def derain_with_parts(
        self, image: str | Path | NDArray[Any]
    ) -> tuple[NDArray[Any], dict[str, NDArray[np.float32]]]:
        """Return the results of :meth:`derain` and :meth:`parts` from one run."""
        rgb = images.read(image).rgb if isinstance(image, (str, Path)) else image
        check_array(rgb)
        return self.choose(rgb)[0].derain_with_parts(rgb)

    def derain_picture(
        self, picture: Picture, on_tile: tiles.OnTile | None = None, *, parts: bool = False
    ) -> Result:
        """Take the rain out of a decoded file, by the method that suits its first frame."""
        check_array(picture.rgb)
        derainer, kind = self.choose(picture.rgb)
        result = derainer.derain_picture(picture, on_tile, parts=parts)
        return dataclasses.replace(result, by=derainer.weights.name, rain=kind)

    def derain_batch(self, pictures: Sequence[Picture]) -> list[Result]:
        """Take the rain out of decoded files of one size, each by the method that suits it."""
        chosen = [self.choose(each.rgb) for each in pictures]
        done: dict[int, Result] = {}
        for derainer in {id(derainer): derainer for derainer, _ in chosen}.values():
            places = [place for place, (each, _) in enumerate(chosen) if each is derainer]
            together = derainer.derain_batch([pictures[place] for place in places])
            for place, result in zip(places, together, strict=True):
                by, rain = derainer.weights.name, chosen[place][1]
                done[place] = dataclasses.replace(result, by=by, rain=rain)
        return [done[place] for place in range(len(pictures))]

    def _derain_array(self, rgb: NDArray[Any]) -> NDArray[Any]:
        check_array(rgb)
        return self.choose(rgb)[0]._derain_array(rgb)

    def _derain_tensor(self, rainy: Tensor) -> Tensor:
        batch = as_batch(rainy)
        arrays = batch.detach().float().cpu().permute(0, 2, 3, 1).numpy()
        done = [
            self.choose(np.ascontiguousarray(array))[0]._derain_tensor(each)
            for array, each in zip(arrays, torch.split(batch, 1), strict=True)
        ]
        return torch.cat(done).reshape(rainy.shape)


def load(
    name: str | Method,
    *,
    weights: str | Path | None = None,
    variant: str | None = None,
    device: str | torch.device = "auto",
    precision: str = "auto",
    tile: int | str | None = "auto",
    work_size: int | str | None = "auto",
    effort: int | str | Effort = "full",
    strength: float = 1.0,
    spare_traces: bool | None = None,
    backend: str = "auto",
    compile: bool = False,
) -> Derainer:
    """Load an installed method with trained weights.

    >>> derainer = load("graspp-gan", device="cpu")  # doctest: +SKIP
    >>> clean = derainer.derain("rainy.jpg")  # an array [H,W,3]  # doctest: +SKIP

    Args:
        name: an installed method (see ``rainkit methods``), or ``auto`` for the one that suits the
            rain of each picture best (:mod:`rainkit.inference.choice`).
        weights: a tag of the method or a ``.safetensors`` file; None for the method's first
            weights, or its first of the variant.
        variant: the variant that the weights must be of; None for any.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``, or a device of torch.
        precision: ``auto``, ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        tile: side in pixels of the tiles that larger pictures are cut into; 0 for whole pictures;
            ``auto`` or None for a side that suits the device.
        work_size: longest side in pixels of what the network sees of larger pictures; a factor such
            as ``2x`` for what it sees of every picture; ``auto`` or None for the size at which the
            streaks of a picture have the width that networks know, which may enlarge a small one by
            1.5; ``full`` for the full size. The result always has the full size.
        effort: how much of an anytime method runs: ``full``; ``auto`` to stop after the block that
            changes a picture by less than 4 grey levels, or ``auto:LEVELS`` for another threshold;
            or the largest number of blocks.
        strength: factor of the rain that is taken off, 0 to 1.5: 1 for as much as the network
            finds, less for a trace of rain, more for rain that is left; results are clipped to the
            range of values.
        spare_traces: whether to give back what is too faint to be rain, and shifts of colour where
            there is none (:mod:`rainkit.inference.traces`); None for what suits the weights, False
            for the network's own result.
        backend: what executes the network: ``auto`` for the fastest that was measured here to give
            the same pictures, which long runs find out, or else torch; ``eager``, ``compile``,
            ``openvino``, ``onnx``, or a file of ``rainkit export``.
        compile: use ``torch.compile``; if that fails, warn and go on without.

    Raises:
        UsageError: an unknown method, weights tag, variant or device, a tile that is too small, or
            an effort that the method does not offer, or a strength out of range.
        MethodError: the method is broken.
        WeightsError: it has no such weights, or they are damaged.
    """
    options = RuntimeOptions.parse(
        device=device,
        precision=precision,
        tile=tile,
        work_size=work_size,
        effort=effort,
        strength=strength,
        spare_traces=spare_traces,
        backend=backend,
    )
    return open_derainer(name, options, weights=weights, variant=variant, compiled=compile)


def open_derainer(
    name: str | Method,
    options: RuntimeOptions,
    *,
    weights: str | Path | None = None,
    variant: str | None = None,
    compiled: bool = False,
) -> Derainer:
    """Load a method as :func:`load` does, to run under given options.

    Raises:
        UsageError, MethodError, WeightsError: as :func:`load`.
    """
    return build(set_up(name, options, weights=weights, variant=variant), compiled=compiled)


def build(setup: Setup, *, compiled: bool = False, folded: bool = True) -> Derainer:
    """Build the network of a setup on its device.

    Args:
        setup: method, weights and options.
        compiled: use ``torch.compile`` as the backend ``compile`` does.
        folded: fold batch normalisation into convolutions, which changes the layers.

    Raises:
        UsageError: this machine has no such device, or the method forbids the precision.
        MethodError: the method's network cannot be built.
        WeightsError: the weights do not fit it.
    """
    if isinstance(setup, AutoSetup):
        options = setup.options
        kinds = {k: dataclasses.replace(s, options=options) for k, s in setup.by_kind.items()}
        return AutoDerainer(dataclasses.replace(setup, by_kind=kinds), compiled=compiled)
    method, file, options = setup.method, setup.weights, setup.options
    precision = backends.precision_for(options.backend, options.precision)
    runtime = choose_runtime(options.device, precision, setup.spec)

    def prepare(compiled: bool) -> networks.ImageOnly:
        # Initial values draw random numbers, which the program's own must not depend on.
        with torch.random.fork_rng(devices=[]):
            network = weight_files.load(networks.build(method, file.network), file)
        return networks.prepare(network, setup.spec, runtime, compiled=compiled, folded=folded)

    compiled = compiled or options.backend == Backend.COMPILE
    network = _compiled(prepare) if compiled else prepare(False)
    if compiled:
        network.backend = Backend.COMPILE
    elif options.backend.endswith(EXPORTED):
        backends.attach_file(network, Path(options.backend), file, method.name)
    else:
        told = backends.identity(method, file.network)
        backends.attach(network, options.backend, told, (method, file))
    grid = Grid.of_method(setup.spec, options.tile, runtime.device.type)
    _log.debug(
        "%s runs on %s in %s by %s, %s",
        file.name,
        runtime.device,
        runtime.precision,
        network.backend,
        f"in tiles of {grid.side} pixels" if grid.side else "picture by picture",
    )
    return Derainer(
        method=method,
        weights=file,
        network=network,
        grid=grid,
        effort=options.effort,
        work_size=options.work_size,
        strength=options.strength,
        spare_traces=setup.spare_traces,
        fit=options.tile is None and not compiled,
        remake=functools.partial(build, setup, compiled=compiled, folded=folded),
    )


def derain(image: Any, method: str | Method | None = None, **options: Any) -> Any:
    """Take the rain out of one picture; to derain several, :func:`load` a method once.

    >>> clean = derain("rainy.jpg", "graspp-gan")  # doctest: +SKIP

    Args:
        image: any image that :meth:`Derainer.derain` takes.
        method: an installed method; None for the only one that is installed, or else ``auto``.
        options: further arguments of :func:`load`.
    """
    if method is None:
        method = default_method(options.get("weights"), options.get("variant"))
    return load(method, **options).derain(image)


def build_all(setup: Setup, most: int | None = None) -> list[Derainer]:
    """Build the network on all CUDA devices of this machine, if it is to run on any of them.

    Args:
        setup: what is built.
        most: number of devices that have something to do; None if that is not known.

    Raises:
        UsageError, MethodError, WeightsError: as :func:`build`.
    """
    first = build(setup)
    if first.runtime.device.type != "cuda" or setup.options.device not in ("auto", "cuda"):
        return [first]
    number = torch.cuda.device_count()
    others = [f"cuda:{index}" for index in range(1, number if most is None else min(number, most))]
    return [first] + [
        build(dataclasses.replace(setup, options=dataclasses.replace(setup.options, device=device)))
        for device in others
    ]


def _compiled(prepare: Callable[[bool], networks.ImageOnly]) -> networks.ImageOnly:
    """Compile and run once, since ``torch.compile`` fails only then, e.g. without a compiler."""
    network = prepare(True)
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, 64, 64))
    except Exception as error:  # a compiler may raise anything
        reason = one_line(error)
        warnings.warn(
            f"torch.compile does not work here ({reason}); going on without it",
            RuntimeWarning,
            stacklevel=3,
        )
        return prepare(False)
    return network

"""Building a method's network and running it: padding, precision, memory format, compile.

These choices are made here, once, for infer, eval, bench and the validation of train alike.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit import plugins
from rainkit.allocator import keep_large_blocks
from rainkit.api import ImageSpec, Method
from rainkit.errors import MethodError, UsageError
from rainkit.objective import Derained

__all__ = [
    "ImageOnly",
    "Precision",
    "Runtime",
    "build",
    "choose",
    "keep_fp32",
    "pad",
    "parameters",
    "prepare",
]

Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and in which number format a network runs."""

    device: torch.device
    precision: Precision
    channels_last: bool

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of convolutions and matrix products."""
        return _DTYPES[self.precision]

    @property
    def memory_format(self) -> torch.memory_format:
        """Of weights and pictures alike."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[Any]:
        """The context a forward pass runs in."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def place(self, pictures: Tensor) -> Tensor:
        """Pictures [B,C,H,W] on the device, in the memory format."""
        return pictures.to(self.device, non_blocking=True, memory_format=self.memory_format)

    def describe(self) -> str:
        """For tables and reports, such as ``cpu (bf16)``."""
        name = self.device.type
        if name == "cuda":
            name = torch.cuda.get_device_name(self.device)
        return f"{name} ({self.precision})"


def build(method: Method, settings: Any) -> nn.Module:
    """The network of given network hyperparameters, float32, in eval mode.

    Raises:
        MethodError: the plugin's network cannot be imported or built.
    """
    make = plugins.resolve(method.network)
    try:
        network = make(settings)
    except Exception as error:
        raise MethodError(f"the network of {method.name} cannot be built: {error}") from error
    if not isinstance(network, nn.Module):
        raise MethodError(f"{method.network} gives a {type(network).__name__}, not an nn.Module")
    return network.eval()


def parameters(module: nn.Module) -> int:
    """How many trainable numbers a module has."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def choose(device: str = "auto", precision: str = "auto", spec: ImageSpec | None = None) -> Runtime:
    """Where to run, and in which precision.

    ``auto`` takes CUDA, then Apple's MPS, then the CPU; and bfloat16 where the device computes it
    natively and the method declares it safe, else float32. float16 is used only when asked for.

    Raises:
        UsageError: an unknown or absent device, an unknown precision, or one the method forbids.
    """
    place = _device(device)
    allowed = ("bf16", "fp16") if spec is None else spec.half
    if precision == "auto":
        chosen: Precision = "bf16" if "bf16" in allowed and _bf16_is_native(place) else "fp32"
    elif precision not in _DTYPES:
        raise UsageError(f"--precision {precision}: choose auto, {', '.join(_DTYPES)}")
    elif precision != "fp32" and precision not in allowed:
        safe = ", ".join(("fp32", *allowed))
        raise UsageError(f"--precision {precision} is not safe for this method: choose {safe}")
    else:
        chosen = precision  # type: ignore[assignment]  # one of _DTYPES' names
    return Runtime(place, chosen, channels_last=place.type in ("cpu", "cuda"))


def prepare(
    network: nn.Module, spec: ImageSpec, runtime: Runtime, *, compiled: bool = False
) -> ImageOnly:
    """A network moved to its runtime and wrapped so that any picture fits it.

    Args:
        network: as :func:`build` gives it, weights loaded; it is moved, and sub-modules named in
            ``spec.fp32_modules`` leave autocast when the precision is half.
        spec: what pictures the network takes.
        runtime: where to run.
        compiled: wrap with ``torch.compile`` (needs a C++ compiler on CPU at run time).

    Raises:
        MethodError: the spec names a sub-module that is not there, or other channels than RGB.
    """
    if spec.channels != 3:
        raise MethodError(
            f"the network takes {spec.channels} channels; rainkit reads RGB, which is 3"
        )
    keep_large_blocks()
    if runtime.precision != "fp32":
        keep_fp32(network, spec)
    network = network.to(runtime.device, memory_format=runtime.memory_format)  # type: ignore[call-overload]
    if compiled:
        network.compile()
    return ImageOnly(network, spec, runtime)


class ImageOnly(nn.Module):
    """A network that takes pictures of any size and gives pictures of that size.

    Small pictures and sides that are no multiple of ``spec.multiple_of`` are padded on the right
    and below, by reflection as far as the picture reaches and by its edge beyond, and cropped
    afterwards.
    """

    def __init__(self, network: nn.Module, spec: ImageSpec, runtime: Runtime) -> None:
        super().__init__()
        self.network = network
        self.spec = spec
        self.runtime = runtime

    def forward(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] float in [0,1] -> the clean pictures, same shape, float32, not clamped."""
        return self.derained(rainy).image

    def derained(self, rainy: Tensor) -> Derained:
        """Like :meth:`forward`, with the method's named parts."""
        padded = pad(self.runtime.place(rainy), self.spec)
        with self.runtime.autocast():
            answer = self.network(padded)
        return _cropped(answer, padded, rainy)

    def stages(self, rainy: Tensor) -> Iterator[Derained]:
        """The results of an anytime network one after another, each computed when asked for."""
        padded = pad(self.runtime.place(rainy), self.spec)
        stages = self.network.stages(padded)  # type: ignore[operator]
        while True:
            with self.runtime.autocast():
                answer = next(stages, None)
            if answer is None:
                return
            yield _cropped(answer, padded, rainy)


def pad(pictures: Tensor, spec: ImageSpec) -> Tensor:
    """[B,C,H,W] padded on the right and below to sizes that ``spec`` takes."""
    for dimension in (-2, -1):
        size = pictures.shape[dimension]
        wanted = max(size, spec.min_size)
        missing = wanted + -wanted % spec.multiple_of - size
        mirrored = min(missing, size - 1)
        for amount, mode in ((mirrored, "reflect"), (missing - mirrored, "replicate")):
            if amount:
                below_or_right = (0, 0, 0, amount) if dimension == -2 else (0, amount, 0, 0)
                pictures = F.pad(pictures, below_or_right, mode=mode)
    return pictures


def keep_fp32(network: nn.Module, spec: ImageSpec) -> None:
    """Let the sub-modules that ``spec.fp32_modules`` names leave autocast; state dicts stay.

    Raises:
        MethodError: the network has no such sub-module.
    """
    for name in spec.fp32_modules:
        try:
            module = network.get_submodule(name)
        except AttributeError as error:
            raise MethodError(f"ImageSpec.fp32_modules names {name}: no such module") from error
        if not getattr(module, "leaves_autocast", False):
            kind: Any = type(module)
            module.__class__ = _in_float32(kind)


@functools.cache
def _in_float32(kind: Any) -> Any:
    """The same module, computing in float32. A class survives deepcopy, a patched method not."""

    def forward(self: nn.Module, *inputs: Tensor) -> Any:
        with torch.autocast(inputs[0].device.type, enabled=False):
            return kind.forward(self, *(x.float() for x in inputs))

    return type(kind.__name__, (kind,), {"forward": forward, "leaves_autocast": True})


def _cropped(answer: Derained, padded: Tensor, rainy: Tensor) -> Derained:
    """Without the padding, in float32."""
    height, width = rainy.shape[-2:]

    def crop(picture: Tensor) -> Tensor:
        # Parts may be at other scales (masks, pyramids): only full-size ones are cropped.
        same = picture.shape[-2:] == padded.shape[-2:]
        return (picture[..., :height, :width] if same else picture).float()

    return Derained(crop(answer.image), {name: crop(part) for name, part in answer.parts.items()})


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: choose auto, cpu, cuda, cuda:N or mps") from error
    absent = {
        "cuda": not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count(),
        "mps": not torch.backends.mps.is_available(),
        "cpu": False,
    }.get(device.type, True)
    if absent:
        raise UsageError(f"--device {name}: this machine has no such device; try --device auto")
    return device


def _bf16_is_native(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False

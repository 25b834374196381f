"""The device and the number format that networks run with: float32, TF32, bfloat16, float16."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rainkit.api import ImageSpec
from rainkit.errors import MethodError, UsageError

__all__ = ["Precision", "Runtime", "choose_runtime", "keep_fp32"]

Precision = Literal["fp32", "tf32", "bf16", "fp16"]

_DTYPES: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """The device, number format and memory format that a network runs with."""

    device: torch.device
    precision: Precision
    channels_last: bool

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of convolutions and matrix products."""
        return _DTYPES[self.precision]

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory format of weights and pictures."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context that a forward pass runs in."""
        if self.dtype == torch.float32:
            return self._float32()
        return torch.autocast(self.device.type, dtype=self.dtype)

    @contextmanager
    def _float32(self) -> Iterator[None]:
        """Compute in float32, even under an autocast of the program that calls."""
        with ExitStack() as stack:
            # Entered only then, since it would be part of a network that is exported.
            if torch.is_autocast_enabled(self.device.type):
                stack.enter_context(torch.autocast(self.device.type, enabled=False))
            if self.device.type == "cuda":
                stack.enter_context(_tf32(allowed=self.precision == "tf32"))
            yield

    def place(self, pictures: Tensor) -> Tensor:
        """Move pictures [B,C,H,W] to the device, in the memory format."""
        return pictures.to(self.device, non_blocking=True, memory_format=self.memory_format)

    def describe(self) -> str:
        """Return a description for tables and reports, such as ``cpu (bf16)``."""
        name = self.device.type
        if name == "cuda":
            name = torch.cuda.get_device_name(self.device)
        return f"{name} ({self.precision})"


def choose_runtime(
    device: str = "auto", precision: str = "auto", spec: ImageSpec | None = None
) -> Runtime:
    """Choose the device and the precision.

    The device ``auto`` is CUDA, or else Apple's MPS, or else the CPU. The precision ``auto`` is
    bfloat16 if the device computes it natively and the method declares it safe, or else float32.
    float16 is used only on request, and so is TF32: pictures in float32 whose products NVIDIA's
    tensor cores round to 10 bits of mantissa. float32 on CUDA has no such rounding.

    Raises:
        UsageError: the device is unknown or absent, or the precision is unknown, absent on the
            device or not safe for the method.
    """
    place = _device(device)
    allowed = ("bf16", "fp16") if spec is None else spec.half
    if precision == "auto":
        chosen: Precision = "bf16" if "bf16" in allowed and _bf16_is_native(place) else "fp32"
    elif precision not in _DTYPES:
        raise UsageError(f"--precision {precision}: choose auto, {', '.join(_DTYPES)}")
    elif precision == "tf32" and not _tf32_is_native(place):
        raise UsageError(
            f"--precision tf32 needs an NVIDIA GPU of 2020 or later, not {place.type}: choose fp32"
        )
    elif precision not in ("fp32", "tf32", *allowed):
        safe = ", ".join(("fp32", *allowed))
        raise UsageError(f"--precision {precision} is not safe for this method: choose {safe}")
    else:
        chosen = precision  # type: ignore[assignment]  # one of _DTYPES' names
    return Runtime(place, chosen, channels_last=place.type in ("cpu", "cuda"))


def keep_fp32(network: nn.Module, spec: ImageSpec) -> None:
    """Let the sub-modules that ``spec.fp32_modules`` names leave autocast.

    State dicts do not change.

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
    """Return a class of the same module that computes in float32.

    A class survives deepcopy; a patched method does not.
    """

    def forward(self: nn.Module, *inputs: Tensor) -> Any:
        with torch.autocast(inputs[0].device.type, enabled=False):
            return kind.forward(self, *(x.float() for x in inputs))

    return type(kind.__name__, (kind,), {"forward": forward, "leaves_autocast": True})


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


_switching = threading.Lock()
_wanted: list[bool] = []
"""Settings of the passes that are running, the latest last."""
_found: list[bool] = []
"""Settings of the program, while a pass is running."""


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 in convolutions and matrix products on CUDA."""
    places: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    # The switches are the process's own. Threads that end in another order than they began must
    # not take each other's setting for that of the program.
    with _switching:
        if not _wanted:
            _found[:] = [place.allow_tf32 for place in places]
        _wanted.append(allowed)
        for place in places:
            place.allow_tf32 = allowed
    try:
        yield
    finally:
        with _switching:
            _wanted.remove(allowed)
            for place, was in zip(places, _found, strict=True):
                place.allow_tf32 = _wanted[-1] if _wanted else was


def _tf32_is_native(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _bf16_is_native(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False

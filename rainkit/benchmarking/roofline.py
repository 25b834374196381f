"""The device's measured limit, and the arithmetic and traffic of a network's layers.

A roofline has two parts: how fast a large matrix product runs, and how fast a large array is
copied. No layer that computes and moves as much as it must can be faster than the slower of the
two; their sum over all layers is the least time of a pass.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from rainkit.precision import Precision, Runtime

__all__ = ["LayerCounter", "measured_roof", "most_of", "synchronise"]

_LARGEST = 8192
"""Side of the largest matrices."""

_SECONDS = 0.02
"""Time from which a matrix product counts as large."""

_COPIED = {"cpu": 2**28, "cuda": 2**30}
"""Bytes of the array that is copied; it fits no cache."""

_DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp64": torch.float64,
    "int8": torch.int8,
}
"""The precisions that have a limit, with what their values are stored in."""

_PRECISIONS = {dtype: name for name, dtype in _DTYPES.items() if name != "tf32"}
_PRECISIONS |= dict.fromkeys((torch.uint8, torch.qint8, torch.quint8), "int8")


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def most_of(layers: Iterable[tuple[str, int, int, int]], otherwise: str) -> str:
    """Return the precision of most of the arithmetic of layers, or ``otherwise`` without any."""
    total: Counter[str] = Counter()
    for precision, operations, _, count in layers:
        total[precision] += operations * count
    return max(total, key=total.__getitem__, default=otherwise)


def measured_roof(device: torch.device, precision: str) -> tuple[float, float]:
    """Measure a large matrix product and a large copy in one precision, the best of five each.

    Args:
        device: the device.
        precision: fp32, tf32, bf16, fp16, fp64 or int8.

    Returns:
        10^9 floating-point operations per second, and 10^9 bytes per second.
    """
    flop_s = _pace(device, precision)
    if device.type == "cpu" and precision in ("bf16", "fp16", "int8"):
        # Where processors lack the format, its products are emulated, and float32 is faster.
        flop_s = max(flop_s, _pace(device, "fp32"))
    dtype = _DTYPES[precision]
    size = _COPIED.get(device.type, _COPIED["cpu"])
    source = torch.ones(size // dtype.itemsize, dtype=dtype, device=device)
    target = torch.empty_like(source)
    copied = _best(device, lambda: target.copy_(source), 5)
    return flop_s / 1e9, 2 * size / copied / 1e9


def _pace(device: torch.device, precision: str) -> float:
    """Return the operations per second of a large matrix product."""
    dtype = _DTYPES[precision]
    exact: Precision = "tf32" if precision == "tf32" else "fp32"
    with Runtime(device, exact, channels_last=False).autocast():
        side, took = 256 if device.type == "cpu" else 2048, 0.0
        while took < _SECONDS and side <= _LARGEST:
            took, side = _product(device, dtype, side, 1), 2 * side
        side //= 2
        if took < 10 * _SECONDS:
            took = min(took, _product(device, dtype, side, 4))
    return 2 * side**3 / took


def _product(device: torch.device, dtype: torch.dtype, side: int, times: int) -> float:
    """Return the shortest time in seconds of a product of two square matrices."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    if dtype == torch.int8:
        return _best(device, _of_integers(a, b), times)
    product = torch.empty_like(a)
    return _best(device, lambda: torch.mm(a, b, out=product), times)


def _of_integers(a: Tensor, b: Tensor) -> Callable[[], Any]:
    """Return what multiplies two matrices of int8 by the fastest way that torch has."""
    if a.device.type != "cpu" or "fbgemm" not in torch.backends.quantized.supported_engines:
        return lambda: torch._int_mm(a, b)
    quantised = torch.quantize_per_tensor(a.float(), 1.0, 64, torch.quint8)
    weights = torch.ops.quantized.linear_prepack(
        torch.quantize_per_tensor(b.float(), 1.0, 0, torch.qint8), None
    )
    return lambda: torch.ops.quantized.linear(quantised, weights, 1.0, 64)


def _best(device: torch.device, work: Callable[[], Any], times: int) -> float:
    """Return the shortest of several times in seconds, after a first run that does not count."""
    work()
    synchronise(device)
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        synchronise(device)
        best = min(best, time.perf_counter() - started)
    return best


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    count: int = sdpa_flop_count(query.shape, key.shape, value.shape)  # type: ignore[no-untyped-call]
    return count


# The registry holds the attention of CUDA alone.
_CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


class LayerCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the arithmetic and the traffic of convolutions, matrix products and attention.

    It is a context; what runs in it is counted. Element-wise operations are not layers: a perfect
    implementation does them while the values are at hand.
    """

    def __init__(self, precision: Precision) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fp32 = "tf32" if precision == "tf32" else "fp32"
        self._layers: Counter[tuple[str, int, int]] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: telling torch to compile nothing here would import its compiler."""
        return False

    @property
    def flop(self) -> int:
        """Floating-point operations of all layers."""
        return sum(operations * count for (_, operations, _), count in self._layers.items())

    @property
    def layers(self) -> list[tuple[str, int, int, int]]:
        """(precision, operations, bytes, number of such layers) of each kind of layer."""
        return [(*kind, count) for kind, count in self._layers.items()]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and count it if it is a layer."""
        kwargs = kwargs or {}
        packet = getattr(func, "_overloadpacket", None)
        known = packet in flop_registry or packet is _CPU_ATTENTION
        if getattr(func, "namespace", "") == "quantized":
            answer = func(*args, **kwargs)
            self._add_quantised(args, answer)
            return answer
        if not known and getattr(func, "namespace", "") == "aten":
            with self:  # in inference mode, operations that consist of others arrive as one
                answer = func.decompose(*args, **kwargs)
            if answer is not NotImplemented:
                return answer
        answer = func(*args, **kwargs)
        if known:
            if packet is _CPU_ATTENTION:
                operations = _attention(*args, **kwargs)
            else:
                operations = flop_registry[packet](*args, **kwargs, out_val=answer)
            self._add(int(operations), (*tree_leaves((args, kwargs)), *tree_leaves(answer)))
        return answer

    def _add_quantised(self, args: Sequence[Any], answer: Tensor) -> None:
        """Count a layer whose weights are int8, and packed into an object; others have none."""
        packed = next((each for each in args if hasattr(each, "unpack")), None)
        if packed is None:
            return
        weight, bias = packed.unpack()[:2]
        self._add(2 * prod(answer.shape) * prod(weight.shape[1:]), (weight, args[0], bias, answer))

    def _add(self, operations: int, values: Iterable[Any]) -> None:
        tensors = [each for each in values if isinstance(each, Tensor)]
        moved = sum(prod(each.shape) * each.element_size() for each in tensors)
        name = _PRECISIONS.get(tensors[0].dtype, "fp32")
        self._layers[self._fp32 if name == "fp32" else name, operations, moved] += 1

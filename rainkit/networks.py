"""Building a method's network and running it: padding, checks, memory format, compile.

infer, eval, bench and the validation of train all run networks through this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit import plugins
from rainkit.api import ImageSpec, Method
from rainkit.environment import keep_large_blocks
from rainkit.errors import MethodError
from rainkit.objective import Derained
from rainkit.precision import Runtime, keep_fp32

__all__ = [
    "ImageOnly",
    "build",
    "checked",
    "fold_batch_norms",
    "gflop",
    "keeping_statistics",
    "out_of_memory",
    "pad",
    "parameters",
    "prepare",
    "training_runtime",
]

_WIDE = 32
"""Channels from which AVX2 processors compute the gradients of weights faster in NCHW."""

_END = object()
"""Stands for the end of a generator; a faulty network may yield None."""


def build(method: Method, settings: Any) -> nn.Module:
    """Build a method's network from its network hyperparameters, in float32 and eval mode.

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
    # Layers have torch's default dtype, which the program may have set to another.
    return network.float().eval()


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error of torch or of another runtime says that memory ran out."""
    # The allocators of the CPU, of MPS and of ONNX Runtime raise plain errors.
    words = ("can't allocate memory", "out of memory", "ailed to allocate memory", "bad_alloc")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        each in str(error) for each in words
    )


def parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters of a module, as they were before any folding."""
    if isinstance(module, ImageOnly):
        return module.parameter_count
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def gflop(network: nn.Module, side: int = 64) -> float:
    """Return the work of a network on 512 x 512 pixels, in 10^9 operations, counted on fewer.

    What grows faster than the picture, as attention between all places does, is then too little by
    some; with a side of 512 nothing is.

    A multiply-add counts as two operations. Only convolutions, products of matrices and attention
    count.

    Args:
        network: the network in eval mode, on the CPU or on the device ``meta``.
        side: side in pixels of the picture on which it runs.
    """
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]

    # By itself the counter knows the attention of CUDA alone.
    more = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with (
        torch.inference_mode(),
        FlopCounterMode(display=False, custom_mapping=more) as counter,
    ):
        device = next((each.device for each in network.parameters()), None)
        network(torch.full((1, 3, side, side), 0.5, device=device))
    return float(counter.get_total_flops() * (512 / side) ** 2 / 1e9)


def training_runtime(network: nn.Module, spec: ImageSpec, runtime: Runtime) -> Runtime:
    """Return the runtime with the memory format that the network trains fastest in.

    On processors whose widest vectors are AVX2's, oneDNN computes the gradients of convolutions'
    weights up to 2.4 times as fast in NCHW as in NHWC if they have 32 channels or more, and slower
    if they have 16. There, a network trains in NCHW if three quarters of its multiplications are in
    such wide convolutions; elsewhere, the format stays as it is
    (docs/benchmarks/training-pace.md).
    """
    on_avx2 = runtime.device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    if not on_avx2 or _wide_share(network, spec) < 0.75:
        return runtime
    return replace(runtime, channels_last=False)


def _wide_share(network: nn.Module, spec: ImageSpec) -> float:
    """Return the share of convolutions' multiplications that are in wide ones."""
    counts = {True: 0, False: 0}

    def count(module: Any, _: Any, output: Tensor) -> None:
        wide = min(module.in_channels, module.out_channels) >= _WIDE
        counts[wide] += module.weight[0].numel() * output.numel()

    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [convolution.register_forward_hook(count) for convolution in convolutions]
    side = max(spec.min_size, 64)
    try:
        with torch.inference_mode():
            network(pad(torch.zeros(1, spec.channels, side, side), spec))
    except Exception:  # the first step of the training says what is wrong with the network
        return 0.0
    finally:
        for hook in hooks:
            hook.remove()
    return counts[True] / (sum(counts.values()) or 1)


def prepare(
    network: nn.Module,
    spec: ImageSpec,
    runtime: Runtime,
    *,
    compiled: bool = False,
    folded: bool = False,
) -> ImageOnly:
    """Move a network to its runtime and wrap it so that pictures of any size fit it.

    Args:
        network: network of :func:`build` with its weights loaded. It is moved, not copied; in half
            precision the sub-modules named in ``spec.fp32_modules`` leave autocast.
        spec: requirements of the network.
        runtime: device and precision.
        compiled: whether to use ``torch.compile``, which needs a C++ compiler on the CPU.
        folded: whether batch normalisation is folded into convolutions
            (:func:`fold_batch_norms`); such a network can no longer be trained.

    Raises:
        MethodError: the spec names a sub-module that does not exist, or channels other than RGB.
    """
    if spec.channels != 3:
        raise MethodError(
            f"the network takes {spec.channels} channels; rainkit reads RGB, which is 3"
        )
    keep_large_blocks()
    count = parameters(network)
    if folded:
        fold_batch_norms(network, spec)
    if runtime.dtype != torch.float32:
        keep_fp32(network, spec)
    network = network.to(runtime.device, memory_format=runtime.memory_format)  # type: ignore[call-overload]
    if compiled:
        network.compile()
    return ImageOnly(network, spec, runtime, count)


def keeping_statistics(network: nn.Module) -> list[nn.Module]:
    """Return the modules that keep running statistics of what they normalise, as BatchNorm does."""
    # The common base of all BatchNorms has no public name.
    return [m for m in network.modules() if getattr(m, "running_mean", None) is not None]


def fold_batch_norms(network: nn.Module, spec: ImageSpec) -> int:
    """Fold batch normalisation in eval mode into the convolutions right before it.

    A pair is found by running a small picture: the normalisation takes the very tensor that the
    convolution gave. The folded network is kept only if it gives the same picture to 1e-5 of the
    range, so that a convolution whose result is used elsewhere, too, stays as it was.

    Returns:
        The number of folded layers.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return 0
    was_training = network.training
    network.eval()
    given: dict[int, nn.Conv2d] = {}
    kept: list[Tensor] = []  # keeps tensors alive, so that no two share an id
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}
    runs: dict[nn.Module, int] = {}

    def gave(module: Any, _: Any, output: Tensor) -> None:
        runs[module] = runs.get(module, 0) + 1
        given[id(output)] = module
        kept.append(output)

    def takes(module: Any, inputs: tuple[Tensor, ...]) -> None:
        runs[module] = runs.get(module, 0) + 1
        if id(inputs[0]) in given:
            pairs[module] = given[id(inputs[0])]

    hooks = [
        module.register_forward_hook(gave)
        if isinstance(module, nn.Conv2d)
        else module.register_forward_pre_hook(takes)
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
        or (isinstance(module, nn.BatchNorm2d) and module.track_running_stats)
    ]
    side = max(spec.min_size, 24)
    generator = torch.Generator().manual_seed(0)
    device = next(network.parameters()).device
    rainy = pad(torch.rand(1, spec.channels, side, side, generator=generator).to(device), spec)
    try:
        with torch.no_grad():
            wanted = network(rainy).image
    finally:
        for hook in hooks:
            hook.remove()
        kept.clear()
    once = {norm: conv for norm, conv in pairs.items() if runs[norm] == runs[conv] == 1}
    names = {module: name for name, module in network.named_modules()}
    before = [(conv, conv.weight, conv.bias) for conv in once.values()]
    for norm, conv in once.items():
        conv.weight, conv.bias = _folded(conv, norm)
        network.set_submodule(names[norm], nn.Identity())
    with torch.no_grad():
        off = (network(rainy).image - wanted).abs().max() / wanted.abs().max().clamp(min=1)
    if not bool(off <= 1e-5):
        for conv, weight, bias in before:
            conv.weight, conv.bias = weight, bias
        for norm in once:
            network.set_submodule(names[norm], norm)
        return 0
    network.train(was_training)
    return len(once)


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weight and bias of a convolution that does what both layers do."""
    mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
    scale = (variance + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight
    bias = -mean if conv.bias is None else conv.bias - mean
    bias = bias * scale + (norm.bias if norm.affine else 0)
    weight = conv.weight * scale[:, None, None, None]
    return (
        nn.Parameter(weight.detach(), conv.weight.requires_grad),
        nn.Parameter(bias.detach(), conv.weight.requires_grad),
    )


class ImageOnly(nn.Module):
    """A network that takes pictures of any size and gives pictures of that size.

    Pictures that are too small and sides that are not multiples of ``spec.multiple_of`` are padded
    on the right and below, by reflection as far as the picture reaches and by its edge beyond. The
    padding is cropped afterwards. A network that breaks the contract raises a MethodError.

    Attributes:
        runner: what :meth:`forward` uses instead of the network, such as a converted network of
            :mod:`rainkit.backends`; None for the network itself.
        backend: name of the backend that was asked for.
        parameter_count: number of trainable parameters, before any folding.
    """

    def __init__(
        self, network: nn.Module, spec: ImageSpec, runtime: Runtime, count: int | None = None
    ) -> None:
        super().__init__()
        self.runner: Callable[[Tensor], Tensor] | None = None
        self.backend = "eager"
        self.parameter_count = parameters(network) if count is None else count
        self.network = network
        self.spec = spec
        self.runtime = runtime
        self._keeps_input = False

    def forward(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] float in [0,1] -> the clean pictures, same shape, float32, not clamped."""
        return self.eager(rainy) if self.runner is None else self.runner(rainy)

    @property
    def ran_on(self) -> str:
        """Name of the backend that runs the network, or ``eager, then NAME`` if it was changed."""
        return getattr(self.runner, "ran_on", self.backend)

    def eager(self, rainy: Tensor) -> Tensor:
        """Return what :meth:`forward` returns, computed by torch whatever the backend."""
        return self.derained(rainy).image

    def derained(self, rainy: Tensor) -> Derained:
        """Return what :meth:`forward` returns, with the method's named parts."""
        padded = pad(self.runtime.place(rainy), self.spec)
        before = self._copy(padded)
        with self.runtime.autocast():
            answer = self.network(padded)
        return self._cropped(answer, padded, before, rainy)

    def stages(self, rainy: Tensor) -> Iterator[Derained]:
        """Yield the results of an anytime network one after another, each computed on demand."""
        padded = pad(self.runtime.place(rainy), self.spec)
        before = self._copy(padded)
        stages = self.network.stages(padded)  # type: ignore[operator]
        while True:
            with self.runtime.autocast():
                answer = next(stages, _END)
            if answer is _END:
                return
            yield self._cropped(answer, padded, before, rainy)

    def _copy(self, padded: Tensor) -> Tensor | None:
        """Return a copy to compare the input with after the first pass; None for later ones."""
        if self._keeps_input or torch.compiler.is_compiling():
            return None
        return padded.detach().clone()

    def _cropped(
        self, answer: Any, padded: Tensor, before: Tensor | None, rainy: Tensor
    ) -> Derained:
        """Check a network's result and return it without the padding, in float32."""
        checked(self.network, answer)
        if answer.image.shape != padded.shape:
            raise MethodError(
                f"{_name(self.network)} gives a picture of {tuple(answer.image.shape)} for one of "
                f"{tuple(padded.shape)}: return a picture of the input's shape, or correct "
                "ImageSpec.multiple_of"
            )
        if before is not None:
            # nan is equal to nothing, so that an input that holds some would seem changed.
            if not torch.equal(before.nan_to_num(), padded.nan_to_num()):
                raise MethodError(
                    f"{_name(self.network)} changes the rainy picture that it is given: do not "
                    "use in-place operations on the input, or clone it first"
                )
            self._keeps_input = True
        height, width = rainy.shape[-2:]

        def crop(picture: Tensor) -> Tensor:
            # Parts may be at other scales (masks, pyramids): only full-size ones are cropped.
            same = picture.shape[-2:] == padded.shape[-2:]
            return (picture[..., :height, :width] if same else picture).float()

        parts = {name: crop(part) for name, part in answer.parts.items()}
        return Derained(crop(answer.image), parts)


def checked(network: nn.Module, answer: Any) -> Derained:
    """Return what a network's ``forward`` gave if it is a :class:`Derained` of tensors.

    Raises:
        MethodError: it is anything else.
    """
    if not isinstance(answer, Derained):
        found = f"a {type(answer).__name__}"
    else:
        image, parts = cast("tuple[Any, Any]", answer)
        if isinstance(image, Tensor) and isinstance(parts, dict):
            return answer
        found = f"a Derained of {type(image).__name__} and {type(parts).__name__}"
    raise MethodError(
        f"{_name(network)} returns {found}: end forward with return Derained(image, parts), where "
        "image is a tensor and parts is a dict of tensors ({} if there are none)"
    )


def _name(network: nn.Module) -> str:
    """Return the network's class with its module, which begins with the plugin's name."""
    return f"{type(network).__module__}.{type(network).__qualname__}"


def pad(pictures: Tensor, spec: ImageSpec) -> Tensor:
    """Pad pictures [B,C,H,W] on the right and below to a size that ``spec`` takes."""
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

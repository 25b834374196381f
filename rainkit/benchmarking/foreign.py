"""Other people's networks: TorchScript files, ONNX files, and what a module makes.

They take pictures [B,3,H,W] in [0,1], of the size that is timed, and give one of the same shape, or
several results of which it is the first.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rainkit.errors import MethodError, UsageError, one_line
from rainkit.objective import Derained

__all__ = ["Foreign", "OnnxNetwork", "imported", "torchscript"]

_BYTES = 4  # of a float32, in which ONNX Runtime computes

_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


class Foreign(nn.Module):
    """A network of someone else, called as a method's network is."""

    def __init__(self, network: Any, name: str) -> None:
        super().__init__()
        self.name = name
        if isinstance(network, nn.Module):
            self.network = network
        else:
            self._function = network

    def forward(self, rainy: Tensor) -> Derained:
        """[B,3,H,W] -> the first picture that the network gives, without parts."""
        answer = (self.network if hasattr(self, "network") else self._function)(rainy)
        return Derained(self._first(answer), {})

    def _first(self, answer: Any) -> Tensor:
        first = answer
        while not isinstance(first, Tensor):
            if isinstance(first, Mapping):
                first = [*first.values()]
            if not isinstance(first, (tuple, list)) or not first:
                raise MethodError(
                    f"{self.name} gives a {type(answer).__name__}: it must give a picture, or "
                    "several of which the first is the result"
                )
            first = first[0]
        return first


def torchscript(path: Path) -> Foreign:
    """Load a TorchScript file.

    Raises:
        MethodError: the file is damaged, or no TorchScript file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the files are as they are
            network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:  # torch raises RuntimeError, ValueError and others
        raise MethodError(
            f"--torchscript {path}: cannot be loaded ({one_line(error)}); save it by"
            " torch.jit.save(torch.jit.trace(network, picture), FILE)"
        ) from error
    return Foreign(network.eval(), path.name)


def imported(target: str) -> Foreign:
    """Make a network of ``module:callable``.

    The callable is called without arguments and gives an ``nn.Module``, or a function of pictures.
    An ``nn.Module`` in its place is taken as it is. The current folder is searched for the module,
    too.

    Raises:
        UsageError: there is no such module or name in it.
        MethodError: the module or the callable fails.
    """
    module, _, name = target.partition(":")
    try:
        made: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name):
            raise UsageError(
                f"--import {target}: there is no module {module}; run rainkit in its folder, or"
                " add that to PYTHONPATH"
            ) from error
        raise MethodError(f"--import {target}: {one_line(error)}") from error
    except Exception as error:
        raise MethodError(f"--import {target}: cannot be imported: {one_line(error)}") from error
    for part in name.split("."):
        if not hasattr(made, part):
            raise UsageError(f"--import {target}: {module} has no {name}")
        made = getattr(made, part)
    try:
        network = made if isinstance(made, nn.Module) else made()
    except Exception as error:
        raise MethodError(f"--import {target}: cannot be built: {one_line(error)}") from error
    if not callable(network):
        raise MethodError(
            f"--import {target}: gives a {type(network).__name__}, not an nn.Module or a function"
        )
    return Foreign(network.eval() if isinstance(network, nn.Module) else network, name)


class OnnxNetwork:
    """An ONNX file that ONNX Runtime executes, on CUDA if it can.

    Attributes:
        device: where it runs.
        parameters: number of floating-point values in the file; None if they are elsewhere.
        layers: as :attr:`rainkit.benchmarking.roofline.LayerCounter.layers`; empty if they are
            unknown.
        version: name and version of the runtime.
    """

    def __init__(self, path: Path, device: str, shape: tuple[int, int, int], threads: int) -> None:
        """Open a file.

        Args:
            path: the file.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            shape: number, height and width of the pictures.
            threads: CPU threads of one operation.

        Raises:
            UsageError: ONNX Runtime is not installed, or cannot run on the device.
            MethodError: the file is damaged, or takes other pictures.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise UsageError(
                "--onnx needs a package that is not installed: pip install onnxruntime"
            ) from error
        cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        if device not in ("auto", "cpu") and not (cuda and device.startswith("cuda")):
            raise UsageError(
                f"--onnx {path}: ONNX Runtime cannot run on {device} here; pass --device cpu, or"
                " install onnxruntime-gpu"
            )
        on_cuda = cuda and device != "cpu" and torch.cuda.is_available()
        self.device = torch.device(("cuda" if device == "auto" else device) if on_cuda else "cpu")
        self.version = f"onnxruntime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        number = self.device.index or 0
        providers: list[Any] = ["CPUExecutionProvider"]
        if on_cuda:
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": number}))
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # the runtime raises classes of its own
            raise MethodError(f"--onnx {path}: cannot be opened ({one_line(error)})") from error
        taken = self._session.get_inputs()
        if len(taken) != 1 or len(taken[0].shape) != 4:
            told = ", ".join(f"{each.name} {each.shape}" for each in taken)
            raise MethodError(f"--onnx {path}: takes {told or 'nothing'}, not one [B,3,H,W]")
        wanted = (shape[0], 3, *shape[1:])
        fixed = [
            (have, want)
            for have, want in zip(taken[0].shape, wanted, strict=True)
            if isinstance(have, int) and have != want
        ]
        if fixed:
            raise MethodError(
                f"--onnx {path}: takes pictures of {taken[0].shape} alone, not {[*wanted]}; give"
                " its size by --size and --batch, or export it with free sides"
            )
        self._name: str = taken[0].name
        self._half = "float16" in taken[0].type
        self._outputs = [each.name for each in self._session.get_outputs()]
        self.parameters, self.layers = _described(path, self._name, wanted, half=self._half)

    def __call__(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] float32 -> the first result, on the same device."""
        rainy = (rainy.half() if self._half else rainy).contiguous()
        if self.device.type == "cpu":
            answers = self._session.run(None, {self._name: rainy.numpy()})
            return torch.from_numpy(answers[0])
        binding = self._session.io_binding()
        binding.bind_input(
            self._name,
            "cuda",
            self.device.index or 0,
            "float16" if self._half else "float32",
            tuple(rainy.shape),
            rainy.data_ptr(),
        )
        for name in self._outputs:
            binding.bind_output(name, "cuda", self.device.index or 0)
        torch.cuda.synchronize(self.device)
        self._session.run_with_iobinding(binding)
        return rainy  # the results stay on the device; only their time counts


def _described(
    path: Path, name: str, shape: tuple[int, ...], *, half: bool
) -> tuple[int | None, list[tuple[str, int, int, int]]]:
    """Return the number of parameters, and the layers by the shapes that a pass has."""
    try:
        import onnx
    except ImportError:
        return None, []
    try:
        model = onnx.load(str(path))
        graph = model.graph
        floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
        constants = (
            value.t
            for node in graph.node
            if node.op_type == "Constant"
            for value in node.attribute
            if value.name == "value"
        )
        stored = (*graph.initializer, *constants)
        parameters = sum(prod(each.dims) for each in stored if each.data_type in floats)
        nodes = [node for node in graph.node if node.op_type in _LAYERS]
        shapes = _shapes(model, nodes, name, np.zeros(shape, np.float16 if half else np.float32))
    except Exception:  # a runtime may open what others do not understand
        return None, []
    return parameters, [
        (
            "fp32",
            _operations(node, shapes),
            sum(prod(shapes[each]) for each in _tensors(node)) * _BYTES,
            1,
        )
        for node in nodes
    ]


def _tensors(node: Any) -> list[str]:
    return [each for each in (*node.input, *node.output) if each]


def _shapes(
    model: Any, nodes: Sequence[Any], name: str, picture: np.ndarray
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what layers take and give, by a model that tells them."""
    import onnx
    import onnxruntime

    tensors = list(dict.fromkeys(each for node in nodes for each in _tensors(node)))
    told = [f"rainkit_shape_{i}" for i in range(len(tensors))]
    for tensor, answer in zip(tensors, told, strict=True):
        model.graph.node.append(onnx.helper.make_node("Shape", [tensor], [answer]))
        kind = onnx.TensorProto.INT64
        model.graph.output.append(onnx.helper.make_tensor_value_info(answer, kind, [None]))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    answers = session.run(told, {name: picture})
    return {each: tuple(map(int, a)) for each, a in zip(tensors, answers, strict=True)}


def _operations(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the floating-point operations of a layer."""
    given, weight, made = (shapes[each] for each in (node.input[0], node.input[1], node.output[0]))
    if node.op_type == "Conv":
        return 2 * prod(made) * prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return 2 * prod(given) * prod(weight[1:])
    turned = any(each.name == "transA" and each.i for each in node.attribute)
    return 2 * prod(made) * (given[0] if turned else given[-1])

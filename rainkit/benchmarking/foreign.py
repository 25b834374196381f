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

from rainkit.benchmarking.roofline import most_of
from rainkit.errors import MethodError, UsageError, one_line
from rainkit.objective import Derained

__all__ = ["Foreign", "OnnxNetwork", "imported", "torchscript"]

_TAKEN = {"float": torch.float32, "float16": torch.float16, "double": torch.float64}
"""What pictures of ONNX files may consist of, by ONNX's names, which are also those below."""

_BITS = {"double": 64, "int64": 64, "float16": 16, "bfloat16": 16, "int16": 16, "uint16": 16}
_BITS |= {"int8": 8, "uint8": 8, "int4": 4, "uint4": 4, "float4e2m1": 4, "int2": 2, "uint2": 2}
"""Bits of an element, if they are not 32."""

_PRECISIONS = {"float16": "fp16", "bfloat16": "bf16", "double": "fp64"}
_PRECISIONS |= dict.fromkeys(("int8", "uint8", "int4", "uint4"), "int8")

_LAYERS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), (0, 1, 2)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (0, 1)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), (0, 3, 8)),
}
"""Operators that count, and which of their inputs are pictures, weights and biases, not scales."""

_SCALED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), (1, 2)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), (1, 2, 4, 5, 6, 7)),
}
"""Which inputs of operators are scales and zero points, which are no parameters."""

_FREE = {"Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh"}
"""What is done while the values are at hand, before they are rounded to int8."""


class Foreign(nn.Module):
    """A network of someone else, called as a method's network is.

    Attributes:
        parameters_held: number of its parameters, trainable or not; None if it does not tell, as
            frozen and quantised modules and functions do not.
    """

    def __init__(self, network: Any, name: str) -> None:
        super().__init__()
        self.name = name
        self._dtype = torch.float32
        self.parameters_held: int | None = None
        if isinstance(network, nn.Module):
            self.network = network
            held = [each for each in network.parameters() if each.is_floating_point()]
            if held:
                self._dtype = held[0].dtype
                self.parameters_held = sum(each.numel() for each in network.parameters())
        else:
            self._function = network

    def forward(self, rainy: Tensor) -> Derained:
        """[B,3,H,W] -> the first picture that the network gives, without parts.

        Networks in float64, float16 or bfloat16 get pictures of their own kind.

        Raises:
            MethodError: a TorchScript network fails, or what it gives is no picture.
        """
        run = self.network if hasattr(self, "network") else self._function
        try:
            answer = run(rainy.to(self._dtype))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if not isinstance(run, torch.jit.ScriptModule):
                raise
            said = str(error).strip().splitlines()[-1:]  # below the lines of its code
            raise MethodError(f"{self.name} fails: {' '.join(said)}") from error
        return Derained(self._first(answer), {})

    def _first(self, answer: Any) -> Tensor:
        first = answer
        while not isinstance(first, Tensor):
            if isinstance(first, Mapping):
                first = [*first.values()]
            if not isinstance(first, (tuple, list)) or not first:
                raise MethodError(
                    f"{self.name} gives {type(answer).__name__}: it must give a picture, or "
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
        parameters: number of weights and biases in the file; None if they are elsewhere.
        layers: as :attr:`rainkit.benchmarking.roofline.LayerCounter.layers`; empty if they are
            unknown.
        precision: fp16, int8 or what else most of the arithmetic is in.
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
        kind = _plain(taken[0].type)
        if kind not in _TAKEN:
            raise MethodError(
                f"--onnx {path}: takes pictures of {kind}, not of one of {', '.join(_TAKEN)}"
            )
        self._name: str = taken[0].name
        self._dtype = _TAKEN[kind]
        self._outputs = [each.name for each in self._session.get_outputs()]
        self.parameters, self.layers = _described(path, self._name, wanted, kind)
        self.precision = most_of(self.layers, _PRECISIONS.get(kind, "fp32"))

    def __call__(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] float32 -> the first result, on the same device."""
        rainy = rainy.to(self._dtype).contiguous()
        if self.device.type == "cpu":
            answers = self._session.run(None, {self._name: rainy.numpy()})
            return torch.from_numpy(answers[0])
        binding = self._session.io_binding()
        binding.bind_input(
            self._name,
            "cuda",
            self.device.index or 0,
            str(self._dtype).removeprefix("torch."),
            tuple(rainy.shape),
            rainy.data_ptr(),
        )
        for name in self._outputs:
            binding.bind_output(name, "cuda", self.device.index or 0)
        torch.cuda.synchronize(self.device)
        self._session.run_with_iobinding(binding)
        return rainy  # the results stay on the device; only their time counts


def _plain(kind: str) -> str:
    """Return ``float16`` of what ONNX Runtime calls ``tensor(float16)``."""
    return kind.removeprefix("tensor(").removesuffix(")")


class _Graph:
    """The tensors of an ONNX file: what makes them, what takes them, and how they are stored."""

    def __init__(self, model: Any) -> None:
        import onnx

        self.nodes: list[Any] = list(model.graph.node)
        self.made_by: dict[str, Any] = {name: node for node in self.nodes for name in node.output}
        self.taken_by: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in node.input:
                self.taken_by.setdefault(name, []).append(node)
        self.kept = {each.name: each for each in model.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                found = [each.t for each in node.attribute if each.name == "value"]
                self.kept.update(dict.fromkeys(node.output, found[0]) if found else {})
        names = onnx.TensorProto.DataType.items()
        kinds = {number: name.lower() for name, number in names}
        self.kinds = {name: kinds[each.data_type] for name, each in self.kept.items()}
        self._results = {each.name for each in model.graph.output}

    def read(self, name: str) -> str:
        """Return the tensor that holds what a layer reads: before it was made float, if it was."""
        maker = self.made_by.get(name)
        if maker is None:
            return name
        source = str(maker.input[0]) if maker.input else ""
        kept = maker.op_type == "Cast" and source in self.kept
        return source if kept or maker.op_type == "DequantizeLinear" else name

    def written(self, name: str) -> str:
        """Return the tensor that holds what a layer gives: after it was rounded, if it is."""
        at = name
        while at not in self._results and len(takers := self.taken_by.get(at, [])) == 1:
            at = str(takers[0].output[0])
            if takers[0].op_type == "QuantizeLinear":
                return at
            if takers[0].op_type not in _FREE:
                break
        return name

    def parameters(self) -> int:
        """Return the number of weights and biases, in integers, too; scalars are none."""
        scales = {
            node.input[i]
            for node in self.nodes
            for i in _SCALED.get(node.op_type, ())
            if i < len(node.input)
        }
        whole = {
            node.input[i]
            for node in self.nodes
            for i in ((0,) if node.op_type == "DequantizeLinear" else _LAYERS.get(node.op_type, ()))
            if i < len(node.input)
        }
        return sum(
            prod(each.dims)
            for name, each in self.kept.items()
            if name in whole or (name not in scales and each.dims and _is_float(self.kinds[name]))
        )


def _described(
    path: Path, name: str, shape: tuple[int, ...], kind: str
) -> tuple[int | None, list[tuple[str, int, int, int]]]:
    """Return the number of parameters, and the layers by the shapes that a pass has."""
    try:
        import onnx
    except ImportError:
        return None, []
    try:
        model = onnx.load(str(path))
        graph = _Graph(model)
        nodes = [node for node in graph.nodes if node.op_type in _LAYERS]
        graph.kinds[name] = kind
        picture = np.zeros(shape, torch.empty(0, dtype=_TAKEN[kind]).numpy().dtype)
        shapes = _shapes(model, graph, nodes, name, picture)
        return graph.parameters(), [_layer(node, graph, shapes) for node in nodes]
    except Exception:  # a runtime may open what others do not understand
        return None, []


def _layer(
    node: Any, graph: _Graph, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[str, int, int, int]:
    """Return precision, operations, bytes and the number 1 of a layer.

    Its bytes are those of what is stored: quantised files hold integers and, before each layer,
    operators that make them float, which runtimes merge into the layer.
    """
    read, written = _tensors(node, graph)
    bits = sum(prod(shapes[name]) * _bits(graph.kinds[name]) for name in (*read, written))
    precisions = {_PRECISIONS.get(graph.kinds[name], "fp32") for name in read[:2]}
    if precisions != {"int8"}:  # integers on one side alone are made float
        precisions = {_PRECISIONS.get(graph.kinds[node.input[0]], "fp32")}
    return precisions.pop(), _operations(node, shapes), bits // 8, 1


def _is_float(kind: str) -> bool:
    return "float" in kind or kind == "double"


def _bits(kind: str) -> int:
    return _BITS.get(kind, 8 if kind.startswith("float8") else 32)


def _tensors(node: Any, graph: _Graph) -> tuple[list[str], str]:
    """Return the names of what a layer reads and writes, as it is stored."""
    taken = [node.input[i] for i in _LAYERS[node.op_type] if i < len(node.input)]
    return [graph.read(each) for each in taken if each], graph.written(node.output[0])


def _shapes(
    model: Any, graph: _Graph, nodes: Sequence[Any], name: str, picture: np.ndarray
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what layers take and give, by a model that tells them.

    The kinds of those that are not stored in the file are noted in the graph.
    """
    import onnx
    import onnxruntime

    wanted: dict[str, None] = {}
    for node in nodes:
        read, written = _tensors(node, graph)
        taken = [node.input[i] for i in _LAYERS[node.op_type] if i < len(node.input)]
        wanted |= dict.fromkeys((*read, written, *filter(None, taken), node.output[0]))
    told = {tensor: f"rainkit_shape_{i}" for i, tensor in enumerate(wanted)}
    results = {each.name for each in model.graph.output}
    for tensor, answer in told.items():
        model.graph.node.append(onnx.helper.make_node("Shape", [tensor], [answer]))
        number = onnx.TensorProto.INT64
        model.graph.output.append(onnx.helper.make_tensor_value_info(answer, number, [None]))
        if tensor not in graph.kinds and tensor not in results:
            # A result without a type gets that which the runtime infers.
            model.graph.output.append(onnx.ValueInfoProto(name=tensor))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    graph.kinds |= {
        each.name: _plain(each.type) for each in session.get_outputs() if each.name in told
    }
    answers = session.run([*told.values()], {name: picture})
    return {each: tuple(map(int, a)) for each, a in zip(told, answers, strict=True)}


def _operations(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the operations of a layer."""
    places = _LAYERS[node.op_type]
    given, weight = (shapes[node.input[i]] for i in places[:2])
    made = shapes[node.output[0]]
    if node.op_type.startswith("ConvTranspose"):
        return 2 * prod(given) * prod(weight[1:])
    if "Conv" in node.op_type:
        return 2 * prod(made) * prod(weight[1:])
    turned = any(each.name == "transA" and each.i for each in node.attribute)
    return 2 * prod(made) * (given[0] if turned else given[-1])

"""Load the user's model: a TorchScript or ONNX file, or a torchvision model with its weights.

Nothing is ever downloaded. A TorchScript file is code; weights are read as tensors only.
"""

from __future__ import annotations

import difflib
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rainkit import images
from rainkit.errors import MethodError, RainkitError, UsageError, WeightsError, one_line
from rainkit.files import sha256
from rainkit.images import RGB8

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Model", "ModelFile", "load", "model_file", "need", "shown"]

Answer = Any
"""A model's answer to one picture: tensors in tuples, lists or dicts."""

_SUFFIXES = {".pt": "torchscript", ".onnx": "onnx"}
_WEIGHTS = (".pth", ".pt", ".safetensors")
_WRAPPED = ("model", "state_dict")
"""Keys under which checkpoints of torchvision's and other training scripts keep the weights."""
_SAVE = "save it by torch.save(model.state_dict(), FILE)"
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet in R, G and B, by which torchvision's segmenters normalise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """A model that exists and is not loaded yet.

    Attributes:
        kind: ``torchscript``, ``onnx`` or ``torchvision``.
        path: the file.
        architecture: torchvision's name of the model; empty for other kinds.
    """

    kind: str
    path: Path
    architecture: str = ""

    @property
    def name(self) -> str:
        """Name in tables: the file's name, with the architecture's name in front."""
        return f"{self.architecture}={self.path.name}" if self.architecture else self.path.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model ready to run.

    Attributes:
        name: its name in tables.
        sha256: SHA-256 of its file.
        runtime: where it runs, such as ``cpu``.
        classes: names of its classes by their ids, if they are known.
        call: returns the model's answer to a picture [1,3,H,W] float RGB in [0,1].
    """

    name: str
    sha256: str
    runtime: str
    call: Callable[[Tensor], Answer]
    classes: Mapping[int, str] = field(default_factory=dict)

    def __call__(self, rgb: RGB8) -> Answer:
        """Return the answer to one picture, HWC uint8 RGB.

        Raises:
            MethodError: the model stops with an error.
        """
        import torch

        try:
            with torch.inference_mode():
                return self.call(images.to_tensor(rgb).contiguous())
        except RainkitError:
            raise
        except Exception as error:
            height, width = rgb.shape[:2]
            raise MethodError(
                f"--model {self.name}: fails on a picture of {width}x{height} px ({_line(error)})"
            ) from error


def model_file(text: str, task: str) -> ModelFile:
    """Return the model that ``--model`` names, checked without loading it.

    Args:
        text: a path that ends in ``.pt`` or ``.onnx``, or ``NAME=FILE``.
        task: ``detection`` or ``segmentation``.

    Raises:
        UsageError: the file does not exist, the suffix or name is unknown, the model is for another
            task, or a package is not installed.
    """
    name, equals, file = text.partition("=")
    if Path(text).is_file() or not equals or "/" in name:
        path = Path(text)
        kind = _SUFFIXES.get(path.suffix.casefold())
        if kind is None:
            raise UsageError(
                f"--model {text}: write model.pt (TorchScript), model.onnx, or NAME=weights.pth"
                " with the name of a torchvision model"
            )
        _there(path, text)
        if kind == "onnx":
            need("onnxruntime", f"--model {text}")
        return ModelFile(kind=kind, path=path)
    need("torchvision", f"--model {text}")
    _check_architecture(name, task)
    path = Path(file)
    if path.suffix.casefold() not in _WEIGHTS:
        raise UsageError(f"--model {text}: weights are a file that ends in {', '.join(_WEIGHTS)}")
    _there(path, text)
    return ModelFile(kind="torchvision", path=path, architecture=name)


def load(file: ModelFile, task: str, device: str = "auto") -> Model:
    """Load a model, in float32.

    Args:
        file: what to load.
        task: ``detection`` or ``segmentation``.
        device: device as for :func:`rainkit.precision.choose_runtime`.

    Raises:
        UsageError: the device is unknown or absent, or a package is not installed.
        WeightsError: the file is damaged, of another kind, or does not fit the architecture.
    """
    from rainkit.precision import choose_runtime

    place = choose_runtime(device, "fp32").device
    make = {"torchscript": _torchscript, "onnx": _onnx, "torchvision": _torchvision}[file.kind]
    call, runtime, classes = make(file, task, place)
    return Model(
        name=file.name, sha256=sha256(file.path), runtime=runtime, call=call, classes=classes
    )


def need(package: str, what: str) -> None:
    """Refuse to go on without a package of the extra ``downstream``.

    Raises:
        UsageError: the package, which ``what`` needs, is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise UsageError(f"{what}: needs {package}; pip install {package}")


def shown(answer: Answer) -> str:
    """Return types and shapes of an answer for messages: ``(float32 [5,4], int64 [5])``."""
    if isinstance(answer, Mapping):
        return "{" + ", ".join(f"{key}: {shown(value)}" for key, value in answer.items()) + "}"
    if isinstance(answer, tuple | list):
        few = [shown(each) for each in answer[:4]] + ["..."] * (len(answer) > 4)
        return f"({', '.join(few)})"
    if hasattr(answer, "dtype") and hasattr(answer, "shape"):
        sides = ",".join(str(side) for side in answer.shape)
        return f"{str(answer.dtype).removeprefix('torch.')} [{sides}]"
    return type(answer).__name__


def _there(path: Path, text: str) -> None:
    if not path.is_file():
        raise UsageError(f"--model {text}: {path} is not a file; give the file of the model")


def _check_architecture(name: str, task: str) -> None:
    import torchvision

    known = {
        kind: torchvision.models.list_models(module=getattr(torchvision.models, kind))
        for kind in ("detection", "segmentation")
    }
    if name in known[task]:
        return
    for kind, names in known.items():
        if name in names:
            raise UsageError(f"--model {name}: is a model for {kind}, not for {task}")
    near = difflib.get_close_matches(name, known[task], n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known[task])}"
    raise UsageError(f"--model {name}: torchvision has no such model for {task}; {hint}")


_Loaded = tuple[Callable[["Tensor"], Answer], str, Mapping[int, str]]
"""What calls the model, where it runs, and the names of its classes."""


def _torchscript(file: ModelFile, task: str, device: torch.device) -> _Loaded:
    import torch

    with suppress(ImportError):
        import torchvision  # noqa: F401  # registers the operators that its detectors call

    try:
        with _quiet():
            script = torch.jit.load(file.path, map_location=device).eval()  # type: ignore[no-untyped-call]
            arguments = script.forward.schema.arguments
    except Exception as error:  # a damaged file makes the reader fail in many ways
        if "torchvision::" in str(error):
            need("torchvision", f"--model {file.path}")
        why, _, _ = _line(error, 0).partition(". ")
        raise WeightsError(
            f"{file.path}: cannot be read as TorchScript ({why}); for the weights of a torchvision"
            f" model write --model NAME={file.path}"
        ) from error
    # Scripts of torchvision's detectors take a list of pictures, and declare it.
    listed = len(arguments) > 1 and str(arguments[1].type) == "List[Tensor]"

    def call(picture: Tensor) -> Answer:
        placed = picture.to(device)
        with _quiet():
            return script([placed[0]] if listed else placed)

    return call, device.type, {}


def _onnx(file: ModelFile, task: str, device: torch.device) -> _Loaded:
    import onnxruntime as runtime
    import torch

    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(file.path), options, providers=providers)
        first = session.get_inputs()[0].name
    except Exception as error:
        raise WeightsError(
            f"{file.path}: cannot be read as an ONNX model ({_line(error)})"
        ) from error
    names = [each.name for each in session.get_outputs()]
    parts = {"boxes", "scores", "labels"} if task == "detection" else {"out"}

    def call(picture: Tensor) -> Answer:
        arrays = session.run(None, {first: picture.numpy()})
        tensors = [torch.as_tensor(array) for array in arrays]
        if parts <= set(names):
            return dict(zip(names, tensors, strict=True))
        return tensors[0] if task == "segmentation" else tuple(tensors[:3])

    used = session.get_providers()[0].removesuffix("ExecutionProvider").lower()
    return call, f"{used} (onnxruntime {runtime.__version__})", {}


def _torchvision(file: ModelFile, task: str, device: torch.device) -> _Loaded:
    import torch

    state = _state(file.path)
    options: dict[str, Any] = {"num_classes": _class_count(file, state)}
    if any(name.startswith("aux_classifier.") for name in state):
        options["aux_loss"] = True
    network = _built(file.architecture, **options)
    try:
        network.load_state_dict(state)
    except Exception as error:
        reason = one_line(error)
        raise WeightsError(f"{file.path}: does not fit {file.architecture} ({reason})") from error
    network = network.to(device).eval()
    mean, deviation = (
        torch.tensor(values, device=device)[:, None, None] for values in (_MEAN, _DEVIATION)
    )

    def call(picture: Tensor) -> Answer:
        placed = picture.to(device)
        if task == "detection":  # detectors normalise the pictures themselves
            return network([placed[0]])
        return network((placed - mean) / deviation)

    return call, device.type, _class_names(file.architecture, options["num_classes"])


def _class_names(architecture: str, count: int) -> dict[int, str]:
    """Return the names of torchvision's own classes, if weights have as many of them."""
    import torchvision

    for weights in torchvision.models.get_model_weights(architecture):
        names = weights.meta.get("categories", ())
        if len(names) == count:
            return dict(enumerate(names))
    return {}


def _state(path: Path) -> Mapping[str, Any]:
    import torch

    from rainkit.weights.store import read

    if path.suffix.casefold() == ".safetensors":
        return read(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # about old formats and TorchScript
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path}: cannot be read as tensors only; {_SAVE}") from error
    for key in _WRAPPED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = isinstance(content, Mapping) and all(hasattr(v, "shape") for v in content.values())
    if not tensors or not content:
        raise WeightsError(f"{path}: holds no state dict; {_SAVE}")
    found: Mapping[str, Any] = content
    return found


def _class_count(file: ModelFile, state: Mapping[str, Any]) -> int:
    """Return the number of classes of weights, by how the network's sides grow with it."""
    import torch

    with torch.device("meta"):  # only shapes are needed
        two, three = (_built(file.architecture, num_classes=k).state_dict() for k in (2, 3))
    for name, tensor in two.items():
        if name not in state or not tensor.dim() or tensor.shape[0] == three[name].shape[0]:
            continue
        growth = three[name].shape[0] - tensor.shape[0]
        more, rest = divmod(state[name].shape[0] - tensor.shape[0], growth)
        if not rest and more >= -1:
            return 2 + int(more)
        break
    raise WeightsError(
        f"{file.path}: does not fit {file.architecture}; give weights of such a model"
    )


def _built(architecture: str, **options: Any) -> Any:
    import torchvision

    return torchvision.models.get_model(
        architecture, weights=None, weights_backbone=None, **options
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warning that TorchScript is deprecated, which PyTorch gives at every use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit")
        warnings.filterwarnings("ignore", message=".*in scripting")  # torchvision's detectors
        yield


def _line(error: Exception, which: int = -1) -> str:
    """Return one line of a long message, by default the last one, which mostly gives the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[which][:200] if lines else type(error).__name__

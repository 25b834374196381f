"""Networks as files of other runtimes: ONNX, OpenVINO and torch.export, checked before use.

Such a file takes one picture [1,3,H,W] of any height and width from :data:`SMALLEST` pixels on, and
gives the clean picture of that size; padding to ``ImageSpec.multiple_of`` is part of it.
"""

from __future__ import annotations

import copy
import errno
import importlib
import importlib.util
import io
import json
import logging
import math
import os
import shlex
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rainkit
from rainkit import images, networks
from rainkit import weights as weight_files
from rainkit.api import ImageSpec, Method
from rainkit.backends.cache import version_of
from rainkit.errors import FileError, MethodError, UsageError, one_line
from rainkit.files import counted, sha256, write_text
from rainkit.hyperparameters import section_to_data
from rainkit.precision import choose_runtime
from rainkit.weights import WeightsFile

__all__ = [
    "MOST_PHOTOS",
    "SMALLEST",
    "SUFFIXES",
    "TOLERANCE",
    "Exported",
    "Loss",
    "check",
    "convert",
    "decibels",
    "export",
    "open_file",
    "photograph",
    "quantise",
    "smallest_side",
    "told_in",
]

SMALLEST = 32
"""Shortest side of pictures in pixels that files take; a method may need more."""

TOLERANCE = 1e-4
"""Largest difference to torch, relative to the output's range, of a file in float32."""

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
"""Suffix of the files of each format; OpenVINO adds a ``.bin`` beside the ``.xml``."""

_EXTRA_PIXELS = ((29, 15), (16, 32), (32, 32), (1, 65))
"""What the sizes of the check have beyond the smallest side: odd, even, square, one long side."""

MOST_PHOTOS = 64
"""Largest number of photographs that int8 is calibrated on, and as many that measure its loss."""

_CROP = 256

_LEAST_FREE = 2**20
"""Bytes of a disk below which a conversion has failed for want of space."""

_OPSET = 18
_ABOUT = "rainkit"

Run = Callable[[Tensor], Tensor]
"""A network as a function: one picture [1,3,H,W] in [0,1] -> the clean picture, same shape."""


class _Whole(nn.Module):
    """A network with its padding written such that height and width stay free in a file."""

    def __init__(self, network: nn.Module, multiple_of: int) -> None:
        super().__init__()
        self.network = network
        self.multiple_of = multiple_of

    def forward(self, rainy: Tensor) -> Tensor:
        """[1,3,H,W] -> [1,3,H,W], as :class:`rainkit.networks.ImageOnly` gives it."""
        height, width = rainy.shape[-2:]
        if self.multiple_of == 1:
            image: Tensor = self.network(rainy).image
            return image
        padded = rainy
        for dimension, size in ((2, height), (3, width)):
            i = torch.arange(size + -size % self.multiple_of, device=rainy.device)
            mirrored = torch.minimum(i, (2 * (size - 1) - i).clamp(min=0))
            padded = padded.index_select(dimension, mirrored)
        image = self.network(padded).image
        # Slices would tie the file of torch.export to sizes that need padding.
        rows = torch.arange(height, device=rainy.device)
        columns = torch.arange(width, device=rainy.device)
        return image.index_select(2, rows).index_select(3, columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """What int8 costs: the agreement with torch in float32 on photographs.

    Attributes:
        calibrated: number of photographs that the ranges of values were measured on.
        measured: number of photographs that the agreement was measured on: others, if there is
            more than one.
        mean_db: mean of their PSNR in dB between both results.
        least_db: the least of them.
    """

    calibrated: int
    measured: int
    mean_db: float
    least_db: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """A file that was written and checked.

    Attributes:
        path: the file.
        card: the model card beside it.
        format: ``onnx``, ``openvino`` or ``pt2``.
        smallest: shortest side in pixels of the pictures that it takes.
        difference: largest difference to torch over all sizes that were tried, relative to the
            output's range; before int8, if the file is of int8.
        tolerance: the largest difference that is allowed.
        sizes: the sizes that were tried, as height and width.
        int8: what int8 costs; None if the file computes in float32.
    """

    path: Path
    card: Path
    format: str
    smallest: int
    difference: float
    tolerance: float
    sizes: tuple[tuple[int, int], ...]
    int8: Loss | None = None

    def to_data(self) -> dict[str, Any]:
        """Return the result as plain data for ``--json``."""
        return {**asdict(self), "path": str(self.path), "card": str(self.card)}


def smallest_side(spec: ImageSpec) -> int:
    """Return the shortest side that files of a network take."""
    side = max(SMALLEST, spec.min_size)
    return side + -side % spec.multiple_of


def export(
    method: Method,
    weights: WeightsFile,
    kind: str,
    output: Path | None = None,
    *,
    int8: Path | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a method's network with its weights as a file of another runtime, and check it.

    The file is kept only if it gives what torch gives, at odd and at even sizes.

    Args:
        method: the method.
        weights: its weights.
        kind: ``onnx``, ``openvino`` or ``pt2``.
        output: the file; None for ``METHOD.onnx``, ``METHOD.xml`` or ``METHOD.pt2`` here.
        int8: a folder of photographs on which the network is quantised to int8; None for float32.
        overwrite: replace files that exist.

    Raises:
        UsageError: the output has another suffix than the format, a package is not installed, the
            format has no int8, or the folder has no pictures.
        MethodError: the network cannot be converted, or the file gives something else.
        WeightsError: the weights do not fit the network.
        FileError: a file exists and ``overwrite`` is False, or it cannot be written.
    """
    suffix = SUFFIXES[kind]
    path = output or Path(f"{method.name}{suffix}")
    if path.suffix != suffix:
        raise UsageError(f"--output {path}: files of the format {kind} end with {suffix}")
    photos = () if int8 is None else _photographs(int8, kind)
    card = path.with_name(f"{path.name}.md")  # each format of a method has its own
    targets = [path, card] + ([path.with_suffix(".bin")] if kind == "openvino" else [])
    for each in targets:
        if each.is_dir():
            raise FileError(f"{each}: is a folder; name a file by --output")
        if each.exists() and not overwrite:
            raise FileError(f"{each}: exists; pass --overwrite, or name another --output")
    spec = method.image(weights.network)
    with torch.random.fork_rng(devices=[]):
        network = weight_files.load(networks.build(method, weights.network), weights)
    about = {
        "method": method.name,
        "variant": weights.variant,
        "weights": weights.name,
        "sha256": weights.sha256,
        "network": json.dumps(section_to_data(weights.network)),
        "smallest_side": str(smallest_side(spec)),
        "rainkit": rainkit.__version__,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".rainkit-", dir=path.parent) as temporary:
            made = Path(temporary) / path.name
            convert(network, spec, kind, made, about)
            difference, sizes = check(network, spec, open_file(made))
            loss = quantise(network, spec, kind, made, photos) if photos else None
            told = Exported(
                path=path, card=card, format=kind, smallest=smallest_side(spec),
                difference=difference, tolerance=TOLERANCE, sizes=sizes, int8=loss,
            )  # fmt: skip
            for each in reversed(targets):  # the file that is opened comes last
                if each != card:
                    written = Path(temporary) / each.name
                    with written.open("rb+") as file:
                        os.fsync(file.fileno())
                    written.replace(each)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error
    write_text(card, _card(method, weights, told), overwrite=True)
    return told


def convert(
    network: nn.Module, spec: ImageSpec, kind: str, path: Path, about: Mapping[str, str]
) -> None:
    """Write a network in float32 as a file of a format, without checking it.

    Args:
        network: a network of :func:`rainkit.networks.build`; it is copied, not changed.
        spec: its requirements.
        kind: ``onnx``, ``openvino`` or ``pt2``.
        path: the file.
        about: text to keep in the file, by name.

    Raises:
        UsageError: a package of the format is not installed.
        MethodError: the network uses something that the format does not have.
    """
    _require(kind)
    plain = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    plain = plain.to(memory_format=torch.contiguous_format)
    whole = _Whole(plain, spec.multiple_of).eval()
    side = smallest_side(spec)
    picture = torch.rand(1, 3, side + 38, side + 61, generator=torch.Generator().manual_seed(0))
    writers = {"onnx": _write_onnx, "openvino": _write_openvino, "pt2": _write_pt2}
    try:
        # Converters warn of what the check afterwards finds out.
        with warnings.catch_warnings(), torch.no_grad(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            writers[kind](whole, picture, side, path, about)
    except OSError:
        raise
    except Exception as error:  # converters raise anything
        if shutil.disk_usage(path.parent).free < _LEAST_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise MethodError(
            f"{type(network).__module__} cannot be converted to {kind}: {one_line(error)}"
        ) from error


def _photographs(folder: Path, kind: str) -> tuple[Path, ...]:
    """Return the pictures of a folder, for int8.

    Raises:
        UsageError: there is none, the format has no int8, or NNCF is not installed.
    """
    if kind == "pt2":
        raise UsageError(f"--int8 {folder}: pt2 has no int8; pass --format onnx or openvino")
    found = tuple(each.path for each in images.find([folder]))
    if importlib.util.find_spec("nncf") is None:
        raise UsageError("--int8 needs a package that is not installed: pip install nncf")
    return found


def quantise(
    network: nn.Module, spec: ImageSpec, kind: str, path: Path, photos: Sequence[Path]
) -> Loss:
    """Quantise a file of :func:`convert` to int8 by NNCF, after training, and measure the loss.

    Every second photograph calibrates the ranges of values, the others measure the loss. Each is
    cut to its middle of at most 256 x 256 pixels.

    Args:
        network: the network in float32.
        spec: its requirements.
        kind: ``onnx`` or ``openvino``.
        path: the file, which is replaced.
        photos: picture files; more than twice :data:`MOST_PHOTOS` are thinned out.

    Raises:
        UsageError: no photograph is large enough.
        ImageError: a photograph cannot be read.
        MethodError: NNCF cannot quantise the network.
    """
    # It says on import that there is no CUDA.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import nncf

    step = max(1, len(photos) // (2 * MOST_PHOTOS))
    side = smallest_side(spec)
    rainy = [_middle(images.read(each).rgb) for each in photos[::step][: 2 * MOST_PHOTOS]]
    rainy = [each for each in rainy if min(each.shape[-2:]) >= side]
    if not rainy:
        raise UsageError(f"--int8: no photograph has a shortest side of {side} px or more")
    calibrating, measuring = rainy[::2], rainy[1::2] or rainy
    data = nncf.Dataset(calibrating, lambda each: {"rainy": each.contiguous().numpy()})
    settings = {"subset_size": len(calibrating), "preset": nncf.QuantizationPreset.MIXED}
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    _report_nothing()
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            if kind == "onnx":
                import onnx

                model = onnx.load(str(_folded(path)))
                onnx.save(nncf.quantize(model, data, **settings), str(path))
            else:
                _report_nothing()
                import openvino

                model = openvino.Core().read_model(str(path))
                quantised = nncf.quantize(model, data, **settings)
                # The file may be mapped into memory, and must not be written over.
                other = path.with_stem("int8")
                openvino.save_model(quantised, str(other), compress_to_fp16=False)
                del model
                for suffix in (".xml", ".bin"):
                    other.with_suffix(suffix).replace(path.with_suffix(suffix))
    except Exception as error:  # converters raise anything
        raise MethodError(
            f"{type(network).__module__} cannot be quantised to int8: {one_line(error)}"
        ) from error
    finally:
        logger.setLevel(level)
    run = open_file(path)
    plain = copy.deepcopy(network).cpu().float().eval()
    exact = networks.prepare(plain, spec, choose_runtime("cpu", "fp32", spec))
    with torch.inference_mode():
        db = [decibels(run(each), exact(each)) for each in measuring]
    return Loss(
        calibrated=len(calibrating),
        measured=len(measuring),
        mean_db=sum(db) / len(db),
        least_db=min(db),
    )


def _folded(path: Path) -> Path:
    """Compute what is constant in an ONNX file, into a file beside it.

    NNCF takes weights that are stored, and none that are cut out of others.
    """
    import onnxruntime

    folded = path.with_stem("folded")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    options.log_severity_level = 3  # it warns that the file holds for machines like this one
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return folded


def _middle(rgb: images.Pixels) -> Tensor:
    """Return the middle of a picture, [1,3,h,w] float32 in [0,1]."""
    top, left = (max(0, (side - _CROP) // 2) for side in rgb.shape[:2])
    return images.to_tensor(rgb[top : top + _CROP, left : left + _CROP])


def _write_onnx(
    whole: nn.Module, picture: Tensor, side: int, path: Path, about: Mapping[str, str]
) -> None:
    import onnx

    # It prints the graph of a network that it cannot convert, past sys.stdout.
    getattr(torch._C, "_jit_set_onnx_log_enabled", bool)(False)
    torch.onnx.export(
        _traced(whole, picture),
        (picture,),
        str(path),
        dynamo=False,
        input_names=["rainy"],
        output_names=["clean"],
        opset_version=_OPSET,
        dynamic_axes={name: {2: "height", 3: "width"} for name in ("rainy", "clean")},
    )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {f"{_ABOUT}.{name}": text for name, text in about.items()})
    onnx.save(model, str(path))


def _report_nothing() -> None:
    """Keep OpenVINO and its tools from reporting their use over the network; call it before import.

    They do so from processes of their own, which stay where there is no network and keep the
    output of this one open.
    """
    with suppress(ImportError):
        telemetry: Any = importlib.import_module("openvino_telemetry").Telemetry
        for name in ("start_session", "send_event", "send_error", "send_stack_trace"):
            setattr(telemetry, name, lambda *_, **__: None)


def _write_openvino(
    whole: nn.Module, picture: Tensor, side: int, path: Path, about: Mapping[str, str]
) -> None:
    _report_nothing()
    import openvino

    # The converter does not find an input by its name if padding is all that reads it.
    model = openvino.convert_model(
        _traced(whole, picture), input=[[1, 3, -1, -1]], example_input=picture
    )
    model.inputs[0].get_tensor().set_names({"rainy"})
    model.outputs[0].get_tensor().set_names({"clean"})
    for name, text in about.items():
        model.set_rt_info(text, [_ABOUT, name])
    openvino.save_model(model, str(path), compress_to_fp16=False)


def _write_pt2(
    whole: nn.Module, picture: Tensor, side: int, path: Path, about: Mapping[str, str]
) -> None:
    free = {2: torch.export.Dim("height", min=side), 3: torch.export.Dim("width", min=side)}
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        program = torch.export.export(
            whole,
            (picture,),
            dynamic_shapes={"rainy": free},
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
    finally:
        logger.setLevel(level)
    torch.export.save(program, str(path), extra_files={_ABOUT: json.dumps(dict(about))})


def _traced(whole: nn.Module, picture: Tensor) -> Any:
    return torch.jit.trace(whole, picture, check_trace=False)  # type: ignore[no-untyped-call]


_PACKAGES = {"onnx": "onnx onnxruntime", "openvino": "openvino"}


def _require(kind: str) -> None:
    """Refuse a format whose packages are not installed."""
    try:
        if kind == "onnx":
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
        elif kind == "openvino":
            _report_nothing()
            import openvino  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"{kind} needs a package that is not installed: pip install {_PACKAGES[kind]}"
        ) from error


def open_file(path: Path, precision: str = "fp32", threads: int | None = None) -> Run:
    """Open a file of :func:`convert` for the CPU; the function may be shared by threads.

    Args:
        path: a ``.onnx``, ``.xml`` or ``.pt2`` file.
        precision: ``fp32`` or ``bf16``; only OpenVINO computes in bf16.
        threads: threads of one operation; None for torch's number.

    Raises:
        UsageError: the runtime is not installed, or the suffix is unknown.
        FileError: the file is damaged.
    """
    kinds = {suffix: kind for kind, suffix in SUFFIXES.items()}
    kind = kinds.get(path.suffix)
    if kind is None:
        raise UsageError(f"{path}: not an exported file; those end with {', '.join(kinds)}")
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    _require(kind)
    openers = {"onnx": _open_onnx, "openvino": _open_openvino, "pt2": _open_pt2}
    try:
        return openers[kind](path, precision, threads or torch.get_num_threads())
    except Exception as error:  # runtimes raise classes of their own
        raise FileError(f"{path}: cannot be opened ({one_line(error)}); export it again") from error


def _open_onnx(path: Path, precision: str, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (name,) = (each.name for each in session.get_inputs())

    def run(rainy: Tensor) -> Tensor:
        (clean,) = session.run(None, {name: rainy.contiguous().numpy()})
        return torch.from_numpy(clean)

    return run


def _open_openvino(path: Path, precision: str, threads: int) -> Run:
    _report_nothing()
    import openvino

    compiled = openvino.Core().compile_model(
        str(path),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        },
    )

    def run(rainy: Tensor) -> Tensor:
        # A request of its own for each picture: threads must not share one.
        answer = compiled.create_infer_request().infer([rainy.contiguous().numpy()])
        return torch.from_numpy(answer[0].copy())

    return run


def _open_pt2(path: Path, precision: str, threads: int) -> Run:
    module = torch.export.load(str(path)).module()

    def run(rainy: Tensor) -> Tensor:
        with torch.inference_mode():
            clean: Tensor = module(rainy.contiguous())
        return clean

    return run


def told_in(path: Path) -> dict[str, str]:
    """Return the text that an exported file keeps: method, variant, weights and their hash.

    Raises:
        UsageError: there is no such file, or its runtime is not installed.
        FileError: the file is damaged, or rainkit did not write it.
    """
    kind = {suffix: kind for kind, suffix in SUFFIXES.items()}.get(path.suffix, "")
    if not kind or not path.is_file():
        raise UsageError(f"{path}: no such exported file (.onnx, .xml or .pt2)")
    _require(kind)
    about: dict[str, str] = {}
    try:
        if kind == "onnx":
            import onnx

            props = onnx.load(str(path), load_external_data=False).metadata_props
            mark = f"{_ABOUT}."
            about = {p.key.removeprefix(mark): p.value for p in props if p.key.startswith(mark)}
        elif kind == "openvino":
            _report_nothing()
            import openvino

            model = openvino.Core().read_model(str(path))
            if model.has_rt_info([_ABOUT]):
                told = model.get_rt_info([_ABOUT]).value
                about = {name: str(getattr(text, "value", text)) for name, text in told.items()}
        else:
            with zipfile.ZipFile(path) as archive:  # torch would load the whole network for it
                ours = [each for each in archive.namelist() if each.endswith(f"/{_ABOUT}")]
                kept: Any = json.loads(archive.read(ours[0])) if ours else {}
            about = kept if isinstance(kept, dict) else {}
    except Exception as error:  # runtimes raise classes of their own
        raise FileError(f"{path}: cannot be read ({one_line(error)}); export it again") from error
    if "method" not in about:
        raise FileError(f"{path}: does not say which method it is of; make it with rainkit export")
    return about


def check(
    network: nn.Module, spec: ImageSpec, run: Run
) -> tuple[float, tuple[tuple[int, int], ...]]:
    """Compare a converted network with torch in float32 at odd and even sizes.

    Returns:
        The largest difference, relative to the output's range (at least 1), and the sizes.

    Raises:
        MethodError: the difference is above :data:`TOLERANCE`, or a size cannot be run.
    """
    plain = copy.deepcopy(network).cpu().float().eval()
    exact = networks.prepare(plain, spec, choose_runtime("cpu", "fp32", spec))
    side = smallest_side(spec)
    sizes = tuple((side + more, side + wide) for more, wide in _EXTRA_PIXELS)
    largest = 0.0
    generator = torch.Generator().manual_seed(1)
    for height, width in sizes:
        rainy = torch.rand(1, 3, height, width, generator=generator)
        with torch.inference_mode():
            wanted = exact(rainy)
        try:
            given = run(rainy)
        except Exception as error:  # runtimes raise classes of their own
            raise MethodError(
                f"{type(network).__module__}: its file cannot run a picture of {width}x{height} "
                f"({one_line(error)})"
            ) from error
        if given.shape != wanted.shape:
            raise MethodError(
                f"{type(network).__module__}: its file gives {tuple(given.shape)} for "
                f"{tuple(wanted.shape)}"
            )
        off = float((given - wanted).abs().max() / wanted.abs().max().clamp(min=1))
        largest = off if math.isnan(off) else max(largest, off)
        if not largest <= TOLERANCE:
            raise MethodError(
                f"{type(network).__module__}: its file differs from torch by {largest:.2g} at "
                f"{width}x{height}, more than {TOLERANCE:g}; the file was not kept"
            )
    return largest, sizes


def decibels(given: Tensor, wanted: Tensor) -> float:
    """Return the PSNR in dB between two results that are clipped to [0,1].

    It is inf if they are equal, and 0 if one of them holds NaN.
    """
    error = float((given.clamp(0, 1) - wanted.clamp(0, 1)).double().square().mean())
    if math.isnan(error):
        return 0.0
    return math.inf if error == 0 else -10 * math.log10(error)


def photograph(height: int, width: int, seed: int = 0) -> Tensor:
    """Draw a picture [1,3,H,W] in [0,1] that has what rainy photographs have.

    Its spectrum falls as that of scenes does, some edges are hard, some areas are flat or clipped,
    and bright streaks cross it.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    scene = torch.zeros(1, 3, height, width)
    for octave in range(7):
        cells = (min(2 ** (octave + 1), height), min(2 ** (octave + 1), width))
        grey, colour = noise(1, 1, *cells), noise(1, 3, *cells)
        layer = F.interpolate(grey + 0.3 * colour, size=(height, width), mode="bilinear")
        scene += layer * 0.7**octave
    scene = 0.45 + 0.18 * scene
    scene[..., height // 2 :, : width // 3] *= 0.5  # the edge of a wall
    scene[..., : height // 5, width // 2 :] = 0.92  # a flat sky
    down, across = torch.arange(height)[:, None], torch.arange(width)[None]
    for _ in range(height * width // 400 + 1):
        top, left, light = (float(each) for each in torch.rand(3, generator=generator))
        rows = (down - top * height).clamp(min=0)
        near = (across - left * width - 0.2 * rows).abs()
        streak = (1 - near).clamp(min=0) * ((rows > 0) & (rows < 14))
        scene += 0.3 * light * streak
    return scene.clamp(0, 1)


def _card(method: Method, weights: WeightsFile, made: Exported) -> str:
    """Return the model card of a file in Markdown."""
    runtime = {"onnx": "ONNX Runtime", "openvino": "OpenVINO", "pt2": "torch"}[made.format]
    version = version_of(made.format) or torch.__version__
    sizes = ", ".join(f"{height}x{width}" for height, width in made.sizes)
    licence = next(
        (each.licence for each in method.weights if f"{method.name}.{each.tag}" == weights.name),
        weights.header.get("licence", "not stated"),
    )
    facts = {
        "method": f"`{method.name}`: {method.summary}",
        "paper": method.paper.title,
        "variant": f"`{weights.variant}`",
        "weights": f"`{weights.name}`, sha256 `{weights.sha256}`",
        "licence of the weights": licence,
        "file": f"`{made.path.name}`, {made.path.stat().st_size:,} bytes, "
        f"sha256 `{sha256(made.path)}`",
        "made with": f"rainkit {rainkit.__version__}, torch {torch.__version__}, "
        f"{runtime} {version}",
        "input": f"`rainy`, float32 [1,3,H,W], RGB in [0,1], H and W from {made.smallest} px on",
        "output": "`clean`, float32 [1,3,H,W]; clip it to [0,1]",
        "check": f"differs from torch by {made.difference:.2g} of the output's range at most "
        f"(allowed: {made.tolerance:g}) at {sizes}",
    }
    if (loss := made.int8) is not None:
        facts["check"] += ", before int8"
        facts["int8"] = (
            f"quantised by NNCF after training, on {counted(loss.calibrated, 'photograph')}; "
            f"agrees with float32 to {loss.mean_db:.1f} dB (mean) and {loss.least_db:.1f} dB "
            f"(least) on {counted(loss.measured, 'photograph')}"
        )
    command = ["rainkit", "infer", "photos/", "-m", method.name, "--backend", made.path.name]
    if not method.weights or weights.name != f"{method.name}.{method.weights[0].tag}":
        command += ["--weights", weights.name]  # a file runs with its own weights alone
    lines = [f"# {made.path.name}", "", f"{method.title} for {runtime}.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {' '.join(text.split())} |" for name, text in facts.items()]
    lines += [
        "",
        "```console",
        f"$ {shlex.join(command)}",
        "```",
    ]
    return "\n".join(lines) + "\n"

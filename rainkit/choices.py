"""Lists of values that options take: help texts, completion and errors share them.

This module is free of torch and of all other libraries, so that the command line can offer the
values before the code that knows their meaning is imported. Tests check that the registries of
layouts, presets, protocols and metrics agree with these lists.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

from rainkit.errors import UsageError

__all__ = [
    "PLAIN",
    "Average",
    "Backend",
    "DepthFormat",
    "DownstreamTask",
    "DryRun",
    "Engine",
    "ExportFormat",
    "FileFormat",
    "Layout",
    "Level",
    "Light",
    "ManifestFormat",
    "Metric",
    "Precision",
    "Preset",
    "Protocol",
    "RainAttribute",
    "RainySide",
    "ResultFormat",
    "SideOutput",
    "TimedBackend",
    "WrittenLayout",
    "choose",
    "nearest",
    "unknown",
]


class Precision(StrEnum):
    """Number formats that a network runs in; ``auto`` chooses by the device and the method.

    ``tf32`` is float32 with the shorter products of NVIDIA's tensor cores.
    """

    AUTO = "auto"
    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"


class Backend(StrEnum):
    """What executes a network; ``auto`` is the fastest that is known, or else eager."""

    AUTO = "auto"
    EAGER = "eager"
    COMPILE = "compile"
    OPENVINO = "openvino"
    ONNX = "onnx"
    CUDAGRAPH = "cudagraph"


PLAIN = "plain"
"""Backend of ``rainkit bench`` alone: torch eager in float32 and NCHW, without rainkit's ways of
running networks faster."""

TimedBackend: type[StrEnum] = StrEnum(  # type: ignore[misc]  # mypy wants every name spelt out
    "TimedBackend", {"PLAIN": PLAIN, **{each.name: each.value for each in Backend}}
)
"""What ``rainkit bench`` times: :data:`PLAIN`, and those of :class:`Backend`."""


class ExportFormat(StrEnum):
    """Formats of exported networks."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    PT2 = "pt2"


class DryRun(StrEnum):
    """What ``rainkit train`` says instead of training."""

    PLAN = "plan"
    PROFILE = "profile"


class Engine(StrEnum):
    """Places where the work of a command runs; the first is the default."""

    LOCAL = "local"
    RAY = "ray"


class Layout(StrEnum):
    """Layouts of datasets of pairs that are read, in the order in which they are tried.

    The last three are names under which ``rainkit synth`` writes some of them.
    """

    RAINKIT = "rainkit"
    WDS = "wds"
    HF = "hf"
    SPA = "spa"
    FOLDERS = "folders"
    RAIN100 = "rain100"
    SIDE_BY_SIDE = "side-by-side"
    LMDB = "lmdb"
    META_INFO = "meta-info"
    RESTORMER = "restormer"
    DDN = "ddn"
    DID = "did"


class WrittenLayout(StrEnum):
    """Layouts of datasets that are written; the first is the default."""

    RESTORMER = "restormer"
    RAIN100 = "rain100"
    DDN = "ddn"
    DID = "did"
    SPA = "spa"
    HF = "hf"
    WDS = "wds"


class RainySide(StrEnum):
    """The half of a side-by-side picture that shows the rain."""

    LEFT = "left"
    RIGHT = "right"


class Preset(StrEnum):
    """Named settings of synthetic rain; the first is the default."""

    DEFAULT = "default"
    SPA = "spa"
    RAIN12 = "rain12"
    RAIN100L = "rain100l"
    RAIN100H = "rain100h"
    WIDE = "wide"
    SHORT = "short"
    PHYSICAL = "physical"
    MISTY = "misty"


class Level(StrEnum):
    """Named strengths of rain, from the weakest to the strongest."""

    DRIZZLE = "drizzle"
    LIGHT = "light"
    MODERATE = "moderate"
    HEAVY = "heavy"
    VIOLENT = "violent"


class Light(StrEnum):
    """Values in which rain and scene are blended."""

    SRGB = "srgb"
    LINEAR = "linear"


class DepthFormat(StrEnum):
    """Meaning of the values in the file of a depth map."""

    METRES = "metres"
    KITTI = "kitti"
    NYU = "nyu"
    MM = "mm"
    CITYSCAPES = "cityscapes"
    RELATIVE = "relative"
    DISPARITY = "disparity"


class FileFormat(StrEnum):
    """Formats of the pictures of a dataset that is written."""

    PNG = "png"
    JPG = "jpg"


class ResultFormat(StrEnum):
    """Formats that results of ``rainkit infer`` can be written in; each is a suffix."""

    PNG = "png"
    JPG = "jpg"
    WEBP = "webp"
    TIFF = "tiff"
    AVIF = "avif"


class ManifestFormat(StrEnum):
    """Formats of a dataset's manifest; Parquet is written beside JSON Lines."""

    JSONL = "jsonl"
    PARQUET = "parquet"


class SideOutput(StrEnum):
    """Pictures that a dataset may hold beside the pairs."""

    MASK = "mask"
    TRANS = "trans"


class Protocol(StrEnum):
    """Named ways to compute PSNR and SSIM; the first is the default."""

    PRENET = "prenet"
    RESTORMER = "restormer"
    BASICSR = "basicsr"
    RESTORMER_PY = "restormer-py"
    RGB = "rgb"
    SPANET = "spanet"
    PIL_Y = "pil-y"


class Metric(StrEnum):
    """Metrics beside PSNR and SSIM."""

    MAE = "mae"
    TONE_PSNR = "tone_psnr"
    MS_SSIM = "ms_ssim"
    GMSD = "gmsd"
    FSIM = "fsim"
    VIF = "vif"
    HAARPSI = "haarpsi"
    MDSI = "mdsi"
    TV = "tv"
    RAIN_LEFT = "rain_left"
    RAIN_REMOVED = "rain_removed"
    STREAK_ENERGY = "streak_energy"
    LPIPS = "lpips"
    DISTS = "dists"
    BRISQUE = "brisque"
    NIQE = "niqe"


class RainAttribute(StrEnum):
    """Attributes of synthetic rain by which pictures are grouped."""

    RATE = "rate"
    PRESET = "preset"
    DEPTH = "depth"
    VEIL = "veil"
    WIND = "wind"


class Average(StrEnum):
    """Averages of the frames of a static scene."""

    MEAN = "mean"
    MEDIAN = "median"


class DownstreamTask(StrEnum):
    """Tasks of models that run on derained pictures."""

    DETECTION = "detection"
    SEGMENTATION = "segmentation"


_Choice = TypeVar("_Choice", bound=StrEnum)


def choose(kind: type[_Choice], text: str, option: str) -> _Choice:
    """Return the value that a user has named.

    Args:
        kind: the list of values.
        text: what the user wrote.
        option: the option that took it, such as ``--metric``.

    Raises:
        UsageError: the list has no such value.
    """
    try:
        return kind(text)
    except ValueError:
        raise unknown(option, text, kind) from None


def unknown(option: str, text: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not known, with the nearest name and all names.

    Args:
        option: the option that took the name, such as ``--metric``.
        text: what the user wrote.
        known: all names.
    """
    names = list(map(str, known))
    near = nearest(text, names)
    hint = f"did you mean {near}? " if near is not None else ""
    return UsageError(f"{option} {text}: unknown; {hint}choose from {', '.join(names)}")


def nearest(text: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a mistyped one; None if none is."""
    found = difflib.get_close_matches(text.casefold(), list(map(str, known)), n=1)
    return found[0] if found else None

"""Options of running networks: device, precision, tiles, work size, effort and strength.

:class:`RuntimeOptions` is built once at the edge of a command and passed along. This module is
free of torch; :mod:`rainkit.networks` finds out what the machine can do.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from rainkit.choices import Backend, Precision, choose, unknown
from rainkit.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = [
    "EXPORTED",
    "SMALLEST_TILE",
    "STOP_BELOW",
    "STRONGEST",
    "Effort",
    "Magnification",
    "RuntimeOptions",
]

SMALLEST_TILE = 64
"""Shortest side of tiles in pixels."""

EXPORTED = (".onnx", ".xml", ".pt2")
"""Suffixes of files of ``rainkit export``."""

STOP_BELOW = 4.0
"""Default threshold of ``--effort auto`` in grey levels; see docs/benchmarks/anytime.md."""

STRONGEST = 1.5
"""Largest factor by which the rain that a network takes off can be scaled."""

_DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


_SCALES = (0.1, 4.0)
"""Smallest and largest :class:`Magnification`."""


@dataclass(frozen=True, slots=True)
class Magnification:
    """A work size as a factor of each picture's own size: 2 shows a network twice the size.

    Attributes:
        factor: from 0.1 to 4.
    """

    factor: float

    def __post_init__(self) -> None:
        if not _SCALES[0] <= self.factor <= _SCALES[1]:  # nan included
            raise UsageError(f"--work-size {self}: give {_SCALES[0]:g}x to {_SCALES[1]:g}x")

    @classmethod
    def parse(cls, text: str) -> Magnification | None:
        """Read a factor such as ``2x``; return None for any other text.

        Raises:
            UsageError: the factor is out of range.
        """
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+)x", text, re.ASCII)
        return None if found is None else cls(float(found[1]))

    def __str__(self) -> str:
        """Return the factor as ``--work-size`` takes it."""
        return f"{self.factor:g}x"


@dataclass(frozen=True, slots=True)
class Effort:
    """Share of an anytime network that runs.

    Attributes:
        blocks: the largest number of blocks to run; None for the whole network, with what follows
            its blocks.
        stop_below: threshold in grey levels (0 to 255). The network stops after the first block
            that changes the picture by less: the root mean square over all pixels and channels of
            the difference from the block before it (for the first block, from the rainy picture).
            None for no threshold.
    """

    blocks: int | None = None
    stop_below: float | None = None

    def __post_init__(self) -> None:
        if self.blocks is not None and self.blocks < 1:
            raise UsageError(f"--effort {self.blocks}: the number of blocks must be 1 or more")
        below = self.stop_below
        if below is not None and not (math.isfinite(below) and below >= 0):
            raise UsageError(
                f"--effort auto:{below:g}: the threshold must be 0 or more grey levels, "
                f"such as auto:{STOP_BELOW:g}"
            )

    @classmethod
    def parse(cls, text: str) -> Effort:
        """Read ``full``, ``auto``, ``auto:LEVELS`` or a number of blocks.

        Raises:
            UsageError: the text is none of these.
        """
        if text == "full":
            return cls()
        if text == "auto":
            return cls(stop_below=STOP_BELOW)
        name, colon, levels = text.partition(":")
        if name == "auto" and colon:
            try:
                return cls(stop_below=float(levels))
            except ValueError:
                pass
        elif text.isdecimal():
            return cls(blocks=int(text))
        raise UsageError(
            f"--effort {text}: give full, auto, auto:LEVELS (such as auto:2) or a number of blocks"
        )

    @property
    def whole(self) -> bool:
        """Whether the whole network runs in one pass."""
        return self.blocks is None and self.stop_below is None

    def __str__(self) -> str:
        """Return the effort as ``--effort`` takes it."""
        if self.stop_below is None:
            return "full" if self.blocks is None else str(self.blocks)
        return "auto" if self.stop_below == STOP_BELOW else f"auto:{self.stop_below:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeOptions:
    """Options of running networks.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: the number format.
        tile: side in pixels of the tiles that larger pictures are cut into; 0 for whole pictures,
            None for a side that suits the device.
        work_size: longest side in pixels of what the network sees of larger pictures, or a factor
            of the size of each; 0 for the full size, None for the size at which the streaks of a
            picture have the width that networks know (:mod:`rainkit.inference.work_size`).
        effort: how much of an anytime network runs.
        strength: factor of the rain that is taken off, 0 to 1.5: 1 for as much as the network
            finds, 0 for nothing.
        spare_traces: whether what is too faint to be rain is given back
            (:mod:`rainkit.inference.traces`); None for what suits the weights.
        backend: what executes the network, a name of :class:`rainkit.choices.Backend` or a file of
            ``rainkit export``.
    """

    device: str = "auto"
    precision: Precision = Precision.AUTO
    tile: int | None = None
    work_size: int | Magnification | None = 0
    effort: Effort = field(default_factory=Effort)
    strength: float = 1.0
    spare_traces: bool | None = None
    backend: str = Backend.EAGER

    def __post_init__(self) -> None:
        if not _DEVICES.fullmatch(self.device):
            raise UsageError(f"--device {self.device}: give auto, cpu, cuda, cuda:N or mps")
        if self.tile is not None and self.tile != 0 and self.tile < SMALLEST_TILE:
            raise UsageError(
                f"--tile {self.tile}: give at least {SMALLEST_TILE}, or 0 for whole pictures"
            )
        if isinstance(self.work_size, int) and 0 != self.work_size < SMALLEST_TILE:
            raise UsageError(
                f"--work-size {self.work_size}: give at least {SMALLEST_TILE}, a factor such as "
                "2x, auto or full"
            )
        given: Any = self.strength  # None, for example
        if not isinstance(given, Real) or not 0 <= self.strength <= STRONGEST:
            raise UsageError(
                f"--strength {self.strength}: give 0 to {STRONGEST:g}; 1 takes off as much rain "
                "as the network finds"
            )
        if self.backend not in set(Backend) and not self.backend.endswith(EXPORTED):
            raise unknown("--backend", self.backend, (*Backend, "a file of rainkit export"))

    @classmethod
    def parse(
        cls,
        *,
        device: str | torch.device = "auto",
        precision: str = "auto",
        tile: int | str | None = "auto",
        work_size: int | str | Magnification | None = "full",
        effort: int | str | Effort = "full",
        strength: float = 1.0,
        spare_traces: bool | None = None,
        backend: str = Backend.EAGER,
    ) -> RuntimeOptions:
        """Read the options as a user writes them on the command line or in Python.

        Args:
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``, or a device of torch.
            precision: ``auto``, ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
            tile: ``auto`` or None, or the side of tiles in pixels; 0 for whole pictures.
            work_size: ``full``, ``auto`` or None, a longest side in pixels, or a factor such as
                ``2x``.
            effort: ``full``, ``auto``, ``auto:LEVELS`` or a number of blocks.
            strength: factor of the rain that is taken off, 0 to 1.5.
            spare_traces: whether to give back what is too faint to be rain; None for what suits
                the weights.
            backend: ``auto``, ``eager``, ``compile``, ``openvino``, ``onnx`` or an exported file.

        Raises:
            UsageError: one of them is not of these.
        """
        return cls(
            device=str(device),
            precision=choose(Precision, str(precision), "--precision"),
            tile=_pixels(tile, "--tile", "auto, 0, or the side of tiles in pixels"),
            work_size=_work_size(work_size),
            effort=effort if isinstance(effort, Effort) else Effort.parse(str(effort)),
            strength=strength,
            spare_traces=spare_traces,
            backend=str(backend),
        )


def _work_size(given: int | str | Magnification | None) -> int | Magnification | None:
    if isinstance(given, Magnification):
        return given
    if isinstance(given, str) and (factor := Magnification.parse(given)) is not None:
        return factor
    expected = "auto, full, a longest side in pixels, or a factor such as 2x"
    return _pixels(0 if given == "full" else given, "--work-size", expected)


def _pixels(given: Any, option: str, expected: str) -> int | None:
    if given is None or given == "auto":
        return None
    integral = isinstance(given, Integral) and not isinstance(given, (bool, str))
    if integral or (isinstance(given, str) and given.isdecimal()):
        return int(given)
    raise UsageError(f"{option} {given}: give {expected}")

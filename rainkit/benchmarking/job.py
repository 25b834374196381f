"""One row of a runtime table: what is timed, and what came out. Plain data, no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Job", "Row", "Timing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What one row times: a method's network on random pictures of one size.

    Attributes:
        method: an installed method's name.
        variant: whose network hyperparameters; the weights are random, which changes no time.
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        batch: pictures per pass.
        device: as for :func:`rainkit.networks.choose`.
        precision: as for :func:`rainkit.networks.choose`.
        runs: timed passes.
        warmup: passes before them, one of which counts the arithmetic.
        threads: CPU threads of one operation; None = torch's choice.
    """

    method: str
    variant: str = "default"
    height: int = 512
    width: int = 512
    batch: int = 1
    device: str = "auto"
    precision: str = "auto"
    runs: int = 20
    warmup: int = 3
    threads: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What one job measured. All times and the arithmetic are per picture, not per batch.

    Attributes:
        device: its full name.
        precision: fp32, bf16 or fp16, as resolved.
        threads: CPU threads of one operation.
        median_ms: wall time of a forward pass, the device waited for.
        iqr_ms: interquartile range of the same.
        fastest_ms: of all timed passes.
        cpu_s: processor time of this process, over all its threads, mean.
        parameters: trainable numbers of the network.
        gflop: 10^9 floating-point operations, two for each multiply-add, of convolutions,
            matrix products and attention; element-wise work is not counted.
        peak_memory_mib: CUDA: the most that tensors held, weights included. CPU: how far the
            process's resident memory rose above that of the loaded network. None where the
            system does not tell.
        torch: its version.
    """

    device: str
    precision: str
    threads: int
    median_ms: float
    iqr_ms: float
    fastest_ms: float
    cpu_s: float
    parameters: int
    gflop: float
    peak_memory_mib: float | None
    torch: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A job and its timing, or why there is none.

    Attributes:
        job: what was to be timed.
        timing: what came out, if it ran.
        problem: why it did not.
        usage: the problem is the request: nothing is wrong with the method or the machine.
    """

    job: Job
    timing: Timing | None = None
    problem: str | None = None
    usage: bool = False

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "job": asdict(self.job),
            "timing": asdict(self.timing) if self.timing else None,
            "problem": self.problem,
            "usage": self.usage,
        }

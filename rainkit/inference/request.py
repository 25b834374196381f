"""What to derain, with what, and where to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rainkit.inference.loading import Side

__all__ = ["InferRequest"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """One run over pictures.

    Attributes:
        inputs: files, folders (searched through, the tree mirrored) and glob patterns.
        method: an installed method; None = the only one there is.
        output: a folder, or for a single picture a file too; None = beside the input, see
            :func:`rainkit.inference.outputs.plan`.
        weights: a tag of the method or a ``.safetensors`` file; None = the method's first.
        variant: the variant the weights must be of.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        tile: side of tiles in pixels; 0 = whole pictures.
        blocks: of an anytime method, the blocks to run at most; None = all.
        effort: ``full``, or ``auto`` to stop a picture after the block that changes it little.
        stop_below: what is little, in levels of 255; None = the default.
        parts: save what the method shows besides its results.
        overwrite: replace existing results, which are skipped otherwise; inputs are never replaced.
        quality: of JPEG and WebP results, 1 to 100.
        report: make a before/after page.
        report_path: where; None = ``report.html`` in the first folder of results.
    """

    inputs: tuple[Path | str, ...]
    method: str | None = None
    output: Path | None = None
    weights: str | None = None
    variant: str | None = None
    device: str = "auto"
    precision: str = "auto"
    tile: Side = "auto"
    blocks: int | None = None
    effort: str = "full"
    stop_below: float | None = None
    parts: bool = False
    overwrite: bool = False
    quality: int = 95
    report: bool = False
    report_path: Path | None = None

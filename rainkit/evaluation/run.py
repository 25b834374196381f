"""``rainkit eval`` as one call: check the request, evaluate, hold against bars, write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rainkit.errors import UsageError
from rainkit.evaluation.comparison import Advance, Comparison, parse_bar
from rainkit.evaluation.folders import FoldersRequest, evaluate_folders
from rainkit.evaluation.methods import MethodRequest, evaluate_method
from rainkit.evaluation.tables import check_output, write

__all__ = ["EvalRequest", "Evaluation", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalRequest:
    """What to score and what to do with the figures.

    Attributes:
        source: a method on datasets, or a folder against a folder.
        output: folder for per_image.csv, metrics.json and table.md; None = write nothing.
        overwrite: replace files that are there.
        bars: ``psnr=30`` and the like, for :meth:`Comparison.below`.
    """

    source: MethodRequest | FoldersRequest
    output: Path | None = None
    overwrite: bool = False
    bars: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The figures, the files written, and the bars missed."""

    comparison: Comparison
    written: tuple[Path, ...] = ()
    missed: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 when a bar was missed, else 1 when a picture failed, else 0."""
        if self.missed:
            return 3
        return 1 if self.comparison.failures else 0


def run(request: EvalRequest, advance: Advance | None = None) -> Evaluation:
    """Evaluate. Whatever is wrong with the request is said before anything is computed.

    Raises:
        UsageError: a wrong option, name or path, or a file that would be replaced.
        PairingError: files without a partner, or of another size than it.
        MethodError, WeightsError, ImageError: the method cannot run, the results not be written.
    """
    without_input = isinstance(request.source, FoldersRequest) and request.source.rainy is None
    for bar in request.bars:
        quantity, _ = parse_bar(bar)
        if quantity.endswith("_gain") and without_input:
            raise UsageError(f"--fail-below {bar}: a gain needs the rainy pictures; pass --input")
    if request.output is not None:
        check_output(request.output, overwrite=request.overwrite)
    if isinstance(request.source, MethodRequest):
        comparison = evaluate_method(request.source, advance)
    else:
        comparison = evaluate_folders(request.source, advance)
    written: tuple[Path, ...] = ()
    if request.output is not None:
        written = write(comparison, request.output, overwrite=request.overwrite)
    return Evaluation(comparison=comparison, written=written, missed=comparison.below(request.bars))

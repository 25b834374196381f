"""``rainkit eval`` as one call: check the request, evaluate, hold against bars, write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rainkit.errors import UsageError
from rainkit.evaluation.comparison import Advance, Comparison, parse_bar
from rainkit.evaluation.folders import FoldersRequest, evaluate_folders
from rainkit.evaluation.methods import MethodRequest, evaluate_method
from rainkit.evaluation.reporting import REPORT_FILES, report_of, write_report
from rainkit.evaluation.tables import check_output, write
from rainkit.reports.eval_data import PublishedScore

__all__ = ["EvalRequest", "Evaluation", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalRequest:
    """What to score and what to do with the figures.

    Attributes:
        sources: methods on datasets, or a folder against a folder.
        output: folder for per_image.csv, metrics.json and table.md; None = write nothing.
        overwrite: replace files that are there.
        bars: ``psnr=30`` and the like, for :meth:`Comparison.below`.
        report: write a page, plots and LaTeX to ``output``, too.
        published: figures of papers to set beside the measured ones.
    """

    sources: tuple[MethodRequest | FoldersRequest, ...]
    output: Path | None = None
    overwrite: bool = False
    bars: tuple[str, ...] = ()
    report: bool = False
    published: tuple[PublishedScore, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The figures of each source, the files written, and the bars missed."""

    comparisons: tuple[Comparison, ...]
    written: tuple[Path, ...] = ()
    missed: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 when a bar was missed, else 1 when a picture failed, else 0."""
        if self.missed:
            return 3
        return 1 if any(each.failures for each in self.comparisons) else 0


def run(request: EvalRequest, advance: Advance | None = None) -> Evaluation:
    """Evaluate. Whatever is wrong with the request is said before anything is computed.

    Raises:
        UsageError: a wrong option, name or path, or a file that would be replaced.
        PairingError: files without a partner, or of another size than it.
        MethodError, WeightsError, ImageError: the method cannot run, the results not be written.
    """
    without_input = any(
        isinstance(each, FoldersRequest) and each.rainy is None for each in request.sources
    )
    if request.report and request.output is None:
        raise UsageError("--report: name a folder to write to (--output)")
    for bar in request.bars:
        quantity, _ = parse_bar(bar)
        if quantity.endswith("_gain") and without_input:
            raise UsageError(f"--fail-below {bar}: a gain needs the rainy pictures; pass --input")
    if request.output is not None:
        more = REPORT_FILES if request.report else ()
        check_output(request.output, overwrite=request.overwrite, more=more)
    comparisons = tuple(_evaluate(source, advance) for source in request.sources)
    written: tuple[Path, ...] = ()
    if request.output is not None:
        written = write(comparisons, request.output, overwrite=request.overwrite)
        if request.report:
            report = report_of(comparisons, request.published)
            # table.md becomes that of all results with the best marked.
            written += write_report(report, request.output, overwrite=True)
    missed = tuple(
        f"{each.restored}: {line}" if len(comparisons) > 1 else line
        for each in comparisons
        for line in each.below(request.bars)
    )
    return Evaluation(comparisons=comparisons, written=tuple(dict.fromkeys(written)), missed=missed)


def _evaluate(source: MethodRequest | FoldersRequest, advance: Advance | None) -> Comparison:
    if isinstance(source, MethodRequest):
        return evaluate_method(source, advance)
    return evaluate_folders(source, advance)

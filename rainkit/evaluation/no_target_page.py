"""The page of an evaluation without ground truth: photographs and results side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rainkit.datasets.image_ref import ImageRef
from rainkit.evaluation.no_target import CAUTION, NoTargetResult, NoTargetScore, table
from rainkit.files import counted
from rainkit.render.side_by_side import (
    Column,
    Figure,
    Photograph,
    Result,
    SideBySidePage,
    side_by_side_page,
    to_show,
)

__all__ = ["PAGE", "no_target_page"]

PAGE = "no_target.html"
"""Name of the page's file."""

_BETTER = {True: "more is better", False: "less is better", None: "neither way is better"}


def no_target_page(found: NoTargetResult, path: Path, *, overwrite: bool = False) -> None:
    """Write a self-contained page of the photographs, their results and their figures.

    Results can be shown if their files are kept, see
    :attr:`rainkit.evaluation.DerainerRequest.keep`.

    Args:
        found: what was measured.
        path: the file to make.
        overwrite: replace an existing file.

    Raises:
        FileError: the file exists, or the system refuses to write.
    """
    labels = tuple(dict.fromkeys(each.result for each in found.scores))
    several = len({each.dataset for each in found.scores}) > 1
    rows = []
    for file in found.files:
        scores = [each for each in found.scores if each.dataset == file.dataset]
        measured = {each.result: _score(each.rows, file.picture) for each in scores}
        first = next((row for row in measured.values() if row is not None), None)
        rows.append(
            Photograph(
                name=f"{file.dataset}/{file.picture}" if several else file.picture,
                read=file.stored.read,
                figures={} if first is None else first.input_figures,
                results=tuple(
                    _result(found, file.dataset, file.picture, label, measured.get(label))
                    for label in labels
                ),
            )
        )
    shown = to_show(rows)
    page = SideBySidePage(
        title=f"{counted(len(rows), 'photograph')} without ground truth",
        columns=tuple(Column(name=label, note=_made(found, label)) for label in labels),
        photographs=shown,
        figures=tuple(
            Figure(
                name=each.metric.name,
                title=each.metric.title,
                about=f"{each.metric.about}; {_BETTER[each.metric.higher_is_better]}"
                f" ({each.metric.label})",
                form=".3f",
            )
            for each in found.metrics
        ),
        facts={label: made for label in labels if (made := _made(found, label))}
        | {"Made with": ", ".join(f"{name} {version}" for name, version in found.versions.items())},
        tables=(table(found, emphasis=True),),
        failures=tuple((f"{dataset}/{each.name}", each.reason) for dataset, each in found.failures),
        notes=(CAUTION, *found.notices),
        left_out=len(rows) - len(shown),
    )
    side_by_side_page(page, path, overwrite=overwrite)


def _score(rows: tuple[NoTargetScore, ...], picture: str) -> NoTargetScore | None:
    return next((row for row in rows if row.name == picture), None)


def _result(
    found: NoTargetResult, dataset: str, picture: str, label: str, score: NoTargetScore | None
) -> Result:
    scores = next(e for e in found.scores if (e.dataset, e.result) == (dataset, label))
    if score is None:
        reasons = {each.name: each.reason for each in scores.failures}
        return Result(missing=reasons.get(picture, "it was not measured"))
    stored: Mapping[str, ImageRef] = {each.picture: each.stored for each in scores.files}
    took = "" if score.milliseconds is None else f"{score.milliseconds / 1e3:.2f} s"
    if picture not in stored:
        return Result(missing="the result was not kept", figures=score.figures, note=took)
    return Result(read=stored[picture].read, figures=score.figures, note=took)


def _made(found: NoTargetResult, label: str) -> str:
    about = found.about.get(label, {})
    if "weights" not in about:
        return ""
    return f"{about['weights']['name']}, {about['weights']['sha256'][:12]}, {about['runtime']}"

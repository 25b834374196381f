"""From the options of ``rainkit eval`` to what is scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rainkit.errors import UsageError
from rainkit.files import counted

if TYPE_CHECKING:
    from rainkit.api import Method
    from rainkit.evaluation.cached_derainer import RestorerRequest
    from rainkit.evaluation.no_target import UnpairedRequest
    from rainkit.evaluation.report.data import PublishedScore
    from rainkit.evaluation.run import Source

Made = TypeVar("Made", bound="RestorerRequest")

__all__ = [
    "Chosen",
    "Row",
    "averages",
    "chosen",
    "folders",
    "methods",
    "published_figures",
    "refuse",
    "unpaired",
]


@dataclass(frozen=True, slots=True)
class Row:
    """A method with weights: a row of the tables.

    Attributes:
        method: its name.
        weights: a tag or a file; None = the method's first.
        label: the row's name; None = the method's, and the weights' where they were chosen.
    """

    method: str
    weights: str | None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows asked for, and what must be said of them."""

    rows: tuple[Row, ...]
    notices: tuple[str, ...] = ()


def chosen(
    named: Sequence[str], *, every: bool, weights: str | None, ablation: Path | None
) -> Chosen:
    """The methods that ``--method``, ``--all``, ``--weights`` and ``--ablation`` name.

    Raises:
        UsageError: options that do not go together, or nothing is found.
    """
    if every:
        if named:
            raise UsageError("give --method NAME (repeatable) or --all, not both")
        named = [each.name for each in _shipping()]
    split = [text.partition("=")[::2] for text in dict.fromkeys(named)]
    if weights is not None and (len(split) != 1 or split[0][1]):
        raise UsageError("--weights goes with one method; write --method NAME=WEIGHTS")
    if ablation is not None:
        if len(split) != 1 or split[0][1] or weights is not None:
            raise UsageError("--ablation goes with one --method NAME, without weights")
        return _variants(split[0][0], ablation)
    # Weights of several trainings often lie in files of one name.
    alike = Counter((name, Path(which).name) for name, which in split)
    return Chosen(
        tuple(
            Row(
                name,
                which or weights,
                f"{name} ({which})" if alike[name, Path(which).name] > 1 else None,
            )
            for name, which in split
        )
    )


def methods(
    rows: Sequence[Row], make: Callable[..., Made], output: Path | None
) -> tuple[Made, ...]:
    """A request for each row.

    Args:
        rows: methods with weights.
        make: makes a request from ``method``, ``weights``, ``label`` and ``keep``.
        output: folder of the results, where derained pictures are kept, too.
    """
    return tuple(
        make(
            method=row.method,
            weights=row.weights,
            label=row.label,
            keep=output,
        )
        for row in rows
    )


def averages(named: Sequence[str], **settings: Any) -> tuple[Source, ...]:
    """A request for each ``--average``.

    Raises:
        UsageError: one that is none.
    """
    from rainkit.evaluation.frame_averages import AveragesRequest, parse_average

    parsed = [parse_average(text) for text in dict.fromkeys(named)]
    return tuple(AveragesRequest(by=by, frames=frames, **settings) for by, frames in parsed)


def folders(paths: Sequence[Path]) -> tuple[Path, Path]:
    """The folders of restored pictures and of their targets.

    Raises:
        UsageError: other than two paths.
    """
    if len(paths) != 2:
        raise UsageError(
            f"{counted(len(paths), 'path')} without --method; give RESTORED and TARGET,"
            " or --method NAME"
        )
    return paths[0], paths[1]


def refuse(options: Mapping[str, object], does: str, do: str) -> None:
    """Refuse options that mean nothing here.

    Args:
        options: what was given for each; nothing, or False, if it was not.
        does: what is wrong with a single one of them.
        do: what is wrong with several.

    Raises:
        UsageError: one was given.
    """
    if given := [option for option, there in options.items() if there]:
        raise UsageError(f"{' and '.join(given)} {does if len(given) == 1 else do}")


def unpaired(
    paths: Sequence[Path],
    requests: tuple[RestorerRequest, ...],
    rainy: Path | None,
    *,
    notices: Sequence[str],
    names: Sequence[str],
    weights_dir: Path | None,
    limit: int | None,
    crop_to_common: bool,
) -> UnpairedRequest:
    """Photographs without ground truth.

    Raises:
        UsageError: neither methods nor one folder of results and --input.
    """
    from rainkit.evaluation.no_target import UnpairedRequest, metrics_without_target

    if requests and rainy is not None:
        raise UsageError("--input goes without --method: the paths are the rainy photographs")
    if not requests and (rainy is None or len(paths) != 1):
        raise UsageError(
            "--no-target: give --method NAME and rainy PHOTOS, or one folder RESTORED and"
            " --input RAINY"
        )
    measured, skipped = metrics_without_target(names, weights_dir=weights_dir)
    return UnpairedRequest(
        folders=tuple(paths) if rainy is None else (rainy,),
        metrics=measured,
        methods=requests,
        restored=None if rainy is None else paths[0],
        limit=limit,
        crop_to_common=crop_to_common,
        notices=(*skipped, *notices),
    )


def published_figures(methods: Iterable[str]) -> tuple[PublishedScore, ...]:
    """What the papers print of their own methods."""
    from rainkit import plugins
    from rainkit.evaluation.report.data import PublishedScore

    return tuple(
        PublishedScore(
            # A paper prints several figures of a dataset: of its parts and its variants.
            method=": ".join(filter(None, (method.title, each.note))),
            dataset=each.dataset,
            psnr=each.psnr,
            ssim=each.ssim,
            milliseconds=None if each.seconds is None else 1e3 * each.seconds,
            note="; ".join(filter(None, (method.paper.title, each.dataset, each.note))),
        )
        for method in map(plugins.get, dict.fromkeys(methods))
        for each in method.paper.results
        if each.psnr is not None or each.ssim is not None
    )


def _variants(name: str, folder: Path) -> Chosen:
    from rainkit import plugins
    from rainkit.evaluation.methods import variants_in

    found = variants_in(folder, plugins.get(name))
    rows = tuple(Row(name, str(path), label) for label, path in found.files)
    return Chosen(rows, found.notices)


def _shipping() -> list[Method]:
    """Installed methods that have weights.

    Raises:
        UsageError: none has.
    """
    from rainkit import plugins

    names = [found.name for found in plugins.installed() if found.problem is None]
    methods = [method for method in map(plugins.get, names) if method.weights]
    if not methods:
        raise UsageError("--all: no installed method ships weights")
    return methods

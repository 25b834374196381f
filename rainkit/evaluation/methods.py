"""Scoring a method: derain the rainy side of datasets and compare with the clean side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rainkit
from rainkit import images
from rainkit.datasets.pairs import Dataset, PairFiles, ReadOptions, named_datasets
from rainkit.datasets.sizes import check_sizes, notice_of_crops
from rainkit.datasets.stored import Stored
from rainkit.errors import UsageError
from rainkit.evaluation.cache import Cache
from rainkit.evaluation.comparison import (
    Advance,
    Comparison,
    SourceFile,
    excluded_notices,
    versions,
)
from rainkit.evaluation.measures import Ready
from rainkit.evaluation.protocols import RGB8, Protocol
from rainkit.evaluation.scores import Scores
from rainkit.evaluation.scoring import (
    Outcome,
    Triple,
    attempt,
    collect,
    derained,
    read_pair,
)

if TYPE_CHECKING:
    from rainkit.inference.effort import Effort

__all__ = ["MethodRequest", "evaluate_method"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodRequest:
    """Derain the rainy side of datasets and score the results.

    Attributes:
        method: an installed method's name.
        datasets: folders of pairs, or folders of such folders; of those that are split, the split
            ``test``.
        protocols: at least one; every picture is derained once for all.
        weights: a tag or a file; None = the method's first.
        device: as for :func:`rainkit.networks.choose`.
        precision: as for :func:`rainkit.networks.choose`.
        tile: side of the tiles in pixels; 0 = whole pictures, None = by the device.
        blocks: of an anytime method, the blocks to run at most; None = all.
        effort: ``full``, or ``auto`` to stop a picture after the block that changes it little.
        stop_below: what is little, in levels of 255; None = the default.
        limit: pictures per dataset at most; None = all.
        save: folder for the derained pictures, ``<save>/<dataset>/<name>.png``.
        overwrite: replace pictures that are there.
        reading: how dataset folders are read.
        keep: folder for derained pictures that are used again the next time, see
            :class:`rainkit.evaluation.cache.Cache`.
        metrics: what is measured besides.
        exact: compute scores in float64 throughout.
    """

    method: str
    datasets: tuple[Path, ...]
    protocols: tuple[Protocol, ...]
    weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    tile: int | None = None
    blocks: int | None = None
    effort: str = "full"
    stop_below: float | None = None
    limit: int | None = None
    save: Path | None = None
    overwrite: bool = False
    reading: ReadOptions = field(default_factory=ReadOptions)
    keep: Path | None = None
    metrics: tuple[Ready, ...] = ()
    exact: bool = False


def evaluate_method(request: MethodRequest, advance: Advance | None = None) -> Comparison:
    """Derain datasets with a method and score the results, rounded to 8 bit like a saved PNG.

    Raises:
        UsageError: an unknown method, device or weights tag, or pictures that would be replaced.
        PairingError: files without a partner, or of another size than it.
        MethodError, WeightsError: the method cannot run.
    """
    # Comparing two folders needs no torch: it is imported here, where a method runs.
    import torch

    from rainkit import inference
    from rainkit.weights import sha256

    datasets = tuple(
        replace(each, pairs=each.pairs[: request.limit])
        for each in named_datasets(request.datasets, prefer=("test",), options=request.reading)
    )
    _refuse_to_replace(request, datasets)
    check_sizes((pair.rainy, pair.clean) for each in datasets for pair in each.pairs)
    derainer = inference.load(
        request.method,
        weights=request.weights,
        device=request.device,
        precision=request.precision,
        tile=request.tile,
        blocks=request.blocks,
        effort=request.effort,
        stop_below=request.stop_below,
    )

    file = derainer.weights
    about = {
        "method": request.method,
        "weights": {"name": file.name, "variant": file.variant, "sha256": sha256(file.path)},
        "runtime": derainer.runtime.describe(),
        **_effort(derainer.effort),
    }
    cache = None
    if request.keep is not None:
        decides = {"tile": request.tile, "torch": torch.__version__, "rainkit": rainkit.__version__}
        cache = Cache(request.keep, about | decides)

    def derain(rainy: RGB8) -> RGB8:
        return np.asarray(derainer.derain(rainy), dtype=np.uint8)

    def restore(dataset: str, pair: PairFiles, save: Path | None) -> Triple:
        arrays = read_pair(pair)
        triple = None
        if cache is not None and (kept := cache.get(dataset, pair.name, arrays.rainy)):
            triple = Triple(pair.name, kept[0], arrays.clean, arrays.rainy, kept[1])
        if triple is None:
            triple = derained(derain, arrays)
            if cache is not None and triple.milliseconds is not None:
                cache.put(dataset, pair.name, arrays.rainy, triple.restored, triple.milliseconds)
        if save is not None:
            images.write(save, images.Picture(rgb=triple.restored), overwrite=request.overwrite)
        return triple

    total, done = sum(len(each.pairs) for each in datasets), 0
    scores: list[Scores] = []
    for dataset in datasets:
        outcomes: list[Outcome] = []
        for pair in dataset.pairs:
            save = None if request.save is None else _saved(request.save, dataset, pair)
            outcomes.append(
                attempt(
                    pair.name,
                    partial(restore, dataset.name, pair, save),
                    request.protocols,
                    metrics=request.metrics,
                    exact=request.exact,
                )
            )
            done += 1
            if advance is not None:
                advance(done, total)
        scores += collect(dataset.name, outcomes, request.protocols)
    return Comparison(
        restored=f"{request.method} ({file.name})" if request.weights else request.method,
        scores=tuple(scores),
        about=about
        | ({"metrics": [each.to_data() for each in request.metrics]} if request.metrics else {})
        | {"versions": versions() | {"torch": torch.__version__}},
        notices=(*_split_notices(datasets), *_crop_notices(datasets), *excluded_notices(scores)),
        files=tuple(
            SourceFile(each.name, role, stored, pair.name)
            for each in datasets
            for pair in each.pairs
            for role, stored in _roles(each, pair, request, cache)
        ),
    )


def _roles(
    dataset: Dataset, pair: PairFiles, request: MethodRequest, cache: Cache | None
) -> Iterator[tuple[str, Stored]]:
    yield "rainy", pair.rainy
    yield "target", pair.clean
    if request.save is not None:
        yield "restored", Stored(_saved(request.save, dataset, pair))
    elif cache is not None:
        yield "restored", Stored(cache.path(dataset.name, pair.name))


def _split_notices(datasets: Iterable[Dataset]) -> tuple[str, ...]:
    return tuple(
        f"{each.name}: its split {each.split!r} alone is scored" for each in datasets if each.split
    )


def _crop_notices(datasets: Iterable[Dataset]) -> tuple[str, ...]:
    return tuple(
        f"{each.name}: {notice}"
        for each in datasets
        for notice in notice_of_crops((pair.rainy, pair.clean) for pair in each.pairs)
    )


def _effort(effort: Effort) -> dict[str, Any]:
    """What was left out, if anything was."""
    return {} if effort.whole else {"effort": asdict(effort)}


def _saved(folder: Path, dataset: Dataset, pair: PairFiles) -> Path:
    return folder / dataset.name / f"{pair.name}.png"


def _refuse_to_replace(request: MethodRequest, datasets: Iterable[Dataset]) -> None:
    """Before hours of computing, not after."""
    if request.save is None or request.overwrite:
        return
    for dataset in datasets:
        for pair in dataset.pairs:
            if (path := _saved(request.save, dataset, pair)).exists():
                raise UsageError(f"{path} exists; pass --overwrite, or another folder to --save")

"""Making a dataset of rainy and clean pairs: plan the scenes, make them, write what lists them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rainkit.choices import Engine as Place
from rainkit.datasets import manifest, output_folder
from rainkit.datasets.manifest import Record
from rainkit.datasets.splits import SPLITS, splits_to_data
from rainkit.datasets.writers import LAYOUTS, write_card
from rainkit.depth.files import GUESSED
from rainkit.engine import Engine, Work, open_engine, paying_workers
from rainkit.files import alone_in, counted, remove_temporary, write_json
from rainkit.images import left_out
from rainkit.ledger import Ledger
from rainkit.synthesis.request import OnProgress, SynthRequest, SynthResult
from rainkit.synthesis.scene import (
    Photo,
    Plan,
    Scene,
    SceneMaker,
    find_photos,
    made_or_reason,
    make_plan,
    make_scene,
)

__all__ = ["synthesise", "write_lists"]


def synthesise(request: SynthRequest, on_progress: OnProgress | None = None) -> SynthResult:
    """Make a dataset of rainy and clean pairs.

    The rain of a picture is determined by the dataset's seed, the pixels of the clean picture and
    the number of the variant. Other pictures, their order and the number of workers or shards do
    not change it. A photograph that cannot be read, or whose depth cannot, is reported in the
    result, and the others are made.

    A run that ended early continues when it is repeated, and ends with the same files as one that
    did not.

    Args:
        request: the dataset to make.
        on_progress: called after each photograph.

    Raises:
        UsageError: There is no photograph, or the folder may not be written to.
        FileError, DatasetError: A result cannot be written; repeat the request to continue.
    """
    started = time.monotonic()
    tell = on_progress or (lambda what, done, total: None)
    output_folder.admit(request)
    photos = find_photos(request.inputs, request.out, maps=request.depth_name == "auto")
    SceneMaker(request)  # says what is wrong with the depth source before anything is written
    with _opened(request, photos) as engine:
        plan = make_plan(request, photos, engine, lambda done, of: tell("hashing", done, of))
        mine = _share(plan.scenes, request.shard)
        with output_folder.begin(request, plan.identity()) as journal:
            resumed = sum(scene.photo.name in journal.entries for scene in mine)
            failures = _make_scenes(request, plan, mine, engine, journal, tell)
            records = [r for scene in mine for r in journal.entries.get(scene.photo.name, ())]
            path = _finish(request, plan, records, journal.about["former"])
            journal.remove()
    failed = dict(plan.failures) | failures
    return SynthResult.of(
        records,
        out=request.out,
        manifest=path,
        resumed=resumed,
        notes=(
            *filter(None, (plan.note, _note_of_units(records))),
            *left_out(request.inputs),
        ),
        failures=tuple((photo.path, failed[photo]) for photo in photos if photo in failed),
        seconds=time.monotonic() - started,
    )


def _note_of_units(records: Iterable[Record]) -> str | None:
    """Return which units depth maps of 16 bits were taken to have, if that was guessed."""
    kinds = {record.scene: record.depth.kind for record in records if record.depth is not None}
    guessed = Counter(kind.removesuffix(GUESSED) for kind in kinds.values() if GUESSED in kind)
    if not guessed:
        return None
    units = {"mm": "millimetres", "kitti": "1/256 m"}
    told = ", ".join(
        f"{counted(count, 'map')} in {units.get(kind, kind)}" for kind, count in guessed.items()
    )
    return (
        f"the unit of 16-bit depth was guessed from its values ({told}): if it is another one, say"
        " --set depth_format=mm or =kitti"
    )


def _opened(request: SynthRequest, photos: Sequence[Photo]) -> Engine:
    if request.engine == Place.RAY:
        device = "cpu" if request.depth_name in ("auto", "none") else "auto"
        return open_engine("ray", workers=request.workers, threads=None, device=device)
    shards = 1 if request.shard is None else request.shard[1]
    pictures = len(photos) * request.variants * (request.sequence or 1)
    workers = paying_workers(pictures // shards, request.workers, len(photos))
    return open_engine(workers=workers, threads=None)


def _share(scenes: Sequence[Scene], shard: tuple[int, int] | None) -> Sequence[Scene]:
    """Return every n-th scene, so that all shards get a part of every folder of photographs."""
    return scenes if shard is None else scenes[shard[0] - 1 :: shard[1]]


def _make_scenes(
    request: SynthRequest,
    plan: Plan,
    mine: Sequence[Scene],
    engine: Engine,
    journal: Ledger[tuple[Record, ...]],
    tell: OnProgress,
) -> dict[Photo, str]:
    """Make the scenes that the journal lacks; return the photographs left out, with the reason."""
    counts = Counter(scene.split for scene in plan.scenes)
    left = [(s, counts[s.split]) for s in mine if s.photo.name not in journal.entries]
    ready = len(mine) - len(left)
    failures: dict[Photo, str] = {}
    outcomes = engine.run(Work.holding(make_scene, SceneMaker, request), left)
    for count, outcome in enumerate(outcomes, start=ready + 1):
        (scene, _), made = outcome.item, made_or_reason(outcome)
        if made.reason:
            failures[scene.photo] = made.reason
        else:
            journal.record(scene.photo.name, made.records)
        tell("raining", count, len(mine))
    return failures


def _finish(
    request: SynthRequest, plan: Plan, records: list[Record], former: Sequence[str]
) -> Path:
    """Write what lists the pairs and return the path of the manifest.

    The last shard to end does so for all; each of the others writes its part of the manifest.
    """
    path = output_folder.manifest_path(request)
    if request.shard is None:
        _write_lists(request, records, former)
        return path
    with alone_in(request.out):
        whole = request.out / manifest.MANIFEST
        if not whole.exists():
            manifest.write(path, records, overwrite=True)
            parts = [
                request.out / manifest.part_name(shard, request.shard[1])
                for shard in range(1, request.shard[1] + 1)
            ]
            if not all(part.exists() for part in parts):
                return path
            order = {scene.photo.name: number for number, scene in enumerate(plan.scenes)}
            everything = manifest.read(request.out)
            _write_lists(request, sorted(everything, key=lambda r: order[r.scene]), former)
        for part in request.out.glob("manifest-*-of-*.jsonl"):
            part.unlink()
        return whole


def _write_lists(request: SynthRequest, records: Sequence[Record], former: Sequence[str]) -> None:
    split = {
        "test_scenes": request.test_scenes,
        "split_seed": request.split_seed,
        "group_by": request.group_by,
    }
    write_lists(
        request.out,
        records,
        layout=request.layout,
        parquet=request.manifest_format == "parquet",
        split=None if request.test_scenes is None else split,
        command=request.command,
        former=former,
        sides=request.save,
    )


def write_lists(
    out: Path,
    records: Sequence[Record],
    *,
    layout: str,
    parquet: bool,
    split: Mapping[str, Any] | None,
    command: str = "",
    former: Sequence[str] = (),
    sides: Sequence[str] = (),
) -> None:
    """Write what lists the pairs; the manifest comes last, since it marks a finished folder.

    Args:
        out: folder of the dataset.
        records: records of all its pairs.
        layout: name of its layout.
        parquet: write tables as Parquet, too.
        split: settings of the split; None for a dataset without one.
        command: the command line, for the card.
        former: files of an overwritten dataset, which are deleted unless they belong to this one.
        sides: the side outputs that this dataset has.

    Raises:
        FileError, DatasetError: The system refuses to write.
    """
    LAYOUTS[layout].finish(out, records, overwrite=True, parquet=parquet)
    if split is not None:
        write_json(out / SPLITS, splits_to_data(records, split))
    if records:
        write_card(out, records, command, layout=LAYOUTS[layout], overwrite=True)
    if parquet:
        manifest.write_parquet(out / manifest.PARQUET, records, overwrite=True)
    output_folder.remove_former(out, former, records, sides)
    remove_temporary(out)
    manifest.write(out / manifest.MANIFEST, records, overwrite=True)

"""Rebuilding: making a dataset again from its manifest, perhaps in another layout."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rainkit import depth as depths
from rainkit import images
from rainkit.datasets import manifest, output_folder
from rainkit.datasets.manifest import Record
from rainkit.datasets.output_folder import open_journal
from rainkit.datasets.phash import pixel_hash
from rainkit.datasets.writers import LAYOUTS, Entry
from rainkit.engine import Work, open_engine, paying_workers
from rainkit.errors import DatasetError, ImageError, RainkitError, UsageError
from rainkit.files import write_json
from rainkit.images import RGB8
from rainkit.rain import Rendered
from rainkit.synthesis.degradation import Degradation
from rainkit.synthesis.request import DepthChoice, OnProgress, SynthResult, check_layout
from rainkit.synthesis.run import write_lists
from rainkit.synthesis.scene import (
    MadeScene,
    as_stored,
    encoding,
    find_photos,
    made_or_reason,
    save_depth,
    save_sides,
)
from rainkit.synthesis.verify import read_clean, read_depth

__all__ = ["RebuildRequest", "rebuild"]

_JOURNAL = "journal.jsonl"
_SPLIT = ("test_scenes", "split_seed", "group_by")


@dataclass(frozen=True, kw_only=True)
class RebuildRequest:
    """A dataset to make again.

    Attributes:
        manifest: manifest of the dataset, or the folder that holds it.
        out: an empty folder.
        photos: files, folders and patterns of its photographs; empty to take its clean pictures.
        depth: source of the depth maps that do not lie beside the manifest.
        layout: name of the new layout; None for the same as before.
        format: ``png`` or ``jpg``; None for the same as before.
        workers: number of processes; None for as many as pay.
    """

    manifest: Path
    out: Path
    photos: tuple[str, ...] = ()
    depth: DepthChoice = field(default_factory=DepthChoice)
    layout: str | None = None
    format: str | None = None
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """The records of a scene and its place in its split, which has ``count`` pairs."""

    records: tuple[Record, ...]
    scene_number: int
    first_number: int
    count: int

    @property
    def scene(self) -> str:
        return self.records[0].scene


class _Rebuilder:
    """The state of a worker: sources of clean pictures and depth, and a layout to write."""

    def __init__(
        self,
        request: RebuildRequest,
        root: Path,
        layout: str,
        former_layout: str | None,
        sides: tuple[str, ...],
    ) -> None:
        self.request, self.root, self.layout = request, root, LAYOUTS[layout]
        self.same_layout = layout == former_layout
        self.sides = sides
        choice = request.depth
        self.source = depths.open_source(
            choice.name or "auto", form=choice.form, camera=choice.camera
        )
        photos = find_photos(request.photos, request.out, maps=True) if request.photos else ()
        self.photos = {photo.source: photo.path for photo in photos}
        self.photos |= {photo.name: photo.path for photo in photos}

    def clean(self, record: Record) -> tuple[RGB8, RGB8, Path]:
        """Return the picture that rain was drawn on, the target to write, and their file."""
        if self.request.photos:
            path = self.photos.get(record.source, self.photos.get(record.scene))
            if path is None:
                raise DatasetError(f"{record.source}: is not among the photographs given")
            photo = images.to_uint8(images.read(path).rgb)
            shown = as_stored(photo, str(record.encode["fmt"]))
        else:
            path = self.root / record.target.partition("::")[0]
            photo = shown = read_clean(self.root, record)
        if pixel_hash(shown) != record.sha256.clean:
            raise DatasetError(f"{path}: has other pixels than the manifest says of {record.id}")
        return shown, photo if _form(self.request, record) == record.encode["fmt"] else shown, path

    def depth(self, record: Record, clean: RGB8, path: Path) -> NDArray[np.float32] | None:
        """Return the depth map that the scene was made with, from its file or made again."""
        if record.depth is None or (self.root / record.depth.path).is_file():
            return read_depth(self.root, record)
        found = self.source.of(path, clean)
        if found is None:
            raise DatasetError(
                f"{record.depth.path}: is not beside the manifest; put it there, or add --depth"
            )
        return depths.decode(depths.encode(found.z))


def rebuild(request: RebuildRequest, on_progress: OnProgress | None = None) -> SynthResult:
    """Make a dataset again with the same pixels; other scenes are left out with the reason.

    Args:
        request: the dataset to make.
        on_progress: called after each scene.

    Raises:
        UsageError: The folder is not empty, or the layout or format does not fit the dataset.
        DatasetError: The manifest cannot be read, or a result cannot be written.
        FileError: A result cannot be written.
    """
    started = time.monotonic()
    records = manifest.read(request.manifest)
    root = manifest.find(request.manifest)[0].parent
    about, asked = _about(root / output_folder.DATASET)
    layout = request.layout or asked.get("layout", "restormer")
    _check(request, records, layout)
    tasks = list(_tasks(records))
    build = (request, root, layout, asked.get("layout"), tuple(asked.get("save", ())))
    _Rebuilder(*build)  # says what is wrong with photographs and depth before anything is written
    request.out.mkdir(parents=True, exist_ok=True)
    count = paying_workers(len(records), request.workers, len(tasks))
    wanted = [layout, request.format, *(asdict(record) for record in records)]
    plan = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()
    failures: dict[Path, str] = {}
    made: dict[str, tuple[Record, ...]] = {}
    with (
        open_journal(request.out / _JOURNAL, plan) as journal,
        open_engine(workers=count, threads=None) as engine,
    ):
        left = [task for task in tasks if task.scene not in journal.entries]
        outcomes = engine.run(Work.holding(_rebuild_scene, _Rebuilder, *build), left)
        for number, outcome in enumerate(outcomes, start=len(tasks) - len(left) + 1):
            task, done = outcome.item, made_or_reason(outcome)
            made[task.scene] = done.records
            if done.reason:
                failures[Path(task.records[0].source)] = done.reason
            else:
                journal.record(task.scene, done.records)
            if on_progress is not None:
                on_progress("raining", number, len(tasks))
        made |= journal.entries
        again = [record for task in tasks for record in made[task.scene]]
        is_split = any(record.split is not None for record in again)
        if asked:
            changed = {"layout": layout} | ({"format": request.format} if request.format else {})
            about = {**about, "request": asked | changed}
            write_json(request.out / output_folder.DATASET, about)
        write_lists(
            request.out,
            again,
            layout=layout,
            parquet=asked.get("manifest_format") == "parquet",
            command=about.get("command", "") if asked else "",
            split={name: asked.get(name) for name in _SPLIT} if is_split else None,
        )
        journal.remove()
    return SynthResult.of(
        again,
        out=request.out,
        manifest=request.out / manifest.MANIFEST,
        resumed=len(tasks) - len(left),
        notes=(),
        failures=tuple(failures.items()),
        seconds=time.monotonic() - started,
    )


def _about(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a dataset's own file says, and the request in it; both empty without a file.

    Raises:
        DatasetError: The file says something else than a request.
    """
    about = output_folder.read_json(path)
    if about is None:
        return {}, {}
    asked = about.get("request") if isinstance(about, dict) else None
    sides = asked.get("save", []) if isinstance(asked, dict) else None
    known = isinstance(sides, list) and {*map(str, sides)} <= {*manifest.SIDES}
    if not (isinstance(asked, dict) and known):
        raise DatasetError(
            f"{path}: does not say how rainkit synth made the dataset; get it again, or remove it"
        )
    return about, asked


def _check(request: RebuildRequest, records: Sequence[Record], layout: str) -> None:
    """Refuse what cannot be done before anything is written."""
    sequences = any(record.frame is not None for record in records)
    for form in {_form(request, record) for record in records}:
        check_layout(layout, form, sequences=sequences)
        if form == "jpg" and not request.photos:
            raise UsageError(
                "JPEG files lose a little each time they are written: name the photographs to "
                "make this dataset again, or add --format png"
            )
    if request.format == "jpg" and any(r.encode["fmt"] != "jpg" for r in records):
        raise UsageError(
            "--format jpg: the rain was drawn on what PNG files hold; leave the option out"
        )
    out = request.out
    begun = (out / _JOURNAL).exists() or not out.exists()
    if not begun and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder: name another one")


def _form(request: RebuildRequest, record: Record) -> str:
    return request.format or str(record.encode["fmt"])


def _tasks(records: Sequence[Record]) -> Iterator[_Task]:
    """Yield the scenes in the order of the manifest."""
    counts = Counter(record.split for record in records)
    by_scene: dict[str, list[Record]] = {}
    for record in records:
        by_scene.setdefault(record.scene, []).append(record)
    scenes, pairs = Counter[str | None](), Counter[str | None]()
    for mine in by_scene.values():
        split = mine[0].split
        scenes[split] += 1
        yield _Task(tuple(mine), scenes[split], pairs[split] + 1, counts[split])
        pairs[split] += len(mine)


def _rebuild_scene(maker: _Rebuilder, task: _Task) -> MadeScene:
    """Write the pairs of one scene, except the variants that come out differently.

    Raises:
        FileError: A result cannot be written.
    """
    first = task.records[0]
    made: list[Record] = []
    reasons = []
    try:
        shown, target, path = maker.clean(first)
        z = maker.depth(first, target, path)
        if z is not None and first.depth is not None:
            save_depth(maker.request.out / first.depth.path, z)
    except (ImageError, DatasetError) as error:
        return MadeScene(reason=str(error))
    numbered = enumerate(task.records, start=task.first_number)
    for _, some in groupby(numbered, key=lambda each: each[1].variant):
        variant = list(some)
        try:
            drawn = _draw([record for _, record in variant], shown, z)
        except RainkitError as error:
            reasons.append(f"{variant[0][1].id}: {error}")
            continue
        for (number, record), rendered in zip(variant, drawn, strict=True):
            made.append(_write(maker, task, number, record, rendered, target))
    return MadeScene(tuple(made), "; ".join(reasons))


def _draw(records: Sequence[Record], clean: RGB8, z: NDArray[np.float32] | None) -> list[Rendered]:
    """Return the rainy pictures of one scene and variant, with their side outputs.

    Raises:
        DatasetError: A picture is not what it was.
    """
    frames = list(Degradation.of(records).apply(clean, z))
    drawn = [frames[(record.frame or 1) - 1] for record in records]
    if any(pixel_hash(d.rainy) != r.sha256.input for d, r in zip(drawn, records, strict=True)):
        raise DatasetError("comes out differently than the manifest says")
    return drawn


def _write(
    maker: _Rebuilder, task: _Task, number: int, record: Record, rendered: Rendered, target: RGB8
) -> Record:
    """Write a pair with its side outputs and return its record with the new place."""
    form = _form(maker.request, record)
    entry = Entry(
        scene=record.scene,
        variant=record.variant,
        number=number,
        scene_number=task.scene_number,
        count=task.count,
        split=record.split or "",
        suffix=f".{form}",
        frame=record.frame,
    )
    if maker.same_layout:
        entry = maker.layout.renumbered(entry, record.input)
    maker.layout.write(maker.request.out, entry, rendered.rainy, target, overwrite=True)
    save_sides(maker.request.out, maker.sides, record.id, rendered)
    place = maker.layout.place(entry)
    return replace(record, input=place.input, target=place.target, encode=encoding(form))

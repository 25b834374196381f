"""Which photographs become which scenes, under what name, and in which split."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rainkit import images
from rainkit.datasets.phash import phash, pixel_hash
from rainkit.datasets.splits import View, choose_test, group_views
from rainkit.depth.sources import maps_among
from rainkit.engine import Engine, Failed, Work
from rainkit.errors import ImageError, UsageError
from rainkit.files import system_reason

if TYPE_CHECKING:
    from rainkit.synthesis.request import SynthRequest

__all__ = ["Photo", "Plan", "Scene", "find_photos", "make_plan"]


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph to rain on.

    Attributes:
        name: of the scene it becomes, unique in the dataset.
        source: its name below the folder given, for the record.
        path: of the file.
    """

    name: str
    source: str
    path: Path


@dataclass(frozen=True, slots=True)
class Scene:
    """A photograph and its place in the dataset.

    Attributes:
        photo: the photograph.
        number: of the scene in its split, from 0.
        split: ``train``, ``test``, or None in a dataset that is not split.
        group: name of the first scene of those that show the same thing; None without a split.
    """

    photo: Photo
    number: int
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All scenes of a dataset, of which a shard makes some.

    Attributes:
        scenes: in natural order of their photographs.
        failures: photographs that could not be read, with the reason, where that is known yet.
        note: what the split could not do as asked, or empty.
    """

    scenes: tuple[Scene, ...]
    failures: tuple[tuple[Photo, str], ...] = ()
    note: str = ""

    def identity(self) -> str:
        """SHA-256 in hex of the scenes and of the files' sizes and times of change.

        Raises:
            ImageError: a file has gone.
        """
        lines = []
        for scene in self.scenes:
            path = scene.photo.path
            try:
                about = path.stat()
            except OSError as error:
                raise ImageError(f"{path}: cannot be read ({system_reason(error)})") from error
            parts = (scene.photo.name, scene.photo.source, scene.split, scene.group)
            lines.append([*parts, about.st_size, about.st_mtime_ns])
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def find_photos(inputs: Sequence[str], out: Path, *, maps: bool = False) -> list[Photo]:
    """Find the photographs and give each a name of its own, whatever their order.

    Args:
        inputs: files, folders and patterns.
        out: folder of the dataset, whose own pictures are no photographs.
        maps: there may be depth maps beside the photographs, which are none either.

    Raises:
        UsageError: there is none, or two would have the same name.
    """
    folder = out.resolve()
    # A dataset made earlier inside the folder of photographs is no photograph.
    found = [each for each in images.find(inputs) if folder not in each.path.resolve().parents]
    if maps:
        beside = maps_among([each.path for each in found])
        found = [each for each in found if each.path not in beside]
    if not found:
        raise UsageError(f"nothing but {out} itself to be found: name clean photographs")
    plain = [_text("-".join(each.relative.with_suffix("").parts)) for each in found]
    count = Counter(name.casefold() for name in plain)
    names = [
        name if count[name.casefold()] == 1 else f"{name}-{each.path.suffix[1:]}"
        for name, each in zip(plain, found, strict=True)
    ]
    taken: dict[str, Path] = {}
    for name, each in zip(names, found, strict=True):
        other = taken.setdefault(name.casefold(), each.path)
        if other != each.path:
            raise UsageError(f"{other} and {each.path} would both become {name}: rename one")
    return [
        Photo(name, _text(each.relative.as_posix()), each.path)
        for name, each in zip(names, found, strict=True)
    ]


def _text(name: str) -> str:
    """A file's name as text that can be written: bytes that are no UTF-8 become ``\\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def make_plan(
    request: SynthRequest,
    photos: Sequence[Photo],
    engine: Engine,
    on_view: Callable[[int, int], None] | None = None,
) -> Plan:
    """Give each photograph its place; with a split every one is looked at first.

    Args:
        request: what the dataset is to be.
        photos: the photographs.
        engine: where photographs are looked at.
        on_view: called with photographs looked at and all photographs, after each.

    Raises:
        UsageError: the split cannot be made.
    """
    if request.test_scenes is None:
        return Plan(tuple(Scene(photo, number) for number, photo in enumerate(photos)))
    seen: dict[Photo, View | str] = {}
    for outcome in engine.run(Work.calling(_look), photos):
        seen[outcome.item] = outcome.reason if isinstance(outcome, Failed) else outcome.value
        if on_view is not None:
            on_view(len(seen), len(photos))
    failures = tuple((p, why) for p in photos if isinstance(why := seen[p], str))
    readable = [p for p in photos if not isinstance(seen[p], str)]
    views = [view for p in readable if not isinstance(view := seen[p], str)]
    if not views:
        return Plan((), failures)
    groups = group_views(views, request.group_by)
    chosen = choose_test(views, groups, request.test_scenes, request.split_seed)
    taken = Counter[str]()
    scenes = []
    for photo, group in zip(readable, groups, strict=True):
        split = "test" if group in chosen else "train"
        scenes.append(Scene(photo, taken[split], split, views[group].name))
        taken[split] += 1
    note = ""
    if taken["test"] != request.test_scenes:
        note = (
            f"{taken['test']} test scenes instead of {request.test_scenes}: photographs of one "
            "scene stay together"
        )
    return Plan(tuple(scenes), failures, note)


def _look(photo: Photo) -> View:
    """Return what grouping needs to know of a photograph."""
    clean = images.to_uint8(images.read(photo.path).rgb)
    return View(photo.name, photo.source, pixel_hash(clean), phash(clean))

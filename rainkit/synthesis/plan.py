"""The plan of a dataset: which photographs become scenes, with which names and splits."""

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
from rainkit.datasets.splits import HashedPhoto, choose_test, group_photos
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
        name: name of the scene that it becomes, unique in the dataset.
        source: name of the file below the folder that was given, for the record.
        path: the file.
    """

    name: str
    source: str
    path: Path


@dataclass(frozen=True, slots=True)
class Scene:
    """A photograph and its place in the dataset.

    Attributes:
        photo: the photograph.
        number: number of the scene in its split, from 0.
        split: ``train``, ``test``, or None in a dataset that is not split.
        group: name of the first scene that shows the same as this one; None without a split.
    """

    photo: Photo
    number: int
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All scenes of a dataset; a shard makes some of them.

    Attributes:
        scenes: the scenes, in natural order of their photographs.
        failures: photographs that could not be read, each with the reason. Without a split no
            photograph has been read yet.
        note: how the split differs from what was asked for, or empty.
    """

    scenes: tuple[Scene, ...]
    failures: tuple[tuple[Photo, str], ...] = ()
    note: str = ""

    def identity(self) -> str:
        """Return the SHA-256 in hex of the scenes and of their files' sizes and times of change.

        Raises:
            ImageError: A file is missing.
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
        out: folder of the dataset, whose pictures are not taken.
        maps: leave out the depth maps that lie beside photographs.

    Raises:
        UsageError: There is no photograph, or two would have the same name.
    """
    folder = out.resolve()
    # The dataset may lie inside the folder of photographs.
    found = [each for each in images.find(inputs) if folder not in each.path.resolve().parents]
    if maps:
        beside = maps_among([each.path for each in found])
        found = [each for each in found if each.path not in beside]
    if not found:
        raise UsageError(f"only pictures of {out} itself were found: name clean photographs")
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
    """Return a file's name with bytes that are not UTF-8 written as ``\\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def make_plan(
    request: SynthRequest,
    photos: Sequence[Photo],
    engine: Engine,
    on_photo: Callable[[int, int], None] | None = None,
) -> Plan:
    """Give each photograph its place; for a split all of them are hashed first.

    Args:
        request: the dataset to make.
        photos: the photographs.
        engine: where photographs are hashed.
        on_photo: called after each photograph with the number hashed and their total.

    Raises:
        UsageError: The split cannot be made.
    """
    if request.test_scenes is None:
        return Plan(tuple(Scene(photo, number) for number, photo in enumerate(photos)))
    hashed: dict[Photo, HashedPhoto] = {}
    failures = []
    for done, outcome in enumerate(engine.run(Work.calling(_hash), photos), start=1):
        if isinstance(outcome, Failed):
            failures.append((outcome.item, outcome.reason))
        else:
            hashed[outcome.item] = outcome.value
        if on_photo is not None:
            on_photo(done, len(photos))
    if not hashed:
        return Plan((), tuple(failures))
    all_hashed = tuple(hashed.values())
    groups = group_photos(all_hashed, request.group_by)
    chosen = choose_test(all_hashed, groups, request.test_scenes, request.split_seed)
    taken = Counter[str]()
    scenes = []
    for photo, group in zip(hashed, groups, strict=True):
        split = "test" if group in chosen else "train"
        scenes.append(Scene(photo, taken[split], split, all_hashed[group].name))
        taken[split] += 1
    note = ""
    if taken["test"] != request.test_scenes:
        note = (
            f"{taken['test']} test scenes instead of {request.test_scenes}: photographs of one "
            "scene stay together"
        )
    return Plan(tuple(scenes), tuple(failures), note)


def _hash(photo: Photo) -> HashedPhoto:
    clean = images.to_uint8(images.read(photo.path).rgb)
    return HashedPhoto(photo.name, photo.source, pixel_hash(clean), phash(clean))

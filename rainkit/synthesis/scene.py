"""Scenes: planned from photographs with names and splits, and made with the rain on them."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rainkit import depth as depths
from rainkit import images
from rainkit.datasets import manifest
from rainkit.datasets.phash import phash, pixel_hash
from rainkit.datasets.splits import HashedPhoto, choose_test, group_photos
from rainkit.datasets.writers import LAYOUTS, Entry, Layout, portable
from rainkit.depth.sources import maps_among
from rainkit.engine import Engine, Failed, Outcome, Work
from rainkit.errors import DatasetError, FileError, ImageError, UsageError
from rainkit.files import system_reason
from rainkit.images import RGB8
from rainkit.rain import Rendered
from rainkit.synthesis.degradation import Degradation
from rainkit.synthesis.request import SynthRequest, versions

__all__ = [
    "MadeScene",
    "Photo",
    "Plan",
    "Scene",
    "SceneMaker",
    "as_stored",
    "encoding",
    "find_photos",
    "made_or_reason",
    "make_plan",
    "make_scene",
    "measure",
    "save_depth",
    "save_sides",
]


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


_QUALITY = 95  # of JPEG

# In thousandths: sums of whole numbers are the same on every processor.
_LUMA = np.rint(1000 * images.LUMA_WEIGHTS)


@dataclass(frozen=True, slots=True)
class MadeScene:
    """A scene that was made or left out.

    Attributes:
        records: one record for each pair written.
        reason: why the photograph was left out, or empty.
    """

    records: tuple[manifest.Record, ...] = ()
    reason: str = ""


class SceneMaker:
    """The state of a worker: the request, the layout and an open depth source."""

    def __init__(self, request: SynthRequest) -> None:
        """Open the depth source.

        Raises:
            UsageError: There is no such source.
        """
        self.request = request
        self.layout: Layout = LAYOUTS[request.layout]
        self.source = depths.open_source(
            request.depth_name, form=request.depth.form, camera=request.depth.camera
        )


def make_scene(maker: SceneMaker, task: tuple[Scene, int]) -> MadeScene:
    """Write all pairs of one scene, the depth map first.

    Args:
        maker: the state of the worker.
        task: the scene, and the number of scenes in its split.

    Raises:
        FileError: A result cannot be written.
    """
    scene, scenes = task
    request, photo = maker.request, scene.photo
    try:
        clean = images.to_uint8(images.read(photo.path).rgb)
        found = maker.source.of(photo.path, clean)
    except (ImageError, DatasetError) as error:
        return MadeScene(reason=str(error))
    # Rain falls on what the target's file will hold, so that JPEG datasets too can be made again
    # from themselves.
    shown = as_stored(clean, request.format)
    depth, z = None, None
    if found is not None:
        depth = _depth_used(photo.name, found)
        with _refusals():
            z = save_depth(request.out / depth.path, found.z)
    shared: dict[str, Any] = {
        "scene": photo.name,
        "source": photo.source,
        "split": scene.split,
        "group": scene.group,
        "w": clean.shape[1],
        "h": clean.shape[0],
        "phash": f"{phash(clean):016x}",
        "depth": depth,
        "preset": request.preset,
        "fps": request.fps,
        "encode": encoding(request.format),
        "lib": versions(),
    }
    key, clean_hash = int(pixel_hash(clean)[:16], 16), pixel_hash(shown)
    records = []
    for variant in range(1, request.variants + 1):
        rain = request.degradation(key, variant)
        if found is not None:
            rain = rain.behind(found.fog_scale)
        for frame, rendered in enumerate(rain.apply(shown, z), start=1):
            entry = _entry(request, scene, scenes, variant, frame)
            with _refusals():
                maker.layout.write(request.out, entry, rendered.rainy, clean, overwrite=True)
            place = maker.layout.place(entry)
            record = manifest.Record(
                id=_id(entry),
                variant=variant,
                frame=entry.frame,
                input=place.input,
                target=place.target,
                stats=measure(shown, rendered.rainy),
                sha256=manifest.Hashes(clean=clean_hash, input=pixel_hash(rendered.rainy)),
                **shared,
                **_drawn(rain, rendered),
            )
            with _refusals():
                save_sides(request.out, request.save, record.id, rendered)
            records.append(record)
    return MadeScene(tuple(records))


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a picture's error into a plain FileError if the system refuses to write any file."""
    try:
        yield
    except ImageError as error:
        if isinstance(error.__cause__, OSError):
            raise FileError(str(error)) from error.__cause__
        raise


def made_or_reason(outcome: Outcome[Any, MadeScene]) -> MadeScene:
    """Return a scene that was made, or the reason if it alone failed.

    Raises:
        FileError: A result cannot be written, and neither could the next one.
        UsageError: The request itself cannot work.
    """
    if isinstance(outcome, Failed):
        error = outcome.error
        unwritable = isinstance(error, FileError) and not isinstance(error, ImageError)
        if not (unwritable or isinstance(error, UsageError)):
            return MadeScene(reason=outcome.reason)
    return outcome.get()


def _entry(request: SynthRequest, scene: Scene, scenes: int, variant: int, frame: int) -> Entry:
    frames = request.sequence or 1
    each = request.variants * frames
    return Entry(
        scene=scene.photo.name,
        variant=variant,
        number=scene.number * each + (variant - 1) * frames + frame,
        scene_number=scene.number + 1,
        count=scenes * each,
        split=scene.split or "",
        suffix=f".{request.format}",
        frame=None if request.sequence is None else frame,
    )


def _id(entry: Entry) -> str:
    """Return a name for one rainy picture that is unique in the dataset and fits any file."""
    frame = "" if entry.frame is None else f"_{entry.frame:04d}"
    return f"{portable(entry.scene)}_{entry.variant:02d}{frame}"


def _depth_used(scene: str, found: depths.DepthMap) -> manifest.DepthUsed:
    return manifest.DepthUsed(
        path=f"depth/{portable(scene)}.png",
        source=found.source,
        kind=found.kind,
        metric=found.metric,
        coverage=round(found.coverage, 6),
        fog_scale=found.fog_scale,
    )


_COPIED = (
    "renderer",
    "rng",
    "rate_mm_h",
    "wind_m_s",
    "distance",
    "frame_width",
    "beta_per_m",
    "n_drops",
    "n_kept",
)
"""Names of values that a record takes from the renderer as they are."""


def _drawn(rain: Degradation, rendered: Rendered) -> dict[str, Any]:
    """Return the settings and results of the renderer as fields of a record."""
    drawn = rendered.record
    settings = rain.settings
    return {
        "seed": rain.seed,
        "level": None if settings is None else settings.level,
        "settings": {} if settings is None else asdict(settings) | {"cuts_m": [*settings.cuts_m]},
        "exposure_s": None if settings is None else drawn.get("exposure_s", settings.exposure_s),
        "degradation": "noise" if settings is None else "rain",
        "sigma": rain.sigma,
        "airlight": tuple(drawn["airlight"]),
        "streak_rgb": tuple(drawn["streak_rgb"]),
        **{name: drawn[name] for name in _COPIED},
    }


def save_sides(out: Path, sides: Iterable[str], record_id: str, rendered: Rendered) -> None:
    """Write the side outputs of a pair, of :data:`rainkit.datasets.manifest.SIDES`."""
    through = rendered.transmission
    if through is None:
        through = np.ones_like(rendered.opacity)
    for side in sides:
        if side == "mask":
            samples: images.Pixels = np.rint(rendered.opacity * 255).astype(np.uint8)
        else:
            samples = np.rint(through * 65535).astype(np.uint16)
        images.write(out / side / f"{record_id}.png", _grey_picture(samples), overwrite=True)


def encoding(form: str) -> dict[str, str | int]:
    """Return what a record says of files of format ``png`` or ``jpg``."""
    return {"fmt": form, "quality": _QUALITY} if form == "jpg" else {"fmt": form}


def as_stored(rgb: RGB8, form: str) -> RGB8:
    """Return what a file of format ``png`` or ``jpg`` holds of a picture."""
    if form == "png":
        return rgb
    data = images.encode(images.Picture(rgb), f".{form}", quality=_QUALITY)
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def save_depth(path: Path, z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Write a depth map, metres [H, W], and return what the file holds of it."""
    code = depths.encode(z)
    images.write(path, _grey_picture(code), overwrite=True)
    return depths.decode(code)


def _grey_picture(samples: images.Pixels) -> images.Picture:
    """Return samples [H, W], uint8 or uint16, as a picture with one channel."""
    return images.Picture(np.dstack([samples] * 3), grey=True)


def measure(clean: RGB8, rainy: RGB8) -> manifest.Stats:
    """Return how much the rain changed a picture."""
    # Whole numbers in float32: exact, whatever the order of additions.
    change = cv2.transform(cv2.subtract(rainy, clean, dtype=cv2.CV_32F), _LUMA).ravel()
    exact = change.astype(np.float64) / 1000
    error = float(exact @ exact) / exact.size * (219 / 255) ** 2
    return manifest.Stats(
        y_psnr=round(10 * math.log10(255**2 / error), 4) if error > 0 else None,
        mean_dy=round(float(exact.mean()), 4),
        coverage=round(float(np.mean(change > 8000)), 6),
    )

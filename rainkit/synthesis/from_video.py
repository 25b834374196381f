"""What is cut out of a video: the request, the record of each scene, and the list of them."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit import images
from rainkit.errors import DatasetError, ImageError, UsageError
from rainkit.files import alone_in, natural, sha256, system_reason, write_text
from rainkit.images import RGB8
from rainkit.images.video import read_frames
from rainkit.synthesis.camera_motion import Pose, Reference, Run, find_runs, shrink

__all__ = [
    "SEQUENCES",
    "CutFrame",
    "CutScene",
    "OnFrame",
    "VideoRequest",
    "VideoResult",
    "cut_clips",
    "read_list",
    "write_list",
]


SEQUENCES = "sequences.jsonl"
"""Name of the file that lists the scenes cut from videos, one a line."""

_SCENES = ("longest", "all")


@dataclass(frozen=True, kw_only=True)
class VideoRequest:
    """Scenes to cut out of a video.

    Attributes:
        video: the file.
        out: folder to write ``seq/<video>-<k>/0001.png``... and ``sequences.jsonl`` to; it may
            hold scenes of other videos.
        frames: at most so many of each scene, spread evenly over it.
        scenes: ``longest``, or ``all`` stretches in which the camera stood still.
        median: write the median of each scene's frames as ``median.png`` too. It is no clean
            picture: drizzle, veil and whatever rains most of the time are still in it.
        overwrite: replace scenes of this name.
    """

    video: Path
    out: Path
    frames: int = 30
    scenes: str = "longest"
    median: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise UsageError(f"--frames must be at least 2, not {self.frames}")
        if self.scenes not in _SCENES:
            raise UsageError(f"scenes must be one of {', '.join(_SCENES)}, not {self.scenes!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CutFrame:
    """A frame of a scene.

    Attributes:
        file: its path in the dataset's folder.
        source: its number in the video, from 0.
        dx: px that the scene lay to the right of the median frame's.
        dy: px that it lay lower.
        rotation_deg: that it was turned clockwise.
        drift_px: how far the points of the picture were displaced, root mean square.
        left_px: the same once written.
        warped: whether it was registered; frames that hardly drifted keep the camera's pixels.
    """

    file: str
    source: int
    dx: float
    dy: float
    rotation_deg: float
    drift_px: float
    left_px: float
    warped: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CutScene:
    """A scene that was cut.

    Attributes:
        name: of its folder.
        video: name of the video's file.
        sha256: of the video's file.
        asked: frames asked for.
        median: whether their median is there too.
        width: of its frames, px.
        height: of its frames, px.
        steady: frames of the video that could have been chosen.
        spread_px: median and greatest distance of the scene in these from its median place.
        dropped: frames of its stretch that could not be chosen, by reason.
        frames: those chosen.
    """

    name: str
    video: str
    sha256: str
    asked: int
    median: bool
    width: int
    height: int
    steady: int
    spread_px: tuple[float, float]
    dropped: dict[str, int]
    frames: tuple[CutFrame, ...]

    @property
    def drift_px(self) -> tuple[float, float]:
        """Median and greatest drift of the frames before they were registered."""
        return _spread([frame.drift_px for frame in self.frames])

    @property
    def left_px(self) -> tuple[float, float]:
        """Median and greatest drift of the frames as written."""
        return _spread([frame.left_px for frame in self.frames])

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON: a line of the list."""
        drift = {"drift_px": list(self.drift_px), "left_px": list(self.left_px)}
        return asdict(self) | {"median_and_max": drift}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> CutScene:
        """Undo :meth:`to_data`."""
        known = {name: data[name] for name in cls.__dataclass_fields__}
        frames = tuple(CutFrame(**each) for each in data["frames"])
        return cls(**known | {"frames": frames, "spread_px": tuple(data["spread_px"])})


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """What was cut.

    Attributes:
        video: the file.
        out: the dataset's folder.
        decoded: frames of the video.
        scenes: all scenes asked for, in the order of the video.
        ready: how many of them were there already.
        dropped: frames of the video that belong to no scene, or were no use to theirs, by reason.
        seconds: wall time.
    """

    video: Path
    out: Path
    decoded: int
    scenes: tuple[CutScene, ...]
    ready: int
    dropped: dict[str, int]
    seconds: float

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "video": str(self.video),
            "out": str(self.out),
            "decoded": self.decoded,
            "scenes": [scene.to_data() for scene in self.scenes],
            "ready": self.ready,
            "dropped": self.dropped,
            "seconds": round(self.seconds, 3),
        }

    def summary(self) -> str:
        """Lines for people: what was kept, what was not and why, and how still the camera stood."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        steady = self.decoded - sum(self.dropped.values())
        lines = [f"{self.video.name}: {self.decoded} frames, {steady} steady"]
        lines[0] += f"; dropped {reasons}" if reasons else "; none dropped"
        for scene in self.scenes:
            registered = sum(frame.warped for frame in scene.frames)
            drifts = (
                f"{what} {values[0]:.2f} (most {values[1]:.2f}) px"
                for what, values in {
                    f"camera of its {scene.steady} steady frames": scene.spread_px,
                    "drift of those chosen": scene.drift_px,
                    "as written": scene.left_px,
                }.items()
            )
            lines.append(
                f"{scene.name}: {len(scene.frames)} frames of {scene.width}x{scene.height}, "
                f"{registered} registered; {', '.join(drifts)}"
            )
        return "\n".join(lines)


def read_list(out: Path) -> dict[str, CutScene]:
    """The scenes cut into a folder so far, by name.

    Raises:
        DatasetError: the list is damaged.
    """
    path = out / SEQUENCES
    if not path.exists():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        scenes = [CutScene.from_data(json.loads(line)) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: not a list of scenes ({type(error).__name__}: {error}); "
            "delete it and cut the videos again with --overwrite"
        ) from error
    return {scene.name: scene for scene in scenes}


def write_list(out: Path, scenes: Iterable[CutScene]) -> None:
    """Write the list anew, in natural order of the names.

    Raises:
        FileError: the system refuses to write.
    """
    ordered = sorted(scenes, key=lambda scene: natural(scene.name))
    text = "".join(json.dumps(scene.to_data()) + "\n" for scene in ordered)
    write_text(out / SEQUENCES, text, overwrite=True)


def _spread(values: list[float]) -> tuple[float, float]:
    return round(median(values), 4), max(values)


OnFrame = Callable[[str, int], None]
"""Called with what is going on, and how many frames are done."""

_FEWEST = 8  # frames that make a scene, unless fewer are asked for
_STILL = 0.05  # px of drift below which a frame keeps the camera's pixels
_REACH = 4  # px to either side that a registered pixel is made of
_OURS = re.compile(r"\d{4,}\.png|median\.png")


def cut_clips(request: VideoRequest, on_frame: OnFrame | None = None) -> VideoResult:
    """Cut the stretches of a video in which the camera stood still into folders of pictures.

    Two passes find the stretches and the exact drift of the frames chosen, a third one writes
    them; few full frames are in memory at once. A scene's folder appears whole. A request that was
    stopped goes on when it is repeated, and scenes that are there are not made again.

    Args:
        request: what to cut.
        on_frame: called after each frame.

    Raises:
        ImageError: the video cannot be read, or a scene not be written.
        DatasetError: the camera never stood still long enough, or the list of scenes is damaged.
        UsageError: a folder of a scene's name is there already.
    """
    started = time.monotonic()
    tell = on_frame or (lambda what, done: None)
    runs = find_runs(_told(read_frames(request.video), "looking", tell))
    fewest = min(_FEWEST, request.frames)
    usable = [run for run in runs if len(run.poses) >= fewest]
    dropped = Counter(reason for run in runs for reason in run.dropped.values())
    dropped += Counter(short=sum(len(run.poses) for run in runs if len(run.poses) < fewest))
    if not usable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        raise DatasetError(
            f"{request.video}: no {fewest} frames from a camera at rest ({reasons}); "
            "film from a tripod"
        )
    cuts = [
        _Cut(f"{request.video.stem}-{number}", run, _spread_out(list(run.poses), request.frames))
        for number, run in enumerate(usable, start=1)
    ]
    if request.scenes == "longest":
        cuts = [max(cuts, key=lambda cut: len(cut.run.poses))]
    digest = sha256(request.video)
    ready = _find_ready(request, cuts, digest)
    made = _make(request, [cut for cut in cuts if cut.name not in ready], digest, tell)
    return VideoResult(
        video=request.video,
        out=request.out,
        decoded=sum(len(run.poses) + len(run.dropped) for run in runs),
        scenes=tuple((ready | made)[cut.name] for cut in cuts),
        ready=len(ready),
        dropped=dict(dropped.most_common()),
        seconds=time.monotonic() - started,
    )


@dataclass(slots=True)
class _Cut:
    """A scene to be made: its stretch of the video and the numbers of the frames chosen."""

    name: str
    run: Run
    numbers: list[int]


def _spread_out(numbers: Sequence[int], most: int) -> list[int]:
    places = np.linspace(0, len(numbers) - 1, min(most, len(numbers)))
    return [numbers[round(place)] for place in places.tolist()]


def _find_ready(request: VideoRequest, cuts: Sequence[_Cut], digest: str) -> dict[str, CutScene]:
    """Scenes that an earlier run has made just so; nothing else may be in the way of others."""
    listed = read_list(request.out)
    ready = {}
    for cut in cuts:
        folder = request.out / "seq" / cut.name
        if not folder.exists():
            continue
        if request.overwrite:
            foreign = [path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)]
            if foreign:
                raise UsageError(
                    f"{folder}: holds {foreign[0]}, which no cut has made; write somewhere else"
                )
            continue
        there = listed.get(cut.name)
        if there is None or (there.sha256, there.asked, there.median) != (
            digest,
            request.frames,
            request.median,
        ):
            raise UsageError(f"{folder}: is there already; add --overwrite, or write elsewhere")
        ready[cut.name] = there
    return ready


def _make(
    request: VideoRequest, cuts: Sequence[_Cut], digest: str, tell: OnFrame
) -> dict[str, CutScene]:
    """Measure the chosen frames against their median, then write them registered."""
    if not cuts:
        return {}
    wanted = {number for cut in cuts for number in cut.numbers}
    measured = _told(read_frames(request.video, wanted), "measuring", tell)
    small = {number: shrink(rgb) for number, rgb in measured}
    frames = _told(read_frames(request.video, wanted), "writing", tell)
    made = {}
    for cut in cuts:
        greys = [small.pop(number) for number in cut.numbers]
        reference = Reference(np.median(greys, axis=0), cut.run.size)
        poses = [_pose(request, reference, grey) for grey in greys]
        part = request.out / "seq" / f".rainkit-part-{cut.name}"
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        files = _write(request, cut, part, islice(frames, len(poses)), poses, reference)
        left, top, right, bottom = _margins(cut.run, poses)
        scene = CutScene(
            name=cut.name,
            video=request.video.name,
            sha256=digest,
            asked=request.frames,
            median=request.median,
            width=cut.run.size[0] - left - right,
            height=cut.run.size[1] - top - bottom,
            steady=len(cut.run.poses),
            spread_px=cut.run.spread_px,
            dropped=dict(Counter(cut.run.dropped.values()).most_common()),
            frames=files,
        )
        _publish(request.out, part, scene)
        made[cut.name] = scene
    return made


def _pose(request: VideoRequest, reference: Reference, grey: NDArray[np.uint8]) -> Pose:
    found = reference.find(grey)
    if found is None:
        raise DatasetError(f"{request.video}: a frame shows nothing to measure the camera by")
    return found[0]


def _write(
    request: VideoRequest,
    cut: _Cut,
    folder: Path,
    frames: Iterable[tuple[int, RGB8]],
    poses: Sequence[Pose],
    reference: Reference,
) -> tuple[CutFrame, ...]:
    """Write a scene's pictures, cropped to what all of them show."""
    size = cut.run.size
    left, top, right, bottom = _margins(cut.run, poses)
    window = slice(top, size[1] - bottom), slice(left, size[0] - right)
    told: list[CutFrame] = []
    for (number, rgb), pose in zip(frames, poses, strict=True):
        warped = pose.drift(size) >= _STILL
        after = pose
        if warped:
            rgb = _registered(rgb, pose)
            after = _pose(request, reference, shrink(rgb))
        name = f"{len(told) + 1:04d}.png"
        images.write(folder / name, images.Picture(np.ascontiguousarray(rgb[window])))
        told.append(
            CutFrame(
                file=f"seq/{cut.name}/{name}",
                source=number,
                dx=pose.dx,
                dy=pose.dy,
                rotation_deg=pose.rotation_deg,
                drift_px=round(pose.drift(size), 4),
                left_px=round(after.drift(size), 4),
                warped=warped,
            )
        )
    if request.median:
        stack = [images.read(path).rgb for path in sorted(folder.iterdir())]
        middle = np.rint(np.median(stack, axis=0)).astype(np.uint8)
        images.write(folder / "median.png", images.Picture(middle))
    return tuple(told)


def _registered(rgb: RGB8, pose: Pose) -> RGB8:
    """Warped by Lanczos' kernel: OpenCV's cubic one shifts a picture by 0.24 px instead of 0.20."""
    size = (rgb.shape[1], rgb.shape[0])
    how = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(rgb, pose.matrix(size), size, flags=how, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def _margins(run: Run, poses: Sequence[Pose]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom px that some registered frame does not show."""
    moved = [pose.corners(run.size) for pose in poses if pose.drift(run.size) >= _STILL]
    if not moved:
        return 0, 0, 0, 0
    low = np.ceil(np.maximum(0, -np.min(moved, axis=(0, 1)))).astype(int) + _REACH
    high = np.ceil(np.maximum(0, np.max(moved, axis=(0, 1)))).astype(int) + _REACH
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _publish(out: Path, part: Path, scene: CutScene) -> None:
    """Put a scene in its place.

    It is listed before it is there: one that is listed and missing is made again, while a folder
    that is not listed may be anybody's.
    """
    folder, old = part.with_name(scene.name), part.with_name(f".rainkit-old-{scene.name}")
    try:
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        with alone_in(out):
            write_list(out, (read_list(out) | {scene.name: scene}).values())
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be written ({system_reason(error)})") from error


def _told(
    frames: Iterable[tuple[int, RGB8]], what: str, tell: OnFrame
) -> Iterator[tuple[int, RGB8]]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        tell(what, done)

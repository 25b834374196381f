"""Clips of a video in which the camera stood still, as scenes of registered frames."""

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
from rainkit.synthesis.camera_motion import Pose, Reference, StillClip, find_still_clips, shrink

__all__ = [
    "SEQUENCES",
    "Clip",
    "ClipFrame",
    "OnFrame",
    "VideoRequest",
    "VideoResult",
    "cut_clips",
    "read_list",
    "write_list",
]


SEQUENCES = "sequences.jsonl"
"""Name of the file that lists the scenes from videos, one a line."""

_SCENES = ("longest", "all")


OnFrame = Callable[[str, int], None]
"""Called with the name of the current step and the number of frames done."""

_FEWEST = 8  # frames of the shortest clip, unless fewer are asked for
_LEAST_DRIFT = 0.05  # px of drift below which a frame keeps the camera's pixels
_REACH = 4  # px to either side that a registered pixel is made of
_OURS = re.compile(r"\d{4,}\.png|median\.png")


@dataclass(frozen=True, kw_only=True)
class VideoRequest:
    """Clips to cut out of a video.

    Attributes:
        video: the file.
        out: folder to write ``seq/<video>-<k>/0001.png``... and ``sequences.jsonl`` to; it may
            hold scenes of other videos.
        frames: highest number of frames of a clip, which are spread evenly over it.
        scenes: ``longest`` for the longest clip in which the camera stood still, or ``all``.
        median: write the median of each clip's frames as ``median.png``, too. It is not a clean
            picture: drizzle, veil and rain that falls most of the time are still in it.
        overwrite: replace scenes of the same name.

    Raises:
        UsageError: A value is out of bounds or unknown.
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
class ClipFrame:
    """A frame of a clip.

    Attributes:
        file: its path in the dataset's folder.
        source: its number in the video, from 0.
        dx: displacement of the scene to the right of the median frame, in px.
        dy: displacement downwards, in px.
        rotation_deg: clockwise rotation in degrees.
        drift_px: root mean square of the displacement of all points, in px.
        left_px: the same for the frame as written.
        warped: whether the frame was registered; frames that hardly drifted keep their pixels.
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
class Clip:
    """A clip that was cut and written as a scene.

    Attributes:
        name: name of its folder.
        video: name of the video's file.
        sha256: SHA-256 of the video's file in hex.
        asked: number of frames that were asked for.
        median: whether the median of the frames was written, too.
        width: width of the frames in px.
        height: height of the frames in px.
        steady: number of frames of the clip from which frames were chosen.
        spread_px: median and greatest distance of the scene in these frames from its median place.
        dropped: number of frames of the clip that could not be chosen, by reason.
        frames: the chosen frames.
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
    frames: tuple[ClipFrame, ...]

    @property
    def drift_px(self) -> tuple[float, float]:
        """Median and greatest drift of the frames before they were registered."""
        return _spread([frame.drift_px for frame in self.frames])

    @property
    def left_px(self) -> tuple[float, float]:
        """Median and greatest drift of the frames as written."""
        return _spread([frame.left_px for frame in self.frames])

    def to_data(self) -> dict[str, Any]:
        """Return plain data for JSON: a line of the list."""
        drift = {"drift_px": list(self.drift_px), "left_px": list(self.left_px)}
        return asdict(self) | {"median_and_max": drift}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Clip:
        """Return the clip that :meth:`to_data` describes."""
        known = {name: data[name] for name in cls.__dataclass_fields__}
        frames = tuple(ClipFrame(**each) for each in data["frames"])
        return cls(**known | {"frames": frames, "spread_px": tuple(data["spread_px"])})


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """The clips of a video.

    Attributes:
        video: the file.
        out: folder of the dataset.
        decoded: number of frames of the video.
        scenes: all clips that were asked for, in the order of the video.
        ready: number of clips that an earlier run had written.
        dropped: number of frames that are in no clip or could not be chosen, by reason.
        seconds: wall time.
    """

    video: Path
    out: Path
    decoded: int
    scenes: tuple[Clip, ...]
    ready: int
    dropped: dict[str, int]
    seconds: float

    def to_data(self) -> dict[str, Any]:
        """Return plain data for JSON."""
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
        """Return lines on what was kept, what was dropped and why, and how the camera moved."""
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


def _spread(values: list[float]) -> tuple[float, float]:
    return round(median(values), 4), max(values)


def cut_clips(request: VideoRequest, on_frame: OnFrame | None = None) -> VideoResult:
    """Write the clips of a video in which the camera stood still as folders of pictures.

    Two passes find the clips and the exact drift of the chosen frames, and a third one writes
    them; few full frames are in memory at once. A clip's folder appears whole. A request that was
    stopped continues when it is repeated, and does not make clips again that are there.

    Args:
        request: the clips to cut.
        on_frame: called after each frame.

    Raises:
        FileError: The video cannot be read, or a clip cannot be written.
        DatasetError: The camera never stood still long enough, or the list of clips is damaged.
        UsageError: A folder with the name of a clip exists already.
    """
    started = time.monotonic()
    tell = on_frame or (lambda what, done: None)
    found = find_still_clips(_reported(read_frames(request.video), "looking", tell))
    fewest = min(_FEWEST, request.frames)
    usable = [clip for clip in found if len(clip.poses) >= fewest]
    dropped = Counter(reason for clip in found for reason in clip.dropped.values())
    dropped += Counter(short=sum(len(clip.poses) for clip in found if len(clip.poses) < fewest))
    if not usable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        raise DatasetError(
            f"{request.video}: no {fewest} frames from a camera at rest ({reasons}); "
            "film from a tripod"
        )
    clips = [
        _Plan(f"{request.video.stem}-{number}", clip, _spread_out(list(clip.poses), request.frames))
        for number, clip in enumerate(usable, start=1)
    ]
    if request.scenes == "longest":
        clips = [max(clips, key=lambda clip: len(clip.still.poses))]
    digest = sha256(request.video)
    ready = _find_ready(request, clips, digest)
    made = _make(request, [clip for clip in clips if clip.name not in ready], digest, tell)
    return VideoResult(
        video=request.video,
        out=request.out,
        decoded=sum(len(clip.poses) + len(clip.dropped) for clip in found),
        scenes=tuple((ready | made)[clip.name] for clip in clips),
        ready=len(ready),
        dropped=dict(dropped.most_common()),
        seconds=time.monotonic() - started,
    )


@dataclass(slots=True)
class _Plan:
    """A clip to write: where the camera stood still, and the numbers of the chosen frames."""

    name: str
    still: StillClip
    numbers: list[int]


def _spread_out(numbers: Sequence[int], most: int) -> list[int]:
    places = np.linspace(0, len(numbers) - 1, min(most, len(numbers)))
    return [numbers[round(place)] for place in places.tolist()]


def _find_ready(request: VideoRequest, clips: Sequence[_Plan], digest: str) -> dict[str, Clip]:
    """Return the clips that an earlier run has written; refuse folders in the way of others."""
    listed = read_list(request.out)
    ready = {}
    for clip in clips:
        folder = request.out / "seq" / clip.name
        if not folder.exists():
            continue
        if request.overwrite:
            foreign = [path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)]
            if foreign:
                raise UsageError(
                    f"{folder}: holds {foreign[0]}, which is not of a clip; write somewhere else"
                )
            continue
        there = listed.get(clip.name)
        if there is None or (there.sha256, there.asked, there.median) != (
            digest,
            request.frames,
            request.median,
        ):
            raise UsageError(
                f"{folder}: is there already; add --overwrite, or write somewhere else"
            )
        ready[clip.name] = there
    return ready


def _make(
    request: VideoRequest, clips: Sequence[_Plan], digest: str, tell: OnFrame
) -> dict[str, Clip]:
    """Measure the chosen frames against their median and write them registered."""
    if not clips:
        return {}
    wanted = {number for clip in clips for number in clip.numbers}
    measured = _reported(read_frames(request.video, wanted), "measuring", tell)
    small = {number: shrink(rgb) for number, rgb in measured}
    frames = _reported(read_frames(request.video, wanted), "writing", tell)
    made = {}
    for clip in clips:
        greys = [small.pop(number) for number in clip.numbers]
        reference = Reference(np.median(greys, axis=0), clip.still.size)
        poses = [_pose(request, reference, grey) for grey in greys]
        part = request.out / "seq" / f".rainkit-part-{clip.name}"
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        files = _write(request, clip, part, islice(frames, len(poses)), poses, reference)
        left, top, right, bottom = _margins(clip.still, poses)
        scene = Clip(
            name=clip.name,
            video=request.video.name,
            sha256=digest,
            asked=request.frames,
            median=request.median,
            width=clip.still.size[0] - left - right,
            height=clip.still.size[1] - top - bottom,
            steady=len(clip.still.poses),
            spread_px=clip.still.spread_px,
            dropped=dict(Counter(clip.still.dropped.values()).most_common()),
            frames=files,
        )
        _publish(request.out, part, scene)
        made[clip.name] = scene
    return made


def _pose(request: VideoRequest, reference: Reference, grey: NDArray[np.uint8]) -> Pose:
    found = reference.find(grey)
    if found is None:
        raise DatasetError(f"{request.video}: a frame shows nothing to measure the camera by")
    return found[0]


def _write(
    request: VideoRequest,
    clip: _Plan,
    folder: Path,
    frames: Iterable[tuple[int, RGB8]],
    poses: Sequence[Pose],
    reference: Reference,
) -> tuple[ClipFrame, ...]:
    """Write the pictures of a clip, cropped to what all of them show."""
    size = clip.still.size
    left, top, right, bottom = _margins(clip.still, poses)
    window = slice(top, size[1] - bottom), slice(left, size[0] - right)
    written: list[ClipFrame] = []
    for (number, rgb), pose in zip(frames, poses, strict=True):
        warped = pose.drift(size) >= _LEAST_DRIFT
        after = pose
        if warped:
            rgb = _registered(rgb, pose)
            after = _pose(request, reference, shrink(rgb))
        name = f"{len(written) + 1:04d}.png"
        images.write(folder / name, images.Picture(np.ascontiguousarray(rgb[window])))
        written.append(
            ClipFrame(
                file=f"seq/{clip.name}/{name}",
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
    return tuple(written)


def _registered(rgb: RGB8, pose: Pose) -> RGB8:
    """Return a frame moved by its drift.

    The kernel is Lanczos': OpenCV's cubic one shifts a picture by 0.24 px instead of 0.20.
    """
    size = (rgb.shape[1], rgb.shape[0])
    how = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(rgb, pose.matrix(size), size, flags=how, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def _margins(still: StillClip, poses: Sequence[Pose]) -> tuple[int, int, int, int]:
    """Return the px at the left, top, right and bottom that a registered frame does not show."""
    moved = [pose.corners(still.size) for pose in poses if pose.drift(still.size) >= _LEAST_DRIFT]
    if not moved:
        return 0, 0, 0, 0
    low = np.ceil(np.maximum(0, -np.min(moved, axis=(0, 1)))).astype(int) + _REACH
    high = np.ceil(np.maximum(0, np.max(moved, axis=(0, 1)))).astype(int) + _REACH
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _publish(out: Path, part: Path, scene: Clip) -> None:
    """Move the folder of a clip to its place.

    The clip is listed before it is there: a clip that is listed and missing is made again, while a
    folder that is not listed may belong to the user.
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


def _reported(
    frames: Iterable[tuple[int, RGB8]], what: str, tell: OnFrame
) -> Iterator[tuple[int, RGB8]]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        tell(what, done)


def read_list(out: Path) -> dict[str, Clip]:
    """Return the clips that a folder lists, by name.

    Raises:
        DatasetError: The list is damaged.
    """
    path = out / SEQUENCES
    if not path.exists():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        scenes = [Clip.from_data(json.loads(line)) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: not a list of scenes ({type(error).__name__}: {error}); "
            "delete it and cut the videos again with --overwrite"
        ) from error
    return {scene.name: scene for scene in scenes}


def write_list(out: Path, scenes: Iterable[Clip]) -> None:
    """Write the list of clips in natural order of their names.

    Raises:
        FileError: The system refuses to write.
    """
    ordered = sorted(scenes, key=lambda scene: natural(scene.name))
    text = "".join(json.dumps(scene.to_data()) + "\n" for scene in ordered)
    write_text(out / SEQUENCES, text, overwrite=True)

"""What is cut out of a video: the request, the record of each scene, and the list of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rainkit.errors import DatasetError, UsageError
from rainkit.files import atomic_path, natural

__all__ = [
    "SEQUENCES",
    "CutFrame",
    "CutScene",
    "VideoRequest",
    "VideoResult",
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
            raise UsageError(f"--sequence: a scene has 2 frames or more, not {self.frames}")
        if self.scenes not in _SCENES:
            raise UsageError(f"scenes: one of {', '.join(_SCENES)}, not {self.scenes!r}")


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
    with atomic_path(out / SEQUENCES, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _spread(values: list[float]) -> tuple[float, float]:
    return round(median(values), 4), max(values)

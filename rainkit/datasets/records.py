"""What a manifest says of one rainy picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

__all__ = ["SIDES", "VERSION", "DepthUsed", "Hashes", "Record", "Stats"]

VERSION = 2
"""Of the records written; those of version 1, which lack the fields that have defaults, are read
too."""

SIDES = ("mask", "trans")
"""Folders of side outputs, ``mask/<id>.png`` and so on: opacity of the streaks, uint8, and
transmission of the veil, uint16."""

_NO_OTHERS = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hashes:
    """SHA-256 in hex, see :func:`rainkit.datasets.scenes.pixel_hash`.

    Attributes:
        clean: of the clean picture as its file decodes.
        input: of the rainy pixels, before any lossy encoding.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    clean: str
    input: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """How strong the rain came out, on luma Y (BT.601) of the rainy against the clean picture.

    Attributes:
        y_psnr: PSNR in dB on Y from 16 to 235 as published tables have it; None when equal.
        mean_dy: mean change of full-range Y, in levels.
        coverage: share of pixels that became more than 8 levels brighter.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    y_psnr: float | None
    mean_dy: float
    coverage: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthUsed:
    """The depth that a scene was rendered with.

    Attributes:
        path: the map, uint16 metres x 256, relative to the dataset folder.
        source: where it came from: a file's name, a network's, or ``heuristic``.
        kind: what the source gives, such as ``z``, ``disparity`` or ``relative``.
        metric: whether its metres are measured ones.
        coverage: share of the pixels whose depth the source knows; the rest was filled in.
        fog_scale: factor on the settings' fog gain, below 1 for depth that is guessed; the
            record's settings hold the product.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    path: str
    source: str
    kind: str
    metric: bool
    coverage: float
    fog_scale: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One rainy picture.

    Attributes:
        id: unique in the dataset: scene, variant and frame.
        scene: one clean picture and all its rains; splits keep scenes whole.
        variant: counts from 1.
        source: name of the photograph the scene was made from.
        input: rainy picture, relative to the dataset folder, with forward slashes; a member of a
            tar file is ``path::member``, half of a picture ``path::left`` or ``path::right``.
        target: clean picture, likewise.
        w: width in px.
        h: height in px.
        seed: dataset seed, scene key (from the photograph's pixels) and variant.
        rng: random generator that the seed feeds.
        preset: name of the preset that the settings started from.
        level: named strength the rate was drawn from, if any.
        rate_mm_h: rain rate.
        wind_m_s: wind to the right of the picture.
        distance: metres to a flat scene, 'map' for a depth map, None for no veil.
        frame_width: width in px of the camera's picture.
        beta_per_m: extinction by the veil, 0 without one.
        airlight: RGB, 0 to 255.
        streak_rgb: RGB, 0 to 255.
        n_drops: drops drawn.
        n_kept: streaks drawn one by one.
        settings: every field of RainSettings; empty for noise.
        stats: strength of the result.
        sha256: of pixels, not of files.
        renderer: name and version.
        lib: versions of the libraries that decide pixels.
        encode: file format, and quality where there is one.
        split: ``train`` or ``test`` in a dataset that is split.
        frame: of a sequence, from 1.
        fps: frames a second of a sequence of moving rain; None for independent frames.
        group: first of the scenes that show the same thing, in a dataset that is split.
        phash: perceptual hash of the clean picture in hex.
        depth: the depth map used, if any.
        exposure_s: exposure time in seconds.
        degradation: rain, or Gaussian noise, whose records have no rain.
        sigma: standard deviation of the noise in levels.
        v: version of this record.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _NO_OTHERS

    id: str
    scene: str
    variant: int
    source: str
    input: str
    target: str
    w: int
    h: int
    seed: tuple[int, ...]
    rng: str
    preset: str
    level: str | None
    rate_mm_h: float
    wind_m_s: float
    distance: float | str | None
    frame_width: float
    beta_per_m: float
    airlight: tuple[float, float, float]
    streak_rgb: tuple[float, float, float]
    n_drops: int
    n_kept: int
    settings: dict[str, Any]
    stats: Stats
    sha256: Hashes
    renderer: str
    lib: dict[str, str]
    encode: dict[str, str | int] = field(default_factory=lambda: {"fmt": "png"})
    split: str | None = None
    frame: int | None = None
    fps: float | None = None
    group: str | None = None
    phash: str | None = None
    depth: DepthUsed | None = None
    exposure_s: float | None = None
    degradation: Literal["rain", "noise"] = "rain"
    sigma: float | None = None
    v: int = VERSION

    @property
    def files(self) -> tuple[str, ...]:
        """Files that belong to the picture, side outputs included, whether they exist or not."""
        depth = () if self.depth is None else (self.depth.path,)
        sides = (f"{side}/{self.id}.png" for side in SIDES)
        located = (locator.partition("::")[0] for locator in (self.input, self.target))
        return (*located, *depth, *sides)

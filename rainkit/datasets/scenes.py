"""Scenes of a dataset: one clean photograph, the rains that fall on it, and their files."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

import rainkit
from rainkit import images
from rainkit.datasets import manifest
from rainkit.errors import ImageError
from rainkit.rain import render

if TYPE_CHECKING:
    from rainkit.datasets.synthesis import SynthRequest

__all__ = ["Done", "Scene", "make", "pixel_hash"]

_QUALITY = 95  # of JPEG
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A photograph to rain on.

    Attributes:
        name: of the scene, unique in the dataset.
        source: of the photograph, for the record.
        path: of the photograph.
    """

    name: str
    source: str
    path: Path


@dataclass(frozen=True)
class Done:
    """What came of a scene.

    Attributes:
        path: of the photograph.
        records: one for each pair written.
        reason: why the photograph was left out, or empty.
    """

    path: Path
    records: tuple[manifest.Record, ...] = ()
    reason: str = ""


def pixel_hash(rgb: Picture) -> str:
    """SHA-256 in hex of a picture's height, width (decimal, ``x`` between) and its RGB bytes.

    Of what is seen, not of how it was compressed: re-encoding without loss does not change it.
    """
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


def make(request: SynthRequest, scene: Scene) -> Done:
    """Write all pairs of one scene.

    Raises:
        ImageError: a result cannot be written.
    """
    try:
        clean = images.to_uint8(images.read(scene.path).rgb)
    except ImageError as error:
        return Done(scene.path, reason=str(error))
    clean_hash = pixel_hash(clean)
    scene_key = int(clean_hash[:16], 16)
    first_target: Path | None = None
    records = []
    for variant in range(1, request.variants + 1):
        rendered = render(
            clean,
            request.settings,
            (request.seed, scene_key, variant),
            distance=request.distance,
        )
        name = f"{scene.name}_{variant:02d}.{request.format}"
        rainy_path, target = request.out / "input" / name, request.out / "target" / name
        _save(request, rainy_path, rendered.rainy)
        if first_target is None:
            _save(request, target, clean)
            first_target = target
        else:
            _link(first_target, target, overwrite=request.overwrite)
        record = rendered.record
        records.append(
            manifest.Record(
                id=f"{scene.name}_{variant:02d}",
                scene=scene.name,
                variant=variant,
                source=scene.source,
                input=f"input/{name}",
                target=f"target/{name}",
                w=clean.shape[1],
                h=clean.shape[0],
                seed=tuple(record["seed"]),
                rng=record["rng"],
                preset=request.preset,
                level=request.settings.level,
                rate_mm_h=record["rate_mm_h"],
                wind_m_s=record["wind_m_s"],
                distance=record["distance"],
                frame_width=record["frame_width"],
                beta_per_m=record["beta_per_m"],
                airlight=tuple(record["airlight"]),
                streak_rgb=tuple(record["streak_rgb"]),
                n_drops=record["n_drops"],
                n_kept=record["n_kept"],
                settings=record["settings"],
                stats=_measure(clean, rendered.rainy),
                sha256=manifest.Hashes(clean=clean_hash, input=pixel_hash(rendered.rainy)),
                renderer=record["renderer"],
                lib={
                    "rainkit": rainkit.__version__,
                    "numpy": np.__version__,
                    "opencv": cv2.__version__,
                },
                encode=_encoding(request.format),
            )
        )
    return Done(scene.path, tuple(records))


def _save(request: SynthRequest, path: Path, rgb: Picture) -> None:
    images.write(path, images.Picture(rgb), overwrite=request.overwrite, quality=_QUALITY)


def _link(existing: Path, path: Path, *, overwrite: bool) -> None:
    """Another name for the same target, or a copy where the file system has no hard links."""
    with images.atomic_path(path, overwrite=overwrite) as temporary:
        try:
            os.link(existing, temporary)
        except OSError:
            shutil.copyfile(existing, temporary)


def _encoding(form: str) -> dict[str, str | int]:
    return {"fmt": form, "quality": _QUALITY} if form == "jpg" else {"fmt": form}


def _measure(clean: Picture, rainy: Picture) -> manifest.Stats:
    change = (rainy.astype(np.float32) - clean) @ _LUMA
    error = float(np.mean(np.square(change, dtype=np.float64))) * (219 / 255) ** 2
    return manifest.Stats(
        y_psnr=round(10 * math.log10(255**2 / error), 4) if error > 0 else None,
        mean_dy=round(float(change.mean(dtype=np.float64)), 4),
        coverage=round(float(np.mean(change > 8)), 6),
    )

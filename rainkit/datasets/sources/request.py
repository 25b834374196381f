"""Where training pictures come from, as a recipe and the command line say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from rainkit.datasets.pairs import ReadOptions
from rainkit.errors import UsageError
from rainkit.rain import RainDistribution
from rainkit.rain.noise import Noise

__all__ = ["DataRequest"]

Degraded = Literal["rain", "noise"]
Painter = Literal["workers", "device"]
Averaged = Literal["mean", "median"]
Unreadable = Literal["stop", "skip"]

_CHOICES = {
    "degradation": get_args(Degraded),
    "rain_on": get_args(Painter),
    "scene_target": get_args(Averaged),
    "unreadable": get_args(Unreadable),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DataRequest:
    """Where training pictures come from; scalars and lists only, so that a recipe can say it.

    A folder of ``pairs`` or ``scenes`` may say how much of it is used, and how often it is drawn
    from: ``FOLDER:COUNT@WEIGHT``, see
    :class:`rainkit.datasets.sampling_spec.CountedFolder`. Without weights, all of their pictures
    are drawn alike.

    An entry of ``clean`` may end in ``@WEIGHT``, too. If one does, all entries of ``clean``,
    ``pairs`` and ``scenes`` need a weight, and these weights are the shares of everything.

    Attributes:
        clean: files, folders or globs of clean photographs, degraded on the fly.
        pairs: dataset folders with rainy and clean pictures; of those that are split, the split
            ``train``. A count is one of pairs.
        scenes: folders of time-lapse scenes: for methods that learn from their frames, or for those
            that learn from pairs, see ``scene_target``. A count is one of scenes.
        validation: dataset folders to validate on; never trained on.
        layout: layout of the folders of ``pairs``; None to find it out.
        rainy_side: ``left`` or ``right`` in side-by-side pictures; None to judge by their looks.
        crop_to_common: crop pairs of two sizes instead of refusing them, in validation too.
        clean_share: share of samples from ``clean`` when folders are given too, unless the entries
            of ``clean`` have weights.
        scene_target: what stands for the clean picture of a frame where a method learns from pairs:
            the ``mean`` or the ``median`` of all other frames of its scene. Either is prepared when
            a scene is first drawn; the median is slower to prepare, and needs all frames at once.
        degradation: what befalls clean photographs: ``rain`` or ``noise``.
        rain: the distribution of rain that is drawn onto them.
        rain_on: who paints that rain: the loading processes (``workers``), or the device that
            trains, from what they drew (``device``): the same rain, a level apart here and there.
        noise: how strong the noise added to them is.
        rain_free: share of samples left without either: the network must leave them alone.
        jpeg: share of rainy pictures compressed as JPEG, quality 60 to 95, before training; noise
            stays white.
        enlarge: share of samples from ``clean`` and ``pairs`` whose rainy and clean crop are
            enlarged together by 1.1 to 2.5, after the rain and before JPEG, bicubically or
            bilinearly; noise stays white, and whole pictures cannot be enlarged.
        shrink: smallest random scale of a clean photograph, or of both pictures of a pair, before
            it is cropped; whole pictures have the size they are given, and frames of scenes stay
            as they are.
        match_tone: give the clean picture of each of ``pairs`` the tone of the rainy one first,
            see :func:`rainkit.datasets.sources.tone.tone_curve`.
        unreadable: what a picture that cannot be read does: ``stop`` the training, or ``skip``,
            which draws another in its place.
    """

    clean: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    layout: str | None = None
    rainy_side: str | None = None
    crop_to_common: bool = False
    clean_share: float = 0.5
    scene_target: Averaged = "mean"
    degradation: Degraded = "rain"
    rain: RainDistribution = field(default_factory=RainDistribution)
    rain_on: Painter = "workers"
    noise: Noise = field(default_factory=Noise)
    rain_free: float = 0.04
    jpeg: float = 0.3
    enlarge: float = 0.0
    shrink: float = 0.6
    match_tone: bool = False
    unreadable: Unreadable = "stop"

    def reading(self) -> ReadOptions:
        """How the folders of ``pairs`` are read."""
        return ReadOptions(
            layout=self.layout, rainy_side=self.rainy_side, crop_to_common=self.crop_to_common
        )

    def __post_init__(self) -> None:
        self.reading()  # refuses what it does not know
        for name in ("clean_share", "rain_free", "jpeg", "enlarge", "shrink"):
            value = getattr(self, name)
            if not (value > 0 if name == "shrink" else value >= 0) or not value <= 1:
                raise UsageError(f"data.{name} = {value}: is a share, at most 1")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(f"data.{name} = {getattr(self, name)}: is {' or '.join(known)}")
        for name, work in {"jpeg": "compress", "enlarge": "enlarge"}.items():
            if self.rain_on == "device" and getattr(self, name) > 0:
                raise UsageError(
                    f"data.{name} = {getattr(self, name)}: only workers {work} pictures; "
                    f"set data.{name} = 0 or data.rain_on = workers"
                )

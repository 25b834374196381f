"""Scores: one row per picture and summaries per dataset, as plain data."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
import PIL

import rainkit
from rainkit.datasets.image_ref import ImageRef
from rainkit.errors import UsageError
from rainkit.evaluation.metrics.protocols import Protocol
from rainkit.evaluation.metrics.registry import LoadedMetric

__all__ = [
    "Advance",
    "Comparison",
    "Failure",
    "RainAttributes",
    "Score",
    "Scores",
    "SourceFile",
    "Summary",
    "about_metrics",
    "excluded_notices",
    "parse_bar",
    "stored",
    "versions",
]


RainAttributes = tuple[tuple[str, float | str], ...]
"""What is known of one picture's rain, such as its rate, by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The figures of one picture under one protocol.

    Attributes:
        name: the picture's name, unique in its dataset.
        width: in pixels.
        height: in pixels.
        psnr: in dB; ``inf`` if the picture equals its target.
        ssim: NaN if the picture is smaller than the protocol's window.
        input_psnr: PSNR of the rainy picture itself; None without one.
        input_ssim: SSIM of the rainy picture itself; None without one.
        milliseconds: the time that deraining took; None if nothing was derained.
        extras: pairs of a further metric's name and its figure, NaN if undefined.
        input_extras: the same of the rainy picture itself.
        oddity: what looks wrong with the file, a key of
            :data:`rainkit.evaluation.scoring.ODDITIES`; None if nothing does.
        rain_attributes: what :mod:`rainkit.evaluation.rain_attributes` tells of the picture.
    """

    name: str
    width: int
    height: int
    psnr: float
    ssim: float
    input_psnr: float | None = None
    input_ssim: float | None = None
    milliseconds: float | None = None
    extras: tuple[tuple[str, float], ...] = ()
    input_extras: tuple[tuple[str, float], ...] = ()
    oddity: str | None = None
    rain_attributes: RainAttributes = ()

    def value(self, quantity: str) -> float | None:
        """Return a figure by name: an attribute, an extra, or ``input_`` and an extra's name."""
        extras = dict(self.extras) | {f"input_{name}": value for name, value in self.input_extras}
        if quantity in extras:
            return extras[quantity]
        found: float | None = getattr(self, quantity)
        return found

    @property
    def rate_mm_h(self) -> float | None:
        """The rain rate that the dataset's manifest tells; None if it does not."""
        rate = dict(self.rain_attributes).get("rate_mm_h")
        return None if rate is None else float(rate)

    @property
    def psnr_gain(self) -> float | None:
        """PSNR minus that of the rainy picture; 0 if both equal the target."""
        if self.input_psnr is None:
            return None
        return 0.0 if self.psnr == self.input_psnr else self.psnr - self.input_psnr

    @property
    def ssim_gain(self) -> float | None:
        """SSIM minus that of the rainy picture."""
        return None if self.input_ssim is None else self.ssim - self.input_ssim

    def to_data(self, window: int = 11) -> dict[str, Any]:
        """Return the row as data for JSON, see :func:`stored`; ``notes`` say what is unusual.

        Args:
            window: side in pixels of the protocol's SSIM window.
        """
        notes = []
        if math.isnan(self.ssim):
            notes.append(
                f"ssim is undefined: the picture is smaller than its {window} x {window} window"
            )
        data = asdict(self) | {"psnr_gain": self.psnr_gain, "ssim_gain": self.ssim_gain}
        if (oddity := data.pop("oddity")) is not None:
            notes.append(f"the restored picture looks {_ODDITIES[oddity]}")
        named = {name: data.pop(name) for name in ("extras", "input_extras")}
        named["conditions"] = data.pop("rain_attributes")
        row = {key: stored(value) for key, value in data.items()}
        for name, pairs in named.items():
            if pairs:
                row[name] = {key: stored(value) for key, value in pairs}
        return row | ({"notes": notes} if notes else {})


def stored(value: Any) -> Any:
    """Return a value as JSON can hold it: an infinity as ``"inf"`` or ``"-inf"``, NaN as null."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be scored, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One quantity over the pictures of a dataset.

    All figures are of the ``count`` finite values; ``excluded`` values were infinite or undefined.
    If no value is finite, the figures are NaN; ``mean`` is ``inf`` if every value is infinite.
    """

    count: int
    excluded: int
    mean: float
    median: float
    deviation: float
    minimum: float
    maximum: float
    lower_quartile: float
    upper_quartile: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Return the summary of values, which may be infinite or NaN."""
        finite = np.array([value for value in values if math.isfinite(value)])
        excluded = len(values) - len(finite)
        if not len(finite):
            all_infinite = bool(values) and all(value == math.inf for value in values)
            mean, (low, lower, median, upper, high) = math.nan, [math.nan] * 5
            return cls(
                count=0,
                excluded=excluded,
                mean=math.inf if all_infinite else mean,
                median=median,
                deviation=math.nan,
                minimum=low,
                maximum=high,
                lower_quartile=lower,
                upper_quartile=upper,
            )
        low, lower, median, upper, high = np.percentile(finite, [0, 25, 50, 75, 100]).tolist()
        return cls(
            count=len(finite),
            excluded=excluded,
            mean=float(finite.mean()),
            median=median,
            deviation=float(finite.std(ddof=1)) if len(finite) > 1 else 0.0,
            minimum=low,
            maximum=high,
            lower_quartile=lower,
            upper_quartile=upper,
        )

    def to_data(self) -> dict[str, Any]:
        """Return the figures as data for JSON, see :func:`stored`."""
        return {key: stored(value) for key, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """All pictures of one dataset under one protocol."""

    dataset: str
    protocol: Protocol
    rows: tuple[Score, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def has_input(self) -> bool:
        """Whether the rainy pictures were scored, too."""
        return any(row.input_psnr is not None for row in self.rows)

    @property
    def psnr(self) -> Summary:
        """PSNR of the restored pictures, in dB."""
        return self.summary("psnr")

    @property
    def ssim(self) -> Summary:
        """SSIM of the restored pictures."""
        return self.summary("ssim")

    @property
    def input_psnr(self) -> Summary:
        """PSNR of the rainy pictures, in dB."""
        return self.summary("input_psnr")

    @property
    def input_ssim(self) -> Summary:
        """SSIM of the rainy pictures."""
        return self.summary("input_ssim")

    @property
    def psnr_gain(self) -> Summary:
        """Gain in PSNR over the rainy pictures, picture by picture, in dB."""
        return self.summary("psnr_gain")

    @property
    def ssim_gain(self) -> Summary:
        """Gain in SSIM over the rainy pictures, picture by picture."""
        return self.summary("ssim_gain")

    def summary(self, quantity: str) -> Summary:
        """Return the summary of a figure (see :meth:`Score.value`) over the pictures with it."""
        values = (row.value(quantity) for row in self.rows)
        return Summary.of([value for value in values if value is not None])

    def to_data(self) -> dict[str, Any]:
        """Return the data for JSON; the order of the keys is stable."""
        quantities = ["psnr", "ssim"]
        if self.has_input:
            quantities += ["input_psnr", "input_ssim", "psnr_gain", "ssim_gain"]
        if self.rows:
            quantities += [name for name, _ in self.rows[0].extras]
            quantities += [f"input_{name}" for name, _ in self.rows[0].input_extras]
        return {
            "dataset": self.dataset,
            "protocol": self.protocol.parameters,
            "images": len(self.rows),
            "failed": [asdict(failure) for failure in self.failures],
            "summary": {name: self.summary(name).to_data() for name in quantities},
            "rows": [row.to_data(self.protocol.window.side) for row in self.rows],
        }


_ODDITIES = {
    "swapped": "like its target with red and blue swapped",
    "grey": "grey beside a target in colour",
}


Advance = Callable[[int, int], None]
"""Called after every picture with the number of pictures that are done and of all pictures."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file behind the figures of one ``picture``; its ``role`` is rainy, restored or target."""

    dataset: str
    role: str
    stored: ImageRef
    picture: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The scores of one result: a method, an average, or a folder of restored pictures.

    Attributes:
        restored: name of its row in tables.
        scores: one per dataset and protocol, ordered by datasets and then by protocols.
        about: method, weights, device and versions, for metrics.json.
        notices: what a reader of the figures must know.
        files: the files behind the figures.
        part_of: the row of the method that this is a part of, whose name this one's begins with;
            None if this is no part.
        parts: the parts of the method, each a comparison of its own.
    """

    restored: str
    scores: tuple[Scores, ...]
    about: dict[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()
    part_of: str | None = None
    parts: tuple[Comparison, ...] = ()

    @property
    def failures(self) -> tuple[tuple[str, Failure], ...]:
        """Pairs of a dataset's name and a picture that could not be scored, each once."""
        pairs = ((scores.dataset, failure) for scores in self.scores for failure in scores.failures)
        return tuple(dict.fromkeys(pairs))

    def below(self, bars: Iterable[str]) -> tuple[str, ...]:
        """Return the bars that are missed, in words.

        A bar is ``psnr=30`` and holds for every dataset's mean of psnr, ssim, psnr_gain or
        ssim_gain. A quantity that could not be computed misses its bar.

        Raises:
            UsageError: a bar that is not ``quantity=number``.
        """
        missed = []
        for quantity, bar in map(parse_bar, bars):
            for scores in self.scores:
                mean = scores.summary(quantity).mean
                if not mean >= bar:  # also true for NaN
                    label = scores.protocol.label
                    shown = "n/a" if math.isnan(mean) else f"{mean:.4f}"
                    missed.append(f"{scores.dataset}: {quantity} {shown} < {bar:g} ({label})")
        return tuple(missed)

    def to_data(self) -> dict[str, Any]:
        """Return the data for JSON; the order of the keys is stable."""
        return {
            "restored": self.restored,
            **({"part_of": self.part_of} if self.part_of else {}),
            **self.about,
            "notices": list(self.notices),
            "results": [scores.to_data() for scores in self.scores],
        }


def parse_bar(text: str) -> tuple[str, float]:
    """Return a bar such as ``psnr=30`` as a quantity and a number.

    Raises:
        UsageError: it is not one, or the number is not finite.
    """
    quantity, _, number = text.partition("=")
    try:
        if quantity in ("psnr", "ssim", "psnr_gain", "ssim_gain"):
            bar = float(number)
            if math.isfinite(bar):  # nothing reaches nan, and everything or nothing inf
                return quantity, bar
    except ValueError:
        pass
    raise UsageError(f"--fail-below {text}: write psnr=30, ssim=0.9, psnr_gain=5 or ssim_gain=0.05")


def excluded_notices(scores: Iterable[Scores]) -> tuple[str, ...]:
    """Return lines that say which pictures the means leave out."""
    scores = tuple(scores)
    several = len({each.dataset for each in scores}) > 1
    notices = []
    for each in scores:
        where = f"{each.dataset} ({each.protocol.label})"
        for role, psnr in (("restored", each.psnr), ("rainy", each.input_psnr)):
            if psnr.excluded:
                notices.append(f"{where}: {_equal(psnr, role, several)}")
        if each.ssim.excluded:
            count, side = each.ssim.excluded, each.protocol.window.side
            are = "picture is" if count == 1 else "pictures are"
            notices.append(
                f"{where}: {count} {are} smaller than SSIM's {side} x {side} window and left out"
                " of its mean"
            )
        for name, _ in each.rows[0].extras if each.rows else ():
            values = [value for row in each.rows if (value := row.value(name)) is not None]
            if count := sum(map(math.isnan, values)):
                are = "picture is" if count == 1 else "pictures are"
                notices.append(
                    f"{each.dataset}: {count} {are} without {name}, and left out of its mean"
                )
            if count := sum(map(math.isinf, values)):
                of = "1 picture" if count == 1 else f"{count} pictures"
                left = "" if count == len(values) else ", and left out of its mean"
                notices.append(f"{each.dataset}: {name} of {of} is infinite{left}")
    return tuple(dict.fromkeys(notices))


def _equal(psnr: Summary, role: str, several: bool) -> str:
    """Say what the table shows for pictures that equal their target: inf only if all do."""
    count = psnr.excluded
    if not psnr.count:
        all_ = f"the only {role} picture equals its target"
        if count > 1:
            all_ = f"all {count} {role} pictures equal their targets"
        return f"{all_}: PSNR is infinite" + ", and left out of the last row" * several
    equal = "picture equals its target" if count == 1 else "pictures equal their targets"
    return f"{count} {role} {equal}; infinite PSNR and gains are left out of the means"


def about_metrics(metrics: Iterable[LoadedMetric]) -> dict[str, Any]:
    """Return what defines the further metrics, for the ``about`` of a comparison."""
    data = [each.to_data() for each in metrics]
    return {"metrics": data} if data else {}


def versions() -> dict[str, str]:
    """Return the versions of everything that decodes or computes."""
    return {
        "rainkit": rainkit.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }

"""What an evaluation found: one row per picture, summaries per dataset, as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rainkit.evaluation.protocols import Protocol
from rainkit.evaluation.texts import finite

__all__ = ["Conditions", "Failure", "Score", "Scores", "Summary"]

Conditions = tuple[tuple[str, float | str], ...]
"""What is known of one picture's rain, such as its rate, by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One picture. PSNR in dB, ``inf`` for equal ones; SSIM NaN for those under its window.

    ``input_*`` score the rainy picture itself, None where there is none; ``milliseconds`` is what
    deraining took, None where nothing was derained. ``extras`` are further metrics by name and
    ``input_extras`` the rainy picture's, as pairs; NaN where undefined. ``oddity`` says what looks
    wrong with the file: see :data:`rainkit.evaluation.scoring.ODDITIES`. ``conditions`` are
    those of :mod:`rainkit.evaluation.conditions`.
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
    conditions: Conditions = ()

    def value(self, quantity: str) -> float | None:
        """Any figure by name: an attribute, an extra, or ``input_`` and an extra's name."""
        extras = dict(self.extras) | {f"input_{name}": value for name, value in self.input_extras}
        if quantity in extras:
            return extras[quantity]
        found: float | None = getattr(self, quantity)
        return found

    @property
    def psnr_gain(self) -> float | None:
        """PSNR over the rainy picture's; 0 where both equal the target."""
        if self.input_psnr is None:
            return None
        return 0.0 if self.psnr == self.input_psnr else self.psnr - self.input_psnr

    @property
    def ssim_gain(self) -> float | None:
        """SSIM over the rainy picture's."""
        return None if self.input_ssim is None else self.ssim - self.input_ssim

    def to_data(self, window: int = 11) -> dict[str, Any]:
        """For JSON, which knows neither inf nor NaN: null, with the reason in ``notes``.

        Args:
            window: side in pixels of the protocol's SSIM.
        """
        notes = [
            f"{name} is infinite: what is scored equals the target's"
            for name, value in (("psnr", self.psnr), ("input_psnr", self.input_psnr))
            if value == math.inf
        ]
        if math.isnan(self.ssim):
            notes.append(
                f"ssim is undefined: the picture is smaller than its {window} x {window} window"
            )
        data = asdict(self) | {"psnr_gain": self.psnr_gain, "ssim_gain": self.ssim_gain}
        if (oddity := data.pop("oddity")) is not None:
            notes.append(f"the restored picture looks {_ODDITIES[oddity]}")
        named = ("extras", "input_extras", "conditions")
        extras = {name: _finite_values(data.pop(name)) for name in named}
        told = {key: finite(value) for key, value in data.items()}
        told |= {name: values for name, values in extras.items() if values}
        return told | ({"notes": notes} if notes else {})


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be scored, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One quantity over the pictures of a dataset.

    ``count`` values are finite and make all figures but ``excluded``, how many were infinite or
    undefined. With none finite, all are NaN, and ``mean`` is inf where every value was.
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
        """Summarise any values, infinite and NaN among them."""
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
        """For JSON: inf and NaN become null."""
        return {key: finite(value) for key, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """All pictures of one dataset under one protocol."""

    dataset: str
    protocol: Protocol
    rows: tuple[Score, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def has_input(self) -> bool:
        """Whether the rainy pictures were scored too."""
        return any(row.input_psnr is not None for row in self.rows)

    @property
    def psnr(self) -> Summary:
        """Of the restored pictures, in dB."""
        return self.summary("psnr")

    @property
    def ssim(self) -> Summary:
        """Of the restored pictures."""
        return self.summary("ssim")

    @property
    def input_psnr(self) -> Summary:
        """Of the rainy pictures, in dB."""
        return self.summary("input_psnr")

    @property
    def input_ssim(self) -> Summary:
        """Of the rainy pictures."""
        return self.summary("input_ssim")

    @property
    def psnr_gain(self) -> Summary:
        """Restored over rainy, picture by picture, in dB."""
        return self.summary("psnr_gain")

    @property
    def ssim_gain(self) -> Summary:
        """Restored over rainy, picture by picture."""
        return self.summary("ssim_gain")

    def summary(self, quantity: str) -> Summary:
        """Any figure of :class:`Score` over the pictures that have it; extras by their name."""
        values = (row.value(quantity) for row in self.rows)
        return Summary.of([value for value in values if value is not None])

    def to_data(self) -> dict[str, Any]:
        """For JSON; the key order is stable."""
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


def _finite_values(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: finite(value) for name, value in pairs}

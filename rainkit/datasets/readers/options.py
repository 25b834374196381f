"""What a user may say of a dataset's layout."""

from __future__ import annotations

from dataclasses import dataclass

from rainkit.errors import UsageError

__all__ = ["ReadOptions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """How to read folders of pairs.

    Attributes:
        layout: name of the layout; None to find it out.
        rainy_side: ``left`` or ``right`` in side-by-side pictures; None to judge by their looks.
        crop_to_common: crop pairs of two sizes to their common size instead of refusing them.
    """

    layout: str | None = None
    rainy_side: str | None = None
    crop_to_common: bool = False

    def __post_init__(self) -> None:
        if self.rainy_side not in (None, "left", "right"):
            raise UsageError(f"--rainy-side {self.rainy_side}: choose left or right")

"""The few parameters of a pair that tables and shards repeat; the manifest has all of them."""

from __future__ import annotations

from rainkit.datasets.records import Record

__all__ = ["parameters"]


def parameters(record: Record) -> dict[str, str | int | float]:
    """Columns for readers that infer types from the first values they meet, split by split.

    Hence every column has one type throughout and no value is missing: no level is an empty text,
    and no noise, or no rain, is 0. None is a text that could be taken for a date, as a scene's name
    could.
    """
    return {
        "id": record.id,
        "variant": record.variant,
        "degradation": record.degradation,
        "preset": record.preset,
        "level": record.level or "",
        "rate_mm_h": float(record.rate_mm_h),
        "wind_m_s": float(record.wind_m_s),
        "beta_per_m": float(record.beta_per_m),
        "sigma": float(record.sigma or 0),
        "mean_dy": float(record.stats.mean_dy),
        "coverage": float(record.stats.coverage),
    }

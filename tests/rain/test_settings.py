"""Settings that cannot be rendered are refused with the reason."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from rainkit.errors import UsageError
from rainkit.rain import LEVELS, PRESETS, RainSettings, render

GREY = np.full((32, 32, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"rate_mm_h": 0.0}, "rate_mm_h"),
        ({"rate_mm_h": float("nan")}, "rate_mm_h"),
        ({"streak_gain": -1.0}, "streak_gain"),
        ({"dim": 1.5}, "dim"),
        ({"gamma": 0.0}, "gamma"),
        ({"level": "heavy"}, "level"),
        ({"rate_mm_h": None}, "level"),
        ({"rate_mm_h": None, "level": "torrential"}, "torrential"),
        ({"light": "log"}, "light"),
        ({"blend": "multiply"}, "blend"),
        ({"near_m": 4.0}, "near_m"),
        ({"streak_low": 2.0}, "streak_low"),
        ({"focal_mm": 200.0, "focus_m": 0.15}, "focus_m"),
        ({"cuts_m": (1.0, 2.0)}, "cuts_m"),
        ({"cuts_m": (0.0, 2.0, 2.0)}, "cuts_m"),
        ({"cuts_m": ()}, "cuts_m"),
        ({"cuts_m": (0.0, float("nan"))}, "cuts_m"),
        ({"cuts_m": (0.0, float("inf"))}, "cuts_m"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        RainSettings(**values)


def test_changed_refuses_unknown_names() -> None:
    assert RainSettings().changed({"dim": 0.5}).dim == 0.5
    with pytest.raises(UsageError, match="windy"):
        RainSettings().changed({"windy": 1.0})


def test_every_setting_is_documented() -> None:
    assert all(item.metadata.get("doc") for item in dataclasses.fields(RainSettings))


def test_the_named_presets_exist() -> None:
    names = "default spa rain12 rain100l rain100h wide short physical misty"
    assert set(PRESETS) == set(names.split())


def test_levels_follow_on_one_another() -> None:
    for weaker, stronger in itertools.pairwise(LEVELS.values()):
        assert weaker.high == stronger.low
    assert all(level.low <= level.nominal <= level.high for level in LEVELS.values())


def test_focal_length_in_px() -> None:
    assert RainSettings(fov_deg=60.0).focal_px(512) == pytest.approx(443.4, abs=0.1)


def test_numbers_of_numpy_become_plain_ones() -> None:
    settings = RainSettings(rate_mm_h=np.float32(7.5))
    record = render(GREY, settings, np.array([1, 2]), distance=np.float32(9)).record
    assert json.loads(json.dumps(record))["settings"]["rate_mm_h"] == 7.5
    assert np.array_equal(
        render(GREY, settings, [1, 2]).rainy, render(GREY, settings, np.array([1, 2])).rainy
    )


@pytest.mark.parametrize("values", [{"rate_mm_h": "7"}, {"streak_gain": None}])
def test_what_is_no_number_is_refused(values) -> None:
    with pytest.raises(UsageError, match=rf"{next(iter(values))} must be a number"):
        RainSettings(**values)


@pytest.mark.parametrize("seed", [[1.5], ["1"], (), 3, [-1]])
def test_what_is_no_seed_is_refused(seed) -> None:
    with pytest.raises(UsageError, match="a seed must be a sequence of whole numbers"):
        render(GREY, RainSettings(), seed)

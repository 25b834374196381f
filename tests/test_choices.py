"""Lists of values agree with the registries that they stand for."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import pytest

from rainkit import choices
from rainkit.datasets.readers import LAYOUTS as READ
from rainkit.datasets.writers import LAYOUTS as WRITTEN
from rainkit.depth.files import FORMATS
from rainkit.errors import UsageError
from rainkit.evaluation.metrics.protocols import PROTOCOLS
from rainkit.evaluation.metrics.registry import METRICS
from rainkit.evaluation.rain_attributes import ATTRIBUTES
from rainkit.rain import LEVELS, PRESETS


@pytest.mark.parametrize(
    ("kind", "registry"),
    [
        (choices.WrittenLayout, WRITTEN),
        (choices.Preset, PRESETS),
        (choices.Level, LEVELS),
        (choices.DepthFormat, FORMATS),
        (choices.Protocol, PROTOCOLS),
        (choices.Metric, METRICS),
        (choices.RainAttribute, ATTRIBUTES),
    ],
)
def test_lists_agree_with_registries(kind: type[StrEnum], registry: Iterable[str]):
    assert list(kind) == list(registry)


def test_all_layouts_that_are_read_are_listed_and_all_that_are_written_are_read():
    assert list(choices.Layout)[: len(READ)] == list(READ)
    assert set(choices.WrittenLayout) <= set(choices.Layout)
    assert set(choices.Layout) - set(READ) <= set(choices.WrittenLayout)


def test_a_mistyped_value_is_refused_with_the_nearest_and_all_values():
    assert choices.choose(choices.Metric, "lpips", "--metric") is choices.Metric.LPIPS
    with pytest.raises(UsageError, match=r"^--metric lpsi: unknown; did you mean lpips\? choose"):
        choices.choose(choices.Metric, "lpsi", "--metric")
    with pytest.raises(UsageError, match=r"^--precision half: unknown; choose from auto, fp32, "):
        choices.choose(choices.Precision, "half", "--precision")

"""How networks are asked to run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rainkit.choices import Precision
from rainkit.errors import UsageError
from rainkit.runtime_options import STOP_BELOW, Effort, Magnification, RuntimeOptions


def test_texts_of_the_command_line_are_read():
    read = RuntimeOptions.parse(device="cuda:1", precision="bf16", tile="512", effort="auto:2.5")
    assert read == RuntimeOptions(
        device="cuda:1", precision=Precision.BF16, tile=512, effort=Effort(stop_below=2.5)
    )
    assert RuntimeOptions.parse() == RuntimeOptions()
    assert RuntimeOptions.parse(work_size="1024").work_size == 1024
    assert RuntimeOptions.parse(work_size="full").work_size == 0
    assert RuntimeOptions.parse(work_size="auto").work_size is None
    assert RuntimeOptions.parse(tile=np.int64(128)).tile == 128


@pytest.mark.parametrize(
    ("text", "effort"),
    [
        ("full", Effort()),
        ("auto", Effort(stop_below=STOP_BELOW)),
        ("auto:2", Effort(stop_below=2.0)),
        ("3", Effort(blocks=3)),
    ],
)
def test_an_effort_is_written_as_it_is_read(text: str, effort: Effort):
    assert Effort.parse(text) == effort
    assert str(effort) == text


@pytest.mark.parametrize(
    ("text", "factor", "written"),
    [("2x", 2.0, "2x"), ("1.50x", 1.5, "1.5x"), (".5x", 0.5, "0.5x"), ("4.x", 4.0, "4x")],
)
def test_a_factor_as_a_work_size(text: str, factor: float, written: str):
    read = RuntimeOptions.parse(work_size=text).work_size
    assert read == Magnification(factor)
    assert str(read) == written
    assert RuntimeOptions.parse(work_size=read).work_size == read


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "abacus"}, "--device abacus: give auto, cpu, cuda, cuda:N or mps"),
        ({"precision": "fp61"}, r"--precision fp61: unknown; did you mean fp16\?"),
        ({"tile": "wide"}, "--tile wide: give auto, 0, or the side of tiles in pixels"),
        ({"tile": 63}, "--tile 63: give at least 64, or 0 for whole pictures"),
        ({"tile": -1}, "--tile -1: give at least 64"),
        (
            {"work_size": "63"},
            "--work-size 63: give at least 64, a factor such as 2x, auto or full",
        ),
        ({"work_size": "2"}, "--work-size 2: give at least 64, a factor such as 2x"),
        ({"work_size": "x"}, "--work-size x: give auto, full, a longest side in pixels, or a"),
        ({"work_size": "-2x"}, "--work-size -2x: give auto, full"),
        ({"work_size": "٢x"}, "--work-size ٢x: give auto, full"),
        ({"work_size": 2.0}, "--work-size 2.0: give auto, full"),
        ({"work_size": "0.05x"}, "--work-size 0.05x: give 0.1x to 4x"),
        ({"work_size": "5x"}, "--work-size 5x: give 0.1x to 4x"),
        ({"effort": "some"}, "--effort some: give full, auto, auto:LEVELS"),
        ({"effort": "auto:much"}, "--effort auto:much: give full, auto, auto:LEVELS"),
        ({"effort": "auto:inf"}, "--effort auto:inf: the threshold must be 0 or more grey levels"),
        ({"strength": 1.6}, "--strength 1.6: give 0 to 1.5"),
        ({"strength": None}, "--strength None: give 0 to 1.5"),
        ({"device": None}, "--device None: give auto, cpu"),
        ({"precision": None}, "--precision None: unknown"),
        ({"backend": None}, "--backend None: unknown"),
        ({"strength": float("nan")}, "--strength nan: give 0 to 1.5"),
        ({"effort": "0"}, "--effort 0: the number of blocks must be 1 or more"),
    ],
)
def test_options_that_cannot_be_are_named(options: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=f"^{message}"):
        RuntimeOptions.parse(**options)

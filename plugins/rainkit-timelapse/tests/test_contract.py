"""Time-lapse deraining keeps rainkit's contract."""

from __future__ import annotations

import dataclasses

import pytest
from rainkit_timelapse import METHOD

from rainkit.api import replace
from rainkit.testing import MethodContract


class TestTimeLapse(MethodContract):
    method = "timelapse"
    large = ("paper", "large")


def test_the_paper_learns_at_a_quarter_of_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its network of 172 million parameters takes 2.8 GB and ten seconds to train for a step."""
    narrow = replace(METHOD.variants["paper"], network={"widths": (16, 32, 64)})
    kit = TestTimeLapse()
    method = dataclasses.replace(METHOD, variants={"default": narrow})
    monkeypatch.setattr(kit, "described", lambda: method)
    kit.test_every_parameter_learns_and_none_leaks("default")
    kit.test_training_lowers_the_loss("default")
    kit.test_network_takes_any_size("default")

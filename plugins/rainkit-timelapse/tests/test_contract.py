"""Time-lapse deraining keeps rainkit's contract."""

from rainkit.testing import MethodContract


class TestTimeLapse(MethodContract):
    method = "timelapse"

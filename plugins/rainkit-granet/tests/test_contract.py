"""GraNet keeps rainkit's contract."""

from rainkit.testing import MethodContract


class TestGraNet(MethodContract):
    method = "granet"

"""PReNet keeps rainkit's contract."""

from rainkit.testing import MethodContract


class TestPReNet(MethodContract):
    method = "prenet"

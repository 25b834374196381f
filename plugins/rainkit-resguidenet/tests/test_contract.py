"""ResGuideNet keeps rainkit's contract."""

from rainkit.testing import MethodContract


class TestResGuideNet(MethodContract):
    method = "resguidenet"

"""GRASPP-GAN keeps rainkit's contract."""

from rainkit.testing import MethodContract


class TestGrasppGan(MethodContract):
    method = "graspp-gan"

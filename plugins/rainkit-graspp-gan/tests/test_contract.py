"""GRASPP-GAN keeps rainkit's contract."""

from rainkit.testing import MethodContract


class TestGrasppGan(MethodContract):
    method = "graspp-gan"
    large = ("resnet18",)  # 78 times the arithmetic of the default, which it equals but for widths

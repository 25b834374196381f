"""FreqGAN keeps rainkit's contract."""

from rainkit.testing import MethodContract


class TestFreqGan(MethodContract):
    method = "freq-gan"

"""Spandrel keeps rainkit's contract, with a small network of an architecture that it knows."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest
import torch
from spandrel.architectures.NAFNet import NAFNet

from rainkit.testing import MethodContract


@functools.cache
def checkpoint() -> Path:
    """The file of a small NAFNet, which stays until the tests have ended."""
    folder = tempfile.TemporaryDirectory(prefix="rainkit-spandrel-")
    checkpoint.folder = folder  # type: ignore[attr-defined]  # it is removed with this function
    path = Path(folder.name) / "nafnet.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NAFNet(width=4, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1])
        for parameter in network.parameters():  # fresh ones leave blocks out
            torch.nn.init.normal_(parameter, std=0.1)
    torch.save({"params": network.state_dict()}, path)
    return path


class TestSpandrel(MethodContract):
    method = "spandrel"

    @pytest.fixture(autouse=True)
    def _file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "checkpoint", checkpoint())

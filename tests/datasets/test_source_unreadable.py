"""Pictures that cannot be read: they stop a training, or others are drawn in their place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.datasets.sources.mixed import Batch, Redrawn, collate
from rainkit.errors import DatasetError, ImageError, UsageError
from rainkit.images import Picture

TRAINING = Training(patch=16)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Six pairs, two of which cannot be read: one is cut short, one is none."""
    for level in range(6):
        grey = Picture(rgb=np.full((40, 40, 3), level, np.uint8))
        for side in ("input", "target"):
            images.write(tmp_path / "p" / side / f"{level}.png", grey)
    cut = tmp_path / "p" / "input" / "1.png"
    cut.write_bytes(cut.read_bytes()[:-30])
    (tmp_path / "p" / "target" / "4.png").write_bytes(b"no picture")
    return tmp_path / "p"


def test_by_default_the_error_is_the_sample(pairs: Path) -> None:
    source = open_sources(DataRequest(pairs=(str(pairs),)), TRAINING, seed=0)
    errors = [sample for k in range(30) if isinstance(sample := source[k], ImageError)]
    names = {str(error).partition(":")[0] for error in errors}
    assert names == {str(pairs / "input" / "1.png"), str(pairs / "target" / "4.png")}


def test_another_picture_is_drawn_in_place_of_one_that_cannot_be_read(pairs: Path) -> None:
    stop = DataRequest(pairs=(str(pairs),))
    skip = replace(stop, unreadable="skip")
    stopping = open_sources(stop, TRAINING, seed=0)
    source, again = (open_sources(skip, TRAINING, seed=0) for _ in range(2))
    redrawn = 0
    for k in range(40):
        sample, plain = source[k], stopping[k]
        if isinstance(plain, ImageError):
            assert isinstance(sample, Redrawn)
            assert sample.skipped[0] == str(plain), "names the picture, and says why"
            assert again[k].skipped == sample.skipped
            assert torch.equal(again[k].sample[1], sample.sample[1])
            assert int(sample.sample[1][0, 0, 0]) not in (1, 4)
            redrawn += 1
        else:
            assert torch.equal(sample[0], plain[0]), "what can be read is what it was"
            assert torch.equal(sample[1], plain[1])
    assert 5 <= redrawn <= 25


def test_a_batch_tells_what_was_skipped_in_it(pairs: Path) -> None:
    request = DataRequest(pairs=(str(pairs),), unreadable="skip")
    source = open_sources(request, TRAINING, seed=0)
    samples = [source[k] for k in range(12)]
    batch = collate(samples)
    assert isinstance(batch, Batch)
    assert batch.first.shape == (12, 3, 16, 16)
    told = [line for sample in samples if isinstance(sample, Redrawn) for line in sample.skipped]
    assert batch.skipped == tuple(told)
    assert told
    good = next(sample for sample in samples if not isinstance(sample, Redrawn))
    assert collate([good]).skipped == ()


def test_photos_are_skipped_as_well(pairs: Path) -> None:
    request = DataRequest(clean=(str(pairs / "target"),), unreadable="skip")
    source = open_sources(request, TRAINING, seed=0)
    samples = [source[k] for k in range(30)]
    skipped = {line for sample in samples if isinstance(sample, Redrawn) for line in sample.skipped}
    assert [line.partition(":")[0] for line in skipped] == [str(pairs / "target" / "4.png")]


def test_ten_in_a_row_are_an_error(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for level in range(6):
        (pairs / "target" / f"{level}.png").write_bytes(b"no picture")
    request = DataRequest(pairs=(str(pairs),))
    decoded = []
    decode = images.decode

    def counting(content: bytes, name: str) -> Picture:
        decoded.append(name)
        return decode(content, name)

    monkeypatch.setattr(images, "decode", counting)
    (pairs / "input" / "1.png").write_bytes((pairs / "input" / "0.png").read_bytes())
    sample = open_sources(replace(request, unreadable="skip"), TRAINING, seed=0)[3]
    assert isinstance(sample, ImageError)
    assert len([name for name in decoded if "target" in name]) == 10
    assert str(sample) == str(open_sources(request, TRAINING, seed=0)[3]), "the first is given back"
    assert collate([sample]) is sample


def test_what_else_is_wrong_is_not_skipped(pairs: Path) -> None:
    """Folders and settings are, from the start."""
    with pytest.raises(UsageError, match=r"data\.unreadable = ignore: choose stop or skip"):
        DataRequest(unreadable="ignore")
    with pytest.raises(UsageError, match="nowhere"):
        open_sources(DataRequest(pairs=("nowhere",), unreadable="skip"), TRAINING, seed=0)


def test_an_error_that_nobody_expects_is_the_samples_too(pairs: Path, monkeypatch) -> None:
    source = open_sources(DataRequest(pairs=(str(pairs),)), TRAINING, seed=0)

    def fail(*_: object) -> None:
        raise ZeroDivisionError("of nobody's making")

    monkeypatch.setattr(type(source._sources[0]), "draw", fail)
    assert isinstance(source[0], DatasetError)
    assert str(source[0]).endswith("a sample failed (ZeroDivisionError: of nobody's making)")

"""Averages of all frames but one are those of merging the others."""

from __future__ import annotations

import numpy as np
import pytest

from rainkit.datasets.sequences import LeaveOneOutAverage, average_frames


@pytest.mark.parametrize("by", ["mean", "median"])
@pytest.mark.parametrize("levels", [3, 256], ids=["many ties", "few ties"])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_each_frame_has_the_average_of_the_others(by: str, levels: int, count: int) -> None:
    rng = np.random.default_rng(count)
    frames = list(rng.integers(0, levels, (count, 70, 20, 3)).astype(np.uint8))  # over one strip
    averages = LeaveOneOutAverage.of(iter(frames), by=by)
    for place, frame in enumerate(frames):
        others = frames[:place] + frames[place + 1 :]
        made = averages.without(frame)
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made, average_frames(others, by))


@pytest.mark.parametrize("count", [257, 258])
def test_sums_of_many_bright_frames_do_not_overflow(count: int) -> None:
    frames = [np.full((2, 2, 3), 255, np.uint8) for _ in range(count)]
    averages = LeaveOneOutAverage.of(frames, by="mean")
    assert (averages.without(frames[0]) == 255).all()
    assert averages.nbytes == 12 * (2 if count == 257 else 4)


def test_no_frames_have_no_average() -> None:
    with pytest.raises(ValueError, match="no frames"):
        LeaveOneOutAverage.of([], by="mean")

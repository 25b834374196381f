"""Rows and summaries say what they leave out, and survive JSON."""

import json
import math

import numpy as np
import pytest

from rainkit.errors import ImageError, PairingError
from rainkit.evaluation import PROTOCOLS, PairArrays, Score, Scores, Summary, score
from rainkit.evaluation.scores import excluded_notices

PRENET = PROTOCOLS["prenet"]


def picture(level: int, height: int = 24, width: int = 32) -> np.ndarray:
    noise = np.random.default_rng(level).integers(0, 20, (height, width, 3))
    return (noise + level).astype(np.uint8)


def pairs() -> list[PairArrays]:
    return [PairArrays(f"p{i}", picture(80 + 10 * i), picture(70)) for i in range(4)]


def test_score_derains_and_compares_each_pair():
    found = score(lambda rainy: rainy - 5, pairs(), PRENET, dataset="levels")
    assert [row.name for row in found.rows] == ["p0", "p1", "p2", "p3"]
    assert (found.rows[0].width, found.rows[0].height) == (32, 24)
    for row, pair in zip(found.rows, pairs(), strict=True):
        assert (row.psnr, row.ssim) == PRENET.scores(pair.rainy - 5, pair.clean)
        assert (row.input_psnr, row.input_ssim) == PRENET.scores(pair.rainy, pair.clean)
        assert row.psnr_gain == pytest.approx(row.psnr - row.input_psnr)
        assert row.milliseconds is not None
    assert found.psnr.mean == pytest.approx(np.mean([row.psnr for row in found.rows]))
    assert found.psnr_gain.mean == pytest.approx(found.psnr.mean - found.input_psnr.mean)
    assert found.psnr_gain.mean > 0


def test_limit_takes_the_first_pairs_and_derains_no_more():
    calls = []
    found = score(lambda rainy: (calls.append(1), rainy)[1], pairs(), PRENET, limit=2)
    assert len(found.rows) == len(calls) == 2


def test_an_unreadable_picture_is_a_failure_and_the_rest_goes_on():
    def derain(rainy: np.ndarray) -> np.ndarray:
        if rainy.mean() < 95:
            raise ImageError("p0.png is damaged")
        return rainy

    found = score(derain, pairs(), PRENET)
    assert [failure.name for failure in found.failures] == ["p0"]
    assert len(found.rows) == 3


def test_a_method_that_changes_the_size_is_caught_by_name():
    with pytest.raises(PairingError, match="p0: sizes differ: 31x24 against 32x24"):
        score(lambda rainy: rainy[:, 1:], pairs(), PRENET)


def test_a_perfect_picture_is_counted_and_left_out_of_the_mean():
    target = picture(70)
    found = score(
        lambda rainy: rainy,
        [PairArrays("same", target, target), PairArrays("other", picture(90), target)],
        PRENET,
    )
    assert found.rows[0].psnr == math.inf
    assert found.rows[0].psnr_gain == 0
    assert (found.psnr.count, found.psnr.excluded) == (1, 1)
    assert found.psnr.mean == found.rows[1].psnr
    data = json.loads(json.dumps(found.to_data(), allow_nan=False))
    assert data["rows"][0]["psnr"] == "inf"
    assert data["protocol"]["name"] == "prenet"


def test_a_tiny_picture_has_psnr_alone():
    found = score(lambda r: r, [PairArrays("t", picture(9, 3, 5), picture(70, 3, 5))], PRENET)
    assert math.isnan(found.ssim.mean)
    data = json.loads(json.dumps(found.to_data(), allow_nan=False))
    assert data["rows"][0]["ssim"] is None
    assert any("window" in note for note in data["rows"][0]["notes"])


def test_summary_figures():
    summary = Summary.of([1.0, 2.0, 3.0, 10.0, math.inf, math.nan])
    assert (summary.count, summary.excluded) == (4, 2)
    assert (summary.mean, summary.median) == (4.0, 2.5)
    assert (summary.minimum, summary.maximum) == (1.0, 10.0)
    assert (summary.lower_quartile, summary.upper_quartile) == (1.75, 4.75)
    assert summary.deviation == pytest.approx(np.std([1, 2, 3, 10], ddof=1))


def test_summary_of_nothing_and_of_infinities_alone():
    assert math.isnan(Summary.of([]).mean)
    assert Summary.of([math.inf, math.inf]).mean == math.inf
    assert math.isnan(Summary.of([math.inf, math.nan]).mean)
    assert Summary.of([math.inf]).to_data()["mean"] == "inf"
    assert Summary.of([math.nan]).to_data()["mean"] is None


def test_without_input_there_are_no_gains():
    row = Score(name="a", width=1, height=1, psnr=30.0, ssim=0.9)
    scores = Scores(dataset="d", protocol=PRENET, rows=(row,))
    assert row.psnr_gain is None
    assert not scores.has_input
    assert set(scores.to_data()["summary"]) == {"psnr", "ssim"}


def test_perfect_figures_of_a_metric_are_told_from_undefined_ones():
    rows = tuple(
        Score(name=str(i), width=9, height=9, psnr=30, ssim=0.9, extras=(("tone_psnr", figure),))
        for i, figure in enumerate((math.inf, math.inf, math.nan, 40.0))
    )
    assert excluded_notices([Scores(dataset="d", protocol=PRENET, rows=rows)]) == (
        "d: 1 picture is without tone_psnr, and left out of its mean",
        "d: tone_psnr of 2 pictures is infinite, and left out of its mean",
    )
    (alone,) = excluded_notices([Scores(dataset="d", protocol=PRENET, rows=rows[:1])])
    assert alone == "d: tone_psnr of 1 picture is infinite"

"""Rows with more metrics, exact figures, and files that were saved wrongly."""

import json
import math

import numpy as np
import pytest
from skimage import data

from rainkit.evaluation.metrics.protocols import PROTOCOLS
from rainkit.evaluation.metrics.registry import load_metrics
from rainkit.evaluation.scoring import Triple, attempt, collect, odd, oddity_notices

PRENET, SPANET = PROTOCOLS["prenet"], PROTOCOLS["spanet"]


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[:120, 60:200])


def noisy(picture: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-25, 26, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def scored(*triples: Triple, protocols=(PRENET,), **options):
    outcomes = [attempt(t.name, lambda t=t: t, protocols, **options) for t in triples]
    return collect("photos", outcomes, protocols)


def test_extras_of_result_and_input_reach_rows_summaries_and_json(photo):
    metrics, _ = load_metrics(["mae", "rain_removed"])
    triples = [Triple(str(i), noisy(photo, i), photo, noisy(noisy(photo, i), 9)) for i in (1, 2)]
    prenet, spanet = scored(*triples, protocols=(PRENET, SPANET), metrics=metrics)
    first = prenet.rows[0]
    expected = np.abs(triples[0].restored.astype(int) - photo).mean()
    assert first.value("mae") == pytest.approx(expected)
    assert first.value("input_mae") > first.value("mae")
    assert dict(first.input_extras).keys() == {"mae"}, "nothing is removed from the input itself"
    assert first.extras == spanet.rows[0].extras
    mean = (first.value("mae") + prenet.rows[1].value("mae")) / 2
    assert prenet.summary("mae").mean == pytest.approx(mean)
    data = json.loads(json.dumps(prenet.to_data(), allow_nan=False))
    assert data["rows"][0]["extras"]["mae"] == first.value("mae")
    assert data["summary"]["input_mae"]["count"] == 2


def test_an_undefined_extra_is_null_and_left_out(photo):
    metrics, _ = load_metrics(["streak_energy"])
    flat = np.full_like(photo, 90)
    (scores,) = scored(Triple("flat", flat, photo, flat), metrics=metrics)
    assert math.isnan(scores.rows[0].value("streak_energy"))
    data = json.loads(json.dumps(scores.to_data(), allow_nan=False))
    assert data["rows"][0]["extras"] == {"streak_energy": None}
    assert scores.summary("streak_energy").excluded == 1


def test_without_extras_rows_are_as_they_were(photo):
    (scores,) = scored(Triple("a", noisy(photo), photo))
    assert "extras" not in scores.rows[0].to_data()
    assert "oddity" not in scores.rows[0].to_data()


def test_exact_reaches_the_protocol(photo):
    triple = Triple("a", noisy(photo), photo, noisy(photo, 3))
    ((fast,), (exact,)) = (scored(triple, exact=e)[0].rows for e in (False, True))
    assert (exact.psnr, exact.ssim) == PRENET.scores(triple.restored, photo, exact=True)
    assert exact.input_ssim == PRENET.scores(triple.rainy, photo, exact=True)[1]
    assert (fast.psnr, fast.ssim) != (exact.psnr, exact.ssim)


def test_the_note_on_small_pictures_names_the_protocols_window(photo):
    tiny = photo[:6, :6]
    for protocol, window in ((PRENET, "11 x 11"), (SPANET, "7 x 7")):
        (scores,) = scored(Triple("t", noisy(tiny), tiny), protocols=(protocol,))
        (note,) = scores.to_data()["rows"][0]["notes"]
        assert window in note


def test_swapped_red_and_blue_is_noticed_where_colour_shows(photo):
    result = noisy(photo)
    assert odd(result, photo) is None
    assert odd(np.ascontiguousarray(result[..., ::-1]), photo) == "swapped"
    rgb = PROTOCOLS["rgb"]
    assert rgb.psnr(result, photo) > rgb.psnr(result[..., ::-1], photo) + 1
    grey = photo.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    assert odd(noisy(grey), noisy(grey, 1)) is None, "no colour, nothing to tell by"


def test_a_tinted_result_is_not_called_swapped(photo):
    warm = np.clip(photo * np.array([1.15, 1, 0.8]), 0, 255).astype(np.uint8)
    cold = np.clip(photo * np.array([0.8, 1, 1.15]), 0, 255).astype(np.uint8)
    assert odd(warm, photo) is None
    assert odd(cold, photo) is None


def test_a_grey_result_is_noticed_beside_a_target_in_colour(photo):
    grey = photo.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    assert odd(grey, photo) == "grey"
    assert odd(grey, grey) is None
    assert PRENET.psnr(grey, photo) > PROTOCOLS["rgb"].psnr(grey, photo)


def test_one_line_per_dataset_says_so(photo):
    swapped = np.ascontiguousarray(photo[..., ::-1])
    good, bad = Triple("good", noisy(photo), photo), Triple("bad", swapped, photo)
    (line,) = oddity_notices(scored(good, bad, bad, protocols=(PRENET, SPANET)))
    assert line.startswith("photos: 2 of 3 restored pictures look like their own targets with red")
    assert not oddity_notices(scored(good, good, bad))
    (scores,) = scored(bad)
    assert any("red and blue" in note for note in scores.rows[0].to_data()["notes"])

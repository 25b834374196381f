"""Evaluations as reports take them: figures in steps, and small painted pictures."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from rainkit.evaluation.report.data import EvalReport, EvalResult, PanelPictures, PictureScore

LABEL = "prenet/1"


def _score(i: int, gain: float = 5.0, **more) -> PictureScore:
    return PictureScore(
        name=f"{i:03d}.png",
        psnr=20.0 + i + gain,
        ssim=0.80 + 0.01 * i + gain / 100,
        input_psnr=20.0 + i,
        input_ssim=0.80 + 0.01 * i,
        milliseconds=10.0,
        **more,
    )


def _pictures(name: str) -> PanelPictures:
    rng = np.random.default_rng(int(name[:3]))
    target = cv2.resize(rng.integers(20, 200, (5, 7, 3), np.uint8), (70, 50))
    rainy = np.clip(target.astype(int) + rng.integers(0, 50, (50, 70, 1)), 0, 255).astype(np.uint8)
    return PanelPictures(cv2.blur(rainy, (3, 3)), target, rainy)


def _result(method: str, gain: float, dataset: str = "set a", n: int = 5, **more) -> EvalResult:
    return EvalResult(
        method=method,
        dataset=dataset,
        protocol=more.pop("protocol", LABEL),
        pictures=tuple(_score(i, gain, **more) for i in range(n)),
        load=_pictures,
    )


def _report(*results: EvalResult, **more) -> EvalReport:
    results = results or (_result("one", 5), _result("two", 7), _result("three", 6))
    return EvalReport(title="Report", results=results, protocols={LABEL: "Y, peak 255"}, **more)


@pytest.fixture(scope="session")
def score() -> Callable[..., object]:
    """One picture's figures; PSNR grows by 1 dB a picture."""
    return _score


@pytest.fixture(scope="session")
def pictures() -> Callable[..., object]:
    """The pictures behind a score of that number."""
    return _pictures


@pytest.fixture(scope="session")
def result() -> Callable[..., object]:
    """A method on a dataset, better than the input by a gain."""
    return _result


@pytest.fixture(scope="session")
def report() -> Callable[..., object]:
    """A page's worth of results; three methods by default."""
    return _report

"""Counts, weights and what else is said of training data come back with a run's record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rainkit import training
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.errors import UsageError
from rainkit.training import run_config


def test_counts_and_weights_come_back_from_anywhere(
    request_for, pairs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(pairs)
    asked = (".:2@0.25", f"../{pairs.name}@0.75")
    data = DataRequest(pairs=asked, scene_target="median", unreadable="skip")
    request = request_for(data=data)
    source = open_sources(data, Training(patch=32), seed=5)
    before = [source[k] for k in range(10)]
    run_config.write(request)
    written = json.loads((request.run / "run.json").read_text())["data"]["pairs"]
    assert written == [f"{pairs}/.:2@0.25", f"{pairs}@0.75"]
    monkeypatch.chdir(tmp_path)
    again = training.reopen(request.run).data
    assert (again.scene_target, again.unreadable) == ("median", "skip")
    after = open_sources(again, Training(patch=32), seed=5)
    assert "(2 of 3 pictures, 25%)" in after.describe()
    for k, sample in enumerate(before):
        assert all((one == other).all() for one, other in zip(sample, after[k], strict=True))


def test_settings_reach_the_request() -> None:
    settings = ["data.unreadable=skip", "data.scene_target=median"]
    request = run_config.data_request(run_config.with_settings({}, settings), {})
    assert (request.unreadable, request.scene_target) == ("skip", "median")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("data.unreadable=ignore", r"data\.unreadable: .*'stop' or 'skip'"),
        ("data.scene_target=mode", r"data\.scene_target: .*'mean' or 'median'"),
        ("data.unreadible=skip", r"did you mean data\.unreadable"),
    ],
)
def test_wrong_settings_are_refused(setting: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        run_config.data_request(run_config.with_settings({}, [setting]), {})

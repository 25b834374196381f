"""Counts, weights and what else is said of training data come back with a run's record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rainkit import images, training
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.errors import UsageError
from rainkit.images import Picture
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


def test_a_lone_folder_is_one_and_other_names_are_refused() -> None:
    assert run_config.data_request({}, {"clean": "/x"}) == DataRequest(clean=("/x",))
    with pytest.raises(UsageError, match=r"folders nope: unknown; .*clean, pairs, scenes"):
        run_config.data_request({}, {"nope": ["/x"]})


def test_streak_textures_come_back_from_anywhere(
    request_for, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    field = np.zeros((60, 60, 3), np.uint8)
    field[5:40, ::9] = 200
    images.write(tmp_path / "streaks" / "0.png", Picture(rgb=field))
    monkeypatch.chdir(tmp_path)
    section = run_config.with_settings({}, ["data.streaks=streaks", "data.streak_share=0.9"])
    data = run_config.data_request(section, {"clean": (str(photos),)})
    request = request_for(data=data)
    before = open_sources(data, Training(patch=32), seed=5)
    samples = [before[k] for k in range(4)]
    assert "1 streak texture (" in before.describe()
    run_config.write(request)
    written = json.loads((request.run / "run.json").read_text())["data"]
    assert (written["streaks"], written["streak_share"]) == ([str(tmp_path / "streaks")], 0.9)
    header = json.loads(run_config.about(request)["data"])
    assert header["streak_share"] == 0.9
    assert "streaks" not in header, "no folders in a header"
    bare = json.loads(run_config.about(request_for(data=replace(data, streaks=())))["data"])
    assert "streak_share" not in bare
    monkeypatch.chdir(tmp_path.parent)
    after = open_sources(training.reopen(request.run).data, Training(patch=32), seed=5)
    for k, sample in enumerate(samples):
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

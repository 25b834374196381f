"""Scores by the rain that a manifest tells of."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.datasets import manifest
from rainkit.errors import UsageError
from rainkit.evaluation import PROTOCOLS, EvalRequest, FoldersRequest
from rainkit.evaluation.rain_attributes import ATTRIBUTES, groups

RGB = (PROTOCOLS["rgb"],)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes with two strengths of rain each, made by rainkit synth."""
    from typer.testing import CliRunner

    from rainkit.cli import app

    home = tmp_path_factory.mktemp("made")
    (home / "photos").mkdir()
    for seed in (1, 2):
        coarse = np.random.default_rng(seed).integers(40, 180, (6, 8, 3), np.uint8)
        assert cv2.imwrite(str(home / f"photos/{seed}.png"), cv2.resize(coarse, (96, 72)))
    for level in ("light", "violent"):
        arguments = ["synth", home / "photos", "-o", home / level, "--rate", level, "--seed", "3"]
        result = CliRunner().invoke(app, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
    return home


def score(made: Path, *names: str, by: tuple[str, ...] = (), **options: object):
    sources = tuple(
        FoldersRequest(
            restored=made / name / "input",
            target=made / name / "target",
            rainy=made / name / "input",
            protocols=RGB,
        )
        for name in names
    )
    return evaluation.run(EvalRequest(sources=sources, by=by, **options))


def test_rates_are_those_of_the_manifest(made, tmp_path):
    result = score(made, "light", output=tmp_path / "out", report=True)
    told = {each.id: each.rate_mm_h for each in manifest.read(made / "light")}
    with (tmp_path / "out/per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"]: float(row["rate_mm_h"]) for row in rows} == told
    assert {row["rate"] for row in rows} == {"light"}
    data = json.loads((tmp_path / "out/metrics.json").read_text())
    row = data["results"][0]["rows"][0]
    assert row["conditions"]["rate_mm_h"] == told[row["name"]]
    assert "rain rate" in (tmp_path / "out/rain_rate.svg").read_text()
    assert result.exit_code == 0


def test_groups_hold_their_pictures_means(made):
    result = score(made, "light", "violent", by=("rate", "preset"))
    by_rate, by_preset = result.groups
    assert by_rate.title == "Protocol rgb/1 by rate"
    assert [row[:3] for row in by_rate.rows] == [
        ("light, 0.5 to 2 mm/h", "2", "input"),
        ("", "", "light/input"),
        ("violent, 50 to 150 mm/h", "2", "input"),
        ("", "", "violent/input"),
    ]
    light, violent = (each.scores[0].psnr.mean for each in result.comparisons)
    assert [row[3] for row in by_rate.rows[1::2]] == [f"{light:.2f}", f"{violent:.2f}"]
    assert light > violent
    assert len(by_preset.rows) == 3


def test_every_condition_groups(made, tmp_path):
    result = score(made, "violent", by=tuple(ATTRIBUTES), output=tmp_path)
    text = (tmp_path / "groups.md").read_text()
    assert [f"**Protocol rgb/1 by {name}**" in text for name in ATTRIBUTES] == [True] * 5
    assert len(result.groups) == 5


def test_pictures_without_a_manifest_are_a_group_of_their_own(made):
    known = score(made, "light").comparisons[0]
    scores = known.scores[0]
    without = replace(
        known, scores=(replace(scores, rows=(replace(scores.rows[0], rain_attributes=()),)),)
    )
    (table,) = groups([known, without], ("rate",))
    assert [row[0] for row in table.rows if row[0]] == ["light, 0.5 to 2 mm/h", "not known"]


def test_groups_are_in_the_json_and_say_what_is_not_defined(made):
    result = score(made, "light", by=("rate",))
    (group,) = result.to_data()["groups"]
    assert json.loads(json.dumps(group["rows"])) == [list(row) for row in result.groups[0].rows]
    known = result.comparisons[0]
    rows = tuple(replace(row, ssim=float("nan")) for row in known.scores[0].rows)
    (table,) = groups([replace(known, scores=(replace(known.scores[0], rows=rows),))], ("rate",))
    assert table.rows[1][4] == "n/a"


def test_unknown_attributes_are_refused_before_computing(made):
    with pytest.raises(UsageError, match="--by colour: unknown; choose from rate, preset"):
        score(made, "nowhere", by=("colour",))


def test_datasets_without_manifests_cannot_be_grouped(made, tmp_path):
    (tmp_path / "light").mkdir()
    for side in ("input", "target"):
        (tmp_path / "light" / side).symlink_to(made / "light" / side)
    with pytest.raises(UsageError, match="--by: none of the datasets has a manifest"):
        score(tmp_path, "light", by=("rate",))


def test_an_unreadable_manifest_is_told(made, tmp_path):
    shutil.copytree(made / "light", tmp_path / "light")
    (tmp_path / "light/manifest.jsonl").write_text("{}\n")
    (notice,) = score(tmp_path, "light", by=("rate",)).notices
    assert "light is not known" in notice
    assert "manifest.jsonl" in notice
    assert not score(tmp_path, "light").notices


def test_less_rain_than_drizzle_is_not_drizzle(made, tmp_path):
    shutil.copytree(made / "light", tmp_path / "light")
    path = tmp_path / "light/manifest.jsonl"
    path.write_text(re.sub(r'("rate_mm_h": ?)[0-9.]+', r"\g<1>0.05", path.read_text()))
    (table,) = score(tmp_path, "light", by=("rate",)).groups
    assert table.rows[0][0] == "trace, less than 0.1 mm/h"

"""The command that writes docs/results.md: examples/benchmarks/results.py."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from rainkit import plugins
from rainkit.api import MeasuredResult, PublishedResult, Weights

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "benchmarks" / "results.py"
RAINY = {"images": 25.0, "psnr": 26.2311, "ssim": 0.82041, "tone_psnr": 27.0}


@pytest.fixture(scope="module")
def results():
    spec = importlib.util.spec_from_file_location("results_of_all_methods", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def card(**changes):
    told = {"dataset": "mine", "protocol": "prenet/1", "images": 25, "psnr": 32.1, "ssim": 0.94}
    result = MeasuredResult(**told | {"input_psnr": 26.23, "input_ssim": 0.8204} | changes)
    about = {"tag": "a", "variant": "default", "sha256": "0", "licence": "MIT"}
    return Weights(**about, trained_on="", recipe="", results=(result,))


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, True),
        ({"input_psnr": 26.24}, False),
        ({"input_ssim": 0.8205}, False),
        ({"images": 24}, False),
        ({"protocol": "restormer/1"}, False),
        ({"dataset": "other"}, False),
    ],
)
def test_scores_of_cards_are_taken_for_the_very_same_pictures(results, tiny_method, changes, taken):
    row = results.Row("tiny.a", tiny_method, "tiny=a", "0", card(**changes))
    found = results.card_scores(row, {"mine": RAINY})
    assert found == ({"mine": {"psnr": 32.1, "ssim": 0.94}} if taken else {})


def test_blocks_are_renewed_and_the_text_between_them_stays(results):
    page = "# Mine\n<!-- results: tone -->\nold\nrows\n<!-- /results -->\nText by hand.\n"
    new = results.filled(page, {"tone": "new"})
    assert new == "# Mine\n<!-- results: tone -->\nnew\n<!-- /results -->\nText by hand.\n"
    assert results.filled(new, {"tone": "new"}) == new
    with pytest.raises(SystemExit, match="block tone; there are scores"):
        results.filled(page, {"scores": ""})


def test_the_page_has_every_block_once(results):
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for name in results.BLOCKS:
        assert page.count(f"<!-- results: {name} -->") == 1
        assert results.skeleton().count(f"<!-- results: {name} -->") == 1


def test_claims_name_variants_and_printed_rows_that_there_are(results):
    here = {found.name for found in plugins.installed() if not found.problem}
    for claim in (each for each in results.CLAIMS if each.method in here):
        method = plugins.get(claim.method)
        assert {claim.variant, claim.without} <= {*method.variants}
        assert (results.printed_gain(method, claim) is None) == (claim.printed is None)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ((0.2, 0.01), "yes"),
        ((0.05, -0.001), "no difference"),
        ((0.2, 0.001), "PSNR alone"),
        ((0.0, 0.01), "SSIM alone"),
        ((-0.2, 0.01), "SSIM, at the cost of PSNR"),
        ((0.2, -0.01), "PSNR, at the cost of SSIM"),
        ((-0.2, 0.0), "no, the reverse"),
    ],
)
def test_a_claim_holds_where_both_figures_rise(results, gain, said):
    assert results.verdict(gain) == said


def test_gains_stand_beside_those_of_the_paper(results, tiny_method, tmp_path, monkeypatch):
    printed = (
        PublishedResult(table="1", dataset="A", psnr="31.5", ssim=".91"),
        PublishedResult(table="1", variant="plain", dataset="A", psnr="30.0", ssim=".90"),
        PublishedResult(table="2", variant="plain", dataset="B", psnr="99.0", ssim=".99"),
    )
    paper = dataclasses.replace(tiny_method.paper, results=printed)
    method = dataclasses.replace(tiny_method, paper=paper)
    claim = results.Claim(method.name, "an idea", "default", "plain", (method.title, "plain"))
    monkeypatch.setattr(results, "CLAIMS", (claim,))
    assert results.claims_table([method], tmp_path).endswith(
        "+1.50 dB / +0.0100 | not trained |  |"
    )
    runs = [
        {"variant": name, "problem": None, "scores": {"x/psnr": psnr, "x/ssim": 0.8}}
        for name, psnr in (("default", 28.5), ("plain", 28.0))
    ]
    (tmp_path / method.name).mkdir()
    (tmp_path / method.name / "ablation.json").write_text(json.dumps({"runs": runs}))
    assert results.claims_table([method], tmp_path).endswith("+0.50 dB / +0.0000 | PSNR alone |")
    runs[1] |= {"problem": "its results become black", "scores": {}}
    (tmp_path / method.name / "ablation.json").write_text(json.dumps({"runs": runs}))
    assert results.claims_table([method], tmp_path).endswith(
        "its training fails without it | see below why |"
    )


def test_figures_of_other_weights_are_measured_anew(results, tiny_method, tmp_path):
    cards = [
        dataclasses.replace(card(), tag=tag, gflop=g) for tag, g in (("quick", 1), ("slow", 9))
    ]
    quick, slow = (
        results.Row(f"tiny.{each.tag}", tiny_method, f"tiny={each.tag}", "1", each)
        for each in cards
    )
    results.keep(tmp_path, slow, {"psnr": 30.0})
    assert results.current(tmp_path, [slow, quick]) == {"tiny.slow": {"psnr": 30.0}}
    assert results.current(tmp_path, [dataclasses.replace(slow, sha256="2")]) == {}
    given = argparse.Namespace(only=None, no_measure=False)
    assert results.wanted([slow, quick], given) == [quick, slow]
    given.only = ["tiny.slow"]
    assert results.wanted([slow, quick], given) == [slow]
    given.no_measure = True
    assert results.wanted([slow, quick], given) == []


def test_what_is_not_measured_stays_as_the_page_has_it(results, tiny_method):
    rows = [results.Row(f"tiny.{tag}", tiny_method, f"tiny={tag}", "1", card()) for tag in "ab"]
    head = "| weights | photographs | left |\n|---|--:|--:|\n"
    old = head + (
        "| `tiny.gone` | 9 | 0.5 |\n| `tiny.a` | 9 | 0.4 |\n| `tiny.b` | 9 | 0.3 |\n"
        "| `mine, 100 steps` | 9 | **0.2** |"
    )
    new = head + "| `tiny.a` | 9 | 0.1 |\n| `tiny.b` | - | - |"
    assert results.carried(new, old, rows) == head + (
        "| `tiny.a` | 9 | 0.1 |\n| `tiny.b` | 9 | 0.3 |\n| `mine, 100 steps` | 9 | 0.2 |"
    )
    only_b = head + "| `tiny.b` | 9 | 0.7 |"
    assert "| `tiny.a` | 9 | 0.4 |\n| `tiny.b` | 9 | 0.7 |" in results.carried(only_b, old, rows)
    assert results.carried("Not measured yet.", old, rows).startswith(head + "| `tiny.a` | 9 | 0.4")
    of_other_sets = new.replace("left", "right")
    assert results.carried(of_other_sets, old, rows) == of_other_sets
    assert results.carried(new, "", rows) == new

"""Ablations: variants trained alike, their table, and going on after a stop."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from rainkit import training
from rainkit.datasets.sources import DataRequest
from rainkit.errors import UsageError
from rainkit.training import ablation


@pytest.fixture
def requests_for(request_for):
    """Requests for variants and seeds, in folders as the command makes them."""

    def make(variants: tuple[str, ...], seeds: int = 1, *settings: str) -> list:
        return training.alike(
            [
                request_for(
                    f"ablation/{variant}-seed{seed}",
                    settings,
                    variant=variant,
                    seed=seed,
                )
                for variant in variants
                for seed in range(seeds)
            ]
        )

    return make


def test_variants_and_seeds_make_one_table(requests_for, tmp_path: Path) -> None:
    requests = requests_for(("paper", "default"), 2)
    found = training.ablate(requests, tmp_path)
    assert [(run.variant, run.seed) for run in found.runs] == [
        ("paper", 0), ("paper", 1), ("default", 0), ("default", 1)
    ]  # fmt: skip
    ablation.write(found)
    with (tmp_path / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    psnr = [float(row["pairs0/psnr"]) for row in rows if row["variant"] == "paper"]
    mean, spread = found.scored("pairs0/psnr", "paper")
    assert mean == pytest.approx(sum(psnr) / 2)
    assert spread == pytest.approx(abs(psnr[0] - psnr[1]) / 2**0.5)
    text = (tmp_path / "ablation.md").read_text()
    assert "prenet/1" in text
    assert f"{mean:.2f} ± {spread:.2f}" in text
    assert "| input |" in text
    assert text.count("**") == 4, "the best PSNR and the best SSIM are bold"
    latex = (tmp_path / "ablation.tex").read_text()
    assert r"\toprule" in latex
    assert r"$\pm$" in latex
    assert json.loads((tmp_path / "ablation.json").read_text())["protocol"] == "prenet/1"


def test_an_ablation_goes_on_where_it_was(requests_for, tmp_path: Path) -> None:
    requests = requests_for(("paper", "default"))
    training.train(requests[0])
    before = (requests[0].run / "last.safetensors").stat().st_mtime_ns
    found = training.ablate(requests, tmp_path)
    assert (requests[0].run / "last.safetensors").stat().st_mtime_ns == before
    assert all(run.scores["pairs0/psnr"] > 0 for run in found.runs)


def test_runs_of_other_settings_are_not_taken_for_these(requests_for, tmp_path: Path) -> None:
    training.train(requests_for(("paper",))[0])
    others = requests_for(("paper",), 1, "training.lr=0.5")
    with pytest.raises(UsageError, match=r"other settings \(hyperparameters\)"):
        training.ablate(others, tmp_path)


def test_budgets_are_those_of_the_first(request_for) -> None:
    one = request_for("one", ("training.steps=4",))
    other = request_for("other", ("training.steps=400", "training.batch=8", "training.lr=0.5"))
    _, changed = training.alike([one, other])
    told = changed.hyperparameters.training
    assert (told.steps, told.batch, told.lr) == (4, 2, 0.5)


def test_nothing_to_compare_on_is_refused(request_for, photos: Path) -> None:
    request = request_for(data=DataRequest(clean=(str(photos),)))
    with pytest.raises(UsageError, match="--validate"):
        training.alike([request])


def test_a_variant_that_fails_leaves_the_others(requests_for, tmp_path: Path) -> None:
    good, bad = requests_for(("paper", "default"))
    lr = dataclasses.replace(bad.hyperparameters.training, lr=1e30)
    broken = dataclasses.replace(bad.hyperparameters, training=lr)
    bad = dataclasses.replace(bad, hyperparameters=broken)
    found = training.ablate([bad, good], tmp_path)
    assert found.failed
    assert [bool(run.problem) for run in found.runs] == [True, False]
    ablation.write(found)
    text = (tmp_path / "ablation.md").read_text()
    assert "failed" in text
    assert "not finite" in text


@pytest.mark.parametrize(
    ("other", "named"),
    [({"init": Path("x.safetensors")}, "init"), ({"precision": "bf16"}, "precision")],
)
def test_runs_of_another_start_or_precision_are_not_taken_for_these(
    requests_for, tmp_path: Path, other: dict, named: str
) -> None:
    (request,) = requests_for(("paper",))
    training.train(request)
    with pytest.raises(UsageError, match=rf"other settings \({named}\)"):
        training.ablate([dataclasses.replace(request, **other)], tmp_path)


def test_a_time_excuses_the_number_of_steps_alone(requests_for, tmp_path: Path) -> None:
    (request,) = requests_for(("paper",))
    training.train(request)
    (longer,) = requests_for(("paper",), 1, "training.steps=40")
    found = training.ablate([dataclasses.replace(longer, max_seconds=60.0)], tmp_path)
    assert found.runs[0].steps == request.hyperparameters.training.steps
    (other,) = requests_for(("paper",), 1, "training.lr=0.5")
    with pytest.raises(UsageError, match=r"other settings \(hyperparameters\)"):
        training.ablate([dataclasses.replace(other, max_seconds=60.0)], tmp_path)


def test_a_signal_in_the_last_training_interrupts_the_ablation(
    requests_for, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(request, console):
        result = training.train(request, console)
        if request.variant == "paper":
            return result
        return dataclasses.replace(result, stopped="signal", scores={})

    monkeypatch.setattr(ablation, "train", train)
    found = training.ablate(requests_for(("paper", "default")), tmp_path)
    assert (found.interrupted, found.failed) == (True, False)
    ablation.write(found)
    assert "stopped" in (tmp_path / "ablation.md").read_text()

"""From a run folder to what a plugin ships."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from rainkit_graspp_gan import METHOD

from rainkit import weights
from rainkit.api import Weights
from rainkit.errors import UsageError, WeightsError
from rainkit.files import sha256
from rainkit.weights.store import read


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_what_ships_is_what_was_trained(run: Path) -> None:
    packed = weights.pack(run, tag="rain-v9", licence="CC-BY-4.0")
    assert packed.name == "graspp-gan.rain-v9"
    assert packed.weights == run / "packed" / "rain-v9.safetensors"
    assert sorted(path.name for path in packed.weights.parent.iterdir()) == [
        "rain-v9.md",
        "rain-v9.safetensors",
    ]
    before, after = read(run / "best.safetensors"), read(packed.weights)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name])
        assert tensor.dtype == after[name].dtype
    old = weights.inspect(run / "best.safetensors").header
    new = weights.inspect(packed.weights).header
    assert new == {**old, "tag": "rain-v9", "licence": "CC-BY-4.0"}
    assert packed.sha256 == sha256(packed.weights)
    assert weights.verify(packed.weights)[0].problem is None


def test_the_declaration_is_one_that_a_plugin_can_make(run: Path) -> None:
    packed = weights.pack(run)
    declared = eval(packed.snippet, {"Weights": Weights})  # noqa: S307
    taken = {each.tag for each in METHOD.weights}
    assert declared.tag not in taken
    assert declared.tag.startswith("rain-v")
    assert declared.file == f"weights/{packed.weights.name}"
    assert declared.sha256 == packed.sha256
    assert declared.licence == METHOD.licence
    assert declared.trained_on == "clean photographs, rain drawn on the fly"
    assert "--set network.width1=4" in declared.recipe
    assert "--seed 5" in declared.recipe
    # A variant of the plugin is what the file must fit.
    assert "the network differs from the variant default" in packed.notes[0]


def test_the_recipe_tells_what_the_data_were(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["data"] |= {
        "jpeg": 0.9,
        "match_tone": True,
        "rain": {**record["data"]["rain"], "lines": 1},
    }
    (run / "run.json").write_text(json.dumps(record))
    packed = weights.pack(run, tag="rain-v8")
    declared = eval(packed.snippet, {"Weights": Weights})  # noqa: S307
    for told in ("data.jpeg=0.9", "data.match_tone=true", "data.rain.lines=1"):
        assert f"--set {told}" in declared.recipe
    assert "data.clean" not in declared.recipe
    assert "| `data.jpeg` | 0.9 |" in packed.card.read_text()
    record["command"] = ["rainkit", "train", "--config", "/x/r.toml", "--set", "training.lr=0.003"]
    (run / "run.json").write_text(json.dumps(record))
    packed = weights.pack(run, tag="rain-v9")
    declared = eval(packed.snippet, {"Weights": Weights})  # noqa: S307
    assert declared.recipe == "r.toml --set training.lr=0.003, step 2, seed 5"


def test_the_card(run: Path) -> None:
    packed = weights.pack(run, run.parent / "out", "rain-v2")
    card = packed.card.read_text()
    scores = json.loads(weights.inspect(packed.weights).header["validation"])
    for told in (
        "# graspp-gan.rain-v2",
        "| started from | a random network |",
        "| steps | 2 |",
        "| seed | 5 |",
        "rainkit-graspp-gan ",
        packed.sha256,
        f"| `network.width1` | 4 | {METHOD.default.network.width1} |",
        "| `training.patch` | 32 |",
        "protocol prenet/1",
        f"| pairs | {scores['pairs/psnr']:.2f} | {scores['pairs/ssim']:.4f} |",
        "rainkit infer -m graspp-gan --weights rain-v2.safetensors photos/",
        "Apache-2.0",
    ):
        assert told in card
    assert packed.notes[0] in card


def test_no_folder_of_the_machine_is_told(run: Path, trained: Path) -> None:
    packed = weights.pack(run)
    texts = (
        packed.card.read_text(),
        packed.snippet,
        *weights.inspect(packed.weights).header.values(),
    )
    for text in texts:
        assert str(trained.parent) not in text
        assert str(run.parent) not in text


def test_the_recipe_is_named_without_its_folder(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["command"] = ["rainkit", "train", "--config", "/home/me/rain.toml"]
    (run / "run.json").write_text(json.dumps(record))
    assert 'recipe="rain.toml, step 2, seed 5"' in weights.pack(run).snippet


def test_finetuned_weights_say_so(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["init"] = "/home/me/theirs.pth"
    (run / "run.json").write_text(json.dumps(record))
    packed = weights.pack(run)
    assert "| started from | `theirs.pth` |" in packed.card.read_text()
    assert "--init theirs.pth" in packed.snippet
    assert "started from theirs.pth: its licence" in packed.notes[-1]


@pytest.mark.parametrize(
    ("teacher", "told"),
    [("granet.rain-v1", "granet.rain-v1"), ("granet=/home/me/best.x", "granet=best.x")],
)
def test_distilled_weights_name_their_teacher(run: Path, teacher: str, told: str) -> None:
    record = json.loads((run / "run.json").read_text())
    record["teacher"] = {"name": teacher, "sha256": "0" * 64}
    (run / "run.json").write_text(json.dumps(record))
    packed = weights.pack(run)
    assert f"| teacher | `{told}` |" in packed.card.read_text()
    assert f"--teacher {told}" in packed.snippet
    assert f"pictures of {told}: see whether its licence" in packed.notes[-1]


def test_last_weights_and_runs_without_validation(run: Path) -> None:
    last = weights.open_file(METHOD, run / "last.safetensors")
    unscored = {name: text for name, text in last.header.items() if name != "validation"}
    weights.save(
        last.path, read(last.path), method=METHOD, variant="default", network=last.network,
        about=unscored,
    )  # fmt: skip
    packed = weights.pack(run, which="last")
    assert read(packed.weights).keys() == read(run / "last.safetensors").keys()
    assert "None were measured" in packed.card.read_text()
    (run / "best.safetensors").unlink()
    assert "None were measured" in weights.pack(run, tag="x").card.read_text()
    with pytest.raises(UsageError, match="--validate"):
        weights.pack(run, tag="y", which="best")
    (run / "last.safetensors").unlink()
    with pytest.raises(UsageError, match="not there yet"):
        weights.pack(run, tag="y")


def test_what_is_there_stays_unless_asked(run: Path) -> None:
    packed = weights.pack(run, tag="a")
    packed.card.write_text("mine")
    packed.weights.unlink()
    with pytest.raises(UsageError, match=r"a\.md exists; pass --overwrite"):
        weights.pack(run, tag="a")
    assert packed.card.read_text() == "mine"
    assert not packed.weights.exists()
    assert weights.pack(run, tag="a", overwrite=True).card.read_text() != "mine"


@pytest.mark.parametrize("tag", ["../a", "A", "a b", "a.", "-a", "ä", 'a"'])
def test_impossible_tags(run: Path, tag: str) -> None:
    with pytest.raises(UsageError, match="--tag"):
        weights.pack(run, tag=tag)
    assert not (run / "packed").exists()


@pytest.mark.parametrize("licence", ["do what you want", "MIT\n", "| MIT"])
def test_impossible_licences(run: Path, licence: str) -> None:
    with pytest.raises(UsageError, match="--licence"):
        weights.pack(run, licence=licence)


def test_folders_that_are_no_runs(tmp_path: Path, trained: Path) -> None:
    for folder in (tmp_path, tmp_path / "none", trained / "last.safetensors"):
        with pytest.raises(UsageError, match=r"no run\.json there"):
            weights.pack(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"method": "graspp-gan"}', "\xff"])
def test_damaged_records(run: Path, text: str) -> None:
    (run / "run.json").write_text(text, encoding="latin-1")
    with pytest.raises(WeightsError, match="not the record of a run"):
        weights.pack(run)


def test_a_record_of_another_version(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["hyperparameters"]["network"]["depth"] = 3
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(WeightsError, match=r"run\.json: not settings of this graspp-gan"):
        weights.pack(run)


def test_weights_that_must_not_ship(run: Path) -> None:
    best = run / "best.safetensors"
    state, file = read(best), weights.open_file(METHOD, best)

    def rewrite(**changes) -> None:
        fields = {"method": METHOD, "variant": "default", "network": file.network, "state": state}
        weights.save(best, **{**fields, **changes})

    state[next(iter(state))].view(-1)[0] = torch.inf
    rewrite()
    with pytest.raises(WeightsError, match="hold nan or infinity"):
        weights.pack(run)
    rewrite(network=METHOD.default.network)
    with pytest.raises(WeightsError, match="does not fit its network"):
        weights.pack(run)
    rewrite(method=dataclasses.replace(METHOD, name="other"))
    with pytest.raises(WeightsError, match="of other, not of graspp-gan"):
        weights.pack(run)
    best.write_bytes(best.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a whole safetensors"):
        weights.pack(run)
    assert not (run / "packed").exists()

"""``rainkit weights`` as typed."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from rainkit import cli, hyperparameters, networks, plugins, weights
from rainkit.api import Method
from rainkit.files import sha256


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rainkit", "weights", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def run(tiny_method: Method, tiny_weights: Path, tmp_path: Path) -> Path:
    """A run folder with the record of a training and its weights."""
    file = weights.open_file(tiny_method, tiny_weights)
    settings = dataclasses.replace(tiny_method.variants["paper"], network=file.network)
    record = {
        "schema": 1,
        "method": tiny_method.name,
        "variant": "paper",
        "hyperparameters": hyperparameters.to_data(settings),
        "data": {"clean": ["/home/me/photos"], "pairs": [], "degradation": "noise"},
        "command": ["rainkit", "train"],
    }
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "last.safetensors").write_bytes(tiny_weights.read_bytes())
    return folder


def test_inspect(call, tiny_weights: Path) -> None:
    code, out, err = call("inspect", tiny_weights)
    assert (code, err) == (0, "")
    assert "method tiny, variant default" in out
    assert sha256(tiny_weights) in out
    assert "width = 4" in out
    first = weights.inspect(tiny_weights).tensors[0]
    assert first.name not in out
    _, out, _ = call("inspect", tiny_weights, "--tensors")
    row = next(line for line in out.splitlines() if line.startswith(first.name))
    assert row.split()[1:] == ["x".join(map(str, first.shape)), first.dtype]


def test_inspect_as_json(call, tiny_weights: Path) -> None:
    code, out, _ = call("inspect", tiny_weights, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["method"] == "tiny"
    assert json.loads(found["header"]["network"])["width"] == 4
    assert len(found["tensors"]) == len(weights.inspect(tiny_weights).tensors)


def test_verify(call, tiny_weights: Path, tmp_path: Path) -> None:
    code, out, err = call("verify", tiny_weights, "graspp-gan")
    assert (code, err) == (0, "")
    assert out.count("good") == 1 + len(plugins.get("graspp-gan").weights)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(tiny_weights.read_bytes()[:-10])
    code, out, err = call("verify", tiny_weights, cut)
    assert code == 1
    assert out.count("good") == 1
    assert out.count("BAD") == 1
    assert err.startswith(f"bad: {cut}: not a whole safetensors file")
    assert err.count("\n") == 1
    code, out, _ = call("verify", cut, "--json")
    assert code == 1
    (found,) = json.loads(out)
    assert found["held"] == []
    assert "not a whole" in found["problem"]


def test_verify_all(call) -> None:
    code, out, _ = call("verify", "--json")
    assert code == 0
    assert "graspp-gan.rain-v1" in [each["name"] for each in json.loads(out)]


def test_a_list_breaks_no_name_and_tells_once_what_was_trained_on(
    call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = call("list", "granet", "graspp-gan")
    assert code == 0
    known = [each for name in ("granet", "graspp-gan") for each in plugins.get(name).weights]
    for each in known:
        assert re.search(rf"^(granet|graspp-gan)\.{each.tag} ", out, re.MULTILINE)
    for trained_on in {each.trained_on for each in known}:
        assert re.search(rf"^\d: trained on {re.escape(trained_on)}$", out, re.MULTILINE)
    assert len(re.findall("trained on", out)) == len({each.trained_on for each in known})


def test_hidden_methods_are_no_weights(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAINKIT_METHODS", "nothing")
    code, out, err = call("verify")
    assert (code, out) == (0, "")
    assert err.startswith("RAINKIT_METHODS=nothing hides")


def test_import(call, tiny_method, tmp_path: Path) -> None:
    network = networks.build(tiny_method, tiny_method.default.network)
    path, out = tmp_path / "net.pth", tmp_path / "net.safetensors"
    torch.save({"params": network.state_dict(), "critic": {"weight": torch.zeros(2)}}, path)
    code, said, err = call("import", path, "-m", "tiny")
    assert (code, said) == (0, f"{out}: tiny, variant default, 223 parameters\n")
    assert err == f"note: these are the tensors of params in {path}\n"
    code, said, err = call("import", path, "--method", "tiny", "-o", out, "--overwrite", "--json")
    assert (code, err) == (0, "")
    assert json.loads(said)["source_sha256"] == sha256(path)
    assert call("verify", out)[0] == 0
    code, _, err = call("verify", path)
    assert code == 1
    assert "make one of a checkpoint with rainkit weights import" in err


def test_pack(call, run: Path) -> None:
    code, out, err = call("pack", run, "--tag", "rain-v2", "--licence", "MIT")
    assert code == 0
    # Standard output is the declaration and nothing else.
    declared = ast.parse(out.strip(), mode="eval").body
    assert {k.arg: ast.literal_eval(k.value) for k in declared.keywords}["licence"] == "MIT"
    assert "noise added" in out
    assert str(run / "packed" / "rain-v2.safetensors") in err
    assert "note: the network differs" in err
    assert call("verify", run / "packed" / "rain-v2.safetensors")[0] == 0
    code, out, err = call("pack", run, "--tag", "rain-v2")
    assert (code, out) == (2, "")
    assert "pass --overwrite" in err
    code, out, _ = call("pack", run, "--tag", "rain-v2", "--last", "--overwrite", "--json")
    assert code == 0
    packed = json.loads(out)
    assert packed["name"] == "tiny.rain-v2"
    assert packed["sha256"] == sha256(Path(packed["weights"]))


def test_pack_elsewhere(call, run: Path, tmp_path: Path) -> None:
    assert call("pack", run, "-o", tmp_path / "a" / "b", "--tag", "x")[0] == 0
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "x.md",
        "x.safetensors",
    ]
    assert not (run / "packed").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("inspect", "none.safetensors"), 2, "no such weights file"),
        (("inspect", "text.safetensors"), 1, "not a whole safetensors file"),
        (("verify", "none.safetensors"), 2, "no such weights file"),
        (("verify", "nothing"), 2, "no method 'nothing' is installed"),
        (("verify", "graspp-gan.none"), 2, "no such tag"),
        (("import", "none.pth", "-m", "graspp-gan"), 2, "no such weights file"),
        (("import", ".", "-m", "graspp-gan", "-o", "o.safetensors"), 2, "it is a folder"),
        (("import", "empty.pth", "-m", "graspp-gan"), 1, "it is empty"),
        (("import", "text.safetensors", "-m", "graspp-gan"), 2, "name another file to write"),
        (("import", "empty.pth", "-m", "grasp-gan"), 2, "did you mean graspp-gan"),
        (("pack", "none"), 2, "no run.json there"),
        (("pack", "empty"), 2, "no run.json there"),
        (("pack", "run", "--tag", "A"), 2, "--tag A"),
        (("pack", "run", "--licence", "|"), 2, "--licence |"),
        (("pack", "run", "-o", "text.safetensors"), 1, "text.safetensors"),
    ],
)
def test_what_cannot_work_is_one_line(
    call, run: Path, monkeypatch, arguments, code: int, said: str
) -> None:
    monkeypatch.chdir(run.parent)
    (run.parent / "empty").mkdir()
    Path("text.safetensors").write_text("text")
    Path("empty.pth").touch()
    found, out, err = call(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_run_whose_weights_are_broken(call, tiny_method: Method, run: Path) -> None:
    file = weights.open_file(tiny_method, run / "last.safetensors")
    state = {"a": torch.zeros(1)}
    weights.save(file.path, state, method=tiny_method, variant="default", network=file.network)
    code, out, err = call("pack", run)
    assert (code, out) == (1, "")
    assert "does not fit its network" in err


def test_help_and_inspect_load_no_torch(fresh, tiny_weights: Path) -> None:
    for ended in fresh(["weights", "--help"], ["weights", "inspect", str(tiny_weights)]):
        assert ended.code == 0, ended.said
        assert "rainkit.cli.weights" in ended.modules
        assert not ended.modules & {"torch", "cv2", "rainkit_tiny"}

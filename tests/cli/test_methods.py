"""``rainkit methods`` as a user runs it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest


def test_the_table_shows_every_method_and_its_problem(plugin_folder) -> None:
    done = plugin_folder.run("methods")
    assert done.returncode == 0
    for word in ("graspp-gan", "tiny", "two small convolutions", ">=99", "rainkit-twin-b:twin"):
        assert word in done.stdout
    (broken,) = (line for line in done.stdout.splitlines() if line.startswith("broken"))
    assert "cannot be imported: ModuleNotFoundError" in broken
    assert done.stderr == ""


def test_the_table_says_what_each_is_good_at_its_quality_and_its_time(plugin_folder) -> None:
    from rainkit_granet import METHOD

    lines = plugin_folder.run("methods").stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("granet"))
    assert METHOD.good_at in line
    light, heavy = METHOD.weights[0].results[:2]
    for result in (light, heavy):
        assert f"{result.psnr:.1f} ({result.psnr - result.input_psnr:+.1f})" in line
    assert f"{METHOD.timings[0].seconds:.2f}" in line
    assert lines[0].split()[-4:] == ["rain100l", "rain100h", "seconds", "problem"]
    (told,) = (line for line in lines if line.startswith("rain100l and rain100h: PSNR"))
    assert "25 and 25 pairs" in told
    assert light.protocol in told
    (told,) = (line for line in lines if line.startswith("seconds: "))
    assert METHOD.timings[0].machine in told
    assert lines[-1].startswith("Default: auto, which takes ")
    chosen = plugin_folder.run("methods", RAINKIT_METHOD="granet").stdout.splitlines()
    assert chosen[-1] == "Default: granet, set in RAINKIT_METHOD."


def test_the_default_is_what_infer_would_choose() -> None:
    from rainkit.inference.choice import choose
    from rainkit.overview import methods_at_a_glance, suited
    from rainkit.runtime_options import RuntimeOptions

    by_kind = choose(RuntimeOptions()).by_kind
    kinds = suited(methods_at_a_glance())
    assert {kind: name for name, of in kinds.items() for kind in of} == {
        kind: each.name for kind, each in by_kind.items()
    }
    assert suited([]) == {}


@pytest.mark.parametrize("name", ["freq_gan", "granet", "graspp_gan", "resguidenet", "timelapse"])
def test_times_are_those_of_the_benchmarks(name: str) -> None:
    """If a benchmark was measured anew, copy its milliseconds to the plugin's ``timings``."""
    method = importlib.import_module(f"rainkit_{name}").METHOD
    pages = (Path(__file__).parents[2] / "docs" / "benchmarks").glob("*.md")
    rows = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
    assert method.timings
    for timing in method.timings:
        names = {timing.variant, *(w.tag for w in method.weights if w.variant == timing.variant)}
        wanted = {method.name, timing.size, timing.precision}
        cells = {row: {cell.strip() for cell in row.split("|")} for row in rows}
        of_it = [row for row, found in cells.items() if wanted <= found and names & found]
        assert any(f" {timing.seconds * 1000:.1f} " in row for row in of_it), of_it


def test_json_is_plain_however_narrow_the_terminal(plugin_folder) -> None:
    done = plugin_folder.run("methods", "--json", COLUMNS="20", FORCE_COLOR="1")
    rows = json.loads(done.stdout)
    assert {"name", "distribution", "version", "summary", "problem"} <= set(rows[0])
    assert {"good_at", "weights", "results", "timings"} <= set(rows[0])
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    shown = plugin_folder.run("methods", "show", "tiny", "--json", COLUMNS="20", FORCE_COLOR="1")
    about = json.loads(shown.stdout)
    assert about["name"] == "tiny"
    assert about["variants"] == {"default": {}, "paper": {"network.width": 8}}
    width = next(row for row in about["hyperparameters"] if row["path"] == "network.width")
    assert (width["default"], width["bounds"]) == (4, ">= 1 and <= 64")


def test_json_may_stand_before_show(plugin_folder) -> None:
    before = plugin_folder.run("methods", "--json", "show", "tiny")
    assert json.loads(before.stdout)["name"] == "tiny"
    assert before.stdout == plugin_folder.run("methods", "show", "tiny", "--json").stdout


def test_show_tells_everything_about_a_method(plugin_folder) -> None:
    done = plugin_folder.run("methods", "show", "graspp-gan")
    assert done.returncode == 0, done.stderr
    for told in (
        "Yinglong Wang",
        "1910.03839",
        "Published in the paper",
        "30.28",
        "network.width1 = 64",
        "training.schedule = plateau",
        "objective.critic_lr",
        "learning rate of the critic",
        "one of mse, l2",
        "train --ablation published): raspp, graspp, default",
        "With --published, the paper's 25 results of other methods",
    ):
        assert told in done.stdout


def test_published_tables_have_the_papers_digits(plugin_folder) -> None:
    shown = plugin_folder.run("methods", "show", "graspp-gan", "--published").stdout.splitlines()
    assert [line.split(":")[0] for line in shown if line.startswith("Table")] == [
        "Table 1", "Table 2", "Table 3", "Table 4"
    ]  # fmt: skip
    (row,) = (line for line in shown if line.startswith("RASPP"))
    assert row.split("  ")[-1].strip() == "29.16 / 0.920"
    assert not any("--set" in line for line in shown)
    done = plugin_folder.run("methods", "show", "graspp-gan", "--published", "--json")
    rows = json.loads(done.stdout)
    assert {row["kind"] for row in rows} == {"published"}
    assert {"JORDER", "RESCAN", "DDN", "GRASPP-GAN"} <= {row["method"] for row in rows}


def test_a_paper_known_by_its_title_alone_is_shown_with_what_is_missing(odd_plugin) -> None:
    folder = odd_plugin(
        'Paper(authors=("A. Author",), title="Tiny nets", venue="Nowhere", year=2020)',
        'Paper(title="Tiny nets")',
    )
    lines = folder.run("methods", "show", "odd").stdout.splitlines()
    assert lines[1] == "Tiny nets."
    assert lines[2] == "no venue and no year given"
    assert lines[3].startswith("Code under")


@pytest.mark.parametrize("columns", ["80", "40"])
def test_names_of_settings_are_never_broken(plugin_folder, columns: str) -> None:
    whole = plugin_folder.run("methods", "show", "graspp-gan", "--json")
    narrow = plugin_folder.run("methods", "show", "graspp-gan", COLUMNS=columns)
    for row in json.loads(whole.stdout)["hyperparameters"]:
        assert row["path"] in narrow.stdout


def test_square_brackets_in_a_doc_are_printed_as_they_are(plugin_folder) -> None:
    assert "channels [of both layers]" in plugin_folder.run("methods", "show", "tiny").stdout


def test_weights_and_what_was_measured_are_shown(odd_plugin) -> None:
    folder = odd_plugin(
        'licence="MIT",',
        'licence="MIT", parts={{"rain": Part(doc="the rain layer", signed=True)}}, '
        'weights=(Weights(tag="small", variant="default", sha256="0" * 64, file="w.safetensors", '
        'licence="CC0-1.0", trained_on="ten photographs", recipe="small.toml", results=('
        'MeasuredResult(dataset="ten pairs", protocol="prenet", images=10, psnr=31.234, '
        "ssim=0.91234, input_psnr=25.0, input_ssim=0.8),)),),",
        "from rainkit.api import MeasuredResult, Part, Weights",
    )
    done = folder.run("methods", "show", "odd")
    assert done.returncode == 0, done.stderr
    for told in ("the rain layer", "odd.small", "CC0-1.0", "ten photographs", "small.toml"):
        assert told in done.stdout
    for told in ("measured by rainkit", "prenet", "31.23", "0.9123", "25.00"):
        assert told in done.stdout
    for line in folder.run("methods", "show", "odd", COLUMNS="80").stdout.splitlines():
        if "31.23" in line:
            assert line.split()[-5:] == ["10", "31.23", "25.00", "0.9123", "0.8000"]
            break
    else:
        pytest.fail("no line holds the measured figures")


def test_no_method_at_all_says_what_to_install(plugin_folder) -> None:
    done = plugin_folder.run("methods", RAINKIT_METHODS="none-of-them")
    assert done.returncode == 0
    assert "RAINKIT_METHODS=none-of-them hides all" in done.stderr
    assert "pip install" not in done.stderr
    script = """
from importlib import metadata
metadata.entry_points = lambda **_: ()
from rainkit.cli import main
main()
"""
    done = plugin_folder.python("-c", script, "methods")
    assert done.returncode == 0, done.stderr
    assert "no method is installed; each is a package of its own" in done.stderr
    assert "pip install" not in done.stderr


def test_light_commands_load_no_torch(fresh) -> None:
    commands = (["methods"], ["methods", "show", "graspp-gan"], ["--help"], ["infer", "--help"])
    for arguments, ended in zip(commands, fresh(*commands), strict=True):
        assert ended.code == 0, ended.said
        heavy = {"torch", "numpy", "cv2", "PIL", "timm", "albumentations"} & ended.modules
        assert not heavy, arguments

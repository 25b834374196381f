"""``rainkit synth`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from rainkit import cli, images
from rainkit.datasets import manifest

DATA = ("audit", "merge", "average", "frames", "rebuild", "verify")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    images.write(path, images.Picture(np.full((64, 96, 3), 70, np.uint8)))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    def call(*arguments: object) -> int:
        words = ["rainkit", "synth", *(str(argument) for argument in arguments)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    return call


def test_pairs_and_a_line_that_says_where(run, photo: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert run(photo, "-o", out, "--preset", "rain12", "--variants", 2) == 0
    assert "2 pairs of 1 scene in" in capsys.readouterr().out
    assert (out / "input" / "photo_02.png").exists()
    assert (out / "target" / "photo_02.png").exists()


def test_nothing_but_results_where_no_one_watches(run, photo: Path, tmp_path: Path, capsys) -> None:
    assert run(photo, "-o", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""
    assert run(photo, "-o", tmp_path / "quiet", "-q") == 0
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_every_option_reaches_the_rain(run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rain = "streak_gain=44 fog_gain=2 wind_m_s=5 dim=0.7 gamma=1.2 light=linear fov_deg=45"
    rain += " cuts_m=0,2 streak_grey=none"
    options = ["--rate", 33, "--depth", 90, "--format", "jpg", "--seed", 6]
    for text in rain.split():
        options += ["--rain", text]
    assert run(photo, "-o", out, *options) == 0
    (record,) = manifest.read(out / "manifest.jsonl")
    assert record.input == "input/photo_01.jpg"
    assert (record.rate_mm_h, record.distance, record.seed[0]) == (33.0, 90.0, 6)
    expected = {"streak_gain": 44.0, "fog_gain": 2.0, "wind_m_s": 5.0, "dim": 0.7, "gamma": 1.2}
    expected |= {"light": "linear", "fov_deg": 45.0, "cuts_m": [0.0, 2.0], "streak_grey": None}
    assert record.settings | expected == record.settings


@pytest.mark.parametrize("words", [("synth",), ("train",), *(("data", name) for name in DATA)])
def test_no_command_has_more_than_20_options(words: tuple[str, ...]) -> None:
    """Beside those that say where it runs."""
    command = typer.main.get_command(cli.app)
    for word in words:
        command = command.commands[word]
    options = [
        each
        for each in command.params
        if each.param_type_name == "option" and each.name not in ("engine", "workers")
    ]
    assert 0 < len(options) <= 20


def test_a_level_draws_rates_inside_it(run, photo: Path, tmp_path: Path) -> None:
    assert run(photo, "-o", tmp_path / "out", "--rate", "violent", "--variants", 4) == 0
    rates = [record.rate_mm_h for record in manifest.read(tmp_path / "out" / "manifest.jsonl")]
    assert len(set(rates)) == 4
    assert all(50 <= rate <= 150 for rate in rates)


RECIPE = """
[synth]
rate = [2, 30]
variants = 4
seed = 3
depth = "none"
output = "ignored"

[rain]
fov_deg = 40
streak_gain = 20
cuts_m = [0, 1]
"""


def test_a_recipe_and_options_that_win_over_it(run, photo: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    out = tmp_path / "out"
    assert run(photo, "-o", out, "--config", recipe, "--seed", 4, "--rain", "streak_gain=21") == 0
    records = manifest.read(out / "manifest.jsonl")
    assert [record.rate_mm_h for record in records] == [2.0, 30.0, 2.0, 30.0]
    assert {record.seed[0] for record in records} == {4}
    expected = {"fov_deg": 40.0, "streak_gain": 21.0, "cuts_m": [0.0, 1.0]}
    assert records[0].settings | expected == records[0].settings
    assert records[0].depth is None


def test_a_recipe_can_name_everything(run, photo: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"[synth]\nphotos = '{photo}'\noutput = '{tmp_path / 'out'}'\nquiet = true\n")
    assert run("--config", recipe) == 2  # how much is printed is not the dataset's
    recipe.write_text(recipe.read_text().replace("quiet = true", "test_scenes = 1"))
    assert run("--config", recipe) == 2
    wanted = (
        "save = 'mask'\nreport = true\nmanifest-format = 'parquet'\nvariants = 3\nrate = 'heavy'"
    )
    recipe.write_text(recipe.read_text().replace("test_scenes = 1", wanted))
    assert run("--config", recipe, "--set", "save=trans", "--variants", 1) == 0
    out = tmp_path / "out"
    assert (out / "trans" / "photo_01.png").exists()
    assert not (out / "mask").exists()
    assert (out / "report.html").exists()
    assert (out / "manifest.parquet").exists()
    assert [record.level for record in manifest.read(out)] == ["heavy"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[synth]\nvariant = 2", "[synth] variant: unknown; did you mean variants?"),
        ("[synth]\nvariants = 0", "[synth] variants must be 1 to 9999, not 0"),
        ("[synth]\nrate = ['torrential']", "[synth] rate torrential: unknown; choose from drizzle"),
        ("[synth]\nfps = 25", "fps is for the frames of a sequence: add --sequence N"),
        ("[synth]\nshard = '3/2'", "[synth] shard 3/2: write I/N"),
        ("[synth]\ntest_scenes = 4", "--test-scenes 4: a split needs at least 2 photographs"),
        ("[synth]\ndepth = 'no/such/folder'", "no/such/folder"),
        ("[rain]\nfog_gian = 2", "[rain] fog_gian: unknown; did you mean fog_gain?"),
        ("[rian]\nfog_gain = 2", "section rian: unknown; did you mean rain?"),
        ("[rain]\nfog_gain = -2", "[rain] fog_gain must be 0 to 50, not -2"),
        ("[rain]\nfov_deg = 'wide'", "[rain] fov_deg: 'wide' is not valid"),
        ("[rain]\nnear_m = 9", "rain: near_m 9 must be below far_m"),
        ("[synth]\nseed = [1, 2]", "[synth] seed takes one value"),
        ("synth = 3", "synth must be a table"),
        ("[synth", "is not TOML"),
    ],
)
def test_wrong_recipes_end_with_one_line_that_names_them(
    run, photo: Path, tmp_path: Path, capsys, text: str, said: str
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    assert run(photo, "-o", tmp_path / "out", "--config", recipe) == 2
    message = capsys.readouterr().err
    assert said in message
    assert f"--config {recipe}" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_wrong_option_beside_a_recipe_is_named_as_typed(
    run, photo: Path, tmp_path: Path, capsys
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[synth]\nvariants = 2")
    assert run(photo, "-o", tmp_path / "out", "--config", recipe, "--variants", 0) == 2
    assert capsys.readouterr().err == "error: --variants must be 1 to 9999, not 0\n"


def test_splits_and_depth_are_told(run, tmp_path: Path, capsys) -> None:
    photos = tmp_path / "photos"
    for index in range(4):
        rng = np.random.default_rng(index)
        rgb = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (40, 40))
        images.write(photos / f"{index}.png", images.Picture(rgb))
        z = np.full((40, 40, 3), 2560, np.uint16)
        images.write(photos / "depth" / f"{index}.png", images.Picture(z, grey=True))
    code = run(photos, "-o", tmp_path / "out", "--variants", 2, "--test-scenes", 1)
    said = capsys.readouterr().out
    assert code == 0
    assert "8 pairs of 4 scenes (train 6, test 2)" in said
    assert "depth: 4 maps" in said
    assert "$ rainkit synth" in (tmp_path / "out" / "README.md").read_text()


def test_the_recipe_that_is_shipped(run, tmp_path: Path, capsys) -> None:
    recipe = Path(__file__).parents[2] / "examples" / "recipes" / "depth-aware-4800.toml"
    for index in range(5):
        rng = np.random.default_rng(index)
        rgb = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (24, 24))
        images.write(tmp_path / "photos" / f"{index}.png", images.Picture(rgb))
    out = tmp_path / "out"
    assert run(tmp_path / "photos", "-o", out, "--config", recipe, "--test-scenes", 2) == 0
    assert "60 pairs of 5 scenes (train 36, test 24)" in capsys.readouterr().out
    levels = [record.level for record in manifest.read(out)]
    assert levels[:5] == ["light", "moderate", "heavy", "light", "moderate"]


def test_a_report(run, photo: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert run(photo, "-o", out, "--variants", 2, "--report") == 0
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out.replace("\n", "")
    assert (out / "report.html").exists()
    half = tmp_path / "half"
    assert run(photo, "-o", half, "--shard", "1/2", "--report", "--json") == 0
    captured = capsys.readouterr()
    assert "with the last shard" in captured.err
    assert json.loads(captured.out)["report"] is None


def test_an_early_end_says_how_to_go_on(
    run, photo: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    from rainkit.synthesis import run as synthesis_run

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthesis_run, "write_lists", stop)
    assert run(photo, "-o", tmp_path / "out") == 130
    assert "repeat the command to continue" in capsys.readouterr().err
    monkeypatch.undo()


def test_a_full_disk_is_one_line_and_the_run_goes_on_after(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "from rainkit.cli import main; sys.argv[0] = 'rainkit'; main()"
    )
    command = [sys.executable, "-c", limited, "synth", str(photo), "-o", str(out)]
    command += ["--preset", "rain100h"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot be written (File too large)" in done.stderr
    assert not list(out.rglob(".rainkit-*"))
    assert not (out / "manifest.jsonl").exists()
    command[2] = limited.replace("(2000, 2000)", "(2000000, 2000000)")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_json(run, photo: Path, tmp_path: Path, capsys) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    assert run(photo, bad, "-o", tmp_path / "out", "--json") == 1
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert (data["scenes"], data["pairs"]) == (1, 1)
    assert [failure["path"] for failure in data["failures"]] == [str(bad)]
    assert "bad.jpg" in captured.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--preset", "rain100x"), "--preset rain100x: unknown; did you mean rain100"),
        (("--preset", "drizzly-monday"), "choose from"),
        (("--rate", "heavy", "--rate", "3"), "--rate: give named levels or numbers, not both"),
        (("--rate", "hevy"), "--rate hevy: unknown; did you mean heavy?"),
        (("--rate", "-1"), "--rate must be 0.01 to 300, not -1"),
        (("--rate", "nan"), "--rate must be"),
        (("--rain", "dim=2"), "--rain dim must be"),
        (("--rain", "wind_m_s=99"), "--rain wind_m_s must be"),
        (("--rain", "streak_gain=-1"), "--rain streak_gain must be"),
        (("--rain", "light=candle"), "'srgb' or 'linear'"),
        (("--rain", "fov_deg"), "write NAME=VALUE"),
        (("--rain", "fov=3"), "--rain fov: unknown; did you mean fov_deg?"),
        (("--rain", "fov_deg=3"), "--rain fov_deg must be 5 to 150"),
        (("--rain", "rate_mm_h=5"), "use --rate"),
        (("--rain", "fog_gain=2", "--depth", "none"), "METRES"),
        (("--rain", "fog_gain=2", "--preset", "rain12"), "METRES"),
        (("--depth", "0"), "--depth must be above 0 metres"),
        (("--depth", "no/such/folder"), "no/such/folder"),
        (("--set", "depth_format=inches"), "--set depth_format inches: unknown; choose from"),
        (("--set", "fps"), "write NAME=VALUE"),
        (("--set", "fps=25"), "add --sequence N"),
        (("--set", "fps=fast"), "--set fps: 'fast' is not valid"),
        (("--set", "group-by=(a)"), "add --test-scenes N"),
        (("--set", "group=(a)"), "--set group: unknown; did you mean group_by?"),
        (("--set", "seed=3"), "use --seed"),
        (("--set", "save=depths"), "--set save depths: unknown"),
        (("--noise", "9", "--rate", "3"), "--noise adds noise alone"),
        (("--noise", "9", "--sequence", "3"), "--noise adds noise alone"),
        (("--noise", "inf"), "--noise must be above 0 grey levels"),
        (("--noise", "256"), "--noise must be at most 255 grey levels"),
        (("--noise", "9", "--preset", "rain100h"), "--noise adds noise alone"),
        (("--noise", "9", "--depth", "none"), "--noise adds noise alone"),
        (("--format", "gif"), "--format gif: unknown; choose from png, jpg"),
        (("--layout", "dnn"), "--layout dnn: unknown; did you mean ddn?"),
        (("--shard", "2"), "--shard 2: write I/N"),
        (("--shard", "3/2"), "--shard 3/2: write I/N with I from 1 to N"),
        (("--shard", "1/2", "--overwrite"), "leave out --overwrite"),
        (("--test-scenes", "4"), "--test-scenes 4: a split needs"),
        (("--workers", "0"), "--workers must be at least 1"),
    ],
)
def test_wrong_options_end_with_one_line(
    run, photo: Path, tmp_path: Path, capsys, options: tuple[str, ...], said: str
) -> None:
    assert run(photo, "-o", tmp_path / "out", *options) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("photo.png",), "add -o"),
        (("-o", "out"), "no photographs"),
        (("no", "-o", "out"), "no such"),
    ],
)
def test_what_is_missing_is_named(
    run, photo: Path, monkeypatch, capsys, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(photo.parent)
    assert run(*arguments) == 2
    assert said in capsys.readouterr().err


def test_an_empty_folder_is_a_usage_error(run, tmp_path: Path, capsys) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(empty, "-o", tmp_path / "out") == 2
    assert "holds no picture" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

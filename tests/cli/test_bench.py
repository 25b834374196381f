"""``rainkit bench`` as typed."""

import json
import sys
from pathlib import Path

import pytest

from rainkit.cli import main

QUICK = (
    "--size",
    "24x32",
    "--device",
    "cpu",
    "--precision",
    "fp32",
    "--runs",
    "1",
    "--warmup",
    "1",
)


@pytest.fixture
def rainkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "140")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rainkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return run


def test_json_and_markdown_of_one_run(rainkit, tmp_path: Path):
    file = tmp_path / "table.md"
    code, out, err = rainkit(
        "bench", "--method", "graspp-gan", *QUICK, "--json", "--markdown", file
    )
    assert code == 0, err
    (row,) = json.loads(out)["rows"]
    assert row["timing"]["precision"] == "fp32"
    assert row["timing"]["median_ms"] > 0
    assert "| graspp-gan | default | 24x32 | fp32 |" in file.read_text()
    assert "rainkit bench --method graspp-gan --size 24x32" in file.read_text()
    code, _, err = rainkit("bench", "--method", "graspp-gan", *QUICK, "--markdown", file)
    assert code == 2
    assert "--overwrite" in err


def test_a_failed_row_is_named_and_exits_with_1(rainkit, monkeypatch: pytest.MonkeyPatch):
    from rainkit.benchmarking import Row, worker

    monkeypatch.setattr(worker, "row", lambda job: Row(job=job, problem="[out] of memory"))
    code, _, err = rainkit("bench", "--method", "graspp-gan", *QUICK, "--size", "64x64")
    assert code == 1
    assert [line.split()[2] for line in err.splitlines() if "failed" in line] == ["24x32", "64x64"]
    assert "[out] of memory" in err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ([], "--all"),
        (["--all", "--method", "graspp-gan"], "--all"),
        (["--all", "--size", "big"], "HEIGHTxWIDTH"),
        (["--all", "--device", "abacus"], "--device abacus"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(rainkit, arguments, remedy):
    code, out, err = rainkit("bench", *arguments)
    assert (code, out) == (2, "")
    assert remedy in err
    assert "Traceback" not in err

"""``rainkit bench`` as typed."""

import json
import sys
from pathlib import Path

import pytest

from rainkit.errors import UsageError

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


def test_json_and_markdown_of_one_run(rainkit, tmp_path: Path):
    file = tmp_path / "table.md"
    large = ("--size", "256x256", *QUICK[2:])
    code, out, err = rainkit(
        "bench", "--method", "graspp-gan", *large, "--json", "--markdown", file
    )
    assert code == 0, err
    (row,) = json.loads(out)["rows"]
    assert row["timing"]["precision"] == "fp32"
    assert row["timing"]["median_ms"] > 0
    if sys.platform == "linux":  # other systems do not tell
        # The pyramid's 96 feature maps in float32 have to be somewhere.
        assert 96 * 4 * 256 * 256 / 2**20 < row["timing"]["peak_memory_mib"] < 1000
    assert "| graspp-gan | default | 256x256 | fp32 |" in file.read_text()
    assert "rainkit bench --method graspp-gan --size 256x256" in file.read_text()
    code, _, err = rainkit("bench", "--method", "graspp-gan", *QUICK, "--markdown", file)
    assert code == 2
    assert "--overwrite" in err


def test_published_times_stand_apart_as_printed(rainkit, monkeypatch, tmp_path: Path):
    from rainkit.benchmarking import Row, Timing, rows

    timing = Timing(
        device="cpu", precision="fp32", threads=1, median_ms=1.0, iqr_ms=0.1, fastest_ms=1.0,
        cpu_s=0.1, parameters=7, gflop=1.0, peak_memory_mib=None, torch="2",
    )  # fmt: skip
    monkeypatch.setattr(rows, "run_job", lambda job: Row(job=job, timing=timing))
    file = tmp_path / "table.md"
    asked = ("bench", "--method", "graspp-gan", *QUICK, "--markdown", file)
    code, out, err = rainkit(*asked, "--published")
    assert code == 0, err
    assert "Published in the papers, not measured here" in out
    row = next(line for line in out.splitlines() if line.startswith("JORDER, GRASPP-GAN's Table 3"))
    assert row.split()[-4:] == ["picture", "not", "named", "1.40"]
    line = "| GRASPP-GAN, Table 3 | 512x512 picture | GPU, not named | 0.04 |"
    assert line in file.read_text().splitlines()
    code, out, _ = rainkit(*asked, "--overwrite", "--json")
    assert "published" not in json.loads(out)
    code, out, _ = rainkit(*asked, "--overwrite", "--json", "--published")
    assert {row["seconds"] for row in json.loads(out)["published"]} >= {"1.40", "0.04"}


def test_a_failed_row_is_named_and_exits_with_1(rainkit, monkeypatch: pytest.MonkeyPatch):
    from rainkit.benchmarking import Row, rows

    monkeypatch.setattr(rows, "run_job", lambda job: Row(job=job, problem="[out] of memory"))
    code, out, err = rainkit("bench", "--method", "graspp-gan", *QUICK, "--size", "64x64")
    assert (code, out) == (1, ""), "no table without a row"
    assert [line.split()[2] for line in err.splitlines() if "failed" in line] == ["24x32", "64x64"]
    assert "[out] of memory" in err


@pytest.fixture
def timing():
    from rainkit.benchmarking import Timing

    return Timing(
        device="cpu", precision="fp32", threads=1, median_ms=1234.5, iqr_ms=100.1,
        fastest_ms=1.0, cpu_s=2.345, parameters=1234567, gflop=115.7, peak_memory_mib=900.0,
        torch="2",
    )  # fmt: skip


@pytest.mark.parametrize("columns", [30, 80])
def test_no_terminal_is_too_narrow_for_a_figure(rainkit, monkeypatch, timing, columns: int):
    from rainkit.benchmarking import Row, rows

    monkeypatch.setattr(rows, "run_job", lambda job: Row(job=job, timing=timing))
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = rainkit("bench", "--method", "graspp-gan", *QUICK)
    assert (code, err) == (0, "")
    for whole in ("graspp-gan", "default", "24x32", "1234.5", "1,234,567", "GFLOP", "params"):
        assert whole in out
    assert "1 thread;" in out
    assert "median of 1 run," in out


def test_what_no_method_can_do_is_wrong_use(rainkit, monkeypatch, timing):
    from rainkit.benchmarking import Row, rows
    from rainkit.benchmarking.timing import measure

    def run_job(job: rows.Job) -> Row:
        """What the process of a row answers."""
        if job.precision == "fp32":
            return Row(job=job, timing=timing)
        with pytest.raises(UsageError) as refused:
            measure(job)
        return Row(job=job, problem=str(refused.value), usage=True)

    monkeypatch.setattr(rows, "run_job", run_job)
    code, _, err = rainkit("bench", "--method", "graspp-gan", *QUICK, "--precision", "fp16")
    assert code == 1, "the row in fp32 runs"
    assert "fp16" in err
    plain = QUICK[: QUICK.index("--precision")] + QUICK[QUICK.index("--runs") :]
    code, out, err = rainkit("bench", "--method", "graspp-gan", *plain, "--precision", "fp16")
    assert (code, out) == (2, "")
    assert "--precision fp16 is not safe" in err
    assert len(err.strip().splitlines()) == 1


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

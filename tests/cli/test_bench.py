"""``rainkit bench`` as typed."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rainkit import benchmarking, plugins
from rainkit.benchmarking import Benchmark, BenchRequest, Job, Row, Timing
from rainkit.benchmarking.rows import jobs_of
from rainkit.published import published_rows

QUICK = ("--size", "24x32", "--device", "cpu", "--precision", "fp32", "--runs", "1")


def test_json_and_files_of_one_run(rainkit, tmp_path: Path):
    """The one test that starts a real process."""
    file = tmp_path / "table.md"
    code, out, err = rainkit(
        "bench", "--method", "graspp-gan", "--size", "128", *QUICK[2:], "--warmup", "1",
        "--json", "--markdown", file,
    )  # fmt: skip
    assert code == 0, err
    data = json.loads(out)
    (ours,) = data["rows"]
    assert ours["timing"]["precision"] == "fp32"
    assert ours["timing"]["median_ms"] > 0
    assert 0 < ours["timing"]["roofline_share"] < 2
    assert data["roofline"][0]["gflop_s"] > 1
    if sys.platform == "linux":  # other systems do not tell
        # The pyramid's 96 feature maps in float32 have to be somewhere.
        assert 96 * 4 * 128 * 128 / 2**20 < ours["timing"]["peak_memory_mib"] < 1000
    shipped = plugins.get("graspp-gan").weights[0]
    assert f"| graspp-gan | {shipped.tag} | 128x128 | fp32 |" in file.read_text()
    assert ours["job"]["variant"] == shipped.variant, "what infer takes, not the narrower default"
    assert "rainkit bench --method graspp-gan --size 128" in file.read_text()
    code, _, err = rainkit("bench", "--method", "graspp-gan", *QUICK, "--markdown", file)
    assert code == 2
    assert "--overwrite" in err


TIMING = Timing(
    device="cpu", precision="fp32", threads=1, median_ms=1234.5, p5_ms=1200.0, p95_ms=1300.0,
    iqr_ms=100.1, fastest_ms=1.0, passes=1, cpu_s=2.345, parameters=1234567, gflop=115.7,
    peak_memory_mib=900.0, torch="torch 2",
)  # fmt: skip


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch):
    """Rows come at once: a timing, or a problem for a size that is named in it."""
    requests: list[BenchRequest] = []
    problems: dict[str, str] = {}

    def run(request: BenchRequest, advance=None) -> Benchmark:
        requests.append(request)
        jobs = [job for job in jobs_of(request) if isinstance(job, Job)]
        rows = [
            Row(job=job, problem=problems[job.size])
            if job.size in problems
            else Row(job=job, timing=TIMING)
            for job in jobs
        ]
        printed = published_rows(map(plugins.get, request.methods if request.published else ()))
        return Benchmark(
            rows=tuple(rows),
            machine={"torch": "2", "system": "here", "cores": 2, "load": 0.0},
            published=tuple(row for row in printed if row.result.seconds),
        )

    monkeypatch.setattr(benchmarking, "run", run)
    return requests, problems


def test_published_times_stand_apart_as_printed(rainkit, answers, tmp_path: Path):
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


def test_a_failed_row_is_named_and_exits_with_1(rainkit, answers):
    answers[1].update(dict.fromkeys(("24x32", "64x64"), "[out] of memory"))
    code, out, err = rainkit("bench", "--method", "graspp-gan", *QUICK, "--size", "64")
    assert (code, out) == (1, ""), "no table without a row"
    assert [line.split()[2] for line in err.splitlines() if "failed" in line] == ["24x32", "64x64"]
    assert "[out] of memory" in err


@pytest.mark.parametrize("columns", [30, 80])
def test_no_terminal_is_too_narrow_for_a_figure(rainkit, monkeypatch, answers, columns: int):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = rainkit("bench", "--method", "graspp-gan", *QUICK)
    assert (code, err) == (0, "")
    for whole in ("graspp-gan", "rain-v", "24x32", "1234.5", "1,234,567", "GFLOP", "params"):
        assert whole in out
    assert "1 thread;" in out
    assert "median of 1 run" in out


def test_what_is_asked_for_reaches_the_measurement(rainkit, answers):
    code, _, err = rainkit(
        "bench", "-m", "graspp-gan", "--size", "720p", "--batch", "1-4", "--precision", "tf32",
        "--backend", "plain", "--rounds", "3", "--end-to-end", "--seconds", "60",
    )  # fmt: skip
    assert code == 0, err
    (request,) = answers[0]
    assert request.sizes == ((720, 1280),)
    assert request.batches == (1, 2, 4)
    assert (request.precisions, request.backends) == (("tf32",), ("plain",))
    assert (request.rounds, request.runs, request.end_to_end, request.seconds) == (
        3,
        None,
        True,
        60,
    )


def test_a_folder_of_files_is_compared_with_a_later_run(
    rainkit, answers, monkeypatch, tmp_path: Path, without_layout
):
    asked = ("bench", "-m", "graspp-gan", "-m", "timelapse", *QUICK)
    code, _, err = rainkit(*asked, "-o", tmp_path / "old")
    assert code == 0, err
    assert sorted(p.name for p in (tmp_path / "old").iterdir()) == sorted(benchmarking.FILES)
    code, _, err = rainkit(*asked, "-o", tmp_path / "old")
    assert (code, "--overwrite" in err) == (2, True)
    code, out, err = rainkit(*asked, "--compare", tmp_path / "old")
    assert code == 0, err
    assert "+0.0%" in out
    monkeypatch.setattr(sys.modules[__name__], "TIMING", replace(TIMING, median_ms=1400.0))
    code, out, err = rainkit(*asked, "--compare", tmp_path / "old" / "bench.json")
    assert code == 3
    assert re.search(r"below the bar: graspp-gan \w+ 24x32 fp32 1234.5 1400.0 \+13.4%", err)
    code, out, err = rainkit(*asked, "--compare", tmp_path / "old", "--bar", "20", "--json")
    assert code == 0, err
    assert json.loads(out)["comparison"]["rows"][0]["before_ms"] == 1234.5


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ([], "--all"),
        (["--all", "--method", "graspp-gan"], "--all"),
        (["--all", "--size", "big"], "HEIGHTxWIDTH"),
        (["--all", "--batch", "0"], "--batch 0: give a number"),
        (["--all", "--device", "abacus"], "--device abacus"),
        (["--all", "--backend", "plan"], "did you mean plain"),
        (["--variants", "--import", "a:b"], "--variants is about methods"),
        (["--import", "a.b"], "write module:callable"),
        (["--torchscript", "none.pt"], "--torchscript none.pt: no such file"),
        (["--all", "--compare", "none.json"], "--compare none.json: cannot be read"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(rainkit, arguments, remedy):
    code, out, err = rainkit("bench", *arguments)
    assert (code, out) == (2, "")
    assert remedy in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_what_no_method_can_do_is_wrong_use(rainkit, monkeypatch):
    from rainkit.benchmarking import running

    class Process:
        alive = True

        def ask(self, *, do: str, **_):
            return {"problem": "--precision fp16 is not safe for this method", "usage": True}

        def close(self, *, at_once: bool = False):
            self.alive = False

    monkeypatch.setattr(running, "Process", Process)
    code, out, err = rainkit("bench", "-m", "graspp-gan", "--precision", "fp16")
    assert (code, out) == (2, "")
    assert "--precision fp16 is not safe" in err
    assert len(err.strip().splitlines()) == 1

"""Runtime tables: every row a fresh process, every failure a row."""

import dataclasses
import io
import json
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from rainkit import benchmarking, networks, plugins
from rainkit.benchmarking import Benchmark, BenchRequest, Job, Row, Timing, rows
from rainkit.benchmarking import timing as timing_process
from rainkit.errors import MethodError, UsageError

SMALL = Job(
    method="graspp-gan",
    height=32,
    width=48,
    device="cpu",
    precision="fp32",
    runs=3,
    warmup=1,
    threads=1,
)


@pytest.fixture
def threads():
    """Leave torch as it was: a job may set its threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_network_is_timed_and_counted(threads):
    timing = timing_process.measure(SMALL)
    assert 0 < timing.fastest_ms <= timing.median_ms
    assert timing.iqr_ms >= 0
    assert timing.cpu_s > 0
    assert (timing.precision, timing.threads) == ("fp32", 1)
    assert timing.torch == torch.__version__
    method = plugins.get("graspp-gan")
    network = networks.build(method, method.default.network)
    assert timing.parameters == sum(p.numel() for p in network.parameters())


def test_arithmetic_is_that_of_the_paper_and_grows_with_the_picture(threads):
    # 115.7 GFLOP at 512x512 (METHODS): two for each multiply-add; all layers have stride 1.
    small = timing_process.measure(SMALL).gflop
    assert small * (512 * 512) / (32 * 48) == pytest.approx(115.7, rel=0.01)
    batch = timing_process.measure(dataclasses.replace(SMALL, batch=2))
    assert batch.gflop == pytest.approx(small), "figures are per picture"


def test_a_wrong_job_is_a_row_with_its_reason(monkeypatch, capfd):
    """By what its process would run; a row of a real one is in the tests of the command line."""

    def run(command: list[str], input: str, **_: object) -> SimpleNamespace:
        assert command == [sys.executable, "-m", timing_process.__name__]
        monkeypatch.setattr(sys, "stdin", io.StringIO(input))
        usual = os.dup(1)
        try:
            timing_process.main()
        finally:
            os.dup2(usual, 1)
            os.close(usual)
        return SimpleNamespace(stdout=capfd.readouterr().out, stderr="", returncode=0)

    monkeypatch.setattr(rows, "subprocess", SimpleNamespace(run=run))
    row = benchmarking.run_job(dataclasses.replace(SMALL, variant="huge"))
    assert row.timing is None
    assert row.problem is not None
    assert "no variant huge" in row.problem
    assert "paper" in row.problem
    assert row.usage


def test_a_process_that_dies_is_a_row_with_its_last_words(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    row = benchmarking.run_job(SMALL)
    assert row.problem is not None
    assert "exit code 1" in row.problem
    assert not row.usage


@pytest.fixture
def no_processes(monkeypatch):
    """Rows come at once; what was asked for is recorded."""
    jobs: list[Job] = []

    def row(job: Job) -> Row:
        jobs.append(job)
        return Row(job=job, timing=timing())

    monkeypatch.setattr(rows, "run_job", row)
    return jobs


def timing() -> Timing:
    return Timing(
        device="a|b", precision="bf16", threads=2, median_ms=12.34, iqr_ms=0.56, fastest_ms=12.0,
        cpu_s=0.02, parameters=1234567, gflop=115.66, peak_memory_mib=None, torch="2",
    )  # fmt: skip


def test_rows_are_the_product_of_what_was_asked(no_processes):
    request = BenchRequest(
        methods=("graspp-gan",),
        variants=True,
        sizes=((32, 48), (64, 64)),
        precisions=("fp32", "bf16"),
        device="cpu",
    )
    ticks = []
    benchmarking.run(request, lambda *tick: ticks.append(tick[:2]))
    variants = list(plugins.get("graspp-gan").variants)
    assert len(no_processes) == len(variants) * 4
    assert list(dict.fromkeys(job.variant for job in no_processes)) == variants
    assert [(j.height, j.width, j.precision) for j in no_processes[:3]] == [
        (32, 48, "fp32"), (32, 48, "bf16"), (64, 64, "fp32"),
    ]  # fmt: skip
    assert ticks[0] == (0, len(no_processes))


def test_a_broken_method_costs_its_rows_alone(no_processes, monkeypatch):
    get = plugins.get

    def broken(name: str):
        if name == "broken":
            raise MethodError("method broken cannot be imported: reinstall it")
        return get(name)

    monkeypatch.setattr(plugins, "get", broken)
    result = benchmarking.run(BenchRequest(methods=("broken", "graspp-gan"), device="cpu"))
    assert [row.problem for row in result.rows] == [
        "method broken cannot be imported: reinstall it",
        None,
    ]
    assert result.failed == 1
    text = benchmarking.markdown(result, "rainkit bench --all")
    assert "failed: method broken cannot be imported" in text
    assert "rainkit bench --all" in text


def test_wrong_requests_are_refused_before_anything_runs(no_processes):
    for wrong, message in (
        ({"device": "abacus"}, "--device abacus: give auto, cpu, cuda, cuda:N or mps"),
        ({"precisions": ("int4",)}, "--precision int4: unknown; choose from auto, fp32, bf16"),
        ({"methods": ("no-such-method",)}, "no-such-method"),
    ):
        request = {"methods": ("graspp-gan",), "device": "cpu"} | wrong
        with pytest.raises(UsageError, match=message):
            benchmarking.run(BenchRequest(**request))
    assert not no_processes


@pytest.mark.parametrize("text", ["512", "512x", "0x5", "-1x5", "axb", "1x2x3"])
def test_sizes_that_are_none(text):
    with pytest.raises(UsageError, match="HEIGHTxWIDTH"):
        benchmarking.parse_size(text)


def test_a_size_is_height_by_width():
    assert benchmarking.parse_size("512x768") == (512, 768)


def test_markdown_is_a_whole_table(tmp_path):
    row = Row(job=Job(method="m", batch=4), timing=timing())
    result = Benchmark(rows=(row,), machine={"torch": "2", "system": "here"})
    text = benchmarking.markdown(result)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert "1,234,567" in text
    assert "512x512 x4" in text
    assert "bf16" in table[-1], "the precision that ran, not the one asked for"
    benchmarking.write(text, tmp_path / "new/table.md")
    assert (tmp_path / "new/table.md").read_text() == text


def test_rows_are_json():
    row = Row(job=Job(method="m"), timing=timing())
    data = json.loads(json.dumps(row.to_data()))
    assert data["timing"]["gflop"] == 115.66
    assert data["job"]["width"] == 512

"""Runtime tables: what is timed, in which turns, and what the tables say."""

import csv
import importlib.util
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from rainkit import benchmarking, plugins
from rainkit.benchmarking import Benchmark, BenchRequest, Job, Roof, Row, Timing, running
from rainkit.benchmarking.rows import jobs_of, least_time, parse_target, spread, summarised
from rainkit.errors import MethodError, UsageError


def timing(**changes) -> Timing:
    return replace(
        Timing(
            device="a|b", precision="bf16", threads=2, median_ms=12.34, p5_ms=12.0, p95_ms=13.0,
            iqr_ms=0.56, fastest_ms=11.9, passes=20, cpu_s=0.02, parameters=1234567, gflop=115.66,
            peak_memory_mib=None, torch="torch 2",
        ),
        **changes,
    )  # fmt: skip


MACHINE = {"torch": "2", "system": "here", "cores": 2, "load": 0.1}


class FakeProcess:
    """Answers as a process does that times networks of a pace given by method and backend."""

    kind = "cpu"
    paces: ClassVar[dict[str, list[list[float]]]]
    told: ClassVar[list[str]]
    fails: ClassVar[dict[str, str]]

    def __init__(self):
        self.alive = True
        self._jobs: dict[int, Job] = {}
        self.told.append("start")

    def ask(self, *, id: int, do: str, **message):
        if not self.alive:
            return {"problem": "its process ended with signal 9", "usage": False}
        if do == "prepare":
            self._jobs[id] = Job(**message["job"])
        job = self._jobs[id]
        name = f"{job.method} {job.backend}"
        self.told.append(f"{do} {name}")
        if f"{do} {name}" in self.fails:
            self.alive = "CUDA" not in self.fails[f"{do} {name}"] and self.kind == "cpu"
            return {"problem": self.fails.pop(f"{do} {name}"), "usage": False}
        if do == "prepare":
            return {
                "kind": self.kind, "device": "chip", "precision": "fp32", "threads": 1,
                "cpus": [0], "warmup": 3, "parameters": 7, "gflop": 2.0, "torch": "torch 2",
                "layers": [["fp32", 2_000_000_000, 1_000_000, 1]],
            }  # fmt: skip
        if do == "time":
            turns = self.paces.get(name, [[10.0] * 5])
            times = turns.pop(0) if len(turns) > 1 else turns[0]
            return {"times": times, "cpu_s": 0.01, "energy_j": 0.5}
        return {"peak_memory_mib": 9.0, "roofs": [["fp32", 1000.0, 10.0]]}

    def close(self, *, at_once: bool = False):
        self.alive = False
        self.told.append("close")


@pytest.fixture
def process(monkeypatch):
    for name, fresh in (("paces", {}), ("told", []), ("fails", {}), ("kind", "cpu")):
        monkeypatch.setattr(FakeProcess, name, fresh, raising=False)
    monkeypatch.setattr(running, "Process", FakeProcess)
    return FakeProcess


def test_one_round_times_a_network_after_the_other(process, tiny_method):
    result = benchmarking.run(BenchRequest(methods=("tiny",), sizes=((32, 48), (64, 64))))
    once = ["start", "prepare tiny eager", "time tiny eager", "finish tiny eager"]
    assert process.told == [*once, "remember tiny eager", "close"] * 2
    row = result.rows[0]
    assert row.timing is not None
    assert (row.timing.median_ms, row.timing.peak_memory_mib, row.timing.cpus) == (10, 9, (0,))
    assert row.timing.roof_ms == pytest.approx(2.0), "2 GFLOP at 1000 GFLOP/s"
    assert row.timing.share == pytest.approx(0.2)
    assert row.timing.speed_up is None, "there is nothing of this size to compare with"


def test_rounds_let_rows_take_turns_and_ratios_survive_a_changing_pace(process, tiny_method):
    # The machine becomes three times slower in the second round.
    process.paces["tiny plain"] = [[40.0] * 5, [120.0] * 5, [40.0] * 5]
    process.paces["tiny eager"] = [[10.0] * 5, [30.0] * 5, [10.0] * 5]
    request = BenchRequest(methods=("tiny",), backends=("plain", "eager"), rounds=3)
    told = []
    result = benchmarking.run(request, lambda where, job: told.append((where, job.backend)))
    timed = [each.split()[-1] for each in process.told if each.startswith("time")]
    assert timed[:6] == ["plain", "eager"] * 3
    ratios = [row.timing.speed_up for row in result.rows if row.timing]
    assert ratios == [1.0, 4.0]
    assert told[2] == ("1 of 2, round 1 of 3", "plain")
    assert "in 3 rounds of all rows in turns" in benchmarking.title(result)


def test_times_that_scatter_are_measured_again_and_the_quietest_count(process, tiny_method):
    noisy = [10.0, 20.0, 30.0, 40.0, 50.0]
    process.paces["tiny eager"] = [noisy, noisy, [11.0, 11.1, 11.2, 11.3, 11.4]]
    result = benchmarking.run(BenchRequest(methods=("tiny",)))
    found = result.rows[0].timing
    assert found is not None
    assert (found.median_ms, found.measurements, found.noisy) == (11.2, 3, False)
    assert any("1 row measured again" in notice for notice in benchmarking.notices(result))
    process.paces["tiny eager"] = [noisy]
    result = benchmarking.run(BenchRequest(methods=("tiny",)))
    assert result.noisy == 1
    assert any("the machine is noisy: 1 row" in each for each in benchmarking.notices(result))


def test_a_row_that_fails_costs_itself_alone(process, tiny_method):
    process.fails["time tiny eager"] = "killed by the system"
    request = BenchRequest(methods=("tiny",), backends=("plain", "eager", "compile"), rounds=2)
    result = benchmarking.run(request)
    assert [row.problem for row in result.rows] == [None, "killed by the system", None]
    assert result.failed == 1
    assert process.told.count("close") == 3


def test_rows_on_a_gpu_share_a_process_that_is_replaced_when_it_dies(process, tiny_method):
    process.kind = "cuda"
    process.fails["time tiny eager"] = "AcceleratorError: CUDA error: an illegal access"
    request = BenchRequest(methods=("tiny",), backends=("plain", "eager", "compile"), rounds=2)
    result = benchmarking.run(request)
    assert [row.problem is None for row in result.rows] == [True, False, True]
    assert process.told.count("start") == 2
    assert process.told.count("prepare tiny compile") == 2
    assert result.rows[0].timing.energy_j == 0.5


def test_the_table_of_a_gpu_takes_one_command(process, tiny_method, tmp_path, monkeypatch):
    script = load("gpu_table")
    asked = [str(tmp_path), "--quick", "--device", "cpu", "--method", "tiny"]
    process.fails["prepare tiny compile"] = "no compiler"
    assert script.main(asked) == 0
    data = json.loads((tmp_path / "bench.json").read_text())
    jobs = [row["job"] for row in data["rows"]]
    assert [job["backend"] for job in jobs[:3]] == ["plain", "eager", "eager"]
    assert {job["batch"] for job in jobs} == {1, 2, 4}
    assert {job["height"] for job in jobs} == {64, 128}
    assert "date" in data["machine"]
    assert (tmp_path / "bench.md").exists()
    assert script.main([*asked, "--seconds", "10"]) == 1, "no time for a row"


def test_a_bare_machine_gets_an_environment_first(tmp_path, monkeypatch):
    script = load("gpu_table")
    ran = []

    def run(command, **more):
        ran.append((command, more))
        return SimpleNamespace(returncode=0, stdout=str(tmp_path))

    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=run))
    monkeypatch.setattr(script.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["gpu_table.py", "table", "--venv", str(tmp_path)])
    assert script.main() == 0
    commands = [command for command, _ in ran]
    assert commands[0][1:] == ["-m", "venv", "--system-site-packages", str(tmp_path)]
    install = next(command for command in commands if "install" in command)
    assert sum(part.endswith("rainkit-granet") for part in install) == 1
    again, more = ran[-1]
    assert again[0].startswith(str(tmp_path))
    assert again[1:] == sys.argv
    assert float(more["env"][script.BEGUN]) > 0, "the time of the installation counts"


def load(name: str):
    """A script of examples/benchmarks/ as a module."""
    path = Path(__file__).parents[2] / "examples" / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_network_is_begun_after_the_time_is_up(process, tiny_method, monkeypatch):
    clock = iter((0.0, 10.0, 700.0))
    monkeypatch.setattr(running.time, "monotonic", lambda: next(clock))
    request = BenchRequest(methods=("tiny",), sizes=((32, 32), (64, 64)), seconds=480)
    result = benchmarking.run(request)
    assert [row.problem for row in result.rows] == [None, "not begun within 480 seconds"]


def test_a_process_that_dies_tells_its_last_words(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    process = running.Process()
    answer = process.ask(id=0, do="prepare")
    assert "its process ended with exit code 1" in answer["problem"]
    assert not process.alive
    process.close()


def test_rows_are_the_product_of_what_was_asked():
    request = BenchRequest(
        methods=("graspp-gan",),
        variants=True,
        sizes=((32, 48), (64, 64)),
        batches=(1, 4),
        precisions=("fp32", "bf16"),
        backends=("plain", "eager"),
        device="cpu",
    )
    jobs = jobs_of(request)
    variants = list(plugins.get("graspp-gan").variants)
    assert list(dict.fromkeys(job.variant for job in jobs)) == variants
    assert [(j.size, j.precision, j.backend) for j in jobs[:4]] == [
        ("32x48", "fp32", "plain"), ("32x48", "fp32", "eager"), ("32x48", "bf16", "eager"),
        ("32x48 x4", "fp32", "plain"),
    ], "plain torch has one precision"  # fmt: skip
    assert len(jobs) == len(variants) * 2 * 2 * 3


def test_a_broken_method_costs_its_rows_alone(process, tiny_method, monkeypatch):
    get = plugins.get

    def broken(name: str):
        if name == "broken":
            raise MethodError("method broken cannot be imported: reinstall it")
        return get(name)

    monkeypatch.setattr(plugins, "get", broken)
    result = benchmarking.run(BenchRequest(methods=("broken", "tiny"), device="cpu"))
    problem = "method broken cannot be imported: reinstall it"
    assert [row.problem for row in result.rows] == [problem, None]
    assert result.failed == 1
    text = benchmarking.markdown(result, "rainkit bench --all")
    assert f"failed: {problem}" in text
    assert "rainkit bench --all" in text


def test_wrong_requests_are_refused_before_anything_runs(process, tmp_path):
    for wrong, message in (
        ({"device": "abacus"}, "--device abacus: give auto, cpu, cuda, cuda:N or mps"),
        ({"precisions": ("int4",)}, "--precision int4: unknown; choose from auto, fp32, tf32"),
        ({"methods": ("no-such-method",)}, "no-such-method"),
        ({"onnx": (tmp_path / "no.onnx",)}, "no.onnx: no such file"),
        ({"imported": ("networks.PReNet",)}, "write module:callable"),
        ({"methods": ("graspp-gan=",)}, "--method graspp-gan=: name weights behind it"),
    ):
        request = {"methods": ("graspp-gan",), "device": "cpu"} | wrong
        with pytest.raises(UsageError, match=message):
            benchmarking.run(BenchRequest(**request))
    assert not process.told


@pytest.mark.parametrize("text", ["512x", "0x5", "-1x5", "axb", "1x2x3", "480p", ""])
def test_sizes_that_are_none(text):
    with pytest.raises(UsageError, match="HEIGHTxWIDTH"):
        benchmarking.parse_size(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512x768", (512, 768)), ("512", (512, 512)), ("1080p", (1080, 1920)), ("720P", (720, 1280))],
)
def test_a_size_is_height_by_width(text, size):
    assert benchmarking.parse_size(text) == size


def test_a_batch_is_a_number_or_its_doublings():
    assert benchmarking.parse_batch("3") == (3,)
    assert benchmarking.parse_batch("1-16") == (1, 2, 4, 8, 16)
    assert benchmarking.parse_batch("2-12") == (2, 4, 8, 12)
    for text in ("0", "4-2", "all"):
        with pytest.raises(UsageError, match="--batch"):
            benchmarking.parse_batch(text)


def test_a_target_is_called_by_its_callable():
    assert parse_target("networks.prenet:PReNet") == "PReNet"


def test_times_are_summarised_by_percentiles():
    found = summarised([float(n) for n in range(1, 102)])
    assert (found["median_ms"], found["p5_ms"], found["p95_ms"]) == (51, 6, 96)
    assert (found["iqr_ms"], found["fastest_ms"]) == (50, 1)
    assert spread([10.0, 10.0, 10.0]) == 0
    assert summarised([5.0])["p95_ms"] == 5


def test_the_least_time_is_the_sum_over_layers_of_the_slower_of_two():
    roofs = [
        Roof(device="chip", threads=1, precision="fp32", gflop_s=100, gb_s=10),
        Roof(device="chip", threads=1, precision="bf16", gflop_s=400, gb_s=10),
    ]
    layers = [
        ("fp32", 100_000_000, 1_000, 2),  # 1 ms of arithmetic, twice
        ("bf16", 100_000_000, 50_000_000, 1),  # 5 ms of traffic
    ]
    assert least_time(layers, roofs, "chip", 1) == pytest.approx(0.007)
    assert least_time(layers, roofs[:1], "chip", 1) is None
    assert least_time(layers, roofs, "another", 1) is None


def test_tables_hold_every_row_and_escape_what_they_must(tmp_path):
    rows = (
        Row(job=Job(method="m_1", batch=4), timing=timing(roof_ms=1.234, energy_j=0.5)),
        Row(job=Job(method="m_2"), problem="out of memory"),
    )
    result = Benchmark(rows=rows, machine=MACHINE)
    text = benchmarking.markdown(result)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    for cell in ("1,234,567", "512x512 x4", "bf16", "10%", "324", "0.5"):
        assert cell in table[2], "the precision that ran, not the one asked for"
    assert "failed: out of memory" in table[3]
    assert "file ms" not in text, "nobody asked for whole files"
    assert "above 100 %" not in text
    above = replace(result, rows=(Row(job=Job(method="m"), timing=timing(roof_ms=20.0)),))
    assert "1 row above 100 % of the limit" in benchmarking.markdown(above)
    tex = benchmarking.latex(result)
    assert r"m\_1" in tex
    assert r"10\%" in tex
    assert r"\toprule" in tex
    read = list(csv.DictReader(io.StringIO(benchmarking.comma_separated(result))))
    assert [row["kind"] for row in read] == ["measured", "failed"]
    assert read[0]["median_ms"] == "12.34"
    assert read[1]["problem"] == "out of memory"
    benchmarking.write(text, tmp_path / "new/table.md")
    assert (tmp_path / "new/table.md").read_text() == text


def test_labels_may_hold_whatever_names_of_files_hold():
    odd = 'a|b & c_d\n[e] 5% "f", ~g^ *h*'
    rows = (
        Row(
            job=Job(method=odd, source="onnx", target=f"{odd}.onnx"),
            timing=timing(median_ms=0.941),
        ),
        Row(job=Job(method="tiny", weights="my_net.safetensors"), problem="first\nsecond | third"),
    )
    result = Benchmark(rows=rows, machine=MACHINE)
    table = [line for line in benchmarking.markdown(result).splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert r"| a\|b & c_d [e]" in table[2]
    assert "| 0.94 |" in table[2], "fast networks have two decimals"
    assert "failed: first second" in table[3]
    body = [line for line in benchmarking.latex(result).splitlines() if line.endswith(r" \\")]
    assert len(body) == 3
    assert len({line.replace(r"\&", "").count("&") for line in body}) == 1
    assert body[1].startswith(r"a\textbar{}b \& c\_d {[}e] 5\% ")
    assert "*h*" in body[1], "no mark of bold text"
    read = list(csv.DictReader(io.StringIO(benchmarking.comma_separated(result))))
    assert [row["method"] for row in read] == [odd, "tiny"]
    assert [row["weights"] for row in read] == ["", "my_net.safetensors"]
    assert read[1]["problem"] == "first\nsecond | third"


def test_rows_are_json():
    row = Row(job=Job(method="m"), timing=timing())
    data = json.loads(json.dumps(row.to_data()))
    assert data["timing"]["gflop"] == 115.66
    assert data["timing"]["pictures_per_s"] == pytest.approx(1000 / 12.34)
    assert data["job"]["width"] == 512


def measured(*names: str, **changes) -> Benchmark:
    rows = tuple(Row(job=Job(method=name), timing=timing(**changes)) for name in names)
    roofs = (Roof(device="a|b", threads=2, precision="bf16", gflop_s=100, gb_s=10),)
    return Benchmark(rows=rows, machine=MACHINE, roofs=roofs)


def test_a_row_that_became_slower_than_the_bar_is_named(tmp_path):
    old = tmp_path / "bench.json"
    old.write_text(json.dumps(measured("a", "b", "gone").to_data()))
    now = measured("a", "b", "new")
    slow = replace(now.rows[1], timing=timing(median_ms=13.7))
    now = replace(now, rows=(now.rows[0], slow, now.rows[2]))
    before = benchmarking.earlier(tmp_path)
    strict = benchmarking.compared(now, before, old, 0.1)
    assert [change.slower for change in strict.changes] == [False, True]
    assert strict.missed
    assert strict.changes[1].cells()[4:] == ("12.3", "13.7", "+11.0%", "slower")
    assert strict.notes == (f"1 row not in {old}", f"1 row of {old} not measured now")
    assert not benchmarking.compared(now, before, old, 0.2).missed
    assert strict.to_data()["rows"][1]["slower"]


def earlier(data, folder):
    (folder / "bench.json").write_text(json.dumps(data))
    return benchmarking.earlier(folder)


def test_rows_of_another_device_are_not_compared(tmp_path):
    before = earlier(measured("a", device="another").to_data(), tmp_path)
    found = benchmarking.compared(measured("a"), before, tmp_path, 0.1)
    assert found.changes == ()
    assert found.missed, "nothing was checked"
    assert "another device" in found.notes[0]


def test_a_device_whose_own_pace_has_changed_is_told(tmp_path):
    before = measured("a").to_data()
    before["roofline"][0]["gflop_s"] = 200
    found = benchmarking.compared(measured("a"), earlier(before, tmp_path), tmp_path, 0.1)
    assert "now reaches 100 GFLOP/s, and 200 then" in found.notes[0]


GONE = object()
NUMBERS = (GONE, None, "fast", [], {}, True, 0, -1, float("nan"), float("inf"), 10**400)
TEXTS = (GONE, None, 1, [], {})
DAMAGES = {
    ("rows", 0): (None, [], 7),
    ("rows", 0, "job"): (GONE, None, [], "tiny"),
    ("rows", 0, "timing"): (GONE, [], "late", 1, {"median_ms": 3}),
    ("roofline",): (None, {}, 5, [[]], [None]),
    **{("rows", 0, "timing", name): NUMBERS for name in ("median_ms", "threads")},
    **{("rows", 0, "timing", name): TEXTS for name in ("device", "precision")},
    **{("rows", 0, "job", name): NUMBERS for name in ("height", "width", "batch")},
    **{("rows", 0, "job", name): TEXTS for name in ("method", "variant", "backend")},
    **{("rows", 0, "job", name): ([], {}, 3) for name in ("source", "target", "weights")},
    **{("roofline", 0, name): NUMBERS for name in ("gflop_s", "threads")},
    **{("roofline", 0, name): TEXTS for name in ("device", "precision")},
}
STRANGE = (
    "", "null", "[]", '"rows"', "no json", '{"rows": [{"job"', "\0\x80", "[" * 99_999,
    f'{{"rows": {"9" * 5000}}}', '{"results": [{"mean": 1.5}]}', '{"rows": [1]}',
    '{"rows": [null]}', '{"rows": null}', '{"rows": {"job": {}, "timing": {}}}',
    '{"rows": [{"job": {}}]}', '{"rows": [{"timing": {}}]}',
)  # fmt: skip


@pytest.mark.parametrize("place", [(), *DAMAGES], ids=lambda place: ".".join(map(str, place)))
def test_a_file_that_bench_did_not_write_is_refused_in_one_line(tmp_path, place):
    """Files of other tools, and ours with one value taken out or made another."""
    file = tmp_path / "old.json"
    texts = list(STRANGE) if not place else []
    for value in DAMAGES.get(place, ()):
        data = at = measured("a").to_data()
        *outer, last = place
        for part in outer:
            at = at[part]
        at[last] = value
        if value is GONE:
            del at[last]
        texts.append(json.dumps(data))
    for text in texts:
        file.write_text(text, encoding="latin-1")
        with pytest.raises(UsageError) as refused:
            benchmarking.earlier(file)
        said = str(refused.value)
        assert said.startswith(f"--compare {file}: is not what rainkit bench writes ("), text[:99]
        assert said.endswith("; give its --json, or the folder of its --output")
        assert "\n" not in said
        assert len(said) < 400 + len(str(file))


def test_a_file_is_read_in_the_encodings_of_shells(tmp_path):
    file, whole = tmp_path / "old.json", measured("a")
    with pytest.raises(UsageError, match="cannot be read"):
        benchmarking.earlier(file)
    for encoding in ("utf-8-sig", "utf-16"):  # as PowerShell writes them
        file.write_text(json.dumps(whole.to_data()), encoding=encoding)
        assert len(benchmarking.compared(whole, benchmarking.earlier(file), file, 0).changes) == 1


def test_the_command_refuses_a_damaged_file_before_it_measures(rainkit, process, tmp_path):
    data = measured("a").to_data()
    del data["rows"][0]["timing"]["median_ms"]
    (tmp_path / "bench.json").write_text(json.dumps(data))
    asked = ("bench", "-m", "graspp-gan", "--device", "cpu", "--compare", tmp_path)
    code, out, err = rainkit(*asked)
    assert (code, out) == (2, "")
    assert "rows.0.timing.median_ms: Field required" in err
    code, _, err = rainkit(*asked, "--bar", "nan")
    assert (code, "'--bar'" in err) == (2, True), "a bar that every row passes"
    code, _, err = rainkit(*asked[:-2], "--markdown", tmp_path, "--overwrite")
    assert (code, "is a folder; name a file" in err) == (2, True), err
    assert not process.told


def test_rows_of_files_with_one_name_are_told_apart(tmp_path):
    def files(*rows: tuple[str, float]) -> Benchmark:
        return replace(
            measured(),
            rows=tuple(
                Row(
                    job=Job(method="net", source="onnx", target=target),
                    timing=timing(median_ms=ms),
                )
                for target, ms in rows
            ),
        )

    before = earlier(files(("a/net.onnx", 10.0), ("b/net.onnx", 99.0)).to_data(), tmp_path)
    found = benchmarking.compared(files(("b/net.onnx", 99.0)), before, tmp_path, 0.1)
    assert [change.before_ms for change in found.changes] == [99]
    assert found.notes == (f"1 row of {tmp_path} not measured now",)
    moved = benchmarking.compared(files(("c/net.onnx", 10.0)), before, tmp_path, 0.1)
    assert [change.before_ms for change in moved.changes] == [10]


def test_the_figure_sets_quality_over_time_and_size(tmp_path, without_layout):
    from rainkit.benchmarking.figure import points
    from rainkit.published import published_rows

    names = "graspp-gan", "timelapse", "prenet"
    result = measured(*names)
    slower = replace(result.rows[0], timing=timing(median_ms=99.0))
    printed = published_rows(map(plugins.get, names))
    result = replace(
        result,
        rows=(slower, *result.rows),
        published=tuple(row for row in printed if row.result.seconds),
    )
    older, file = (
        Row(job=replace(result.rows[0].job, weights=weights), timing=timing(median_ms=1.0))
        for weights in ("rain-v1", "own.safetensors")
    )
    result = replace(result, rows=(*result.rows, older, file))
    drawn = points(result)
    own = {point.name: point for point in drawn if not point.published}
    assert set(own) == {"graspp-gan", "graspp-gan rain-v1", "timelapse"}, (
        "of prenet and of a file no score is known"
    )
    assert own["graspp-gan rain-v1"].psnr != own["graspp-gan"].psnr
    assert own["graspp-gan"].ms == 12.34, "the fastest row counts"
    rivals = {point.name: point.ms for point in drawn if point.published}
    assert rivals["JORDER (device not named), Time-Lapse Deraining's paper"] == 180, (
        "as the paper prints it"
    )
    assert len({point.dataset for point in drawn}) == 1
    file = tmp_path / "bench.svg"
    assert benchmarking.write_figure(result, file)
    assert "hollow: published" in file.read_text()
    assert not benchmarking.write_figure(measured("prenet"), tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()

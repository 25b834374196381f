"""Work on Ray: a cluster of two machines, of which one dies, does what this process would do."""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rainkit import images, inference
from rainkit.api import Method
from rainkit.choices import Engine as Place
from rainkit.engine import Done, Engine, Failed, Work, open_engine
from rainkit.errors import ImageError, UsageError, WorkerError
from rainkit.evaluation.methods import MethodRequest
from rainkit.evaluation.metrics.protocols import protocol
from rainkit.evaluation.run import EvalRequest, Evaluation
from rainkit.evaluation.run import run as evaluation_run
from rainkit.inference import InferRequest, Outcome, Progress
from rainkit.runtime_options import RuntimeOptions
from rainkit.synthesis.request import SynthRequest
from rainkit.synthesis.run import synthesise

ray = pytest.importorskip("ray", reason="needs rainkit[ray]")
ray_cluster = importlib.import_module("rainkit.engine.ray_cluster")
pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="Ray's test cluster needs POSIX"),
    pytest.mark.filterwarnings("default"),  # Ray's own are not ours to mend
]

SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_log_monitor": False}
QUICK = {
    "enable_metrics_collection": False,
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 3,
    "prestart_worker_first_driver": False,
    "worker_niceness": 0,
}


@pytest.mark.parametrize(
    ("address", "told"),
    [("ray://there:10001", "cannot follow"), ("127.0.0.1:9", "refused"), ("there:x", "'x'")],
)
def test_an_address_without_a_cluster_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match=f"RAY_ADDRESS={address}.*{told}"):
        open_engine("ray", workers=1)


class _Stopped(KeyboardInterrupt):
    """What a handler of SIGTERM raises."""


def test_a_stop_while_ray_starts_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(number: int, frame: Any) -> None:
        raise _Stopped

    def init(**options: Any) -> None:
        (Path(options["_temp_dir"]) / "session").mkdir()
        ray._private.utils.set_sigterm_handler(signal.SIG_DFL)  # as Ray does
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    made: list[Path] = []
    make = tempfile.mkdtemp

    def noted(**options: Any) -> str:
        made.append(Path(make(**options)))
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", noted)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(_Stopped):
            open_engine("ray", workers=1)
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(made) == 1
    assert not made[0].exists()


class _Unborn:
    """A worker that no machine has begun to start."""

    def __init__(self, *asked: Any) -> None:
        self.about = self

    def future(self) -> Future[dict[str, str]]:
        return Future()

    def kill(self) -> None:
        """There is nothing to end."""


class _NoConnection:
    def close(self) -> None:
        """There is nothing to leave."""


@pytest.mark.parametrize(
    ("machines", "told"),
    [([{"Alive": False}], "Ray has ended"), ([{"Alive": False}, {"Alive": True}], "no room")],
)
def test_workers_are_not_awaited_from_a_cluster_without_machines(
    monkeypatch: pytest.MonkeyPatch, machines: list[dict[str, bool]], told: str
) -> None:
    monkeypatch.setattr(ray_cluster, "_Worker", _Unborn)
    monkeypatch.setattr(ray_cluster, "_GLANCE", 0.01)
    monkeypatch.setattr(ray_cluster, "_ROOM", 0.05)
    monkeypatch.setattr(ray, "nodes", lambda: machines)
    workers = ray_cluster.RayWorkers(_NoConnection(), 1, 8, None, {})
    with workers as engine, pytest.raises(WorkerError, match=told):
        list(engine.run(Work.calling(abs), [1]))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(
            initialize_head=True,
            head_node_args=SMALL | {"no_monitor": True, "_system_config": QUICK},
        )
        made.second = made.add_node(**SMALL)
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def two(cluster: Any, tiny_method: Method) -> Iterator[Engine]:
    """Two workers, which find the methods that this process finds."""
    before = signal.getsignal(signal.SIGTERM)
    with open_engine("ray", workers=2) as engine:
        assert signal.getsignal(signal.SIGTERM) is before
        yield engine
    assert not ray.is_initialized()


class Scaled:
    """A function that was set up; it leaves a file for each time that was done."""

    def __init__(self, folder: Path) -> None:
        (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()

    def __call__(self, item: int) -> int:
        if item == 13:
            raise ImageError("13.png: is damaged")
        return 2 * item


def test_outcomes_are_those_of_the_local_engine(two: Engine, tmp_path: Path) -> None:
    work = Work(partial(Scaled, tmp_path))
    taken = []

    def items() -> Iterator[Any]:
        for item in (*range(10, 16), lambda: None, *range(20, 60)):
            taken.append(item)
            yield item

    outcomes = two.run(work, items())
    found = [next(outcomes) for _ in range(8)]
    assert len(taken) <= 8 + 16  # eight times the workers
    assert [type(each) for each in found] == [Done] * 3 + [Failed] + [Done] * 2 + [Failed, Done]
    assert [each.get() for each in found if isinstance(each, Done)] == [20, 22, 24, 28, 30, 40]
    assert isinstance(found[3], Failed)
    assert found[3].reason == "13.png: is damaged"
    assert [each.get() for each in outcomes] == [2 * item for item in range(21, 60)]
    processes = [path.name.partition("-")[0] for path in tmp_path.iterdir()]
    assert len(processes) == len(set(processes)) <= 2
    assert str(os.getpid()) not in processes


def test_ray_prints_nothing_where_results_go(
    two: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"lines": ["A worker died"], "pid": "raylet", "is_err": False}
    ray._private.worker.print_to_stdstream(told, ignore_prefix=False)
    assert capsys.readouterr().out == ""


def _refuse() -> Callable[[int], int]:
    raise UsageError("--depth nothing: no such network")


def test_a_set_up_that_fails_ends_the_run(two: Engine) -> None:
    with pytest.raises(UsageError, match="no such network"):
        list(two.run(Work(_refuse), range(3)))


def test_a_device_that_ray_lacks_or_chooses_itself_is_refused(two: Engine) -> None:
    for device, told in (("cuda", "no machine of the Ray cluster"), ("cuda:1", "Ray chooses GPUs")):
        with pytest.raises(UsageError, match=told):
            open_engine("ray", workers=1, device=device)


class _Lent(Engine):
    """The two workers for another command, which leaves them running."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, work: Any, items: Any) -> Any:
        return self._engine.run(work, items)

    def close(self) -> None:
        """The workers go on."""


@pytest.fixture
def lent(two: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "connect", lambda *asked: _Lent(two))


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.png"))
    }


def _interrupted(outputs: Path) -> Progress:
    class Interrupted(Progress):
        """Ctrl-C when the first picture is done and the worker has written the second one."""

        def advance(self, outcome: Outcome) -> None:
            deadline = time.monotonic() + 60
            while not list(outputs.glob(".rainkit-*.png")) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert list(outputs.glob(".rainkit-*.png"))
            raise KeyboardInterrupt

    return Interrupted()


@pytest.mark.parametrize("shard", [None, "1/1"])
def test_a_run_that_is_stopped_leaves_no_temporary_file(
    monkeypatch: pytest.MonkeyPatch,
    photos: Path,
    tiny_weights: Path,
    tmp_path: Path,
    shard: str | None,
) -> None:
    def local_workers(*asked: Any) -> Engine:
        return open_engine("processes", workers=1)

    monkeypatch.setattr(ray_cluster, "connect", local_workers)
    out = tmp_path / "out"
    request = with_parts(photos, tiny_weights, out, Place.RAY)
    with pytest.raises(KeyboardInterrupt):
        inference.infer(dataclasses.replace(request, shard=shard), _interrupted(out))
    assert len(list(out.glob("[0-9]*.png"))) == 1
    assert not [*tmp_path.rglob(".rainkit-*.png")]


def with_parts(photos: Path, weights: Path, out: Path, engine: Place) -> InferRequest:
    return InferRequest(
        inputs=(photos,),
        method="tiny",
        weights=str(weights),
        output=out,
        parts=True,
        options=RuntimeOptions(device="cpu"),
        engine=engine,
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(5):
        rng = np.random.default_rng(number)
        rgb = rng.integers(0, 255, (20 + number, 24, 3), dtype=np.uint8)
        images.write(folder / f"{number}.png", images.Picture(rgb))
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:-40])
    return folder


def test_infer_writes_and_records_what_this_process_would(
    lent: None, photos: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    ours = inference.infer(with_parts(photos, tiny_weights, tmp_path / "ours", Place.LOCAL))
    theirs = inference.infer(with_parts(photos, tiny_weights, tmp_path / "theirs", Place.RAY))
    assert [each.status for each in theirs.outcomes] == ["done", "done", "done", "failed", "done"]
    assert [each.error for each in theirs.outcomes] == [each.error for each in ours.outcomes]
    assert str(theirs.device).endswith("on Ray")
    for suffix in ("", "-parts"):
        made = _bytes(tmp_path / f"theirs{suffix}")
        assert len(made) == 4
        assert made == _bytes(tmp_path / f"ours{suffix}")
    # The record tells how they were made.
    again = inference.infer(with_parts(photos, tiny_weights, tmp_path / "theirs", Place.LOCAL))
    assert [each.status for each in again.outcomes].count("skipped") == 4


def test_eval_scores_and_keeps_what_this_process_would(
    lent: None, photos: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    (photos / "3.png").unlink()
    pairs = tmp_path / "pairs"
    shutil.copytree(photos, pairs / "input")
    shutil.copytree(photos, pairs / "target")

    def evaluate(keep: Path, engine: Place) -> Evaluation:
        source = MethodRequest(
            method="tiny",
            weights=str(tiny_weights),
            datasets=(pairs,),
            protocols=(protocol("rgb"),),
            keep=keep,
            options=RuntimeOptions(device="cpu"),
        )
        return evaluation_run(EvalRequest(sources=(source,), metrics=("mae",), engine=engine))

    def rows(found: Evaluation) -> list[Any]:
        return [replace(row, milliseconds=None) for row in found.comparisons[0].scores[0].rows]

    ours = evaluate(tmp_path / "ours", Place.LOCAL)
    theirs = evaluate(tmp_path / "theirs", Place.RAY)
    assert len(rows(theirs)) == 4
    assert rows(theirs) == rows(ours)
    assert _bytes(tmp_path / "theirs") == _bytes(tmp_path / "ours") != {}
    kept = {path.stat().st_mtime_ns for path in (tmp_path / "theirs").rglob("*.png")}
    for engine in Place:  # kept pictures are used again, whoever asks
        assert rows(evaluate(tmp_path / "theirs", engine)) == rows(ours)
    assert {path.stat().st_mtime_ns for path in (tmp_path / "theirs").rglob("*.png")} == kept


def test_synth_makes_what_this_process_would(lent: None, photos: Path, tmp_path: Path) -> None:
    made = {}
    for engine in Place:
        out = tmp_path / engine
        result = synthesise(
            SynthRequest(inputs=(str(photos),), out=out, workers=1, variants=2, engine=engine)
        )
        assert len(result.failures) == 1
        made[engine] = _bytes(out) | {"manifest": (out / "manifest.jsonl").read_bytes()}
    assert len(made[Place.RAY]) == 2 * 8 + 1
    assert made[Place.RAY] == made[Place.LOCAL]


def _die_here_or_there(folder: Path, doomed: str, item: int) -> int:
    attempts = folder / str(item)
    attempts.mkdir(exist_ok=True)
    first = not list(attempts.iterdir())
    (attempts / str(time.monotonic_ns())).touch()
    if item == 3 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    if item >= 8 and ray.get_runtime_context().get_node_id() == doomed:
        (folder / "doomed").touch()
        time.sleep(60)  # until the machine dies
    deadline = time.monotonic() + 60
    while item >= 8 and not (folder / "doomed").exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # else this machine may do everything while the other one starts again
    return item


def test_a_killed_worker_and_a_killed_machine_lose_nothing(
    cluster: Any, two: Engine, tmp_path: Path
) -> None:
    """Keep this the last test: it leaves one machine."""

    def kill_machine() -> None:
        deadline = time.monotonic() + 60
        while not (tmp_path / "doomed").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        cluster.remove_node(cluster.second, allow_graceful=False)

    killer = threading.Thread(target=kill_machine)
    killer.start()
    work = Work.calling(_die_here_or_there, tmp_path, cluster.second.node_id)
    outcomes = list(two.run(work, range(60)))
    killer.join()
    assert outcomes == [Done(item, item) for item in range(60)]
    assert (tmp_path / "doomed").exists()
    attempts = {int(p.name): len(list(p.iterdir())) for p in tmp_path.iterdir() if p.is_dir()}
    again = {item for item, count in attempts.items() if count > 1}
    assert 3 in again
    assert len(again) == 2

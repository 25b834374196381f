"""Where work runs: order, laziness, failures, lost workers, and ends without orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from rainkit.engine import Done, Engine, Failed, Work, here, open_engine, paying_workers
from rainkit.errors import ImageError, UsageError, WorkerError


@pytest.fixture(scope="module")
def two() -> Iterator[Engine]:
    with open_engine("processes", workers=2) as engine:
        yield engine
    assert not _workers()


@pytest.fixture(scope="module", params=["here", "threads", "processes"])
def engine(request: pytest.FixtureRequest, two: Engine) -> Iterator[Engine]:
    if request.param == "processes":
        yield two
        return
    with here() if request.param == "here" else open_engine("threads", workers=2) as engine:
        yield engine


def _workers() -> list[psutil.Process]:
    """Worker processes of this one, which leave multiprocessing's own tracker out."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if any("spawn_main" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


class Scaled:
    """A function that was set up; it leaves a file for each time that was done."""

    def __init__(self, factor: int, folder: Path | None = None) -> None:
        self.factor = factor
        if folder is not None:
            (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()

    def __call__(self, item: int) -> int:
        if item == 13:
            raise ImageError("13.png: is damaged")
        if item == 14:
            raise ZeroDivisionError("fourteen")
        time.sleep(0.02 * (item % 3))
        return self.factor * item


def test_outcomes_come_in_the_order_of_the_items(engine: Engine) -> None:
    outcomes = list(engine.run(Work(partial(Scaled, 2)), range(10)))
    assert outcomes == [Done(item, 2 * item) for item in range(10)]
    assert list(engine.run(Work(partial(Scaled, 2)), [])) == []


def test_a_failing_item_is_a_result_and_the_others_go_on(engine: Engine) -> None:
    outcomes = list(engine.run(Work(partial(Scaled, 1)), [12, 13, 14, 15]))
    assert [type(outcome) for outcome in outcomes] == [Done, Failed, Failed, Done]
    damaged, divided = outcomes[1:3]
    assert isinstance(damaged, Failed)
    assert (damaged.item, damaged.reason) == (13, "13.png: is damaged")
    with pytest.raises(ImageError, match=r"13\.png"):
        damaged.get()
    assert isinstance(divided, Failed)
    assert divided.reason == "ZeroDivisionError: fourteen"
    assert outcomes[3].get() == 15


def test_items_are_taken_only_a_few_ahead(engine: Engine) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    outcomes = engine.run(Work(partial(Scaled, 1)), items())
    assert not taken
    for number in range(5):
        assert next(outcomes).get() == number
        assert len(taken) <= number + 6  # twice the workers
    outcomes.close()  # type: ignore[attr-defined]
    assert len(taken) <= 10


def test_in_this_process_nothing_is_done_before_it_is_asked_for() -> None:
    done: list[int] = []
    outcomes = here().run(Work.calling(done.append), iter([1, 2, 3]))
    assert done == []
    next(outcomes)
    assert done == [1]


def test_set_up_happens_once_in_each_worker(two: Engine, tmp_path: Path) -> None:
    work = Work(partial(Scaled, 3, tmp_path))
    for _ in range(2):
        assert [each.get() for each in two.run(work, range(9))] == list(range(0, 27, 3))
    processes = [path.name.partition("-")[0] for path in tmp_path.iterdir()]
    assert len(processes) == len(set(processes)) <= 2
    assert str(os.getpid()) not in processes


def test_one_engine_does_several_works(engine: Engine) -> None:
    twice, thrice = Work(partial(Scaled, 2)), Work(partial(Scaled, 3))
    both = zip(engine.run(twice, range(4)), engine.run(thrice, range(4)), strict=True)
    assert [(a.get(), b.get()) for a, b in both] == [(2 * i, 3 * i) for i in range(4)]


def _refuse() -> Callable[[int], int]:
    raise UsageError("--depth nothing: no such network")


def test_a_set_up_that_fails_ends_the_run(engine: Engine) -> None:
    once = Work(partial(Scaled, 1))
    assert [each.get() for each in engine.run(once, [1])] == [1]
    with pytest.raises(UsageError, match="no such network"):
        list(engine.run(Work(_refuse), range(3)))
    assert [each.get() for each in engine.run(once, [1])] == [1]


class _UnsendableError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("wants two")


def _odd(item: Any) -> Any:
    if item == 1:
        raise _UnsendableError(1, 2)
    if item == 2:
        return lambda: None
    return item


def test_what_cannot_be_sent_is_the_failure_of_its_item(two: Engine) -> None:
    outcomes = list(two.run(Work.calling(_odd), [0, 1, 2, lambda: None, 4]))
    assert [type(each) for each in outcomes] == [Done, Failed, Failed, Failed, Done]
    assert "wants two" in outcomes[1].reason  # type: ignore[union-attr]


def test_an_unexpected_error_tells_where_in_the_worker_it_arose(two: Engine) -> None:
    (outcome,) = two.run(Work(partial(Scaled, 1)), [14])
    assert isinstance(outcome, Failed)
    assert "in __call__" in "".join(outcome.error.__notes__)


def _die_once(folder: Path, item: int) -> int:
    marker = folder / str(item)
    if item in (2, 5) and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_items_of_a_lost_worker_run_again(two: Engine, tmp_path: Path) -> None:
    outcomes = list(two.run(Work.calling(_die_once, tmp_path), range(8)))
    assert outcomes == [Done(item, item) for item in range(8)]
    assert {path.name for path in tmp_path.iterdir()} == {"2", "5"}


def _die_always(folder: Path, item: int) -> int:
    if item == 2:
        (folder / str(time.monotonic_ns())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_an_item_that_kills_every_worker_fails_alone(two: Engine, tmp_path: Path) -> None:
    outcomes = list(two.run(Work.calling(_die_always, tmp_path), range(6)))
    assert [each.item for each in outcomes if isinstance(each, Done)] == [0, 1, 3, 4, 5]
    failed = outcomes[2]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, WorkerError)
    assert "fewer --workers" in failed.reason
    assert len(list(tmp_path.iterdir())) == 3


def _die_in_set_up() -> Callable[[int], int]:
    os._exit(7)


def test_workers_that_die_while_they_are_set_up_end_the_run(two: Engine) -> None:
    with pytest.raises(WorkerError, match="exit code 7"):
        list(two.run(Work(_die_in_set_up), [1]))


class _Library:
    """Stands for OpenCV or torch."""

    threads = 8

    def set_threads(self, number: int) -> None:
        self.threads = number

    setNumThreads = set_num_threads = set_threads  # noqa: N815


def _with_libraries() -> Callable[[int], tuple[int, int, str | None]]:
    cv2, torch = _Library(), _Library()
    sys.modules["cv2"], sys.modules["torch"] = cv2, torch  # type: ignore[assignment]
    return lambda item: (cv2.threads, torch.threads, os.environ.get("OMP_NUM_THREADS"))


def test_libraries_use_as_many_threads_as_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    for threads, found in ((3, (3, 3, "3")), (None, (1, 8, "7"))):
        with open_engine("processes", workers=1, threads=threads) as engine:
            assert [each.get() for each in engine.run(Work(_with_libraries), [0])] == [found]


SCRIPT = """
import sys, time
from pathlib import Path
from rainkit.engine import Work, open_engine

def write_slowly(folder, item):
    path = folder / f"{item}.part"
    try:
        path.touch()
        time.sleep(60)
    finally:
        path.unlink()

if __name__ == "__main__":
    with open_engine("processes", workers=2) as engine:
        for outcome in engine.run(Work.calling(write_slowly, Path(sys.argv[1])), range(4)):
            pass
"""


@pytest.mark.parametrize(
    ("number", "group"),
    [
        (signal.SIGINT, False),
        (signal.SIGINT, True),
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),
        (signal.SIGKILL, False),
    ],
)
def test_no_worker_outlives_its_parent(tmp_path: Path, number: signal.Signals, group: bool) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "made"
    folder.mkdir()
    script.write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait(lambda: len(list(folder.iterdir())) == 2)
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert len(workers) >= 2
    if group:
        os.killpg(parent.pid, number)
    else:
        parent.send_signal(number)
    _, told = parent.communicate(timeout=30)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    assert not list(folder.iterdir())  # what was half written is removed
    if number == signal.SIGINT:  # workers say nothing
        assert told.count("KeyboardInterrupt") == 1, told


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_consumer_that_raises_leaves_no_worker(two: Engine) -> None:
    def consume() -> None:
        for _ in two.run(Work(partial(Scaled, 1)), range(50)):
            raise KeyError("a bug of the consumer")

    with pytest.raises(KeyError):
        consume()
    assert [each.get() for each in two.run(Work(partial(Scaled, 1)), [4])] == [4]


def test_a_lower_number_of_workers_than_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--workers -1"):
        open_engine(workers=-1)


@pytest.mark.parametrize(
    ("items", "wanted", "most", "workers"),
    [(1000, 4, 1000, 4), (1000, 4, 3, 3), (1000, 1, 9, 0), (10, None, 9, 0), (9, 2, 1, 0)],
)
def test_processes_are_started_only_if_they_pay(
    items: int, wanted: int | None, most: int, workers: int
) -> None:
    assert paying_workers(items, wanted, most) == workers

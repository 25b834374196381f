"""What a job costs beside its pictures: the engine's time, the record, the driver's memory.

    python examples/benchmarks/cluster_overhead.py --items 100000 --engine ray --workers 2

The items pass through the engine as in rainkit infer, and workers do nothing with them. The driver
plans them, notes each in the record as if it were derained, and keeps its outcome.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from pathlib import Path

import psutil

from rainkit.choices import Engine
from rainkit.engine import Work, here, open_engine
from rainkit.errors import exiting
from rainkit.images import PictureFile
from rainkit.inference.outcomes import Outcome
from rainkit.inference.outputs import Job, plan
from rainkit.inference.record import Records

SETTINGS = {"method": "none", "weights": "none", "sha256": "0" * 64, "quality": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--engine", choices=list(Engine), default=Engine.RAY)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--unsynced", action="store_true", help="do not wait for the disk after each line"
    )
    asked = parser.parse_args()
    if asked.unsynced:
        os.fsync = lambda fd: None

    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "in"), Path(folder, "out")
        engine = (
            here() if asked.engine == Engine.LOCAL else open_engine("ray", workers=asked.workers)
        )
        with engine, Records(SETTINGS) as records:
            work = Work.calling(type)
            for _ in engine.run(work, [0]):
                pass  # the workers are there
            before = _memory()
            found = [
                PictureFile(root / name, Path(name), root)
                for n in range(asked.items)
                for name in [f"camera-{n % 100:02}/2026-11-28/{n:09}.jpg"]
            ]
            jobs = plan(found, "none", out, overwrite=False).jobs
            planned = _memory()
            records.begin(jobs)
            start = time.perf_counter()
            outcomes = []
            noting = 0.0
            for outcome in engine.run(work, jobs):
                outcome.get()
                began = time.perf_counter()
                outcomes.append(_note(records, outcome.item))
                noting += time.perf_counter() - began
            seconds = time.perf_counter() - start - noting
            after = _memory()
        (record,) = out.glob(".rainkit-infer*.jsonl")
        size = record.stat().st_size
    n = asked.items
    print(f"{n} items, engine {asked.engine}, {asked.workers} workers")
    print(f"engine: {seconds:.1f} s, {n / seconds:.0f} items a second")
    print(f"record: {noting:.1f} s, {n / noting:.0f} lines a second, {size / n:.0f} bytes a line")
    print(
        f"driver: {before / 2**20:.0f} MiB before, {(planned - before) / n:.0f} bytes an item "
        f"planned, {(after - planned) / n:.0f} bytes an item done"
    )


def _note(records: Records, job: Job) -> Outcome:
    digest = hashlib.sha256(str(job.input).encode()).hexdigest()
    stamp = "1234567-1764320000000000000"
    records.done(job, source=digest, seen=stamp, output=digest, written=stamp, seconds=0.123)
    return Outcome(input=job.input, output=job.output, seconds=0.123, size=(4000, 3000))


def _memory() -> int:
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    with exiting():
        main()

"""One row in a process of its own: ``python -m rainkit.benchmarking.worker``.

A fresh process gives a clean memory figure, and one method that runs out of memory or crashes
costs its row and not the table. The job comes as JSON on standard input, the row goes as JSON to
standard output; what plugins print goes to standard error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

from rainkit.benchmarking.jobs import Job, Row, Timing
from rainkit.errors import RainkitError, UsageError

__all__ = ["main", "row"]


def row(job: Job) -> Row:
    """Run a job in a fresh interpreter; whatever goes wrong there becomes the row's problem."""
    environment = os.environ.copy()
    # Spinning threads slow small networks up to ten times where the machine is shared.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("GOMP_SPINCOUNT", "0")
    done = subprocess.run(
        [sys.executable, "-m", "rainkit.benchmarking.worker"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return Row(job=job, problem=_death(done.returncode, done.stderr))
    timing = answer["timing"]
    return Row(
        job=job,
        timing=timing and Timing(**timing),
        problem=answer["problem"],
        usage=answer["usage"],
    )


def _death(code: int, stderr: str) -> str:
    if code == -9:
        return "killed by the system, most likely for want of memory: take a smaller --size"
    last = stderr.strip().splitlines()[-1:] or ["it said nothing"]
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"its process ended with {how}: {last[0]}"


def main() -> None:
    """The child's side."""
    # Our answer keeps the real standard output; prints of plugins and libraries do not reach it.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = Job(**json.load(sys.stdin))
    try:
        from rainkit.benchmarking.timing import measure

        result = Row(job=job, timing=measure(job))
    except RainkitError as error:
        result = Row(job=job, problem=str(error), usage=isinstance(error, UsageError))
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        result = Row(job=job, problem=f"{type(error).__name__}: {reason}")
    with answer:
        json.dump(result.to_data(), answer)


if __name__ == "__main__":
    main()

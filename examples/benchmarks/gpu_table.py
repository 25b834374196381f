"""The table of a GPU, in under eight minutes from a machine that has Python 3.11 and a driver.

python examples/benchmarks/gpu_table.py docs/benchmarks/GPU
python examples/benchmarks/gpu_table.py /tmp/try --device cpu --quick     # every step, on a CPU

Run by a Python that has no rainkit, it first makes an environment in .venv-gpu (a torch that this
Python has is used; another one is downloaded). Then it times, as long as the time suffices and the
most important rows first: all methods at 512x512 as plain torch and as rainkit runs them in every
precision and with CUDA graphs, batches of 1 to 16, 1080p, and torch.compile. FOLDER gets bench.md,
bench.json, bench.csv, bench.tex and bench.svg, with driver, torch and date.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rainkit.benchmarking import Benchmark, BenchRequest

ROOT = Path(__file__).resolve().parents[2]
BEGUN = "RAINKIT_GPU_TABLE_BEGUN"
WRITING = 10.0
COMPILING = 60.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Help)
    parser.add_argument("folder", type=Path, help="where the table is written")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: cuda)")
    parser.add_argument(
        "--seconds", type=float, default=470, help="limit of everything together (default: 470)"
    )
    parser.add_argument("--quick", action="store_true", help="64x64 and two passes, to try it")
    parser.add_argument("--method", action="append", help="these methods alone; repeatable")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-gpu", help="the environment")
    given = parser.parse_args(arguments)
    begun = float(os.environ.get(BEGUN, time.time()))
    if importlib.util.find_spec("rainkit") is None:
        python = environment(given.venv)
        again = [str(python), *sys.argv] if arguments is None else [str(python), *arguments]
        return subprocess.run(again, env=os.environ | {BEGUN: str(begun)}, check=False).returncode
    table = measured(given, begun + given.seconds)
    return 1 if table is None else 0


def environment(folder: Path) -> Path:
    """Make an environment with rainkit and its plugins; return its Python."""
    if sys.version_info < (3, 11):  # noqa: UP036  # a bare machine may have an older one
        sys.exit(f"rainkit needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    projects = [part for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))
                for part in ("-e", str(path.parent))]  # fmt: skip
    outer = None if sys.prefix == sys.base_prefix else sysconfig.get_path("purelib")
    uv = shutil.which("uv") if outer is None else None
    if uv:
        make = [uv, "venv", "--allow-existing", "--system-site-packages", "-p", sys.executable]
        install = [uv, "pip", "install", "--python", str(python)]
    else:
        make = [sys.executable, "-m", "venv", "--system-site-packages"]
        install = [str(python), "-m", "pip", "install", "--quiet"]
    called([*make, str(folder)])
    if outer is not None:  # an environment sees the packages of Python, not those of this one
        told = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        found = subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()
        Path(found, "of_the_outer_environment.pth").write_text(f"{outer}\n")
    called([*install, "-e", str(ROOT), *projects])
    return python


def called(command: list[str]) -> None:
    print("$", shlex.join(command), flush=True)
    if subprocess.run(command, check=False).returncode:
        sys.exit(
            f"this failed; install rainkit yourself (pip install -e {ROOT} and its plugins) into a"
            " Python, and run this script by it"
        )


def measured(given: argparse.Namespace, until: float) -> Benchmark | None:
    """Measure stage after stage, and write what there is; None if no row could be timed."""
    from rainkit import benchmarking
    from rainkit.choices import TimedBackend
    from rainkit.errors import UsageError
    from rainkit.runtime_options import RuntimeOptions

    RuntimeOptions.parse(device=given.device)
    size = (64, 64) if given.quick else (512, 512)
    cuda = given.device.startswith("cuda")
    common: dict[str, Any] = {
        "methods": tuple(given.method or ()),
        "every": not given.method,
        "device": given.device,
        "sizes": (size,),
        "runs": 2 if given.quick else None,
        "published": True,
    }
    half, graphs = ("bf16",), tuple(each for each in TimedBackend if "graph" in each)
    exact = ("fp32", "tf32", "bf16") if cuda else ("fp32", "bf16")
    large = (128, 96) if given.quick else (1080, 1920)
    stages: dict[str, dict[str, Any]] = {
        "plain torch, and rainkit in every precision": {
            "precisions": exact,
            "backends": ("plain", "eager", *(graphs if cuda else ())),
        },
        "batches": {"precisions": half, "batches": (2, 4) if given.quick else (2, 4, 8, 16)},
        "1080p": {"precisions": half, "sizes": (large,)},
        "torch.compile": {"precisions": half, "backends": ("compile",)},
    }
    parts: list[Benchmark] = []
    for name, stage in stages.items():
        left = until - time.time() - WRITING
        if stage.get("backends") == ("compile",):
            left -= COMPILING  # a compilation that has begun is not stopped
        if left < 5:
            print(f"{name}: left out, {given.seconds:g} s are over")
            continue
        print(f"{name}: {left:.0f} s left", flush=True)
        request = benchmarking.BenchRequest(**(common | stage), seconds=left)
        try:
            parts.append(run(request))
        except UsageError as error:
            print(f"{name}: {error}")
    if not any(part.timed for part in parts):
        print("no row could be timed", file=sys.stderr)
        return None
    table = joined(parts)
    command = shlex.join(["python", "examples/benchmarks/gpu_table.py", *sys.argv[1:]])
    for path in benchmarking.write_all(table, given.folder, command, overwrite=True):
        print("wrote", path)
    return table


def run(request: BenchRequest) -> Benchmark:
    from rainkit import benchmarking

    def told(where: str, job: benchmarking.Job) -> None:
        said = f"  {where}: {job.method} {job.size} {job.precision} {job.backend}"
        print(said, flush=True)

    return benchmarking.run(request, told)


def joined(parts: list[Benchmark]) -> Benchmark:
    """Return one table of all rows; what was measured of the device is the best of all stages."""
    roofs: dict[tuple[str, int, str], Any] = {}
    for roof in (roof for part in parts for roof in part.roofs):
        key = roof.device, roof.threads, roof.precision
        before = roofs.get(key, roof)
        roofs[key] = dataclasses.replace(
            roof,
            gflop_s=max(roof.gflop_s, before.gflop_s),
            gb_s=max(roof.gb_s, before.gb_s),
        )
    return dataclasses.replace(
        parts[0],
        rows=tuple(row for part in parts for row in part.rows),
        roofs=tuple(roofs.values()),
        published=parts[0].published,
    )


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the text above."""


if __name__ == "__main__":
    sys.exit(main())

"""rainkit works where the system is not POSIX: without file locks, signal masks and affinities."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HIDDEN = """
import importlib, os, pkgutil, signal, sys
import psutil  # its Linux half needs them
for name in ("fcntl", "termios", "pwd", "grp", "resource"):
    sys.modules[name] = None
del signal.pthread_sigmask, os.sched_getaffinity
import pytest
chosen = "-k", "test_files and not at_a_time or lost_worker", "-p", "no:cacheprovider", "-q"
code = pytest.main(["tests/test_files.py", "tests/test_engine.py", *chosen])
import rainkit
for module in pkgutil.walk_packages(rainkit.__path__, "rainkit."):
    if module.name not in ("rainkit.__main__", "rainkit.engine.ray_cluster"):
        importlib.import_module(module.name)
sys.exit(code)
"""


def test_files_and_engines_work_without_what_only_posix_has():
    """All modules are imported, and tests of files and of worker processes pass."""
    command = [sys.executable, "-c", HIDDEN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

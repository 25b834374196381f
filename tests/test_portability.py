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
opened = os.open
def open_files_only(path, flags, *rest, **named):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return opened(path, flags, *rest, **named)
os.open = open_files_only
import pytest
chosen = "-k", "(test_files or test_ledger) and not at_a_time and not process_that or lost_worker"
modules = "tests/test_files.py", "tests/test_ledger.py", "tests/test_engine.py"
code = pytest.main([*modules, *chosen, "-p", "no:cacheprovider", "-q"])
import rainkit
for module in pkgutil.walk_packages(rainkit.__path__, "rainkit."):
    if module.name not in ("rainkit.__main__", "rainkit.engine.ray_cluster"):
        importlib.import_module(module.name)
sys.exit(code)
"""


def test_files_and_engines_work_without_what_only_posix_has():
    """All modules are imported, and tests of files, ledgers and worker processes pass.

    As on Windows, folders cannot be opened. Tests of locks need some.
    """
    command = [sys.executable, "-c", HIDDEN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

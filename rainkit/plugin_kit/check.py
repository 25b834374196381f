"""Running the conformance kit on an installed method: one line for each promise."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from rainkit import plugins
from rainkit.errors import MethodError, UsageError

__all__ = ["Checked", "check"]

_TEST = """
from rainkit.testing import MethodContract


class TestMethod(MethodContract):
    method = {method!r}
    large = {large!r}
"""


@dataclass(frozen=True)
class Checked:
    """What became of one test of the kit.

    Attributes:
        promise: what is promised, in words.
        variant: variant that was tested, or "" for the method as a whole.
        state: ``kept``, ``broken``, or ``not made`` if the method makes no such claim.
        reason: why it is broken and what to change, or which claim is not made.
    """

    promise: str
    variant: str
    state: Literal["kept", "broken", "not made"]
    reason: str = ""


def check(
    method: str,
    *,
    large: Sequence[str] = (),
    done: Callable[[Checked], None] = lambda checked: None,
) -> list[Checked]:
    """Run the tests of :mod:`rainkit.testing` on an installed method, on the CPU.

    Args:
        method: name of the method.
        large: variants whose networks would take minutes; shapes alone are checked.
        done: called after each test.

    Raises:
        UsageError: no such method is installed, or it has no such variant.
        MethodError: the plugin cannot be imported, or pytest is not installed.
    """
    unknown = set(large) - set(plugins.get(method).variants)
    if unknown:
        raise UsageError(f"--large: {method} has no variant {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("pytest") is None:
        raise MethodError("the conformance kit runs in pytest: pip install pytest")
    import pytest

    listener = _Listener(done)
    with tempfile.TemporaryDirectory(prefix="rainkit-check-") as folder:
        file = Path(folder) / "test_contract_of_rainkit.py"
        file.write_text(_TEST.format(method=method, large=tuple(large)), encoding="utf-8")
        # Nothing of the folder that the command was called in: no settings, caches or conftest.
        options = ("-s", "-c", os.devnull, "--rootdir", folder, "--import-mode=importlib")
        without = (f"no:{name}" for name in ("terminal", "cacheprovider", "faulthandler", "xdist"))
        plugged = (part for name in without for part in ("-p", name))
        said = io.StringIO()
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            mock.patch.dict(os.environ, {"PYTEST_ADDOPTS": ""}),  # which may leave tests out
        ):
            # Under this import mode pytest would take the module of another method, or of a user.
            sys.modules.pop(file.stem, None)
            code = pytest.main([str(file), *options, *plugged], plugins=[listener])
            sys.modules.pop(file.stem, None)
    if not listener.results or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        why = next((line for line in said.getvalue().splitlines() if line.strip()), "")
        raise MethodError(f"the conformance kit could not run on {method}: {why or code}")
    return listener.results


class _Listener:
    """Keeps what pytest reports."""

    def __init__(self, done: Callable[[Checked], None]) -> None:
        self.results: list[Checked] = []
        self._done = done

    def pytest_collectreport(self, report: Any) -> None:
        """Keep errors in the collection."""
        if report.failed:
            self._keep(Checked("the tests can be collected", "", "broken", _last(report)))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the outcome of each test, and of a set-up that fails."""
        promise, _, variant = report.nodeid.rpartition("::")[2].partition("[")
        words = promise.removeprefix("test_").replace("_", " ")
        named = words, variant.rstrip("]")
        if report.failed:
            self._keep(Checked(*named, "broken", _last(report)))
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self._keep(Checked(*named, "not made", str(reason).removeprefix("Skipped: ")))
        elif report.when == "call":
            self._keep(Checked(*named, "kept"))

    def _keep(self, checked: Checked) -> None:
        self.results.append(checked)
        self._done(checked)


def _last(report: Any) -> str:
    """Return what a failed test says, in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else str(crash.message)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("assert ", "+", "E  "))]
    return (said or lines or [""])[0].removeprefix("AssertionError: ")

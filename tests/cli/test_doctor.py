"""``rainkit doctor``."""

from __future__ import annotations

import importlib
import json
from importlib import metadata
from pathlib import Path

import pytest

from rainkit import doctor


def test_broken_plugins_are_problems_with_their_traceback(plugin_folder) -> None:
    done = plugin_folder.run("doctor", "--json", COLUMNS="20")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["method rainkit-tiny:tiny"]["state"] == "ok"
    assert checks["method rainkit-graspp-gan:graspp-gan"]["state"] == "ok"
    broken = checks["method rainkit-broken:broken"]
    assert broken["state"] == "problem"
    assert "Traceback" in broken["traceback"]
    assert "rainkit_module_that_does_not_exist" in broken["traceback"]
    assert "rainkit-broken" in broken["remedy"]
    assert ">=99" in checks["method rainkit-future:future"]["value"]
    assert checks["method rainkit-twin-a:twin"]["state"] == "problem"
    for name in ("python", "platform", "rainkit", "torch", "threads", "--device auto"):
        assert checks[name]["state"] == "ok"
    assert checks["bfloat16 on the CPU"]["state"] in ("ok", "note")
    assert report["problems"] == sum(c["state"] == "problem" for c in report["checks"])


def test_the_printed_report_ends_with_remedies(plugin_folder) -> None:
    done = plugin_folder.run("doctor", RAINKIT_METHODS="broken")
    assert done.returncode == 1
    assert "remedy: " in done.stdout
    assert "ModuleNotFoundError" in done.stdout


@pytest.fixture
def opencv(monkeypatch: pytest.MonkeyPatch):
    """Pretend that these OpenCV distributions are installed."""

    def pretend(**versions: str) -> dict[str, doctor.Check]:
        installed = {name.replace("_", "-"): version for name, version in versions.items()}
        real = metadata.version

        def version(name: str) -> str:
            if not name.startswith("opencv"):
                return real(name)
            if name not in installed:
                raise metadata.PackageNotFoundError(name)
            return installed[name]

        monkeypatch.setattr(metadata, "version", version)
        return {check.name: check for check in doctor.examine()}

    return pretend


def test_two_opencv_wheels_of_different_versions_are_a_problem(opencv) -> None:
    check = opencv(opencv_python="4.12.0.88", opencv_python_headless="4.9.0.80")["OpenCV wheels"]
    assert check.state == "problem"
    assert "opencv-python==4.12.0.88 opencv-python-headless==4.12.0.88" in check.remedy


def test_two_opencv_wheels_of_one_version_are_a_note(opencv) -> None:
    checks = opencv(opencv_python="4.12.0.88", opencv_python_headless="4.12.0.88")
    assert checks["OpenCV wheels"].state == "note"


def test_one_opencv_wheel_is_fine_and_none_is_missing(opencv) -> None:
    assert opencv(opencv_python="4.12.0.88")["OpenCV wheels"].state == "ok"
    missing = opencv()["opencv-python"]
    assert (missing.state, missing.value) == ("problem", "missing")
    assert missing.remedy.startswith("pip install 'opencv-python>=")


def test_a_dependency_too_old_is_a_problem(opencv) -> None:
    old = opencv(opencv_python="3.4.0")["opencv-python"]
    assert old.state == "problem"
    assert "3.4.0, and rainkit needs >=" in old.value


def test_a_missing_libgl_has_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without_libgl(name: str, package: str | None = None):
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file: No such file")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without_libgl)
    check = next(check for check in doctor.examine() if check.name == "import cv2")
    assert check.state == "problem"
    assert "libgl1" in check.remedy
    assert "opencv-python-headless" in check.remedy
    assert "libGL.so.1" in check.traceback


def test_a_check_that_fails_itself_is_a_problem_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rainkit import precision

    def broken(*arguments: object) -> None:
        raise RuntimeError("driver mismatch")

    monkeypatch.setattr(precision, "choose_runtime", broken)
    examined = doctor.examine()
    checks = {check.name: check for check in examined}
    failed = [check for check in examined if "driver mismatch" in check.value]
    assert [(check.name, check.state) for check in failed] == [("torch", "problem")]
    assert checks["import cv2"].state == "ok"


def test_a_cache_that_cannot_be_used_is_one_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('cache = "relative"')
    monkeypatch.setenv("RAINKIT_CONFIG", str(file))
    monkeypatch.delenv("RAINKIT_CACHE", raising=False)
    problems = [each for each in doctor.examine() if each.state == "problem"]
    assert [each.name for each in problems if "cache" in each.value] == ["cache"]
    assert not any("cannot be examined" in each.value for each in problems)

"""Methods as evaluations use them: parts in levels, and pictures that are kept."""

from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rainkit.api import ENTRY_POINT_GROUP, Part
from rainkit.errors import UsageError
from rainkit.evaluation.cached_derainer import CachedDerainer, DerainerRequest
from rainkit.runtime_options import Effort
from rainkit.weights import WeightsFile

CLEAN = np.random.default_rng(0).integers(0, 156, (8, 9, 3), np.uint8)
RAIN = np.random.default_rng(1).integers(0, 100, (8, 9, 1), np.uint8).repeat(3, axis=2)
PARTS = {
    "layer": Part(doc="rain", estimates="rain"),
    "mask": Part(doc="rain, signed", signed=True, estimates="rain"),
    "coarse": Part(doc="picture", estimates="picture"),
    "base": Part(doc="nothing that is scored"),
}


class Exact:
    """Stands in for a method that finds rain and picture without any error."""

    def __init__(self, weights: Path) -> None:
        self.weights = WeightsFile(
            path=weights, name="exact", variant="default", network=None, header={}
        )
        self.method = SimpleNamespace(parts_of=lambda network: PARTS)
        self.runtime = SimpleNamespace(describe=lambda: "cpu (fp32)")
        self.parameters = 7
        self.effort = Effort()
        self.spare_traces = False
        self.runs = 0

    def derain_with_parts(self, rainy: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        self.runs += 1
        rain, clean = RAIN / np.float32(255), CLEAN / np.float32(255)
        return CLEAN, {"layer": rain[..., :1], "mask": rain - 0.1, "coarse": clean, "base": clean}


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exact:
    weights = tmp_path / "exact.safetensors"
    weights.write_bytes(b"weights")
    method = Exact(weights)
    monkeypatch.setattr("rainkit.inference.open_derainer", lambda name, *_, **__: method)
    return method


def test_parts_that_estimate_something_come_in_levels(exact):
    derainer = CachedDerainer(DerainerRequest(method="exact", parts=True))
    assert list(derainer.parts) == ["layer", "mask", "coarse"]
    restored, _, parts = derainer.restore_with_parts("set", "a", CLEAN + RAIN)
    assert (restored == CLEAN).all()
    assert (parts["layer"] == RAIN).all()
    assert (parts["coarse"] == CLEAN).all()
    # What is below zero is cut off, as a saved picture's is.
    assert (parts["mask"] == np.maximum(RAIN - 25.5, 0).round()).mean() > 0.4
    assert np.abs(parts["mask"] - np.maximum(RAIN - 25.5, 0)).max() <= 0.5


def _restore(request):
    with CachedDerainer(request) as derainer:
        return derainer.restore_with_parts("set", "a", CLEAN + RAIN)


def test_parts_are_kept_beside_results_and_used_again(exact, tmp_path):
    request = DerainerRequest(method="exact", parts=True, keep=tmp_path / "out")
    first = _restore(request)
    second = _restore(request)
    assert exact.runs == 1
    for name, part in first[2].items():
        assert (second[2][name] == part).all()
    made = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("a.png")}
    assert made == {
        "restored/exact/set/a.png",
        *(f"parts/exact/{name}/set/a.png" for name in ("layer", "mask", "coarse")),
    }
    (tmp_path / "out/parts/exact/mask/set/a.png").unlink()
    _restore(request)
    assert exact.runs == 2


def test_other_weights_in_a_file_of_the_same_name_are_kept_elsewhere(exact, tmp_path):
    request = DerainerRequest(method="exact", weights="exact", parts=True, keep=tmp_path / "out")
    places = []
    for content in (b"some weights", b"others"):
        exact.weights.path.write_bytes(content)
        with CachedDerainer(request) as derainer:
            derainer.restore_with_parts("set", "a", CLEAN + RAIN)
            places.append(derainer.path("set", "a"))
    assert exact.runs == 2
    assert places[0] != places[1]
    assert all(place is not None and place.is_file() for place in places)


def test_one_process_at_a_time_keeps_pictures(exact, tmp_path):
    request = DerainerRequest(method="exact", keep=tmp_path)
    with CachedDerainer(request) as first, CachedDerainer(request) as second:
        first.restore_with_parts("set", "a", CLEAN + RAIN)
        with pytest.raises(UsageError, match=r"another rainkit eval .*is writing there; wait"):
            second.restore_with_parts("set", "b", CLEAN + RAIN)
    with CachedDerainer(request) as third:
        third.restore_with_parts("set", "a", CLEAN + RAIN)
    assert exact.runs == 2


def test_a_run_that_was_killed_loses_the_picture_it_was_at(exact, tmp_path):
    request = DerainerRequest(method="exact", keep=tmp_path)
    with CachedDerainer(request) as first:
        for name in "abc":
            first.restore_with_parts("set", name, CLEAN + RAIN)
    ledger = tmp_path / "restored" / "exact" / "restored.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-9])
    for _ in range(2):
        with CachedDerainer(request) as again:
            for name in "abc":
                again.restore_with_parts("set", name, CLEAN + RAIN)
    assert exact.runs == 4


def test_pictures_of_other_code_are_not_used_again(exact, tmp_path, monkeypatch):
    package = tmp_path / "code" / "exact_plugin"
    package.mkdir(parents=True)
    entry = EntryPoint("exact", "exact_plugin:METHOD", ENTRY_POINT_GROUP)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr("rainkit.evaluation.cached_derainer.entry_points", lambda **_: [entry])
    request = DerainerRequest(method="exact", keep=tmp_path / "out")
    for source, runs in (("A = 1", 1), ("A = 1", 1), ("A = 2", 2)):
        (package / "__init__.py").write_text(source)
        _restore(request)
        assert exact.runs == runs

"""Exported files give what torch does; backends are chosen by measurements and proven equal."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from rainkit import backends, networks, plugins, precision, weights
from rainkit.api import ImageSpec, Method
from rainkit.backends import Measurement, cache, convert, execute, graphs, trial
from rainkit.errors import FileError, MethodError, UsageError
from rainkit.inference.loading import open_derainer
from rainkit.objective import Derained
from rainkit.precision import choose_runtime
from rainkit.runtime_options import RuntimeOptions
from rainkit.weights import WeightsFile

CPU32 = choose_runtime("cpu", "fp32")
SPEC = ImageSpec(multiple_of=4, min_size=3)


class Pooled(nn.Module):
    """A network that needs sides that are multiples of four, and normalises."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect", bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 3, 3, padding=1)
        self.other = nn.BatchNorm2d(3)

    def forward(self, rainy: torch.Tensor) -> Derained:
        small = nn.functional.max_pool2d(self.norm(self.first(rainy)).relu(), 4)
        wide = nn.functional.interpolate(small, scale_factor=4.0)
        shared = self.shared(wide)
        return Derained(rainy + shared + self.other(shared), {})


@pytest.fixture
def pooled() -> nn.Module:
    torch.manual_seed(0)
    network = Pooled()
    for norm in (network.norm, network.other):
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
    return network.eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAINKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _picture(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))


def test_an_exported_file_runs_without_torch_and_in_infer(
    rainkit, tiny_weights: Path, tmp_path: Path
):
    file, photo = tmp_path / "tiny.onnx", tmp_path / "photo.png"
    Image.fromarray((_picture(41, 67)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(
        photo
    )
    asked = ("export", "-m", "tiny", "--weights", tiny_weights, "--output", file)
    code, out, err = rainkit(*asked, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["difference"] <= told["tolerance"] == 1e-4
    card = (tmp_path / "tiny.onnx.md").read_text()
    assert "differs from torch by" in card
    command = f"$ rainkit infer photos/ -m tiny --backend tiny.onnx --weights {tiny_weights.name}"
    assert command in card, "of weights that are not the default"
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    rainy = np.asarray(Image.open(photo), np.float32).transpose(2, 0, 1)[None] / 255
    (alone,) = session.run(None, {"rainy": rainy})
    ours = tmp_path / "ours.png"
    infer = ("infer", photo, "-m", "tiny", "--weights", tiny_weights, "--device", "cpu")
    code, out, err = rainkit(*infer, "--precision", "fp32", "--backend", file, "-o", ours)
    assert code == 0, err
    wanted = (alone[0].transpose(1, 2, 0).clip(0, 1) * 255).round()
    assert np.abs(np.asarray(Image.open(ours), float) - wanted).max() <= 1
    code, out, err = rainkit(*asked)
    assert (code, out) == (1, "")
    assert "--overwrite" in err
    file.unlink()
    file.mkdir()
    code, _, err = rainkit(*asked, "--overwrite")
    assert (code, "tiny.onnx: is a folder; name a file" in err) == (1, True), err


def test_openvino_reports_nothing_over_the_network(
    tiny_method, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    telemetry = pytest.importorskip("openvino_telemetry").Telemetry
    reported = []
    for name in ("start_session", "send_event", "send_error", "send_stack_trace"):
        monkeypatch.setattr(telemetry, name, lambda *given, **_: reported.append(given))
    found = weights.find(tiny_method, str(tiny_weights))
    backends.export(tiny_method, found, "openvino", tmp_path / "t.xml")
    assert not reported


@pytest.mark.parametrize("kind", ["openvino", "pt2"])
def test_other_formats_run_and_name_their_weights(
    kind: str, tiny_method, tiny_weights: Path, tmp_path: Path
):
    found = weights.find(tiny_method, str(tiny_weights))
    made = backends.export(tiny_method, found, kind, tmp_path / f"t{convert.SUFFIXES[kind]}")
    assert convert.told_in(made.path)["sha256"] == found.sha256
    built = weights.load(networks.build(tiny_method, found.network), found)
    network = networks.prepare(built, tiny_method.image(found.network), CPU32)
    backends.attach_file(network, made.path, found, "tiny")
    for size in ((33, 47), (9, 40)):  # the second is too small for files
        rainy = _picture(*size)
        with torch.inference_mode():
            assert torch.allclose(network(rainy), network.eager(rainy), atol=1e-5)
    theirs, damaged = (tmp_path / f"{name}{made.path.suffix}" for name in ("theirs", "damaged"))
    convert.convert(built, tiny_method.image(found.network), kind, theirs, {})
    with pytest.raises(FileError, match="does not say which method it is of"):
        convert.told_in(theirs)
    damaged.write_bytes(made.path.read_bytes()[:999])
    with pytest.raises(FileError, match="cannot be read"):
        convert.told_in(damaged)
    with pytest.raises(UsageError, match="is a network of tiny, not of other"):
        backends.attach_file(network, made.path, found, "other")
    others = tmp_path / "others.safetensors"
    state = {name: tensor + 1 for name, tensor in built.state_dict().items()}
    weights.save(others, state, method=tiny_method, variant="default", network=found.network)
    with pytest.raises(UsageError, match="other ones; name its weights by --weights"):
        backends.attach_file(network, made.path, weights.find(tiny_method, str(others)), "tiny")


def test_padding_is_part_of_the_file(pooled: nn.Module, tmp_path: Path):
    convert.convert(pooled, SPEC, "onnx", tmp_path / "p.onnx", {})
    run = convert.open_file(tmp_path / "p.onnx")
    difference, sizes = convert.check(pooled, SPEC, run)
    assert difference <= 1e-5
    assert any(height % 4 and width % 4 for height, width in sizes)
    with pytest.raises(MethodError, match=r"differs from torch by .* not kept"):
        convert.check(pooled, SPEC, lambda rainy: run(rainy) + 0.01)
    (tmp_path / "p.onnx").write_bytes(b"damaged")
    with pytest.raises(FileError, match="cannot be opened"):
        convert.open_file(tmp_path / "p.onnx")


def test_what_does_not_convert_is_one_line(tmp_path: Path):
    class Odd(Pooled):
        def forward(self, rainy: torch.Tensor) -> Derained:
            return Derained(torch.special.i1(rainy), {})

    with pytest.raises(MethodError, match="cannot be converted to onnx") as refused:
        convert.convert(Odd().eval(), SPEC, "onnx", tmp_path / "odd.onnx", {})
    assert "\n" not in str(refused.value)


def test_batch_normalisation_is_folded_where_nothing_else_reads_the_convolution(pooled):
    rainy = _picture(32, 40)
    count = networks.parameters(pooled.requires_grad_(True))
    with torch.no_grad():
        wanted = pooled(rainy).image
        assert networks.fold_batch_norms(pooled, SPEC) == 0, "one is read twice: nothing folds"
        assert torch.equal(pooled(rainy).image, wanted)
        pooled.other = nn.Identity()
        wanted = pooled(rainy).image
        run = networks.prepare(pooled, SPEC, CPU32, folded=True)
        assert isinstance(pooled.norm, nn.Identity)
        assert torch.allclose(run(rainy), wanted, atol=1e-5)
    assert count - networks.parameters(run) == 6, "parameters are those before the folding"


def _measured(backend: str, ms: float, db: float = 80.0, size: str = "512x512") -> Measurement:
    return Measurement(
        backend=backend, network="n", place=cache.place(CPU32), size=size, ms=ms, db=db
    )


def test_auto_takes_the_fastest_that_was_measured_here_and_is_equal():
    usable = ("onnx", "openvino")
    assert cache.fastest(CPU32, "n", usable) is None, "eager, without a measurement"
    cache.remember([_measured("eager", 10), _measured("onnx", 8), _measured("openvino", 5, 40)])
    found = cache.fastest(CPU32, "n", usable)
    assert found is not None
    assert found.backend == "onnx", "openvino is not equal enough"
    assert cache.fastest(CPU32, "other", usable) is None
    assert cache.fastest(CPU32, "n", ("openvino",)) is None
    cache.remember([_measured("eager", 5, size="64x64"), _measured("onnx", 6, size="64x64")])
    assert cache.fastest(CPU32, "n", usable) is None, "slower at one size"
    (cache.folder() / "measured.json").write_text("{damaged")
    assert cache.fastest(CPU32, "n", usable) is None


def test_auto_runs_torch_until_the_faster_backend_is_ready(pooled, kept: Path):
    network = networks.prepare(pooled, SPEC, CPU32)
    cache.remember([_measured("eager", 10), _measured("onnx", 8)])
    backends.attach(network, "auto", "n")
    later = network.runner
    assert isinstance(later, execute.Auto)
    rainy = _picture(37, 51)
    first = network(rainy)
    later.wait()
    assert (later.backend, network.ran_on) == ("onnx", "eager, then onnx")
    assert torch.allclose(network(rainy), first, atol=1e-5)
    threads = [threading.Thread(target=network, args=(rainy,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_long_run_finds_the_fastest_backend_and_the_next_run_knows_it(
    tiny_method, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
):
    found = weights.find(tiny_method, str(tiny_weights))
    spec, told = tiny_method.image(found.network), backends.identity(tiny_method, found.network)
    monkeypatch.setattr(plugins, "get", {"tiny": tiny_method}.__getitem__)
    monkeypatch.setattr(execute, "WORTH", 0.0)
    monkeypatch.setattr(execute, "installed", lambda: ("onnx",))
    jobs = []

    def in_this_process(
        network: networks.ImageOnly,
        source: tuple[Method, WeightsFile],
        names: list[str],
        started: object,
    ) -> dict[str, str]:
        job = {"method": source[0].name, "weights": str(source[1].path), "backends": names}
        jobs.append(job)
        return trial.convert_all(job | {"precision": "fp32", "threads": torch.get_num_threads()})

    monkeypatch.setattr(execute, "_convert_elsewhere", in_this_process)
    fast = {"onnx": 1.0, "eager": 3.0}

    def timed(run, rainy: torch.Tensor) -> tuple[float, torch.Tensor]:
        return fast[getattr(run, "backend", "eager")], run(rainy)

    monkeypatch.setattr(execute, "_timed", timed)

    def run(pictures: int) -> networks.ImageOnly:
        built = weights.load(networks.build(tiny_method, found.network), found)
        network = networks.prepare(built, spec, CPU32, folded=True)
        backends.attach(network, "auto", told, (tiny_method, found))
        for _ in range(pictures):
            rainy = _picture(40, 52)
            with torch.inference_mode():
                assert torch.allclose(network(rainy), network.eager(rainy), atol=1e-5)
            if network.runner is not None:
                network.runner.wait()
        return network

    assert run(1).ran_on == "eager", "one picture is not worth it"
    assert run(5).ran_on == "eager, then onnx"
    assert len(jobs) == 1, "the conversion of the first run was there"
    assert cache.fastest(CPU32, told, ("onnx",)).db >= cache.PROVEN
    assert run(2).ran_on == "eager, then onnx"
    fast["onnx"] = 4.0
    (cache.folder() / "measured.json").unlink()
    assert run(5).ran_on == "eager", "what is slower is not taken"
    assert run(1).runner is None, "and not tried again"


@pytest.mark.skipif(sys.platform == "win32", reason="the process is a shell script")
def test_what_was_stopped_is_tried_again_and_what_crashed_is_not(
    tiny_method, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = weights.find(tiny_method, str(tiny_weights))
    built = weights.load(networks.build(tiny_method, found.network), found)
    network = networks.prepare(built, tiny_method.image(found.network), CPU32)
    told = backends.identity(tiny_method, found.network)
    process = tmp_path / "process"
    monkeypatch.setattr(execute, "installed", lambda: ("onnx",))
    monkeypatch.setattr(sys, "executable", str(process))
    for script, tried in (("kill -INT $$", set()), ("kill -SEGV $$", {"onnx"})):
        process.write_text(f"#!/bin/sh\n{script}\n")
        process.chmod(0o755)
        backends.attach(network, "auto", told, (tiny_method, found))
        network.runner._cost = 0.0
        network(_picture(40, 52))
        network.runner.wait()
        assert cache.tried(CPU32, told) == tried, script
    assert network.ran_on == "eager"


@pytest.mark.skipif(sys.platform == "win32", reason="the process is a shell script")
def test_the_end_of_the_interpreter_stops_the_preparation(
    tiny_method, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = weights.find(tiny_method, str(tiny_weights))
    built = weights.load(networks.build(tiny_method, found.network), found)
    network = networks.prepare(built, tiny_method.image(found.network), CPU32)
    told = backends.identity(tiny_method, found.network)
    process = tmp_path / "process"
    process.write_text("#!/bin/sh\nexec sleep 600\n")
    process.chmod(0o755)
    at_the_end = []
    monkeypatch.setattr(execute, "installed", lambda: ("onnx",))
    monkeypatch.setattr(sys, "executable", str(process))
    monkeypatch.setattr(execute.atexit, "register", at_the_end.append)
    backends.attach(network, "auto", told, (tiny_method, found))
    network.runner._cost = 0.0
    network(_picture(40, 52))
    (stop,) = at_the_end
    stop()
    assert not network.runner._thread.is_alive()
    assert cache.tried(CPU32, told) == set(), "the next run tries again"


def test_backends_of_float32_alone_need_no_option(tiny_method, tiny_weights: Path, monkeypatch):
    """Even where processors compute in bfloat16, which such backends do not."""
    monkeypatch.setattr(precision, "_bf16_is_native", lambda _: True)
    for backend, chosen in (("eager", "bf16"), ("onnx", "fp32")):
        options = RuntimeOptions(device="cpu", backend=backend)
        derainer = open_derainer(tiny_method, options, weights=tiny_weights)
        assert derainer.network.runtime.precision == chosen
    assert backends.precision_for("granet.pt2", "auto") == "fp32"
    assert backends.precision_for("onnx", "bf16") == "bf16", "which is refused"


def test_a_conversion_is_kept_by_the_hash_of_its_weights(pooled, kept: Path, monkeypatch):
    network = networks.prepare(pooled, SPEC, CPU32)
    backends.attach(network, "onnx", "n")
    (model,) = (kept / "models").iterdir()
    rainy = _picture(37, 51)

    def forbidden(*_: object) -> None:
        raise MethodError("converted again")

    monkeypatch.setattr(convert, "convert", forbidden)
    again = networks.prepare(pooled, SPEC, CPU32)
    assert torch.equal(backends.attach(again, "onnx", "n")(rainy), network(rainy))
    with torch.no_grad():
        pooled.first.weight += 0.1
    with pytest.raises(MethodError, match="converted again"):
        backends.attach(networks.prepare(pooled, SPEC, CPU32), "onnx", "n")
    assert [*(kept / "models").iterdir()] == [model], "nothing half made is left"


def test_a_conversion_of_other_code_is_not_taken(
    pooled, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "code"
    package.mkdir()
    (package / "network.py").write_text("A = 1")
    module = SimpleNamespace(__file__=str(package / "network.py"))
    monkeypatch.setitem(sys.modules, "code_of_pooled", module)
    monkeypatch.setattr(Pooled, "__module__", "code_of_pooled")
    rainy = _picture(37, 51)
    backends.attach(networks.prepare(pooled, SPEC, CPU32), "onnx", "n")
    monkeypatch.setattr(
        Pooled, "forward", lambda self, rainy: Derained(rainy + self.shared.bias.sum(), {})
    )
    (package / "network.py").write_text("A = 2")
    changed = networks.prepare(pooled, SPEC, CPU32)
    assert torch.allclose(backends.attach(changed, "onnx", "n")(rainy), changed.eager(rainy))
    assert len([*(kept / "models").iterdir()]) == 2


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".pt2"])
def test_exported_files_run_in_float32_unless_another_precision_is_asked_for(suffix: str):
    """In which they were proven, also where a processor has bfloat16."""
    assert backends.precision_for(f"a{suffix}", "auto") == "fp32"
    assert backends.precision_for(f"a{suffix}", "bf16") == "bf16"
    assert backends.precision_for("openvino", "auto") == "auto"


def test_a_file_in_another_precision_is_proven_first(
    tiny_method, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = weights.find(tiny_method, str(tiny_weights))
    made = backends.export(tiny_method, found, "openvino", tmp_path / "t.xml")
    built = weights.load(networks.build(tiny_method, found.network), found)
    runtime = choose_runtime("cpu", "bf16", tiny_method.image(found.network))
    network = networks.prepare(built, tiny_method.image(found.network), runtime)
    monkeypatch.setattr(cache, "PROVEN", 500.0)
    with pytest.raises(MethodError, match="gives other pictures than torch"):
        backends.attach_file(network, made.path, found, "tiny")


def test_what_was_measured_can_be_taken_at_once(pooled, kept: Path):
    network = networks.prepare(pooled, SPEC, CPU32)
    cache.remember([_measured("eager", 10), _measured("onnx", 8)])
    backends.attach(network, "auto", "n")
    network.runner.settle()
    network(_picture(37, 51))
    assert network.ran_on == "onnx"


def test_a_damaged_conversion_is_made_again(pooled, kept: Path):
    rainy = _picture(37, 51)
    wanted = backends.attach(networks.prepare(pooled, SPEC, CPU32), "onnx", "n")(rainy)
    (file,) = kept.glob("models/*/model.onnx")
    whole = file.read_bytes()
    other = Pooled().eval()
    convert.convert(other, SPEC, "onnx", kept / "other.onnx", {})  # opens, and gives other pictures
    for damaged in (b"", whole[:200], (kept / "other.onnx").read_bytes()):
        file.write_bytes(damaged)
        again = backends.attach(networks.prepare(pooled, SPEC, CPU32), "onnx", "n")
        assert torch.equal(again(rainy), wanted)
        assert file.stat().st_size == len(whole)


def test_a_full_disk_costs_the_cache_alone_and_what_was_killed_is_cleared(
    pooled, kept: Path, monkeypatch
):
    write = convert._write_onnx

    cleared = []

    def full(whole, picture, side, path: Path, about) -> None:
        if kept in path.parents and not cleared:
            raise RuntimeError("basic_ios::clear: iostream error")  # as some writers say it
        write(whole, picture, side, path, about)
        if cleared and kept in path.parents:
            shutil.rmtree(kept)  # somebody clears the cache meanwhile

    free = {True: 0, False: 2**30}
    monkeypatch.setattr(convert, "_write_onnx", full)
    monkeypatch.setattr(
        convert.shutil, "disk_usage", lambda at: SimpleNamespace(free=free[kept in at.parents])
    )
    for name, age in (("old", 2 * 86400), ("new", 0)):
        folder = kept / "models" / f"{cache.UNFINISHED}{name}"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_text("half")
        os.utime(folder, (time.time() - age,) * 2)
    network = backends.attach(networks.prepare(pooled, SPEC, CPU32), "onnx", "n")
    rainy = _picture(37, 51)
    assert torch.allclose(network(rainy), network.eager(rainy), atol=1e-5)
    assert [each.name for each in (kept / "models").iterdir()] == [f"{cache.UNFINISHED}new"]
    with pytest.raises(OSError, match="No space left"):
        convert.convert(pooled, SPEC, "onnx", kept / "models" / "p.onnx", {})
    cleared.append(True)
    network = backends.attach(networks.prepare(pooled, SPEC, CPU32), "onnx", "n")
    assert torch.allclose(network(rainy), network.eager(rainy), atol=1e-5)


def test_nan_is_equal_to_nothing(pooled, monkeypatch):
    rainy = _picture(33, 33)
    assert convert.decibels(rainy * float("nan"), rainy) == 0
    assert convert.decibels(rainy, rainy) == float("inf")
    network = networks.prepare(pooled, SPEC, CPU32)
    with pytest.raises(MethodError, match=r"gives other pictures than torch \(0\.0 dB"):
        execute._proven(network, "onnx", lambda rainy: rainy * float("nan"))
    with pytest.raises(MethodError, match=r"onnx fails \(.* by zero\); pass --backend eager"):
        execute._proven(network, "onnx", lambda rainy: rainy * (1 // 0))


def test_damaged_entries_of_the_table_are_left_out(kept: Path):
    good = [_measured("eager", 10), _measured("onnx", 8)]
    cache.remember(good)
    table = kept / "measured.json"
    whole = json.loads(table.read_text())
    entry = whole[1]
    for damaged in (
        None, 7, "text", [], {}, {"ms": 1}, entry | {"ms": "fast"}, entry | {"ms": None},
        entry | {"db": float("nan")}, entry | {"size": "large"}, entry | {"backend": ["onnx"]},
        entry | {"unknown": 1}, entry | {"ms": True}, entry | {"db": 10**400},
    ):  # fmt: skip
        table.write_text(json.dumps([*whole, damaged]))
        found = cache.fastest(CPU32, "n", ("onnx",))
        assert found is not None, damaged
        assert (found.backend, found.ms) == ("onnx", 8), damaged
    cache.remember([_measured("openvino", 7)])
    assert len(json.loads(table.read_text())) == 3
    for text in ("", "null", "7", '"text"', '{"a": 1}', "[" * 99_999, "\0"):
        table.write_text(text)
        assert cache.fastest(CPU32, "n", ("onnx",)) is None, text[:9]


def test_a_picture_that_a_backend_cannot_compute_is_left_to_torch(pooled):
    network = networks.prepare(pooled, SPEC, CPU32)
    cache.remember([_measured("eager", 10), _measured("onnx", 8)])
    backends.attach(network, "auto", "n")
    rainy, broken = _picture(37, 51), RuntimeError("Conv: shapes do not fit")
    wanted = network(rainy)
    auto = network.runner
    auto.wait()

    def fail(_: torch.Tensor) -> torch.Tensor:
        raise broken

    runner = auto._ready
    runner._run = fail
    assert torch.equal(network(rainy), wanted), "also once a backend is in use"
    broken = RuntimeError("[ONNXRuntimeError] : Failed to allocate memory for buffer of size 9")
    with pytest.raises(MemoryError, match="Failed to allocate memory"):
        network(rainy)  # so that infer takes smaller tiles
    auto._ready, auto._candidates = None, [execute._Candidate(runner, 1.0)]
    assert torch.equal(network(rainy), wanted), "and while it is being compared"
    assert not auto._candidates
    assert cache.fastest(CPU32, "n", ("onnx",)) is not None, "what was measured stays"
    assert auto.backend == "onnx"


def test_int8_says_what_it_costs(
    rainkit, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    photos, file = tmp_path / "photos", tmp_path / "tiny.xml"
    photos.mkdir()
    asked = ("export", "-m", "tiny", "--weights", tiny_weights, "--int8", photos)
    code, _, err = rainkit(*asked)
    assert (code, "photos: holds no picture" in err) == (2, True), err
    for number in range(3):
        rgb = convert.photograph(60, 300, number)[0].permute(1, 2, 0).numpy()
        Image.fromarray((rgb * 255).astype(np.uint8)).save(photos / f"{number}.png")
    code, _, err = rainkit(*asked, "--format", "pt2")
    assert (code, "pt2 has no int8" in err) == (2, True), err
    code, out, err = rainkit(*asked, "--format", "openvino", "-o", file, "--json")
    assert code == 0, err
    loss = json.loads(out)["int8"]
    assert (loss["calibrated"], loss["measured"]) == (2, 1)
    assert 20 < loss["least_db"] <= loss["mean_db"] < 90, "neither broken nor float32"
    card = (tmp_path / "tiny.xml.md").read_text()
    assert "quantised by NNCF after training, on 2 photographs" in card
    made = {each.name for each in tmp_path.glob("tiny.*")}
    assert made == {"tiny.xml", "tiny.bin", "tiny.xml.md"}
    assert convert.told_in(file)["method"] == "tiny"

    class Cut(Pooled):
        def forward(self, rainy: torch.Tensor) -> Derained:
            first, _ = self.shared.weight.split((3, 1), 1)
            return Derained(rainy + nn.functional.conv2d(rainy, first * 1, padding=1), {})

    cut, other = Cut().eval().requires_grad_(False), tmp_path / "cut.onnx"
    convert.convert(cut, SPEC, "onnx", other, {"method": "cut"})
    found = convert.quantise(cut, SPEC, "onnx", other, sorted(photos.iterdir()))
    assert 20 < found.least_db < 90, "weights may be cut out of others"
    assert convert.told_in(other)["method"] == "cut"
    monkeypatch.setattr(convert.importlib.util, "find_spec", lambda _: None)
    code, _, err = rainkit(*asked)
    assert (code, "pip install nncf" in err) == (2, True), err


def test_graphs_are_recorded_for_the_second_picture_of_a_shape(pooled, monkeypatch):
    """What is kept and when; recording itself needs a GPU."""
    network = networks.prepare(pooled, SPEC, CPU32)
    recorded = []

    class Graph:
        def __init__(self, given: torch.Tensor) -> None:
            self.given, self.clean = given, torch.empty_like(given)

        def replay(self) -> None:
            self.clean.copy_(network.eager(self.given))

    def record(self: graphs.Graphs, rainy: torch.Tensor):
        recorded.append(tuple(rainy.shape[-2:]))
        graph = Graph(rainy.clone())
        return graph, graph.given, graph.clean

    monkeypatch.setattr(graphs.Graphs, "_recorded", record)
    run = graphs.Graphs(network)
    first = _picture(20, 24)
    results = [run(first), run(first), run(first + 0.1)]
    assert recorded == [(20, 24)]
    for rainy, result in zip((first, first, first + 0.1), results, strict=True):
        assert torch.equal(result, network.eager(rainy)), "no result is written over"
    for width in range(28, 28 + 4 * graphs.MOST, 4):
        for _ in range(2):
            run(_picture(20, width))
    run(first)
    assert recorded.count((20, 24)) == 2, "the graph that was not used for longest is given up"
    with pytest.raises(UsageError, match="--backend cudagraph runs on NVIDIA GPUs"):
        backends.attach(network, "cudagraph", "n")


def test_backends_that_cannot_be_are_refused(pooled):
    half = dataclasses.replace(CPU32, precision="bf16")
    network = networks.prepare(pooled, SPEC, half)
    with pytest.raises(UsageError, match="--backend onnx does not compute in bf16"):
        backends.attach(network, "onnx", "n")
    meta = dataclasses.replace(CPU32, device=torch.device("meta"))
    network.runtime = meta
    with pytest.raises(UsageError, match="runs on the CPU"):
        backends.attach(network, "openvino", "n")

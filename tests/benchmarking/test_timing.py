"""What the process measures that times networks, run in this process."""

import ctypes
import dataclasses
import json
import os
import sys
import types
from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rainkit import networks, plugins
from rainkit.benchmarking import Job, foreign, machine, roofline, timing
from rainkit.benchmarking.roofline import LayerCounter
from rainkit.benchmarking.timing import Subject, _Process
from rainkit.errors import MethodError, UsageError

SMALL = Job(
    method="tiny", height=24, width=32, device="cpu", precision="fp32", runs=4, warmup=1, threads=1
)


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """A job sets torch's threads and the CPUs of its process; limits take time to measure."""
    before = torch.get_num_threads()
    monkeypatch.setattr(machine, "pin", lambda threads: (0,))
    monkeypatch.setattr(timing, "measured_roof", lambda device, precision: (100.0, 10.0))
    yield
    torch.set_num_threads(before)


@pytest.fixture
def process():
    return _Process()


def test_a_network_is_prepared_timed_and_finished(process, tiny_method):
    facts = process.answer({"id": 7, "do": "prepare", "job": asdict(SMALL)})
    network = networks.build(tiny_method, tiny_method.default.network)
    assert facts["parameters"] == sum(p.numel() for p in network.parameters())
    assert (facts["precision"], facts["threads"], facts["kind"]) == ("fp32", 1, "cpu")
    weights = sum(p.numel() for p in network.parameters() if p.dim() == 4)
    assert facts["gflop"] == pytest.approx(2 * weights * 24 * 32 / 1e9)
    answer = process.answer({"id": 7, "do": "time", "rounds": 2, "rest": True})
    assert len(answer["times"]) == 2, "half of the passes in each of two rounds"
    assert min(answer["times"]) > 0
    assert answer["energy_j"] is None
    found = process.answer({"id": 7, "do": "finish"})
    assert found["roofs"] == [("fp32", 100.0, 10.0)]
    json.dumps(found)
    if sys.platform == "linux":
        assert found["peak_memory_mib"] >= 0
    assert process.answer({"id": 7, "do": "remember", "median_ms": 1.0}) == {}
    assert process.answer({"id": 7, "do": "drop"}) == {}
    assert "KeyError" in process.answer({"id": 7, "do": "time", "rounds": 1})["problem"]


def test_limits_are_measured_once_per_precision(process, tiny_method):
    for number in (1, 2):
        process.answer({"id": number, "do": "prepare", "job": asdict(SMALL)})
        process.answer({"id": number, "do": "time", "rounds": 1, "rest": True})
    assert process.answer({"id": 1, "do": "finish"})["roofs"]
    assert not process.answer({"id": 2, "do": "finish"})["roofs"]


def test_figures_are_per_picture_and_times_per_pass(tiny_method):
    one, four = Subject(SMALL), Subject(dataclasses.replace(SMALL, batch=4))
    assert four.facts()["gflop"] == pytest.approx(one.facts()["gflop"])
    assert four.layers != one.layers


def test_plain_torch_is_what_the_others_are_faster_than(tiny_method):
    subject = Subject(dataclasses.replace(SMALL, backend="plain"))
    weights = next(subject._network.parameters())
    assert weights.is_contiguous()
    assert subject._network.runtime.precision == "fp32"
    assert not subject._network.runtime.channels_last


def test_enough_passes_are_enough(monkeypatch, tiny_method):
    subject = Subject(dataclasses.replace(SMALL, runs=None))
    assert not subject._enough([100.0] * 9, 1)
    assert subject._enough([300.0] * 10, 1)
    assert not subject._enough([100.0] * 10, 1)
    assert subject._enough([1.0] * 200, 1)
    assert subject._enough([7000.0] * 5, 1), "half a minute is too long"
    assert subject._enough([300.0] * 4, 3)


def test_a_whole_file_takes_longer_than_its_network(tiny_method):
    subject = Subject(dataclasses.replace(SMALL, end_to_end=True))
    subject.time(1)
    found = subject.finish(set())
    assert found["file_ms"] > found["decode_ms"] + found["encode_ms"] > 0


def test_wrong_jobs_say_whose_fault_it_is(process, tiny_method):
    for changes, message, usage in (
        ({"variant": "huge"}, "no variant huge", True),
        ({"precision": "fp16"}, "fp16 is not safe", True),
        ({"source": "import", "target": "no_such_module:Net"}, "no module no_such_module", True),
        ({"source": "import", "target": "json:Net"}, "json has no Net", True),
        ({"source": "import", "target": "os:getcwd"}, "gives a str", False),
    ):
        job = asdict(dataclasses.replace(SMALL, **changes))
        answer = process.answer({"id": 1, "do": "prepare", "job": job})
        assert message in answer["problem"], answer
        assert answer["usage"] is usage


def test_too_little_memory_is_said_with_the_remedy(process, tiny_method):
    process.answer({"id": 1, "do": "prepare", "job": asdict(SMALL)})
    subject = process._subjects[1]
    for error in (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ):

        def run(_, error=error):
            raise error

        subject._run = run
        answer = process.answer({"id": 1, "do": "time", "rounds": 1, "rest": False})
        assert (
            "tiny: the device has too little memory for 1 x 24x32; take a smaller --size"
            in (answer["problem"])
        )


class Attention(nn.Module):
    def forward(self, x):
        q = x.flatten(2).transpose(1, 2)[:, None]  # [B,1,N,3]
        return F.scaled_dot_product_attention(q, q, q)


def test_attention_and_products_are_counted_with_their_traffic():
    x = torch.rand(2, 3, 4, 8)
    with torch.inference_mode(), LayerCounter("fp32") as counter:
        Attention()(x)
        nn.Conv2d(3, 5, 3, padding=1)(x)
        torch.rand(7, 3) @ torch.rand(3, 2)
    attention = 2 * 2 * (2 * 32 * 32 * 3)  # two products for each of two pictures
    convolution = 2 * (2 * 5 * 32) * 27
    assert counter.flop == attention + convolution + 2 * 7 * 3 * 2
    moved = {operations: bytes for _, operations, bytes, _ in counter.layers}
    assert moved[84] == 4 * (7 * 3 + 3 * 2 + 7 * 2)
    assert moved[convolution] == 4 * (2 * 3 * 32 + 5 * 27 + 5 + 2 * 5 * 32)


def test_layers_in_half_precision_are_told_apart():
    network = nn.Conv2d(3, 4, 1)
    with torch.inference_mode(), LayerCounter("bf16") as counter:
        with torch.autocast("cpu", torch.bfloat16):
            network(torch.rand(1, 3, 4, 4))
        network(torch.rand(1, 3, 4, 4))
    assert [layer[0] for layer in counter.layers] == ["bf16", "fp32"]


def test_the_papers_arithmetic_is_counted():
    # 115.7 GFLOP at 512x512: two for each multiply-add; all layers have stride 1.
    method = plugins.get("graspp-gan")
    network = networks.build(method, method.default.network)
    with torch.inference_mode(), LayerCounter("fp32") as counter:
        network(torch.rand(1, 3, 32, 48))
    assert counter.flop * (512 * 512) / (32 * 48) / 1e9 == pytest.approx(115.7, rel=0.01)


def test_a_roof_is_measured(monkeypatch):
    monkeypatch.setattr(roofline, "_SECONDS", 1e-4)
    monkeypatch.setattr(roofline, "_COPIED", {"cpu": 2**16})
    gflop_s, gb_s = roofline.measured_roof(torch.device("cpu"), "fp32")
    assert gflop_s > 0.1
    assert gb_s > 0.1
    paces = {"fp32": 7e9, "bf16": 1e6}
    monkeypatch.setattr(roofline, "_pace", lambda device, precision: paces[precision])
    emulated, _ = roofline.measured_roof(torch.device("cpu"), "bf16")
    assert emulated == 7, "an emulated format is no limit"


class Peer(nn.Module):
    """Returns several results, as recurrent networks do."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        clean = self.conv(x)
        return clean, [clean]


@pytest.fixture
def peers(monkeypatch):
    module = types.ModuleType("peer_networks")
    module.Peer = Peer
    module.halve = lambda: lambda x: {"result": x / 2}
    module.broken = lambda: 1 / 0
    monkeypatch.setitem(sys.modules, "peer_networks", module)


@pytest.mark.parametrize(("target", "parameters"), [("Peer", 84), ("halve", None)])
def test_what_a_module_makes_is_timed(process, peers, target, parameters):
    job = dataclasses.replace(SMALL, source="import", target=f"peer_networks:{target}")
    facts = process.answer({"id": 1, "do": "prepare", "job": asdict(job)})
    assert facts["parameters"] == parameters
    assert process.answer({"id": 1, "do": "time", "rounds": 1, "rest": False})["times"]


def test_what_a_module_makes_runs_in_its_own_precision(peers):
    job = dataclasses.replace(SMALL, source="import", target="peer_networks:Peer", precision="auto")
    assert Subject(job).precision == "fp32"


def test_graphs_that_were_measured_are_remembered(tiny_method, monkeypatch):
    subject = Subject(SMALL)
    subject.job = dataclasses.replace(SMALL, backend="cudagraph")
    kept = []
    monkeypatch.setattr(timing.backends, "remember", kept.extend)
    subject.remember(1.0)
    assert [each.backend for each in kept] == ["cudagraph"]


def test_a_peer_that_fails_says_why(peers):
    with pytest.raises(MethodError, match="broken: cannot be built: division by zero"):
        foreign.imported("peer_networks:broken")


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_torchscript_file_is_timed_in_half_precision(process, tmp_path):
    file = tmp_path / "peer.pt"
    torch.jit.save(torch.jit.trace(Peer().conv, torch.rand(1, 3, 8, 8)), str(file))
    job = dataclasses.replace(SMALL, source="torchscript", target=str(file), precision="bf16")
    facts = process.answer({"id": 1, "do": "prepare", "job": asdict(job)})
    assert (facts["precision"], facts["parameters"]) == ("bf16", 84)
    assert facts["layers"][0][0] == "bf16"
    file.write_text("no network")
    with pytest.raises(MethodError, match=r"peer\.pt: cannot be loaded"):
        foreign.torchscript(file)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_onnx_file_is_timed_with_its_arithmetic(process, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    file = tmp_path / "peer.onnx"
    torch.onnx.export(
        Peer().conv, (torch.rand(1, 3, 8, 8),), str(file), dynamo=False, input_names=["x"],
        output_names=["y"], dynamic_axes={"x": {2: "h", 3: "w"}},
    )  # fmt: skip
    job = dataclasses.replace(SMALL, source="onnx", target=str(file), backend="onnx")
    facts = process.answer({"id": 1, "do": "prepare", "job": asdict(job)})
    assert facts["parameters"] == 84
    assert facts["gflop"] == pytest.approx(2 * 81 * 24 * 32 / 1e9)
    assert facts["torch"].startswith("onnxruntime ")
    assert len(process.answer({"id": 1, "do": "time", "rounds": 1, "rest": True})["times"]) == 4
    answer = process.answer({"id": 1, "do": "prepare", "job": asdict(job) | {"batch": 2}})
    assert "takes pictures of [1, 3, 'h', 'w'] alone, not [2, 3, 24, 32]" in answer["problem"]
    with pytest.raises(UsageError, match="--device cpu"):
        foreign.OnnxNetwork(file, "mps", (1, 8, 8), 1)


def moved(answer) -> list[tuple[str, int]]:
    """Precision and bytes of each layer, as counted for a picture of 3 x 8 x 8."""
    return [(precision, bytes) for precision, _, bytes, _ in answer]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("dtype", "precision", "size"), [(torch.float32, "fp32", 4), (torch.float16, "fp16", 2)]
)
def test_an_onnx_file_moves_elements_of_their_own_size(tmp_path, dtype, precision, size):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    file = tmp_path / "peer.onnx"
    picture = torch.rand(1, 3, 8, 8, dtype=dtype)
    torch.onnx.export(Peer().conv.to(dtype), (picture,), str(file), dynamo=False)
    network = foreign.OnnxNetwork(file, "cpu", (1, 8, 8), 1)
    assert (network.precision, network.parameters) == (precision, 84)
    assert moved(network.layers) == [(precision, size * (2 * 192 + 84))]
    assert network(picture.float()).dtype == dtype


def test_a_quantised_onnx_file_moves_integers_and_has_no_scales_as_parameters(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weights = ", ".join("1" for _ in range(81))
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1,3,8,8] x) => (float[1,3,8,8] y)
        <float s = {{0.1}}, uint8 z = {{128}}, int8 zw = {{0}},
         int8[3,3,3,3] w = {{{weights}}}>
        {{
            q = QuantizeLinear(x, s, z)
            d = DequantizeLinear(q, s, z)
            wd = DequantizeLinear(w, s, zw)
            c = Conv<pads = [1,1,1,1]>(d, wd)
            r = Relu(c)
            rq = QuantizeLinear(r, s, z)
            rd = DequantizeLinear(rq, s, z)
            y = Conv<pads = [1,1,1,1]>(rd, wd)
        }}""")
    onnx.save(model, tmp_path / "int8.onnx")
    network = foreign.OnnxNetwork(tmp_path / "int8.onnx", "cpu", (1, 8, 8), 1)
    assert (network.precision, network.parameters) == ("int8", 81)
    assert moved(network.layers) == [("int8", 192 + 81 + 192), ("int8", 192 + 81 + 4 * 192)]
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    del model.graph.node[0]
    model.graph.node[0].input[0] = "x"
    onnx.save(model, tmp_path / "bytes.onnx")
    with pytest.raises(MethodError, match="takes pictures of uint8, not of one of float, float16"):
        foreign.OnnxNetwork(tmp_path / "bytes.onnx", "cpu", (1, 8, 8), 1)


@pytest.mark.parametrize(
    ("dtype", "precision", "size"), [(torch.float64, "fp64", 8), (torch.bfloat16, "bf16", 2)]
)
def test_a_module_of_another_kind_runs_in_its_own(process, peers, dtype, precision, size):
    sys.modules["peer_networks"].Kind = lambda: Peer().to(dtype).requires_grad_(False)
    job = dataclasses.replace(
        SMALL, height=8, width=8, source="import", target="peer_networks:Kind"
    )
    facts = process.answer({"id": 1, "do": "prepare", "job": asdict(job)})
    assert (facts["precision"], facts["parameters"]) == (precision, 84), "frozen ones count"
    assert moved(facts["layers"]) == [(precision, size * (2 * 192 + 84))]


@pytest.mark.filterwarnings("ignore")
def test_layers_of_int8_are_counted():
    if not {"x86", "fbgemm"} & set(torch.backends.quantized.supported_engines):
        pytest.skip("torch cannot quantise here")
    convolution = torch.ops.quantized.conv2d_prepack(
        torch.quantize_per_tensor(torch.ones(5, 3, 3, 3), 0.1, 0, torch.qint8),
        torch.zeros(5), [1, 1], [1, 1], [1, 1], 1,
    )  # fmt: skip
    x = torch.quantize_per_tensor(torch.rand(1, 3, 8, 8), 0.1, 0, torch.quint8)
    with torch.inference_mode(), LayerCounter("fp32") as counter:
        torch.ops.quantized.conv2d(x, convolution, 0.1, 0)
    assert counter.layers == [("int8", 2 * 5 * 64 * 27, 192 + 135 + 4 * 5 + 5 * 64, 1)]


@pytest.mark.parametrize("precision", ["fp64", "int8"])
def test_the_limits_of_other_precisions_are_measured(monkeypatch, precision):
    monkeypatch.setattr(roofline, "_SECONDS", 1e-4)
    monkeypatch.setattr(roofline, "_COPIED", {"cpu": 2**16})
    assert min(roofline.measured_roof(torch.device("cpu"), precision)) > 0.01


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot pin")
def test_threads_get_as_many_cpus(monkeypatch):
    monkeypatch.undo()
    pinned = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: pinned.append(cpus))
    # CPUs 0 and 1 are the two threads of a core, and so are 2 and 3.
    monkeypatch.setattr(machine, "_sibling", lambda cpu: cpu % 2)
    monkeypatch.setattr("psutil.cpu_percent", lambda **_: [99.0, 0.0, 1.0, 0.0])
    assert machine.pin(1) == (2,), "the idle core"
    assert machine.pin(2) == (0, 2), "a core for each thread"
    assert machine.pin(4) == (0, 1, 2, 3)
    assert pinned == [[2], [0, 2], [0, 1, 2, 3]]


def test_energy_is_read_from_nvml(monkeypatch):
    class Library:
        def __getattr__(self, name):
            if name == "nvmlInit_v2":
                return lambda: 0
            if name == "nvmlDeviceGetHandleByUUID":
                return lambda uuid, handle: 0 if uuid == b"GPU-1-2" else 6
            return self.read

        def read(self, handle, value):
            value._obj.value = 2500  # millijoules
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    joules = machine.energy_counter("1-2")
    assert joules is not None
    assert joules() == 2.5
    assert machine.energy_counter("3-4") is None

    def none(name):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", none)
    assert machine.energy_counter("1-2") is None

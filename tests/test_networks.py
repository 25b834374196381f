"""Padding, precision and devices: chosen in one place for every command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rainkit import networks
from rainkit.api import ImageSpec, Method
from rainkit.errors import MethodError, UsageError
from rainkit.objective import Derained
from rainkit.precision import Runtime, choose_runtime

CPU32 = choose_runtime("cpu", "fp32")


class _Echo(nn.Module):
    """Returns its input and remembers the size."""

    def forward(self, rainy: Tensor) -> Derained:
        self.seen = tuple(rainy.shape[-2:])
        return Derained(rainy, {"mask": rainy[:, :1], "small": rainy[..., ::2, ::2]})


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (17, 33), (3, 200), (31, 47)])
def test_any_size_goes_in_and_comes_out_unchanged(size: tuple[int, int]) -> None:
    spec = ImageSpec(multiple_of=8, min_size=16)
    echo = _Echo()
    network = networks.prepare(echo, spec, CPU32)
    rainy = torch.rand(2, 3, *size)
    torch.testing.assert_close(network(rainy), rainy)
    assert all(side % 8 == 0 and side >= 16 for side in echo.seen)
    parts = network.derained(rainy).parts
    assert parts["mask"].shape == (2, 1, *size)


def test_padding_reflects_as_far_as_it_can_then_repeats_the_edge() -> None:
    ramp = torch.tensor([1.0, 2.0, 3.0]).expand(1, 3, 3, 3)
    padded = networks.pad(ramp, ImageSpec(min_size=7))
    assert padded[0, 0, 0].tolist() == [1, 2, 3, 2, 1, 1, 1]


def test_a_size_that_fits_is_not_copied() -> None:
    pictures = torch.rand(1, 3, 16, 24)
    assert networks.pad(pictures, ImageSpec(multiple_of=8, min_size=16)) is pictures


@pytest.mark.parametrize(
    ("device", "precision", "named"),
    [
        ("tpu9", "auto", "--device tpu9"),
        ("meta", "auto", "--device meta"),
        ("cuda:97", "auto", "--device cuda:97"),
        ("cpu", "int8", "--precision int8"),
        ("cpu", "tf32", "--precision tf32 needs an NVIDIA GPU of 2020 or later, not cpu"),
    ],
)
def test_a_device_or_precision_that_cannot_be_is_named(
    device: str, precision: str, named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        choose_runtime(device, precision)


def test_a_precision_the_method_does_not_declare_is_refused() -> None:
    with pytest.raises(UsageError, match="choose fp32"):
        choose_runtime("cpu", "fp16", ImageSpec(half=("bf16",)))


def test_float32_on_cuda_is_exact_and_tf32_is_not() -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before = allowed()
    for precision in ("fp32", "tf32"):
        with Runtime(torch.device("cuda"), precision, channels_last=True).autocast():
            assert allowed() == (precision == "tf32",) * 2
        assert allowed() == before


def test_passes_that_overlap_give_tf32_back_as_it_was() -> None:
    switch = torch.backends.cuda.matmul
    before = switch.allow_tf32
    cuda = torch.device("cuda")
    first = Runtime(cuda, "tf32", channels_last=True).autocast()
    second = Runtime(cuda, "tf32", channels_last=True).autocast()
    first.__enter__()
    second.__enter__()  # of another thread
    first.__exit__(None, None, None)
    assert switch.allow_tf32 is not before
    second.__exit__(None, None, None)
    assert switch.allow_tf32 is before


def test_auto_precision_is_fp32_unless_the_method_allows_less() -> None:
    assert choose_runtime("cpu", "auto", ImageSpec()).precision == "fp32"


def test_named_modules_stay_fp32_in_half_precision() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
            self.last = nn.Conv2d(8, 3, 3, padding=1, padding_mode="reflect")

        def forward(self, rainy: Tensor) -> Derained:
            return Derained(self.last(self.first(rainy).relu()), {})

    spec = ImageSpec(half=("bf16",), fp32_modules=("last",))
    torch.manual_seed(0)
    network = Net().eval()
    network.last.bias.data.fill_(0.7)
    rainy = torch.rand(1, 3, 24, 24)
    with torch.inference_mode():
        whole = networks.prepare(network, spec, CPU32)(rainy)
        half = networks.prepare(network, spec, choose_runtime("cpu", "bf16", spec))(rainy)
    assert half.dtype == torch.float32
    assert 0 < (whole - half).abs().max() < 1 / 255
    # A picture that was ever bfloat16 has steps of 1/256 above one half.
    assert (half.bfloat16().float() != half).any()


def test_a_module_that_does_not_exist_is_named() -> None:
    spec = ImageSpec(half=("bf16",), fp32_modules=("absent",))
    with pytest.raises(MethodError, match=r"fp32_modules names absent: no such module"):
        networks.prepare(_Echo(), spec, choose_runtime("cpu", "bf16", spec))


def _gives(answer: Callable[[Tensor], Any]) -> networks.ImageOnly:
    class Odd(nn.Module):
        def forward(self, rainy: Tensor) -> Any:
            return answer(rainy)

        def stages(self, rainy: Tensor) -> Iterator[Any]:
            yield answer(rainy)

    return networks.prepare(Odd(), ImageSpec(), CPU32)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x, r"returns a Tensor: end forward with return Derained\(image, parts\)"),
        (lambda x: (x, {}), "returns a tuple: end forward"),
        (lambda x: None, "returns a NoneType: end forward"),
        (lambda x: Derained([x], {}), "returns a Derained of list and dict: end"),
        (lambda x: Derained(x, None), "returns a Derained of Tensor and NoneType: end"),
        (lambda x: Derained(x[:, :1], {}), r"of \(1, 1, 9, 12\) for one of \(1, 3, 9, 12\)"),
        (lambda x: Derained(x[..., 1:], {}), r"\(1, 3, 9, 11\) .*or correct ImageSpec.multiple_of"),
        (lambda x: Derained(x[0], {}), r"of \(3, 9, 12\) for one"),
        (lambda x: Derained(x.mul_(0.5), {}), "changes the rainy picture .*clone it first"),
    ],
)
@pytest.mark.parametrize("run", [networks.ImageOnly.__call__, lambda n, x: list(n.stages(x))])
def test_a_network_that_breaks_the_contract_is_named_in_one_line(
    answer: Callable[[Tensor], Any], said: str, run: Callable[..., Any]
) -> None:
    with torch.inference_mode(), pytest.raises(MethodError, match=said) as caught:
        run(_gives(answer), torch.rand(1, 3, 9, 12))
    assert "tests.test_networks" in str(caught.value) or "test_networks" in str(caught.value)
    assert "Odd" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_input_that_holds_nan_is_not_called_changed() -> None:
    network = networks.prepare(_Echo(), ImageSpec(), CPU32)
    assert network(torch.full((1, 3, 8, 8), torch.nan)).isnan().all()


def test_float32_stays_whatever_the_program_set(tiny_method: Method) -> None:
    settings, rainy = tiny_method.default.network, torch.rand(1, 3, 16, 16)
    torch.set_default_dtype(torch.float64)
    try:
        network = networks.build(tiny_method, settings)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    prepared = networks.prepare(network, tiny_method.image(settings), CPU32)
    clean = prepared(rainy)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(prepared(rainy), clean)


def test_the_wrapped_network_can_be_exported() -> None:
    """The checks of a result must not get in the way of tracing."""
    network = networks.prepare(nn.Sequential(_Echo()).eval()[0], ImageSpec(multiple_of=4), CPU32)
    rainy = torch.rand(1, 3, 10, 12)
    exported = torch.export.export(network, (rainy,), strict=False).module()
    torch.testing.assert_close(exported(rainy), network(rainy))


class _Attends(nn.Module):
    """Every pixel attends to every other, in one head of 8 values."""

    def forward(self, rainy: Tensor) -> Derained:
        pixels = rainy[:, :1].flatten(2).transpose(1, 2)[:, None].repeat(1, 1, 1, 8)
        torch.nn.functional.scaled_dot_product_attention(pixels, pixels, pixels)
        return Derained(rainy, {})


def test_attention_on_a_cpu_counts_as_work() -> None:
    """Two products of 16 x 16 pixels with themselves, 8 values each, 32 x 32 times as many."""
    counted = networks.gflop(_Attends().eval(), side=16)
    assert counted == pytest.approx(2 * 2 * (16 * 16) ** 2 * 8 * 32**2 / 1e9)

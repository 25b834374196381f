"""The networks: their parameters, and the released checkpoints against the formulas by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from rainkit_prenet import METHOD
from rainkit_prenet.network import PReNet
from torch import Tensor

from rainkit import networks, weights

COUNTS = {
    "default": 168_963,
    "prn": 95_107,
    "prenet-r": 94_979,
    "prn-r": 21_123,
    "lstm6": 168_963,
    "gru6": 150_499,
    "x6": 168_099,
}


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_counts(variant: str) -> None:
    assert networks.parameters(PReNet(METHOD.variants[variant].network)) == COUNTS[variant]


@pytest.mark.parametrize(("variant", "prefix"), [*((v, "") for v in COUNTS), ("prn", "module.")])
def test_a_released_checkpoint_computes_what_its_formulas_say(
    variant: str, prefix: str, tmp_path: Path
) -> None:
    """Random values under the authors' names, imported from a file and unfolded by hand."""
    released = _released(variant)
    path = tmp_path / "net_latest.pth"
    # Checkpoints of 2019 are not zip archives.
    old = {"_use_new_zipfile_serialization": False}
    torch.save({f"{prefix}{name}": value for name, value in released.items()}, path, **old)
    done = weights.import_checkpoint(METHOD, path, variant=variant)
    file = weights.open_file(METHOD, done.path)
    assert (file.variant, done.parameters) == (variant, COUNTS[variant])
    network = weights.load(networks.build(METHOD, file.network), file)
    rainy = torch.rand(2, 3, 9, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        answer = network(rainy)
    by_hand = _unfolded(released, rainy, residual=variant not in ("lstm6", "gru6", "x6"))
    assert list(answer.parts) == [f"stage{t}" for t in range(1, 7)]
    for part, wanted in zip(answer.parts.values(), by_hand, strict=True):
        torch.testing.assert_close(part, wanted)
    assert answer.image is answer.parts["stage6"]
    assert (answer.image - answer.parts["stage1"]).abs().max() > 1e-3  # the stages differ


@pytest.mark.parametrize("variant", ["default", "prn", "prenet-r", "prn-r", "gru6", "x6"])
def test_the_variant_is_recognised_by_its_tensors(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "net_latest.pth"
    torch.save({"epoch": 100, "state_dict": _released(variant)}, path)
    done = weights.import_checkpoint(METHOD, path)
    assert done.variant == variant
    assert done.alike == (("lstm6",) if variant == "default" else ())


def test_one_stage_equals_the_first_of_six() -> None:
    """Stages share all weights, and later ones do not change the first."""
    torch.manual_seed(0)
    six = PReNet(METHOD.default.network)
    rainy = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(next(six.stages(rainy)).image, six(rainy).parts["stage1"])


def _released(variant: str) -> dict[str, Tensor]:
    """Random tensors under the names and with the shapes that the authors' files have."""
    width, settings = 32, METHOD.variants[variant].network
    layers = {"conv0.0": (width, 6 if settings.rainy_input else 3), "conv.0": (3, width)}
    for k in range(1, 2 if settings.recursive else 6):
        layers |= {f"res_conv{k}.0": (width, width), f"res_conv{k}.2": (width, width)}
    for gate in {"lstm": "ifgo", "gru": "zbg", "none": ""}[settings.recurrence]:
        layers[f"conv_{gate}.0"] = (width, 2 * width)
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, (outputs, inputs) in layers.items():
        scale = (9 * inputs) ** -0.5
        tensors[f"{name}.weight"] = scale * torch.randn(outputs, inputs, 3, 3, generator=generator)
        tensors[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    return tensors


def _unfolded(released: dict[str, Tensor], y: Tensor, *, residual: bool) -> list[Tensor]:
    """x_1 to x_6, by the equations and with the authors' names."""

    def conv(name: str, *maps: Tensor) -> Tensor:
        weight, bias = released[f"{name}.weight"], released[f"{name}.bias"]
        return F.conv2d(torch.cat(maps, 1), weight, bias, padding=1)

    x, results = y, []
    h = c = torch.zeros(len(y), 32, *y.shape[2:])
    for _ in range(6):
        sees = (y, x) if released["conv0.0.weight"].shape[1] == 6 else (x,)
        s = conv("conv0.0", *sees).relu()
        if "conv_f.0.weight" in released:
            i, f, o = (conv(f"conv_{gate}.0", s, h).sigmoid() for gate in "ifo")
            c = f * c + i * conv("conv_g.0", s, h).tanh()
            s = h = o * c.tanh()
        elif "conv_z.0.weight" in released:
            z, b = conv("conv_z.0", s, h).sigmoid(), conv("conv_b.0", s, h).sigmoid()
            s = h = (1 - z) * h + z * conv("conv_g.0", b * h, s).tanh()
        for k in range(1, 6):
            block = f"res_conv{k if f'res_conv{k}.0.weight' in released else 1}"
            s = (s + conv(f"{block}.2", conv(f"{block}.0", s).relu()).relu()).relu()
        x = conv("conv.0", s) + (y if residual else 0)
        results.append(x)
    return results

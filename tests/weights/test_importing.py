"""Filling a network from files that fit it whole, in part, or not at all; whole imports."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from rainkit_graspp_gan import METHOD, Network
from safetensors.torch import save_file
from torch import Tensor, nn

from rainkit import networks, weights
from rainkit.api import Method, option
from rainkit.errors import UsageError, WeightsError
from rainkit.files import sha256


class Malicious:
    """Whoever unpickles this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def same(network: nn.Module, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_weights_of_rainkit_fill_a_network_whole(make, saved: Path) -> None:
    network = make(4)
    done = weights.initialise(network, METHOD, saved)
    assert same(network, make(3).state_dict())
    assert set(done.loaded) == set(network.state_dict())
    assert (done.missing, done.unused, done.resized) == ((), (), ())
    assert done.line() == f"{len(done.loaded)} of {len(done.loaded)} tensors taken over"


def test_buffers_are_filled_too(make, saved: Path) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    network, other = Counting(), Counting()
    other.norm.num_batches_tracked += 7
    other.norm.running_mean += 1
    path = saved.with_name("counting.pth")
    torch.save(other.state_dict(), path)
    assert "norm.num_batches_tracked" in weights.initialise(network, METHOD, path).loaded
    assert network.norm.num_batches_tracked == 7
    assert network.norm.running_mean.mean() == 1


def test_a_network_of_other_settings_takes_what_fits(saved: Path) -> None:
    """A wider context; the rest is as in the file."""
    wider = Network(width1=8, width2=8, width3=8, width4=8, context=12)
    network = networks.build(METHOD, wider)
    done = weights.initialise(network, METHOD, saved, wider)
    assert done.loaded
    assert done.resized
    assert done.differing == ("network.context = 12 (8 in the file)",)
    assert done.line().endswith("; network.context = 12 (8 in the file)")
    assert set(done.loaded) | set(done.missing) | set(done.resized) == set(network.state_dict())
    kept = weights.load(networks.build(METHOD, weights.find(METHOD, str(saved)).network),
                        weights.find(METHOD, str(saved))).state_dict()  # fmt: skip
    for name in done.loaded:
        assert torch.equal(network.state_dict()[name], kept[name])
    assert f"{len(done.resized)} of another shape ({done.resized[0]}" in done.line()


@pytest.mark.parametrize(
    "nest",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"models": {"netG": {"state_dict": state}}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {
            "model_state_dict": {f"_orig_mod.module.{name}": v for name, v in state.items()},
            "optimizer": {"state": {0: {"step": torch.zeros(1)}}},
        },
        lambda state: {
            "state_dict": {
                **{f"generator.{name}": value for name, value in state.items()},
                "critic.weight": torch.ones(3, 3),
            }
        },
    ],
    ids=["plain", "state_dict", "deep", "module", "compiled", "generator"],
)
@pytest.mark.parametrize("suffix", [".pth", ".ckpt"])
def test_foreign_checkpoints_are_unwrapped(make, tmp_path: Path, nest, suffix: str) -> None:
    path = tmp_path / f"foreign{suffix}"
    torch.save(nest(make(3).state_dict()), path)
    network = make(4)
    done = weights.initialise(network, METHOD, path, METHOD.default.network)
    assert same(network, make(3).state_dict())
    assert not done.missing
    assert not done.differing  # a file without settings cannot differ in them
    assert done.unused in ((), ("critic.weight",))


@pytest.mark.parametrize(
    "nest",
    [
        lambda live, average: {"params": live, "params_ema": average},
        lambda live, average: {"state_dict_ema": average, "state_dict": live},
        lambda live, average: {
            **{f"model.{name}": value for name, value in live.items()},
            **{f"ema_model.module.{name}": value for name, value in average.items()},
        },
    ],
    ids=["basicsr", "timm", "prefixes"],
)
def test_averages_are_preferred(make, tmp_path: Path, nest) -> None:
    path = tmp_path / "both.pt"
    torch.save(nest(make(3).state_dict(), make(5).state_dict()), path)
    network = make(4)
    weights.initialise(network, METHOD, path)
    assert same(network, make(5).state_dict())


def test_foreign_safetensors_in_half_precision(make, tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    wanted = make(3).state_dict()
    halves = {f"module.{n}": v.half() if v.is_floating_point() else v
              for n, v in wanted.items()}  # fmt: skip
    save_file(halves, path, metadata={"format": "pt"})
    network = make(4)
    done = weights.initialise(network, METHOD, path)
    assert not done.missing
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=2e-3, atol=1e-4)
        assert value.dtype == wanted[name].dtype


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_code_in_a_pickle_is_not_run(make, tmp_path: Path, protocol: int, how: str) -> None:
    path, made = tmp_path / "evil.pth", tmp_path / "made"
    content = {**make(3).state_dict(), "x": Malicious(made)}
    if how == "torch":
        torch.save(content, path, pickle_protocol=max(protocol, 2))
    else:
        path.write_bytes(pickle.dumps(Malicious(made), protocol=protocol))
    with pytest.raises(
        WeightsError, match=r"evil\.pth: only tensors are read.*save the state"
    ) as e:
        weights.initialise(make(4), METHOD, path)
    assert "\n" not in str(e.value)
    assert not made.exists()


def test_a_whole_pickled_network_is_refused(make, tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    torch.save(nn.Conv2d(3, 3, 3), path)
    with pytest.raises(WeightsError, match="only tensors are read"):
        weights.initialise(make(4), METHOD, path)


@pytest.mark.parametrize("content", [b"", b"\0", b"PK\x03\x04 no archive", b"text\n" * 50])
def test_files_that_are_no_checkpoints(make, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"odd\.pth: ") as caught:
        weights.initialise(make(4), METHOD, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_named(make, saved: Path, suffix: str) -> None:
    path = saved.with_name(f"cut{suffix}")
    if suffix == ".pth":
        torch.save(make(3).state_dict(), path)
    else:
        path.write_bytes(saved.read_bytes())
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(WeightsError, match=f"cut\\{suffix}: not a whole"):
        weights.initialise(make(4), METHOD, path)


def test_files_that_are_not_there(make, tmp_path: Path) -> None:
    for name in ("no.pth", "no.safetensors", "."):
        with pytest.raises(UsageError, match="no such weights file"):
            weights.initialise(make(4), METHOD, tmp_path / name)


def test_weights_of_another_method_are_refused(make, saved: Path) -> None:
    other = dataclasses.replace(METHOD, name="other")
    with pytest.raises(WeightsError, match="these weights are of graspp-gan, not of other"):
        weights.initialise(make(4), other, saved)


@pytest.mark.parametrize("content", [{"a": 1}, [torch.zeros(1)], torch.zeros(2)])
def test_a_checkpoint_without_names_is_refused(make, tmp_path: Path, content) -> None:
    path = tmp_path / "nameless.pt"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="no tensors by name"):
        weights.initialise(make(4), METHOD, path)


def test_a_state_dict_that_does_not_fit_names_both_sides(make, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"first.weight": torch.zeros(4, 4), "first.bias": torch.zeros(4)}, path)
    network = make(4)
    mine = next(iter(network.state_dict()))
    with pytest.raises(WeightsError, match=r"none of its weights fits") as caught:
        weights.initialise(network, METHOD, path)
    assert "first.weight [4, 4]" in str(caught.value)
    assert mine in str(caught.value)


def test_a_bias_alone_is_no_start(make, tmp_path: Path) -> None:
    network = make(4)
    biases = {n: v for n, v in network.state_dict().items() if n.endswith("bias")}
    path = tmp_path / "biases.pth"
    torch.save(biases, path)
    with pytest.raises(WeightsError, match="none of its weights fits"):
        weights.initialise(network, METHOD, path)


def test_nan_is_refused_and_the_network_stays(make, tmp_path: Path) -> None:
    state = make(3).state_dict()
    name = next(iter(state))
    state[name].fill_(torch.nan)
    path = tmp_path / "nan.pth"
    torch.save(state, path)
    network = make(4)
    with pytest.raises(WeightsError, match=f"{name} hold nan"):
        weights.initialise(network, METHOD, path)
    assert same(network, make(4).state_dict())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recurrent:
    """Settings of which one changes no tensor."""

    width: int = option(4, "channels", ge=1)
    stages: int = option(1, "passes", ge=1)


class TestImportOfAWholeCheckpoint:
    """``rainkit weights import``: every tensor must fit, and the variant is found by them."""

    @pytest.fixture
    def state(self, tiny_method: Method) -> dict[str, Tensor]:
        """Of the variant ``paper``, whose network is wider than the default's."""
        network = networks.build(tiny_method, tiny_method.variants["paper"].network)
        return {name: torch.rand_like(value) - 0.5 for name, value in network.state_dict().items()}

    def test_it_becomes_a_weights_file(
        self, tiny_method: Method, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        flat = torch.cat([value.half().flatten() for value in state.values()])
        pieces = flat.split([value.numel() for value in state.values()])
        shared = {
            f"module.{name}": piece.view(value.shape)
            for (name, value), piece in zip(state.items(), pieces, strict=True)
        }
        path = tmp_path / "net.pth"
        torch.save({"epoch": 3, "state_dict": shared, "args": {"lr": 0.1}}, path)
        done = weights.import_checkpoint(tiny_method, path)
        assert (done.path, done.variant, done.alike) == (
            path.with_suffix(".safetensors"),
            "paper",
            (),
        )
        assert done.inside == "state_dict.module"
        file = weights.find(tiny_method, str(done.path))
        assert file.network == tiny_method.variants["paper"].network
        origin = {"file": "net.pth", "sha256": sha256(path), "part": "state_dict.module"}
        assert json.loads(file.header["imported"]) == origin
        network = weights.load(networks.build(tiny_method, file.network), file)
        for name, value in network.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value, state[name].half().float())
        (found,) = weights.verify(done.path)
        assert found.problem is None

    def test_the_names_of_the_authors(
        self, tiny_method: Method, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        theirs = {f"their.{name}.{part}": half for name, value in state.items()
                  for part, half in enumerate(value.tensor_split(2))}  # fmt: skip
        named = dataclasses.replace(
            tiny_method,
            released_names=lambda network: {
                name: (f"their.{name}.0", f"their.{name}.1") for name in state
            },
        )
        path = tmp_path / "net.pth"
        torch.save(theirs, path)
        done = weights.import_checkpoint(named, path)
        network = networks.build(named, weights.open_file(named, done.path).network)
        weights.load(network, weights.open_file(named, done.path))
        assert same(network, state)
        # Finetuning knows the names as well, if it is told the settings.
        started = networks.build(named, named.variants["paper"].network)
        first = weights.initialise(started, named, path, named.variants["paper"].network)
        assert same(started, state)
        assert (first.missing, first.unused) == ((), ())
        del theirs["their.first.bias.1"]
        torch.save(theirs, path)
        with pytest.raises(WeightsError, match=r"missing: their\.first\.bias\.1; name its"):
            weights.import_checkpoint(named, path, variant="paper", overwrite=True)

    @pytest.mark.parametrize(
        ("change", "options", "said"),
        [
            ({"first.bias": None}, {}, r"variant paper: missing: first\.bias; "),
            (
                {"extra.weight": torch.zeros(3)},
                {},
                r"paper: unexpected: extra\.weight; name its variant",
            ),
            (
                {"last.bias": torch.zeros(4)},
                {"variant": "paper"},
                r"variant paper: last\.bias is \[4\] instead of \[3\]",
            ),
            ({"last.bias": torch.zeros(3, dtype=torch.int8)}, {}, r"last\.bias is torch\.int8"),
            ({"last.bias": torch.full((3,), torch.inf)}, {}, r"last\.bias hold nan or infinity"),
            ({}, {"variant": "default"}, r"first\.weight is \[8, .* it fits --variant paper$"),
            ({}, {"settings": ["network.width=5"]}, r"first\.weight is \[8, 3, 3, 3\] instead of"),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, tiny_method: Method, state: dict[str, Tensor], tmp_path: Path, change, options, said
    ) -> None:
        changed = {name: value for name, value in (state | change).items() if value is not None}
        path = tmp_path / "net.pth"
        torch.save(changed, path)
        with pytest.raises(WeightsError, match=said) as caught:
            weights.import_checkpoint(tiny_method, path, **options)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        assert sorted(tmp_path.iterdir()) == [path]

    def test_variants_that_tensors_cannot_tell_apart_are_named(
        self, tiny_method: Method, tmp_path: Path
    ) -> None:
        """Of variants with equal networks only the first counts."""
        one, two = (
            dataclasses.replace(tiny_method.default, network=Recurrent(stages=stages))
            for stages in (1, 2)
        )
        method = dataclasses.replace(
            tiny_method, variants={"other": two, "same": two, "again": one, "default": one}
        )
        path = tmp_path / "net.pth"
        torch.save(networks.build(method, two.network).state_dict(), path)
        done = weights.import_checkpoint(method, path)
        assert (done.variant, done.alike) == ("default", ("other",))
        named = weights.import_checkpoint(method, path, variant="same", overwrite=True)
        assert (named.variant, named.alike) == ("same", ())

    def test_outputs_that_cannot_be_meant(
        self, tiny_method: Method, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        path, out = tmp_path / "net.pth", tmp_path / "out.safetensors"
        torch.save(state, path)
        weights.import_checkpoint(tiny_method, path, out)
        for source, to, options, said in (
            (path, out, {}, "exists; pass --overwrite"),
            (path, tmp_path / "out.pth", {}, r"weights files end with \.safetensors"),
            (out, out, {"overwrite": True}, "name another file to write"),
            (path, None, {"settings": ["training.lr=1"]}, "only settings of the network"),
            (path, None, {"variant": "wider"}, "no variant 'wider'"),
        ):
            with pytest.raises(UsageError, match=said):
                weights.import_checkpoint(tiny_method, source, to, **options)
        with pytest.raises(WeightsError, match="rainkit wrote this weights file"):
            weights.import_checkpoint(tiny_method, out, tmp_path / "again.safetensors")
        with pytest.raises(WeightsError, match="of tiny, not of graspp-gan"):
            weights.import_checkpoint(METHOD, out, tmp_path / "again.safetensors")
        assert sorted(tmp_path.iterdir()) == [path, out]

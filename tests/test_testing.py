"""The conformance kit passes a good plugin and says what is wrong with a bad one."""

from __future__ import annotations

import dataclasses
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit import plugins, weights
from rainkit.api import (
    Hyperparameters,
    ImageSpec,
    Method,
    Paper,
    Part,
    PublishedResult,
    Training,
    Weights,
    option,
)
from rainkit.errors import MethodError
from rainkit.files import sha256
from rainkit.objective import Derained, Loss, Objective, Pair, Phase, Progress
from rainkit.testing import MethodContract


@dataclass(frozen=True, kw_only=True)
class Settings:
    width: int = option(4, "channels", ge=1)


ABSENT_CLAIMS = (
    "Method.blocks is None: the method is not an anytime method",
    "Method.ablation is empty: no variants are compared",
    "Method.weights is empty: the method ships no weights",
    "Method.checkpoints is None: the method takes rainkit's own files alone",
    "Method.released_names is None: checkpoints have the network's own names",
    "no module offers attention_map: rainkit shows no attention of this method",
    "no Weights.gflop is given",
)


def mine(
    network: Any = Settings(),
    training: Training = Training(lr=1e-2),  # noqa: B008
) -> Hyperparameters[Any, Any]:
    return Hyperparameters(network=network, objective=Settings(), training=training)


class Net(nn.Module):
    """Two 3x3 convolutions: 2 px of context."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, settings.width, 3, padding=1, padding_mode="reflect")
        self.last = nn.Conv2d(settings.width, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, rainy: Tensor) -> Derained:
        rain = self.last(self.first(rainy).relu())
        return Derained(rainy - rain, {"rain": rain})


class Adversarial(Objective[Pair]):
    """Squared error and a critic of one layer."""

    phases = (Phase("critic", trains="critic"), Phase("network"))

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.critic = nn.Conv2d(3, 1, 3)

    def losses(self, phase: str, outputs: Derained, batch: Any, progress: Progress) -> Any:
        score = self.critic(outputs.image).mean()
        if phase == "critic":
            return {"score": Loss((score - self.critic(batch.clean).mean()).square())}
        return {
            "error": Loss((outputs.image - batch.clean).square().mean()),
            "score": Loss(score, 0),
        }


GOOD = Method(
    api=2,
    name="mine",
    title="Mine",
    summary="for these tests",
    licence="MIT",
    paper=Paper(authors=("A",), title="T", venue="V", year=2020),
    variants={"default": mine()},
    network="rainkit_mine:network",
    objective="rainkit_mine:objective",
    image=lambda settings: ImageSpec(
        min_size=2, receptive_radius=2, tiling="exact", half=("bf16",)
    ),
    parts={"rain": Part(doc="the rain", signed=True)},
)


@pytest.fixture
def contract(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., MethodContract]]:
    """The kit for a method with some fields, its network or its objective replaced."""

    def make(network: type = Net, objective: type = Adversarial, **changes: Any) -> MethodContract:
        module = types.ModuleType("rainkit_mine")
        module.network, module.objective = network, objective
        monkeypatch.setitem(sys.modules, "rainkit_mine", module)
        method = dataclasses.replace(GOOD, **changes)
        monkeypatch.setattr(plugins, "get", lambda name: method)
        kit = MethodContract()
        monkeypatch.setattr(MethodContract, "method", "mine", raising=False)
        return kit

    return make


def _spec(**claims: Any) -> Callable[[Any], ImageSpec]:
    good = GOOD.image(None)
    return lambda settings: dataclasses.replace(good, **claims)


def test_pytest_runs_the_kit_on_an_installed_plugin(
    tiny_method: Method, nested: Callable[[Path, Path], Any], tmp_path: Path
) -> None:
    test = tmp_path / "test_contract.py"
    test.write_text(
        "from rainkit.testing import MethodContract\n"
        f"class TestTiny(MethodContract):\n    method = {tiny_method.name!r}\n"
    )
    reports = nested(tmp_path, Path(sys.modules["rainkit_tiny"].__file__ or "").parents[1])
    assert reports.code == pytest.ExitCode.OK
    assert reports.outcomes["test_network_takes_any_size[paper]"] == "passed"  # and each variant
    skipped = {name.partition("[")[0] for name, end in reports.outcomes.items() if end == "skipped"}
    assert skipped == {
        "test_stages_end_with_the_result",
        "test_variants_to_compare_exist",
        "test_shipped_weights_are_whole",
        "test_checkpoints_are_read_or_refused",
        "test_declared_work_is_that_of_the_network",
        "test_released_names_fill_the_network",
        "test_attention_maps_are_maps",
    }
    for reason in ABSENT_CLAIMS:
        assert any(reason in given for given in reports.reasons)


def test_a_spec_that_imports_numpy_is_refused(odd_plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = odd_plugin("METHOD", "METHOD", "import numpy")
    monkeypatch.setenv("PYTHONPATH", str(folder.path))
    monkeypatch.setattr(MethodContract, "method", "odd", raising=False)
    with pytest.raises(AssertionError, match="importing METHOD loads numpy"):
        MethodContract().test_describing_it_imports_nothing_heavy()


def test_the_good_method_passes_every_check(contract, tmp_path: Path) -> None:
    kit = contract()
    skipped = []
    for name in dir(kit):
        if name.startswith("test_") and "heavy" not in name:
            check = getattr(kit, name)
            wanted = check.__code__.co_varnames[1 : check.__code__.co_argcount]
            given = (tmp_path if argument == "tmp_path" else "default" for argument in wanted)
            try:
                check(*given)
            except pytest.skip.Exception as skip:
                skipped.append(str(skip))
    assert sorted(skipped) == sorted(ABSENT_CLAIMS)


@pytest.mark.parametrize(
    ("claims", "check", "reason"),
    [
        ({"receptive_radius": None, "tiling": "approximate"}, "receptive_radius_is_true", "None"),
        ({"tiling": "approximate"}, "exact_tiles_equal_the_whole", "tiling is approximate"),
        ({"half": ()}, "half_precision_is_safe", "half is empty"),
    ],
)
def test_a_test_of_an_absent_claim_is_skipped(contract, claims, check: str, reason: str) -> None:
    kit = contract(image=_spec(**claims))
    with pytest.raises(pytest.skip.Exception, match=reason):
        getattr(kit, f"test_{check}")("default")


@pytest.mark.parametrize(
    ("training", "named"),
    [
        ({"schedule": "cosine", "patience": 3}, r"training.patience, which the schedule cosine"),
        ({"schedule": "constant", "lr_floor": 0.2}, r"training.lr_floor, which the schedule const"),
        ({"schedule": "plateau", "milestones": (2,)}, "training.milestones"),
    ],
)
def test_a_setting_that_the_schedule_ignores_is_found(contract, training, named: str) -> None:
    kit = contract(variants={"default": mine(training=Training(**training))})
    with pytest.raises(AssertionError, match=named):
        kit.test_no_training_setting_is_ignored("default")


def test_a_variant_with_another_kind_of_network_is_found(contract) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Other:
        width: int = option(4, "channels", ge=1)

    kit = contract(variants={"default": mine(), "other": mine(network=Other())})
    with pytest.raises(AssertionError, match="network of other is a Other, not a Settings"):
        kit.test_variant_is_valid_and_survives_json("other")


def test_a_forward_without_derained_is_named(contract) -> None:
    class Bare(Net):
        def forward(self, rainy: Tensor) -> Any:
            return super().forward(rainy).image

    remedy = r"Bare returns a Tensor: end forward with return Derained\(image, parts\)"
    with pytest.raises(MethodError, match=remedy):
        contract(Bare).test_network_takes_any_size("default")
    with pytest.raises(MethodError, match=remedy):
        contract(Bare).test_training_lowers_the_loss("default")


def test_a_network_that_changes_its_input_is_named(contract) -> None:
    class Greedy(Net):
        def forward(self, rainy: Tensor) -> Derained:
            return super().forward(rainy.clamp_(0.2, 0.8))

    with pytest.raises(MethodError, match="Greedy changes the rainy picture that it is given"):
        contract(Greedy).test_network_takes_any_size("default")


def test_empty_words_are_refused(contract) -> None:
    with pytest.raises(AssertionError, match=r"Method\.licence is empty"):
        contract(licence=" ").test_names_licence_and_paper_are_given()
    untitled = dataclasses.replace(GOOD.paper, title=" ")
    with pytest.raises(AssertionError, match=r"Paper\.title is empty"):
        contract(paper=untitled).test_names_licence_and_paper_are_given()


def test_a_variant_out_of_its_own_bounds_is_refused(contract) -> None:
    kit = contract(variants={"default": mine(), "none": mine(network=Settings(width=0))})
    with pytest.raises(Exception, match=r"network\.width = 0: must be a whole number >= 1"):
        kit.test_variant_is_valid_and_survives_json("none")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"psnr": 30.1}, "psnr is 30.1; give it as text, as it is printed"),
        ({"psnr": "about 30"}, "psnr is 'about 30'; give it as text"),
        ({"ssim": "98.1"}, "ssim is 98.1, above 1"),
        ({"seconds": "0.5"}, "name the device of the time"),
        ({}, "Table 1, JORDER on 'Rain100L': the row has no figure"),
    ],
)
def test_published_figures_must_be_as_printed(contract, rows: dict[str, Any], said: str) -> None:
    row = PublishedResult(table="Table 1", method="JORDER", dataset="Rain100L", **rows)
    with pytest.raises(AssertionError, match=re.escape(said)):
        contract(
            paper=dataclasses.replace(GOOD.paper, results=(row,))
        ).test_published_figures_are_text_as_printed()


def test_a_published_figure_that_is_there_twice_is_found(contract) -> None:
    row = PublishedResult(dataset="Rain100L", psnr="30.10")
    with pytest.raises(AssertionError, match="psnr is there twice"):
        contract(
            paper=dataclasses.replace(GOOD.paper, results=(row, row))
        ).test_published_figures_are_text_as_printed()


def test_a_large_variant_is_checked_without_arithmetic(contract, monkeypatch) -> None:
    class Half(Net):
        def forward(self, rainy: Tensor) -> Derained:
            assert rainy.is_meta
            image, _ = super().forward(rainy)
            return Derained(image, {})

    huge = {"default": mine(), "huge": mine(Settings(width=100_000))}
    monkeypatch.setattr(MethodContract, "large", ("huge",))
    contract(variants=huge).test_large_networks_have_the_right_shapes()
    with pytest.raises(AssertionError, match=r"huge gives set\(\), and declares \{'rain'\}"):
        contract(Half, variants=huge).test_large_networks_have_the_right_shapes()


def test_variants_that_are_compared_must_exist(contract) -> None:
    with pytest.raises(AssertionError, match="own_ablation names wide: no such variants"):
        contract(own_ablation=("wide", "default")).test_variants_to_compare_exist()


def test_an_undocumented_setting_is_refused(contract) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Silent:
        width: int = 4

    kit = contract(variants={"default": mine(network=Silent())})
    with pytest.raises(AssertionError, match=r"no doc: network\.width"):
        kit.test_every_hyperparameter_is_documented()


def test_a_wrong_size_is_named(contract) -> None:
    class Cuts(Net):
        def forward(self, rainy: Tensor) -> Derained:
            image, parts = super().forward(rainy)
            return Derained(image[..., : image.shape[-1] // 4 * 4], parts)

    with pytest.raises(MethodError, match=r"of \(1, 3, 29, 36\) for one of \(1, 3, 29, 37\)"):
        contract(Cuts).test_network_takes_any_size("default")
    contract(Cuts, image=_spec(multiple_of=4)).test_network_takes_any_size("default")


def test_parts_must_be_those_declared(contract) -> None:
    with pytest.raises(AssertionError, match=r"given but not declared: \['rain'\]"):
        contract(parts={}).test_network_takes_any_size("default")
    more = {**GOOD.parts, "mask": Part(doc="where it rains")}
    with pytest.raises(AssertionError, match=r"declared but absent: \['mask'\]"):
        contract(parts=more).test_network_takes_any_size("default")


def test_a_part_that_estimates_the_picture_must_be_one(contract) -> None:
    told = {"rain": dataclasses.replace(GOOD.parts["rain"], estimates="picture")}
    with pytest.raises(AssertionError, match="part rain estimates the clean picture"):
        contract(parts=told).test_network_takes_any_size("default")


def test_statistics_over_the_batch_are_found(contract) -> None:
    class Mean(Net):
        def forward(self, rainy: Tensor) -> Derained:
            image, parts = super().forward(rainy)
            return Derained(image - image.mean(dim=0, keepdim=True), parts)

    with pytest.raises(AssertionError, match=r"differs by .* from the picture alone"):
        contract(Mean).test_network_is_deterministic_and_takes_batches("default")


def test_dropout_that_stays_on_is_found(contract) -> None:
    class Noisy(Net):
        def forward(self, rainy: Tensor) -> Derained:
            return super().forward(F.dropout(rainy, 0.5, training=True))

    with pytest.raises(AssertionError, match="two runs in eval mode differ"):
        contract(Noisy).test_network_is_deterministic_and_takes_batches("default")


def test_a_receptive_radius_too_small_is_corrected(contract) -> None:
    kit = contract(image=_spec(receptive_radius=1))
    with pytest.raises(AssertionError, match="is 1 and must be at least 2"):
        kit.test_receptive_radius_is_true("default")
    with pytest.raises(AssertionError, match="tiles differ by"):
        kit.test_exact_tiles_equal_the_whole("default")


def test_a_global_operation_belies_any_radius(contract) -> None:
    class Pooled(Net):
        def forward(self, rainy: Tensor) -> Derained:
            image, parts = super().forward(rainy)
            return Derained(image * image.mean(dim=(1, 2, 3), keepdim=True), parts)

    with pytest.raises(AssertionError, match="or None if every pixel can"):
        contract(Pooled).test_receptive_radius_is_true("default")
    with pytest.raises(AssertionError, match="exact tiling needs"):
        contract(image=_spec(receptive_radius=None)).test_receptive_radius_is_true("default")


def test_an_unsafe_half_precision_is_found(contract) -> None:
    class Cancels(Net):
        def forward(self, rainy: Tensor) -> Derained:
            image, parts = super().forward(rainy)
            large = 100 * F.conv2d(image, torch.eye(3)[..., None, None])
            return Derained(large - 99 * image, parts)

    with pytest.raises(AssertionError, match=r"in bf16 is .*/255 off"):
        contract(Cancels).test_half_precision_is_safe("default")


def test_stages_that_end_elsewhere_are_found(contract) -> None:
    class Anytime(Net):
        def stages(self, rainy: Tensor) -> Iterator[Derained]:
            yield self(rainy)
            yield Derained(rainy, {})

    with pytest.raises(AssertionError, match=r"set Method.blocks"):
        contract(Anytime).test_stages_end_with_the_result("default")
    with pytest.raises(AssertionError, match="last stage differs"):
        contract(Anytime, blocks=lambda _: 2).test_stages_end_with_the_result("default")
    with pytest.raises(AssertionError, match="one after each of 5 blocks"):
        contract(Anytime, blocks=lambda _: 5).test_stages_end_with_the_result("default")
    with pytest.raises(AssertionError, match=r"there is no stages"):
        contract(Net, blocks=lambda _: 2).test_stages_end_with_the_result("default")


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ((Phase("network"),), "no phase trains .*critic"),
        ((Phase("critic", trains="critic"),), "no phase trains the network"),
        ((Phase("a"), Phase("a", trains="critic")), "share a name"),
        ((Phase("a"), Phase("b", trains="judge")), "no such module"),
        ((Phase("a"), Phase("b", trains="critic", training={"rate": 1})), "no such field"),
        (
            (Phase("a"), Phase("b", trains="critic", training={"factor": 0.5})),
            "phase b sets factor, which its schedule ignores",
        ),
    ],
)
def test_wrong_phases_are_named(contract, phases: tuple[Phase, ...], said: str) -> None:
    wrong = type("Wrong", (Adversarial,), {"phases": phases})
    with pytest.raises(AssertionError, match=said):
        contract(objective=wrong).test_phases_are_well_formed("default")


def test_phases_that_share_one_loss_are_found(contract) -> None:
    class Shared(Objective[Pair]):
        phases = (Phase("critic", trains="critic"), Phase("network"))

        def __init__(self, settings: Settings) -> None:
            super().__init__()
            self.critic = nn.Conv2d(3, 1, 3)

        def loss(self, outputs: Derained, batch: Pair, progress: Progress) -> dict[str, Loss]:
            return {"score": Loss(self.critic(outputs.image).mean())}

    with pytest.raises(AssertionError, match="critic, network share one loss"):
        contract(objective=Shared).test_phases_are_well_formed("default")


def test_a_phase_that_never_steps_is_found(contract) -> None:
    class Idle(Adversarial):
        def active(self, progress: Progress) -> tuple[str, ...]:
            return ("network",)

    with pytest.raises(AssertionError, match="critic is never active"):
        contract(objective=Idle).test_phases_are_well_formed("default")


def test_an_unused_parameter_is_named(contract) -> None:
    class Spare(Net):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            self.spare = nn.Parameter(torch.zeros(3))

    with pytest.raises(AssertionError, match="phase network at step 0 gives spare no gradient"):
        contract(Spare).test_every_parameter_learns_and_none_leaks("default")


def test_a_critic_that_reaches_into_the_network_is_found(contract) -> None:
    class Leaks(Adversarial):
        def outputs(self, network: nn.Module, batch: Any) -> Derained:
            self.kept = super().outputs(network, batch)
            return self.kept

        def losses(self, phase: str, outputs: Derained, batch: Any, progress: Progress) -> Any:
            return super().losses(phase, self.kept, batch, progress)

    with pytest.raises(AssertionError, match="puts gradients into the network"):
        contract(objective=Leaks).test_every_parameter_learns_and_none_leaks("default")


def test_a_loss_that_is_nan_or_no_scalar_is_named(contract) -> None:
    class Nan(Adversarial):
        def losses(self, phase: str, outputs: Derained, batch: Any, progress: Progress) -> Any:
            return {"bad": Loss(outputs.image.mean() * float("nan"))}

    class Wide(Adversarial):
        def losses(self, phase: str, outputs: Derained, batch: Any, progress: Progress) -> Any:
            return {"bad": Loss(outputs.image)}

    with pytest.raises(AssertionError, match="loss bad is nan"):
        contract(objective=Nan).test_every_parameter_learns_and_none_leaks("default")
    with pytest.raises(AssertionError, match="give a scalar"):
        contract(objective=Wide).test_every_parameter_learns_and_none_leaks("default")


def test_a_loss_that_rises_is_found(contract) -> None:
    steep = mine(training=Training(lr=100.0))
    with pytest.raises(AssertionError, match="steps at lr 100 take the loss from"):
        contract(variants={"default": steep}).test_training_lowers_the_loss("default")


def test_state_outside_buffers_is_found(contract, tmp_path: Path) -> None:
    class Forgets(Net):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            self.gain = torch.rand(())

        def forward(self, rainy: Tensor) -> Derained:
            image, parts = super().forward(rainy)
            return Derained(image * self.gain, parts)

    with pytest.raises(AssertionError, match="some of its state is in no buffer"):
        contract(Forgets).test_weights_survive_a_file(tmp_path)


def test_released_names_must_be_those_of_the_network(contract, tmp_path: Path) -> None:
    own = dict.fromkeys(Net(Settings()).state_dict())
    cases: list[tuple[dict[str, tuple[str, ...]], str | None]] = [
        ({name: (f"net.{name}.a", f"net.{name}.b") for name in own}, None),
        ({name: (f"their_{name}",) for name in own if name != "last.bias"}, r"no names for .*last"),
        ({name: (name,) for name in (*own, "gate.weight")}, "names for .*gate.weight"),
        (dict.fromkeys(own, ("conv.weight",)), "uses conv.weight twice"),
    ]
    for names, said in cases:
        kit = contract(released_names=lambda network, names=names: names)
        if said is None:
            kit.test_released_names_fill_the_network("default", tmp_path)
            continue
        with pytest.raises(AssertionError, match=said):
            kit.test_released_names_fill_the_network("default", tmp_path / "none")


def test_shipped_weights_are_checked(
    contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract()
    path = tmp_path / "w.safetensors"
    state = Net(Settings()).state_dict()
    weights.save(path, state, method=GOOD, variant="default", network=Settings())
    monkeypatch.setattr(weights.importlib.resources, "files", lambda package: tmp_path)
    card = Weights(
        tag="a",
        variant="default",
        sha256=sha256(path),
        file="w.safetensors",
        licence="CC0-1.0",
        trained_on="nothing",
        recipe="none",
    )
    contract(weights=(card,)).test_shipped_weights_are_whole()
    for change, said in (
        ({"sha256": "0" * 64}, "sha256"),
        ({"variant": "large"}, "no variant 'large'"),
        ({"licence": ""}, "licence is empty"),
        ({"file": "absent.safetensors"}, "missing from the package"),
        ({"file": None}, "give a file or a url"),
    ):
        kit = contract(weights=(dataclasses.replace(card, **change),))
        with pytest.raises(Exception, match=said):
            kit.test_shipped_weights_are_whole()
    wide = {"default": mine(network=Settings(width=8))}
    with pytest.raises(AssertionError, match="is declared"):
        contract(variants=wide, weights=(card,)).test_shipped_weights_are_whole()

"""Reading, refusing and writing down hyperparameters."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from rainkit import hyperparameters
from rainkit.api import (
    Hyperparameters,
    ImageSpec,
    Method,
    Paper,
    Training,
    option,
    replace,
)
from rainkit.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Encoder:
    depth: int = option(3, "blocks", ge=1)
    rates: tuple[int, ...] = option((1, 2, 4), "dilations", ge=1)


@dataclass(frozen=True, kw_only=True)
class Network:
    width: int = option(32, "channels", ge=4)
    slope: float = option(0.2, "of every LeakyReLU", ge=0, lt=1)
    norm: Literal["batch", "group"] = option("batch", "normalisation")
    scales: Literal[1, 2, 4] = option(2, "pyramid levels")
    skip: bool = option(True, "add the input")
    cap: float | None = option(None, "largest output", gt=0)
    start: int | Literal["auto"] = option("auto", "first step")
    encoder: Encoder = field(default_factory=Encoder)


@dataclass(frozen=True, kw_only=True)
class Objective:
    alpha: float = option(1.0, "weight", ge=0)


DEFAULT = Hyperparameters(network=Network(), objective=Objective())
METHOD = Method(
    api=2,
    name="nested",
    title="Nested",
    summary="for these tests",
    licence="MIT",
    paper=Paper(authors=("A",), title="T", venue="V", year=2020),
    variants={
        "default": DEFAULT,
        "wide": replace(
            DEFAULT,
            network={"width": 64, "cap": 0.1, "encoder": Encoder(rates=())},
            training={"lr": 1 / 3, "milestones": (10, 20)},
        ),
    },
    network="nowhere:network",
    objective="nowhere:objective",
    image=lambda network: ImageSpec(),
)


def test_the_default_variant_is_unchanged() -> None:
    assert hyperparameters.resolve(METHOD) == METHOD.default


def test_settings_win_over_the_recipe_and_the_recipe_over_the_preset() -> None:
    recipe = {"network": {"width": 48, "slope": 0.1}, "training": {"steps": 7}}
    values = hyperparameters.resolve(METHOD, "wide", recipe, ["network.slope=0.3"])
    assert (values.network.width, values.network.slope) == (48, 0.3)
    assert (values.training.steps, values.training.lr) == (7, 1 / 3)
    assert values.network.cap == 0.1
    assert type(values.network) is Network
    assert type(values.network.encoder) is Encoder


def test_nothing_that_is_given_is_changed() -> None:
    recipe = {"network": {"encoder": {"depth": 5}}}
    before = hyperparameters.to_data(METHOD.default)
    hyperparameters.resolve(METHOD, config=recipe, settings=["network.encoder.depth=6"])
    assert recipe == {"network": {"encoder": {"depth": 5}}}
    assert hyperparameters.to_data(METHOD.default) == before


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("network.width=48", "width", 48),
        (" network.width = 48 ", "width", 48),
        ("network.slope=1e-3", "slope", 1e-3),
        ("network.norm=group", "norm", "group"),
        ("network.scales=4", "scales", 4),
        ("network.skip=false", "skip", False),
        ("network.skip=1", "skip", True),
        ("network.cap=0.5", "cap", 0.5),
        ("network.cap=none", "cap", None),
        ("network.start=5", "start", 5),
        ("network.start=auto", "start", "auto"),
    ],
)
def test_text_becomes_the_type_it_stands_for(setting: str, path: str, value: object) -> None:
    values = hyperparameters.resolve(METHOD, settings=[setting])
    found = getattr(values.network, path)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "rates"), [("1,2,3", (1, 2, 3)), ("[1, 2]", (1, 2)), ("7", (7,)), ("", ())]
)
def test_text_becomes_a_tuple(text: str, rates: tuple[int, ...]) -> None:
    values = hyperparameters.resolve(METHOD, settings=[f"network.encoder.rates={text}"])
    assert values.network.encoder.rates == rates


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("network.widht=48", r"network\.widht: no such setting: did you mean network\.width\?"),
        ("netwrok.width=48", r"netwrok: no such setting: did you mean network\?"),
        ("network.encoder.dept=1", r"did you mean network\.encoder\.depth\?"),
        ("training.epoch_step=1", r"did you mean training\.epoch_steps\?"),
        ("network.lr=1", r"did you mean training\.lr\?"),
        ("network.zzz=1", r"choose one of network\.width, network\.slope"),
        ("width=48", r"--set width=48: write network\.width=value"),
        ("network.width", r"write network\.width=value"),
        ("qqq", r"write section\.name=value"),
        ("network.width=3", r"network\.width = 3: must be a whole number >= 4"),
        ("network.width=4.5", r"network\.width = 4\.5: must be a whole number >= 4"),
        ("network.width=many", r"network\.width = many: must be a whole number"),
        ("network.slope=1", r"must be a number >= 0 and < 1"),
        ("training.lr=inf", r"training\.lr = inf: must be a number > 0"),
        ("training.lr=nan", r"training\.lr = nan: must be a number > 0"),
        ("network.norm=layer", r"must be one of batch, group"),
        ("network.scales=3", r"must be one of 1, 2, 4"),
        ("network.skip=perhaps", r"must be true or false"),
        ("network.encoder.rates=1,0", r"must be a list, each a whole number >= 1"),
        ("network.encoder.rates=1,x", r"must be a list, each a whole number >= 1"),
        ("network.start=soon", r"start = soon: must be a whole number or one of auto"),
        ("network.width.deep=1", r"width holds a value"),
        ("network.encoder=5", r"network\.encoder: is a section"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(setting: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        hyperparameters.resolve(METHOD, settings=[setting])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "recipe",
    [
        {"network": {"widht": 4}},
        {"network": {"encoder": {"dephts": 4}}},
        {"objective": {"alhpa": 4}},
        {"training": {"stesp": 4}},
        {"objectives": {}},
        {"network": 3},
        {"network": {"width": True}},
        {"network": {"width": None}},
        {"network": {"encoder": {"rates": 3}}},
    ],
)
def test_a_wrong_recipe_is_refused_at_every_level(recipe: dict) -> None:
    with pytest.raises(UsageError):
        hyperparameters.resolve(METHOD, config=recipe)


def test_an_unknown_variant_names_the_nearest_and_all() -> None:
    with pytest.raises(UsageError, match=r"did you mean wide\? it has default, wide"):
        hyperparameters.resolve(METHOD, "wid")


@pytest.mark.parametrize("variant", ["default", "wide"])
def test_json_gives_back_the_same_values(variant: str) -> None:
    values = METHOD.variants[variant]
    text = json.dumps(hyperparameters.to_data(values), allow_nan=False)
    again = hyperparameters.from_data(METHOD, json.loads(text))
    assert again == values
    assert hyperparameters.to_data(again) == hyperparameters.to_data(values)
    section = json.loads(json.dumps(hyperparameters.section_to_data(values.network)))
    assert section == json.loads(text)["network"]


def test_what_data_leaves_out_has_its_default() -> None:
    values = hyperparameters.from_data(METHOD, {"network": {"width": 8}})
    assert values == replace(METHOD.default, network={"width": 8})
    assert hyperparameters.from_data(METHOD, {}) == METHOD.default


@pytest.mark.parametrize("former", [True, False])
def test_a_former_switch_of_augmentation_is_refused(former: bool) -> None:
    data = hyperparameters.to_data(METHOD.default)
    data["training"]["augment"] = former
    with pytest.raises(
        UsageError, match=rf"augment = {former}: must be one of flips, hflip, d4, none"
    ):
        hyperparameters.from_data(METHOD, data)


def test_every_field_is_described() -> None:
    rows = {row.path: row for row in hyperparameters.describe(METHOD.default)}
    assert len(rows) == 10 + len(dataclasses.fields(Training))  # 7 + 2 of the encoder, and alpha
    width, norm, rates = (rows[f"network.{n}"] for n in ("width", "norm", "encoder.rates"))
    assert (width.type, width.default, width.bounds) == ("a whole number", 32, ">= 4")
    assert width.doc == "channels"
    assert norm.choices == ("batch", "group")
    assert rates.default == [1, 2, 4]
    assert rows["network.cap"].type == "a number or none"


def test_differences_are_what_a_variant_changes() -> None:
    assert hyperparameters.differences(METHOD.variants["wide"], METHOD.default) == {
        "network.width": 64,
        "network.cap": 0.1,
        "network.encoder.rates": [],
        "training.lr": 1 / 3,
        "training.milestones": [10, 20],
    }


def test_a_section_with_a_field_without_default_must_be_given() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Strict:
        width: int

    variants = {"default": Hyperparameters(network=Strict(width=3), objective=Objective())}
    strict = dataclasses.replace(METHOD, variants=variants)
    assert hyperparameters.from_data(strict, {"network": {"width": 5}}).network.width == 5
    with pytest.raises(UsageError, match="network: missing"):
        hyperparameters.from_data(strict, {})


def test_replace_takes_sections_and_their_own_settings_alone() -> None:
    with pytest.raises(TypeError, match="netwrok"):
        replace(DEFAULT, netwrok={"width": 8})
    with pytest.raises(TypeError, match="widht"):
        replace(DEFAULT, network={"widht": 8})
    assert replace(DEFAULT) == DEFAULT

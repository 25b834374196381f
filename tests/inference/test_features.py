"""Contact sheets of what happens inside a network, and the command that makes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rainkit import images
from rainkit.errors import FileError, ImageError, UsageError
from rainkit.images import Picture
from rainkit.inference.features import FeaturesRequest, features, gradients, layers, levels


@pytest.fixture
def request_of(photos: Path, two_weights: dict[str, str]):
    def make(**options) -> FeaturesRequest:
        return FeaturesRequest(
            **{
                "picture": photos / "a.jpg",
                "method": "tiny",
                "weights": two_weights["first"],
                "device": "cpu",
            }
            | options
        )

    return make


def test_layers_are_listed_in_the_order_in_which_they_run(request_of):
    first, last = layers(request_of())
    assert (first.name, first.kind, first.shape) == ("first", "Conv2d", (4, 48, 72))
    assert (last.name, last.shape, last.runs, last.shown) == ("last", (3, 48, 72), 1, True)
    assert not last.attends


def test_a_sheet_shows_picture_result_and_the_channels_that_vary_most(request_of, photos: Path):
    found = features(request_of(channels=2))
    assert found.output == photos / "a-tiny-features.png"
    first, last = found.layers
    assert (len(first.channels), first.shape) == (2, (4, 48, 72))
    assert list(first.channels) == sorted(first.channels)
    assert (first.low, last.low) == (-first.high, -last.high)  # zero is in the middle
    assert json.loads(json.dumps(found.to_data()))["layers"][0]["name"] == "first"
    sheet = images.read(found.output).rgb
    # The picture is the first tile, with its pixels as squares.
    rainy = images.read(photos / "a.jpg").rgb
    rows = np.flatnonzero((sheet[:, 18:100] < 250).any(axis=(1, 2)))
    tile = sheet[34 : 34 + round(479 * 48 / 72), 18 : 18 + 479]
    assert rows.size
    assert np.abs(tile[2, 2].astype(int) - rainy[0, 0]).max() <= 1
    assert np.abs(tile[-3, -3].astype(int) - rainy[-1, -1]).max() <= 1
    whole = features(request_of(channels=None, overwrite=True))
    assert whole.layers[0].channels == (0, 1, 2, 3)


def test_patterns_choose_layers_and_runs(request_of, monkeypatch: pytest.MonkeyPatch, tmp_path):
    import rainkit_tiny.network as own

    def twice(self, rainy):
        half = self.last(self.first(rainy).relu())
        return own.Derained(rainy + self.last(self.first(rainy + half).relu()), {})

    monkeypatch.setattr(own.Net, "forward", twice)
    for number, (patterns, names) in enumerate(
        (
            (("la*",), ["last@2"]),
            (("first@1", "last@*"), ["first@1", "last@1", "last@2"]),
            (("*",), ["first@2", "last@2"]),
        )
    ):
        found = features(request_of(layers=patterns, output=tmp_path / f"{number}.png"))
        assert [each.name for each in found.layers] == names
    with pytest.raises(UsageError, match="--layer frist: tiny has no such layer; did you mean fir"):
        features(request_of(layers=("frist",), output=tmp_path / "no.png"))
    assert not (tmp_path / "no.png").exists()


def test_attention_is_asked_of_the_modules_that_attend(
    request_of, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    asked = []

    def looks(self, x, at=None):
        self(x)  # what a module computes meanwhile is no run of the network
        asked.append((tuple(x.shape), at))
        return torch.ones_like(x[:, :1]) * 1.5

    with pytest.raises(UsageError, match="has no module that shows where it looks"):
        features(request_of(attention=True))
    monkeypatch.setattr(torch.nn.Conv2d, "attention_map", looks, raising=False)
    found = features(request_of(attention=True, at=(35, 11), output=tmp_path / "a.png"))
    assert [each.name for each in found.attention] == ["first", "last"]
    assert found.layers == ()
    assert (found.attention[0].low, found.attention[0].high) == (0, 1.5)
    assert asked[0] == ((1, 3, 48, 72), pytest.approx((11.5 / 48, 35.5 / 72)))
    assert [each.attends for each in layers(request_of())] == [True, True]


def test_gradients_are_those_of_ramps():
    across, down = np.meshgrid(np.arange(20), np.arange(16))
    ramp = (3 * across + 7 * down).astype(np.uint8)[..., None].repeat(3, axis=2)
    horizontal, vertical = gradients(ramp)
    np.testing.assert_allclose(horizontal[1:-1, 1:-1], 3, atol=1e-4)
    np.testing.assert_allclose(vertical[1:-1, 1:-1], 7, atol=1e-4)


def test_gradients_of_input_result_and_target_stand_side_by_side(request_of, photos: Path):
    clean = Picture(images.read(photos / "a.jpg").rgb // 2)
    images.write(photos / "clean.png", clean)
    plain = features(request_of(gradients=True))
    before = images.read(plain.output).rgb
    again = request_of(gradients=True, target=photos / "clean.png", overwrite=True)
    after = images.read(features(again).output).rgb
    assert before.shape == after.shape
    third = slice(18 + 2 * (479 + 6), None)
    assert (before[40:, third] == 255).all()
    assert (after[40:300, third] < 250).any()
    assert (after[-300:, third] < 250).any()
    assert plain.layers == ()


def test_one_scale_serves_all_maps_of_a_layer():
    ramp = np.linspace(0, 1, 1000, dtype=np.float32)[None]
    assert levels([ramp, 2 * ramp]) == (0, pytest.approx(2, abs=0.03))
    low, high = levels([ramp - 0.75])
    assert (low, high) == (-high, pytest.approx(0.75, abs=0.02))
    assert levels([0 * ramp]) == (0, 1)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"picture": Path("none.jpg")}, ImageError, "none.jpg"),
        ({"method": "tinny"}, UsageError, "tinny"),
        ({"output": Path("a.jpg")}, UsageError, "ends in .png"),
        ({"channels": 0}, UsageError, "--channels 0"),
        ({"at": (1, 1)}, UsageError, "add --attention"),
        ({"at": (72, 1), "attention": True}, UsageError, "which is 72x48"),
        ({"target": Path("small.png")}, UsageError, "is of 72x40"),
        ({"output": Path("there.png")}, FileError, "there.png: exists; pass --overwrite"),
    ],
)
def test_what_cannot_work_is_said(
    request_of, photos: Path, monkeypatch: pytest.MonkeyPatch, options, error, words
):
    monkeypatch.chdir(photos)
    images.write(Path("small.png"), images.read(photos / "trip" / "b.png"))
    Path("there.png").write_bytes(b"")
    with pytest.raises(error, match=words):
        features(request_of(**options))


def test_a_high_sheet_is_refused(request_of, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rainkit.inference.features._Sheet._HIGHEST", 400)
    with pytest.raises(UsageError, match=r"the sheet would be .* pixels high"):
        features(request_of())


def test_the_command_lists_and_writes(rainkit, request_of, photos: Path, two_weights):
    command = ["methods", "features", "tiny", photos / "a.jpg", "--weights", two_weights["first"]]
    code, listed, _ = rainkit(*command, "--list")
    assert code == 0
    assert [line.split()[0] for line in listed.splitlines()[2:]] == ["first", "last"]
    code, told, _ = rainkit(*command, "-l", "first", "--channels", "all", "--side", 24)
    assert (code, told) == (0, f"features of first.safetensors: {photos}/a-tiny-features.png\n")
    code, _, said = rainkit(*command, "--channels", "some", "--overwrite")
    assert (code, said) == (2, "error: --channels some: give a number, or all\n")
    code, _, said = rainkit(*command, "--attention", "--at", "here", "--overwrite")
    assert (code, said) == (2, "error: --at here: give column and row in pixels, such as 120,80\n")

"""The choice of a method by the rain of a picture and by measured scores."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from rainkit import files, images, inference, networks, plugins, weights
from rainkit.api import MeasuredPhotographs, MeasuredResult, Method, Weights
from rainkit.cli import app
from rainkit.errors import MethodError, UsageError, WeightsError
from rainkit.inference import InferRequest
from rainkit.inference.choice import choose, rain_kind, scores
from rainkit.inference.dryness import can_tell, was_dry
from rainkit.runtime_options import Effort, RuntimeOptions
from rainkit.weights import WeightsFile

INPUT_PSNR = {"rain100l": 26.0, "rain800": 21.0, "rain100h": 13.0}
Scores = Mapping[str, float]
LIGHT, DENSE, HEAVY = {"rain100l": 32.0}, {"rain800": 24.0}, {"rain100h": 23.0}


def rainy(streaks: int, brightness: int, side: int = 120) -> np.ndarray:
    """A grey picture with slanted streaks, some pixels long and two wide."""
    rng = np.random.default_rng(0)
    picture = np.full((side, side, 3), 60, np.uint8)
    for row, column in zip(*rng.integers(2, side - 16, (2, streaks)), strict=True):
        for step in range(12):
            left = column + step // 4
            picture[row + step, left : left + 2] = 60 + brightness
    return picture


SPARSE_RAIN, DENSE_RAIN, HEAVY_RAIN = rainy(15, 40), rainy(110, 18), rainy(110, 160)


def results(scores: Scores) -> tuple[MeasuredResult, ...]:
    """Scores whose SSIM gains as many dB as their PSNR."""
    return tuple(
        MeasuredResult(
            dataset=name, protocol="prenet/1", images=10, psnr=psnr,
            ssim=1 - 0.2 * 10 ** ((INPUT_PSNR[name] - psnr) / 10),
            input_psnr=INPUT_PSNR[name], input_ssim=0.8,
        )
        for name, psnr in scores.items()
    )  # fmt: skip


TAKES = MeasuredPhotographs(images=12, longest_side=480, streaks_left=0.5)


@pytest.fixture
def install(tiny_method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install methods by name, with scores of their weights that a plugin or a header declares."""

    def do(declared: Mapping[str, Scores], header: Mapping[str, Scores] | None = None) -> None:
        methods = {}
        for seed, (name, own) in enumerate(declared.items()):
            method = replace(tiny_method, name=name, title=name.title())
            path = tmp_path / "weights" / f"{name}.safetensors"
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                state = networks.build(method, method.default.network).state_dict()
            rows = [asdict(each) for each in results((header or {}).get(name, {}))]
            weights.save(
                path, state, method=method, variant="default", network=method.default.network,
                about={"results": json.dumps(rows)} if rows else None,
            )  # fmt: skip
            tag = Weights(
                tag="v1", variant="default", sha256=weights.inspect(path).sha256, file=str(path),
                licence="MIT", trained_on="nothing", recipe="none", results=results(own),
                photographs=TAKES,
            )  # fmt: skip
            methods[name] = replace(method, weights=(tag,))
        found = tuple(
            plugins.Installed(name=n, distribution=n, version="1", summary="", problem=None)
            for n in (*methods, "broken")
        )

        def get(name: str) -> Method:
            if name == "broken":
                raise MethodError("it is broken")
            return methods[name]

        monkeypatch.setattr(plugins, "installed", lambda: found)
        monkeypatch.setattr(plugins, "get", get)

    return do


def test_kinds_of_rain_are_told_apart():
    kinds = ["sparse", "dense", "heavy"]
    for kind, picture in zip(kinds, (SPARSE_RAIN, DENSE_RAIN, HEAVY_RAIN), strict=True):
        assert rain_kind(picture) == kind
        assert rain_kind(picture.astype(np.uint16) * 257) == kind
        assert rain_kind((picture / 255).astype(np.float32)) == kind
    assert rain_kind(np.zeros((1, 1, 3), np.uint8)) == "sparse"


def test_the_highest_measured_gain_decides(install: Callable[..., None]):
    install({"a": {**LIGHT, "rain800": 23.0}, "b": {"rain100l": 31.0, **DENSE, **HEAVY}})
    chosen = choose(RuntimeOptions())
    names = {kind: each.method.name for kind, each in chosen.by_kind.items()}
    assert names == {"sparse": "a", "dense": "b", "heavy": "b"}
    assert chosen.why() == (
        "a.v1 for sparse (+6.0 dB) rain, b.v1 for dense (+3.0 dB) and heavy (+10.0 dB) rain: "
        "the best by gains on pairs, real photographs and work"
    )


@pytest.mark.parametrize(("more", "dense"), [(0.06, "a"), (0.5, "b")])
def test_a_second_network_must_be_worth_it(install: Callable[..., None], more: float, dense: str):
    install(
        {"a": {**LIGHT, **HEAVY, "rain800": 24.0}, "b": {"rain100l": 31.0, "rain800": 24.0 + more}}
    )
    chosen = choose(RuntimeOptions()).by_kind
    names = {kind: each.method.name for kind, each in chosen.items()}
    assert names == {"sparse": "a", "dense": dense, "heavy": "a"}


def test_all_kinds_of_rain_are_listed_in_words(install: Callable[..., None]):
    install({"a": {"rain100l": 31.0, **DENSE, **HEAVY}, "b": {}})
    assert (
        choose(RuntimeOptions())
        .why()
        .startswith("a.v1 for sparse (+5.0 dB), dense (+3.0 dB) and heavy (+10.0 dB) rain: ")
    )


def weighed(name: str, left: float | None, gflop: float | None, images: int = 34) -> WeightsFile:
    """Weights with the same gain on pairs."""
    photographs = left and MeasuredPhotographs(images=images, longest_side=480, streaks_left=left)
    return WeightsFile(
        path=Path(name), name=name, variant="default", network=None, header={},
        results=results(LIGHT), photographs=photographs or None, gflop=gflop,
    )  # fmt: skip


def test_photographs_and_work_are_weighed():
    files = [weighed("a", 0.5, 100.0), weighed("b", 0.25, 400.0), weighed("c", None, None)]
    found = scores([*files, weighed("d", 0.1, 100.0, images=3)], "sparse")
    assert [round(found["a"][i], 2) for i in range(3)] == [6.0, 3.01, 0.0]
    assert [round(found["b"][i], 2) for i in range(3)] == [6.0, 6.02, 0.5]
    worst = (6.0, found["a"].photographs, found["b"].work)  # of the others
    assert found["c"] == pytest.approx(worst)
    assert found["d"] == found["a"]  # other photographs cannot be compared
    assert scores(files, "dense") == {}
    assert scores([weighed("c", None, None)], "sparse")["c"] == pytest.approx((6.0, 0.0, 0.0))


def test_ssim_is_weighed_as_much_as_psnr():
    def file(name: str, psnr: float, ssim: float) -> WeightsFile:
        (row,) = results({"rain100l": psnr})
        return replace(weighed(name, 0.5, None), results=(replace(row, ssim=ssim),))

    found = scores([file("light", 27.0, 0.82), file("rain", 26.0, 0.9)], "sparse")
    assert found["light"].pairs == pytest.approx((1.0 + 0.458) / 2, abs=0.001)
    assert found["rain"].pairs == pytest.approx(3.01 / 2, abs=0.001)
    assert scores([file("same", 26.0, 1.0)], "sparse")["same"].pairs == pytest.approx(
        16.505, abs=0.01
    )


def test_psnr_does_not_count_where_the_sides_of_pairs_differ_in_tone():
    def pairs(psnr: float, ssim: float) -> float:
        (row,) = results({"rain800": psnr})
        toned = replace(weighed("a", 0.5, None), results=(replace(row, ssim=ssim),))
        return scores([toned], "dense")["a"].pairs

    assert pairs(25.0, 0.9) == pairs(20.0, 0.9) == pytest.approx(3.01, abs=0.001)
    assert pairs(25.0, 0.8) == pytest.approx(0.0)


def test_a_header_goes_before_the_card(install: Callable[..., None]):
    install({"a": LIGHT, "b": LIGHT | DENSE}, header={"b": {"rain100l": 33.0}})
    chosen = choose(RuntimeOptions())
    assert {each.method.name for each in chosen.by_kind.values()} == {"b"}
    gains = {kind: score and round(score.pairs, 6) for kind, score in chosen.gains.items()}
    assert gains == {"sparse": 7.0, "dense": None, "heavy": None}


def test_the_next_best_is_taken_where_the_best_is_missing(install: Callable[..., None]):
    install({"b": {"rain100l": 28.0}, "c": {}})
    assert choose(RuntimeOptions()).by_kind["heavy"].method.name == "b"
    install({"c": {}})
    assert choose(RuntimeOptions()).by_kind["heavy"].method.name == "c"
    install({"c": {}, "d": {}})
    with pytest.raises(UsageError, match=r"none has measured results .* c, d"):
        choose(RuntimeOptions())
    with pytest.raises(UsageError, match="--effort 2: c always runs as a whole"):
        choose(RuntimeOptions(effort=Effort(blocks=2)))


def test_pictures_without_rain_are_left_as_they_are(install: Callable[..., None], tmp_path: Path):
    install({"a": LIGHT})
    photos = tmp_path / "photos"
    dry = np.ascontiguousarray(np.linspace(0, 255, 120 * 120 * 3).reshape(120, 120, 3).astype("u1"))
    images.write(photos / "dry.jpg", images.Picture(dry))
    images.write(photos / "rainy.png", images.Picture(HEAVY_RAIN))
    images.write(photos / "lines.png", images.Picture(SPARSE_RAIN))
    command = ["infer", str(photos), "-m", "a", "--device", "cpu"]
    result = CliRunner().invoke(app, [*command, "--keep-dry"])
    assert result.exit_code == 0, result.output
    network = inference.load("a", device="cpu")
    wanted, kept = {}, 1
    for name, picture in (("rainy", HEAVY_RAIN), ("lines", SPARSE_RAIN)):
        clean = network.derain(picture)
        kept += (dry := was_dry(picture, clean))
        wanted[name] = picture if dry else clean
    assert f"{files.counted(kept, 'picture')} without rain, left as they are" in result.stdout
    out = tmp_path / "photos-a"
    assert (out / "dry.jpg").read_bytes() == (photos / "dry.jpg").read_bytes()
    for name, picture in wanted.items():
        np.testing.assert_array_equal(images.read(out / f"{name}.png").rgb, picture)
    assert "nothing to do" in CliRunner().invoke(app, [*command, "--keep-dry"]).stdout
    assert "another keep dry" in CliRunner().invoke(app, command).stderr
    converted = CliRunner().invoke(
        app, [*command, "--keep-dry", "-o", str(tmp_path / "o"), "--format", "png"]
    )
    assert converted.exit_code == 0, converted.output
    np.testing.assert_array_equal(
        images.read(tmp_path / "o" / "dry.png").rgb, images.read(photos / "dry.jpg").rgb
    )
    refused = CliRunner().invoke(app, [*command, "--keep-dry", "--parts"])
    assert refused.exit_code == 2


def test_weights_that_leave_most_of_the_rain_tell_nothing():
    assert can_tell(weighed("a", 0.5, None))
    assert not can_tell(weighed("a", 0.87, None))
    assert can_tell(weighed("a", 0.65, None))
    assert not can_tell(weighed("a", 0.655, None))
    assert not can_tell(weighed("a", None, None))


def test_what_was_taken_off_says_whether_there_was_rain():
    still = np.full_like(SPARSE_RAIN, 60)
    for rain in (SPARSE_RAIN, DENSE_RAIN, HEAVY_RAIN):
        assert not was_dry(rain, still)
        assert not was_dry(rain.astype(np.uint16) * 257, still.astype(np.uint16) * 257)
        assert was_dry(rain, rain)  # lines that stay are of the scene
        assert was_dry(rain, np.where(rain > 60, rain - 2, rain).astype(np.uint8))
        half = ((rain.astype(int) + still) // 2).astype(np.uint8)
        assert not was_dry(rain, half, strength=0.5)
    assert not was_dry(SPARSE_RAIN, SPARSE_RAIN, strength=0.0)
    assert was_dry(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8))


def test_what_has_the_colour_of_the_scene_is_no_rain():
    """Blades of grass and drops leave equally bright lines; drops blend it with white light."""
    grass = np.full(DENSE_RAIN.shape, (30, 70, 20), np.uint8)
    lines = DENSE_RAIN > 60
    blades = np.where(lines, (54, 126, 36), grass).astype(np.uint8)
    drops = np.where(lines, (74, 106, 66), grass).astype(np.uint8)
    for rainy, dry in ((blades, True), (drops, False)):
        left = (rainy * 0.6 + grass * 0.4).astype(np.uint8)
        assert was_dry(rainy, left) == dry


def test_broken_results_of_a_header_are_named(tiny_method: Method, tmp_path: Path):
    network = networks.build(tiny_method, tiny_method.default.network)
    path = tmp_path / "w.safetensors"
    weights.save(
        path, network.state_dict(), method=tiny_method, variant="default",
        network=tiny_method.default.network, about={"results": '[{"dataset": "x"}]'},
    )  # fmt: skip
    with pytest.raises(WeightsError, match=r"w\.safetensors: its header's results are not"):
        weights.open_file(tiny_method, path)


def test_each_picture_takes_the_method_for_its_rain(install: Callable[..., None], tmp_path: Path):
    install({"a": LIGHT | DENSE, "b": {"rain100l": 31.0, **HEAVY}})
    auto = inference.load("auto", device="cpu", precision="fp32")
    a, b = (inference.load(name, device="cpu", precision="fp32") for name in "ab")
    assert np.abs(a.derain(HEAVY_RAIN).astype(int) - b.derain(HEAVY_RAIN)).max() > 2
    for picture, one in ((SPARSE_RAIN, a), (HEAVY_RAIN, b)):
        np.testing.assert_array_equal(auto.derain(picture), one.derain(picture))
        pil = auto.derain(Image.fromarray(picture))
        np.testing.assert_array_equal(np.asarray(pil), one.derain(picture))
        np.testing.assert_array_equal(auto.parts(picture)["rain"], one.parts(picture)["rain"])
    both = torch.cat([images.to_tensor(each) for each in (SPARSE_RAIN, HEAVY_RAIN)])
    apart = torch.stack([a.derain(both[0]), b.derain(both[1])])
    torch.testing.assert_close(auto.derain(both), apart, rtol=0, atol=1e-6)
    fresh = inference.load("auto", device="cpu", precision="fp32")
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fresh.derain, [SPARSE_RAIN, HEAVY_RAIN] * 4))
    for got, wanted in zip(
        together, [a.derain(SPARSE_RAIN), b.derain(HEAVY_RAIN)] * 4, strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(
        auto.suited_to([SPARSE_RAIN, HEAVY_RAIN, HEAVY_RAIN]).derain(SPARSE_RAIN),
        b.derain(SPARSE_RAIN),
    )
    for name, picture in (("few", SPARSE_RAIN), ("much", HEAVY_RAIN)):
        images.write(tmp_path / "photos" / f"{name}.png", images.Picture(picture))
    options = RuntimeOptions.parse(device="cpu", precision="fp32")
    request = InferRequest(inputs=(tmp_path / "photos",), options=options)
    done = inference.infer(request)
    assert [(each.by, each.rain) for each in done.done] == [("a.v1", "sparse"), ("b.v1", "heavy")]
    assert done.outputs == (tmp_path / "photos-auto",)
    ran = [replace(each, blocks=6) for each in done.outcomes]
    assert inference.blocks_used(replace(done, outcomes=tuple(ran))) is None  # of no one number
    written = images.read(tmp_path / "photos-auto" / "much.png").rgb
    np.testing.assert_array_equal(written, b.derain(HEAVY_RAIN))
    assert len(inference.infer(request).skipped) == 2
    install({"b": {"rain100l": 31.0, **HEAVY}, "a": LIGHT | DENSE})  # other weights
    kept = inference.infer(request).kept
    assert kept[0].error == "is there, made by auto with a.v1 and b.v1"


def test_the_work_size_reaches_every_method(install: Callable[..., None]):
    install({"a": LIGHT | DENSE, "b": {"rain100l": 31.0, **HEAVY}})
    auto = inference.load("auto", device="cpu", precision="fp32", work_size="full")
    whole = auto.derain(SPARSE_RAIN)
    fixed = auto.at_work_size(64)
    unpickled = pickle.loads(pickle.dumps(fixed))  # noqa: S301
    for name, picture in (("a", SPARSE_RAIN), ("b", HEAVY_RAIN)):
        one = inference.load(name, device="cpu", precision="fp32", work_size=64)
        np.testing.assert_array_equal(fixed.derain(picture), one.derain(picture))
        np.testing.assert_array_equal(unpickled.derain(picture), one.derain(picture))
        assert fixed.derain_picture(images.Picture(picture)).work_size == (64, 64)
    np.testing.assert_array_equal(auto.derain(SPARSE_RAIN), whole)  # it keeps its own


def test_the_choice_is_told_in_a_line(install: Callable[..., None], tmp_path: Path):
    install({"a": LIGHT, "b": HEAVY})
    images.write(tmp_path / "few.png", images.Picture(SPARSE_RAIN))
    result = CliRunner().invoke(app, ["infer", str(tmp_path / "few.png"), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "auto: a.v1 for sparse (+6.0 dB)" in " ".join(result.stderr.split())
    assert "1 picture by a.v1, sparse rain" in result.stdout
    assert (tmp_path / "few-auto.png").is_file()
    for arguments in (["-m", "auto", "--weights", "v1"], ["--variant", "default"]):
        refused = CliRunner().invoke(app, ["infer", str(tmp_path / "few.png"), *arguments])
        assert refused.exit_code == 2, refused.output
        assert "method" in refused.stderr

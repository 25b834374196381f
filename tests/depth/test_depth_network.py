from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import nn

from rainkit.depth import open_source
from rainkit.errors import DatasetError, UsageError

PHOTO = Path("photo.png")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Save tiny random Depth Anything networks, a metric and a relative one, as users do."""
    from transformers import (
        DepthAnythingConfig,
        DepthAnythingForDepthEstimation,
        Dinov2Config,
        DPTImageProcessor,
    )

    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=28,
        patch_size=14, out_features=[f"stage{n}" for n in range(1, 5)],
        reshape_hidden_states=False,
    )  # fmt: skip
    processor = DPTImageProcessor(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    saved = {}
    for kind in ("metric", "relative"):
        config = DepthAnythingConfig(
            backbone_config=backbone, patch_size=14, reassemble_hidden_size=16,
            neck_hidden_sizes=[8] * 4, fusion_hidden_size=8, head_hidden_size=8,
            depth_estimation_type=kind, max_depth=80,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = DepthAnythingForDepthEstimation(config)
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d):  # initialised near 0, all depths would be one
                    nn.init.normal_(layer.weight, std=0.1)
        saved[kind] = tmp_path_factory.mktemp("networks") / kind
        network.save_pretrained(saved[kind])
        processor.save_pretrained(saved[kind])
    return saved


def test_a_metric_network_gives_metres(networks: dict[str, Path]) -> None:
    clean = data.chelsea()
    source = open_source(str(networks["metric"]), device="cpu")
    depth = source.of(PHOTO, clean)
    assert depth is not None
    assert (depth.z.dtype, depth.z.shape) == (np.float32, clean.shape[:2])
    assert 10 < np.median(depth.z) < 70  # of the network's max_depth 80
    assert depth.z.std() > 1e-3
    assert (depth.metric, depth.kind, depth.fog_scale) == (True, "metres", 1)
    assert (depth.source, depth.coverage) == (str(networks["metric"]), 1)
    again = source.of(PHOTO, clean)
    assert again is not None
    assert np.array_equal(again.z, depth.z)


def test_a_relative_network_gives_nearness(networks: dict[str, Path]) -> None:
    from transformers import pipeline

    clean = data.chelsea()
    depth = open_source(str(networks["relative"]), device="cpu").of(PHOTO, clean)
    assert depth is not None
    assert (depth.metric, depth.kind) == (False, "disparity")
    assert depth.z.min() == pytest.approx(3)
    assert depth.z.max() == pytest.approx(150)
    # The nearness by the library's own pipeline is high where our depth is low.
    from PIL import Image

    ask = pipeline("depth-estimation", model=str(networks["relative"]), device="cpu")
    nearness = ask(Image.fromarray(clean))["predicted_depth"].numpy()
    low, high = np.percentile(nearness, (1, 99))
    assert depth.z[nearness > high].max() == pytest.approx(3)
    assert depth.z[nearness < low].min() == pytest.approx(150)


def test_sky_that_a_metric_network_puts_far_is_farther(
    networks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rainkit.depth.network import Network

    sky = np.zeros((300, 451), bool)
    sky[:100] = True
    clean = np.where(sky[..., None], np.uint8([130, 170, 230]), np.uint8([90, 90, 90]))
    told = np.where(np.arange(451) < 200, np.float32(60), np.float32(8)) + 0 * sky
    told[250, 7] = np.nan
    monkeypatch.setattr(Network, "_predict", staticmethod(lambda *_: told.astype(np.float32)))
    depth = open_source(str(networks["metric"])).of(PHOTO, clean)
    assert depth is not None
    assert np.all(depth.z[:90, :190] == 500)
    assert np.all(depth.z[:90, 210:] == 8)  # looks like sky, but is a wall
    assert np.all(depth.z[120:, :190] == 60)
    assert depth.coverage == 1 - 1 / sky.size
    told[:] = np.nan
    with pytest.raises(DatasetError, match=r"photo\.png: .* gives no depth for it"):
        open_source(str(networks["metric"])).of(PHOTO, clean)


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(UsageError, match=r"or run: hf download rainkit-test/no-such-depth$"):
        open_source("rainkit-test/no-such-depth")
    for name in ("one/two/three", "a b/c", "model"):
        with pytest.raises(UsageError, match=r"--depth .*: no such folder"):
            open_source(name)


def test_a_copy_in_the_cache_is_found_by_name(
    networks: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--me--depth"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / ("0" * 40)).symlink_to(networks["metric"])
    depth = open_source("me/depth").of(PHOTO, data.chelsea())
    assert depth is not None
    assert depth.source == "me/depth"


def test_weights_in_pickles_are_refused(networks: dict[str, Path], tmp_path: Path) -> None:
    for file in networks["metric"].glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="is not a depth network in safetensors") as caught:
        open_source(str(tmp_path)).of(PHOTO, data.chelsea())
    assert "\n" not in str(caught.value)


def test_a_network_for_something_else_is_refused(networks: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="is not a depth network"):
        open_source(str(tmp_path)).of(PHOTO, data.chelsea())


def test_a_network_that_lacks_its_head_is_refused(
    networks: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    for file in networks["metric"].glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(networks["metric"] / "model.safetensors")
    body = {name: part for name, part in weights.items() if not name.startswith("head.")}
    save_file(body, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match=r"lacks \d+ weights .* choose one trained for depth"):
        open_source(str(tmp_path)).of(PHOTO, data.chelsea())


def test_without_the_library_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install transformers"):
        open_source("me/depth")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_refused(networks: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="no CUDA device; use cpu"):
        open_source(str(networks["metric"]), device="cuda").of(PHOTO, data.chelsea())

"""Depth by a monocular network of the transformers library that is on the local disk."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rainkit.depth.depth_map import (
    NEAREST_M,
    SKY_M,
    DepthMap,
    DepthSource,
    depth_from_disparity,
    fill,
)
from rainkit.depth.masks import sky_mask
from rainkit.errors import DatasetError, UsageError, one_line
from rainkit.images import RGB8

__all__ = ["Network"]

_METRIC = frozenset({"depth_pro", "glpn", "zoedepth"})
_RELATIVE = frozenset({"dpt"})
_SKY_FROM_M = 30.0  # pixels that look like sky but are nearer by a metric network are walls


class _Loaded(NamedTuple):
    processor: Any
    model: Any
    metric: bool


class Network(DepthSource):
    """A network that was trained to estimate depth.

    A metric network gives metres. Others give inverse depth without scale or offset, which is
    mapped to 3 to 150 m. The network is loaded on first use.
    """

    def __init__(self, name: str, device: str) -> None:
        """Find the network without loading it.

        Args:
            name: folder of the network, or its name on the Hugging Face hub if the local cache
                holds it.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

        Raises:
            UsageError: The network is not on this disk, the device is invalid, or transformers is
                missing.
        """
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise UsageError(f"--device {device}: use auto, cpu, cuda or cuda:N")
        if importlib.util.find_spec("transformers") is None:
            raise UsageError(
                f"--depth {name}: depth networks need another package: pip install transformers"
            )
        self._name, self._device = name, device
        folder = Path(name).expanduser()
        self._place = str(folder) if folder.is_dir() else _cached(name)
        self._loaded: _Loaded | None = None

    def of(self, photo: Path, clean: RGB8) -> DepthMap:
        """Run the network; ``photo`` is only named in errors."""
        if self._loaded is None:
            self._loaded = self._load()
        try:
            values = self._predict(self._loaded, clean)
        except (RuntimeError, ValueError) as error:  # too small, or too big for the device
            raise DatasetError(
                f"{photo}: the depth network {self._name} fails on it ({one_line(error)})"
            ) from error
        valid = np.isfinite(values) & ((values > 0) | (not self._loaded.metric))
        if not valid.any():
            raise DatasetError(f"{photo}: {self._name} gives no depth for it; leave it out")
        if self._loaded.metric:
            sky = sky_mask(clean) & (values >= _SKY_FROM_M)
            z = np.where(sky, np.float32(SKY_M), values)
        else:
            z = depth_from_disparity(values, valid, f"{photo}: the depth by {self._name}")
        return DepthMap(
            z=np.clip(fill(z, valid), NEAREST_M, SKY_M),
            valid=valid,
            metric=self._loaded.metric,
            kind="metres" if self._loaded.metric else "disparity",
            source=self._name,
        )

    def _load(self) -> _Loaded:
        import torch
        import transformers

        library: Any = transformers  # the package is only partly typed
        device = self._device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        elif device != "cpu" and not torch.cuda.is_available():
            raise UsageError(f"--device {device}: this machine has no CUDA device; use cpu")
        library.utils.logging.disable_progress_bar()
        try:
            processor = library.AutoImageProcessor.from_pretrained(
                self._place, local_files_only=True
            )
            model, report = library.AutoModelForDepthEstimation.from_pretrained(
                self._place, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            missing = sorted({*report["missing_keys"], *map(str, report["mismatched_keys"])})
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            raise UsageError(
                f"--depth {self._name}: is not a depth network in safetensors ({one_line(error)})"
            ) from error
        if missing:
            raise UsageError(
                f"--depth {self._name}: lacks {len(missing)} weights of a depth network, such as "
                f"{missing[0]}; choose one trained for depth"
            )
        return _Loaded(processor, model.float().eval().to(device), self._is_metric(model.config))

    def _is_metric(self, config: Any) -> bool:
        kind = getattr(config, "depth_estimation_type", None)
        if kind is not None or config.model_type in _METRIC | _RELATIVE:
            return kind == "metric" or config.model_type in _METRIC
        raise UsageError(
            f"--depth {self._name}: the unit of a {config.model_type} network's output is unknown; "
            "use Depth Anything, DPT, ZoeDepth, GLPN or Depth Pro"
        )

    @staticmethod
    def _predict(loaded: _Loaded, clean: RGB8) -> Any:
        """Return the network's output at the size of the picture, float32 [H, W]."""
        import torch

        inputs = loaded.processor(images=clean, return_tensors="pt").to(loaded.model.device)
        with torch.inference_mode():
            outputs = loaded.model(**inputs)
            # Most processors name the second argument target_sizes, and ZoeDepth's source_sizes.
            sized = loaded.processor.post_process_depth_estimation(outputs, [clean.shape[:2]])
        return sized[0]["predicted_depth"].float().cpu().numpy()


def _cached(name: str) -> str:
    """Return the name of a network on the hub if the local cache has a copy of it."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        if name.count("/") == 1 and isinstance(try_to_load_from_cache(name, "config.json"), str):
            return name
    except HFValidationError:
        raise UsageError(
            f"--depth {name}: no such folder, and not a network's name; check the path"
        ) from None
    raise UsageError(
        f"--depth {name}: no such folder, and no network of that name in the local cache; "
        f"check the path, or run: hf download {name}"
    )

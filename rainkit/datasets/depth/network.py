"""Depth by a monocular network of the transformers library, from the local disk alone."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rainkit.datasets.depth.filling import fill
from rainkit.datasets.depth.looks import looks_like_sky
from rainkit.datasets.depth.relative import from_nearness
from rainkit.datasets.depth.source import Picture, Source
from rainkit.datasets.depth.values import NEAREST_M, SKY_M, Depth
from rainkit.errors import DatasetError, UsageError

__all__ = ["Network"]

_METRIC = frozenset({"depth_pro", "glpn", "zoedepth"})
_RELATIVE = frozenset({"dpt"})
_SKY_FROM_M = 30.0  # what looks like sky and is nearer by a metric network is a wall


class _Loaded(NamedTuple):
    processor: Any
    model: Any
    metric: bool


class Network(Source):
    """A network that was trained to tell depth.

    Metric ones give metres. Others give inverse depth without scale or offset, which is put
    between 3 and 150 m. The network is loaded when it is first asked.
    """

    def __init__(self, name: str, device: str) -> None:
        """Look for the network.

        Args:
            name: its folder, or its name on the Hugging Face hub when the local cache holds it.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

        Raises:
            UsageError: no such network on this disk, a bad device, or transformers is missing.
        """
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise UsageError(f"--device {device}: use auto, cpu, cuda or cuda:N")
        if importlib.util.find_spec("transformers") is None:
            raise UsageError(
                f'--depth {name}: depth networks need a package: pip install "rainkit[depth]"'
            )
        self._name, self._device = name, device
        folder = Path(name).expanduser()
        self._place = str(folder) if folder.is_dir() else _cached(name)
        self._loaded: _Loaded | None = None

    def of(self, photo: Path, clean: Picture) -> Depth:
        """Ask the network; ``photo`` is only named in errors."""
        if self._loaded is None:
            self._loaded = self._load()
        try:
            values = self._predict(self._loaded, clean)
        except (RuntimeError, ValueError) as error:  # too small, or too big for the device
            raise DatasetError(f"{photo}: {self._name} fails on it ({_one_line(error)})") from error
        valid = np.isfinite(values) & ((values > 0) | (not self._loaded.metric))
        if not valid.any():
            raise DatasetError(f"{photo}: {self._name} gives no depth for it; leave it out")
        if self._loaded.metric:
            sky = looks_like_sky(clean) & (values >= _SKY_FROM_M)
            z = np.where(sky, np.float32(SKY_M), values)
        else:
            z = from_nearness(values, valid, f"{photo}: what {self._name} gives")
        return Depth(
            z=np.clip(fill(z, valid), NEAREST_M, SKY_M),
            valid=valid,
            metric=self._loaded.metric,
            kind="metres" if self._loaded.metric else "disparity",
            source=self._name,
        )

    def _load(self) -> _Loaded:
        import torch
        import transformers

        library: Any = transformers  # typed in parts only
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
                f"--depth {self._name}: is no depth network in safetensors ({_one_line(error)})"
            ) from error
        if missing:
            raise UsageError(
                f"--depth {self._name}: lacks {len(missing)} weights of a depth network, "
                f"{missing[0]} among them; choose one trained for depth"
            )
        return _Loaded(processor, model.float().eval().to(device), self._is_metric(model.config))

    def _is_metric(self, config: Any) -> bool:
        kind = getattr(config, "depth_estimation_type", None)
        if kind is not None or config.model_type in _METRIC | _RELATIVE:
            return kind == "metric" or config.model_type in _METRIC
        raise UsageError(
            f"--depth {self._name}: what the output of a {config.model_type} means is not known; "
            "use Depth Anything, DPT, ZoeDepth, GLPN or Depth Pro"
        )

    @staticmethod
    def _predict(loaded: _Loaded, clean: Picture) -> Any:
        """The network's own numbers at the size of the picture, float32 [H, W]."""
        import torch

        inputs = loaded.processor(images=clean, return_tensors="pt").to(loaded.model.device)
        with torch.inference_mode():
            outputs = loaded.model(**inputs)
            # The second argument is called target_sizes by most, and source_sizes by ZoeDepth.
            sized = loaded.processor.post_process_depth_estimation(outputs, [clean.shape[:2]])
        return sized[0]["predicted_depth"].float().cpu().numpy()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _cached(name: str) -> str:
    """The name of a network on the hub, if a copy of it is in the local cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        if name.count("/") == 1 and isinstance(try_to_load_from_cache(name, "config.json"), str):
            return name
    except HFValidationError:
        raise UsageError(f"--depth {name}: no such folder, nor a name of a network") from None
    raise UsageError(
        f"--depth {name}: no such folder, and no network of that name in the local cache; "
        f"check the path, or run: hf download {name}"
    )

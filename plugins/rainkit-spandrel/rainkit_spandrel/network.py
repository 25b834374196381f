"""Files of networks, read by spandrel: which architecture is in them, and what it asks for."""

from __future__ import annotations

import importlib
import inspect
import pickle
import warnings
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from spandrel import ImageModelDescriptor, ModelLoader, ModelTiling, UnsupportedModelError
from torch import Tensor, nn

from rainkit.objective import Derained
from rainkit_spandrel import Network

__all__ = ["Loaded", "describe"]


class Loaded(nn.Module):
    """The network of a file, with its weights.

    spandrel's descriptor knows in which range, order of channels and sizes the network takes
    pictures, and what of its output is the picture. It takes RGB in [0,1], one picture at a time.
    """

    def __init__(self, settings: Network) -> None:
        super().__init__()
        if not settings.file:
            raise ValueError("name the file of a network with --weights FILE")
        self._descriptor = _load(Path(settings.file))
        self.model: nn.Module = self._descriptor.model
        # Without the decorator that turns gradients off, which `rainkit methods features` needs.
        self._call = inspect.unwrap(type(self._descriptor).__call__)

    def forward(self, rainy: Tensor) -> Derained:
        """[B, 3, H, W] in [0, 1] -> the clean picture in [0, 1]; there are no parts."""
        pictures = [self._call(self._descriptor, each) for each in torch.split(rainy, 1)]
        return Derained(torch.cat(pictures), {})


def describe(path: Path) -> Network:
    """Return what spandrel says of the network in a file.

    Raises:
        ValueError: the file is no checkpoint, or holds a network that rainkit cannot run.
    """
    found = _load(path)
    sizes = found.size_requirements
    return Network(
        file=str(path.resolve()),
        architecture=found.architecture.name,
        multiple_of=sizes.multiple_of,
        min_size=max(1, sizes.minimum),
        # Where tiles are discouraged they leave seams, and so they are never used.
        tiling="approximate" if found.tiling is ModelTiling.SUPPORTED else "never",
    )


def _load(path: Path) -> ImageModelDescriptor[Any]:
    """Load a network that takes an RGB picture and gives one of the same size.

    Raises:
        ValueError: there is none in the file; the message gives the reason and the remedy.
    """
    state = _tensors(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # architectures are as old as their papers
            with suppress(ImportError):  # those under other licences, if they are installed
                importlib.import_module("spandrel_extra_arches").install(ignore_duplicates=True)
            found = ModelLoader("cpu").load_from_state_dict(state)
    except UnsupportedModelError:
        names = [f"{name} {list(each.shape)}" for name, each in state.items() if _is_tensor(each)]
        held = ", ".join(names[:3]) or "no tensors"
        raise ValueError(
            f"spandrel {version('spandrel')} knows no architecture of this file ({held}); more are "
            "in the package spandrel_extra_arches"
        ) from None
    except Exception as error:  # the architecture that was recognised may raise anything
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"spandrel cannot build its network: {reason}") from error
    name = found.architecture.name
    if not isinstance(found, ImageModelDescriptor):
        raise ValueError(f"holds a network of {name}, which needs a mask; rainkit has none")
    if found.scale != 1:
        raise ValueError(
            f"holds a network of {name} that makes pictures {found.scale} times as large; take one "
            "that keeps their size"
        )
    if (found.input_channels, found.output_channels) != (3, 3):
        raise ValueError(
            f"holds a network of {name} from {found.input_channels} to {found.output_channels} "
            "channels; take one for RGB, from 3 to 3"
        )
    found.model.eval()
    return found


def _tensors(path: Path) -> dict[str, Any]:
    """Read the tensors of a file; of a pickle nothing else is read, and no code is run.

    Raises:
        ValueError: the file is damaged, or holds more.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # about old formats and TorchScript
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            "only tensors are read, and this file holds something else, or is damaged; open it "
            "with the program that made it, and save the state dict alone"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"not a whole checkpoint ({reason})") from error
    if not isinstance(content, dict):
        raise ValueError(f"holds a {type(content).__name__} instead of tensors by name")
    return content


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)

"""Checkpoints: folders that are whole or absent.

``checkpoints/step-00012000/`` holds ``model.safetensors`` and ``average.safetensors`` (weights
anyone can use, with their header), and ``state.pt``: optimisers, helper networks and what the
loop remembers, readable with ``weights_only=True``. A folder is written under another name,
flushed and renamed; older ones are removed only then.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rainkit.errors import FileError, TrainingError

__all__ = ["latest", "open_state", "prune", "remove_unfinished", "writing"]

STATE = "state.pt"
_PREFIX = "step-"
_UNFINISHED = "unfinished-"


@contextmanager
def writing(run: Path, step: int, state: dict[str, Any]) -> Iterator[Path]:
    """A folder to put weights into; it gets the state and its final name when the block succeeds.

    Raises:
        TrainingError: it cannot be written; what was there before is untouched.
    """
    final = run / "checkpoints" / f"{_PREFIX}{step:08d}"
    folder = final.with_name(f"{_UNFINISHED}{step:08d}")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
        with (folder / STATE).open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)
        _flush(final.parent)
    except (OSError, RuntimeError, FileError) as error:
        raise TrainingError(
            f"{final}: checkpoint not written ({error}); free some space, "
            f"then continue with --resume {run}"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prune(run: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints."""
    for folder in _whole(run)[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(run: Path) -> None:
    """Remove what a run that was killed was writing."""
    for folder in (run / "checkpoints").glob(f"{_UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run; None before the first one."""
    folders = _whole(run)
    return folders[-1] if folders else None


def open_state(checkpoint: Path) -> dict[str, Any]:
    """What :func:`writing` wrote, on the CPU.

    Raises:
        TrainingError: the file is damaged or holds anything but tensors and plain values.
    """
    path = checkpoint / STATE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{path}: damaged or no checkpoint of rainkit ({reason}); "
            f"remove {checkpoint.name} to resume from the one before"
        ) from error
    return state


def _whole(run: Path) -> list[Path]:
    return sorted(f for f in (run / "checkpoints").glob(f"{_PREFIX}*") if (f / STATE).is_file())


def _flush(folder: Path) -> None:
    """Make a rename durable; Windows has no such call and needs none."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

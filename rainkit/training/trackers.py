"""Experiment trackers, such as Weights & Biases, through Accelerate."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rainkit import hyperparameters
from rainkit.errors import UsageError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from rainkit.training.setup import Setup

__all__ = ["finish", "refuse_unknown", "start"]

PROJECT = "rainkit"


def refuse_unknown(names: Sequence[str]) -> None:
    """Refuse trackers that are not installed, before anything is written.

    Raises:
        UsageError: naming those that are.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = {str(name) for name in LOGGER_TYPE_TO_CLASS}
    here = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in known:
            raise UsageError(f"--tracker {name}: choose one of {', '.join(sorted(known))}")
        if name not in here:
            raise UsageError(f"--tracker {name}: not installed; try pip install {name}")


def start(setup: Setup) -> None:
    """Open the trackers of a run; a resumed run goes on where it was, where they can."""
    request = setup.request
    settings = hyperparameters.to_data(request.hyperparameters)
    about = {"method": request.method.name, "variant": request.variant, "seed": request.seed}
    name = f"{request.run.resolve().parent.name}-{request.run.resolve().name}"
    identity = hashlib.sha256(str(request.run.resolve()).encode()).hexdigest()[:16]
    setup.accelerator.init_trackers(
        PROJECT,
        config=about | dict(_flat(settings)),
        init_kwargs={"wandb": {"name": name, "id": identity, "resume": "allow"}},
    )


def finish(accelerator: Accelerator) -> None:
    """Close them. Accelerate's own end of a training would end its processes, too."""
    for tracker in accelerator.trackers:
        tracker.finish()


def _flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Numbers and text by dotted names, as trackers take them."""
    found: list[tuple[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, (bool, int, float, str))
            found.append((f"{prefix}{name}", value if plain else str(value)))
    return found

"""Knowledge distillation: a network also learns from the pictures of a trained one, its teacher."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rainkit import networks, plugins, weights
from rainkit.api import Method
from rainkit.errors import MethodError, RainkitError, TrainingError, UsageError
from rainkit.objective import Frames, Pair
from rainkit.precision import Runtime
from rainkit.weights import WeightsFile

__all__ = ["Teacher", "TeacherFile"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherFile:
    """A teacher before its network is built.

    Attributes:
        method: the teacher's method, which may be another than the student's.
        weights: its weights.
    """

    method: Method
    weights: WeightsFile

    @classmethod
    def find(cls, text: str) -> TeacherFile:
        """Return the teacher that ``METHOD.TAG``, ``METHOD=FILE`` or ``METHOD`` names.

        Raises:
            UsageError: there is no such method, tag or file.
            MethodError, WeightsError: the method or the file is damaged.
        """
        name, _, which = text.partition("=" if "=" in text else ".")
        method = plugins.get(name)
        tags = [each.tag for each in method.weights]
        if which and which.removeprefix(f"{name}.") not in tags and not Path(which).is_file():
            known = ", ".join(f"{name}.{tag}" for tag in tags) or "none"
            raise UsageError(
                f"--teacher {text}: {name} has no such weights (it ships: {known}), and there is "
                f"no such file; write METHOD.TAG or METHOD=FILE.safetensors"
            )
        return cls(method=method, weights=weights.find(method, which or None))

    def to_data(self) -> dict[str, str]:
        """Return what ``run.json`` records, with the path of a file made absolute."""
        tag = self.weights.name.removeprefix(f"{self.method.name}.")
        shipped = tag in [each.tag for each in self.method.weights]
        file = f"{self.method.name}={self.weights.path.absolute()}"
        return {"name": self.weights.name if shipped else file, "sha256": self.weights.sha256}

    @classmethod
    def from_data(cls, data: Mapping[str, str], record: Path) -> TeacherFile:
        """Return the teacher that :meth:`to_data` described.

        Args:
            data: the description.
            record: file that holds it, for messages.

        Raises:
            TrainingError: the teacher is missing, or is not the one that the run began with.
        """
        name, before = data["name"], data["sha256"]
        remedy = "put it back, or start a new run with --init"
        try:
            found = cls.find(name)
            now = found.weights.sha256
        except RainkitError as error:
            raise TrainingError(
                f"{record}: the run's teacher {name} is missing ({error}); {remedy}"
            ) from error
        if now != before:
            raise TrainingError(
                f"{record}: the run's teacher {name} has changed: its sha256 was {before[:16]}... "
                f"and is {now[:16]}...; {remedy}"
            )
        return found


class Teacher:
    """A trained network in evaluation mode, whose parameters never change.

    Args:
        file: method and weights.
        runtime: device and precision of the training. The teacher computes in float32 if this
            precision is not safe for it.

    Attributes:
        name: name of its weights.
        runtime: the device and precision that it computes with.
        parameters: number of its parameters.
        size: bytes of its tensors.
    """

    def __init__(self, file: TeacherFile, runtime: Runtime) -> None:
        spec = file.method.image(file.weights.network)
        network = weights.load(networks.build(file.method, file.weights.network), file.weights)
        self.name = file.weights.name
        self.parameters = networks.parameters(network)
        self.size = sum(v.numel() * v.element_size() for v in network.state_dict().values())
        safe = runtime.precision in ("fp32", "tf32", *spec.half)
        self.runtime = runtime if safe else replace(runtime, precision="fp32")
        self._network = networks.prepare(network.requires_grad_(False), spec, self.runtime).eval()

    def pictures(self, rainy: Tensor) -> Tensor:
        """Return the derained pictures of [B,3,H,W], in [0,1] and float32, without a gradient."""
        with torch.no_grad():
            derained: Tensor = self._network(rainy)
        return derained.clamp(0, 1)

    def targets(self, batch: Pair | Frames, image: Tensor) -> Tensor:
        """Return the teacher's pictures for those of a batch that a student has derained.

        Args:
            batch: the batch.
            image: the student's pictures of all rainy pictures of the batch. Of frames, they may be
                those of the first ones, or of both, the second ones after the first ones.

        Raises:
            MethodError: the student's pictures are neither.
        """
        rainy: Tensor = batch[0]
        if isinstance(batch, Frames) and image.shape[0] == 2 * rainy.shape[0]:
            rainy = torch.cat([batch.first, batch.second])
        if image.shape != rainy.shape:
            raise MethodError(
                f"--teacher: the objective derains {tuple(rainy.shape)} to {tuple(image.shape)}, "
                "not one picture for each rainy one, so that it cannot learn from a teacher"
            )
        return self.pictures(rainy)

    def seconds(self, shape: tuple[int, int, int, int]) -> float:
        """Measure how long the teacher takes for pictures of a shape, once it is warm."""
        grey = torch.full(shape, 0.5, device=self.runtime.device)
        began = 0.0
        for _ in range(2):
            began = time.perf_counter()
            self.pictures(grey).sum().item()  # this waits for the device
        return time.perf_counter() - began

    def describe(self, shape: tuple[int, int, int, int], parts: int) -> str:
        """Describe the teacher in a few words, with its cost for a batch in ``parts`` parts."""
        milliseconds = 1e3 * self.seconds(shape) * parts
        return f"teacher {self.name} ({self.parameters:,} parameters, {milliseconds:.3g} ms a step)"

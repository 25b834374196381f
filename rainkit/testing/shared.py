"""What the tests share: the method under test, its variants, pictures and networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit import networks, plugins, weights
from rainkit.api import Hyperparameters, ImageSpec, Method, Part
from rainkit.precision import choose_runtime

__all__ = [
    "NOISE",
    "Contract",
    "difference_of",
    "picture_of",
    "seeded",
    "side_of",
    "streaks_of",
    "wrapped",
]

NOISE = 1e-5
"""Largest difference, relative to the output's range, that reordered float32 sums may cause."""


class Contract:
    """A method under test; every group of tests derives from this class.

    Attributes:
        method: name of the method.
        large: variants that would take minutes on a CPU. Their networks are built and run on
            torch's meta device alone, which checks shapes and parts without any arithmetic.
        checkpoint: file of another program that a method with ``Method.checkpoints`` is tested
            with; None for methods that have networks of their own.
    """

    method: ClassVar[str]
    large: ClassVar[tuple[str, ...]] = ()
    checkpoint: ClassVar[Path | None] = None

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run a test for every variant, or for every distinct network, objective or training."""
        variants = plugins.get(self.method).variants
        small = {name: values for name, values in variants.items() if name not in self.large}
        for argument, key in (
            ("variant", lambda values: values),
            ("network_variant", lambda values: values.network),
            ("objective_variant", lambda values: (values.network, values.objective)),
            ("training_variant", lambda values: (values.objective, values.training)),
        ):
            if argument in metafunc.fixturenames:
                run = variants if argument == "variant" else small
                metafunc.parametrize(argument, _distinct(run, key))

    def described(self) -> Method:
        """Return the method under test."""
        return plugins.get(self.method)

    def settings_of(self, variant: str) -> Any:
        """Return the network hyperparameters of a variant, or those of the checkpoint."""
        method = self.described()
        if method.checkpoints is None:
            return method.variants[variant].network
        if self.checkpoint is None:
            pytest.skip("networks come from files: set checkpoint to one in the test class")
        return weights.find(method, str(self.checkpoint)).network

    def spec_of(self, variant: str) -> ImageSpec:
        """Return the ImageSpec of a variant."""
        return self.described().image(self.settings_of(variant))

    def parts_of(self, variant: str) -> Mapping[str, Part]:
        """Return the parts that a variant declares."""
        method = self.described()
        return method.parts_of(self.settings_of(variant))

    def network_of(self, variant: str) -> networks.ImageOnly:
        """Return a variant's network with fresh weights, in float32 on the CPU."""
        method = self.described()
        return wrapped(seeded(method, self.settings_of(variant), 0), self.spec_of(variant))

    def best_network_of(self, variant: str) -> tuple[nn.Module, bool]:
        """Return a variant's network and whether it has shipped weights rather than fresh ones."""
        method = self.described()
        for declared in method.weights:
            if declared.variant == variant and declared.file:
                file = weights.find(method, declared.tag)
                return weights.load(networks.build(method, file.network), file), True
        return seeded(method, self.settings_of(variant), 0), False


def picture_of(batch: int, height: int, width: int) -> Tensor:
    """Return the same pictures [B,3,H,W] in [0,1] on every call: smooth colours with some grain."""
    generator = torch.Generator().manual_seed(height * 10_000 + width)
    coarse = torch.rand(batch, 3, height // 8 + 2, width // 8 + 2, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
    grain = torch.rand(batch, 3, height, width, generator=generator)
    return 0.1 + 0.7 * smooth + 0.1 * grain


def streaks_of(batch: int, side: int) -> Tensor:
    """Return the same bright vertical streaks [B,1,side,side] on every call."""
    generator = torch.Generator().manual_seed(side)
    drops = (torch.rand(batch, 1, side, side, generator=generator) > 0.97).float()
    return F.avg_pool2d(drops, (9, 1), stride=1, padding=(4, 0)) * 3


def side_of(spec: ImageSpec) -> int:
    """Return a small side that the bare network takes, large enough for critics with strides."""
    return -(-max(32, spec.min_size) // spec.multiple_of) * spec.multiple_of


def seeded(method: Method, settings: Any, seed: int) -> nn.Module:
    """Build a network whose fresh weights depend only on the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return networks.build(method, settings)


def wrapped(network: nn.Module, spec: ImageSpec, precision: str = "fp32") -> networks.ImageOnly:
    """Prepare a network as rainkit runs it on the CPU, with its parameters frozen."""
    run = networks.prepare(network, spec, choose_runtime("cpu", precision, spec))
    return run.requires_grad_(False)


def difference_of(one: Tensor, other: Tensor) -> float:
    """Return the largest difference, relative to the range of the second (at least 1)."""
    return float((one - other).abs().max() / other.abs().max().clamp(min=1))


def _distinct(
    variants: Mapping[str, Hyperparameters[Any, Any]],
    key: Callable[[Hyperparameters[Any, Any]], Any],
) -> list[str]:
    """Return the first variant of each distinct value of ``key``."""
    names: list[str] = []
    seen: list[Any] = []
    for name, values in variants.items():
        if key(values) not in seen:
            seen.append(key(values))
            names.append(name)
    return names

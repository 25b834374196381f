"""Tests of a method's network."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rainkit import networks
from rainkit.api import Part
from rainkit.inference import tiles
from rainkit.inference.features import ATTENTION, hooked
from rainkit.objective import Derained
from rainkit.testing.shared import (
    NOISE,
    Contract,
    difference_of,
    picture_of,
    side_of,
    wrapped,
)

__all__ = ["Behaviour"]

SIZES = ((29, 37), (1, 1), (5, 5), (3, 40))

NARROW = 24
"""Least width of the strips in which the reach of a network is measured."""


class Behaviour(Contract):
    """Tests of the network and of what ``ImageSpec`` claims about it."""

    def test_network_takes_any_size(self, network_variant: str) -> None:
        """Odd, tiny and narrow pictures come back at their size, finite, with every part.

        rainkit itself refuses a result that is not a ``Derained``, a picture of another shape, and
        a network that changes its input.
        """
        parts, run = self.parts_of(network_variant), self.network_of(network_variant)
        for height, width in SIZES:
            answer = run.derained(picture_of(1, height, width))
            assert answer.image.shape == (1, 3, height, width)
            assert answer.image.isfinite().all(), f"a {width}x{height} picture gives nan or inf"
            _check_parts(parts, answer, 1)

    def test_large_networks_have_the_right_shapes(self) -> None:
        """Variants that are too large to be run can be built, and give pictures and all parts."""
        method = self.described()
        for variant in self.large:
            network, side = method.variants[variant].network, side_of(self.spec_of(variant))
            with torch.device("meta"):
                answer = networks.build(method, network).eval()(torch.empty(1, 3, side, side))
            assert isinstance(answer, Derained), f"{variant} returns no Derained"
            assert answer.image.shape == (1, 3, side, side), f"{variant} changes the size"
            given, declared = set(answer.parts), set(self.parts_of(variant))
            assert given == declared, f"{variant} gives {given}, and declares {declared}"

    def test_network_is_deterministic_and_takes_batches(self, network_variant: str) -> None:
        """In eval mode a picture's result depends only on that picture."""
        parts, run = self.parts_of(network_variant), self.network_of(network_variant)
        pictures = picture_of(3, 29, 37)
        together = run.derained(pictures)
        _check_parts(parts, together, 3)
        assert torch.equal(run(pictures), together.image), "two runs in eval mode differ"
        alone = torch.cat([run(picture[None]) for picture in pictures])
        difference = difference_of(alone, together.image)
        assert difference <= NOISE, (
            f"a picture in a batch of 3 differs by {difference:.2g} from the picture alone: "
            "nothing may be computed over the batch in eval mode"
        )

    def test_receptive_radius_is_true(self, network_variant: str) -> None:
        """No input pixel beyond the declared radius changes the output."""
        spec = self.spec_of(network_variant)
        radius = spec.receptive_radius
        if radius is None:
            assert spec.tiling != "exact", "exact tiling needs ImageSpec.receptive_radius"
            pytest.skip("ImageSpec.receptive_radius is None: every pixel may change every other")
        step = math.lcm(spec.multiple_of, spec.tile_step)
        seen = _reach(self.network_of(network_variant), radius + 2 * step + 8, step)
        assert seen <= radius, (
            f"an input pixel {seen} px away changes the output: ImageSpec.receptive_radius is "
            f"{radius} and must be at least {seen}, or None if every pixel can"
        )

    def test_exact_tiles_equal_the_whole(self, network_variant: str) -> None:
        """Tiles with a halo of the receptive radius give the whole picture's result."""
        spec = self.spec_of(network_variant)
        if spec.tiling != "exact" or spec.receptive_radius is None:
            pytest.skip(f"ImageSpec.tiling is {spec.tiling}: tiles may differ from the whole")
        step = math.lcm(spec.multiple_of, spec.tile_step)
        run, side = self.network_of(network_variant), max(24, 2 * step)
        size = (side + 5, 3 * side)
        picture = picture_of(1, *size)
        grid = tiles.Grid(side, spec.receptive_radius, multiple_of=step, min_size=spec.min_size)
        tiled = tiles.run_tiles(run, lambda rows, columns: picture[..., rows, columns], size, grid)
        difference = difference_of(tiled, run(picture))
        assert difference <= NOISE, (
            f"tiles differ by {difference:.2g} from the whole picture: enlarge "
            "ImageSpec.receptive_radius, or say that tiling is approximate"
        )

    def test_half_precision_is_safe(self, network_variant: str) -> None:
        """The declared half precisions stay within 1/255 of float32."""
        method, spec = self.described(), self.spec_of(network_variant)
        if not spec.half:
            pytest.skip("ImageSpec.half is empty: the method runs in float32")
        network, shipped = self.best_network_of(network_variant)
        picture = picture_of(1, 48, 48)
        exact = wrapped(network, spec)(picture).clamp(0, 1)
        for precision in spec.half:
            rounded = wrapped(copy.deepcopy(network), spec, precision)(picture).clamp(0, 1)
            off = float((exact - rounded).abs().max()) * 255
            # Fresh weights may change a picture far more than trained ones, and round with it.
            change = 0.0 if shipped else float((exact - picture).abs().max())
            allowed = max(1.0, 10 * change)
            assert off <= allowed, (
                f"{method.name} in {precision} is {off:.2f}/255 off: name more fp32_modules, or "
                f"leave {precision} out of ImageSpec.half"
            )

    def test_attention_maps_are_maps(self, network_variant: str) -> None:
        """Modules with an ``attention_map`` show where they look, without changing the result."""
        run, picture = self.network_of(network_variant), picture_of(1, 40, 56)
        attending = [
            name for name, module in run.network.named_modules() if hasattr(module, ATTENTION)
        ]
        if not attending:
            pytest.skip(f"no module offers {ATTENTION}: rainkit shows no attention of this method")
        for at in (None, (0.5, 0.25)):
            _check_attention(run, picture, at)

    def test_stages_end_with_the_result(self, network_variant: str) -> None:
        """An anytime network gives a picture after each block; the last one is that of ``forward``.

        A result does not depend on whether later blocks run.
        """
        method, run = self.described(), self.network_of(network_variant)
        if method.blocks is None:
            assert not hasattr(run.network, "stages"), "the network has stages(): set Method.blocks"
            pytest.skip("Method.blocks is None: the method is not an anytime method")
        assert hasattr(run.network, "stages"), "Method.blocks is set, but there is no stages()"
        blocks = method.blocks(self.settings_of(network_variant))
        picture = picture_of(1, 29, 37)
        with torch.no_grad():
            stages = list(run.stages(picture))
            assert blocks <= len(stages) <= blocks + 1, (
                f"stages() gives {len(stages)} results: one after each of {blocks} blocks, and "
                "one more if something follows"
            )
            first = next(iter(run.stages(picture))).image
            difference = difference_of(stages[-1].image, run(picture))
        assert difference <= NOISE, f"the last stage differs by {difference:.2g} from forward"
        assert torch.equal(first, stages[0].image), "the first stage depends on later ones"


def _check_parts(declared_parts: Mapping[str, Part], answer: Derained, batch: int) -> None:
    declared, given = set(declared_parts), set(answer.parts)
    assert given == declared, (
        f"parts declared but absent: {sorted(declared - given)}, given but not declared: "
        f"{sorted(given - declared)}; correct Method.parts or Derained.parts"
    )
    for name, part in answer.parts.items():
        right = part.ndim == 4 and part.shape[0] == batch and part.shape[1] in (1, 3)
        assert right, f"part {name} is {tuple(part.shape)}: give [B, 1 or 3, H, W]"
        assert part.isfinite().all(), f"part {name} has nan or inf"
        claim = declared_parts[name]
        assert claim.estimates != "picture" or (part.shape[1] == 3 and not claim.signed), (
            f"part {name} estimates the clean picture: give three channels, and leave out signed"
        )


def _reach(run: networks.ImageOnly, margin: int, block: int) -> int:
    """Return the distance in pixels over which the input of a block of output has a gradient.

    The block is as wide as the network's steps, so that it holds every phase of strided layers.
    Reach is measured down a tall strip and along a wide one, which costs less than a whole square.
    """
    start, narrow = (-(-side // block) * block for side in (margin, NARROW))
    return max(
        _reach_along(run, picture_of(1, 2 * start + block, narrow), 2, start, block),
        _reach_along(run, picture_of(1, narrow, 2 * start + block), 3, start, block),
    )


def _reach_along(run: networks.ImageOnly, rainy: Tensor, axis: int, start: int, block: int) -> int:
    image = run(rainy.requires_grad_()).narrow(axis, start, block)
    generator = torch.Generator().manual_seed(1)
    (image * torch.rand(image.shape, generator=generator)).sum().backward()
    assert rainy.grad is not None, "the output does not depend on the input"
    slope = rainy.grad.abs().amax(dim=[each for each in range(4) if each != axis])
    touched = (slope > slope.max() * 1e-7).nonzero()
    first, last = int(touched.min()), int(touched.max())
    return max(start - first, last - (start + block - 1), 0)


def _check_attention(
    run: networks.ImageOnly, picture: Tensor, at: tuple[float, float] | None
) -> None:
    def look(name: str, module: nn.Module, inputs: Sequence[Any], answer: Any) -> None:
        if not hasattr(module, ATTENTION):
            return
        found, shape = getattr(module, ATTENTION)(inputs[0], at), inputs[0].shape
        wanted = (shape[0], 1, *shape[2:])
        assert found.shape == wanted, (
            f"{ATTENTION} of {name} gives {tuple(found.shape)}: give {wanted}"
        )
        assert found.isfinite().all(), f"{ATTENTION} of {name} gives nan or inf"
        assert (found >= 0).all(), f"{ATTENTION} of {name} has negative values"

    with torch.no_grad():
        before = run(picture)
        with hooked(run.network, look):
            after = run(picture)
    assert torch.equal(before, after), f"{ATTENTION} changes the result"

"""The contract between rainkit and a method plugin.

A plugin is an installed distribution with an entry point in the group ``rainkit.methods`` whose
name is the method's name and whose value is a :class:`Method`, for example::

    [project.entry-points."rainkit.methods"]
    granet = "rainkit_granet:METHOD"

This module imports the standard library alone, so that describing a method costs nothing.
Networks and losses are named by ``"module:callable"`` strings that are resolved only when run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

API = 1
"""The contract's number. It changes when a plugin written for the old contract would break."""

ENTRY_POINT_GROUP = "rainkit.methods"

RAIN = "rain"
"""The part every method has. Where a method gives none, it is the rainy picture minus the clean."""

__all__ = [
    "API",
    "ENTRY_POINT_GROUP",
    "RAIN",
    "Hyperparameters",
    "ImageSpec",
    "MeasuredResult",
    "Method",
    "Paper",
    "Part",
    "PublishedResult",
    "Training",
    "Weights",
    "measured",
    "option",
    "replace",
]


def option(
    default: Any,
    doc: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """A documented, bounded hyperparameter: a dataclass field with its doc and bounds as metadata.

    Choices need no bound of their own: annotate the field with ``typing.Literal``.
    """
    bounds = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    metadata = {"doc": doc} | {name: bound for name, bound in bounds.items() if bound is not None}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedResult:
    """One figure printed in the paper. Shown as 'published', never as a measurement of ours."""

    dataset: str
    psnr: float | None = None
    ssim: float | None = None
    seconds: float | None = None
    parameters: int | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paper:
    """Where the method comes from; of a paper that is known by its contents, the title alone."""

    authors: tuple[str, ...] = ()
    title: str
    venue: str = ""
    year: int | None = None
    doi: str | None = None
    results: tuple[PublishedResult, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSpec:
    """What pictures a network takes, and how it may be cut into tiles and rounded.

    Attributes:
        channels: input channels; 3 is RGB.
        multiple_of: sides must be multiples of this; the core pads and crops.
        min_size: smallest side in pixels the network takes; the core pads smaller pictures.
        receptive_radius: how far, in pixels, an input pixel can change the output; None = anywhere.
        tiling: ``exact`` (tiles with a halo of ``receptive_radius`` equal the whole picture),
            ``approximate`` (they differ a little) or ``never``.
        half: half precisions whose result stays within 1/255 of float32.
        fp32_modules: names of sub-modules that stay in float32 when the rest is half precision.
        tile_step: tiles start at multiples of this, as networks that pool need; pictures are not
            padded to it, unlike to ``multiple_of``.
    """

    channels: int = 3
    multiple_of: int = 1
    min_size: int = 1
    receptive_radius: int | None = None
    tiling: Literal["exact", "approximate", "never"] = "approximate"
    half: tuple[Literal["bf16", "fp16"], ...] = ()
    fp32_modules: tuple[str, ...] = ()
    tile_step: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A named intermediate picture that the paper shows (rain layer, mask, coarse result...).

    Attributes:
        doc: what it is.
        signed: it has negative values; its zero is shown as mid-grey.
        estimates: what ``rainkit eval --parts`` scores it against: the clean ``picture``, the
            ``rain`` that was added to it, or nothing.
    """

    doc: str
    signed: bool = False
    estimates: Literal["picture", "rain"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredResult:
    """A score we measured, with the protocol that produced it."""

    dataset: str
    protocol: str
    images: int
    psnr: float
    ssim: float
    input_psnr: float
    input_ssim: float


def measured(
    protocol: str, *rows: tuple[str, int, float, float, float, float]
) -> tuple[MeasuredResult, ...]:
    """Scores under one protocol, a row for each set.

    Args:
        protocol: its name and version, such as ``prenet/1``.
        rows: data set, pictures, PSNR, SSIM, and the PSNR and SSIM of the untouched input.
    """
    return tuple(
        MeasuredResult(
            dataset=dataset,
            protocol=protocol,
            images=images,
            psnr=psnr,
            ssim=ssim,
            input_psnr=input_psnr,
            input_ssim=input_ssim,
        )
        for dataset, images, psnr, ssim, input_psnr, input_ssim in rows
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Trained weights: a safetensors file inside the plugin's package, or a URL.

    Attributes:
        tag: the second half of the full name, ``<method>.<tag>``.
        variant: the variant whose network the file fits.
        sha256: hash of the whole file, checked before it is read.
        file: path inside the plugin's import package, or None when ``url`` is given.
        url: where to fetch the file from when it is not in the package.
        licence: SPDX name of the weights' licence.
        trained_on: what the training saw, in words.
        recipe: the recipe file or command that made it.
        results: measured scores, on pictures the training never saw.
    """

    tag: str
    variant: str
    sha256: str
    file: str | None = None
    url: str | None = None
    licence: str
    trained_on: str
    recipe: str
    results: tuple[MeasuredResult, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """How a phase is optimised. The core understands these; a plugin sets its paper's values."""

    optimiser: Literal["adam", "adamw", "rmsprop"] = option("adam", "optimiser of every phase")
    lr: float = option(1e-3, "learning rate after warm-up", gt=0)
    beta1: float = option(0.9, "Adam: decay of the first moment", ge=0, lt=1)
    beta2: float = option(0.999, "Adam: decay of the second moment; RMSProp: its alpha", ge=0, lt=1)
    weight_decay: float = option(0.0, "weight decay", ge=0)
    schedule: Literal["constant", "cosine", "plateau", "milestones"] = option(
        "cosine", "how the learning rate falls"
    )
    warmup_steps: int = option(0, "steps of linear learning-rate warm-up", ge=0)
    lr_floor: float = option(0.0, "cosine: last learning rate as a fraction of lr", ge=0, le=1)
    factor: float = option(0.1, "plateau, milestones: factor of each fall", gt=0, lt=1)
    patience: int = option(10, "plateau: epochs without improvement before a fall", ge=0)
    milestones: tuple[int, ...] = option((), "milestones: epochs at which the rate falls")
    steps: int = option(10_000, "optimiser steps in all", ge=1)
    epoch_steps: int = option(1_000, "steps that schedules and validation call an epoch", ge=1)
    batch: int = option(8, "pictures per step, over all processes", ge=1)
    accumulate: int = option(1, "parts that a batch is computed in, to save memory", ge=1)
    recompute: bool = option(False, "compute activations twice instead of keeping them")
    patch: int = option(128, "side of the random square crop in pixels", ge=16, le=4096)
    whole: int = option(0, "longest side of whole pictures to train on; 0 = on crops", ge=0)
    clip_norm: float = option(0.0, "largest gradient norm of a step; 0 = not clipped", ge=0)
    ema: float = option(0.999, "decay of the averaged weights that ship; 0 = none", ge=0, lt=1)
    augment: Literal["flips", "d4", "none"] = option(
        "flips", "random changes of the crop: d4 is flips and quarter turns"
    )
    photometric: float = option(
        0.0, "share of samples whose brightness, contrast and colours change", ge=0, le=1
    )
    freeze: tuple[str, ...] = option((), "patterns of parameters that stay, such as encoder.*")
    stop_after: int = option(
        0, "validations without a better PSNR before the training ends; 0 = it does not", ge=0
    )


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Everything that can be set: the plugin's network and objective, the core's training.

    A plugin subclasses this with the types of ``network`` and ``objective``, each a frozen
    dataclass whose fields come from :func:`option`.
    """

    network: Any
    objective: Any
    training: Training = field(default_factory=Training)


H = TypeVar("H", bound=Hyperparameters)


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """One deraining method.

    Attributes:
        api: the contract number the plugin was written for.
        name: the entry point's name: lower case, digits and hyphens.
        title: the paper's name of the method.
        summary: one line for tables.
        licence: SPDX name of the code's licence.
        paper: where the method comes from, with its published results.
        hyperparameters: the plugin's :class:`Hyperparameters` subclass.
        variants: named settings. ``default`` is what ships; ``paper`` holds the printed values.
        network: ``"module:callable"`` taking ``hyperparameters.network``, giving an ``nn.Module``
            whose ``forward(rainy[B,3,H,W] in [0,1])`` returns ``rainkit.objective.Derained``.
        objective: ``"module:callable"`` taking ``hyperparameters.objective``, giving a
            ``rainkit.objective.Objective``.
        image: what pictures the network of given network hyperparameters takes.
        parts: what ``Derained.parts`` holds; a function of the network hyperparameters where
            variants have different parts.
        blocks: how many blocks an anytime network of given network hyperparameters has, each of
            which ends with a picture; None = the method is not anytime. Such a network offers
            ``stages(rainy) -> Iterator[Derained]``: the result after each block in turn and, if
            something follows the last one, that result.
        weights: trained weights, the one to use by default first.
        training_data: what a batch of the objective is: clean pairs or time-lapse frames.
        ablation: variants that the paper compares with one another, in its order.
    """

    api: int
    name: str
    title: str
    summary: str
    licence: str
    paper: Paper
    hyperparameters: type[Hyperparameters]
    variants: Mapping[str, Hyperparameters]
    network: str
    objective: str
    image: Callable[[Any], ImageSpec]
    parts: Mapping[str, Part] | Callable[[Any], Mapping[str, Part]] = field(default_factory=dict)
    blocks: Callable[[Any], int] | None = None
    weights: tuple[Weights, ...] = ()
    training_data: Literal["pairs", "frames"] = "pairs"
    ablation: tuple[str, ...] = ()

    @property
    def default(self) -> Hyperparameters:
        """The variant that ships."""
        return self.variants["default"]

    def parts_of(self, network: Any) -> Mapping[str, Part]:
        """The parts of a network of given hyperparameters."""
        return self.parts(network) if callable(self.parts) else self.parts


def replace(hyperparameters: H, **sections: Mapping[str, Any]) -> H:
    """A copy with some values of some sections changed; for writing down a plugin's variants.

    >>> replace(default, network={"width": 64}, training={"lr": 1e-4})  # doctest: +SKIP
    """
    changed = {
        name: dataclasses.replace(getattr(hyperparameters, name), **values)
        for name, values in sections.items()
    }
    return dataclasses.replace(hyperparameters, **changed)

"""The contract between rainkit and a method plugin.

A plugin is an installed distribution with an entry point in the group ``rainkit.methods`` whose
name is the method's name and whose value is a :class:`Method`::

    [project.entry-points."rainkit.methods"]
    granet = "rainkit_granet:METHOD"

This module imports the standard library alone, so that describing a method costs nothing.
Networks and objectives are named by ``"module:Class"`` strings that are resolved only when they
are run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

API = 2
"""Number of the contract that this rainkit serves.

It changes when a plugin that was written for the previous contract would break. A plugin writes the
number as a literal, ``Method(api=2, ...)``: with this constant it would claim every contract.
"""

ENTRY_POINT_GROUP = "rainkit.methods"

RAIN = "rain"
"""Name of the part that every method has.

A method that does not give it has the rainy picture minus the result.
"""

__all__ = [
    "API",
    "ENTRY_POINT_GROUP",
    "RAIN",
    "Hyperparameters",
    "ImageSpec",
    "MeasuredPhotographs",
    "MeasuredResult",
    "Method",
    "Paper",
    "Part",
    "PublishedResult",
    "Timing",
    "Training",
    "Weights",
    "measured_table",
    "option",
    "published_table",
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
    """Return a dataclass field that carries its doc and its bounds as metadata.

    A field with a few allowed values needs no bounds: annotate it with ``typing.Literal``.
    """
    bounds = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    metadata = {"doc": doc} | {name: bound for name, bound in bounds.items() if bound is not None}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedResult:
    """One row of figures that the paper prints; rainkit shows it as published, not measured.

    Figures are text with the digits that the paper prints: the float 38.10 would be shown as 38.1,
    and rounding 29.1035 to two digits would be a figure that no paper prints.

    Attributes:
        table: where the paper prints the row, such as ``Table 2``; empty for its running text.
        method: name of a rival; empty for the paper's own method.
        variant: form of the method, such as ``coarse picture``; empty for the method itself.
        dataset: what was scored; for times, the size of the picture. A second name of a dataset
            stands in brackets: ``Rain-II (Rain100H)``.
        psnr: PSNR in dB.
        ssim: SSIM.
        ap: average precision, at most 1, of a detector on the results.
        seconds: time of one picture.
        parameters: number of parameters.
        device: what ``seconds`` was taken on, as far as the paper says.
        trained_on: what the method was trained on, where the paper says so.
        note: what a reader must know, such as a contradiction in the paper.
    """

    table: str = ""
    method: str = ""
    variant: str = ""
    dataset: str
    psnr: str | None = None
    ssim: str | None = None
    ap: str | None = None
    seconds: str | None = None
    parameters: int | None = None
    device: str = ""
    trained_on: str = ""
    note: str = ""


_OF_ROWS = ("parameters", "device", "trained on")
_NOTE = re.compile(r"\[(\w+)\]")


def published_table(
    table: str,
    text: str,
    *,
    figures: str = "psnr/ssim",
    device: str = "",
    trained_on: str = "",
    note: str = "",
    notes: Mapping[str, str] | None = None,
) -> tuple[PublishedResult, ...]:
    """Return the results of a table that is written as the paper prints it.

    >>> published_table(
    ...     "Table 1",
    ...     '''
    ...               | Rain100L      | Rain100H     | parameters
    ...     DDN       | 25.99/.8141   | 23.93/.7430  | 58,175
    ...     JORDER    | 35.23/.9676   | -            |
    ...     *         | 37.55/.9806   | 33.16[a]     |
    ...     * coarse  | 23.10/.7947   | 18.02/.4791  |
    ...     ''',
    ...     notes={"a": "the paper prints no SSIM"},
    ... )  # doctest: +SKIP

    The first line names the datasets, and each further one is a method. A name that begins with
    ``*`` is a form of the paper's own method. The columns ``parameters``, ``device`` and
    ``trained on`` belong to the whole row. A dash or nothing is no figure.

    Args:
        table: the paper's own number of the table.
        text: the table.
        figures: attributes of :class:`PublishedResult` that a cell holds, with ``/`` between them.
        device: device of all rows that do not name one.
        trained_on: training data of all rows that do not name any.
        note: note on all rows.
        notes: further notes by the mark that points to them: ``[a]`` in a cell, a method's name or
            a dataset's name.

    Raises:
        ValueError: a line has another number of cells than the first, or a cell has too many
            figures.
        KeyError: a mark has no note.
    """
    head, *lines = (
        [cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.strip()
    )
    names = figures.split("/")
    results = []
    for line in lines:
        cells = dict(zip(head, line, strict=True))
        label = _NOTE.sub("", line[0]).strip()
        ours = label.startswith("*")
        row: dict[str, Any] = {
            "table": table,
            "method": "" if ours else label,
            "variant": label[1:].strip() if ours else "",
            "device": cells.get("device") or device,
            "trained_on": cells.get("trained on") or trained_on,
        }
        if counted := cells.get("parameters"):
            row["parameters"] = int(counted.replace(",", ""))
        for column in head[1:]:
            printed = _NOTE.sub("", cells[column]).strip()
            if column in _OF_ROWS or printed in ("", "-"):
                continue
            values = [f"0{each}" if each.startswith(".") else each for each in printed.split("/")]
            if len(values) > len(names):
                raise ValueError(f"{table}, {label} on {column}: {printed} is more than {figures}")
            marks = _NOTE.findall(f"{column} {line[0]} {cells[column]}")
            told = [note, *((notes or {})[mark] for mark in marks)]
            row |= {
                "dataset": _NOTE.sub("", column).strip(),
                "note": "; ".join(dict.fromkeys(filter(None, told))),
                **dict.fromkeys(names),
                **dict(zip(names, values, strict=False)),
            }
            results.append(PublishedResult(**row))
    return tuple(results)


@dataclass(frozen=True, kw_only=True, slots=True)
class Paper:
    """The paper that describes the method. Only the title is required."""

    authors: tuple[str, ...] = ()
    title: str
    venue: str = ""
    year: int | None = None
    doi: str | None = None
    results: tuple[PublishedResult, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSpec:
    """Requirements of a network on its input, and its promises about tiles and precision.

    Attributes:
        channels: number of input channels; 3 is RGB.
        multiple_of: number that both sides must be multiples of; the core pads and crops.
        min_size: smallest side in pixels that the network takes; the core pads smaller pictures.
        receptive_radius: distance in pixels over which an input pixel can change the output; None
            if it can change every pixel of the output.
        tiling: ``exact`` if tiles with a halo of ``receptive_radius`` give the same result as the
            whole picture, ``approximate`` if they differ a little, ``never`` if they must not be
            used.
        half: half precisions whose result stays within 1/255 of float32 where there is no rain.
            Where rain is taken off, single values may differ by more; a card says by how much.
        fp32_modules: names of sub-modules that stay in float32 when the rest is half precision.
        tile_step: number whose multiples tiles start at, for networks that pool. Pictures are not
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
    """A named intermediate picture of a method, such as a rain layer, a mask or a coarse result.

    Attributes:
        doc: what the part shows.
        signed: whether it has negative values; its zero is then shown as mid-grey.
        estimates: what ``rainkit eval --parts`` scores it against: the clean ``picture``, the
            ``rain`` that was added to it, or nothing.
    """

    doc: str
    signed: bool = False
    estimates: Literal["picture", "rain"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredResult:
    """Mean scores of a weights file on one dataset, beside those of the untouched input.

    Attributes:
        dataset: name of the dataset.
        protocol: name and version of the scoring protocol, such as ``prenet/1``.
        images: number of pictures.
        psnr: mean PSNR of the results in dB.
        ssim: mean SSIM of the results.
        input_psnr: mean PSNR of the rainy pictures in dB.
        input_ssim: mean SSIM of the rainy pictures.
    """

    dataset: str
    protocol: str
    images: int
    psnr: float
    ssim: float
    input_psnr: float
    input_ssim: float


def measured_table(text: str, *, protocol: str = "prenet/1") -> tuple[MeasuredResult, ...]:
    """Return measured results that are written as a table, a dataset on each line.

    >>> measured_table(
    ...     '''
    ...              | pictures | PSNR/SSIM    | input
    ...     rain100l | 25       | 32.12/.9413  | 26.23/.8204
    ...     rain100h | 25       | 21.32/.7142  | 13.83/.3598
    ...     '''
    ... )  # doctest: +SKIP

    Args:
        text: the table. The first line is a heading; then come name, number of pictures, mean PSNR
            in dB and SSIM of the results, and those of the rainy pictures.
        protocol: name and version of the scoring protocol of all lines.

    Raises:
        ValueError: a line has another number of cells, or a cell is no figure.
    """
    _, *lines = (line for line in text.splitlines() if line.strip())
    results = []
    for line in lines:
        dataset, images, scores, before = (cell.strip() for cell in line.split("|"))
        psnr, ssim = map(float, scores.split("/"))
        input_psnr, input_ssim = map(float, before.split("/"))
        results.append(
            MeasuredResult(
                dataset=dataset,
                protocol=protocol,
                images=int(images),
                psnr=psnr,
                ssim=ssim,
                input_psnr=input_psnr,
                input_ssim=input_ssim,
            )
        )
    return tuple(results)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredPhotographs:
    """What weights leave of the rain in photographs, which have no ground truth.

    Figures are compared only if they are of the same number of photographs at the same size.

    Attributes:
        images: number of photographs.
        longest_side: size in pixels that they were shrunk to.
        streaks_left: mean share of the energy along the streaks that is left; 1 if all is.
    """

    images: int
    longest_side: int
    streaks_left: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Time that the network took for a picture, as ``rainkit bench`` measured it.

    Attributes:
        machine: processor and number of cores, or GPU.
        seconds: median time of a picture.
        size: height and width of the picture, such as ``512x512``.
        precision: number format that the network ran in, such as ``fp32``.
        variant: the variant that was timed.
    """

    machine: str
    seconds: float
    size: str = "512x512"
    precision: str = "fp32"
    variant: str = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Trained weights: a safetensors file inside the plugin's package, or a URL.

    Attributes:
        tag: second half of the full name, ``<method>.<tag>``.
        variant: variant whose network the file fits.
        sha256: hash of the whole file, checked before the file is read.
        file: path inside the plugin's import package; None if ``url`` is given.
        url: address of a file that is not in the package: ``https://...``, or
            ``hf://OWNER/REPO[@REVISION]/FILE.safetensors`` for the Hugging Face hub. It is fetched
            when the user asks for it.
        licence: SPDX name of the weights' licence.
        trained_on: description of the training data.
        recipe: recipe file or command of the training.
        results: measured scores on pictures that the training never saw.
        photographs: what was measured on photographs of real rain; None if nothing was.
        gflop: work of the network on a picture of 512 x 512 pixels, in 10^9 operations, of which a
            multiply-add has two; None if it was not counted.
        spare_traces: whether inference gives back what the network takes off that is too faint to
            be rain, and shifts of colour where there is none. False for the network's own results,
            and for weights that take off anything else than rain.
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
    photographs: MeasuredPhotographs | None = None
    gflop: float | None = None
    spare_traces: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """Settings of a training: the core defines them, a plugin sets its paper's values."""

    optimiser: Literal["adam", "adamw", "muon", "rmsprop"] = option(
        "adam", "optimiser of every phase; muon steps kernels so, and vectors by Adam"
    )
    lr: float = option(1e-3, "learning rate after warm-up", gt=0)
    beta1: float = option(0.9, "Adam: decay of the first moment", ge=0, lt=1)
    beta2: float = option(0.999, "Adam: decay of the second moment; RMSProp: its alpha", ge=0, lt=1)
    weight_decay: float = option(0.0, "weight decay, except of biases and other vectors", ge=0)
    schedule: Literal["constant", "cosine", "plateau", "milestones"] = option(
        "cosine", "how the learning rate falls"
    )
    warmup_steps: int = option(0, "steps of linear learning-rate warm-up", ge=0)
    lr_floor: float = option(
        0.0, "cosine, plateau, milestones: lowest rate as a fraction of lr", ge=0, le=1
    )
    factor: float = option(0.1, "plateau, milestones: factor of each fall", gt=0, lt=1)
    patience: int = option(10, "plateau: epochs without improvement before a fall", ge=0)
    plateau_on: Literal["loss", "psnr"] = option(
        "loss", "plateau: what must improve, the training loss or the validation's PSNR"
    )
    stop_at_floor: bool = option(
        False, "plateau: end the training where a rate at lr_floor would fall again"
    )
    milestones: tuple[int, ...] = option((), "milestones: epochs at which the rate falls")
    steps: int = option(10_000, "number of optimiser steps", ge=1)
    epoch_steps: int = option(
        1_000, "steps of an epoch, as schedules and validation count them", ge=1
    )
    batch: int = option(8, "pictures per step, over all processes", ge=1)
    accumulate: int = option(1, "number of parts that a batch is computed in, to save memory", ge=1)
    recompute: bool = option(False, "compute activations twice instead of keeping them")
    patch: int = option(128, "side of the square pictures to train on", ge=16, le=4096)
    crop: int = option(
        0, "side of the random crop, which is resized to patch; 0 is patch", ge=0, le=4096
    )
    whole: int = option(0, "longest side of whole pictures to train on; 0 trains on crops", ge=0)
    distill_weight: float = option(
        1.0, "weight of the mean absolute distance to the picture of --teacher", gt=0
    )
    dry_weight: float = option(
        0.0,
        "weight of the mean absolute error over dry pixels, where rainy and clean differ by at "
        "most 2 grey levels; 0 leaves it out",
        ge=0,
    )
    ssim_weight: float = option(
        0.0,
        "weight of 1 - SSIM beside the method's own losses; 0 leaves it out",
        ge=0,
    )
    clip_norm: float = option(0.0, "largest gradient norm of a step; 0 disables clipping", ge=0)
    ema: float = option(
        0.999, "decay of the averaged weights that ship; 0 disables them", ge=0, lt=1
    )
    augment: Literal["flips", "hflip", "d4", "none"] = option(
        "flips", "random changes of the crop: hflip swaps left and right alone, d4 adds turns"
    )
    photometric: float = option(
        0.0, "share of samples whose brightness, contrast and colours change", ge=0, le=1
    )
    freeze: tuple[str, ...] = option(
        (), "patterns of parameters that are not trained, such as encoder.*"
    )
    freeze_statistics: bool = option(
        False, "normalise batches by the running statistics of the weights, which stay"
    )
    stop_after: int = option(
        0, "validations without a better PSNR after which the training ends; 0 disables this", ge=0
    )


NetworkT = TypeVar("NetworkT")
ObjectiveT = TypeVar("ObjectiveT")


@dataclass(frozen=True, kw_only=True)
class Hyperparameters(Generic[NetworkT, ObjectiveT]):
    """Everything that can be set: the plugin's network and objective, and the core's training.

    ``network`` and ``objective`` are frozen dataclasses of the plugin whose fields come from
    :func:`option`.
    """

    network: NetworkT
    objective: ObjectiveT
    training: Training = field(default_factory=Training)


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """One deraining method.

    Attributes:
        api: number of the contract that the plugin was written for, as a literal.
        name: name of the entry point, in lower case, digits and hyphens.
        title: the paper's name of the method.
        summary: one line for tables.
        licence: SPDX name of the code's licence.
        paper: the paper that describes the method, with its published results.
        variants: named settings. ``default`` is what ships; ``paper`` holds the printed values.
        network: ``"module:Class"`` of an ``nn.Module`` that is built from
            ``hyperparameters.network`` and whose ``forward(rainy[B,3,H,W] in [0,1])`` returns
            ``rainkit.objective.Derained``.
        objective: ``"module:Class"`` of a ``rainkit.objective.Objective`` that is built from
            ``hyperparameters.objective``; None if rainkit cannot train the method.
        image: function from the network hyperparameters to the :class:`ImageSpec`.
        parts: the pictures in ``Derained.parts``, or a function of the network hyperparameters if
            they depend on the variant.
        blocks: function from the network hyperparameters to the number of blocks of an anytime
            network; None if the method is not an anytime method. Every block ends with a picture,
            and the network has a generator ``stages(rainy) -> Iterator[Derained]``: the result
            after each block in turn and, if something follows the last block, the final result.
        weights: trained weights; the first are the default.
        checkpoints: ``"module:function"`` that reads files of other programs where ``--weights``
            names one: it takes the ``pathlib.Path`` and returns the network hyperparameters of the
            network in the file, which has its weights as soon as it is built. It raises
            ``ValueError`` with the reason and the remedy for a file that it cannot take. None if
            the method takes rainkit's own weights files alone.
        released_names: function from the network hyperparameters to the names that the tensors of
            the network have in the files that the paper's authors released, for ``rainkit weights
            import``: one name for each tensor, or several if it joins the tensors of several names
            along its first dimension. None if there are no such files, or if they use the network's
            own names.
        training_data: what a batch of the objective holds: clean pairs or time-lapse frames.
        ablation: variants that the paper compares with one another, in its order; empty if it
            compares none.
        own_ablation: variants that the plugin's authors compare beyond the paper.
        good_at: what the method takes out well, and its price, in one line of at most 72 characters
            for ``rainkit methods``; empty to show the summary there.
        timings: how long it takes on machines that are named.
    """

    api: int
    name: str
    title: str
    summary: str
    licence: str
    paper: Paper
    variants: Mapping[str, Hyperparameters[Any, Any]]
    network: str
    objective: str | None = None
    image: Callable[[Any], ImageSpec]
    parts: Mapping[str, Part] | Callable[[Any], Mapping[str, Part]] = field(default_factory=dict)
    blocks: Callable[[Any], int] | None = None
    weights: tuple[Weights, ...] = ()
    checkpoints: str | None = None
    released_names: Callable[[Any], Mapping[str, tuple[str, ...]]] | None = None
    training_data: Literal["pairs", "frames"] = "pairs"
    ablation: tuple[str, ...] = ()
    own_ablation: tuple[str, ...] = ()
    good_at: str = ""
    timings: tuple[Timing, ...] = ()

    @property
    def default(self) -> Hyperparameters[Any, Any]:
        """The variant that ships."""
        return self.variants["default"]

    def parts_of(self, network: Any) -> Mapping[str, Part]:
        """Return the parts of a network with these hyperparameters."""
        return self.parts(network) if callable(self.parts) else self.parts


def replace(
    hyperparameters: Hyperparameters[NetworkT, ObjectiveT],
    *,
    network: Mapping[str, Any] | None = None,
    objective: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Hyperparameters[NetworkT, ObjectiveT]:
    """Return a copy with some values of some sections changed, to write down a variant.

    >>> replace(default, network={"width": 64}, training={"lr": 1e-4})  # doctest: +SKIP
    """
    changes = {"network": network, "objective": objective, "training": training}
    changed = {
        name: dataclasses.replace(getattr(hyperparameters, name), **values)
        for name, values in changes.items()
        if values
    }
    return dataclasses.replace(hyperparameters, **changed)

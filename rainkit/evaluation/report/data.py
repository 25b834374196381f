"""What the pages, tables and plots of an evaluation show: plain data, however it was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rainkit.images import RGB8

__all__ = [
    "EvalPlot",
    "EvalReport",
    "EvalResult",
    "ExtraMetric",
    "PanelPictures",
    "PictureScore",
    "PublishedScore",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureScore:
    """One picture's figures under one protocol.

    Attributes:
        name: of the picture, unique in its dataset.
        psnr: in dB, ``inf`` where the result equals the target.
        ssim: NaN where it is undefined.
        input_psnr: of the rainy picture itself; None where there is none.
        input_ssim: likewise.
        milliseconds: what deraining took; None where nothing was derained.
        size: width and height.
        rate_mm_h: rain rate from the synthesis manifest.
        extras: further figures by the name of their :class:`ExtraMetric`.
        input_extras: those of the rainy picture itself.
    """

    name: str
    psnr: float
    ssim: float
    input_psnr: float | None = None
    input_ssim: float | None = None
    milliseconds: float | None = None
    size: tuple[int, int] | None = None
    rate_mm_h: float | None = None
    extras: Mapping[str, float] = field(default_factory=dict)
    input_extras: Mapping[str, float] = field(default_factory=dict)

    @property
    def psnr_gain(self) -> float | None:
        """PSNR over the rainy picture's; 0 where both equal the target."""
        if self.input_psnr is None:
            return None
        return 0.0 if self.psnr == self.input_psnr else self.psnr - self.input_psnr

    @property
    def ssim_gain(self) -> float | None:
        """SSIM over the rainy picture's."""
        return None if self.input_ssim is None else self.ssim - self.input_ssim


@dataclass(frozen=True, slots=True, eq=False)
class PanelPictures:
    """The pictures behind one score, HWC uint8 RGB of equal size."""

    restored: RGB8
    target: RGB8
    rainy: RGB8 | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalResult:
    """One method on one dataset under one protocol.

    Attributes:
        method: its name in tables; the same name is the same row and colour everywhere.
        dataset: its name in tables.
        protocol: name and version, such as ``prenet/1``.
        pictures: their scores.
        load: the pictures of a score's name; called only for those that a page shows. It may raise
            a RainkitError, which the page then tells. None shows no pictures.
        part_of: the method that this is a part of; parts are in tables, but not ranked. Their
            names begin with the method's.
        of_rain: the pictures are of rain, scored against the rain itself.
    """

    method: str
    dataset: str
    protocol: str
    pictures: tuple[PictureScore, ...]
    load: Callable[[str], PanelPictures] | None = None
    part_of: str | None = None
    of_rain: bool = False


@dataclass(frozen=True, slots=True)
class EvalPlot:
    """A plot.

    Attributes:
        name: of its kind: boxes-psnr, boxes-ssim, gain, rate-psnr, parts-psnr, parts-ssim.
        title: what it shows, under which protocol.
        svg: an SVG element in the colour of the text around it.
        text: the same in words, for those who cannot see it.
    """

    name: str
    title: str
    svg: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedScore:
    """A figure that a paper prints; shown as 'published', never ranked among measured ones.

    Attributes:
        method: the paper's method.
        dataset: it stands beside measured datasets of this name, in capitals or not.
        psnr: in dB.
        ssim: likewise as printed.
        milliseconds: per picture.
        note: protocol and data, where the paper states them.
    """

    method: str
    dataset: str
    psnr: float | None = None
    ssim: float | None = None
    milliseconds: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtraMetric:
    """A figure beyond PSNR and SSIM.

    Attributes:
        name: the key in :attr:`PictureScore.extras`.
        title: the column's heading, with the implementation where that matters.
        higher_is_better: which way it is ranked; None = not ranked.
        digits: decimals shown.
    """

    name: str
    title: str
    higher_is_better: bool | None = True
    digits: int = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalReport:
    """What an evaluation has to show.

    Attributes:
        title: the page's heading.
        results: in the order of the tables. The protocol of the first leads: plots and pictures
            show it, tables show all.
        protocols: what defines each protocol, in words, by name and version.
        facts: what to know about the run: machine, device, versions, weights.
        published: rows from papers.
        extras: further columns.
        notes: what a reader of the figures must know.
        failures: picture and reason of each that could not be scored.
    """

    title: str
    results: tuple[EvalResult, ...]
    protocols: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    published: tuple[PublishedScore, ...] = ()
    extras: tuple[ExtraMetric, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """Measured ones, each once, in order; parts are none."""
        return tuple(dict.fromkeys(each.method for each in self.results if each.part_of is None))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Each once, in order."""
        return tuple(dict.fromkeys(each.dataset for each in self.results))

    @property
    def labels(self) -> tuple[str, ...]:
        """Protocols' names and versions, each once, in order."""
        return tuple(dict.fromkeys(each.protocol for each in self.results))

    def under(self, protocol: str) -> tuple[EvalResult, ...]:
        """The results of one protocol, parts among them."""
        return tuple(each for each in self.results if each.protocol == protocol)

    @property
    def leading(self) -> tuple[EvalResult, ...]:
        """The results that plots and pictures show: of the first protocol, without parts."""
        return tuple(
            each for each in self.under(self.labels[0] if self.labels else "") if not each.part_of
        )

"""``README.md`` of a dataset: what it holds, how it was made, how to read and verify it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rainkit.datasets.manifest import Record
from rainkit.datasets.writers.base import Layout
from rainkit.files import atomic_path

__all__ = ["CARD", "write_card"]

CARD = "README.md"
"""Name of the card in a dataset folder, as Hugging Face expects it."""

_SIZES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
}
"""Hugging Face's size categories by their upper bounds."""

_NAMED = 8
"""Number of names that a line spells out before it says how many more there are."""


def write_card(
    out: Path,
    records: Sequence[Record],
    command: str = "",
    *,
    layout: Layout,
    overwrite: bool = False,
) -> None:
    """Write a dataset's card with Hugging Face's front matter.

    The same records and command give the same bytes, whatever the order of the records.

    Args:
        out: the dataset's folder.
        records: records of all its pairs, at least one.
        command: the command that made the dataset; empty if no command did.
        layout: layout of the dataset.
        overwrite: replace an existing card.

    Raises:
        FileError: a card exists and ``overwrite`` is False, or the system refuses to write.
    """
    lines = [*_front_matter(records, layout), *_contents(records, layout)]
    lines += [*_making(records, command), *_reading(records), *_licence()]
    with atomic_path(out / CARD, overwrite=overwrite) as temporary:
        text = "".join(f"{line}\n" for line in lines)
        # File names in the command may hold bytes that are not UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="replace", newline="\n")


def _front_matter(records: Sequence[Record], layout: Layout) -> Iterator[str]:
    size = next((name for most, name in _SIZES.items() if len(records) < most), "10M<n<100M")
    yield "---"
    yield "license: unknown  # the photographs' own: name it here, and at the end"
    yield "task_categories:"
    yield "- image-to-image"
    yield "tags:"
    yield from ("- image-restoration", "- deraining", "- rain", "- synthetic", "- rainkit")
    yield "size_categories:"
    yield f"- {size}"
    if layout.pattern(""):
        yield "configs:"
        yield "- config_name: default"
        yield "  data_files:"
        for split in _splits(records):
            yield f"  - split: {split or 'train'}"
            yield f'    path: "{layout.pattern(split)}"'
    yield "---"


def _contents(records: Sequence[Record], layout: Layout) -> Iterator[str]:
    noise = all(record.degradation == "noise" for record in records)
    what = "noisy" if noise else "rainy"
    yield f"# {len(records):,} {what} and clean pictures"
    yield ""
    yield (
        "Pairs for training and testing image restoration. The clean pictures are photographs, the "
        f"{'noise' if noise else 'rain'} was drawn by rainkit (renderer "
        f"{_counts(record.renderer for record in records)})."
    )
    yield ""
    yield "| split | scenes | pairs | width, px | height, px |"
    yield "|---|--:|--:|--:|--:|"
    for split, some in _splits(records).items():
        scenes = len({record.scene for record in some})
        sizes = " | ".join(_range([getattr(record, side) for record in some]) for side in "wh")
        yield f"| {split or 'all'} | {scenes:,} | {len(some):,} | {sizes} |"
    yield ""
    yield "| | lowest | median | highest |"
    yield "|---|--:|--:|--:|"
    for name, values in _measures(records).items():
        if values:
            three = (min(values), statistics.median(values), max(values))
            yield f"| {name} | " + " | ".join(f"{value:.4g}" for value in three) + " |"
    yield ""
    for name, names in _kinds(records).items():
        yield f"- {name}: {_counts(names)}"
    yield f"- layout: `{layout.name}`, {layout.doc}"
    yield ""


def _making(records: Sequence[Record], command: str) -> Iterator[str]:
    seeds = _counts(str(record.seed[0]) for record in records)
    libraries = _counts(
        ", ".join(f"{name} {version}" for name, version in record.lib.items()) for record in records
    )
    yield "## How it was made"
    yield ""
    if command:
        yield from ("```console", f"$ {command}", "```", "")
    yield f"Seed {seeds}; {libraries}. `manifest.jsonl` holds every parameter of every picture."
    yield "To draw all of them again and compare, pixel for pixel:"
    yield from ("", "```console", "$ rainkit data verify manifest.jsonl", "```", "")


def _reading(records: Sequence[Record]) -> Iterator[str]:
    split = next(iter(_splits(records)))
    which = f', split="{split}"' if split else ""
    yield "## How to read it"
    yield ""
    yield "```python"
    yield "from pathlib import Path"
    yield "from rainkit.datasets.pairs import find_pairs"
    yield "from rainkit.images import to_tensor"
    yield ""
    yield f'for pair in find_pairs(Path("."){which}):'
    yield "    rainy, clean = to_tensor(pair.rainy.read()), to_tensor(pair.clean.read())"
    yield "    # torch tensors [1,3,H,W] in [0,1]; pair.rainy.read() itself is uint8 [H,W,3], RGB"
    yield "```"
    yield ""


def _licence() -> Iterator[str]:
    yield "## Licence"
    yield ""
    yield "The licence of the photographs applies to the clean and to the rainy pictures; rainkit"
    yield "adds no terms of its own."


def _splits(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the records by split, ``train`` first."""
    names = sorted({record.split or "" for record in records}, key=lambda s: (s != "train", s))
    return {name: [r for r in records if (r.split or "") == name] for name in names}


def _measures(records: Sequence[Record]) -> dict[str, list[float]]:
    rain = [record for record in records if record.degradation == "rain"]
    return {
        "rain rate, mm/h": [record.rate_mm_h for record in rain],
        "wind to the right, m/s": [record.wind_m_s for record in rain],
        "extinction by the veil, 1/km": [1000 * record.beta_per_m for record in rain],
        "noise, standard deviation in levels": [r.sigma for r in records if r.sigma is not None],
        "PSNR on Y against the clean picture, dB": [
            record.stats.y_psnr for record in records if record.stats.y_psnr is not None
        ],
    }


def _kinds(records: Sequence[Record]) -> dict[str, list[str]]:
    """Return the named properties of the records by kind; kinds without any are left out."""
    kinds = {
        "preset": [record.preset for record in records if record.degradation == "rain"],
        "level": [record.level for record in records if record.level],
        "depth": [record.depth.source for record in records if record.depth],
        "frames a second": [f"{record.fps:g}" for record in records if record.fps],
        "file format": [" ".join(map(str, record.encode.values())) for record in records],
    }
    return {name: names for name, names in kinds.items() if names}


def _counts(names: Iterable[str]) -> str:
    """Return the single name, or each name with its count, the most frequent first."""
    counts = Counter(names)
    if len(counts) == 1:
        return next(iter(counts))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name} ({count:,})" for name, count in ranked[:_NAMED]]
    return ", ".join(shown) + (f" and {len(ranked) - _NAMED} more" if ranked[_NAMED:] else "")


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"

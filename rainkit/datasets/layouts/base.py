"""What all layouts share: pairs are written alike, only their names differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from rainkit.datasets.layouts.entries import Entry, Place
from rainkit.datasets.layouts.writing import RGB, encoded, save, share, write_list
from rainkit.datasets.records import Record
from rainkit.errors import UsageError

__all__ = ["Layout"]


class Layout(ABC):
    """Names of a dataset's files, and how they are written.

    Attributes:
        name: of the layout.
        doc: what it looks like, for a list of layouts.
        sequences: whether it has a place for the frames of a sequence.
    """

    name: ClassVar[str]
    doc: ClassVar[str]
    sequences: ClassVar[bool] = False

    def place(self, entry: Entry) -> Place:
        """Where a pair lies once the dataset is finished.

        Raises:
            UsageError: a frame of a sequence, for which the layout has no place.
        """
        if entry.frame is not None and not self.sequences:
            raise UsageError(
                f"--layout {self.name}: has no place for sequences; use --layout restormer"
            )
        return self._place(entry)

    def write(self, out: Path, entry: Entry, rainy: RGB, clean: RGB, *, overwrite: bool) -> None:
        """Write both pictures, the rainy one last; every file is there whole or not at all.

        Args:
            out: the dataset's folder.
            entry: the pair.
            rainy: [H,W,3].
            clean: [H,W,3].
            overwrite: replace files that exist. A target that is the same already stays.

        Raises:
            FileError: a file exists and ``overwrite`` is False, or the system refuses to write.
            UsageError: as :meth:`place`.
        """
        place = self.place(entry)
        before = entry.variant - 1
        first = self.place(replace(entry, variant=1, number=entry.number - before))
        target, like = self._file(out, place.target), self._file(out, first.target)
        share(encoded(clean, entry.suffix), like, target, overwrite=overwrite)
        save(rainy, self._file(out, place.input), overwrite=overwrite)

    def finish(
        self, out: Path, records: Sequence[Record], *, overwrite: bool, parquet: bool = False
    ) -> None:
        """Write lists and tables of the pairs, and pack what has to be packed.

        May be called again: after a kill, or with more records. The same records give the same
        bytes, whatever their order.

        Args:
            out: the dataset's folder.
            records: of all its pairs.
            overwrite: replace lists and packed files that hold other pairs too.
            parquet: write Parquet where the layout has tables.

        Raises:
            FileError: such a file exists and ``overwrite`` is False, or the system refuses.
            DatasetError: a packed file is damaged, or pictures to pack are gone.
        """
        for name, lines in self._lists(records).items():
            write_list(out / name, lines, overwrite=overwrite)

    def pattern(self, split: str) -> str:
        """What of a split's files Hugging Face's ``datasets`` reads; empty if it cannot."""
        return ""

    @abstractmethod
    def _place(self, entry: Entry) -> Place: ...

    def _file(self, out: Path, locator: str) -> Path:
        """Where :meth:`write` puts what ends up at ``locator``."""
        return out / locator

    def _lists(self, records: Sequence[Record]) -> Mapping[str, Sequence[str]]:
        """Names of text files, and their lines."""
        return {}

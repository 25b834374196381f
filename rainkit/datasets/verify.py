"""Drawing the rain of a dataset again, from its own clean pictures, and comparing."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rainkit.datasets import manifest
from rainkit.datasets.comparing import Finding, compare
from rainkit.datasets.degradation import NOISE
from rainkit.datasets.records import Record
from rainkit.datasets.request import versions
from rainkit.engine import Work, open_engine, paying_workers
from rainkit.errors import UsageError
from rainkit.rain import RENDERER

__all__ = ["Finding", "VerifyResult", "verify"]


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """What verifying a dataset found.

    Attributes:
        manifest: that was verified.
        pairs: pictures it lists.
        rendered: of these, drawn again with equal pixels.
        findings: all that differs, in the manifest's order.
        notes: what limits the comparison.
        seconds: wall time.
    """

    manifest: Path
    pairs: int
    rendered: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def pictures_per_second(self) -> float:
        """Speed, reading and comparing included."""
        return self.pairs / self.seconds if self.seconds > 0 else math.inf

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "manifest": str(self.manifest),
            "verified": not self.findings,
            "pairs": self.pairs,
            "rendered": self.rendered,
            "findings": [asdict(finding) for finding in self.findings],
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "pictures_per_second": round(self.pictures_per_second, 1),
        }


def verify(
    path: Path,
    root: Path | None = None,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> VerifyResult:
    """Draw every picture of a dataset again and compare pixels, files and figures.

    Of JPEG files of rainy pictures only that they can be decoded is seen: they are not what was
    drawn, but near it.

    Args:
        path: the manifest, or the folder it lies in.
        root: folder of the dataset; default: the one the manifest lies in.
        workers: processes; None for as many as pay.
        on_progress: called with pictures seen and all pictures, after each scene.

    Raises:
        DatasetError: the manifest cannot be read.
        UsageError: ``root`` is no folder.
    """
    started = time.monotonic()
    if root is not None and not root.is_dir():
        raise UsageError(f"{root}: no such folder; name the folder of the dataset")
    records = manifest.read(path, root=root)
    scenes = defaultdict(list)
    for record in records:
        scenes[record.scene].append(record)
    home = root if root is not None else manifest.find(path)[0].parent
    found: dict[str, Sequence[Finding]] = {}
    seen = rendered = 0
    count = paying_workers(len(records), workers, len(scenes))
    with open_engine(workers=count, threads=None) as engine:
        for outcome in engine.run(Work.calling(compare, home), scenes.values()):
            compared = outcome.get()
            found[outcome.item[0].scene] = compared.findings
            rendered += compared.rendered
            seen += len(outcome.item)
            if on_progress is not None:
                on_progress(seen, len(records))
    return VerifyResult(
        manifest=path,
        pairs=len(records),
        rendered=rendered,
        findings=tuple(finding for scene in scenes for finding in found[scene]),
        notes=tuple(_notes(records)),
        seconds=time.monotonic() - started,
    )


def _notes(records: Sequence[Record]) -> Iterator[str]:
    """What is other than when the dataset was made, and what cannot be compared."""
    ours = {RENDERER, NOISE}
    others = sorted({record.renderer for record in records} - ours)
    if others:
        yield f"made by renderer {', '.join(others)}; this is {RENDERER}: pixels may differ"
    here = versions()
    for name in here:
        there = sorted({record.lib.get(name, "unknown") for record in records} - {here[name]})
        if there:
            yield f"made with {name} {', '.join(there)}; this is {here[name]}"
    lossy = sum(record.encode.get("fmt") != "png" for record in records)
    if lossy:
        yield (
            f"{lossy} rainy pictures are JPEG files, which do not hold what was drawn: drawing was "
            "compared, of the files only that they can be decoded"
        )

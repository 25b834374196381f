"""A derainer that keeps its pictures, so that scoring again does not run the network again."""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import rainkit
from rainkit import images, plugins
from rainkit.api import ENTRY_POINT_GROUP
from rainkit.datasets.writers import portable
from rainkit.errors import ImageError, UsageError
from rainkit.evaluation.scores import versions
from rainkit.files import counted
from rainkit.images import RGB8
from rainkit.ledger import Ledger
from rainkit.runtime_options import RuntimeOptions

if TYPE_CHECKING:
    from rainkit.api import Part
    from rainkit.weights import WeightsFile

__all__ = [
    "Cache",
    "CachedDerainer",
    "Card",
    "DerainerRequest",
    "FarCache",
    "Kept",
    "check_derainers",
]


_LEDGER = "restored.jsonl"


@dataclass(frozen=True, slots=True)
class Kept:
    """The ledger's entry of a picture: hashes of the rainy picture and the result, and the time."""

    rainy: str
    restored: str
    ms: float


class Cache:
    """The pictures of one method in a folder: ``<dataset>/<name>.png``, and a ledger of them.

    A picture is used again if the ledger tells of it and neither its own pixels, nor the rainy
    picture's, nor anything in ``key`` has changed. A run that is killed loses the picture that
    it was making. While pictures are added, no other process can add any, until :meth:`close`.

    Args:
        folder: it is made when the first picture is kept.
        key: all that decides what a picture becomes, such as the hash of the weights, precision
            and tiles.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self._folder = folder
        self._key = dict(key)
        self._ledger: Ledger[Kept] | None = None
        self._known = self._read()

    def path(self, dataset: str, name: str) -> Path:
        """Return where a picture is kept."""
        return self._folder / dataset / f"{name}.png"

    def get(self, dataset: str, name: str, rainy: RGB8) -> tuple[RGB8, float] | None:
        """Return a derained picture and the milliseconds it took; None if it must be made."""
        kept = self.entry(dataset, name)
        if kept is None or kept.rainy != _digest(rainy):
            return None
        try:
            restored = np.asarray(images.read(self.path(dataset, name)).rgb)
        except ImageError:
            return None
        if restored.dtype != np.uint8 or kept.restored != _digest(restored):
            return None  # somebody has changed it
        return restored, kept.ms

    def put(
        self, dataset: str, name: str, rainy: RGB8, restored: RGB8, milliseconds: float
    ) -> None:
        """Keep a picture.

        Raises:
            FileError: it cannot be written.
            UsageError: another process is adding pictures.
        """
        images.write(self.path(dataset, name), images.Picture(rgb=restored), overwrite=True)
        self.note(dataset, name, Kept(_digest(rainy), _digest(restored), milliseconds))

    def entry(self, dataset: str, name: str) -> Kept | None:
        """Return what the ledger tells of a picture; None if it does not tell of it."""
        known = self._known if self._ledger is None else self._ledger.entries
        return known.get(f"{dataset}/{name}")

    def note(self, dataset: str, name: str, kept: Kept) -> None:
        """Add a picture whose file is written to the ledger.

        Raises:
            FileError: the ledger cannot be written.
            UsageError: another process is adding pictures.
        """
        if self._ledger is None:
            self._ledger = Ledger[Kept].open(
                self._folder / _LEDGER,
                settings=self._key,
                encode=asdict,
                decode=_decoded,
                restart=True,
                writer="rainkit eval",
            )
        self._ledger.record(f"{dataset}/{name}", kept)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the process that receives it have the ledger."""
        return Cache, (self._folder, self._key)

    def close(self) -> None:
        """Release the folder for other processes; the pictures that are kept remain known."""
        if self._ledger is not None:
            self._known = dict(self._ledger.entries)
            self._ledger.close()
            self._ledger = None

    def _read(self) -> Mapping[str, Kept]:
        held = Ledger[Kept].read(self._folder / _LEDGER, decode=_decoded)
        return held.done if held is not None and held.is_of(self._key) else {}


class FarCache(Cache):
    """The pictures of one method where the ledger is another process's.

    Attributes:
        told: the ledger's entry of the picture in hand, if it has one.
        noted: the entry of the picture that was made, for the ledger.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        super().__init__(folder, key)
        self.told: Kept | None = None
        self.noted: Kept | None = None

    def entry(self, dataset: str, name: str) -> Kept | None:
        """Return :attr:`told`."""
        return self.told

    def note(self, dataset: str, name: str, kept: Kept) -> None:
        """Keep the entry as :attr:`noted`."""
        self.noted = kept

    def _read(self) -> Mapping[str, Kept]:
        return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What is known of a derainer without having one; see :class:`CachedDerainer`.

    Attributes:
        label: as there.
        parts: as there.
        about: as there.
        versions: as there.
        caches: the pictures that are kept, by the part's name, and those of the whole as ``""``.
    """

    label: str
    parts: Mapping[str, Part]
    about: Mapping[str, Any]
    versions: Mapping[str, Any]
    caches: Mapping[str, Cache]

    def path(self, dataset: str, name: str) -> Path | None:
        """Return where a picture is kept; None if pictures are not kept."""
        return self.caches[""].path(dataset, name) if self.caches else None


def _decoded(data: Any) -> Kept:
    return Kept(str(data["rainy"]), str(data["restored"]), float(data["ms"]))


def _digest(picture: RGB8) -> str:
    """Return a hash of a picture's size and pixels."""
    shape = repr(picture.shape).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(picture).tobytes()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class DerainerRequest:
    """A method, how it runs, and where its pictures are kept.

    Attributes:
        method: an installed method's name.
        weights: a tag or a file; None for the method's first weights.
        options: device, precision, tiles and effort.
        keep: folder of results. Derained pictures are kept in ``restored/`` in it and used again
            the next time, see :class:`Cache`; parts in ``parts/``.
        label: the row's name in tables; None for the method's name, with its weights if they are
            chosen, and the effort if it is not full.
        parts: whether the parts that the method makes on the way are scored, too.
    """

    method: str
    weights: str | None = None
    options: RuntimeOptions = field(default_factory=RuntimeOptions)
    keep: Path | None = None
    label: str | None = None
    parts: bool = False


def check_derainers(requests: Iterable[DerainerRequest]) -> tuple[str, ...]:
    """Refuse what cannot be loaded, and rows of one name; return the names of the rows.

    Raises:
        UsageError: an unknown method or weights tag, no such file, or two rows of one name.
        WeightsError: weights that are damaged or of another method.
    """
    labels = tuple(_label(request, _weights(request)) for request in requests)
    for name, times in Counter(labels).items():
        if times > 1:
            raise UsageError(
                f"two results are called {name} and could not be told apart; give each once, or"
                " label them: --method NAME=WEIGHTS@LABEL"
            )
    return labels


_COMPUTING = (
    "rainkit.backends",
    "rainkit.images",
    "rainkit.inference",
    "rainkit.networks",
    "rainkit.precision",
)


def _code_of(method: str) -> str:
    """Return a hash of the sources that compute a method's pictures: its plugin's and rainkit's.

    The version of a plugin under development stays the same.
    """
    found = hashlib.sha256()
    entries = entry_points(group=ENTRY_POINT_GROUP, name=method)
    packages = sorted({entry.module.partition(".")[0] for entry in entries})
    for name in (*_COMPUTING, *packages):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        folders = spec.submodule_search_locations or ()
        files = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
        for path in files or [Path(spec.origin)]:
            found.update(path.read_bytes())
    return found.hexdigest()


class CachedDerainer:
    """The derainer that a request asks for, and the pictures that it made before.

    Attributes:
        label: its row's name in tables.
        parts: the parts of the method that estimate something, by name, if the request asks for
            them.
        about: method, weights, runtime, number of parameters and, if it is not full, effort.
        versions: of everything that decodes or computes.
        caches: the pictures that are kept, by the part's name, and those of the whole as ``""``.

    Args:
        request: what to load and where to keep pictures.
        cache: the class of :attr:`caches`.

    Raises:
        UsageError: an unknown method, device or weights tag.
        MethodError, WeightsError: the method cannot run.
    """

    def __init__(self, request: DerainerRequest, cache: type[Cache] = Cache) -> None:
        # Comparing two folders needs no torch: it is imported here, where a method runs.
        import torch

        from rainkit import inference

        self._derainer = inference.open_derainer(
            request.method, request.options, weights=request.weights
        )
        file, effort = self._derainer.weights, self._derainer.effort
        self.label = _label(request, file)
        declared = self._derainer.method.parts_of(file.network) if request.parts else {}
        self.parts = {name: part for name, part in declared.items() if part.estimates is not None}
        self.about: dict[str, Any] = {
            "method": request.method,
            "weights": {"name": file.name, "variant": file.variant, "sha256": file.sha256},
            "runtime": self._derainer.runtime.describe(),
            **({} if effort.whole else {"effort": asdict(effort)}),
            **({"spare_traces": False} if request.options.spare_traces is False else {}),
        }
        self.versions = versions() | {"torch": torch.__version__}
        self.caches: dict[str, Cache] = {}
        if (keep := request.keep) is not None:
            size = request.options.work_size
            key = self.about | {
                "tile": request.options.tile,
                "work_size": size if size is None or isinstance(size, int) else str(size),
                **({"spare_traces": 1} if self._derainer.spare_traces else {}),
                "torch": torch.__version__,
                "rainkit": rainkit.__version__,
                "plugin": [p.version for p in plugins.installed() if p.name == request.method],
                "code": _code_of(request.method),
            }
            # Files of one name may hold different weights.
            row = request.method
            if request.weights is not None:
                row = f"{row}-{portable(Path(file.name).stem)}-{file.sha256[:8]}"
            self.caches = {"": cache(keep / "restored" / row, key)} | {
                name: cache(keep / "parts" / row / portable(name), key) for name in self.parts
            }
        # After the key of the kept pictures, which it does not change.
        self.about["parameters"] = self._derainer.parameters

    @property
    def _cache(self) -> Cache | None:
        return self.caches.get("")

    @property
    def _part_caches(self) -> dict[str, Cache]:
        return {name: self.caches[name] for name in self.parts if name in self.caches}

    def card(self) -> Card:
        """Return what is known of the derainer, for another process."""
        return Card(
            label=self.label,
            parts=self.parts,
            about=self.about,
            versions=self.versions,
            caches=self.caches,
        )

    def __enter__(self) -> CachedDerainer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the folders, so that other processes can keep pictures there."""
        for cache in self.caches.values():
            cache.close()

    def path(self, dataset: str, name: str) -> Path | None:
        """Return where a picture is kept; None if pictures are not kept."""
        return None if self._cache is None else self._cache.path(dataset, name)

    def restore(self, dataset: str, name: str, rainy: RGB8) -> tuple[RGB8, float]:
        """Return a picture without its rain, and the milliseconds that this took when it was made.

        Args:
            dataset: the picture's dataset, for its place among the kept pictures.
            name: the picture's name in the dataset.
            rainy: HWC uint8 RGB.

        Raises:
            RainkitError: the method cannot derain it, or it cannot be kept.
        """
        if self._cache is not None and (kept := self._cache.get(dataset, name, rainy)):
            return kept
        started = time.perf_counter()
        restored = np.asarray(self._derainer.derain(rainy), dtype=np.uint8)
        milliseconds = (time.perf_counter() - started) * 1e3
        if self._cache is not None:
            self._cache.put(dataset, name, rainy, restored, milliseconds)
        return restored, milliseconds

    def restore_with_parts(
        self, dataset: str, name: str, rainy: RGB8
    ) -> tuple[RGB8, float, dict[str, RGB8]]:
        """Derain as :meth:`restore` does, and return :attr:`parts` as HWC uint8 RGB, too.

        Blocks that did not run have no parts. Kept parts are used again only if all are there.

        Raises:
            RainkitError: as :meth:`restore`.
        """
        if self._cache is not None and (kept := self._cache.get(dataset, name, rainy)):
            found = {part: c.get(dataset, name, rainy) for part, c in self._part_caches.items()}
            parts = {part: each[0] for part, each in found.items() if each is not None}
            if len(parts) == len(found):
                return *kept, parts
        started = time.perf_counter()
        made, raw = self._derainer.derain_with_parts(rainy)
        milliseconds = (time.perf_counter() - started) * 1e3
        restored = np.asarray(made, dtype=np.uint8)
        parts = {part: _levels(raw[part]) for part in self.parts if part in raw}
        if self._cache is not None:
            self._cache.put(dataset, name, rainy, restored, milliseconds)
            for part, levels in parts.items():
                self._part_caches[part].put(dataset, name, rainy, levels, milliseconds)
        return restored, milliseconds, parts


def _weights(request: DerainerRequest) -> WeightsFile:
    from rainkit import weights

    return weights.find(plugins.get(request.method), request.weights)


def _label(request: DerainerRequest, file: WeightsFile) -> str:
    if request.label is not None:
        return request.label
    name = f"{request.method} ({file.name})" if request.weights else request.method
    effort = request.options.effort
    if effort.blocks is not None:
        name += f", {counted(effort.blocks, 'block')}"
    if effort.stop_below is not None:
        name += f", effort {effort}"
    return f"{name}, alone" if request.options.spare_traces is False else name


def _levels(part: NDArray[np.float32]) -> RGB8:
    """Return values in [0,1], [H,W,1] or [H,W,3], as HWC uint8 RGB; values outside are clipped."""
    levels = np.floor(np.clip(part, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))

"""Matching rainy and clean files by name, never by position in a listing.

If files were matched by position, one missing file would shift every later pair unnoticed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rainkit.datasets.image_ref import ImageRef
from rainkit.errors import PairingError, RainkitError
from rainkit.files import natural
from rainkit.images import SUFFIXES, pictures_below

__all__ = [
    "CLEAN_FOLDERS",
    "RAINY_FOLDERS",
    "PairFiles",
    "base_of_clean",
    "check_sizes",
    "cropped_to_common",
    "listed",
    "match_by_name",
    "notice_of_crops",
    "pictures_in",
    "sub_folder",
    "with_unique_names",
    "without_originals",
]


_HAZY_FOLDERS = frozenset({"hazy", "haze"})
RAINY_FOLDERS = _HAZY_FOLDERS | {
    *("input", "rain", "rainy", "lq", "rainy_image", "input_val", "inputcrop", "in")
}
"""Usual names of folders with rainy pictures, or hazy ones."""
CLEAN_FOLDERS = frozenset(
    {"target", "gt", "norain", "clean", "ground_truth", "label", "label_val", "cleancrop"}
    | {"groundtruth", "hq", "clear"}
)
"""Usual names of folders with clean pictures."""

_PREFIX = re.compile(r"^(?:no)?rain[-_](?=.)", re.IGNORECASE)
_CLEAN_TAIL = re.compile(
    r"(?:[_-](?:gt|clean|clear|norain|target|ground_?truth|label|hq)|(?<=\d)gt)$", re.IGNORECASE
)
_SCALE = re.compile(r"(?<=\d)x[2348]$")
_SCALE_FOLDER = re.compile(r"^x[2348]/", re.IGNORECASE)
_RESULT = re.compile(r"-(?=[^/-]*[a-z])[\w+-]+$", re.IGNORECASE)
_CITYSCAPES = re.compile(r"(?:_leftImg8bit)?_rain_alpha.*", re.DOTALL)
_LISTED = 5
"""Number of file names that a message spells out before it says how many more there are."""


@dataclass(frozen=True, slots=True)
class PairFiles:
    """A rainy picture and its clean one.

    Attributes:
        name: name without suffix, unique in the dataset.
        rainy: the rainy picture.
        clean: the clean picture.
    """

    name: str
    rainy: ImageRef
    clean: ImageRef


def sub_folder(root: Path, names: frozenset[str]) -> Path | None:
    """Return the folder in ``root`` that has one of several names, or None.

    Raises:
        PairingError: there is more than one such folder.
    """
    found = [f for f in root.iterdir() if f.is_dir() and f.name.casefold() in names]
    if len(found) > 1:
        several = listed([folder.name for folder in found])
        raise PairingError(f"{root} has more than one folder of a kind: {several}; keep one")
    return found[0] if found else None


def pictures_in(folder: Path, *, deep: bool = True) -> list[Path]:
    """Return the picture files of a folder, and of those below it if ``deep``.

    Hidden files and folders are left out. Links to folders are followed as
    :func:`rainkit.images.find` does.
    """
    paths = pictures_below(folder) if deep else filter(_is_picture, folder.iterdir())
    return [path for path in paths if path.is_file()]


def _is_picture(path: Path) -> bool:
    return path.suffix.casefold() in SUFFIXES and not path.name.startswith(".")


def match_by_name(
    rainy_root: Path,
    rainy: Iterable[Path],
    clean_root: Path,
    clean: Sequence[Path],
    *,
    in_parts: bool = False,
    results: bool = False,
) -> tuple[PairFiles, ...]:
    """Match every rainy file with its clean one; several rainy files may share a clean one.

    Args:
        rainy_root: folder of the rainy files; folders inside it count as part of their names.
        rainy: the rainy files.
        clean_root: folder of the clean files, likewise.
        clean: the clean files.
        in_parts: if all clean files lie in one folder, also match by names without folders, since
            the rainy files may have been divided (RESIDE's ``hazy/part1``).
        results: the rainy files are results, which may be called ``1-METHOD`` as those of
            ``rainkit infer`` are.

    Raises:
        PairingError: a file on either side has no partner, or a rainy one has more than one.
    """
    exact: defaultdict[str, set[Path]] = defaultdict(set)
    alike: defaultdict[str, set[Path]] = defaultdict(set)
    flat = in_parts and len({path.parent for path in clean}) == 1
    for path in clean:
        relative = path.relative_to(clean_root)
        stem = relative.with_suffix("").as_posix()
        base = base_of_clean(stem)
        based = () if base is None else (base, _plain(base))
        for key in (relative.as_posix(), stem, *((path.name, path.stem) if flat else ())):
            exact[key].add(path)
        for key in (_plain(stem), *based, *((_plain(path.stem),) if flat else ())):
            alike[key].add(path)
    # Beside 01.png, 1.png is a scene of its own: a name that is a file's own is no other's.
    index = alike | exact
    pairs: list[PairFiles] = []
    unmatched: list[str] = []
    ambiguous: list[str] = []
    by_name: set[Path] = set()
    by_part: list[PairFiles] = []
    for path in rainy:
        relative = path.relative_to(rainy_root)
        stem = relative.with_suffix("").as_posix()
        keys = [*_keys(relative), *(_keys(Path(path.name)) if flat else ())]
        if results:
            keys += _keys_of_result(relative)
        found = next((key for key in keys if key.name in index), None)
        partners = set() if found is None else index[found.name]
        if not partners:
            unmatched.append(str(path))
        elif len(partners) > 1:
            ambiguous.append(f"{path} ({', '.join(sorted(p.name for p in partners))})")
        else:
            pairs.append(PairFiles(stem, ImageRef(path), ImageRef(next(iter(partners)))))
            if found is not None and found.part:
                by_part.append(pairs[-1])
            else:
                by_name |= partners
    # Beside the rainy version of street, street_2 is none of its versions, but another scene.
    others = {pair.rainy.path for pair in by_part if pair.clean.path in by_name}
    pairs = [pair for pair in pairs if pair.rainy.path not in others]
    unmatched += map(str, others)
    left = [str(path) for path in set(clean) - {pair.clean.path for pair in pairs}]
    if ambiguous:
        raise PairingError(f"more than one partner for {listed(ambiguous)}; keep one of each")
    if unmatched or left:
        lacking = [
            f"{other} has no partner for {len(names)} of {own}: {listed(names)}"
            for names, own, other in (
                (unmatched, rainy_root, clean_root),
                (left, clean_root, rainy_root),
            )
            if names
        ]
        raise PairingError(f"{'; '.join(lacking)}; names must match")
    return with_unique_names(pairs)


class _Key(NamedTuple):
    """A name that a clean file may have; a part of the rainy one's name, or all of it."""

    name: str
    part: bool = False


def _keys(rainy: Path) -> Iterable[_Key]:
    """Yield the names that the clean file may have, the likeliest first.

    ``901_1`` is a rainy version of ``901``, ``im_0001_s80_a04`` one of ``im_0001``, and
    ``ulm_1_rain_alpha_0.01_beta_0.005`` one of ``ulm_1_leftImg8bit``. ``X2/norain-1x2`` of Rain200
    is one of ``norain-1``.
    """
    yield _Key(rainy.as_posix())
    stem = rainy.with_suffix("").as_posix()
    yield _Key(stem)
    yield _Key(_plain(stem))
    yield _Key(_plain(_SCALE.sub("", _SCALE_FOLDER.sub("", stem))))
    yield _Key(_CITYSCAPES.sub("_leftImg8bit", stem))
    while "_" in stem.rpartition("/")[2]:
        stem = stem.rpartition("_")[0]
        yield _Key(stem, part=True)
        yield _Key(_plain(stem), part=True)


def _keys_of_result(result: Path) -> Iterable[_Key]:
    """Yield the names of the clean file of ``1-METHOD.png``: all that it may be without an end."""
    stem = result.with_suffix("").as_posix()
    for dash in (place for place, letter in enumerate(stem) if letter == "-"):
        if _RESULT.fullmatch(stem, dash):
            for key in _keys(Path(stem[:dash] + result.suffix)):
                yield key._replace(part=True)


def base_of_clean(stem: str) -> str | None:
    """Return the part of a clean file's name that it has in common with its rainy one.

    This is ``001`` for ``001_GT`` and ``0_clean``, and for SPA-Data's ``001gt``; None if the name
    has no such end.
    """
    base = _CLEAN_TAIL.sub("", stem)
    return None if base == stem or not base or base.endswith("/") else base


def without_originals(paths: Sequence[Path], clean: Iterable[Path]) -> Sequence[Path]:
    """Return results without the pictures that they were made of, if they lie beside them.

    ``rainkit infer photos/*`` writes ``0-METHOD.png`` beside ``0.png``.

    Args:
        paths: files of a folder.
        clean: the clean files; a name that one of them has is no result's.

    Raises:
        PairingError: several methods have written results there.
    """
    names = {path.with_suffix("") for path in paths}
    own = {path.stem for path in clean}
    methods: defaultdict[str, list[Path]] = defaultdict(list)
    for path in (path for path in paths if path.stem not in own):
        for dash in (place for place, letter in enumerate(path.stem) if letter == "-"):
            end = path.stem[dash:]
            if dash and path.with_name(path.stem[:dash]) in names and _RESULT.fullmatch(end):
                methods[end].append(path)
                break
    if len(methods) > 1:
        ends = listed([*methods])
        raise PairingError(
            f"{next(iter(methods.values()))[0].parent} holds results of several methods beside"
            f" their pictures ({ends}); put those of one into a folder of their own"
        )
    return next(iter(methods.values()), paths)


def _plain(stem: str) -> str:
    """Strip ``rain-`` or ``norain-`` and the padding of numbers: ``rain-001`` becomes ``1``."""
    folder, slash, name = stem.rpartition("/")
    name = re.sub(r"\d+", lambda digits: str(int(digits[0])), _PREFIX.sub("", name))
    return f"{folder}{slash}{name}"


def with_unique_names(pairs: Sequence[PairFiles]) -> tuple[PairFiles, ...]:
    """Return pairs in natural order of their names, each with a name of its own.

    If two rainy files have the same stem, their suffixes become part of the names, and a number
    where that is another pair's name.
    """
    count = Counter(pair.name for pair in pairs)
    taken = {name for name, times in count.items() if times == 1}
    renamed = []
    for pair in pairs:
        if count[pair.name] > 1:
            longer = pair.name + pair.rainy.path.suffix.replace(".", "-")
            names = (longer, *(f"{longer}-{number}" for number in range(2, len(pairs) + 2)))
            pair = replace(pair, name=next(name for name in names if name not in taken))
            taken.add(pair.name)
        renamed.append(pair)
    return tuple(sorted(renamed, key=lambda pair: natural(pair.name)))


def listed(names: Sequence[str]) -> str:
    """Return the first few names for a message, and how many more there are."""
    shown = sorted(names, key=natural)[:_LISTED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def check_sizes(groups: Iterable[Sequence[ImageRef]]) -> None:
    """Refuse groups of pictures that differ in size; only headers are read.

    Pictures that cannot be opened are passed over: they are reported when they are read.

    Raises:
        PairingError: pictures of a group differ in size; the message names the files.
    """
    known: dict[ImageRef, tuple[int, int] | None] = {}
    wrong = []
    for group in groups:
        known |= {each: _size(each) for each in group if each not in known}
        sizes = [(each, size) for each in group if (size := known[each]) is not None]
        if len({size for _, size in sizes}) > 1:
            wrong.append(" against ".join(f"{each} {w}x{h}" for each, (w, h) in sizes))
    if wrong:
        more = f" and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        raise PairingError(
            f"sizes differ: {'; '.join(wrong[:_LISTED])}{more}; pairs need pictures of equal size,"
            " or --crop-to-common"
        )


def cropped_to_common(group: Sequence[ImageRef]) -> tuple[ImageRef, ...]:
    """Return the pictures cropped to their common size from the top left, as MSPFN's Rain100H is.

    If one of them lies in a folder of hazy pictures, they are cropped from the centre: RESIDE's
    hazy pictures of SOTS are cut out of the middle of the clear ones. Pictures that cannot be
    opened fail when they are read.
    """
    sizes = {each: size for each in group if (size := _size(each)) is not None}
    if len(set(sizes.values())) < 2:
        return tuple(group)
    width, height = (min(size[i] for size in sizes.values()) for i in (0, 1))
    centred = any(_is_hazy(each) for each in group)

    def crop(each: ImageRef) -> tuple[int, int, int, int]:
        own_width, own_height = sizes.get(each, (width, height)) if centred else (width, height)
        top, left, _, _ = each.crop or (0, 0, 0, 0)  # it may be a part of a picture already
        return top + (own_height - height) // 2, left + (own_width - width) // 2, height, width

    return tuple(replace(each, crop=crop(each)) for each in group)


def _is_hazy(ref: ImageRef) -> bool:
    """Return whether the nearest folder with a usual name holds hazy pictures."""
    parents = (parent.name.casefold() for parent in ref.path.parents)
    nearest = next((name for name in parents if name in RAINY_FOLDERS | CLEAN_FOLDERS), "")
    return nearest in _HAZY_FOLDERS


def notice_of_crops(groups: Iterable[Sequence[ImageRef]]) -> tuple[str, ...]:
    """Return a line that says how many groups are cropped, and from where; empty if none is."""
    cut = [[each.crop for each in group if each.crop is not None] for group in groups]
    notices = []
    for where, count in (
        ("the top left", sum(bool(g) and all(c[:2] == (0, 0) for c in g) for g in cut)),
        ("the centre", sum(any(c[:2] != (0, 0) for c in g) for g in cut)),
    ):
        if count:
            were = "pair of two sizes was" if count == 1 else "pairs of two sizes were"
            notices.append(f"{count} {were} cut to the common size, from {where}")
    return tuple(notices)


def _size(ref: ImageRef) -> tuple[int, int] | None:
    try:
        return ref.size()
    except RainkitError:
        return None

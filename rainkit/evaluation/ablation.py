"""The weights of a method's variants in a folder: what an ablation table compares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rainkit.errors import UsageError, WeightsError
from rainkit.files import natural

if TYPE_CHECKING:
    from rainkit.api import Method

__all__ = ["VariantWeights", "variants_in"]

_LAST = "last.safetensors"
"""Of a training's files, the one after its last step: as in the table of ``train --ablation``."""
_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantWeights:
    """What was found.

    Attributes:
        files: weights by the name of their row: the variant, and where it lies if there are more
            of it. In the paper's order.
        notices: what was left out, and which variants of the paper are missing.
    """

    files: tuple[tuple[str, Path], ...]
    notices: tuple[str, ...]


def variants_in(folder: Path, method: Method) -> VariantWeights:
    """Find weights in a folder and below it; of a training's run folder, those of its last step.

    Args:
        folder: of weights files or run folders, such as ``rainkit train --ablation`` makes.
        method: whose variants.

    Raises:
        UsageError: not a folder, or one without weights of the method.
    """
    from rainkit.weights import open_file

    if not folder.is_dir():
        raise UsageError(f"--ablation {folder}: is not a folder; give one of weights or runs")
    by_variant: dict[str, list[Path]] = {}
    left_out = []
    for path in _weights_in(folder):
        try:
            variant = open_file(method, path).variant
        except WeightsError as error:
            left_out.append(f"left out: {error}")
        else:
            by_variant.setdefault(variant, []).append(path)
    if not by_variant:
        why = f" ({left_out[0]})" if left_out else ""
        raise UsageError(
            f"--ablation {folder}: holds no weights of {method.name}{why}; make some with"
            f" rainkit train -m {method.name} --ablation published"
        )
    order = dict.fromkeys([*method.ablation, *method.variants, *by_variant])
    files = [
        (variant if len(paths) == 1 else f"{variant} ({_place(path, folder)})", path)
        for variant in order
        for paths in [by_variant.get(variant, [])]
        for path in paths
    ]
    if missing := [variant for variant in method.ablation if variant not in by_variant]:
        left_out.append(f"{folder} holds no weights of the paper's {', '.join(missing)}")
    return VariantWeights(files=tuple(files), notices=tuple(left_out))


def _weights_in(folder: Path) -> list[Path]:
    found = [
        path
        for path in folder.rglob("*.safetensors")
        if _CHECKPOINTS not in path.relative_to(folder).parts
    ]
    runs = {path.parent for path in found if path.name == _LAST}
    chosen = [path for path in found if path.name == _LAST or path.parent not in runs]
    return sorted(chosen, key=lambda path: natural(path.as_posix()))


def _place(path: Path, folder: Path) -> str:
    """Where weights lie: their run's folder, or their own name."""
    relative = path.relative_to(folder)
    return relative.parent.as_posix() if path.name == _LAST else relative.as_posix()

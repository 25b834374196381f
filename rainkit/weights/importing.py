"""Weights from elsewhere: filling a network for finetuning, and importing a whole checkpoint.

A checkpoint may hold several state dicts, and wrappers may have put prefixes before the names; the
state dict and prefix are used under which most tensors fit the network by name and shape. The names
are those of the network, or those that the paper's authors used (``Method.released_names``).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from rainkit import hyperparameters, networks
from rainkit.api import Method
from rainkit.errors import MethodError, UsageError, WeightsError, one_line
from rainkit.weights.store import not_finite, open_file, opened, read, save, sha256

__all__ = ["Imported", "Initialised", "import_checkpoint", "initialise"]

_WRAPPERS = frozenset(
    (
        *("module", "model", "_orig_mod", "network", "net", "net_g", "netg", "generator"),
        *("ema", "ema_model", "model_ema", "averaged_model", "state_dict"),
    )
)
"""Attributes in which DataParallel, compilers, trainers and averages hold a network."""

_AVERAGES = frozenset(("ema", "average", "averaged"))

_DEPTH = 3
"""Depth to which state dicts are searched: ``{"models": {"generator": {"state_dict": ...}}}``."""


@dataclass(frozen=True, slots=True)
class Initialised:
    """Which tensors of a network (buffers included) were filled from a file.

    Attributes:
        loaded: names of the network's tensors that were filled.
        missing: names in the network that the file does not have.
        unused: names in the file that the network does not have.
        resized: names that both have, with different shapes; these tensors were not filled.
        differing: settings of the network that the file's network does not share, such as
            ``network.stages = 3 (6 in the file)``.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    resized: tuple[str, ...]
    differing: tuple[str, ...] = ()

    def line(self) -> str:
        """Return a line for the log."""
        whole = len(self.loaded) + len(self.missing) + len(self.resized)
        parts = [f"{len(self.loaded)} of {whole} tensors taken over"]
        for names, what in (
            (self.resized, "of another shape"),
            (self.missing, "not in the file"),
            (self.unused, "unused"),
        ):
            if names:
                parts.append(f"{len(names)} {what} ({_few(names)})")
        return "; ".join((*parts, *self.differing))


def initialise(
    network: nn.Module, method: Method, source: Path, settings: Any = None
) -> Initialised:
    """Fill a network with every tensor of a file whose name and shape fit.

    Args:
        network: the network to fill; its other tensors are not changed.
        method: the method that the network belongs to.
        source: a ``.safetensors`` file, or a checkpoint of PyTorch (``.pth``, ``.pt``, ``.ckpt``).
        settings: the network's hyperparameters; if given, they are compared with those in the
            header of the file, since tensors may fit a network that uses them in another way. The
            names in files that the paper's authors released depend on them, too.

    Raises:
        UsageError: no such file.
        WeightsError: the file is damaged, belongs to another method, holds more than tensors, or
            holds none that fit.
    """
    own = network.state_dict()
    best = _best(_tensors(own), _content(method, source), source, method, settings)
    # A bias of three values may fit by chance and is not worth finetuning from.
    if not any(name in best.fitting for name, p in network.named_parameters() if p.dim() > 1):
        raise WeightsError(
            f"{source}: none of its weights fits the network of {method.name}: the file has "
            f"{_few(_shapes(best.state))}; the network {_few(_shapes(own))}"
        )
    _refuse_not_finite(source, best.fitting)
    network.load_state_dict(best.fitting, strict=False)
    wanted = list(_tensors(own))
    return Initialised(
        loaded=tuple(name for name in wanted if name in best.fitting),
        missing=tuple(name for name in wanted if name not in best.fitting | best.resized),
        unused=best.unused,
        resized=tuple(name for name in wanted if name in best.resized),
        differing=() if settings is None else _differing(method, source, settings),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """A checkpoint that became a weights file.

    Attributes:
        path: the ``.safetensors`` file that was written.
        method: the method.
        variant: the variant whose network the tensors fill.
        alike: other variants whose networks they would fill, too, and which compute otherwise.
        parameters: number of trainable parameters.
        inside: keys and prefix of the state dict in the checkpoint, such as ``params_ema``; empty
            if the checkpoint is the state dict.
        left_out: names of tensors outside the prefix, which belong to other networks.
        source: the checkpoint.
        source_sha256: its hash.
    """

    path: Path
    method: str
    variant: str
    alike: tuple[str, ...]
    parameters: int
    inside: str
    left_out: tuple[str, ...]
    source: Path
    source_sha256: str

    def to_data(self) -> dict[str, Any]:
        """Return the result as plain data for ``--json``."""
        data = {name: getattr(self, name) for name in self.__slots__}
        return {**data, "path": str(self.path), "source": str(self.source)}


def import_checkpoint(
    method: Method,
    source: Path,
    out: Path | None = None,
    *,
    variant: str | None = None,
    settings: Sequence[str] = (),
    overwrite: bool = False,
) -> Imported:
    """Make a weights file of a foreign checkpoint, all of whose tensors must fit.

    Args:
        method: the method that the checkpoint's network belongs to.
        source: a checkpoint of PyTorch, or a ``.safetensors`` file that rainkit did not write.
        out: the ``.safetensors`` file to write; by default the source's name with that ending.
        variant: the variant that the checkpoint is of; by default the first one that it fits.
        settings: values of ``--set`` that change the variant's network, such as
            ``network.stages=7``.
        overwrite: replace an existing file.

    Raises:
        UsageError: no such file or variant, or the output exists or cannot be meant.
        WeightsError: the file is damaged, holds more than tensors, or does not fit; the error names
            tensors that are missing, unexpected or of another shape.
    """
    out = source.with_suffix(".safetensors") if out is None else out
    if out.suffix != ".safetensors":
        raise UsageError(f"--output {out}: weights files end with .safetensors; name one")
    if out.exists() and out.resolve() == source.resolve():
        raise UsageError(f"{out}: name another file to write with --output")
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: exists; pass --overwrite to replace it")
    if elsewhere := [setting for setting in settings if not setting.startswith("network.")]:
        raise UsageError(f"--set {elsewhere[0]}: only settings of the network count here")
    content = _content(method, source, whole=True)
    named = (variant,) if variant else ()
    found = _fits(method, named or _default_first(method), settings, content, source)
    whole = {name: fit for name, fit in found.items() if not fit.misfit()}
    closest = max(found, key=lambda name: found[name].rank)
    chosen = variant or next(iter(whole), closest)
    if chosen not in whole:
        found |= _fits(method, _default_first(method), settings, content, source)
        others = [name for name, fit in found.items() if not fit.misfit()]
        raise WeightsError(_refusal(source, method, chosen, found[chosen], others))
    best = found[chosen]
    _refuse_not_finite(source, best.fitting)
    network = hyperparameters.resolve(method, chosen, settings=settings).network
    alike: dict[int, str] = {}  # the first variant of each other network
    for name, fit in whole.items():
        if fit is not best:
            alike.setdefault(id(fit), name)
    inside = ".".join((*best.where, best.prefix.rstrip("."))).strip(".")
    origin = {"file": source.name, "sha256": sha256(source)} | ({"part": inside} if inside else {})
    save(
        out,
        # Tensors of a checkpoint may share their storage, which safetensors refuses.
        {name: tensor.clone() for name, tensor in best.fitting.items()},
        method=method,
        variant=chosen,
        network=network,
        about={"imported": json.dumps(origin)},
        overwrite=overwrite,
    )
    return Imported(
        path=out,
        method=method.name,
        variant=chosen,
        alike=tuple(alike.values()),
        parameters=networks.parameters(_empty(method, network)),
        inside=inside,
        left_out=tuple(name for name in best.unused if not name.startswith(best.prefix)),
        source=source,
        source_sha256=origin["sha256"],
    )


def _default_first(method: Method) -> list[str]:
    return sorted(method.variants, key="default".__ne__)


def _fits(
    method: Method, variants: Iterable[str], settings: Sequence[str], content: Any, source: Path
) -> dict[str, _Candidate]:
    """Return how a checkpoint fits each variant; variants of equal networks share their result."""
    found: dict[str, _Candidate] = {}
    seen: list[tuple[Any, _Candidate]] = []
    for name in variants:
        network = hyperparameters.resolve(method, name, settings=settings).network
        if not (known := [fit for other, fit in seen if other == network]):
            wanted = _tensors(_empty(method, network).state_dict())
            known = [_best(wanted, content, source, method, network)]
            seen.append((network, known[0]))
        found[name] = known[0]
    return found


def _empty(method: Method, settings: Any) -> nn.Module:
    """Build a network for its names and shapes, without memory for its tensors if possible."""
    try:
        with torch.device("meta"):
            return networks.build(method, settings)
    except MethodError:  # a network may compute with its values while it is built
        return networks.build(method, settings)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A state dict under one of its prefixes and one set of names, compared with the network.

    Attributes:
        state: the state dict.
        where: the keys that lead to it.
        prefix: what precedes the names in it.
        fitting: tensors that fit, by the network's names and in its types.
        resized: what is wrong with tensors that are there and do not fit, by the network's names.
        missing: names that the state dict does not have.
        unused: names in it that the network has no use for.
        averaged: whether the names say that these are averaged weights.
    """

    state: Mapping[str, Tensor]
    where: tuple[str, ...]
    prefix: str
    fitting: dict[str, Tensor]
    resized: dict[str, str]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    averaged: bool

    @classmethod
    def of(
        cls,
        wanted: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        prefix: str,
        where: tuple[str, ...],
        names: Mapping[str, tuple[str, ...]],
    ) -> _Candidate:
        fitting, resized, missing, used = {}, {}, [], set()
        for own, target in wanted.items():
            full = [prefix + name for name in names.get(own, (own,))]
            used.update(full)
            if absent := [name for name in full if name not in state]:
                missing += absent
                continue
            tensor = _joined([state[name] for name in full])
            if tensor is not None and _same_kind(tensor, target):
                fitting[own] = tensor.detach().to(target.dtype)
            else:
                resized[own] = _difference(full, [state[name] for name in full], target)
        unused = tuple(name for name in state if name not in used)
        words = {word for part in (*where, prefix) for word in re.split(r"[._]", part.lower())}
        averaged = bool(words & _AVERAGES)
        return cls(state, where, prefix, fitting, resized, tuple(missing), unused, averaged)

    @property
    def rank(self) -> tuple[int, int, bool]:
        """Return a key that prefers more tensors that fit, and then averaged weights."""
        return len(self.fitting), len(self.resized), self.averaged

    def misfit(self) -> str:
        """Say why the tensors do not fill the network; nothing if they do.

        Tensors outside the prefix belong to other networks.
        """
        strange = [name for name in self.unused if name.startswith(self.prefix)]
        return "; ".join(
            f"{what}{_few(list(names))}"
            for what, names in (
                ("missing: ", self.missing),
                ("unexpected: ", strange),
                ("", self.resized.values()),
            )
            if names
        )


def _best(
    wanted: Mapping[str, Tensor], content: Any, source: Path, method: Method, settings: Any
) -> _Candidate:
    """Return the state dict, prefix and names in a checkpoint under which most tensors fit."""
    namings: list[Mapping[str, tuple[str, ...]]] = [{}]
    if method.released_names is not None and settings is not None:
        namings.insert(0, method.released_names(settings))
    candidates = [
        _Candidate.of(wanted, state, prefix, where, names)
        for where, state in _state_dicts(content)
        for prefix in _prefixes(state)
        for names in namings
    ]
    if not candidates:
        raise WeightsError(f"{source}: holds no tensors by name, such as a state dict has")
    return max(candidates, key=lambda candidate: candidate.rank)


def _content(method: Method, source: Path, *, whole: bool = False) -> Any:
    """Return what a file holds; ``whole`` refuses weights files of rainkit."""
    if source.suffix != ".safetensors":
        return _unpickle(source)
    with opened(source) as file:
        named = (file.metadata() or {}).get("method")
    if named is not None and named != method.name:
        raise WeightsError(f"{source}: these weights are of {named}, not of {method.name}")
    if named is not None and whole:
        raise WeightsError(f"{source}: rainkit wrote this weights file; use it as it is")
    return read(source)


def _refusal(
    source: Path, method: Method, variant: str, found: _Candidate, others: list[str]
) -> str:
    if not found.fitting and not found.resized:
        wanted = ", ".join(found.missing[:3])
        return (
            f"{source}: none of its tensors belongs to {method.name}: the file has "
            f"{_few(_shapes(found.state))}; expected are {wanted}..."
        )
    remedy = "name its variant with --variant, or its settings with --set"
    if others:
        remedy = f"it fits --variant {others[0]}"
    return f"{source}: does not fit {method.name}, variant {variant}: {found.misfit()}; {remedy}"


def _refuse_not_finite(source: Path, tensors: Mapping[str, Tensor]) -> None:
    if broken := not_finite(tensors):
        raise WeightsError(f"{source}: {_few(broken)} hold nan or infinity")


def _differing(method: Method, source: Path, settings: Any) -> tuple[str, ...]:
    """Return the settings that differ from those of a file, or nothing if the file names none."""
    try:
        theirs = open_file(method, source).network
    except WeightsError:  # a file of another program
        return ()
    before = hyperparameters.differences(theirs, settings)
    return tuple(
        f"network.{name} = {_written(value)} ({_written(before[name])} in the file)"
        for name, value in hyperparameters.differences(settings, theirs).items()
    )


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).strip('"')


def _unpickle(source: Path) -> Any:
    if not source.is_file():
        folder = " (it is a folder)" if source.is_dir() else ""
        raise UsageError(f"{source}: no such weights file{folder}")
    if not source.stat().st_size:
        raise WeightsError(f"{source}: not a whole checkpoint of PyTorch: it is empty")
    try:
        with warnings.catch_warnings(action="ignore"):  # about old formats and TorchScript
            return torch.load(source, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"code as well: {found[1]}" if found else "something else, or is damaged"
        raise WeightsError(
            f"{source}: only tensors are read, and this file holds {what}; open it with the "
            "program that made it, save the state dict alone (torch.save(network.state_dict(), "
            "FILE)), and name that file"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        # Of a file that is no pickle, some of its bytes are the whole message.
        reason = f" ({one_line(error)})" if " " in str(error) else ""
        raise WeightsError(f"{source}: not a whole checkpoint of PyTorch{reason}") from error


def _state_dicts(
    content: Any, where: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Yield every mapping of names to tensors in a checkpoint, with the keys that lead to it."""
    if not isinstance(content, Mapping):
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield where, tensors
    if len(where) < _DEPTH:
        for key, value in named.items():
            yield from _state_dicts(value, (*where, key))


def _prefixes(state: Mapping[str, Tensor]) -> list[str]:
    """Return the empty prefix, and prefixes such as ``module.`` and ``model.generator.``."""
    found = {"": None}
    for name in state:
        prefix = ""
        for part in name.split(".")[:-1]:
            if part.lower() not in _WRAPPERS:
                break
            prefix += f"{part}."
            found[prefix] = None
    return list(found)


def _same_kind(tensor: Tensor, target: Tensor) -> bool:
    plain = tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_meta)
    floats = tensor.is_floating_point() == target.is_floating_point() and not tensor.is_complex()
    return plain and floats and tensor.shape == target.shape


def _joined(tensors: list[Tensor]) -> Tensor | None:
    """Return tensors joined along their first dimension; None if they cannot be joined."""
    if len(tensors) == 1:
        return tensors[0]
    try:
        return torch.cat(tensors)
    except (RuntimeError, TypeError):
        return None


def _difference(names: list[str], tensors: list[Tensor], target: Tensor) -> str:
    """Say how tensors of a file differ from the one that they should make up."""
    shapes = " + ".join(str(list(tensor.shape)) for tensor in tensors)
    subject = f"{' + '.join(names)} {'is' if len(names) == 1 else 'are'}"
    joined = _joined(tensors)
    if joined is not None and joined.shape == target.shape:
        return f"{subject} {tensors[0].dtype} ({tensors[0].layout}) instead of {target.dtype}"
    return f"{subject} {shapes} instead of {list(target.shape)}"


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _shapes(state: Mapping[str, Any]) -> list[str]:
    return [f"{name} {list(v.shape)}" for name, v in state.items() if isinstance(v, Tensor)]


def _few(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

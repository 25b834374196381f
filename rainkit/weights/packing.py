"""Making the files that a plugin ships out of a run folder: weights, model card, declaration."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

from rainkit import hyperparameters, plugins
from rainkit.api import Hyperparameters, Method
from rainkit.errors import UsageError, WeightsError
from rainkit.files import sha256, write_text
from rainkit.render.html import render
from rainkit.weights.store import WeightsFile, load, not_finite, open_file, read, save

__all__ = ["Packed", "pack"]

_RECORD = "run.json"
_PROTOCOL = "prenet/1"
"""The protocol that validation during training scores with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """The files of a pack, and what to do with them.

    Attributes:
        name: ``method.tag``.
        weights: the weights file.
        card: its model card.
        sha256: hash of the weights file.
        snippet: the declaration to paste into the plugin.
        notes: what must be done before these weights are shipped.
    """

    name: str
    weights: Path
    card: Path
    sha256: str
    snippet: str
    notes: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        """Return the pack as plain data for ``--json``."""
        data = {name: getattr(self, name) for name in self.__slots__}
        return {**data, "weights": str(self.weights), "card": str(self.card)}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """The part of ``run.json`` that a model card shows."""

    method: Method
    variant: str
    settings: Hyperparameters[Any, Any]
    base: Hyperparameters[Any, Any]
    data: Mapping[str, Any]
    command: Sequence[str]
    init: str | None
    teacher: str | None


def pack(
    run: Path,
    out: Path | None = None,
    tag: str | None = None,
    licence: str | None = None,
    which: Literal["best", "last"] | None = None,
    *,
    overwrite: bool = False,
) -> Packed:
    """Make the files that a plugin ships out of a run of ``rainkit train``.

    Args:
        run: the run folder.
        out: folder to write to; None for the folder ``packed`` in the run folder.
        tag: tag of the weights; None for the first ``rain-vN`` that the method does not have.
        licence: SPDX name of the weights' licence; None for the licence of the method's code.
        which: the weights that validated best, or the last ones; None for the best if there are
            any.
        overwrite: replace an earlier pack of this tag.

    Raises:
        UsageError: the folder holds no run or no such weights, the tag or licence is not valid, or
            the files exist.
        MethodError: the method is broken.
        WeightsError: the record or the weights are damaged, or hold nan.
        FileError: the system refuses to write.
    """
    told = _read_run(run)
    method = told.method
    tag, licence = tag or _next_tag(method), licence or method.licence
    if not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", tag):
        raise UsageError(f"--tag {tag}: use lower case, digits and hyphens, such as rain-v2")
    if not re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", licence):
        raise UsageError(f"--licence {licence}: give its SPDX name, such as Apache-2.0")
    folder = out or run / "packed"
    path, card = folder / f"{tag}.safetensors", folder / f"{tag}.md"
    for each in (path, card):
        if each.exists() and not overwrite:
            raise UsageError(f"{each} exists; pass --overwrite, or another -o or --tag")
    file = open_file(method, _choose(run, which))
    import torch

    from rainkit import networks

    state = read(file.path)
    # Weights that do not fit their network are refused here.
    with torch.random.fork_rng(devices=[]):
        built = load(networks.build(method, file.network), file)
    if broken := not_finite(state):
        raise WeightsError(f"{file.path}: {', '.join(broken[:3])} hold nan or infinity")
    about = dict(file.header) | {"tag": tag, "licence": licence}
    network = file.network
    save(
        path, state, method=method, variant=file.variant, network=network, about=about,
        overwrite=overwrite,
    )  # fmt: skip
    found = sha256(path)
    notes = _notes(told, file)
    text = _card(told, file, path, found, licence, networks.parameters(built), notes)
    write_text(card, text, overwrite=overwrite)
    declared = {
        "tag": tag,
        "variant": file.variant,
        "sha256": found,
        "file": f"weights/{path.name}",
        "licence": licence,
        "trained_on": _data_in_words(told.data),
        "recipe": _recipe(told, file),
    }
    # JSON's strings are Python's too.
    lines = [f"    {k}={json.dumps(v, ensure_ascii=False)}," for k, v in declared.items()]
    return Packed(
        name=f"{method.name}.{tag}",
        weights=path,
        card=card,
        sha256=found,
        snippet="\n".join(("Weights(", *lines, ")")),
        notes=notes,
    )


def _read_run(run: Path) -> _Run:
    path = run / _RECORD
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        method = plugins.get(data["method"])
        variant = str(data["variant"])
        return _Run(
            method=method,
            variant=variant,
            settings=_settings(path, method, data["hyperparameters"]),
            base=method.variants.get(variant, method.default),
            data=dict(data["data"]),
            command=[str(word) for word in data["command"]],
            init=PurePath(data["init"]).name if data.get("init") else None,
            teacher=_teacher(data["teacher"]["name"]) if data.get("teacher") else None,
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{run}: no {_RECORD} there: name a folder of rainkit train") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: not the record of a run ({error})") from error


def _teacher(name: str) -> str:
    """Return ``METHOD.TAG`` as it is, and ``METHOD=FILE`` without the file's folder."""
    method, equals, file = name.partition("=")
    return method + equals + PurePath(file).name


def _settings(path: Path, method: Method, data: Mapping[str, Any]) -> Hyperparameters[Any, Any]:
    try:
        return hyperparameters.from_data(method, data)
    except UsageError as error:
        raise WeightsError(f"{path}: not settings of this {method.name} ({error})") from error


def _choose(run: Path, which: Literal["best", "last"] | None) -> Path:
    best, last = run / "best.safetensors", run / "last.safetensors"
    if which == "best" and not best.is_file():
        raise UsageError(f"{best}: not there; only a training with --validate makes it")
    path = best if which != "last" and best.is_file() else last
    if not path.is_file():
        raise UsageError(f"{path}: not there yet; the first checkpoint of a training makes it")
    return path


def _next_tag(method: Method) -> str:
    taken = [re.fullmatch(r"rain-v(\d+)", weights.tag) for weights in method.weights]
    return f"rain-v{max((int(found[1]) for found in taken if found), default=0) + 1}"


def _notes(told: _Run, file: WeightsFile) -> tuple[str, ...]:
    notes = []
    if file.network != told.base.network or told.variant not in told.method.variants:
        notes.append(
            f"the network differs from the variant {file.variant}: give the plugin a variant with "
            "these settings before it ships the file"
        )
    if told.init:
        notes.append(f"the training started from {told.init}: its licence binds these weights too")
    if told.teacher:
        notes.append(
            f"the network also learnt from pictures of {told.teacher}: see whether its licence "
            "binds these weights, too"
        )
    return tuple(notes)


def _card(
    told: _Run,
    file: WeightsFile,
    path: Path,
    found: str,
    licence: str,
    size: int,
    notes: Sequence[str],
) -> str:
    method, header = told.method, file.header
    before = {row.path: row.default for row in hyperparameters.describe(told.base)}
    changes = hyperparameters.differences(told.settings, told.base) | _data_changes(told.data)
    versions = ", ".join(f"{name} {version}" for name, version in _table(header, "versions"))
    facts = {
        "method": f"`{method.name}`",
        "variant": f"`{file.variant}`",
        "network": f"{size:,} parameters",
        "trained on": _data_in_words(told.data),
        "started from": f"`{told.init}`" if told.init else "a random network",
        **({"teacher": f"`{told.teacher}`"} if told.teacher else {}),
        "steps": header.get("step", "unknown"),
        "seed": header.get("seed", "unknown"),
        "made with": versions or "unknown",
        "file": f"`{path.name}`, {path.stat().st_size:,} bytes",
        "sha256": f"`{found}`",
        "licence": licence,
    }
    return render(
        "rainkit.weights",
        "card.md.j2",
        {"cell": _cell},
        name=f"{method.name}.{path.stem}",
        title=method.title,
        summary=method.summary.rstrip("."),
        method=method.name,
        variant=told.variant,
        facts=list(facts.items()),
        settings=[(name, value, before.get(name)) for name, value in changes.items()],
        notes=notes,
        scores=_scores(header),
        protocol=_PROTOCOL,
        file=path.name,
    )


def _scores(header: Mapping[str, str]) -> list[tuple[str, str, str]]:
    scores = dict(_table(header, "validation"))
    sets = dict.fromkeys(name.rpartition("/")[0] for name in scores)

    def number(name: str, form: str) -> str:
        value = scores.get(name)
        return format(value, form) if isinstance(value, (int, float)) else ""

    return [(n, number(f"{n}/psnr", ".2f"), number(f"{n}/ssim", ".4f")) for n in sets]


def _table(header: Mapping[str, str], key: str) -> list[tuple[str, Any]]:
    """Return the items of a JSON object in a header; none if the header has no such object."""
    try:
        return list(json.loads(header.get(key, "{}")).items())
    except (ValueError, AttributeError):
        return []


def _data_in_words(data: Mapping[str, Any]) -> str:
    """Describe the training data without folders, which mean nothing on other machines."""
    degraded = {"noise": "noise added", "rain": "rain drawn"}.get(str(data.get("degradation")), "")
    kinds = {
        "clean": f"clean photographs, {degraded or 'degraded'} on the fly",
        "pairs": "pairs of rainy and clean pictures",
        "scenes": "time-lapse frames of static scenes",
    }
    return "; ".join(words for kind, words in kinds.items() if data.get(kind)) or "unknown data"


def _recipe(told: _Run, file: WeightsFile) -> str:
    """Return the recipe's file name, or a command with the same settings, without folders."""
    after = dict(itertools.pairwise(told.command))
    joined = [w.partition("=")[2] for w in told.command if w.startswith("--config=")]
    config = after.get("--config") or after.get("-c") or "".join(joined[-1:])
    step, seed = file.header.get("step", "?"), file.header.get("seed", "0")
    if config:
        changed = [f"--set {shlex.quote(setting)}" for setting in _set(told.command)]
        return ", ".join((" ".join((PurePath(config).name, *changed)), f"step {step}, seed {seed}"))
    changes = hyperparameters.differences(told.settings, told.base) | _data_changes(told.data)
    settings = [f"--set {shlex.quote(f'{k}={_value(v)}')}" for k, v in changes.items()]
    command = f"rainkit train --method {told.method.name} --variant {told.variant} --seed {seed}"
    start = [f"--init {shlex.quote(told.init)}"] if told.init else []
    teacher = [f"--teacher {shlex.quote(told.teacher)}"] if told.teacher else []
    return " ".join((command, *start, *teacher, *settings))


def _set(command: Sequence[str]) -> list[str]:
    """Return the settings of a command line."""
    joined = [w.partition("=")[2] for w in command if w.startswith("--set=")]
    return joined + [after for word, after in itertools.pairwise(command) if word == "--set"]


def _data_changes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ``data`` that are not the default, without folders, by their paths."""
    from rainkit.datasets.sources import DataRequest

    def flat(section: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
        for name, value in section.items():
            if isinstance(value, Mapping):
                yield from flat(value, f"{path}.{name}")
            else:
                yield f"{path}.{name}", value

    before = dict(flat(dataclasses.asdict(DataRequest()), "data"))
    return {
        path: value
        for path, value in flat(data, "data")
        if path in before and not isinstance(before[path], tuple) and value != before[path]
    }


def _value(value: Any) -> str:
    """Return a value as ``--set`` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_value, value)) or "[]"
    return str(value)


def _cell(value: Any) -> str:
    return " ".join(_value(value).split()).replace("|", "\\|")

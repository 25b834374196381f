"""Settings of the user: from the environment and from one TOML file.

A command-line option goes before an environment variable, a variable before the file, and the file
before the default. The commands apply ``method``, ``device`` and ``workers``; ``cache`` and
``offline`` hold in Python, too. This module is free of torch.

``RAINKIT_CONFIG`` names another file than the platform's. Neither file nor folder need exist.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from rainkit.choices import nearest, unknown
from rainkit.errors import UsageError
from rainkit.files import system_reason, write_text
from rainkit.runtime_options import RuntimeOptions

__all__ = [
    "KEYS",
    "Key",
    "Setting",
    "Value",
    "cache_folder",
    "file_path",
    "offline",
    "parse",
    "parse_key",
    "settings",
    "store",
    "unset",
    "value",
    "variable",
]

Value: TypeAlias = str | int | bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """What can be set.

    Attributes:
        doc: what the setting is for.
        takes: the values that it takes, for error messages.
        default: what holds if nobody has set it, in words.
        check: function from a value of the file to the value that holds, or None if the value is
            none of those that the key takes.
        read: function from the text of a variable or of the command line to such a value.
    """

    doc: str
    takes: str
    default: str
    check: Callable[[Any], Value | None]
    read: Callable[[str], Any] = str


def _device(given: Any) -> str | None:
    try:
        return RuntimeOptions(device=given).device
    except (UsageError, TypeError):
        return None


def _name(given: Any) -> str | None:
    return given if isinstance(given, str) and re.fullmatch(r"[\w.:-]+", given) else None


def _count(given: Any) -> int | None:
    whole = isinstance(given, int) and not isinstance(given, bool)
    return given if whole and 1 <= given <= 256 else None


def _number(text: str) -> Any:
    return int(text) if text.isdecimal() else text


def _folder(given: Any) -> str | None:
    if not isinstance(given, str) or not given:
        return None
    place = os.path.expanduser(given)
    return place if os.path.isabs(place) else None


def _flag(given: Any) -> bool | None:
    return given if isinstance(given, bool) else None


_FLAGS = {"1": True, "true": True, "yes": True, "on": True} | {
    "0": False, "false": False, "no": False, "off": False
}  # fmt: skip


def _truth(text: str) -> Any:
    return _FLAGS.get(text.lower(), text)


KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "method": Key(
            doc="method of rainkit infer without --method",
            takes="auto, or the name of a method",
            default="auto, or the only method installed",
            check=_name,
        ),
        "device": Key(
            doc="device that networks run on",
            takes="auto, cpu, cuda, cuda:N or mps",
            default="auto",
            check=_device,
        ),
        "workers": Key(
            doc="threads of infer, and processes of synth and data, on this machine",
            takes="a whole number from 1 to 256",
            default="by the machine",
            check=_count,
            read=_number,
        ),
        "cache": Key(
            doc="folder of fetched weights, converted networks and measured times",
            takes="a folder, absolute or from ~ on",
            default="the platform's",
            check=_folder,
        ),
        "offline": Key(
            doc="whether only rainkit weights get may fetch weights",
            takes="true or false",
            default="true",
            check=_flag,
            read=_truth,
        ),
    }
)
"""All settings by name, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A setting that holds.

    Attributes:
        key: its name.
        value: its value; None if it has no other default than what the key says in words.
        origin: where the value comes from.
        place: the variable or the file that it comes from; empty for the default.
        hidden: the value in the file, if a variable hides it.
        problem: why the value cannot be used; the error that :func:`value` raises.
    """

    key: str
    value: Value | None
    origin: Literal["environment", "file", "default"]
    place: str = ""
    hidden: Value | None = None
    problem: str | None = None


def variable(key: str) -> str:
    """Return the environment variable of a setting, such as ``RAINKIT_DEVICE``."""
    return f"RAINKIT_{key.upper()}"


def file_path() -> Path:
    """Return the settings file, which need not exist."""
    if chosen := os.environ.get("RAINKIT_CONFIG"):
        return Path(chosen)
    if sys.platform == "win32":
        folder = _of_system("APPDATA", "AppData", "Roaming") / "rainkit"
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support" / "rainkit"
    else:
        folder = _of_system("XDG_CONFIG_HOME", ".config") / "rainkit"
    return folder / "config.toml"


def cache_folder() -> Path:
    """Return the folder of the cache, which need not exist and may be deleted at any time.

    Raises:
        UsageError: the setting ``cache`` is not a folder's name.
    """
    chosen = value("cache")
    return Path(str(chosen)) if chosen is not None else _platform_cache()


def _platform_cache() -> Path:
    if sys.platform == "win32":
        return _of_system("LOCALAPPDATA", "AppData", "Local") / "rainkit" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rainkit"
    return _of_system("XDG_CACHE_HOME", ".cache") / "rainkit"


def _of_system(name: str, *below_home: str) -> Path:
    chosen = os.environ.get(name, "")
    return Path(chosen) if os.path.isabs(chosen) else Path.home().joinpath(*below_home)


def offline() -> bool:
    """Return whether only a command that fetches something may use the network.

    Raises:
        UsageError: the setting ``offline`` is not true or false.
    """
    return value("offline") is not False


def value(key: str) -> Value | None:
    """Return the value of a setting; None if it has no default but in words.

    Raises:
        UsageError: the value cannot be used, or the file cannot be read.
    """
    found = settings()[key]
    if found.problem is not None:
        raise UsageError(found.problem)
    return found.value


def settings() -> dict[str, Setting]:
    """Return all settings, those whose value cannot be used included.

    Raises:
        UsageError: the file cannot be read, is not TOML, or has a key that does not exist.
    """
    path = file_path()
    written = _read(path)
    return {key: _setting(key, written, path) for key in KEYS}


def _setting(key: str, written: Mapping[str, Any], path: Path) -> Setting:
    given = os.environ.get(variable(key), "")
    in_file = KEYS[key].check(written[key]) if key in written else None
    if given:
        value = _from_variable(key, given)
        told = f"{variable(key)}={given}: give {KEYS[key].takes}"
        return Setting(
            key=key,
            value=value,
            origin="environment",
            place=variable(key),
            hidden=in_file,
            problem=told if value is None else None,
        )
    if key in written:
        told = f"{path}: {key} = {_toml(written[key])}: give {KEYS[key].takes}"
        return Setting(
            key=key,
            value=in_file,
            origin="file",
            place=str(path),
            problem=told if in_file is None else None,
        )
    defaults: dict[str, Value] = {"device": "auto", "offline": True}
    if key == "cache":
        defaults[key] = str(_platform_cache())
    return Setting(key=key, value=defaults.get(key), origin="default")


def _from_variable(key: str, text: str) -> Value | None:
    if key == "cache":  # a variable is read where it is set, so that it may be relative
        text = os.path.abspath(os.path.expanduser(text))
    return KEYS[key].check(KEYS[key].read(text))


def parse(key: str, text: str) -> Value:
    """Return the value that a text means, such as ``4`` for ``workers``.

    Raises:
        UsageError: there is no such setting, or it does not take this value.
    """
    known = parse_key(key)
    found = known.check(known.read(text))
    if found is None:
        raise UsageError(f"{key} {text}: give {known.takes}")
    return found


def parse_key(key: str) -> Key:
    """Return what is known of a setting.

    Raises:
        UsageError: there is no such setting.
    """
    if key not in KEYS:
        raise unknown("setting", key, KEYS)
    return KEYS[key]


def store(key: str, text: str) -> Path:
    """Write a setting to the file, whose other lines stay as they are, and return the file.

    Raises:
        UsageError: there is no such setting, it does not take this value, or the file is not TOML.
        FileError: the file cannot be written.
    """
    parse(key, text)  # a folder is kept as it is written, such as ~/cache
    line = f"{key} = {_toml(KEYS[key].read(text))}"
    _rewrite(key, line)
    return file_path()


def unset(key: str) -> bool:
    """Remove a setting, or a key that does not exist, from the file; return whether it was there.

    Raises:
        UsageError: there is no such setting, or the file is not TOML.
        FileError: the file cannot be written.
    """
    if key not in _read(file_path(), strict=False):
        parse_key(key)
        return False
    _rewrite(key, None)
    return True


def _rewrite(key: str, line: str | None) -> None:
    """Put a line in the place of that of a key, or at the end; None removes it."""
    path = file_path()
    before = _read(path, strict=False)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    name = re.escape(key)
    own = re.compile(rf"\s*(?:{name}|\"{name}\"|'{name}')\s*=")
    places = [number for number, each in enumerate(lines) if own.match(each)]
    if places:
        lines[places[0] : places[0] + 1] = [] if line is None else [line]
    elif line is not None:
        # In front of the first table, whose key it would be otherwise.
        heads = (number for number, each in enumerate(lines) if each.lstrip().startswith("["))
        lines.insert(next(heads, len(lines)), line)
    text = "".join(f"{each}\n" for each in lines)
    after = {name: each for name, each in before.items() if name != key}
    if line is not None:
        after |= tomllib.loads(line)
    if _parsed(text) != after:  # such as a value of several lines, which a hand must have written
        raise UsageError(f"{path}: {key} cannot be changed there; edit the file by hand")
    real = path.resolve()  # a link, as of people who keep their settings elsewhere, stays one
    mode = stat.S_IMODE(real.stat().st_mode) if real.exists() else None
    write_text(real, text, overwrite=True)
    if mode is not None:
        real.chmod(mode)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _read(path: Path, *, strict: bool = True) -> dict[str, Any]:
    """Return what the file says; ``strict`` refuses keys that do not exist."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({system_reason(error)})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not TOML ({error}); correct or delete it") from error
    for key in content if strict else ():
        if key not in KEYS:
            near = nearest(key, KEYS)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(KEYS)};"
            table = isinstance(content[key], dict)
            remedy = "remove that table" if table else f"`rainkit config unset {key}` removes it"
            raise UsageError(f"{path}: {key}: no such setting; {hint} {remedy}")
    return content


def _toml(value: Any) -> str:
    """Return a value as TOML writes it; JSON strings are TOML strings."""
    return json.dumps(value, ensure_ascii=False, default=str)

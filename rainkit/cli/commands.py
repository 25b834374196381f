"""What all commands have in common: how errors end them, and how their help is laid out."""

from __future__ import annotations

import inspect
import io
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from rainkit import config
from rainkit.cli.console import Verbosity, errors, set_verbosity, verbosity, warn
from rainkit.errors import INTERRUPTED, RainkitError
from rainkit.files import system_reason

__all__ = [
    "CommandLine",
    "RainkitCommand",
    "RainkitGroup",
    "Terminated",
    "apply_settings",
    "terminable",
]

_log = logging.getLogger("rainkit.settings")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise :class:`Terminated` in the block on SIGTERM, as the system ends services and jobs."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def _no_type(ctx: Any) -> None:
    return None


def _laid_out(parameters: list[Any]) -> list[Any]:
    """Let flags and arguments show no type in the help, and let ``--help`` join the last panel."""
    for before, parameter in zip([None, *parameters], parameters, strict=False):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        if parameter.param_type_name == "argument":
            # Beside the placeholder, typer would show the annotation, such as <list[Path]>.
            parameter.display_type_rich = _no_type
        if parameter.name == "help" and before is not None:
            parameter.rich_help_panel = getattr(before, "rich_help_panel", None)
    return parameters


_VERBOSE = frozenset(("-v", "--verbose"))
_QUIET = frozenset(("-q", "--quiet"))
_HELP = frozenset(("-h", "--help"))
_ASKED = "rainkit.help"
"""Key under which the context keeps whether help was asked for, which shows the fixed defaults."""


def _take_verbosity(words: list[str]) -> list[str]:
    """Take ``--verbose`` and ``--quiet`` out of a command line, also from behind the command."""
    end = words.index("--") if "--" in words else len(words)
    level = Verbosity.NORMAL
    kept = []
    for word in words[:end]:
        if word in _VERBOSE:
            level = Verbosity.VERBOSE
        elif word in _QUIET:
            level = Verbosity.QUIET
        else:
            kept.append(word)
    set_verbosity(level)
    return kept + words[end:]


def apply_settings(context: Any) -> None:
    """Let the user's settings be the defaults of the command that is about to run.

    Args:
        context: that of the outermost group.

    Raises:
        UsageError: a setting cannot be used.
    """
    if context.meta.get(_ASKED):
        return
    values = {key: config.value(key) for key in config.KEYS}
    found: dict[str, Any] = {"device": values["device"]}
    if verbosity() == Verbosity.QUIET:
        found["quiet"] = True
    context.default_map = _defaults(context.command, found)
    for each in config.settings().values():
        if each.origin != "default":
            _log.debug("%s = %s, from %s", each.key, each.value, each.place)


def _defaults(command: Any, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds for a command, or for each command of a group under its name."""
    if inner := getattr(command, "commands", None):
        return {name: _defaults(each, found) for name, each in inner.items()}
    # Those whose default is None decide themselves: a training that goes on keeps its device.
    names = {each.name for each in command.params if each.default is not None}
    return {name: value for name, value in found.items() if name in names}


def _where_from(message: str) -> str:
    """Return where a setting comes from of which an error tells that it cannot work, or nothing."""
    with suppress(RainkitError):
        for key, each in config.settings().items():
            named = f"--{key} {each.value}"
            if each.origin != "default" and message.startswith((f"{named}:", f"{named} ")):
                return f" ({key} is set in {each.place})"
    return ""


class RainkitCommand(TyperCommand):
    """A command whose help is filled to the terminal's width, with no types of Python."""

    def __init__(self, name: str | None, *, help: str | None = None, **more: Any) -> None:
        """Take the arguments of typer; paragraphs of the help are those of a docstring."""
        # Typer keeps the line ends of all paragraphs but the first.
        paragraphs = inspect.cleandoc(help or "").split("\n\n")
        filled = "\n\n".join(" ".join(each.split("\n")) for each in paragraphs)
        super().__init__(name, help=filled, **more)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters with those that typer adds."""
        return _laid_out(super().get_params(ctx))


class RainkitGroup(TyperGroup):
    """Commands that end with one line and their exit code if an error was raised on purpose."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters with those that typer adds."""
        return _laid_out(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; ``--verbose`` and ``--quiet`` may stand behind the command."""
        if ctx.parent is None and not ctx.resilient_parsing:
            args = _take_verbosity(args)
            ctx.meta[_ASKED] = not _HELP.isdisjoint(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; print errors in one line, and end with 130 after Ctrl-C."""
        if ctx.parent is not None:  # the outermost group handles errors
            return super().invoke(ctx)
        try:
            return self._invoke(ctx)
        finally:
            set_verbosity(Verbosity.NORMAL)

    def _invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            # Names of files need not be UTF-8, nor the terminal know all that is printed.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except RainkitError as error:
            if verbosity() == Verbosity.VERBOSE:
                errors.print("".join(traceback.format_exception(error)), soft_wrap=True)
            warn(f"{error}{_where_from(str(error))}", label="error:", style="bold red")
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            raise  # typer ends quietly: the reader, such as `head`, has seen enough
        except OSError as error:
            # A full or read-only disk, often the one that standard output is sent to.
            line = f"{error.filename or 'output'}: {system_reason(error)}"
            warn(line, label="error:", style="bold red")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            by = "SIGTERM" if isinstance(stop, Terminated) else "Ctrl-C"
            warn(f"stopped by {by}; files already written are whole")
            raise typer.Exit(INTERRUPTED) from stop


class CommandLine(typer.Typer):
    """A group of commands, such as ``rainkit data``."""

    def __init__(self, *, name: str, help: str | None = None, **more: Any) -> None:
        more = {"cls": RainkitGroup, "no_args_is_help": True, **more}
        super().__init__(name=name, help=help, pretty_exceptions_enable=False, **more)

    def command(self, name: str | None = None, **more: Any) -> Callable[[_Function], _Function]:
        """Return a decorator that adds a command to the group."""
        return super().command(name, **{"cls": RainkitCommand, **more})

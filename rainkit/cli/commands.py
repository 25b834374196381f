"""What all commands have in common: how errors end them, and how their help is laid out."""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from rainkit.cli.console import warn
from rainkit.errors import INTERRUPTED, RainkitError
from rainkit.files import system_reason

__all__ = ["CommandLine", "RainkitCommand", "RainkitGroup", "Terminated", "terminable"]


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


def _laid_out(parameters: list[Any]) -> list[Any]:
    """Let flags show no type in the help, and let ``--help`` join the last panel."""
    for before, parameter in zip([None, *parameters], parameters, strict=False):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        if parameter.name == "help" and before is not None:
            parameter.rich_help_panel = getattr(before, "rich_help_panel", None)
    return parameters


class RainkitCommand(TyperCommand):
    """A command whose help shows no types beside flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters with those that typer adds."""
        return _laid_out(super().get_params(ctx))


class RainkitGroup(TyperGroup):
    """Commands that end with one line and their exit code if an error was raised on purpose."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters with those that typer adds."""
        return _laid_out(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run a command; print errors in one line, and end with 130 after Ctrl-C."""
        if ctx.parent is not None:  # the outermost group handles errors
            return super().invoke(ctx)
        for stream in (sys.stdout, sys.stderr):
            # Names of files need not be UTF-8, nor the terminal know all that is printed.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except RainkitError as error:
            warn(str(error), label="error:", style="bold red")
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            raise  # typer ends quietly: the reader, such as `head`, has seen enough
        except OSError as error:
            # A full or read-only disk, often the one that standard output is sent to.
            line = f"{error.filename or 'output'}: {system_reason(error)}"
            warn(line, label="error:", style="bold red")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            warn("stopped by Ctrl-C; files already written are whole")
            raise typer.Exit(INTERRUPTED) from stop


class CommandLine(typer.Typer):
    """A group of commands, such as ``rainkit data``."""

    def __init__(self, *, name: str, help: str | None = None, **more: Any) -> None:
        more = {"cls": RainkitGroup, "no_args_is_help": True, **more}
        super().__init__(name=name, help=help, pretty_exceptions_enable=False, **more)

    def command(self, name: str | None = None, **more: Any) -> Callable[[_Function], _Function]:
        """Return a decorator that adds a command to the group."""
        return super().command(name, **{"cls": RainkitCommand, **more})

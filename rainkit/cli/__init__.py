"""The ``rainkit`` command: one module per verb, each importing its library inside its body."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

import rainkit
from rainkit.cli import (
    bench,
    compare,
    data,
    doctor,
    downstream,
    eval,
    infer,
    methods,
    no_target,
    score,
    synth,
    train,
    weights,
)
from rainkit.cli.console import errors
from rainkit.cli.environment import calm_openmp
from rainkit.errors import RainkitError
from rainkit.files import system_reason

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Errors raised on purpose become one line and their exit code, Ctrl-C one line and 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RainkitError as error:
            line = f"[bold red]error:[/] {escape(str(error))}"
            errors.print(line, highlight=False, soft_wrap=True)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            raise  # Typer ends quietly: the reader, such as `head`, has seen enough
        except OSError as error:
            # A full or read-only disk, often the one that standard output is sent to.
            line = f"{error.filename or 'output'}: {system_reason(error)}"
            errors.print(f"[bold red]error:[/] {escape(line)}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            errors.print("stopped by Ctrl-C; files already written are whole")
            raise typer.Exit(130) from stop


app = typer.Typer(
    name="rainkit",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(infer.infer)
app.command()(train.train)
app.command("eval")(eval.evaluate)
app.command()(score.score)
app.command()(compare.compare)
app.command()(no_target.no_target)
app.command()(downstream.downstream)
app.command()(synth.synth)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")
app.command()(bench.bench)
app.add_typer(methods.app, name="methods")
app.command()(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rainkit {rainkit.__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take rain out of photographs."""


def main() -> None:
    """Run the command line."""
    calm_openmp()
    # It would ask the network for its newest version whenever it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    app()

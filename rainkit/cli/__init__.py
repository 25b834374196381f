"""The ``rainkit`` command line: one module per command, which imports its library when it runs."""

from __future__ import annotations

import os
import warnings
from typing import Annotated

import typer

import rainkit
from rainkit.cli import (
    bench,
    compare,
    config,
    data,
    doctor,
    downstream,
    eval,
    export,
    infer,
    methods,
    no_target,
    plugin,
    score,
    serve,
    synth,
    train,
    weights,
)
from rainkit.cli.commands import CommandLine, apply_settings
from rainkit.environment import calm_openmp

__all__ = ["app", "main"]


app = CommandLine(
    name="rainkit",
    help="Take rain out of photographs. Start with: rainkit infer photos/ --report",
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
)
app.command()(infer.infer)
app.command()(serve.serve)
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
app.command()(export.export)
app.add_typer(methods.app, name="methods")
app.add_typer(plugin.app, name="plugin")
app.add_typer(config.app, name="config")
app.command()(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rainkit {rainkit.__version__}")
        raise typer.Exit()


_GREETING = """\
rainkit {version} takes rain out of photographs.

  rainkit infer photos/     derain pictures, or folders of them
  rainkit methods           what is installed, and what it is good at
  rainkit doctor            whether everything works on this machine

rainkit --help lists all commands, and rainkit COMMAND --help explains one."""


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Say more: settings, devices, weights and what else is chosen, and the traceback "
            "of errors. It may stand behind the command, too.",
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Say nothing but failures, and results that were asked for. It may stand behind "
            "the command, too.",
        ),
    ] = False,
) -> None:
    """Take rain out of photographs."""
    # Of broken metadata that does not matter; they name no file, and damaged pixels raise errors.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    if context.invoked_subcommand not in (None, "config", "doctor"):
        apply_settings(context)
    if context.invoked_subcommand is None:
        typer.echo(_GREETING.format(version=rainkit.__version__))


def main() -> None:
    """Run the command line."""
    calm_openmp()
    # On import, albumentations would ask the network for its newest version.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    app(prog_name="rainkit")

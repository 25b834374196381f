"""``rainkit config``: show and change settings that hold for all commands."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from rainkit import config as settings_of_user
from rainkit.cli.commands import CommandLine
from rainkit.cli.completion import method_names, starting
from rainkit.cli.console import print_json, print_table, tell, warn
from rainkit.cli.options import Json
from rainkit.config import KEYS, Setting, Value
from rainkit.errors import UsageError

__all__ = ["app", "config", "get", "path", "set_value", "show", "unset"]

app = CommandLine(
    name="config",
    help="Show and change the settings that hold for all commands: method, device, workers, cache "
    "and offline.",
    no_args_is_help=False,
)

_KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help=f"{', '.join(list(KEYS)[:-1])} or {list(KEYS)[-1]}.",
        autocompletion=starting(KEYS),
    ),
]


@app.callback(invoke_without_command=True)
def config(context: typer.Context) -> None:
    """Show the settings, or change one."""
    if context.invoked_subcommand is None:
        show()


@app.command()
def show(as_json: Json = False) -> None:
    """Show all settings, and where each of them comes from.

    An option goes before an environment variable, a variable before the file,
    and the file before the default.

    For example:

      rainkit config show
    """
    path = settings_of_user.file_path()
    found = settings_of_user.settings().values()
    problems = [each.problem for each in found if each.problem is not None]
    if as_json:
        told = {
            each.key: {
                "value": each.value,
                "origin": each.origin,
                "place": each.place,
                "problem": each.problem,
            }
            for each in found
        }
        print_json({"file": str(path), "exists": path.is_file(), "settings": told})
    else:
        tell(f"file: {path}{'' if path.exists() else ' (there is none yet)'}")
        print_table(
            ("setting", "value", "from", "what it is for"),
            ((e.key, _told(e), _origin(e), KEYS[e.key].doc) for e in found),
            folded={"value", "from", "what it is for"},
        )
        tell("An option goes before the environment, the environment before the file.")
    for problem in problems:
        warn(problem, label="error:", style="bold red")
    if problems:
        raise typer.Exit(UsageError.exit_code)


@app.command()
def get(key: _KeyArgument) -> None:
    """Print the value of a setting that holds; nothing if it has none.

    For example:

      rainkit config get cache
    """
    settings_of_user.parse_key(key)
    value = settings_of_user.value(key)
    if value is not None:
        tell(_text(value))


def _values(context: typer.Context, incomplete: str) -> list[str]:
    key = context.params.get("key")
    if key == "method":
        return [name for name, _ in method_names("auto") if name.startswith(incomplete)]
    offered = {"device": ("auto", "cpu", "cuda", "cuda:0", "mps"), "offline": ("true", "false")}
    return [each for each in offered.get(str(key), ()) if each.startswith(incomplete)]


@app.command("set")
def set_value(
    key: _KeyArgument,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="The value.", autocompletion=_values)
    ],
) -> None:
    """Write a setting to the settings file.

    For example:

      rainkit config set device cpu

      rainkit config set method auto
    """
    if key == "method" and value != "auto":
        from rainkit import plugins

        plugins.get(value)
    place = settings_of_user.store(key, value)
    tell(f"{place}: {key} = {_text(settings_of_user.parse(key, value))}")
    found = settings_of_user.settings()[key]
    if found.origin == "environment":
        warn(f"{found.place} is set, and goes before the file", label="note:", style="yellow")


@app.command()
def unset(key: _KeyArgument) -> None:
    """Remove a setting from the settings file, so that the default holds.

    For example:

      rainkit config unset device
    """
    place = settings_of_user.file_path()
    gone = settings_of_user.unset(key)
    tell(f"{place}: {key} {'removed' if gone else 'is not set there'}")


@app.command()
def path() -> None:
    """Print the path of the settings file, which need not exist."""
    tell(str(settings_of_user.file_path()))


def _text(value: Value) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _told(setting: Setting) -> str:
    if setting.problem is not None:
        return "cannot be used"
    return KEYS[setting.key].default if setting.value is None else _text(setting.value)


def _origin(setting: Setting) -> Any:
    if setting.origin == "default":
        return "default"
    if setting.origin == "file":
        return "the file"
    hidden = "" if setting.hidden is None else f" (the file has {_text(setting.hidden)})"
    return f"{setting.place}{hidden}"

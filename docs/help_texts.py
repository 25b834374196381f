"""Bring the ``--help`` texts in docs/ up to date, or check that they are (``--check``).

A text stands between ``<!-- help: infer -->`` and ``<!-- /help -->``, the list of commands between
``<!-- commands -->`` and ``<!-- /commands -->``; ``make docs`` runs this. A command without a page
in docs/commands/, and a subcommand that its page lacks, are written there. Typer's versions lay
help out differently, so that checking looks at what is said: options, their meaning and defaults;
not at line breaks, the names of types, or bounds.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import cast

# Read when typer is imported: plain text, as wide as a code block.
os.environ |= {"TYPER_USE_RICH": "0", "COLUMNS": "92", "TERMINAL_WIDTH": "92", "NO_COLOR": "1"}

import typer.main
from typer.core import TyperGroup

from rainkit.cli import app

COMMAND = cast(TyperGroup, typer.main.get_command(app))
HERE = Path(__file__).parent
PAGES = HERE / "commands"
BLOCK = re.compile(r"(<!-- help: (?P<command>.*?) -->\n).*?(<!-- /help -->)", re.DOTALL)
TYPES = re.compile(r"<[^>]*>|\b(?:TEXT|PATH|INTEGER|FLOAT|RANGE|BOOLEAN)\b")
LIST = re.compile(r"(<!-- commands -->\n).*?(<!-- /commands -->)", re.DOTALL)
BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def help_text(command: str) -> str:
    """What ``rainkit COMMAND --help`` prints, without boxes."""
    words = [*command.split(), "--help"]
    with redirect_stdout(io.StringIO()) as printed:
        COMMAND(words, prog_name="rainkit", terminal_width=80, standalone_mode=False)
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


def block(command: str) -> str:
    """A code block with the command and its help."""
    return f"```console\n$ rainkit {command} --help\n{help_text(command)}\n```\n"


def subcommands(name: str) -> list[str]:
    """A command of the first level with those below it, as they are called."""
    below: dict[str, object] = getattr(COMMAND.commands[name], "commands", {})
    return [name, *(f"{name} {each}" for each in below)]


def list_of_commands() -> str:
    """A table of all commands, with a link to the page of each and the first line of its help."""
    rows = ["| command | |", "|---|---|"]
    for name, command in COMMAND.commands.items():
        first = " ".join((command.help or "").split("\n\n")[0].split())
        rows.append(f"| [`rainkit {name}`]({name}.md) | {first} |")
    return "\n".join(rows) + "\n"


def completed(name: str, text: str) -> str:
    """The page of a command, with marks for the help of each command that it lacks."""
    if not text:
        text = f"# rainkit {name}\n\n## Options\n"
    for each in subcommands(name):
        if f"<!-- help: {each} -->" not in text:
            heading = f"\n### rainkit {each}\n" if " " in each else ""
            text += f"{heading}\n<!-- help: {each} -->\n<!-- /help -->\n"
    return text


def renewed(text: str) -> str:
    """A page with the help texts and the list of commands of today."""
    text = BLOCK.sub(lambda found: found[1] + block(found["command"]) + found[3], text)
    return LIST.sub(lambda found: found[1] + list_of_commands() + found[2], text)


def meaning(text: str) -> str:
    """A help text without what differs between versions of typer."""

    def kept(bracket: re.Match[str]) -> str:
        return "".join(part for part in bracket[1].split(";") if "default" in part)

    return re.sub(r"\s", "", BRACKETS.sub(kept, TYPES.sub("", text)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Bring the --help texts in docs/ up to date.")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if one is old")
    check = parser.parse_args().check
    stale = []
    if PAGES.is_dir():
        for name in COMMAND.commands:
            page = PAGES / f"{name}.md"
            before = page.read_text(encoding="utf-8") if page.exists() else ""
            after = completed(name, before)
            if after != before:
                stale.append(f"{page.name}: a command is missing")
                if not check:
                    page.write_text(after, encoding="utf-8")
    for page in sorted(HERE.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(before):
            if meaning(found[0]) != meaning(found[1] + block(found["command"]) + found[3]):
                stale.append(f"{page.name}: rainkit {found['command']} --help")
        for found in LIST.finditer(before):
            if found[0] != found[1] + list_of_commands() + found[2]:
                stale.append(f"{page.name}: the list of commands")
        if not check and (after := renewed(before)) != before:
            page.write_text(after, encoding="utf-8")
    print("\n".join(stale) or "all help texts are up to date")
    if stale:
        print("out of date: run `make docs`" if check else "were out of date and were renewed")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

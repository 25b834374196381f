"""Bring the ``--help`` texts in docs/*.md up to date, or check that they are (``--check``).

A text stands between ``<!-- help: infer -->`` and ``<!-- /help -->``; ``make docs`` runs this.
Typer's versions lay help out differently, so that checking looks at what is said: options, their
meaning and defaults; not at line breaks, the names of types, or bounds.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

# Read when typer is imported: plain text, as wide as a code block.
os.environ |= {"TYPER_USE_RICH": "0", "COLUMNS": "92", "TERMINAL_WIDTH": "92", "NO_COLOR": "1"}

import typer.main

from rainkit.cli import app

COMMAND = typer.main.get_command(app)
HERE = Path(__file__).parent
BLOCK = re.compile(r"(<!-- help: (?P<command>.*?) -->\n).*?(<!-- /help -->)", re.DOTALL)
TYPES = re.compile(r"<[^>]*>|\b(?:TEXT|PATH|INTEGER|FLOAT|RANGE|BOOLEAN)\b")
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
    for page in sorted(HERE.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(before):
            if meaning(found[0]) != meaning(found[1] + block(found["command"]) + found[3]):
                stale.append(f"{page.name}: rainkit {found['command']} --help")
        if not check:
            after = BLOCK.sub(lambda found: found[1] + block(found["command"]) + found[3], before)
            if after != before:
                page.write_text(after, encoding="utf-8")
    print("\n".join(stale) or "all help texts are up to date")
    if stale:
        print("out of date: run `make docs`" if check else "were out of date and were renewed")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""``rainkit doctor``: check the environment, and name the remedy for each problem."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from rainkit.cli.console import print_json, print_table, tell
from rainkit.cli.options import Json

if TYPE_CHECKING:
    from rainkit.doctor import Check

__all__ = ["doctor"]

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "bold red")}


def doctor(
    as_json: Json = False,
) -> None:
    """Check the environment, the devices and every plugin.

    Exit codes: 0 no problem, 1 a problem.
    """
    from rainkit.doctor import examine

    checks = examine()
    problems = [check for check in checks if check.state == "problem"]
    if as_json:
        print_json({"problems": len(problems), "checks": [asdict(check) for check in checks]})
    else:
        _print(checks)
        _print_problems(problems)
    if problems:
        raise typer.Exit(1)


def _print(checks: tuple[Check, ...]) -> None:
    print_table(
        ("check", "state", "found"),
        ((check.name, Text(*_MARKS[check.state]), check.value) for check in checks),
        folded={"check", "found"},
    )


def _print_problems(problems: list[Check]) -> None:
    for check in problems:
        tell(f"{check.name}: {check.value}", style="bold red")
        if check.remedy:
            tell(f"remedy: {check.remedy}")
        if check.traceback:
            tell(check.traceback)
    if not problems:
        tell("No problem found.", style="green")

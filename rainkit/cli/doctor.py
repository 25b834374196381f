"""``rainkit doctor``: is this environment fit, and what is the remedy if it is not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rainkit.cli.console import print_json, print_table, tell

if TYPE_CHECKING:
    from rainkit.doctor import Check

__all__ = ["doctor"]

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "bold red")}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Examine the environment, the devices and every plugin; exit 1 if there is a problem."""
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
    from rich.text import Text

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

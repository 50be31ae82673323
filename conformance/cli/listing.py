"""`conformance lint`, `list` and `schema`: what reads case files and runs nothing."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from conformance.cli.common import USAGE, fail, files, load, say, selecting


@click.command()
@click.argument("paths", nargs=-1)
def lint(paths: tuple[str, ...]) -> None:
    """Tell every mistake of case files, the suite's own without PATHS, as file:line:column.

    Exits with 2 when there is one.
    """
    found = list(files(paths))
    cases, mistakes = load(found)
    for mistake in mistakes:
        say(mistake)
    count = sum(len(case.variations) for case in cases)
    say(f"{len(found)} files, {count} variations, {len(mistakes)} mistakes", err=bool(mistakes))
    if not found:
        fail("there is no case file there: they end in .yaml", USAGE)
    sys.exit(USAGE if mistakes else 0)


@click.command("list")
@click.argument("paths", nargs=-1)
@selecting
@click.option("--variations", is_flag=True, help="One line for each variation, nothing but its id.")
@click.option("--json", "as_json", is_flag=True, help="JSON: a list with an object for each case.")
def list_cases(paths: tuple[str, ...], *, variations: bool, as_json: bool, **asked: Any) -> None:
    """List cases, the suite's own without PATHS: id, how many variations, levels, title."""
    from conformance.catalogue import load as load_catalogue
    from conformance.selection import Selection, requirements_of

    catalogue = load_catalogue()
    try:
        selection = Selection.checked(
            catalogue,
            asked["requirement"],
            asked["section"],
            asked["level"],
            asked["state"],
            asked["tier"] or "all",
        )
    except ValueError as error:
        fail(str(error), USAGE)
    cases, mistakes = load(files(paths), steps=False)
    lines, objects = [], []
    for case in cases:
        taken = [variation.id for variation in case.variations if selection.takes(variation)]
        if not taken:
            continue
        levels = list(dict.fromkeys(str(requirement.level) for requirement in requirements_of(case, catalogue)))
        if as_json:
            objects.append(
                {
                    "id": case.id,
                    "file": case.file,
                    "title": case.title,
                    "requirements": case.requirements,
                    "levels": levels,
                    "start": str(case.start),
                    "tier": case.needs.tier,
                    "variations": taken,
                }
            )
        elif variations:
            lines += taken
        else:
            lines.append(f"{case.id:<48} {len(taken):>3}  {', '.join(levels):<10}  {case.title}")
    if as_json:
        say(json.dumps(objects, indent=1))
    elif lines:
        say("\n".join(lines))
    for mistake in mistakes:
        say(mistake, err=True)
    sys.exit(USAGE if mistakes else 0)


@click.command()
def schema() -> None:
    """Print the JSON Schema of case files, for editors."""
    from conformance.cases.schema import case_schema

    say(json.dumps(case_schema(), indent=2))

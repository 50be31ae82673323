"""`conformance target`: which stacks can be tested here, and whether one of them can give verdicts at all."""

from __future__ import annotations

import click

from conformance.cli.common import say
from conformance.cli.doctor import examine
from conformance.targets.asked import Asked


@click.group()
def target() -> None:
    """List the stacks that can be tested, and check one."""


@target.command("list")
@click.option("--names", is_flag=True, help="Only the names, without looking what can run here.")
def list_targets(names: bool) -> None:
    """Every target by name, what it is, and what it lacks on this machine."""
    from conformance.targets.stacks import listed

    found = list(listed(prepare=not names))
    if names:
        for one in found:
            say(one.name)
        return
    width = max(len(one.name) for one in found)
    for one in found:
        say(f"{one.name:<{width}}  {one.summary}")
        if one.missing and ":" not in one.name:
            say(f"{'':<{width}}  not here: {one.missing}" + (f"; to install: {one.install}" if one.install else ""))


@target.command()
@click.argument("name")
def check(name: str) -> None:
    """Look whether a target works: the path, the clock, every call that its agent declares.

    Exits with 3 when something is bad.
    """
    examine(Asked(target=name))

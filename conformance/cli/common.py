"""What several commands share: where cases are, options that choose among them, and how errors are told."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from conformance import suite
from conformance.targets.asked import OPTIONS, RATE, Asked

if TYPE_CHECKING:
    from conformance.cases.model import Case

USAGE, NOT_RUN = 2, 3


def say(text: str, *, err: bool = False) -> None:
    """Print lines, with what a terminal would obey made visible: cases, agents and targets have a say in them."""
    from conformance.report.text import printable_lines

    click.echo(printable_lines(text), err=err)


def fail(message: str, code: int) -> NoReturn:
    """Say why on standard error, and exit."""
    say(f"conformance: {message}", err=True)
    sys.exit(code)


def choosing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose by requirement and state."""
    for name, metavar, what in reversed(
        (
            ("requirement", "ID", "Only cases that decide this requirement."),
            ("section", "SECTION", "Only cases for this section: 3.10.7, or 5961:3.2."),
            ("level", "LEVEL", "Only cases that decide a requirement of this level: MUST, BEHAVIOUR ..."),
            ("state", "STATE", "Only cases that start in this state, or have it named."),
        )
    ):
        function = click.option(f"--{name}", multiple=True, metavar=metavar, help=f"{what} Repeatable.")(function)
    return function


def selecting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose among cases."""
    tier = click.option(
        "--tier",
        type=click.Choice(["default", "quick", "long", "all"]),
        help="Cases of at most 135 s, those of --quick, longer ones, or all.",
    )
    return tier(choosing(function))


def targeting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is tested, and how it is reached."""
    for option in reversed(OPTIONS):
        text = option.help[0].upper() + option.help[1:] + "."
        kind = int if option.name == "rate" else str
        more: dict[str, Any] = {"default": RATE} if option.name == "rate" else {}
        function = click.option(
            f"--{option.name}", multiple=option.repeated, type=kind, metavar=option.metavar, help=text, **more
        )(function)
    sysctl = click.option(
        "--sysctl", multiple=True, metavar="NAME=VALUE", help="Set in the target's namespace. Repeatable."
    )
    target = click.option(
        "--target",
        default="linux",
        metavar="TARGET",
        help="The stack under test: linux is this kernel; see 'conformance target list'; or a host's address.",
    )
    return target(sysctl(function))


def asked_for(options: Mapping[str, Any]) -> Asked:
    """The target that was asked for."""
    said = {option.name.replace("-", "_"): options[option.name.replace("-", "_")] for option in OPTIONS}
    return Asked(target=options["target"], sysctls=sysctls(options["sysctl"]), **said)


def sysctls(texts: Iterable[str]) -> dict[str, str]:
    """`--sysctl`, taken apart."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            fail(f"--sysctl {text!r}: say NAME=VALUE, such as tcp_sack=0", USAGE)
        found[name.strip()] = value.strip()
    return found


def files(paths: Iterable[str]) -> Iterator[tuple[Path, Path]]:
    """Every case file of these paths, the suite's own without any, each with the folder that its id is counted from."""
    for path in [Path(text) for text in paths] or [suite.near(suite.cases())]:
        if path.is_dir():
            for file in sorted(path.rglob("*.yaml")):
                yield suite.placed(file, [path])
        elif path.exists():
            yield suite.placed(path)
        else:
            fail(f"{path}: there is no such file or folder", USAGE)


def load(found: Iterable[tuple[Path, Path]], *, steps: bool = True) -> tuple[list[Case], list[str]]:
    """The cases that can be read, and every mistake of the others as `file:line:column: what`.

    With `steps` false only the heads of the cases are read.
    """
    from conformance.cases.loader import load_file
    from conformance.cases.yamltree import CaseError
    from conformance.catalogue import load as load_catalogue

    gc.disable()  # tens of thousands of nodes stay: looking through them over and over takes as long as reading them
    known = frozenset(load_catalogue().requirements)
    cases, mistakes = [], []
    for path, root in found:
        try:
            cases.append(load_file(path, root, known, steps=steps))
        except CaseError as error:
            mistakes += str(error).splitlines()
        except OSError as error:
            mistakes.append(f"{path}:1:1: can't be read: {error.strerror}")
    return cases, mistakes

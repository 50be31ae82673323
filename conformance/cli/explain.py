"""`conformance explain`: a case in words, with all that its short form leaves to defaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance import suite
from conformance.cli.common import USAGE, fail, load, say

if TYPE_CHECKING:
    from conformance.cases.model import Case, Variation
    from conformance.catalogue import Catalogue


@click.command()
@click.argument("case", metavar="CASE")
def explain(case: str) -> None:
    """Say what CASE does: its requirements, and its steps with the preamble's and with defaults written out.

    CASE is an id (open/three-way-handshake, or with a variation in brackets) or a file.
    """
    from conformance.catalogue import load as load_catalogue

    found, chosen = _find(case)
    say("\n".join(_head(found, load_catalogue())))
    say("\n".join(_steps(chosen)))


def _find(text: str) -> tuple[Case, Variation]:
    path, bracket, variation = text.replace(".yaml::[", ".yaml[").partition("[")
    file = Path(path)
    if not (file.suffix == ".yaml" and file.is_file()):
        file = suite.near(suite.cases() / f"{path}.yaml")
    if not file.is_file():
        import difflib

        known = [p.relative_to(suite.cases()).with_suffix("").as_posix() for p in suite.cases().rglob("*.yaml")]
        close = difflib.get_close_matches(path, known, 3, 0.4)
        hint = f"; did you mean {' or '.join(close)}?" if close else ": see conformance list"
        fail(f"there is no case {path!r}{hint}", USAGE)
    cases, mistakes = load([suite.placed(file)])
    if mistakes:
        say("\n".join(mistakes), err=True)
        fail(f"{file} is no valid case", USAGE)
    case = cases[0]
    wanted = f"{case.id}{bracket}{variation}" if bracket else case.variations[0].id
    chosen = next((one for one in case.variations if one.id == wanted), None)
    if chosen is None:
        say("\n".join(one.id for one in case.variations), err=True)
        fail(f"{case.id} has no variation {wanted!r}; it has those above", USAGE)
    return case, chosen


def _head(case: Case, catalogue: Catalogue) -> Iterator[str]:
    from conformance.selection import requirements_of

    yield f"{case.id}: {case.title}"
    yield f"file      {case.file}"
    yield f"starts in {case.start}"
    needs = case.needs
    words = [f"IPv{needs.ip} only" if needs.ip else "IPv4 and IPv6"]
    words += [f"{name} {value}" for name, value in needs.settings.items()]
    words += [f"the option {option}" for option in sorted(needs.options)]
    words += [f"the agent's {verb}" for verb in sorted(needs.agent)]
    words += ["a path with delayed ACKs"] if needs.link == "delayed-ack" else []
    words += [f"a {service} service" for service in sorted(needs.services)]
    words += ["the long tier"] if needs.tier == "long" else []
    yield f"needs     {', '.join(words)}"
    others = [name for name in case.connections if name != "main"]
    if others:
        yield f"beside its main connection: {', '.join(others)}"
    yield ""
    yield "It decides:"
    for requirement in requirements_of(case, catalogue):
        yield f"  {requirement.id} ({requirement.level}, {requirement.reference})"
        yield f"    {requirement.summary}"
    yield ""
    yield f"{len(case.variations)} variations:"
    shown = [variation.id.removeprefix(case.id) for variation in case.variations]
    yield from (f"  {name}" for name in shown[:12])
    if len(shown) > 12:
        yield f"  ... and {len(shown) - 12} more"


def _steps(variation: Variation) -> Iterator[str]:
    from conformance.engine.estimate import waits

    steps, lead = variation.build()
    yield ""
    yield f"{variation.id}: {len(steps)} steps, the first {lead} of them the preamble's"
    yield from _numbered(steps[:lead], 1, "preamble ")
    yield from _numbered(steps[lead:], lead + 1, "")
    seconds = waits(steps)
    yield f"It waits about {seconds:.0f} s." if seconds else "It waits for nothing but replies."


def _numbered(steps: Sequence[object], first: int, mark: str) -> Iterator[str]:
    from conformance.cli.words import describe

    for number, step in enumerate(steps, first):
        lines = list(describe(step))  # type: ignore[arg-type]
        yield f"{number:>4}. {mark}{lines[0]}"
        yield from (f"      {line}" for line in lines[1:])

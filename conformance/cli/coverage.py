"""`conformance coverage`: which requirements are decided, by which cases, and what runs made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.common import NOT_RUN, USAGE, choosing, fail, say

if TYPE_CHECKING:
    from conformance.report.coverage import Line, Seen


@click.command()
@click.argument("results", nargs=-1, metavar="[RESULTS.jsonl]...")
@choosing
@click.option("--sections", is_flag=True, help="A table by section, too.")
@click.option("--list", "listed", is_flag=True, help="Every requirement: its state, and which case decides it.")
@click.option("--output", metavar="FILE", help="Where all of it goes as JSON; coverage.json beside the last report.")
def coverage(results: tuple[str, ...], *, sections: bool, listed: bool, output: str | None, **asked: Any) -> None:
    """Tell which requirements are decided, deviating, unsupported or not covered, and which case decides what.

    RESULTS are reports of runs, or their folders; several are taken together. A requirement is decided only by a case,
    a step of it and a wrong stack that this step is shown to catch. Without RESULTS nothing counts as run.
    """
    from conformance.catalogue import load as load_catalogue
    from conformance.catalogue.decided import load as load_decided
    from conformance.report import coverage as c
    from conformance.selection import Selection

    catalogue, decided = load_catalogue(), load_decided()
    try:
        selection = Selection.checked(
            catalogue, asked["requirement"], asked["section"], asked["level"], asked["state"], "all"
        )
    except ValueError as error:
        fail(str(error), USAGE)
    reports: dict[str, Seen] = {}
    last = None
    for text in results:
        last = _path(text)
        name, lines = _read(last)
        while name in reports:
            name += "'"
        reports[name] = c.survey(lines, decided, catalogue)
    found = [line for line in c.lines(catalogue, decided, reports) if selection.wants(line.requirement)]
    say("\n".join(_text(found, reports, sections=sections, listed=listed)))
    if reports:
        say("\nwhere the RFCs contradict one another")
        say("\n".join(f"  {line}" for line in c.ways(catalogue, reports)))
    target = Path(output) if output else None if last is None else last.with_name("coverage.json")
    if target is not None:
        try:
            target.write_text(json.dumps(c.as_json(found, decided), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            fail(f"{target}: can't be written: {error.strerror}", NOT_RUN)
        say(f"\nwritten: {target}")


def _path(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        path /= "report.jsonl"
    if not path.is_file():
        fail(f"{path}: there is no such report", USAGE)
    return path


def _read(path: Path) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    from conformance.report.jsonl import ReportError, read

    try:
        report = read(path)
    except ReportError as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"{path}: can't be read: {error.strerror}", USAGE)
    for problem in report.problems:
        say(f"conformance: {path}: not the whole story: {problem}", err=True)
    options = report.header.get("options", {})
    return str(options.get("target") or report.header["target"].get("name") or path.parent.name), report.results


def _text(found: list[Line], reports: Mapping[str, Seen], *, sections: bool, listed: bool) -> Iterator[str]:
    from conformance.report import coverage as c

    if listed:
        for line in found:
            yield from _entry(line)
        yield ""
    if sections:
        yield from c.table(found, c.by_section, "section")
        yield ""
    yield from c.table(found, lambda line: f"RFC {line.requirement.rfc}", "RFC")
    yield ""
    yield from c.table(found, lambda line: str(line.requirement.level), "level")
    for name in reports if len(reports) > 1 else ():
        counts = [line.targets[name] for line in found]
        words = ", ".join(f"{counts.count(state)} {state}" for state in c.COLUMNS if state in counts)
        yield f"{name}: {words}"
    open_ones = [line.requirement.id for line in found if line.state is c.State.NOT_COVERED]
    if open_ones and not listed:
        yield ""
        yield f"not covered: {', '.join(open_ones[:8])}{' ...; all with --list' if len(open_ones) > 8 else ''}"


def _entry(line: Line) -> Iterator[str]:
    requirement = line.requirement
    yield f"{requirement.id} ({requirement.level}): {line.state}"
    if len(line.targets) > 1:
        yield f"  {', '.join(f'{name}: {state}' for name, state in line.targets.items())}"
    if line.by:
        yield f"  {' '.join(line.by)}"
    elif requirement.reason:
        yield f"  {requirement.reason}: {requirement.why}"

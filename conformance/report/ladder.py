"""The ladder of a run's segments, and the page that explains a failure: text for a terminal.

Every segment stands there in the notation, with numbers relative to irs and iss, so that it can be pasted into a
case. Imports tcp, the catalogue, the Result and this room's text; does no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from conformance.catalogue.catalogue import Catalogue, UnknownRequirementError
from conformance.engine.result import Difference, Event, Finding, Result
from conformance.report.text import event_text, printable

_WIDEST = 2000
"""Characters of one line that the ladder shows; the report has them all."""
_ARROWS = {"sent": "--->", "probe": "-?->", "seen": "<---"}


def ladder(result: Result) -> str:
    """The trace as a ladder: time since the first event, step, direction, segment; the failing step marked with `>`.

    `--->` goes from the tester to the target, `<---` back, `-?->` is a probe for the state; calls and notes stand
    between bars. Every step is headed by its text and place.
    """
    return "\n".join(_ladder(result))


def _ladder(result: Result) -> Iterator[str]:
    failing = result.finding.step if result.finding is not None else None
    first = result.trace[0].time if result.trace else 0
    named = len({event.connection for event in result.trace if event.connection}) > 1
    yield f"  {'seconds':>11}  tester {'':<2}target"
    current: int | None = None
    reached = False
    for event in result.trace:
        if event.step != current and event.step >= 0:
            yield _heading(result, event.step, failing)
        current = event.step
        here = failing is not None and failing >= 0 and event.step == failing
        reached = reached or here
        yield _row(event, result, first, named, ">" if here else " ")
    if failing is not None and failing >= 0 and not reached:
        yield _heading(result, failing, failing)


def _heading(result: Result, step: int, failing: int | None) -> str:
    mark = ">" if step == failing else " "
    return f"{mark} {step_name(result, step)}"


def step_name(result: Result, step: int) -> str:
    """`step 3 send: RST seq=rcv.nxt (cases/close/reset.yaml:12)`; steps count from 1, the preamble's included."""
    if step < 0:
        return "outside the steps"
    text = f" {printable(result.steps[step])}" if step < len(result.steps) else ""
    place = result.places[step] if step < len(result.places) else None
    where = "" if place is None else f" ({printable(place.file)}:{place.line})"
    return f"step {step + 1}{text}{where}"


def _row(event: Event, result: Result, first: int, named: bool, mark: str) -> str:
    shown = event_text(event, result)
    connection = f"{printable(event.connection)}: " if named and event.connection else ""
    time = f"{(event.time - first) / 1e9:+.6f}"
    if shown.side is None:
        return _cut(f"{mark} {time:>11}  |  {event.kind}: {connection}{shown.notation}")
    return _cut(f"{mark} {time:>11}  {_ARROWS.get(event.kind, '----')} {connection}{shown}")


def _cut(line: str) -> str:
    return line if len(line) <= _WIDEST else f"{line[:_WIDEST]} ... ({len(line) - _WIDEST} more characters)"


def render_failure(result: Result, catalogue: Catalogue, rerun: str) -> str:
    """The page for one result that is not a pass: what was expected, what came, why it matters, how to run it again.

    `rerun` is the command that runs just this variation.
    """
    lines = [f"{result.verdict} {printable(result.id)}: {printable(result.title)}"]
    finding = result.finding
    if finding is None:
        lines.append(f"  {printable(result.reason)}")
        lines += _requirements(result.requirements, catalogue)
    else:
        lines += _finding(finding, result)
        lines += _requirements(finding.requirements or result.requirements, catalogue)
    for named in result.states:
        oracle = f"; the oracle says {printable(named.oracle)}" if named.oracle and named.oracle != named.state else ""
        other = " or ".join(named.possible) if named.possible and named.state not in named.possible else ""
        state = f"{other}, not {named.state}" if other else named.state
        lines.append(
            f"  state named in step {named.step + 1}: {printable(state)} ({printable(named.evidence)}){oracle}"
        )
    if result.trace:
        lines += ["", ladder(result)]
    lines += ["", "run just this case:", f"  {printable(rerun)}"]
    return "\n".join(lines)


def _finding(finding: Finding, result: Result) -> Iterator[str]:
    yield f"{printable(str(finding.place))}: {printable(finding.message)}"
    if finding.yaml:
        yield f"  {step_name_short(finding.step)} reads  {printable(finding.yaml.strip())}"
    if result.reason and result.reason != finding.message:
        yield f"  verdict   {printable(result.reason)}"
    if finding.expected:
        yield f"  expected  {printable(finding.expected)}"
    if finding.seen:
        seen = printable(finding.seen)
        yield f"  seen      {seen}"
        marks = _carets(seen, finding.differences)
        if marks:
            yield f"            {marks}"
    for difference in finding.differences:
        expected, seen = printable(difference.expected), printable(difference.seen)
        yield f"    {printable(difference.field)}: expected {expected or 'none'}, seen {seen or 'none'}"


def step_name_short(step: int) -> str:
    """`step 3`, or `the case` outside any step."""
    return f"step {step + 1}" if step >= 0 else "the case"


def _carets(line: str, differences: tuple[Difference, ...]) -> str:
    """A line of `^` below those parts of `line` that differ."""
    marks = [" "] * len(line)
    for difference in differences:
        for start, end in _spans(line, difference):
            marks[start:end] = "^" * (end - start)
    return "".join(marks).rstrip()


def _spans(line: str, difference: Difference) -> Iterator[tuple[int, int]]:
    name = difference.field
    if name == "flags":
        yield 0, len(line.split(" ", 1)[0])
        return
    found = re.search(rf"(?<!\S){re.escape(name)}=\S+", line) if name else None
    if found is None and name == "options":
        found = re.search(r"<[^>]*>", line)
    if found is None and name == "payload":
        found = re.search(r'(?<!\S)(?:\(|\d+\*"|"|0x).*$', line)
    if found is None and name:
        found = re.search(rf"(?<=[<\s]){re.escape(name)}(?:\s[^,>]*)?(?=[,>])", line)
    seen = printable(difference.seen)
    if found is not None:
        yield found.span()
    elif seen and seen in line:
        at = line.index(seen)
        yield at, at + len(seen)


def _requirements(ids: tuple[str, ...], catalogue: Catalogue) -> Iterator[str]:
    for id_ in ids:
        try:
            requirement = catalogue.get(id_)
        except UnknownRequirementError as error:
            yield f"  requirement {printable(str(error))}"
            continue
        yield f"  requirement {requirement.id} ({requirement.level}, {requirement.reference}):"
        yield f"    {requirement.summary}"
        for conflict in catalogue.conflicts_of(id_):
            yield f"    the RFCs disagree here: {conflict.summary}"

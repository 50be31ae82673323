"""A failing result for people without this tester: a bug report to paste, a script that needs nothing but scapy.

Imports the catalogue, tcp, the wire's codec, the Result and this room; jinja2 for the script.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from pprint import pformat
from typing import Any

from conformance.catalogue.catalogue import Catalogue
from conformance.engine.result import Event, Result
from conformance.report.baseline import kernel_of
from conformance.report.ladder import ladder, step_name
from conformance.report.text import FRAME_KINDS, event_text, printable
from conformance.tcp.segment import ACK, SYN, Segment
from conformance.wire.codec import ETHERNET, IP4_HEADER, IP6_HEADER, decode

_TEMPLATE = Path(__file__).with_name("replay.py.j2")


class ExportError(ValueError):
    """Why a result can't be said in that form, in a sentence."""


def bug_report(result: Result, header: Mapping[str, Any], catalogue: Catalogue, rerun: str | None) -> Iterator[str]:
    """A bug report in Markdown: what is required, what was seen, the ladder, and how to see it again."""
    finding = result.finding
    target = header["target"]
    broken = (finding.requirements if finding is not None else ()) or result.requirements
    what = finding.message if finding is not None else result.reason
    yield f"# {_line(result.title)}: {_line(what)}"
    yield ""
    stack = f"{_line(target.get('name') or 'a target')}, {_line(kernel_of(target))}"
    yield f"Stack: {stack}. Start state: {_line(result.start) or 'not said'}."
    for id_ in broken:
        yield ""
        if id_ in catalogue:
            requirement = catalogue.get(id_)
            yield f"**{requirement.reference}** ({requirement.level}, {requirement.id}): {requirement.summary}"
            for conflict in catalogue.conflicts_of(id_):
                yield f"The RFCs disagree here: {conflict.summary}"
        else:
            yield f"**{_line(id_)}**"
    yield ""
    yield from _fenced(_said(result))
    yield ""
    yield "## What happened"
    yield ""
    yield "`--->` is from the tester to the stack, `<---` back; numbers count from the first of each side (irs, iss)."
    yield ""
    yield from _fenced(ladder(result).splitlines())
    yield ""
    yield "## To see it again"
    yield ""
    yield from _fenced([printable(rerun or f"conformance run '{result.file}'")])
    yield ""
    yield f"Found by tcp-conformance {_line(header.get('tool'))}; suite `{_line(header.get('case_set'))}`."


def _said(result: Result) -> Iterator[str]:
    finding = result.finding
    if finding is None:
        yield f"{result.verdict}: {printable(result.reason)}"
        return
    yield f"{step_name(result, finding.step)}"
    if finding.expected:
        yield f"expected  {printable(finding.expected)}"
    if finding.seen:
        yield f"seen      {printable(finding.seen)}"
    for one in finding.differences:
        expected, seen = printable(one.expected) or "none", printable(one.seen) or "none"
        yield f"  {printable(one.field)}: expected {expected}, seen {seen}"


def _line(text: object) -> str:
    """A text outside a fence: no markup of it is taken for ours."""
    return printable(str(text)).replace("<", "&lt;").replace("`", "'")


def _fenced(lines: Iterator[str] | list[str]) -> Iterator[str]:
    """Lines in a fence that none of them closes."""
    found = list(lines)
    fence = "```"
    while any(fence in line for line in found):
        fence += "`"
    yield fence
    yield from found
    yield fence


def scapy_script(result: Result, header: Mapping[str, Any]) -> str:
    """A Python script that sends what the tester sent and compares what comes, with scapy alone.

    Raises ExportError for what it can't do again: frames that were not recorded, or that are no TCP segments.
    """
    from jinja2 import Environment, StrictUndefined

    steps: list[tuple[object, ...]] = []
    first: dict[str, list[int | None]] = {name: [*isns] for name, isns in result.isns.items()}
    started = result.trace[0].time if result.trace else 0
    for event in result.trace:
        at = round((event.time - started) / 1e9, 6)
        if event.kind == "call":
            steps.append(("do", at, printable(str(event.data))))
        elif event.kind in FRAME_KINDS:
            steps.append(_replayed(event, result, first, at))
    if not any(step[0] == "send" for step in steps):
        raise ExportError(f"{printable(result.id)}: the tester sent nothing there that could be sent again")
    target = header["target"]
    about = [
        f"{result.verdict} {printable(result.id)}: {printable(result.title)}",
        f"Seen on {printable(str(target.get('name')))} ({printable(kernel_of(target))}).",
        *_said(result),
        *(f"Breaks {printable(id_)}." for id_ in (result.finding.requirements if result.finding else ())),
    ]
    ports = {name: pair[3] for name, pair in result.pairs.items()}
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False).from_string(  # noqa: S701
        _TEMPLATE.read_text(encoding="utf-8")
    )
    return template.render(about=ascii("\n".join(about)), steps=_literal(steps), ports=_literal(ports))


def _literal(value: object) -> str:
    """A value as Python source of ASCII, which nothing in it can leave."""
    return pformat(value, width=118).encode("ascii", "backslashreplace").decode()


def _replayed(event: Event, result: Result, first: dict[str, list[int | None]], at: float) -> tuple[object, ...]:
    shown = event_text(event, result)
    if not isinstance(event.data, bytes):
        raise ExportError(f"{printable(result.id)}: its frames were not recorded: only those of what is not passed are")
    segment = decode(event.data)
    if not isinstance(segment, Segment) or event.connection not in result.pairs:
        raise ExportError(f"{printable(result.id)}: the script can't say {printable(shown.notation)}")
    four = event.data[12:14] == b"\x08\x00"
    start = ETHERNET + (IP4_HEADER if four else IP6_HEADER)
    length = int.from_bytes(event.data[16:18] if four else event.data[18:20], "big")
    end = (ETHERNET if four else start) + length  # a short frame is padded
    isns = first.setdefault(event.connection, [None, None])
    ours = event.kind != "seen"
    if isns[ours] is None and segment.flags & SYN:
        isns[ours] = segment.seq
    own, other = isns[ours] or 0, isns[not ours] or 0
    ack = (segment.ack - other) & 0xFFFFFFFF if segment.flags & ACK or segment.ack else None
    octets = event.data[start:end].hex()
    return ("send" if ours else "seen", at, str(shown), event.connection, octets, (segment.seq - own) & 0xFFFFFFFF, ack)

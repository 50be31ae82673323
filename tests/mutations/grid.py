"""Which flags meet which state: the tables at the end of docs/coverage.md, by `cd tests && python -m mutations.grid`.

Counted is the first segment that a variation sends after its preamble, in the state in which the case starts.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from conformance.cases import model as m
from conformance.catalogue.catalogue import states
from conformance.tcp import segment as s
from conformance.tcp.notation import SegmentLine
from mutations import places
from mutations.table import variations

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
HEAD = "## Flags by state\n"
KINDS = ("SYN", "SYN+ACK", "SYN+FIN", "RST", "ACK", "FIN", "data", "URG", "none")


def kind(line: SegmentLine) -> str:
    """The column of a segment: the first that fits in the order in which RFC 9293 3.10.7.4 looks at it."""
    flags = line.flags
    if flags & s.RST:
        return "RST"
    if flags & s.SYN:
        return "SYN+FIN" if flags & s.FIN else "SYN+ACK" if flags & s.ACK else "SYN"
    if flags & s.FIN:
        return "FIN"
    if flags & s.URG:
        return "URG"
    if not flags & s.ACK:
        return "none"
    return "data" if line.payload else "ACK"


def count() -> Counter[tuple[str, str]]:
    """(state, column) -> variations."""
    found: Counter[tuple[str, str]] = Counter()
    for variation in variations():
        steps, lead = variation.build()
        first = next((step for step in steps[lead:] if isinstance(step, m.Send)), None)
        if first is not None and isinstance(first.line, SegmentLine):
            found[str(variation.case.start), kind(first.line)] += 1
    return found


def table() -> str:
    """The section of the page."""
    found = count()
    lines = [
        "",
        "Variations by the state in which they start and the first segment that they send there, of both IP versions.",
        "None may be empty.",
        "",
        f"| state | {' | '.join(KINDS)} |",
        "|---" * (1 + len(KINDS)) + "|",
    ]
    for state in (entry["state"] for entry in states()["states"]):
        lines.append(f"| {state} | {' | '.join(str(found[state, each] or '') for each in KINDS)} |")
    return "\n".join([*lines, *_places()]) + "\n"


def _places() -> list[str]:
    by_seq, by_ack = places.count()
    lines = [
        "",
        "By where in the window a segment stands that is sent in a known state, and by what it acknowledges; `?` is a",
        "number of which that can't be told, as of an absolute one. In SYN-RECEIVED the ACK of what lies beyond a gap",
        "may count at once or be held (RFC 9293 section 3.10.7.4, SHLD-31), so nothing can be asked of it. What an old",
        "ACK does beside a FIN or text is judged by `segment/ack-old-*`, `ack-too-old` and `ack-duplicate*`.",
    ]
    for found, columns in ((by_seq, places.PLACES), (by_ack, places.ACKS)):
        lines += ["", f"| state | segment | {' | '.join(columns)} | ? |", "|---" * (3 + len(columns)) + "|"]
        for state in places.STATES:
            for kind in places.KINDS:
                cells = [str(found[state, kind, column] or "") for column in (*columns, "?")]
                if any(cells):
                    lines.append(f"| {state} | {kind} | {' | '.join(cells)} |")
    return lines


def page() -> str:
    """The page with its table made anew."""
    return PAGE.read_text().partition(HEAD)[0] + HEAD + table()


if __name__ == "__main__":
    PAGE.write_text(page())

"""Where in the window a segment stands, and what it acknowledges, by state: tables of docs/coverage.md (`grid.py`).

Counted is every segment that a variation sends in a known state: the one in which it starts, as long as nothing was
sent, and from then on what its latest `state` step found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from conformance.cases import model as m
from conformance.tcp import segment as s
from conformance.tcp.notation import SegmentLine
from mutations.table import variations

STATES = ("SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT")
KINDS = ("text", "FIN", "neither", "RST")
PLACES = ("below", "left-1", "left", "middle", "right-1", "right", "far")
ACKS = ("too old", "old", "current", "beyond")
_FAR = 1 << 16
"""Above RCV.NXT by more is beyond every window of the suite's targets that is not scaled."""


def place(line: SegmentLine, state: str) -> str | None:
    """Where its sequence number stands: at an edge of the window or beside one; None where that can't be told."""
    said = line.field("seq")
    text = "rcv.nxt" if said is None else str(said)
    if text.startswith("rcv.nxt+rcv.wnd"):
        rest = text.removeprefix("rcv.nxt+rcv.wnd")
        return {"-1": "right-1", "": "right"}.get(rest, "far")
    text = re.sub(r"^peer_fin\.seq", "rcv.nxt-1", text)
    if state in ("SYN-RECEIVED", "ESTABLISHED"):
        text = re.sub(r"^irs", "rcv.nxt-1", text)
    elif text.startswith("irs-") or text == "irs":
        return "below"
    if not re.fullmatch(r"rcv\.nxt([+-]\d+)*", text):
        return None
    distance = sum(map(int, re.findall(r"[+-]\d+", text)))
    if distance < 0:
        return "left-1" if distance == -1 else "below"
    return "left" if not distance else "middle" if distance < _FAR else "far"


def acknowledges(line: SegmentLine, state: str) -> str | None:
    """Where its acknowledgment number stands among those sent; None without one, or where that can't be told."""
    if not line.flags & s.ACK:
        return None
    said = line.field("ack")
    text = "snd.nxt" if said is None else str(said)
    text = re.sub(r"^(synack|fin)\.end", "snd.nxt", text)
    found = re.fullmatch(r"(snd\.una|snd\.nxt|fin\.seq)([+-]\d+)?", text)
    if found is None:
        return None
    distance = int(found[2] or 0)
    if found[1] == "fin.seq" and state in ("FIN-WAIT-2", "TIME-WAIT"):
        distance -= 1  # its FIN is acknowledged there
    if distance > 0:
        return "beyond"
    return "current" if not distance else "too old" if distance < -65_535 else "old"


def kind(line: SegmentLine) -> str | None:
    """Its row; None for a SYN, which the window judges by a rule of its own."""
    if line.flags & s.SYN:
        return None
    if line.flags & s.RST:
        return "RST"
    return "text" if line.payload else "FIN" if line.flags & s.FIN else "neither"


def count() -> tuple[Counter[tuple[str, str, str]], Counter[tuple[str, str, str]]]:
    """(state, row, column) -> variations: by sequence number, and by acknowledgment number."""
    by_seq: Counter[tuple[str, str, str]] = Counter()
    by_ack: Counter[tuple[str, str, str]] = Counter()
    for variation in variations():
        for state, line in _sent(variation):
            row = kind(line)
            if row is None or state not in STATES:
                continue
            by_seq[state, row, place(line, state) or "?"] += 1
            if row != "RST":
                by_ack[state, row, acknowledges(line, state) or "?"] += 1
    return by_seq, by_ack


def _sent(variation: m.Variation) -> Iterator[tuple[str, SegmentLine]]:
    steps, lead = variation.build()
    state = str(variation.case.start)
    for step in steps[lead:]:
        if isinstance(step, m.StateIs):
            state = str(step.state)
        elif isinstance(step, m.Send):
            if isinstance(step.line, SegmentLine) and state:
                yield state, step.line
            state = ""
        elif isinstance(step, m.Call):
            state = ""

"""Draws docs/states.md from the event table: `python -m conformance.tcp.diagram > docs/states.md`.

An arrow stands for what a well-formed segment, a call or a timeout does in a state. Imports the table only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product

from conformance.tcp import states as st
from conformance.tcp.segment import ACK, FIN, RST, SYN
from conformance.tcp.states import Arrival, Reply, State

_HEAD = """# The state machine

Drawn by `python -m conformance.tcp.diagram` from the event table in `conformance/tcp/states.py`; do not edit.
An arrow reads *event / answer*; a segment's event names the row of the table. What leaves the state as it is has no
arrow: the tables below have it all.

```mermaid
stateDiagram-v2
"""
_FLAGS = (SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK)


def _arrivals() -> Iterator[Arrival]:
    """Segments that a peer sends: the plain flags, at every place that a check looks at."""
    for flags, exact, ack, acks_all in product(_FLAGS, (True, False), ("dup", "ok", "beyond"), (False, True)):
        kind = ack if flags & ACK else "none"
        if acks_all and kind != "ok":
            continue
        yield Arrival(flags, True, exact, kind, acks_all, False, True, opens_anew=False)
    yield Arrival(
        SYN, seq_ok=False, seq_exact=False, ack="none", acks_all=False, text=False, in_order=False, opens_anew=True
    )


def moves() -> dict[tuple[State, State], list[str]]:
    """(from, to) -> what leads there, as `event / answer`, segments first."""
    found: dict[tuple[State, State], list[str]] = {}
    for state, arrival in product(State, _arrivals()):
        outcome = st.arrive(state, arrival)[0]
        if outcome.to is state:
            continue
        rows = [row for row in outcome.rows if row.to is not None]
        events = " + ".join(row.on for row in rows)
        _add(found, state, outcome.to, events, "" if outcome.reply is Reply.SILENCE else outcome.reply.value.split()[0])
    for row in st.OTHER_ROWS:
        for state in sorted(row.states, key=list(State).index):
            _add(found, state, row.to, row.on, row.action)
    return found


def _add(found: dict[tuple[State, State], list[str]], origin: State, to: State, event: str, action: str) -> None:
    label = f"{event} / {action}" if action else event
    labels = found.setdefault((origin, to), [])
    if label not in labels:
        labels.append(label)


def _name(state: State) -> str:
    return state.value.replace("-", "_")


def _mermaid() -> Iterator[str]:
    for state in State:
        yield f'    state "{state}" as {_name(state)}'
    for (origin, to), labels in moves().items():
        yield f"    {_name(origin)} --> {_name(to)}: {'<br/>'.join(label.replace(':', '') for label in labels)}"


def _tables() -> Iterator[str]:
    for check in dict.fromkeys(row.check for row in st.SEGMENT_ROWS):
        yield f"\n## {check if check in map(str, State) else f'Check: {check}'}\n"
        yield "| state | segment | answer | next state | known stacks also | RFC 9293 |"
        yield "|---|---|---|---|---|---|"
        for row in st.SEGMENT_ROWS:
            if row.check == check:
                cells = (_states(row.states), row.on, _answer(row.reply), _next(row), _also(row), row.source)
                yield f"| {' | '.join(cells)} |"
    yield "\n## Calls, timeouts, ICMP\n"
    yield "| state | event | action | next state | RFC 9293 |"
    yield "|---|---|---|---|---|"
    for other in st.OTHER_ROWS:
        yield f"| {_states(other.states)} | {other.on} | {other.action} | {other.to} | {other.source} |"


def _states(states: frozenset[State]) -> str:
    return ", ".join(state for state in State if state in states)


def _answer(reply: Reply) -> str:
    return "" if reply is Reply.SILENCE else f"`{reply.value}`"


def _next(row: st.Row) -> str:
    return (row.to.value if row.to is not None else "") + ("" if row.ends else " (next check)")


def _also(row: st.Row) -> str:
    return "; ".join((_answer(reply) or "nothing") + (f", {to}" if to is not None else "") for reply, to in row.also)


def document() -> str:
    """The whole of docs/states.md."""
    return _HEAD + "\n".join(_mermaid()) + "\n```\n" + "\n".join(_tables()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())

"""Temporal properties of RFC 9293 as bug automata: small machines that read a model's inputs and outputs, and stop in
`BUG` when what must never happen has happened. A model keeps a property when no word leads its automaton there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from conformance.cases.model import Call, Send
from conformance.learn.alphabet import Alphabet, Word
from conformance.learn.model import Model
from conformance.learn.naming import outcomes_of, segments_of
from conformance.tcp.lines import SegmentLine
from conformance.tcp.segment import ACK, FIN, FLAG_BITS, RST, SYN

BUG = "bug"


@dataclass(frozen=True, slots=True)
class Happening:
    """One input and what it drew, as the automata read it."""

    sent: int
    """Flags of the segment that was sent, -1 for a call."""
    exact: bool
    """It is in order: nothing is said of its sequence number."""
    text: bool
    verb: str
    succeeded: bool
    data: bool
    """The call returned data."""
    end: bool
    """The call returned the end of file."""
    replies: tuple[tuple[int, bool], ...]
    """Flags of each segment that came, and whether it has text."""

    def came(self, flag: int) -> bool:
        """A segment with this flag came."""
        return any(flags & flag for flags, _ in self.replies)

    @property
    def opened(self) -> bool:
        """An active open: another connection begins."""
        return self.verb == "connect" and self.came(SYN)


Move = Callable[[str, Happening], str]


@dataclass(frozen=True, slots=True)
class Property:
    """`move` leads from one state of the automaton to the next, beginning with `start`.

    Where a word begins in a connection that the application has accepted, it begins with `opened`, if that is another.
    """

    name: str
    title: str
    requirement: str
    move: Move
    start: str = "start"
    opened: str = "start"


def _bare(happening: Happening) -> bool:
    return any(flags == ACK and not text for flags, text in happening.replies)


def _early_data(state: str, h: Happening) -> str:
    if h.opened:
        return "start"
    if h.data and state != "done":
        return BUG
    return "done" if (h.sent >= 0 and h.sent & ACK and not h.sent & RST) or state == "done" else state


def _reset_answered(state: str, h: Happening) -> str:
    return BUG if h.sent >= 0 and h.sent & RST and not h.sent & SYN and h.came(RST) else state


def _after_time_wait(state: str, h: Happening) -> str:
    """Own FIN sent, acknowledged, the peer's FIN acknowledged: nothing but ACK (or a new incarnation, or a RST)."""
    if h.opened:
        return "start"
    if state == "over":
        return BUG if any((text or flags & FIN) for flags, text in h.replies) else state
    if h.sent >= 0 and h.sent & RST:
        return "start"
    if h.came(FIN):
        return "fin sent"
    if state == "fin sent" and h.sent == FIN | ACK and h.exact and _bare(h):
        return "over"
    return state


def _second_fin(state: str, h: Happening) -> str:
    """Text after the own FIN."""
    if h.came(SYN) or (h.sent >= 0 and h.sent & SYN):
        return "start"
    if state == "fin sent" and any(text for _, text in h.replies):
        return BUG
    return "fin sent" if h.came(FIN) or state == "fin sent" else state


def _end_before_fin(state: str, h: Happening) -> str:
    if h.opened:
        return "start"
    if h.end and state == "start":
        return BUG
    return "fin" if h.came(RST) or (h.sent >= 0 and h.sent & (FIN | RST)) else state


def _data_after_end(state: str, h: Happening) -> str:
    if h.opened or (h.verb == "accept" and h.succeeded):
        return "start"
    if h.data and state == "ended":
        return BUG
    return "ended" if h.end else state


def _syn_twice(state: str, h: Happening) -> str:
    """A SYN,ACK answers a SYN, a SYN-SENT's crossing, or repeats itself: never in a connection that carries text."""
    if h.opened or (h.sent >= 0 and h.sent & RST):
        return "start"
    if state == "open" and h.came(SYN) and not (h.sent >= 0 and h.sent & SYN):
        return BUG
    return "open" if h.data or state == "open" else state


def _silent_ack_of_listen(state: str, h: Happening) -> str:
    """In LISTEN an ACK draws a RST (RFC 9293 section 3.10.7.2)."""
    if state != "start":
        return state
    if h.sent == ACK and not h.text and not h.came(RST):
        return BUG
    return "moved" if h.came(SYN) or h.verb in ("close", "accept", "connect") else state


_HANDSHAKE, _CLOSING = "RFC9293-3.5-FIG6-3WHS", "RFC9293-3.6-CLOSE-RELIABLE"
_TIME_WAIT = "RFC9293-3.10.7.4-TIME-WAIT-FIN"

PROPERTIES: tuple[Property, ...] = (
    Property(
        "no-early-data", "no data is delivered before the handshake is done", _HANDSHAKE, _early_data, opened="done"
    ),
    Property("no-rst-to-rst", "a RST is never answered by a RST", "RFC9293-3.5.2-NO-RST-TO-RST", _reset_answered),
    Property("time-wait-acks", "in TIME-WAIT nothing but ACK is sent", _TIME_WAIT, _after_time_wait),
    Property("nothing-after-fin", "no text follows the own FIN", _CLOSING, _second_fin),
    Property("no-early-end", "the application sees no end before a FIN or RST", _CLOSING, _end_before_fin),
    Property("end-is-final", "no data is delivered after the end", _CLOSING, _data_after_end),
    Property("one-handshake", "no SYN is sent in a connection that carries text", _HANDSHAKE, _syn_twice),
    Property(
        "listen-resets",
        "a listener answers an ACK by a RST",
        "RFC9293-3.10.7.2-ACK",
        _silent_ack_of_listen,
        opened="moved",
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a property; `word` is a shortest one that breaks it, None when the model keeps it."""

    property: Property
    word: Word | None


def readings(alphabet: Alphabet) -> Callable[[str, str], Happening]:
    """A function that reads an input and its output."""
    known: dict[tuple[str, str], Happening] = {}

    def read(letter: str, output: str) -> Happening:
        if (letter, output) not in known:
            known[letter, output] = _read(alphabet.inputs, letter, output)
        return known[letter, output]

    return read


def _read(inputs: Mapping[str, Send | Call], letter: str, output: str) -> Happening:
    step = inputs[letter]
    line = step.line if isinstance(step, Send) and isinstance(step.line, SegmentLine) else None
    outcomes = outcomes_of(output)
    return Happening(
        sent=line.flags & ~8 if line is not None else -1,
        exact=line is not None and line.field("seq") is None,
        text=line is not None and bool(line.payload),
        verb=step.verb if isinstance(step, Call) else "",
        succeeded=any(" returns " in outcome for outcome in outcomes),
        data="recv returns data" in outcomes,
        end="recv returns eof" in outcomes,
        replies=tuple((_flags(text), text.endswith(")")) for text in segments_of(output)),
    )


def _flags(text: str) -> int:
    return sum(FLAG_BITS[name] for name in text.split(" ", 1)[0].split(",") if name in FLAG_BITS)


def verify(model: Model, alphabet: Alphabet, properties: tuple[Property, ...] = PROPERTIES) -> list[Verdict]:
    """Each property's verdict: the model and the automaton walked side by side, all of it."""
    read = readings(alphabet)
    return [Verdict(one, _walk(model, one, read, one.opened if alphabet.opened else one.start)) for one in properties]


def _walk(model: Model, one: Property, read: Callable[[str, str], Happening], start: str) -> Word | None:
    seen: dict[tuple[int, str], Word] = {(0, start): ()}
    queue = deque(seen)
    while queue:
        state, mark = at = queue.popleft()
        for letter in model.letters:
            output, to = model.edges[state][letter]
            after = one.move(mark, read(letter, output))
            if after == BUG:
                return (*seen[at], letter)
            if (to, after) not in seen:
                seen[to, after] = (*seen[at], letter)
                queue.append((to, after))
    return None

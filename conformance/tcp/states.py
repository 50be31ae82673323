"""The eleven states and the event table: all that RFC 9293 says about state x event -> reply, next state.

Everything that affects the state machine stands here, once. Section 3.10.7.4 is a sequence of checks; so is the table:
for each check in turn the first row for the state whose condition holds applies, and either ends the processing or
lets the next check look at the segment too. Inference predicts replies by `arrive`; the diagram in docs/states.md is
drawn from the same rows.

`also` names what known stacks do instead; inference must know it so as not to be fooled, judgement never does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum

from conformance.tcp import segment as s
from conformance.tcp.sequence import acceptable, add, at_or_before, before


class State(StrEnum):
    """The eleven states (RFC 9293 section 3.3.2); `str` is the RFC's spelling."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"


class Reply(Enum):
    """What the target sends in answer; the numbers are those of RFC 9293 section 3.10.7."""

    SILENCE = "nothing"
    ACK = "ACK seq=snd.nxt ack=rcv.nxt"
    SYN_ACK = "SYN,ACK ack=seg.end"
    RST_OF_ACK = "RST seq=seg.ack"
    RST_ACK = "RST,ACK seq=0 ack=seg.end"


CLOSED, LISTEN, SYN_SENT, SYN_RECEIVED = State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED
ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2 = State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2
CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT = State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT

NO_TCB = frozenset({CLOSED, LISTEN})
OWN_FIN_SENT = frozenset({FIN_WAIT_1, FIN_WAIT_2, CLOSING, LAST_ACK, TIME_WAIT})
PEER_FIN_TAKEN = frozenset({CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT})
SYNCHRONIZED = frozenset({ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT})
ABORTED_QUIETLY = frozenset({CLOSING, LAST_ACK, TIME_WAIT})
"""Where an ABORT sends no RST (RFC 9293 section 3.10.5): each side has sent its FIN."""
REPEATS = {
    SYN_SENT: s.SYN,
    SYN_RECEIVED: s.SYN | s.ACK,
    FIN_WAIT_1: s.FIN,
    CLOSING: s.FIN,
    LAST_ACK: s.FIN,
}
"""What a state with something unacknowledged repeats by itself (RFC 6298 section 5)."""


@dataclass(frozen=True, slots=True)
class View:
    """The variables that the checks read (RFC 9293 section 3.3.1)."""

    snd_una: int
    snd_nxt: int
    rcv_nxt: int
    rcv_wnd: int
    iss: int
    max_wnd: int = 65535
    """The largest window that the target was ever offered (RFC 5961 section 5.2)."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A segment as the checks see it."""

    flags: int
    seq_ok: bool
    seq_exact: bool
    ack: str
    """none, old (too old even for a duplicate), dup, ok (acknowledges something new), beyond."""
    acks_all: bool
    """It acknowledges all that was sent, so also our FIN where one was sent."""
    text: bool
    in_order: bool
    opens_anew: bool
    """A SYN whose number lies beyond the window: a new incarnation (RFC 9293 3.6.1 MAY-2)."""


def classify(segment: s.Segment, view: View) -> Arrival:
    """`segment`, which the target receives, against the target's variables."""
    if not segment.flags & s.ACK:
        ack = "none"
    elif before(view.snd_nxt, segment.ack):
        ack = "beyond"
    elif before(view.snd_una, segment.ack):
        ack = "ok"
    else:
        ack = "old" if before(segment.ack, add(view.snd_una, -view.max_wnd)) else "dup"
    ok = acceptable(segment.seq, segment.length, view.rcv_nxt, view.rcv_wnd)
    return Arrival(
        flags=segment.flags,
        seq_ok=ok,
        seq_exact=segment.seq == view.rcv_nxt,
        ack=ack,
        acks_all=ack != "none" and segment.ack == view.snd_nxt,
        text=bool(segment.payload),
        in_order=at_or_before(segment.seq, view.rcv_nxt),
        opens_anew=not before(segment.seq, add(view.rcv_nxt, view.rcv_wnd)),
    )


Condition = Callable[[Arrival], bool]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the event table. `to` None leaves the state; `ends` says that no later check sees the segment."""

    check: str
    states: frozenset[State]
    on: str
    when: Condition
    reply: Reply
    to: State | None = None
    ends: bool = True
    also: tuple[tuple[Reply, State | None], ...] = ()
    source: str = "3.10.7.4"


def _flag(bit: int) -> Condition:
    return lambda a: bool(a.flags & bit)


def _rows(check: str, states: Iterable[State], *rows: tuple[object, ...], source: str = "3.10.7.4") -> list[Row]:
    held = frozenset(states)
    return [Row(check, held, *row, source=source) for row in rows]  # type: ignore[arg-type, misc]


_SILENT, _ACK, _SYNACK, _RST, _RSTACK = Reply.SILENCE, Reply.ACK, Reply.SYN_ACK, Reply.RST_OF_ACK, Reply.RST_ACK
_LATE = (TIME_WAIT,)
_TAKES_TEXT = (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2)

SEGMENT_ROWS: tuple[Row, ...] = (
    *_rows(
        "CLOSED",
        [CLOSED],
        ("RST", _flag(s.RST), _SILENT),
        ("ACK", _flag(s.ACK), _RST),
        ("no ACK", lambda a: True, _RSTACK),
        source="3.10.7.1",
    ),
    *_rows(
        "LISTEN",
        [LISTEN],
        ("RST", _flag(s.RST), _SILENT),
        ("ACK", _flag(s.ACK), _RST),
        ("SYN", _flag(s.SYN), _SYNACK, SYN_RECEIVED),
        ("neither SYN nor ACK", lambda a: True, _SILENT, None, True, ((_RSTACK, None),)),
        source="3.10.7.2",
    ),
    *_rows(
        "SYN-SENT",
        [SYN_SENT],
        ("RST, ACK not acceptable", lambda a: a.ack not in ("none", "ok") and bool(a.flags & s.RST), _SILENT),
        ("ACK not acceptable", lambda a: a.ack not in ("none", "ok"), _RST),
        ("RST, ACK acceptable", lambda a: bool(a.flags & s.RST) and a.ack == "ok", _SILENT, CLOSED),
        ("RST without ACK", _flag(s.RST), _SILENT),
        ("SYN,ACK", lambda a: bool(a.flags & s.SYN) and a.ack == "ok", _ACK, ESTABLISHED),
        ("SYN", _flag(s.SYN), _SYNACK, SYN_RECEIVED),
        ("neither SYN nor RST", lambda a: True, _SILENT, None, True, ((_RST, None),)),
        source="3.10.7.3",
    ),
    # First: the sequence number. Stacks look at SYN-RECEIVED's ACK first, and answer TIME-WAIT with more or with less.
    *_rows(
        "sequence",
        [SYN_RECEIVED],
        ("RST, not acceptable", lambda a: not a.seq_ok and bool(a.flags & s.RST), _SILENT),
        (
            "not acceptable, ACK of our SYN",
            lambda a: not a.seq_ok and a.ack == "ok",
            _ACK,
            None,
            True,
            ((_SYNACK, None), (_SILENT, None)),
        ),
        ("not acceptable", lambda a: not a.seq_ok, _ACK, None, True, ((_RST, None), (_SYNACK, None), (_SILENT, None))),
    ),
    *_rows(
        "sequence",
        _LATE,
        ("RST, not acceptable", lambda a: not a.seq_ok and bool(a.flags & s.RST), _SILENT),
        (
            "SYN of a new incarnation",
            lambda a: a.opens_anew and bool(a.flags & s.SYN) and not a.flags & s.ACK,
            _SYNACK,
            SYN_RECEIVED,
            True,
            ((_ACK, None), (_RST, None), (_RSTACK, None)),
        ),
        ("not acceptable", lambda a: not a.seq_ok, _ACK, None, True, ((_SILENT, None),)),
    ),
    *_rows(
        "sequence",
        SYNCHRONIZED - {TIME_WAIT},
        ("RST, not acceptable", lambda a: not a.seq_ok and bool(a.flags & s.RST), _SILENT),
        ("not acceptable", lambda a: not a.seq_ok, _ACK),
    ),
    # Second: RST (with RFC 5961 section 3.2).
    *_rows("RST", [SYN_RECEIVED], ("RST, exact", lambda a: bool(a.flags & s.RST) and a.seq_exact, _SILENT, LISTEN)),
    *_rows(
        "RST",
        SYNCHRONIZED,
        ("RST, exact", lambda a: bool(a.flags & s.RST) and a.seq_exact, _SILENT, CLOSED, True, ((_SILENT, None),)),
    ),
    *_rows(
        "RST",
        SYNCHRONIZED | {SYN_RECEIVED},
        ("RST, in the window", _flag(s.RST), _ACK, None, True, ((_SILENT, CLOSED), (_SILENT, None))),
    ),
    # Fourth: SYN (with RFC 5961 section 4.2; TIME-WAIT by 3.6.1 MAY-2).
    *_rows(
        "SYN",
        [SYN_RECEIVED],
        ("SYN, in the window", _flag(s.SYN), _SILENT, LISTEN, True, ((_ACK, None), (_RST, CLOSED))),
    ),
    *_rows("SYN", SYNCHRONIZED, ("SYN", _flag(s.SYN), _ACK, None, True, ((_RST, CLOSED), (_SYNACK, SYN_RECEIVED)))),
    # Fifth: ACK.
    *_rows("ACK", SYNCHRONIZED | {SYN_RECEIVED}, ("no ACK", lambda a: a.ack == "none", _SILENT)),
    *_rows(
        "ACK",
        [SYN_RECEIVED],
        ("ACK of our SYN", lambda a: a.ack == "ok", _SILENT, ESTABLISHED, False),
        ("ACK of something else", lambda a: True, _RST),
    ),
    *_rows(
        "ACK", _LATE, ("ACK beyond what was sent", lambda a: a.ack == "beyond", _ACK, None, True, ((_SILENT, None),))
    ),
    *_rows(
        "ACK",
        SYNCHRONIZED - {TIME_WAIT},
        ("ACK beyond what was sent", lambda a: a.ack == "beyond", _ACK, None, True, ((_SILENT, None),)),
        ("ACK too old", lambda a: a.ack == "old", _ACK, None, True, ((_SILENT, None),)),
    ),
    *_rows("ACK", [FIN_WAIT_1], ("ACK of our FIN", lambda a: a.acks_all, _SILENT, FIN_WAIT_2, False)),
    *_rows("ACK", [CLOSING], ("ACK of our FIN", lambda a: a.acks_all, _SILENT, TIME_WAIT)),
    *_rows("ACK", [LAST_ACK], ("ACK of our FIN", lambda a: a.acks_all, _SILENT, CLOSED)),
    # Seventh: text.
    *_rows(
        "text",
        _TAKES_TEXT,
        ("text", lambda a: a.text, _ACK, None, False, ((_RST, CLOSED),)),
        source="3.10.7.4; 3.6.1",
    ),
    # Eighth: FIN.
    *_rows("FIN", [ESTABLISHED], ("FIN", lambda a: bool(a.flags & s.FIN) and a.in_order, _ACK, CLOSE_WAIT)),
    *_rows("FIN", [FIN_WAIT_1], ("FIN", lambda a: bool(a.flags & s.FIN) and a.in_order, _ACK, CLOSING)),
    *_rows("FIN", [FIN_WAIT_2], ("FIN", lambda a: bool(a.flags & s.FIN) and a.in_order, _ACK, TIME_WAIT)),
    *_rows("FIN", [*_TAKES_TEXT], ("FIN, out of order", _flag(s.FIN), _ACK)),
    *_rows(
        "FIN",
        [CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT],
        ("FIN again", _flag(s.FIN), _ACK, None, True, ((_SILENT, None),)),
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a target in one state may do with one segment. `foretold` is false for what only known stacks do."""

    reply: Reply
    to: State
    rows: tuple[Row, ...]
    foretold: bool = True


_CHECKS = ("sequence", "RST", "SYN", "ACK", "text", "FIN")


def _first(check: str, state: State, arrival: Arrival) -> Row | None:
    for row in _BY_CHECK.get((check, state), ()):
        if row.when(arrival):
            return row
    return None


_BY_CHECK: dict[tuple[str, State], list[Row]] = {}
for _row in SEGMENT_ROWS:
    for _state in _row.states:
        _BY_CHECK.setdefault((_row.check, _state), []).append(_row)


def arrive(state: State, arrival: Arrival) -> list[Outcome]:
    """The outcomes of SEGMENT ARRIVES (RFC 9293 section 3.10.7), the foretold one first."""
    checks = (str(state),) if state in (CLOSED, LISTEN, SYN_SENT) else _CHECKS
    reply, now, used = Reply.SILENCE, state, []
    others: list[Outcome] = []
    for check in checks:
        row = _first(check, now, arrival)
        if row is None:
            continue
        used.append(row)
        if row.reply is not Reply.SILENCE:
            reply = row.reply
        for other, to in row.also:
            others.append(Outcome(other, to or now, (row,), foretold=False))
        now = row.to or now
        if row.ends:
            break
    return [Outcome(reply, now, tuple(used)), *others]


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition that no segment causes: a user call, a timeout, an ICMP message."""

    id: str
    states: frozenset[State]
    kind: str
    on: str
    action: str
    to: State
    source: str


def _t(id_: str, states: Iterable[State], kind: str, on: str, action: str, to: State, source: str) -> Transition:
    return Transition(id_, frozenset(states), kind, on, action, to, source)


OTHER_ROWS: tuple[Transition, ...] = (
    _t("T01", [CLOSED], "call", "passive OPEN", "create TCB", LISTEN, "3.10.1"),
    _t("T02", [CLOSED], "call", "active OPEN", "send SYN", SYN_SENT, "3.10.1"),
    _t("T03", [LISTEN], "call", "CLOSE", "delete TCB", CLOSED, "3.10.4"),
    _t("T05", [LISTEN], "call", "SEND", "send SYN", SYN_SENT, "3.10.2"),
    _t("T06", [SYN_SENT], "call", "CLOSE", "delete TCB", CLOSED, "3.10.4"),
    _t("T10", [SYN_RECEIVED], "call", "CLOSE", "send FIN", FIN_WAIT_1, "3.10.4"),
    _t("T12", [ESTABLISHED], "call", "CLOSE", "send FIN", FIN_WAIT_1, "3.10.4"),
    _t("T18", [CLOSE_WAIT], "call", "CLOSE", "send FIN", LAST_ACK, "3.10.4"),
    _t("X04", [SYN_SENT], "call", "ABORT", "delete TCB", CLOSED, "3.10.5"),
    _t("N3a", (SYNCHRONIZED | {SYN_RECEIVED}) - ABORTED_QUIETLY, "call", "ABORT", "send RST", CLOSED, "3.10.5"),
    _t("X24", ABORTED_QUIETLY, "call", "ABORT", "delete TCB", CLOSED, "3.10.5"),
    _t("T20", [TIME_WAIT], "timeout", "2MSL", "delete TCB", CLOSED, "3.10.8"),
    _t("X11", [SYN_RECEIVED], "timeout", "SYN,ACK given up", "", CLOSED, "3.8.3; 3.10.8"),
    _t("X12", [SYN_SENT], "timeout", "SYN given up", "report to user", CLOSED, "3.8.3"),
    _t(
        "X14",
        SYNCHRONIZED - {TIME_WAIT, FIN_WAIT_2},
        "timeout",
        "user timeout or R2",
        "report to user",
        CLOSED,
        "3.10.8; 3.8.3",
    ),
    _t("X13", [SYN_SENT], "ICMP", "hard error quoting our SYN", "report to user", CLOSED, "3.9.2.2"),
)

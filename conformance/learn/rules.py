"""What RFC 9293 permits of one input: the event table of `conformance.tcp.states`, asked as judge.

Keeps the set of states that the RFC leaves possible. A requirement is named for each thing that the table says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from conformance.catalogue import Catalogue
from conformance.learn.query import Observed
from conformance.tcp import states as st
from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment
from conformance.tcp.sequence import before
from conformance.tcp.states import Arrival, Outcome, Reply, State, View

EXPECTED = {
    Reply.SILENCE: "nothing",
    Reply.ACK: "ACK",
    Reply.SYN_ACK: "SYN,ACK ack=seg.end",
    Reply.RST_OF_ACK: "RST seq=seg.ack",
    Reply.RST_ACK: "RST,ACK seq=0 ack=seg.end",
}
"""Each reply as a case expects it."""


_EVENTS = {"close": "CLOSE", "shutdown": "CLOSE", "exit": "CLOSE", "abort": "ABORT", "connect": "active OPEN"}
"""The application's calls as the RFC's events."""
_ABORTED_QUIETLY = frozenset({State.CLOSING, State.LAST_ACK, State.TIME_WAIT})
"""Where an ABORT just deletes the TCB (RFC 9293 section 3.10.5)."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A reply, or a next state, that the RFC does not permit."""

    requirement: str
    state: State
    """Where the target was."""
    expected: str
    """The reply that the RFC has, as a case expects it."""
    to: State
    """Where the RFC has it go."""
    seen: str
    reached: str = ""
    """Where it went instead, by its own word; empty where the reply is at fault."""
    known: bool = False
    """Other stacks are known to do so, too."""


def _requirement(state: State, sent: Segment, arrival: Arrival, view: View, outcome: Outcome) -> str:
    """The catalogue's entry for what the table says of this segment in this state."""
    flags = sent.flags
    if state is State.CLOSED:
        return "RFC9293-3.10.7.1-" + ("RST" if flags & RST else "ACK" if flags & ACK else "NOACK")
    if state is State.LISTEN:
        kind = "RST" if flags & RST else "ACK" if flags & ACK else "SYN" if flags & SYN else "OTHER"
        return f"RFC9293-3.10.7.2-{kind}"
    if state is State.SYN_SENT:
        bad, ack = arrival.ack not in ("none", "ok"), arrival.ack == "ok"
        if flags & RST:
            return "RFC9293-3.10.7.3-" + ("RST-ACK-BAD" if bad else "RST-ACK-OK" if ack else "RST-NO-ACK")
        if bad:
            return "RFC9293-3.10.7.3-ACK-BAD"
        return "RFC9293-3.10.7.3-" + (
            ("SYNACK-OK" if ack else "SYN") if flags & SYN else "ACK-OK-BARE" if ack else "OTHER"
        )
    last = outcome.rows[-1].check if outcome.rows else "ACK"
    if (last == "sequence" and not arrival.seq_ok) or (arrival.opens_anew and flags & SYN):
        if flags & (RST | SYN):
            kind = "RST-OOW" if flags & RST else "SYN-OOW"
        else:
            kind = "SEQ-OLD" if before(sent.seq, view.rcv_nxt) else "SEQ-OOW"
    elif last == "RST":
        kind = "RST-EXACT" if arrival.seq_exact else "RST-INWIN"
    elif last == "SYN":
        kind = "SYN-INWIN"
    elif flags & FIN and arrival.in_order and last == "FIN":
        kind = "FIN"
    elif arrival.text and last in ("text", "FIN"):
        kind = "DATA" if arrival.in_order else "DATA-OOO"
    else:
        kinds = {"none": "NO-ACK", "beyond": "ACK-FUTURE", "old": "ACK-TOO-OLD", "ok": "ACK-OK"}
        kind = kinds.get(arrival.ack, "DATA" if arrival.text else "ACK-DUP")
    return f"RFC9293-3.10.7.4-{state}-{kind}"


def requirement_of(
    state: State, sent: Segment, arrival: Arrival, view: View, outcome: Outcome, catalogue: Catalogue
) -> str:
    """The catalogue's entry for what the table says of this segment in this state, or the nearest there is."""
    name = _requirement(state, sent, arrival, view, outcome)
    return name if name in catalogue else _nearest(name, catalogue)


def _fits(reply: Reply, observed: Observed) -> bool:
    """The reply is what came. What data was free to go then, and a FIN behind it, may have come, too."""
    rest, acked = [], False
    for segment, (snd_nxt, rcv_nxt) in zip(observed.replies, observed.at, strict=True):
        free = segment.flags & ACK and not segment.flags & (SYN | RST) and segment.length and segment.seq == snd_nxt
        if free:
            acked = acked or segment.ack == rcv_nxt
        else:
            rest.append((segment, snd_nxt, rcv_nxt))
    sent = observed.sent
    if not rest:
        return reply is Reply.SILENCE or (reply is Reply.ACK and acked)
    if len(rest) > 1 or sent is None:
        return False
    segment, snd_nxt, rcv_nxt = rest[0]
    flags = segment.flags & ~8
    if reply is Reply.ACK:
        return flags == ACK and not segment.payload and segment.seq == snd_nxt and segment.ack == rcv_nxt
    if reply is Reply.SYN_ACK:
        return flags == SYN | ACK and segment.ack == (sent.end if sent.flags & SYN else rcv_nxt)
    if reply is Reply.RST_OF_ACK:
        return flags == RST and segment.seq == sent.ack
    if reply is Reply.RST_ACK:
        return flags == RST | ACK and not segment.seq and segment.ack == sent.end
    return False


def _is_reset(observed: Observed) -> bool:
    """One RST came, whatever its numbers."""
    return [segment.flags & RST for segment in observed.replies] == [RST]


class Judge:
    """Follows one connection. `start` is where its first input meets it."""

    def __init__(self, catalogue: Catalogue, start: State) -> None:
        self._catalogue = catalogue
        self.states: tuple[State, ...] = (start,)
        self._closed = False
        """The application has given the connection up: nobody reads what comes."""
        self._unread = False
        self._accepted = self._over = False
        self._queued = False
        """A connection was established that the application has not accepted: the backlog may be full."""

    def look(self, observed: Observed, verb: str = "") -> Breach | None:
        """Judge one input and what it drew; `verb` is the call that was made, or empty for a segment."""
        if self._over:
            return None
        if verb:
            return self._call(observed, verb)
        return self._segment(observed)

    # -- segments ---------------------------------------------------------------------------------------------

    def _segment(self, observed: Observed) -> Breach | None:
        sent, view = observed.sent, observed.before
        assert sent is not None
        assert view is not None
        self._unread = self._unread or bool(sent.payload)
        if self._queued and State.LISTEN in self.states and sent.flags & SYN and not observed.replies:
            return None
        if set(self.states) & st.SYNCHRONIZED:
            self._queued = True
        nexts: list[State] = []
        known: list[tuple[State, Breach]] = []
        first: Breach | None = None
        for state in self.states:
            arrival = st.classify(sent, view)
            if state in st.OWN_FIN_SENT and not observed.fin_sent:
                arrival = replace(arrival, acks_all=False)  # the FIN waits behind data
            outcomes = st.arrive(state, arrival)
            requirement = requirement_of(state, sent, arrival, view, outcomes[0], self._catalogue)
            breach = Breach(requirement, state, EXPECTED[outcomes[0].reply], outcomes[0].to, observed.output)
            first = first or breach
            for outcome in outcomes:
                loose = not outcome.foretold and outcome.reply in (Reply.RST_OF_ACK, Reply.RST_ACK)
                if not (_fits(outcome.reply, observed) or (loose and _is_reset(observed))):
                    continue
                if outcome.foretold or self._permitted(requirement, state, outcome):
                    nexts.append(outcome.to)
                else:
                    known.append((outcome.to, replace(breach, known=True)))
        if nexts:
            return self._reached(observed, nexts, first)
        if known:
            self._adopt(observed, [to for to, _ in known])
            return known[0][1]
        assert first is not None
        self._adopt(observed, [*self.states, first.to])
        return first

    def _permitted(self, requirement: str, state: State, outcome: Outcome) -> bool:
        """Another RFC permits it, or the application has left and text draws a RST (RFC 9293 section 3.6.1)."""
        if self._catalogue.conflicts_of(requirement, str(state)):
            return True
        return self._closed and outcome.to is State.CLOSED and outcome.rows[-1].check == "text"

    # -- calls ------------------------------------------------------------------------------------------------

    def _call(self, observed: Observed, verb: str) -> Breach | None:
        done = any(name == verb and outcome.error is None for name, outcome in observed.outcomes)
        if not observed.made:
            return None
        if verb == "accept" and done:
            self._queued, self._accepted = False, True
            # Another connection was accepted, and the listener closed over this one: an API's matter.
            self._over = State.SYN_RECEIVED in self.states
        if verb == "recv" and done:
            self._unread = False
        if verb == "accept" and done and _has(observed, RST):
            self._adopt(observed, [State.CLOSED])
            return None  # another connection was accepted than this one, which went with the listener
        event = _EVENTS.get(verb)
        nexts: list[State] = []
        bad: Breach | None = None
        for state in self.states:
            row = next(
                (row for row in st.OTHER_ROWS if row.kind == "call" and row.on == event and state in row.states), None
            )
            to, action = (row.to, row.action) if row is not None and (done or observed.blocked) else (state, "")
            if verb in ("close", "exit") and self._unread and _has(observed, RST):
                nexts.append(State.CLOSED)  # what was not read is lost: SHOULD, RFC 9293 section 3.6.1
                continue
            if self._call_fits(observed, action, verb, state):
                nexts.append(to)
                continue
            name = (
                f"RFC9293-{row.source.split(';')[0]}-{state}-{event}"
                if row is not None
                else "RFC9293-3.10.2-ESTABLISHED-SEND"
            )
            name = name if name in self._catalogue else _nearest(name, self._catalogue)
            words = {"send FIN": "FIN,ACK", "send RST": "RST", "send SYN": "SYN"}.get(action, "nothing")
            bad = bad or Breach(name, state, words, to, observed.output)
        if verb in ("close", "abort", "exit") and done:
            self._closed = True
        if nexts or bad is None:
            return self._reached(observed, nexts or list(self.states), bad)
        self._adopt(observed, [bad.to])
        return bad

    @staticmethod
    def _call_fits(observed: Observed, action: str, verb: str, state: State) -> bool:
        flags = [segment.flags & ~8 for segment in observed.replies]
        if action.startswith("send FIN"):
            waits = observed.before is not None and observed.before.snd_una != observed.before.snd_nxt
            return _has(observed, FIN) or (waits and not flags)
        if action.startswith("send RST"):
            return _has(observed, RST) or (not flags and state in _ABORTED_QUIETLY)
        if action.startswith("send SYN"):
            return flags == [SYN]
        if verb == "send":
            return all(segment.payload and not segment.flags & (SYN | RST) for segment in observed.replies)
        return all(flag == ACK for flag in flags)

    # -- states -----------------------------------------------------------------------------------------------

    def _reached(self, observed: Observed, nexts: list[State], breach: Breach | None) -> Breach | None:
        """The reply is in order; the target's own word tells whether the state is."""
        told = _told(observed)
        if told is State.LISTEN and State.SYN_RECEIVED in nexts:
            self.states = tuple(dict.fromkeys(nexts))
            return None  # a SYN cookie: nothing but the listener remembers (RFC 4987 section 3.6)
        if self._accepted and told is State.CLOSED and State.SYN_RECEIVED in self.states:
            nexts = [State.CLOSED]  # the listener was closed over it
        self._adopt(observed, nexts)
        if told is None or breach is None or any(_same(told, state) for state in nexts):
            return None
        return replace(breach, to=nexts[0], reached=str(told))

    def _adopt(self, observed: Observed, nexts: list[State]) -> None:
        told = _told(observed)
        self.states = tuple(dict.fromkeys(nexts)) if told is None else (told,)


def _told(observed: Observed) -> State | None:
    return State(observed.oracle) if observed.oracle in [str(state) for state in State] else None


def _same(a: State, b: State) -> bool:
    return a is b or (a in st.NO_TCB and b in st.NO_TCB)


def _has(observed: Observed, flag: int) -> bool:
    return any(segment.flags & flag for segment in observed.replies)


def _nearest(requirement: str, catalogue: Catalogue) -> str:
    """An entry of the catalogue for the same section and state, where that very one is not there."""
    test: Callable[[str], bool] = lambda name: name.startswith(requirement.rsplit("-", 1)[0])  # noqa: E731
    return next((entry.id for entry in catalogue if test(entry.id)), "RFC9293-3.5-FIG6-3WHS")

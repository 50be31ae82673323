"""What RFC 9293 permits of one input: the event table of `conformance.tcp.states`, asked as judge.

Keeps the set of states that the RFC leaves possible. A requirement is named for each thing that the table says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from conformance.catalogue import Catalogue
from conformance.learn.query import Observed
from conformance.tcp import states as st
from conformance.tcp.segment import ACK, FIN, RST, SYN, URG, Segment
from conformance.tcp.sequence import add, before
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
_WITHOUT_ROW = {"connect": "RFC9293-3.10.1-SYNCHRONIZED-OPEN"}
"""What a call breaks that the table has no row for: an OPEN where there is a connection."""
_UNSENT_FIN = {State.ESTABLISHED: State.FIN_WAIT_1, State.CLOSE_WAIT: State.LAST_ACK}
"""A stack's own word on its state where the RFC has another: the application closed, and the FIN waits behind text."""


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
    strayed: bool = False
    """It went elsewhere than the RFC has it, besides."""
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


def left_open(state: State, sent: Segment, arrival: Arrival, outcome: Outcome) -> bool:
    """Text or a FIN behind the peer's FIN: ignored (seventh check), acknowledged or even counted (eighth check).

    RFC 9293 section 3.10.7.4 says of the FIN that RCV.NXT goes over it, in whatever state, though a stream has but one.
    """
    behind = state in st.PEER_FIN_TAKEN and outcome.to is state and arrival.seq_ok and arrival.ack in ("ok", "dup")
    return behind and bool(sent.length) and not sent.flags & (SYN | RST)


def _ignored_or_acknowledged(observed: Observed) -> bool:
    sent = observed.sent
    assert sent is not None
    rest = [reply for reply in _replies(observed) if not _is_free(*reply)]
    if not rest:
        return True
    segment, snd_nxt, rcv_nxt = rest[0]
    right = (rcv_nxt,) if sent.payload else (rcv_nxt, sent.end)
    bare = len(rest) == 1 and segment.flags == ACK and not segment.payload
    return bare and segment.seq == snd_nxt and segment.ack in right


def _replies(observed: Observed) -> Iterator[tuple[Segment, int, int]]:
    """Each segment that came, with snd.nxt and rcv.nxt at that time."""
    for segment, (snd_nxt, rcv_nxt) in zip(observed.replies, observed.at, strict=True):
        yield segment, snd_nxt, rcv_nxt


def _is_free(segment: Segment, snd_nxt: int, rcv_nxt: int) -> bool:
    """Data, or a FIN behind it, that was free to go then."""
    del rcv_nxt
    return bool(segment.flags & ACK and not segment.flags & (SYN | RST) and segment.length and segment.seq == snd_nxt)


def _fits(reply: Reply, observed: Observed) -> bool:
    """The reply is what came. What data was free to go then, and a FIN behind it, may have come, too."""
    replies = list(_replies(observed))
    rest = [reply for reply in replies if not _is_free(*reply)]
    acked = any(segment.ack == rcv_nxt for segment, snd_nxt, rcv_nxt in replies if _is_free(segment, snd_nxt, rcv_nxt))
    sent = observed.sent
    if not rest:
        return reply is Reply.SILENCE or (reply is Reply.ACK and (acked or observed.owed))
    if len(rest) > 1 or sent is None:
        return False
    segment, snd_nxt, rcv_nxt = rest[0]
    flags = segment.flags & ~8
    if reply is Reply.ACK or (reply is Reply.SILENCE and observed.owed_before):
        bare = flags == ACK and not segment.payload and segment.seq == snd_nxt
        rides = flags == FIN | ACK and observed.fin_sent and segment.end == snd_nxt  # tcp.recognise.rides_on_fin
        return (bare or rides) and segment.ack == rcv_nxt
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
        self._unread = self._marked = False
        """Text came that nobody has read; urgent text came: a call reads no further than to its mark."""
        self._accepted, self._over = start is State.ESTABLISHED, False
        self._listener = start is State.LISTEN
        """A listener was there when it began."""
        self._shut = False
        """The application sends no more."""
        self._active = False
        """The application has connected."""
        self._cookie = False
        """The handshake was begun, and the target says LISTEN: a SYN cookie, which an ACK completes."""
        self._queued = False
        """A connection was established that the application has not accepted: the backlog may be full."""
        self._wrote = False
        """The application sent something: before the handshake is done it waits, and a FIN behind it."""

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
        self._marked = self._marked or bool(sent.payload and sent.flags & URG)
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
            crossed = self._crossed(state, sent, view, arrival)
            if crossed and (_fits(Reply.SILENCE, observed) or _fits(Reply.ACK, observed)):
                nexts += [*self._after(state, State.ESTABLISHED), state]
                continue
            if left_open(state, sent, arrival, outcomes[0]) and _ignored_or_acknowledged(observed):
                nexts.append(state)
                continue
            for outcome in outcomes:
                loose = not outcome.foretold and outcome.reply in (Reply.RST_OF_ACK, Reply.RST_ACK)
                if not (_fits(outcome.reply, observed) or (loose and _is_reset(observed))):
                    continue
                if outcome.foretold or self._permitted(requirement, state, outcome):
                    nexts += self._after(state, outcome.to)
                else:
                    known.append((outcome.to, replace(breach, known=True)))
        if nexts:
            return self._reached(observed, nexts, first)
        if known:
            return self._astray(observed, [to for to, _ in known], known[0][1])
        assert first is not None
        return self._astray(observed, [*self.states, first.to], first)

    def _crossed(self, state: State, sent: Segment, view: View, arrival: Arrival) -> bool:
        """The peer's SYN,ACK in a simultaneous open: Figure 7 has it complete the handshake, Table 6 draw an ACK."""
        synack = sent.flags & (SYN | ACK | RST) == SYN | ACK and add(sent.seq, 1) == view.rcv_nxt
        return self._active and state is State.SYN_RECEIVED and synack and arrival.ack == "ok"

    def _after(self, state: State, to: State) -> list[State]:
        """Where it may be: a CLOSE that waited for the handshake is carried out after it (section 3.10.4)."""
        if not self._shut or state is not State.SYN_RECEIVED:
            return [to]
        return {State.ESTABLISHED: [State.FIN_WAIT_1], State.CLOSE_WAIT: [State.LAST_ACK, State.CLOSING]}.get(to, [to])

    def _astray(self, observed: Observed, nexts: list[State], breach: Breach) -> Breach:
        """The reply is a breach; if the state is, too, nothing can be said of what follows."""
        told = self._told(observed)
        self._adopt(observed, nexts)
        return replace(breach, strayed=told is not None and not _same(told, breach.to))

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
            self._unread = self._marked
        self._wrote = self._wrote or (verb == "send" and done)
        self._active = self._active or verb == "connect"
        if verb == "accept" and done and _has(observed, RST | FIN):
            self._over = _has(observed, FIN)
            self._adopt(observed, [State.CLOSED])
            return None  # another connection was accepted than this one, which went with the listener
        event = _EVENTS.get(verb)
        nexts: list[State] = []
        bad: Breach | None = None
        good: Breach | None = None
        for state in self.states:
            row = next(
                (row for row in st.OTHER_ROWS if row.kind == "call" and row.on == event and state in row.states), None
            )
            to, action = (row.to, row.action) if row is not None and (done or observed.blocked) else (state, "")
            if verb in ("close", "exit", "abort") and self._unread and _has(observed, RST):
                nexts.append(State.CLOSED)  # what was not read is lost: SHOULD, RFC 9293 section 3.6.1
                continue
            name = (
                f"RFC9293-{row.source.split(';')[0]}-{state}-{event}"
                if row is not None
                else _WITHOUT_ROW.get(verb, "RFC9293-3.10.2-ESTABLISHED-SEND")
            )
            name = name if name in self._catalogue else _nearest(name, self._catalogue)
            words = {"send FIN": "FIN,ACK", "send RST": "RST", "send SYN": "SYN"}.get(action, "nothing")
            breach = Breach(name, state, words, to, observed.output)
            if not self._call_fits(observed, action, verb, state):
                bad = bad or breach
                continue
            nexts.append(to)
            if state is State.SYN_RECEIVED and action.startswith("send FIN") and not _has(observed, FIN):
                nexts.append(state)
            good = good or (breach if row is not None and done else None)
        if verb in ("close", "abort", "exit") and done:
            self._closed = True
        self._shut = self._shut or (event == "CLOSE" and done)
        if nexts or bad is None:
            return self._reached(observed, nexts or list(self.states), good)
        self._adopt(observed, [bad.to])
        return bad

    def _call_fits(self, observed: Observed, action: str, verb: str, state: State) -> bool:
        flags = [segment.flags & ~8 for segment in observed.replies]
        if action.startswith("send FIN"):
            waits = observed.before is not None and observed.before.snd_una != observed.before.snd_nxt
            waits = waits and (self._wrote or state is not State.SYN_RECEIVED)
            return _has(observed, FIN) or (waits and not flags)
        if action.startswith("send RST"):
            return _has(observed, RST)
        if verb == "abort" and state in st.OWN_FIN_SENT and not observed.fin_sent and _has(observed, RST):
            return True  # the FIN waits behind text, and the state of before lasts until it goes (section 3.10.4)
        if action.startswith("send SYN"):
            return [flag & (SYN | ACK | FIN | RST) for flag in flags] == [SYN]  # ECN is asked for by others
        if verb == "send":
            return all(
                (segment.payload or observed.owed_before) and not segment.flags & (SYN | RST)
                for segment in observed.replies
            )
        return all(flag == ACK for flag in flags)

    # -- states -----------------------------------------------------------------------------------------------

    def _reached(self, observed: Observed, nexts: list[State], breach: Breach | None) -> Breach | None:
        """The reply is in order; the target's own word tells whether the state is."""
        told = self._told(observed)
        if told is State.LISTEN and State.SYN_RECEIVED in nexts:
            self._cookie = True
            self.states = (State.LISTEN, State.SYN_RECEIVED)
            return None  # nothing but the listener remembers (RFC 4987 section 3.6)
        if self._accepted and told is State.CLOSED and State.SYN_RECEIVED in self.states:
            nexts = [State.CLOSED]  # the listener was closed over it
        self._adopt(observed, nexts)
        if told is None or breach is None or any(_same(told, state) for state in nexts):
            return None
        return replace(breach, to=nexts[0], reached=str(told))

    def _adopt(self, observed: Observed, nexts: list[State]) -> None:
        told, before = self._told(observed), set(self.states)
        unknown = told is None and self._listener and not self._accepted
        if unknown and State.SYN_RECEIVED in nexts:
            nexts = [*nexts, State.LISTEN]  # perhaps it was a cookie, of which nothing is remembered (RFC 4987, 3.6)
        self.states = tuple(dict.fromkeys(nexts)) if told is None else (told,)
        if self._cookie and told is State.LISTEN:
            self.states = (State.LISTEN, State.SYN_RECEIVED)
            self._over = bool(before & st.SYNCHRONIZED)  # the cookie can be taken again, or not any more
        # A RST that the stack did not take, or one of its own that it did not mean: the tester's numbers are astray.
        # Where nothing tells the state, the listener may take a cookie once more.
        alive = unknown or self._cookie or told in st.SYNCHRONIZED | {State.SYN_RECEIVED}
        self._over = self._over or (observed.reset and alive)

    def _told(self, observed: Observed) -> State | None:
        """The target's own word on its state, as the RFC calls it."""
        if observed.oracle not in [str(state) for state in State]:
            return None
        told = State(observed.oracle)
        if not self._shut or observed.fin_sent or _has(observed, FIN):
            return told
        if told is State.CLOSE_WAIT and set(self.states) & {State.FIN_WAIT_1, State.CLOSING}:
            return State.CLOSING
        return _UNSENT_FIN.get(told, told)


def _same(a: State, b: State) -> bool:
    return a is b or (a in st.NO_TCB and b in st.NO_TCB)


def _has(observed: Observed, flag: int) -> bool:
    return any(segment.flags & flag for segment in observed.replies)


def _nearest(requirement: str, catalogue: Catalogue) -> str:
    """An entry of the catalogue for the same section and state, where that very one is not there."""
    test: Callable[[str], bool] = lambda name: name.startswith(requirement.rsplit("-", 1)[0])  # noqa: E731
    return next((entry.id for entry in catalogue if test(entry.id)), "RFC9293-3.5-FIG6-3WHS")

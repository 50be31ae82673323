"""The machine that RFC 9293's event table describes, over an alphabet: what a suite is generated from.

It answers by the rows of `conformance.tcp.states` and keeps the variables that these read, no more: no timers, no
windows, no text of its own. Where the table leaves a choice, or other RFCs permit more, it says `OPEN` from there on.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from conformance.cases.model import Call, Connection, Send
from conformance.catalogue import Catalogue
from conformance.engine.craft import segment_of
from conformance.engine.scope import Conn, Scope
from conformance.learn.alphabet import Alphabet, Word
from conformance.learn.naming import joined, outcome_text, reply_text
from conformance.learn.query import NO_SOCKET
from conformance.learn.rules import left_open, requirement_of
from conformance.targets.base import Endpoints, Outcome
from conformance.tcp import states as st
from conformance.tcp.lines import SegmentLine
from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment
from conformance.tcp.sequence import add
from conformance.tcp.states import Reply, State
from conformance.tcp.tcb import TCB
from conformance.wire.base import Inbox
from conformance.wire.codec import Encoder

OPEN = "open"
"""The output where the RFC leaves more than one."""
IN = " @ "
"""Parts an output from the state in the words of `Reference.ask`."""
_ISS, _IRS, _WINDOW = 5_000_000, 1_000_000, 30_000


@dataclass(slots=True)
class Said:
    """What the RFC has one input draw."""

    output: str
    state: State
    requirement: str = ""


class Reference:
    """The event table as something to ask (`ask`), as a target is."""

    def __init__(self, alphabet: Alphabet, catalogue: Catalogue, version: int = 4) -> None:
        self.alphabet, self._catalogue, self._version = alphabet, catalogue, version

    def ask(self, word: Word) -> tuple[str, ...]:
        """What each input of the word draws, and the state that it leads to, which a case can have named."""
        return tuple(OPEN if said.output == OPEN else f"{said.output}{IN}{said.state}" for said in self.say(word))

    def say(self, word: Word) -> list[Said]:
        """The same, with states and requirements."""
        walk = _Walk(self.alphabet, self._catalogue, self._version)
        return [walk.step(letter) for letter in word]


class _Walk:
    """One connection of the reference."""

    def __init__(self, alphabet: Alphabet, catalogue: Catalogue, version: int) -> None:
        self._alphabet, self._catalogue = alphabet, catalogue
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        texts = ("198.18.1.1", "192.0.2.1") if version == 4 else ("2001:db8::1", "2001:db8::2")
        tester, target = (socket.inet_pton(family, text) for text in texts)
        tcb = TCB(_IRS, version)
        tcb.snd_nxt = tcb.snd_una = 9_000_000
        pair = Endpoints(4 if version == 4 else 6, tester, target, 20_001, 1_024)
        encoder = Encoder(tester, target, bytes(6), bytes(6))
        self._conn = Conn("main", Connection("main"), pair, encoder, tcb, Inbox(), highest=tcb.irs)
        self._scope = Scope({"main": self._conn}, {}, 0)
        self._listening = any(isinstance(s, Call) and s.verb == "listen" for s in alphabet.setup)
        self._state = State.LISTEN if self._listening else State.CLOSED
        self._accepted = self._connecting = self._open = self._shut = False
        self._ready = False
        """A connection waits to be accepted."""
        self._incarnation = 0

    def step(self, letter: str) -> Said:
        """One input."""
        if self._open:
            return Said(OPEN, self._state)
        step = self._alphabet.inputs[letter]
        said = self._segment(step) if isinstance(step, Send) else self._call(step)
        if self._open:
            return Said(OPEN, self._state)
        return said

    # -- segments ---------------------------------------------------------------------------------------------

    def _segment(self, step: Send) -> Said:
        conn, state = self._conn, self._state
        assert isinstance(step.line, SegmentLine)
        segment = segment_of(step.line, self._scope, conn)
        view = conn.tcb.view()
        arrival = st.classify(segment, view)
        outcomes = st.arrive(state, arrival)
        requirement = requirement_of(state, segment, arrival, view, outcomes[0], self._catalogue)
        if left_open(state, segment, arrival, outcomes[0]) or (
            len(outcomes) > 1 and self._catalogue.conflicts_of(requirement, str(state))
        ):
            self._open = True
        outcome = outcomes[0]
        conn.tcb.sent(segment)
        conn.last_sent = segment
        conn.highest = max(conn.highest, segment.end)
        parts = []
        opened = self._connecting and outcome.to in (State.ESTABLISHED, State.CLOSE_WAIT)
        if opened or (self._connecting and outcome.to is State.CLOSED):
            parts.append(outcome_text("connect", Outcome(error=None if opened else "ECONNREFUSED")))
            self._connecting, self._accepted = False, opened
        reply = self._reply(outcome.reply, segment, outcome.to)
        if reply is not None:
            parts.append(self._seen(reply))
        self._reach(outcome.to)
        return Said(joined(parts), self._state, requirement)

    def _reach(self, to: State) -> None:
        if to in st.SYNCHRONIZED and self._state not in st.SYNCHRONIZED and self._listening:
            self._ready = True
        if to is State.CLOSED and self._listening:
            # What was never accepted leaves something behind in the queue of the listener, or nothing.
            self._open = self._ready
            to = State.LISTEN
        if to is State.LISTEN and not self._listening:
            to = State.CLOSED
        self._state = to

    def _reply(self, reply: Reply, segment: Segment, to: State) -> Segment | None:
        tcb = self._conn.tcb
        if reply is Reply.ACK:
            return Segment(ACK, tcb.snd_nxt, tcb.rcv_nxt, _WINDOW)
        if reply is Reply.SYN_ACK:
            if self._state is State.LISTEN or tcb.iss is None:
                self._incarnation += 1
            seq = tcb.iss if self._state is State.SYN_SENT and tcb.iss is not None else self._iss()
            return Segment(SYN | ACK, seq, segment.end, _WINDOW)
        if reply is Reply.RST_OF_ACK:
            return Segment(RST, segment.ack)
        if reply is Reply.RST_ACK:
            return Segment(RST | ACK, 0, segment.end)
        return None

    def _iss(self) -> int:
        return _ISS + 100_000 * self._incarnation

    def _seen(self, segment: Segment) -> str:
        text = reply_text(segment, self._conn)
        self._conn.tcb.seen(segment)
        return text

    # -- calls ------------------------------------------------------------------------------------------------

    def _call(self, step: Call) -> Said:
        verb, state = step.verb, self._state
        if verb == "accept":
            return self._accept()
        if verb == "connect":
            return self._connect()
        if not self._accepted:
            if self._connecting:
                self._open = True
            return Said(NO_SOCKET, state)
        if state in st.NO_TCB or verb not in ("shutdown", "abort"):
            self._open = True  # what an API says of a dead connection is not the RFC's
            return Said(OPEN, state)
        done = outcome_text(verb, Outcome())
        if verb == "abort":
            self._accepted = False
            quiet = state in st.ABORTED_QUIETLY
            self._open = bool(self._catalogue.conflicts_of(f"RFC9293-3.10.5-{state}-ABORT", str(state)))
            parts = [] if quiet else [self._seen(Segment(RST | ACK, self._conn.tcb.snd_nxt, self._conn.tcb.rcv_nxt))]
            self._reach(State.CLOSED)
            return Said(joined([done, *parts]), self._state, f"RFC9293-3.10.5-{state}-ABORT")
        row = next((row for row in st.OTHER_ROWS if row.on == "CLOSE" and state in row.states), None)
        if row is None or self._shut:
            self._open = True  # closed before: an API's matter
            return Said(OPEN, state)
        self._shut = True
        fin = Segment(FIN | ACK, self._conn.tcb.snd_nxt, self._conn.tcb.rcv_nxt, _WINDOW)
        text = self._seen(fin)
        self._state = row.to
        return Said(joined([done, text]), self._state, f"RFC9293-3.10.4-{state}-CLOSE")

    def _accept(self) -> Said:
        if self._accepted or not self._listening:
            return Said(NO_SOCKET, self._state)
        if not self._ready:
            return Said("accept blocks", self._state)
        self._accepted, self._ready, self._listening = True, False, False
        return Said(outcome_text("accept", Outcome()), self._state)

    def _connect(self) -> Said:
        if self._state is not State.CLOSED or self._accepted or self._connecting or self._incarnation:
            self._open = True
            return Said(OPEN, self._state)
        self._connecting, self._state, self._incarnation = True, State.SYN_SENT, 1
        text = self._seen(Segment(SYN, add(self._iss(), 0), 0, _WINDOW))
        return Said(joined(["connect blocks", text]), self._state, "RFC9293-3.10.1-CLOSED-OPEN")

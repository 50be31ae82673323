"""What the segments so far leave possible, and what each probe's answer leaves of it: the inference's own reasoning.

Works in numbers relative to both ISNs, so that equal conversations are worked out once. Answers are predicted by the
event table of `states`. Knows no I/O and no waiting; `inference` drives it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from conformance.tcp import states as st
from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment
from conformance.tcp.sequence import MASK, add, before, distance
from conformance.tcp.states import Reply, State, View
from conformance.tcp.tcb import TCB


class Probe(NamedTuple):
    """A segment to send only to learn the state. `stamp`: carry a current TSval where timestamps are on."""

    name: str
    flags: int
    seq: int
    ack: int = 0
    payload: bytes = b""
    throttled: bool = True
    """Its answer is an acknowledgement that a stack may rate-limit (RFC 5961 section 7)."""
    disturbs: bool = False

    @property
    def end(self) -> int:
        """The number after the last one that it occupies."""
        return add(self.seq, len(self.payload) + bool(self.flags & SYN) + bool(self.flags & FIN))


class Hypothesis(NamedTuple):
    """The target is in `state`, with these two numbers."""

    state: State
    snd_nxt: int
    rcv_nxt: int


Answer = tuple[object, ...]
SILENCE: Answer = ("nothing",)


def _answer(reply: Reply, hypothesis: Hypothesis, probe: Probe) -> Answer:
    if reply is Reply.ACK:
        return ("ACK", hypothesis.snd_nxt, hypothesis.rcv_nxt)
    if reply is Reply.RST_OF_ACK:
        return ("RST", probe.ack)
    if reply is Reply.RST_ACK:
        return ("RST,ACK", 0, probe.end)
    if reply is Reply.SYN_ACK:
        return ("SYN,ACK",)
    return SILENCE


def read(segment: Segment, own: int, peer: int) -> Answer:
    """A segment as an answer, numbers relative."""
    flags = segment.flags
    if flags & RST:
        return (
            ("RST,ACK", segment.seq, (segment.ack - peer) & MASK)
            if flags & ACK
            else ("RST", (segment.seq - own) & MASK)
        )
    if flags & SYN:
        return ("SYN,ACK",) if flags & ACK else ("SYN",)
    return ("ACK", (segment.seq - own) & MASK, (segment.ack - peer) & MASK)


def _predict(hypothesis: Hypothesis, probe: Probe, facts: Facts) -> tuple[set[Answer], set[Answer], bool]:
    """Foretold answers, answers of known stacks, and whether the probe moves this state."""
    una = facts.snd_una if distance(facts.snd_una, hypothesis.snd_nxt) > 0 else hypothesis.snd_nxt
    if hypothesis.state is State.SYN_RECEIVED:
        una = add(hypothesis.snd_nxt, -1)
    view = View(una, hypothesis.snd_nxt, hypothesis.rcv_nxt, max(facts.rcv_wnd, 1), 0, facts.max_wnd)
    segment = Segment(probe.flags, probe.seq, probe.ack, payload=probe.payload)
    foretold: set[Answer] = set()
    known: set[Answer] = set()
    moves = False
    for outcome in st.arrive(hypothesis.state, st.classify(segment, view)):
        (foretold if outcome.foretold else known).add(_answer(outcome.reply, hypothesis, probe))
        moves = moves or (outcome.foretold and outcome.to is not hypothesis.state)
    if facts.cookies and hypothesis.state is State.LISTEN and probe.flags & ACK:
        moves = moves or distance(facts.snd_nxt, probe.ack) <= 0  # a cookie may be in it
    return foretold, known, moves


class Facts(NamedTuple):
    """What the segments so far say, in numbers relative to both ISNs: equal for equal conversations, so that what
    follows from them is worked out once. The target's numbers count from `own`, the tester's from `peer`."""

    opened: bool
    active: bool
    synchronized: bool
    snd_una: int
    snd_nxt: int
    rcv_nxt: int
    rcv_wnd: int
    max_wnd: int
    last_ack: int | None
    fin_seq: int | None
    first_fin_ack: int | None
    peer_fin: int | None
    cookies: bool
    """Opened by a listener that keeps no half-open connection: an ACK of its number may open one anew."""

    @property
    def counted(self) -> bool:
        """The target acknowledged the tester's FIN."""
        return self.peer_fin is not None and self.last_ack is not None and before(self.peer_fin, self.last_ack)

    @property
    def fin_counts_ours(self) -> bool:
        """The target's first FIN acknowledged ours already: it came from CLOSE-WAIT (states.yaml, LAST-ACK)."""
        ack = self.first_fin_ack
        return self.peer_fin is not None and ack is not None and before(self.peer_fin, ack)


def bases(tcb: TCB) -> tuple[int, int]:
    """The numbers from which Facts count: the target's and the tester's ISN."""
    return (tcb.snd_una if tcb.iss is None else tcb.iss), tcb.irs


def facts_of(tcb: TCB) -> Facts:
    """The facts that a TCB holds."""
    own, peer = bases(tcb)
    ack, fin, first, peer_fin = tcb.last_ack, tcb.fin_seq, tcb.first_fin_ack, tcb.peer_fin
    return Facts(
        tcb.iss is not None,
        tcb.target_only_syn,
        tcb.synchronized,
        (tcb.snd_una - own) & MASK,
        (tcb.snd_nxt - own) & MASK,
        (tcb.rcv_nxt - peer) & MASK,
        tcb.rcv_wnd,
        max(tcb.max_wnd, 1),
        None if ack is None else (ack - peer) & MASK,
        None if fin is None else (fin - own) & MASK,
        None if first is None else (first - peer) & MASK,
        None if peer_fin is None else (peer_fin - peer) & MASK,
        not tcb.half_open_kept and not tcb.target_only_syn,
    )


@lru_cache(maxsize=4096)
def hypotheses(facts: Facts) -> tuple[Hypothesis, ...]:
    """What the segments so far leave possible. CLOSED and LISTEN always are: a TCB can vanish unseen."""
    ends, taken = facts.snd_nxt, facts.rcv_nxt
    possible = [Hypothesis(State.CLOSED, 0, 0), Hypothesis(State.LISTEN, 0, 0)]
    if not facts.opened:
        return tuple(possible)
    if facts.active and (facts.last_ack is None or not facts.synchronized):
        possible.append(Hypothesis(State.SYN_SENT, ends, taken))
        if not facts.synchronized:
            return tuple(possible)
    if facts.fin_seq is not None and ends != add(facts.fin_seq, 1):
        return tuple(possible)  # nothing follows a FIN, in no state
    before_fin = taken if facts.peer_fin is None else facts.peer_fin
    spoke = facts.fin_seq is not None or distance(0, ends) > 1
    heard = facts.last_ack is not None and before(1, facts.last_ack)
    if not spoke and not heard and not facts.cookies:
        possible.append(Hypothesis(State.SYN_RECEIVED, ends, 1))
    for state in sorted(st.SYNCHRONIZED):
        if (state in st.OWN_FIN_SENT) != (facts.fin_seq is not None):
            continue
        if state in st.PEER_FIN_TAKEN:
            if facts.peer_fin is None:
                continue
            if state is State.CLOSING and facts.fin_counts_ours:
                continue
            if state is State.LAST_ACK and not facts.fin_counts_ours:
                continue
            possible.append(Hypothesis(state, ends, taken))
        elif not facts.counted:
            possible.append(Hypothesis(state, ends, before_fin))
    return tuple(possible)


@lru_cache(maxsize=4096)
def probes(facts: Facts) -> tuple[Probe, ...]:
    """The probes that may be sent without disturbing, in order of preference, numbers relative."""
    last, una = facts.rcv_nxt, facts.snd_una
    old = add(last, -1)
    found: list[Probe] = []
    if facts.counted:
        found.append(Probe("P5", FIN | ACK, old, una, throttled=False))
    elif facts.peer_fin is None and not facts.active:
        found.append(Probe("P10", ACK, old, una, b"\0", throttled=False))
    found += [
        Probe("P4", ACK, last, add(facts.snd_nxt, 1000)),
        Probe("P1", ACK, old, una),
        Probe("P3", ACK, 0, 1),
        Probe("P2", 0, last, throttled=False),
    ]
    return tuple(found)


class Node:
    """One point of an inquiry: what is left, and the probe to ask next. Made once for equal conversations."""

    __slots__ = ("_after", "_leaves", "answered", "facts", "left", "listened", "probe", "states", "tried", "wanted")

    def __init__(
        self,
        left: tuple[Hypothesis, ...],
        facts: Facts,
        wanted: frozenset[State],
        tried: frozenset[str],
        answered: bool,
        listened: bool,
    ) -> None:
        self.left, self.facts, self.wanted = left, facts, wanted
        self.tried, self.answered, self.listened = tried, answered, listened
        self.states = frozenset(h.state for h in left)
        self.probe: Probe | None = None
        """What to send next, numbers relative; None when no probe parts what is left."""
        self._leaves: dict[Answer, tuple[Hypothesis, ...]] = {}
        self._after: dict[Answer, Node] = {}
        if left:
            self._choose()

    def _choose(self) -> None:
        """The first probe that settles the matter if what is wanted is true; else the first that parts what is left
        (before any answer: that shows a sign of life). None of them may move a state that is left."""
        for probe in probes(self.facts):
            if probe.name in self.tried:
                continue
            counts: dict[Answer, int] = {}
            leaves: dict[Answer, list[Hypothesis]] = {}
            hoped: set[Answer] = set()
            moved = False
            for hypothesis in self.left:
                foretold, known, moves = _predict(hypothesis, probe, self.facts)
                moved = moved or moves
                for answer in foretold:
                    counts[answer] = counts.get(answer, 0) + 1
                for answer in foretold | known:
                    leaves.setdefault(answer, []).append(hypothesis)
                if hypothesis.state in self.wanted:
                    hoped |= foretold
            if moved:
                continue
            alive = not self.answered and SILENCE not in counts
            parts = max(counts.values()) < len(self.left)
            settles = bool(hoped) and SILENCE not in hoped
            settles = settles and all(h.state in self.wanted for answer in hoped for h in leaves[answer])
            if (parts or alive) and (settles or self.probe is None):
                self.probe = probe
                self._leaves = {answer: tuple(kept) for answer, kept in leaves.items()}
            if settles or (self.probe is not None and not self.wanted):
                return

    def after(self, answer: Answer) -> Node:
        """The point that an answer to the probe leads to."""
        node = self._after.get(answer)
        if node is None:
            assert self.probe is not None
            left = self._leaves.get(answer, ())
            answered = self.answered or answer != SILENCE
            node = node_of(left, self.facts, self.wanted, self.tried | {self.probe.name}, answered, self.listened)
            self._after[answer] = node
        return node

    def heard(self, left: Iterable[Hypothesis], *, repeat: bool) -> Node:
        """The point after listening, or after a repeat that came with an answer; `repeat`: something was heard."""
        return node_of(tuple(left), self.facts, self.wanted, self.tried, self.answered or repeat, True)

    def repeating(self, segment: Segment, tcb: TCB) -> tuple[Hypothesis, ...] | None:
        """What is left if such a segment repeats; None when it is no repeat of the handshake or of a FIN."""
        again = segment.flags & (SYN | FIN)
        if not again and segment.payload and tcb.fin_seq is not None:
            again = FIN
        if not again or segment.flags & RST:
            return None
        kept = [h for h in self.left if st.REPEATS.get(h.state, 0) & (SYN | FIN) == again]
        if again & SYN:
            kept = [h for h in kept if bool(st.REPEATS[h.state] & ACK) == bool(segment.flags & ACK)]
        return tuple(kept)


@lru_cache(maxsize=8192)
def node_of(
    left: tuple[Hypothesis, ...],
    facts: Facts,
    wanted: frozenset[State],
    tried: frozenset[str],
    answered: bool,
    listened: bool,
) -> Node:
    """The one Node of these facts."""
    return Node(left, facts, wanted, tried, answered, listened)


@lru_cache(maxsize=4096)
def root(facts: Facts, wanted: frozenset[State]) -> Node:
    """Where the inquiry of a conversation with these facts begins; `wanted` are the states that would satisfy."""
    return node_of(hypotheses(facts), facts, wanted, frozenset(), False, False)

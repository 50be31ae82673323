"""Which state is the target in? Segments so far -> the states still possible -> the probe that tells the rest apart.

`identify` (with the segments so far) and `identify_stranger` (without any history) are generators: they yield a Probe
to send or a Listen to wait for, are sent the segments that came, and return a Conclusion. They know no clock, no
wire, no call of the application. Replies are predicted by the event table of `states`; the probes are those of
catalogue/states.yaml.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from conformance.tcp import states as st
from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment, flag_names
from conformance.tcp.sequence import MASK, add, before, distance
from conformance.tcp.states import Reply, State, View
from conformance.tcp.tcb import TCB

LISTEN_LEAST = 1.3
"""Seconds after the last copy in which a repeat must come: RFC 6298's minimum of 1 s, and a margin."""
LISTEN_UNKNOWN = 3.5
"""Seconds to listen where no timing is known: the initial RTO of 1 s (or 3 s after a lost SYN), and a margin."""
SETTLED = 0.6
"""Seconds within which a delayed ACK comes: at most 0.5 s (RFC 9293 section 3.8.6.3), and a margin."""
LISTEN_FACTOR = 2.2
"""A repeat follows within twice the gap before (RFC 6298 section 5.5), and a margin."""


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


class Listen(NamedTuple):
    """Send nothing for `seconds` since the last copy of anything repeated; a repeat ends it early."""

    seconds: float
    name: str = "P7"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The states that the replies leave possible, and how they were told apart."""

    possible: frozenset[State]
    evidence: tuple[str, ...] = ()
    disturbed: bool = False


Action = Probe | Listen
Inquiry = Generator[Action, Sequence[Segment], Conclusion]


class Hypothesis(NamedTuple):
    """The target is in `state`, with these two numbers."""

    state: State
    snd_nxt: int
    rcv_nxt: int


Answer = tuple[object, ...]
_SILENCE: Answer = ("nothing",)


def _answer(reply: Reply, hypothesis: Hypothesis, probe: Probe) -> Answer:
    if reply is Reply.ACK:
        return ("ACK", hypothesis.snd_nxt, hypothesis.rcv_nxt)
    if reply is Reply.RST_OF_ACK:
        return ("RST", probe.ack)
    if reply is Reply.RST_ACK:
        return ("RST,ACK",)
    if reply is Reply.SYN_ACK:
        return ("SYN,ACK",)
    return _SILENCE


def _read(segment: Segment, own: int, peer: int) -> Answer:
    flags = segment.flags
    if flags & RST:
        return ("RST,ACK",) if flags & ACK else ("RST", (segment.seq - own) & MASK)
    if flags & SYN:
        return ("SYN,ACK",) if flags & ACK else ("SYN",)
    return ("ACK", (segment.seq - own) & MASK, (segment.ack - peer) & MASK)


def _predict(hypothesis: Hypothesis, probe: Probe, facts: Facts) -> tuple[set[Answer], set[Answer], bool]:
    """Foretold answers, answers of known stacks, and whether the probe moves this state."""
    una = facts.snd_una if distance(facts.snd_una, hypothesis.snd_nxt) > 0 else hypothesis.snd_nxt
    view = View(una, hypothesis.snd_nxt, hypothesis.rcv_nxt, max(facts.rcv_wnd, 1), 0, facts.max_wnd)
    segment = Segment(probe.flags, probe.seq, probe.ack, payload=probe.payload)
    foretold: set[Answer] = set()
    known: set[Answer] = set()
    moves = False
    for outcome in st.arrive(hypothesis.state, st.classify(segment, view)):
        (foretold if outcome.foretold else known).add(_answer(outcome.reply, hypothesis, probe))
        moves = moves or (outcome.foretold and outcome.to is not hypothesis.state)
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
    before_fin = taken if facts.peer_fin is None else facts.peer_fin
    spoke = facts.fin_seq is not None or distance(0, ends) > 1
    heard = facts.last_ack is not None and before(1, facts.last_ack)
    if not spoke and not heard:
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


@dataclass
class _Sieve:
    """The hypotheses left, and why the others went."""

    left: tuple[Hypothesis, ...]
    evidence: list[str] = field(default_factory=list)
    answered: bool = False

    def states(self) -> frozenset[State]:
        return frozenset(h.state for h in self.left)

    def repeated(self, segments: Iterable[Segment], tcb: TCB) -> bool:
        """Keep what repeats such a segment, if one came; True when one did."""
        for segment in segments:
            again = segment.flags & (SYN | FIN)
            if not again and segment.payload and tcb.fin_seq is not None:
                again = FIN
            if again and not segment.flags & RST:
                kept = [h for h in self.left if st.REPEATS.get(h.state, 0) & (SYN | FIN) == again & (SYN | FIN)]
                if again & SYN:
                    kept = [h for h in kept if bool(st.REPEATS[h.state] & ACK) == bool(segment.flags & ACK)]
                self.left = tuple(kept)
                self.evidence.append(f"{flag_names(segment.flags)} repeated")
                return True
        return False


class _Choice(NamedTuple):
    probe: Probe
    leaves: dict[Answer, tuple[Hypothesis, ...]]
    """Answer -> the hypotheses that it leaves; any other answer leaves none."""


@lru_cache(maxsize=8192)
def _choose(left: tuple[Hypothesis, ...], facts: Facts, tried: frozenset[str], answered: bool) -> _Choice | None:
    """The first probe that parts what is left (or, before any answer, shows a sign of life) and moves none of it."""
    for probe in probes(facts):
        if probe.name in tried:
            continue
        counts: dict[Answer, int] = {}
        leaves: dict[Answer, list[Hypothesis]] = {}
        moved = False
        for hypothesis in left:
            foretold, known, moves = _predict(hypothesis, probe, facts)
            moved = moved or moves
            for answer in foretold:
                counts[answer] = counts.get(answer, 0) + 1
            for answer in foretold | known:
                leaves.setdefault(answer, []).append(hypothesis)
        if not moved and (max(counts.values()) < len(left) or (not answered and _SILENCE not in counts)):
            return _Choice(probe, {answer: tuple(kept) for answer, kept in leaves.items()})
    return None


def _wait_of(tcb: TCB) -> float:
    copy = tcb.last_copy
    if copy is None:
        return LISTEN_UNKNOWN
    return max(LISTEN_LEAST, LISTEN_FACTOR * copy.gap / 1e9) if copy.gap or tcb.fin_seq is not None else LISTEN_UNKNOWN


def _accepts(wanted: State | None) -> frozenset[State]:
    if wanted is None:
        return frozenset()
    return st.NO_TCB if wanted is State.CLOSED else frozenset({wanted})


def identify(tcb: TCB, wanted: State | None = None) -> Inquiry:
    """Name the state from the segments so far, which `tcb` has been told of; the caller keeps telling it.

    Stops early when only `wanted` is left (for CLOSED, also when a listener is all there is) or `wanted` is out.
    """
    facts = facts_of(tcb)
    sieve = _Sieve(hypotheses(facts))
    accepts = _accepts(wanted)
    mark = (tcb.snd_nxt, tcb.fin_seq, tcb.iss)
    tried: frozenset[str] = frozenset()
    for _ in range(24):
        if (tcb.snd_nxt, tcb.fin_seq, tcb.iss) != mark:
            mark = (tcb.snd_nxt, tcb.fin_seq, tcb.iss)
            facts = facts_of(tcb)
            sieve = _Sieve(hypotheses(facts), [*sieve.evidence, "the target went on, so asked anew"])
            tried = frozenset()
        states = sieve.states()
        if not states or (sieve.answered and _settled(states, accepts)):
            break
        choice = _choose(sieve.left, facts, tried, sieve.answered)
        if choice is not None:
            own, peer = bases(tcb)
            probe = choice.probe
            tried |= {probe.name}
            came = yield probe._replace(seq=add(peer, probe.seq), ack=add(own, probe.ack))
            _sift(sieve, choice, came, tcb, own, peer)
            continue
        if states == st.NO_TCB and "P2" in tried and not accepts:
            return Conclusion((yield from _port(add(tcb.rcv_nxt, 1 << 30), sieve.evidence)), tuple(sieve.evidence))
        if "P7" in tried or len({st.REPEATS.get(state, 0) for state in states}) == 1:
            break
        tried |= {"P7"}
        seconds = _wait_of(tcb)
        came = yield Listen(seconds)
        sieve.answered = True
        if not sieve.repeated(came, tcb):
            sieve.left = tuple(h for h in sieve.left if h.state not in st.REPEATS)
            sieve.evidence.append(f"nothing repeated within {seconds:.1f} s")
    return Conclusion(sieve.states(), tuple(sieve.evidence))


def _settled(states: frozenset[State], accepts: frozenset[State]) -> bool:
    return states <= accepts or (bool(accepts) and not states & accepts) or len(states) == 1


def _sift(sieve: _Sieve, choice: _Choice, came: Sequence[Segment], tcb: TCB, own: int, peer: int) -> None:
    copies = [segment for segment in came if segment.length and not segment.flags & RST]
    direct = [segment for segment in came if segment not in copies or (segment.flags & choice.probe.flags & SYN)]
    answer = _read(direct[0], own, peer) if direct else _SILENCE
    words = flag_names(direct[0].flags) + _relative(direct[0], tcb) if direct else "nothing"
    sieve.evidence.append(f"{choice.probe.name} drew {words}")
    sieve.left = choice.leaves.get(answer, ())
    sieve.answered = True
    if copies:
        sieve.repeated(copies, tcb)


def _relative(segment: Segment, tcb: TCB) -> str:
    if segment.flags & RST:
        return ""
    own = tcb.fin_seq is not None and segment.seq == add(tcb.fin_seq, 1)
    peer = tcb.peer_fin is not None and segment.ack == add(tcb.peer_fin, 1)
    return (
        f" ({'counts' if own else 'does not count'} its FIN, {'acknowledges' if peer else 'does not acknowledge'} ours)"
    )


def _port(seq: int, evidence: list[str]) -> Generator[Action, Sequence[Segment], frozenset[State]]:
    """CLOSED or LISTEN, where P2 drew RST,ACK: some stacks answer so from LISTEN too. A SYN tells; a RST takes it back."""
    came = yield Probe("SYN", SYN, seq, throttled=False)
    if not any(segment.flags & SYN for segment in came):
        evidence.append("a SYN drew no SYN,ACK")
        return frozenset({State.CLOSED})
    yield Probe("RST", RST, add(seq, 1), throttled=False)
    evidence.append("a SYN drew SYN,ACK")
    return frozenset({State.LISTEN})


# -- without history ----------------------------------------------------------------------------------------


def identify_stranger(seq: int, ack: int, *, disturb: bool = True) -> Inquiry:
    """Name the state of a connection of which no segment was seen; `seq` and `ack` are any two numbers.

    What can be told without disturbing is told so. ESTABLISHED, CLOSE-WAIT, FIN-WAIT-2 and TIME-WAIT, and FIN-WAIT-1,
    CLOSING and LAST-ACK, differ only in whether FINs that nobody saw were counted: with `disturb` the last probes
    move the state, without it the conclusion holds them all (catalogue/states.yaml, without_history).
    """
    evidence: list[str] = []

    def told(*possible: State, disturbed: bool = False) -> Conclusion:
        return Conclusion(frozenset(possible), tuple(evidence), disturbed)

    # A foreign number lies outside every window, so P2 may draw an ACK too, of the kind that may be throttled.
    came = yield Probe("P2", 0, seq)
    if any(segment.flags & RST for segment in came):
        evidence.append("P2 drew RST,ACK")
        return told(*(yield from _port(seq, evidence)))
    if not came:
        came = yield Probe("P1", ACK, seq, ack)
    direct = [segment for segment in came if not segment.flags & (SYN | FIN)]
    copies = [segment for segment in came if segment.flags & (SYN | FIN)]
    if not direct or direct[0].flags & RST or copies:
        evidence.append("a foreign ACK drew RST" if direct and direct[0].flags & RST else "a foreign ACK drew no ACK")
        if not copies:
            copies = list((yield Listen(LISTEN_UNKNOWN)))
        for segment in copies:
            if segment.flags & SYN:
                evidence.append(f"{flag_names(segment.flags)} repeated")
                return told(State.SYN_RECEIVED if segment.flags & ACK else State.SYN_SENT)
        if direct and direct[0].flags & RST:
            evidence.append("nothing repeated")
            return told(State.LISTEN)
        if not copies:
            return told()
    numbers = direct[0] if direct else copies[0]
    evidence.append("a foreign ACK drew an ACK with the numbers")
    snd_nxt, rcv_nxt = numbers.end, numbers.ack
    repeats = copies or list((yield Listen(LISTEN_UNKNOWN)))
    for segment in repeats:
        if segment.flags & SYN:
            evidence.append(f"{flag_names(segment.flags)} repeated")
            return told(State.SYN_RECEIVED if segment.flags & ACK else State.SYN_SENT)
    fin = [segment for segment in repeats if segment.flags & FIN]
    if fin:
        snd_nxt = fin[0].end
    evidence.append("FIN repeated" if fin else "nothing repeated")
    group = _FIN_OPEN if fin else _FIN_QUIET
    if not disturb:
        return told(*group)
    return (yield from _disturb(bool(fin), snd_nxt, rcv_nxt, evidence))


_FIN_OPEN = (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)
_FIN_QUIET = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_2, State.TIME_WAIT)


def _disturb(fin: bool, snd_nxt: int, rcv_nxt: int, evidence: list[str]) -> Inquiry:
    """Part the groups that only unseen FINs tell apart, by probes that move the state."""
    una = add(snd_nxt, -1) if fin else snd_nxt

    def told(*possible: State) -> Conclusion:
        return Conclusion(frozenset(possible), tuple(evidence), disturbed=True)

    came = (yield Probe("text", ACK, rcv_nxt, una, b"\0", throttled=False, disturbs=True)) or (yield Listen(SETTLED))
    answers = [segment for segment in came if not segment.flags & (SYN | FIN)]
    reset = any(segment.flags & RST for segment in answers)
    took = any(segment.ack == add(rcv_nxt, 1) for segment in answers if not segment.flags & RST)
    evidence.append("an octet of text was " + ("reset" if reset else "taken" if took else "not taken"))
    if fin:
        if reset or took:
            return told(State.FIN_WAIT_1)
        yield Probe("P9", ACK, rcv_nxt, snd_nxt, throttled=False, disturbs=True)
        came = yield Probe("P5", FIN | ACK, add(rcv_nxt, -1), snd_nxt, throttled=False, disturbs=True)
        gone = any(segment.flags & RST for segment in came)
        evidence.append(f"after the ACK of its FIN a FIN drew {'RST' if gone else 'ACK'}")
        return told(State.LAST_ACK if gone else State.CLOSING)
    if reset:
        return told(State.FIN_WAIT_2)
    if took:
        yield Probe("FIN", FIN | ACK, add(rcv_nxt, 1), snd_nxt, throttled=False, disturbs=True)
        rcv_nxt = add(rcv_nxt, 2)
        answers = list((yield Probe("text", ACK, rcv_nxt, snd_nxt, b"\0", throttled=False, disturbs=True)))
    # CLOSE-WAIT or TIME-WAIT is left. The RFC has both ignore the text; a stack that answers it is in TIME-WAIT.
    late = bool(answers)
    evidence.append(f"text after the FINs drew {'an ACK' if late else 'nothing'}")
    if not late:
        came = yield Probe("P11", SYN, add(rcv_nxt, 100000), disturbs=True)
        late = any(segment.flags & SYN for segment in came)
        evidence.append(f"a SYN above the window drew {'SYN,ACK' if late else 'no SYN,ACK'}")
    if took:
        return told(State.FIN_WAIT_2 if late else State.ESTABLISHED)
    return told(State.TIME_WAIT if late else State.CLOSE_WAIT)

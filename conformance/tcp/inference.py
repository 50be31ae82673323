"""Which state is the target in? Segments so far -> the states still possible -> the probe that tells the rest apart.

`identify` (with the segments so far) and `identify_stranger` (without any history) are generators: they yield a Probe
to send or a Listen to wait for, are sent the segments that came, and return a Conclusion. They know no clock, no
wire, no call of the application. Replies are predicted by the event table of `states`; the probes are those of
catalogue/states.yaml.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from conformance.tcp import states as st
from conformance.tcp.hypotheses import SILENCE, Hypothesis, Node, Probe, bases, facts_of, read, root
from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment, flag_names
from conformance.tcp.sequence import MASK, add
from conformance.tcp.states import State
from conformance.tcp.tcb import TCB

LISTEN_LEAST = 1.3
"""Seconds after the last copy in which a repeat must come: RFC 6298's minimum of 1 s, and a margin."""
LISTEN_UNKNOWN = 3.5
"""Seconds to listen where no timing is known: the initial RTO of 1 s (or 3 s after a lost SYN), and a margin."""
SETTLED = 0.6
"""Seconds within which a delayed ACK comes: at most 0.5 s (RFC 9293 section 3.8.6.3), and a margin."""
LISTEN_FACTOR = 2.2
"""A repeat follows within twice the gap before (RFC 6298 section 5.5), and a margin."""


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


def _wait_of(tcb: TCB) -> float:
    copy = tcb.last_copy
    if tcb.first_repeat and (copy is None or not copy.gap):
        return tcb.first_repeat
    if copy is None:
        return LISTEN_UNKNOWN
    return max(LISTEN_LEAST, LISTEN_FACTOR * copy.gap / 1e9) if copy.gap or tcb.fin_seq is not None else LISTEN_UNKNOWN


_ACCEPTED = {state: frozenset({state}) for state in State} | {State.CLOSED: st.NO_TCB}


def accepted(wanted: State) -> frozenset[State]:
    """The states that will do where `wanted` is: for CLOSED a listener, too."""
    return _ACCEPTED[wanted]


@lru_cache
def names_of(states: frozenset[State]) -> tuple[str, ...]:
    """Their names, sorted."""
    return tuple(sorted(map(str, states)))


def identify(tcb: TCB, wanted: State | None = None) -> Inquiry:
    """Name the state from the segments so far, which `tcb` has been told of; the caller keeps telling it.

    Stops early when only `wanted` is left (for CLOSED, also when a listener is all there is) or `wanted` is out.
    """
    accepts = frozenset() if wanted is None else accepted(wanted)
    node = root(facts_of(tcb), accepts)
    evidence: list[str] = []
    mark = (tcb.snd_nxt, tcb.fin_seq, tcb.iss)
    own, peer = bases(tcb)
    for _ in range(24):
        if (tcb.snd_nxt, tcb.fin_seq, tcb.iss) != mark:
            mark = (tcb.snd_nxt, tcb.fin_seq, tcb.iss)
            own, peer = bases(tcb)
            node = root(facts_of(tcb), accepts)
            evidence.append("the target went on, so asked anew")
        states, probe = node.states, node.probe
        if not states or (node.answered and _settled(states, accepts)):
            break
        if probe is not None:
            seq, ack = (probe.seq + peer) & MASK, (probe.ack + own) & MASK
            came = yield Probe(probe.name, probe.flags, seq, ack, probe.payload, probe.throttled)
            node = _sift(node, came, tcb, own, peer, evidence)
            continue
        if states == st.NO_TCB and "P2" in node.tried:
            return Conclusion((yield from _port(tcb.rcv_nxt, evidence)), tuple(evidence))
        if node.listened or len({st.REPEATS.get(state, 0) for state in states}) == 1:
            break
        seconds = _wait_of(tcb)
        came = yield Listen(seconds)
        kept = _repeats(node, came, tcb, evidence)
        if kept is None:
            kept = tuple(h for h in node.left if h.state not in st.REPEATS)
            evidence.append(f"nothing repeated within {seconds:.1f} s")
        node = node.heard(kept, repeat=bool(came))
    # Silence alone names nothing: a dead target is silent too.
    return Conclusion(node.states if node.answered else frozenset(), tuple(evidence))


def _settled(states: frozenset[State], accepts: frozenset[State]) -> bool:
    return states <= accepts or (bool(accepts) and not states & accepts) or len(states) == 1


def _sift(node: Node, came: Sequence[Segment], tcb: TCB, own: int, peer: int, evidence: list[str]) -> Node:
    """The point after a probe's answer, which repeats may accompany."""
    probe = node.probe
    assert probe is not None
    direct: Segment | None = None
    copies: list[Segment] = []
    for segment in came:
        flags = segment.flags
        if segment.length and not flags & RST:
            copies.append(segment)
            if not flags & probe.flags & SYN:
                continue
        direct = direct or segment
    if direct is None:
        answer, words = SILENCE, f"{probe.name} drew nothing"
    else:
        answer = read(direct, own, peer)
        if direct.flags & (RST | ACK) == RST | ACK and probe.flags & ACK and direct.seq == (probe.ack + own) & MASK:
            # An ACK on a RST that should have none (RFC 9293 section 3.10.7.1): the wrong form, and still that answer.
            answer = ("RST", probe.ack)
        elif (
            direct.flags & RST
            and not probe.flags & ACK
            and direct.ack == (probe.seq + peer + len(probe.payload)) & MASK
        ):
            answer = ("RST,ACK", 0, (direct.ack - peer) & MASK)  # whatever its own number, which should be 0
        fin, peer_fin = tcb.fin_seq, tcb.peer_fin
        ours = fin is not None and direct.seq == (fin + 1) & MASK
        theirs = peer_fin is not None and direct.ack == (peer_fin + 1) & MASK
        words = _words(probe.name, direct.flags, ours, theirs)
    evidence.append(words)
    node = node.after(answer)
    if copies and node.left:
        kept = _repeats(node, copies, tcb, evidence)
        if kept is not None:
            return node.heard(kept, repeat=True)
    return node


def _repeats(node: Node, segments: Iterable[Segment], tcb: TCB, evidence: list[str]) -> tuple[Hypothesis, ...] | None:
    for segment in segments:
        kept = node.repeating(segment, tcb)
        if kept is not None:
            evidence.append(f"{flag_names(segment.flags)} repeated")
            return kept
    return None


@lru_cache(maxsize=1024)
def _words(name: str, flags: int, own: bool, peer: bool) -> str:
    words = f"{name} drew {flag_names(flags)}"
    if flags & RST:
        return words
    counts = "counts" if own else "does not count"
    return f"{words} ({counts} its FIN, {'acknowledges' if peer else 'does not acknowledge'} ours)"


def _port(seq: int, evidence: list[str]) -> Generator[Action, Sequence[Segment], frozenset[State]]:
    """CLOSED or LISTEN, where P2 drew RST,ACK: some stacks answer so from LISTEN too; a SYN tells, a RST undoes it."""
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
    came = yield Probe("P4", ACK, rcv_nxt, add(snd_nxt, 1000))
    if any(segment.flags & RST for segment in came):
        evidence.append("P4 drew RST")
        return told(State.SYN_RECEIVED)
    copies += [segment for segment in came if segment.flags & (SYN | FIN)]
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

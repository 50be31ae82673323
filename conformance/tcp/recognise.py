"""What a segment of the target is, beside the numbers: a copy, a probe, an update; and what a stack may send of its
own accord. The one place where leniency lives: no expectation has wildcards for it.
"""

from __future__ import annotations

from dataclasses import replace

from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment
from conformance.tcp.sequence import add, at_or_before, before, distance
from conformance.tcp.tcb import TCB

DUE = 150_000_000
"""ns after the copy before from which on a repeat counts as a due retransmission, not as a reply: the shortest
retransmission timer known, far below RFC 6298's minimum, is longer."""
PROBE_DUE = 1_000_000
"""The same for the last segment sent, with SACK: a tail loss probe may come after two round trips, which are short
here (RFC 8985 section 7.2); and for a SYN, which some stacks repeat at once after an ACK that is not acceptable, to
be done with a half-open peer the sooner (RFC 9293 section 3.5.1)."""

CROSSING = 20_000_000
"""ns after the tester's SYN,ACK within which a SYN that comes once more was on its way already: a stack that repeats it
by a timer of some milliseconds may do so before it looks at what came."""


def is_copy(segment: Segment, tcb: TCB) -> bool:
    """The segment occupies only numbers that the target used before, with the same octets (RFC 9293 section 3.8.1)."""
    if not segment.length or segment.flags & RST or tcb.iss is None:
        return False
    if segment.flags & SYN:
        return segment.seq == tcb.iss and at_or_before(segment.end, tcb.snd_nxt)
    if before(segment.seq, tcb.iss) or before(tcb.snd_nxt, segment.end):
        return False
    if segment.flags & FIN and tcb.fin_seq != add(segment.end, -1):
        return False
    return not segment.payload or tcb.same_text(segment.seq, segment.payload)


def is_window_update(segment: Segment, tcb: TCB) -> bool:
    """A bare ACK that opens the window further and acknowledges nothing new (RFC 9293 section 3.8.6)."""
    if segment.flags != ACK or segment.payload or segment.seq != tcb.snd_nxt:
        return False
    edge = add(segment.ack, segment.win << tcb.rcv_shift)
    return segment.ack == (tcb.last_ack if tcb.last_ack is not None else segment.ack) and before(tcb.rcv_edge, edge)


def is_window_probe(segment: Segment, tcb: TCB) -> bool:
    """A probe of a zero window: one octet at the edge, or the keep-alive shape that some stacks use (3.8.6.1)."""
    if segment.flags & (SYN | FIN | RST) or not segment.flags & ACK:
        return False
    if len(segment.payload) == 1:
        return segment.seq in (tcb.snd_una, tcb.snd_nxt)
    return not segment.payload and segment.seq == add(tcb.snd_una, -1)  # at SND.UNA nobody would answer it


def is_keep_alive(segment: Segment, tcb: TCB) -> bool:
    """SEG.SEQ = SND.NXT-1, with no octet of text or one (RFC 9293 section 3.8.4)."""
    if segment.flags & (SYN | FIN | RST) or not segment.flags & ACK or len(segment.payload) > 1:
        return False
    return segment.seq == add(tcb.snd_nxt, -1)


def rides_on_fin(segment: Segment, tcb: TCB) -> bool:
    """An acknowledgement on the FIN sent once more, as the BSD stacks answer while their FIN is not acknowledged.

    It says all that the ACK of RFC 9293 section 3.10.7.4 says, and a FIN may be repeated (section 3.8.1). A due
    retransmission is none: it answers nothing.
    """
    if segment.flags & ~0x08 != FIN | ACK or segment.end != tcb.snd_nxt or not is_copy(segment, tcb):
        return False
    copy = tcb.copies.get(segment.seq) or tcb.last_copy
    return before(tcb.snd_una, segment.end) and (copy is None or segment.time - copy.time < DUE)


def plain_ack(segment: Segment) -> Segment:
    """The bare ACK that a segment which `rides_on_fin` stands for."""
    return replace(segment, flags=ACK, seq=segment.end, payload=b"")


def own_accord(segment: Segment, tcb: TCB) -> str | None:
    """Why a stack may send `segment` now although no step asks for it, or None when it may not."""
    if is_copy(segment, tcb):
        # What crosses the tester's acknowledgement was sent in ignorance of it.
        alone = segment.flags & (SYN | ACK) == SYN
        crosses = segment.time < tcb.una_time + (CROSSING if alone and tcb.last_ack is None else 0)
        una = tcb.una_before if crosses else tcb.snd_una
        if not before(una, segment.end):
            return None
        copy = tcb.copies.get(segment.seq) or tcb.last_copy
        due = PROBE_DUE if alone or (tcb.sack_on and segment.end == tcb.snd_nxt and not segment.flags & SYN) else DUE
        return "a due retransmission" if copy is not None and segment.time - copy.time >= due else None
    if segment.flags & ~0x08 != ACK or segment.payload or segment.seq != tcb.snd_nxt or not tcb.synchronized:
        return None
    if is_window_update(segment, tcb):
        return "a window update"
    if tcb.owed and tcb.last_ack is not None:
        news = distance(tcb.last_ack, segment.ack) > 0
        if news and (segment.ack == tcb.rcv_nxt or segment.ack in tcb.alternatives or before(segment.ack, tcb.rcv_nxt)):
            return "a delayed acknowledgement"
    return None

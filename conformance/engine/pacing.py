"""Spaces segments whose answer a stack may rate-limit, so that its silence is never a throttle (RFC 5961 section 7)."""

from __future__ import annotations

from conformance.engine.context import Run
from conformance.engine.scope import Conn
from conformance.tcp.segment import ACK, RST, SYN, Segment
from conformance.tcp.sequence import acceptable, add, before
from conformance.tcp.tcb import TCB


def draws_challenge(segment: Segment, tcb: TCB, *, with_text: bool = False) -> bool:
    """A right stack answers `segment` with an acknowledgement of the kind that RFC 5961 section 7 lets it throttle.

    Few stacks throttle what they owe to segments outside the window that occupy numbers: `with_text` counts those, too.
    """
    flags = segment.flags
    if not tcb.synchronized or tcb.reset:
        return False
    if flags & SYN:
        return True
    if flags & RST:
        return segment.seq != tcb.rcv_nxt and acceptable(segment.seq, segment.length, tcb.rcv_nxt, tcb.rcv_wnd)
    if before(tcb.snd_nxt, segment.ack) or before(segment.ack, add(tcb.snd_una, -max(tcb.max_wnd, 1))):
        return True
    if segment.length:
        outside = not acceptable(segment.seq, segment.length, tcb.rcv_nxt, tcb.rcv_wnd)
        return with_text and outside
    return segment.seq != tcb.rcv_nxt and not acceptable(segment.seq, 0, tcb.rcv_nxt, tcb.rcv_wnd)


def must_wait(run: Run, conn: Conn, segment: Segment) -> bool:
    """True when `segment` must be paced first; otherwise its being sent now is taken note of."""
    interval = run.pace.challenge_interval
    if not interval or (
        segment.seq == conn.tcb.rcv_nxt and segment.flags & (SYN | RST | ACK) == ACK and _current(segment, conn.tcb)
    ):
        return False
    if not draws_challenge(segment, conn.tcb, with_text=run.pace.with_text):
        return False
    now = run.clock.now()
    if now - conn.challenged < interval * 1e9:
        return True
    conn.challenged = now
    return False


def _current(segment: Segment, tcb: TCB) -> bool:
    return segment.ack in (tcb.snd_nxt, tcb.snd_una)


async def pace(run: Run, conn: Conn, segment: Segment) -> None:
    """Wait until the target may answer `segment`, if an answer before it was of the throttled kind."""
    if must_wait(run, conn, segment):
        # Only time lifts a limit of the target's.
        await run.sleep(run.pace.challenge_interval - (run.clock.now() - conn.challenged) / 1e9)
        run.pump()
        conn.challenged = run.clock.now()

"""`expect`: wait for a segment, hold it against the step, or prove that nothing comes."""

from __future__ import annotations

from collections.abc import Awaitable

from conformance.cases.model import Expect, Span
from conformance.engine.calls import seconds
from conformance.engine.context import SETTLE, Run
from conformance.engine.craft import payload_octets, segment_of
from conformance.engine.ending import Inconclusive
from conformance.engine.expectation import differences, expected_text
from conformance.engine.lateness import timeless
from conformance.engine.result import Difference
from conformance.engine.scope import Conn, HarnessError, Named
from conformance.tcp.expression import Range
from conformance.tcp.inference import LISTEN_UNKNOWN
from conformance.tcp.notation import Kind, Nothing, Retransmission, SegmentLine, Stream
from conformance.tcp.recognise import own_accord
from conformance.tcp.segment import ACK, FIN, Segment
from conformance.tcp.sequence import distance

_REPEAT_FACTOR = 2.6
"""A repeat comes within twice the gap before it; with a margin, how long to wait where the case says nothing."""
DECIDES = 0.25
"""Seconds of slack of a path beyond which a time that is inside its bounds only by the slack is not judged."""
_NO_DIFFERENCE: tuple[Difference, ...] = ()


def expect(run: Run, step: Expect) -> Awaitable[None] | None:
    """One expect step: done at once when the segment is there already, else to be awaited. Raises StepFailed."""
    conn = run.conn(step.conn)
    run.in_run = False
    line = step.line
    if type(line) is SegmentLine and step.within is None and step.gap is None and step.times == _ONCE:
        run.pump()
        queue = conn.queue
        if queue and queue[0].time >= run.began and not differences(step, queue[0], run.scope, conn):
            accept(run, step, conn)
            return None
    if isinstance(line, Nothing):
        return nothing(run, step, conn)
    if isinstance(line, Stream):
        return _stream(run, step, conn, line)
    return _segments(run, step, conn)


_ONCE = (1, 1)


def bounds(span: Span | None, run: Run, conn: Conn) -> tuple[float, float | None]:
    """Both ends of a span in seconds; a single time is an upper end."""
    if span is None:
        return 0.0, None
    if isinstance(span, Range):
        low = 0.0 if span.low is None else seconds(span.low, run, conn)
        return low, None if span.high is None else seconds(span.high, run, conn)
    return 0.0, seconds(span, run, conn)


def _base(run: Run, step: Expect) -> int:
    if step.since is None:
        return run.base
    named = run.scope.names.get(step.since)
    if named is None:
        raise HarnessError(f"no segment is named {step.since!r} yet")
    return named.segment.time


def _copy_before(run: Run, step: Expect, conn: Conn) -> int | None:
    """ns of the copy before the one expected, from which `gap` counts."""
    if isinstance(step.line, Retransmission):
        named = run.scope.names.get(step.line.of)
        if named is not None:
            copy = conn.tcb.copies.get(named.segment.seq)
            return copy.time if copy is not None else named.segment.time
    return conn.last_seen.time if conn.last_seen is not None else None


def _patience(run: Run, step: Expect, conn: Conn, high: float | None, gap_high: float | None) -> int:
    """ns: how long to wait for the segment before it counts as missing."""
    slack = run.pace.slack + 0.05
    now = run.clock.now()
    if gap_high is not None:
        origin = _copy_before(run, step, conn)
        return (now if origin is None else origin) + round((gap_high + slack) * 1e9)
    if high is not None:
        return _base(run, step) + round((high + slack) * 1e9)
    if isinstance(step.line, Retransmission | Kind):
        wait = max(conn.tcb.first_repeat, LISTEN_UNKNOWN, _REPEAT_FACTOR * conn.last_gap)
        return now + round((wait + slack) * 1e9)
    return now + round((SETTLE + slack) * 1e9)


def patience(run: Run, step: Expect, conn: Conn) -> int:
    """ns of the clock until which a step waits for what it expects."""
    return _patience(run, step, conn, bounds(step.within, run, conn)[1], bounds(step.gap, run, conn)[1])


async def _segments(run: Run, step: Expect, conn: Conn) -> None:
    low, high = bounds(step.within, run, conn)
    gap_low, gap_high = bounds(step.gap, run, conn)
    least, most = step.times
    count = 0
    deadline = _patience(run, step, conn, high, gap_high)
    while most is None or count < most:
        if count >= least:
            run.pump()
            if not conn.queue and not await _more(run, step, conn, deadline):
                return
        elif not await run.arrival(conn, deadline):
            immediate = type(step.line) is SegmentLine and timeless(step)
            timed = not (immediate and await _missing(run, conn))
            raise run.fail(step, "nothing came", expected=expected_text(step, conn), seen="nothing", timed=timed)
        segment = conn.queue[0]
        found = differences(step, segment, run.scope, conn)
        if not found:
            found = _timing(run, step, conn, segment, (low, high), (gap_low, gap_high))
            if found:
                text = expected_text(step, conn)
                raise run.fail(step, "it came at another time", expected=text, differences=found, by=(conn, segment))
            accept(run, step, conn)
            count += 1
            deadline = _patience(run, step, conn, high, gap_high)
            continue
        why = own_accord(segment, conn.tcb)
        if why is not None and not run.breaks(conn, segment):
            run.take(conn, step)
            run.admitted(conn, why)
            continue
        if count >= least:
            return
        raise mismatch(run, step, conn, segment, found)


async def _missing(run: Run, conn: Conn) -> bool:
    """Whether an answer that has not come is proven not to come. Raises Inconclusive when it comes now."""
    if not run.target.calibration.barrier_sound or not await run.target.barrier.prove(SETTLE):
        return False
    run.pump()
    if conn.queue:
        raise Inconclusive("an answer came later than any is waited for")
    return True


async def _more(run: Run, step: Expect, conn: Conn, deadline: int) -> bool:
    if step.within is None and step.gap is None:
        await run.prove()
        return bool(conn.queue)
    return await run.arrival(conn, deadline)


def mismatch(run: Run, step: Expect, conn: Conn, segment: Segment, found: tuple[Difference, ...]) -> Exception:
    """The exception for a segment that is not the expected one."""
    text = expected_text(step, conn)
    fields = ", ".join(difference.field for difference in found)
    return run.fail(
        step, f"another segment came: {fields} differ", expected=text, differences=found, by=(conn, segment)
    )


def accept(run: Run, step: Expect, conn: Conn) -> Segment:
    """Take the segment that matched, name it, acknowledge it if the step says so."""
    segment = run.take(conn, step)
    if step.name is not None:
        run.scope.names[step.name] = Named(segment, conn.name, conn.last_gap)
    if step.lost and segment.length and (conn.hold is None or distance(conn.hold, segment.seq) < 0):
        conn.hold = segment.seq
    if step.acked:
        acknowledge(run, conn)
    return segment


def acknowledge(run: Run, conn: Conn) -> None:
    """Send the acknowledgement that a correct peer would send now."""
    run.transmit(conn, segment_of(_PLAIN_ACK, run.scope, conn))


_PLAIN_ACK = SegmentLine(ACK)


def _timing(
    run: Run,
    step: Expect,
    conn: Conn,
    segment: Segment,
    within: tuple[float, float | None],
    gaps: tuple[float, float | None],
) -> tuple[Difference, ...]:
    found = []
    slack = run.pace.slack
    if step.within is not None:
        took = (segment.time - _base(run, step)) / 1e9
        if _outside(took, within, slack):
            found.append(Difference("time", f"within {step.within}", f"{took:.3f}s"))
    if step.gap is not None:
        origin = _copy_before(run, step, conn)
        gap = (segment.time - (segment.time if origin is None else origin)) / 1e9
        if _outside(gap, gaps, slack):
            known = conn.last_gap
            shown = f"{gap:.3f}s" + (f" ({gap / known:.2f}x)" if known > 0 else "")
            found.append(Difference("gap", str(step.gap), shown))
    return tuple(found) if found else _NO_DIFFERENCE


def _outside(time: float, bounds: tuple[float, float | None], slack: float) -> bool:
    """True when a time (s) is outside its bounds by more than the slack. Raises Inconclusive where that is much."""
    low, high = bounds
    if time < low - slack or (high is not None and time > high + slack):
        return True
    if slack > DECIDES and (time < low or (high is not None and time > high)):
        raise Inconclusive(f"answers take up to {slack:.2f} s on this path: too much to judge {time:.2f} s by")
    return False


async def nothing(run: Run, step: Expect, conn: Conn) -> None:
    """Nothing may come: proven by the barrier, or waited out where the case or a permitted delay asks for time."""
    assert isinstance(step.line, Nothing)
    if step.lasting is not None:
        if isinstance(step.lasting, Range):
            raise HarnessError("'for' takes one time, not a range")
        origin = _base(run, step)
        if step.since is None and conn.last_seen is not None:
            origin = max(origin, conn.last_seen.time)
        deadline = origin + round(seconds(step.lasting, run, conn) * 1e9)
    elif run.delayed and conn.tcb.owed:
        deadline = run.base + round((SETTLE + run.pace.slack) * 1e9)
    else:
        deadline = 0
        await run.prove()
    while conn.queue or (deadline and await run.arrival(conn, deadline)):
        segment = conn.queue[0]
        why = own_accord(segment, conn.tcb) if step.line.new else None
        if why is None:
            undecidable(run, conn, segment)
            raise run.fail(step, "a segment came where nothing may come", expected="nothing", by=(conn, segment))
        run.take(conn, step)
        run.admitted(conn, why)
    run.acted = False


def undecidable(run: Run, conn: Conn, segment: Segment) -> None:
    """Raises Inconclusive for a repeat where nothing may come, on a path that loses or delays."""
    if segment.seq in conn.tcb.copies and run.target.calibration.lossy:
        raise Inconclusive("a repeat came where nothing may come: on a path that loses or delays, it may be due")


async def _stream(run: Run, step: Expect, conn: Conn, line: Stream) -> None:
    start = conn.tcb.snd_nxt
    wanted = payload_octets(line.payload, conn.tcb.stream_offset(start), run.scope, conn)
    _, high = bounds(step.within, run, conn)
    got = 0
    while got < len(wanted) or (line.fin and conn.tcb.fin_seq is None):
        if not await run.arrival(conn, _patience(run, step, conn, high, None)):
            raise run.fail(step, "the stream stopped", expected=str(line), seen=f"{got} octets")
        segment = conn.queue[0]
        found = differences(step, segment, run.scope, conn)
        size = len(segment.payload)
        if not found and segment.payload != wanted[got : got + size]:
            found = (Difference("payload", f"octets {got}..{got + size} of the stream", "other octets"),)
        if not found and segment.flags & FIN and not line.fin:
            found = (Difference("flags", "no FIN", "FIN"),)
        if found:
            why = own_accord(segment, conn.tcb)
            if why is not None:
                run.take(conn, step)
                run.admitted(conn, why)
                continue
            raise mismatch(run, step, conn, segment, found)
        accept(run, step, conn)
        got += size


__all__ = ["accept", "acknowledge", "bounds", "expect", "mismatch", "nothing", "patience", "undecidable"]

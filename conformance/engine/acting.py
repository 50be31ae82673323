"""The steps that act or decide: send, any-of, repeat, check, wait, deliver; and the dispatch of all kinds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from conformance.cases import model as m
from conformance.engine import calls
from conformance.engine.context import SETTLE, Run
from conformance.engine.craft import again, encoder_of, icmp_frame, segment_of, stream_of
from conformance.engine.ending import Inconclusive, StepFailed, Stopped
from conformance.engine.expectation import differences, expected_text
from conformance.engine.expecting import expect, patience, undecidable
from conformance.engine.naming import name_state
from conformance.engine.pacing import must_wait, pace
from conformance.engine.result import Event
from conformance.engine.scope import Conn, HarnessError, Named, compare, number, reader
from conformance.tcp.expression import reads_times
from conformance.tcp.notation import Icmp, Nothing, Octets, Retransmission, SegmentLine, Stream
from conformance.tcp.recognise import is_copy, own_accord
from conformance.tcp.segment import ACK, PSH, Segment


def begin(run: Run, step: m.Step) -> Awaitable[None] | None:
    """One step, as far as it goes without waiting; what is returned must be awaited. Most steps wait for nothing.

    Raises StepFailed, Inconclusive, Unsupported, Stopped, HarnessError.
    """
    run.steps.append(step)
    run.lateness.step(run.waited)
    if run.observer is not None:
        run.observer(step)
    return _KINDS[type(step)](run, step)


async def perform(run: Run, step: m.Step) -> None:
    """One step, to its end. Raises as `begin` does."""
    rest = begin(run, step)
    if rest is not None:
        await rest


async def perform_all(run: Run, steps: Sequence[m.Step]) -> None:
    """Steps in order."""
    for step in steps:
        rest = begin(run, step)
        if rest is not None:
            await rest


# -- send ---------------------------------------------------------------------------------------------------


def send(run: Run, step: m.Send) -> Awaitable[None] | None:
    """Send what the line says; segments whose answer may be throttled are spaced."""
    conn = run.conn(step.conn)
    run.begin_run(step)
    line = step.line
    if type(line) is not SegmentLine or not _ordinary(line):
        return _send_other(run, step, conn)
    segment = segment_of(line, run.scope, conn)
    if not step.unpaced and must_wait(run, conn, segment):
        return _send_paced(run, step, conn, segment)
    run.transmit(conn, segment)
    if step.name is not None:
        run.scope.names[step.name] = Named(segment, conn.name, 0.0)
    return None


@lru_cache(maxsize=4096)
def _ordinary(line: SegmentLine) -> bool:
    return not any(field.key in ("frag", "from", "to") for field in line.fields)


async def _send_paced(run: Run, step: m.Send, conn: Conn, segment: Segment) -> None:
    await pace(run, conn, segment)
    run.transmit(conn, segment)
    if step.name is not None:
        run.scope.names[step.name] = Named(segment, conn.name, 0.0)


async def _send_other(run: Run, step: m.Send, conn: Conn) -> None:
    line = step.line
    if isinstance(line, SegmentLine):
        segment = segment_of(line, run.scope, conn)
        if not step.unpaced:
            await pace(run, conn, segment)
        if line.field("frag") is not None:
            _fragments(run, conn, line, segment)
        else:
            run.transmit(conn, segment, encoder=encoder_of(line, conn, run.wire.tester_mac, run.wire.target_mac))
        if step.name is not None:
            run.scope.names[step.name] = Named(segment, conn.name, 0.0)
    elif isinstance(line, Retransmission):
        segment = again(line, run.scope, conn)
        if step.unpaced:
            run.transmit(conn, segment)
            if step.name is not None:
                run.scope.names[step.name] = Named(segment, conn.name, 0.0)
        else:
            await _send_paced(run, step, conn, segment)
    elif isinstance(line, Stream):
        for piece in stream_of(line, run.scope, conn):
            run.transmit(conn, piece)
            if step.name is not None:
                run.scope.names[step.name] = Named(piece, conn.name, 0.0)
    elif isinstance(line, Icmp):
        frame = icmp_frame(line, run.scope, conn)
        conn.watch.doubtful = True
        run.base = run.wire.send(frame)
        run.acted = run.flying = True
        run.trace.append(Event(run.base, "sent", conn.name, len(run.steps) - 1, frame))
    else:
        raise HarnessError(f"{line} cannot be sent")


def _fragments(run: Run, conn: Conn, line: SegmentLine, segment: Segment) -> None:
    size = number(line.field("frag"), run.scope, conn)  # type: ignore[arg-type]
    if size < 8 or size % 8:
        raise HarnessError("frag takes a multiple of 8")
    for frame in conn.encoder.fragments(segment, size):
        segment.time = run.base = run.wire.send(frame)
        run.trace.append(Event(run.base, "sent", conn.name, len(run.steps) - 1, frame))
    conn.tcb.sent(segment)
    conn.watch.sent(segment, conn.tcb)
    conn.last_sent = segment
    run.acted = run.flying = True


# -- any-of ---------------------------------------------------------------------------------------------------


async def any_of(run: Run, step: m.AnyOf) -> None:
    """Take the first way whose first step fits what comes; its label is reported."""
    for label, steps in step.branches:
        if not steps:
            raise HarnessError(f"the way {label!r} has no steps")
    firsts = [steps[0] for _, steps in step.branches]
    if all(isinstance(first, m.Call | m.ResultOf) for first in firsts):
        await _any_call(run, step)
        return
    chosen = await _any_segment(run, step)
    label, steps = step.branches[chosen]
    run.observations[_where(step)] = label
    run.note(f"way taken: {label}")
    await perform_all(run, steps)


def _where(step: m.AnyOf) -> str:
    return ",".join(step.requirements) or f"line {step.place.line}"


async def _any_segment(run: Run, step: m.AnyOf) -> int:
    run.in_run = False
    quiet = None
    lenient = False
    wanted = []
    for index, (_, steps) in enumerate(step.branches):
        first = steps[0]
        if isinstance(first, m.Expect):
            wanted.append(expected_text(first, run.conn(first.conn)))
            if isinstance(first.line, Nothing):
                quiet, lenient = index, first.line.new
    firsts = [steps[0] for _, steps in step.branches]
    conns = dict.fromkeys(first.conn for first in firsts)
    if quiet is not None:
        await run.prove()
    for name in conns:
        conn = run.conn(name)
        deadline = 0
        if len(conns) == 1 and (quiet is None or (run.delayed and conn.tcb.owed)):
            settled = run.clock.now() + round((SETTLE + run.pace.slack) * 1e9)
            said = [patience(run, first, conn) for first in firsts if isinstance(first, m.Expect)]
            deadline = settled if quiet is not None else max(said, default=settled)
        while conn.queue or (deadline and await run.arrival(conn, deadline)):
            for index, first in enumerate(firsts):
                fits = isinstance(first, m.Expect) and first.conn == name and not isinstance(first.line, Nothing)
                if fits and not differences(first, conn.queue[0], run.scope, conn):  # type: ignore[arg-type]
                    return index
            segment = conn.queue[0]
            if quiet is not None and not lenient:
                undecidable(run, conn, segment)
            admitted = lenient or (quiet is None and is_copy(segment, conn.tcb))
            if not admitted or own_accord(segment, conn.tcb) is None:
                raise run.fail(step, "none of the ways was taken", expected=" | ".join(wanted), by=(conn, segment))
            run.admit(conn, step)
    if quiet is not None:
        return quiet
    raise run.fail(step, "none of the ways was taken", expected=" | ".join(wanted), seen="nothing")


async def _any_call(run: Run, step: m.AnyOf) -> None:
    """All ways begin with the same call or result: make it once and see whose outcome it has."""

    failures = []
    first = step.branches[0][1][0]
    run.steps.append(first)
    outcome = await calls.once(run, first)
    for label, steps in step.branches:
        try:
            await calls.judge_as(run, steps[0], first, outcome)
        except StepFailed as failure:
            failures.append(failure)
            continue
        run.observations[_where(step)] = label
        run.note(f"way taken: {label}")
        await perform_all(run, steps[1:])
        return
    expected = " | ".join(failure.finding.expected for failure in failures)
    raise run.fail(step, "none of the ways was taken", expected=expected, seen=failures[0].finding.seen)


# -- the rest ---------------------------------------------------------------------------------------------------


async def repeat(run: Run, step: m.Repeat) -> None:
    """The body, `count` times at most, until the condition holds."""
    for number_ in range(1, step.count + 1):
        await perform_all(run, step.body(number_))
        if step.until is not None and _holds(run, step.until):
            return
    if step.until is not None:
        raise run.fail(step, f"not so after {step.count} rounds", expected=_text(step.until), seen="otherwise")


def _holds(run: Run, check: m.Check) -> bool:
    conn = run.conn(check.conn)
    return compare(reader(check.left)(run.scope, conn), check.op, reader(check.right)(run.scope, conn))


def _text(check: m.Check) -> str:
    return f"{check.left} {check.op} {check.right}"


async def check_(run: Run, step: m.Check) -> None:
    """A comparison must hold."""
    if not _holds(run, step):
        conn = run.conn(step.conn)
        left, right = reader(step.left)(run.scope, conn), reader(step.right)(run.scope, conn)
        if run.target.calibration.lossy and (reads_times(step.left) or reads_times(step.right)):
            raise Inconclusive(f"the path takes its own time: {_text(step)} does not hold, {left} and {right}")
        raise run.fail(step, "the comparison does not hold", expected=_text(step), seen=f"{left} and {right}")


async def wait(run: Run, step: m.Wait) -> None:
    """Let time pass."""
    conn = run.conn(step.conn)
    await run.sleep(calls.seconds(step.span, run, conn))
    run.in_run = False


async def deliver(run: Run, step: m.Deliver) -> None:
    """Data, its ACK, the application's read."""
    common = {
        "place": step.place,
        "text": step.text,
        "conn": step.conn,
        "requirements": step.requirements,
    }
    line = SegmentLine(PSH | ACK, payload=step.payload)
    for rest in (
        send(run, m.Send(line=line, **common)),  # type: ignore[arg-type]
        expect(run, m.Expect(line=SegmentLine(ACK), **common)),  # type: ignore[arg-type]
    ):
        if rest is not None:
            await rest
    conn = run.conn(step.conn)
    size = 0
    for part in step.payload:
        size += len(part.data) * part.times if isinstance(part, Octets) else number(part.count, run.scope, conn)  # type: ignore[arg-type]
    argument = (m.Argument(number=size),)
    rest = calls.call(run, m.Call(verb="recv", args=argument, returns=step.payload, **common))  # type: ignore[arg-type]
    if rest is not None:
        await rest


async def stop(run: Run, step: m.Stop) -> None:
    """The case ends here, well."""
    raise Stopped


_KINDS: dict[type, Callable[..., Awaitable[None] | None]] = {
    m.Send: send,
    m.Expect: expect,
    m.Call: calls.call,
    m.ResultOf: calls.result,
    m.StateIs: name_state,
    m.AnyOf: any_of,
    m.Repeat: repeat,
    m.Check: check_,
    m.Wait: wait,
    m.Deliver: deliver,
    m.Stop: stop,
}

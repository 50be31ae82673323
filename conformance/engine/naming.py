"""`state: X`: asks the inference, sends its probes, and holds the answer against the oracle where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.cases.model import StateIs
from conformance.engine.context import Run
from conformance.engine.craft import stamp
from conformance.engine.ending import Inconclusive
from conformance.engine.pacing import must_wait, pace
from conformance.engine.result import Event, NamedState
from conformance.engine.scope import Conn, HarnessError
from conformance.tcp.hypotheses import Probe
from conformance.tcp.inference import Conclusion, Listen, accepted, identify, names_of
from conformance.tcp.options import Option
from conformance.tcp.recognise import is_copy, own_accord, plain_ack, rides_on_fin
from conformance.tcp.segment import RST, SYN, Segment
from conformance.tcp.sequence import before as is_before


async def name_state(run: Run, step: StateIs) -> None:
    """Name the state from replies. Raises StepFailed when the replies rule the wanted state out.

    No barrier first: what the target still sends of its own comes before the answer to a probe, and is no answer.
    """
    conn = run.conn(step.conn)
    run.pump()
    if conn.queue:
        run.admit_leftovers(step)
    oracle = run.target.oracle if run.check_oracle else None
    # Where asking costs nothing, also before the probes: a stack may be moved by what should leave it as it is.
    before = oracle.state(conn.pair) if oracle is not None and run.target.time is not None else None
    conclusion = await inquire(run, conn, step)
    run.in_run = False
    possible = conclusion.possible
    accepts = accepted(step.state)
    names = names_of(possible)
    told = oracle.state(conn.pair) if oracle is not None else None
    if before is not None and before != told:
        words = f"it went from {before} to {told} while its state was asked for, by nothing that moves a right stack"
        raise run.fail(step, words, expected=before, seen=told or "nothing")
    evidence = "; ".join(conclusion.evidence)
    run.states.append(NamedState(len(run.steps) - 1, conn.name, str(step.state), names, evidence, told))
    run.note(f"replies give away {' or '.join(names) or 'no state'}: {evidence}", conn.name)
    if possible and possible <= accepts:
        if told is not None and told not in accepts:
            raise _disagreement(run, f"the replies say {step.state}, the target itself says {told}")
        return
    if told is not None and told in accepts and step.state not in possible and names:
        raise _disagreement(run, f"the replies were read as {' or '.join(names)}, the target itself says {told}")
    seen = " or ".join(names) or "answers that fit no state"
    raise run.fail(step, f"the replies give away another state ({evidence})", expected=str(step.state), seen=seen)


def _disagreement(run: Run, words: str) -> Exception:
    """Our fault where the oracle is beyond doubt; elsewhere the stack may be at odds with itself."""
    oracle = run.target.oracle
    return (
        HarnessError(f"{words}: inference is at fault")
        if oracle is not None and oracle.trusted
        else Inconclusive(words)
    )


async def inquire(run: Run, conn: Conn, step: StateIs) -> Conclusion:
    """Drive the inference's questions over the wire."""
    inquiry = identify(conn.tcb, step.state)
    try:
        action = next(inquiry)
        while True:
            if isinstance(action, Listen):
                came = await _listen(run, conn, step, action)
            else:
                came = await _probe(run, conn, step, action)
            action = inquiry.send(came)
    except StopIteration as stop:
        conclusion: Conclusion = stop.value
        return conclusion


async def _probe(run: Run, conn: Conn, step: StateIs, probe: Probe) -> Sequence[Segment]:
    tcb = conn.tcb
    options: tuple[Option, ...] = (("nop",), ("nop",), stamp(conn)) if tcb.ts_on and not probe.flags & SYN else ()
    segment = Segment(probe.flags, probe.seq, probe.ack, conn.window, options, probe.payload)
    segment.sport, segment.dport = conn.pair.tester_port, conn.pair.target_port
    if (probe.throttled or run.pace.with_text) and must_wait(run, conn, segment):
        await pace(run, conn, segment)
        if conn.queue:
            run.admit_leftovers(step)
    _send_untold(run, conn, segment)
    run.pump()
    if not conn.queue or len(conn.queue) > 1 or probe.flags & SYN:
        await run.prove()
    return _collect(run, conn, step, repeats=False)


def _send_untold(run: Run, conn: Conn, segment: Segment) -> None:
    """Send a probe without telling the TCB: it is made so that a right stack takes nothing of it."""
    frame = conn.encoder.encode(segment)
    segment.time = run.base = run.wire.send(frame)
    if segment.flags & SYN and is_before(conn.highest, segment.end):
        conn.highest = segment.end
    conn.watch.sent(segment, conn.tcb)
    run.trace.append(Event(segment.time, "probe", conn.name, len(run.steps) - 1, frame))


def _collect(run: Run, conn: Conn, step: StateIs, *, repeats: bool) -> list[Segment]:
    found: list[Segment] = []
    direct = False
    while conn.queue:
        segment = conn.queue[0]
        tcb = conn.tcb
        copy = is_copy(segment, tcb)
        answer = not segment.length or segment.flags & (RST | SYN)
        if (repeats or direct or not answer) and not copy and own_accord(segment, tcb) is None:
            raise run.admit_failure(step, conn, segment)
        if copy and not direct and not repeats and rides_on_fin(segment, tcb):
            found.append(plain_ack(segment))
            direct = True
        direct = direct or (bool(answer) and not copy)
        gap = conn.last_gap
        found.append(run.take(conn, step))
        if not copy:
            conn.last_gap = gap  # between what the target sent by itself; its answer to a probe is none of that
    return found


async def _listen(run: Run, conn: Conn, step: StateIs, listen: Listen) -> Sequence[Segment]:
    copy = conn.tcb.last_copy
    begin = copy.time if copy is not None else run.clock.now()
    latest = max(begin, run.base) if copy is not None else begin
    deadline = latest + round((listen.seconds + run.pace.slack) * 1e9)
    run.pump()
    if await run.arrival(conn, deadline):
        return _collect(run, conn, step, repeats=True)
    return ()


__all__ = ["inquire", "name_state"]

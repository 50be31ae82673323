"""A running case: its connections, its trace, and what has arrived."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.cases.model import Connection, Step, Variation
from conformance.engine.clock import Clock
from conformance.engine.ending import Inconclusive, StepFailed
from conformance.engine.expectation import seen_text
from conformance.engine.lateness import Lateness, by_timer, timeless
from conformance.engine.pace import Pace
from conformance.engine.parting import reset
from conformance.engine.result import Difference, Event, Finding, NamedState
from conformance.engine.scope import Conn, HarnessError, Scope
from conformance.targets.base import AgentSocket, Endpoints, Target
from conformance.tcp.invariants import BY_PATH, SOFT, Violation, violation_of_icmp
from conformance.tcp.recognise import is_copy, is_window_update, own_accord
from conformance.tcp.segment import SYN, IcmpMessage, Segment
from conformance.tcp.sequence import before
from conformance.tcp.tcb import TCB
from conformance.wire.base import Inbox
from conformance.wire.codec import Encoder, decode

SETTLE = 0.5
"""Seconds within which a permitted delay of an acknowledgement ends (RFC 9293 section 3.8.6.3, SHLD-18's bound)."""
MOST_SEEN, MOST_OCTETS = 50_000, 100_000_000
"""Frames of the target that one case looks at, and octets: far more than any case asks for."""


class Run:
    """The state of one running variation."""

    def __init__(self, variation: Variation, target: Target, clock: Clock, service: str | None = None) -> None:
        self.variation = variation
        self.target = target
        self.wire = target.wire
        self.clock = clock
        self.trace: list[Event] = []
        self.steps: list[Step] = []
        self.observations: dict[str, str] = {}
        self.states: list[NamedState] = []
        self.background: list[asyncio.Task[Any]] = []
        """Calls left pending are carried on beside the steps."""
        self.pending: dict[str, tuple[Any, object, int]] = {}
        """Calls left pending: the call, its step, and when (ns) it was made."""
        self.listener: AgentSocket | None = None
        self.listening = False
        self.sockets: list[AgentSocket] = []
        self.in_run = False
        """The latest step sent or called: the next send belongs to the same run."""
        self.acted = False
        """Something was sent or called since silence was last proven."""
        self.flying = False
        """Something was sent since then, and may not have arrived yet."""
        self.unproven = False
        """Silence was waited for, for want of a proof."""
        self.timers_ran = False
        """That was while repeats or probes of the target were due."""
        self.base = clock.now()
        """ns: the latest send or call."""
        self.started = self.began = self.base
        """ns: the first send or call of the latest run of them; what came before satisfies no expectation after it."""
        self.waited = 0
        self.breach: Finding | None = None
        """The first breach of an invariant that guards a SHOULD."""
        self.check_oracle = True
        self.observer: Callable[[Step], None] | None = None
        """Told of every step before it is performed."""
        self.lateness = Lateness(clock)
        self._seen = self._octets = 0
        self.inbox = Inbox()
        self._wakers: list[asyncio.Future[None]] = []
        self._woken = 0
        self.inbox.wake = self._wake
        self.queues: dict[tuple[int, int], deque[Segment]] = {}
        self.scope = Scope({}, {}, self.base)
        self.pace = Pace.of(target.calibration, target.capabilities)
        self.delayed = variation.case.needs.link == "delayed-ack" or not target.capabilities.quick_ack
        self.pair = target.open_pair(variation.version, variation.case.needs.link)  # type: ignore[arg-type]
        if service is not None:
            self.pair = replace(self.pair, target_port=target.capabilities.services[service])
        self.wire.attach(self.pair.tester, self.inbox)
        self.encoder = Encoder(self.pair.tester, self.pair.target, self.wire.tester_mac, self.wire.target_mac)
        self.pairs: list[Endpoints] = []
        # In virtual time a run repeats, octet for octet: so must the tester's numbers.
        self._draw: Any = random if target.time is None else random.Random(variation.id)
        self._add("main", variation.case.connections["main"], self.pair)

    # -- connections ----------------------------------------------------------------------------------------

    def _add(self, name: str, declared: Connection, pair: Endpoints) -> Conn:
        numbers = self._draw.getrandbits(96)
        tcb = TCB(numbers & 0xFFFFFFFF, pair.version, self.target.wire.mtu)
        tcb.first_repeat = self.target.capabilities.first_repeat
        tcb.half_open_kept = self.target.capabilities.half_open_kept
        tcb.snd_nxt = tcb.snd_una = numbers >> 32 & 0xFFFFFFFF
        key = (pair.tester_port, pair.target_port)
        queue = self.queues.setdefault(key, deque())
        conn = Conn(name, declared, pair, self.encoder, tcb, self.inbox, queue, highest=tcb.irs)
        if self.target.time is not None:
            conn.milliseconds = self._milliseconds
        self.scope.conns[name] = conn
        return conn

    def _milliseconds(self) -> int:
        return (self.clock.now() - self.started) // 1_000_000 + 1_000_000 & 0xFFFFFFFF

    def conn(self, name: str) -> Conn:
        """The connection of that name, made when it is first named."""
        found = self.scope.conns.get(name)
        if found is not None:
            return found
        declared = self.variation.case.connections.get(name)
        if declared is None:
            for pattern, candidate in self.variation.case.connections.items():
                if pattern.endswith("*") and name.startswith(pattern[:-1]):
                    declared = candidate
        if declared is None:
            raise HarnessError(f"no connection is named {name!r}")
        if declared.same_pair_as:
            return self._add(name, declared, self.conn(declared.same_pair_as).pair)
        pair = self.target.sibling_pair(self.pair, same_target_port=True)
        self.pairs.append(pair)
        return self._add(name, declared, pair)

    # -- trace ----------------------------------------------------------------------------------------------

    def note(self, text: str, conn: str = "main", kind: str = "note") -> None:
        """Write a line into the trace."""
        self.trace.append(Event(self.clock.now(), kind, conn, len(self.steps) - 1, text))

    # -- sending --------------------------------------------------------------------------------------------

    def transmit(self, conn: Conn, segment: Segment, kind: str = "sent", encoder: Encoder | None = None) -> None:
        """Send a segment on a connection and tell its TCB."""
        frame = (encoder or conn.encoder).encode(segment)
        segment.time = self.base = self.wire.send(frame)
        self.trace.append(Event(segment.time, kind, conn.name, len(self.steps) - 1, frame))
        if encoder is None:
            conn.tcb.sent(segment)
            conn.watch.sent(segment, conn.tcb)
        end = segment.end
        opens = segment.flags & SYN and (not conn.tcb.synchronized or conn.tcb.reset)
        if opens or before(conn.highest, end):
            conn.highest = end
        conn.last_sent = segment
        self.acted = self.flying = True

    # -- receiving ------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._wakers:
            self._woken = self.clock.now()
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)
        self._wakers.clear()

    def pump(self) -> None:
        """Take in every frame that has arrived. Raises Inconclusive where there are more than can be looked at."""
        self.wire.drain()
        frames = self.inbox.frames
        while frames:
            time_ns, data = frames.popleft()
            self._seen += 1
            self._octets += len(data)
            if self._seen > MOST_SEEN or self._octets > MOST_OCTETS:
                self.inbox.overflow += 1 + len(frames)
                frames.clear()
                break
            segment = decode(data)
            if segment is None:
                self.trace.append(Event(time_ns, "note", "main", len(self.steps) - 1, "a frame that is no TCP segment"))
                continue
            if isinstance(segment, IcmpMessage):
                self.trace.append(Event(time_ns, "seen", "main", len(self.steps) - 1, data))
                broken = violation_of_icmp(segment)
                if broken is not None and self.pair.target == data[26:30] and self.steps:
                    raise self._breach(broken, self.steps[-1], f"ICMP type {segment.type} code {segment.code}")
                continue
            segment.time = time_ns
            segment.foreign = self.pair.target not in (data[26:30], data[22:38])
            queue = self.queues.get((segment.dport, segment.sport))
            name = "main" if queue is not None else "?"
            if len(self.scope.conns) > 1:
                name = self._name_of(segment)
            self.trace.append(Event(time_ns, "seen", name, len(self.steps) - 1, data))
            if queue is not None:
                queue.append(segment)
        if self.inbox.overflow:
            raise Inconclusive(
                f"the target floods: {self.inbox.overflow} frames to this case's address were not looked at"
            )

    def _name_of(self, segment: Segment) -> str:
        key = (segment.dport, segment.sport)
        for conn in self.scope.conns.values():
            if (conn.pair.tester_port, conn.pair.target_port) == key:
                return conn.name
        return "?"

    async def arrival(self, conn: Conn, deadline: int) -> bool:
        """True as soon as something is in the connection's queue; False when nothing is at `deadline` (ns)."""
        while True:
            self.pump()
            queue = conn.queue
            while queue and queue[0].time < self.began:
                self.admit(conn, self.steps[-1])
            if queue:
                return True
            now = self.clock.now()
            if now >= deadline:
                return False
            waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wakers.append(waker)
            await self.clock.until(deadline, waker)
            self._count_wait(now, deadline)
            if self.inbox.frames and self.target.time is None:
                self.lateness.add(self.wire.lag / 1e9)
                if self._woken >= now:
                    self.lateness.woken(self._woken)

    async def sleep(self, seconds: float) -> None:
        """Let time pass; what arrives stays queued."""
        begin = self.clock.now()
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        deadline = begin + round(seconds * 1e9)
        await self.clock.until(deadline, waker)
        self._count_wait(begin, deadline)

    def _count_wait(self, begin: int, deadline: int) -> None:
        now = self.clock.now()
        self.waited += now - begin
        self.lateness.timer(begin, deadline, now)

    def take(self, conn: Conn, step: Step) -> Segment:
        """Take the next segment out of the queue and adopt its numbers. Raises StepFailed on a broken invariant."""
        segment = conn.queue.popleft()
        tcb = conn.tcb
        broken = self._violation(conn, segment)
        if broken is not None:
            failure = self._breach(broken, step, seen_text(segment, conn))
            if broken.name not in SOFT:
                raise failure
            self.breach = self.breach or failure.finding
        last = conn.last_seen
        if segment.length and segment.seq in tcb.copies:
            conn.last_gap = (segment.time - tcb.copies[segment.seq].time) / 1e9
        elif last is not None:
            conn.last_gap = (segment.time - last.time) / 1e9
        conn.last_seen = segment
        tcb.seen(segment)
        conn.watch.seen(segment, tcb)
        if (
            conn.hold is not None
            and segment.length
            and not before(conn.hold, segment.seq)
            and before(conn.hold, segment.end)
        ):
            conn.hold = None
        return segment

    def breaks(self, conn: Conn, segment: Segment) -> bool:
        """True for a segment that breaks an invariant which guards more than a SHOULD: nothing admits it."""
        broken = self._violation(conn, segment)
        return broken is not None and broken.name not in SOFT

    def _violation(self, conn: Conn, segment: Segment) -> Violation | None:
        """The invariant that a segment breaks. Raises Inconclusive where the path may have broken it."""
        broken = conn.watch.violation(segment, conn.tcb, conn.highest)
        if broken is not None and broken.name in BY_PATH and self.target.calibration.lossy:
            raise Inconclusive(f"on a path that loses or delays this may be due: {broken.message} ({broken.name})")
        return broken

    def _breach(self, broken: Violation, step: Step, seen: str) -> StepFailed:
        message = f"nothing that a target sends may be like this: {broken.message} (invariant {broken.name})"
        index = len(self.steps) - 1
        finding = Finding(step.place, index, message, (broken.requirement,), step.text, seen=seen)
        return StepFailed(finding, breach=True)

    # -- silence --------------------------------------------------------------------------------------------

    async def prove(self) -> None:
        """Prove that what the target was going to send at once has arrived. Raises Inconclusive."""
        if not self.target.calibration.barrier_sound:
            self.unproven = True
            if self.target.calibration.lossy:  # seconds are waited for there, not tenths of one
                self.timers_ran = self.timers_ran or any(conn.tcb.timer_runs for conn in self.scope.conns.values())
            await self.sleep(self.pace.silence)  # there is no proof here
        elif not self.target.barrier.prove_now():
            for _ in range(3):
                if await self.target.barrier.prove(0.5):
                    break
            else:
                raise Inconclusive("the barrier that proves silence was lost three times")
        self.pump()
        self.acted = self.flying = False

    # -- steps ----------------------------------------------------------------------------------------------

    def fail(
        self,
        step: Step,
        message: str,
        *,
        expected: str = "",
        seen: str = "",
        differences: tuple[Difference, ...] = (),
        by: tuple[Conn, Segment] | None = None,
        timed: bool = True,
    ) -> StepFailed:
        """The exception for a step that did not hold; `by` a segment, whose breach of an invariant is told, too.

        Raises Inconclusive where the path may have broken the invariant.
        """
        requirements = step.requirements or self.variation.case.requirements
        breach = False
        if by is not None:
            conn, segment = by
            seen = seen_text(segment, conn)
            broken = self._violation(conn, segment)
            if broken is not None:
                breach = broken.name not in SOFT
                message += f"; {broken.message} (invariant {broken.name})"
                if broken.requirement not in requirements:
                    requirements = (*requirements, broken.requirement)
            timed = self.delayed or not timeless(step) or by_timer(segment, conn.tcb)
            copy = conn.tcb.copies.get(segment.seq) or (conn.tcb.last_copy if is_copy(segment, conn.tcb) else None)
            if segment.length and copy is not None:
                self.lateness.step(self.waited)
                self.lateness.repeat(segment.time, (segment.time - copy.time) / 1e9, fails=True)
        index = len(self.steps) - 1
        finding = Finding(step.place, index, message, requirements, step.text, expected, seen, differences)
        return StepFailed(finding, breach=breach, timed=timed)

    def admit_leftovers(self, step: Step) -> None:
        """Everything that arrived and that no step took must be what a stack may send of its own accord."""
        for conn in self.scope.conns.values():
            if conn.declared.unwatched:
                conn.queue.clear()
                continue
            while conn.queue:
                self.admit(conn, step)

    def admit(self, conn: Conn, step: Step) -> None:
        """Take the next segment, which no step expects, if a stack may send it of its own accord."""
        segment = conn.queue[0]
        why = own_accord(segment, conn.tcb)
        if (why is None and not self._for_sibling(conn, segment)) or self.breaks(conn, segment):
            raise self.admit_failure(step, conn, segment)
        self.take(conn, step)
        self.admitted(conn, why)

    def admitted(self, conn: Conn, why: str | None) -> None:
        """The segment taken last came of the stack's own accord."""
        self.note(f"admitted: {why}", conn.name)
        if conn.last_seen is not None and conn.last_seen.length:
            self.lateness.step(self.waited)
            self.lateness.repeat(conn.last_seen.time, conn.last_gap)

    def admit_failure(self, step: Step, conn: Conn, segment: Segment) -> StepFailed:
        """The exception for a segment that no step expects."""
        return self.fail(step, "a segment came that no step expects", expected="nothing", by=(conn, segment))

    def _for_sibling(self, conn: Conn, segment: Segment) -> bool:
        for other in self.scope.conns.values():
            if other is not conn and other.queue is conn.queue and own_accord(segment, other.tcb):
                return True
        return False

    def begin_run(self, step: Step) -> None:
        """A step that acts begins: before the first of a run, all that came until now is accounted for."""
        if self.in_run:
            self._admit_updates(step)
            return
        self.in_run = True
        if self.inbox.frames:
            # Judged by the numbers of before this step: what it sends may acknowledge them.
            self.pump()
        for queue in self.queues.values():
            if queue:
                self.admit_leftovers(step)
                break
        self.began = self.clock.now()

    def _admit_updates(self, step: Step) -> None:
        """A window that a call of this run has opened, and that was told before this step acts, is no answer to it."""
        if self.inbox.frames:
            self.pump()
        for conn in self.scope.conns.values():
            while conn.queue and not conn.declared.unwatched and is_window_update(conn.queue[0], conn.tcb):
                self.admit(conn, step)

    def close(self) -> None:
        """Leave nothing behind: sockets gone, the pair reset and given back."""
        for pending, _, _ in self.pending.values():
            pending.cancel()
        for task in self.background:
            task.cancel()
        if self.target.time is None:  # else the next case begins with a fresh stack
            gone = self.states[-1].connection if self.states and self.states[-1].state == "CLOSED" else None
            over = self.scope.conns[gone].socket if gone is not None else None
            for sock in self.sockets:
                sock.dispose(gone=sock is over)
            reset(self.wire, self.scope, gone)
        self.wire.detach(self.pair.tester)
        self.inbox.wake = None  # a cycle less for the collector
        for pair in self.pairs:
            self.target.release(pair)
        self.target.release(self.pair)

"""A scripted target, and a clock that moves only when it is asked to: these tests need no stack and no time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.cases.loader import load_text
from conformance.catalogue import load as load_catalogue
from conformance.engine.result import Result
from conformance.engine.run import run_variation
from conformance.targets.base import Capabilities, Endpoints, Outcome
from conformance.tcp.segment import ACK, SYN, Segment
from conformance.tcp.sequence import add
from conformance.wire.base import Calibration, Frame, Inbox
from conformance.wire.codec import Encoder, decode

ISS = 0xFFFFFF00
"""The scripted target's first number: its numbers wrap within most conversations."""
VERBS = frozenset("listen accept connect send recv shutdown close abort poll".split())


class VirtualClock:
    """Time goes on in `until` only, from event to event; `late` seconds are added whenever a timer of ours fires."""

    def __init__(self) -> None:
        self.time = 1_700_000_000_000_000_000
        self.late = 0.0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now(self) -> int:
        return self.time

    def at(self, moment: int, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), event))

    def advance(self, moment: int, wake: asyncio.Future[None] | None = None) -> None:
        """Go on to `moment`, or to the event that wakes."""
        while self._events and self._events[0][0] <= moment and not (wake and wake.done()):
            self.time, _, event = heapq.heappop(self._events)
            event()
        if not (wake and wake.done()):
            self.time = max(self.time, moment)

    async def until(self, moment: int, wake: asyncio.Future[None]) -> None:
        self.advance(moment, wake)
        if not wake.done():
            self.time += round(self.late * 1e9)


@dataclass(frozen=True)
class R:
    """A reply: flags and numbers relative to the target's and the tester's first, and when it comes, in seconds."""

    flags: int
    seq: int
    ack: int = 0
    text: bytes = b""
    after: float = 10e-6
    fields: Mapping[str, Any] = field(default_factory=dict)


Script = Mapping[int, Sequence[R]]
"""Index of the segment that the tester sends -> what it draws."""


class FakeWire:
    """Answers the tester's n-th segment as the script says."""

    tester_mac, target_mac, mtu = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2", 1500
    lag = 0

    def __init__(self, clock: VirtualClock, script: Script, pair: Endpoints) -> None:
        self.clock, self.script, self.pair = clock, script, pair
        self.back = Encoder(pair.target, pair.tester, self.target_mac, self.tester_mac)
        self.sent: list[Segment] = []
        self.irs = 0
        self.dropped = self.received = 0
        self.inboxes: dict[bytes, Inbox] = {}

    def send(self, frame: bytes) -> int:
        segment = decode(frame)
        assert isinstance(segment, Segment)
        segment.time = now = self.clock.time
        if segment.flags & SYN and not self.sent:
            self.irs = segment.seq
        for reply in self.script.get(len(self.sent), ()):
            self.clock.at(now + round(reply.after * 1e9), lambda reply=reply: self._deliver(reply))
        self.sent.append(segment)
        self.clock.time += 1_000
        return now

    def _deliver(self, reply: R) -> None:
        segment = Segment(reply.flags, add(ISS, reply.seq), 0, 65535, payload=reply.text)
        segment.ack = add(self.irs, reply.ack) if reply.flags & ACK else 0
        segment.sport, segment.dport = self.pair.target_port, self.pair.tester_port
        for name, value in reply.fields.items():
            setattr(segment, name, value)
        inbox = self.inboxes.get(self.pair.tester)
        if inbox is not None:
            inbox.frames.append(Frame(self.clock.time, self.back.encode(segment)))
            if inbox.wake is not None:
                inbox.wake()

    def drain(self) -> int:
        self.clock.advance(self.clock.time)
        return 0

    def attach(self, address: bytes, inbox: Inbox) -> None:
        self.inboxes[address] = inbox

    def detach(self, address: bytes, late: object = None) -> None:
        self.inboxes.pop(address, None)

    def watch(self) -> None: ...

    def unwatch(self) -> None: ...

    def counters(self) -> dict[str, int]:
        return {"dropped": self.dropped}

    def close(self) -> None: ...


class FakeBarrier:
    """What the target answers at once comes within 50 us, before the barrier does; a `lost` one never comes."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.lost, self.proofs = clock, False, 0

    def prove_now(self) -> bool:
        self.proofs += 1
        self.clock.advance(self.clock.time + 50_000)
        return not self.lost

    async def prove(self, timeout: float) -> bool:
        return self.prove_now()


class FakeSocket:
    """Every verb's outcomes, in order; the last one stays."""

    def __init__(self, outcomes: Mapping[str, list[Outcome]]) -> None:
        self.outcomes = outcomes
        self.calls: list[str] = []

    def __getattr__(self, verb: str) -> Any:
        def called(*args: object, **named: object) -> Outcome:
            self.calls.append(verb)
            said = self.outcomes.get(verb, [Outcome()])
            return said.pop(0) if len(said) > 1 else said[0]

        return called


class FakeOracle:
    trusted = True

    def __init__(self, said: str) -> None:
        self.said = said

    def state(self, pair: Endpoints) -> str:
        return self.said


class FakeTarget:
    """A target of which everything is scripted."""

    name = "fake"
    time = None
    at_once = 100
    worlds = 1
    clean_path = True
    life = None

    def __init__(
        self, clock: VirtualClock, script: Script, *, sound: bool = True, oracle: str | None = None, **able: Any
    ) -> None:
        self.pair = Endpoints(4, b"\xc6\x12\0\1", b"\xc0\0\2\1", 40_000, 5_000)
        self.wire = FakeWire(clock, script, self.pair)
        self.barrier = FakeBarrier(clock)
        self.calibration = Calibration(sound, 1, 200, 7e-6, 9e-6, lossy=not sound)
        self.capabilities = Capabilities(**{"verbs": VERBS, **able})
        self.oracle = FakeOracle(oracle) if oracle else None
        self.outcomes: dict[str, list[Outcome]] = {}
        self.released: list[Endpoints] = []
        self.given: list[FakeSocket] = []

    def describe(self) -> dict[str, object]:
        return {}

    def open_pair(self, version: int, link: str) -> Endpoints:
        return self.pair

    def sibling_pair(self, pair: Endpoints, *, same_target_port: bool) -> Endpoints:
        return Endpoints(4, pair.tester, pair.target, pair.tester_port + 1, pair.target_port)

    def release(self, pair: Endpoints) -> None:
        self.released.append(pair)

    def socket(self, pair: Endpoints) -> FakeSocket:
        self.given.append(FakeSocket(self.outcomes))
        return self.given[-1]

    def health(self) -> dict[str, int]:
        return {}

    def close(self) -> None: ...


def variation(steps: str, head: str = "", requirements: str = "RFC9293-MUST-12", name: str = "t"):
    text = f"title: T\nrequirements: [{requirements}]\n{head}"
    text += "needs: {ip: v4}\n" if "needs:" not in head else ""
    return load_text(text + "steps:\n" + steps, f"{name}.yaml", name).variations[0]


def play(
    steps: str,
    script: Script | None = None,
    *,
    head: str = "",
    requirements: str = "RFC9293-MUST-12",
    prepare: Callable[[FakeTarget, VirtualClock], None] | None = None,
    deadline: float | None = None,
    **able: Any,
) -> tuple[Result, FakeTarget]:
    """Run a case against a script; nothing of it takes time."""
    clock = VirtualClock()
    target = FakeTarget(clock, script or {}, **able)
    if prepare is not None:
        prepare(target, clock)
    result = asyncio.run(
        run_variation(variation(steps, head, requirements), target, clock, load_catalogue(), deadline=deadline)  # type: ignore[arg-type]
    )
    return result, target

"""One who names states from outside: it has the wire, the endpoints and the segments so far (or not even these).

No preamble, no agent, no oracle, nothing of the engine: this module must not import them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from conformance.tcp.inference import Conclusion, Inquiry, Listen, Probe, identify, identify_stranger
from conformance.tcp.segment import SYN, Segment
from conformance.tcp.sequence import add
from conformance.tcp.states import State
from conformance.tcp.tcb import TCB
from conformance.wire.base import Barrier, Frame, Inbox, Wire
from conformance.wire.codec import Encoder, decode


class Endpoint(NamedTuple):
    """One pair of endpoints, as octets and numbers."""

    tester: bytes
    tester_port: int
    target: bytes
    target_port: int


def source(frame: bytes) -> bytes:
    """The address that an IPv4 or IPv6 frame comes from."""
    return frame[26:30] if frame[12:14] == b"\x08\x00" else frame[22:38]


class Identifier:
    """Asks the target at the other end of the wire; `interval` is how far apart answers may be throttled."""

    def __init__(self, wire: Wire, barrier: Barrier, pair: Endpoint, interval: float) -> None:
        self.wire, self.barrier, self.pair, self.interval = wire, barrier, pair, interval
        self.tcb = TCB(0, 4 if len(pair.tester) == 4 else 6)
        self.encoder = Encoder(pair.tester, pair.target, wire.tester_mac, wire.target_mac)
        self.inbox = Inbox()
        self.probes: list[str] = []
        self.queue: deque[Segment] = deque()
        self._window = 65535
        self._stamp: tuple[int, int] | None = None
        self._throttled = 0.0
        self._arrived = asyncio.Event()
        self.inbox.wake = self._arrived.set
        wire.attach(pair.tester, self.inbox)

    async def with_history(self, frames: Sequence[Frame], wanted: State | None = None) -> Conclusion:
        """The state, given every frame of the pair until now in order of time, as a capture has them."""
        for frame in sorted(frames, key=lambda frame: frame.time):
            segment = decode(frame.data)
            if not isinstance(segment, Segment):
                continue
            segment.time = frame.time
            if source(frame.data) == self.pair.tester:
                self._sent(segment)
            else:
                self.tcb.seen(segment)
        return await self._drive(identify(self.tcb, wanted))

    async def stranger(self, random: Random, *, disturb: bool = True) -> Conclusion:
        """The state of a connection of which nothing is known but the endpoints."""
        return await self._drive(identify_stranger(random.getrandbits(32), random.getrandbits(32), disturb=disturb))

    def _sent(self, segment: Segment) -> None:
        self.tcb.sent(segment)
        self._window = segment.win
        stamps = segment.timestamps
        if stamps is not None:
            self._stamp = (stamps[0], segment.time)

    async def _drive(self, inquiry: Inquiry) -> Conclusion:
        await asyncio.sleep(self.interval)
        self._collect()
        try:
            action = next(inquiry)
            while True:
                action = inquiry.send(await (self._listen(action) if isinstance(action, Listen) else self._ask(action)))
        except StopIteration as stop:
            conclusion: Conclusion = stop.value
            return conclusion

    async def _ask(self, probe: Probe) -> Sequence[Segment]:
        if probe.throttled:
            await asyncio.sleep(max(0.0, self._throttled + self.interval - time.monotonic()))
            self._collect()
            self._throttled = time.monotonic()
        self.probes.append(probe.name)
        segment = Segment(probe.flags, probe.seq, probe.ack, self._window, payload=probe.payload)
        segment.sport, segment.dport = self.pair.tester_port, self.pair.target_port
        if self.tcb.ts_on and not probe.flags & SYN and self._stamp is not None:
            value = add(self._stamp[0], (time.time_ns() - self._stamp[1]) // 1_000_000)
            segment.options = (("nop",), ("nop",), ("ts", value, self.tcb.ts_echo))
        self.wire.send(self.encoder.encode(segment))
        while not self.barrier.prove_now() and not await self.barrier.prove(1.0):
            pass
        return self._collect()

    async def _listen(self, listen: Listen) -> Sequence[Segment]:
        self.probes.append(listen.name)
        copy = self.tcb.last_copy
        since = max(0.0, (time.time_ns() - copy.time) / 1e9) if copy is not None and listen.seconds < 3 else 0.0
        until = time.monotonic() + max(0.05, listen.seconds - since)
        while not (came := self._collect()) and (left := until - time.monotonic()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                pass
        return came

    def _collect(self) -> list[Segment]:
        self.wire.drain()
        found = []
        while self.inbox.frames:
            frame = self.inbox.frames.popleft()
            segment = decode(frame.data)
            if isinstance(segment, Segment) and segment.dport == self.pair.tester_port and segment.checksum_ok:
                segment.time = frame.time
                self.tcb.seen(segment)
                found.append(segment)
        return found

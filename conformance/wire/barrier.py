"""The barrier: proof that a target has answered all that it was going to answer at once.

A barrier is an ACK segment to a closed port, from an address that no case uses. RFC 9293 3.10.7.1 has it answered by
a RST whose sequence number is the ACK's acknowledgment number; each barrier carries another one, so that a late reply
is never taken for a new one's. When its reply has been read, the segments sent before it have been dealt with, and
their replies, had there been any, would have been read first. `calibrate` finds out whether that holds on this path.

It says nothing of timers and delayed ACKs, nor while another thread is inside a call on the socket in question.
Imports the wire's contracts, scapy (frames are crafted once, when a barrier is made) and the standard library.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
import socket
import struct
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic, sleep

from conformance.wire.base import Calibration, Inbox, Wire

WIDTHS = (1, 4)
"""Segments of one barrier. Where receive steering spreads connections over CPUs one may overtake; four rarely can."""
FIRST_PORT = 40_001
"""The barriers' source ports are this and the next; their addresses belong to no case, so nothing clashes."""

_CALM, _UNEVEN, _MORE = 0.01, 4, 4
"""Seconds up to which the 99th percentile of replies is no matter, the ratio to the median up to which it is the path's
own, and how often it is measured again beyond both."""
_PAUSE = 0.25
"""Seconds before it is measured again, each time twice as long: what keeps the machine busy may be over then."""

_NUMBER = struct.Struct("!I")
_SYN = 0x02


class _Template:
    """A TCP segment as a frame in which two 16-bit-aligned numbers are patched, with the checksum, and no more."""

    __slots__ = ("_at", "_checksum_at", "_frame", "_sum")

    def __init__(self, wire: Wire, path: tuple[bytes, bytes], ports: tuple[int, int], flags: str, field: int) -> None:
        from scapy.layers.inet import IP, TCP
        from scapy.layers.inet6 import IPv6
        from scapy.layers.l2 import Ether

        source, target = path
        is_v4 = len(source) == 4
        network, family = (IP, socket.AF_INET) if is_v4 else (IPv6, socket.AF_INET6)
        frame = (
            Ether(src=wire.tester_mac, dst=wire.target_mac)
            / network(src=socket.inet_ntop(family, source), dst=socket.inet_ntop(family, target))
            / TCP(sport=ports[0], dport=ports[1], flags=flags, seq=0, ack=0)
        )
        self._frame = bytearray(bytes(frame))
        segment = 34 if is_v4 else 54
        self._at = segment + field
        self._checksum_at = segment + 16
        self._sum = 0xFFFF - int.from_bytes(self._frame[self._checksum_at : self._checksum_at + 2])

    def on_port(self, port: int) -> _Template:
        """The same from another source port, given that this one's is 0; crafting it anew would take a millisecond."""
        other = copy.copy(self)
        other._frame = self._frame.copy()
        segment = self._checksum_at - 16
        other._frame[segment : segment + 2] = port.to_bytes(2)
        other._sum += port
        return other

    def patched(self, number: int) -> bytes:
        """The frame with the 32-bit `number` in its place (RFC 1624 updates the checksum)."""
        total = self._sum + (number >> 16) + (number & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        frame = self._frame
        _NUMBER.pack_into(frame, self._at, number)
        frame[self._checksum_at : self._checksum_at + 2] = (0xFFFF - total).to_bytes(2)
        return bytes(frame)


class ResetBarrier:
    """The barrier (`conformance.wire.base.Barrier`) from up to four phantom `sources` to one closed port of `target`.

    `width` of them (1 or 4) make one proof; `calibrate` sets it.
    """

    def __init__(self, wire: Wire, *, sources: Sequence[bytes], target: bytes, closed_port: int) -> None:
        if len(sources) != max(WIDTHS):
            raise ValueError(f"a barrier needs {max(WIDTHS)} source addresses, not {len(sources)}")
        self.width = WIDTHS[0]
        self.answered = 0
        """When the latest reply to any barrier was read (ns, CLOCK_REALTIME, the kernel's stamp)."""
        self._wire = wire
        self._sources = tuple(sources)
        self._inbox = Inbox()
        ports = [FIRST_PORT + index for index in range(len(sources))]
        self._templates = [
            _Template(wire, (source, target), (port, closed_port), "A", 8)
            for source, port in zip(sources, ports, strict=True)
        ]
        # A reply is known by its ports and sequence number, the first eight octets of its TCP header.
        self._reply_ports = [struct.pack("!HH", closed_port, port) for port in ports]
        self._reply_at = 34 if len(target) == 4 else 54
        self._number = random.getrandbits(32)
        self._awaited: set[bytes] = set()
        self._waiting: set[asyncio.Future[None]] = set()
        for source in sources:
            wire.attach(source, self._inbox)

    def prove_now(self) -> bool:
        """Send the barrier and drain; True when its replies are all read already (the usual case on a veth).

        Raises OSError when the link is gone.
        """
        mine = self._begin()
        proven = not mine & self._awaited
        self._awaited -= mine
        return proven

    def prove_busily(self, timeout: float) -> bool:
        """As `prove`, outside any loop: drain over and over for up to `timeout` seconds."""
        mine = self._begin()
        deadline = monotonic() + timeout
        while mine & self._awaited and monotonic() < deadline:
            self._wire.drain()
            self._collect()
        proven = not mine & self._awaited
        self._awaited -= mine
        return proven

    async def prove(self, timeout: float) -> bool:
        """As `prove_now`, then wait up to `timeout` seconds for the replies; False means lost, never "silent".

        Arrivals wake it while the wire is watched; otherwise somebody must drain.
        """
        mine = self._begin()
        deadline = monotonic() + timeout
        loop = asyncio.get_running_loop()
        try:
            while mine & self._awaited:
                left = deadline - monotonic()
                if left <= 0:
                    return False
                arrival = loop.create_future()
                self._waiting.add(arrival)
                self._inbox.wake = self._wake
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await arrival
                self._waiting.discard(arrival)
                self._collect()
            return True
        finally:
            self._awaited -= mine
            if not self._waiting:
                self._inbox.wake = None

    def close(self) -> None:
        """Give the source addresses back; safe to call twice."""
        for source in self._sources:
            self._wire.detach(source)

    def _begin(self) -> set[bytes]:
        mine = set()
        wire = self._wire
        for index in range(self.width):
            self._number = number = self._number + 1 & 0xFFFFFFFF
            mine.add(self._reply_ports[index] + _NUMBER.pack(number))
            self._awaited |= mine
            wire.send(self._templates[index].patched(number))
        wire.drain()
        self._collect()
        return mine

    def _collect(self) -> None:
        frames = self._inbox.frames
        at = self._reply_at
        while frames:
            time, data = frames.popleft()
            key = data[at : at + 8]
            if key in self._awaited:
                self._awaited.remove(key)
                self.answered = time

    def _wake(self) -> None:
        for arrival in self._waiting:
            if not arrival.done():
                arrival.set_result(None)


def calibrate(
    wire: Wire,
    barrier: ResetBarrier,
    paths: Sequence[tuple[bytes, bytes]],
    *,
    closed_port: int,
    trials: int = 200,
    patience: float = 0.02,
) -> Calibration:
    """Measure the path before any case runs, and set the barrier's width to the least that is sound.

    Each of `paths` is a phantom address that nobody else uses and the target's address (of either IP version). A trial
    is a SYN from there to `closed_port`, then a barrier: the RST,ACK must have been read, and first, once the barrier
    is answered. Where no port is closed it is a SYN,ACK, and what it opened is reset. 200 trials for each path take
    about 15 ms. A width at which one trial fails is given up; when none is left the result says that the barrier is
    not sound, and silence has to be waited for. Where few replies were much slower than most the machine was busy
    with something else: what the path takes is measured again, and the calmest time counts.

    `patience`: seconds that a barrier may take.
    """
    found = _calibrated(wire, barrier, paths, closed_port, trials, patience)
    for more in range(_MORE):
        if not max(_CALM, _UNEVEN * found.reply_median) < found.reply_p99 < float("inf"):
            break
        sleep(_PAUSE * 2**more)  # only time ends what keeps the machine busy
        again = _calibrated(wire, barrier, paths, closed_port, trials, patience)
        found = replace(
            min(found, again, key=lambda one: one.reply_p99),
            barrier_sound=found.barrier_sound and again.barrier_sound,
            barrier_width=max(found.barrier_width, again.barrier_width),
            lossy=found.lossy or again.lossy,
        )
    barrier.width = found.barrier_width
    return found


def _calibrated(
    wire: Wire,
    barrier: ResetBarrier,
    paths: Sequence[tuple[bytes, bytes]],
    closed_port: int,
    trials: int,
    patience: float,
) -> Calibration:
    """One measurement of all paths."""
    for width in WIDTHS:
        barrier.width = width
        sound, times = True, []
        for path in paths:
            held, measured = _trials(wire, barrier, path, closed_port, trials, patience)
            sound = sound and held
            times += measured
        if sound:
            break
    times.sort()
    nothing = float("inf")
    return Calibration(
        barrier_sound=sound,
        barrier_width=width,
        trials=trials * len(paths),
        reply_median=times[len(times) // 2] if times else nothing,
        reply_p99=times[len(times) * 99 // 100] if times else nothing,
        lossy=not sound,
    )


def _trials(
    wire: Wire, barrier: ResetBarrier, path: tuple[bytes, bytes], closed_port: int, trials: int, patience: float
) -> tuple[bool, list[float]]:
    """Run trials until a reply is lost; return whether all held, and the times in seconds of all replies that came."""
    tester, inbox = path[0], Inbox()
    wire.attach(tester, inbox)
    acknowledged = 42 if len(tester) == 4 else 62
    # Sixteen ports, for steering goes by ports as well as by addresses.
    stimulus = _Template(wire, path, (0, closed_port), "S", 4)
    stimuli = [stimulus.on_port(20_000 + 251 * n) for n in range(16)]
    reset = _Template(wire, path, (0, closed_port), "R", 4)
    resets = [reset.on_port(20_000 + 251 * n) for n in range(16)]
    held = True
    times: list[float] = []
    try:
        for trial in range(trials):
            number = random.getrandbits(32)
            sent = wire.send(stimuli[trial % len(stimuli)].patched(number))
            if not _answered(barrier, patience):
                return False, times
            expected = _NUMBER.pack(number + 1 & 0xFFFFFFFF)
            deadline = monotonic() + patience
            while not (replies := [f for f in inbox.frames if f.data[acknowledged : acknowledged + 4] == expected]):
                if monotonic() > deadline:
                    return False, times
                wire.drain()
            inbox.frames.clear()
            times.append((replies[0].time - sent) / 1e9)
            if replies[0].data[acknowledged + 5] & _SYN:  # a stack that accepts on every port
                wire.send(resets[trial % len(resets)].patched(number + 1 & 0xFFFFFFFF))
            if replies[0].time > barrier.answered:  # it overtook: this barrier proves nothing
                held = False
    finally:
        wire.detach(tester)
    return held, times


def _answered(barrier: ResetBarrier, patience: float, attempts: int = 3) -> bool:
    """Whether a barrier came back in one of some attempts: a lost one only means "again"."""
    return any(barrier.prove_busily(patience) for _ in range(attempts))

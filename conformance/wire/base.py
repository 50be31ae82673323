"""What every wire offers: frames out, frames in, sorted by the tester address they are meant for.

A wire is used from one thread, inside one asyncio loop. Times are nanoseconds of CLOCK_REALTIME, taken as
near to the kernel as can be had. Imports nothing but the standard library.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Frame(NamedTuple):
    """One link-layer frame as it was received: `time` in ns of CLOCK_REALTIME, `data` from the Ethernet header on."""

    time: int
    data: bytes


MOST_WAITING, MOST_LARGE = 30_000, 1_000
"""Frames that an inbox holds while nobody looks: what comes then, or a large one then, is a flood, and only counted.

More than a receive ring holds.
"""
LARGE = 2048
"""Octets from which on a frame is larger than any link of ours carries; 64 kB can come by a socket."""


@dataclass(slots=True)
class Inbox:
    """Frames for one tester address that nobody has looked at yet; `wake` is called after a frame was added."""

    frames: deque[Frame] = field(default_factory=deque)
    overflow: int = 0
    """Frames that came when there was no room."""
    wake: Callable[[], None] | None = None


class Wire(Protocol):
    """Carries Ethernet frames between the phantom hosts of the tester and the target."""

    tester_mac: bytes
    target_mac: bytes
    mtu: int
    lag: int
    """ns between a frame's arrival and its being read, when last the loop was woken for one: our own lateness."""
    received: int
    """Frames read since the start."""

    def send(self, frame: bytes) -> int:
        """Send one frame; return the time (ns, CLOCK_REALTIME) just before it was handed to the kernel.

        Raises OSError when the link is gone.
        """

    def drain(self) -> int:
        """Move every frame that is readable now into its inbox, without waiting; return how many were moved.

        Frames for an address without an inbox are counted in `counters()["strays"]`, or, when the address is in
        quarantine, handed to the `late` callback it was detached with.
        """

    def attach(self, address: bytes, inbox: Inbox) -> None:
        """Deliver frames whose IP destination is `address` (4 or 16 octets) to `inbox` from now on."""

    def detach(self, address: bytes, late: Callable[[Frame], None] | None = None) -> None:
        """Stop delivering; frames that still come for `address` go to `late` until the address is attached again."""

    def watch(self) -> None:
        """Register with the running asyncio loop, so that arrivals are drained and inboxes woken by themselves."""

    def unwatch(self) -> None:
        """Undo `watch`."""

    def counters(self) -> dict[str, int]:
        """Health since the start: sent, received, dropped (by the kernel, before us), strays."""

    def close(self) -> None:
        """Close the sockets; safe to call twice."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured on this path before any case ran."""

    barrier_sound: bool
    """False when, in any trial, a reply was read after the reply to a later barrier: then silence is waited for."""
    barrier_width: int
    """How many barrier segments, on different ports, one proof of silence takes (1 or 4)."""
    trials: int
    reply_median: float
    """Seconds from send to the reply's kernel time stamp."""
    reply_p99: float
    """Seconds; bounds on immediate replies are the RFC's plus a multiple of this."""
    lossy: bool = False
    """What is sent on the path may be lost, or delayed for long."""


class Barrier(Protocol):
    """Proves that all replies that a target was going to send at once have been read."""

    def prove_now(self) -> bool:
        """Send the barrier and drain; True when its replies are all read already (the usual case on a veth)."""

    async def prove(self, timeout: float) -> bool:
        """As `prove_now`, then wait up to `timeout` seconds for the replies; False means lost, never "silent"."""

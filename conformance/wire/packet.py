"""The wire over a packet socket: Ethernet frames out and in, in the clear, with the kernel's time stamps.

The socket comes open and bound (the holder opens it in the target's namespace). Imports the ring and the standard
library.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import time_ns

from conformance.wire.base import Frame, Inbox
from conformance.wire.ring import SLOTS, Ring
from conformance.wire.sorting import Sorter


class PacketWire:
    """A wire (`conformance.wire.base.Wire`) over `descriptor`, which it owns from now on.

    `other` is told of frames that are for no inbox, and says whether that was for it.

    Raises RingError when the kernel refuses the receive ring.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        tester_mac: bytes,
        target_mac: bytes,
        mtu: int = 1500,
        slots: int = SLOTS,
        other: Callable[[Frame], bool] | None = None,
    ) -> None:
        self.tester_mac = tester_mac
        self.target_mac = target_mac
        self.mtu = mtu
        self.lag = self._first = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0, fileno=descriptor)
        try:
            self._ring = Ring(self._socket, slots=slots, mtu=mtu)
        except BaseException:
            self._socket.close()
            raise
        self._transmit = self._socket.send
        self._sorter = Sorter(other)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sent = self.received = self._dropped = 0

    def send(self, frame: bytes) -> int:
        """Send one frame; return the time (ns, CLOCK_REALTIME) just before it was handed to the kernel.

        Raises OSError when the link is gone or the frame longer than it carries.
        """
        now = time_ns()
        self._transmit(frame)
        self._sent += 1
        return now

    def drain(self) -> int:
        """Move every frame that is readable now into its inbox, without waiting; return how many were moved.

        Frames that are neither IPv4 nor IPv6 are ignored, and so is multicast (the target's own MLD reports).
        """
        arrived = self._ring.read()
        if not arrived:
            return 0
        self._first = arrived[0][0]
        self.received += len(arrived)
        return self._sorter.sort(arrived)

    def _readable(self) -> None:
        self._first = 0
        self.drain()
        if self._first:
            self.lag = time_ns() - self._first
        else:
            # The link may have gone: unless its error is taken, the socket is readable for ever, and the loop spins.
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def attach(self, address: bytes, inbox: Inbox) -> None:
        """Deliver frames whose IP destination is `address` (4 or 16 octets) to `inbox` from now on."""
        self._sorter.attach(address, inbox)

    def detach(self, address: bytes, late: Callable[[Frame], None] | None = None) -> None:
        """Stop delivering; frames that still come for `address` go to `late` until the address is attached again."""
        self._sorter.detach(address, late)

    def watch(self) -> None:
        """Register with the running asyncio loop, so that arrivals are drained and inboxes woken by themselves.

        Raises RuntimeError outside a running loop. A second call moves the watch to the loop that runs now.
        """
        self.unwatch()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def unwatch(self) -> None:
        """Undo `watch`; safe without one, and after the loop was closed."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._socket.fileno())

    def counters(self) -> dict[str, int]:
        """Health since the start, in frames: sent, received, dropped (by the kernel, before us), strays, unfinished."""
        if self._socket.fileno() >= 0:
            self._dropped = self._ring.dropped()
        return {
            "sent": self._sent,
            "received": self.received,
            "dropped": self._dropped,
            "strays": self._sorter.strays,
            "unfinished": self._ring.unfinished,
        }

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        if self._socket.fileno() < 0:
            return
        self.counters()
        self.unwatch()
        self._ring.close()
        self._socket.close()

"""The wire over a datagram socket, one Ethernet frame a datagram: to a stack that is a program on this machine.

Imports the wire's contracts and the standard library.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from time import monotonic, time_ns

from conformance.wire.base import Frame, Inbox
from conformance.wire.sorting import Sorter

_PATIENCE = 200
"""ms that a full socket may take to be read: after that the frame is lost, and counted."""
_LARGEST = 1 << 16
_BURST = 256
"""Frames that are read at a time."""
_MOST = 64 * _BURST
"""Frames that are read before others have their turn: a flood keeps nobody waiting without end."""
_ROOM = 4 << 20
"""Octets of room asked for in each direction."""


class DatagramWire:
    """A wire (`conformance.wire.base.Wire`) over `connected`, which it owns from now on.

    `other` is told of frames that are for no inbox, and says whether that was for it.
    """

    lag = 0

    def __init__(
        self,
        connected: socket.socket,
        *,
        tester_mac: bytes,
        target_mac: bytes,
        mtu: int,
        other: Callable[[Frame], bool] | None = None,
    ) -> None:
        self.tester_mac, self.target_mac, self.mtu = tester_mac, target_mac, mtu
        self._sorter = Sorter(other)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sent = self.received = self._dropped = 0
        self._socket = connected
        self.replace(connected)

    def replace(self, connected: socket.socket) -> None:
        """Go on over another socket: the stack was started anew."""
        loop = self._loop
        self.unwatch()
        if connected is not self._socket:
            self._socket.close()
        connected.setblocking(False)
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connected.setsockopt(socket.SOL_SOCKET, buffer, _ROOM)
        self._socket = connected
        if loop is not None and not loop.is_closed():
            self._loop = loop
            loop.add_reader(connected.fileno(), self.drain)

    def send(self, frame: bytes) -> int:
        """Send one frame; return the time (ns, CLOCK_REALTIME) just before it was handed over.

        What a stack does not read is lost, as it is what a dead stack is sent.
        """
        now = time_ns()
        self._sent += 1
        try:
            self._socket.send(frame)
        except BlockingIOError:
            self._make_room()
            try:
                self._socket.send(frame)
            except OSError:
                self._dropped += 1
        except OSError:
            self._dropped += 1
        return now

    def _make_room(self) -> None:
        """Wait until the other end has read something. It may wait for the same of us, so what it says is taken in."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT | select.POLLIN)
        until = monotonic() + _PATIENCE / 1000
        while (left := until - monotonic()) > 0:
            ready = poll.poll(left * 1000)
            if not ready or ready[0][1] & ~select.POLLIN:
                return
            self.drain()

    def drain(self) -> int:
        """Move every frame that is readable now into its inbox, without waiting; return how many were moved.

        At most 16,384 at a time, which is more than the socket holds: what a flood brings meanwhile comes next time.
        """
        moved = read = 0
        more = True
        while more and read < _MOST:
            arrived: list[Frame] = []
            try:
                for _ in range(_BURST):
                    arrived.append(Frame(time_ns(), self._socket.recv(_LARGEST)))
            except OSError:
                more = False
            read += len(arrived)
            self.received += len(arrived)
            moved += self._sorter.sort(arrived)
        return moved

    def attach(self, address: bytes, inbox: Inbox) -> None:
        """Deliver frames whose IP destination is `address` (4 or 16 octets) to `inbox` from now on."""
        self._sorter.attach(address, inbox)

    def detach(self, address: bytes, late: Callable[[Frame], None] | None = None) -> None:
        """Stop delivering; frames that still come for `address` go to `late` until the address is attached again."""
        self._sorter.detach(address, late)

    def watch(self) -> None:
        """Register with the running asyncio loop. Raises RuntimeError outside a running loop."""
        self.unwatch()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self.drain)

    def unwatch(self) -> None:
        """Undo `watch`; safe without one, and after the loop was closed."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed() and self._socket.fileno() >= 0:
            loop.remove_reader(self._socket.fileno())

    def counters(self) -> dict[str, int]:
        """Health since the start, in frames."""
        return {
            "sent": self._sent,
            "received": self.received,
            "dropped": self._dropped,
            "strays": self._sorter.strays,
        }

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self.unwatch()
        self._socket.close()

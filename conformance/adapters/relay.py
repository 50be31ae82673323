# SPDX-License-Identifier: MIT
"""Between the tester's frames and the packets of a stack's own TUN, for agents whose stack makes one.

The stack's network is the agent's own, so what is sent into the TUN by a packet socket comes to the stack alone.
Imports the standard library only: an agent runs in an environment of its own.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable

DEVICE = "tun0"
Ends = tuple[str, int]
"""An address and port."""
_FRAMES = 4
_ALL, _OUTGOING = 3, 4
_HEADER = 14
_IP4, _IP6 = 0x0800, 0x86DD
_TCP, _SYN, _RST, _ACK = 6, 0x02, 0x04, 0x10
_LARGEST = 1 << 16
_ROOM = 4 << 20


class Relay:
    """Carries packets both ways, on the running loop, from now on.

    `opened(local, peer)` is called when a handshake that the peer began is complete: its SYN,ACK is acknowledged. The
    stacks that need this relay do not tell.
    """

    def __init__(self, mac: str, router: str, opened: Callable[[Ends, Ends], None]) -> None:
        self._mac, router_mac = (bytes.fromhex(text.replace(":", "")) for text in (mac, router))
        self._head = router_mac + self._mac
        self._opened = opened
        self._offered: dict[bytes, int] = {}
        """What acknowledges each SYN,ACK sent, by the connection's addresses and ports as the peer writes them."""
        self._waiting: collections.deque[bytes] = collections.deque()
        self._frames = socket.socket(fileno=_FRAMES)
        self._device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._device.bind((DEVICE, _ALL))
        for one in (self._frames, self._device):
            one.setblocking(False)
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                one.setsockopt(socket.SOL_SOCKET, buffer, _ROOM)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._frames, self._inward)
        loop.add_reader(self._device, self.outward)

    def _inward(self) -> None:
        """IP packets for the stack; the tester knows its neighbour, so there is nothing else to answer."""
        while True:
            try:
                frame = self._frames.recv(_LARGEST)
            except OSError:
                return
            if not frame:
                return
            kind = int.from_bytes(frame[12:14], "big")
            if kind in (_IP4, _IP6) and frame[:6] == self._mac and len(frame) > _HEADER:
                with contextlib.suppress(OSError):  # a queue that is full loses packets, as queues do
                    self._device.sendto(frame[_HEADER:], (DEVICE, kind))
                self._note_in(frame[_HEADER:])

    def outward(self) -> None:
        """Hand the tester what the stack has sent."""
        while True:
            try:
                packet, (_, _, way, *_rest) = self._device.recvfrom(_LARGEST)
            except OSError:
                return
            if way != _OUTGOING and packet:
                kind = _IP4 if packet[0] >> 4 == 4 else _IP6
                self._note_out(packet)
                self._waiting.append(self._head + struct.pack("!H", kind) + packet)
                if not self._hand_over():
                    return

    def _hand_over(self) -> bool:
        """Give the tester what waits for it; False, and again later, when it has too much unread."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            try:
                self._frames.send(self._waiting[0])
            except BlockingIOError:
                loop.remove_reader(self._device)
                loop.add_writer(self._frames, self._hand_over)
                return False
            except OSError:
                pass  # it has gone
            self._waiting.popleft()
        loop.remove_writer(self._frames)
        loop.add_reader(self._device, self.outward)
        return True

    def _note_out(self, packet: bytes) -> None:
        found = _tcp(packet)
        if found is None:
            return
        addresses, header = found
        if header[13] & (_SYN | _ACK) == _SYN | _ACK:
            half = len(addresses) // 2
            key = addresses[half:] + addresses[:half] + header[2:4] + header[:2]
            self._offered[key] = int.from_bytes(header[4:8], "big") + 1 & 0xFFFFFFFF

    def _note_in(self, packet: bytes) -> None:
        found = _tcp(packet) if self._offered else None
        if found is None:
            return
        addresses, header = found
        key = addresses + header[:4]
        if header[13] & (_SYN | _RST | _ACK) == _ACK and self._offered.get(key) == int.from_bytes(header[8:12], "big"):
            del self._offered[key]
            half = len(addresses) // 2
            local = str(ipaddress.ip_address(addresses[half:])), int.from_bytes(header[2:4], "big")
            peer = str(ipaddress.ip_address(addresses[:half])), int.from_bytes(header[:2], "big")
            self._opened(local, peer)


def _tcp(packet: bytes) -> tuple[bytes, bytes] | None:
    """Both addresses and the header of a TCP segment without extension headers; None for anything else."""
    if packet[0] >> 4 == 4 and len(packet) >= 40 and packet[9] == _TCP:
        return packet[12:20], packet[(packet[0] & 15) * 4 :][:20]
    if packet[0] >> 4 == 6 and len(packet) >= 60 and packet[6] == _TCP:
        return packet[8:40], packet[40:60]
    return None

"""Neighbours: ARP (RFC 826) and neighbour discovery (RFC 4861 sections 4.3, 4.4), answered and asked.

Frames in, frames out; every address asked for is the router's, so that a target finds the tester whichever way it
thinks that the tester lies. Imports the codec's checksum and the standard library.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from conformance.wire.base import Inbox, Wire
from conformance.wire.codec import checksum

_ARP, _IPV6 = b"\x08\x06", b"\x86\xdd"
_ICMPV6 = 58
_SOLICITATION, _ADVERTISEMENT = 135, 136
_ROUTER_SOLICITED_OVERRIDE = 0xE0000000


def answer(frame: bytes, router_mac: bytes, owns: Callable[[bytes], bool] = lambda _: True) -> bytes | None:
    """The reply to a frame that asks who has an address (4 or 16 octets) that the router `owns`, or None."""
    kind = frame[12:14]
    if kind == _ARP and len(frame) >= 42:
        return _arp(frame, router_mac, owns)
    if kind == _IPV6 and len(frame) >= 78 and frame[20] == _ICMPV6 and frame[54] == _SOLICITATION:
        return _advertisement(frame, router_mac, owns)
    return None


def _arp(frame: bytes, router_mac: bytes, owns: Callable[[bytes], bool]) -> bytes | None:
    hardware, protocol, sizes, operation = struct.unpack("!HHHH", frame[14:22])
    asker_mac, asker, wanted = frame[22:28], frame[28:32], frame[38:42]
    # A probe for one's own address (RFC 5227), or an announcement of it, is no question to us.
    if (hardware, protocol, sizes, operation) != (1, 0x0800, 0x0604, 1) or asker in (wanted, b"\0\0\0\0"):
        return None
    if not owns(wanted):
        return None
    head = struct.pack("!HHHH", 1, 0x0800, 0x0604, 2)
    return asker_mac + router_mac + _ARP + head + router_mac + wanted + asker_mac + asker


def _advertisement(frame: bytes, router_mac: bytes, owns: Callable[[bytes], bool]) -> bytes | None:
    asker_mac, asker, wanted = frame[6:12], frame[22:38], frame[62:78]
    # From the unspecified address it looks for duplicates of its own (RFC 4862 section 5.4).
    if asker == bytes(16) or not owns(wanted):
        return None
    body = struct.pack("!I", _ROUTER_SOLICITED_OVERRIDE) + wanted + b"\x02\x01" + router_mac
    message = struct.pack("!BBH", _ADVERTISEMENT, 0, 0) + body
    pseudo = wanted + asker + struct.pack("!II", len(message), _ICMPV6)
    message = message[:2] + checksum(pseudo + message).to_bytes(2) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255) + wanted + asker
    return asker_mac + router_mac + _IPV6 + header + message


def _request(mac: bytes, asker: bytes, wanted: bytes) -> bytes:
    """The frame that asks the link who has `wanted`."""
    if len(wanted) == 4:
        head = struct.pack("!HHHHH", 0x0806, 1, 0x0800, 0x0604, 1)
        return b"\xff" * 6 + mac + head + mac + asker + bytes(6) + wanted
    group = b"\xff\x02" + bytes(9) + b"\x01\xff" + wanted[13:]
    message = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + wanted + b"\x01\x01" + mac
    pseudo = asker + group + struct.pack("!II", len(message), _ICMPV6)
    message = message[:2] + checksum(pseudo + message).to_bytes(2) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255) + asker + group
    return b"\x33\x33" + group[12:] + mac + _IPV6 + header + message


class Resolver:
    """Finds the MAC address of a neighbour by asking the link; `hear` gets the frames that are for no inbox."""

    def __init__(self) -> None:
        self._found: dict[bytes, bytes] = {}

    def hear(self, frame: bytes) -> None:
        """Take note of an ARP reply."""
        if frame[12:14] == _ARP and len(frame) >= 42 and frame[20:22] == b"\0\2":
            self._found[frame[28:32]] = frame[22:28]

    def ask(self, wire: Wire, asker: bytes, wanted: bytes, *, attempts: int = 4, patience: float = 0.5) -> bytes | None:
        """The MAC address of `wanted`, or None when nobody answers `attempts` times, `patience` seconds each.

        `asker` is an address of the tester that nothing else uses now. Raises OSError when the link is gone.
        """
        inbox = Inbox()
        wire.attach(asker, inbox)
        try:
            for _ in range(attempts):
                wire.send(_request(wire.tester_mac, asker, wanted))
                deadline = time.monotonic() + patience
                while time.monotonic() < deadline:
                    wire.drain()
                    for frame in inbox.frames:
                        data = frame.data
                        advert = data[20:21] == bytes([_ICMPV6]) and data[54:55] == bytes([_ADVERTISEMENT])
                        if len(wanted) == 16 and advert and data[62:78] == wanted:
                            self._found[wanted] = data[6:12]
                    inbox.frames.clear()
                    if wanted in self._found:
                        return self._found[wanted]
                    time.sleep(0.001)
        finally:
            wire.detach(asker)
        return None

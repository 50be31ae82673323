# SPDX-License-Identifier: GPL-2.0-only
"""What the agent calls of liblwipv6: sockets of its one stack, which runs in threads of the library's own."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import socket
import struct

_POINTERS = ("lwip_add_stack", "lwip_add_tunif")
_LONGS = ("lwip_recv", "lwip_send")
_DEVICE_FLAGS = 0
_NAME = b"tn0"
"""What the stack calls its first TUN."""
_SET_MTU = 0x8922
_LARGEST = 1 << 16
POLL_IN, POLL_OUT = 1, 4
POLL_NAMES = {POLL_IN: "IN", 2: "PRI", POLL_OUT: "OUT", 8: "ERR", 16: "HUP"}
OPTIONS = {
    "SO_KEEPALIVE": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "SO_REUSEADDR": (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    "SO_RCVBUF": (socket.SOL_SOCKET, socket.SO_RCVBUF),
    "SO_ERROR": (socket.SOL_SOCKET, socket.SO_ERROR),
    "TCP_NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
}
"""Options that are numbers: level and name."""


class _Poll(ctypes.Structure):
    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class Library:
    """The library with one stack on one TUN. All calls raise OSError with the stack's errno."""

    def __init__(self, path: str, device: str) -> None:
        self._library = ctypes.CDLL(path, use_errno=True)
        for name in _POINTERS:
            getattr(self._library, name).restype = ctypes.c_void_p
        for name in _LONGS:
            getattr(self._library, name).restype = ctypes.c_ssize_t
        self._stack = ctypes.c_void_p(self._library.lwip_add_stack(ctypes.c_ulong(0)))
        self._device = ctypes.c_void_p(
            self._library.lwip_add_tunif(self._stack, ctypes.c_char_p(device.encode()), _DEVICE_FLAGS)
        )
        if not self._stack or not self._device:
            raise OSError(errno.ENODEV, "the stack has no device")

    @staticmethod
    def _address(text: str) -> ctypes.Array[ctypes.c_char]:
        """As the stack has it: 16 octets, IPv4's mapped."""
        one = ipaddress.ip_address(text)
        return ctypes.create_string_buffer(
            one.packed if one.version == 6 else b"\0" * 10 + b"\xff\xff" + one.packed, 16
        )

    @staticmethod
    def _mask(length: int) -> ctypes.Array[ctypes.c_char]:
        return ctypes.create_string_buffer(((1 << 128) - (1 << 128 - length)).to_bytes(16, "big"), 16)

    def up(self, addresses: list[str], gateways: list[str]) -> None:
        """Give the device its addresses and routes."""
        for text in addresses:
            one = ipaddress.ip_interface(text)
            length = one.network.prefixlen + (96 if one.version == 4 else 0)
            self._library.lwip_add_addr(self._device, self._address(str(one.ip)), self._mask(length))
        self._library.lwip_ifup_flags(self._device, 0)
        for text in gateways:
            four = ":" not in text
            any_ = self._address("0.0.0.0" if four else "::")  # noqa: S104
            self._library.lwip_add_route(
                self._stack, any_, self._mask(96 if four else 0), self._address(text), self._device, 0
            )

    def mtu(self, octets: int) -> None:
        """Tell the stack of its device's MTU."""
        asking = self.socket(six=False)
        request = ctypes.create_string_buffer(struct.pack("16sI20x", _NAME, octets), 40)
        self._done(self._library.lwip_ioctl(asking, ctypes.c_long(_SET_MTU), request))
        self.close(asking)

    def _done(self, value: int) -> int:
        if value < 0:
            number = ctypes.get_errno() or errno.EIO
            raise OSError(number, os.strerror(number))
        return value

    @staticmethod
    def _ends(end: tuple[str, int]) -> bytes:
        if ":" in end[0]:
            body = struct.pack("!HI", end[1], 0) + socket.inet_pton(socket.AF_INET6, end[0]) + bytes(4)
            return struct.pack("=H", socket.AF_INET6) + body
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H", end[1]) + socket.inet_aton(end[0]) + bytes(8)

    def socket(self, six: bool) -> int:
        """A stream socket."""
        family = socket.AF_INET6 if six else socket.AF_INET
        return self._done(self._library.lwip_msocket(self._stack, int(family), int(socket.SOCK_STREAM), 0))

    def bind(self, fd: int, end: tuple[str, int]) -> None:
        """Take an end."""
        octets = self._ends(end)
        self._done(self._library.lwip_bind(fd, octets, len(octets)))

    def listen(self, fd: int, backlog: int) -> None:
        """Become a listener."""
        self._done(self._library.lwip_listen(fd, backlog))

    def connect(self, fd: int, end: tuple[str, int]) -> None:
        """Open actively; blocks."""
        octets = self._ends(end)
        self._done(self._library.lwip_connect(fd, octets, len(octets)))

    def accept(self, fd: int) -> int:
        """A connection; blocks where there is none. Its peer is not told: what the stack says of it is garbage."""
        room, length = ctypes.create_string_buffer(32), ctypes.c_int(32)
        return self._done(self._library.lwip_accept(fd, room, ctypes.byref(length)))

    def recv(self, fd: int, count: int) -> bytes:
        """What has arrived, b"" at the end; blocks where there is nothing."""
        room = ctypes.create_string_buffer(min(count, _LARGEST - 1))
        taken = self._done(self._library.lwip_recv(fd, room, len(room), 0))
        return room.raw[:taken]

    def send(self, fd: int, data: bytes) -> int:
        """Octets taken; blocks until all are."""
        return self._done(self._library.lwip_send(fd, data, len(data), 0))

    def close(self, fd: int) -> None:
        """Close; the stack finishes by itself."""
        self._done(self._library.lwip_close(fd))

    def setsockopt(self, fd: int, level: int, name: int, value: int) -> None:
        """Set an option that is a number."""
        octets = struct.pack("=i", value)
        self._done(self._library.lwip_setsockopt(fd, level, name, octets, len(octets)))

    def getsockopt(self, fd: int, level: int, name: int) -> int:
        """Ask for one."""
        value, length = ctypes.c_int(), ctypes.c_int(4)
        self._done(self._library.lwip_getsockopt(fd, level, name, ctypes.byref(value), ctypes.byref(length)))
        return value.value

    def ready(self, fd: int, events: int) -> int:
        """Which of the events (POLL_IN, POLL_OUT, and errors) are there now."""
        asked = _Poll(fd, events, 0)
        self._done(self._library.lwip_poll(ctypes.byref(asked), 1, 0))
        return int(asked.revents)

# SPDX-License-Identifier: GPL-2.0-only
"""libslirp by ctypes: one instance with its callbacks, and a clock that only moves when it is told to."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

_LIBRARY = ctypes.CDLL("libslirp.so.0")
_CONFIG_VERSION = 4
_START = 1_000_000_000
"""ns: a stack whose clock begins with 0 takes a first delayed ACK for none."""
_SLOW = 499
"""ms between two runs of its slow timers."""
_FAST = 2
"""ms until its delayed ACKs are sent."""
_EVENTS = ((1, select.POLLIN), (2, select.POLLOUT), (4, select.POLLPRI), (8, select.POLLERR), (16, select.POLLHUP))
_NEVER = 0xFFFFFFFF
_MILLISECOND = 1_000_000
_REFUSAL = 5
"""ms of real time in which the loopback device decides an open, once the machine gets to it; most often it has."""

_Pointer = ctypes.c_void_p
_Write = ctypes.CFUNCTYPE(ctypes.c_ssize_t, _Pointer, ctypes.c_size_t, _Pointer)
_Message = ctypes.CFUNCTYPE(None, ctypes.c_char_p, _Pointer)
_Clock = ctypes.CFUNCTYPE(ctypes.c_int64, _Pointer)
_TimerNew = ctypes.CFUNCTYPE(_Pointer, _Pointer, _Pointer, _Pointer)
_TimerNewOpaque = ctypes.CFUNCTYPE(_Pointer, ctypes.c_int, _Pointer, _Pointer)
_TimerFree = ctypes.CFUNCTYPE(None, _Pointer, _Pointer)
_TimerMod = ctypes.CFUNCTYPE(None, _Pointer, ctypes.c_int64, _Pointer)
_Descriptor = ctypes.CFUNCTYPE(None, ctypes.c_int, _Pointer)
_Notify = ctypes.CFUNCTYPE(None, _Pointer)
_Made = ctypes.CFUNCTYPE(None, _Pointer, _Pointer)
_AddPoll = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, _Pointer)
_Revents = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, _Pointer)


class _Callbacks(ctypes.Structure):
    _fields_ = (
        ("send_packet", _Write),
        ("guest_error", _Message),
        ("clock_get_ns", _Clock),
        ("timer_new", _TimerNew),
        ("timer_free", _TimerFree),
        ("timer_mod", _TimerMod),
        ("register_poll_fd", _Descriptor),
        ("unregister_poll_fd", _Descriptor),
        ("notify", _Notify),
        ("init_completed", _Made),
        ("timer_new_opaque", _TimerNewOpaque),
    )


_Six = ctypes.c_uint32 * 4


def _six(octets: bytes) -> ctypes.Array[ctypes.c_uint32]:
    return _Six.from_buffer_copy(octets)


class _Config(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint32),
        ("restricted", ctypes.c_int),
        ("in_enabled", ctypes.c_bool),
        ("vnetwork", ctypes.c_uint32),
        ("vnetmask", ctypes.c_uint32),
        ("vhost", ctypes.c_uint32),
        ("in6_enabled", ctypes.c_bool),
        ("vprefix_addr6", _Six),
        ("vprefix_len", ctypes.c_uint8),
        ("vhost6", _Six),
        ("vhostname", ctypes.c_char_p),
        ("tftp_server_name", ctypes.c_char_p),
        ("tftp_path", ctypes.c_char_p),
        ("bootfile", ctypes.c_char_p),
        ("vdhcp_start", ctypes.c_uint32),
        ("vnameserver", ctypes.c_uint32),
        ("vnameserver6", _Six),
        ("vdnssearch", _Pointer),
        ("vdomainname", ctypes.c_char_p),
        ("if_mtu", ctypes.c_size_t),
        ("if_mru", ctypes.c_size_t),
        ("disable_host_loopback", ctypes.c_bool),
        ("enable_emu", ctypes.c_bool),
        ("outbound_addr", _Pointer),
        ("outbound_addr6", _Pointer),
        ("disable_dns", ctypes.c_bool),
        ("disable_dhcp", ctypes.c_bool),
    )


_LIBRARY.slirp_new.restype = _Pointer
_LIBRARY.slirp_new.argtypes = (ctypes.POINTER(_Config), ctypes.POINTER(_Callbacks), _Pointer)
_LIBRARY.slirp_cleanup.argtypes = (_Pointer,)
_LIBRARY.slirp_input.argtypes = (_Pointer, ctypes.c_char_p, ctypes.c_int)
_LIBRARY.slirp_pollfds_fill.argtypes = (_Pointer, ctypes.POINTER(ctypes.c_uint32), _AddPoll, _Pointer)
_LIBRARY.slirp_pollfds_poll.argtypes = (_Pointer, ctypes.c_int, _Revents, _Pointer)
_LIBRARY.slirp_add_hostxfwd.argtypes = (
    _Pointer,
    ctypes.c_char_p,
    ctypes.c_uint32,
    ctypes.c_char_p,
    ctypes.c_uint32,
    ctypes.c_int,
)
_LIBRARY.slirp_connection_info.restype = _Pointer
_LIBRARY.slirp_connection_info.argtypes = (_Pointer,)
_LIBRARY.slirp_version_string.restype = ctypes.c_char_p
_free = ctypes.CDLL("libglib-2.0.so.0").g_free
_free.argtypes = (_Pointer,)


def version() -> str:
    """Of the library."""
    return str(_LIBRARY.slirp_version_string().decode())


@dataclass(frozen=True)
class Connection:
    """A row of the stack's own table."""

    state: str
    descriptor: int
    source: int
    """A port: the tester's; or the forwarded one, where the stack opens."""
    destination: int
    """A port: the stack's; or the tester's, where the stack opens."""


def _connects(descriptor: int) -> bool:
    """A TCP socket whose open nobody has answered yet."""
    with socket.socket(fileno=os.dup(descriptor)) as one:
        if one.type != socket.SOCK_STREAM:
            return False
        return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\2"  # SYN-SENT


def _sockaddr(address: str, port: int) -> bytes:
    octets = ipaddress.ip_address(address).packed
    if len(octets) == 4:
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + octets + bytes(8)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + octets + bytes(4)


class Slirp:
    """An instance of the stack. `emit` is told each Ethernet frame that it sends."""

    def __init__(self, address4: str, address6: str, mtu: int, emit: Callable[[bytes], None]) -> None:
        self.now = 0
        """ns; moved by whoever holds the stack."""
        self._slow_at = 0
        self._fast_from: int | None = None
        self._busy = False

        def send(data: int, size: int, _: object) -> int:
            emit(ctypes.string_at(data, size))
            return size

        self._callbacks = _Callbacks(
            send_packet=_Write(send),
            guest_error=_Message(lambda text, _: None),
            clock_get_ns=_Clock(lambda _: _START + self.now),
            timer_new=_TimerNew(lambda *_: 1),
            timer_free=_TimerFree(lambda *_: None),
            timer_mod=_TimerMod(lambda *_: None),
            register_poll_fd=_Descriptor(lambda *_: None),
            unregister_poll_fd=_Descriptor(lambda *_: None),
            notify=_Notify(lambda _: None),
            init_completed=_Made(lambda *_: None),
            timer_new_opaque=_TimerNewOpaque(lambda *_: 1),  # router advertisements: nobody waits for one
        )
        self._asked: list[tuple[int, int]] = []
        self._found: dict[int, int] = {}
        self._add_poll = _AddPoll(self._add)
        self._revents = _Revents(lambda index, _: self._found.get(index, 0))
        four, six = ipaddress.IPv4Address(address4), ipaddress.IPv6Address(address6)
        config = _Config(
            version=_CONFIG_VERSION,
            in_enabled=True,
            vhost=int.from_bytes(four.packed, "little"),  # in the order of the network; vnetwork is all that there is
            in6_enabled=True,
            vprefix_addr6=_six(six.packed[:2] + bytes(14)),
            vprefix_len=16,
            vhost6=_six(six.packed),
            vnameserver=int.from_bytes((four + 1).packed, "little"),
            vnameserver6=_six((six + 1).packed),
            if_mtu=mtu,
            if_mru=mtu,
            disable_dns=True,
            disable_dhcp=True,
        )
        self._slirp = _LIBRARY.slirp_new(ctypes.byref(config), ctypes.byref(self._callbacks), None)
        self.turn()

    def _add(self, descriptor: int, events: int, _: object) -> int:
        self._asked.append((descriptor, events))
        return len(self._asked) - 1

    def close(self) -> None:
        """End the instance with all its sockets."""
        _LIBRARY.slirp_cleanup(self._slirp)

    def input(self, frame: bytes) -> None:
        """A frame arrives."""
        _LIBRARY.slirp_input(self._slirp, frame, len(frame))

    def turn(self) -> bool:
        """One turn of its loop: what its sockets have, and the timers that are due. True when a socket had any."""
        self._asked.clear()
        self._found.clear()
        timeout = ctypes.c_uint32(_NEVER)
        _LIBRARY.slirp_pollfds_fill(self._slirp, ctypes.byref(timeout), self._add_poll, None)
        self._note(timeout.value)
        poll = select.poll()
        for descriptor in {descriptor for descriptor, _ in self._asked}:
            wanted = [event for asked, event in self._asked if asked == descriptor]
            poll.register(descriptor, sum(real for flag, real in _EVENTS if any(flag & event for event in wanted)))
        ready = dict(poll.poll(0))
        if any(_connects(descriptor) for descriptor, _ in self._asked if descriptor not in ready):
            ready = dict(poll.poll(_REFUSAL))
        for index, (descriptor, events) in enumerate(self._asked):
            seen = ready.get(descriptor, 0)
            found = sum(flag for flag, real in _EVENTS if seen & real)
            if found:
                self._found[index] = found & (events | 8 | 16)
        self._ran()
        _LIBRARY.slirp_pollfds_poll(self._slirp, 0, self._revents, None)
        return any(self._found.values())

    def _note(self, timeout: int) -> None:
        """What the stack wants to be woken for."""
        self._busy = timeout <= _SLOW
        if timeout <= _FAST and self._fast_from is None:
            self._fast_from = self._milliseconds()

    def _ran(self) -> None:
        """What the coming turn does about its timers, by the stack's own rule."""
        if self._fast_from is not None and self._milliseconds() - self._fast_from >= _FAST:
            self._fast_from = None
        if self._busy and self._milliseconds() - self._slow_at >= _SLOW:
            self._slow_at = self._milliseconds()

    def _milliseconds(self) -> int:
        return (_START + self.now) // _MILLISECOND

    def due(self) -> int | None:
        """When a timer of the stack's is due (ns), None when none is; as of the latest turn."""
        moments = []
        if self._fast_from is not None:
            moments.append(self._fast_from + _FAST)
        if self._busy:
            moments.append(self._slow_at + _SLOW)
        return max(min(moments) * _MILLISECOND - _START, self.now) if moments else None

    def forward(self, port: int, address: str, remote_port: int) -> None:
        """What connects to `port` on loopback shall be connected to a tester. Raises OSError."""
        loopback = "::1" if ":" in address else "127.0.0.1"
        ours, theirs = _sockaddr(loopback, port), _sockaddr(address, remote_port)
        if _LIBRARY.slirp_add_hostxfwd(self._slirp, ours, len(ours), theirs, len(theirs), 0) < 0:
            raise OSError(ctypes.get_errno() or 5, "slirp_add_hostxfwd")

    def connections(self) -> list[Connection]:
        """The stack's table."""
        text = _LIBRARY.slirp_connection_info(self._slirp)
        try:
            lines = ctypes.string_at(text).decode().splitlines()
        finally:
            _free(text)
        rows = []
        for line in lines:
            words = line.split()
            if words and words[0].startswith("TCP[") and words[0] != "TCP[HOST_FORWARD]":
                rows.append(Connection(words[0][4:-1], int(words[1]), int(words[3]), int(words[5])))
        return rows

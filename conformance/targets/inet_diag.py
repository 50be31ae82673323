"""What the kernel itself says of a connection's state, asked by its exact four-tuple, and how sockets are destroyed.

An oracle for one network namespace: the netlink socket was opened there and may be used from anywhere. A query is
one fixed message of 72 octets, packed here because it stands between the segments of a case (4 to 10 us).
Imports the standard library only: the holder, which must start fast, uses the second half.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.targets.base import Endpoints

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
SOCK_DESTROY = 21
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x001
_NLM_F_ACK = 0x004
_NLM_F_DUMP = 0x300
_ALL = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port id."""
_ANSWER = struct.Struct("=IHHIIi")
"""struct nlmsghdr and what follows it: the negative errno of an NLMSG_ERROR, else family, state, timer, retries."""
_BEFORE_ID = struct.Struct("=BBBxI")
"""The head of struct inet_diag_req_v2: family, protocol, extensions, state mask."""
_PORTS = struct.Struct("!HH")
_NO_INTERFACE_NO_COOKIE = struct.pack("=III", 0, _ALL, _ALL)
_REQUEST_LENGTH = 16 + 8 + 48

STATES = {
    1: "ESTABLISHED",
    2: "SYN-SENT",
    3: "SYN-RECEIVED",
    4: "FIN-WAIT-1",
    5: "FIN-WAIT-2",
    6: "TIME-WAIT",
    7: "CLOSED",
    8: "CLOSE-WAIT",
    9: "LAST-ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "SYN-RECEIVED",
}
"""Linux's numbers and RFC 9293's names (3.3.2). 12 is a request socket; 5 may be a TIME-WAIT socket."""


def _query(kind: int, flags: int, sequence: int, pair: Endpoints) -> bytes:
    family = socket.AF_INET if pair.version == 4 else socket.AF_INET6
    return b"".join(
        (
            _HEADER.pack(_REQUEST_LENGTH, kind, flags, sequence, 0),
            _BEFORE_ID.pack(family, socket.IPPROTO_TCP, 0, _ALL),
            _PORTS.pack(pair.target_port, pair.tester_port),
            pair.target.ljust(16, b"\0"),
            pair.tester.ljust(16, b"\0"),
            _NO_INTERFACE_NO_COOKIE,
        )
    )


class InetDiag:
    """The oracle (`conformance.targets.base.Oracle`) over an already open NETLINK_SOCK_DIAG socket, which it owns."""

    trusted = True

    def __init__(self, netlink: socket.socket) -> None:
        self._netlink = netlink
        self._sequence = 0
        # A query is answered within send(): there is nothing to wait for, and what is not there never comes.
        netlink.setblocking(False)

    def state(self, pair: Endpoints) -> str:
        """The state's RFC name; `LISTEN` when only a listener answers, `CLOSED` when nothing does.

        Raises OSError when the kernel refuses the query itself (no inet_diag in it, for example).
        """
        return STATES[self.number(pair)]

    def number(self, pair: Endpoints) -> int:
        """The state as Linux numbers it (include/net/tcp_states.h); 7 when there is no socket."""
        reply = self._ask(SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, pair)
        _, kind, _, _, _, error = _ANSWER.unpack_from(reply)
        if kind != _NLMSG_ERROR:
            return reply[17]
        error = -error
        if error == errno.ENOENT:
            return 7
        raise OSError(error, f"inet_diag: {os.strerror(error)}")

    def destroy(self, pair: Endpoints) -> bool:
        """Abort the connection of `pair`, whoever holds it (SOCK_DESTROY); False when there is none, or not allowed.

        Never touches a listener: the kernel would fall back to it, so the state is looked at first.
        """
        if self.number(pair) in (7, 10):
            return False
        reply = self._ask(SOCK_DESTROY, _NLM_F_REQUEST | _NLM_F_ACK, pair)
        _, kind, _, _, _, error = _ANSWER.unpack_from(reply)
        return bool(kind == _NLMSG_ERROR and error == 0)

    def close(self) -> None:
        """Close the netlink socket; safe to call twice."""
        self._netlink.close()

    def _ask(self, kind: int, flags: int, pair: Endpoints) -> bytes:
        self._sequence = sequence = self._sequence + 1 & 0x7FFFFFFF
        netlink = self._netlink
        netlink.send(_query(kind, flags, sequence, pair))
        while True:
            reply = netlink.recv(8192)
            if _ANSWER.unpack_from(reply)[3] == sequence:
                return reply


def open_socket() -> socket.socket:
    """A NETLINK_SOCK_DIAG socket of the namespace that the caller is in."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)


def destroy_all(netlink: socket.socket) -> int:
    """Destroy every TCP socket of the namespace, in whatever state; return how many went.

    Without this a namespace lives on for as long as its last orphan retransmits: two minutes for a FIN-WAIT-1.
    Needs CAP_NET_ADMIN there; a kernel without CONFIG_INET_DIAG_DESTROY leaves them to their own timers.
    """
    netlink.setblocking(True)
    netlink.settimeout(1.0)
    gone = 0
    for family in (socket.AF_INET, socket.AF_INET6):
        for identity in list(_dump(netlink, family)):
            request = _BEFORE_ID.pack(family, socket.IPPROTO_TCP, 0, _ALL) + identity
            header = _HEADER.pack(16 + len(request), SOCK_DESTROY, _NLM_F_REQUEST | _NLM_F_ACK, 1, 0)
            netlink.send(header + request)
            gone += netlink.recv(8192)[16:20] == b"\0\0\0\0"
    return gone


def _dump(netlink: socket.socket, family: int) -> Iterator[bytes]:
    """The struct inet_diag_sockid, with cookie, of every TCP socket of one family."""
    request = _BEFORE_ID.pack(family, socket.IPPROTO_TCP, 0, _ALL) + bytes(48)
    header = _HEADER.pack(16 + len(request), SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
    netlink.send(header + request)
    while True:
        data = netlink.recv(65536)
        at = 0
        while at < len(data):
            length, kind = _HEADER.unpack_from(data, at)[:2]
            if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                return
            yield data[at + 20 : at + 68]
            at += (length + 3) & ~3

# SPDX-License-Identifier: GPL-2.0-only
"""The application's side of libslirp: sockets of the loopback device, which the stack splices to its connections.

A SYN to a port reaches the loopback listener there; what connects to a forwarded port becomes an active open. The
kernel's side is established at once, so `accept` and `connect` wait for what the stack's own table says.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from conformance.adapters.libslirp.bindings import Connection, Slirp

PENDING = object()
_STATES = {"SYN_RCVD": "SYN-RECEIVED", "SYN_SENT": "SYN-SENT"}
_EARLY = ("SYN-RECEIVED", "SYN-SENT", "CLOSED", "NONE")
_FIRST_FORWARD = 40_000
_LARGEST = 65_535
_EVENTS = (
    (select.POLLIN, "IN"),
    (select.POLLOUT, "OUT"),
    (select.POLLPRI, "PRI"),
    (select.POLLERR, "ERR"),
    (select.POLLHUP, "HUP"),
    (select.POLLRDHUP, "RDHUP"),
)

Address = tuple[str, int]
Message = dict[str, Any]


def fail(name: int) -> OSError:
    """An error by its number."""
    return OSError(name, "")


@dataclass
class Spliced:
    """A socket of the application."""

    local: Address
    remote: Address
    real: socket.socket | None = None
    listening: bool = False
    forward: int | None = None
    waiting: list[tuple[socket.socket, int]] = field(default_factory=list)
    """What the kernel has accepted and the stack has not established yet, with the port that the stack has there."""


def _kernel(six: bool) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.setblocking(False)
    return one


def _loopback(address: str) -> str:
    return "::1" if ":" in address else "127.0.0.1"


def _abort(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


class Application:
    """All sockets of a case. Methods `do_...` are the verbs: they return a value, PENDING, or raise OSError."""

    def __init__(self, slirp: Slirp, on_timer: Callable[[], bool]) -> None:
        self._slirp = slirp
        self._on_timer = on_timer
        """Whether the stack's timers run now: what it gives up then has timed out."""
        self._sockets: dict[int, Spliced] = {}
        self._forwards: dict[int, tuple[Address, Address]] = {}
        self._pending: dict[int, Callable[[], object]] = {}
        self.testers: dict[int, str] = {}
        """Of each tester port the address that was last heard with it."""

    def close(self) -> None:
        """Abort all that is left."""
        for number in list(self._sockets):
            self._drop(number)

    # -- calls that wait ------------------------------------------------------------------------------------

    def settle(self) -> list[tuple[int, dict[str, object]]]:
        """The pending calls that end now: id, and ok or error."""
        ended: list[tuple[int, dict[str, object]]] = []
        for number, attempt in list(self._pending.items()):
            outcome = self.outcome(attempt)
            if "pending" not in outcome:
                del self._pending[number]
                ended.append((number, outcome))
        return ended

    @staticmethod
    def outcome(attempt: Callable[[], object]) -> dict[str, object]:
        """What a call comes to."""
        try:
            value = attempt()
        except OSError as problem:
            return {"error": errno.errorcode.get(problem.errno or 0, "EIO")}
        return {"pending": True} if value is PENDING else {"ok": value}

    def ask(self, message: Message) -> dict[str, object]:
        """Do a verb."""
        verb: Callable[[Message], object] | None = getattr(self, f"do_{message['do']}", None)
        if verb is None:
            return {"error": "ENOSYS"}
        made: list[Callable[[], object]] = []

        def first() -> object:
            value = verb(message)
            if callable(value):
                made.append(value)
                return value()
            return value

        outcome = self.outcome(first)
        if "pending" in outcome:
            self._pending[message["id"]] = made[0]
        return outcome

    # -- the stack's table ----------------------------------------------------------------------------------

    def _row(self, local: Address, remote: Address) -> Connection | None:
        for row in self._slirp.connections():
            ends = self._forwards.get(row.source)
            if ends is not None and ends[1][1] == row.destination:
                if ends == (local, remote):
                    return row
            elif (row.source, row.destination) == (remote[1], local[1]):
                return row
        return None

    def _state(self, local: Address, remote: Address) -> str | None:
        row = self._row(local, remote)
        return None if row is None else _STATES.get(row.state, row.state.replace("_", "-"))

    def _of_kernel_port(self, port: int) -> Connection | None:
        """The connection whose socket on loopback has this port."""
        for row in self._slirp.connections():
            if row.descriptor >= 0:
                one = socket.socket(fileno=row.descriptor)
                try:
                    if one.getsockname()[1] == port:
                        return row
                except OSError:
                    continue
                finally:
                    one.detach()
        return None

    # -- the verbs ------------------------------------------------------------------------------------------

    def _socket(self, message: Message) -> Spliced:
        one = self._sockets.get(message["socket"])
        if one is None:
            raise fail(errno.EBADF)
        return one

    def _real(self, message: Message) -> socket.socket:
        one = self._socket(message)
        if one.real is None or one.listening:
            raise fail(errno.ENOTCONN)
        return one.real

    def do_open(self, message: Message) -> None:
        """A fresh socket."""
        ends = (tuple(message["local"]), tuple(message["remote"]))
        self._sockets[message["socket"]] = Spliced(*ends)

    def do_listen(self, message: Message) -> None:
        """A loopback listener at the port."""
        one = self._socket(message)
        real = _kernel(":" in one.local[0])
        real.bind((_loopback(one.local[0]), one.local[1]))
        real.listen(message["backlog"])
        one.real, one.listening = real, True

    def do_accept(self, message: Message) -> object:
        """A connection that the stack has established."""
        one = self._socket(message)
        if not one.listening or one.real is None:
            raise fail(errno.EINVAL)
        listener = one.real

        def attempt() -> object:
            self._take(one, listener)
            for entry, row in self._established(one):
                one.waiting.remove(entry)
                peer = (self.testers.get(row.source, ""), row.source)
                self._sockets[message["as"]] = Spliced(one.local, peer, entry[0])
                return list(peer)
            if message.get("wait") is False:
                raise fail(errno.EAGAIN)
            return PENDING

        return attempt

    def _established(self, one: Spliced) -> list[tuple[tuple[socket.socket, int], Connection]]:
        """What can be accepted."""
        rows = ((entry, self._of_kernel_port(entry[1])) for entry in one.waiting)
        return [(entry, row) for entry, row in rows if row and _STATES.get(row.state, row.state) not in _EARLY]

    def _take(self, one: Spliced, listener: socket.socket) -> None:
        """What the kernel has accepted; what the stack has given up before it was established is forgotten."""
        while True:
            try:
                real, peer = listener.accept()
            except BlockingIOError:
                break
            real.setblocking(False)
            real.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.waiting.append((real, peer[1]))
        for entry in list(one.waiting):
            if self._of_kernel_port(entry[1]) is None:
                one.waiting.remove(entry)
                entry[0].close()

    def do_connect(self, message: Message) -> object:
        """Connect to a forwarded port, from the port that the stack shall use."""
        one = self._socket(message)
        if one.real is not None:
            raise fail(errno.EISCONN)
        port = _FIRST_FORWARD + len(self._forwards)
        self._slirp.forward(port, *one.remote)
        self._forwards[port] = (one.local, one.remote)
        real = _kernel(":" in one.local[0])
        real.bind((_loopback(one.local[0]), one.local[1]))
        real.setblocking(True)
        real.connect((_loopback(one.local[0]), port))
        real.setblocking(False)
        one.real, one.forward = real, port
        begun = False

        def attempt() -> object:
            nonlocal begun
            if one.real is not real:
                raise fail(errno.EBADF)  # closed meanwhile
            state = self._state(one.local, one.remote)
            if state is not None and state not in _EARLY:
                return None
            if state is None and begun:
                real.close()
                one.real = None  # the socket may try again
                raise fail(errno.ETIMEDOUT if self._on_timer() else errno.ECONNREFUSED)
            begun = begun or state is not None
            return PENDING

        return attempt

    def do_send(self, message: Message) -> object:
        """Octets to the stack by way of loopback."""
        real, data = self._real(message), bytes.fromhex(message["data"])
        flags = socket.MSG_NOSIGNAL | (socket.MSG_OOB if message.get("urgent") else 0)
        done = 0

        def attempt() -> object:
            nonlocal done
            while done < len(data):
                try:
                    done += real.send(data[done:], flags)
                except BlockingIOError:
                    if message.get("wait") is not False:
                        return PENDING
                    if not done:
                        raise
                    break
            return done

        return attempt

    def do_recv(self, message: Message) -> object:
        """Octets from the stack by way of loopback."""
        real, count = self._real(message), min(message["count"], _LARGEST)
        flags = socket.MSG_OOB if message.get("urgent") else 0

        def attempt() -> object:
            try:
                return real.recv(count, flags).hex()
            except BlockingIOError:
                if message.get("wait") is False:
                    raise
                return PENDING

        return attempt

    def do_shutdown(self, message: Message) -> None:
        """One direction or both."""
        how = {"rd": socket.SHUT_RD, "wr": socket.SHUT_WR, "rdwr": socket.SHUT_RDWR}[message["how"]]
        self._real(message).shutdown(how)

    def do_close(self, message: Message) -> None:
        """The kernel closes its side, then the stack."""
        one = self._socket(message)
        for real, _ in one.waiting:
            real.close()
        one.waiting.clear()
        if one.real is not None:
            one.real.close()
            one.real = None
        one.listening = False

    do_exit = do_close

    def do_abort(self, message: Message) -> None:
        """A RST on loopback, which the stack answers by one of its own."""
        one = self._socket(message)
        if one.real is not None:
            _abort(one.real)
            one.real = None
        one.listening = False

    def do_poll(self, message: Message) -> list[str]:
        """What is ready."""
        one = self._socket(message)
        if one.real is None:
            raise fail(errno.EBADF)
        if one.listening:
            self._take(one, one.real)
            return ["IN"] if self._established(one) else []
        poll = select.poll()
        poll.register(one.real, sum(event for event, _ in _EVENTS))
        seen = dict(poll.poll(0)).get(one.real.fileno(), 0)
        return [name for event, name in _EVENTS if seen & event]

    def do_state(self, message: Message) -> str:
        """By the stack's own table."""
        local, remote = tuple(message["local"]), tuple(message["remote"])
        state = self._state(local, remote)
        if state is not None and state != "NONE":
            return state
        listens = any(one.listening and one.local[1] == local[1] for one in self._sockets.values())
        return "LISTEN" if listens else "CLOSED"

    def do_dispose(self, message: Message) -> None:
        """Forget the socket."""
        self._drop(message["socket"])

    def _drop(self, number: int) -> None:
        one = self._sockets.pop(number, None)
        if one is None:
            return
        for real in [*(real for real, _ in one.waiting), *([one.real] if one.real is not None else [])]:
            _abort(real)

    def do_cancel(self, message: Message) -> None:
        """Forget a pending call."""
        self._pending.pop(message["call"], None)

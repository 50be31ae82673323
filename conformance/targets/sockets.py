"""The agent for the own kernel: the application's socket calls, made here on sockets of the target's namespace.

A call is tried at once, without waiting; only what would block becomes a Pending, which waits in the running asyncio
loop. Errors are outcomes, by errno's name: what a call answers is the target's behaviour, never a fault of ours.
Imports the targets' contracts and the standard library.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
from collections.abc import Callable
from typing import Literal

from conformance.targets.base import Endpoints, Outcome, Pending

VERBS = frozenset(
    {"listen", "accept", "connect", "send", "recv", "shutdown", "close", "abort", "exit"}
    | {"setsockopt", "getsockopt", "poll", "atmark"}
)
"""All that an agent can be asked for."""
_DONE = Outcome()
_LINGER_ZERO = struct.pack("ii", 1, 0)
_PLAIN, _URGENT = int(socket.MSG_NOSIGNAL), int(socket.MSG_NOSIGNAL | socket.MSG_OOB)
_SIOCATMARK = 0x8905
_HOW = {"rd": socket.SHUT_RD, "wr": socket.SHUT_WR, "rdwr": socket.SHUT_RDWR}
_WOULD_BLOCK = (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY)
_POLL = {"IN": 0x001, "PRI": 0x002, "OUT": 0x004, "ERR": 0x008, "HUP": 0x010, "RDHUP": 0x2000}
_LEVELS = {
    "SO": socket.SOL_SOCKET,
    "TCP": socket.IPPROTO_TCP,
    "IP": socket.IPPROTO_IP,
    "IPV6": socket.IPPROTO_IPV6,
}
_UNNAMED = {
    "TCP_THIN_LINEAR_TIMEOUTS": 16,
    "TCP_THIN_DUPACK": 17,
    "TCP_REPAIR": 19,
    "TCP_TIMESTAMP": 24,
    "TCP_SAVE_SYN": 27,
    "TCP_FASTOPEN_CONNECT": 30,
    "TCP_INQ": 36,
    "TCP_RTO_MAX_MS": 44,
    "TCP_RTO_MIN_US": 45,
    "TCP_DELACK_MAX_US": 46,
    "IP_MTU_DISCOVER": 10,
    "IP_RECVERR": 11,
    "IP_MTU": 14,
    "IP_FREEBIND": 15,
    "IP_MINTTL": 21,
    "IPV6_MTU_DISCOVER": 23,
    "IPV6_MTU": 24,
    "IPV6_RECVERR": 25,
    "IPV6_MINHOPCOUNT": 73,
    "SO_BUSY_POLL": 46,
    "SO_MAX_PACING_RATE": 47,
    "SO_RCVBUFFORCE": 33,
    "SO_SNDBUFFORCE": 32,
}
"""From linux/tcp.h, linux/in.h, linux/in6.h and asm-generic/socket.h: what Python's socket module has no name for."""


_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def _failed(problem: OSError) -> Outcome:
    return Outcome(error=errno.errorcode.get(problem.errno or 0, str(problem)))


class _Call:
    """A call that would block (`conformance.targets.base.Pending`): `attempt` raises BlockingIOError while it does."""

    def __init__(self, descriptor: int, event: int, attempt: Callable[[], Outcome]) -> None:
        self._descriptor = descriptor
        self._event = event
        self._attempt: Callable[[], Outcome] | None = attempt
        self._outcome: Outcome | None = None
        self._ready: asyncio.Event | None = None

    def poll(self) -> Outcome | None:
        """Try once more without waiting; None while it is still pending."""
        if self._outcome is None and self._attempt is not None:
            try:
                self._outcome = self._attempt()
            except OSError as problem:
                if problem.errno in _WOULD_BLOCK:
                    return None
                self._outcome = _failed(problem)
        return self._outcome

    async def wait(self, timeout: float) -> Outcome | None:
        """Wait up to `timeout` seconds for the outcome; None when it is still pending then."""
        if (outcome := self.poll()) is not None or self._attempt is None:
            return outcome
        # An epoll set of this call's own: several calls may wait on one socket, and for urgent data, which asyncio's
        # add_reader can't do. The set itself is readable when one of its events is there.
        loop = asyncio.get_running_loop()
        self._ready = ready = asyncio.Event()
        with contextlib.suppress(TimeoutError), select.epoll() as events:
            events.register(self._descriptor, self._event)
            loop.add_reader(events.fileno(), ready.set)
            try:
                async with asyncio.timeout(timeout):
                    while self.poll() is None and self._attempt is not None:
                        ready.clear()
                        await ready.wait()
            finally:
                loop.remove_reader(events.fileno())
        return self.poll()

    def cancel(self) -> None:
        """Give the call up and forget it; the socket stays as it is."""
        self._attempt = None
        if self._ready is not None:
            self._ready.set()


class OwnSocket:
    """A socket of the application (`conformance.targets.base.AgentSocket`) over `inner`, which it owns.

    `inner` was opened in the target's namespace, and never blocks. `destroy` is told the pair of a connection that is
    to be forgotten although the application has let go of it already.
    """

    def __init__(self, inner: socket.socket, pair: Endpoints, destroy: Callable[[Endpoints], object]) -> None:
        self._inner = inner
        self._pair = pair
        self._destroy = destroy
        self._connected = self._listens = False

    def listen(self, backlog: int) -> Outcome:
        """Bind to the pair's target address and port, and listen. SO_REUSEADDR is set."""
        try:
            self._bind()
            self._inner.listen(backlog)
            self._listens = True
        except OSError as problem:
            return _failed(problem)
        return _DONE

    def accept(self) -> Outcome | Pending:
        """The value is `(OwnSocket, peer address octets, peer port)`."""
        return self._call(select.EPOLLIN, self._accept)

    def connect(self) -> Outcome | Pending:
        """Bind to the pair's target address and port and connect to the tester's; the value is None.

        A socket that is bound already, by an earlier attempt, stays so.
        """
        try:
            if self._inner.getsockname()[1] == 0:
                self._bind()
        except OSError as problem:
            return _failed(problem)
        self._connected = True
        peer = (socket.inet_ntop(_FAMILY[self._pair.version], self._pair.tester), self._pair.tester_port)

        def attempt() -> Outcome:
            # Called again, connect() says how the first one went: EALREADY, success, or its error.
            self._inner.connect(peer)
            return _DONE

        try:
            return attempt()
        except OSError as problem:
            # EALREADY at once: an earlier call is still at it, so that this one is the application's mistake.
            if problem.errno not in (errno.EAGAIN, errno.EINPROGRESS):
                return _failed(problem)
        return _Call(self._inner.fileno(), select.EPOLLOUT, attempt)

    def send(self, data: bytes, *, urgent: bool = False, wait: bool = True) -> Outcome | Pending:
        """The value is the number of octets taken; pending until all are, unless `wait` is false.

        Without `wait`, nothing taken is the error EAGAIN. An error after some octets were taken is the error alone.
        """
        flags = _URGENT if urgent else _PLAIN
        rest = memoryview(data)

        def attempt() -> Outcome:
            nonlocal rest
            while True:
                rest = rest[self._inner.send(rest, flags) :]
                if not rest or not wait:
                    return Outcome(len(data) - len(rest))

        return self._call(select.EPOLLOUT, attempt, wait=wait)

    def recv(self, count: int, *, urgent: bool = False, wait: bool = True) -> Outcome | Pending:
        """The value is the octets read: up to `count`, at least one, or b"" at end of file.

        With `wait` false an empty buffer is the error EAGAIN. Without urgent data anywhere, `urgent` is EINVAL at
        once; pending is only an octet that was announced and has not come (tcp(7): MSG_OOB never blocks).
        """
        flags = socket.MSG_OOB if urgent else 0
        event = select.EPOLLPRI if urgent else select.EPOLLIN
        return self._call(event, lambda: Outcome(self._inner.recv(count, flags)), wait=wait)

    def shutdown(self, how: Literal["rd", "wr", "rdwr"]) -> Outcome:
        """Shut one or both directions."""
        try:
            self._inner.shutdown(_HOW[how])
        except OSError as problem:
            return _failed(problem)
        return _DONE

    def close(self) -> Outcome:
        """Close; the kernel goes on by itself (orphan). A socket that is closed already is the error EBADF."""
        if self._inner.fileno() < 0:
            return Outcome(error="EBADF")
        try:
            self._inner.close()
        except OSError as problem:
            return _failed(problem)
        return _DONE

    def abort(self) -> Outcome:
        """Close with SO_LINGER on and 0 seconds: the ABORT call of RFC 9293 3.10.5."""
        try:
            self._inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        except OSError as problem:
            return _failed(problem)
        return self.close()

    def exit(self) -> Outcome | Pending:
        """Hand the socket to a process of its own, which then exits: the only holder of the socket is gone."""
        descriptor = self._inner.fileno()
        if descriptor < 0:
            return Outcome(error="EBADF")
        # It has nothing to do but to hold the descriptor until its standard input, which is ours, ends.
        child = subprocess.Popen(
            ["/bin/sh", "-c", "read x; exit 0"], stdin=subprocess.PIPE, pass_fds=[descriptor], start_new_session=True
        )
        gone = os.pidfd_open(child.pid)
        self._inner.close()
        if child.stdin is not None:
            child.stdin.close()

        def attempt() -> Outcome:
            if child.poll() is None:
                raise BlockingIOError(errno.EAGAIN, "still there")
            os.close(gone)
            return _DONE

        return self._call(select.EPOLLIN, attempt, descriptor=gone)

    def setsockopt(self, name: str, value: int | tuple[int, int]) -> Outcome:
        """`name` as in the C headers (SO_LINGER takes on, seconds). Unknown names are the error ENOPROTOOPT."""
        option = _option(name)
        if option is None:
            return Outcome(error="ENOPROTOOPT")
        raw = struct.pack("ii", *value) if isinstance(value, tuple) else value
        try:
            self._inner.setsockopt(*option, raw)
        except OSError as problem:
            return _failed(problem)
        return _DONE

    def getsockopt(self, name: str) -> Outcome:
        """The value is an int; of SO_LINGER its seconds, or -1 when it is off."""
        option = _option(name)
        if option is None:
            return Outcome(error="ENOPROTOOPT")
        try:
            if name == "SO_LINGER":
                on, seconds = struct.unpack("ii", self._inner.getsockopt(*option, 8))
                return Outcome(seconds if on else -1)
            return Outcome(self._inner.getsockopt(*option))
        except OSError as problem:
            return _failed(problem)

    def poll(self) -> Outcome:
        """The value is a frozenset of the names IN, OUT, PRI, ERR, HUP, RDHUP that are ready now."""
        if self._inner.fileno() < 0:
            return Outcome(error="EBADF")
        watched = select.poll()
        watched.register(self._inner, _POLL["IN"] | _POLL["PRI"] | _POLL["OUT"] | _POLL["RDHUP"])
        ready = next((events for _, events in watched.poll(0)), 0)
        return Outcome(frozenset(name for name, bit in _POLL.items() if ready & bit))

    def atmark(self) -> Outcome:
        """The value is 1 when the next octet to be read is at the urgent mark, else 0 (SIOCATMARK)."""
        if self._inner.fileno() < 0:
            return Outcome(error="EBADF")
        try:
            return Outcome(struct.unpack("i", fcntl.ioctl(self._inner, _SIOCATMARK, bytes(4)))[0])
        except OSError as problem:
            return _failed(problem)

    def dispose(self, *, gone: bool = False) -> None:
        """Free the socket without leaving anything of it behind on the wire beyond a RST; never raises.

        A connection that was closed and goes on as an orphan is destroyed, unless it is known to be `gone`.
        """
        if self._inner.fileno() >= 0:
            if not self._listens:  # a listener resets what nobody accepted as it is
                self.abort()
            with contextlib.suppress(OSError):
                self._inner.close()
        elif self._connected and not gone:
            with contextlib.suppress(OSError):
                self._destroy(self._pair)

    def _bind(self) -> None:
        address = socket.inet_ntop(_FAMILY[self._pair.version], self._pair.target)
        self._inner.bind((address, self._pair.target_port))

    def _accept(self) -> Outcome:
        # As socket.accept(), without asking the kernel for the family and type that are known.
        family = _FAMILY[self._pair.version]
        descriptor, peer = self._inner._accept()  # type: ignore[attr-defined]
        inner = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=descriptor)
        inner.setblocking(False)
        address = socket.inet_pton(family, peer[0])
        pair = Endpoints(self._pair.version, address, self._pair.target, peer[1], self._pair.target_port)
        accepted = OwnSocket(inner, pair, self._destroy)
        accepted._connected = True
        return Outcome((accepted, address, peer[1]))

    def _call(
        self, event: int, attempt: Callable[[], Outcome], *, wait: bool = True, descriptor: int | None = None
    ) -> Outcome | Pending:
        try:
            return attempt()
        except OSError as problem:
            if not wait or problem.errno not in _WOULD_BLOCK:
                return _failed(problem)
        return _Call(self._inner.fileno() if descriptor is None else descriptor, event, attempt)


def _option(name: str) -> tuple[int, int] | None:
    level = _LEVELS.get(name.partition("_")[0])
    number = getattr(socket, name, _UNNAMED.get(name))
    return None if level is None or not isinstance(number, int) else (level, number)

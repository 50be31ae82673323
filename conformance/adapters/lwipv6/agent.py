# SPDX-License-Identifier: GPL-2.0-only
"""The agent of lwIPv6 (docs/adapters.md): its socket calls, and a relay between its TUN and the tester's frames.

The stack runs in real time, in threads of its own. Calls that would block wait for its word that there is something;
only connect and send, which the stack can do in no other way, block a thread of the agent.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conformance.adapters import serving
from conformance.adapters.lwipv6.bindings import OPTIONS, POLL_IN, POLL_NAMES, POLL_OUT, Library
from conformance.adapters.private import bring_up, private_network
from conformance.adapters.relay import DEVICE, Ends, Relay
from conformance.adapters.serving import Refused

_AGAIN = 0.001
"""Seconds between two looks at a socket that somebody waits for: the stack has no descriptor that wakes a loop."""
_VERBS = (
    "open", "listen", "accept", "connect", "send", "recv", "close", "setsockopt", "getsockopt", "poll",
)  # fmt: skip


class Held:
    """A socket of the application."""

    def __init__(self, fd: int, local: Ends, remote: Ends, *, bound: bool = False) -> None:
        self.fd, self.local, self.remote, self.bound = fd, local, remote, bound
        self.inside = 0
        """Threads that are inside a call on it: the stack does not bear its end meanwhile."""
        self.gone = self.listens = False


class Agent(serving.Agent):
    """The stack with all its sockets."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self._sockets: dict[int, Held] = {}
        self._peers: dict[Ends, collections.deque[Ends]] = collections.defaultdict(collections.deque)
        """Who has completed a handshake with an end, in that order: the stack's accept() does not tell."""
        self._threads = ThreadPoolExecutor(1024)

    async def configure(self, said: dict[str, Any]) -> None:
        """Bring the stack up."""
        self._library = Library(sys.argv[1], DEVICE)
        bring_up(DEVICE, said["mtu"])
        self._library.mtu(said["mtu"])
        self._library.up(said["addresses"], said["gateways"])
        self._relay = Relay(said["mac"], said["router_mac"], lambda local, peer: self._peers[local].append(peer))
        self.say({"hello": {
            "protocol": 1, "stack": "lwIPv6", "version": "1.5a", "clock": "real", "frames": "fd", "ip": [4, 6],
            "verbs": _VERBS, "options": ["mss"], "msl": 60.0, "challenge_interval": 0.0,
            "settings": {"syncookies": "never", "rfc1337": "off", "timers": "coarse"}, "state": False,
        }})  # fmt: skip

    def _held(self, message: dict[str, Any]) -> Held:
        held = self._sockets.get(message["socket"])
        if held is None:
            raise Refused("EBADF")
        return held

    async def _until(self, held: Held, events: int) -> None:
        """Until the stack says that a call would not block."""
        while not self._library.ready(held.fd, events):
            await asyncio.sleep(_AGAIN)  # its library can be asked only: no descriptor tells
            if held.gone:
                raise Refused("EBADF")

    async def _inside(self, held: Held, call: Callable[..., Any], *arguments: Any) -> Any:
        """A call that may block, in a thread; the socket is not closed before it ends."""
        held.inside += 1
        try:
            return await asyncio.shield(
                asyncio.get_running_loop().run_in_executor(self._threads, self._left, held, call, *arguments)
            )
        except asyncio.CancelledError:
            raise Refused("ECANCELED") from None

    def _left(self, held: Held, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(held.fd, *arguments)
        finally:
            held.inside -= 1
            if held.gone and not held.inside:
                with contextlib.suppress(OSError):
                    self._library.close(held.fd)

    def _bind(self, held: Held) -> None:
        if not held.bound:
            self._library.bind(held.fd, held.local)
            held.bound = True

    def do_open(self, message: dict[str, Any]) -> None:
        """A fresh socket."""
        local, remote = serving.ends(message["local"]), serving.ends(message["remote"])
        self._sockets[message["socket"]] = Held(self._library.socket(":" in local[0]), local, remote)

    def do_listen(self, message: dict[str, Any]) -> None:
        """Bind and listen."""
        held = self._held(message)
        self._bind(held)
        self._library.listen(held.fd, message["backlog"])
        held.listens = True

    async def do_accept(self, message: dict[str, Any]) -> list[object]:
        """The peer."""
        held = self._held(message)
        await self._until(held, POLL_IN)
        fd = self._library.accept(held.fd)
        peers = self._peers[held.local]
        peer = peers.popleft() if peers else held.remote
        self._sockets[message["as"]] = Held(fd, held.local, peer, bound=True)
        return list(peer)

    async def do_connect(self, message: dict[str, Any]) -> None:
        """Open actively."""
        held = self._held(message)
        self._bind(held)
        await self._inside(held, self._library.connect, held.remote)

    async def do_send(self, message: dict[str, Any]) -> int:
        """Octets taken: all of them."""
        held = self._held(message)
        if message.get("urgent") or not message.get("wait", True):
            raise Refused("EOPNOTSUPP")
        return int(await self._inside(held, self._library.send, bytes.fromhex(message["data"])))

    async def do_recv(self, message: dict[str, Any]) -> str:
        """Octets read."""
        held = self._held(message)
        if message.get("urgent"):
            raise Refused("EOPNOTSUPP")
        if not message.get("wait", True) and not self._library.ready(held.fd, POLL_IN):
            raise Refused("EAGAIN")
        await self._until(held, POLL_IN)
        octets = self._library.recv(held.fd, message["count"])
        self._relay.outward()  # an update of the window is sent within the call: it comes before its answer
        return octets.hex()

    def do_close(self, message: dict[str, Any]) -> None:
        """Close; the stack finishes by itself."""
        held = self._held(message)
        del self._sockets[message["socket"]]
        held.gone = True
        if not held.inside:
            self._library.close(held.fd)

    def do_setsockopt(self, message: dict[str, Any]) -> None:
        """An option that is a number."""
        if message["name"] not in OPTIONS or not isinstance(message["value"], int):
            raise Refused("ENOPROTOOPT")
        self._library.setsockopt(self._held(message).fd, *OPTIONS[message["name"]], message["value"])

    def do_getsockopt(self, message: dict[str, Any]) -> int:
        """An option that is a number."""
        if message["name"] not in OPTIONS:
            raise Refused("ENOPROTOOPT")
        return self._library.getsockopt(self._held(message).fd, *OPTIONS[message["name"]])

    def do_poll(self, message: dict[str, Any]) -> list[str]:
        """What is ready now; the stack says OUT of listeners, too."""
        held = self._held(message)
        found = self._library.ready(held.fd, POLL_IN if held.listens else POLL_IN | POLL_OUT)
        return [name for bit, name in POLL_NAMES.items() if found & bit]

    def do_dispose(self, message: dict[str, Any]) -> None:
        """The case is over; the stack has no abort."""
        if message["socket"] in self._sockets:
            with contextlib.suppress(OSError):
                self.do_close(message)


def main() -> None:
    """Its own network first: threads may not leave theirs."""
    try:
        private_network()
    except OSError as problem:
        sys.exit(f"lwIPv6 needs a network namespace of its own: {problem.strerror}")
    asyncio.run(serving.serve(Agent))
    os._exit(0)  # the stack's threads do not end by themselves


if __name__ == "__main__":
    main()

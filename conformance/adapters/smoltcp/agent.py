# SPDX-License-Identifier: MIT
"""The agent of smoltcp as mitmproxy_rs has it (docs/adapters.md): its streams are the application's sockets.

mitmproxy_rs makes a TUN of its own, here in a network namespace of the agent's own. Packets that the tester sends as
frames leave that namespace's side of the TUN by a packet socket; the stack's come in there and go out as frames.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Any

import mitmproxy_rs

from conformance.adapters import serving
from conformance.adapters.private import private_network
from conformance.adapters.relay import DEVICE, Ends, Relay
from conformance.adapters.serving import Refused

_LARGEST = 1 << 16
_MOST_HALF_OPEN = 4096
_SOON = 0.05
"""Seconds in which a read that must not wait may still bring what has arrived: the stack is another thread."""
_VERBS = ("listen", "accept", "send", "recv", "shutdown", "close")


class Held:
    """A socket of the application: first a pair, then a listener or a stream."""

    def __init__(self, local: Ends, stream: mitmproxy_rs.Stream | None = None) -> None:
        self.local, self.stream = local, stream
        self.queue: collections.deque[mitmproxy_rs.Stream] | None = None
        """Of a listener: streams that nobody has accepted yet."""
        self.arrival = asyncio.Event()
        self.reading: asyncio.Task[bytes] | None = None
        """A read that was given to the stack, and has not been taken by a call yet."""
        self.closed = False


class Agent(serving.Agent):
    """One stack with all its sockets."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self._sockets: dict[int, Held] = {}
        self._listeners: dict[Ends, Held] = {}
        self._half_open: collections.OrderedDict[tuple[Ends, Ends], mitmproxy_rs.Stream | None] = (
            collections.OrderedDict()
        )
        """Streams of which only the SYN is known; None where the stack tells us later than its peer acknowledges."""

    async def configure(self, said: dict[str, Any]) -> None:
        """Bring the stack up: it answers for every address."""
        self._interface = await mitmproxy_rs.tun.create_tun_interface(self._arrived, self._arrived, DEVICE)
        self._end_of_stack = asyncio.ensure_future(self._watch())
        self._relay = Relay(said["mac"], said["router_mac"], self._opened)
        self.say({"hello": {
            "protocol": 1, "stack": "smoltcp in mitmproxy_rs", "version": importlib.metadata.version("mitmproxy_rs"),
            "clock": "real", "frames": "fd", "ip": [4, 6], "verbs": _VERBS,
            "options": ["mss", "wscale", "sackOK"], "msl": 5.0,
            "challenge_interval": 1.05, "throttles_text": True, "state": False, "resets_overtake": True,
            "settings": {"syncookies": "never", "rfc1337": "off"},
        }})  # fmt: skip

    async def _watch(self) -> None:
        """The stack's own task has ended, as it does when it panics: that is a crash, though this process lives."""
        await self._interface.wait_closed()
        print("the stack's task has ended", file=sys.stderr, flush=True)
        os.abort()

    async def _arrived(self, stream: mitmproxy_rs.Stream) -> None:
        """A connection begins."""
        end, peer = stream.get_extra_info("sockname"), stream.get_extra_info("peername")
        key = (end[0], end[1]), (peer[0], peer[1])
        if self._half_open.get(key, stream) is None:  # its peer was faster than the stack's word
            self._half_open[key] = stream
            self._opened(*key)
            return
        self._half_open[key] = stream
        if len(self._half_open) > _MOST_HALF_OPEN:
            self._half_open.popitem(last=False)

    def _opened(self, local: Ends, peer: Ends) -> None:
        """A connection is established; what is for no listener is dropped, by which the stack closes it."""
        stream = self._half_open.pop((local, peer), None)
        if stream is None:
            self._half_open[local, peer] = None
            return
        held = self._listeners.get(local)
        if held is not None and held.queue is not None:
            held.queue.append(stream)
            held.arrival.set()

    def _named(self, why: Exception) -> str:
        """An OSError is all that the stack tells of a connection that is gone."""
        return "EPIPE" if isinstance(why, OSError) else str(why)

    def _held(self, message: dict[str, Any]) -> Held:
        held = self._sockets.get(message["socket"])
        if held is None or held.closed:
            raise Refused("EBADF")
        return held

    def _stream(self, message: dict[str, Any]) -> tuple[Held, mitmproxy_rs.Stream]:
        held = self._held(message)
        if held.stream is None:
            raise Refused("ENOTCONN")
        return held, held.stream

    def do_open(self, message: dict[str, Any]) -> None:
        """A fresh socket."""
        self._sockets[message["socket"]] = Held(serving.ends(message["local"]))

    def do_listen(self, message: dict[str, Any]) -> None:
        """Take streams to this end from now on."""
        held = self._held(message)
        if held.local in self._listeners:
            raise Refused("EADDRINUSE")
        held.queue = collections.deque()
        self._listeners[held.local] = held

    async def do_accept(self, message: dict[str, Any]) -> list[object]:
        """The peer."""
        held = self._held(message)
        if held.queue is None:
            raise Refused("EINVAL")
        while not held.queue:
            held.arrival.clear()
            await held.arrival.wait()
        stream = held.queue.popleft()
        self._sockets[message["as"]] = Held(held.local, stream)
        return list(stream.get_extra_info("peername")[:2])

    async def do_send(self, message: dict[str, Any]) -> int:
        """Octets taken: all of them; they are drained where the call may wait."""
        _, stream = self._stream(message)
        if message.get("urgent"):
            raise Refused("EOPNOTSUPP")
        data = bytes.fromhex(message["data"])
        stream.write(data)
        if message.get("wait", True):
            await stream.drain()
        return len(data)

    async def do_recv(self, message: dict[str, Any]) -> str:
        """Octets read; a connection that was reset ends as one that was closed."""
        held, stream = self._stream(message)
        if message.get("urgent"):
            raise Refused("EOPNOTSUPP")
        if held.reading is None:
            held.reading = asyncio.ensure_future(stream.read(min(message["count"], _LARGEST - 1)))
        reading = held.reading
        if not message.get("wait", True):
            await asyncio.wait((reading,), timeout=_SOON)
            if not reading.done():
                raise Refused("EAGAIN")
        got = await asyncio.shield(reading)
        await asyncio.sleep(_SOON)  # an update of the window, which nothing tells of, comes before the answer
        # What a smaller call than the one before must leave stays for the next.
        count = message["count"]
        held.reading = asyncio.ensure_future(given(got[count:])) if len(got) > count else None
        return bytes(got[:count]).hex()

    def do_shutdown(self, message: dict[str, Any]) -> None:
        """End of file for the peer."""
        _, stream = self._stream(message)
        if message["how"] == "rd":
            raise Refused("EOPNOTSUPP")
        stream.write_eof()

    def do_close(self, message: dict[str, Any]) -> None:
        """Close; the stack finishes by itself."""
        held = self._held(message)
        held.closed = True
        if self._listeners.get(held.local) is held:
            del self._listeners[held.local]
        if held.stream is not None:
            held.stream.close()

    def do_dispose(self, message: dict[str, Any]) -> None:
        """The case is over; the stack has no abort."""
        held = self._sockets.get(message["socket"])
        if held is not None and not held.closed:
            self.do_close(message)
        self._sockets.pop(message["socket"], None)


async def given(octets_: bytes) -> bytes:
    """A read that is done."""
    return octets_


def main() -> None:
    """Its own network first: threads may not leave theirs."""
    try:
        private_network()
    except OSError as problem:
        sys.exit(f"smoltcp needs a network namespace of its own: {problem.strerror}")
    with contextlib.suppress(OSError):  # a kernel without IPv6: it says nothing by itself anyway
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    asyncio.run(serving.serve(Agent))
    os._exit(0)  # the stack's threads do not end by themselves


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-only
"""The agent of lwIPv6 (docs/adapters.md): its socket calls, and a relay between its TUN and the tester's frames.

The stack runs in real time, in threads of its own. Calls that would block wait for its word that there is something;
only connect and send, which the stack can do in no other way, block a thread of the agent.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import ipaddress
import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conformance.adapters.lwipv6.bindings import OPTIONS, POLL_IN, POLL_NAMES, POLL_OUT, Library
from conformance.adapters.private import bring_up, private_network

_CHANNEL, _FRAMES = 3, 4
_DEVICE = "tun0"
_ALL, _OUTGOING = 3, 4
_HEADER = 14
_IP4, _IP6 = 0x0800, 0x86DD
_TCP, _SYN, _RST, _ACK = 6, 0x02, 0x04, 0x10
_LARGEST = 1 << 16
_ROOM = 4 << 20
_AGAIN = 0.001
"""Seconds between two looks at a socket that somebody waits for."""
_VERBS = (
    "open", "listen", "accept", "connect", "send", "recv", "close", "setsockopt", "getsockopt", "poll",
)  # fmt: skip
Ends = tuple[str, int]


class Refused(Exception):
    """The request is answered by this errno's name."""


class Relay:
    """Between the tester's frames and the device's packets: the tester knows its neighbour, nothing is asked for."""

    def __init__(self, mac: bytes, router: bytes) -> None:
        self._mac, self._head = mac, router + mac
        self._offered: dict[bytes, int] = {}
        """What acknowledges each SYN,ACK sent, by the connection's addresses and ports as the peer writes them."""
        self.peers: dict[Ends, collections.deque[Ends]] = collections.defaultdict(collections.deque)
        """Who has completed a handshake with an end, in that order: the stack's accept() does not tell."""
        self._frames = socket.socket(fileno=_FRAMES)
        self._device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._device.bind((_DEVICE, _ALL))
        for one in (self._frames, self._device):
            one.setblocking(False)
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                one.setsockopt(socket.SOL_SOCKET, buffer, _ROOM)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._frames, self._inward)
        loop.add_reader(self._device, self.outward)

    def _inward(self) -> None:
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
                    self._device.sendto(frame[_HEADER:], (_DEVICE, kind))
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
                with contextlib.suppress(OSError):
                    self._frames.send(self._head + struct.pack("!H", kind) + packet)

    def _note_out(self, packet: bytes) -> None:
        found = tcp(packet)
        if found is not None and found[1][13] & (_SYN | _ACK) == _SYN | _ACK:
            addresses, header = found
            half = len(addresses) // 2
            key = addresses[half:] + addresses[:half] + header[2:4] + header[:2]
            self._offered[key] = int.from_bytes(header[4:8], "big") + 1 & 0xFFFFFFFF

    def _note_in(self, packet: bytes) -> None:
        found = tcp(packet) if self._offered else None
        if found is None:
            return
        addresses, header = found
        key, acknowledged = addresses + header[:4], int.from_bytes(header[8:12], "big")
        if header[13] & (_SYN | _RST | _ACK) == _ACK and self._offered.get(key) == acknowledged:
            del self._offered[key]
            half = len(addresses) // 2
            local = str(ipaddress.ip_address(addresses[half:])), int.from_bytes(header[2:4], "big")
            peer = str(ipaddress.ip_address(addresses[:half])), int.from_bytes(header[:2], "big")
            self.peers[local].append(peer)


def tcp(packet: bytes) -> tuple[bytes, bytes] | None:
    """Both addresses and the header of a TCP segment without extension headers; None for anything else."""
    if packet[0] >> 4 == 4 and len(packet) >= 40 and packet[9] == _TCP:
        return packet[12:20], packet[(packet[0] & 15) * 4 :][:20]
    if packet[0] >> 4 == 6 and len(packet) >= 60 and packet[6] == _TCP:
        return packet[8:40], packet[40:60]
    return None


class Held:
    """A socket of the application."""

    def __init__(self, fd: int, local: Ends, remote: Ends, *, bound: bool = False) -> None:
        self.fd, self.local, self.remote, self.bound = fd, local, remote, bound
        self.inside = 0
        """Threads that are inside a call on it: the stack does not bear its end meanwhile."""
        self.gone = self.listens = False


class Agent:
    """The stack with all its sockets."""

    def __init__(self, writer: asyncio.StreamWriter, library: str) -> None:
        self._writer, self._path = writer, library
        self._sockets: dict[int, Held] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(1024)

    def say(self, message: dict[str, object]) -> None:
        """A line for the tester."""
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def configure(self, said: dict[str, Any]) -> None:
        """Bring the stack up."""
        self._library = Library(self._path, _DEVICE)
        bring_up(_DEVICE, said["mtu"])
        self._library.mtu(said["mtu"])
        self._library.up(said["addresses"], said["gateways"])
        self._relay = Relay(*(bytes.fromhex(said[name].replace(":", "")) for name in ("mac", "router_mac")))
        self.say({"hello": {
            "protocol": 1, "stack": "lwIPv6", "version": "1.5a", "clock": "real", "frames": "fd", "ip": [4, 6],
            "verbs": _VERBS, "options": ["mss"], "msl": 60.0, "challenge_interval": 0.0,
            "settings": {"syncookies": "never", "rfc1337": "off", "timers": "coarse"}, "state": False,
        }})  # fmt: skip

    # -- requests -------------------------------------------------------------------------------------------

    def take(self, message: dict[str, Any]) -> None:
        """Do what a line asks; a call that does not end at once goes on beside."""
        if "configure" in message:
            self.configure(message["configure"])
            return
        id_ = message["id"]
        verb: Callable[[dict[str, Any]], Any] | None = getattr(self, f"do_{message['do']}", None)
        try:
            if verb is None:
                raise Refused("ENOSYS")
            answer = verb(message)
        except (Refused, OSError) as why:
            self.say({"id": id_, "error": named(why)})
            return
        if not asyncio.iscoroutine(answer):
            self.say({"id": id_, "ok": answer})
            return
        self.say({"id": id_, "pending": True})
        call = asyncio.ensure_future(self._end(id_, answer))
        self._calls[id_] = call
        call.add_done_callback(lambda _: self._calls.pop(id_, None))

    async def _end(self, id_: int, call: Coroutine[Any, Any, Any]) -> None:
        try:
            self.say({"id": id_, "ok": await call})
        except (Refused, OSError) as why:
            self.say({"id": id_, "error": named(why)})

    def _held(self, message: dict[str, Any]) -> Held:
        held = self._sockets.get(message["socket"])
        if held is None:
            raise Refused("EBADF")
        return held

    async def _until(self, held: Held, events: int) -> None:
        """Until the stack says that a call would not block."""
        while not self._library.ready(held.fd, events):
            await asyncio.sleep(_AGAIN)
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
        local, remote = ends(message["local"]), ends(message["remote"])
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
        peers = self._relay.peers[held.local]
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

    def do_cancel(self, message: dict[str, Any]) -> None:
        """Nobody waits for that call."""
        call = self._calls.pop(message["call"], None)
        if call is not None:
            call.cancel()


def named(why: Exception) -> str:
    """The name of an errno."""
    return errno.errorcode.get(why.errno or 0, "EIO") if isinstance(why, OSError) else str(why)


def ends(said: list[Any]) -> Ends:
    """An address and port."""
    return str(ipaddress.ip_address(said[0])), int(said[1])


async def serve(library: str) -> None:
    """Speak the protocol until the channel ends."""
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=_CHANNEL), limit=1 << 18)
    agent = Agent(writer, library)
    while line := await reader.readline():
        agent.take(json.loads(line))


def main() -> None:
    """Its own network first: threads may not leave theirs."""
    try:
        private_network()
    except OSError as problem:
        sys.exit(f"lwIPv6 needs a network namespace of its own: {problem.strerror}")
    asyncio.run(serve(sys.argv[1]))
    os._exit(0)  # the stack's threads do not end by themselves


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""The agent of smoltcp as mitmproxy_rs has it (docs/adapters.md): its streams are the application's sockets.

mitmproxy_rs makes a TUN of its own, here in a network namespace of the agent's own. Packets that the tester sends as
frames leave that namespace's side of the TUN by a packet socket; the stack's come in there and go out as frames.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ctypes
import importlib.metadata
import ipaddress
import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mitmproxy_rs

_CHANNEL, _FRAMES = 3, 4
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_TUN = "/dev/net/tun"
_DEVICE = "tun0"
_IP4, _IP6 = 0x0800, 0x86DD
_ALL = 3
_HEADER = 14
_TCP, _SYN, _RST, _ACK = 6, 0x02, 0x04, 0x10
_LARGEST = 1 << 16
_ROOM = 4 << 20
_OUTGOING = 4
_MOST_HALF_OPEN = 4096
_SOON = 0.05
"""Seconds in which a read that must not wait may still bring what has arrived: the stack is another thread."""
_VERBS = ("listen", "accept", "send", "recv", "shutdown", "close")
Ends = tuple[str, int]


class Refused(Exception):
    """A request that can't be done: the name of an errno."""


def private_network() -> None:
    """Leave the machine's network for an empty one, in which this process may make devices. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    ids = os.getuid(), os.getgid()
    if libc.unshare(_NEW_NETWORK) < 0:
        if libc.unshare(_NEW_USER | _NEW_NETWORK) < 0:
            raise OSError(ctypes.get_errno(), "no network namespace of its own")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {ids[0]} 1")
        Path("/proc/self/gid_map").write_text(f"0 {ids[1]} 1")
    with contextlib.suppress(OSError):  # a kernel without IPv6: it says nothing by itself anyway
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")


class Relay:
    """Between the tester's frames and the device's packets."""

    def __init__(self, mac: bytes, router: bytes, opened: Callable[[Ends, Ends], None]) -> None:
        self._mac, self._head = mac, router + mac
        self._opened = opened
        self._offered: dict[bytes, int] = {}
        """What acknowledges each SYN,ACK sent, by the connection's addresses and ports as the peer writes them."""
        self._waiting: collections.deque[bytes] = collections.deque()
        self._frames = socket.socket(fileno=_FRAMES)
        self._device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._device.bind((_DEVICE, _ALL))
        for one in (self._frames, self._device):
            one.setblocking(False)
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                one.setsockopt(socket.SOL_SOCKET, buffer, _ROOM)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._frames, self._inward)
        loop.add_reader(self._device, self._outward)

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
                    self._device.sendto(frame[_HEADER:], (_DEVICE, kind))
                self._note_in(frame[_HEADER:])

    def _outward(self) -> None:
        """What the stack sends."""
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
        loop.add_reader(self._device, self._outward)
        return True

    # The stack tells of a connection when its SYN comes, and never that it is established. An application that waits
    # for that sees it here: its SYN,ACK is acknowledged.

    def _note_out(self, packet: bytes) -> None:
        found = tcp(packet)
        if found is not None:
            addresses, header = found
            if header[13] & (_SYN | _ACK) == _SYN | _ACK:
                half = len(addresses) // 2
                key = addresses[half:] + addresses[:half] + header[2:4] + header[:2]
                self._offered[key] = int.from_bytes(header[4:8], "big") + 1 & 0xFFFFFFFF

    def _note_in(self, packet: bytes) -> None:
        found = tcp(packet) if self._offered else None
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


def tcp(packet: bytes) -> tuple[bytes, bytes] | None:
    """Both addresses and the header of a TCP segment without extension headers; None for anything else."""
    if packet[0] >> 4 == 4 and len(packet) >= 40 and packet[9] == _TCP:
        return packet[12:20], packet[(packet[0] & 15) * 4 :][:20]
    if packet[0] >> 4 == 6 and len(packet) >= 60 and packet[6] == _TCP:
        return packet[8:40], packet[40:60]
    return None


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


class Agent:
    """One stack with all its sockets."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._sockets: dict[int, Held] = {}
        self._listeners: dict[Ends, Held] = {}
        self._half_open: collections.OrderedDict[tuple[Ends, Ends], mitmproxy_rs.Stream | None] = (
            collections.OrderedDict()
        )
        """Streams of which only the SYN is known; None where the stack tells us later than its peer acknowledges."""
        self._calls: dict[int, asyncio.Task[None]] = {}

    def say(self, message: dict[str, object]) -> None:
        """A line for the tester."""
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def configure(self, said: dict[str, Any]) -> None:
        """Bring the stack up: it answers for every address."""
        self._interface = await mitmproxy_rs.tun.create_tun_interface(self._arrived, self._arrived, _DEVICE)
        self._end_of_stack = asyncio.ensure_future(self._watch())
        self._relay = Relay(octets(said["mac"]), octets(said["router_mac"]), self._opened)
        self.say({"hello": {
            "protocol": 1, "stack": "smoltcp in mitmproxy_rs", "version": importlib.metadata.version("mitmproxy_rs"),
            "clock": "real", "frames": "fd", "ip": [4, 6], "verbs": _VERBS,
            "options": ["mss", "wscale", "sackOK"], "msl": 5.0,
            "challenge_interval": 1.05, "throttles_text": True, "state": False,
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

    # -- requests -------------------------------------------------------------------------------------------

    async def take(self, message: dict[str, Any]) -> None:
        """Do what a line asks; a call that does not end at once goes on beside."""
        if "configure" in message:
            await self.configure(message["configure"])
            return
        id_ = message["id"]
        try:
            verb = getattr(self, f"do_{message['do']}", None)
            if verb is None:
                raise Refused("ENOSYS")
            answer = verb(message)
        except Refused as why:
            self.say({"id": id_, "error": str(why)})
            return
        if not asyncio.iscoroutine(answer):
            self.say({"id": id_, "ok": answer})
            return
        self.say({"id": id_, "pending": True})
        call = asyncio.ensure_future(self._end(id_, answer))
        self._calls[id_] = call
        call.add_done_callback(lambda _: self._calls.pop(id_, None))

    async def _end(self, id_: int, call: Any) -> None:
        try:
            value = await call
        except Refused as why:
            self.say({"id": id_, "error": str(why)})
        except OSError:  # all that the stack tells of a connection that is gone
            self.say({"id": id_, "error": "EPIPE"})
        else:
            self.say({"id": id_, "ok": value})

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
        self._sockets[message["socket"]] = Held(ends(message["local"]))

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

    def do_cancel(self, message: dict[str, Any]) -> None:
        """Nobody waits for that call."""
        call = self._calls.pop(message["call"], None)
        if call is not None:
            call.cancel()


async def given(octets_: bytes) -> bytes:
    """A read that is done."""
    return octets_


def octets(mac: str) -> bytes:
    """Of a hardware address."""
    return bytes.fromhex(mac.replace(":", ""))


def ends(said: list[Any]) -> Ends:
    """An address and port."""
    return str(ipaddress.ip_address(said[0])), int(said[1])


async def serve() -> None:
    """Speak the protocol until the channel ends."""
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=_CHANNEL), limit=1 << 18)
    agent = Agent(writer)
    while line := await reader.readline():
        await agent.take(json.loads(line))


def main() -> None:
    """Its own network first: threads may not leave theirs."""
    try:
        private_network()
    except OSError as problem:
        sys.exit(f"smoltcp needs a network namespace of its own: {problem.strerror}")
    if not os.access(_TUN, os.R_OK | os.W_OK):
        sys.exit(f"smoltcp needs {_TUN}: no such device, or not for this user")
    asyncio.run(serve())
    os._exit(0)  # the stack's threads do not end by themselves


if __name__ == "__main__":
    main()

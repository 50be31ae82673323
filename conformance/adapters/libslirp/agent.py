# SPDX-License-Identifier: GPL-2.0-only
"""The agent of libslirp (docs/adapters.md): the channel, virtual time, and the neighbours that the stack asks for.

It runs in a network namespace of its own, so that the loopback ports that libslirp splices are nobody else's.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys
from typing import Any

from conformance.adapters.libslirp.bindings import Slirp, version
from conformance.adapters.libslirp.spliced import Application
from conformance.adapters.private import private_network

_VERBS = ("open", "listen", "accept", "connect", "send", "recv", "shutdown", "close", "abort", "exit", "poll", "state")
_MOST_TURNS = 500
_QUIET_TURNS = 3
_ARP, _IP4, _IP6, _TCP, _ICMP6 = 0x0806, 0x0800, 0x86DD, 6, 58
_SOLICITATION = 135


def checksum(octets: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Agent:
    """One stack, begun afresh by `reset`."""

    def __init__(self, configure: dict[str, Any]) -> None:
        self._addresses = [text.partition("/")[0] for text in configure["addresses"]]
        self._mtu = configure["mtu"]
        self._mac = bytes.fromhex(configure["mac"].replace(":", ""))
        self._router = bytes.fromhex(configure["router_mac"].replace(":", ""))
        self.out: list[str] = []
        """Lines for the tester."""
        self.given = self.taken = 0
        self._timers = False
        self._begin()

    def _begin(self) -> None:
        self._back: list[bytes] = []
        self._known: set[bytes] = set()
        four = next(text for text in self._addresses if ":" not in text)
        six = next(text for text in self._addresses if ":" in text)
        self._slirp = Slirp(four, six, self._mtu, self._emit)
        self._application = Application(self._slirp, lambda: self._timers)

    def reset(self) -> None:
        """All is as at the start."""
        self._application.close()
        self._slirp.close()
        self.given = self.taken = 0
        self.out.clear()
        self._begin()
        self.out.clear()

    # -- frames ---------------------------------------------------------------------------------------------

    def _emit(self, frame: bytes) -> None:
        """The stack sends: what asks for a neighbour is answered here, all else goes to the tester."""
        kind = int.from_bytes(frame[12:14], "big")
        if kind == _ARP:
            return
        if kind == _IP6 and frame[20] == _ICMP6 and frame[54] >= _SOLICITATION - 2:
            return
        self.given += 1
        octets = self._router + self._mac + frame[12:]
        self.out.append(json.dumps({"frame": octets.hex(), "at": self._slirp.now}))

    def frame(self, octets: bytes) -> None:
        """A frame of the tester's arrives; the stack is told first who its sender's neighbour is."""
        self.taken += 1
        kind = int.from_bytes(octets[12:14], "big")
        if kind == _IP4 and len(octets) >= 34:
            self._introduce(octets[26:30])
            self._note(octets, 14 + (octets[14] & 15) * 4, 23, octets[26:30])
        elif kind == _IP6 and len(octets) >= 54:
            self._introduce(octets[22:38])
            self._note(octets, 54, 20, octets[22:38])
        self._slirp.input(octets)
        self.settle()

    def _note(self, octets: bytes, start: int, protocol: int, source: bytes) -> None:
        if octets[protocol] == _TCP and len(octets) >= start + 2:
            port = int.from_bytes(octets[start : start + 2], "big")
            self._application.testers[port] = str(ipaddress.ip_address(source))

    def _introduce(self, source: bytes) -> None:
        """Every tester lies behind the router, and to this stack all addresses are neighbours."""
        if source in self._known:
            return
        self._known.add(source)
        if len(source) == 4:
            own = ipaddress.ip_address(self._addresses[0]).packed
            body = struct.pack("!HHBBH", 1, _IP4, 6, 4, 2) + self._router + source + self._mac + own
            self._slirp.input(self._mac + self._router + struct.pack("!H", _ARP) + body)
            return
        own = next(ipaddress.ip_address(text).packed for text in self._addresses if ":" in text)
        body = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + source + b"\x02\x01" + self._router
        sum_ = checksum(source + own + struct.pack("!II", len(body), _ICMP6) + body)
        body = body[:2] + struct.pack("!H", sum_) + body[4:]
        head = struct.pack("!IHBB", 6 << 28, len(body), _ICMP6, 255) + source + own
        self._slirp.input(self._mac + self._router + struct.pack("!H", _IP6) + head + body)

    # -- time -----------------------------------------------------------------------------------------------

    def settle(self) -> bool:
        """Until the stack, the loopback device and the pending calls have nothing more to do; whether they had."""
        any_, quiet = False, 0
        for _ in range(_MOST_TURNS):
            before = len(self.out)
            self._slirp.turn()
            for number, outcome in self._application.settle():
                self.out.append(json.dumps({"id": number, **outcome}))
            if len(self.out) == before:
                quiet += 1
                if quiet == _QUIET_TURNS:
                    break
            else:
                any_, quiet = True, 0
        return any_

    def advance(self, to: int) -> dict[str, object]:
        """Timer after timer, up to `to` or the first that does something."""
        done = self.settle() or bool(self.out)
        while not done:
            due = self._slirp.due()
            if due is None or due > to:
                self._slirp.now = max(self._slirp.now, to)
                break
            self._slirp.now = due
            self._timers = True
            done = self.settle()
            self._timers = False
        return {"now": self._slirp.now, "in": self.taken, "out": self.given, "next": self._slirp.due()}

    def ask(self, message: dict[str, Any]) -> dict[str, object]:
        """A verb of the application."""
        if message["do"] == "open":
            self._introduce(ipaddress.ip_address(message["remote"][0]).packed)
        outcome = self._application.ask(message)
        self.settle()
        return outcome


def hello() -> dict[str, object]:
    """What the stack offers."""
    return {
        "protocol": 1,
        "stack": "libslirp",
        "version": version(),
        "clock": "virtual",
        "frames": "channel",
        "ip": [4, 6],
        "verbs": _VERBS,
        "options": ["mss"],
        "msl": 5.0,
        "first_repeat": 6.6,
        "settings": {"timers": "coarse", "syncookies": "never", "rfc1337": "off"},
        "state": True,
        "reset": True,
        "ports": "exact",
    }


def main() -> None:
    """Speak the protocol until the channel ends."""
    channel = socket.socket(fileno=3)
    try:
        private_network()
    except OSError as problem:
        sys.exit(f"libslirp needs a network namespace of its own for its loopback sockets: {problem}")
    agent: Agent | None = None

    def say(*messages: dict[str, object]) -> None:
        lines = [*(agent.out if agent is not None else []), *(json.dumps(message) for message in messages)]
        if agent is not None:
            agent.out.clear()
        channel.sendall("".join(f"{line}\n" for line in lines).encode())

    for line in channel.makefile("r", encoding="utf-8"):
        message = json.loads(line)
        if "configure" in message:
            agent = Agent(message["configure"])
            agent.out.clear()
            say({"hello": hello()})
            continue
        assert agent is not None
        if "frame" in message:
            agent.frame(bytes.fromhex(message["frame"]))
        elif message["do"] == "advance":
            outcome = agent.advance(message["to"])
            say({"id": message["id"], "ok": outcome})
        elif message["do"] == "reset":
            agent.reset()
            say({"hello": hello()})
        else:
            outcome = agent.ask(message)
            say({"id": message["id"], **outcome})


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""A template: an agent for a stack in virtual time, in Python (docs/adapters.md).

    conformance target check ./agent.py

As it stands it is a stack that hears everything and says nothing, so that every case is UNSUPPORTED. Fill in `Stack`.
"""

from __future__ import annotations

import json
import socket
from typing import Any


class Stack:
    """Your stack. Frames it wants to send go to `self.sent`, as (octets, nanoseconds)."""

    VERBS: tuple[str, ...] = ()  # "listen", "accept", ...: what `do_...` methods below do, once they do it

    def __init__(self, configure: dict[str, Any]) -> None:
        self.now = 0
        self.sent: list[tuple[bytes, int]] = []
        self.ended: list[tuple[int, object]] = []  # calls that had been pending: id, value
        # Bring it up: configure["addresses"], ["gateways"], ["mac"], ["router_mac"], ["mtu"], ["seed"].

    def frame(self, octets: bytes) -> None:
        """An Ethernet frame arrives now."""

    def next_timer(self) -> int | None:
        """When the next timer is due (ns), None when none is."""
        return None

    def run_timers(self) -> None:
        """Do what is due at `self.now`."""

    # One method for each verb: it returns the value, raises OSError(errno, ...) or returns PENDING.
    # def do_listen(self, message): ...


PENDING = object()


def main() -> None:
    """Speak the protocol."""
    channel = socket.socket(fileno=3)
    stack, taken, given = None, 0, 0

    def say(message: dict[str, Any]) -> None:
        channel.sendall(json.dumps(message).encode() + b"\n")

    def flush() -> int:
        """Frames and ended calls go out; how many."""
        nonlocal given
        count = len(stack.sent) + len(stack.ended)
        given += len(stack.sent)
        for octets, at in stack.sent:
            say({"frame": octets.hex(), "at": at})
        for number, value in stack.ended:
            say({"id": number, "ok": value})
        stack.sent.clear()
        stack.ended.clear()
        return count

    def advance(to: int) -> None:
        """Timers, one moment after the other, until something has happened or it is `to`."""
        while not flush():
            due = stack.next_timer()
            if due is None or due > to:
                stack.now = max(stack.now, to)
                return
            stack.now = max(stack.now, due)
            stack.run_timers()

    for line in channel.makefile("r"):
        message = json.loads(line)
        if "configure" in message:
            stack = Stack(message["configure"])
            hello = {"protocol": 1, "stack": "mine", "version": "0", "clock": "virtual", "frames": "channel"}
            say({"hello": {**hello, "ip": [4, 6], "verbs": stack.VERBS, "options": ["mss"], "msl": 120.0}})
        elif "frame" in message:
            taken += 1
            stack.frame(bytes.fromhex(message["frame"]))
        elif message["do"] == "advance":
            advance(message["to"])
            said = {"now": stack.now, "in": taken, "out": given, "next": stack.next_timer()}
            say({"id": message["id"], "ok": said})
        elif message["do"] in ("dispose", "cancel", "open"):
            say({"id": message["id"], "ok": None})
        else:
            verb = getattr(stack, f"do_{message['do']}", None)
            try:
                value = verb(message) if verb else None
                flush()
                if verb is None:
                    say({"id": message["id"], "error": "ENOSYS"})
                else:
                    say({"id": message["id"], **({"pending": True} if value is PENDING else {"ok": value})})
            except OSError as problem:
                import errno

                say({"id": message["id"], "error": errno.errorcode.get(problem.errno or 0, "EIO")})


if __name__ == "__main__":
    main()

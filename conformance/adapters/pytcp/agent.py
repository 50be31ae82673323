#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent for PyTCP (docs/adapters.md): the stack on an event loop of virtual time, in one process and one thread.

The stack is brought up once, to where it has claimed its addresses; then a copy of the process serves the tester, and
after a `reset` another copy of the same. So every case finds the stack to the octet as it was at its start.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import traceback
from typing import Any

from sockets import Sockets
from stack import Stack

AGAIN = 101
"""The exit code of a copy that asks for a fresh one."""


class Agent:
    """The channel's other end."""

    def __init__(self, channel: socket.socket, stack: Stack) -> None:
        self._channel, self._stack, self._loop = channel, stack, stack.loop
        self._sockets = Sockets(stack)
        self._start = stack.loop.now
        self._taken = self._given = 0

    def _say(self, *messages: dict[str, object]) -> None:
        self._channel.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def _flush(self) -> int:
        """Frames and ended calls go out; how many."""
        said: list[dict[str, object]] = []
        said += ({"frame": octets.hex(), "at": at - self._start} for octets, at in self._stack.sent)
        self._given += len(self._stack.sent)
        self._stack.sent.clear()
        said += ({"id": id_, **ended} for id_, ended in self._sockets.ended())
        if said:
            self._say(*said)
        return len(said)

    def _advance(self, said: dict[str, Any]) -> dict[str, object]:
        if said.get("in") != self._taken or not isinstance(said.get("to"), int):
            return {"error": "EPROTO"}
        to = self._start + said["to"]
        self._loop.fire()
        while not self._flush():
            due = self._loop.next()
            if due is None or due > to:
                self._loop.now = max(self._loop.now, to)
                break
            self._loop.now = max(self._loop.now, due)
            self._loop.fire()
        due = self._loop.next()
        after = None if due is None else max(due, self._loop.now) - self._start
        return {"ok": {"now": self._loop.now - self._start, "in": self._taken, "out": self._given, "next": after}}

    def hello(self) -> dict[str, object]:
        """What the agent says of the stack."""
        get = self._stack.sysctl.get
        return {
            "protocol": 1,
            "stack": "PyTCP",
            "version": f"3.0.7 (pmd-pytcp {self._stack.version})",
            "clock": "virtual",
            "frames": "channel",
            "ip": [4, 6],
            "verbs": Sockets.verbs(),
            "options": ["mss", "wscale", "sackOK", "ts"],
            "state": True,
            "reset": True,
            "ports": "exact",
            "msl": get("tcp.time_wait.delay_ms") / 2000,
            "first_repeat": get("tcp.rto.initial_ms") / 1000 + 0.5,
            "challenge_interval": 0
            if self._stack.most_eager
            else (get("tcp.challenge_ack.rate_limit_ms") + 1) / 1000,  # it counts whole ms
            "throttles_text": True,
            "settings": {"ecn": "on", "syncookies": "never", "timestamps": "on", "sack": "on", "window-scaling": "on"},
        }

    def serve(self) -> int:
        """Take the tester's lines until it goes (0) or wants a fresh stack (AGAIN)."""
        self._say({"hello": self.hello()})
        for line in self._channel.makefile("r", encoding="utf-8"):
            said = json.loads(line)
            if "frame" in said:
                self._taken += 1
                self._stack.frame(bytes.fromhex(said["frame"]))
            elif said.get("do") == "reset":
                return AGAIN
            elif said.get("do") == "advance":
                self._say({"id": said["id"], **self._advance(said)})
            elif "do" in said:
                with self._stack.stir():
                    outcome = self._sockets.request(said)
                    self._loop.settle()
                self._flush()
                self._say({"id": said["id"], **outcome})
        return 0


def copy(channel: socket.socket, stack: Stack) -> int:
    """Serve in a copy of this process; its exit code. A copy that a signal ends takes this process with it."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code < 0:
            signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
            os.kill(os.getpid(), -code)
        return code
    code = 1
    try:
        stack.enter()
        code = Agent(channel, stack).serve()
    except (AssertionError, ArithmeticError, LookupError, TypeError, AttributeError, RuntimeError):
        traceback.print_exc()  # a call of the stack's that breaks in the middle: the stack has crashed
        sys.stderr.flush()
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.abort()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    """Bring the stack up as the tester says, and serve."""
    channel = socket.socket(fileno=3)
    first = b""
    while not first.endswith(b"\n"):
        octets = channel.recv(1 << 16)
        if not octets:
            return 0
        first += octets
    said = json.loads(first).get("configure")
    if said is None:
        print("the first line is no configure", file=sys.stderr)
        return 1
    profile = sys.argv[1] if len(sys.argv) > 1 else ""
    stack = Stack(said, profile)
    gc.freeze()
    code = AGAIN
    while code == AGAIN:
        code = copy(channel, stack)
    return code


if __name__ == "__main__":
    sys.exit(main())

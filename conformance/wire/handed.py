"""The wire of a stack in virtual time: frames are handed to its agent, and come back when its time is moved.

It holds no descriptor; `Link` is the agent's channel. Imports the wire's contracts and the standard library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from conformance.wire.base import Frame, Inbox
from conformance.wire.neighbours import answer
from conformance.wire.sorting import Sorter

_ROUNDS = 1000
"""Times that a stack is answered at one moment."""


class Link(Protocol):
    """What carries the frames."""

    def now(self) -> int:
        """ns, the clock of the frames' time stamps."""

    def hand(self, frame: bytes) -> None:
        """Give the stack a frame."""

    def settle(self) -> None:
        """Let the stack do all that it does without time passing; what it sends comes to the wire's `arrived`."""


class HandedWire:
    """A wire (`conformance.wire.base.Wire`) over a link; `arrived` is told of every frame that the stack sends."""

    lag = 0

    def __init__(self, link: Link, *, tester_mac: bytes, target_mac: bytes, mtu: int) -> None:
        self.tester_mac, self.target_mac, self.mtu = tester_mac, target_mac, mtu
        self.unsettled = False
        """Something was handed to the stack, or asked of it, since it last settled."""
        self._link = link
        self._sorter = Sorter()
        self._sent = self.received = 0

    def send(self, frame: bytes) -> int:
        """Hand one frame to the stack; return the time (ns)."""
        self._link.hand(frame)
        self.unsettled = True
        self._sent += 1
        return self._link.now()

    def stir(self) -> None:
        """Something was asked of the stack: it may have something to say."""
        self.unsettled = True

    def drain(self) -> int:
        """Let the stack answer whatever it answers at once; return how many frames came to inboxes.

        A stack that asks for a neighbour again and again, though it is answered, is left to the time that passes.
        """
        before = self.received
        for _ in range(_ROUNDS):
            if not self.unsettled:
                break
            self.unsettled = False
            self._link.settle()
        return self.received - before

    def arrived(self, frame: Frame) -> None:
        """The stack sent a frame: answer it in the router's name, or put it into its inbox."""
        reply = answer(frame.data, self.tester_mac)
        if reply is not None:
            self._link.hand(reply)
            self.unsettled = True
            return
        self.received += self._sorter.sort((frame,))

    def attach(self, address: bytes, inbox: Inbox) -> None:
        """Deliver frames whose IP destination is `address` (4 or 16 octets) to `inbox` from now on."""
        self._sorter.attach(address, inbox)

    def detach(self, address: bytes, late: Callable[[Frame], None] | None = None) -> None:
        """Stop delivering; frames that still come for `address` go to `late` until the address is attached again."""
        self._sorter.detach(address, late)

    def watch(self) -> None:
        """Nothing to watch: frames come when time is moved."""

    def unwatch(self) -> None:
        """Undo `watch`."""

    def counters(self) -> dict[str, int]:
        """Health since the start, in frames; none can be lost here."""
        return {"sent": self._sent, "received": self.received, "dropped": 0, "strays": self._sorter.strays}

    def close(self) -> None:
        """Nothing to close."""

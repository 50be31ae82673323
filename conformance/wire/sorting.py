"""Sorts frames by the tester address they are meant for: the half of a wire that does not care what carries it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from conformance.wire.base import LARGE, MOST_LARGE, MOST_WAITING, Frame, Inbox

_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"


class Sorter:
    """Inboxes by IP destination address; frames for nobody are strays, or late ones of a case that has ended.

    `other` is told of what is not for any inbox, and says whether that was for it.
    """

    def __init__(self, other: Callable[[Frame], bool] | None = None) -> None:
        self.strays = 0
        self._other = other
        self._inboxes: dict[bytes, Inbox] = {}
        self._late: dict[bytes, Callable[[Frame], None]] = {}

    def sort(self, frames: Iterable[Frame]) -> int:
        """Deliver frames, and wake whoever waits for them; return how many were delivered.

        Frames that are neither IPv4 nor IPv6 are ignored, and so is multicast (the target's own MLD reports).
        """
        moved = 0
        inboxes = self._inboxes
        for frame in frames:
            data = frame[1]
            kind = data[12:14]
            if kind == _IPV4:
                address = data[30:34]
            elif kind == _IPV6:
                address = data[38:54]
                if len(address) != 16:
                    self.strays += 1  # cut off, it could be taken for an IPv4 address
                    continue
            else:
                if self._other is not None:
                    self._other(frame)
                continue
            inbox = inboxes.get(address)
            if inbox is None:
                self._nobodys(address, frame)
                continue
            waiting = len(inbox.frames)
            if waiting >= MOST_LARGE and (waiting >= MOST_WAITING or len(data) > LARGE):
                inbox.overflow += 1
                continue
            inbox.frames.append(frame)
            moved += 1
            if inbox.wake is not None:
                inbox.wake()
        return moved

    def _nobodys(self, address: bytes, frame: Frame) -> None:
        late = self._late.get(address)
        if self._other is not None and self._other(frame):
            return
        if late is not None:
            late(frame)
        elif frame.data[0] & 1 == 0:  # the group bit of the Ethernet destination
            self.strays += 1

    def attach(self, address: bytes, inbox: Inbox) -> None:
        """Deliver frames whose IP destination is `address` (4 or 16 octets) to `inbox` from now on."""
        self._late.pop(address, None)
        self._inboxes[address] = inbox

    def detach(self, address: bytes, late: Callable[[Frame], None] | None = None) -> None:
        """Stop delivering; frames that still come for `address` go to `late` until the address is attached again."""
        self._inboxes.pop(address, None)
        if late is None:
            self._late.pop(address, None)
        else:
            self._late[address] = late

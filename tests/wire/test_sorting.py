"""What an inbox holds is bounded, whatever a target sends, and a frame that is cut off is nobody's."""

from __future__ import annotations

from conformance.wire.base import LARGE, MOST_LARGE, MOST_WAITING, Frame, Inbox
from conformance.wire.sorting import Sorter

TESTER = bytes([198, 18, 0, 1])


def frame(length: int) -> Frame:
    return Frame(0, bytes(12) + b"\x08\x00" + bytes(16) + TESTER + bytes(length - 34))


def test_a_flood_is_counted_and_not_kept():
    sorter, inbox, other = Sorter(), Inbox(), Inbox()
    sorter.attach(TESTER, inbox)
    sorter.attach(bytes([198, 18, 0, 2]), other)
    assert sorter.sort([frame(60)] * (MOST_WAITING + 7)) == MOST_WAITING
    assert (len(inbox.frames), inbox.overflow) == (MOST_WAITING, 7)
    assert not other.frames


def test_large_frames_take_bounded_memory():
    sorter, inbox = Sorter(), Inbox()
    sorter.attach(TESTER, inbox)
    sorter.sort([frame(LARGE + 1)] * (MOST_LARGE + 5))
    assert (len(inbox.frames), inbox.overflow) == (MOST_LARGE, 5)
    assert sorter.sort([frame(60)]) == 1


def test_a_frame_cut_off_inside_its_ipv6_address_is_not_taken_for_ipv4():
    sorter, inbox = Sorter(), Inbox()
    sorter.attach(TESTER, inbox)
    assert sorter.sort([Frame(0, bytes(12) + b"\x86\xdd" + bytes(24) + TESTER)]) == 0
    assert sorter.strays == 1
    assert not inbox.frames

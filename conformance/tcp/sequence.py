"""Sequence numbers: arithmetic modulo 2**32 (RFC 9293 section 3.4). All values are ints in 0 .. 2**32-1."""

from __future__ import annotations

MASK = 0xFFFFFFFF
HALF = 0x80000000


def add(number: int, delta: int) -> int:
    """`number + delta` modulo 2**32; `delta` may be negative."""
    return (number + delta) & MASK


def distance(start: int, end: int) -> int:
    """How far `end` lies after `start`, as a signed number in -2**31 .. 2**31-1."""
    return ((end - start + HALF) & MASK) - HALF


def before(left: int, right: int) -> bool:
    """True when `left` precedes `right` (RFC 9293 section 3.4: the comparison `<` modulo 2**32)."""
    return (left - right) & HALF != 0


def at_or_before(left: int, right: int) -> bool:
    """True when `left` precedes `right` or equals it (`=<` modulo 2**32)."""
    return left == right or (left - right) & HALF != 0


def later(left: int, right: int) -> int:
    """The later of two numbers."""
    return right if before(left, right) else left


def within(start: int, number: int, length: int) -> bool:
    """True when `number` lies in the `length` octets that begin at `start`."""
    return (number - start) & MASK < length


def acceptable(seq: int, length: int, rcv_nxt: int, rcv_wnd: int) -> bool:
    """The four-case acceptability test of RFC 9293 section 3.4 (Table 6); `length` counts SYN and FIN."""
    if length == 0:
        return seq == rcv_nxt if rcv_wnd == 0 else within(rcv_nxt, seq, rcv_wnd)
    if rcv_wnd == 0:
        return False
    return within(rcv_nxt, seq, rcv_wnd) or within(rcv_nxt, add(seq, length - 1), rcv_wnd)

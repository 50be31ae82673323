"""Sequence numbers against brute force: unbounded integers, of which only the last 32 bits are seen."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.tcp import sequence as q

M = 1 << 32
numbers = st.one_of(st.integers(0, M - 1), st.sampled_from([0, 1, M - 1, M // 2, M // 2 - 1, M // 2 + 1]))
near = st.one_of(st.integers(-(1 << 31) + 1, (1 << 31) - 1), st.integers(-2, 2))


@given(numbers, near)
def test_distance_and_order_are_those_of_the_integers(start, delta):
    end = (start + delta) % M
    assert q.add(start, delta) == end
    assert q.distance(start, end) == delta
    assert q.before(start, end) == (delta > 0)
    assert q.at_or_before(start, end) == (delta >= 0)
    assert q.later(start, end) == (end if delta > 0 else start)


@given(numbers, numbers)
def test_of_two_numbers_at_most_one_is_before_the_other(a, b):
    assert (a == b) or q.before(a, b) or q.before(b, a)
    if (a - b) % M != M // 2:
        assert not (q.before(a, b) and q.before(b, a))
    assert -(1 << 31) <= q.distance(a, b) < 1 << 31


@given(numbers, st.integers(0, 300), near)
@example(M - 1, 2, 1)
def test_within_is_membership(start, length, delta):
    number = (start + delta) % M
    assert q.within(start, number, length) == (number in {(start + i) % M for i in range(length)})


@given(numbers, st.integers(-20, 40), st.integers(0, 12), st.integers(0, 25))
def test_acceptable_is_table_6_octet_by_octet(rcv_nxt, delta, length, window):
    """RFC 9293 3.4: with a window a segment is acceptable if its first or its last octet lies in it."""
    seq = (rcv_nxt + delta) % M
    inside = set(range(window))
    if length == 0:
        wanted = delta == 0 if window == 0 else delta in inside
    else:
        wanted = bool(window) and (delta in inside or delta + length - 1 in inside)
    assert q.acceptable(seq, length, rcv_nxt, window) == wanted


@pytest.mark.parametrize(
    ("seq", "length", "window", "accepted"),
    [
        (0, 0, 0, True),
        (1, 0, 0, False),
        (0, 1, 0, False),
        (0, 0, 10, True),
        (9, 0, 10, True),
        (10, 0, 10, False),
        (-1, 0, 10, False),
        (-1, 1, 10, False),
        (-1, 2, 10, True),
        (9, 5, 10, True),
        (10, 1, 10, False),
    ],
)
@pytest.mark.parametrize("rcv_nxt", [0, 1000, M - 5])
def test_the_four_cases_of_table_6(seq, length, window, accepted, rcv_nxt):
    assert q.acceptable((rcv_nxt + seq) % M, length, rcv_nxt, window) is accepted

"""Octets that tell their position: any stretch of the stream is a stretch of one and the same stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conformance.tcp import pattern

STREAM = b"".join(number.to_bytes(4, "big") for number in range(40_000))


@given(st.integers(0, 150_000), st.integers(0, 9_000))
def test_a_stretch_is_cut_out_of_the_stream(offset, length):
    assert pattern.octets(offset, length) == STREAM[offset : offset + length]


@given(st.integers(0, (1 << 34) - 4))
def test_four_aligned_octets_tell_where_they_stand(offset):
    offset -= offset % 4
    assert int.from_bytes(pattern.octets(offset, 4), "big") * 4 == offset


@given(st.integers(1 << 16, 1 << 33), st.integers(0, 64), st.integers(0, 64))
def test_two_stretches_side_by_side_are_one(offset, first, second):
    both = pattern.octets(offset, first) + pattern.octets(offset + first, second)
    assert both == pattern.octets(offset, first + second)

"""Which copy of an octet was delivered, where the tester's segments differed."""

from __future__ import annotations

import pytest

from conformance.engine.copies import chosen


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"aacc", "first"),
        (b"abcc", "last"),
        (b"aabb", 2),
        (b"abca", 3),
        (b"zbcc", 0),
    ],
)
def test_the_copy_is_told_or_where_there_is_none(data, said):
    assert chosen(data, [b"a", b"ab", b"c", b"cc"]) == said


def test_a_middle_copy_or_now_one_and_now_another_is_mixed():
    assert chosen(b"b", [b"abc"]) == "mixed"
    assert chosen(b"ab", [b"ab", b"ab"]) == "mixed"


def test_what_never_differed_says_nothing():
    assert chosen(b"aa", [b"a", b"aa"]) == "alike"
    assert chosen(b"", []) == "alike"

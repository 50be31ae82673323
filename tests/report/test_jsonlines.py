"""Lines of JSON: what one writes the other reads, whatever a hostile target has put into it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.jsonlines import decode, encode

TEXTS = st.text(st.characters(codec=None), max_size=20)  # half surrogate pairs, too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_is_one_line_of_ascii_that_reads_the_same(value):
    line = encode(value)
    assert line.isascii()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == value
    small = not isinstance(value, int) or abs(value) < 2**63  # beyond, a number is as exact as a float
    assert not small or isinstance(value, list | dict) or decode(line) == value


def test_what_json_has_no_word_for_is_told():
    assert json.loads(encode({"where": Path("/tmp")})) == {"where": repr(Path("/tmp"))}


@pytest.mark.parametrize("line", [b"", b"{", b"\xff\xfe", b'{"a": 1}{', b"[" * 100_000])
def test_what_is_no_json_is_refused(line):
    with pytest.raises(ValueError):  # noqa: PT011 - each library has its own words
        decode(line)

"""Options: encode and decode are inverses where there is something to invert, and no octets make them raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.tcp import options as o

u8, u16, u32 = st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**32 - 1)
known_kinds = set(o.KINDS.values())
one = st.one_of(
    st.tuples(st.just("mss"), u16),
    st.tuples(st.just("wscale"), u8),
    st.just(("sackOK",)),
    st.just(("nop",)),
    st.tuples(st.just("ts"), u32, u32),
    st.lists(st.tuples(u32, u32), min_size=1, max_size=4).map(lambda blocks: ("sack", *blocks)),
    st.tuples(st.just("uto"), u16),
    st.tuples(st.just("fo"), st.binary(max_size=16)),
    st.tuples(
        st.just("kind"), st.integers(2, 255).filter(lambda kind: kind not in known_kinds), st.binary(max_size=20)
    ),
)
lists = st.lists(one, max_size=6).map(tuple).filter(lambda options: len(o.encode(options)) <= 40)


@given(lists)
def test_what_is_encoded_decodes_to_the_same(options):
    area = o.encode(options)
    assert len(area) % 4 == 0
    decoded = o.decode(area)
    padding = -len(b"".join(map(o.encode_one, options))) % 4
    assert decoded == ((*options, ("eol",)) if padding else options)


@given(st.binary(max_size=40))
def test_any_octets_decode_and_encode_back(area):
    decoded = o.decode(area)
    again = b"".join(map(o.encode_one, decoded))
    # Zeros after the end of the list are padding and are not kept.
    assert area.startswith(again)
    assert not area[len(again) :].strip(b"\0")


@pytest.mark.parametrize(
    ("area", "decoded"),
    [
        (b"\x02\x04\x05\xb4", (("mss", 1460),)),
        (b"\x01\x01\x08\x0a" + bytes(8), (("nop",), ("nop",), ("ts", 0, 0))),
        (b"\x02\x03\x05", (("kind", 2, b"\x05"),)),
        (b"\x02", (("raw", b"\x02"),)),
        (b"\x02\x01\x00", (("raw", b"\x02\x01\x00"),)),
        (b"\x02\x28\x05\xb4", (("raw", b"\x02\x28\x05\xb4"),)),
        (b"\x00\x00\x00\x00", (("eol",),)),
        (b"\x00\x01\x02\x03", (("eol",), ("raw", b"\x01\x02\x03"))),
        (b"\x05\x02", (("kind", 5, b""),)),
        (b"\x08\x0a\x00", (("raw", b"\x08\x0a\x00"),)),
        (b"", ()),
    ],
)
def test_well_and_ill_formed_areas(area, decoded):
    assert o.decode(area) == decoded


def test_a_lying_length_is_sent_as_said():
    assert o.encode((("kind", 254, b"\xab\xcd", 7),)) == b"\xfe\x07\xab\xcd"


def test_what_is_no_option_is_refused():
    with pytest.raises(ValueError, match="'bogus' is no TCP option"):
        o.encode_one(("bogus",))


def test_the_first_of_a_name_is_found():
    options = (("nop",), ("mss", 1), ("mss", 2))
    assert o.find(options, "mss") == ("mss", 1)
    assert o.find(options, "ts") is None

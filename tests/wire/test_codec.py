"""What the codec builds is what scapy builds, octet for octet; what it decodes it never chokes on."""

from __future__ import annotations

import dataclasses
from socket import AF_INET, AF_INET6, inet_ntop

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, IPOption, IPOption_LSRR, IPOption_RR, IPOption_Timestamp
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from conformance.tcp import ip_options
from conformance.tcp import options as o
from conformance.tcp.segment import ACK, IcmpMessage, Segment
from conformance.wire.codec import Encoder, checksum, decode

TESTER_MAC, TARGET_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
u8, u16, u32 = st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**32 - 1)
addresses = st.one_of(
    st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4)),
    st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)),
)
_NAMED = set(o.KINDS.values()) | {19, 29}  # scapy packs MD5 and AO by forms of their own
option = st.one_of(
    st.tuples(st.just("mss"), u16),
    st.tuples(st.just("wscale"), u8),
    st.just(("sackOK",)),
    st.just(("nop",)),
    st.tuples(st.just("ts"), u32, u32),
    st.lists(st.tuples(u32, u32), min_size=1, max_size=3).map(lambda blocks: ("sack", *blocks)),
    st.tuples(st.just("uto"), u16),
    st.tuples(st.just("kind"), st.integers(15, 254).filter(lambda kind: kind not in _NAMED), st.binary(max_size=12)),
)
option_lists = st.lists(option, max_size=5).map(tuple).filter(lambda options: len(o.encode(options)) <= 40)


@st.composite
def segments(draw: st.DrawFn, version: int) -> Segment:
    """Anything that a segment can be."""
    plain = draw(st.booleans())
    segment = Segment(
        draw(st.integers(0, 0x1FF)), draw(u32), draw(u32), draw(u16), draw(option_lists), draw(st.binary(max_size=64))
    )
    segment.sport, segment.dport, segment.checksum_ok = draw(u16), draw(u16), draw(st.booleans())
    if plain:
        return segment
    segment.urg, segment.reserved = draw(u16), draw(st.integers(0, 7))
    segment.doff = draw(st.one_of(st.just(0), st.integers(1, 15)))
    segment.ttl, segment.tos = draw(u8), draw(u8)
    if version == 4:
        segment.ident, segment.df = draw(u16), draw(st.booleans())
        name = draw(st.sampled_from(("none", *ip_options.KINDS)))
        segment.ip_options = ip_options.encode(name, draw(st.binary(min_size=4, max_size=4)))
    else:
        segment.flow = draw(st.integers(0, 0xFFFFF))
    return segment


def sample() -> st.SearchStrategy[tuple[tuple[bytes, bytes], Segment]]:
    return addresses.flatmap(lambda pair: st.tuples(st.just(pair), segments(4 if len(pair[0]) == 4 else 6)))


_SCAPY = {
    "mss": "MSS",
    "wscale": "WScale",
    "sackOK": "SAckOK",
    "nop": "NOP",
    "ts": "Timestamp",
    "sack": "SAck",
    "uto": "UTO",
}


def in_scapy(options: tuple[o.Option, ...]) -> list[tuple[object, object]]:
    """Options as scapy's users write them."""
    found: list[tuple[object, object]] = []
    for name, *args in options:
        if name == "kind":
            found.append((args[0], args[1]))
        elif name == "sack":
            found.append(("SAck", tuple(edge for block in args for edge in block)))
        elif name == "sackOK":
            found.append(("SAckOK", b""))
        elif name == "nop":
            found.append(("NOP", None))
        else:
            found.append((_SCAPY[name], args[0] if len(args) == 1 else tuple(args)))
    return found


def in_scapys_header(area: bytes) -> list[IPOption]:
    """Options of an IPv4 header as scapy's users write them."""
    for name in ip_options.names(area):
        if name == "rr":
            return [IPOption_RR(length=7, pointer=4, routers=["0.0.0.0"])]
        if name == "ts":
            return [IPOption_Timestamp(length=8, pointer=5, flg=0, timestamp=0)]
        if name == "lsrr":
            return [IPOption_LSRR(length=11, pointer=12, routers=["198.51.100.1", inet_ntop(AF_INET, area[7:11])])]
        return [IPOption(copy_flag=1, optclass=0, option=30, value=b"\xc0\xde")]
    return []


def by_scapy(pair: tuple[bytes, bytes], segment: Segment) -> bytes:
    source, target = pair
    if len(source) == 4:
        ip = IP(src=inet_ntop(AF_INET, source), dst=inet_ntop(AF_INET, target), ttl=segment.ttl, tos=segment.tos)
        ip.id, ip.flags = segment.ident, "DF" if segment.df else 0
    else:
        ip = IPv6(src=inet_ntop(AF_INET6, source), dst=inet_ntop(AF_INET6, target), hlim=segment.ttl)
        ip.tc, ip.fl = segment.tos, segment.flow
    tcp = TCP(
        sport=segment.sport,
        dport=segment.dport,
        seq=segment.seq,
        ack=segment.ack,
        flags=segment.flags,
        window=segment.win,
        urgptr=segment.urg,
        reserved=segment.reserved,
        dataofs=segment.doff or None,
        options=in_scapy(segment.options),
    )
    ether = Ether(src=TESTER_MAC.hex(":"), dst=TARGET_MAC.hex(":"))
    frame = bytes(ether / ip / tcp / Raw(segment.payload))
    if segment.ip_options:  # afterwards: scapy takes the last station of a route that is completed for the destination
        ip.options, ip.proto = in_scapys_header(segment.ip_options), 6
        frame = bytes(ether / ip / Raw(frame[34:]))
    if segment.checksum_ok:
        return frame
    at = (34 + len(segment.ip_options) if len(source) == 4 else 54) + 16
    wrong = int.from_bytes(frame[at : at + 2], "big") ^ 0x5A5A
    return frame[:at] + wrong.to_bytes(2, "big") + frame[at + 2 :]


@given(sample())
@settings(max_examples=250, deadline=None)
def test_what_it_builds_is_what_scapy_builds(drawn):
    pair, segment = drawn
    assert Encoder(*pair, TESTER_MAC, TARGET_MAC).encode(segment) == by_scapy(pair, segment)


@pytest.mark.parametrize("pair", [(b"\xc0\0\2\1", b"\xc0\0\2\2"), (b" \1" + bytes(14), b" \1" + bytes(13) + b"\1")])
def test_a_checksum_of_zero_is_sent_as_scapy_sends_it(pair):
    encoder = Encoder(*pair, TESTER_MAC, TARGET_MAC)
    for number in range(70_000):
        segment = Segment(ACK, number, 0, sport=1, dport=2)
        frame = encoder.encode(segment)
        at = (34 if len(pair[0]) == 4 else 54) + 16
        if frame[at : at + 2] == b"\0\0":
            assert frame == by_scapy(pair, segment)
            assert decode(frame).checksum_ok
            return
    raise AssertionError("no such segment met")


@given(sample())
@settings(max_examples=250, deadline=None)
def test_what_it_builds_it_decodes_to_the_same(drawn):
    pair, segment = drawn
    found = decode(Encoder(*pair, TESTER_MAC, TARGET_MAC).encode(segment))
    assert isinstance(found, Segment)
    area = o.encode(segment.options)
    right = 5 + len(area) // 4
    wanted = dataclasses.replace(segment, doff=segment.doff or right, options=o.decode(area))
    if wanted.doff != right:  # options and text are cut elsewhere: nothing is lost, and nothing more can be said
        whole = area + segment.payload
        header = wanted.doff * 4 - 20
        if 0 <= header <= len(whole):
            wanted.options, wanted.payload = o.decode(whole[:header]), whole[header:]
        else:
            wanted.options, wanted.payload = (("raw", whole),), b""
    assert found == wanted


@given(sample(), st.data())
@settings(max_examples=200, deadline=None)
def test_spoilt_and_cut_frames_never_make_it_raise(drawn, data):
    pair, segment = drawn
    frame = bytearray(Encoder(*pair, TESTER_MAC, TARGET_MAC).encode(segment))
    for _ in range(data.draw(st.integers(0, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(u8)
    decode(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


@given(st.sampled_from((b"", bytes(12) + b"\x08\x00\x45", bytes(12) + b"\x86\xdd\x60")), st.binary(max_size=120))
@settings(max_examples=250, deadline=None)
@example(b"", b"")
def test_random_octets_never_make_it_raise(head, tail):
    decode(head + tail)


@given(sample(), st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_one_flipped_bit_is_a_bad_checksum(drawn, where):
    pair, segment = drawn
    segment.checksum_ok = True
    frame = bytearray(Encoder(*pair, TESTER_MAC, TARGET_MAC).encode(segment))
    start = (34 + len(segment.ip_options) if len(pair[0]) == 4 else 54) * 8
    bit = start + where % (len(frame) * 8 - start)
    frame[bit // 8] ^= 1 << bit % 8
    found = decode(bytes(frame))
    assert isinstance(found, Segment)
    assert not found.checksum_ok


@given(st.binary(max_size=200), st.integers(0, 1 << 20))
def test_the_checksum_is_the_sum_of_rfc_1071(data, start):
    padded = data + b"\0" * (len(data) % 2)
    total = start + sum(int.from_bytes(padded[i : i + 2], "big") for i in range(0, len(padded), 2))
    nothing = total == 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    # The sum of nothing at all has no segment: every pseudo-header counts the protocol.
    assert nothing or checksum(data, start) == 0xFFFF - total


PAIRS = {4: (b"\xc0\0\2\1", b"\xc0\0\2\2"), 6: (b" \1" + bytes(14), b" \1" + bytes(13) + b"\1")}


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_carry_the_whole_segment(version):
    encoder = Encoder(*PAIRS[version], TESTER_MAC, TARGET_MAC)
    segment = Segment(ACK, 1, 2, payload=bytes(range(100)), sport=7, dport=8)
    frames = encoder.fragments(segment, 32)
    assert len(frames) == 4
    head = 34 if version == 4 else 62
    assert b"".join(frame[head:] for frame in frames) == encoder.tcp(segment)
    assert all(decode(frame) is None for frame in frames)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", ["port-unreachable", "fragmentation-needed", "time-exceeded"])
def test_an_icmp_error_quotes_the_segment(version, kind):
    encoder = Encoder(*PAIRS[version], TESTER_MAC, TARGET_MAC)
    quoted = Segment(ACK, 11, 22, sport=80, dport=4000)
    frame = encoder.icmp(kind, quoted, mtu=1280)
    message = decode(frame)
    assert isinstance(message, IcmpMessage)
    assert message.mtu == 1280
    back = Encoder(PAIRS[version][1], PAIRS[version][0], b"\0" * 6, b"\0" * 6)
    assert message.quoted == back.encode(quoted)[14:]
    packet = Ether(frame)
    if version == 4:
        assert (packet[ICMP].type, packet[ICMP].code) == (message.type, message.code)
        said, packet[ICMP].chksum = packet[ICMP].chksum, None
        assert ICMP(bytes(packet[ICMP])).chksum == said


def test_a_message_that_an_ip_version_has_not_is_refused():
    encoder = Encoder(*PAIRS[6], TESTER_MAC, TARGET_MAC)
    with pytest.raises(ValueError, match="ICMP for IPv6 has no source-quench"):
        encoder.icmp("source-quench", Segment(ACK, 1))


def test_ethernet_padding_is_no_text():
    frame = Encoder(*PAIRS[4], TESTER_MAC, TARGET_MAC).encode(Segment(ACK, 1, 2))
    assert decode(frame + bytes(6)) == decode(frame)

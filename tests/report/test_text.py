from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from report_samples import BACK, IRS, ISS, OUT, TARGET_PORT, TESTER_PORT, event, passing, seen, sent

from conformance.report.text import Numbers, event_text, printable, relative, segment_text
from conformance.tcp.expression import Binary, Number, Range, Tokens, Variable, parse_expr
from conformance.tcp.notation import Icmp, Octets, SegmentLine, parse
from conformance.tcp.pattern import octets
from conformance.tcp.segment import ACK, RST, SYN, URG, Segment

number = st.integers(0, 0xFFFFFFFF)
option = st.one_of(
    st.tuples(st.just("mss"), st.integers(0, 0xFFFF)),
    st.tuples(st.just("wscale"), st.integers(0, 255)),
    st.just(("sackOK",)),
    st.just(("nop",)),
    st.tuples(st.just("ts"), number, number),
    st.tuples(st.just("uto"), st.integers(0, 0xFFFF)),
    st.tuples(st.just("fo"), st.binary(max_size=8)),
    st.tuples(st.just("kind"), st.integers(60, 255), st.binary(max_size=6)),
    st.tuples(st.just("raw"), st.binary(max_size=6)),
)
segments = st.builds(
    Segment,
    st.integers(0, 0x1FF),
    number,
    number,
    st.integers(0, 0xFFFF),
    st.lists(option, max_size=4).map(tuple),
    st.binary(max_size=40) | st.integers(0, 64).map(lambda n: octets(0, n)),
    st.integers(0, 0xFFFF),
    doff=st.integers(0, 15),
    reserved=st.integers(0, 7),
    checksum_ok=st.booleans(),
    ttl=st.integers(0, 255),
    tos=st.integers(0, 255),
)
bases = st.none() | number


@given(segments, st.sampled_from(["tester", "target"]), bases, bases)
def test_every_segment_prints_as_a_line_that_parses_back_to_itself(segment, side, iss, irs):
    text = segment_text(segment, side, Numbers(iss, irs))
    line = parse(text)
    assert isinstance(line, SegmentLine)
    assert str(line) == text
    assert (line.flags, line.optional) == (segment.flags, 0)
    assert line.field("win") == Number(segment.win)
    if segment.payload and isinstance(line.payload[0], Octets):
        assert line.payload[0].data * line.payload[0].times == segment.payload


@given(st.lists(st.tuples(number, number), min_size=1, max_size=4), bases)
def test_sack_blocks_print_as_blocks_that_parse_back(blocks, irs):
    text = segment_text(Segment(ACK, 1, 1, options=(("sack", *blocks),)), "target", Numbers(0, irs))
    assert str(parse(text)) == text
    assert all(isinstance(block, Range) for block in parse(text).options.items[0].args)


@given(number, st.none() | number)
def test_a_relative_number_means_the_number(value, first):
    shown = parse_expr(Tokens(relative(value, "irs", first)))
    if isinstance(shown, Number):
        assert shown.value == value
    elif isinstance(shown, Variable):
        assert value == first
    else:
        assert isinstance(shown, Binary)
        sign = 1 if shown.op == "+" else -1
        assert (first + sign * shown.right.value) & 0xFFFFFFFF == value


def test_numbers_count_from_their_own_sides_first_number_and_wrap():
    texts = [str(event_text(e, passing())) for e in passing().trace]
    assert texts[1] == "SYN seq=irs win=65535 <mss 1460, sackOK>"
    assert texts[2] == "SYN,ACK seq=iss ack=irs+1 win=65160 <mss 1460, nop, wscale 7>"
    assert texts[3] == "PSH,ACK seq=irs+1 ack=iss+1 win=65535 (100)"
    assert texts[4].startswith("ACK seq=iss+1 ack=irs+101 win=502 <sack irs+16..irs+21 irs+25..irs+28>")
    assert IRS + 101 > 0xFFFFFFFF


def test_the_reset_of_no_connection_has_a_plain_zero():
    shown = event_text(event(0, "seen", 0, seen(RST | ACK, -ISS, 1)), passing())
    assert shown.notation == "RST,ACK seq=0 ack=irs+1 win=0"


def test_the_unusual_is_said():
    data = sent(SYN | URG, 0, urg=7, reserved=5, checksum_ok=False, tos=3, ttl=9)
    shown = event_text(event(0, "sent", 0, data), passing()).notation
    for part in ("urg=7", "reserved=5", "sum=bad", "tos=3", "ttl=9"):
        assert part in shown.split()


def test_octets_of_the_stream_are_told_from_others():
    def payload(data: bytes) -> str:
        return event_text(event(0, "sent", 0, sent(ACK, 1, 1, payload=data)), passing()).notation.rpartition("win=0 ")[
            2
        ]

    assert payload(octets(0, 10)) == "(10)"
    assert payload(octets(4, 10)) == r'"\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00"'
    assert payload(b"x" * 2000) == '2000*"x"'
    assert payload(b'a"\\\x1b[31m') == r'"a\"\\\x1b[31m"'


def test_an_icmp_error_says_what_it_quotes():
    quoted = Segment(SYN, IRS, sport=TESTER_PORT, dport=TARGET_PORT, doff=0)
    shown = event_text(event(0, "seen", 0, BACK.icmp("port-unreachable", quoted)), passing())
    assert isinstance(parse(shown.notation), Icmp)
    assert shown.notation == "ICMP port-unreachable quoting seg"
    assert shown.remark == "quoted: seq=irs, ports 40000 to 8080"


def test_what_is_no_tcp_is_said_to_be_none():
    arp = b"\xff" * 12 + b"\x08\x06" + b"\0" * 28
    assert "neither TCP nor an ICMP error" in str(event_text(event(0, "seen", 0, arp), passing()))
    assert event_text(event(0, "seen", 0, b""), passing()).side == "target"


def test_foreign_ports_and_unknown_connections_are_told():
    stray = Segment(ACK, 5, 6, sport=1, dport=2, doff=0)
    assert event_text(event(0, "seen", 0, BACK.encode(stray)), passing()).remark == "other ports: 1 to 2"
    shown = event_text(event(0, "sent", 0, OUT.encode(stray), "nobody"), passing())
    assert shown.notation == "ACK seq=5 ack=6 win=0"
    assert shown.remark == "ports 1 to 2"


@given(st.text())
def test_nothing_printable_is_left_out_and_nothing_else_gets_through(text):
    shown = printable(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


@given(st.binary(max_size=120))
def test_any_frame_becomes_one_printable_line(frame):
    for head in (b"", b"\0" * 12 + b"\x08\x00\x45\0", b"\0" * 12 + b"\x86\xdd\x60"):
        assert str(event_text(event(0, "seen", 0, head + frame), passing())).isprintable()


@given(st.binary(max_size=60))
def test_any_tcp_header_becomes_a_line_that_parses(body):
    shown = event_text(event(0, "seen", 0, _tcp(body)), passing())
    assert str(shown).isprintable()
    if len(body) >= 20:
        assert isinstance(parse(shown.notation), SegmentLine)


def test_an_end_of_options_that_only_pads_is_left_out():
    def options(*items: tuple[object, ...]) -> str:
        shown = event_text(event(0, "sent", 0, sent(SYN, 0, options=items)), passing()).notation
        return shown.partition("<")[2]

    assert options(("sackOK",)) == "sackOK>"
    assert options(("wscale", 1)) == "wscale 1>"
    assert options(("eol",)) == "eol>"


def _tcp(body: bytes) -> bytes:
    total = (20 + len(body)).to_bytes(2, "big")
    return b"\0" * 12 + b"\x08\x00\x45\0" + total + b"\0\0\0\0\x40\x06\0\0" + b"\x7f\0\0\x01" * 2 + body

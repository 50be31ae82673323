"""The notation: parse and str are inverses, and a wrong line is told at its column."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tcp.lines import lines

from conformance.tcp import notation as n
from conformance.tcp.expression import NotationError


@given(lines)
@settings(max_examples=500, deadline=None)
def test_what_is_printed_parses_to_the_same(line):
    assert n.parse(str(line)) == line
    assert str(n.parse(str(line))) == str(line)


LINES = """
SYN
SYN seq=irs win=65535 <mss 1460, sackOK, ts, wscale 7>
SYN,ACK ack=irs+1
FIN,ACK ack=fin.end
RST seq=rcv.nxt+rcv.wnd
PSH,ACK (10)
ACK seq=rcv.nxt-1 "x"
ACK PSH
ACK,PSH? (1..1460) <sack b>
ACK <only ts, sack b.seq..b.end>
ACK <no ts> 3*"ab" 0xdeadbeef
SYN <kind 254 len=4 0xabcd, raw 0x02>
NONE sum=bad doff=3 reserved=7
ACK seq=*
ACK seq=iss+1..snd.nxt ack=..rcv.nxt win=1..
ACK urg=2*3+1 seq=max(snd.una, iss+1)
stream from rcv.nxt (1000) FIN
stream "GET / HTTP/1.0\\r\\n\\r\\n"
retransmission of syn
retransmission of data (536)
window probe
keep-alive
nothing
nothing new
ICMP port-unreachable quoting syn
ICMP fragmentation-needed mtu=1280 quoting data seq=snd.una
""".strip().splitlines()


@pytest.mark.parametrize("text", [line for line in LINES if line != "ACK PSH"])
def test_lines_that_people_write(text):
    assert n.parse(str(n.parse(text))) == n.parse(text)


_ALPHABET = st.sampled_from([*'0123456789abcdefghxyzSYNACK .,+-*()<>=?$"\\#:%\n\t\0é', "SYN", "ACK", "seq=", "mss 1"])


@given(st.one_of(st.text(max_size=60), st.lists(_ALPHABET, max_size=30).map("".join)))
@settings(max_examples=1200, deadline=None)
@example("(" * 5000)
@example("ACK seq=" + "(" * 5000)
@example("ACK seq=" + "1+" * 5000 + "1")
@example("ACK seq=" + "9" * 10000)
@example('ACK "\\')
@example('ACK "\\x"')
@example("ICMP")
@example("ICMP quoting")
@example("stream")
@example("retransmission of")
def test_garbage_raises_nothing_else(text):
    try:
        line = n.parse(text)
    except NotationError:
        return
    assert n.parse(str(line)) == line


@given(lines, st.data())
@settings(max_examples=300, deadline=None)
def test_a_line_with_one_character_changed_raises_nothing_else(line, data):
    text = str(line)
    at = data.draw(st.integers(0, max(0, len(text) - 1)))
    spoilt = text[:at] + data.draw(st.sampled_from('"()<>,=.x0 *?$')) + text[at + 1 :]
    try:
        parsed = n.parse(spoilt)
    except NotationError:
        return
    assert n.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("SYM", 0, "'SYM' is no flag"),
        ("SYN,SYN", 4, "said twice"),
        ("ACK sek=1", 4, "'sek' is no field"),
        ("ACK seq=1 seq=2", 10, "said twice"),
        ("ACK seq", 4, "lacks its value"),
        ("ACK seq=", 8, "the line ends"),
        ("ACK seq=foo", 8, "'foo' is no variable"),
        ("ACK seq=foo.bar", 8, "'bar' is no variable or attribute"),
        ("ACK sum=maybe", 8, "sum= takes one of bad, good"),
        ("ACK <mss>", 5, "mss takes 1 argument"),
        ("ACK <mss 1", 10, "never closed"),
        ("ACK <bogus>", 5, "'bogus' is no option"),
        ("ACK <no bogus>", 8, "'no' takes an option"),
        ("ACK <raw 5>", 9, "'raw' takes octets"),
        ("ACK 0xabc", 4, "odd number of hexadecimal digits"),
        ('ACK "abc', 4, "never closed"),
        (r'ACK "a\q"', 6, "an escape that is none of"),
        ('ACK 99999999*"x"', 4, "at most 1048576"),
        ("(1) SYN", 0, "is no flag"),
        ("ACK (1) <mss 1> (2)", 19, "both sides"),
        ("ACK $x", 4, None),
        ("retransmission of SYN", 18, "takes the name of a segment"),
        ("stream", 6, "a stream takes its payload"),
        ("ICMP bogus quoting x", 5, "ICMP takes one of"),
        ("nothing else", 0, "is no flag"),
    ],
)
def test_a_mistake_is_told_at_its_column(text, column, says):
    with pytest.raises(NotationError) as caught:
        n.parse(text)
    assert caught.value.column == column
    assert says is None or says in caught.value.message


def test_a_payload_alone():
    assert n.parse_payload('(3) "ab"') == n.parse('ACK (3) "ab"').payload
    with pytest.raises(NotationError):
        n.parse_payload("")


def test_what_leaves_open_what_to_send_is_told():
    assert list(n.open_values(n.parse("ACK,PSH? seq=* ack=1..2 <mss *, sack 1..2> (3..)"))) == [
        "PSH?",
        "*",
        "1..2",
        "*",
        "3..",
    ]
    assert list(n.open_values(n.parse("ACK seq=1 <mss 5, sack a.seq..a.end> (3)"))) == []


def test_every_name_that_a_line_reads_is_found():
    line = n.parse("ACK seq=a.end ack=max(b.seq, c.ack)..d.end <ts e.tsval, sack f g.seq..g.end> (h.len)")
    assert {variable.owner for variable in n.names_read(line)} == set("abcdefgh")
    assert {v.owner for v in n.names_read(n.parse("retransmission of a (b.len)"))} == {"a", "b"}
    assert {v.owner for v in n.names_read(n.parse("stream from a.end (b.len)"))} == {"a", "b"}
    assert {v.owner for v in n.names_read(n.parse("ICMP time-exceeded mtu=a.len quoting b seq=c.seq"))} == {
        "a",
        "b",
        "c",
    }

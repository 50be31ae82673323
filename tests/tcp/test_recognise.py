"""What a stack may send of its own accord, told from everything else; and what no segment may be."""

from __future__ import annotations

import pytest
from tcp.test_tcb import BASES, Talk

from conformance.tcp import recognise as r
from conformance.tcp.invariants import Watch
from conformance.tcp.segment import ACK, FIN, PSH, RST, SYN, URG, Segment
from conformance.tcp.sequence import add
from conformance.tcp.tcb import TCB


@pytest.fixture(params=BASES, ids=str)
def talk(request):
    return Talk(*request.param)


def would(
    talk: Talk, flags: int, seq: int, ack: int = 1, text: bytes = b"", after: float = 0.001, win: int = 1000
) -> Segment:
    """A segment of the target that has not been looked at yet."""
    time = talk.time + round(after * 1e9)
    return Segment(flags, add(talk.iss, seq), add(talk.irs, ack), win, payload=text, time=time)


def test_a_copy_has_the_same_octets(talk):
    talk.seen(PSH | ACK, 1, 1, b"abcdef")
    assert r.is_copy(would(talk, ACK, 1, text=b"abcdef"), talk.tcb)
    assert r.is_copy(would(talk, ACK, 3, text=b"cd"), talk.tcb)
    assert not r.is_copy(would(talk, ACK, 3, text=b"xx"), talk.tcb)
    assert not r.is_copy(would(talk, ACK, 7, text=b"g"), talk.tcb)
    assert not r.is_copy(would(talk, FIN | ACK, 1, text=b"abcdef"), talk.tcb)
    assert not r.is_copy(would(talk, ACK, 1), talk.tcb)
    assert not r.is_copy(would(talk, RST, 1, text=b"abcdef"), talk.tcb)


def test_a_copy_of_the_syn_and_of_the_fin(talk):
    assert r.is_copy(would(talk, SYN | ACK, 0), talk.tcb)
    assert not r.is_copy(would(talk, SYN | ACK, 1), talk.tcb)
    talk.seen(FIN | ACK, 1, 1)
    assert r.is_copy(would(talk, FIN | ACK, 1), talk.tcb)
    assert not r.is_copy(would(talk, FIN | ACK, 2), talk.tcb)


def test_an_acknowledgement_may_ride_on_the_fin_but_not_on_one_whose_timer_has_run(talk):
    talk.seen(FIN | ACK, 1, 1)
    assert r.rides_on_fin(would(talk, FIN | ACK, 1, 2), talk.tcb)
    plain = r.plain_ack(would(talk, FIN | ACK, 1, 2))
    assert (plain.flags, plain.seq, plain.ack, plain.length) == (ACK, add(talk.iss, 2), add(talk.irs, 2), 0)
    assert not r.rides_on_fin(would(talk, FIN | ACK, 1, 2, after=0.2), talk.tcb)
    assert not r.rides_on_fin(would(talk, FIN | ACK, 2, 2), talk.tcb)
    assert not r.rides_on_fin(would(talk, ACK, 2, 2), talk.tcb)
    talk.sent(ACK, 1, 2)
    assert not r.rides_on_fin(would(talk, FIN | ACK, 1, 2), talk.tcb)


def test_a_repeat_is_admitted_when_it_is_due_and_not_before(talk):
    talk.seen(ACK, 1, 1, b"abc")
    assert r.own_accord(would(talk, ACK, 1, text=b"abc", after=0.2), talk.tcb) == "a due retransmission"
    assert r.own_accord(would(talk, ACK, 1, text=b"abc", after=0.1), talk.tcb) is None


def test_a_repeat_of_what_was_acknowledged_is_never_admitted(talk):
    talk.seen(ACK, 1, 1, b"abc")
    talk.sent(ACK, 1, 4)
    assert r.own_accord(would(talk, ACK, 1, text=b"abc", after=0.5), talk.tcb) is None


def test_a_repeat_that_crosses_its_acknowledgement_is_admitted_when_it_was_due(talk):
    talk.seen(ACK, 1, 1, b"abc")
    late, early = would(talk, ACK, 1, text=b"abc", after=0.2), would(talk, ACK, 1, text=b"abc", after=0.1)
    talk.sent(ACK, 1, 4, time=talk.time + 300_000_000)
    assert r.own_accord(late, talk.tcb) == "a due retransmission"
    assert r.own_accord(early, talk.tcb) is None


def test_a_syn_that_crosses_its_syn_ack_is_admitted():
    tcb = TCB(1000, 4)
    tcb.seen(Segment(SYN, 77, 0, 1000, time=10_000_000))
    tcb.sent(Segment(SYN | ACK, 1000, 78, 1000, time=30_000_000))
    assert r.own_accord(Segment(SYN, 77, 0, 1000, time=20_000_000), tcb) == "a due retransmission"
    assert r.own_accord(Segment(SYN, 77, 0, 1000, time=38_000_000), tcb) == "a due retransmission"
    assert r.own_accord(Segment(SYN, 77, 0, 1000, time=60_000_000), tcb) is None
    tcb.seen(Segment(ACK, 78, 1001, 1000, time=31_000_000))
    assert r.own_accord(Segment(SYN, 77, 0, 1000, time=38_000_000), tcb) is None


def test_a_window_update_opens_and_acknowledges_nothing(talk):
    talk.seen(ACK, 1, 1)
    assert r.own_accord(would(talk, ACK, 1, win=2000), talk.tcb) == "a window update"
    assert r.own_accord(would(talk, ACK, 1, win=1000), talk.tcb) is None
    assert r.own_accord(would(talk, ACK, 1, win=900), talk.tcb) is None


def test_a_delayed_acknowledgement_is_of_what_was_taken(talk):
    talk.sent(ACK, 1, 1, b"abc")
    assert r.own_accord(would(talk, ACK, 1, 4), talk.tcb) == "a delayed acknowledgement"
    assert r.own_accord(would(talk, PSH | ACK, 1, 4), talk.tcb) == "a delayed acknowledgement"
    assert r.own_accord(would(talk, ACK, 1, 5), talk.tcb) is None
    assert r.own_accord(would(talk, ACK, 2, 4), talk.tcb) is None
    talk.seen(ACK, 1, 4)
    assert r.own_accord(would(talk, ACK, 1, 4), talk.tcb) is None


@pytest.mark.parametrize(("flags", "text"), [(RST, b""), (FIN | ACK, b""), (ACK, b"new"), (SYN, b""), (ACK | URG, b"")])
def test_nothing_else_is_admitted(talk, flags, text):
    talk.sent(ACK, 1, 1, b"abc")
    assert r.own_accord(would(talk, flags, 1, 4, text, after=5), talk.tcb) is None


def test_probes_and_keep_alives(talk):
    assert r.is_keep_alive(would(talk, ACK, 0), talk.tcb)
    assert r.is_keep_alive(would(talk, ACK, 0, text=b"x"), talk.tcb)
    assert not r.is_keep_alive(would(talk, ACK, 1), talk.tcb)
    assert not r.is_keep_alive(would(talk, ACK, 0, text=b"xy"), talk.tcb)
    assert r.is_window_probe(would(talk, ACK, 1, text=b"x"), talk.tcb)
    assert r.is_window_probe(would(talk, ACK, 0), talk.tcb)
    assert not r.is_window_probe(would(talk, ACK, 1, text=b"xy"), talk.tcb)
    assert not r.is_window_probe(would(talk, RST, 0), talk.tcb)


@pytest.mark.parametrize(
    ("change", "requirement"),
    [
        ({}, None),
        ({"checksum_ok": False}, "RFC9293-MUST-2"),
        ({"doff": 4}, "RFC9293-3.1-DOFFSET"),
        ({"reserved": 1}, "RFC9293-3.1-RESERVED-SEND"),
        ({"flags": 0}, "RFC9293-3.5-FIG6-3WHS"),
        ({"flags": FIN}, "RFC9293-3.5-FIG6-3WHS"),
        ({"flags": RST}, None),
        ({"ack": 5}, "RFC9293-3.8-ALWAYS-ACK"),
    ],
)
def test_what_no_segment_of_a_target_may_be(talk, change, requirement):
    segment = Segment(ACK, add(talk.iss, 1), add(talk.irs, 1), talk.window, doff=5)
    for name, value in change.items():
        setattr(segment, name, add(talk.irs, value) if name == "ack" else value)
    broken = Watch().violation(segment, talk.tcb, add(talk.irs, 4))
    assert (broken and broken.requirement) == requirement

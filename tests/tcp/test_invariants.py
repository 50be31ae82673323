"""The invariants: what they let pass, and what each of them says of a segment that is altered."""

from __future__ import annotations

import pytest
from tcp.test_tcb import BASES, RICH, Talk

from conformance.catalogue import load
from conformance.tcp.invariants import INVARIANTS, SOFT, Watch
from conformance.tcp.segment import ACK, FIN, PSH, RST, SYN, Segment
from conformance.tcp.sequence import add


def test_each_guards_a_requirement_of_the_catalogue_at_its_level():
    catalogue = load()
    assert len(INVARIANTS) >= 25
    assert {name for name, id_ in INVARIANTS.items() if catalogue.get(id_).level.unmet == "DEVIATION"} == SOFT


class Watched:
    """A conversation that is watched: numbers relative to both ISNs."""

    def __init__(self, iss, irs, options=(("mss", 1460),)):
        self.talk = Talk(iss, irs, options)
        self.watch = Watch()
        self.watch.edge = add(iss, 4001)
        self.watch.tsvals |= {700, 800}
        self.watch.acks.add(add(iss, 1))

    def says(self, flags=ACK, seq=1, ack=1, **more):
        stamps = {"options": (("ts", 95, 800),)} if self.talk.tcb.ts_on and not flags & RST else {}
        stamps |= {"doff": 8 if stamps else 5, "win": 1000, "time": self.talk.time + 1_000_000_000}
        number = add(self.talk.irs, ack) if flags & ACK else 0
        segment = Segment(flags, add(self.talk.iss, seq), number, **(stamps | more))
        broken = self.watch.violation(segment, self.talk.tcb, add(self.talk.irs, 1))
        return broken and broken.name


@pytest.fixture(params=BASES, ids=str)
def plain(request):
    return Watched(*request.param)


@pytest.fixture(params=BASES, ids=str)
def rich(request):
    return Watched(*request.param, RICH)


def test_right_segments_pass(plain, rich):
    for watched in (plain, rich):
        wnd = 125 if watched is rich else 1000
        assert watched.says(win=wnd) is None
        assert watched.says(PSH | ACK, payload=b"abc", win=wnd) is None
        assert watched.says(FIN | ACK, win=wnd) is None
        assert watched.says(RST, 1) is None
        assert watched.says(RST | ACK, 1) is None
    rich.talk.tcb.sack_on = True
    sack = ("sack", (add(rich.talk.irs, 5), add(rich.talk.irs, 9)))
    assert rich.says(win=125, options=(("ts", 95, 800), sack)) is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mss", {"payload": b"x" * 1461, "doff": 5}),
        ("offered-window", {"seq": 3000, "payload": b"x" * 1100}),
        ("number-gap", {"seq": 2}),
        ("ack-beyond", {"ack": 2}),
        ("ack-back", {"ack": 0}),
        ("own-window", {"win": 999}),
        ("ecn-ack", {"tos": 2}),
        ("ecn-negotiated", {"tos": 1, "payload": b"x"}),
        ("rst-number", {"flags": RST, "seq": 7}),
        ("rst-form", {"flags": RST | SYN}),
        ("timestamps-offered", {"options": (("ts", 1, 1),)}),
        ("wscale-only-in-syn", {"options": (("wscale", 1),)}),
        ("after-eol", {"options": (("eol",), ("raw", b"\1\1\1"))}),
    ],
)
def test_one_that_is_altered_does_not(plain, name, change):
    if name == "offered-window":
        plain.talk.seen(ACK, 1, 1, b"y" * 2999)
    assert plain.says(**change) == name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("timestamps-always", ()),
        ("timestamps-echo", (("ts", 95, 801),)),
        ("timestamps-forward", (("ts", 89, 800),)),
    ],
)
def test_timestamps_once_negotiated(rich, name, options):
    rich.watch.iss, rich.watch.tsval = rich.talk.iss, 90
    assert rich.says(options=options, win=125) == name


def test_a_repeat_is_the_same_and_not_at_once(plain):
    plain.talk.seen(ACK, 1, 1, b"abcdef")
    soon, late = plain.talk.time + 50_000_000, plain.talk.time + 300_000_000
    assert plain.says(seq=1, payload=b"abcdef", time=soon) == "early-repeat"
    assert plain.says(seq=1, payload=b"abcdef", time=late) is None
    assert plain.says(seq=1, payload=b"abcdeX", time=late) == "same-octets"
    plain.watch.doubtful = True
    assert plain.says(seq=1, payload=b"abcdef", time=soon) is None


def test_nothing_follows_the_fin(plain):
    plain.talk.seen(FIN | ACK, 1, 1)
    assert plain.says(FIN | ACK, 1) is None
    assert plain.says(FIN | ACK, 2) == "fin-moved"
    assert plain.says(ACK, 2, payload=b"x") == "after-fin"


def test_a_rst_is_not_answered_by_a_rst_but_a_call_may_send_one(plain):
    plain.watch.quiet_rst = plain.talk.time + 999_000_000
    assert plain.says(RST, 1) == "rst-to-rst"
    plain.watch.quiet_rst = 0
    assert plain.says(RST, 1) is None

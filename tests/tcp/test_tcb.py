"""The target's variables, followed by what is sent and seen; also where numbers wrap."""

from __future__ import annotations

import pytest

from conformance.tcp.options import Option
from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment
from conformance.tcp.sequence import add
from conformance.tcp.tcb import TCB, default_mss

BASES = [(1_000, 50_000), (0xFFFFFFFF, 0xFFFFFFFE), (0xFFFFFFF0, 0xFFFFFFF8), (0, 0)]
RICH: tuple[Option, ...] = (("mss", 1400), ("sackOK",), ("ts", 700, 0), ("wscale", 7))


class Talk:
    """A conversation in numbers relative to both ISNs."""

    def __init__(self, iss: int, irs: int, options: tuple[Option, ...] = (("mss", 1460),), window: int = 1000) -> None:
        self.iss, self.irs, self.tcb, self.time = iss, irs, TCB(irs, 4), 0
        rich = len(options) > 1
        answer: tuple[Option, ...] = (
            (("mss", 1300), ("sackOK",), ("ts", 90, 700), ("wscale", 3)) if rich else (("mss", 1300),)
        )
        self.window = window
        self.sent(SYN, 0, win=4000, options=options)
        self.seen(SYN | ACK, 0, 1, options=answer)
        self.sent(ACK, 1, 1)

    def sent(self, flags: int, seq: int, ack: int = 0, text: bytes = b"", win: int = 4000, **more: object) -> Segment:
        segment = Segment(
            flags, add(self.irs, seq), add(self.iss, ack) if flags & ACK else 0, win, payload=text, **more
        )
        if self.tcb.ts_on and "options" not in more and not flags & SYN:
            segment.options = (("ts", 800, 90),)
        self.tcb.sent(segment)
        return segment

    def seen(self, flags: int, seq: int, ack: int = 0, text: bytes = b"", **more: object) -> Segment:
        self.time += 1_000_000
        segment = Segment(
            flags, add(self.iss, seq), add(self.irs, ack) if flags & ACK else 0, self.window, payload=text, **more
        )
        segment.time = self.time
        self.tcb.seen(segment)
        return segment

    @property
    def rcv(self) -> int:
        return add(self.tcb.rcv_nxt, -self.irs)

    @property
    def una(self) -> int:
        return add(self.tcb.snd_una, -self.iss)

    @property
    def nxt(self) -> int:
        return add(self.tcb.snd_nxt, -self.iss)


@pytest.fixture(params=BASES, ids=str)
def talk(request):
    return Talk(*request.param)


def test_the_handshake_binds_everything(talk):
    tcb = talk.tcb
    assert (tcb.iss, tcb.irs, talk.rcv, talk.una, talk.nxt) == (talk.iss, talk.irs, 1, 1, 1)
    assert (tcb.rcv_wnd, tcb.snd_wnd, tcb.max_wnd) == (1000, 4000, 4000)
    assert tcb.synchronized
    assert (tcb.smss, tcb.rmss) == (1460, 1300)


def test_text_in_order_is_taken(talk):
    talk.sent(ACK, 1, 1, b"abc")
    assert talk.rcv == 4
    assert talk.tcb.owed
    talk.seen(ACK, 1, 4)
    assert not talk.tcb.owed
    assert talk.tcb.rcv_wnd == 1000


def test_a_hole_waits_until_it_is_filled(talk):
    talk.sent(ACK, 4, 1, b"def")
    assert talk.rcv == 1
    talk.sent(ACK, 7, 1, b"ghi")
    assert talk.rcv == 1
    talk.sent(ACK, 1, 1, b"abc")
    assert talk.rcv == 10
    talk.seen(ACK, 1, 10)
    assert talk.tcb.alternatives == set()


def test_a_stack_that_keeps_nothing_beyond_a_hole_is_believed(talk):
    talk.sent(ACK, 4, 1, b"def")
    talk.sent(ACK, 1, 1, b"abc")
    talk.seen(ACK, 1, 4)
    assert talk.rcv == 4


def test_a_fin_beyond_a_hole_counts_once_the_hole_is_filled(talk):
    talk.sent(FIN | ACK, 4, 1)
    assert talk.tcb.peer_fin is None
    talk.sent(ACK, 1, 1, b"abc")
    assert talk.rcv == 5
    assert talk.tcb.peer_fin == add(talk.irs, 4)


def test_text_beyond_the_window_is_cut_and_the_fin_with_it(talk):
    talk.sent(FIN | ACK, 1, 1, b"x" * 1500)
    assert talk.rcv == 1001
    assert talk.tcb.peer_fin is None
    talk.seen(ACK, 1, 1)
    assert talk.rcv == 1, "nothing of it taken is allowed too, and what came decides"


@pytest.mark.parametrize(("seq", "taken"), [(1000, True), (1001, False), (0, False)])
def test_the_edges_of_the_window(talk, seq, taken):
    talk.sent(ACK, seq, 1, b"x")
    assert bool(talk.tcb.owed) == taken


def test_nothing_is_taken_by_a_closed_window(talk):
    talk.window = 0
    talk.seen(ACK, 1, 1)
    assert talk.tcb.rcv_wnd == 0
    talk.sent(ACK, 1, 1, b"x")
    assert talk.rcv == 1


def test_an_ack_of_what_was_never_sent_takes_nothing_along(talk):
    talk.sent(ACK, 1, 2, b"abc")
    assert (talk.rcv, talk.una) == (1, 1)


def test_an_ack_too_old_takes_nothing_along(talk):
    talk.sent(ACK, 1, 1 - 4000, b"abc")
    assert talk.rcv == 4
    talk.sent(ACK, 4, 1 - 4001, b"def")
    assert talk.rcv == 4


def test_without_the_ack_flag_nothing_is_taken(talk):
    talk.sent(0, 1, 0, b"abc")
    assert talk.rcv == 1


def test_a_bad_checksum_or_offset_is_as_if_never_sent(talk):
    talk.sent(ACK, 1, 1, b"abc", checksum_ok=False)
    talk.sent(ACK, 1, 1, b"abc", doff=4)
    talk.sent(RST, 1, checksum_ok=False)
    assert talk.rcv == 1
    assert not talk.tcb.reset


@pytest.mark.parametrize(("seq", "resets"), [(1, True), (2, False), (0, False), (1001, False)])
def test_only_the_exact_reset_resets(talk, seq, resets):
    talk.sent(RST, seq)
    assert talk.tcb.reset is resets


@pytest.mark.parametrize("base", BASES, ids=str)
def test_what_fails_paws_is_dropped(base):
    talk = Talk(*base, options=RICH)
    assert talk.tcb.ts_on
    assert talk.tcb.sack_on
    assert (talk.tcb.snd_shift, talk.tcb.rcv_shift) == (7, 3)
    talk.sent(ACK, 1, 1, b"abc", options=(("ts", 699, 90),))
    talk.sent(ACK, 1, 1, b"abc", options=())
    assert talk.rcv == 1
    talk.sent(ACK, 1, 1, b"abc", options=(("ts", 900, 90),))
    assert talk.rcv == 4
    assert talk.tcb.ts_recent == 900


def test_scaled_windows_are_octets():
    talk = Talk(1, 1, options=RICH, window=100)
    talk.seen(ACK, 1, 1, options=(("ts", 91, 800),))
    assert talk.tcb.rcv_wnd == 100 << 3
    talk.sent(ACK, 1, 1, win=10)
    assert talk.tcb.snd_wnd == 10 << 7
    assert talk.tcb.max_wnd == 4000 << 7


def test_the_fin_of_the_target_takes_one_number(talk):
    talk.seen(FIN | ACK, 1, 1, b"ab")
    assert talk.nxt == 4
    assert talk.tcb.fin_seq == add(talk.iss, 3)
    assert talk.tcb.first_fin_ack == add(talk.irs, 1)
    talk.sent(ACK, 1, 4)
    assert talk.una == 4


def test_copies_are_counted_with_their_gaps(talk):
    first = talk.seen(ACK, 1, 1, b"ab")
    talk.time += 199_000_000
    talk.seen(ACK, 1, 1, b"ab")
    copy = talk.tcb.copies[first.seq]
    assert (copy.count, copy.gap) == (2, 200_000_000)
    assert talk.nxt == 3


def test_text_is_kept_and_compared(talk):
    talk.seen(ACK, 1, 1, b"abcdef")
    assert talk.tcb.same_text(add(talk.iss, 3), b"cd")
    assert not talk.tcb.same_text(add(talk.iss, 3), b"cx")


def test_a_window_never_shrinks_by_an_old_ack(talk):
    talk.sent(ACK, 1, 1, b"abc")
    talk.seen(ACK, 1, 4)
    talk.window = 10
    talk.seen(ACK, 1, 1)
    assert talk.tcb.rcv_wnd == 1000


def test_a_syn_in_a_live_connection_binds_only_when_it_is_answered(talk):
    talk.sent(SYN, 100_000)
    assert (talk.tcb.irs, talk.rcv) == (talk.irs, 1)
    talk.seen(ACK, 1, 1)
    assert talk.tcb.irs == talk.irs
    new = add(talk.irs, 100_000)
    talk.tcb.reset = True
    talk.tcb.sent(Segment(SYN, new, 0, 4000))
    talk.tcb.seen(Segment(SYN | ACK, 77, add(new, 1), 500))
    assert (talk.tcb.irs, talk.tcb.iss, talk.tcb.rcv_nxt) == (new, 77, add(new, 1))
    assert talk.tcb.synchronized
    assert not talk.tcb.reset


def test_an_active_open_is_bound_by_our_syn_ack():
    tcb = TCB(9, 6)
    tcb.seen(Segment(SYN, 500, 0, 2000, options=(("mss", 1440),)))
    assert tcb.target_only_syn
    assert (tcb.iss, tcb.snd_nxt) == (500, 501)
    tcb.sent(Segment(SYN | ACK, 0xFFFFFFFF, 501, 3000))
    assert tcb.synchronized
    assert (tcb.irs, tcb.rcv_nxt, tcb.snd_una) == (0xFFFFFFFF, 0, 501)
    assert tcb.rcv_wnd == 2000


def test_a_simultaneous_open_is_bound_by_our_syn():
    tcb = TCB(9, 4)
    tcb.seen(Segment(SYN, 500, 0, 2000))
    tcb.sent(Segment(SYN, 70, 0, 3000))
    tcb.seen(Segment(SYN | ACK, 500, 71, 2000))
    assert (tcb.irs, tcb.rcv_nxt, tcb.snd_nxt, tcb.snd_una) == (70, 71, 501, 500)
    tcb.sent(Segment(ACK, 71, 501, 3000))
    assert tcb.snd_una == 501


def test_the_default_mss():
    assert (default_mss(4), default_mss(6)) == (536, 1220)

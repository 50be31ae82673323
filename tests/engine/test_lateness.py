"""Our own lateness is held against what is seen soon after it, and less and less against what comes later."""

from __future__ import annotations

import pytest

from conformance.engine.lateness import FADES, Lateness, by_timer
from conformance.tcp.segment import ACK, Segment
from conformance.tcp.tcb import TCB

SECOND = 1_000_000_000


class Clock:
    time = 0

    def now(self) -> int:
        return self.time

    async def until(self, moment, wake) -> None:
        raise NotImplementedError


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_fades_and_the_worst_counts(clock):
    lateness = Lateness(clock)
    lateness.add(0.1)
    assert lateness.seconds == pytest.approx(0.1)
    clock.time = round(0.05 * FADES * SECOND)
    assert lateness.seconds == pytest.approx(0.05)
    lateness.add(0.04)  # less than what is left of the other
    assert lateness.seconds == pytest.approx(0.05)
    lateness.add(0.06)
    assert lateness.seconds == pytest.approx(0.06)
    clock.time += FADES * SECOND
    assert lateness.seconds == 0


def test_a_long_wait_may_end_a_little_later(clock):
    lateness = Lateness(clock)
    lateness.timer(0, 60 * SECOND, 61 * SECOND)
    assert lateness.seconds == 0
    lateness.timer(0, SECOND // 10, SECOND)
    assert lateness.seconds == pytest.approx(0.898)


def test_what_was_not_waited_for_between_two_steps_was_taken_from_us(clock):
    lateness = Lateness(clock)
    clock.time = 3 * SECOND
    lateness.step(2 * SECOND)
    assert lateness.seconds == pytest.approx(1)
    clock.time = 5 * SECOND
    lateness.step(4 * SECOND)
    assert lateness.seconds == pytest.approx(1 - 2 / FADES)


def test_a_repeat_that_came_only_because_we_were_kept_from_running_is_told(clock):
    lateness = Lateness(clock)
    clock.time = SECOND
    lateness.step(SECOND // 2)  # the second half of it was lost
    clock.time = 2 * SECOND
    lateness.repeat(2 * SECOND, 1.9)  # at 0.1 s was the copy before, and half of what is between was waited for
    assert lateness.repeated == 0
    lateness.repeat(SECOND + 1_000_000, 0.501)
    assert lateness.repeated == pytest.approx(0.5)
    early = Lateness(clock)
    early.repeat(2 * SECOND, 0.01)  # a probe at the tail, which needs no timer of ours
    assert early.repeated == 0


def test_a_repeat_that_fails_a_step_says_nothing_where_a_short_timer_may_have_run_out_meanwhile(clock):
    lateness = Lateness(clock)
    clock.time = SECOND
    lateness.timer(0, SECOND - 9_000_000, SECOND)
    lateness.repeat(SECOND, 0.03, fails=True)
    assert not lateness.too_much(timed=False)
    lateness.timer(0, SECOND - 11_000_000, SECOND)
    lateness.repeat(SECOND, 0.03)  # one that a step admits
    assert not lateness.too_much(timed=False)
    lateness.repeat(SECOND, 0.03, fails=True)
    assert lateness.too_much(timed=False)


def test_a_slow_call_is_no_lateness_but_may_bring_a_repeat(clock):
    lateness = Lateness(clock)
    clock.time = SECOND
    for begin in (SECOND // 10 * 9, SECOND // 10 * 8):
        lateness.call(begin, begin + SECOND // 10)
    lateness.step(SECOND)
    assert not lateness.too_much(timed=True)
    lateness.repeat(SECOND + 1_000_000, 0.201)
    assert lateness.too_much(timed=False)


def test_a_call_that_takes_as_long_as_a_timer_is_lateness(clock):
    lateness = Lateness(clock)
    clock.time = SECOND
    lateness.call(SECOND // 2, SECOND)
    assert lateness.too_much(timed=False)


def test_the_time_until_the_loop_comes_round_to_us_is_lost(clock):
    lateness = Lateness(clock)
    clock.time = SECOND
    lateness.woken(SECOND // 2)
    assert lateness.seconds == pytest.approx(0.5)
    lateness.repeat(SECOND + 1_000_000, 0.501)
    assert lateness.repeated == pytest.approx(0.5)


def test_new_text_on_a_connection_with_sack_may_be_a_probe_of_the_tail():
    tcb = TCB(1000, 4, 1500)
    text = Segment(ACK, 5001, 1001, 65535, payload=b"x")
    text.time = tcb.una_time + SECOND // 10
    assert not by_timer(text, tcb)
    tcb.sack_on = True
    assert by_timer(text, tcb)

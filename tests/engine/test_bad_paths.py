"""Paths that lose, double, delay or reorder frames: what they may have done by themselves is no finding."""

from __future__ import annotations

import pytest
from engine.fakes import FakeTarget, R, VirtualClock, variation
from engine.playing import FAIL, INCONCLUSIVE, PASS, after_handshake

from conformance.cases.model import Place
from conformance.catalogue import load as load_catalogue
from conformance.engine.result import Finding, Result
from conformance.engine.scheduler import Engine
from conformance.engine.tally import ATTEMPTS, CONFIRMATIONS, IN_A_CROWD, ON_A_BAD_PATH, PASSES, Tally
from conformance.tcp.segment import ACK, SYN

DATA = R(ACK, 1, 1, b"abc")
UNPROVEN = '- send: ACK\n- expect: ACK "abc"\n- expect: nothing new\n'


def verdicts(steps: str, *replies: R) -> tuple[object, object]:
    """On a path that proves silence, and on one that does not."""
    sound, unsound = (after_handshake(steps, {0: list(replies)}, sound=sound)[0] for sound in (True, False))
    return sound.verdict, unsound.verdict


@pytest.mark.parametrize("second", [R(ACK, 9, 1, b"def"), R(ACK, 4, 0, b"def")], ids=["number-gap", "ack-back"])
def test_what_the_path_may_have_broken_is_not_decided(second):
    steps = '- send: ACK\n- expect: ACK "abc"\n- expect: ACK "def"\n'
    assert verdicts(steps, DATA, second) == (FAIL, INCONCLUSIVE)


def test_what_no_path_does_is_still_found():
    steps = '- send: ACK\n- expect: ACK "abc"\n- expect: ACK "def"\n'
    assert verdicts(steps, DATA, R(ACK, 4, 1, b"def", fields={"reserved": 1})) == (FAIL, FAIL)


def test_text_beyond_the_expected_may_be_a_probe_once_silence_had_to_be_waited_for():
    more = R(ACK, 4, 1, b"def", after=0.1)
    assert after_handshake(UNPROVEN, {0: [DATA, more]}, sound=False)[0].verdict is INCONCLUSIVE
    acknowledged = UNPROVEN.replace("- expect: nothing", "- send: ACK\n- expect: nothing")
    result, _ = after_handshake(acknowledged, {0: [DATA, more]}, sound=False)
    assert (result.verdict, result.unproven) == (FAIL, True)


def test_a_probe_is_due_once_silence_had_to_be_waited_for():
    steps = '- send: ACK\n- expect: ACK "abc"\n- send: ACK win=0\n- expect: nothing\n'
    script = {0: [DATA], 1: [R(ACK, 3, 1, after=0.15)]}
    assert after_handshake(steps, script, sound=False)[0].verdict is INCONCLUSIVE
    assert after_handshake(steps.replace(" win=0", ""), script, sound=False)[0].verdict is FAIL


@pytest.mark.parametrize("check", ["b.time-a.time <= 10ms", "max(b.gap, 1ms) <= 10ms"])
def test_times_are_the_path_s(check):
    steps = '- send: ACK\n- expect: ACK "abc"\n  as: a\n- expect: ACK "def"\n  as: b\n- check: ' + check + "\n"
    assert verdicts(steps, DATA, R(ACK, 4, 1, b"def", after=0.05)) == (FAIL, INCONCLUSIVE)


def test_a_due_repeat_takes_no_way():
    late = R(ACK, 1, 1, b"abc", after=0.3)
    steps = '- send: ACK\n- expect: ACK "abc"\n- wait: 1s\n- any-of:\n'
    steps += '    silence:\n      - expect: nothing new\n    more:\n      - expect: ACK "def"\n'
    assert verdicts(steps, DATA, late) == (PASS, PASS)
    only = steps.replace("nothing new", 'ACK "ghi"')
    result, _ = after_handshake(only, {0: [DATA, late]})
    assert (result.verdict, result.finding.seen) == (FAIL, "nothing")


@pytest.mark.parametrize(
    ("steps", "sound", "attempts"),
    [
        ("- send: SYN\n- expect: RST\n", True, CONFIRMATIONS),
        ("- send: SYN\n- expect: RST\n", False, ON_A_BAD_PATH),
        ("- send: ACK\n- expect: nothing\n", True, 1),
        ("- send: ACK\n- expect: nothing\n", False, PASSES),
        ("- check: 1 == 1\n", False, 1),
        ("- wait: 60s\n- check: 1 == 2\n", False, ON_A_BAD_PATH),  # side by side
    ],
)
def test_an_outcome_is_confirmed_as_often_as_its_path_asks(steps, sound, attempts):
    clock = VirtualClock()
    target = FakeTarget(clock, {}, sound=sound)
    target.clean_path = False
    running = Engine(lambda settings: target, load_catalogue(), clock=clock, check_oracle=False)
    running.start()
    try:
        (future,) = running.submit([variation(steps)]).values()
        assert future.result(10).attempts == attempts
    finally:
        running.stop()


@pytest.mark.parametrize(("sound", "enough"), [(True, IN_A_CROWD), (False, ATTEMPTS)])
def test_lateness_is_tried_longer_where_nothing_is_run_again_alone(sound, enough):
    target = FakeTarget(VirtualClock(), {}, sound=sound)
    tally = Tally()
    late = Result("t", "t.yaml", "T", (), INCONCLUSIVE, "late", late=True)
    assert [tally.decides(late, target) for _ in range(enough)] == [False] * (enough - 1) + [True]


@pytest.mark.parametrize(
    ("messages", "same"),
    [
        (["it came after 0.5 s", "it came after 0.61 s", "it came after 2 s"], True),
        (["nothing may come; it repeats after 0.08 s", "nothing may come", "nothing may come; it repeats"], True),
        (["nothing came", "another segment came", "nothing came"], False),
    ],
)
def test_what_was_measured_does_not_make_two_findings_different(messages, same):
    target = FakeTarget(VirtualClock(), {})
    target.clean_path = False
    tally = Tally()
    decided = []
    for message in messages:
        finding = Finding(Place("t.yaml", 1, 1), 0, message, ())
        decided.append(tally.decides(Result("t", "t.yaml", "T", (), FAIL, message, finding=finding), target))
    assert decided == [False, False, same]


def test_a_finding_that_does_not_come_again_gives_way_to_what_does():
    clock = VirtualClock()
    target = FakeTarget(clock, {0: [R(SYN | ACK, 0, 1)]})
    target.clean_path = False
    running = Engine(lambda settings: target, load_catalogue(), clock=clock, check_oracle=False)
    running.start()
    try:
        (future,) = running.submit([variation("- send: SYN\n- expect: nothing\n")]).values()
        result = future.result(10)
        assert (result.verdict, result.attempts) == (PASS, 2)
    finally:
        running.stop()

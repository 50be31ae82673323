"""How the engine judges segments: what matches, what no step expects, when it has to come."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from engine.fakes import R, play
from engine.playing import FAIL, INCONCLUSIVE, PASS, SHAKE, SYNACK, after_handshake, fields

from conformance.tcp.segment import ACK, FIN, PSH, RST, SYN

# -- matching --------------------------------------------------------------------------------------------------


def test_a_handshake_passes_and_leaves_nothing_behind():
    result, target = after_handshake("")
    assert (result.verdict, result.reason) == (PASS, "every step held")
    assert [segment.flags for segment in target.wire.sent] == [SYN, ACK, RST]
    assert target.released == [target.pair]
    assert target.wire.inboxes == {}
    assert [event.kind for event in result.trace] == ["sent", "seen", "sent"]


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({}, None),
        ({"flags": PSH | ACK}, None),
        ({"seq": 2}, "seq"),
        ({"seq": 0}, "seq"),
        ({"ack": 5}, "ack"),
        ({"ack": 1}, "ack"),
        ({"flags": RST}, "flags"),
        ({"flags": FIN | ACK}, "flags"),
        ({"text": b"x"}, "payload"),
    ],
)
def test_flags_numbers_and_payload_are_strict_and_psh_is_free(change, differs):
    reply = {"flags": ACK, "seq": 1, "ack": 4, **change}
    result, _ = after_handshake('- send: ACK "abc"\n- expect: ACK\n', {0: [R(**reply)]})
    if differs is None:
        assert result.verdict is PASS, result.reason
    else:
        assert result.verdict is FAIL
        assert differs in fields(result)


def test_an_acknowledgement_of_a_part_is_none_of_the_whole():
    steps = '- send: ACK "abc"\n- expect: ACK\n'
    assert after_handshake(steps, {0: [R(ACK, 1, 3)]})[0].verdict is FAIL
    assert after_handshake(steps, {0: [R(ACK, 1, 3), R(ACK, 1, 4)]})[0].verdict is PASS


def test_psh_that_is_asked_for_must_be_there():
    script = {0: [R(ACK, 1, 1, b"ab")]}
    assert after_handshake('- send: ACK\n- expect: ACK "ab"\n', script)[0].verdict is PASS
    result, _ = after_handshake('- send: ACK\n- expect: PSH,ACK "ab"\n', script)
    assert (result.verdict, fields(result)) == (FAIL, {"flags"})


def test_the_finding_names_the_step_what_was_expected_and_what_came():
    result, _ = after_handshake('- send: ACK "abc"\n- expect: ACK\n', {0: [R(ACK, 1, 1)]})
    finding = result.finding
    assert finding is not None
    assert (finding.yaml, finding.expected) == ("expect: ACK", "ACK seq=iss+1 ack=irs+4")
    assert finding.seen == "ACK seq=iss+1 ack=irs+1 win=65535"
    assert (finding.place.line, finding.requirements) == (10, ("RFC9293-MUST-12",))
    assert result.reason.startswith("expect: ACK: another segment came: ack differ")


def test_explicit_ranges_and_anything():
    script = {0: [R(ACK, 1, 3)]}
    for said in ("ack=*", "ack=irs+2..irs+3", "ack=..rcv.nxt", "ack=irs+3", "ack=max(irs+2, irs+3)"):
        assert after_handshake(f'- send: ACK "abc"\n- expect: ACK {said}\n', script)[0].verdict is PASS, said
    for said in ("ack=irs+4..", "ack=irs..irs+2"):
        assert after_handshake(f'- send: ACK "abc"\n- expect: ACK {said}\n', script)[0].verdict is FAIL, said


# -- what no step expects --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "step"),
    [
        ("", "send: ACK"),
        ("- wait: 100ms\n- send: ACK\n", "send: ACK"),
        ("- wait: 100ms\n", "wait: 100ms"),
        ("- expect: nothing\n", "expect: nothing"),
        ("- expect: nothing new\n", "expect: nothing new"),
        ("- expect: ACK\n", "expect: ACK"),
        ("- state: ESTABLISHED\n", "state: ESTABLISHED"),
    ],
)
def test_a_segment_that_no_step_expects_fails_the_case_whenever_it_comes(steps, step):
    result, _ = play(SHAKE + steps, {0: [SYNACK], 1: [R(FIN | ACK, 1, 1)]})
    assert result.verdict is FAIL
    assert result.finding is not None
    assert result.finding.yaml == step


def test_a_second_answer_fails():
    result, _ = after_handshake('- send: ACK "abc"\n- expect: ACK\n', {0: [R(ACK, 1, 4), R(ACK, 1, 4)]})
    assert (result.verdict, result.finding.message) == (FAIL, "a segment came that no step expects")


def test_a_second_answer_a_little_later_fails_too():
    late = R(ACK, 1, 4, after=20e-6)
    result, _ = after_handshake('- send: ACK "abc"\n- expect: ACK\n', {0: [R(ACK, 1, 4), late]})
    assert result.verdict is FAIL


def test_what_came_before_a_send_cannot_satisfy_what_is_expected_after_it():
    """A delayed acknowledgement that comes late would pass as the challenge."""
    steps = '- send: ACK "abc"\n- wait: 200ms\n- send: RST seq=rcv.nxt+5\n- expect: ACK\n'
    late = R(ACK, 1, 4, after=0.1)
    result, _ = after_handshake(steps, {0: [late]})
    assert (result.verdict, result.finding.message) == (FAIL, "nothing came")
    assert after_handshake(steps, {0: [late], 1: [R(ACK, 1, 4)]})[0].verdict is PASS


def test_sends_in_a_row_are_one_run():
    steps = '- send: ACK "abc"\n- send: ACK "def"\n- expect: ACK ack=irs+4\n- expect: ACK\n'
    result, _ = after_handshake(steps, {0: [R(ACK, 1, 4)], 1: [R(ACK, 1, 7)]})
    assert result.verdict is PASS, result.reason


DATA = R(PSH | ACK, 1, 1, b"abc")


def test_a_due_retransmission_is_admitted_by_nothing_new_and_by_expect_but_not_by_nothing():
    copy = R(PSH | ACK, 1, 1, b"abc", after=0.3)
    script = {0: [DATA, copy]}
    begin = '- send: ACK\n- expect: ACK "abc"\n'
    assert after_handshake(begin + "- expect: nothing new\n  for: 1s\n", script)[0].verdict is PASS
    assert after_handshake(begin + "- expect: nothing\n  for: 1s\n", script)[0].verdict is FAIL
    bad_path = after_handshake(begin + "- expect: nothing\n  for: 1s\n", script, sound=False)
    assert bad_path[0].verdict is INCONCLUSIVE
    answered = {0: [DATA, copy, R(FIN | ACK, 4, 1, after=0.4)]}
    assert after_handshake(begin + "- expect: FIN,ACK\n", answered)[0].verdict is PASS


def test_a_repeat_that_is_not_due_or_not_the_same_is_not_admitted():
    begin = '- send: ACK\n- expect: ACK "abc"\n- expect: nothing new\n  for: 1s\n'
    for copy in (R(ACK, 1, 1, b"abc", after=0.05), R(ACK, 1, 1, b"abX", after=0.3), R(ACK, 1, 1, b"abcd", after=0.3)):
        assert after_handshake(begin, {0: [DATA, copy]})[0].verdict is FAIL


def test_invariants_need_no_line():
    for change, requirement in (
        ({"checksum_ok": False}, "RFC9293-MUST-2"),
        ({"reserved": 4}, "RFC9293-3.1-RESERVED-SEND"),
        ({"flags": 0}, "RFC9293-3.5-FIG6-3WHS"),
    ):
        result, _ = after_handshake('- send: ACK "a"\n- expect: ACK\n', {0: [R(ACK, 1, 2, fields=change)]})
        assert result.verdict is FAIL or change == {"flags": 0}
        if change != {"flags": 0}:
            assert result.finding.requirements == (requirement,)


@pytest.mark.parametrize(("window", "verdict"), [(60_000, PASS), (900, FAIL)])
def test_a_window_that_opened_before_a_send_of_the_same_run_is_no_answer_to_it(window, verdict):
    steps = '- send: ACK\n- send: ACK "a"\n- expect: ACK\n'
    narrow = {0: [R(SYN | ACK, 0, 1, fields={"win": 1000})], 2: [R(ACK, 1, 1, after=0.0, fields={"win": window})]}
    result, _ = play(SHAKE + steps, narrow | {3: [R(ACK, 1, 2)]})
    assert result.verdict is verdict, result.reason


# -- time ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("came", "verdict"), [(0.7, FAIL), (0.8, PASS), (1.0, PASS), (1.2, PASS), (1.3, FAIL)])
def test_a_gap_has_both_ends(came, verdict):
    steps = '- send: ACK\n- expect: ACK "abc"\n  as: d\n- expect: retransmission of d\n  gap: 0.8s..1.2s\n'
    result, _ = after_handshake(steps, {0: [DATA, R(ACK, 1, 1, b"abc", after=came)]})
    assert result.verdict is verdict, result.reason
    if verdict is FAIL:
        assert fields(result) == {"gap"} or result.finding.message == "nothing came"


@pytest.mark.parametrize(("second", "verdict"), [(1.5, FAIL), (2.0, PASS), (2.6, FAIL)])
def test_a_gap_may_be_a_multiple_of_the_one_before(second, verdict):
    steps = (
        '- send: ACK\n- expect: ACK "abc"\n  as: d\n- expect: retransmission of d\n'
        "- expect: retransmission of d\n  gap: 1.7x..2.4x\n"
    )
    copies = [R(ACK, 1, 1, b"abc", after=1.0), R(ACK, 1, 1, b"abc", after=1.0 + second)]
    result, _ = after_handshake(steps, {0: [DATA, *copies]})
    assert result.verdict is verdict, result.reason


@pytest.mark.parametrize(("came", "verdict"), [(0.05, FAIL), (0.15, PASS), (0.25, FAIL)])
def test_within_has_both_ends(came, verdict):
    steps = '- send: ACK "abc"\n- expect: ACK\n  within: 100ms..200ms\n'
    result, _ = after_handshake(steps, {0: [R(ACK, 1, 4, after=came)]})
    assert result.verdict is verdict, result.reason


def test_nothing_for_a_time_waits_that_long_and_no_longer():
    result, _ = after_handshake("- expect: nothing\n  for: 3s\n")
    assert result.verdict is PASS
    assert 2.9 < result.waited < 3.1
    late = {0: [R(RST, 1, after=2.9)]}
    assert after_handshake("- send: ACK\n- expect: nothing\n  for: 3s\n", late)[0].verdict is FAIL


def test_silence_is_proven_where_the_barrier_is_sound_and_waited_for_where_not():
    result, target = after_handshake("- send: ACK\n- expect: nothing\n")
    assert (result.verdict, target.barrier.proofs > 0, result.waited) == (PASS, True, pytest.approx(0, abs=1e-3))
    result, target = after_handshake("- send: ACK\n- expect: nothing\n", sound=False)
    assert (result.verdict, target.barrier.proofs) == (PASS, 0)
    assert result.waited >= 0.2


def test_a_lost_barrier_is_never_silence():
    def lose(target, clock):
        target.barrier.lost = True

    result, _ = after_handshake("- send: ACK\n- expect: nothing\n", prepare=lose)
    assert result.verdict is INCONCLUSIVE
    assert "barrier" in result.reason


def test_challenges_are_spaced_unless_unpaced():
    steps = "- send: RST seq=rcv.nxt+1\n{0}- expect: ACK\n- send: RST seq=rcv.nxt+2\n{0}- expect: ACK\n"
    script = {0: [R(ACK, 1, 1)], 1: [R(ACK, 1, 1)]}
    for unpaced, least, most in (("", 0.499, 0.6), ("  unpaced: true\n", 0, 0.1)):
        result, target = after_handshake(steps.format(unpaced), script, challenge_interval=0.5)
        assert result.verdict is PASS
        resets = [segment.time for segment in target.wire.sent if segment.flags & RST]
        assert least <= (resets[1] - resets[0]) / 1e9 <= most


def test_our_own_lateness_says_nothing_about_the_target():
    def late(target, clock):
        clock.late = 0.3

    steps = '- send: ACK "abc"\n- expect: ACK\n'
    result, _ = after_handshake(steps, prepare=late)
    assert result.verdict is INCONCLUSIVE
    assert result.reason.startswith("our own process was 0.")
    assert after_handshake(steps, {0: [R(ACK, 1, 4)]}, prepare=late)[0].verdict is PASS
    assert after_handshake(steps)[0].verdict is FAIL


def test_a_little_lateness_excuses_only_what_may_have_to_do_with_time():
    def late(target, clock):
        clock.late = 0.1

    steps = '- wait: 5ms\n- send: ACK "abc"\n- expect: ACK{0}\n'
    other = {0: [R(ACK, 1, 3)]}
    assert after_handshake(steps.format(""), other, prepare=late)[0].verdict is FAIL
    assert after_handshake(steps.format("\n  within: 1s"), other, prepare=late)[0].verdict is INCONCLUSIVE
    assert after_handshake(steps.format(""), prepare=late)[0].verdict is FAIL  # the barrier has proven the silence


def test_an_answer_that_comes_after_all_is_no_silence():
    steps, answer = '- send: ACK "abc"\n- expect: ACK\n', R(ACK, 1, 4, after=0.55502)
    result, _ = after_handshake(steps, {0: [answer]})
    assert result.verdict is INCONCLUSIVE, result.reason
    assert after_handshake(steps, {0: [dataclasses.replace(answer, after=0.7)]})[0].verdict is FAIL


def test_what_passes_over_a_repeat_that_our_lateness_brought_says_nothing():
    def late(target, clock):
        clock.late = 0.3

    text = R(ACK, 1, 3, b"x")
    copies = {0: [text, dataclasses.replace(text, after=0.2)]}
    steps = '- send: ACK "ab"\n- expect: ACK "x"\n- wait: 5ms\n- expect: nothing new\n'
    result, _ = after_handshake(steps, copies, prepare=late)
    assert (result.verdict, result.late) == (INCONCLUSIVE, True), result.reason
    assert after_handshake(steps, copies)[0].verdict is PASS
    assert after_handshake(steps.replace("5ms", "250ms"), copies, prepare=late)[0].verdict is PASS


def test_a_case_past_its_deadline_is_inconclusive():
    def forever(target, clock):
        async def until(moment, wake):
            await asyncio.sleep(60)

        clock.until = until

    result, target = after_handshake("- wait: 1s\n", prepare=forever, deadline=0.02)
    assert result.verdict is INCONCLUSIVE
    assert "not done within its deadline of 0.02 s" in result.reason
    assert target.released == [target.pair]

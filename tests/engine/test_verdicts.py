"""What a run comes to: levels, preambles, faults, states, calls, ways."""

from __future__ import annotations

import textwrap

import pytest
from engine.fakes import ISS, R, play
from engine.playing import DEVIATION, ERROR, FAIL, INCONCLUSIVE, MAY, MUST, PASS, SHOULD, UNSUPPORTED, after_handshake

from conformance.targets.base import Outcome
from conformance.tcp.pattern import octets
from conformance.tcp.segment import ACK, FIN, RST

# -- verdicts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirements", "verdict"),
    [(MUST, FAIL), (SHOULD, DEVIATION), (MAY, PASS), (f"{SHOULD}, {MUST}", FAIL), (f"{MAY}, {SHOULD}", DEVIATION)],
)
def test_the_level_of_what_is_broken_decides(requirements, verdict):
    result, _ = after_handshake('- send: ACK "abc"\n- expect: ACK\n', requirements=requirements)
    assert result.verdict is verdict
    assert result.finding is not None
    if requirements == MAY:
        assert result.observations == {MAY: "not done"}


def test_a_step_breaks_its_own_requirement():
    result, _ = after_handshake(f'- send: ACK "abc"\n- expect: ACK\n  requirement: {SHOULD}\n', requirements=MUST)
    assert (result.verdict, result.finding.requirements) == (DEVIATION, (SHOULD,))


def test_a_preamble_that_is_not_completed_is_inconclusive():
    result, _ = play("- send: RST\n", {}, head="start: SYN-RECEIVED\n")
    assert result.verdict is INCONCLUSIVE
    assert result.reason.startswith("the preamble was not completed: expect: SYN,ACK")


def test_a_wrong_preamble_answer_is_inconclusive_too():
    result, _ = play("- send: RST\n", {0: [R(RST | ACK, 0, 1)]}, head="start: SYN-RECEIVED\n")
    assert result.verdict is INCONCLUSIVE


def test_a_fault_of_the_case_is_an_error():
    result, target = play("- check: seg.win == 1\n")
    assert (result.verdict, result.reason) == (ERROR, "'seg' before anything was sent")
    assert target.released == [target.pair]


def test_a_fault_of_ours_is_an_error_and_says_where():
    def break_it(target, clock):
        def prove_now():
            raise ValueError("broken")

        target.barrier.prove_now = prove_now

    result, _ = after_handshake("- send: ACK\n- expect: nothing\n", prepare=break_it)
    assert result.verdict is ERROR
    assert result.reason.startswith("ValueError: broken at prove_now")


@pytest.mark.parametrize(
    ("head", "able", "reason"),
    [
        ("needs: {ip: v6}\n", {"ip": frozenset({4})}, "the target has no IPv6"),
        ("needs: {agent: [atmark]}\n", {}, "the target's agent lacks atmark"),
        ("needs: {link: delayed-ack}\n", {}, "the path is not delayed-ack"),
        ("needs: {options: [ts]}\n", {}, "the target does not offer ts"),
        ("needs: {services: [echo]}\n", {}, "the target runs no echo service"),
        ("needs: {half-open: kept}\n", {"settings": {"syncookies": "always"}}, "the target's listener keeps nothing"),
        ("needs: {settings: {syncookies: always}}\n", {}, "the target's syncookies is not known, not always"),
        ("needs: {settings: {syncookies: always}}\n", {"settings": {"syncookies": "never"}}, "is never, not always"),
    ],
)
def test_what_the_target_lacks_is_unsupported(head, able, reason):
    result, target = play("- send: SYN\n", head=head, **able)
    assert result.verdict is UNSUPPORTED
    assert reason in result.reason
    assert target.wire.sent == []


def test_a_verb_that_the_agent_lacks_is_unsupported():
    result, _ = play("- call: atmark()\n")
    assert (result.verdict, result.reason) == (UNSUPPORTED, "the target's agent has no verb 'atmark'")


def test_frames_lost_on_our_side_make_any_verdict_inconclusive():
    def lose(target, clock):
        clock.at(clock.time + 5_000, lambda: setattr(target.wire, "dropped", 3))

    result, _ = after_handshake('- send: ACK "abc"\n- expect: ACK\n', prepare=lose)
    assert (result.verdict, result.reason) == (INCONCLUSIVE, "3 frames were lost on our side of the wire")


# -- states, calls, ways ---------------------------------------------------------------------------------------


ALIVE = {0: [R(ACK, 4, 4)]}
TALK = '- send: ACK "abc"\n- expect: ACK "xyz"\n  acked: true\n'
TALKED = {0: [R(ACK, 1, 4, b"xyz")]}


def test_a_state_is_named_from_the_answers():
    result, _ = after_handshake(TALK + "- state: ESTABLISHED\n", {**TALKED, 2: [R(ACK, 4, 4)]})
    assert result.verdict is PASS, result.reason
    assert result.states[0].possible == ("ESTABLISHED",)


def test_another_state_fails():
    result, _ = after_handshake(TALK + "- state: ESTABLISHED\n", {**TALKED, 2: [R(RST, 4)]})
    assert (result.verdict, result.finding.expected) == (FAIL, "ESTABLISHED")


def test_a_wrong_number_is_no_state():
    result, _ = after_handshake(TALK + "- state: ESTABLISHED\n", {**TALKED, 2: [R(ACK, 4, 5)]})
    assert result.verdict is FAIL


def test_replies_that_disagree_with_the_oracle_are_an_error_of_ours():
    script = {**TALKED, 2: [R(ACK, 4, 4)]}
    assert after_handshake(TALK + "- state: ESTABLISHED\n", script, oracle="ESTABLISHED")[0].verdict is PASS
    result, _ = after_handshake(TALK + "- state: ESTABLISHED\n", script, oracle="CLOSE-WAIT")
    assert result.verdict is ERROR
    assert "the target itself says CLOSE-WAIT" in result.reason


def test_outcomes_of_calls_are_held_against_the_step():
    def outcomes(**said):
        def prepare(target, clock):
            target.outcomes = {verb: list(each) for verb, each in said.items()}

        return prepare

    connect = "- call: connect()\n"
    assert play(connect)[0].verdict is PASS
    assert play(connect, prepare=outcomes(connect=[Outcome(error="ETIMEDOUT")]))[0].verdict is FAIL
    refused = connect + "  raises: ECONNREFUSED\n"
    assert play(refused, prepare=outcomes(connect=[Outcome(error="ECONNREFUSED")]))[0].verdict is PASS
    assert play(refused, prepare=outcomes(connect=[Outcome(error="EOPNOTSUPP")]))[0].verdict is UNSUPPORTED
    assert play(refused)[0].verdict is FAIL
    read = connect + '- call: recv(10)\n  returns: "\\"abc\\""\n'
    assert play(read, prepare=outcomes(recv=[Outcome(b"abc")]))[0].verdict is PASS
    assert play(read, prepare=outcomes(recv=[Outcome(b"a"), Outcome(b"bc")]))[0].verdict is PASS
    assert play(read, prepare=outcomes(recv=[Outcome(b"abX")]))[0].verdict is FAIL
    assert play(read, prepare=outcomes(recv=[Outcome(b"")]))[0].verdict is FAIL
    ended = connect + "- call: recv(10)\n  returns: eof\n"
    assert play(ended, prepare=outcomes(recv=[Outcome(b"")]))[0].verdict is PASS
    assert play(ended, prepare=outcomes(recv=[Outcome(b"a")]))[0].verdict is FAIL


def test_the_way_that_was_taken_is_reported():
    steps = textwrap.dedent(
        """
        - send: ACK "abc"
        - any-of:
            resets:
              - expect: RST
            acknowledges:
              - expect: ACK
        """
    )
    result, _ = after_handshake(steps, {0: [R(ACK, 1, 4)]})
    assert result.verdict is PASS
    assert list(result.observations.values()) == ["acknowledges"]
    assert after_handshake(steps, {0: [R(RST, 1)]})[0].verdict is PASS
    assert after_handshake(steps, {0: [R(FIN | ACK, 1, 4)]})[0].verdict is FAIL
    assert after_handshake(steps)[0].verdict is FAIL


def test_a_due_retransmission_is_none_of_the_ways_where_one_is_nothing_new():
    steps = textwrap.dedent(
        """
        - send: ACK
        - expect: ACK "abc"
        - wait: 400ms
        - send: ACK seq=rcv.nxt+1000 ack=snd.una "gap"
        - any-of:
            silent:
              - expect: nothing{new}
            acknowledged:
              - expect: ACK
        """
    )
    script = {0: [R(ACK, 1, 1, b"abc")], 1: [R(ACK, 1, 1, b"abc")]}
    answered = {**script, 1: [*script[1], R(ACK, 4, 1)]}
    result, _ = after_handshake(steps.format(new=" new"), script)
    assert (result.verdict, list(result.observations.values())) == (PASS, ["silent"])
    result, _ = after_handshake(steps.format(new=" new"), answered)
    assert list(result.observations.values()) == ["acknowledged"]
    assert after_handshake(steps.format(new=""), script)[0].verdict is FAIL


@pytest.mark.parametrize(("copies", "verdict"), [(1, FAIL), (2, PASS), (3, PASS), (4, FAIL)])
def test_times_are_counted(copies, verdict):
    steps = "- send: RST seq=rcv.nxt+9\n- expect: ACK\n  times: 2..3\n"
    assert after_handshake(steps, {0: [R(ACK, 1, 1)] * copies})[0].verdict is verdict


def test_repeat_and_stop():
    steps = "- repeat: 3\n  steps:\n    - send: ACK ($n)\n    - expect: ACK\n- stop\n- expect: RST\n"
    script = {0: [R(ACK, 1, 2)], 1: [R(ACK, 1, 4)], 2: [R(ACK, 1, 7)]}
    result, _ = after_handshake(steps, script)
    assert (result.verdict, result.reason) == (PASS, "every step up to 'stop' held")


def test_numbers_wrap_without_a_thought():
    assert ISS + 300 > 0xFFFFFFFF
    text = b"x" * 300
    result, _ = after_handshake('- send: ACK\n- expect: ACK 300*"x"\n  acked: true\n', {0: [R(ACK, 1, 1, text)]})
    assert result.verdict is PASS, result.reason


# -- lateness --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wait", "late", "verdict"), [(5, 0.0, PASS), (5, 0.02, INCONCLUSIVE), (30, 0.0, FAIL)])
@pytest.mark.parametrize("again", [1, 51], ids=["the-same-numbers", "part-of-them"])
def test_a_repeat_that_is_only_seen_because_a_short_wait_took_long_is_not_the_targets_fault(wait, late, verdict, again):
    text = octets(0, 100)
    script = {0: [R(ACK, 1, 1, text), R(ACK, again, 1, text[again - 1 :], after=0.02)]}

    def prepare(target, clock):
        clock.late = late

    steps = f"- send: ACK\n- expect: ACK (1..100)\n- wait: {wait}ms\n- expect: nothing new\n"
    result, _ = after_handshake(steps, script, prepare=prepare)
    assert (result.verdict, result.late) == (verdict, verdict is INCONCLUSIVE)

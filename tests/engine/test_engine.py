"""How the engine judges: every rule of matching, time and verdicts, against a script."""

from __future__ import annotations

import asyncio
import textwrap
import time

import pytest
from engine.fakes import ISS, FakeTarget, R, VirtualClock, play, variation

from conformance.catalogue import Level
from conformance.catalogue import load as load_catalogue
from conformance.engine.result import Verdict
from conformance.engine.scheduler import ATTEMPTS, Engine
from conformance.targets.base import Outcome, TargetError
from conformance.tcp.segment import ACK, FIN, PSH, RST, SYN

PASS, FAIL, ERROR = Verdict.PASS, Verdict.FAIL, Verdict.ERROR
INCONCLUSIVE, UNSUPPORTED, DEVIATION = Verdict.INCONCLUSIVE, Verdict.UNSUPPORTED, Verdict.DEVIATION

SHAKE = "- send: SYN\n- expect: SYN,ACK\n  as: synack\n- send: ACK\n"
SYNACK = R(SYN | ACK, 0, 1)


def id_of(*levels: Level) -> str:
    return next(r.id for r in load_catalogue() if r.level in levels)


MUST, SHOULD, MAY = id_of(Level.MUST), id_of(Level.SHOULD), id_of(Level.MAY)


def after_handshake(steps: str, script: dict[int, list[R]] | None = None, **more):
    """The script's indices count from the first segment after the handshake."""
    shifted = {0: [SYNACK], **{index + 2: replies for index, replies in (script or {}).items()}}
    return play(SHAKE + textwrap.dedent(steps), shifted, **more)


def fields(result) -> set[str]:
    assert result.finding is not None
    return {difference.field for difference in result.finding.differences}


# -- matching -----------------------------------------------------------------------------------------------


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


# -- what no step expects -----------------------------------------------------------------------------------


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


# -- time ---------------------------------------------------------------------------------------------------


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


def test_a_case_past_its_deadline_is_inconclusive():
    def forever(target, clock):
        async def until(moment, wake):
            await asyncio.sleep(60)

        clock.until = until

    result, target = after_handshake("- wait: 1s\n", prepare=forever, deadline=0.02)
    assert result.verdict is INCONCLUSIVE
    assert "not done within its deadline of 0.02 s" in result.reason
    assert target.released == [target.pair]


# -- verdicts -----------------------------------------------------------------------------------------------


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


# -- states, calls, ways ------------------------------------------------------------------------------------

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


# -- the scheduler ------------------------------------------------------------------------------------------


def engine(*targets: FakeTarget, clock: VirtualClock, **more) -> Engine:
    left = list(targets)
    return Engine(lambda settings: left.pop(0), load_catalogue(), clock=clock, check_oracle=False, **more)


def test_what_is_inconclusive_is_run_again_and_what_is_not_is_not():
    clock = VirtualClock()
    running = engine(FakeTarget(clock, {}), clock=clock)
    running.start()
    try:
        futures = running.submit([variation("- send: RST\n", "start: SYN-RECEIVED\n")])
        result = next(iter(futures.values())).result(10)
        assert (result.verdict, result.attempts) == (INCONCLUSIVE, ATTEMPTS)
        result = next(iter(running.submit([variation("- send: SYN\n- expect: RST\n")]).values())).result(10)
        assert (result.verdict, result.attempts) == (FAIL, 1)
    finally:
        running.stop()


def test_a_variation_that_needs_other_settings_gets_another_target_or_is_unsupported():
    clock = VirtualClock()
    asked: list[dict[str, str]] = []

    def open_target(settings):
        asked.append(dict(settings))
        if "ecn" in settings:
            raise TargetError("no such setting here")
        return FakeTarget(clock, {}, settings={"syncookies": settings.get("syncookies", "never")})

    running = Engine(open_target, load_catalogue(), clock=clock, check_oracle=False)
    running.start()
    try:
        heads = [
            "",
            "needs: {ip: v4, settings: {syncookies: never}}\n",
            "needs: {ip: v4, settings: {syncookies: always}}\n",
        ]
        heads += ["needs: {ip: v4, settings: {ecn: on}}\n"]
        results = [
            next(iter(running.submit([variation("- check: 1 == 1\n", head)]).values())).result(10) for head in heads
        ]
    finally:
        running.stop()
    assert [result.verdict for result in results] == [PASS, PASS, PASS, UNSUPPORTED]
    assert results[-1].reason == "no such setting here"
    assert asked == [{}, {"syncookies": "always"}, {"ecn": "on"}]


def test_a_target_that_cannot_be_had_is_told_before_any_case():
    def refuse(settings):
        raise TargetError("no namespaces here")

    with pytest.raises(TargetError, match="no namespaces here"):
        Engine(refuse, load_catalogue()).start()


def test_what_is_not_done_when_the_run_ends_is_not_run():
    clock = VirtualClock()

    async def until(moment, wake):
        await asyncio.sleep(60)

    clock.until = until
    running = engine(FakeTarget(clock, {}), clock=clock)
    running.start()
    (future,) = running.submit([variation("- wait: 1s\n")]).values()
    while not future.running():
        time.sleep(0.001)
    running.stop()
    with pytest.raises(InterruptedError):
        future.result(1)


def test_what_never_began_when_the_run_ends_is_told_too():
    clock = VirtualClock()
    running = engine(FakeTarget(clock, {}), clock=clock)
    running.start()
    futures = running.submit([variation("- wait: 1s\n")])
    running.stop()
    for future in futures.values():
        assert future.cancelled() or future.result(1) or future.exception(1)

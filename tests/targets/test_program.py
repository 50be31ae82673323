"""A stack in real time: Linux 6.1 in user mode, with the agent of a host inside (skipped where it can't be had)."""

from __future__ import annotations

import os
import select
import signal

import pytest
from targets.test_adapted import or_skipped, run

from conformance import suite
from conformance.cases.loader import load_file, load_text
from conformance.catalogue import load
from conformance.engine.result import Verdict
from conformance.engine.scheduler import Engine
from conformance.targets.program import ProgramStack


@pytest.fixture(scope="module")
def stack():
    opened = or_skipped("linux-6.1")({})
    assert isinstance(opened, ProgramStack)
    yield opened
    opened.close()


def test_it_says_what_it_is_and_answers_at_once(stack):
    assert stack.describe()["kernel"].startswith("Linux 6.1")
    assert stack.capabilities.ip == {4, 6}
    assert stack.calibration.barrier_sound
    assert stack.health() == {"dropped": 0}


def test_a_stack_that_is_killed_is_told_of_and_the_next_case_has_a_fresh_one(stack):
    process = stack.channel._process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)
    select.select([stack.channel.fileno()], [], [], 5)  # its children may hold the channel a moment longer
    stack.listen()
    assert "SIGKILL" in str(stack.died)
    pair = stack.open_pair(4, "quick-ack")
    assert stack.died is None
    stack.socket(pair).close()
    stack.release(pair)


def test_states_are_named_from_its_replies():
    names = ("states/established", "states/close-wait", "states/fin-wait-2", "open/three-way-handshake-active")
    cases = [load_file(suite.cases() / f"{case}.yaml", suite.cases()) for case in names]
    results = run(or_skipped("linux-6.1"), [variation for case in cases for variation in case.variations])
    assert {result.verdict for result in results.values()} == {Verdict.PASS}


def test_acks_wait_on_the_path_for_that_and_a_case_that_needs_other_sysctls_gets_a_machine_with_them():
    names = ("timers/delayed-ack-rides", "options/ecn-off", "open/syn-cookie-options")
    cases = [load_file(suite.cases() / f"{case}.yaml", suite.cases()) for case in names]
    results = run(or_skipped("linux-6.1"), [variation for case in cases for variation in case.variations])
    assert {result.verdict for result in results.values()} == {Verdict.PASS}, results


def test_when_it_dies_under_many_cases_each_is_run_again_alone():
    opened = []

    def opener(settings):
        opened.append(or_skipped("linux-6.1")(settings))
        return opened[-1]

    def kill(variation):
        started.append(variation.id)
        if len(started) == len(chosen):
            os.killpg(opened[0].channel._process.pid, signal.SIGKILL)

    text = "title: T\nrequirements: [RFC9293-MUST-12]\nvary: {more: [1, 2]}\nstart: ESTABLISHED\n"
    text += "steps:\n- wait: 1s\n- send: PSH,ACK ($more)\n- expect: ACK\n"
    chosen, started = load_text(text, "t.yaml", "t").variations, []
    assert len(chosen) == 4
    engine = Engine(opener, load(), on_start=kill, check_oracle=False)
    engine.start()
    try:
        results = [future.result(60) for future in engine.submit(chosen).values()]
    finally:
        engine.stop()
    assert all(result.verdict is Verdict.PASS and result.attempts > 1 for result in results), results

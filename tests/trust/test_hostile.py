"""A hostile or broken target harms nobody but its own case: no fault of ours, no hang, no other case blamed."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from conformance.adapters.base import Program
from conformance.cases.loader import load_text
from conformance.cases.model import Variation
from conformance.catalogue import load as load_catalogue
from conformance.engine.result import Result, Verdict
from conformance.engine.scheduler import Engine
from conformance.report.ladder import render_failure
from conformance.targets.adapted import AdaptedStack
from conformance.targets.base import Target
from conformance.targets.program import ProgramStack

CASE = """
title: A SYN to a closed port
requirements: [RFC9293-3.10.7.1-NOACK]
steps:
  - send: SYN seq=100 win={win}
  - expect: RST,ACK ack=101
"""
MODES = {
    "truncated": {Verdict.PASS},
    "lengths": {Verdict.PASS, Verdict.FAIL},
    "options": {Verdict.PASS, Verdict.FAIL},
    "fragments": {Verdict.PASS},
    "huge": {Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE},
    "flood": {Verdict.FAIL, Verdict.INCONCLUSIVE},
    "others": {Verdict.PASS},
    "nothing": {Verdict.FAIL},
    "dies": {Verdict.FAIL},
    "asks": {Verdict.PASS},
}
"""What comes at the case that provokes it, and what may be the verdict on that case."""
MEMORY = 400 << 20
"""Octets that our process may grow by in all of this: with nothing bounded, one flood takes more."""


def variations(name: str, win: int, more: str = "") -> list[Variation]:
    case = load_text(CASE.format(win=win) + more, f"{name}.yaml", name, frozenset(load_catalogue().requirements))
    return [variation for variation in case.variations if variation.version == 4]


def run(mode: str, clock: str, more: str = "") -> tuple[Result, list[Result], Target]:
    agent = Path(__file__).with_name("hostile.py")
    program = Program((sys.executable, str(agent), mode, clock), clock=clock)  # type: ignore[arg-type]
    opened: list[Target] = []

    def open_target(settings: object) -> Target:
        opened.append((ProgramStack if clock == "real" else AdaptedStack)("hostile", program))
        return opened[-1]

    engine = Engine(open_target, load_catalogue())
    engine.start()
    try:
        futures = engine.submit([v for n in range(5) for v in variations(f"good-{n}", 1000, more)])
        futures |= engine.submit(variations("hostile", 6666))
        futures |= engine.submit([v for n in range(5, 10) for v in variations(f"good-{n}", 1000, more)])
        found = {id_: future.result(120) for id_, future in futures.items()}
    finally:
        engine.stop()
    assert not engine.alive
    (bad,) = (result for id_, result in found.items() if id_.startswith("hostile"))
    return bad, [result for id_, result in found.items() if not id_.startswith("hostile")], opened[0]


@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("mode", MODES)
def test_only_the_case_that_provokes_it_hears_of_it(mode, clock):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bad, good, _ = run(mode, clock)
    assert bad.verdict in MODES[mode], f"{bad.verdict}: {bad.reason}"
    wrong = [f"{result.id}: {result.verdict} {result.reason}" for result in good if result.verdict is not Verdict.PASS]
    assert not wrong
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
    page = render_failure(bad, load_catalogue(), "again")
    assert all(line.isprintable() for line in page.splitlines())


def test_those_that_ran_beside_the_one_that_killed_the_stack_are_not_blamed():
    more = "  - wait: 1s\n  - send: SYN seq=200 win=1000\n  - expect: RST,ACK ack=201\n"
    bad, good, _ = run("dies", "real", more)
    assert bad.verdict is Verdict.FAIL
    assert "crashed: SIGABRT" in bad.reason
    assert {result.verdict for result in good} == {Verdict.PASS}
    if not any(result.attempts > 1 for result in good):
        pytest.skip("this machine was too slow for two of them to run at once")


def test_an_agent_that_answers_without_end_is_said_to_hang(monkeypatch):
    monkeypatch.setattr("conformance.targets.channel.LONGEST", 0.5)
    bad, good, _ = run("dribbles", "virtual")
    assert bad.verdict is Verdict.FAIL
    assert "hangs" in bad.reason
    assert {result.verdict for result in good} == {Verdict.PASS}


def test_what_a_stack_died_of_is_told_without_its_control_characters():
    bad, _, _ = run("dies", "virtual")
    assert "crashed: SIGABRT" in bad.reason
    page = render_failure(bad, load_catalogue(), "again")
    assert "\\x1b[31mpcb != NULL\\x07" in page
    assert "\x1b" not in page

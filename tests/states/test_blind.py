"""Every state is named from replies alone: nobody told the identifier, and what the oracle knows is not disturbed."""

from __future__ import annotations

import ast
import asyncio
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
import yaml

from conformance import catalogue
from conformance.engine.context import Run
from conformance.targets.base import Endpoints, TargetError
from conformance.targets.netns import OwnKernel
from conformance.tcp.inference import Conclusion
from conformance.tcp.states import State
from states.identifier import Endpoint, Identifier
from states.scenarios import Scenario, frames, scenarios

STATES = yaml.safe_load((Path(catalogue.__file__).parent / "states.yaml").read_text())
SCENARIOS = list(scenarios())


@dataclass
class Named:
    """What was found of one scenario: the oracle's word before and after, and the identifier's between."""

    before: str
    conclusion: Conclusion
    after: str
    probes: list[str]


def endpoint(pair: Endpoints) -> Endpoint:
    return Endpoint(pair.tester, pair.tester_port, pair.target, pair.target_port)


async def name(scenario: Scenario, target: OwnKernel, *, history: bool, disturb: bool = True) -> Named:
    run: Run = await scenario.reach(target)
    try:
        assert target.oracle is not None
        before = target.oracle.state(run.pair)
        captured = frames(run)
        one = Identifier(target.wire, target.barrier, endpoint(run.pair), target.capabilities.challenge_interval)
        if history:
            conclusion = await one.with_history(captured)
        else:
            conclusion = await one.stranger(Random(str(scenario)), disturb=disturb)
        return Named(before, conclusion, target.oracle.state(run.pair), one.probes)
    finally:
        run.close()


@pytest.fixture(scope="module")
def all_named() -> dict[tuple[str, str], Named | BaseException]:
    """Every scenario of a series at once, so that all the waits together take as long as the longest."""
    try:
        target = OwnKernel.start()
    except TargetError as problem:
        if "cannot make a private network namespace" not in str(problem):
            raise
        pytest.skip(str(problem))
    try:
        return asyncio.run(_all(target))
    finally:
        target.close()


SERIES: dict[str, dict[str, bool]] = {
    "history": {"history": True},
    "stranger": {"history": False},
    "gentle stranger": {"history": False, "disturb": False},
}


async def _all(target: OwnKernel) -> dict[tuple[str, str], Named | BaseException]:
    target.wire.watch()
    found: dict[tuple[str, str], Named | BaseException] = {}
    # One series after the other: a target that is left waiting backs off, and nobody can hear it repeat.
    for series, how in SERIES.items():
        results = await asyncio.gather(*(name(each, target, **how) for each in SCENARIOS), return_exceptions=True)
        found |= {(series, str(each)): result for each, result in zip(SCENARIOS, results, strict=True)}
    target.wire.unwatch()
    return found


def found(all_named: dict[tuple[str, str], Named | BaseException], series: str, scenario: Scenario) -> Named:
    result = all_named[series, str(scenario)]
    if isinstance(result, BaseException):
        raise result
    assert result.before == str(scenario.state), "the scenario does not lead where it should"
    return result


def undisturbed(state: State) -> bool:
    """states.yaml says that this state can be named without leaving it."""
    said = next(entry for entry in STATES["states"] if entry["state"] == str(state))["disturbs"]
    return said.startswith(("no", "restarts 2MSL"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_the_state_is_named_from_replies_and_history(
    scenario: Scenario, all_named: dict[tuple[str, str], Named | BaseException]
) -> None:
    result = found(all_named, "history", scenario)
    assert result.conclusion.possible == {scenario.state}, result.conclusion.evidence
    assert not result.conclusion.disturbed
    if undisturbed(scenario.state):
        assert result.after == result.before


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_the_state_is_named_without_history(
    scenario: Scenario, all_named: dict[tuple[str, str], Named | BaseException]
) -> None:
    result = found(all_named, "stranger", scenario)
    assert result.conclusion.possible == {scenario.state}, result.conclusion.evidence
    if scenario.state not in groups():
        assert not result.conclusion.disturbed
        assert result.after == result.before


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_stranger_who_may_not_disturb_says_what_it_cannot_tell(
    scenario: Scenario, all_named: dict[tuple[str, str], Named | BaseException]
) -> None:
    result = found(all_named, "gentle stranger", scenario)
    assert result.conclusion.possible == groups().get(scenario.state, {scenario.state}), result.conclusion.evidence
    assert not result.conclusion.disturbed
    assert result.after == result.before


def groups() -> dict[State, frozenset[State]]:
    """State -> those that it can't be told from undisturbed, without history, as states.yaml says."""
    told = STATES["without_history"]["cannot_be_parted_undisturbed"]
    sets = [frozenset(State(state) for state in entry["states"]) for entry in told]
    return {state: group for group in sets for state in group}


def test_every_state_is_met_in_every_way_it_can_be() -> None:
    met = {(s.state, s.version, s.options, s.data) for s in SCENARIOS}
    synchronized = [state for state in State if str(state) not in ("CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED")]
    for version in (4, 6):
        assert {state for state, v, *_ in met if v == version} == set(State)
        for state in synchronized:
            assert {(o, d) for s, v, o, d in met if (s, v) == (state, version)} == {
                ("plain", False),
                ("plain", True),
                ("rich", False),
                ("rich", True),
            }


def test_the_identifier_is_blind() -> None:
    """It imports nothing that knows a preamble, an agent, an oracle or a case."""
    tree = ast.parse((Path(__file__).parent / "identifier.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    rooms = {tuple(module.split(".")[:2]) for module in modules if module.startswith("conformance")}
    assert rooms == {("conformance", "tcp"), ("conformance", "wire")}

"""A stack that answers wrongly is not named as if nothing were wrong: the blind test can fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mutations.altering import AlteringTarget, Mutation

from conformance.targets.base import TargetError
from conformance.targets.netns import OwnKernel
from conformance.tcp.inference import Conclusion
from conformance.tcp.states import State
from states.identifier import Endpoint, Identifier
from states.scenarios import Scenario, frames, scenarios

# Those whose probes draw an ACK, with two numbers; the others are told by a RST or by silence.
_NUMBERED = [state for state in State if str(state) not in ("CLOSED", "LISTEN", "SYN-SENT")]
_REPEATING = [State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK]

WRONG: list[tuple[State, dict[str, Any]]] = [
    *((state, {"seq": 1}) for state in State),
    *((state, {"ack": 1}) for state in (*_NUMBERED, State.CLOSED)),
    *((state, {"ack": -1}) for state in _NUMBERED),
    *((state, {"become": "RST"}) for state in _NUMBERED),
    *((state, {"become": "ACK"}) for state in State if state not in _NUMBERED),
    *((state, {"drop": True}) for state in State),
    *((state, {"late": 0.3}) for state in _NUMBERED),
    *((state, {"sum": "bad"}) for state in _NUMBERED),
    *((state, {"copies": "drop"}) for state in _REPEATING),
]


def scenario_of(state: State) -> Scenario:
    """The plainest way to a state."""
    return next(s for s in scenarios() if s.state is state and s.version == 4 and not s.way)


@pytest.fixture(scope="module")
def named() -> list[tuple[Mutation, Conclusion]]:
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


async def _all(target: OwnKernel) -> list[tuple[Mutation, Conclusion]]:
    target.wire.watch()
    found = await asyncio.gather(*(_one(target, state, alter) for state, alter in WRONG))
    target.wire.unwatch()
    return found


async def _one(target: OwnKernel, state: State, alter: dict[str, Any]) -> tuple[Mutation, Conclusion]:
    mutation = Mutation(alter)
    altered: Any = AlteringTarget(target, mutation)
    run = await scenario_of(state).reach(altered)
    try:
        assert target.oracle is not None
        assert target.oracle.state(run.pair) == str(state)
        captured = frames(run)
        pair = Endpoint(run.pair.tester, run.pair.tester_port, run.pair.target, run.pair.target_port)
        mutation.armed = True
        one = Identifier(altered.wire, target.barrier, pair, target.capabilities.challenge_interval)
        return mutation, await one.with_history(captured)
    finally:
        run.close()


@pytest.mark.parametrize("index", range(len(WRONG)), ids=[f"{state}-{alter}" for state, alter in WRONG])
def test_a_wrong_stack_is_not_named_as_if_it_were_right(index: int, named: list[tuple[Mutation, Conclusion]]) -> None:
    state, _ = WRONG[index]
    mutation, conclusion = named[index]
    assert mutation.touched, "the mutation altered nothing"
    assert conclusion.possible != {state}, conclusion.evidence

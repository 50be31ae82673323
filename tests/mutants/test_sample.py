"""A few wrong stacks are built and caught, a right one is not, and the tables say what is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from conformance.adapters.base import MissingError
from conformance.targets.base import TargetError
from conformance.tcp.states import State
from mutants.building import agent
from mutants.measuring import Measurer
from mutants.run import chosen
from mutants.switches import pairs, table
from mutants.table import TableError, mutants, mutated, repairs

FEW = (
    "closed-silent",
    "listener-takes-synack",
    "text-beyond-window-kept",
    "reset-number-wrong",
    "sack-blocks-reversed",
)


@pytest.fixture(scope="module")
def measurer() -> Iterator[Measurer]:
    try:
        with agent(None, "full"):
            pass
    except (MissingError, TargetError, RuntimeError) as problem:
        pytest.skip(f"lwIP can't be built here: {problem}")
    measurer = Measurer(most=120)
    yield measurer
    measurer.close()


@pytest.mark.parametrize("name", FEW)
def test_a_wrong_stack_is_caught_for_what_it_does_wrong(name: str, measurer: Measurer) -> None:
    mutant = next(mutant for mutant in mutants() if mutant.name == name)
    score = measurer.score(mutant)
    assert score.verdict == "caught", score
    assert all(mutant.named_by(seen.requirements) for seen in score.caught)


def test_what_changes_nothing_is_not_caught(measurer: Measurer) -> None:
    """The wire that alters, altering nothing: whatever it caught would be its own doing."""
    some = next(mutant for mutant in mutants() if mutant.name == "reset-number-wrong")
    score = measurer.score(dataclasses.replace(some, alter={"ttl": 64}))
    assert (score.verdict, score.caught, score.others) == ("survived", (), ())


def test_the_tables_are_as_large_as_they_should_be() -> None:
    kinds = [mutant.kind for mutant in mutants()]
    assert kinds.count("source") >= 60
    assert kinds.count("reply") >= 40


def test_a_sample_repeats() -> None:
    assert chosen(5, 7, (), "all") == chosen(5, 7, (), "all")
    assert len(chosen(5, 7, (), "source")) == 5


def test_a_name_that_is_none_is_told() -> None:
    with pytest.raises(TableError, match="no mutant 'nonesuch'"):
        chosen(None, 1, ("nonesuch",), "all")


def test_the_text_must_stand_there_once() -> None:
    repair = repairs()[0]
    with pytest.raises(TableError, match="0 times"):
        mutated(dataclasses.replace(repair, within="", old="nothing like that"), "int main() {}")
    with pytest.raises(TableError, match="2 times"):
        mutated(dataclasses.replace(repair, within="", old="a b"), "a b; a\n b;")
    assert mutated(dataclasses.replace(repair, within="", old="a b", new="c"), "x a\n  b y") == "x c y"


def test_the_switches_follow_the_event_table() -> None:
    rows = table()
    for first, second in pairs(rows):
        assert second[0] == rows[first]
    assert {state for state, _ in rows} == {str(state) for state in State}

"""docs/coverage.md holds: its cases can fail where it says, and no conflict of the RFCs is judged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from mutations import grid, places
from mutations.table import SUITE, case_of, rows

from conformance.cases import model as m
from conformance.catalogue import load
from conformance.catalogue.catalogue import states

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
_LINES = [
    [cell.strip() for cell in line.strip("| ").split("|")] for line in PAGE.read_text().splitlines() if "|" in line
]
PROBLEMS = [line for line in _LINES if re.fullmatch(r"2\.\d+", line[0])]
CONFLICTS = {line[0]: line[1] for line in _LINES if len(line) == 2 and re.fullmatch("[A-Z-]*[A-Z]", line[0])}


def test_every_subject_has_cases():
    section = PAGE.read_text().partition("## By subject\n")[2].partition("\n## ")[0]
    patterns = re.findall("`([a-z]+/[^`]+)`", section)
    assert len(patterns) > 60
    assert [pattern for pattern in patterns if not list(SUITE.glob(f"{pattern}.yaml"))] == []


def test_each_problem_of_rfc_2525_has_its_line():
    assert [line[0] for line in PROBLEMS] == [f"2.{number}" for number in range(1, 19)]


@pytest.mark.parametrize("line", PROBLEMS, ids=lambda line: line[0])
def test_a_wrong_stack_shows_that_the_case_catches_the_problem(line: list[str]):
    _, _, case, step = line
    step = step.strip("`")
    there = [row for row in rows() if row.case == case]
    invariant = step.removeprefix("invariant ")
    if invariant != step:
        assert invariant in {row.invariant for row in there}
    else:
        assert any(row.step.partition(" #")[0].startswith(step) for row in there)


def test_each_conflict_has_its_line():
    assert set(CONFLICTS) == {conflict.id for conflict in load().conflicts}


@pytest.mark.parametrize("conflict", load().conflicts, ids=lambda conflict: conflict.id)
def test_each_conflict_is_classified_by_a_case(conflict):
    case = case_of(CONFLICTS[conflict.id])
    assert set(case.requirements) & set(conflict.requirements)
    labels = [
        {label for label, _ in step.branches}
        for variation in case.variations
        for step in _all(variation.build()[0])
        if isinstance(step, m.AnyOf)
    ]
    assert any({outcome.label for outcome in conflict.outcomes} <= found for found in labels), labels


def test_no_cell_of_flags_and_states_is_empty():
    found = grid.count()
    empty = [
        (entry["state"], kind) for entry in states()["states"] for kind in grid.KINDS if not found[entry["state"], kind]
    ]
    assert empty == []


def test_every_place_of_the_window_is_met_in_every_state():
    found, _ = places.count()
    empty = {
        (state, kind, place)
        for state in places.STATES
        for kind in places.KINDS
        for place in places.PLACES
        if not found[state, kind, place]
    }
    held = {("SYN-RECEIVED", kind, place) for kind in ("text", "FIN", "neither") for place in ("middle", "right-1")}
    assert empty <= held


def test_every_kind_of_acknowledgment_is_met_in_every_state():
    _, found = places.count()
    for state in places.STATES:
        for ack in ("current", "beyond"):
            assert all(found[state, kind, ack] for kind in ("text", "neither")), (state, ack)
    synchronized = [state for state in places.STATES if state != "SYN-RECEIVED"]
    cells = {(state, kind, ack) for state in synchronized for kind in ("text", "FIN", "neither") for ack in places.ACKS}
    assert {cell for cell in cells if not found[cell]} == set()


def test_the_table_of_flags_and_states_is_fresh():
    assert grid.page() == grid.PAGE.read_text(), "run: cd tests && python -m mutations.grid"


def _all(steps: Iterable[m.Step]) -> Iterator[m.Step]:
    for step in steps:
        yield step
        if isinstance(step, m.AnyOf):
            yield from _all(inner for _, branch in step.branches for inner in branch)
        elif isinstance(step, m.Repeat):
            yield from _all(step.body(1))

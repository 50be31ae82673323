"""What a report decides: by the steps that guard a requirement and held, and by what was found."""

from __future__ import annotations

import pytest

from conformance.catalogue import load
from conformance.catalogue.decided import Triple
from conformance.report import coverage as c

MET, OTHER, ALONE, NONE = "RFC9293-MUST-12", "RFC9293-MUST-13", "RFC9293-MUST-3", "RFC9293-MUST-9"
HARD = "RFC9293-SHLD-26"
DECIDED = {
    MET: (Triple("close/a", 5, "expect: ACK", "ack: -1"),),
    OTHER: (Triple("close/a", 9, "expect: FIN,ACK", "clear: FIN"),),
    ALONE: (Triple("close/a", 5, "expect: ACK", "drop: True", 0, ("[ip=v6]",)),),
}


def result(verdict="PASS", steps=(5, 9), finding=None, id_="close/a[ip=v4]", **more):
    """A result of a report, as far as coverage reads it; `steps` are the lines of those that were performed."""
    preamble = [{"text": "expect: SYN,ACK", "file": "preambles/passive.yaml", "line": 9}]
    return {
        "id": id_,
        "file": "cases/close/a.yaml",
        "requirements": [MET, OTHER],
        "verdict": verdict,
        "finding": finding,
        "observations": {},
        "steps": preamble + [{"text": "expect", "file": "cases/close/a.yaml", "line": line} for line in steps],
        **more,
    }


def states(*results):
    catalogue = load()
    seen = c.survey(results, DECIDED, catalogue)
    return {line.requirement.id: line.state for line in c.lines(catalogue, DECIDED, {"x": seen})}


def test_a_step_that_held_decides_and_the_preambles_lines_are_not_the_cases():
    assert states(result())[MET] is states(result())[OTHER] is c.State.MET
    assert states(result(steps=(5,)))[OTHER] is c.State.UNDECIDED  # line 9 of another file was reached


def test_steps_before_the_failed_one_held_and_what_the_finding_names_deviates():
    broken = result("FAIL", finding={"step": 2, "requirements": [OTHER]})
    assert (states(broken)[MET], states(broken)[OTHER]) == (c.State.MET, c.State.DEVIATING)
    assert states(broken, result(id_="close/a[ip=v6]"))[OTHER] is c.State.DEVIATING
    early = result("FAIL", steps=(5,), finding={"step": 1, "requirements": [MET]})
    assert (states(early)[MET], states(early)[OTHER]) == (c.State.DEVIATING, c.State.UNDECIDED)


def test_a_triple_of_some_variations_is_for_these_alone():
    assert states(result())[ALONE] is c.State.UNDECIDED
    assert states(result(id_="close/a[ip=v6]"))[ALONE] is c.State.MET


@pytest.mark.parametrize(
    ("verdict", "state"),
    [("UNSUPPORTED", c.State.UNSUPPORTED), ("INCONCLUSIVE", c.State.UNDECIDED), ("ERROR", c.State.UNDECIDED)],
)
def test_what_is_no_verdict_decides_nothing(verdict, state):
    assert states(result(verdict))[MET] is state


def test_what_no_triple_decides_is_not_covered_whatever_a_finding_says():
    found = states(result("FAIL", finding={"step": 1, "requirements": [NONE, HARD]}))
    assert (found[NONE], found[HARD]) == (c.State.NO_WAY, c.State.NOT_COVERED)
    assert states()[MET] is c.State.NOT_RUN


def test_several_targets_are_taken_together():
    catalogue = load()
    reports = {
        "one": c.survey([result("UNSUPPORTED")], DECIDED, catalogue),
        "two": c.survey([result(steps=(5,))], DECIDED, catalogue),
    }
    line = next(line for line in c.lines(catalogue, DECIDED, reports) if line.requirement.id == MET)
    assert (line.state, line.by) == (c.State.MET, ("close/a",))
    assert line.targets == {"one": c.State.UNSUPPORTED, "two": c.State.MET}


def test_a_conflict_is_classified_by_the_way_that_was_taken():
    catalogue = load()
    seen = c.survey([result(requirements=[HARD], observations={"line 13": "soft"})], DECIDED, catalogue)
    assert any("x: soft 1 x" in line for line in c.ways(catalogue, {"x": seen}))
    assert not c.survey([result(observations={"line 13": "soft"})], DECIDED, catalogue).ways

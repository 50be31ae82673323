"""Reading the head of a case only, as `conformance list` does, and the steps when they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.cases.loader import find, load_file, load_text
from conformance.cases.yamltree import CaseError

SUITE = Path(__file__).parent.parent.parent / "cases"
HEAD = "title: t\nrequirements: [RFC9293-MUST-1]\nstart: ESTABLISHED\n"


def test_a_case_read_by_its_head_has_the_same_variations_and_steps() -> None:
    for file, root in list(find([SUITE]))[::10]:
        whole, head = load_file(file, root), load_file(file, root, steps=False)
        assert [v.id for v in head.variations] == [v.id for v in whole.variations]
        assert head.digest == whole.digest
        built, lead = head.variations[-1].build()
        wanted, wanted_lead = whole.variations[-1].build()
        assert [step.text for step in built] == [step.text for step in wanted]
        assert lead == wanted_lead


def test_keys_after_the_steps_count_too() -> None:
    case = load_text(HEAD + "steps:\n- send: ACK\nneeds: {ip: v4}\n", "x.yaml", "x", steps=False)
    assert case.needs.ip == 4


def test_what_is_wrong_with_the_steps_shows_when_they_are_built() -> None:
    case = load_text(HEAD + "steps:\n- send: SYNN\n", "x.yaml", "x", steps=False)
    with pytest.raises(CaseError, match=r"x\.yaml:5:9: 'SYNN' is no flag"):
        case.variations[0].build()

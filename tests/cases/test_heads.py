"""Reading the head of a case only, as `conformance list` does, and the steps when they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.cases import loader
from conformance.cases.loader import find, load_file, load_text
from conformance.cases.yamltree import CaseError
from conformance.engine.estimate import expected_wait

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


def test_the_suites_own_cases_are_read_to_their_steps_only_when_they_run(monkeypatch) -> None:
    read: list[str] = []
    compose = loader.compose
    monkeypatch.setattr(loader, "compose", lambda text, file: read.append(text) or compose(text, file))
    for file, root in list(find([SUITE]))[::10]:
        whole = load_file(file, root)
        read.clear()
        known = load_file(file, root, trust=True)
        assert "steps:" not in read[-1]
        assert [(v.id, v.parameters) for v in known.variations] == [(v.id, v.parameters) for v in whole.variations]
        for mine, wanted in zip(known.variations, whole.variations, strict=True):
            assert expected_wait(mine) == pytest.approx(expected_wait(wanted), abs=0.001)
            steps, lead = mine.build()
            wanted_steps, wanted_lead = wanted.build()
            assert [(step.place, step.text) for step in steps] == [(step.place, step.text) for step in wanted_steps]
            assert lead == wanted_lead
        assert len(read) == 2  # the head, and once the whole


def test_a_case_of_the_suite_that_was_changed_is_checked_like_any_other() -> None:
    file = SUITE / "open" / "three-way-handshake.yaml"
    text = file.read_text().replace("SYN,ACK", "SYN,ACKK")
    with pytest.raises(CaseError, match="'ACKK' is no flag"):
        load_text(text, file.name, "open/three-way-handshake", trust=True)


def test_keys_after_the_steps_count_too() -> None:
    case = load_text(HEAD + "steps:\n- send: ACK\nneeds: {ip: v4}\n", "x.yaml", "x", steps=False)
    assert case.needs.ip == 4


def test_what_is_wrong_with_the_steps_shows_when_they_are_built() -> None:
    case = load_text(HEAD + "steps:\n- send: SYNN\n", "x.yaml", "x", steps=False)
    with pytest.raises(CaseError, match=r"x\.yaml:5:9: 'SYNN' is no flag"):
        case.variations[0].build()

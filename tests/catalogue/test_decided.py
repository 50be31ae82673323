"""What decides each requirement: the table of triples is fresh, and no requirement loses its last case unnoticed."""

from __future__ import annotations

from mutations import checked, quick
from mutations.decided import compute, text

from conformance.cases.checked import CHECKED
from conformance.catalogue import load
from conformance.catalogue.catalogue import REASONS
from conformance.catalogue.decided import DECIDED, QUICK
from conformance.catalogue.decided import load as load_decided
from conformance.catalogue.decided import quick as quick_choice

"""Requirements that a case should decide, and none does yet. It only ever gets shorter."""


def test_the_table_of_checked_cases_is_that_of_the_cases():
    assert CHECKED.read_text() == checked.text(checked.compute()), "run: cd tests && python -m mutations.decided"


def test_the_table_of_triples_is_what_the_mutations_say():
    assert DECIDED.read_text() == text(compute()), "run: cd tests && python -m mutations.decided"


def test_the_quick_choice_is_what_the_triples_give():
    assert QUICK.read_text() == quick.text(quick.choose(compute())), "run: cd tests && python -m mutations.decided"


def test_the_quick_choice_decides_four_of_five_requirements():
    decided, chosen = load_decided(), quick_choice()
    cases = {id_.partition("[")[0] for id_ in chosen}
    done = [id_ for id_, triples in decided.items() if any(triple.case in cases for triple in triples)]
    assert len(done) >= 0.8 * len(decided)
    assert len(chosen) < len(decided)


def test_triples_name_requirements_of_the_catalogue():
    catalogue = load()
    assert [id_ for id_ in load_decided() if id_ not in catalogue] == []


def test_no_requirement_loses_its_last_case():
    decided = load_decided()
    lost = {r.id for r in load() if r.id not in decided and not r.reason}
    assert lost == set(), "no case decides these any more, and no reason says why"


def test_of_what_can_be_observed_19_of_20_are_decided():
    decided = load_decided()
    observable = [r.id for r in load() if r.observable != "no"]
    assert sum(id_ in decided for id_ in observable) >= 0.95 * len(observable)


def test_a_reason_is_given_only_where_no_case_decides():
    decided = load_decided()
    for requirement in load():
        assert bool(requirement.reason) == bool(requirement.why), requirement.id
        assert requirement.observable != "no" or requirement.reason, requirement.id
        if requirement.reason:
            assert requirement.reason in REASONS
            assert requirement.id not in decided, f"{requirement.id} is decided: it needs no reason"
            assert requirement.why.endswith("."), requirement.id

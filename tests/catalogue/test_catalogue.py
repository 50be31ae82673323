from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conformance.catalogue import catalogue as module
from conformance.catalogue.catalogue import CatalogueError, Level, UnknownRequirementError, load, read

STATES = {
    "CLOSED",
    "LISTEN",
    "SYN-SENT",
    "SYN-RECEIVED",
    "ESTABLISHED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "CLOSE-WAIT",
    "CLOSING",
    "LAST-ACK",
    "TIME-WAIT",
}


def test_every_entry_of_the_file_is_there_with_all_that_it_says():
    with module.REQUIREMENTS.open() as file:
        entries = yaml.load(file, Loader=yaml.CSafeLoader)["requirements"]
    catalogue = load()
    assert len(catalogue) == len(entries) == 563
    for entry in entries:
        requirement = catalogue.get(entry["id"])
        assert requirement.observable == entry.pop("wire_observable")
        for key, value in entry.items():
            assert getattr(requirement, key) == (tuple(value) if isinstance(value, list) else value), key


def test_the_entries_make_sense():
    for requirement in load():
        assert requirement.id.startswith(f"RFC{requirement.rfc}-")
        assert set(requirement.states) <= STATES
        assert requirement.summary.endswith(".")
        assert (requirement.observable == "no") == bool(requirement.why_not_observable)


@pytest.mark.parametrize(
    ("level", "unmet"),
    [
        (Level.MUST, "FAIL"),
        (Level.MUST_NOT, "FAIL"),
        (Level.BEHAVIOUR, "FAIL"),
        (Level.SHOULD, "DEVIATION"),
        (Level.SHOULD_NOT, "DEVIATION"),
        (Level.MAY, "observed"),
    ],
)
def test_the_level_says_how_an_unmet_requirement_counts(level, unmet):
    assert level.unmet == unmet


def test_an_id_that_is_not_there_suggests_those_that_are_near():
    for wrong, right in (
        ("RFC9293-MUST-1222", "RFC9293-MUST-122"[:-1]),
        ("rfc9293-must-12", "RFC9293-MUST-12"),
        ("MUST-12", "RFC9293-MUST-12"),
    ):
        with pytest.raises(KeyError) as caught:
            load().get(wrong)
        assert right in str(caught.value)
        assert isinstance(caught.value, UnknownRequirementError)
    with pytest.raises(UnknownRequirementError, match=r"^'zzz' is no requirement of the catalogue$"):
        load().get("zzz")


def test_select_by_each_property_and_by_several():
    catalogue = load()
    assert len(catalogue.select()) == 563
    assert [r.id for r in catalogue.select(["RFC9293-MUST-2", "RFC9293-MUST-1"])] == [
        "RFC9293-MUST-1",
        "RFC9293-MUST-2",
    ]
    sections = {r.section for r in catalogue.select(rfc=9293, section="3.10.7")}
    assert {"3.10.7.2", "3.10.7.4"} <= sections
    assert all(section.startswith("3.10.7") for section in sections)
    assert not any(r.section == "3.10" for r in catalogue.select(section="3.1"))
    assert {r.level for r in catalogue.select(level="MUST NOT")} == {Level.MUST_NOT}
    few = catalogue.select(level=Level.MAY, state="TIME-WAIT")
    assert few
    assert all(r.level is Level.MAY and "TIME-WAIT" in r.states for r in few)
    with pytest.raises(UnknownRequirementError):
        catalogue.select(["RFC1-NONE"])
    with pytest.raises(ValueError, match="PERHAPS"):
        catalogue.select(level="PERHAPS")


def test_the_conflicts_of_the_rfcs_are_data():
    catalogue = load()
    assert {c.id for c in catalogue.conflicts} == {
        "RST-IN-WINDOW",
        "SYN-IN-WINDOW",
        "ABORT-NEXT-STATE",
        "RST-IN-TIME-WAIT",
        "ACK-IN-TIME-WAIT",
        "HARD-ICMP",
        "INITIAL-WINDOW",
    }
    for conflict in catalogue.conflicts:
        assert len(conflict.between) == len(conflict.outcomes) == 2
        assert set(conflict.states) <= STATES
        for outcome in conflict.outcomes:
            assert outcome.misses is None or catalogue.get(outcome.misses).level.unmet == "DEVIATION"
    exact = "RFC5961-3.2-RST-EXACT"
    assert [c.id for c in catalogue.conflicts_of(exact, "TIME-WAIT")] == ["RST-IN-TIME-WAIT"]
    assert catalogue.conflicts_of(exact, "ESTABLISHED") == ()
    assert [c.id for c in catalogue.conflicts_of("RFC9293-SHLD-26")] == ["HARD-ICMP"]
    assert catalogue.conflicts_of("RFC9293-MUST-1") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("requirements:\n- id: A\n  rfc: 1\n", ":2: a requirement takes at least"),
        ("requirements:\n- {id: A, rfc: 1, section: '1', level: SHALL, summary: x}", "'SHALL' should be one of"),
        ("requirements:\n- {id: A, colour: red}", "'colour' is no key"),
        ("requirements: {}", ":1: a list should stand here"),
        ("[]", "a mapping should stand here"),
        ("a: 1", "it has no requirements"),
        ("requirements: [", "while parsing"),
        (
            "conflicts:\n- {id: C, summary: x, outcomes: {}, requirements: [B]}\nrequirements: []",
            ":2: a conflict names B",
        ),
    ],
)
def test_a_catalogue_that_is_wrong_says_where(tmp_path: Path, text, message):
    path = tmp_path / "requirements.yaml"
    path.write_text(text)
    with pytest.raises(CatalogueError) as caught:
        read(path)
    assert message in str(caught.value)


def test_an_id_that_stands_twice_is_refused(tmp_path: Path):
    entry = "- {id: A, rfc: 1, section: '1', level: MUST, summary: x}\n"
    path = tmp_path / "requirements.yaml"
    path.write_text(f"requirements:\n{entry}{entry}")
    with pytest.raises(CatalogueError, match=":3: A stands twice"):
        read(path)


def test_loading_is_done_once():
    assert load() is load()


def test_importing_the_catalogue_does_not_import_yaml():
    code = "import sys, conformance.catalogue.catalogue; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_states_file_tells_all_eleven_states_and_the_probes():
    data = module.states()
    assert {entry["state"] for entry in data["states"]} == STATES
    assert [probe["id"] for probe in data["probes"]] == [f"P{number}" for number in range(1, 12)]

"""`conformance baseline update`: what is met stays as it was written, what is gone goes, what is new expires."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from browsing import LINUX, OTHER, written
from click.testing import CliRunner
from report_samples import REQUIREMENT, failing, other, passing

from conformance.cli import main
from conformance.engine.result import Verdict
from conformance.report.baseline import Kind, today
from conformance.report.baseline_file import load

HEAD = "# Why this file is there.\nreviewed:\n  kernel: ['6.18.*']\ndeviations:\n"


def entry(case: str, reason: str = "it always did", more: str = "") -> str:
    text = f"- case: {case}\n  requirement: {REQUIREMENT}\n  verdict: FAIL\n  reason: {reason}\n{more}"
    return f"# a comment on {case}\n{text}"


def update(tmp_path: Path, *arguments: str):
    return CliRunner().invoke(
        main, ["baseline", "update", str(tmp_path / "a.jsonl"), "--baseline", str(tmp_path / "b.yaml"), *arguments]
    )


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "b.yaml"


def test_met_entries_stay_to_the_letter_and_contradicted_ones_go_with_their_comments(tmp_path, file):
    kept, gone, elsewhere = entry("kept"), entry("gone"), entry("not-run-at-all")
    file.write_text(HEAD + kept + gone + elsewhere)
    written(tmp_path / "a.jsonl", [failing("kept[ip=v4]"), passing("gone[ip=v4]"), passing("fine")])
    found = update(tmp_path)
    assert found.exit_code == 0, found.output
    assert file.read_text() == HEAD + kept + elsewhere
    assert "2 kept, 0 added, 1 removed, 0 narrowed" in found.output
    assert "-- case: gone" in found.output
    assert update(tmp_path).output == f"{file}: 2 kept, 0 added, 0 removed, 0 narrowed\n"


def test_an_entry_that_some_variations_still_meet_is_narrowed_with_its_reason_and_condition(tmp_path, file):
    file.write_text(HEAD + entry("part", more="  condition: {kernel: '6.*'}\n  until: 2099-01-01\n"))
    written(tmp_path / "a.jsonl", [failing("part[ip=v4]"), passing("part[ip=v6]")])
    assert update(tmp_path).exit_code == 0
    (found,) = load(file).deviations
    assert (found.case, found.reason, found.kernel, found.until) == (
        "part[ip=v4]",
        "it always did",
        "6.*",
        date(2099, 1, 1),
    )


def test_of_an_entry_with_several_cases_just_those_go_that_are_contradicted(tmp_path, file):
    cause = f"# a comment\n- verdict: FAIL\n  reason: one cause\n  cases:\n    one: {REQUIREMENT}\n"
    two, part = f"    two: {REQUIREMENT}\n", f"    part: {REQUIREMENT}\n"
    file.write_text(HEAD + cause + two + part + entry("kept"))
    written(
        tmp_path / "a.jsonl",
        [failing("one[ip=v4]"), passing("two[ip=v4]"), failing("part[ip=v4]"), passing("part[ip=v6]")],
    )
    found = update(tmp_path)
    assert "2 kept, 0 added, 1 removed, 1 narrowed" in found.output
    assert file.read_text() == HEAD + cause + f"    part[ip=v4]: {REQUIREMENT}\n" + entry("kept")
    written(tmp_path / "a.jsonl", [passing("one[ip=v4]"), passing("part[ip=v4]")])
    assert update(tmp_path).exit_code == 0
    assert file.read_text() == HEAD + entry("kept")


def test_a_case_of_several_that_one_profile_meets_stands_alone_with_it(tmp_path, file):
    file.write_text(f"{HEAD}- verdict: FAIL\n  reason: one cause\n  cases:\n    one: {REQUIREMENT}\n")
    written(tmp_path / "a.jsonl", [failing("one[ip=v4]")])
    written(tmp_path / "c.jsonl", [passing("one[ip=v4]")], OTHER)
    assert update(tmp_path, str(tmp_path / "c.jsonl")).exit_code == 0
    (found,) = load(file).deviations
    assert (found.case, found.profile, found.group) == ("one", "default", 0)


def test_what_is_new_has_a_last_day_unless_a_reason_is_given(tmp_path, file):
    results = [
        failing("new[ip=v4]"),
        failing("new[ip=v6]"),
        failing("half[ip=v4]"),
        passing("half[ip=v6]"),
        other(Verdict.UNSUPPORTED, "far[ip=v4]", "no: 'agent' # here"),
        other(Verdict.ERROR, "ours"),
    ]
    written(tmp_path / "a.jsonl", results)
    assert update(tmp_path).exit_code == 0
    baseline = load(file)
    assert [(one.case, one.verdict) for one in baseline.deviations] == [
        ("new", Verdict.FAIL),
        ("half[ip=v4]", Verdict.FAIL),
        ("far", Verdict.UNSUPPORTED),
    ]
    assert all(one.reason.startswith("not looked at yet: ") for one in baseline.deviations)
    assert {one.until for one in baseline.deviations} == {today() + timedelta(days=30)}
    kinds = [baseline.judge(result, LINUX).kind for result in results]
    assert kinds == [Kind.KNOWN, Kind.KNOWN, Kind.KNOWN, Kind.EXPECTED, Kind.KNOWN, Kind.NOT_DECIDED]
    file.unlink()
    assert update(tmp_path, "--reason", "It is so by design (RFC 9293 3.1).").exit_code == 0
    assert {(one.reason, one.until) for one in load(file).deviations} == {("It is so by design (RFC 9293 3.1).", None)}


def test_an_entry_for_another_profile_is_left_alone(tmp_path, file):
    text = HEAD + entry("one", more="  condition: {profile: full}\n")
    file.write_text(text)
    written(tmp_path / "a.jsonl", [passing("one[ip=v4]")])
    assert update(tmp_path).exit_code == 0
    assert file.read_text() == text
    written(tmp_path / "a.jsonl", [passing("one[ip=v4]")], OTHER)
    assert update(tmp_path).exit_code == 0
    assert file.read_text() == HEAD


def test_an_entry_that_one_profile_meets_and_another_does_not_is_narrowed_to_the_profile(tmp_path, file):
    file.write_text(HEAD + entry("one"))
    a = written(tmp_path / "a.jsonl", [failing("one[ip=v4]")])
    b = written(tmp_path / "b.jsonl", [passing("one[ip=v4]")], OTHER)
    found = CliRunner().invoke(main, ["baseline", "update", str(a), str(b), "--baseline", str(file)])
    assert "0 kept, 0 added, 0 removed, 1 narrowed" in found.output
    (known,) = load(file).deviations
    assert (known.case, known.profile, known.reason) == ("one", "default", "it always did")


def test_what_chance_decides_is_not_contradicted_by_a_pass(tmp_path, file):
    text = HEAD + entry("one", more="  chance: its ISN is random\n")
    file.write_text(text)
    written(tmp_path / "a.jsonl", [passing("one[ip=v4]")])
    assert update(tmp_path).exit_code == 0
    assert file.read_text() == text


def test_what_has_expired_and_is_still_so_asks_for_a_person(tmp_path, file):
    text = HEAD + entry("old", more="  until: 2020-01-01\n")
    file.write_text(text)
    written(tmp_path / "a.jsonl", [failing("old")])
    found = update(tmp_path)
    assert found.exit_code == 1
    assert "expired on 2020-01-01" in found.output
    assert file.read_text() == text


def test_a_dry_run_writes_nothing_and_what_was_not_decided_takes_nothing_out(tmp_path, file):
    text = HEAD + entry("one") + entry("two")
    file.write_text(text)
    written(tmp_path / "a.jsonl", [passing("one"), other(Verdict.INCONCLUSIVE, "two")])
    found = update(tmp_path, "--dry-run")
    assert "1 kept, 0 added, 1 removed, 0 narrowed (nothing was written)" in found.output
    assert file.read_text() == text


def test_wrong_input_gets_one_line(tmp_path, file):
    written(tmp_path / "a.jsonl", [passing("one")])
    assert "say a date" in update(tmp_path, "--until", "soon").output
    file.write_text("reviewed: {kernel: []}\ndeviations: [{case: a, verdict: UNSUPPORTED, reason: b}]\n")
    found = update(tmp_path)
    assert (found.exit_code, len(found.output.splitlines())) == (2, 1)
    assert "on a line of its own" in found.output

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from report_samples import REQUIREMENT, failing, other, passing

from conformance.catalogue.catalogue import load
from conformance.engine.result import Finding, Place, Verdict
from conformance.report import baseline_file
from conformance.report.baseline import Baseline
from conformance.report.summary import Status, Summary, statuses

HERE = {"kernel": "Linux 6.18.44 #1 SMP x86_64"}


def summary(*results, known: Baseline | None = None, strict: bool = False) -> Summary:
    found = Summary(load(), known or Baseline(), HERE, strict=strict)
    for result in results:
        found.add(result)
    return found


@pytest.fixture
def known(tmp_path: Path) -> Baseline:
    path = tmp_path / "linux.yaml"
    path.write_text(
        "reviewed: {kernel: ['6.18.*']}\ndeviations:\n"
        f"- {{case: known, requirement: {REQUIREMENT}, verdict: FAIL, reason: it always did}}\n"
    )
    return baseline_file.load(path)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([passing()], 0),
        ([passing(), other(Verdict.DEVIATION, "d"), other(Verdict.UNSUPPORTED, "u")], 0),
        ([passing(), failing()], 1),
        ([passing("known")], 1),
        ([failing("known")], 0),
        ([passing(), other(Verdict.ERROR, "e")], 3),
        ([passing(), other(Verdict.INCONCLUSIVE, "i")], 3),
        ([failing(), other(Verdict.ERROR, "e")], 1),
        ([], 3),
    ],
)
def test_the_exit_code(known, results, code):
    assert summary(*results, known=known).exit_code(finished=True) == code


def test_what_was_not_run_or_not_written_is_no_success():
    assert summary(passing()).exit_code(finished=False) == 3
    assert summary(passing()).exit_code(finished=True, report_failed="No space left on device") == 3
    assert summary(failing()).exit_code(finished=False) == 1


def test_strict_makes_a_deviation_a_finding():
    assert summary(other(Verdict.DEVIATION, "d"), strict=True).exit_code(finished=True) == 1


def test_the_text_has_verdicts_known_and_unexpected_with_reasons_and_the_report(known, tmp_path: Path):
    found = summary(
        passing("a"),
        failing("known[ip=v4]"),
        failing("news"),
        passing("known[ip=v6]"),
        other(Verdict.ERROR, "broken", "our socket died"),
        other(Verdict.UNSUPPORTED, "far", "no agent"),
        known=known,
    )
    text = found.render(seconds=2.5, report=tmp_path / "run.jsonl", not_run=["left"], interrupted="Ctrl-C")
    for part in (
        "6 run in 2.5 s: 2 PASS, 2 FAIL, 1 UNSUPPORTED, 1 ERROR",
        "ended early: Ctrl-C",
        "not run: 1\n  left",
        f"known deviations met: 1\n  FAIL         1 x known: {REQUIREMENT}: it always did",
        "UNEXPECTED PASS: the baseline is out of date: 1\n  PASS         known[ip=v6]: the baseline (line 3) expects",
        "UNEXPECTED FAIL: 1\n  FAIL         news: cases/close/crossing-fins.yaml:8:5: the ACK does not count our FIN",
        "not decided: 1\n  ERROR        broken: our socket died",
        "unsupported, and not in the baseline: 1\n  UNSUPPORTED  far: no agent",
        f"report: {tmp_path}/run.jsonl",
    ):
        assert part in text, text
    assert "unreviewed" not in text
    assert "incomplete: disk" in found.render(seconds=1, report=tmp_path, report_failed="disk")


def test_an_unreviewed_kernel_is_named(known):
    found = Summary(load(), known, {"kernel": "Linux 5.4.0"})
    found.add(failing("news"))
    text = found.render(seconds=1)
    assert f"unreviewed kernel: {known.path} was not reviewed for 5.4.0" in text
    assert "news: unreviewed kernel: cases/" in text


def test_requirements_are_counted_by_level_of_all_in_the_catalogue():
    text = summary(passing(), passing("b", requirements=("RFC9293-MUST-1", "RFC9293-MUST-2"))).render(seconds=1)
    rows = {
        line.split()[0]: line.split()[-6:] for line in text.splitlines() if line.startswith(("MUST  ", "BEHAVIOUR"))
    }
    counted = Counter(str(requirement.level) for requirement in load())
    assert rows["MUST"] == ["2", str(counted["MUST"]), "2", "0", "0", "0"]
    assert rows["BEHAVIOUR"] == ["1", str(counted["BEHAVIOUR"]), "1", "0", "0", "0"]


def test_a_finding_breaks_what_it_names_and_leaves_the_rest_open():
    result = failing(requirements=(REQUIREMENT, "RFC9293-MUST-1", "RFC9293-SHLD-2"))
    assert statuses(result, load()) == {
        REQUIREMENT: Status.NOT_MET,
        "RFC9293-MUST-1": Status.OPEN,
        "RFC9293-SHLD-2": Status.OPEN,
    }
    result.verdict = Verdict.DEVIATION
    result.finding = Finding(Place("a", 1, 1), 0, "x", ("RFC9293-SHLD-2",))
    assert statuses(result, load())["RFC9293-SHLD-2"] is Status.DEVIATING
    assert statuses(result, load())["RFC9293-MUST-1"] is Status.MET
    assert set(statuses(other(Verdict.ERROR, "e"), load()).values()) == {Status.OPEN}


def test_what_was_broken_once_is_not_met_whatever_came_before_or_after():
    for results in ([passing(), failing(), passing()], [failing(), passing()], [passing(), failing()]):
        assert summary(*results).status[REQUIREMENT] is Status.NOT_MET
    assert summary(other(Verdict.ERROR, "e"), passing()).status[REQUIREMENT] is Status.MET


def test_long_lists_are_cut_and_say_so():
    text = summary(*(failing(f"case-{number}") for number in range(80))).render(seconds=1)
    assert "  ... and 30 more, see the report" in text


def test_hostile_texts_do_not_reach_the_terminal():
    text = summary(other(Verdict.ERROR, "\x1b[2Jx", "\x1b]0;y\x07\n")).render(
        seconds=1, not_run=["\x9b"], interrupted="\r"
    )
    assert all(line.isprintable() for line in text.split("\n"))

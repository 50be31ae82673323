from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from report_samples import REQUIREMENT, failing, other, passing

from conformance.catalogue.catalogue import load as load_catalogue
from conformance.engine.result import Verdict
from conformance.report.baseline import Baseline, BaselineError, Kind, kernel_of, profile_of
from conformance.report.baseline_file import load

HERE = {"kernel": "Linux 6.18.44-x #1 SMP Thu Jan 1 x86_64"}
ELSEWHERE = {"kernel": "Linux 5.4.0 #2 SMP x86_64"}


def baseline(tmp_path: Path, deviations: str, kernel: str = '["6.18.*"]') -> Baseline:
    path = tmp_path / "linux.yaml"
    path.write_text(f"reviewed: {{kernel: {kernel}}}\ndeviations:\n{deviations}")
    return load(path)


def entry(verdict: str = "FAIL", case: str = "close/crossing-fins", more: str = "") -> str:
    needs = "" if verdict == "UNSUPPORTED" else f"requirement: {REQUIREMENT}, "
    return f"- {{case: {case!r}, {needs}verdict: {verdict}, reason: a reason{more}}}\n"


@pytest.mark.parametrize(
    ("known", "result", "kind"),
    [
        ("", passing(), Kind.EXPECTED),
        ("", failing(), Kind.UNEXPECTED_FAIL),
        ("", other(Verdict.DEVIATION, "x"), Kind.NEW_DEVIATION),
        ("", other(Verdict.UNSUPPORTED, "x"), Kind.NEW_UNSUPPORTED),
        ("", other(Verdict.ERROR, "x"), Kind.NOT_DECIDED),
        ("", other(Verdict.INCONCLUSIVE, "x"), Kind.NOT_DECIDED),
        (entry(), failing(), Kind.KNOWN),
        (entry(), passing(), Kind.UNEXPECTED_PASS),
        (entry(), failing("other/case"), Kind.UNEXPECTED_FAIL),
        (entry(), passing("close/crossing-fins-too[ip=v4]"), Kind.EXPECTED),
        (entry(), other(Verdict.DEVIATION, "close/crossing-fins"), Kind.UNEXPECTED_PASS),
        (entry(), other(Verdict.ERROR, "close/crossing-fins"), Kind.NOT_DECIDED),
        (entry("DEVIATION"), other(Verdict.DEVIATION, "close/crossing-fins"), Kind.KNOWN),
        (entry("DEVIATION"), failing(), Kind.UNEXPECTED_FAIL),
        (entry("DEVIATION"), passing(), Kind.UNEXPECTED_PASS),
        (entry("UNSUPPORTED"), other(Verdict.UNSUPPORTED, "close/crossing-fins[ip=v6]"), Kind.KNOWN),
        (entry("UNSUPPORTED"), passing(), Kind.UNEXPECTED_PASS),
        (entry("FAIL", "close/*"), failing(), Kind.KNOWN),
        (entry("FAIL", "*"), failing(), Kind.KNOWN),
        (entry("FAIL", "*"), passing(), Kind.EXPECTED),
        (entry("DEVIATION", "*"), failing(), Kind.UNEXPECTED_FAIL),
        (entry(more=", chance: a race"), failing(), Kind.KNOWN),
        (entry(more=", chance: a race"), passing(), Kind.EXPECTED),
        (entry(more=", chance: a race"), other(Verdict.INCONCLUSIVE, "close/crossing-fins"), Kind.NOT_DECIDED),
        (entry("DEVIATION", more=", chance: a race"), failing(), Kind.UNEXPECTED_FAIL),
        (entry("FAIL", "close/crossing-fins[ip=v4]"), failing(), Kind.KNOWN),
        (entry("FAIL", "close/crossing-fins[ip=v6]"), failing(), Kind.UNEXPECTED_FAIL),
        (entry(more=", condition: {ip: v4}"), failing(), Kind.KNOWN),
        (entry(more=", condition: {ip: v6}"), failing(), Kind.UNEXPECTED_FAIL),
        (entry(more=", condition: {ip: v6}"), passing(), Kind.EXPECTED),
        (entry(more=", condition: {profile: default}"), failing(), Kind.KNOWN),
        (entry(more=", condition: {profile: 'no-*|default'}"), failing(), Kind.KNOWN),
        (entry(more=", condition: {profile: 'no-*|ecn'}"), failing(), Kind.UNEXPECTED_FAIL),
        (entry("INCONCLUSIVE"), other(Verdict.INCONCLUSIVE, "close/crossing-fins"), Kind.KNOWN),
        (entry("INCONCLUSIVE"), passing(), Kind.UNEXPECTED_PASS),
        (entry(more=", condition: {kernel: '6.18.*'}"), failing(), Kind.KNOWN),
        (entry(more=", condition: {kernel: '6.1.*'}"), failing(), Kind.UNEXPECTED_FAIL),
        (
            entry(more=", condition: {option: ts}"),
            failing("close/crossing-fins[ip=v4,options=<mss 9, ts>]"),
            Kind.KNOWN,
        ),
        (entry(more=", condition: {option: ts}"), passing("close/crossing-fins[ip=v4,options=mss]"), Kind.EXPECTED),
    ],
)
def test_what_a_result_is_worth(tmp_path: Path, known, result, kind):
    judgement = baseline(tmp_path, known).judge(result, HERE)
    assert judgement.kind is kind
    assert str(judgement) == str(kind)
    assert judgement.finding == (kind in (Kind.UNEXPECTED_FAIL, Kind.UNEXPECTED_PASS))


def test_a_fail_for_another_requirement_is_not_the_known_one(tmp_path: Path):
    known = entry().replace(REQUIREMENT, "RFC9293-MUST-1")
    judgement = baseline(tmp_path, known).judge(failing(), HERE)
    assert judgement.kind is Kind.UNEXPECTED_FAIL
    assert judgement.entry.requirement == "RFC9293-MUST-1"


def test_an_entry_with_several_cases_speaks_of_each_with_its_own_requirement(tmp_path: Path):
    text = f"""- verdict: FAIL
  reason: one cause
  condition: {{ip: v4}}
  cases:
    close/crossing-fins: {REQUIREMENT}
    other/*: RFC9293-MUST-1
"""
    known = baseline(tmp_path, text)
    assert [(one.case, one.line, one.group, one.reason) for one in known.deviations] == [
        ("close/crossing-fins", 7, 3, "one cause"),
        ("other/*", 8, 3, "one cause"),
    ]
    assert known.judge(failing("close/crossing-fins[ip=v4]"), HERE).kind is Kind.KNOWN
    assert known.judge(failing("close/crossing-fins[ip=v6]"), HERE).kind is Kind.UNEXPECTED_FAIL
    assert known.judge(failing("other/case[ip=v4]"), HERE).kind is Kind.UNEXPECTED_FAIL  # not of MUST-1


def test_under_strict_a_new_deviation_is_a_fail_and_a_known_one_is_not(tmp_path: Path):
    result = other(Verdict.DEVIATION, "close/crossing-fins")
    assert Baseline().judge(result, HERE, strict=True).kind is Kind.UNEXPECTED_FAIL
    assert baseline(tmp_path, entry("DEVIATION")).judge(result, HERE, strict=True).kind is Kind.KNOWN


def test_on_a_kernel_that_was_not_reviewed_differences_say_so(tmp_path: Path):
    known = baseline(tmp_path, entry())
    assert known.reviewed(HERE)
    assert not known.reviewed(ELSEWHERE)
    assert str(known.judge(failing("x"), ELSEWHERE)) == "unreviewed kernel: unexpected fail"
    assert str(known.judge(passing(), ELSEWHERE)) == "unreviewed kernel: unexpected pass"
    assert str(known.judge(failing(), ELSEWHERE)) == "known deviation"
    assert str(known.judge(passing("x"), ELSEWHERE)) == "expected"
    assert Baseline().reviewed(ELSEWHERE)


@pytest.mark.parametrize(
    ("kernel", "release"),
    [
        ("Linux 6.18.44-fc #1 SMP x86_64", "6.18.44-fc"),
        ("6.1.0", "6.1.0"),
        ("lwIP 2.1.3", "2.1.3"),
        (None, "unknown"),
        ("mine", "mine"),
    ],
)
def test_the_release_is_found_in_the_description(kernel, release):
    assert kernel_of({"kernel": kernel}) == release


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("linux", "default"),
        ("linux:no-sack", "no-sack"),
        ("lwip:full", "full"),
        ("192.0.2.2,2001:db8:1::2", "default"),
        ("fd00::1", "default"),
        ("fe:80::1", "default"),
    ],
)
def test_the_profile_is_found_in_the_name(name, profile):
    assert profile_of({"name": name}) == profile


def test_an_entry_that_names_no_case_or_requirement_is_an_error(tmp_path: Path):
    known = entry() + entry(case="close/crossing-fin") + entry(case="gone/*").replace(REQUIREMENT, "RFC9293-MUST-1222")
    found = baseline(tmp_path, known)
    with pytest.raises(BaselineError) as caught:
        found.check(["close/crossing-fins[ip=v4]", "close/crossing-fins[ip=v6]"], load_catalogue())
    path = tmp_path / "linux.yaml"
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}:4: no case matches 'close/crossing-fin'; is close/crossing-fins meant?"
    assert lines[1] == f"{path}:5: no case matches 'gone/*': take the entry out"
    assert lines[2].startswith(f"{path}:5: 'RFC9293-MUST-1222' is no requirement of the catalogue; did you mean")
    baseline(tmp_path, entry()).check(["close/crossing-fins[ip=v4]"], load_catalogue())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: a mapping with like, except, reviewed, deviations should stand here"),
        ("reviewed: {kernel: []}\n", "1: 'deviations' is missing"),
        ("reviewed: {}\ndeviations: []\n", "1: 'kernel' is missing"),
        ("reviewed: {kernel: []}\ndeviations: {}\n", "2: a list should stand here"),
        ("reviewed: {kernel: []}\ndeviations:\n- case: x\n", "3: 'verdict' is missing"),
        (
            "reviewed: {kernel: []}\ndeviations:\n- {case: x, verdict: FAIL, reason: y}\n",
            "3: a FAIL needs the requirement",
        ),
        (
            "reviewed: {kernel: []}\ndeviations:\n- {case: x, verdict: PASS, reason: y}\n",
            "3: verdict should be one of FAIL",
        ),
        ("reviewed: {kernel: []}\ndeviations:\n- {case: x, case: y}\n", "3: 'case' stands twice"),
        ("reviewed: {kernel: []}\ndeviations:\n- {case: x, why: y}\n", "3: 'why' is no key here"),
        (
            "reviewed: {kernel: []}\ndeviations:\n- {case: [x], verdict: FAIL, reason: ' '}\n",
            "3: a text should stand here",
        ),
        (
            "reviewed: {kernel: []}\ndeviations:\n- {case: x, verdict: FAIL, reason: y,\n   condition: {ip: 4}}\n",
            "4: ip should be v4 or v6",
        ),
        (
            "reviewed: {kernel: []}\ndeviations:\n- {verdict: FAIL, reason: y, cases: {a: , b: RFC9293-MUST-1}}\n",
            "3: a FAIL needs the requirement",
        ),
        (
            "reviewed: {kernel: []}\ndeviations:\n- {cases: {a: RFC9293-MUST-1}, reason: y}\n",
            "3: cases should come last",
        ),
        (
            "reviewed: {kernel: []}\ndeviations:\n- {verdict: FAIL, reason: y, cases: []}\n",
            "3: cases should be a mapping",
        ),
        ("reviewed: [\n", "2: "),
        ("a: b: c\n", "1: mapping values are not allowed"),
    ],
)
def test_a_baseline_that_is_wrong_says_where_and_what_would_be_right(tmp_path: Path, text, message):
    path = tmp_path / "linux.yaml"
    path.write_text(text)
    with pytest.raises(BaselineError) as caught:
        load(path)
    assert f"{path}:{message}" in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path):
    with pytest.raises(BaselineError) as caught:
        baseline(tmp_path, "- {case: x}\n- {why: y, case: z, verdict: NO, reason: r}\n")
    assert len(str(caught.value).splitlines()) == 4


def test_what_is_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "linux.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BaselineError, match="no UTF-8"):
        load(path)


def test_the_baselines_that_come_with_the_tester_can_be_read():
    for path in (Path(__file__).parents[2] / "reports" / "baselines").glob("*.yaml"):
        for deviation in load(path).deviations:
            if deviation.requirement is not None:
                load_catalogue().get(deviation.requirement)


def test_an_entry_excuses_until_its_last_day_and_is_stale_after_it(tmp_path: Path):
    known = baseline(tmp_path, entry(more=", until: 2026-03-31"))
    for day, kind in ((date(2026, 3, 31), Kind.KNOWN), (date(2026, 4, 1), Kind.UNEXPECTED_FAIL)):
        on_that_day = replace(known, day=day)
        assert on_that_day.judge(failing(), HERE).kind is kind
        if kind is Kind.KNOWN:
            on_that_day.check([failing().id], load_catalogue())
        else:
            with pytest.raises(BaselineError, match=r"linux.yaml:3: the entry of .* expired on 2026-03-31"):
                on_that_day.check([failing().id], load_catalogue())


def test_a_last_day_is_a_date(tmp_path: Path):
    with pytest.raises(BaselineError, match="until should be a date"):
        baseline(tmp_path, entry(more=", until: soon"))


def test_another_stacks_entries_hold_but_for_the_exceptions(tmp_path: Path):
    (tmp_path / "old.yaml").write_text(
        "reviewed: {kernel: [x]}\ndeviations:\n" + entry() + entry(case="reset/closing") + entry(case="reset/listener")
    )
    path = tmp_path / "new.yaml"
    path.write_text(
        "like: old\nexcept: [{case: reset/closing, reason: it holds here}]\nreviewed: {kernel: [x]}\ndeviations:\n"
        + entry("DEVIATION", "reset/listener")
    )
    known = load(path)
    assert [(one.case, str(one.verdict)) for one in known.deviations] == [
        ("reset/listener", "DEVIATION"),
        ("close/crossing-fins", "FAIL"),
        ("reset/listener", "FAIL"),
    ]
    assert known.judge(failing(), HERE).kind is Kind.KNOWN
    assert known.judge(failing("reset/closing"), HERE).kind is Kind.UNEXPECTED_FAIL


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("like: absent\n", "there is no absent.yaml"),
        ("like: linux\n", "there is no linux.yaml"),
        ("like: old\nexcept: [{case: no/such, reason: x}]\n", "old.yaml has no entry for 'no/such'"),
    ],
)
def test_a_likeness_that_is_wrong_is_an_error(tmp_path: Path, head: str, message: str):
    (tmp_path / "old.yaml").write_text("reviewed: {kernel: [x]}\ndeviations:\n" + entry())
    path = tmp_path / "linux.yaml"
    path.write_text(head + "reviewed: {kernel: [x]}\ndeviations: []\n")
    with pytest.raises(BaselineError, match=message):
        load(path)

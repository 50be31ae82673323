"""What verdicts come to: pytest's outcomes, the baseline, properties, durations, deadlines."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

pytest_plugins = ["pytester"]

BASELINE = """
reviewed: {{kernel: ['*']}}
deviations:
- {{case: {case}, requirement: {requirement}, verdict: FAIL, reason: it does so}}
"""


def baseline(pytester: pytest.Pytester, case: str, requirement: str = "RFC9293-3.10.7.2-SYN") -> str:
    pytester.path.joinpath("b.yaml").write_text(BASELINE.lstrip().format(case=case, requirement=requirement))
    return "--baseline=b.yaml"


def test_each_verdict_has_its_outcome(suite, run, lines):
    suite("open/good", "open/bad", "data/deviating", "data/unsupported", "data/faulty")
    result = run("-rs", "-k", "v4")
    result.assert_outcomes(passed=2, failed=1, skipped=1, errors=1, deselected=5)
    result.stdout.fnmatch_lines(["SKIPPED * the target runs no time-travel service*"])
    found = {line["id"]: line["verdict"] for line in lines()[1:-1]}
    assert found == {
        "open/good[ip=v4]": "PASS",
        "open/bad[ip=v4]": "FAIL",
        "data/deviating[ip=v4]": "DEVIATION",
        "data/unsupported[ip=v4]": "UNSUPPORTED",
        "data/faulty[ip=v4]": "ERROR",
    }
    assert lines()[-1]["how"] == "complete"
    assert lines()[-1]["not_run"] == []


@pytest.mark.parametrize("option", ["--strict-verdicts", "--strict"])
def test_a_deviation_fails_under_strict(suite, run, option):
    suite("data/deviating")
    run().assert_outcomes(passed=2)
    run(option).assert_outcomes(failed=2)


def test_a_known_deviation_is_expected_to_fail(suite, run, pytester, lines):
    suite("open/bad")
    result = run(baseline(pytester, "open/bad"), "-rx")
    result.assert_outcomes(xfailed=2)
    result.stdout.fnmatch_lines(["XFAIL * RFC9293-3.10.7.2-SYN: it does so*"])
    assert result.ret == 0
    assert {line["judgement"] for line in lines()[1:-1]} == {"known deviation"}


def test_an_unexpected_pass_fails(suite, run, pytester):
    suite("open/good")
    result = run(baseline(pytester, "open/good"))
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*UNEXPECTED PASS*"])


def test_a_stale_baseline_is_a_usage_error(suite, run, pytester):
    suite("open/good")
    result = run(baseline(pytester, "open/gone"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*b.yaml:3: no case matches 'open/gone'*"])


def test_properties_for_junit(suite, run, pytester):
    suite("open/bad")
    run("--junitxml=j.xml")
    case = ET.parse(pytester.path / "j.xml").find(".//testcase")
    assert case is not None
    found = {item.get("name"): item.get("value") for item in case.iter("property")}
    assert found["requirement"] == "RFC9293-3.10.7.2-SYN"
    assert found["level"] == "BEHAVIOUR"
    assert found["section"] == "RFC 9293 section 3.10.7.2"
    assert found["verdict"] == "FAIL"
    assert (found["file"], found["line"]) == ("cases/open/bad.yaml", "6")
    assert case.find("failure").get("message").startswith("FAIL: ")


WAITING = """
    title: It waits
    requirements: [RFC9293-3.10.7.2-SYN]
    vary: {time: [100ms, 300ms]}
    start: LISTEN
    steps:
      - wait: $time
"""


def test_durations_are_the_engines(suite, run):
    suite(**{"slow/two": WAITING})
    result = run("--durations=0", "-k", "v4", "-vv")
    found = {}
    for line in result.outlines:
        if " call " in line and "time=" in line and line.strip()[0].isdigit():
            found["300" if "300ms" in line else "100"] = float(line.split("s ")[0])
    assert 0.09 < found["100"] < 0.25
    assert 0.29 < found["300"] < 0.45


def test_timeout_is_the_engines_deadline_of_a_case(suite, run, lines):
    suite("open/good", "slow/waits")
    result = run("--timeout=0.2", "-k", "v4")
    result.assert_outcomes(passed=1, errors=1, deselected=2)
    result.stdout.fnmatch_lines(["*not done within its deadline of 0.2 s*"])
    assert {line["verdict"] for line in lines()[1:-1]} == {"PASS", "INCONCLUSIVE"}


def test_pytest_timeout_leaves_our_items_alone(suite, pytester):
    suite(**{"slow/two": WAITING})
    pytester.makeini("[pytest]\ntimeout = 0.05\n")
    pytester.runpytest_inprocess("cases", "--report=r").assert_outcomes(passed=4)


def test_settings_of_a_case_are_those_of_its_target(suite, run, lines):
    text = """
        title: A listener with cookies
        requirements: [RFC9293-3.10.7.2-SYN]
        needs: {ip: v4, settings: {syncookies: always, retries2: 3}}
        start: LISTEN
        steps:
          - send: SYN
          - expect: SYN,ACK
    """
    suite("open/good", **{"settings/cookies": text})
    run().assert_outcomes(passed=3)
    found = {line["id"]: line["settings"] for line in lines()[1:-1]}
    assert found["settings/cookies[ip=v4]"] == {"syncookies": "always", "retries2": "3"}


def test_a_sysctl_reaches_the_target(suite, run, lines):
    suite("open/good")
    run("--sysctl=tcp_sack=0").assert_outcomes(passed=2)
    assert lines()[0]["target"]["sysctls"]["net.ipv4.tcp_sack"] == "0"
    assert lines()[0]["options"]["sysctl"] == ["tcp_sack=0"]


def test_captures(suite, run, pytester):
    suite("open/good", "open/bad")
    run("-k", "v4")
    assert [path.name for path in pytester.path.rglob("*.pcapng")] == ["bad[ip=v4].pcapng"]
    run("-k", "v4", "--captures=all")
    assert len(list(pytester.path.rglob("*.pcapng"))) == 2

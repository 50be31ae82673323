"""How a session goes and ends: -x, --lf, -n 2, Ctrl-C, targets that can't be had, reports that can't be written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def test_x_cancels_the_rest_which_is_reported_as_not_run(suite, run, lines):
    suite("open/bad", "slow/waits")
    result = run("-x")
    result.assert_outcomes(failed=1)
    footer = lines()[-1]
    assert footer["how"] == "interrupted"
    assert footer["reason"] == "stopping after 1 failures"
    assert set(footer["not_run"]) >= {"slow/waits[ip=v4]", "slow/waits[ip=v6]"}
    result.stdout.fnmatch_lines(["ended early: stopping after 1 failures", "not run: *"])


def test_last_failed(suite, run, lines):
    suite("open/bad", "open/good")
    run("-k", "v4").assert_outcomes(failed=1, passed=1, deselected=2)
    run("--lf").assert_outcomes(failed=1)
    assert [line["id"] for line in lines()[1:-1]] == ["open/bad[ip=v4]"]


def test_xdist_makes_one_report_and_runs_every_case_once(suite, pytester, lines):
    suite("open/good", "open/bad", "data/unsupported", "data/faulty")
    pytester.makepyfile("def test_ordinary(): pass")
    result = pytester.runpytest_subprocess(".", "-n", "2", "--report=r", "--junitxml=j.xml")
    result.assert_outcomes(passed=3, failed=2, skipped=2, errors=2)
    result.stdout.fnmatch_lines(["8 run in * s: 2 PASS, 2 FAIL, 2 UNSUPPORTED, 2 ERROR"])
    found = lines()
    assert found[0]["selected"] == 8
    assert found[0]["target"]["name"] == "linux"
    ids = [line["id"] for line in found[1:-1]]
    assert len(ids) == len(set(ids)) == 8
    assert found[-1]["how"] == "complete"
    assert len(list(pytester.path.glob("r/captures/**/*.pcapng"))) >= 2
    assert len(list(pytester.path.rglob("report.jsonl"))) == 1


def _ended(line: dict[str, object]) -> str:
    """When a case ended, as its `started` is written."""
    begun = datetime.fromisoformat(str(line["started"])[:26] + "+00:00")
    return (begun + timedelta(seconds=float(str(line["duration"])))).isoformat().replace("+00:00", "Z")


def test_xdist_with_cases_that_wait_is_not_slower_for_it(suite, pytester, lines):
    vary = ", ".join(f'"{index}"' for index in range(10))
    text = f"""
        title: It waits
        requirements: [RFC9293-3.10.7.2-SYN]
        vary: {{n_th: [{vary}]}}
        start: LISTEN
        steps:
          - wait: 1s
    """
    suite(**{"slow/many": text})
    pytester.runpytest_subprocess("cases", "-n", "2", "--report=r", "-q").assert_outcomes(passed=20)
    begun = sorted(line["started"] for line in lines()[1:-1])
    ended = [_ended(line) for line in lines()[1:-1]]
    assert begun[2] < min(ended)  # more than two at once, so no worker runs one after the other


@pytest.mark.parametrize("options", [[], ["-n", "2"]])
def test_a_target_that_cannot_be_had_ends_the_session_in_one_line(suite, pytester, options):
    suite("open/good")
    result = pytester.runpytest_subprocess("cases", "--target=198.51.100.1", *options)
    assert result.ret == 3
    result.stdout.fnmatch_lines(["*say --allow 198.51.100.1 if that is yours*"])
    assert not (pytester.path / "reports").exists()


def test_a_report_that_cannot_be_written_ends_the_session(suite, pytester):
    suite("open/good")
    pytester.path.joinpath("file").touch()
    result = pytester.runpytest_inprocess("cases", "--report=file/r")
    assert result.ret == 3
    result.stdout.fnmatch_lines(["*the report can't be written to *file/r*--report DIR*"])


def await_result(report: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        if report.exists() and report.read_bytes().count(b'"type":"result"') >= 2:
            return
        time.sleep(0.02)
    raise AssertionError("no result came")


@pytest.mark.parametrize("program", ["pytest", "conformance run"])
def test_ctrl_c_leaves_an_honest_report(suite, pytester, lines, program):
    suite("open/good", "slow/waits")
    command = [sys.executable, "-m", *program.split(), "cases", "--report=r"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        await_result(pytester.path / "r" / "report.jsonl", process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=10)
    assert process.returncode == (2 if program == "pytest" else 3)
    header, *results, footer = lines()
    assert header["selected"] == 4
    assert {line["id"] for line in results} == {"open/good[ip=v4]", "open/good[ip=v6]"}
    assert (footer["how"], footer["reason"]) == ("interrupted", "Ctrl-C")
    assert sorted(footer["not_run"]) == ["slow/waits[ip=v4]", "slow/waits[ip=v6]"]
    assert "not run: 2" in said
    assert "Traceback" not in said


def test_kill_leaves_whole_lines_and_no_footer(suite, pytester):
    suite("open/good", "slow/waits")
    report = pytester.path / "r" / "report.jsonl"
    command = [sys.executable, "-m", "pytest", "cases", "--report=r"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        await_result(report, process)
        process.kill()
    types = [json.loads(line)["type"] for line in report.read_text().splitlines()]
    assert types == ["header", "result", "result"]


def test_the_rest_can_be_run_in_spite_of_a_wrong_file(suite, run, lines):
    suite("open/good", wrong="title: x\n")
    run("--continue-on-collection-errors").assert_outcomes(passed=2, errors=1)
    assert len(lines()) == 4

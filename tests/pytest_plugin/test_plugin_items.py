"""What is collected, how it is named, and how items are chosen."""

from __future__ import annotations

import shlex

import pytest

pytest_plugins = ["pytester"]


def test_one_item_per_variation_with_stable_ids(suite, pytester):
    suite("open/good", "slow/waits")
    result = pytester.runpytest_inprocess("cases", "--collect-only", "-q")
    assert result.outlines[:4] == [
        "cases/open/good.yaml::[[]ip=v4]".replace("[[]", "["),
        "cases/open/good.yaml::[ip=v6]",
        "cases/slow/waits.yaml::[ip=v4]",
        "cases/slow/waits.yaml::[ip=v6]",
    ]
    assert not (pytester.path / "reports").exists()


def test_a_single_item_is_run_by_its_id(suite, pytester, lines):
    suite("open/good")
    pytester.runpytest_inprocess("cases/open/good.yaml::[ip=v6]", "--report=r").assert_outcomes(passed=1)
    assert [line["id"] for line in lines()[1:-1]] == ["open/good[ip=v6]"]


def test_yaml_elsewhere_is_left_alone(pytester):
    pytester.path.joinpath("other.yaml").write_text("a: 1")
    (pytester.path / "pkg" / "cases").mkdir(parents=True)
    (pytester.path / "pkg" / "cases" / "__init__.py").touch()
    (pytester.path / "pkg" / "cases" / "data.yaml").write_text("a: 1")
    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_file_that_is_named_is_a_case_wherever_it_is(suite, pytester, lines):
    suite("open/good").rename(pytester.path / "elsewhere")
    pytester.runpytest_inprocess("elsewhere/open/good.yaml", "--report=r").assert_outcomes(passed=2)
    assert {line["id"] for line in lines()[1:-1]} == {"good[ip=v4]", "good[ip=v6]"}


@pytest.mark.parametrize(
    ("args", "count"),
    [
        (["-k", "good and v4"], 1),
        (["-k", "open/good"], 2),
        (["-m", "behaviour"], 4),
        (["-m", "should"], 2),
        (["-m", "must or may"], 0),
        (["-m", "timers"], 2),
        (["-m", "state(name='ESTABLISHED')"], 2),
        (["-m", "requirement(id='RFC9293-3.10.7.2-SYN') and not timers"], 2),
        (["-m", "tier(name='long')"], 0),
        (["--requirement=RFC9293-3.10.7.2-SYN"], 4),
        (["--section=3.10.7"], 4),
        (["--section=5961:3.2"], 0),
        (["--level=should"], 2),
        (["--state=listen"], 4),
        (["--state=LISTEN", "--level=SHOULD"], 0),
        (["--tier=long"], 0),
        (["--tier=all"], 6),
    ],
)
def test_selections(suite, pytester, args, count):
    suite("open/good", "slow/waits", "data/deviating")
    result = pytester.runpytest_inprocess("cases", "--collect-only", "-q", "--strict-markers", *args)
    assert sum("::[" in line for line in result.outlines) == count


@pytest.mark.parametrize(
    ("arg", "said"),
    [
        ("--level=MAYBE", "*--level: 'MAYBE' is none of MUST*"),
        ("--requirement=MUST-12", "*did you mean RFC9293-MUST-12*"),
        ("--section=99", "*no requirement of the catalogue is in section '99'*"),
        ("--state=OPEN", "*'OPEN' is none of CLOSED, LISTEN*"),
        ("--tier=short", "*--tier: 'short' is none of default, quick, long, all*"),
        ("--sysctl=tcp_sack", "*say NAME=VALUE*"),
    ],
)
def test_wrong_options_are_usage_errors(suite, run, arg, said):
    suite("open/good")
    result = run(arg)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_every_mistake_of_a_file_is_told_with_its_place(suite, run, pytester):
    suite("open/good", wrong="title: x\nrequirements: [NO-SUCH]\nsteps:\n  - send: SYM\n  - sent: ACK\n")
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        [
            "*ERROR collecting cases/wrong.yaml*",
            "cases/wrong.yaml:2:16: *",
            "cases/wrong.yaml:4:11: *",
            "cases/wrong.yaml:5:5: *",
        ]
    )
    assert not list(pytester.path.glob("r/*"))


def test_the_failure_page_has_a_command_that_can_be_pasted(suite, run, pytester):
    suite("open/bad")
    result = run("--sysctl", "tcp_sack=0", "-k", "v4")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "*cases/open/bad.yaml:6:5:*",
            "*expected*RST*",
            "*seen*SYN,ACK*",
            "*RFC9293-3.10.7.2-SYN*",
            "*---> SYN*",
            "*run just this case:*",
        ]
    )
    command = next(line for line in result.outlines if line.strip().startswith("pytest "))
    words = shlex.split(command)
    assert words == ["pytest", "cases/open/bad.yaml::[ip=v4]", "--sysctl=tcp_sack=0"]
    pytester.runpytest_inprocess(*words[1:], "--report=r2").assert_outcomes(failed=1)


def test_ordinary_tests_do_not_wake_the_engine(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_was_imported():
            heavy = {"scapy", "pyroute2", "conformance.engine.scheduler", "conformance.catalogue", "asyncio"}
            assert heavy.isdisjoint(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:xdist")
    result.assert_outcomes(passed=1)
    assert not (pytester.path / "reports").exists()

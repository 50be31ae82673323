"""`conformance run`: what it shows, what it leaves behind, and its exit codes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cli_samples import BAD, GOOD

from conformance.catalogue.decided import quick

BASELINE = """
reviewed: {kernel: ['*']}
deviations:
- {case: bad, requirement: RFC9293-3.10.7.2-SYN, verdict: FAIL, reason: it does so}
"""


def test_all_as_expected_is_0(write, conformance, here):
    write(good=GOOD)
    done = conformance("run", "cases")
    assert done.returncode == 0, done.stderr
    assert "2 run in" in done.stdout
    assert "2 PASS" in done.stdout
    assert "BEHAVIOUR" in done.stdout
    folder = Path(re.search("^report: (.*)$", done.stdout, re.MULTILINE).group(1))
    assert folder.parent == Path("reports")
    lines = [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["header", "result", "result", "footer"]
    assert lines[0]["command"] == ["conformance", "run", "cases"]
    assert len(ET.parse(folder / "junit.xml").findall(".//testcase")) == 2
    assert "====" not in done.stdout


def test_a_finding_is_1_and_its_page_is_printed(write, conformance, here):
    write(bad=BAD, good=GOOD)
    done = conformance("run", "cases", "--report", "r")
    assert done.returncode == 1
    assert "cases/bad.yaml:6:5: another segment came: flags differ" in done.stdout
    assert "conformance run 'cases/bad.yaml::[ip=v4]'" in done.stdout
    assert "UNEXPECTED FAIL: 2" in done.stdout
    assert len(list(here.glob("r/captures/*.pcapng"))) == 2
    single = conformance("run", "cases/bad.yaml::[ip=v4]", "--report", "r2", "--capture", "all")
    assert "1 run in" in single.stdout


def test_its_junit_xml_is_that_of_pytest(write, conformance, here):
    write(good=GOOD, known=BAD, bad=BAD, lacking=GOOD + "needs: {services: [echo]}\n")
    here.joinpath("b.yaml").write_text(BASELINE.replace("case: bad", "case: known"))
    common = ["cases", "--baseline", "b.yaml"]
    done = conformance("run", *common, "--report", "r")
    assert done.returncode == 1, done.stderr
    command = [sys.executable, "-m", "pytest", *common, "--junitxml", "j.xml", "-o", "junit_family=xunit1"]
    subprocess.run(command, capture_output=True, timeout=60, check=False)

    def told(path):
        for case in ET.parse(path).findall(".//testcase"):
            properties = {one.get("name"): one.get("value") for one in case.findall(".//property")}
            yield case.get("classname"), case.get("name"), [one.tag for one in case], properties

    ours, theirs = sorted(told("r/junit.xml"), key=str), sorted(told("j.xml"), key=str)
    assert ours == theirs
    assert [one[2][1:] for one in ours] == [["failure"]] * 2 + [[]] * 2 + [["skipped"]] * 4


def test_a_known_deviation_is_0(write, conformance, here):
    write(bad=BAD)
    here.joinpath("b.yaml").write_text(BASELINE)
    done = conformance("run", "cases", "--baseline", "b.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "known deviations met: 2" in done.stdout


def test_a_folder_of_any_name_is_a_suite(write, conformance, here):
    write("mine/sub", good=GOOD)
    assert conformance("run", "mine", "--report", "r").returncode == 0
    ids = [json.loads(line).get("id") for line in (here / "r/report.jsonl").read_text().splitlines()]
    assert set(ids) == {None, "sub/good[ip=v4]", "sub/good[ip=v6]"}


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["cases", "--nonsense"], 2, "No such option"),
        (["nowhere"], 2, "file or directory not found: nowhere"),
        (["cases", "--tier", "short"], 2, "is not one of"),
        (["cases", "--level", "MAYBE"], 2, "'MAYBE' is none of MUST"),
        (["cases", "--sysctl", "tcp_sack"], 2, "say NAME=VALUE"),
        (["cases", "-k", "nothing"], 2, "no case fits what was asked for"),
        (["cases", "--baseline", "gone.yaml"], 2, "gone.yaml: No such file"),
        (["wrong"], 2, "wrong/wrong.yaml:2:16: 'NO-SUCH' is not in the catalogue"),
        (["cases", "--sysctl", "tcp_nonsense=1"], 3, "this kernel has no such setting"),
        (["cases", "--sysctl", "tcp_sack=many"], 3, "sysctl net.ipv4.tcp_sack=many: Invalid argument"),
        (["cases", "--target", "198.51.100.1"], 3, "say --allow 198.51.100.1 if that is yours"),
        (["cases", "--target", "bsd"], 3, "target 'bsd' is not one of: linux"),
        (["cases", "--report", "file/r"], 3, "the report can't be written to file/r: Not a directory"),
    ],
)
def test_what_stops_a_run_is_one_clear_line(write, conformance, here, args, code, said):
    write(good=GOOD)
    write("wrong", wrong=GOOD.replace("RFC9293-3.10.7.2-SYN", "NO-SUCH"))
    here.joinpath("file").touch()
    done = conformance("run", *args)
    assert said in done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(here.glob("reports/2*"))


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux")
def test_denied_namespaces_are_told_with_what_helps(write, here):
    write(good=GOOD)
    words = [sys.executable, "-m", "conformance", "run", "cases"]
    script = f"echo 0 > /proc/sys/user/max_net_namespaces && exec {shlex.join(words)}"
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert done.stderr.startswith("conformance: cannot make a private network namespace (")
    assert done.stderr.count("\n") == 1


def test_no_room_on_the_disk_is_3(write, conformance, here):
    write(good=GOOD)
    here.joinpath("r").mkdir()
    here.joinpath("r/report.jsonl").symlink_to("/dev/full")
    done = conformance("run", "cases", "--report", "r")
    assert done.returncode == 3
    assert "No space left on device" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_page_for_people_stands_beside_the_report(write, conformance, here):
    write(bad=BAD)
    done = conformance("run", "cases", "--report", "r")
    assert "page:   r/report.html" in done.stdout
    text = (here / "r" / "report.html").read_text()
    assert text.startswith("<!doctype html>")
    lines = [json.loads(line) for line in (here / "r" / "report.jsonl").read_text().splitlines()]
    assert [line["rerun"] for line in lines[1:-1]] == [f"conformance run 'cases/bad.yaml::[ip=v{ip}]'" for ip in (4, 6)]
    assert {line["start"] for line in lines[1:-1]} == {"LISTEN"}


def test_shards_merged_are_the_run(write, conformance, here):
    write(**{f"good{number}": GOOD for number in range(3)})
    for part in ("1/2", "2/2"):
        done = conformance("run", "cases", "--shard", part, "--report", f"r{part[0]}")
        assert "3 run in" in done.stdout, done.stdout + done.stderr
    assert conformance("run", "cases", "--report", "whole").returncode == 0
    merged = conformance("merge", "r1", "r2", "-o", "merged.jsonl")
    assert merged.returncode == 0, merged.stderr
    assert "6 results: 6 PASS" in merged.stdout
    same = conformance("diff", "whole", "merged.jsonl")
    assert same.returncode == 0, same.stdout
    assert conformance("merge", "r1", "-o", "half.jsonl").returncode == 3


def test_ci_services_find_file_line_requirement_and_level(write, conformance, here):
    write(bad=BAD)
    summary = here / "summary.md"
    summary.write_text("before\n")
    conformance("run", "cases", "--report", "r", env={"GITHUB_STEP_SUMMARY": str(summary)})
    assert summary.read_text().startswith("before\n## TCP conformance: linux")
    assert "### 2 that ask for somebody" in summary.read_text()
    for case in ET.parse(here / "r" / "junit.xml").findall(".//testcase"):
        assert case.get("file") == "cases/bad.yaml"
        found = {one.get("name"): one.get("value") for one in case.findall(".//property")}
        assert (found["requirement"], found["level"], found["line"]) == ("RFC9293-3.10.7.2-SYN", "BEHAVIOUR", "6")
    nowhere = conformance("run", "cases", "--report", "r2", env={"GITHUB_STEP_SUMMARY": str(here)})
    assert nowhere.returncode == 1
    assert "GITHUB_STEP_SUMMARY" in nowhere.stderr


def test_quick_runs_its_choice(conformance, here):
    done = conformance("run", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = Path(re.search("^report: (.*)$", done.stdout, re.MULTILINE).group(1))
    lines = [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
    assert {line["id"] for line in lines if line["type"] == "result"} == set(quick())

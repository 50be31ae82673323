"""The examples for CI services, executed: every line of their scripts but those that install or fetch something.

What a service does itself is done here: folders between jobs, the matrix, variables. Runs are narrowed to a few cases.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from hosts import places

from conformance.report.reading import Reading
from conformance.targets import stacks
from conformance.targets.base import TargetError

ROOT = Path(__file__).parents[2]
CI = ROOT / "docs" / "ci"
GITHUB = yaml.safe_load((CI / "github-actions.yml").read_text())
GITLAB = yaml.safe_load((CI / "gitlab-ci.yml").read_text())
TOKEN = "a token of the tests, long enough"
INSTALLS = re.compile(r"^\s*(pip install|sudo apt-get) ")
LAB = {"--interface eth1": "--interface t0", "10.0.0.2:7413": f"{places.CONTROL_HOST}:7413"}
"""What is another on the test's bench: there the host has the very address of the examples."""

pytestmark = [
    pytest.mark.skipif(bool(places.missing()), reason=str(places.missing())),
    pytest.mark.skipif(shutil.which("make") is None, reason="no make: apt-get install -y make"),
]


@pytest.fixture(scope="module")
def lwip() -> Path:
    try:
        return Path(stacks.program("lwip").argv[0])
    except TargetError as error:
        pytest.skip(str(error))


@pytest.fixture
def bench(tmp_path, lwip):
    """A checkout with a stack, and `conformance` on the path, which runs a few cases of the suite."""
    program = tmp_path / "bin" / "conformance"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexport PYTHONPATH={ROOT}\n[ "$1" = run ] && set -- "$@" {ROOT}/cases/flags --section 3.10.7.1\n'
        f'exec {sys.executable} -m conformance "$@"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    stack = tmp_path / "checkout" / "stack"
    stack.mkdir(parents=True)
    (stack / "Makefile").write_text(f"agent:\n\tcp {lwip} agent\n")
    shutil.copy(ROOT / "reports" / "baselines" / "lwip.yaml", stack / "known.yaml")
    return tmp_path


def execute(
    script: str, folder: Path, bench: Path, place: places.Place | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A script as a service runs it: bash that ends with the first command that fails."""
    lines = [line for line in script.splitlines() if not INSTALLS.match(line)]
    environment = {**os.environ, "PATH": f"{bench / 'bin'}:{os.environ['PATH']}", **variables}
    command = ["bash", "-e", "-c", "\n".join(lines)]
    argv = place.argv(*command) if place else command
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def github(name: str, bench: Path, *, place: places.Place | None = None, matrix: dict[str, str] | None = None) -> str:
    """Run a job of the workflow; what stands in its summary. Every step is taken, and has to end well."""
    job = GITHUB["jobs"][name]
    known = {f"matrix.{key}": value for key, value in (matrix or {}).items()} | {"secrets.CONFORMANCE_TOKEN": TOKEN}

    def filled(text: object) -> str:
        return re.sub(r"\$\{\{ *(.*?) *\}\}", lambda found: known[found[1]], str(text))

    folder = bench / "-".join(("job", name, *known.values())).replace(" ", "_")
    folder.mkdir()
    summary = folder / "summary.md"
    variables = {key: filled(value) for key, value in {**GITHUB["env"], **job.get("env", {})}.items()}
    for step in job["steps"]:
        action = step.get("uses", "").partition("@")[0]
        if action == "actions/checkout":
            shutil.copytree(bench / "checkout", folder, dirs_exist_ok=True)
        elif action == "actions/upload-artifact":
            for path in filled(step["with"]["path"]).split():
                kept = bench / "artifacts" / filled(step["with"]["name"])
                kept.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (folder / path).is_dir() else shutil.copy
                copy(folder / path, kept / Path(path).name)
        elif action == "actions/download-artifact":
            shutil.copytree(bench / "artifacts", folder, dirs_exist_ok=True)
        elif "run" in step:
            script = filled(step["run"])
            for before, after in LAB.items():
                script = script.replace(before, after)
            done = execute(script, folder, bench, place, GITHUB_STEP_SUMMARY=str(summary), **variables)
            assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        else:
            assert action == "actions/setup-python", step
    return summary.read_text() if summary.exists() else ""


def test_the_workflow_shards_merges_and_reports(bench):
    chosen = GITHUB["jobs"]["shard"]["strategy"]["matrix"]
    for values in itertools.product(*chosen.values()):
        matrix = dict(zip(chosen, map(str, values), strict=True))
        assert f"## TCP conformance: {matrix['target']}" in github("shard", bench, matrix=matrix)
    github("report", bench)
    made = bench / "artifacts" / "report"
    for target in chosen["target"]:
        reading = Reading(made / f"{target}.jsonl")
        assert len({line["id"] for _, line in reading}) > 20
        assert reading.problems == []
        assert [part["shard"] for part in reading.header["merged"]] == ["1/2", "2/2"]
    says = ET.parse(made / "badge.svg").getroot().get("aria-label", "")
    assert says.startswith("TCP conformance: ")
    assert "incomplete" not in says
    assert (made / "report.html").stat().st_size > 10_000


def test_the_workflow_tests_a_stack_behind_its_agent(bench):
    assert "## TCP conformance: " in github("userspace-stack", bench)
    check(bench / "artifacts" / "userspace-stack" / "r")


def test_the_workflow_tests_a_host(bench):
    with places.two_hosts() as (tester, host), places.agent(host, TOKEN):
        github("lab-host", bench, place=tester)
    check(bench / "artifacts" / "lab-host" / "r")


def check(report: Path) -> None:
    """A whole report, and JUnit that names requirement and level."""
    reading = Reading(report / "report.jsonl")
    assert sum(1 for _ in reading) > 10
    assert reading.problems == []
    names = {one.get("name") for one in ET.parse(report / "junit.xml").iter("property")}
    assert {"requirement", "level"} <= names


def gitlab(name: str, folder: Path, bench: Path, place: places.Place | None = None, **variables: str) -> None:
    """Run a job, and look for what it says that it leaves."""
    job = GITLAB[name]
    script = "\n".join(job["script"])
    for before, after in LAB.items():
        script = script.replace(before, after)
    done = execute(script, folder, bench, place, **GITLAB["variables"], **variables)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    reports = job["artifacts"].get("reports", {}).values()
    for pattern in (*job["artifacts"]["paths"], *reports):
        assert list(folder.glob(pattern)), pattern


def test_the_gitlab_job_tests_the_kernel_in_parts_and_puts_them_together(bench):
    folder = bench / "checkout"
    count = GITLAB["kernel"]["parallel"]
    for number in range(1, count + 1):
        gitlab("kernel", folder, bench, CI_NODE_INDEX=str(number), CI_NODE_TOTAL=str(count))
    check(folder / "r" / "1")
    gitlab("report", folder, bench)
    reading = Reading(folder / "whole.jsonl")
    assert sum(1 for _ in reading) > 10
    assert reading.problems == []


def test_the_gitlab_job_tests_a_stack_behind_its_agent(bench):
    gitlab("userspace-stack", bench / "checkout", bench)
    check(bench / "checkout" / "r")


def test_the_gitlab_job_tests_a_host(bench):
    with places.two_hosts() as (tester, host), places.agent(host, TOKEN):
        gitlab("lab-host", bench / "checkout", bench, tester, CONFORMANCE_TOKEN=TOKEN)
    check(bench / "checkout" / "r")


def test_every_job_of_the_examples_is_executed_here():
    assert set(GITHUB["jobs"]) == {"shard", "report", "userspace-stack", "lab-host"}
    assert set(GITLAB) - {"image", "variables"} == {"kernel", "report", "userspace-stack", "lab-host"}

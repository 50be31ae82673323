"""`conformance trend` as text; and the runner in the style of kselftest, for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from browsing import OTHER, dated
from click.testing import CliRunner
from report_samples import REQUIREMENT, failing, passing

from conformance.cli import main

CI = Path(__file__).parents[2] / "docs" / "ci"


def test_the_trend_names_what_became_better_and_worse_stack_by_stack(tmp_path):
    dated(tmp_path / "3" / "report.jsonl", [failing("a")], "2026-03-01T00:00:00.000000000Z")
    dated(tmp_path / "1" / "report.jsonl", [failing("a")], "2026-01-01T00:00:00.000000000Z")
    dated(tmp_path / "2" / "report.jsonl", [passing("a")], "2026-02-01T00:00:00.000000000Z", how="interrupted")
    dated(tmp_path / "x.jsonl", [passing("a")], "2026-02-01T00:00:00.000000000Z", target=OTHER)
    (tmp_path / "y.jsonl").write_text("{}\n")
    found = CliRunner().invoke(main, ["trend", str(tmp_path)])
    assert found.exit_code == 0, found.output
    rows = [line for line in found.output.splitlines() if line.startswith("  2026")]
    assert [row[2:9] for row in rows] == ["2026-01", "2026-02", "2026-03", "2026-02"]
    assert rows[1].endswith(f"better: {REQUIREMENT} (incomplete)")
    assert rows[2].endswith(f"worse: {REQUIREMENT}")
    assert "y.jsonl: this is no report" in found.output
    (tmp_path / "empty").mkdir()
    assert CliRunner().invoke(main, ["trend", str(tmp_path / "empty")]).exit_code == 2


def test_the_kselftest_runner_writes_ktap_of_a_real_run(tmp_path):
    program = tmp_path / "bin" / "conformance"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m conformance "$@"\n')
    program.chmod(0o755)
    case = tmp_path / "cases" / "one.yaml"
    case.parent.mkdir()
    text = "title: A SYN\nrequirements: [RFC9293-3.10.7.2-SYN]\nstart: LISTEN\nsteps:\n  - send: SYN\n  - expect: "
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    for expected, code, line in (("SYN,ACK", 0, "ok 1 one[ip=v"), ("RST", 1, "not ok 1 one[ip=v")):
        case.write_text(f"{text}{expected}\n")
        done = subprocess.run(
            [str(CI / "run_kselftest.sh"), "cases"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if "SKIP" in done.stdout.splitlines()[-1]:
            pytest.skip(done.stdout)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stdout.startswith("KTAP version 1\n1..2\n")
        assert f"\n{line}" in done.stdout

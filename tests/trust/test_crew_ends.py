"""A run by several processes is interrupted, or loses one of them: the report says so, and nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from targets.test_adapted import or_skipped
from trust.test_nothing_lost import ROOT, inside


@pytest.fixture
def running(tmp_path):
    """The whole suite on lwIP, some fifty results in; and the processes below it."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor: there is no crew")
    or_skipped("lwip")
    run = subprocess.Popen(
        [sys.executable, "-m", "conformance", "run", "--target", "lwip", "--report", "r"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    report = tmp_path / "r" / "report.jsonl"
    while not (report.exists() and report.read_bytes().count(b'"type":"result"') >= 50):
        assert time.monotonic() < deadline
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.02)
    with run:
        yield run, report, inside(run.pid)
        run.kill()


def engines(pids: list[int]) -> list[int]:
    """Those of the processes that are the tester's own engines."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):  # a stack that was served from a copy of its process
            if b"conformance\0run" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def gone(pids: list[int]) -> bool:
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_ctrl_c_goes_to_all_and_is_for_the_first(running):
    run, report, below = running
    assert len(engines(below)) > 1
    os.killpg(run.pid, signal.SIGINT)
    said, _ = run.communicate(timeout=60)
    header, *results, footer = map(json.loads, report.read_text().splitlines())
    assert run.returncode in (1, 3), said
    assert "Traceback" not in said
    assert footer["how"] == "interrupted"
    assert len(footer["not_run"]) == header["selected"] - len(results) > 0
    assert footer["counts"]["ERROR"] == 0
    assert gone(below)


def test_an_engine_that_is_killed_ends_the_run_and_what_was_found_stays(running):
    run, report, below = running
    os.kill(engines(below)[0], signal.SIGKILL)
    said, _ = run.communicate(timeout=60)
    _, *results, footer = map(json.loads, report.read_text().splitlines())
    assert run.returncode in (1, 3), said
    assert "a process of the engine has died (exit code -9)" in said
    assert footer["how"] == "crashed"
    assert footer["counts"]["ERROR"] == 0
    assert len(results) >= 50
    assert gone(below)


def test_a_tester_that_is_killed_leaves_no_engine_and_no_stack(running):
    run, _, below = running
    run.kill()
    run.wait()
    assert gone(below)

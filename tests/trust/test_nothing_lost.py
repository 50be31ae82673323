"""The engine's thread, the link, the agent and the run itself end in mid-run: the report says so, nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import conformance
from conformance.cases.loader import load_text
from conformance.catalogue import load as load_catalogue
from conformance.engine.result import Verdict
from conformance.engine.scheduler import Engine
from conformance.targets.base import TargetError
from conformance.targets.netns import OwnKernel

ROOT = Path(conformance.__file__).parents[1]

WAITS = """
title: It waits
requirements: [RFC9293-3.10.7.2-SYN]
start: LISTEN
steps:
  - wait: 1s
  - send: SYN
  - expect: SYN,ACK
"""
LONG = WAITS.replace("1s", "60s")

FAULTY = """
import sys
from conformance.engine import scheduler
from conformance.engine.scheduler import Engine

class Faulty(Engine):
    # A fault in the loop itself, which no case's own handling catches.
    async def _live(self, target, ready):
        import asyncio
        task = asyncio.ensure_future(super()._live(target, ready))
        while not self.done:
            await asyncio.sleep(0.01)
        task.cancel()
        raise ZeroDivisionError("\\x1b[2Jnobody foresaw this")

    done = 0

    def _hand_over(self, future, result):
        super()._hand_over(future, result)
        self.done += 1

scheduler.Engine = Faulty
import conformance.pytest_plugin.running as running
running.Engine = Faulty
from conformance.cli import main
main()
"""


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "good.yaml").write_text(WAITS.replace("  - wait: 1s\n", ""))
    (tmp_path / "cases" / "waits.yaml").write_text(LONG)
    return tmp_path


@pytest.fixture(autouse=True)
def namespaces():
    try:
        OwnKernel.start().close()
    except TargetError as problem:
        pytest.skip(str(problem))


def inside(pid: int) -> list[int]:
    """Every process below that one."""
    found, known = [], {pid}
    for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parts[2])):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) in known and fields[0] not in "ZX":
            known.add(int(stat.parts[2]))
            found.append(int(stat.parts[2]))
    return found


def start(folder: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *argv],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "r" / "report.jsonl").read_text().splitlines()]


def test_an_engine_that_dies_ends_the_run_and_the_report_says_what_ran(suite):
    run = start(suite, "-c", FAULTY, "run", "cases", "--report", "r")
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 3, said
    header, *results, footer = lines(suite)
    assert header["selected"] == 4
    assert {line["id"] for line in results} <= {"good[ip=v4]", "good[ip=v6]"}
    assert (footer["how"], footer["counts"]["ERROR"]) == ("crashed", 0)
    assert "ZeroDivisionError" in footer["reason"]
    assert {"waits[ip=v4]", "waits[ip=v6]"} <= set(footer["not_run"])
    assert "the engine has died: ZeroDivisionError: \\x1b[2Jnobody foresaw this" in said
    assert "\x1b" not in said


def test_a_run_that_is_killed_leaves_no_process_and_the_next_starts_clean(suite):
    run = start(suite, "-m", "conformance", "run", "cases", "--report", "r")
    deadline = time.monotonic() + 30
    report = suite / "r" / "report.jsonl"
    while not (report.exists() and report.read_bytes().count(b'"type":"result"') >= 2):
        assert time.monotonic() < deadline
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.02)
    below = inside(run.pid)
    assert below  # the namespace's holder
    run.send_signal(signal.SIGKILL)
    run.communicate()
    while any(Path(f"/proc/{pid}").exists() for pid in below):
        assert time.monotonic() < deadline, below
        time.sleep(0.02)
    assert [line["type"] for line in lines(suite)] == ["header", "result", "result"]
    again = start(suite, "-m", "conformance", "run", "cases/good.yaml", "--report", "r")
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert [line["type"] for line in lines(suite)] == ["header", "result", "result", "footer"]
    left = {path.name for path in (suite / "r").iterdir()}
    assert left <= {"report.jsonl", "report.html", "junit.xml", "captures"}


@pytest.mark.skipif(not shutil.which("nsenter") or not shutil.which("ip"), reason="needs nsenter and ip")
def test_a_link_that_goes_in_mid_run_is_told_of_and_stops_nobody():
    known = frozenset(load_catalogue().requirements)
    waiting = [v for n in range(3) for v in load_text(WAITS, f"{n}.yaml", f"{n}", known).variations]
    kernels = []

    def open_target(settings: object) -> OwnKernel:
        kernels.append(OwnKernel.start())
        return kernels[-1]

    engine = Engine(open_target, load_catalogue())
    engine.start()
    try:
        namespace = kernels[0].describe()["namespace"]
        futures = engine.submit(waiting)
        for entry in Path("/proc").glob("[0-9]*/ns/net"):
            try:
                if entry.stat().st_ino == namespace:
                    holder = entry.parts[2]
            except OSError:
                continue
        enter = ["nsenter", "-t", holder, "-n", *([] if os.getuid() == 0 else ["-U", "--preserve-credentials"])]
        subprocess.run([*enter, "ip", "link", "delete", "v0"], check=True)
        results = [future.result(60) for future in futures.values()]
        begun, worked = time.monotonic(), time.process_time()
        time.sleep(0.5)
        busy = (time.process_time() - worked) / (time.monotonic() - begun)
    finally:
        engine.stop()
    assert not engine.alive
    assert {result.verdict for result in results} <= {Verdict.ERROR, Verdict.INCONCLUSIVE}
    assert any("evice" in result.reason or "etwork" in result.reason for result in results), results[0].reason
    assert busy < 0.5, "the loop spins on a link that is gone"

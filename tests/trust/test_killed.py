"""A tester that is killed leaves nothing: no agent, though it hangs, no guardian, no connection of a host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hosts import places
from hosts.places import HOST, SOURCES

import conformance
from conformance.adapters.base import Program
from conformance.targets.channel import Channel
from conformance.targets.guardian import MOST_OUTPUT
from conformance.targets.guards import GUARDS

ROOT = Path(conformance.__file__).parents[1]

HANGING = """
import json, os, signal, socket, subprocess, sys
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
channel = socket.socket(fileno=3)
channel.recv(65536)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
hello = {"protocol": 1, "stack": "none", "clock": "virtual", "frames": "channel", "ip": [4], "verbs": [],
         "children": [os.getpid(), child.pid]}
channel.sendall(json.dumps({"hello": hello}).encode() + b"\\n")
while True:
    pass
"""

TESTER = """
import sys
from conformance.adapters.base import Program
from conformance.targets.channel import Channel
from conformance.targets.guards import GUARDS
channel = Channel.start(Program((sys.executable, "-c", sys.argv[1])), lambda octets, at: None)
print(*channel.hello({})["children"], GUARDS.pid, flush=True)
sys.stdin.read()
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def comes(true: Callable[[], bool], patience: float = 20.0) -> bool:
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_an_agent_that_hangs_and_its_children_die_with_a_tester_that_is_killed():
    tester = subprocess.Popen(
        [sys.executable, "-c", TESTER, HANGING],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    pids = [int(word) for word in tester.stdout.readline().split()]
    assert len(pids) == 3
    assert all(runs(pid) for pid in pids)
    tester.send_signal(signal.SIGKILL)
    tester.communicate()
    assert comes(lambda: not any(runs(pid) for pid in pids)), [pid for pid in pids if runs(pid)]


def test_what_an_agent_prints_does_not_fill_the_disk():
    code = (
        "import socket\n"
        "channel = socket.socket(fileno=3)\n"
        "for _ in range(64): print('x' * (1 << 20), flush=True)\n"
        "print('the last words', flush=True)\n"
        "channel.recv(1)\n"
    )
    channel = Channel.start(Program((sys.executable, "-c", code)), lambda octets, at: None)
    process = channel._process
    assert GUARDS.pid is not None
    assert runs(GUARDS.pid)

    def room() -> int:
        return os.fstat(process._output.fileno()).st_blocks * 512

    assert comes(lambda: os.fstat(process._output.fileno()).st_size > 64 << 20 or room() == 0)
    assert comes(lambda: room() <= MOST_OUTPUT)
    channel.close()


WAITS = """
title: It waits, with a connection open
requirements: [RFC9293-3.10.7.2-SYN]
start: ESTABLISHED
steps:
  - wait: 60s
"""


@pytest.mark.skipif(bool(places.missing()), reason=str(places.missing()))
def test_a_black_box_has_its_connections_reset_when_the_tester_is_killed(tmp_path):
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "waits.yaml").write_text(WAITS)

    def open_here(host: places.Place) -> list[str]:
        table = host.run("cat", "/proc/net/tcp", "/proc/net/tcp6").stdout.splitlines()
        return [line for line in table if len(fields := line.split()) > 3 and fields[3] == "01"]

    with places.two_hosts() as (tester, host), places.services(host):
        run = tester.start(
            *(sys.executable, "-m", "conformance", "run", "cases", "--report", "r", "--target", HOST, "--allow", HOST),
            *("--interface", "t0", f"--source={SOURCES[0]}", "--service", "echo:7"),
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert comes(lambda: bool(open_here(host)) or run.poll() is not None)
        assert run.poll() is None, run.communicate()[0]
        run.send_signal(signal.SIGKILL)
        run.communicate()
        assert comes(lambda: not open_here(host)), open_here(host)
        lines = (tmp_path / "r" / "report.jsonl").read_text().splitlines()
        types = [json.loads(line)["type"] for line in lines]
        assert types[0] == "header"
        assert "footer" not in types

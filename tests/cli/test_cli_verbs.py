"""`target check` tries every verb that an agent declares; one that does nothing is the agent's fault, and is told."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from conformance.cases.loader import load_text
from conformance.cli import main
from conformance.cli.verbs import trials
from conformance.targets.base import TargetError
from conformance.targets.stacks import program

BETWEEN = """#!{python}
# lwIP's agent with a verb that it only claims to do.
import json, os, select, socket
ours, theirs = socket.socketpair()
if os.fork() == 0:
    ours.close()
    os.dup2(theirs.fileno(), 3)
    os.execv({agent!r}, [{agent!r}])
theirs.close()
tester = socket.socket(fileno=3)
waiting = b""
while True:
    for ready in select.select([tester, ours], [], [])[0]:
        data = ready.recv(1 << 16)
        if not data:
            raise SystemExit
        if ready is ours:
            tester.sendall(data)
            continue
        *lines, waiting = (waiting + data).split(b"\\n")
        for line in lines:
            said = json.loads(line)
            if said.get("do") == {verb!r}:
                tester.sendall(json.dumps({{"id": said["id"], "ok": None}}).encode() + b"\\n")
            else:
                ours.sendall(line + b"\\n")
"""


def test_each_trial_is_a_case():
    for verb, text in trials(frozenset({"shutdown", "close", "abort", "exit", "connect", "poll", "atmark"})).items():
        assert load_text(text, f"{verb}.yaml", verb).variations


@pytest.mark.parametrize("verb", ["abort", "shutdown"])
def test_a_verb_that_does_nothing_is_told(tmp_path, verb):
    try:
        agent = program("lwip").argv[0]
    except TargetError as missing:
        pytest.skip(str(missing))
    script = tmp_path / "agent"
    script.write_text(BETWEEN.format(python=sys.executable, agent=agent, verb=verb))
    script.chmod(0o755)
    told = CliRunner().invoke(main, ["target", "check", str(script)])
    line = next(line for line in told.output.splitlines() if "verbs" in line)
    assert line.startswith("bad")
    assert f"{verb} (IPv4): " in line
    assert "close (" not in line
    assert told.exit_code == 3

"""A terminal obeys nothing that cases, files, agents or targets say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import conformance

ROOT = Path(conformance.__file__).parents[1]
EVIL = "\x1b[2J\x1b]0;owned\x07\u202e"
CASE = """
title: "Evil \\e[2J\\e]0;owned\\a\\u202E"
requirements: [RFC9293-3.10.7.2-SYN]
steps:
  - send: SYN
  - expect: RST,ACK "\\x1b[2J"
"""
AGENT = """#!{python}
import sys
print("\\x1b[2J\\x07 last words", flush=True)
sys.exit(3)
"""


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    return said


def obeyed(said: str) -> set[str]:
    return {char for char in said if not char.isprintable() and char != "\n"}


@pytest.mark.parametrize("command", ["run", "lint", "list", "explain", "pytest"])
def test_whatever_a_case_or_a_file_name_says_a_terminal_obeys_nothing(tmp_path, command):
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "evil.yaml").write_text(CASE)
    name = "" if command == "pytest" else EVIL  # it is pytest that prints the names of files there
    (folder / f"a{name}.yaml").write_text(CASE.replace("RST,ACK", EVIL))
    options = ["--continue-on-collection-errors", "-p", "no:cacheprovider"] if command == "pytest" else []
    words = [command] if command == "pytest" else ["conformance", command]
    said = run(tmp_path, *words, "evil" if command == "explain" else "cases", *options)
    assert said
    assert not obeyed(said)


@pytest.mark.parametrize("command", [["run"], ["target", "check"]])
def test_what_an_agent_says_when_it_fails_is_text(tmp_path, command):
    agent = tmp_path / "agent"
    agent.write_text(AGENT.format(python=sys.executable))
    agent.chmod(0o755)
    said = run(tmp_path, "conformance", *command, *(["--target"] if command == ["run"] else []), "./agent")
    assert "\\x1b[2J\\x07 last words" in said
    assert not obeyed(said)


def test_an_agent_that_is_gone_when_it_is_asked_does_not_take_us_along(tmp_path):
    agent = tmp_path / "agent"
    agent.write_text(f"#!{sys.executable}\nimport os, time\nos.close(3)\ntime.sleep(2)\n")
    agent.chmod(0o755)
    assert "conformance: target ./agent: " in run(tmp_path, "conformance", "run", "--target", "./agent")

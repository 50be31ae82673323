from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(here: Path):
    """Writes case files below a folder, `cases` unless told."""

    def go(folder: str = "cases", **texts: str) -> Path:
        for name, text in texts.items():
            path = here / folder / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.lstrip())
        return here / folder

    return go


@pytest.fixture
def conformance():
    """Runs the program in a process of its own."""

    def go(*args: str, **more) -> subprocess.CompletedProcess[str]:
        # What this very test run has said to pytest must not matter.
        environment = {**os.environ, "PYTEST_ADDOPTS": "--no-such-option", **more.pop("env", {})}
        command = [sys.executable, "-m", "conformance", *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False, **more)

    return go

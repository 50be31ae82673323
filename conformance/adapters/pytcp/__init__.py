"""PyTCP 3 from PyPI, with an agent in Python (GPL-3.0-or-later) that a virtual environment of its own runs."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from conformance.adapters.base import Adapter, MissingError, Program

_AGENT = Path(__file__).with_name("agent.py")
_PACKAGES = ("pmd-pytcp==0.3.8", "pmd-net-addr==0.0.3", "pmd-net-proto==0.0.3", "typing_extensions>=4.6")
_OLDEST = (3, 10)
"""Of Python: before it the package does without the slots of its classes."""
_PROFILES = {
    "long-time-wait": "with a TIME-WAIT of four minutes",
    "unthrottled": "without a limit of challenge ACKs, and sending at once, as learning has it",
}


def prepare(profile: str, cache: Path) -> Program:
    """The agent, run by the interpreter of an environment that has the stack: made once, the same for all profiles."""
    if sys.version_info < _OLDEST:
        raise MissingError(f"Python {'.'.join(map(str, sys.version_info[:2]))} is too old: it takes 3.10")
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise MissingError(f"this Python has no module {module}")
    made = repr((sys.version_info[:3], sys.executable, _PACKAGES)).encode()
    environment = cache / f"venv-{hashlib.sha256(made).hexdigest()[:16]}"
    if not _is_whole(environment):
        _make(environment, cache)
    # No order of things depends on where objects lie, or on secrets of the process.
    return Program((str(environment / "bin" / "python"), "-I", "-B", str(_AGENT), profile), {"PYTHONHASHSEED": "0"})


def _is_whole(environment: Path) -> bool:
    return (environment / "whole").exists() and os.access(environment / "bin" / "python", os.X_OK)


def _make(environment: Path, cache: Path) -> None:
    """Make the environment in a folder beside, then put it in its place: others may be doing the same."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name) / "venv"
        _run([sys.executable, "-m", "venv", str(folder)])
        try:
            # The interpreter, not bin/pip: scripts know the folder in which they were made.
            _run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input", *_PACKAGES])
        except RuntimeError as problem:
            raise MissingError(f"pip does not bring {_PACKAGES[0]}: {problem}") from problem
        (folder / "whole").touch()
        if environment.exists() and not _is_whole(environment):  # its interpreter has gone
            shutil.rmtree(environment, ignore_errors=True)
        try:
            folder.rename(environment)
        except OSError:
            if not _is_whole(environment):  # else another run was faster
                raise


def _run(command: list[str]) -> None:
    unset = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment |= {"LC_ALL": "C", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        words = "; ".join((done.stderr or done.stdout).strip()[-800:].splitlines())
        raise RuntimeError(f"{command[2]}: {words}")


ADAPTER = Adapter(
    name="pytcp",
    summary="PyTCP 3.0.7, a stack in Python, in virtual time",
    install="apt-get install -y python3-venv",
    prepare=prepare,
    profiles=_PROFILES,
)

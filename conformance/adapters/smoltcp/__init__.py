"""smoltcp as mitmproxy_rs has it (PyPI, MIT), with an agent in Python that an environment of its own runs; no root.

Half-open connections stay in it for a minute, a RST notwithstanding: after a flood of SYNs it leaves new ones
unanswered for as long.
"""

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
_PACKAGE = "mitmproxy_rs==0.11.1"
_TUN = Path("/dev/net/tun")


def prepare(profile: str, cache: Path) -> Program:
    """The agent, run by the interpreter of an environment that has the stack."""
    if not os.access(_TUN, os.R_OK | os.W_OK):
        raise MissingError(f"no {_TUN} that this user may open: the stack makes a device of its own")
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise MissingError(f"this Python has no module {module}")
    made = repr((sys.version_info[:3], sys.executable, _PACKAGE)).encode()
    environment = cache / f"venv-{hashlib.sha256(made).hexdigest()[:16]}"
    if not _is_whole(environment):
        _make(environment, cache)
    return Program((str(environment / "bin" / "python"), "-I", "-B", str(_AGENT)), clock="real", at_once=8)


def _is_whole(environment: Path) -> bool:
    return (environment / "whole").exists() and os.access(environment / "bin" / "python", os.X_OK)


def _make(environment: Path, cache: Path) -> None:
    """Make the environment in a folder beside, then put it in its place: others may be doing the same."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name) / "venv"
        _run([sys.executable, "-m", "venv", str(folder)])
        try:
            _run(
                [str(folder / "bin" / "python"), *"-m pip install -q --no-input --only-binary :all:".split(), _PACKAGE]
            )
        except RuntimeError as problem:
            raise MissingError(f"pip does not bring {_PACKAGE}: {problem}") from problem
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
        raise RuntimeError(f"{' '.join(command[1:3])}: {(done.stderr or done.stdout).strip()[-800:]}")


ADAPTER = Adapter(
    name="smoltcp",
    summary="smoltcp as mitmproxy_rs 0.11.1 has it: passive opens only, every port open",
    install="apt-get install -y python3-venv",
    prepare=prepare,
)

"""gVisor as a kernel: Debian's runsc (Apache-2.0), with the host's agent inside, in namespaces of its own; no root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from conformance.adapters.base import Adapter, MissingError, Program

_START = Path(__file__).with_name("start.py")
_AGENT = Path(__file__).parents[1] / "host" / "agent.py"
_PYTHON = "/usr/bin/python3"
_TUN = "/dev/net/tun"


def prepare(profile: str, cache: Path) -> Program:
    """The sandbox as it is installed, or unpacked in the cache."""
    if not os.access(_TUN, os.R_OK | os.W_OK):
        raise MissingError(f"no {_TUN} that this user may open")
    if shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        raise MissingError("no ip")
    if not Path(_PYTHON).exists():
        raise MissingError(f"no {_PYTHON} for the agent inside")
    runsc = Path(shutil.which("runsc") or _unpacked(cache))
    said = subprocess.run([runsc, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"version (\S+)", said.stdout)
    folder = cache / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return Program(
        (sys.executable, "-I", "-B", str(_START), str(runsc), str(folder), str(_AGENT), _PYTHON),
        {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "CONFORMANCE_STACK": "gVisor",
            "CONFORMANCE_VERSION": f"runsc {version[1] if version else 'unknown'}",
            "CONFORMANCE_HELLO": '{"challenge_interval": 0.55, "throttles_text": true}',
        },
        clock="real",
        at_once=16,
    )


def _unpacked(cache: Path) -> Path:
    """Debian's package, unpacked, not installed."""
    kept = cache / "root"
    if not kept.exists():
        for tool in ("apt-get", "dpkg"):
            if shutil.which(tool) is None:
                raise MissingError(f"no runsc, and no {tool} to bring it")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            folder = Path(name)
            _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "runsc"], folder)
            for package in folder.glob("*.deb"):
                _run(["dpkg", "-x", str(package), str(folder / "root")], folder)
            try:
                (folder / "root").rename(kept)
            except OSError:
                if not kept.exists():  # else another run was faster
                    raise
    return kept / "usr/bin/runsc"


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"no runsc, and {command[0]} does not bring it: {done.stderr.strip()[-400:]}")


ADAPTER = Adapter(
    name="runsc",
    summary="gVisor as a kernel, runsc of 2022-12-19, rootless",
    install="apt-get install -y runsc iproute2",
    prepare=prepare,
)

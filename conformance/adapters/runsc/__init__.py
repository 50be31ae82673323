"""gVisor as a kernel: Debian's runsc (Apache-2.0), with the host's agent inside, in namespaces of its own; no root."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from conformance.adapters.base import Adapter, Program
from conformance.adapters.debian import unpacked
from conformance.adapters.machine import PATH, PYTHON, need_python, need_tun, tool

_START = Path(__file__).with_name("start.py")
_AGENT = Path(__file__).parents[1] / "host" / "agent.py"


def prepare(profile: str, cache: Path) -> Program:
    """The sandbox as it is installed, or unpacked in the cache."""
    need_tun()
    tool("ip")
    need_python("for the agent inside")
    runsc = Path(shutil.which("runsc") or unpacked(("runsc",), cache) / "usr/bin/runsc")
    said = subprocess.run([runsc, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"version (\S+)", said.stdout)
    folder = cache / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return Program(
        (sys.executable, "-I", "-B", str(_START), str(runsc), str(folder), str(_AGENT), str(PYTHON)),
        {
            "PATH": PATH,
            "CONFORMANCE_STACK": "gVisor",
            "CONFORMANCE_VERSION": f"runsc {version[1] if version else 'unknown'}",
            "CONFORMANCE_HELLO": '{"challenge_interval": 0.55, "throttles_text": true}',
        },
        clock="real",
        at_once=16,
    )


ADAPTER = Adapter(
    name="runsc",
    summary="gVisor as a kernel, runsc of 2022-12-19, rootless",
    install="apt-get install -y runsc iproute2",
    prepare=prepare,
)

"""What an agent's preparation takes from this machine, and how it keeps what it makes. Imports the standard library."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from conformance.adapters.base import MissingError

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the system's own tools are, whatever the user's PATH says."""
PYTHON = Path("/usr/bin/python3")
"""The system's own, for an agent that runs inside another machine."""
_TUN = "/dev/net/tun"


def tool(name: str, purpose: str = "") -> Path:
    """One of the system's own tools. Raises MissingError, which says for what purpose it is wanted."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise MissingError(f"no {name} {purpose}".rstrip())
    return Path(found)


def need(*tools: str) -> None:
    """Raises MissingError unless these can be run."""
    for name in tools:
        if shutil.which(name) is None:
            raise MissingError(f"no {name}")


def need_python(purpose: str) -> None:
    """Raises MissingError, which says for what purpose it is wanted, where the system has none."""
    if not PYTHON.exists():
        raise MissingError(f"no {PYTHON} {purpose}")


def need_tun() -> None:
    """Raises MissingError where this user may not make a TUN or TAP."""
    if not os.access(_TUN, os.R_OK | os.W_OK):
        raise MissingError(f"no {_TUN} that this user may open: the stack makes a device of its own")


def sysctls_word(sysctls: Mapping[str, str]) -> str:
    """Sysctls, by their full names, as a word for a kernel: its first process (uml/init.sh) sets them."""
    return "SYSCTLS=" + ",".join(f"{name.replace('.', '/')}={value}" for name, value in sysctls.items())


def run(command: list[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a tool; what it prints. Raises RuntimeError with its last words when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
    )
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip()[-800:]}")
    return done.stdout


def keep(kept: Path, make: Callable[[Path], object]) -> Path:
    """`kept`, of a cache, made unless it is there: in a folder beside, for other runs may be doing the same.

    `make` gets the path to make it at; what else it puts beside that goes. Raises what `make` does.
    """
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as name:
            made = Path(name) / kept.name
            make(made)
            try:
                made.rename(kept)
            except OSError:
                if not kept.exists():  # else another run was faster
                    raise
    return kept

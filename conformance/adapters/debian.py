"""Packages of Debian as files in a cache, unpacked there: nothing is installed. Imports the standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from conformance.adapters.base import MissingError


def packages(name: str, wanted: tuple[str, ...], cache: Path) -> list[Path]:
    """Packages as files below `name` in the cache, downloaded unless they are there.

    Raises MissingError when the machine's package sources don't have them.
    """
    kept = cache / name
    if not kept.exists():
        for tool in ("apt-get", "dpkg"):
            if shutil.which(tool) is None:
                raise MissingError(f"no {tool}: the stack comes as a package of Debian 12")
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            folder = Path(temporary) / name
            folder.mkdir()
            try:
                run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *wanted], cwd=folder)
            except RuntimeError as problem:
                raise MissingError(f"apt does not bring {' '.join(wanted)}: {problem}") from problem
            try:
                folder.rename(kept)
            except OSError:
                if not kept.exists():  # else another run was faster
                    raise
    return sorted(kept.glob("*.deb"))


def unpack(files: list[Path], root: Path) -> None:
    """Put what packages contain below a folder. Raises RuntimeError."""
    for file in files:
        run(["dpkg", "-x", str(file), str(root)])


def run(command: list[str], environment: dict[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run a tool. Raises RuntimeError with its last words when it fails."""
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

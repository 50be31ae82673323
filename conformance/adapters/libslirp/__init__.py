"""libslirp 4.7 from Debian's libslirp0, the user-mode network of virtual machines, with an agent in Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from conformance.adapters.base import Adapter, MissingError, Program

_PACKAGES = ("libslirp0", "libglib2.0-0", "libpcre2-8-0")


def prepare(profile: str, cache: Path) -> Program:
    """The agent, with the library as it is on the machine, or unpacked in the cache where it is not installed."""
    unpacked = cache / "root"
    folders = sorted({str(file.parent) for file in unpacked.rglob("*.so.*")}) if unpacked.exists() else []
    if not _loads(folders):
        folders = _unpack(cache)
        if not _loads(folders):
            raise MissingError("libslirp.so.0 can't be loaded")
    packages = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH"))))
    return Program((sys.executable, "-m", f"{__name__}.agent"), {**_environment(folders), "PYTHONPATH": path})


def _environment(folders: list[str]) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


def _loads(folders: list[str]) -> bool:
    code = "import ctypes; ctypes.CDLL('libslirp.so.0')"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=_environment(folders), capture_output=True, check=False
    )
    return done.returncode == 0


def _unpack(cache: Path) -> list[str]:
    """Debian's packages, unpacked, not installed: where their libraries lie."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise MissingError(f"no libslirp.so.0, and no {tool} to bring it")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *_PACKAGES], folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(folder / "root")], folder)
        try:
            (folder / "root").rename(cache / "root")
        except OSError:
            if not (cache / "root").exists():  # else another run was faster
                raise
    return sorted({str(file.parent) for file in (cache / "root").rglob("*.so.*")})


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"no libslirp.so.0, and {command[0]} does not bring it: {done.stderr.strip()[-400:]}")


ADAPTER = Adapter(
    name="libslirp",
    summary="libslirp 4.7, the TCP of 4.4BSD in user mode, in virtual time",
    install="apt-get install -y libslirp0",
    prepare=prepare,
)

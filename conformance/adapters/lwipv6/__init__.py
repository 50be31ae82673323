"""lwIPv6 1.5a from Debian's liblwipv6-2 (GPL-2), with an agent in Python; no root.

The library is unpacked, where it is not installed. It has no half close: its shutdown() sends no FIN.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from conformance.adapters.base import Adapter, MissingError, Program

_LIBRARY = "liblwipv6.so.2"
_MTU = 1548
"""Its MSS is 1488, whatever its device's MTU: a link that takes such segments, lest every case fails of that alone."""
_TUN = Path("/dev/net/tun")


def prepare(profile: str, cache: Path) -> Program:
    """The agent, with the library as it is on the machine, or unpacked in the cache where it is not installed."""
    if not os.access(_TUN, os.R_OK | os.W_OK):
        raise MissingError(f"no {_TUN} that this user may open: the stack makes a device of its own")
    library = _LIBRARY
    if not _loads(library):
        found = sorted((cache / "root").rglob(f"{_LIBRARY}*")) or _unpack(cache)
        library = str(found[0]) if found else ""
        if not library or not _loads(library):
            raise MissingError(f"{_LIBRARY} can't be loaded")
    packages = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH"))))
    command = (sys.executable, "-m", f"{__name__}.agent", library)
    return Program(command, {"PYTHONPATH": path}, clock="real", at_once=8, mtu=_MTU)


def _loads(library: str) -> bool:
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    return subprocess.run([sys.executable, "-S", "-c", code, library], capture_output=True, check=False).returncode == 0


def _unpack(cache: Path) -> list[Path]:
    """Debian's package, unpacked, not installed: the library."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise MissingError(f"no {_LIBRARY}, and no {tool} to bring it")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "liblwipv6-2"], folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(folder / "root")], folder)
        try:
            (folder / "root").rename(cache / "root")
        except OSError:
            if not (cache / "root").exists():  # else another run was faster
                raise
    return sorted((cache / "root").rglob(f"{_LIBRARY}*"))


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"no {_LIBRARY}, and {command[0]} does not bring it: {done.stderr.strip()[-400:]}")


ADAPTER = Adapter(
    name="lwipv6",
    summary="lwIPv6 1.5a, Virtual Square's stack on the base of an old lwIP",
    install="apt-get install -y liblwipv6-2",
    prepare=prepare,
)

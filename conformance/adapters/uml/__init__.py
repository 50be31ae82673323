"""Linux 6.1 as a program, Debian's user-mode-linux (GPL-2.0), with the host's agent inside; no root, no device.

Its root is this machine's own, read-only. Frames and the channel are descriptors that it inherits.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from conformance.adapters.base import Adapter, MissingError, Program

_INIT = Path(__file__).parent / "init.sh"
_AGENT = Path(__file__).parents[1] / "host" / "agent.py"
_MODULES = ("lib/crc-ccitt.ko", "net/ipv6/ipv6.ko")
_MEMORY = "256M"


def prepare(profile: str, cache: Path) -> Program:
    """The kernel as it is installed, or unpacked in the cache."""
    for tool in ("ip", "python3"):
        if shutil.which(tool, path="/usr/bin:/bin:/usr/sbin:/sbin") is None:
            raise MissingError(f"no {tool} for its user space, which is this machine's")
    installed = shutil.which("linux.uml")
    kernel = Path(installed) if installed else _unpacked(cache)
    modules = (str(path) for name in _MODULES for path in kernel.parents[1].glob(f"lib/uml/modules/*/kernel/{name}"))
    return Program(
        (
            *(str(kernel), f"mem={_MEMORY}", "quiet", "panic=-1"),
            *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={_INIT}", f"AGENT={_AGENT}"),
            f"MODULES={':'.join(modules)}",
            *("vec0:transport=fd,fd=4,gro=0", "ssl0=fd:3,fd:3", "con=null", "con0=null,fd:1"),
        ),
        clock="real",
        at_once=16,
        announces=True,
    )


def _unpacked(cache: Path) -> Path:
    """Debian's package, unpacked, not installed."""
    kernel = cache / "root/usr/bin/linux.uml"
    if kernel.exists():
        return kernel
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise MissingError(f"no linux.uml, and no {tool} to bring it")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "user-mode-linux"], folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(folder / "root")], folder)
        try:
            (folder / "root").rename(cache / "root")
        except OSError:
            if not kernel.exists():  # else another run was faster
                raise
    return kernel


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"no linux.uml, and {command[0]} does not bring it: {done.stderr.strip()[-400:]}")


ADAPTER = Adapter(
    name="linux-6.1",
    summary="Linux 6.1 in user mode, rootless",
    install="apt-get install -y user-mode-linux iproute2",
    prepare=prepare,
)

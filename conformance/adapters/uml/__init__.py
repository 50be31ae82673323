"""Linux 6.1 as a program, Debian's user-mode-linux (GPL-2.0), with the host's agent inside; no root, no device.

Its root is this machine's own, read-only. Frames and the channel are descriptors that it inherits.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from conformance.adapters.base import Adapter, Program, UnfitError
from conformance.adapters.debian import unpacked
from conformance.adapters.machine import sysctls_word, tool

_INIT = Path(__file__).parent / "init.sh"
_AGENT = Path(__file__).parents[1] / "host" / "agent.py"
_MODULES = ("lib/crc-ccitt.ko", "net/ipv6/ipv6.ko")
_MEMORY = "256M"
_PROCESSOR = Path("/proc/cpuinfo")


def prepare(profile: str, cache: Path) -> Program:
    """The kernel as it is installed, or unpacked in the cache."""
    if " amx_tile" in _PROCESSOR.read_text():
        # It has to put back a program's registers whole (PTRACE_SETREGSET), and dies of being refused.
        raise UnfitError("this processor has more registers (AMX) than the user mode of Linux 6.1 keeps room for")
    for name in ("ip", "python3"):
        tool(name, "for its user space, which is this machine's")
    kernel = Path(shutil.which("linux.uml") or unpacked(("user-mode-linux",), cache) / "usr/bin/linux.uml")
    found = [str(path) for name in _MODULES for path in kernel.parents[1].glob(f"lib/uml/modules/*/kernel/{name}")]

    def program(sysctls: Mapping[str, str]) -> Program:
        return Program(
            (
                *(str(kernel), f"mem={_MEMORY}", "quiet", "panic=-1"),
                *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={_INIT}", f"AGENT={_AGENT}"),
                *(f"MODULES={':'.join(found)}", sysctls_word(sysctls)),
                *("vec0:transport=fd,fd=4,gro=0", "ssl0=fd:3,fd:3", "con=null", "con0=null,fd:1"),
            ),
            clock="real",
            at_once=16,
            announces=True,
            serial=True,
            with_sysctls=program,
        )

    return program({})


ADAPTER = Adapter(
    name="linux-6.1",
    summary="Linux 6.1 in user mode, rootless",
    install="apt-get install -y user-mode-linux iproute2",
    prepare=prepare,
)

"""lwIPv6 1.5a from Debian's liblwipv6-2 (GPL-2), with an agent in Python; no root.

The library is unpacked, where it is not installed. It has no half close: its shutdown() sends no FIN.
"""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.adapters.base import MODULES, Adapter, Program
from conformance.adapters.debian import library
from conformance.adapters.machine import need_tun

_LIBRARY = "liblwipv6.so.2"
_MTU = 1548
"""Its MSS is 1488, whatever its device's MTU: a link that takes such segments, lest every case fails of that alone."""


def prepare(profile: str, cache: Path) -> Program:
    """The agent, with the library as it is on the machine, or unpacked in the cache where it is not installed."""
    need_tun()
    found = library(_LIBRARY, ("liblwipv6-2",), cache)
    command = (sys.executable, "-m", f"{__name__}.agent", _LIBRARY)
    return Program(command, {**found, **MODULES}, clock="real", at_once=8, worlds=6, mtu=_MTU)


ADAPTER = Adapter(
    name="lwipv6",
    summary="lwIPv6 1.5a, Virtual Square's stack on the base of an old lwIP",
    install="apt-get install -y liblwipv6-2",
    prepare=prepare,
)

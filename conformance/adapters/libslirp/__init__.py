"""libslirp 4.7 from Debian's libslirp0, the user-mode network of virtual machines, with an agent in Python."""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.adapters.base import MODULES, Adapter, Program
from conformance.adapters.debian import library

_PACKAGES = ("libslirp0", "libglib2.0-0", "libpcre2-8-0")


def prepare(profile: str, cache: Path) -> Program:
    """The agent, with the library as it is on the machine, or unpacked in the cache where it is not installed."""
    found = library("libslirp.so.0", _PACKAGES, cache)
    return Program((sys.executable, "-m", f"{__name__}.agent"), {**found, **MODULES})


ADAPTER = Adapter(
    name="libslirp",
    summary="libslirp 4.7, the TCP of 4.4BSD in user mode, in virtual time",
    install="apt-get install -y libslirp0",
    prepare=prepare,
)

"""smoltcp as mitmproxy_rs has it (PyPI, MIT), with an agent in Python that an environment of its own runs; no root.

Half-open connections stay in it for a minute, a RST notwithstanding: after a flood of SYNs it leaves new ones
unanswered for as long.
"""

from __future__ import annotations

from pathlib import Path

from conformance.adapters.base import MODULES, Adapter, Program
from conformance.adapters.machine import need_tun
from conformance.adapters.pypi import interpreter


def prepare(profile: str, cache: Path) -> Program:
    """The agent, run by the interpreter of an environment that has the stack."""
    need_tun()
    python = interpreter(("mitmproxy_rs==0.11.1",), cache)
    # Of the package it takes a few modules that need the standard library only, and nothing of the folder it is run in.
    return Program((python, "-P", "-B", "-m", f"{__name__}.agent"), MODULES, clock="real", at_once=8, worlds=6)


ADAPTER = Adapter(
    name="smoltcp",
    summary="smoltcp as mitmproxy_rs 0.11.1 has it: passive opens only, every port open",
    install="apt-get install -y python3-venv",
    prepare=prepare,
)

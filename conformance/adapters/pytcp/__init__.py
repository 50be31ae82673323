"""PyTCP 3 from PyPI, with an agent in Python (GPL-3.0-or-later) that a virtual environment of its own runs."""

from __future__ import annotations

from pathlib import Path

from conformance.adapters.base import Adapter, Program
from conformance.adapters.pypi import interpreter

_AGENT = Path(__file__).with_name("agent.py")
_PACKAGES = ("pmd-pytcp==0.3.8", "pmd-net-addr==0.0.3", "pmd-net-proto==0.0.3", "typing_extensions>=4.6")
_PROFILES = {
    "long-time-wait": "with a TIME-WAIT of four minutes",
    "unthrottled": "without a limit of challenge ACKs, and sending at once, as learning has it",
}


def prepare(profile: str, cache: Path) -> Program:
    """The agent, run by the interpreter of an environment that has the stack, the same for all profiles."""
    # Not -I: modules come from the agent's folder, and no order of things is to depend on secrets of the process.
    own = {"PYTHONPATH": "", "PYTHONHOME": "", "PYTHONHASHSEED": "0"}
    return Program((interpreter(_PACKAGES, cache), "-s", "-B", str(_AGENT), profile), own)


ADAPTER = Adapter(
    name="pytcp",
    summary="PyTCP 3.0.7, a stack in Python, in virtual time",
    install="apt-get install -y python3-venv",
    prepare=prepare,
    profiles=_PROFILES,
)

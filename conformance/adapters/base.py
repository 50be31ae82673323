"""What the tester must know of a stack before it can start the stack's agent.

A folder below `conformance/adapters/` is one stack: its `__init__.py` has `ADAPTER`, beside it stands the agent's
source, a program of its own under a licence that fits the stack. Imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MODULES = {"PYTHONPATH": str(Path(__file__).parents[2])}
"""For the environment of an interpreter: it finds the package's own modules."""


class MissingError(Exception):
    """Something that the stack needs is not on this machine; the message says what is missing."""


class UnfitError(MissingError):
    """Nothing that could be installed makes the stack run on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """How to start an agent."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    clock: Literal["virtual", "real"] = "virtual"
    """As in the agent's hello: in real time its frames are datagrams of descriptor 4."""
    at_once: int = 100
    """Cases side by side that it bears, in real time."""
    worlds: int = 1
    """Stacks of its kind that are worth running side by side, in real time: what bears few cases, or dies of one and
    takes the others with it, mostly waits."""
    mtu: int = 1500
    """Of the link, in real time (octets)."""
    announces: bool = False
    """It says `{"ready": true}` once its end of the channel is fit to be written to: a serial line is not at first."""
    serial: bool = False
    """The channel is a serial line to it, which holds little: long lines go in pieces."""
    with_sysctls: Callable[[Mapping[str, str]], Program] | None = None
    """Of a Linux that can be started with other sysctls, by their full names: how it is started so."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One stack that can be a target."""

    name: str
    summary: str
    """The stack and its version in a few words."""
    install: str
    """The one command that installs what `prepare` needs, as a user would type it."""
    prepare: Callable[[str, Path], Program]
    """Build the agent for a profile in a cache folder, of the stack's own, which keeps what was built before.

    Raises MissingError when the machine lacks what `install` would bring, UnfitError when nothing would help;
    RuntimeError, with the tool's own words, when a build fails.
    """
    profiles: Mapping[str, str] = field(default_factory=dict)
    """Further ways to configure the stack: name and what differs, in a few words."""
    joined: bool = False
    """Several profiles go together, joined by `+`: `prepare` is given them so."""

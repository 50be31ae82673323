"""What a user asks of a target: its name, and how a host is reached. One table for every front.

Imports the targets' contracts and the standard library.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from conformance.targets.base import IpVersion, TargetError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RATE = 2000
"""Frames a second to a host, unless somebody says otherwise."""
MOST_RATE = 100_000


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of a target, as texts; what is not for a host is empty there."""

    target: str = "linux"
    sysctls: Mapping[str, str] = field(default_factory=dict)
    agent: str | None = None
    token_file: str | None = None
    service: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    interface: str | None = None
    gateway: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    rate: int = RATE


@dataclass(frozen=True, slots=True)
class Plan:
    """How a host is reached."""

    addresses: Mapping[IpVersion, bytes]
    interface: str
    sources: tuple[Network, ...]
    gateways: Mapping[IpVersion, bytes]
    """The next hop; empty where the host is on the link."""
    agent: str | None
    """`ADDRESS:PORT` of its agent."""
    token: str
    services: Mapping[str, int]
    """Name and port of each service that the host runs."""
    rate: int
    """Frames a second."""


class Option(NamedTuple):
    """An option of a host, for a front to offer."""

    name: str
    metavar: str
    help: str
    repeated: bool = False


OPTIONS = (
    Option("agent", "ADDRESS[:PORT]", "the agent on the host; its token: --token-file, or CONFORMANCE_TOKEN"),
    Option("token-file", "FILE", "a file of yours with the agent's token"),
    Option("service", "NAME:PORT", "without an agent, a service: echo, discard, http, closes", repeated=True),
    Option("source", "PREFIX", "the tester's addresses: on the way to the host, and nobody's", repeated=True),
    Option("interface", "NAME", "the interface that leads to the host"),
    Option("gateway", "ADDRESS", "the next hop, when the host is not on the interface's link", repeated=True),
    Option("allow", "ADDRESS", "yes, that host may be sent such traffic", repeated=True),
    Option("rate", "FRAMES", f"frames a second at most that go to a host (default: {RATE})"),
)
"""What stands beside `--target` on every command line."""
SERVICES = ("echo", "discard", "http", "closes")


def is_address(target: str) -> bool:
    """True for a target that is a host: one address, or one of each IP version with a comma between."""
    try:
        return bool([ipaddress.ip_address(part) for part in target.split(",")])
    except ValueError:
        return False


def plan(asked: Asked) -> Plan:
    """How the host that was asked for is reached. Raises TargetError: what is missing or wrong, and what to say."""
    from conformance.targets.control import read_token

    addresses = _addresses(asked.target.split(","))
    allowed = {address for text in asked.allow for address in _addresses([text]).values()}
    for address in addresses.values():
        if address not in allowed:
            text = str(ipaddress.ip_address(address))
            raise TargetError(
                f"{text} gets malformed and hostile segments: say --allow {text} if that is yours to test"
            )
    if asked.interface is None:
        raise TargetError(f"--interface NAME: which of {', '.join(name for _, name in socket.if_nameindex())}?")
    if not asked.source:
        raise TargetError("--source PREFIX: the tester needs addresses on the way to the host that nobody has")
    services = dict(_service(text) for text in asked.service)
    if not services and asked.agent is None:
        raise TargetError("say --agent ADDRESS:PORT, or which --service NAME:PORT the host runs")
    if not 1 <= asked.rate <= MOST_RATE:
        raise TargetError(f"--rate {asked.rate}: 1 to {MOST_RATE} frames a second")
    file = Path(asked.token_file) if asked.token_file else None
    return Plan(
        addresses=addresses,
        interface=asked.interface,
        sources=tuple(_network(text) for text in asked.source),
        gateways=_addresses(asked.gateway),
        agent=asked.agent,
        token=read_token(file) if asked.agent is not None else "",
        services=services,
        rate=asked.rate,
    )


def _addresses(texts: tuple[str, ...] | list[str]) -> dict[IpVersion, bytes]:
    found: dict[IpVersion, bytes] = {}
    for text in texts:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise TargetError(f"{text!r} is no IP address") from None
        if address.is_multicast or address.is_unspecified:
            raise TargetError(f"{text} is not the address of a host")
        found[address.version] = address.packed
    return found


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as problem:
        raise TargetError(f"--source {text}: {problem}") from None


def _service(text: str) -> tuple[str, int]:
    name, _, port = text.partition(":")
    if name not in SERVICES or not port.isdigit() or not 0 < int(port) < 65536:
        raise TargetError(f"--service {text!r}: say NAME:PORT, the name one of {', '.join(SERVICES)}")
    return name, int(port)

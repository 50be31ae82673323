"""A host on the network as target: its agent over TCP, or a service that it runs; frames over one of our interfaces.

The tester speaks from addresses of `--source`, which no host has, and answers for them itself. Nothing is sent to a
host that `--allow` does not name; one run at a time has a host; at most `rate` frames a second leave.
Imports the wire, the channel, the targets' contracts and the standard library.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Mapping
from typing import Any

from conformance.targets.agent import AgentOracle, Calls, ChannelSocket
from conformance.targets.asked import Plan
from conformance.targets.base import (
    AdapterError,
    Capabilities,
    Endpoints,
    IpVersion,
    Link,
    Oracle,
    StackDied,
    TargetError,
    Timekeeper,
)
from conformance.targets.channel import Channel
from conformance.targets.control import connect
from conformance.targets.declared import capabilities
from conformance.targets.guards import GUARDS
from conformance.targets.phantoms import Phantoms
from conformance.wire.attach import link, open_on
from conformance.wire.barrier import ResetBarrier, calibrate
from conformance.wire.base import Barrier, Calibration, Frame, Wire
from conformance.wire.neighbours import Resolver, answer
from conformance.wire.packet import PacketWire
from conformance.wire.ring import RingError

CLOSED_PORT = 1
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Target ports for the agent's sockets: above what services have, below where systems take ephemeral ports from."""
UNKNOWN_INTERVAL = 1.05
"""Seconds between two segments that draw challenge ACKs, where nobody says how a stack limits them."""
_FEW = 16
"""Addresses that the barrier and calibration need, and some for cases."""


class HostWire(PacketWire):
    """The wire to a host: a packet socket at a limited rate, and the agent's channel watched beside it."""

    def __init__(self, descriptor: int, *, rate: int, **more: Any) -> None:
        super().__init__(descriptor, **more)
        self.channel: Channel | None = None
        self.died: StackDied | AdapterError | None = None
        self._slice = max(1, rate // 100)
        self._left, self._until = self._slice, 0

    def send(self, frame: bytes) -> int:
        """Send one frame, when the rate allows it."""
        if not self._left:
            now = time.monotonic_ns()
            if now < self._until:
                time.sleep((self._until - now) / 1e9)  # this slice of the rate is used up
            self._left, self._until = self._slice, time.monotonic_ns() + 10_000_000
        self._left -= 1
        return super().send(frame)

    def fileno(self) -> int:
        """The packet socket's descriptor."""
        return self._socket.fileno()

    def watch(self) -> None:
        """Register with the running loop."""
        super().watch()
        if self.channel is not None:
            asyncio.get_running_loop().add_reader(self.channel.fileno(), self.listen)

    def unwatch(self) -> None:
        """Undo `watch`."""
        if self._loop is not None and self.channel is not None and self.channel.alive and not self._loop.is_closed():
            self._loop.remove_reader(self.channel.fileno())
        super().unwatch()

    def listen(self) -> None:
        """Take in the agent's late answers."""
        if self.channel is None or self.died is not None:
            return
        try:
            self.channel.listen()
        except (StackDied, AdapterError) as problem:
            self.died = problem


class Host:
    """The target (`conformance.targets.base.Target`). Not safe for several threads.

    Raises TargetError when there is no way to the host, or it, or its agent, is not as expected.
    """

    clean_path = False
    life = None
    time: Timekeeper | None = None

    def __init__(self, name: str, plan: Plan) -> None:
        self.name = name
        self._plan = plan
        self._lock = _lock(plan)
        self._closed = False
        self._resolver = Resolver()
        self._wire = self._open()
        self.wire: Wire = self._wire
        try:
            self._phantoms = Phantoms(
                plan.sources, frozenset(plan.addresses.values()) | frozenset(plan.gateways.values())
            )
            versions = [version for version in plan.addresses if self._phantoms.count(version) >= _FEW]
            if not versions:
                raise TargetError(f"--source has too few addresses of the host's IP versions: {_FEW} at least")
            reserved = {version: [self._phantoms.take(version) for _ in range(5)] for version in versions}
            self._resolve({version: addresses[0] for version, addresses in reserved.items()})
            GUARDS.wire(name, self._wire.fileno(), self._wire.tester_mac, self._wire.target_mac, plan.rate)
            first = versions[0]
            barrier = ResetBarrier(
                self._wire, sources=reserved[first][:4], target=plan.addresses[first], closed_port=CLOSED_PORT
            )
            self.barrier: Barrier = barrier
            self.calibration = _calibrated(self._wire, barrier, plan, reserved)
            self._begin(versions)
        except BaseException:
            self.close()
            raise

    # -- the beginning --------------------------------------------------------------------------------------

    def _open(self) -> HostWire:
        plan = self._plan
        try:
            mac, mtu = link(plan.interface)
            descriptor = open_on(plan.interface, plan.sources)
        except PermissionError as problem:
            raise TargetError("a host is reached by a packet socket: that needs root, or CAP_NET_RAW") from problem
        except OSError as problem:
            raise TargetError(f"interface {plan.interface!r}: {problem.strerror}") from problem
        try:
            return HostWire(
                descriptor, rate=plan.rate, tester_mac=mac, target_mac=b"\xff" * 6, mtu=mtu, other=self._neighbour
            )
        except RingError as problem:
            raise TargetError(str(problem)) from problem

    def _neighbour(self, frame: Frame) -> bool:
        self._resolver.hear(frame.data)
        reply = answer(frame.data, self._wire.tester_mac, self._owns)
        if reply is not None:
            self._wire.send(reply)
        return reply is not None

    def _owns(self, address: bytes) -> bool:
        return any(ipaddress.ip_address(address) in network for network in self._plan.sources)

    def _resolve(self, testers: Mapping[IpVersion, bytes]) -> None:
        """Find the next hop's MAC address. Raises TargetError when nobody answers."""
        for version, tester in testers.items():
            hop = self._plan.gateways.get(version) or self._plan.addresses[version]
            found = self._resolver.ask(self._wire, tester, hop)
            if found is None:
                raise TargetError(f"nobody on {self._plan.interface} answers for {_text(hop)}: is the host there?")
            self._wire.target_mac = found

    def _begin(self, versions: list[IpVersion]) -> None:
        plan = self._plan
        self._said: dict[str, Any] = {}
        self._calls: Calls | None = None
        self.oracle: Oracle | None = None
        if plan.agent is None:
            self.capabilities = Capabilities(
                ip=frozenset(versions), links=frozenset({"quick-ack", "delayed-ack"}), quick_ack=False,
                services=dict(plan.services), options=frozenset({"mss", "wscale", "sackOK", "ts"}),
            )  # fmt: skip
            return
        try:
            channel = Channel(connect(plan.agent, plan.token), lambda frame, at: None)
            self._wire.channel = channel
            self._said = channel.hello(
                {
                    "addresses": [f"{_text(plan.addresses[v])}/{8 * len(plan.addresses[v])}" for v in versions],
                    "testers": [str(network) for network in plan.sources],
                }
            )
        except (AdapterError, StackDied) as problem:
            raise TargetError(f"the agent at {plan.agent}: {problem}") from problem
        self._calls = Calls(channel, self._wire, asked=_nothing, settle=self._wire.listen)
        self.capabilities = capabilities(self._said, ip=frozenset(versions))
        if self._said.get("state"):
            self.oracle = AgentOracle(lambda: self._agent)
        self._next = 0

    @property
    def _agent(self) -> Calls:
        if self._wire.died is not None:
            raise self._wire.died
        if self._calls is None:
            raise AdapterError("there is no agent on this host")
        return self._calls

    # -- what every target has ------------------------------------------------------------------------------

    def describe(self) -> dict[str, object]:
        """For the report's header; the token is not part of it."""
        plan = self._plan
        kernel = f"{self._said['stack']} {self._said.get('version')}" if "stack" in self._said else "not known"
        return {
            "name": self.name,
            "kernel": kernel,
            "addresses": [_text(address) for address in plan.addresses.values()],
            "tester_prefixes": [str(network) for network in plan.sources],
            "interface": plan.interface,
            "services": dict(plan.services),
            "rate": plan.rate,
            "sysctls": self._said.get("sysctls", {}),
            "agent": {key: value for key, value in self._said.items() if key not in ("protocol", "sysctls")},
        }

    worlds = 1
    """There is one such host."""

    @property
    def at_once(self) -> int:
        """As many as there are addresses for."""
        return max(1, min(self._phantoms.count(version) for version in self.capabilities.ip))

    def open_pair(self, version: IpVersion, link: Link) -> Endpoints:
        """A pair with a tester address that no other live case uses. Raises TargetError when there is none."""
        return self._guarded(
            self._phantoms.pair(version, self._phantoms.take(version), self._plan.addresses[version], self._port())
        )

    def sibling_pair(self, pair: Endpoints, *, same_target_port: bool) -> Endpoints:
        """A further pair from the same tester address: another tester port, and perhaps another target port."""
        port = pair.target_port if same_target_port else self._port()
        return self._guarded(self._phantoms.pair(pair.version, pair.tester, pair.target, port))

    def _guarded(self, pair: Endpoints) -> Endpoints:
        """Have it reset should we be killed; an agent sees to that by itself."""
        for port in self._guarded_ports(pair):
            GUARDS.pair(self.name, pair.tester, pair.target, pair.tester_port, port)
        return pair

    def _guarded_ports(self, pair: Endpoints) -> set[int]:
        return {pair.target_port, *self._plan.services.values()} if self._calls is None else set()

    def _port(self) -> int:
        if self._calls is None:
            return CLOSED_PORT
        self._next += 1
        return FIRST_PORT + self._next % (LAST_PORT - FIRST_PORT)

    def release(self, pair: Endpoints) -> None:
        """Give the pair back. Safe to call twice."""
        self._phantoms.release(pair)
        for port in self._guarded_ports(pair):
            GUARDS.over(self.name, pair.tester, pair.target, pair.tester_port, port)

    def socket(self, pair: Endpoints) -> ChannelSocket:
        """A fresh socket of the application for this pair. Raises AdapterError."""
        return self._agent.socket(pair)

    def health(self) -> dict[str, int]:
        """Frames that were lost on our side."""
        return {"dropped": self.wire.counters()["dropped"]}

    def close(self) -> None:
        """Leave the host. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        GUARDS.left(self.name)
        self._wire.unwatch()
        if self._wire.channel is not None:
            self._wire.channel.close()
        self._wire.close()
        self._lock.close()


def _nothing() -> None:
    """An agent's answer is all there is to it."""


def _lock(plan: Plan) -> socket.socket:
    """Held as long as it is open: one run at a time has a host, whoever starts it from here. Raises TargetError."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = "-".join(sorted(_text(address) for address in plan.addresses.values()))
    try:
        lock.bind(f"\0tcp-conformance/{name}")
    except OSError as problem:
        lock.close()
        raise TargetError(f"another run tests {name} from here; wait for its end") from problem
    return lock


def _calibrated(
    wire: HostWire, barrier: ResetBarrier, plan: Plan, reserved: Mapping[IpVersion, list[bytes]]
) -> Calibration:
    """The path, measured. Raises TargetError when the host does not answer at all."""
    paths = [(addresses[4], plan.addresses[version]) for version, addresses in reserved.items()]
    found = calibrate(wire, barrier, paths, closed_port=CLOSED_PORT, trials=50, patience=0.5)
    if found.reply_median == float("inf"):
        raise TargetError(
            f"no answer to a SYN to port {CLOSED_PORT} of {_text(paths[0][1])}: a firewall, or not the way to --source"
        )
    return found


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))

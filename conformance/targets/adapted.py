"""A stack in virtual time as target, through its agent (docs/adapters.md).

One case has the stack for itself and begins with it fresh: the agent is reset, or started anew where it can't be, or
has died. So a case does the same alone as in a whole run. Imports the channel, the wire and the standard library.
"""

from __future__ import annotations

import os
import socket

from conformance.adapters.base import Program
from conformance.targets.agent import AgentOracle, Calls, ChannelSocket
from conformance.targets.base import (
    EPOCH,
    AdapterError,
    Endpoints,
    IpVersion,
    Link,
    Oracle,
    StackDied,
    TargetError,
    Timekeeper,
)
from conformance.targets.channel import Channel
from conformance.targets.declared import capabilities
from conformance.wire.base import Barrier, Calibration, Frame, Wire
from conformance.wire.handed import HandedWire

TARGET = {4: "192.0.2.1", 6: "2001:db8:ffff::1"}
ROUTER = {4: "192.0.2.254", 6: "2001:db8:ffff::fe"}
PREFIX_LENGTH = {4: 24, 6: 64}
TESTERS = {4: "198.18.1.1", 6: "2001:db8::1:1"}
TARGET_MAC, ROUTER_MAC = "02:00:5e:00:00:01", "02:00:5e:00:00:fe"
MTU = 1500
FIRST_PORT = 1024
LATENCY = 50_000
"""ns that go by between what the stack sends and what the tester answers: on no path is that nothing."""
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def packed(version: int, text: str) -> bytes:
    """An address as octets."""
    return socket.inet_pton(_FAMILY[version], text)


class Keeper:
    """The stack's time (`conformance.targets.base.Timekeeper`), going on over resets; and the link of its wire."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.wire: HandedWire | None = None
        self.died: StackDied | AdapterError | None = None
        """Why the stack is gone; told by the next thing asked of it."""
        self.next: int | None = None
        """When the stack's next timer is due, in its own time."""
        self._base = self._reached = 0
        self._until = 0
        """How far the stack's time may be while it is heard."""
        self._latest = 0

    def begin(self, channel: Channel) -> None:
        """A fresh stack: its time is 0, ours goes on."""
        self.channel, self.died, self.next = channel, None, None
        self._base, self._reached = self.now(), 0
        self._until = self._latest = 0

    def now(self) -> int:
        """ns since the target was opened."""
        return self._base + self._reached

    def advance(self, to: int) -> None:
        """Let time pass up to `to` (ns), or to the first moment at which the stack does something."""
        if self.wire is not None and self.wire.unsettled:
            try:
                moved = self.wire.drain()
            except (StackDied, AdapterError):
                moved = 0
            if moved:
                return  # there is something to do first
        if self.channel is None or self.died is not None:
            self._reached = max(self._reached, to - self._base)  # no stack's time passes as the tester pleases
            return
        before = self.channel.received
        try:
            self._move(self.channel, to - self._base)
        except (StackDied, AdapterError) as problem:
            self.died = problem
            return
        if self.wire is not None and self.channel.received != before:
            self.wire.drain()  # it may have asked for a neighbour

    def settle(self) -> None:
        """Let the stack do all that it does at once, and the way back take its time. Raises StackDied, AdapterError."""
        if self.died is not None:
            raise self.died
        if self.channel is None:
            return
        try:
            self._move(self.channel, self._reached + LATENCY)
        except (StackDied, AdapterError) as problem:
            self.died = problem
            raise

    def _move(self, channel: Channel, to: int) -> None:
        self._until = max(to, self._reached)
        reached, self.next = channel.advance(to, self._reached)
        if self._latest > reached:
            raise AdapterError(f"the agent breaks the protocol: a frame of {self._latest} ns came at {reached} ns")
        self._reached = self._until = reached

    def hand(self, frame: bytes) -> None:
        """Give the stack a frame."""
        if self.channel is not None and self.died is None:
            self.channel.frame(frame)

    def heard(self, octets: bytes, at: int) -> None:
        """A frame of the stack, sent at `at` (ns) of its time. Raises AdapterError for a time that can't be."""
        assert self.wire is not None
        if not self._reached <= at <= self._until or at < self._latest:
            raise AdapterError(f"the agent breaks the protocol: a frame of {at} ns came at {self._reached} ns")
        self._latest = at
        self.wire.arrived(Frame(EPOCH + self._base + at, octets))


class _Settled:
    """The barrier (`conformance.wire.base.Barrier`) of an ordered channel: the stack says that it has done all."""

    def __init__(self, wire: HandedWire) -> None:
        self._wire = wire

    def prove_now(self) -> bool:
        """Settle the stack; always proven. Raises StackDied."""
        self._wire.unsettled = True
        self._wire.drain()
        return True

    async def prove(self, timeout: float) -> bool:
        """As `prove_now`."""
        return self.prove_now()


class AdaptedStack:
    """The target (`conformance.targets.base.Target`). Not safe for several threads."""

    clean_path = True
    life = None

    def __init__(self, name: str, program: Program) -> None:
        self.name = name
        self._program = program
        self._keeper = Keeper()
        self.time: Timekeeper | None = self._keeper
        self._keeper.wire = self._wire = HandedWire(
            _Epoch(self._keeper), tester_mac=mac(ROUTER_MAC), target_mac=mac(TARGET_MAC), mtu=MTU
        )
        self.wire: Wire = self._wire
        self.barrier: Barrier = _Settled(self._wire)
        self.calibration = Calibration(barrier_sound=True, barrier_width=1, trials=0, reply_median=0.0, reply_p99=0.0)
        self._channel: Channel | None = None
        self._fresh = False
        self._calls: Calls | None = None
        try:
            self._start()
        except (StackDied, AdapterError) as problem:
            raise TargetError(f"target {name}: {problem}") from problem
        self.capabilities = capabilities(self._said)
        self.oracle: Oracle | None = AgentOracle(lambda: self._agent) if self._said.get("state") else None

    @property
    def _agent(self) -> Calls:
        assert self._calls is not None
        if self._keeper.died is not None:
            raise self._keeper.died
        return self._calls

    def _start(self) -> None:
        """A new agent."""
        if self._channel is not None:
            self._channel.close()
        self._channel = channel = Channel.start(self._program, self._keeper.heard)
        self._keeper.begin(channel)
        self._calls = Calls(channel, self._keeper, asked=self._wire.stir, settle=self._wire.drain)
        self._said = channel.hello(
            {
                "mac": TARGET_MAC,
                "mtu": MTU,
                "addresses": [f"{TARGET[version]}/{PREFIX_LENGTH[version]}" for version in (4, 6)],
                "gateways": [ROUTER[4], ROUTER[6]],
                "router_mac": ROUTER_MAC,
                "seed": 1,
            }
        )
        self._fresh = True

    def describe(self) -> dict[str, object]:
        """For the report's header."""
        return {
            "name": self.name,
            "kernel": f"{self._said.get('stack')} {self._said.get('version')}",
            "addresses": [TARGET[4], TARGET[6]],
            "agent": {key: value for key, value in self._said.items() if key != "protocol"},
        }

    def open_pair(self, version: IpVersion, link: Link) -> Endpoints:
        """The pair of a case, which begins here: with the stack as it was at its start.

        Raises StackDied, AdapterError when no fresh stack can be had.
        """
        if not self._fresh:
            assert self._channel is not None
            if self._keeper.died is None and self._said.get("reset"):
                try:
                    self._channel.reset()
                    self._keeper.begin(self._channel)
                except (StackDied, AdapterError):
                    self._start()
            else:
                self._start()
            assert self._calls is not None
            self._calls.forget()
        self._fresh = False
        self._next = 0
        return self._pair(version, FIRST_PORT)

    def sibling_pair(self, pair: Endpoints, *, same_target_port: bool) -> Endpoints:
        """A further pair from the same tester address: another tester port, and perhaps another target port."""
        return self._pair(pair.version, pair.target_port if same_target_port else FIRST_PORT + self._next + 1)

    def _pair(self, version: IpVersion, target_port: int) -> Endpoints:
        self._next += 1
        return Endpoints(
            version,
            packed(version, TESTERS[version]),
            packed(version, TARGET[version]),
            20_000 + self._next,
            target_port,
        )

    def release(self, pair: Endpoints) -> None:
        """Nothing rests here: the next case has a fresh stack."""

    def socket(self, pair: Endpoints) -> ChannelSocket:
        """A fresh socket of the application for this pair. Raises StackDied, AdapterError."""
        return self._agent.socket(pair)

    @property
    def at_once(self) -> int:
        """One: nothing is waited for in virtual time, and each begins with a fresh stack."""
        return 1

    @property
    def worlds(self) -> int:
        """As many as there are processors: what its cases cost is work."""
        return len(os.sched_getaffinity(0))

    def health(self) -> dict[str, int]:
        """Nothing is lost on a channel."""
        return {"dropped": 0}

    def close(self) -> None:
        """End the agent. Safe to call twice."""
        if self._channel is not None:
            self._channel.close()


class _Epoch:
    """The keeper as the wire's link, with the time stamps of the traces."""

    def __init__(self, keeper: Keeper) -> None:
        self.hand, self.settle, self._now = keeper.hand, keeper.settle, keeper.now

    def now(self) -> int:
        """ns, as frames are stamped."""
        return EPOCH + self._now()


def mac(text: str) -> bytes:
    """A link's address as octets."""
    return bytes.fromhex(text.replace(":", ""))

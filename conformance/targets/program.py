"""A stack in real time as target: a program on this machine, its agent by a channel, its frames by a socket.

It needs no root and no device: Ethernet frames are datagrams of file descriptor 4 (docs/adapters.md, `frames: fd`).
Imports the wire, the channel, the targets' contracts and the standard library.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conformance.adapters.base import Program
from conformance.targets.adapted import PREFIX_LENGTH, ROUTER, ROUTER_MAC, TARGET, TARGET_MAC, mac, packed
from conformance.targets.agent import AgentOracle, Calls, ChannelSocket
from conformance.targets.base import (
    AdapterError,
    Endpoints,
    IpVersion,
    Life,
    Link,
    Oracle,
    StackDied,
    TargetError,
    Timekeeper,
)
from conformance.targets.channel import Channel
from conformance.targets.declared import capabilities
from conformance.targets.phantoms import Phantoms
from conformance.targets.settings import from_sysctls
from conformance.wire.barrier import ResetBarrier, calibrate
from conformance.wire.base import Barrier, Frame, Wire
from conformance.wire.datagram import DatagramWire
from conformance.wire.neighbours import answer

TESTERS: Mapping[Link, tuple[str, str]] = {
    "quick-ack": ("198.18.0.0/16", "2001:db8::/112"),
    "delayed-ack": ("198.19.0.0/20", "2001:db8:0:1::/116"),
}
"""The phantom hosts' prefixes. A stack that is made to acknowledge at once does so towards the first ones only."""
_NOBODYS = ("255.255.255.255/32", "224.0.0.1/32", "ff02::1/128")
"""Where an agent may try to connect, too: the network is the tester's own, and the stack should refuse."""
CLOSED_PORT = 1
FIRST_PORT, LAST_PORT = 20_000, 32_000
START = 180.0
"""Seconds within which a stack, which may be a whole machine, has to say hello."""
_VERSIONS: tuple[IpVersion, IpVersion] = (4, 6)


class ProgramStack:
    """The target (`conformance.targets.base.Target`). Not safe for several threads.

    Raises TargetError when the stack does not come up.
    """

    clean_path = False
    """Whose case it was that a stack died of is not known at once: a finding is looked for again."""
    time: Timekeeper | None = None

    def __init__(self, name: str, program: Program) -> None:
        self.name = name
        self._program = program
        self._next = 0
        self._phantoms = {
            link: Phantoms([ipaddress.ip_network(text) for text in prefixes]) for link, prefixes in TESTERS.items()
        }
        frames = self._start()
        self._wire = _Watched(
            frames, self, tester_mac=mac(ROUTER_MAC), target_mac=mac(TARGET_MAC), mtu=program.mtu, other=self._neighbour
        )
        self.wire: Wire = self._wire
        self._channel.look_at((frames.fileno(), self._wire.drain))
        try:
            self.capabilities = able = capabilities(self._said)
            if program.with_sysctls is not None:
                self.capabilities = replace(able, settings={**able.settings, **from_sysctls(self._said["sysctls"])})
            versions = sorted(self.capabilities.ip)
            quick = self._phantoms["quick-ack"]
            reserved = {version: [quick.take(version) for _ in range(5)] for version in versions}
            first = versions[0]
            barrier = ResetBarrier(
                self._wire, sources=reserved[first][:4], target=_target(first), closed_port=CLOSED_PORT
            )
            self.barrier: Barrier = barrier
            paths = [(addresses[4], _target(version)) for version, addresses in reserved.items()]
            measured = calibrate(self._wire, barrier, paths, closed_port=CLOSED_PORT, trials=100, patience=0.5)
            sound = measured.barrier_sound and not self._said.get("resets_overtake")
            self.calibration = replace(measured, barrier_sound=sound, lossy=False)  # a queue within the machine
            if self.calibration.reply_median == float("inf"):
                raise TargetError(f"target {name}: no answer to a SYN to port {CLOSED_PORT} of {TARGET[first]}")
        except BaseException:
            self.close()
            raise
        self.oracle: Oracle | None = AgentOracle(lambda: self._agent) if self._said.get("state") else None

    def _start(self) -> socket.socket:
        """A new stack; the tester's end of its frames."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            channel = Channel.start(self._program, lambda octets, at: None, frames=theirs)
        except AdapterError as problem:
            ours.close()
            raise TargetError(f"target {self.name}: {problem}") from problem
        finally:
            theirs.close()
        self._channel = channel
        try:
            self._said: dict[str, Any] = channel.hello(
                {
                    "mac": TARGET_MAC,
                    "mtu": self._program.mtu,
                    "addresses": [f"{TARGET[version]}/{PREFIX_LENGTH[version]}" for version in _VERSIONS],
                    "gateways": [ROUTER[4], ROUTER[6]],
                    "router_mac": ROUTER_MAC,
                    "testers": [*(prefix for prefixes in TESTERS.values() for prefix in prefixes), *_NOBODYS],
                    "seed": 1,
                },
                patience=START,
            )
        except (StackDied, AdapterError) as problem:
            ours.close()
            raise TargetError(f"target {self.name}: {problem}") from problem
        self._life = _Life()
        self._calls = Calls(channel, self._life, asked=_nothing, settle=self.listen)
        return ours

    def _restart(self) -> None:
        """After the stack died. Raises TargetError."""
        self._channel.close()
        frames = self._start()
        self._wire.replace(frames)
        self._channel.look_at((frames.fileno(), self._wire.drain))

    @property
    def died(self) -> StackDied | AdapterError | None:
        """Why the stack that runs now has died."""
        return self._life.died

    @property
    def life(self) -> Life:
        """Of the stack that runs now; what is kept of it tells of its death also when the next one runs."""
        return self._life

    @property
    def _agent(self) -> Calls:
        if self.died is not None:
            raise self.died
        return self._calls

    @property
    def channel(self) -> Channel:
        """The agent's."""
        return self._channel

    def listen(self) -> None:
        """Take in the agent's late answers."""
        if self.died is not None:
            return
        try:
            self._channel.listen()
        except (StackDied, AdapterError) as problem:
            self._life.died = problem

    def _neighbour(self, frame: Frame) -> bool:
        reply = answer(frame.data, self._wire.tester_mac)
        if reply is not None:
            self._wire.send(reply)
        return reply is not None

    # -- what every target has ------------------------------------------------------------------------------

    def describe(self) -> dict[str, object]:
        """For the report's header."""
        return {
            "name": self.name,
            "kernel": f"{self._said.get('stack')} {self._said.get('version')}",
            "addresses": [TARGET[4], TARGET[6]],
            "tester_prefixes": {link: list(prefixes) for link, prefixes in TESTERS.items()},
            "sysctls": self._said.get("sysctls", {}),
            "agent": {key: value for key, value in self._said.items() if key not in ("protocol", "sysctls")},
        }

    @property
    def at_once(self) -> int:
        """As many as the stack bears."""
        return self._program.at_once

    @property
    def worlds(self) -> int:
        """As many as the adapter says."""
        return self._program.worlds

    def open_pair(self, version: IpVersion, link: Link) -> Endpoints:
        """A pair with a tester address that no other live case uses. Raises TargetError."""
        if self.died is not None:
            self._restart()
        phantoms = self._phantoms[link]
        return phantoms.pair(version, phantoms.take(version), _target(version), self._port())

    def sibling_pair(self, pair: Endpoints, *, same_target_port: bool) -> Endpoints:
        """A further pair from the same tester address: another tester port, and perhaps another target port."""
        port = pair.target_port if same_target_port else self._port()
        phantoms = next(phantoms for phantoms in self._phantoms.values() if phantoms.lent(pair))
        return phantoms.pair(pair.version, pair.tester, pair.target, port)

    def _port(self) -> int:
        self._next += 1
        return FIRST_PORT + self._next % (LAST_PORT - FIRST_PORT)

    def release(self, pair: Endpoints) -> None:
        """Give the pair back. Safe to call twice."""
        for phantoms in self._phantoms.values():
            phantoms.release(pair)

    def socket(self, pair: Endpoints) -> ChannelSocket:
        """A fresh socket of the application for this pair. Raises StackDied, AdapterError."""
        return self._agent.socket(pair)

    def health(self) -> dict[str, int]:
        """Frames that were lost on our side."""
        return {"dropped": self.wire.counters()["dropped"]}

    def close(self) -> None:
        """End the stack. Safe to call twice."""
        self._wire.unwatch()
        self._channel.close()
        self._wire.close()


class _Life:
    """Of one start of the stack: its sockets know why they are gone, also when the next one runs."""

    def __init__(self) -> None:
        self.died: StackDied | AdapterError | None = None


class _Watched(DatagramWire):
    """The wire, with the agent's channel watched beside it."""

    def __init__(self, connected: socket.socket, stack: ProgramStack, **more: Any) -> None:
        self._stack = stack
        self._descriptor: int | None = None
        super().__init__(connected, **more)

    def replace(self, connected: socket.socket) -> None:
        """Go on with the stack as it was started anew."""
        super().replace(connected)
        if self._loop is not None:
            self._listen(self._loop)

    def watch(self) -> None:
        """Register with the running loop."""
        super().watch()
        self._listen(asyncio.get_running_loop())

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = self._stack.channel.fileno()
        loop.add_reader(self._descriptor, self._hear)

    def _hear(self) -> None:
        self._stack.listen()
        if self._stack.died is not None and self._loop is not None and self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = None

    def unwatch(self) -> None:
        """Undo `watch`."""
        if self._loop is not None and self._descriptor is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        self._descriptor = None
        super().unwatch()


def _target(version: IpVersion) -> bytes:
    return packed(version, TARGET[version])


def _nothing() -> None:
    """An agent's answer is all there is to it."""

"""One namespace for all these tests, and a peer that is crafted by scapy, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from conformance.targets.base import Endpoints, TargetError
from conformance.targets.netns import OwnKernel
from conformance.wire.base import Inbox


class Seen(NamedTuple):
    """A segment of the target: flags as scapy's letters, numbers as they are on the wire."""

    flags: str
    seq: int
    ack: int
    data: bytes


class Peer:
    """A phantom host: says what it is told, and remembers where the target is."""

    def __init__(self, kernel: OwnKernel, pair: Endpoints) -> None:
        self.kernel, self.pair = kernel, pair
        self.inbox = Inbox()
        self.seq, self.ack = 1_000, 0
        kernel.wire.attach(pair.tester, self.inbox)

    def send(self, flags: str, seq: int | None = None, ack: int | None = None, data: bytes = b"", urg: int = 0) -> None:
        network, family = (IP, AF_INET) if self.pair.version == 4 else (IPv6, AF_INET6)
        frame = (
            Ether(src=self.kernel.wire.tester_mac, dst=self.kernel.wire.target_mac)
            / network(src=inet_ntop(family, self.pair.tester), dst=inet_ntop(family, self.pair.target))
            / TCP(
                sport=self.pair.tester_port,
                dport=self.pair.target_port,
                flags=flags,
                seq=self.seq if seq is None else seq,
                ack=self.ack if ack is None else ack,
                window=65_000,
                urgptr=urg,
            )
            / data
        )
        self.kernel.wire.send(bytes(frame))

    def seen(self) -> list[Seen]:
        """What has come since the last call; a barrier proves that there is no more of it."""
        assert self.kernel.barrier.prove_now()
        found = []
        while self.inbox.frames:
            segment = Ether(self.inbox.frames.popleft().data)[TCP]
            # Ethernet pads nothing here: a veth carries short frames as they are.
            found.append(Seen(str(segment.flags), segment.seq, segment.ack, bytes(segment.payload)))
        return found

    def ask(self, flags: str, seq: int | None = None, ack: int | None = None, data: bytes = b"") -> list[Seen]:
        self.send(flags, seq, ack, data)
        return self.seen()

    def shake_hands(self) -> None:
        """Open towards a listener."""
        (synack,) = self.ask("S", ack=0)
        assert (synack.flags, synack.ack) == ("SA", self.seq + 1)
        self.seq, self.ack = self.seq + 1, (synack.seq + 1) & 0xFFFFFFFF
        assert self.ask("A") == []

    @property
    def state(self) -> str:
        assert self.kernel.oracle is not None
        return self.kernel.oracle.state(self.pair)


@pytest.fixture(scope="session")
def kernel() -> Iterator[OwnKernel]:
    try:
        target = OwnKernel.start()
    except TargetError as problem:
        if "cannot make a private network namespace" not in str(problem):
            raise
        pytest.skip(str(problem))
    with target:
        yield target


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def peer(kernel: OwnKernel, request: pytest.FixtureRequest) -> Iterator[Peer]:
    pair = kernel.open_pair(request.param, "quick-ack")
    yield Peer(kernel, pair)
    kernel.wire.detach(pair.tester, lambda frame: None)
    kernel.release(pair)


@pytest.fixture
def make_peer(kernel: OwnKernel) -> Callable[[Endpoints], Peer]:
    return lambda pair: Peer(kernel, pair)

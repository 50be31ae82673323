"""The packet wire and its ring, against the real kernel."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from conformance.targets.netns import CLOSED_PORT
from conformance.wire.base import Inbox
from conformance.wire.packet import PacketWire
from conformance.wire.ring import SLOTS, RingError


def ask(kernel, pair, payload=b"", sport=5000):
    """A frame that the kernel answers with a RST: an ACK to a closed port."""
    network, family = (IP, socket.AF_INET) if pair.version == 4 else (IPv6, socket.AF_INET6)
    return bytes(
        Ether(src=kernel.wire.tester_mac, dst=kernel.wire.target_mac)
        / network(src=socket.inet_ntop(family, pair.tester), dst=socket.inet_ntop(family, pair.target))
        / TCP(sport=sport, dport=CLOSED_PORT, flags="A", ack=77)
        / payload
    )


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def pair(kernel, request):
    pair = kernel.open_pair(request.param, "quick-ack")
    yield pair
    kernel.wire.detach(pair.tester)
    kernel.release(pair)


def test_a_burst_of_20000_frames_is_read_whole_and_in_order(kernel, pair):
    inbox = Inbox()
    kernel.wire.attach(pair.tester, inbox)
    before = kernel.wire.counters()
    frame = bytearray(ask(kernel, pair))
    transport = 34 if pair.version == 4 else 54
    (checksum,) = struct.unpack_from("!H", frame, transport + 16)
    base = 0xFFFF - checksum - 77 + 0xFFFF
    for number in range(20_000):
        struct.pack_into("!I", frame, transport + 8, number)
        total = base + number
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", frame, transport + 16, 0xFFFF - total)
        kernel.wire.send(bytes(frame))
    assert kernel.wire.drain() == 20_000
    numbers = [struct.unpack_from("!I", reply.data, transport + 4)[0] for reply in inbox.frames]
    assert numbers == list(range(20_000))
    times = [reply.time for reply in inbox.frames]
    assert times == sorted(times)
    after = kernel.wire.counters()
    assert after["dropped"] == before["dropped"] == 0
    assert after["sent"] - before["sent"] == 20_000
    assert kernel.health()["dropped"] == 0


def test_time_stamps_lie_between_send_and_drain(kernel, pair):
    inbox = Inbox()
    kernel.wire.attach(pair.tester, inbox)
    frame = ask(kernel, pair)
    before = time.time_ns()
    sent = kernel.wire.send(frame)
    assert kernel.wire.drain() == 1
    after = time.time_ns()
    assert before <= sent < inbox.frames[0].time < after


def test_frames_go_to_the_address_they_are_for(kernel, pair):
    other = kernel.open_pair(pair.version, "delayed-ack")
    ours, theirs, late = Inbox(), Inbox(), []
    kernel.wire.attach(pair.tester, ours)
    kernel.wire.attach(other.tester, theirs)
    strays = kernel.wire.counters()["strays"]
    for each in (pair, other, other):
        kernel.wire.send(ask(kernel, each))
    assert kernel.wire.drain() == 3
    assert (len(ours.frames), len(theirs.frames)) == (1, 2)
    kernel.wire.detach(other.tester, late.append)
    kernel.wire.send(ask(kernel, other))
    assert kernel.wire.drain() == 0
    assert (len(late), len(theirs.frames)) == (1, 2)
    kernel.wire.attach(other.tester, theirs)
    kernel.wire.send(ask(kernel, other))
    kernel.wire.drain()
    assert (len(late), len(theirs.frames)) == (1, 3)
    assert kernel.wire.counters()["strays"] == strays
    kernel.wire.detach(other.tester)
    kernel.wire.send(ask(kernel, other))
    kernel.wire.drain()
    assert kernel.wire.counters()["strays"] == strays + 1
    kernel.release(other)


def test_icmp_and_fragments_are_delivered_too(kernel):
    pair = kernel.open_pair(4, "quick-ack")
    inbox = Inbox()
    kernel.wire.attach(pair.tester, inbox)
    ethernet = Ether(src=kernel.wire.tester_mac, dst=kernel.wire.target_mac)
    echo = IP(src=socket.inet_ntoa(pair.tester), dst=socket.inet_ntoa(pair.target)) / ICMP() / bytes(2_000)
    for piece in fragment(echo, fragsize=1_400):
        kernel.wire.send(bytes(ethernet / piece))
    assert kernel.wire.drain() == 2
    assert [Ether(frame.data)[IP].flags.MF for frame in inbox.frames] == [True, False]
    kernel.wire.detach(pair.tester)


def test_watched_arrivals_wake_their_inbox(kernel, pair):
    async def run():
        arrived = asyncio.Event()
        kernel.wire.attach(pair.tester, Inbox(wake=arrived.set))
        kernel.wire.watch()
        kernel.wire.send(ask(kernel, pair))
        await asyncio.wait_for(arrived.wait(), 5)
        kernel.wire.unwatch()
        kernel.wire.unwatch()
        arrived.clear()
        kernel.wire.send(ask(kernel, pair))
        await asyncio.sleep(0)
        assert not arrived.is_set()
        kernel.wire.drain()
        assert arrived.is_set()

    asyncio.run(run())


def test_what_a_full_ring_lost_is_counted(kernel, pair):
    inbox = Inbox()
    kernel.wire.attach(pair.tester, inbox)
    frame = ask(kernel, pair)
    kernel.wire.drain()
    before = kernel.wire.counters()
    for _ in range(SLOTS + 1_000):
        kernel.wire.send(frame)
    kernel.wire.drain()
    after = kernel.wire.counters()
    received, dropped = (after[name] - before[name] for name in ("received", "dropped"))
    # The target's own MLD reports come when they like, during the drain too, and are counted like any frame.
    assert SLOTS <= received <= SLOTS + 5
    assert 1_000 <= dropped <= 1_005
    kernel.wire.send(frame)
    assert kernel.wire.drain() == 1


def test_no_ring_is_a_clear_error():
    plain, other = socket.socketpair()
    other.close()
    with pytest.raises(RingError, match="no receive ring of 38 MB on the packet socket"):
        PacketWire(plain.detach(), tester_mac=bytes(6), target_mac=bytes(6))

"""The wire over a datagram socket: what is sent and sorted, a peer that does not read, and one that is gone."""

from __future__ import annotations

import socket
import time

import pytest

from conformance.wire.base import Inbox
from conformance.wire.datagram import DatagramWire

TESTER, OTHER = bytes([198, 18, 0, 1]), bytes([198, 18, 0, 2])


def frame(destination: bytes) -> bytes:
    return bytes(12) + b"\x08\x00" + bytes(16) + destination + b"text"


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    wire = DatagramWire(ours, tester_mac=bytes(6), target_mac=bytes(6), mtu=1500)
    theirs.settimeout(1)
    yield wire, theirs
    wire.close()
    theirs.close()


def test_frames_go_out_whole_and_come_in_sorted(ends):
    wire, theirs = ends
    inbox = Inbox()
    wire.attach(TESTER, inbox)
    before = time.time_ns()
    assert before <= wire.send(frame(OTHER)) <= time.time_ns()
    assert theirs.recv(2000) == frame(OTHER)
    theirs.send(frame(TESTER))
    theirs.send(frame(OTHER))
    assert wire.drain() == 1
    assert [one.data for one in inbox.frames] == [frame(TESTER)]
    assert wire.counters() == {"sent": 1, "received": 2, "dropped": 0, "strays": 1}


def test_what_a_stack_does_not_read_is_counted_as_lost_and_stops_nobody(ends, monkeypatch):
    monkeypatch.setattr("conformance.wire.datagram._PATIENCE", 1)
    wire, _ = ends
    for _ in range(10_000):
        wire.send(bytes(1500))
        if wire.counters()["dropped"]:
            break
    assert wire.counters()["dropped"] == 1


def test_a_stack_that_is_gone_takes_frames_with_it_and_another_comes(ends):
    wire, theirs = ends
    theirs.close()
    wire.send(frame(TESTER))
    assert wire.counters()["dropped"] == 1
    assert wire.drain() == 0
    ours, fresh = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    wire.replace(ours)
    wire.send(frame(TESTER))
    assert fresh.recv(2000) == frame(TESTER)
    fresh.close()

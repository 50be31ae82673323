"""Each verb of the agent on the real kernel, and what is seen of it on the wire."""

from __future__ import annotations

import asyncio

import pytest

from conformance.targets.base import Outcome


def established(peer):
    listener = peer.kernel.socket(peer.pair)
    assert listener.listen(5) == Outcome()
    peer.shake_hands()
    (accepted, address, port), error = listener.accept()
    assert (address, port, error) == (peer.pair.tester, peer.pair.tester_port, None)
    return listener, accepted


@pytest.fixture
def pair_of(peer):
    listener, accepted = established(peer)
    yield accepted
    accepted.dispose()
    listener.dispose()


def test_listen_accept_and_the_states_on_the_way(peer):
    assert peer.state == "CLOSED"
    listener = peer.kernel.socket(peer.pair)
    assert listener.listen(5) == Outcome()
    assert peer.state == "LISTEN"
    pending = listener.accept()
    assert pending.poll() is None
    peer.send("S", ack=0)
    (synack,) = peer.seen()
    assert peer.state == "SYN-RECEIVED"
    peer.seq, peer.ack = peer.seq + 1, synack.seq + 1
    peer.send("A")
    assert peer.state == "ESTABLISHED"
    accepted, _, _ = pending.poll().value
    assert pending.poll() is pending.poll()
    accepted.dispose()
    assert [segment.flags for segment in peer.seen()] == ["RA"]
    assert peer.state == "LISTEN"
    listener.dispose()
    assert peer.state == "CLOSED"


def test_a_pending_accept_is_woken_by_the_handshake(peer):
    async def run():
        peer.kernel.wire.watch()
        listener = peer.kernel.socket(peer.pair)
        listener.listen(5)
        waiting = asyncio.create_task(listener.accept().wait(5))
        await asyncio.sleep(0)
        peer.shake_hands()
        accepted, _, _ = (await waiting).value
        accepted.dispose()
        assert await listener.accept().wait(0.001) is None
        cancelled = listener.accept()
        waiting = asyncio.create_task(cancelled.wait(5))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await waiting is None
        listener.dispose()
        peer.kernel.wire.unwatch()

    asyncio.run(run())


def test_connect(peer):
    async def run():
        opening = peer.kernel.socket(peer.pair)
        pending = opening.connect()
        assert pending.poll() is None
        (syn,) = peer.seen()
        assert syn.flags == "S"
        assert peer.state == "SYN-SENT"
        peer.ack = syn.seq + 1
        (ack,) = peer.ask("SA")
        assert (ack.flags, ack.ack) == ("A", peer.seq + 1)
        assert await pending.wait(5) == Outcome()
        assert peer.state == "ESTABLISHED"
        opening.dispose()

    asyncio.run(run())


def test_connect_refused(peer):
    opening = peer.kernel.socket(peer.pair)
    pending = opening.connect()
    (syn,) = peer.seen()
    peer.send("RA", ack=syn.seq + 1)
    assert asyncio.run(pending.wait(5)) == Outcome(error="ECONNREFUSED")
    opening.dispose()


def test_data_both_ways(peer, pair_of):
    assert pair_of.recv(5, wait=False) == Outcome(error="EAGAIN")
    pending = pair_of.recv(5)
    (ack,) = peer.ask("PA", data=b"hello, world")
    assert ack.ack == peer.seq + 12
    assert pending.poll() == Outcome(b"hello")
    assert pair_of.recv(100) == Outcome(b", world")
    assert pair_of.send(b"reply") == Outcome(5)
    assert [segment.data for segment in peer.seen()] == [b"reply"]


def test_send_is_pending_until_all_is_taken(peer, pair_of):
    async def run():
        data = bytes(8_000_000)
        partial = pair_of.send(data, wait=False).value
        assert 0 < partial < len(data)
        pending = pair_of.send(bytes(100_000))
        assert pending.poll() is None
        assert await pending.wait(0.001) is None
        peer.send("RA", ack=peer.ack)
        assert (await pending.wait(5)).error in {"ECONNRESET", "EPIPE"}

    asyncio.run(run())


def test_urgent_data_and_the_mark(peer, pair_of):
    assert pair_of.recv(1, urgent=True) == Outcome(error="EINVAL")
    assert pair_of.send(b"ab", urgent=True) == Outcome(2)
    assert any("U" in segment.flags for segment in peer.seen())
    peer.send("PAU", data=b"xy!", urg=3)
    peer.seen()
    assert pair_of.poll().value >= {"IN", "PRI", "OUT"}
    assert pair_of.atmark() == Outcome(0)
    assert pair_of.recv(10) == Outcome(b"xy")
    assert pair_of.atmark() == Outcome(1)
    assert pair_of.recv(1, urgent=True) == Outcome(b"!")


def test_an_announced_urgent_octet_is_waited_for(peer, pair_of):
    async def run():
        peer.send("AU", data=b"x", urg=2)
        pending = pair_of.recv(1, urgent=True)
        assert pending.poll() is None
        waiting = asyncio.create_task(pending.wait(5))
        await asyncio.sleep(0)
        peer.send("PA", seq=peer.seq + 1, data=b"!")
        assert await waiting == Outcome(b"!")

    asyncio.run(run())


def test_shutdown_and_close(peer, pair_of):
    assert pair_of.shutdown("wr") == Outcome()
    (fin,) = peer.seen()
    assert fin.flags == "FA"
    assert peer.state == "FIN-WAIT-1"
    peer.ack += 1
    assert peer.ask("A") == []
    assert peer.state == "FIN-WAIT-2"
    assert pair_of.close() == Outcome()
    assert pair_of.close() == Outcome(error="EBADF")
    assert pair_of.recv(1) == Outcome(error="EBADF")
    assert [segment.flags for segment in peer.ask("FA")] == ["A"]
    assert peer.state == "TIME-WAIT"


def test_the_peers_close(peer, pair_of):
    peer.ask("FA")
    assert peer.state == "CLOSE-WAIT"
    assert pair_of.poll().value == {"IN", "OUT", "RDHUP"}
    assert pair_of.recv(1) == Outcome(b"")
    assert pair_of.close() == Outcome()
    assert peer.state == "LAST-ACK"


def test_closing(peer, pair_of):
    pair_of.shutdown("wr")
    peer.seen()
    peer.ask("FA")
    assert peer.state == "CLOSING"


def test_abort_resets(peer, pair_of):
    assert pair_of.abort() == Outcome()
    assert [segment.flags for segment in peer.seen()] == ["RA"]
    assert peer.state == "LISTEN"


async def _ended(exiting):
    """How it ended: the process may be gone before it is first looked at."""
    return exiting if isinstance(exiting, Outcome) else await exiting.wait(5)


def test_exit_closes_from_another_process(peer, pair_of):
    async def run():
        exiting = pair_of.exit()
        assert pair_of.send(b"x") == Outcome(error="EBADF")
        assert await _ended(exiting) == Outcome()

    asyncio.run(run())
    assert [segment.flags for segment in peer.seen()] == ["FA"]
    assert peer.state == "FIN-WAIT-1"


def test_exit_with_unread_data_resets(peer, pair_of):
    peer.ask("PA", data=b"unread")
    asyncio.run(_ended(pair_of.exit()))
    assert [segment.flags[0] for segment in peer.seen()] == ["R"]


def test_options(pair_of):
    assert pair_of.setsockopt("TCP_NODELAY", 1) == Outcome()
    assert pair_of.getsockopt("TCP_NODELAY") == Outcome(1)
    assert pair_of.setsockopt("SO_LINGER", (1, 7)) == Outcome()
    assert pair_of.getsockopt("SO_LINGER") == Outcome(7)
    assert pair_of.setsockopt("TCP_USER_TIMEOUT", 3000) == Outcome()
    assert pair_of.getsockopt("TCP_USER_TIMEOUT") == Outcome(3000)
    assert pair_of.setsockopt("TCP_THIN_DUPACK", 2) == Outcome(error="EINVAL")
    assert pair_of.setsockopt("TCP_MADE_UP", 1) == Outcome(error="ENOPROTOOPT")
    assert pair_of.getsockopt("MADE_UP") == Outcome(error="ENOPROTOOPT")


def test_dispose_ends_an_orphan_too(peer, pair_of):
    pair_of.close()
    assert [segment.flags for segment in peer.seen()] == ["FA"]
    pair_of.dispose()
    assert peer.state == "LISTEN"
    assert [segment.flags for segment in peer.seen()] == ["RA"]
    pair_of.dispose()


def test_listening_on_a_taken_port_is_an_outcome(peer):
    first, second = peer.kernel.socket(peer.pair), peer.kernel.socket(peer.pair)
    first.listen(1)
    assert second.listen(1) == Outcome(error="EADDRINUSE")
    first.dispose()
    second.dispose()

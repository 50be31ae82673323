"""The barrier and its calibration: on the real path, and on paths that are wrong in one way each."""

from __future__ import annotations

import asyncio

import pytest

from conformance.targets.netns import CLOSED_PORT, TARGET_ADDRESS
from conformance.wire.barrier import ResetBarrier, calibrate
from conformance.wire.base import Inbox


class Meddling:
    """A wire that treats replies to some destinations in a way of its own, and leaves all else to `inner`."""

    def __init__(self, inner, *, hold=(), drop=()):
        self.inner, self.hold, self.drop = inner, set(hold), set(drop)
        self.tester_mac, self.target_mac, self.mtu = inner.tester_mac, inner.target_mac, inner.mtu
        self.inboxes, self.held = {}, []

    def attach(self, address, inbox):
        self.inboxes[address] = inbox
        mine = Inbox()
        mine.wake = lambda: self._arrived(address, mine.frames.popleft())
        self.inner.attach(address, mine)

    def _arrived(self, address, frame):
        if address in self.drop:
            return
        if address in self.hold:
            self.held.append((address, frame))
            return
        self.inboxes[address].frames.append(frame)
        if self.inboxes[address].wake:
            self.inboxes[address].wake()

    def release(self):
        for address, frame in self.held:
            self.inboxes[address].frames.append(frame)
            if self.inboxes[address].wake:
                self.inboxes[address].wake()
        self.held.clear()

    def detach(self, address, late=None):
        self.inner.detach(address, late)

    def send(self, frame):
        return self.inner.send(frame)

    def drain(self):
        return self.inner.drain()


@pytest.fixture
def addresses(kernel):
    pairs = [kernel.open_pair(4, "quick-ack") for _ in range(5)]
    yield [pair.tester for pair in pairs]
    for pair in pairs:
        kernel.release(pair)


def barrier_on(wire, addresses):
    return ResetBarrier(wire, sources=addresses[:4], target=TARGET_ADDRESS[4], closed_port=CLOSED_PORT)


def test_the_start_calibrates(kernel):
    measured = kernel.calibration
    assert measured.barrier_sound
    assert measured.trials == 400
    assert 0 < measured.reply_median <= measured.reply_p99 < 0.01
    assert kernel.barrier.prove_now()


def test_over_ipv6(kernel):
    pairs = [kernel.open_pair(6, "quick-ack") for _ in range(5)]
    barrier = ResetBarrier(
        kernel.wire, sources=[pair.tester for pair in pairs[:4]], target=TARGET_ADDRESS[6], closed_port=CLOSED_PORT
    )
    for barrier.width in (1, 4):
        assert barrier.prove_now()
    assert calibrate(
        kernel.wire, barrier, [(pairs[4].tester, TARGET_ADDRESS[6])], closed_port=CLOSED_PORT
    ).barrier_sound
    barrier.close()


def test_a_lost_reply_is_never_silence(kernel, addresses):
    wire = Meddling(kernel.wire, drop=addresses[:1])
    barrier = barrier_on(wire, addresses)
    assert not barrier.prove_now()
    assert not asyncio.run(barrier.prove(0.001))
    barrier.close()


def test_a_late_reply_is_not_taken_for_a_new_ones(kernel, addresses):
    wire = Meddling(kernel.wire, hold=addresses[:1])
    barrier = barrier_on(wire, addresses)
    assert not barrier.prove_now()
    late = list(wire.held)
    wire.held.clear()
    wire.hold.clear()
    wire.drop.add(addresses[0])
    wire.held += late
    wire.release()
    assert not barrier.prove_now()
    wire.drop.clear()
    assert barrier.prove_now()
    barrier.close()


def test_prove_waits_for_a_slow_reply(kernel, addresses):
    async def run():
        wire = Meddling(kernel.wire, hold=addresses[:1])
        barrier = barrier_on(wire, addresses)
        first, second = asyncio.create_task(barrier.prove(5)), asyncio.create_task(barrier.prove(5))
        await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
        wire.release()
        assert await first
        assert await second
        barrier.close()

    asyncio.run(run())


def test_all_of_a_wide_barrier_must_come_back(kernel, addresses):
    barrier = barrier_on(Meddling(kernel.wire, drop=addresses[3:4]), addresses)
    assert barrier.prove_now()
    barrier.width = 4
    assert not barrier.prove_now()
    barrier.close()


def test_a_path_that_lets_replies_be_overtaken_is_unsound(kernel, addresses):
    """The stimulus' reply is still under way when the barrier's has been read."""
    wire = Meddling(kernel.wire, hold=addresses[4:])
    measured = calibrate(
        wire, barrier_on(wire, addresses), [(addresses[4], TARGET_ADDRESS[4])], closed_port=CLOSED_PORT, trials=20
    )
    assert not measured.barrier_sound


def test_a_moment_in_which_the_machine_was_busy_is_measured_again(kernel, addresses):
    """Late replies are the first measurement's alone: the path is not slow. That they were overtaken stays known."""
    late = 20
    wire = Meddling(kernel.wire)
    arrived = wire._arrived

    def slowed(address, frame):
        nonlocal late
        if address == addresses[4] and late:
            late -= 1
            frame = frame._replace(time=frame.time + (late % 4 == 0) * 50_000_000)
        arrived(address, frame)

    wire._arrived = slowed
    measured = calibrate(
        wire, barrier_on(wire, addresses), [(addresses[4], TARGET_ADDRESS[4])], closed_port=CLOSED_PORT, trials=10
    )
    assert measured.reply_p99 < 0.05
    assert not measured.barrier_sound


def test_a_path_that_is_always_slow_is_told_as_it_is(kernel, addresses):
    wire = Meddling(kernel.wire)
    arrived = wire._arrived
    wire._arrived = lambda address, frame: arrived(
        address, frame._replace(time=frame.time + 50_000_000) if address == addresses[4] else frame
    )
    measured = calibrate(
        wire, barrier_on(wire, addresses), [(addresses[4], TARGET_ADDRESS[4])], closed_port=CLOSED_PORT, trials=10
    )
    assert measured.reply_median >= 0.05


def test_four_are_taken_where_one_is_overtaken(kernel, addresses):
    """Only the last of four comes after the stimulus' reply, as with steering over CPUs."""
    wire = Meddling(kernel.wire, hold=addresses[4:])
    barrier = barrier_on(wire, addresses)
    arrived = wire._arrived

    def steered(address, frame):
        if address == addresses[3]:
            wire.release()
        arrived(address, frame)

    wire._arrived = steered
    measured = calibrate(wire, barrier, [(addresses[4], TARGET_ADDRESS[4])], closed_port=CLOSED_PORT, trials=20)
    assert measured.barrier_sound
    assert measured.barrier_width == barrier.width == 4


def test_a_dead_path_is_unsound(kernel, addresses):
    wire = Meddling(kernel.wire, drop=addresses)
    measured = calibrate(
        wire, barrier_on(wire, addresses), [(addresses[4], TARGET_ADDRESS[4])], closed_port=CLOSED_PORT, trials=1
    )
    assert not measured.barrier_sound
    assert measured.reply_median == float("inf")

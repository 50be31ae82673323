"""Time as a port: the engine asks a Clock what time it is and to be woken; it never sleeps by itself."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Protocol

from conformance.targets.base import EPOCH, Timekeeper


class Clock(Protocol):
    """What the engine needs of time."""

    def now(self) -> int:
        """ns of CLOCK_REALTIME, the clock of the frames' time stamps."""

    async def until(self, moment: int, wake: asyncio.Future[None]) -> None:
        """Return when `wake` is done or `moment` (ns) has come, whichever is first."""


class RealClock:
    """The machine's clock."""

    now = staticmethod(time.time_ns)
    """ns of CLOCK_REALTIME."""

    async def until(self, moment: int, wake: asyncio.Future[None]) -> None:
        """Wait for `wake`, at most until `moment`."""
        await _until((moment - time.time_ns()) / 1e9, wake)


class VirtualClock:
    """The clock of a stack in virtual time; meaningful inside a `VirtualLoop` of the same keeper."""

    def __init__(self, keeper: Timekeeper) -> None:
        self._now = keeper.now

    def now(self) -> int:
        """ns since the target was opened, beginning with `EPOCH`."""
        return EPOCH + self._now()

    async def until(self, moment: int, wake: asyncio.Future[None]) -> None:
        """Wait for `wake`, at most until `moment`."""
        await _until((moment - self.now()) / 1e9, wake)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a stack's: when nothing in it can go on, it lets the stack's time pass.

    Everything that waits by the loop (timers, timeouts) keeps virtual time by itself. What comes from other threads
    is taken in between.
    """

    def __init__(self, keeper: Timekeeper) -> None:
        super().__init__(_Selector(keeper))
        self._keeper = keeper
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._keeper.now() / 1e9


class _Selector(selectors.DefaultSelector):
    """Instead of waiting for a timer, it advances the stack to it."""

    def __init__(self, keeper: Timekeeper) -> None:
        super().__init__()
        self._keeper = keeper

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As every selector; `timeout` is in virtual seconds."""
        if timeout == 0:
            return []  # there is something to do; who calls from another thread is heard when there is not
        found = super().select(0)
        if found:
            return found
        if timeout is None:
            return super().select(None)  # nothing is planned: only another thread can wake us
        self._keeper.advance(self._keeper.now() + max(1, round(timeout * 1e9)))
        return []


async def _until(delay: float, wake: asyncio.Future[None]) -> None:
    if delay <= 0:
        return
    timer = wake.get_loop().call_later(delay, _done, wake)
    try:
        await wake
    finally:
        timer.cancel()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

"""Time as a port: the engine asks a Clock what time it is and to be woken; it never sleeps by itself."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the engine needs of time."""

    def now(self) -> int:
        """ns of CLOCK_REALTIME, the clock of the frames' time stamps."""

    async def until(self, moment: int, wake: asyncio.Future[None]) -> None:
        """Return when `wake` is done or `moment` (ns) has come, whichever is first."""


class RealClock:
    """The machine's clock."""

    def now(self) -> int:
        """ns of CLOCK_REALTIME."""
        return time.time_ns()

    async def until(self, moment: int, wake: asyncio.Future[None]) -> None:
        """Wait for `wake`, at most until `moment`."""
        delay = (moment - time.time_ns()) / 1e9
        if delay <= 0:
            return
        loop = wake.get_loop()
        timer = loop.call_later(delay, _done, wake)
        try:
            await wake
        finally:
            timer.cancel()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

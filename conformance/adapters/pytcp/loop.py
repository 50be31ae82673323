# SPDX-License-Identifier: GPL-3.0-or-later
"""asyncio's part of PyTCP's world: an event loop whose time the tester moves."""

from __future__ import annotations

import asyncio
import collections
import heapq
import itertools
import traceback
from collections.abc import Callable
from typing import Any

EPOCH = 1_000_000_000_000
"""The stack's time (ns) when it is brought up; it may take 0 for "never"."""

_Base: Any = asyncio.AbstractEventLoop  # of which the stack takes but a part


class Loop(_Base):  # type: ignore[misc]
    """An event loop whose clock, `now` (ns), moves only as the agent says; what is due at a time keeps its order."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.reader: Callable[[], object] | None = None
        self._ready: collections.deque[asyncio.Handle] = collections.deque()
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._count = itertools.count()

    def time(self) -> float:
        return self.now / 1e9

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (round(when * 1e9), next(self._count), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name)

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        self.reader = callback

    def remove_reader(self, fd: Any) -> bool:
        self.reader = None
        return True

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if context.get("exception") is not None:  # asyncio's own loop goes on after it, too
            traceback.print_exception(context["exception"])

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays until its time comes."""

    def settle(self) -> None:
        """Do all that can be done now."""
        while self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def next(self) -> int | None:
        """When the next timer is due (ns), None when none is."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def fire(self) -> None:
        """Do what is due now."""
        while (due := self.next()) is not None and due <= self.now:
            self._ready.append(heapq.heappop(self._timers)[2])
        self.settle()

    def run_until(self, to: int) -> None:
        """Let time pass (ns)."""
        self.settle()
        while (due := self.next()) is not None and due <= to:
            self.now = max(self.now, due)
            self.fire()
        self.now = to

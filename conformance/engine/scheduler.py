"""Runs many variations at once in one event loop, in a thread of its own; results come back as futures.

A variation that needs other settings gets a target of its own with them. What is INCONCLUSIVE is run again. Nothing
here decides a verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from conformance.cases.model import Variation
from conformance.catalogue import Catalogue
from conformance.engine.clock import Clock, RealClock, VirtualClock, VirtualLoop
from conformance.engine.estimate import rank
from conformance.engine.result import Result, Verdict
from conformance.engine.run import run_variation
from conformance.engine.tally import Tally
from conformance.engine.threaded import Threaded
from conformance.targets.base import Target, TargetError
from conformance.wire.codec import prepare

AT_ONCE = 1500
"""Variations that run at the same time; the rest wait their turn, long ones go first."""
BURST = 8
"""Variations started between two looks at timers and arrivals: some milliseconds."""
HAND_OVER = 0.02
"""Seconds between two deliveries of results."""
_COLLECT = (100_000, 20, 1000)
CALM = 40
"""Variations that may run beside one that a crowd kept from being decided: so few wait, most of the time."""
LONG = 5.0
"""Seconds of an attempt from which on those that are to confirm it are made side by side."""

Settings = Mapping[str, str]
Opener = Callable[[Settings], Target]
"""Opens the target with the given settings; raises TargetError when it can't be had so."""


def no_call(*_: object) -> None:
    """Report to nobody."""


@dataclass
class Engine(Threaded):
    """The engine of a run. `open_target` and both callbacks are called in the engine's thread."""

    open_target: Opener
    catalogue: Catalogue
    deadline: float | None = None
    """Seconds that one variation may take; None is no limit."""
    on_start: Callable[[Variation], None] = no_call
    on_result: Callable[[Result], None] = no_call
    check_oracle: bool = True
    clock: Clock = field(default_factory=RealClock)
    target: Target | None = None
    """The target with default settings, once `start` has returned."""

    def __post_init__(self) -> None:
        self._targets: dict[tuple[tuple[str, str], ...], Target | TargetError] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._futures: list[Future[Result]] = []
        self.failure = None
        self._finished: list[tuple[Future[Result], Result]] = []
        self._slots: asyncio.Semaphore | None = None
        self._width = AT_ONCE
        """How many slots there are."""
        self._alone, self._turn = asyncio.Lock(), asyncio.Lock()
        self._feeding = self._running = self._in_turn = 0
        self._calm = asyncio.Event()
        """Everything that was submitted has been started, and few of it still run."""
        self._taken = asyncio.Event()
        """Everything was started, and nothing waits for its turn, or takes it."""
        self._opening: dict[tuple[tuple[str, str], ...], asyncio.Lock] = {}

    def start(self) -> None:
        """Start the thread and open the default target. Raises TargetError."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, args=(ready,), name="engine", daemon=True)
        self._thread.start()
        ready.result()

    def _main(self, ready: Future[None]) -> None:
        try:
            self.target = target = self.open_target({})
            keeper = target.time
            if keeper is not None:
                self.clock = VirtualClock(keeper)
            with asyncio.Runner(loop_factory=None if keeper is None else lambda: VirtualLoop(keeper)) as runner:
                runner.run(self._live(target, ready))
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
                return
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """The thread ends by a fault: whoever waits hears of it, and nothing stays behind."""
        self.failure = error
        self._flush()
        for future in self._futures:
            if not future.done():
                future.cancel()
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(InterruptedError(f"the engine has died: {type(error).__name__}: {error}"))
        for opened in self._targets.values():
            if not isinstance(opened, TargetError):
                with contextlib.suppress(Exception):
                    opened.close()

    async def _live(self, target: Target, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._width = min(AT_ONCE, target.at_once)
        self._slots = asyncio.Semaphore(self._width)
        self._stopping = asyncio.Event()
        target.wire.watch()
        self._targets[()] = target
        prepare()
        gc.freeze()
        gc.set_threshold(*_COLLECT)  # a full collection over thousands of traces stops the loop for tenths of seconds
        ready.set_result(None)
        await self._stopping.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._flush()
        for future in self._futures:
            future.cancel()  # whose task never began
        for opened in self._targets.values():
            if not isinstance(opened, TargetError):
                opened.wire.unwatch()
                opened.close()

    def submit(self, variations: Iterable[Variation]) -> dict[str, Future[Result]]:
        """Run these, the longest first, floods last; one future for each id.

        A cancelled future is a variation that was not run.
        """
        assert self._loop is not None
        futures: dict[str, Future[Result]] = {}
        ordered = []
        for variation in variations:
            futures[variation.id] = Future()
            ordered.append(variation)
        if len(ordered) > 1:
            ordered.sort(key=rank)
        self._futures += futures.values()
        self._loop.call_soon_threadsafe(self._spawn, ordered, futures)
        return futures

    def _spawn(self, ordered: list[Variation], futures: dict[str, Future[Result]]) -> None:
        self._keep(asyncio.get_running_loop().create_task(self._feed(ordered, futures)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _feed(self, ordered: list[Variation], futures: dict[str, Future[Result]]) -> None:
        """Start one after the other, so that those that wait are woken in time between two starts."""
        assert self._slots is not None
        waiting = deque(ordered)
        self._feeding += 1
        self._look()
        try:
            while waiting:
                await self._slots.acquire()
                variation = waiting.popleft()
                self._keep(asyncio.get_running_loop().create_task(self._one(variation, futures[variation.id])))
                if len(waiting) % BURST == 0:
                    await asyncio.sleep(0)  # a look at timers and arrivals
        finally:
            for variation in waiting:
                futures[variation.id].cancel()
            self._feeding -= 1
            self._look()

    def _look(self) -> None:
        """Something began or ended: whoever waits for calm may go on, or has to wait again."""
        for event, holds in (
            (self._calm, not self._feeding and self._running <= CALM),
            (self._taken, not self._feeding and not self._in_turn),
        ):
            if holds:
                event.set()
            else:
                event.clear()

    async def _one(self, variation: Variation, future: Future[Result]) -> None:
        assert self._slots is not None
        try:
            if not future.set_running_or_notify_cancel():
                return
            self.on_start(variation)
            result = await self._decide(variation)
            self.on_result(result)
            self._hand_over(future, result)
        except asyncio.CancelledError:
            future.cancel()
            if not future.done():
                future.set_exception(InterruptedError("the run was ended"))
            raise
        except Exception as error:
            future.set_exception(error)
        finally:
            self._slots.release()

    def _hand_over(self, future: Future[Result], result: Result) -> None:
        """Results go in batches: each wakes the thread that waits for it, which then wants the interpreter."""
        if self.target is not None and self.target.time is not None:
            future.set_result(result)
            return
        if not self._finished:
            asyncio.get_running_loop().call_later(HAND_OVER, self._flush)
        self._finished.append((future, result))

    def _flush(self) -> None:
        finished, self._finished = self._finished, []
        for future, result in finished:
            if not future.done():
                future.set_result(result)

    async def _decide(self, variation: Variation) -> Result:
        result = await self._attempts(variation)
        lossy = self.target is not None and self.target.calibration.lossy
        if result.verdict is Verdict.INCONCLUSIVE and result.late and not lossy and self._width > 1:
            # Those that ran beside it kept us from it: again beside few, and if need be once they are done. Where it
            # takes many attempts that agree, it would be for too long.
            before = result.attempts
            result = await self._when_calm(lambda: self._attempts(variation))
            result.attempts += before
            if result.verdict is Verdict.INCONCLUSIVE and result.late:
                before = result.attempts
                result = await self._when_alone(lambda: self._attempts(variation, alone=True), after=self._taken)
                result.attempts += before
        return result

    async def _attempts(self, variation: Variation, *, alone: bool = False) -> Result:
        """The result of as many attempts as it takes."""
        tally = Tally(alone=alone)
        beside: list[Result] = []
        while True:
            target = await self._target_for(variation.case.needs.settings)
            if isinstance(target, TargetError):
                return self._lacking(variation, target)
            result = beside.pop() if beside else await self._run(variation, target)
            if result.died and self._width > 1 and not alone:
                # The stack was killed by one of those that ran side by side: only alone it is known which.
                tally.again()
                result = await self._when_alone(lambda: self._once(variation))
            if tally.decides(result, target):
                return result
            if beside:
                continue
            if tally.missing > 1 and result.duration > LONG and not alone:
                beside = await self._side_by_side(variation, tally.missing)
                continue
            moment = self.clock.now() + round(tally.pause * 1e9)
            await self.clock.until(moment, asyncio.get_running_loop().create_future())

    async def _run(self, variation: Variation, target: Target) -> Result:
        self._running += 1
        self._look()
        try:
            return await run_variation(
                variation, target, self.clock, self.catalogue, check_oracle=self.check_oracle, deadline=self.deadline
            )
        finally:
            self._running -= 1
            self._look()

    async def _once(self, variation: Variation) -> Result:
        """One attempt, on whatever target there is now."""
        target = await self._target_for(variation.case.needs.settings)
        if isinstance(target, TargetError):
            return self._lacking(variation, target)
        return await self._run(variation, target)

    async def _side_by_side(self, variation: Variation, count: int) -> list[Result]:
        """Several attempts at once, each in a slot of its own."""
        assert self._slots is not None
        slots = self._slots

        async def one() -> Result:
            async with slots:
                return await self._once(variation)

        slots.release()
        try:
            return await asyncio.gather(*(one() for _ in range(count)))
        finally:
            await slots.acquire()

    async def _when_calm(self, run: Callable[[], Awaitable[Result]]) -> Result:
        """Run it beside few others, none of which waits for calm, too."""
        assert self._slots is not None
        self._in_turn += 1
        self._look()
        self._slots.release()
        try:
            async with self._turn:
                await self._calm.wait()
                await self._slots.acquire()
                return await run()
        finally:
            self._in_turn -= 1
            self._look()

    async def _when_alone(self, run: Callable[[], Awaitable[Result]], after: asyncio.Event | None = None) -> Result:
        """Run it when nothing else runs, and not before `after`."""
        assert self._slots is not None
        self._slots.release()
        held = 0
        try:
            if after is not None:
                await after.wait()
            async with self._alone:
                while held < self._width:
                    await self._slots.acquire()
                    held += 1
                return await run()
        finally:
            for _ in range(held - 1):
                self._slots.release()

    @staticmethod
    def _lacking(variation: Variation, problem: TargetError) -> Result:
        case = variation.case
        result = Result(
            variation.id,
            case.file,
            case.title,
            case.requirements,
            Verdict.UNSUPPORTED,
            str(problem),
            start=str(case.start),
        )
        result.settings = dict(case.needs.settings)
        return result

    async def _target_for(self, settings: Settings) -> Target | TargetError:
        if not settings:
            assert self.target is not None
            return self.target
        default = self.target.capabilities.settings if self.target is not None else {}
        if all(default.get(name) == value for name, value in settings.items()):
            assert self.target is not None
            return self.target
        key = tuple(sorted(settings.items()))
        lock = self._opening.setdefault(key, asyncio.Lock())
        async with lock:
            if key not in self._targets:
                try:
                    target = await asyncio.to_thread(self.open_target, settings)
                    target.wire.watch()
                    self._targets[key] = target
                except TargetError as error:
                    self._targets[key] = error
        return self._targets[key]

    def health(self) -> dict[str, int]:
        """Health counters of all targets, added up."""
        total: dict[str, int] = {}
        for target in self._targets.values():
            if not isinstance(target, TargetError):
                for name, value in target.health().items():
                    total[name] = total.get(name, 0) + value
        return total

    def stop(self) -> None:
        """End the run: what is not done is not run. Safe to call twice."""
        if self._loop is None or self._thread is None:
            return
        if self._thread.is_alive() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)

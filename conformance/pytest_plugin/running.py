"""A run of cases inside a pytest session: the engine in its thread, results in order of the items, one report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import pytest

from conformance.engine.crew import Crew
from conformance.engine.result import Result, Verdict
from conformance.engine.scheduler import Engine, Opener
from conformance.pytest_plugin import options
from conformance.report.baseline import Judgement, Kind
from conformance.report.summary import EXIT_NOT_RUN
from conformance.report.text import printable

if TYPE_CHECKING:
    from conformance.cases.model import Variation
    from conformance.pytest_plugin.items import CaseItem

_PATIENCE = 10.0
"""Seconds that an engine that is dying may take to say what of."""
_TICK = 1.0
"""Seconds between two looks at the clock of the progress display, while nothing comes."""


def _nobody(result: Result) -> Judgement:
    raise AssertionError(f"{result.id} has a result before anybody records")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result, and what it is worth."""

    result: Result
    judgement: Judgement

    @property
    def passed(self) -> bool:
        """There is nothing more to say of it."""
        return not self.undecided and self.skipped is None and self.known is None and self.failed is None

    @property
    def undecided(self) -> bool:
        """True when it says nothing of the target."""
        return self.judgement.kind is Kind.NOT_DECIDED

    @property
    def skipped(self) -> str | None:
        """Why it was not tried, or None."""
        known = self.judgement.kind is Kind.KNOWN and self.result.verdict is Verdict.INCONCLUSIVE
        return printable(self.result.reason) if known or self.result.verdict is Verdict.UNSUPPORTED else None

    @property
    def known(self) -> str | None:
        """The reason that the baseline gives for the failure, or None."""
        entry = self.judgement.entry
        if self.judgement.kind is not Kind.KNOWN or self.result.verdict is not Verdict.FAIL or entry is None:
            return None
        return printable(f"{entry.requirement}: {entry.reason}" if entry.requirement else entry.reason)

    @property
    def failed(self) -> str | None:
        """What makes it a finding, in a line, or None."""
        entry = self.judgement.entry
        if self.judgement.kind is Kind.UNEXPECTED_PASS and entry is not None:
            return f"unexpected pass: the baseline, line {entry.line}, expects {entry.verdict}: {entry.reason}"
        known = self.judgement.kind is Kind.KNOWN
        if self.judgement.finding or (known and self.result.verdict is Verdict.FAIL):
            return printable(f"{self.result.verdict}: {self.result.reason}")
        return None


class EngineDied(pytest.exit.Exception):  # type: ignore[name-defined, misc]
    """Ends the session: there is nobody to run the rest."""

    def __init__(self, failure: BaseException | None) -> None:
        why = f"{type(failure).__name__}: {failure}" if failure is not None else "its thread is gone"
        super().__init__(printable(f"the engine has died: {why}; what is not done stays undecided"), EXIT_NOT_RUN)


class CaseRun:
    """Submits items to the engine, hands their results to `record` as they come, and outcomes to pytest as it asks."""

    def __init__(
        self,
        config: pytest.Config,
        open_target: Opener,
        crew: Sequence[Variation] = (),
        members: int = 0,
        at_once: int = 1,
    ) -> None:
        from conformance.catalogue import load

        deadline, check_oracle = options.deadline(config), not config.option.conformance_no_oracle
        self.engine: Engine | Crew
        if members > 1:
            self.engine = Crew(
                open_target, load(), crew, members, at_once, deadline=deadline, check_oracle=check_oracle
            )
        else:
            self.engine = Engine(open_target, load(), deadline=deadline, check_oracle=check_oracle)
        self.record: Callable[[Result], Judgement] = _nobody
        self._tick: Callable[[], None] | None = None
        self._queue: SimpleQueue[tuple[str, Future[Result]]] = SimpleQueue()
        self._futures: dict[str, Future[Result]] = {}
        self._outcomes: dict[str, Outcome | BaseException] = {}
        self._ended = False

    def show(
        self, started: Callable[[str, float], None], tick: Callable[[], None], waits: Callable[[Variation], float]
    ) -> None:
        """Tell of variations that begin, with the seconds that each `waits`, and now and then that time passes."""
        self.engine.on_start = lambda variation: started(variation.id, waits(variation))
        self._tick = tick

    def submit(self, items: Iterable[CaseItem]) -> None:
        """Run these, all at once as far as the engine allows."""
        left = list(items)
        while left:
            # Two suites may have a case of the same id: the engine knows variations by their ids.
            batch: dict[str, CaseItem] = {}
            again = [item for item in left if batch.setdefault(item.variation.id, item) is not item]
            futures = self.engine.submit(item.variation for item in batch.values())
            for id_, item in batch.items():
                nodeid = item.nodeid
                self._futures[nodeid] = futures[id_]
                futures[id_].add_done_callback(partial(self._arrived, nodeid))
            left = again

    def _arrived(self, nodeid: str, future: Future[Result]) -> None:
        self._queue.put((nodeid, future))

    def wait(self, item: CaseItem) -> Outcome:
        """The outcome of an item; those of others are recorded as they come in the meantime."""
        if item.nodeid not in self._futures:
            self.submit([item])
        while item.nodeid not in self._outcomes:
            self._take(_TICK)
        outcome = self._outcomes[item.nodeid]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _take(self, timeout: float) -> None:
        try:
            nodeid, future = self._queue.get(timeout=timeout)
        except Empty:
            if not self.engine.alive:
                raise EngineDied(self.engine.failure) from None
            if self._tick is not None:
                self._tick()
            return
        error = InterruptedError("the run was ended") if future.cancelled() else future.exception()
        if error is not None:
            if isinstance(error, InterruptedError) and not self._ended:  # and yet nobody has ended it
                error = EngineDied(self.engine.gone(_PATIENCE))
            self._outcomes[nodeid] = error
        else:
            result = future.result()
            self._outcomes[nodeid] = Outcome(result, self.record(result))

    def end(self) -> None:
        """Cancel what is not done, record what is, and stop the engine."""
        self._ended = True
        for future in self._futures.values():
            future.cancel()
        self.engine.stop()
        while not self._queue.empty():
            self._take(0)


def how_it_ended(error: BaseException | None) -> tuple[str, str]:
    """The footer's `how` and `reason` for what ended the loop over the items."""
    if error is None:
        return "complete", ""
    if isinstance(error, EngineDied):
        return "crashed", str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Ctrl-C"
    if isinstance(error, pytest.Session.Failed | pytest.Session.Interrupted | pytest.exit.Exception):
        return "interrupted", str(error)
    return "crashed", f"{type(error).__name__}: {error}"


def timestamp() -> str:
    """Now, as the name of a folder."""
    return time.strftime("%Y-%m-%d_%H-%M-%S")

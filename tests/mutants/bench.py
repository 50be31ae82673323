"""A target on which cases are run one by one, or many at once where time is real, until somebody has seen enough."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from conformance.cases import model as m
from conformance.cases.loader import find, load_file
from conformance.catalogue import load as load_catalogue
from conformance.engine.clock import RealClock, VirtualClock, VirtualLoop
from conformance.engine.estimate import waits
from conformance.engine.result import Result, Verdict
from conformance.engine.run import run_variation
from conformance.suite import cases as suite
from conformance.targets.base import Target

LONGEST = 20.0
"""Seconds that a case may wait where time is real."""
TOGETHER = 200
"""Cases that run at once where time is real."""

Wrap = Callable[[Target], tuple[Target, Any]]
"""Puts a reply mutant between the target and one case: the altered target, and its mutation, to be armed."""


@dataclass(frozen=True)
class Seen:
    """What one variation came to."""

    id: str
    verdict: str
    message: str = ""
    step: str = ""
    requirements: tuple[str, ...] = ()
    wire: str = ""
    """A digest of every frame with its time since the case began."""
    touched: int = 0
    """How many frames or outcomes a reply mutant altered."""

    @property
    def found(self) -> bool:
        """Something was broken."""
        return self.verdict in ("FAIL", "DEVIATION")


@lru_cache(maxsize=2)
def variations(folder: Path | None = None) -> tuple[m.Variation, ...]:
    """Every variation of the suite, or of `folder`: the first one of each case, then the rest, as they stand."""
    root = folder or suite()
    known = frozenset(requirement.id for requirement in load_catalogue())
    cases = [load_file(path, place, known) for path, place in find([root])]
    return (*(case.variations[0] for case in cases), *(v for case in cases for v in case.variations[1:]))


class Bench:
    """An opened target with a loop of its own. Close it in the end."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.on_result: Callable[[Result], None] | None = None
        """Told of every result, trace and all."""
        keeper = target.time
        self.virtual = keeper is not None
        self._clock = RealClock() if keeper is None else VirtualClock(keeper)
        self._runner = asyncio.Runner(loop_factory=None if keeper is None else lambda: VirtualLoop(keeper))
        self._runner.run(self._watch())

    async def _watch(self) -> None:
        self._target.wire.watch()

    def able(self, variation: m.Variation) -> bool:
        """Can it be run here in reasonable time?"""
        return self.virtual or (variation.case.needs.tier != "long" and waits(variation.build()[0]) <= LONGEST)

    def run(self, chosen: Sequence[m.Variation], wrap: Wrap | None = None) -> Iterator[Seen]:
        """Run these in their order; where time is real, a batch of them at once."""
        size = 1 if self.virtual else TOGETHER
        for begin in range(0, len(chosen), size):
            yield from self._runner.run(self._batch(chosen[begin : begin + size], wrap))

    async def _batch(self, chosen: Sequence[m.Variation], wrap: Wrap | None) -> list[Seen]:
        return list(await asyncio.gather(*(self._one(variation, wrap) for variation in chosen)))

    async def _one(self, variation: m.Variation, wrap: Wrap | None) -> Seen:
        target, mutation = (self._target, None) if wrap is None else wrap(self._target)
        lead = variation.build()[1]
        first = variation.build()[0][lead] if mutation is not None else None

        def observe(step: m.Step) -> None:
            if first is not None and step.text == first.text and step.place == first.place:
                mutation.armed = True

        for _ in range(1 if self.virtual else 3):
            result = await run_variation(
                variation, target, self._clock, load_catalogue(), check_oracle=False, observer=observe
            )
            if result.verdict is not Verdict.INCONCLUSIVE:
                break
        if self.on_result is not None:
            self.on_result(result)
        return _seen(result, 0 if mutation is None else mutation.touched)

    def close(self) -> None:
        """End the target."""
        with contextlib.suppress(Exception):
            self._target.wire.unwatch()
        self._target.close()
        self._runner.close()


def _seen(result: Result, touched: int) -> Seen:
    wire = hashlib.blake2b(digest_size=8)
    for event in result.trace:
        if event.kind in ("sent", "seen", "probe"):
            wire.update(f"{event.kind} {event.time - result.started} ".encode())
            wire.update(event.data if isinstance(event.data, bytes) else event.data.encode())
        elif event.kind == "call":
            wire.update(str(event.data).encode())
    finding = result.finding
    if finding is None:
        return Seen(result.id, str(result.verdict), result.reason, wire=wire.hexdigest(), touched=touched)
    return Seen(
        result.id,
        str(result.verdict),
        finding.message,
        finding.yaml,
        finding.requirements,
        wire.hexdigest(),
        touched,
    )

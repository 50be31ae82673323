"""One mutant against the suite: the cases most likely to catch it first, and no further once it is caught."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutations.altering import AlteringTarget, Mutation

from conformance.adapters.base import Program
from conformance.cases import model as m
from conformance.targets.adapted import AdaptedStack
from conformance.targets.asked import Asked
from conformance.targets.base import Target
from conformance.targets.opening import opener
from mutants.bench import Bench, Seen, Wrap, variations
from mutants.building import agent
from mutants.table import Mutant

NAMED = 3
"""Catches with the right reason after which a mutant's run ends."""
OTHERS = 12
"""Catches with other reasons that are kept."""
HANGS = 3
"""Deaths of the stack for other reasons after which its run ends: each may have taken seconds."""


@dataclass(frozen=True)
class Score:
    """What came of one mutant."""

    mutant: Mutant
    target: str
    verdict: str
    """caught; other (caught, but no reason names what is broken); survived; unseen (no frame differs); equivalent."""
    caught: tuple[Seen, ...] = ()
    """By which variations, with the right reason."""
    others: tuple[Seen, ...] = ()
    ran: int = 0
    """Variations that were run."""
    differ: tuple[str, ...] = ()
    """Survivors: variations in which a frame, its time or an outcome of a call was another one."""
    seconds: float = 0.0


class Base:
    """The unchanged target, asked only when a mutant's result makes it worth it; what it said is kept."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._seen: dict[str, Seen] = {}

    def of(self, variation: m.Variation) -> Seen:
        """What the variation comes to on the unchanged target."""
        if variation.id not in self._seen:
            for seen in self.bench.run([variation]):
                self._seen[seen.id] = seen
        return self._seen[variation.id]


@dataclass(slots=True)
class _Found:
    mutant: Mutant
    target: str
    verdict: str
    caught: tuple[Seen, ...]
    others: tuple[Seen, ...]
    ran: int
    differ: tuple[str, ...]


class Measurer:
    """Measures mutants one after the other, with an unchanged target of each kind opened beside."""

    def __init__(self, thorough: bool = False, most: int | None = None, suite: Path | None = None) -> None:
        self._suite = suite
        """A folder of cases that are run instead of the suite's own."""
        self.most = most
        """No more variations than that for one mutant; None is no limit."""
        self.thorough = thorough
        """With the variations over IPv6, too: twice the work, and few stacks differ there."""
        self._bases: dict[str, Base] = {}
        self._mended: dict[str, Base] = {}
        self._open = ExitStack()

    def base(self, target: str) -> Base:
        """The unchanged target of that name. Raises TargetError."""
        if target not in self._bases:
            self._bases[target] = Base(Bench(opener(Asked(target))({})))
        return self._bases[target]

    def close(self) -> None:
        """End all targets."""
        for base in self._bases.values():
            base.bench.close()
        self._bases.clear()
        self._open.close()

    def score(self, mutant: Mutant, target: str = "lwip:full") -> Score:
        """Run one mutant: a source mutant in lwIP, a reply mutant before `target`. Raises TargetError, TableError."""
        begun = time.monotonic()
        if mutant.kind == "reply":
            base = self.base(target)
            found = self._sift(mutant, target, base.bench, base, _altering(mutant))
        else:
            found = self._source(mutant)
        took = time.monotonic() - begun
        return Score(**{name: getattr(found, name) for name in found.__slots__}, seconds=took)

    def _source(self, mutant: Mutant) -> _Found:
        profile = mutant.profile
        name = "lwip" if profile == "default" else f"lwip:{profile}"
        if name not in self._mended:
            self._mended[name] = Base(self._open.enter_context(_built(None, profile)))
        with _built(mutant, profile) as bench:
            return self._sift(mutant, name, bench, self._mended[name], None)

    def _sift(self, mutant: Mutant, name: str, bench: Bench, base: Base, wrap: Wrap | None) -> _Found:
        caught: list[Seen] = []
        others: list[Seen] = []
        ran: list[Seen] = []
        deaths = 0
        able = [
            v for v in ordered(mutant, variations(self._suite)) if bench.able(v) and (self.thorough or v.version == 4)
        ]
        chosen = {v.id: v for v in able[: self.most]}
        likely = sum(mutant.named_by(v.case.requirements) for v in chosen.values())
        for seen in bench.run(list(chosen.values()), wrap):
            if caught and len(ran) >= likely:
                break
            ran.append(seen)
            if not seen.found or base.of(chosen[seen.id]).verdict != "PASS":
                continue
            if mutant.named_by(seen.requirements):
                caught.append(seen)
                if len(caught) >= NAMED:
                    break
            else:
                others.append(seen)
                deaths += "died" in seen.message or "answer" in seen.message
                if deaths >= HANGS and caught:
                    break
        differ: list[str] = []
        if not caught:
            differ = [s.id for s in ran if s.touched or (wrap is None and s.wire != base.of(chosen[s.id]).wire)]
        verdict = "caught" if caught else "other" if others else "survived" if differ else "unseen"
        if mutant.equivalent and not caught and not others:
            verdict = "equivalent"
        return _Found(mutant, name, verdict, tuple(caught), tuple(others[:OTHERS]), len(ran), tuple(differ))


@contextmanager
def _built(mutant: Mutant | None, profile: str) -> Iterator[Bench]:
    with agent(mutant, "" if profile == "default" else profile) as path:
        bench = Bench(AdaptedStack("lwip" if mutant is None else mutant.name, Program((str(path),))))
        try:
            yield bench
        finally:
            bench.close()


def _altering(mutant: Mutant) -> Wrap:
    def wrap(target: Target) -> tuple[Target, Any]:
        mutation = Mutation(dict(mutant.alter), mutant.only, mutant.skip, armed=mutant.from_start)
        altered: Any = AlteringTarget(target, mutation)
        return altered, mutation

    return wrap


def ordered(mutant: Mutant, chosen: tuple[m.Variation, ...]) -> list[m.Variation]:
    """Those first that decide a requirement which the mutant breaks; else as they stand."""
    return sorted(chosen, key=lambda variation: not mutant.named_by(variation.case.requirements))

"""Random walks through a target with the event table and the invariants as judge; what is found is made short.

Guided by coverage: a walk that met something new, a state with an input and an answer, is walked on from later.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from conformance.catalogue import Catalogue
from conformance.learn.alphabet import Word
from conformance.learn.check import Found, derails, judge_word
from conformance.learn.query import Asker, Observed
from conformance.learn.rules import Breach

Key = tuple[object, ...]
_LONGEST = 40
_FRESH = 0.3
"""How often a walk begins at the beginning although there are known ones to go on from."""


@dataclass(slots=True)
class Explorer:
    """Walks on one target. `found` grows; `met` is what was seen so far."""

    asker: Asker
    catalogue: Catalogue
    seed: int = 1
    found: dict[Key, Found] = field(default_factory=dict)
    met: set[tuple[str | None, str, str]] = field(default_factory=set)
    walks: int = 0
    steps: int = 0

    def explore(self, enough: Callable[[], bool]) -> Iterator[Found]:
        """Walk until `enough` says so; yields each new finding, made as short as it gets."""
        draw = random.Random(self.seed)
        letters = self.asker.alphabet.letters
        pool: list[Word] = [(), *self.asker.alphabet.seeds]
        while not enough():
            begin: Word = () if draw.random() < _FRESH else draw.choice(pool)
            begin = begin[: draw.randint(0, len(begin))]
            room = max(1, min(12, _LONGEST - len(begin)))
            word = (*begin, *(draw.choice(letters) for _ in range(draw.randint(1, room))))
            walk, breaches = self._walk(word)
            new = self._new(walk)
            if new:
                pool.append(word[:new])
            for at in sound(breaches):
                key = key_of(breaches[at])
                if key not in self.found:
                    self.found[key] = shortest = self.shrink(word[: at + 1], key)
                    yield shortest

    def _walk(self, word: Word) -> tuple[list[Observed], list[Breach | None]]:
        self.walks += 1
        self.steps += len(word)
        return judge_word(self.asker, word, self.catalogue, patient=0)

    def _new(self, walk: list[Observed]) -> int:
        """How much of a walk led to something that was not met before; 0 when nothing did."""
        state, last = None, 0
        for index, observed in enumerate(walk, 1):
            seen = (state, observed.letter, observed.output)
            if seen not in self.met:
                self.met.add(seen)
                last = index
            state = observed.oracle
        return last

    def shrink(self, word: Word, key: Key) -> Found:
        """The word without every input that the finding does not need; the finding shows at its end."""
        size = max(1, len(word) // 2)
        while size:
            at = 0
            while at < len(word) - 1:
                shorter = word[:at] + word[min(at + size, len(word) - 1) :]
                _, breaches = self._walk(shorter)
                same = [index for index in sound(breaches) if key_of(breaches[index]) == key]
                if same:
                    word = shorter[: same[0] + 1]
                else:
                    at += size
            size //= 2
        walk, breaches = self._walk(word)
        breach = breaches[-1]
        assert breach is not None
        return Found(breach, word, walk)


def sound(breaches: list[Breach | None]) -> list[int]:
    """Where breaches are, up to the first after which the tester's numbers may be astray."""
    found = []
    for index, breach in enumerate(breaches):
        if breach is not None:
            found.append(index)
        if derails(breach):
            break
    return found


def key_of(breach: Breach | None) -> Key:
    """What makes two breaches the same."""
    assert breach is not None
    return breach.requirement, breach.state, breach.seen, breach.reached

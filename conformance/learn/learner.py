"""Learns a machine by asking words: AALpy's KV algorithm, and our own search for counterexamples.

Knows nothing of TCP. What ends it is told by `Learned.proof`.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from conformance.learn.alphabet import Word
from conformance.learn.cache import Cache, ChangedError, LimitError
from conformance.learn.model import Model, apart, transition_cover, wp_suite

RESTARTS = 40
_LENGTHS = (3, 15)
AFFORDED = 300.0
"""Seconds that the first depth of the Wp-method may take where no depth was asked for."""


class NotInstalledError(Exception):
    """The learning library is not there."""


@dataclass(slots=True)
class Effort:
    """How hard counterexamples are looked for: random words, and the Wp-method's depth.

    No depth: 1 if that takes no longer than AFFORDED, else 0. No count of words: 1000, or 100 for each state if that is
    more.
    """

    words: int | None = None
    depth: int | None = None
    seed: int = 1
    seeds: Sequence[Word] = ()
    doubts: Callable[[Model], Iterable[Word]] = lambda model: ()
    """Words that a hypothesis should be asked for, because what it says of them is hard to believe."""
    likely: Sequence[Word] = ()
    """Words that will be asked if the target is what it is thought to be: asked first, side by side."""
    hints: Sequence[Word] = ()
    """What refuted one hypothesis after the other while a machine was learned that is thought to be like the target."""


@dataclass(slots=True)
class Progress:
    """How far it is; `phase` in words."""

    phase: str = "begins"
    states: int = 1
    began: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Learned:
    """A machine and how it was come by."""

    model: Model
    finished: bool
    proof: str
    rounds: int
    seconds: float
    depth: int = 0
    """Of the Wp-method's words that were asked."""
    words: int = 0
    """Random words that found nothing more."""
    sources: dict[str, int] = field(default_factory=dict)
    """How many counterexamples came from where."""
    refuted: list[Word] = field(default_factory=list)
    """The counterexamples, in order."""


def learn(
    cache: Cache,
    letters: Sequence[str],
    effort: Effort,
    progress: Progress | None = None,
    on_hypothesis: Callable[[Model], None] = lambda model: None,
) -> Learned:
    """Learn the machine that `cache` asks. Raises NotInstalledError, and what asking raises."""
    try:
        from aalpy.base import SUL, Oracle
        from aalpy.learning_algs import run_KV
    except ImportError:
        raise NotInstalledError("learning needs AALpy: pip install aalpy") from None

    told = progress = progress or Progress()
    search = _Search(cache, tuple(letters), effort, progress)

    class Asked(SUL):  # type: ignore[misc]
        """The cache as AALpy wants it."""

        def pre(self) -> None: ...
        def post(self) -> None: ...
        def step(self, letter: Any) -> Any:
            raise NotImplementedError  # never called: words are asked whole, below

        def query(self, word: tuple[str, ...]) -> list[str]:
            return list(cache.ask(tuple(word)))

    class Searched(Oracle):  # type: ignore[misc]
        """Our search as AALpy wants it."""

        def find_cex(self, hypothesis: Any) -> Word | None:
            model = _converted(hypothesis, letters)
            search.model = model
            told.states = len(model)
            on_hypothesis(model)
            return search.counterexample(model)

    finished, proof = False, ""
    for attempt in range(RESTARTS + 1):
        sul = Asked()
        try:
            progress.phase = "what is likely"
            for word in cache.ahead(iter(effort.likely)):
                cache.ask(word)
            search.begin()
            machine = run_KV(
                list(letters), sul, Searched(list(letters), sul), "mealy", cache_and_non_det_check=False, print_level=0
            )
        except ChangedError as change:
            proof = f"the target answers one way and another: {change}"
            if attempt == RESTARTS:
                break
            continue
        except (LimitError, KeyboardInterrupt) as limit:
            proof = f"not finished: {str(limit) or 'ended by Ctrl-C'}"
            break
        search.model = _converted(machine, letters)
        finished = True
        count = len(search.model)
        proof = (
            f"correct if the stack has at most {count}+{search.depth} states over this alphabet"
            f" ({search.words} random words found nothing more, either){search.left}"
        )
        break
    model = search.model.ordered()
    progress.states = len(model)
    seconds = time.monotonic() - progress.began
    how = (search.rounds, seconds, search.depth, search.words, search.sources, search.refuted)
    return Learned(model, finished, proof, *how)


def rehearsed(model: Model, effort: Effort, final: Collection[str] = ()) -> Effort:
    """The effort with the words that learning this machine would ask, to depth 0 where none is asked for.

    Raises NotInstalledError.
    """
    asked: list[Word] = []

    def ask(word: Word) -> tuple[str, ...]:
        asked.append(word)
        return model.run(word)[0]

    def doubts(hypothesis: Model) -> list[Word]:
        word = apart(hypothesis, model, model.letters)
        return [] if word is None else [word]

    learned = learn(Cache(ask, final=final), model.letters, Effort(0, effort.depth or 0, doubts=doubts))
    return replace(effort, likely=asked, hints=learned.refuted)


class _Search:
    """Looks for words to which the target and a hypothesis answer differently."""

    def __init__(self, cache: Cache, letters: tuple[str, ...], effort: Effort, progress: Progress) -> None:
        self._cache, self._letters, self._effort, self._progress = cache, letters, effort, progress
        self.rounds = 0
        self._draw = random.Random(effort.seed)
        self.sources: dict[str, int] = {}
        self.depth = self.words = 0
        self.left = ""
        """Why no deeper."""
        self.model = Model(letters, [dict.fromkeys(letters, ("?", 0))])
        self.refuted: list[Word]
        self.hints: deque[Word]
        self.begin()

    def begin(self) -> None:
        """A machine is learned from nothing, but for what is known."""
        self.refuted, self.hints = [], deque(self._effort.hints)

    def counterexample(self, model: Model) -> Word | None:
        """A shortest prefix of some word that the model gets wrong, or None."""
        self.rounds += 1
        while (word := self._refuting(model)) is not None:
            try:
                self._cache.make_sure(word)
            except ChangedError:
                continue  # nothing was built on it
            self.refuted.append(word)
            self._progress.phase = "refining"
            return word
        return None

    def _refuting(self, model: Model) -> Word | None:
        found = self._still(model, self.refuted[-1]) if self.refuted else None
        while found is None and self.hints:
            found = self._still(model, self.hints.popleft())
        found = found or self._cache.refuted(model)
        if found is not None:
            return self._found("earlier answers", found)
        for phase, words in self._phases(model):
            self._progress.phase = phase
            for word in self._cache.ahead(words):
                found = _wrong(model, word, self._cache.ask(word))
                if found is not None:
                    return self._found(phase, found)
        return None

    def _still(self, model: Model, word: Word) -> Word | None:
        """What of this word is known to refute the model."""
        known = self._cache.known(word)
        return None if known is None else _wrong(model, word, known)

    def _found(self, phase: str, word: Word) -> Word:
        self.sources[phase] = self.sources.get(phase, 0) + 1
        return word

    def _phases(self, model: Model) -> Iterator[tuple[str, Iterator[Word]]]:
        effort = self._effort
        yield "seeds", iter(effort.seeds)
        yield "properties", iter(effort.doubts(model))
        yield "each transition", transition_cover(model)
        self.words = effort.words if effort.words is not None else max(1000, 100 * len(model))
        yield "random words", self._random(model, self.words)
        self.left = ""
        for depth in range((1 if effort.depth is None else effort.depth) + 1):
            if depth and effort.depth is None and self._too_long(model):
                return
            self.depth = depth
            yield f"Wp-method, depth {depth}", wp_suite(model, depth)

    def _too_long(self, model: Model) -> bool:
        """Whether what depth 1 asks beyond what is known takes longer than AFFORDED, at the rate so far."""
        asked = self._cache.queries
        if not asked:
            return False
        unknown = sum(self._cache.known(word) is None for word in wp_suite(model, 1))
        wanted = unknown * self._cache.seconds / asked
        if wanted <= AFFORDED:
            return False
        self.left = f"; depth 1 needs {unknown} words more, about {wanted / 60:.0f} minutes: --depth 1"
        return True

    def _random(self, model: Model, count: int) -> Iterator[Word]:
        """Words that begin at a state drawn at random, so that deep states get as many as shallow ones.

        No hypothesis is asked those of one before it: with them its own faults would be found, and no others.
        """
        draw = self._draw
        access = model.access()
        for _ in range(count):
            length = draw.randint(*_LENGTHS)
            yield (*draw.choice(access), *(draw.choice(self._letters) for _ in range(length)))


def _wrong(model: Model, word: Word, said: tuple[str, ...]) -> Word | None:
    state = 0
    for index, letter in enumerate(word):
        output, state = model.edges[state][letter]
        if output != said[index]:
            return word[: index + 1]
    return None


def _converted(machine: Any, letters: Sequence[str]) -> Model:
    """AALpy's machine as ours, the initial state first."""
    states = [machine.initial_state, *(state for state in machine.states if state is not machine.initial_state)]
    place = {id(state): index for index, state in enumerate(states)}
    edges = [{i: (state.output_fun[i], place[id(state.transitions[i])]) for i in letters} for state in states]
    return Model(tuple(letters), edges).ordered()

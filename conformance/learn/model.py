"""A Mealy machine: states, and for each input the output and the next state. How it is walked, and told apart.

Words of a suite are made here, too: covers, and what tells states apart. Pure: no target is known here.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from conformance.learn.alphabet import Word

Edge = tuple[str, int]
"""Output and next state."""


@dataclass(slots=True)
class Model:
    """State 0 is where every word begins. `names` are the states' for people, equal ones numbered."""

    letters: tuple[str, ...]
    edges: list[dict[str, Edge]]
    names: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    """Where it comes from: target, alphabet, statistics."""

    def __len__(self) -> int:
        return len(self.edges)

    def run(self, word: Word, state: int = 0) -> tuple[tuple[str, ...], int]:
        """The outputs of a word from a state, and where it leads."""
        outputs = []
        for letter in word:
            output, state = self.edges[state][letter]
            outputs.append(output)
        return tuple(outputs), state

    def access(self) -> list[Word]:
        """A shortest word to each state. Raises ValueError where a state is not reached."""
        found: dict[int, Word] = {0: ()}
        queue = deque([0])
        while queue:
            state = queue.popleft()
            for letter in self.letters:
                to = self.edges[state][letter][1]
                if to not in found:
                    found[to] = (*found[state], letter)
                    queue.append(to)
        if len(found) < len(self.edges):
            raise ValueError(f"{len(self.edges) - len(found)} states are not reached from the first")
        return [found[state] for state in range(len(self.edges))]

    def name(self, state: int) -> str:
        """The state's name."""
        return self.names[state] if self.names else f"s{state}"

    def ordered(self) -> Model:
        """The same machine with its states in the order in which short words reach them, none unreached."""
        order, seen = [0], {0}
        for state in order:
            for letter in self.letters:
                to = self.edges[state][letter][1]
                if to not in seen:
                    seen.add(to)
                    order.append(to)
        place = {state: index for index, state in enumerate(order)}
        edges = [
            {letter: (self.edges[s][letter][0], place[self.edges[s][letter][1]]) for letter in self.letters}
            for s in order
        ]
        return Model(self.letters, edges, [self.names[s] for s in order] if self.names else [], dict(self.facts))


def numbered(names: Sequence[str]) -> list[str]:
    """Equal names told apart by numbers: ESTABLISHED, ESTABLISHED 2, ..."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return found


def apart(a: Model, b: Model, letters: Sequence[str], start: tuple[int, int] = (0, 0)) -> Word | None:
    """A shortest word whose outputs differ, or None when there is none."""
    return next(differences(a, b, letters, start), None)


def differences(
    a: Model,
    b: Model,
    letters: Sequence[str],
    start: tuple[int, int] = (0, 0),
    alike: Callable[[str, str], bool] = str.__eq__,
) -> Iterator[Word]:
    """For each pair of states that a word leads both to, and each input that they answer differently, a shortest word.

    A word whose outputs differ is not followed on. Shortest words first.
    """
    words: dict[tuple[int, int], Word] = {start: ()}
    queue = deque([start])
    while queue:
        pair = queue.popleft()
        for letter in letters:
            (out_a, to_a), (out_b, to_b) = a.edges[pair[0]][letter], b.edges[pair[1]][letter]
            word = (*words[pair], letter)
            if not alike(out_a, out_b):
                yield word
            elif (to_a, to_b) not in words:
                words[to_a, to_b] = word
                queue.append((to_a, to_b))


def identifiers(model: Model) -> list[list[Word]]:
    """For each state words that tell it from every other one; equivalent states are not told apart."""
    found: list[list[Word]] = [[] for _ in model.edges]
    for first, second in itertools.combinations(range(len(model)), 2):
        if any(model.run(word, first)[0] != model.run(word, second)[0] for word in found[first]):
            known = next(w for w in found[first] if model.run(w, first)[0] != model.run(w, second)[0])
        elif any(model.run(word, first)[0] != model.run(word, second)[0] for word in found[second]):
            known = next(w for w in found[second] if model.run(w, first)[0] != model.run(w, second)[0])
        else:
            word = apart(model, model, model.letters, (first, second))
            if word is None:
                continue
            known = word
        for state in (first, second):
            if known not in found[state]:
                found[state].append(known)
    return found


def transition_cover(model: Model) -> Iterator[Word]:
    """A word for each state and input."""
    for word in model.access():
        for letter in model.letters:
            yield (*word, letter)


def switch_cover(model: Model) -> Iterator[Word]:
    """A word for each state and two inputs, one after the other (1-switch)."""
    for word in transition_cover(model):
        for letter in model.letters:
            yield (*word, letter)


def wp_suite(model: Model, depth: int) -> Iterator[Word]:
    """The Wp-method's words: they find every fault of a machine with at most `depth` states more than the model.

    After Fujiwara et al., "Test selection based on finite state models" (1991). Short middle parts come first.
    """
    local = identifiers(model)
    everywhere = sorted({word for words in local for word in words}, key=lambda word: (len(word), word)) or [()]
    access = model.access()
    reached = set(access)
    beyond = [word for word in transition_cover(model) if word not in reached]
    for length in range(depth + 1):
        for middle in itertools.product(model.letters, repeat=length):
            for prefix in access:
                for suffix in everywhere:
                    yield (*prefix, *middle, *suffix)
            for prefix in beyond:
                word = (*prefix, *middle)
                state = model.run(word)[1]
                for suffix in local[state] or [()]:
                    yield (*word, *suffix)


def from_mapping(letters: Sequence[str], edges: Mapping[str, Mapping[str, tuple[str, str]]], start: str) -> Model:
    """A model from states by name, `start` the first. Raises KeyError for what leads nowhere."""
    order = [start, *(name for name in edges if name != start)]
    place = {name: index for index, name in enumerate(order)}
    rows = [{letter: (edges[name][letter][0], place[edges[name][letter][1]]) for letter in letters} for name in order]
    return Model(tuple(letters), rows, order)

"""What a target has said to words so far: asked once, kept in a file, and held against what it says later.

A target that answers the same word differently is a finding here (`Flaw`), not an end: the word is asked again, and
what it answers most often counts.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from conformance.learn.alphabet import Word, parse_word, word_text
from conformance.learn.model import Model

Output = tuple[str, ...]
AGAIN = 6
"""How often a word is asked again when its answers differ."""
ROUNDS = 4
"""So many times as many words as are asked side by side are asked at a time: the longest is waited for less often."""


class ChangedError(Exception):
    """What was believed of a word turned out to be its rarer answer: what was built on it must be built anew."""


class LimitError(Exception):
    """As many queries as were allowed have been asked, or somebody ended it."""


class ResumeError(Exception):
    """The file of queries is another target's, or no such file."""


@dataclass(slots=True)
class Flaw:
    """A word that was answered in more than one way: by output of its last input, how often."""

    word: Word
    answers: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Node:
    output: str = ""
    children: dict[str, _Node] = field(default_factory=dict)


_Trace = tuple[Any, str] | None
"""The letters up to a node, the last one first."""


def _spelled(trace: _Trace) -> Word:
    letters = []
    while trace is not None:
        trace, letter = trace
        letters.append(letter)
    return tuple(reversed(letters))


class Cache:
    """Asks by `ask` what is not known yet. With a `path` all is kept there, and read from there first.

    `key` says whose answers they are. `ask_all` asks several words at the same time, worth it for `side_by_side` of
    them. Raises ResumeError, OSError.
    """

    def __init__(
        self,
        ask: Callable[[Word], Output],
        *,
        path: Path | None = None,
        key: str = "",
        limit: int | None = None,
        final: Collection[str] = (),
        told: Callable[[], None] = lambda: None,
        ask_all: Callable[[Sequence[Word]], Sequence[Output]] | None = None,
        side_by_side: int = 1,
    ) -> None:
        self._ask, self._limit, self._told = ask, limit, told
        self._ask_all, self._side_by_side = ask_all, side_by_side
        self._final = frozenset(final)
        self._root = _Node()
        self.queries = self.steps = self.hits = self.resumed = 0
        self.seconds = 0.0
        """Spent in asking."""
        self.flaws: dict[Word, Flaw] = {}
        self.ended = ""
        """Why nothing more is to be asked."""
        self._file: TextIO | None = None
        if path is not None:
            if path.exists() and path.stat().st_size:
                self._resume(path, key)
                self._file = path.open("a", encoding="utf-8")
            else:
                self._file = path.open("w", encoding="utf-8")
                self._file.write(json.dumps({"queries": 1, "of": key}) + "\n")

    def _resume(self, path: Path, key: str) -> None:
        with path.open(encoding="utf-8") as lines:
            try:
                head = json.loads(next(lines, ""))
                of = head["of"] if head["queries"] == 1 else None
            except (ValueError, KeyError, TypeError):
                raise ResumeError(f"{path} is no file of queries") from None
            if of != key:
                raise ResumeError(f"{path} has the answers of {of!r}, not of {key!r}: give another --out, or remove it")
            for line in lines:
                with contextlib.suppress(ValueError, KeyError):  # the last line may have been cut off
                    said = json.loads(line)
                    self._put(parse_word(said["in"]), tuple(said["out"]))
                    self.resumed += 1

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def known(self, word: Word) -> Output | None:
        """What was said to this word, or None. After an output in `final` there is but the same."""
        node = self._root
        outputs: list[str] = []
        for letter in word:
            child = node.children.get(letter)
            if child is None:
                if node.output in self._final:
                    return (*outputs, *(node.output for _ in word[len(outputs) :]))
                return None
            outputs.append(child.output)
            node = child
        return tuple(outputs)

    def refuted(self, model: Model) -> Word | None:
        """A word whose last output is not the model's, of all that was asked; or None.

        What is known and the model are walked together, each answer once.
        """
        stack: list[tuple[_Node, int, _Trace]] = [(self._root, 0, None)]
        while stack:
            node, state, trace = stack.pop()
            edges = model.edges[state]
            for letter, child in node.children.items():
                output, to = edges[letter]
                if output != child.output:
                    return _spelled((trace, letter))
                if child.children:
                    stack.append((child, to, (trace, letter)))
        return None

    def ask(self, word: Word) -> Output:
        """What the word draws. Raises ChangedError, LimitError, and what asking raises."""
        known = self.known(word)
        if known is not None:
            self.hits += 1
            return known
        return self._take(word, self._query(word))

    def ahead(self, words: Iterator[Word]) -> Iterator[Word]:
        """The same words; what isn't known of them is asked side by side before they come. Raises as `ask`."""
        if self._ask_all is None or self._side_by_side == 1:
            yield from words
            return
        most = ROUNDS * self._side_by_side
        while some := list(islice(words, most)):
            unknown = dict.fromkeys(word for word in some if self.known(word) is None)
            while len(unknown) < most and len(some) < 100 * most and (word := next(words, None)) is not None:
                some.append(word)
                if self.known(word) is None:
                    unknown[word] = None
            for word, said in self._together(list(unknown)):
                self._take(word, said)
            yield from some

    def make_sure(self, word: Word) -> None:
        """Ask once more what was answered beside other words, when none is asked beside it. Raises as `ask`."""
        if self._side_by_side > 1:
            self._take(word, self._query(word))

    def again(self, words: Iterable[Word]) -> None:
        """Ask all of these once more; what differs becomes a flaw. Raises LimitError, and what asking raises."""
        wanted = list(words)
        most = ROUNDS * self._side_by_side
        for begin in range(0, len(wanted), most):
            for word, said in self._together(wanted[begin : begin + most]):
                with contextlib.suppress(ChangedError):
                    self._take(word, said)

    def _together(self, words: list[Word]) -> Iterable[tuple[Word, Output]]:
        """What these words draw, as many of them as may be asked."""
        if self._ask_all is None or not words:
            return [(word, self._query(word)) for word in words]
        some = self._afforded(words)
        began = time.monotonic()
        found = self._ask_all(some)
        self.seconds += time.monotonic() - began
        self._told()
        return zip(some, found, strict=True)

    def _take(self, word: Word, said: Output) -> Output:
        at = self._conflict(word, said)
        if at is None:
            self._put(word, said)
            self._write(word, said)
            return said
        return self._settle(word, at, said)

    def _query(self, word: Word) -> Output:
        self._afforded([word])
        began = time.monotonic()
        said = self._ask(word)
        self.seconds += time.monotonic() - began
        self._told()
        return said

    def _afforded(self, words: list[Word]) -> list[Word]:
        """As many of these as may be asked, which count as asked."""
        if self.ended:
            raise LimitError(self.ended)
        left = len(words) if self._limit is None else self._limit - self.queries
        if left <= 0:
            raise LimitError(f"{self._limit} queries were asked")
        some = words[:left]
        self.queries += len(some)
        self.steps += sum(map(len, some))
        return some

    def _conflict(self, word: Word, said: Output) -> int | None:
        node = self._root
        for index, letter in enumerate(word):
            child = node.children.get(letter)
            if child is None:
                return None
            if child.output != said[index]:
                return index
            node = child
        return None

    def _settle(self, word: Word, at: int, said: Output) -> Output:
        """Find out which answer is the usual one."""
        part = word[: at + 1]
        known = self.known(part)
        assert known is not None
        flaw = self.flaws.setdefault(part, Flaw(part))
        answers: Counter[Output] = Counter([known, said[: at + 1]])
        for _ in range(AGAIN):
            answers[self._query(part)] += 1
        flaw.answers.update({output[-1]: count for output, count in answers.items()})
        usual = answers.most_common(1)[0][0]
        if usual != known:
            differing = next(i for i, (a, b) in enumerate(zip(usual, known, strict=True)) if a != b)
            self._forget(word[: differing + 1])
            self._put(part, usual)
            self._write(part, usual)
            raise ChangedError(word_text(part))
        for _ in range(AGAIN):
            again = self._query(word)
            if self._conflict(word, again) is None:
                self._put(word, again)
                self._write(word, again)
                return again
        raise ChangedError(word_text(word))

    def _forget(self, word: Word) -> None:
        node = self._root
        for letter in word[:-1]:
            node = node.children[letter]
        node.children.pop(word[-1], None)

    def _put(self, word: Word, said: Output) -> None:
        node = self._root
        for letter, output in zip(word, said, strict=True):
            child = node.children.get(letter)
            if child is None or child.output != output:
                child = node.children[letter] = _Node(output)
            node = child

    def _write(self, word: Word, said: Output) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"in": word_text(word), "out": said}) + "\n")
            self._file.flush()

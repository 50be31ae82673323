"""A suite of cases from the event table: covers of the machine that it describes (`reference`), as ordinary cases.

Each case goes along one word, expects every reply, and has the state named at its end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conformance.cases.model import Call, Send
from conformance.catalogue import Catalogue
from conformance.learn.alphabet import Alphabet, Word, word_text
from conformance.learn.cache import Cache
from conformance.learn.learner import Effort, learn
from conformance.learn.model import Model, switch_cover, transition_cover, wp_suite
from conformance.learn.naming import outcomes_of, segments_of
from conformance.learn.query import NO_SOCKET
from conformance.learn.reference import IN, OPEN, Reference, Said
from conformance.tcp import states as st
from conformance.tcp.states import State

COVERS = ("transition", "switch", "w")
_EFFORT = Effort(words=300, depth=0)
_BLOCKS = " blocks"


@dataclass(frozen=True, slots=True)
class Strength:
    """How many faults of a machine a suite tells: a wrong next state, a wrong output."""

    transfer: tuple[int, int]
    """Told, of all."""
    output: tuple[int, int]


def machine(reference: Reference) -> Model:
    """The machine of the event table over the alphabet; outputs are those of `Reference.ask`. Raises as `learn`."""
    alphabet = reference.alphabet
    effort = Effort(_EFFORT.words, _EFFORT.depth, _EFFORT.seed, alphabet.seeds)
    return learn(Cache(reference.ask), alphabet.letters, effort).model


def words(model: Model, cover: str, depth: int = 0) -> list[Word]:
    """The words of a cover, each as far as the RFC leaves no choice, and once."""
    suites = {"transition": transition_cover, "switch": switch_cover}
    found: Iterable[Word] = wp_suite(model, depth) if cover == "w" else suites[cover](model)
    cut = (word[: _decided(model, word)] for word in found)
    return sorted({word for word in cut if word}, key=lambda word: (len(word), word))


def _decided(model: Model, word: Word) -> int:
    outputs, _ = model.run(word)
    return outputs.index(OPEN) if OPEN in outputs else len(word)


def strength(model: Model, suite: Iterable[Word]) -> Strength:
    """The faults that the suite tells when its words are run as cases: all outputs, and the state at the end."""
    through: dict[tuple[int, str], list[Word]] = defaultdict(list)
    for word in suite:
        state = 0
        for at in dict.fromkeys(_along(model, word)):
            through[at].append(word)
    transfer, output = [0, 0], [0, 0]
    for state, letter in ((s, i) for s in range(len(model)) for i in model.letters):
        right = model.edges[state][letter]
        if right[0] == OPEN:
            continue
        output[1] += 1
        output[0] += bool(through[state, letter])
        for wrong in range(len(model)):
            if wrong != right[1]:
                transfer[1] += 1
                transfer[0] += any(_tells(model, word, (state, letter), wrong) for word in through[state, letter])
    return Strength((transfer[0], transfer[1]), (output[0], output[1]))


def _along(model: Model, word: Word) -> Iterator[tuple[int, str]]:
    state = 0
    for letter in word:
        yield state, letter
        state = model.edges[state][letter][1]


def _tells(model: Model, word: Word, fault: tuple[int, str], wrong: int) -> bool:
    """A case along this word fails on a machine whose one transition leads to a wrong state."""
    good = bad = 0
    named = (_state(model, 0), _state(model, 0))
    for letter in word:
        said, after = model.edges[good][letter], model.edges[bad][letter]
        if said[0].split(IN)[0] != after[0].split(IN)[0]:
            return True
        good, bad = said[1], wrong if (bad, letter) == fault else after[1]
        named = (_state(model, good), _state(model, bad))
    return named[0] != named[1]


def _state(model: Model, state: int) -> str:
    """The RFC's state of a state of the machine: what outputs that lead there say; the empty word's says nothing."""
    for row in model.edges:
        for output, to in row.values():
            if to == state and IN in output:
                return output.split(IN)[1]
    return "" if state else str(State.LISTEN)


def case_of(alphabet: Alphabet, catalogue: Catalogue, reference: Reference, word: Word) -> str:
    """The word as a case."""
    walk = reference.say(word)
    needed = list(dict.fromkeys(said.requirement for said in walk if said.requirement in catalogue))
    if not needed:
        needed = ["RFC9293-3.5-FIG6-3WHS"]
    last = walk[-1]
    lines = [f'title: "Generated: {word_text(word)}"']
    lines += [f"requirements: [{', '.join(needed)}]", "steps:"]
    lines += [f"  - {step.text}" for step in alphabet.setup]
    before = State.LISTEN if alphabet.setup else State.CLOSED
    for letter, said in zip(word, walk, strict=True):
        lines += _lines(alphabet, letter, said, before, catalogue)
        before = said.state
    lines.append(f"  - state: {last.state}")
    if last.requirement in catalogue:
        lines.append(f"    requirement: {last.requirement}")
    return "\n".join(lines) + "\n"


def _lines(alphabet: Alphabet, letter: str, said: Said, before: State, catalogue: Catalogue) -> Iterator[str]:
    step = alphabet.inputs[letter]
    if NO_SOCKET in said.output or (said.output.endswith(_BLOCKS) and isinstance(step, Call)):
        return
    yield f"  - {step.text}"
    if _BLOCKS in said.output:
        yield "    as: opening"
    for more in alphabet.then.get(letter, ()):
        yield f"  - {more.text}"
    replies = segments_of(said.output)
    if not replies and isinstance(step, Send):
        replies = ["nothing new" if before in st.REPEATS else "nothing"]
    for reply in replies:
        yield f"  - expect: {reply}"
        if said.requirement in catalogue:
            yield f"    requirement: {said.requirement}"
    for outcome in outcomes_of(said.output):
        if outcome.startswith("connect r"):
            yield "  - result: opening"
            if " raises " in outcome:  # the RFC has "connection refused" or "reset"; which errno is the API's matter
                yield "    raises: [ECONNREFUSED, ECONNRESET]"

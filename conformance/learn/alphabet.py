"""What is put into a target while its state machine is learned: inputs written in the case language.

An alphabet is a YAML file: a title, steps that run before each query (`setup`), the inputs by name, each a `send` or
a `call`, and perhaps `seeds`, words that are tried early. An input that is a list of calls goes on with
the second where the first succeeds. Calls named by `once` are made once a word, and come to `no socket` from then on.
The built-in ones are in `alphabets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from conformance.cases.model import Call, Case, Connection, Needs, Send, Step, Variation
from conformance.cases.steps import StepReader
from conformance.cases.yamltree import compose, items, near
from conformance.tcp.states import State

FOLDER = Path(__file__).parent / "alphabets"
_KEYS = frozenset({"title", "setup", "inputs", "once", "seeds"})

Word = tuple[str, ...]
"""Inputs by name, in order."""


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Inputs by name, each with the step that it stands for."""

    name: str
    title: str
    setup: tuple[Step, ...]
    inputs: Mapping[str, Send | Call]
    seeds: tuple[Word, ...] = ()
    then: Mapping[str, tuple[Call, ...]] = field(default_factory=dict)
    """Calls that follow an input's own call when that has succeeded, as part of the input."""
    once: frozenset[str] = frozenset()
    """Calls that are made once a word."""

    @property
    def letters(self) -> tuple[str, ...]:
        """The names of the inputs, in the order of the file."""
        return tuple(self.inputs)

    @property
    def verbs(self) -> frozenset[str]:
        """The application's calls that it needs."""
        steps: Iterator[Step] = chain(self.setup, self.inputs.values(), *self.then.values())
        return frozenset(step.verb for step in steps if isinstance(step, Call))

    @property
    def opened(self) -> bool:
        """The first input meets a connection that the application has accepted."""
        return any(isinstance(step, Call) and step.verb == "accept" for step in self.setup)

    def variation(self, version: int) -> Variation:
        """What the engine runs a query as: a case without steps."""
        case = Case(f"learn/{self.name}", "", self.title, (), Needs(), {"main": Connection("main")}, State.CLOSED)
        return Variation(f"learn/{self.name}[ip=v{version}]", case, version, {}, _NOTHING)


class _Nothing:
    """The steps of a query are chosen while it runs."""

    def __call__(self) -> tuple[tuple[Step, ...], int]:
        return (), 0

    def by_service(self, services: object) -> tuple[tuple[Step, ...], int, str | None]:
        raise LookupError("learning needs an agent")


_NOTHING = _Nothing()


def builtin() -> list[str]:
    """The names of the built-in alphabets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Alphabet:
    """A built-in alphabet by its name, or the one in a file. Raises CaseError, OSError."""
    path = FOLDER / f"{name}.yaml"
    if name not in builtin():
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"no alphabet {name!r}: {', '.join(builtin())}, or a file")
    return read(path.read_text(encoding="utf-8"), str(path), path.stem)


@cache
def read(text: str, file: str, name: str) -> Alphabet:
    """The alphabet that `text` says; `file` stands in errors. Raises CaseError."""
    node, problems = compose(text, file)
    reader = StepReader(problems, {}, None)
    title = name
    setup: tuple[Step, ...] = ()
    seeds: list[Node] = []
    once: list[Node] = []
    inputs: dict[str, Send | Call] = {}
    then: dict[str, tuple[Call, ...]] = {}
    for key, key_node, value in items(node):
        if key == "title" and isinstance(value, ScalarNode):
            title = value.value
        elif key == "setup":
            setup = reader.steps(value, "setup")
        elif key == "inputs" and isinstance(value, MappingNode):
            for letter, letter_node, said in items(value):
                steps = reader.steps(said, letter) if isinstance(said, SequenceNode) else (reader.step(said),)
                first, more = steps[0] if steps else None, [step for step in steps[1:] if isinstance(step, Call)]
                if isinstance(first, Send | Call) and len(more) == len(steps) - 1:
                    inputs[letter] = first
                    if more:
                        then[letter] = tuple(more)
                elif first is not None:
                    problems.at(letter_node, "an input is a send, a call, or a list of calls")
        elif key == "seeds" and isinstance(value, SequenceNode):
            seeds = list(value.value)
        elif key == "once" and isinstance(value, SequenceNode):
            once = list(value.value)
        else:
            problems.at(key_node, f"{key!r} is no key of an alphabet; {near(key, set(_KEYS))}")
    words = []
    for seed in seeds:
        word = parse_word(seed.value) if isinstance(seed, ScalarNode) else ()
        if not word or not set(word) <= inputs.keys():
            problems.at(seed, f"a seed is inputs with ';' between them: {', '.join(inputs)}")
        words.append(word)
    for named in once:
        if not isinstance(named, ScalarNode) or not isinstance(inputs.get(named.value), Call):
            problems.at(named, "what is made once is a call among the inputs")
    if not inputs and not problems.found:
        problems.at(node, "an alphabet has inputs: 'SYN: {send: SYN}'")
    problems.check()
    return Alphabet(name, title, setup, inputs, tuple(words), then, frozenset(str(named.value) for named in once))


def parse_word(text: str) -> Word:
    """The word that `SYN; ACK; close` says."""
    return tuple(letter.strip() for letter in text.split(";") if letter.strip())


def word_text(word: Word) -> str:
    """The word as text; `parse_word` is its inverse."""
    return "; ".join(word)


def translate(alphabet: Alphabet, steps: Sequence[Step]) -> Word:
    """The steps of a case as far as this alphabet can say them: seeds come from the suite that way."""
    known: dict[str, str] = {}
    for letter, step in alphabet.inputs.items():
        known.setdefault(_essence(step), letter)
    found = [known.get(_essence(step)) for step in steps if isinstance(step, Send | Call)]
    return tuple(letter for letter in found if letter is not None)


def _essence(step: Send | Call) -> str:
    return f"send {step.line}" if isinstance(step, Send) else f"call {step.verb}"

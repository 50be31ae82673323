"""Two models side by side: the shortest words that tell them apart, grouped by what differs.

A model file may be a published one, whose inputs read `SYN(V,V,0)`: its letters are translated, and outputs are then
compared by flags alone, for numbers are named otherwise there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from conformance.catalogue import Catalogue
from conformance.learn.alphabet import Alphabet, Word
from conformance.learn.model import Model, differences
from conformance.learn.naming import NOTHING, segments_of
from conformance.learn.query import NO_SOCKET
from conformance.learn.reference import OPEN, Reference

_PUBLISHED = {
    "SYN(V,V,0)": "SYN",
    "SYN+ACK(V,V,0)": "SYN,ACK",
    "ACK(V,V,0)": "ACK",
    "ACK+PSH(V,V,1)": "data",
    "FIN+ACK(V,V,0)": "FIN",
    "RST(V,V,0)": "RST",
    "ACK+RST(V,V,0)": "RST,ACK",
    "ACCEPT": "accept",
    "RCV": "receive",
    "SEND": "send",
    "CLOSECONNECTION": "close",
    "CONNECT": "connect",
}
AS_IT_SAYS = "as the RFC has it"
_FLAGS = re.compile(r"^([A-Z+]+)\(")


@dataclass(slots=True)
class Side:
    """One of the two: a model, and how its words are said to a live target (None: there is only a file)."""

    name: str
    model: Model
    ask: Callable[[Word], tuple[str, ...]] | None = None
    judge: Callable[[Word], str] | None = None
    """What the RFC says of the last input's answer, in words; empty where it is in order."""


@dataclass(slots=True)
class Difference:
    """What one word draws from both."""

    word: Word
    outputs: tuple[str, str]
    states: tuple[str, str]
    again: int = 0
    """How many more words show the same: the same states, the same two answers."""
    likewise: dict[str, None] = field(default_factory=dict)
    """The last inputs of these."""
    confirmed: bool = True
    """Both targets, asked again, said so."""
    rfc: tuple[str, str] = ("", "")


def is_published(model: Model) -> bool:
    """Its inputs are those of the published models."""
    return bool(set(model.letters) & _PUBLISHED.keys())


def translated(model: Model) -> Model:
    """A published model with our inputs; one of a server begins where it listens."""
    letters = [letter for letter in model.letters if letter in _PUBLISHED]
    start = model.edges[0]["LISTEN"][1] if "LISTEN" in model.letters else 0
    order = [start, *(state for state in range(len(model)) if state != start)]
    place = {state: index for index, state in enumerate(order)}
    edges = [{_PUBLISHED[i]: (model.edges[s][i][0], place[model.edges[s][i][1]]) for i in letters} for s in order]
    names = [model.name(state) for state in order]
    return Model(tuple(_PUBLISHED[letter] for letter in letters), edges, names, model.facts).ordered()


def by_flags(output: str) -> str:
    """An output's segments by their flags, PSH left out; `nothing` without any."""
    match = _FLAGS.match(output)
    if match is not None:
        said = [match.group(1).split("+")]
    else:
        said = [text.split(" ", 1)[0].split(",") for text in segments_of(output) if output != "TIMEOUT"]
    return "; ".join(",".join(sorted(set(flags) - {"PSH"})) for flags in said) or NOTHING


def compare(a: Side, b: Side) -> list[Difference]:
    """Each cause once, by a shortest word, and asked again of what is live. Raises ValueError: no common input."""
    coarse = is_published(a.model) != is_published(b.model)
    models = [translated(s.model) if coarse and is_published(s.model) else s.model for s in (a, b)]
    letters = [letter for letter in models[0].letters if letter in models[1].letters]
    if not letters:
        raise ValueError(f"{a.name} and {b.name} have no input in common")
    read: Callable[[str], str] = by_flags if coarse else str
    found: dict[tuple[str, ...], Difference] = {}
    for word in differences(models[0], models[1], letters, alike=lambda x, y: read(x) == read(y)):
        outputs = (models[0].run(word)[0][-1], models[1].run(word)[0][-1])
        states = tuple(model.name(model.run(word[:-1])[1]) for model in models)
        where = () if coarse else tuple(_unnumbered(state) for state in states)
        key = (*where, word[-1] if coarse else "", read(outputs[0]), read(outputs[1]))
        if key in found:
            found[key].again += 1
            found[key].likewise.setdefault(word[-1])
            continue
        found[key] = Difference(word, outputs, (states[0], states[1]))
    for difference in found.values():
        said = [side.ask(difference.word) if side.ask is not None else None for side in (a, b)]
        foretold = [model.run(difference.word)[0] for model in models]
        difference.confirmed = all(live is None or live == told for live, told in zip(said, foretold, strict=True))
        words = [side.judge(difference.word) if side.judge is not None else "" for side in (a, b)]
        difference.rfc = (words[0], words[1])
    return list(found.values())


def by_table(model: Model, alphabet: Alphabet, catalogue: Catalogue) -> Callable[[Word], str]:
    """What the event table says of a model's answers, for a side that is only a file. Empty where it is open."""
    coarse = is_published(model)
    spoken = translated(model) if coarse else model
    read: Callable[[str], str] = by_flags if coarse else str
    reference = Reference(alphabet, catalogue)

    def judge(word: Word) -> str:
        if not set(word) <= set(alphabet.letters):
            return ""
        said = reference.say(word)[-1]
        if said.output in (OPEN, NO_SOCKET):
            return ""
        if read(said.output) == read(spoken.run(word)[0][-1]):
            return AS_IT_SAYS
        rule = f"{catalogue.get(said.requirement).level} {said.requirement}: " if said.requirement else ""
        return f"{rule}{said.output} expected"

    return judge


def _unnumbered(name: str) -> str:
    return re.sub(r" \d+$", "", name)


def told(difference: Difference, a: Side, b: Side) -> list[str]:
    """The difference in a few lines."""
    more = f" (and {difference.again} more words, after {', '.join(difference.likewise)})" if difference.again else ""
    doubt = "" if difference.confirmed else " - NOT SO when asked again: learn with more words, or greater depth"
    lines = [f"{'; '.join(difference.word)}{more}{doubt}"]
    width = max(len(a.name), len(b.name))
    for side, state, output, rfc in zip((a, b), difference.states, difference.outputs, difference.rfc, strict=True):
        lines.append(f"  {side.name:<{width}}  in {state}: {output}{f'  [{rfc}]' if rfc else ''}")
    return lines

"""A learned model held against RFC 9293: each transition is walked live once more, and judged.

What the RFC does not permit is told by the shortest word that shows it, with its requirement, and as a case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.cases.model import Call, Send
from conformance.catalogue import Catalogue
from conformance.learn.alphabet import Alphabet, Word, word_text
from conformance.learn.model import Model, transition_cover
from conformance.learn.naming import outcomes_of, segments_of
from conformance.learn.query import NO_SOCKET, Asker, Observed
from conformance.learn.rules import Breach, Judge
from conformance.tcp.states import State


@dataclass(slots=True)
class Found:
    """One thing that the RFC does not permit."""

    breach: Breach
    word: Word
    walk: list[Observed]
    again: int = 0
    """In how many other transitions it shows, too."""

    def title(self) -> str:
        """What it is, in one line."""
        breach = self.breach
        if breach.reached:
            return f"In {breach.state} '{self.word[-1]}' leads to {breach.reached}, not to {breach.to}"
        return f"In {breach.state} '{self.word[-1]}' draws {breach.seen}, not {breach.expected}"


def start_of(alphabet: Alphabet) -> State:
    """Where the first input of a word meets the target."""
    if alphabet.opened:
        return State.ESTABLISHED
    return State.LISTEN if any(isinstance(s, Call) and s.verb == "listen" for s in alphabet.setup) else State.CLOSED


def judge_word(
    asker: Asker, word: Word, catalogue: Catalogue, *, patient: int | None = None
) -> tuple[list[Observed], list[Breach | None]]:
    """Walk a word live and judge each input.

    From index `patient` on, else at the last input, a delayed acknowledgement is waited for.
    """
    walk = asker.watch(word, oracle=True, patient=len(word) - 1 if patient is None else patient)
    return walk, judged(asker.alphabet, walk, catalogue)


def judged(alphabet: Alphabet, walk: list[Observed], catalogue: Catalogue) -> list[Breach | None]:
    """What the RFC says of each input of a word that was walked."""
    judge = Judge(catalogue, start_of(alphabet))
    breaches: list[Breach | None] = []
    for observed in walk:
        step = alphabet.inputs[observed.letter]
        if observed.skipped:
            breaches.append(None)
            continue
        breaches.append(judge.look(observed, step.verb if isinstance(step, Call) else ""))
    return breaches


def check(asker: Asker, model: Model, catalogue: Catalogue) -> list[Found]:
    """Everything in the model that the RFC does not permit, each once, the shortest words first."""
    found: dict[tuple[object, ...], Found] = {}
    words = sorted(transition_cover(model), key=len)
    for word, walk in zip(words, asker.watch_all(words, oracle=True, patient=True), strict=True):
        breaches = judged(asker.alphabet, walk, catalogue)
        breach = breaches[-1]
        if breach is None:
            continue
        if any(derails(earlier) for earlier in breaches[:-1]):
            continue  # the tester's numbers, and what the RFC says of them, went astray before
        key = (breach.requirement, breach.state, breach.seen, breach.reached, breach.expected)
        if key in found:
            found[key].again += 1
        else:
            found[key] = Found(breach, word, walk)
    return list(found.values())


def derails(breach: Breach | None) -> bool:
    """After it the connection is in another state than the RFC has."""
    return breach is not None and (bool(breach.reached) or breach.strayed)


def invariants(asker: Asker, model: Model) -> dict[str, Word]:
    """Every invariant that some transition breaks, with the shortest word that shows it."""
    found: dict[str, Word] = {}
    words = sorted(transition_cover(model), key=len)
    for word, walk in zip(words, asker.watch_all(words), strict=True):
        if walk[-1].broken:
            found.setdefault(walk[-1].broken, word)
    return found


def as_case(alphabet: Alphabet, found: Found) -> str:
    """The finding as a case: what came before as it came, and at the end what the RFC has instead."""
    lines = [f"# learned: {word_text(found.word)}", f'title: "{_quoted(found.title())}"']
    lines += [f"requirements: [{found.breach.requirement}]", "steps:"]
    lines += [f"  - {step.text}" for step in alphabet.setup]
    for observed in found.walk[:-1]:
        lines += _lines(alphabet, observed)
    last = found.walk[-1]
    if found.breach.reached:
        lines += _lines(alphabet, last)
        lines.append(f"  - state: {found.breach.to}")
    else:
        lines += _lines(alphabet, last, [] if found.breach.expected == "nothing" else [found.breach.expected])
        if found.breach.state is State.SYN_RECEIVED and lines[-1].endswith(" nothing"):
            lines[-1] += " new"  # the SYN,ACK's timer runs
    return "\n".join(lines) + "\n"


def _lines(alphabet: Alphabet, observed: Observed, replies: list[str] | None = None) -> Iterator[str]:
    """One input with what it drew, or with the `replies` that it should have drawn."""
    step = alphabet.inputs[observed.letter]
    if replies is None:
        replies = segments_of(observed.output)
    if isinstance(step, Call):
        if NO_SOCKET in observed.parts or (observed.blocked and step.verb != "connect"):
            return
        yield from _call(step, observed)
        for more in alphabet.then.get(observed.letter, ()) if not _failed(observed) else ():
            yield f"  - {more.text}"
    else:
        yield f"  - {step.text}"
    for reply in replies:
        yield f"  - expect: {reply}"
    if not replies and isinstance(step, Send) and not observed.owed:
        yield "  - expect: nothing"


def _failed(observed: Observed) -> bool:
    return not observed.outcomes or observed.outcomes[0][1].error is not None


def _call(step: Call, observed: Observed) -> Iterator[str]:
    yield f"  - {step.text}"
    if observed.blocked:
        yield "    as: opening"
        return
    said = outcomes_of(observed.output)[0]
    verb, how, what = (*said.split(" ", 2), "")[:3]
    if how == "raises":
        yield f"    raises: {what}"
    elif verb == "recv":
        yield f"    returns: {'any' if what == 'data' else what}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def told(found: Found, catalogue: Catalogue) -> str:
    """The finding in a line: level, requirement, what it is, how often, the word."""
    level = catalogue.get(found.breach.requirement).level
    known = " (other stacks do so, too)" if found.breach.known else ""
    more = f", and in {found.again} other transitions" if found.again else ""
    return f"{level} {found.breach.requirement}: {found.title()}{known}{more}; word: {word_text(found.word)}"


__all__ = ["Found", "as_case", "check", "derails", "invariants", "judge_word", "judged", "start_of", "told"]

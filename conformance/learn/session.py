"""One learning run from a target's name to files: opened, calibrated, learned, asked again, named, written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from conformance.cases.model import Send
from conformance.catalogue import Catalogue
from conformance.learn import draw, files
from conformance.learn.alphabet import Alphabet, Word, word_text
from conformance.learn.cache import Cache, Flaw, LimitError
from conformance.learn.check import Found, as_case, check, invariants, told
from conformance.learn.crowd import Crowd
from conformance.learn.fresh import judged_by
from conformance.learn.learner import Effort, Learned, Progress, learn, rehearsed
from conformance.learn.model import Model, numbered, transition_cover
from conformance.learn.properties import Verdict, verify
from conformance.learn.query import FINAL, Asker, keep_to_one
from conformance.targets.asked import Asked, is_address
from conformance.targets.base import Target, TargetError
from conformance.targets.opening import opener
from conformance.targets.stacks import adapters, program, split

_UNTHROTTLED, _SETTING = {"tcp_invalid_ratelimit": "0"}, {"challenge-interval": "0"}
"""Where a setting can do it, challenge ACKs are not limited: what was answered must not depend on what was before.

Nor must time pass between them, in which the stack's timers fire. A stack's profile `unthrottled` does the same.
"""


def open_asker(name: str, alphabet: Alphabet, *, version: int = 4, sysctls: Mapping[str, str] | None = None) -> Asker:
    """A target ready to be asked. Raises TargetError: it can't be had, or silence can't be proven on its path."""
    if is_address(name):
        raise TargetError(
            f"{name}: no host can be learned: each query needs a fresh start and a path that loses nothing"
        )
    virtual = split(name)[0] != "linux" and program(name).clock == "virtual"
    processors = keep_to_one() if virtual else frozenset()
    target: Target | None = None
    try:
        target = _opened(name, sysctls or {})
        _fit(target, name, alphabet, version)
    except BaseException:
        if target is not None:
            target.close()
        if processors:
            os.sched_setaffinity(0, processors)
        raise

    def another() -> Asker:
        return open_asker(name, alphabet, version=version, sysctls=sysctls)

    return Asker(target, alphabet, version, another=another, processors=processors)


def _fit(target: Target, name: str, alphabet: Alphabet, version: int) -> None:
    """Raises TargetError where the target can't be learned over this alphabet."""
    if not target.calibration.barrier_sound:
        raise TargetError(f"{name}: silence can't be proven on this path, and waiting for it would take hours")
    lacking = alphabet.verbs - target.capabilities.verbs
    if lacking:
        raise TargetError(f"{name}: its agent lacks {', '.join(sorted(lacking))}, which {alphabet.name} needs")
    if version not in target.capabilities.ip:
        raise TargetError(f"{name} has no IPv{version}")


def _opened(name: str, sysctls: Mapping[str, str]) -> Target:
    if split(name)[0] == "linux":
        return opener(Asked(target=name, sysctls={**_UNTHROTTLED, **sysctls}))({})
    open_target = opener(Asked(target=_unthrottled(name), sysctls=sysctls))
    kernel = program(name).with_sysctls is not None
    return open_target(_SETTING if kernel else {})


def _unthrottled(name: str) -> str:
    stack, profile = split(name)
    adapter = adapters().get(stack)
    if adapter is None or "unthrottled" not in adapter.profiles or "unthrottled" in profile.split("+"):
        return name
    if not profile:
        return f"{name}:unthrottled"
    return f"{name}+unthrottled" if adapter.joined else name


def key(asker: Asker, sysctls: Mapping[str, str]) -> str:
    """Whose answers these are: the stack, its settings, the alphabet."""
    alphabet = asker.alphabet
    said = [str(step.line) if isinstance(step, Send) else step.text for step in alphabet.inputs.values()]
    said += [step.text for step in alphabet.setup] + [*alphabet.letters, *sorted(alphabet.once)]
    digest = hashlib.sha256("\n".join(said).encode()).hexdigest()[:8]
    settings = ",".join(f"{name}={value}" for name, value in sorted(sysctls.items()))
    kernel = str(asker.target.describe().get("kernel", ""))
    return f"{asker.target.name} ({kernel}{'; ' + settings if settings else ''}), {alphabet.name} {digest}"


@dataclass(slots=True)
class Session:
    """What came of it."""

    learned: Learned
    flaws: list[Flaw]
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        """The learned machine, its states named."""
        return self.learned.model


def run(
    asker: Asker,
    folder: Path,
    effort: Effort,
    *,
    sysctls: Mapping[str, str] | None = None,
    limit: int | None = None,
    like: Model | None = None,
    told: Callable[[Cache, Progress], None] = lambda cache, progress: None,
) -> Session:
    """Learn, ask each transition once more, name the states, write all to `folder`.

    What a machine `like` it, over the same inputs, would be asked is asked side by side, before. Raises as `learn`,
    ResumeError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    crowd = Crowd(asker)
    cache = Cache(
        asker.ask,
        path=folder / "queries.jsonl",
        key=key(asker, sysctls or {}),
        limit=limit,
        final=FINAL,
        told=lambda: told(cache, progress),
        ask_all=crowd.ask_all,
        side_by_side=crowd.side_by_side,
    )
    try:
        effort = replace(effort, doubts=lambda model: _doubts(model, asker.alphabet))
        if like is not None:
            effort = rehearsed(Model(asker.alphabet.letters, like.edges), effort, FINAL)
        with _ended_between(cache):
            learned = learn(cache, asker.alphabet.letters, effort, progress)
        if learned.finished:
            progress.phase = "each transition again"
            with contextlib.suppress(LimitError):
                cache.again(transition_cover(learned.model))
    finally:
        cache.close()
        crowd.close()
    model = learned.model
    progress.phase = "naming states"
    model.names = numbered(asker.names(model.access()))
    flaws = list(cache.flaws.values())
    model.facts = _facts(asker, cache, learned, flaws)
    session = Session(learned, flaws, model.facts)
    (folder / "model.json").write_text(files.to_json(model), encoding="utf-8")
    (folder / "model.dot").write_text(files.to_dot(model), encoding="utf-8")
    (folder / "model.svg").write_text(draw.svg(model), encoding="utf-8")
    return session


@contextlib.contextmanager
def _ended_between(cache: Cache) -> Iterator[None]:
    """The first Ctrl-C takes effect between two queries: an agent that is interrupted in one can't be asked more."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def end(number: int, frame: object) -> None:
        cache.ended = "ended by Ctrl-C"
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _doubts(model: Model, alphabet: Alphabet) -> list[Word]:
    """What would break a property: rather the hypothesis is wrong."""
    return [verdict.word for verdict in verify(model, alphabet) if verdict.word is not None]


def _facts(asker: Asker, cache: Cache, learned: Learned, flaws: list[Flaw]) -> dict[str, object]:
    seconds = learned.seconds
    return {
        "target": asker.target.name,
        "kernel": str(asker.target.describe().get("kernel", "")),
        "alphabet": asker.alphabet.name,
        "finished": learned.finished,
        "proof": learned.proof,
        "statistics": {
            "states": len(learned.model),
            "inputs": len(asker.alphabet.letters),
            "queries": cache.queries,
            "steps": cache.steps,
            "resumed": cache.resumed,
            "repeated": asker.repeated,
            "rounds": learned.rounds,
            "depth": learned.depth,
            "words": learned.words,
            "seconds": round(seconds, 2),
            "microseconds_a_step": round(seconds * 1e6 / cache.steps, 1) if cache.steps else 0,
            "counterexamples": learned.sources,
        },
        "nondeterminism": [{"word": word_text(flaw.word), "answers": dict(flaw.answers)} for flaw in flaws],
    }


@dataclass(slots=True)
class Checked:
    """A model held against the RFC."""

    findings: list[Found]
    verdicts: list[Verdict]
    invariants: dict[str, Word]

    def lines(self, catalogue: Catalogue) -> list[str]:
        """One line for each finding, then for each property."""
        found = [told(finding, catalogue) for finding in self.findings]
        found += [f"invariant {broken}; word: {word_text(word)}" for broken, word in self.invariants.items()]
        for verdict in self.verdicts:
            kept = "kept" if verdict.word is None else f"BROKEN by: {word_text(verdict.word)}"
            found.append(f"property {verdict.property.name}: {verdict.property.title}: {kept}")
        return found


def checked(asker: Asker, model: Model, catalogue: Catalogue, folder: Path) -> Checked:
    """Hold a learned model against the event table and the properties; findings become cases in `folder`/cases."""
    found = Checked(check(asker, model, catalogue), verify(model, asker.alphabet), invariants(asker, model))
    cases = folder / "cases"
    cases.mkdir(parents=True, exist_ok=True)
    for old in cases.glob("*.yaml"):
        old.unlink()
    for number, finding in enumerate(found.findings, 1):
        (cases / f"finding-{number:02}.yaml").write_text(as_case(asker.alphabet, finding), encoding="utf-8")
    lines = [judged_by(), *found.lines(catalogue)]
    (folder / "findings.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return found


def seeds(alphabet: Alphabet, words: list[Word], most: int = 400) -> list[Word]:
    """The alphabet's own seeds, then the suite's as far as the alphabet can say them, each once."""
    found = dict.fromkeys((*alphabet.seeds, *(word for word in words if len(word) > 2)))
    return list(found)[:most]


__all__ = ["Checked", "Session", "checked", "key", "open_asker", "run", "seeds"]

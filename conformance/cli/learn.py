"""`conformance learn`: the state machine of a target, learned from outside; and two of them compared."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.common import NOT_RUN, USAGE, fail, files, load, say, sysctls

if TYPE_CHECKING:
    from conformance.learn.alphabet import Alphabet, Word
    from conformance.learn.cache import Cache
    from conformance.learn.diff import Side
    from conformance.learn.learner import Progress
    from conformance.learn.model import Model
    from conformance.learn.query import Asker
    from conformance.learn.session import Session


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET [TARGET]")
@click.option("--diff", is_flag=True, help="Compare two: targets, or model files (.json, .dot).")
@click.option(
    "--alphabet", default="server", show_default=True, help="A built-in one (docs/learning.md), or a YAML file."
)
@click.option(
    "--depth",
    type=click.IntRange(0, 4),
    help="Depth of the Wp-method; 1 where that takes five minutes at most, else 0.",
)
@click.option(
    "--words", type=click.IntRange(0), help="Random words a hypothesis; 1000, or 100 a state if that is more."
)
@click.option("--seed", default=1, show_default=True, help="What random words are drawn from.")
@click.option("--ip", type=click.Choice(["v4", "v6"]), default="v4", show_default=True)
@click.option("--queries", type=click.IntRange(1), help="Stop after so many; the same command goes on from there.")
@click.option(
    "--like", metavar="FILE", help="A model that it may be like: what that would be asked is asked first, side by side."
)
@click.option("--out", metavar="DIR", help="Where all of it goes; reports/learned/TARGET-ALPHABET otherwise.")
@click.option("--no-check", is_flag=True, help="Don't hold the model against the RFC.")
@click.option("--sysctl", multiple=True, metavar="NAME=VALUE", help="Set in the own kernel's namespace. Repeatable.")
def learn(targets: tuple[str, ...], **asked: Any) -> None:
    """Learn a target's state machine: TARGET as in 'conformance run --target'. With --diff compare two.

    What was asked is kept in DIR: the same command later goes on where it was. Exit codes: 0 learned, or no
    difference; 1 the target answers one way and another, or the two differ; 2 wrong usage; 3 not finished.
    """
    wanted = 2 if asked["diff"] else 1
    if len(targets) != wanted:
        fail(f"learn {'--diff ' if asked['diff'] else ''}takes {wanted} target(s), not {len(targets)}", USAGE)
    sys.exit(_diff(targets[0], targets[1], asked) if asked["diff"] else _learn(targets[0], asked))


def alphabet_of(name: str) -> Alphabet:
    """The alphabet that was asked for, or an end with a reason."""
    from conformance.cases.yamltree import CaseError
    from conformance.learn.alphabet import load as load_alphabet

    try:
        return load_alphabet(name)
    except CaseError as error:
        return fail(str(error), USAGE)
    except OSError as error:
        return fail(str(error) if error.errno is None else f"{name}: {error.strerror}", USAGE)


def _like(name: str | None, alphabet: Alphabet) -> Model | None:
    """The model in a file, or an end with a reason."""
    from conformance.learn import files as models

    if name is None:
        return None
    try:
        model = models.read(Path(name))
    except models.ModelError as error:
        return fail(str(error), USAGE)
    if set(model.letters) != set(alphabet.letters):
        fail(f"{name}: over other inputs than {alphabet.name}: {', '.join(model.letters)}", USAGE)
    return model


def suite_words(alphabet: Alphabet) -> list[Word]:
    """The suite's cases as words, as far as the alphabet can say them."""
    from conformance.cases.yamltree import CaseError
    from conformance.learn.alphabet import translate

    found = []
    for case in load(files(()))[0]:
        for variation in case.variations[:1]:
            try:
                found.append(translate(alphabet, variation.build()[0]))
            except CaseError:
                continue
    return found


def _folder(name: str, alphabet: Alphabet, asked: dict[str, Any]) -> Path:
    if asked["out"] and not asked["diff"]:
        return Path(asked["out"])
    slug = f"{name.replace(':', '-').replace('/', '_')}-{alphabet.name}"
    return (Path(asked["out"]) if asked["out"] else Path("reports") / "learned") / slug


def failures() -> tuple[type[Exception], ...]:
    """What ends learning with a reason."""
    from conformance.engine.ending import Inconclusive
    from conformance.engine.scope import HarnessError
    from conformance.learn.cache import ResumeError
    from conformance.learn.learner import NotInstalledError
    from conformance.targets.base import AdapterError, TargetError

    return TargetError, AdapterError, Inconclusive, HarnessError, NotInstalledError, ResumeError, OSError


def _session(asker: Asker, name: str, asked: dict[str, Any]) -> Session:
    """Learn an opened target."""
    from conformance.learn import session as sessions
    from conformance.learn.learner import Effort

    alphabet = asker.alphabet
    effort = Effort(asked["words"], asked["depth"], asked["seed"], sessions.seeds(alphabet, suite_words(alphabet)))
    shown = _Shown()
    try:
        return sessions.run(
            asker,
            _folder(name, alphabet, asked),
            effort,
            sysctls=sysctls(asked["sysctl"]),
            limit=asked["queries"],
            like=_like(asked["like"], alphabet),
            told=shown,
        )
    finally:
        shown.end()


def _open(name: str, alphabet: Alphabet, asked: dict[str, Any]) -> Asker:
    from conformance.learn.session import open_asker

    return open_asker(name, alphabet, version=int(asked["ip"][1]), sysctls=sysctls(asked["sysctl"]))


def _learn(name: str, asked: dict[str, Any]) -> int:
    from conformance.catalogue import load as load_catalogue
    from conformance.learn.session import checked

    alphabet = alphabet_of(asked["alphabet"])
    _like(asked["like"], alphabet)
    folder = _folder(name, alphabet, asked)
    lines: list[str] = []
    try:
        asker = _open(name, alphabet, asked)
        try:
            session = _session(asker, name, asked)
            if session.learned.finished and not asked["no_check"]:
                lines = checked(asker, session.model, load_catalogue(), folder).lines(load_catalogue())
        finally:
            asker.close()
    except failures() as error:
        fail(str(error), NOT_RUN)
    return _tell(session, folder, lines)


def _diff(first: str, second: str, asked: dict[str, Any]) -> int:
    from conformance.learn import diff
    from conformance.learn.files import ModelError

    askers: list[Asker] = []
    try:
        a, b = (_side(name, asked, askers) for name in (first, second))
        found = diff.compare(a, b)
    except (ModelError, ValueError) as error:
        fail(str(error), USAGE)
    except failures() as error:
        fail(str(error), NOT_RUN)
    finally:
        for asker in reversed(askers):
            asker.close()
    for difference in found:
        say("\n".join(diff.told(difference, a, b)))
    say(f"{len(found)} differences between {a.name} ({len(a.model)} states) and {b.name} ({len(b.model)} states)")
    return 1 if found else 0


def _side(name: str, asked: dict[str, Any], askers: list[Asker]) -> Side:
    """A model file, or a target that is learned first (what is known of it is not asked again)."""
    from conformance.catalogue import load as load_catalogue
    from conformance.learn import files as models
    from conformance.learn.alphabet import builtin
    from conformance.learn.check import judge_word
    from conformance.learn.diff import AS_IT_SAYS, Side, by_table

    if name.endswith((".json", ".dot")):
        model = models.read(Path(name))
        over = str(model.facts.get("alphabet", ""))
        alphabet = alphabet_of(over if over in builtin() else asked["alphabet"])
        return Side(name, model, judge=by_table(model, alphabet, load_catalogue()))
    asker = _open(name, alphabet_of(asked["alphabet"]), asked)
    askers.append(asker)
    session = _session(asker, name, asked)
    if not session.learned.finished:
        fail(f"{name}: {session.learned.proof}", NOT_RUN)
    catalogue = load_catalogue()

    def judge(word: Word) -> str:
        breach = judge_word(asker, word, catalogue)[1][-1]
        if breach is None:
            return AS_IT_SAYS
        return f"{catalogue.get(breach.requirement).level} {breach.requirement}: {breach.expected} expected"

    return Side(name, session.model, asker.ask, judge)


def _tell(session: Session, folder: Path, lines: list[str]) -> int:
    learned = session.learned
    said: Any = session.facts["statistics"]
    say(
        f"{said['states']} states over {said['inputs']} inputs; {said['queries']} queries, {said['steps']} steps in"
        f" {said['seconds']} s ({said['microseconds_a_step']} us a step); {learned.proof}"
    )
    for flaw in session.flaws:
        ways = ", ".join(f"{count}x {answer}" for answer, count in flaw.answers.most_common())
        say(f"nondeterminism: {'; '.join(flaw.word)}: {ways}")
    for line in lines:
        say(line)
    if lines:
        say(f"each finding as a case: {folder / 'cases'}")
    say(f"model: {folder / 'model.dot'}, .json, .svg; queries: {folder / 'queries.jsonl'}")
    if not learned.finished:
        return NOT_RUN
    return 1 if session.flaws else 0


class _Shown:
    """States, queries, rate, on standard error: once a second on a terminal, else every ten."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._latest = self._began = time.monotonic()

    def __call__(self, cache: Cache, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._latest < (1 if self._terminal else 10):
            return
        self._latest = now
        rate = cache.queries / (now - self._began)
        line = f"{progress.states} states, {cache.queries} queries, {rate:.0f}/s, {progress.phase}"
        click.echo(f"\r{line:<78}" if self._terminal else line, err=True, nl=not self._terminal)

    def end(self) -> None:
        """Leave the line."""
        if self._terminal:
            click.echo(err=True)

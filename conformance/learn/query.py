"""Puts a word into a fresh connection of a target and says what each input drew: the system under learning.

Everything is done by the engine's own parts: its variables, its crafted segments, its calls, its proof of silence.
What a stack repeats by a timer is no answer and left out; a query that took so long that timers may have fired is
done again.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from conformance.cases.model import Call, Send, StateIs
from conformance.engine.acting import begin
from conformance.engine.calls import adopt, start
from conformance.engine.clock import Clock, RealClock, VirtualClock, VirtualLoop
from conformance.engine.context import SETTLE, Run
from conformance.engine.ending import Inconclusive, StepFailed, Unsupported
from conformance.engine.naming import inquire
from conformance.engine.scope import Conn, HarnessError
from conformance.learn.alphabet import Alphabet, Word
from conformance.learn.naming import joined, outcome_text, reply_text
from conformance.targets.base import Outcome, StackDied, Target
from conformance.tcp.recognise import own_accord
from conformance.tcp.segment import ACK, RST, SYN, Segment
from conformance.tcp.states import State, View

Output = tuple[str, ...]
T = TypeVar("T")
LATE = 0.12
"""Seconds of a query in real time from which on a retransmission timer may have fired (the shortest known is 0.2).

What the query itself lets pass, for the interval of a limit, does not count: timers are part of what is learned then.
"""
SIDE_BY_SIDE = 64
"""Words asked at the same time where they let the interval of a limit pass in real time."""
APART = 0.02
"""Seconds between the beginnings of the first words that are asked side by side: no burst of them all."""
PAUSE = 0.01
"""Seconds after each input in such words. Some stacks work at several segments at a time: silence proves that what one
was going to answer at once has come, not that it is done with what it does not answer."""
ATTEMPTS = 8
MARGIN = 0.02
"""Seconds beyond the interval at which a stack limits its challenge ACKs: at its very end either may happen."""
DIED = "the stack died"
NO_SOCKET = "no socket"
ASTRAY = "astray"
"""The output of all that follows an acknowledgement of what the tester can't have sent, or thinks was not taken: it
is no right peer any more, and to go on would tell of its own numbers as much as of the stack's."""
FINAL = (ASTRAY, DIED)
"""After these there is but the same."""
_ASTRAY = re.compile(r"(FIN,)?ACK seq=\S+ ack=(?!rcv\.nxt(?![+-]))")


@dataclass(slots=True)
class Observed:
    """One input and all that it drew."""

    letter: str
    sent: Segment | None = None
    before: View | None = None
    """The target's variables before it was sent."""
    fin_sent: bool = False
    """It had sent a FIN before."""
    opening: bool = False
    """It is a call that connects."""
    made: bool = True
    """The call could be made: the application had a socket."""
    replies: list[Segment] = field(default_factory=list)
    at: list[tuple[int, int]] = field(default_factory=list)
    """snd.nxt and rcv.nxt when each reply came."""
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    """Calls that ended, this input's own first."""
    blocked: bool = False
    owed_before: bool = False
    owed: bool = False
    """An acknowledgement is owed, and may be delayed: before this input, and after it."""
    reset: bool = False
    """By the tester's variables the connection is reset."""
    broken: str = ""
    """An invariant that a reply breaks, and its requirement."""
    parts: list[str] = field(default_factory=list)
    skipped: bool = False
    """It was not put in: the stack had died, or gone astray."""
    oracle: str | None = None

    @property
    def output(self) -> str:
        """What is learned."""
        return joined(self.parts)


def keep_to_one() -> frozenset[int]:
    """Keep this process, and what it starts from now on, to one processor. Returns those that it had, or none.

    The tester and a stack in virtual time wait for each other's word all the time, and to be woken on another processor
    takes longer than most answers: on two a step takes twice as long.
    """
    processors = frozenset(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {sorted(processors)[os.getpid() % len(processors)]})
    except OSError:
        return frozenset()
    return processors


class Asker:
    """Runs words on one target, in its own time. `close` it after use; it closes the target."""

    def __init__(
        self,
        target: Target,
        alphabet: Alphabet,
        version: int = 4,
        *,
        another: Callable[[], Asker] | None = None,
        processors: Collection[int] = (),
    ) -> None:
        self.target, self.alphabet = target, alphabet
        self.another = another
        """Opens one more of its kind."""
        self.processors = processors
        """Those that this process had before it kept to one for this target (`keep_to_one`); it has them back after."""
        keeper = target.time
        self._rests = keeper is None and target.capabilities.challenge_interval > 0
        self._clock: Clock = RealClock() if keeper is None else VirtualClock(keeper)
        self._loop: asyncio.AbstractEventLoop = asyncio.new_event_loop() if keeper is None else VirtualLoop(keeper)
        self._variation = alphabet.variation(version)
        self.queries = self.steps = self.repeated = 0
        self._loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        self.target.wire.watch()

    def close(self) -> None:
        """Close the target; safe to call twice."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._end())
            self._loop.close()
            if self.processors:
                os.sched_setaffinity(0, self.processors)

    async def _end(self) -> None:
        self.target.wire.unwatch()
        self.target.close()

    @property
    def side_by_side(self) -> int:
        """How many words are worth asking at the same time: more than one where they rest."""
        return SIDE_BY_SIDE if self._rests else 1

    def ask(self, word: Word) -> Output:
        """What each input of the word drew. Raises Inconclusive when no attempt was undisturbed."""
        return tuple(observed.output for observed in self.watch(word))

    def ask_all(self, words: Sequence[Word]) -> list[Output]:
        """The same of several words, `side_by_side` of them at the same time. Raises as `ask`."""
        return [tuple(observed.output for observed in walk) for walk in self.watch_all(words)]

    def watch(self, word: Word, *, oracle: bool = False, patient: int | None = None) -> list[Observed]:
        """The same with all that was seen; with `oracle` the target's own word on its state after each input.

        From the input at index `patient` on a delayed acknowledgement is waited for. Else no time passes, so that no
        timer of the stack is part of what it does. Raises Inconclusive when no attempt was undisturbed.
        """
        since = len(word) if patient is None else patient
        return self._loop.run_until_complete(self._undisturbed(word, oracle=oracle, patient=since))[0]

    def watch_all(self, words: Sequence[Word], *, oracle: bool = False, patient: bool = False) -> list[list[Observed]]:
        """As `watch`, of several words, `side_by_side` of them at the same time. Raises as `ask`.

        With `patient` a delayed acknowledgement is waited for at the last input of each.
        """

        def one(word: Word) -> Awaitable[tuple[list[Observed], str]]:
            return self._undisturbed(word, oracle=oracle, patient=len(word) - patient)

        found = []
        for word, (walk, _) in zip(words, self._together(words, one), strict=True):
            died = any(observed.skipped and DIED in observed.parts for observed in walk) or DIED in walk[-1].parts
            # Of those that ran beside each other it isn't known which one killed the stack.
            found.append(self._loop.run_until_complete(one(word))[0] if died else walk)
        return found

    def names(self, words: Sequence[Word]) -> list[str]:
        """The state that the target is in after each word: by its own word where it has one, else told from replies."""
        found = self._together(words, lambda word: self._undisturbed(word, patient=len(word), name=True))
        return [name or "?" for _, name in found]

    def _together(self, words: Sequence[Word], asked: Callable[[Word], Awaitable[T]]) -> list[T]:
        """Each of these asked, `side_by_side` at the same time. Raises what one of them raises, once all have ended."""
        slots = asyncio.Semaphore(self.side_by_side)

        async def one(place: int, word: Word) -> T:
            async with slots:
                if place < self.side_by_side:
                    await asyncio.sleep(place * APART)
                return await asked(word)

        async def all_of_them() -> list[T | BaseException]:
            return await asyncio.gather(*(one(*each) for each in enumerate(words)), return_exceptions=True)

        found: list[T] = []
        for answer in self._loop.run_until_complete(all_of_them()):
            if isinstance(answer, BaseException):
                raise answer
            found.append(answer)
        return found

    async def _undisturbed(
        self, word: Word, *, patient: int, oracle: bool = False, name: bool = False
    ) -> tuple[list[Observed], str]:
        """What was seen and, if asked for, the state's name, of the first attempt that nothing disturbed."""
        last = "too late"
        for _ in range(ATTEMPTS):
            began = self._clock.now()
            lost = self.target.wire.counters().get("dropped", 0)
            try:
                found, named, waited = await self._run(word, oracle=oracle, patient=patient, name=name)
            except (Inconclusive, StackDied) as problem:  # it died before the word began: a fresh one may not
                last = str(problem)
                self.repeated += 1
                continue
            took = (self._clock.now() - began - waited) / 1e9
            if (self.target.time is not None or took < LATE) and self.target.wire.counters().get("dropped", 0) == lost:
                return found, named
            self.repeated += 1
        raise Inconclusive(f"a query was disturbed {ATTEMPTS} times: {last}")

    async def _run(
        self, word: Word, *, patient: int, oracle: bool = False, name: bool = False
    ) -> tuple[list[Observed], str, int]:
        """What was seen, the state's name, and ns that were let pass."""
        run = Run(self._variation, self.target, self._clock)
        if run.pace.challenge_interval:
            run.pace.challenge_interval += MARGIN
        self.queries += 1
        found: list[Observed] = []
        named = ""
        try:
            conn = run.conn("main")
            try:
                for step in self.alphabet.setup:
                    rest = begin(run, step)
                    if rest is not None:
                        await rest
            except StepFailed as failure:
                raise HarnessError(f"the alphabet's setup does not work here: {failure}") from failure
            await run.prove()
            _take_all(run, conn, Observed(""))
            waiting: list[tuple[str, Any]] = []
            for letter in word:
                self.steps += 1
                observed = Observed(letter)
                if letter in self.alphabet.once and any(earlier.letter == letter for earlier in found):
                    observed.made, observed.parts = False, [NO_SOCKET]
                found.append(observed)
                try:
                    if observed.made:
                        pause = PAUSE if self._rests else 0.0
                        patience = len(found) > patient
                        await _input(run, conn, self.alphabet, observed, waiting, patient=patience, pause=pause)
                    if oracle and self.target.oracle is not None:
                        observed.oracle = self.target.oracle.state(conn.pair)
                except StackDied:
                    observed.parts.append(DIED)
                    found += [Observed(rest, parts=[DIED], skipped=True) for rest in word[len(found) :]]
                    return found, "DEAD", run.waited
                if any(_ASTRAY.match(part) for part in observed.parts):
                    found += [Observed(rest, parts=[ASTRAY], skipped=True) for rest in word[len(found) :]]
                    return found, ASTRAY, run.waited
            if name:
                named = await self._named(run, conn)
        finally:
            run.close()
        return found, named, run.waited

    async def _named(self, run: Run, conn: Conn) -> str:
        if self.target.oracle is not None:
            return str(self.target.oracle.state(conn.pair))
        step = StateIs(state=State.ESTABLISHED, place=self._place(), text="state")
        run.steps.append(step)
        try:
            conclusion = await inquire(run, conn, step)
        except StepFailed:
            return "?"
        return " or ".join(sorted(map(str, conclusion.possible)))

    def _place(self) -> Any:
        from conformance.cases.model import Place

        return Place(self.alphabet.name, 1, 1)


async def _input(
    run: Run,
    conn: Conn,
    alphabet: Alphabet,
    observed: Observed,
    waiting: list[tuple[str, Any]],
    *,
    patient: bool,
    pause: float,
) -> None:
    """One input, and all that it draws. Raises StackDied, Inconclusive."""
    step, then = alphabet.inputs[observed.letter], alphabet.then.get(observed.letter, ())
    observed.before, observed.fin_sent = conn.tcb.view(), conn.tcb.fin_seq is not None
    observed.owed_before = run.delayed and conn.tcb.owed
    observed.opening = isinstance(step, Call) and step.verb == "connect"
    call: Any = None
    if isinstance(step, Send):
        await _rest(run, conn)
        rest = begin(run, step)
        if rest is not None:
            await rest
        observed.sent = conn.last_sent
    else:
        call = _call(run, conn, step)
    followed = () if call is None or _failed(call) else then
    for more in followed:
        _call(run, conn, more)
        if more.on_listener and more.verb == "close":
            run.listener = None
    await run.prove()
    if pause:
        await run.sleep(pause)
        run.pump()
    if run.delayed and conn.tcb.owed and not conn.queue:
        if patient:
            await run.arrival(conn, run.clock.now() + round((SETTLE + run.pace.slack) * 1e9))
        else:
            observed.owed = True
    if waiting or not (call is None or isinstance(call, Outcome)):
        _have_looked(run, conn)
    if isinstance(step, Call):
        _ended(run, conn, step, call, observed, waiting)
    for entry in list(waiting):
        outcome = entry[1].poll()
        if outcome is not None:
            waiting.remove(entry)
            observed.outcomes.append((entry[0], outcome))
            observed.parts.append(outcome_text(entry[0], outcome))
    _take_all(run, conn, observed)
    observed.reset = conn.tcb.reset


def _have_looked(run: Run, conn: Conn) -> None:
    """Have the agent look at its pending calls. Raises StackDied.

    In real time it hears of their ends beside the frames, maybe after them: when it has answered the second request it
    has looked, and has told what it saw, after the first.
    """
    held = conn.socket or run.listener
    if held is not None and run.target.time is None and "poll" in run.target.capabilities.verbs:
        for _ in range(2):
            held.poll()


async def _rest(run: Run, conn: Conn) -> None:
    """Where a stack limits its bare ACKs, let the interval since the last one pass, whatever it was an answer to."""
    interval, last = run.pace.challenge_interval, conn.last_seen
    if not interval or last is None or last.flags != ACK or last.payload:
        return
    left = interval - (run.clock.now() - last.time) / 1e9
    if left > 0:
        await run.sleep(left)  # only time lifts a limit of the target's
        _take_all(run, conn, Observed(""))  # a timer's doing, no answer


def _failed(call: Any) -> bool:
    """It did not succeed, or not yet."""
    outcome = call if isinstance(call, Outcome) else call.poll()
    return outcome is None or outcome.error is not None


def _call(run: Run, conn: Conn, step: Call) -> Any:
    """Make the call: what came of it, or None where the application has no socket to make it on."""
    has_own = step.verb in ("listen", "accept", "connect") or step.on_listener
    if not has_own and conn.socket is None:
        return None
    if (step.verb == "accept" or step.on_listener) and run.listener is None and step.verb != "listen":
        return None
    if step.verb == "connect" and conn.socket is not None:
        return Outcome(error="EISCONN")
    run.begin_run(step)
    run.steps.append(step)
    conn.watch.quiet_rst = 0
    try:
        return start(run, conn, step)
    except Unsupported as problem:
        raise HarnessError(str(problem)) from problem
    finally:
        run.base, run.acted = run.clock.now(), True


def _ended(run: Run, conn: Conn, step: Call, call: Any, observed: Observed, waiting: list[tuple[str, Any]]) -> None:
    if call is None:
        observed.made = False
        observed.parts.append(NO_SOCKET)
        return
    outcome = call if isinstance(call, Outcome) else call.poll()
    if outcome is None:
        observed.blocked = True
        observed.parts.append(f"{step.verb} blocks")
        if step.verb == "connect":
            waiting.append((step.verb, call))
        else:
            call.cancel()
        return
    observed.outcomes.append((step.verb, outcome))
    observed.parts.append(outcome_text(step.verb, outcome))
    if step.verb == "accept" and outcome.error is None:
        conn.socket = None
        adopt(run, outcome)
    elif step.verb in ("close", "abort", "exit"):
        conn.socket = None


def _take_all(run: Run, conn: Conn, observed: Observed) -> None:
    """Take in all that came; due retransmissions are a timer's, not an answer."""
    run.pump()
    run.in_run = False
    while conn.queue:
        segment = conn.queue.popleft()
        if own_accord(segment, conn.tcb) != "a due retransmission":
            broken = conn.watch.violation(segment, conn.tcb, conn.highest)
            if broken is not None and not observed.broken:
                observed.broken = f"{broken.requirement}: {broken.message}"
            observed.parts.append(reply_text(segment, conn, observed.opening))
            observed.replies.append(segment)
            observed.at.append((conn.tcb.snd_nxt, conn.tcb.rcv_nxt))
        conn.tcb.seen(segment)
        conn.watch.seen(segment, conn.tcb)
        conn.last_seen = segment


__all__ = ["ACK", "ASTRAY", "DIED", "FINAL", "NO_SOCKET", "RST", "SYN", "Asker", "Observed", "Output", "Sequence"]

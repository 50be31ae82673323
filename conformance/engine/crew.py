"""Several engines side by side, each in a process of its own: for stacks that stand in a process of their own, too.

A stack in virtual time waits for nothing: what its cases cost is work, ours and its own, and two processors do more of
it than one. A stack in real time that bears few cases at once has everybody wait: several of its kind wait for more.
Each member of the crew opens the target anew and is handed variations one by one; in virtual time whatever it is handed
begins with a fresh stack, so that it makes no difference who runs it. To its owner a crew is an `Engine`.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from conformance.cases.model import Variation
from conformance.catalogue import Catalogue
from conformance.engine.estimate import rank
from conformance.engine.result import Result
from conformance.engine.scheduler import Engine, Opener, no_call
from conformance.engine.threaded import Threaded
from conformance.targets.base import Target, TargetError
from conformance.targets.guards import GUARDS

AHEAD = 4
"""Variations that a member is handed before it has done them, at least, so that it never waits for the next."""
WORTH = 50
"""Variations for each member, at least: to begin takes a member as long as some of them."""
MOST = 8
"""Members, at most: one process takes in what all of them find."""
_PATIENCE = 10.0
"""Seconds that a member may take to end."""


def size(target: Target, variations: int) -> int:
    """How many members so many variations of a target are worth on this machine; below 2 a crew is none."""
    if threading.active_count() > 1 or not hasattr(os, "fork"):
        return 0  # a process that has threads is not to be forked
    return min(MOST, target.worlds, variations // WORTH)


@dataclass(eq=False)
class _Member:
    process: BaseProcess
    connection: Connection
    held: deque[int] = field(default_factory=deque)
    """What it was handed and has not done, in its order."""


@dataclass
class Crew(Threaded):
    """As `Engine`, for the `variations` that may be submitted to it. The callback is called in a thread of its own."""

    open_target: Opener
    catalogue: Catalogue
    variations: Sequence[Variation]
    members: int
    at_once: int = 1
    """Variations that a member runs at the same time. Above 1 what they do is wait."""
    deadline: float | None = None
    """Seconds that one variation may take; None is no limit."""
    on_start: Callable[[Variation], None] = no_call
    check_oracle: bool = True

    def __post_init__(self) -> None:
        self.failure = None
        self._members: list[_Member] = []
        self._ahead = max(AHEAD, self.at_once)
        self._places = {id(variation): place for place, variation in enumerate(self.variations)}
        self._futures: dict[int, Future[Result]] = {}
        self._waiting: deque[int] = deque()
        self._lock = threading.Lock()
        self._thread = None
        self._stopping = False

    def start(self) -> None:
        """Start the members, each with a target of its own. To be called while there is no other thread.

        Raises TargetError.
        """
        fork = multiprocessing.get_context("fork")
        pipes = [fork.Pipe() for _ in range(self.members)]
        gc.freeze()
        processors = sorted(os.sched_getaffinity(0))
        for number, (ours, theirs) in enumerate(pipes):
            one = processors[number % len(processors)]
            process = fork.Process(target=self._serve, args=(theirs, pipes, one), name="engine", daemon=True)
            process.start()
            self._members.append(_Member(process, ours))
        for _, theirs in pipes:
            theirs.close()
        try:
            for member in self._members:
                self._greet(member)
        except BaseException:
            self._end()
            raise
        self._thread = threading.Thread(target=self._listen, name="crew", daemon=True)
        self._thread.start()

    @staticmethod
    def _greet(member: _Member) -> None:
        try:
            refused = pickle.loads(member.connection.recv_bytes())  # noqa: S301 - of a process of ours
        except EOFError:
            raise RuntimeError("a process of the engine has died before it began") from None
        if refused is not None:
            raise refused

    # -- in a member ----------------------------------------------------------------------------------------

    def _serve(self, connection: Connection, pipes: Sequence[tuple[Connection, Connection]], processor: int) -> None:
        """What a member does, to its end.

        Where it only works it keeps to one processor, and so do the agents that it starts: each of both waits for the
        other's word all the time, and to be woken on another processor takes longer than most answers. A quarter of a
        run went there.
        """
        if self.at_once == 1:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {processor})
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all, and is for the first of them
        for ours, theirs in pipes:
            ours.close()  # or nobody would notice that the tester is gone
            if theirs is not connection:
                theirs.close()
        GUARDS.forget()
        gc.enable()
        engine = Engine(self.open_target, self.catalogue, deadline=self.deadline, check_oracle=self.check_oracle)
        refused: BaseException | None = None
        try:
            engine.start()
        except TargetError as error:
            refused = error
        except BaseException as error:
            refused = RuntimeError(f"{type(error).__name__}: {error}")
        _say(connection, refused)
        if refused is not None:
            return
        try:
            while (place := connection.recv()) is not None:
                variation = self.variations[place]
                future = engine.submit([variation])[variation.id]
                future.add_done_callback(partial(_tell, connection, engine, place))
        except (EOFError, OSError):  # the tester is gone
            pass
        engine.stop()

    # -- in the tester --------------------------------------------------------------------------------------

    def submit(self, variations: Iterable[Variation]) -> dict[str, Future[Result]]:
        """Run these, where they wait the longest first; one future for each id.

        A cancelled future is a variation that was not run.
        """
        futures: dict[str, Future[Result]] = {}
        if self.at_once > 1:
            variations = sorted(variations, key=rank)
        with self._lock:
            for variation in variations:
                place = self._places[id(variation)]
                futures[variation.id] = self._futures[place] = Future()
                self._waiting.append(place)
            for _ in range(self._ahead):
                for member in self._members:
                    self._hand(member)
        return futures

    def _hand(self, member: _Member) -> None:
        """Give a member something to do, if there is something. The lock is held."""
        while self._waiting and len(member.held) < self._ahead and not self._stopping:
            place = self._waiting.popleft()
            if not self._futures[place].set_running_or_notify_cancel():
                continue
            member.held.append(place)
            with contextlib.suppress(OSError):  # that it is gone is heard from its connection
                member.connection.send(place)
            if len(member.held) <= self.at_once:
                self.on_start(self.variations[place])
            return

    def _listen(self) -> None:
        try:
            while self._members:
                ready = wait([member.connection for member in self._members])
                for member in [one for one in self._members if one.connection in ready]:
                    self._hear(member)
        except BaseException as error:
            self._fail(error)

    def _hear(self, member: _Member) -> None:
        try:
            octets = member.connection.recv_bytes()
        except (EOFError, OSError):
            if not self._stopping:
                member.process.join(1)
                self._fail(RuntimeError(f"a process of the engine has died (exit code {member.process.exitcode})"))
            self._members.remove(member)
            return
        place, result, trouble = pickle.loads(octets)  # noqa: S301 - of a process of ours
        if place is None:
            self._fail(trouble)
            return
        with self._lock:
            member.held.remove(place)
            if len(member.held) >= self.at_once:
                self.on_start(self.variations[member.held[self.at_once - 1]])
            self._hand(member)
        with contextlib.suppress(InvalidStateError):
            if trouble is None:
                self._futures[place].set_result(result)
            else:
                self._futures[place].set_exception(trouble)

    def _fail(self, error: BaseException) -> None:
        """The crew ends by a fault: whoever waits hears of it."""
        self.failure = self.failure or error
        self._say_stop()
        self._settle(f"the engine has died: {type(error).__name__}: {error}")

    def _settle(self, why: str) -> None:
        """Nothing more comes: nobody is left waiting."""
        with self._lock:
            futures = list(self._futures.values())
        for future in futures:
            if not future.done() and not future.cancel():
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(InterruptedError(why))

    def _say_stop(self) -> None:
        with self._lock:
            self._stopping = True
            for member in self._members:
                with contextlib.suppress(OSError):
                    member.connection.send(None)

    def stop(self) -> None:
        """End the run: what is not done is not run. Safe to call twice."""
        processes = [member.process for member in self._members]
        self._say_stop()
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        self._settle("the run was ended")
        for process in processes:
            process.join(_PATIENCE if process.is_alive() else 0)
        self._end()

    def _end(self) -> None:
        for member in self._members:
            member.process.kill()
            member.process.join()
            member.connection.close()


def _say(connection: Connection, what: object) -> None:
    with contextlib.suppress(OSError):  # the tester is gone, as the next word from it will say
        connection.send_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))


def _tell(connection: Connection, engine: Engine, place: int, future: Future[Result]) -> None:
    """A member has done what it was handed, or can't."""
    if future.cancelled():
        return
    error = future.exception()
    if error is None:
        _say(connection, (place, future.result(), None))
        return
    if engine.failure is None and isinstance(error, InterruptedError):
        return  # the run was ended, as the tester knows
    failure = engine.failure or error
    _say(connection, (None if engine.failure else place, None, RuntimeError(f"{type(failure).__name__}: {failure}")))

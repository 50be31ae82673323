"""Askers in processes of their own, among which the words of a search are shared out.

In virtual time a word costs work, the tester's and the stack's, in turns: two processors do more of it than one, and
whoever asks a word gets the same answer, for each begins with a fresh stack.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from conformance.learn.alphabet import Word
from conformance.learn.query import Asker, Output
from conformance.targets.guards import GUARDS

SHARE = 32
"""Words for each asker at a time."""
MOST = 16
"""Askers, at most: one process makes the words and takes in the answers."""
_PATIENCE = 5.0
"""Seconds that an asker may take to end."""


@dataclass(slots=True)
class _Member:
    process: BaseProcess
    connection: Connection


class Crowd:
    """An asker, and several of its kind once there is enough to ask. `close` it after use, which leaves the first."""

    def __init__(self, asker: Asker) -> None:
        self._asker, self._another = asker, asker.another
        forks = hasattr(os, "fork") and threading.active_count() == 1  # one that has threads is not to be forked
        self._size = min(MOST, len(asker.processors) or 1) if forks and self._another is not None else 1
        self._members: list[_Member] = []

    @property
    def side_by_side(self) -> int:
        """How many words are worth asking at the same time."""
        return self._size * SHARE if self._size > 1 else self._asker.side_by_side

    def ask_all(self, words: Sequence[Word]) -> list[Output]:
        """What each input of these words drew. Raises as `Asker.ask`, and what opening another one raises."""
        if self._size == 1 or len(words) < self.side_by_side:
            return self._asker.ask_all(words)
        if not self._members:
            self._start()
        for place, member in enumerate(self._members):
            member.connection.send(words[place :: self._size])
        found: list[Output] = [()] * len(words)
        failed: BaseException | None = None
        for place, member in enumerate(self._members):
            said = member.connection.recv()
            if isinstance(said, BaseException):
                failed = said
            else:
                found[place :: self._size] = said
        if failed is not None:
            raise failed
        return found

    def close(self) -> None:
        """End them. Safe to call twice."""
        members, self._members = self._members, []
        for member in members:
            member.connection.close()
        for member in members:
            member.process.join(_PATIENCE)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()

    def _start(self) -> None:
        fork = multiprocessing.get_context("fork")
        pipes = [fork.Pipe() for _ in range(self._size)]
        gc.freeze()
        processors = sorted(self._asker.processors)
        for number, (ours, theirs) in enumerate(pipes):
            process = fork.Process(target=self._serve, args=(theirs, pipes, processors[number]), daemon=True)
            process.start()
            self._members.append(_Member(process, ours))
        for _, theirs in pipes:
            theirs.close()

    def _serve(self, connection: Connection, pipes: Sequence[tuple[Connection, Connection]], processor: int) -> None:
        """What a member does, to its end: with its stack on a processor of their own (`keep_to_one`)."""
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {processor})
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all, and is for the first of them
        for ours, theirs in pipes:
            ours.close()  # or nobody would notice that the first is gone
            if theirs is not connection:
                theirs.close()
        GUARDS.forget()
        asker: Asker | None = None
        assert self._another is not None
        try:
            while True:
                words = connection.recv()
                try:
                    asker = asker or self._another()
                    connection.send(asker.ask_all(words))
                except Exception as problem:
                    connection.send(problem)
        except (EOFError, OSError):  # the first is gone, or done
            pass
        finally:
            if asker is not None:
                asker.close()

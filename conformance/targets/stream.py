"""The octets between the tester and an agent, and how long either waits; what they mean is the channel's affair.

The socket never blocks: what is waited for is waited for in one place, so that a word and its answer are three system
calls. Imports the standard library and the agent's process.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from conformance.targets.process import Process

PATIENCE = 10.0
"""Seconds without an answer after which a stack counts as hanging: it has a processor's work to do, never to wait."""
WORK = 2.5
"""Seconds of its own processor time without a word after which a stack in virtual time hangs, sooner than by the clock:
there is nothing that it could wait for, and on a machine that is shared it is not the clock that says what it did."""
_LOOK = 2.0
"""Seconds in which it is seen whether a stack that does not answer gets a processor at all."""
_PIECE = 0.5
"""Seconds of silence after which the processor time of a stack in virtual time is looked at, again and again."""
_MOST = 1 << 16

Beside = tuple[int, Callable[[], object]]
"""A descriptor, and what takes in what it has."""


class WorksInVain(TimeoutError):
    """So much processor time without a word."""


class Stream:
    """A connected socket, and the process behind it if it is one of ours."""

    def __init__(self, connected: socket.socket, process: Process | None) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._process = process
        self.measured: Process | None = None
        """Whose processor time tells that it hangs, sooner than the clock does."""
        self.patience = PATIENCE
        """Seconds of silence."""
        self._beside: Beside | None = None
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self._readable = [(connected.fileno(), select.POLLIN)]

    def fileno(self) -> int:
        """For the loop that watches it."""
        return self._socket.fileno()

    def look_at(self, beside: Beside | None) -> None:
        """Take in what that has, too, while an answer is waited for, or nothing besides: a stack that can hand over no
        more frames does not speak either."""
        if self._beside is not None:
            self._poll.unregister(self._beside[0])
        self._beside = beside
        if beside is not None:
            self._poll.register(beside[0], select.POLLIN)

    def write(self, octets: bytes) -> None:
        """Write all of it. Raises OSError; TimeoutError when nothing is taken for `patience` seconds."""
        try:
            sent = self._socket.send(octets)
        except BlockingIOError:
            sent = 0
        rest = memoryview(octets)[sent:]
        while rest:
            room = select.poll()
            room.register(self._socket, select.POLLOUT)
            if not room.poll(self.patience * 1000):
                raise TimeoutError
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                continue

    def read(self, until: float) -> bytes:
        """What comes next, nothing at the end of the stream; `until` is the last moment (s, monotonic) of any waiting.

        Raises OSError; TimeoutError after `patience` seconds of silence, WorksInVain after so much work in silence.
        A stack that wants to run and gets no processor is waited for.
        """
        while True:
            if time.monotonic() > until:
                raise TimeoutError
            # Nearly always all that there is to it.
            if self._poll.poll(min(self.patience, _PIECE) * 1000) == self._readable:
                return self._socket.recv(_MOST)
            try:
                self._wait()
                return self._socket.recv(_MOST)
            except WorksInVain:
                raise
            except TimeoutError:
                if not self._starved(until):
                    raise

    def read_now(self) -> bytes | None:
        """What is there already, nothing at the end of the stream, None when there is nothing. Raises OSError."""
        try:
            return self._socket.recv(_MOST)
        except BlockingIOError:
            return None

    def _wait(self) -> None:
        """Until there is something to read."""
        end = time.monotonic() + self.patience
        measured = self.measured
        silent_from: float | None = None  # its processor time then (s)
        while True:
            left = max(0.0, end - time.monotonic())
            ready = dict(self._poll.poll((left if measured is None else min(left, _PIECE)) * 1000))
            if self._socket.fileno() in ready:
                return
            if not ready:
                if measured is None or left <= _PIECE:
                    raise TimeoutError
                worked = measured.work()[0]
                silent_from = worked if silent_from is None else silent_from
                if worked - silent_from >= WORK:
                    raise WorksInVain(f"{WORK:g} s of its work")
            elif self._beside is not None:
                descriptor, take = self._beside
                if ready[descriptor] & ~select.POLLIN:
                    self.look_at(None)  # it has gone
                else:
                    take()

    def _starved(self, until: float) -> bool:
        """The stack wants to run and the machine does not let it: that it does not answer is not its fault."""
        if self._process is None or time.monotonic() > until:
            return False
        before, runs = self._process.work()
        if not runs:
            return False
        time.sleep(_LOOK)  # its processor time in that long is what is asked for
        return self._process.work()[0] - before < _LOOK / 2

    def close(self) -> None:
        """Close it; safe to call twice."""
        self._socket.close()

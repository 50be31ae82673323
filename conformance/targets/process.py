"""An agent's process: started with the channel and the frames as descriptors, ended with all that it started.

Imports the adapters' contract, the guards and the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from conformance.adapters.base import Program
from conformance.targets.guards import GUARDS

_LAST_WORDS = 2000
"""Octets of the agent's own output that are shown when it dies."""
_DESCRIPTOR = 3


class Process:
    """A started program, in a session and process group of its own, with sockets as descriptors 3 and 4."""

    def __init__(self, program: Program, channel: socket.socket, frames: socket.socket | None = None) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the agent
        output = self._output.fileno()
        # Not by subprocess: it can't place a descriptor at a given number without running Python in the child.
        # What is to be placed comes from above those numbers, so that nothing is placed on what is still needed.
        given = [one for one in (channel, frames) if one is not None]
        placed = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _DESCRIPTOR + len(given)) for one in given]
        try:
            actions: list[Any] = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
                *((os.POSIX_SPAWN_DUP2, one, _DESCRIPTOR + number) for number, one in enumerate(placed)),
            ]
            environment = {**os.environ, **program.environment}
            self.pid = os.posix_spawnp(program.argv[0], program.argv, environment, file_actions=actions, setsid=True)
        finally:
            for one in placed:
                os.close(one)
        self._code: int | None = None
        GUARDS.agent(self.pid, output)

    def poll(self) -> int | None:
        """The exit code, or minus the signal; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float) -> int | None:
        """As `poll`, after up to `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)  # a process that was just told to end, or has closed its channel: it is about to
        return self._code

    def kill(self) -> None:
        """Kill it with all that it started, and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.poll() is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        GUARDS.ended(self.pid)
        self._output.close()

    def work(self) -> tuple[float, bool]:
        """Seconds of processor time that it and all that it started have had, and whether one of them wants more."""
        ticks, runs = 0, False
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.pid:  # its session
                    ticks += int(fields[11]) + int(fields[12])
                    runs = runs or fields[0] in "RD"
        return ticks / os.sysconf("SC_CLK_TCK"), runs

    def last_words(self) -> str:
        """The end of what it printed."""
        with contextlib.suppress(OSError, ValueError):
            size = self._output.seek(0, os.SEEK_END)
            self._output.seek(max(0, size - _LAST_WORDS))
            return self._output.read().decode(errors="replace").strip("\0 \t\r\n")
        return ""

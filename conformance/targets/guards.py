"""The tester's side of the guardian: what is told to it, so that nothing outlives a tester that is killed.

One guardian for each tester, started with the first agent or host; it ends when the tester does.
Imports the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import threading
from pathlib import Path

_CHANNEL = 3


class Guards:
    """The way to the guardian. Safe for use from several threads; never raises, for nothing depends on it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self.pid: int | None = None
        """The guardian's process id, once there is one."""

    def agent(self, pid: int, output: int) -> None:
        """An agent was started, in a process group of its own; its output goes to that descriptor."""
        with contextlib.suppress(OSError):
            process = os.pidfd_open(pid)
            try:
                self._tell({"agent": pid}, process, output)
            finally:
                os.close(process)

    def ended(self, pid: int) -> None:
        """That agent is dead, or will be in a moment."""
        self._tell({"ended": pid})

    def wire(self, name: str, descriptor: int, tester_mac: bytes, target_mac: bytes, rate: int) -> None:
        """Frames go to a host by that packet socket, at most `rate` a second."""
        how = {"wire": name, "tester_mac": tester_mac.hex(), "target_mac": target_mac.hex(), "rate": rate}
        self._tell(how, descriptor)

    def left(self, name: str) -> None:
        """The host was left, in order."""
        self._tell({"left": name})

    def pair(self, name: str, tester: bytes, target: bytes, tester_port: int, target_port: int) -> None:
        """There may be a connection on that wire from now on."""
        self._tell({"pair": [tester.hex(), target.hex(), tester_port, target_port], "of": name})

    def over(self, name: str, tester: bytes, target: bytes, tester_port: int, target_port: int) -> None:
        """There is no such connection any more."""
        self._tell({"over": [tester.hex(), target.hex(), tester_port, target_port], "of": name})

    def forget(self) -> None:
        """In a process that was forked from one that has a guardian: it is not this one's."""
        self._lock = threading.Lock()
        channel, self._channel, self.pid = self._channel, None, None
        if channel is not None:
            channel.close()

    def _tell(self, message: dict[str, object], *descriptors: int) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._channel is None:
                self._channel = self._begin()
            socket.send_fds(self._channel, [json.dumps(message).encode()], list(descriptors))

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(1)
        # Not by subprocess: it would warn of a child that is still running when the tester ends, as it should be.
        placed = fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, _CHANNEL + 1)
        try:
            package = Path(__file__).parents[2]
            path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
                (os.POSIX_SPAWN_DUP2, placed, _CHANNEL),
            ]
            argv = [sys.executable, "-P", "-m", "conformance.targets.guardian"]
            environment = {**os.environ, "PYTHONPATH": path}
            self.pid = os.posix_spawn(sys.executable, argv, environment, file_actions=actions, setsid=True)
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(placed)
            theirs.close()
        return ours


GUARDS = Guards()
"""Of this process."""

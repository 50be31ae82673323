"""The parent's side of the holders: how they are begun, asked and ended (see `holder` for the protocol).

Imports the holder's constants and the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from conformance.targets import holder
from conformance.targets.base import TargetError


class Holders:
    """The process that forks holders, there as long as one of them is. Safe for use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._living = 0

    def new(self) -> socket.socket:
        """The control socket of a new holder. Raises TargetError."""
        with self._lock:
            if self._orders is None:
                self._child, self._orders = self._begin()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                try:
                    socket.send_fds(self._orders, [b"hold"], [theirs.fileno()])
                except OSError as problem:
                    raise TargetError(f"the process that makes namespaces is gone: {problem}") from problem
            self._living += 1
        ours.settimeout(30)
        return ours

    def end(self, control: socket.socket, pid: int | None = None) -> None:
        """Tell a holder to end, wait for it, and end the process that forks them with the last one."""
        control.close()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                gone = os.pidfd_open(pid)
                select.select([gone], [], [], 5)
                os.close(gone)
        with self._lock:
            self._living -= 1
            if self._living == 0 and self._orders is not None and self._child is not None:
                self._orders.close()
                self._child.wait()
                self._orders = self._child = None

    @staticmethod
    def _begin() -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The package is found wherever it was imported from here, and the working directory can't shadow it (-P).
        package = Path(holder.__file__).parents[2]
        path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", holder.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                # Out of our process group before it can ignore anything: Ctrl-C is for us to decide on.
                start_new_session=True,
            )
        return child, ours


HOLDERS = Holders()


def send(control: socket.socket, request: dict[str, object]) -> None:
    """One request to a holder. Raises TargetError when it is gone."""
    try:
        control.send(json.dumps(request).encode())
    except OSError as problem:
        raise TargetError(f"the process that holds the namespace is gone: {problem}") from problem


def receive(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """One answer and the descriptors with it; raises TargetError with what the holder could not do."""
    try:
        data, fds, _, _ = socket.recv_fds(control, 1 << 17, holder.MAXIMUM_BATCH, socket.MSG_CMSG_CLOEXEC)
    except OSError as problem:
        raise TargetError(f"the process that holds the namespace does not answer: {problem}") from problem
    if not data:
        raise TargetError("the process that holds the namespace has ended: its last words are on standard error")
    answer = json.loads(data)
    if "denied" in answer:
        raise TargetError(explain_denied(answer["error"], os.getuid()))
    if "error" in answer:
        raise TargetError(answer["error"])
    return answer, fds


def explain_denied(problem: str, uid: int, settings: Path = Path("/proc/sys"), root: Path = Path("/")) -> str:
    """One line: that no private network namespace can be had, why, and the one command that helps."""
    what = f"cannot make a private network namespace ({problem})"
    switches = {
        "user/max_user_namespaces": ("0", "user namespaces are switched off", "15000"),
        "kernel/unprivileged_userns_clone": ("0", "user namespaces are for root only", "1"),
        "kernel/apparmor_restrict_unprivileged_userns": ("1", "AppArmor restricts user namespaces", "0"),
    }
    if uid != 0:
        for name, (bad, why, good) in switches.items():
            path = settings / name
            if path.exists() and path.read_text().strip() == bad:
                return f"{what}: {why}; run with sudo, or: sudo sysctl {name.replace('/', '.')}={good}"
    if uid == 0 or (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return f"{what}: denied to this container; start it with --security-opt seccomp=unconfined"
    return f"{what}: run with sudo"

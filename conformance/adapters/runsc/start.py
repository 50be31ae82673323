# SPDX-License-Identifier: GPL-2.0-only
"""Starts runsc with the host's agent inside, in namespaces of its own, and carries its frames (docs/adapters.md).

    start.py RUNSC FOLDER AGENT PYTHON

Standard library only. The sandbox's stack takes over a TAP, which is relayed to file descriptor 4; the agent has the
channel, file descriptor 3, as its standard input and output. All ends with this program: its child is the first process
of a process namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

_CHANNEL, _FRAMES = 3, 4
_NEW_MOUNTS, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x10000000, 0x20000000, 0x40000000
_PRIVATE, _RECURSIVE = 0x40000, 0x4000
_PARENT_DEATH_SIGNAL = 1
_SET_TUN, _TAP_WITHOUT_HEADER = 0x400454CA, 0x1002
_DEVICE = "tap0"
_LARGEST = 1 << 16
_ROOM = 4 << 20
_WORDS = 1500
_CRASHED = 0xFF
_NETWORK = f"""
link set lo up
link set {_DEVICE} address 02:00:5e:00:00:01
link set {_DEVICE} up
addr add 192.0.2.1/24 dev {_DEVICE}
addr add 2001:db8:ffff::1/64 dev {_DEVICE} nodad
route add default via 192.0.2.254
-6 route add default via 2001:db8:ffff::fe
"""
"""As the tester has it (conformance/targets/adapted.py)."""
_FLAGS = """--platform=ptrace --network=sandbox --ignore-cgroups --TESTONLY-unsafe-nonroot
--rx-checksum-offload=false --tx-checksum-offload=false --gso=false --software-gso=false""".split()

_libc = ctypes.CDLL(None, use_errno=True)


def mount(kind: str, to: str, flags: int = 0) -> None:
    """Raises OSError."""
    if _libc.mount(kind.encode(), to.encode(), kind.encode(), flags, None) < 0:
        raise OSError(ctypes.get_errno(), f"mounting {kind} on {to}: {os.strerror(ctypes.get_errno())}")


def private() -> None:
    """Namespaces of its own. Raises OSError."""
    ids = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_USER | _NEW_NETWORK | _NEW_MOUNTS | _NEW_PROCESSES) < 0:
        raise OSError(ctypes.get_errno(), f"no namespaces of its own: {os.strerror(ctypes.get_errno())}")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {ids[0]} 1")
    Path("/proc/self/gid_map").write_text(f"0 {ids[1]} 1")


def tap() -> int:
    """The device; its descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _SET_TUN, struct.pack("16sH22x", _DEVICE.encode(), _TAP_WITHOUT_HEADER))
    for line in _NETWORK.strip().splitlines():
        subprocess.run(["ip", *line.split()], check=True)  # noqa: S607 - by the PATH that the adapter sets
    return descriptor


def sandbox(runsc: str, folder: Path, agent: str, python: str) -> subprocess.Popen[bytes]:
    """The stack, with the agent inside."""
    kept = ("PATH", "CONFORMANCE_STACK", "CONFORMANCE_VERSION", "CONFORMANCE_HELLO")
    bundle = {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": [python, "-S", "-E", agent, "--stdio"],
            "cwd": "/",
            "env": [f"{name}={os.environ[name]}" for name in kept if name in os.environ],
        },
        "root": {"path": "/", "readonly": True},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "namespaces": [
                *({"type": "pid"}, {"type": "mount"}),
                {"type": "network", "path": "/proc/self/ns/net"},
            ]
        },
    }
    (folder / "config.json").write_text(json.dumps(bundle))
    command = [
        runsc,
        f"--root={folder}/state",
        f"--panic-log={folder}/panic",
        *_FLAGS,
        "run",
        "--bundle",
        str(folder),
        "stack",
    ]
    return subprocess.Popen(command, stdin=_CHANNEL, stdout=_CHANNEL)


def relay(device: int, process: subprocess.Popen[bytes]) -> int:
    """Carry frames until the stack ends; its exit code."""
    frames = socket.socket(fileno=_FRAMES)
    frames.setblocking(False)
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        frames.setsockopt(socket.SOL_SOCKET, buffer, _ROOM)
    ended = os.pidfd_open(process.pid)
    poll = select.poll()
    for descriptor in (device, _FRAMES, ended):
        poll.register(descriptor, select.POLLIN)
    waiting = b""
    while True:
        ready = dict(poll.poll())
        if ended in ready:
            return process.wait()
        with contextlib.suppress(BlockingIOError):
            while ready.get(_FRAMES, 0) & select.POLLIN and (frame := frames.recv(_LARGEST)):
                os.write(device, frame)
        try:
            while waiting or device in ready:
                waiting = waiting or os.read(device, _LARGEST)
                frames.send(waiting)
                waiting = b""
        except BlockingIOError:
            pass  # nothing more, or a tester that has ten frames unread (net.unix.max_dgram_qlen)
        except OSError:
            waiting = b""
        # Nothing is read of the device that can't be handed on: its queue is longer.
        poll.modify(device, 0 if waiting else select.POLLIN)
        poll.modify(_FRAMES, select.POLLIN | (select.POLLOUT if waiting else 0))


def first(runsc: str, folder: str, agent: str, python: str) -> int:
    """The first process of the namespace."""
    _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    with contextlib.suppress(OSError):  # where /proc is not whole there can be no other
        mount("proc", "/proc")
    mount("tmpfs", "/proc/sys/net/core")  # this release trips over what newer kernels have there
    mount("tmpfs", folder)
    device = tap()
    code = relay(device, sandbox(runsc, Path(folder), agent, python))
    with contextlib.suppress(OSError):
        told = Path(folder, "panic").read_text(errors="replace")
        if told.strip():  # the stack itself has crashed
            print(told[:_WORDS], file=sys.stderr, flush=True)
            return _CRASHED
    return code


def main() -> None:
    """Raises nothing: a line says what is wrong."""
    try:
        private()
        child = os.fork()
        if child == 0:
            mount("none", "/", _PRIVATE | _RECURSIVE)
            os._exit(first(*sys.argv[1:5]) & 0xFF)
    except (OSError, subprocess.CalledProcessError) as problem:
        print(f"runsc: {problem}", file=sys.stderr, flush=True)
        os._exit(1)
    os.close(_CHANNEL)
    os.close(_FRAMES)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == _CRASHED:
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.abort()
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()

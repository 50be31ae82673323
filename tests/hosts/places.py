"""Two hosts in network namespaces of their own, joined by a veth pair: as root or as an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TESTER, HOST, CONTROL_TESTER, CONTROL_HOST = "192.0.2.1", "192.0.2.2", "10.99.0.1", "10.99.0.2"
TESTER6, HOST6 = "2001:db8:1::1", "2001:db8:1::2"
SOURCES = ("192.0.2.128/25", "2001:db8:1::1:0/112")

SERVICES = """
import selectors, socket, sys
watch = selectors.DefaultSelector()
def listener(port, kind):
    s = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    s.setblocking(False)
    watch.register(s, selectors.EVENT_READ, kind)
listener(7, "echo"), listener(9, "discard"), listener(70, "closes")
print("ready", flush=True)
while True:
    for key, _ in watch.select():
        if key.data in ("echo", "discard", "closes"):
            peer, _ = key.fileobj.accept()
            if key.data == "closes":
                peer.close()
                continue
            peer.setblocking(False)
            watch.register(peer, selectors.EVENT_READ, "peer " + key.data)
            continue
        try:
            data = key.fileobj.recv(65536)
            if data and key.data == "peer echo":
                key.fileobj.send(data)
        except OSError:
            data = b""
        if not data:
            watch.unregister(key.fileobj)
            key.fileobj.close()
"""


def missing() -> str | None:
    """Why there can be no hosts here, or None."""
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"no {program}: apt-get install -y iproute2 util-linux"
    done = subprocess.run(["unshare", "-Urn", "true"], capture_output=True, check=False)
    return None if done.returncode == 0 else f"namespaces are denied: {done.stderr.decode().strip()}"


@dataclass
class Place:
    """A namespace, held by a process that sleeps."""

    pid: int

    def argv(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-U", "-n", "--preserve-credentials", *command]

    def run(self, *command: str, **more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*command), capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload,no-any-return]

    def start(self, *command: str, **more: object) -> subprocess.Popen[str]:
        return subprocess.Popen(self.argv(*command), stdout=subprocess.PIPE, text=True, **more)  # type: ignore[call-overload,no-any-return]

    def ip(self, line: str) -> None:
        done = self.run("ip", *line.split())
        assert done.returncode == 0, f"ip {line}: {done.stderr}"


@contextmanager
def held(outer: Place | None = None) -> Iterator[Place]:
    """A fresh network namespace: with a user namespace around it, or inside that of `outer`."""
    inside = "exec 0<&- ; echo $$; exec sleep 3600"
    argv = ["unshare", "-Urn", "sh", "-c", inside] if outer is None else outer.argv("unshare", "-n", "sh", "-c", inside)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    place = Place(process.pid)
    try:
        place.ip("link set lo up")
        yield place
    finally:
        process.kill()
        process.wait()


@contextmanager
def two_hosts() -> Iterator[tuple[Place, Place]]:
    """The tester's and the host's place; a link for segments (t0, h0) and one for the agent (t1, h1)."""
    with held() as tester, held(tester) as host:
        for number in (0, 1):
            tester.ip(f"link add t{number} type veth peer name h{number} netns {host.pid}")
        for place, end, v4, v6 in ((tester, "t0", TESTER, TESTER6), (host, "h0", HOST, HOST6)):
            place.ip(f"address add {v4}/24 dev {end}")
            place.ip(f"address add {v6}/64 dev {end} nodad")
        for place, end, address in ((tester, "t1", CONTROL_TESTER), (host, "h1", CONTROL_HOST)):
            place.ip(f"address add {address}/24 dev {end}")
        for place, letter in ((tester, "t"), (host, "h")):
            for number in (0, 1):
                place.ip(f"link set {letter}{number} up")
            offloads_off(place, f"{letter}0")
        yield tester, host


def offloads_off(place: Place, device: str) -> None:
    """Segments as they would be on a cable: with checksums, and no larger than the link carries."""
    code = (
        "import fcntl, socket, struct, ctypes, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for command in (0x17, 0x1F, 0x24, 0x15, 0x2C):\n"
        "    value = ctypes.create_string_buffer(struct.pack('II', command, 0))\n"
        f"    request = struct.pack('16sP', b'{device}', ctypes.addressof(value)) + bytes(16)\n"
        "    try: fcntl.ioctl(s, 0x8946, request)\n"
        "    except OSError as problem: print(command, problem, file=sys.stderr)\n"
    )
    place.run(sys.executable, "-c", code)


@contextmanager
def services(host: Place) -> Iterator[None]:
    """Echo, discard, and one that closes first, on ports 7, 9, 70."""
    process = host.start(sys.executable, "-c", SERVICES)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        process.kill()
        process.wait()


def conformance(place: Place, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, run at a place."""
    return place.run(sys.executable, "-m", "conformance", *arguments, cwd=cwd, env={**os.environ, **environment})

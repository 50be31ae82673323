"""Two hosts in network namespaces of their own, joined by a veth pair: as root or as an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance import adapters

TESTER, HOST, CONTROL_TESTER, CONTROL_HOST = "192.0.2.1", "192.0.2.2", "10.99.0.1", "10.99.0.2"
TESTER6, HOST6 = "2001:db8:1::1", "2001:db8:1::2"
SOURCES = ("192.0.2.128/25", "2001:db8:1::1:0/112")

RELAY = Path(__file__).with_name("relay.py")
AGENT = Path(adapters.__file__).parent / "host" / "agent.py"

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
def two_hosts(*path: str) -> Iterator[tuple[Place, Place]]:
    """The tester's and the host's place; a link for segments (t0, h0) and one for the agent (t1, h1).

    With `path`, options of the relay, that stands between t0 and h0.
    """
    with ExitStack() as stack:
        tester = stack.enter_context(held())
        host = stack.enter_context(held(tester))
        tester.ip(f"link add t1 type veth peer name h1 netns {host.pid}")
        if path:
            between = stack.enter_context(held(tester))
            tester.ip(f"link add t0 type veth peer name r0 netns {between.pid}")
            host.ip(f"link add h0 type veth peer name r1 netns {between.pid}")
            for device in ("r0", "r1"):
                between.ip(f"link set {device} up")
        else:
            tester.ip(f"link add t0 type veth peer name h0 netns {host.pid}")
        for place, end, v4, v6 in ((tester, "t0", TESTER, TESTER6), (host, "h0", HOST, HOST6)):
            place.ip(f"address add {v4}/24 dev {end}")
            place.ip(f"address add {v6}/64 dev {end} nodad")
        for place, end, address in ((tester, "t1", CONTROL_TESTER), (host, "h1", CONTROL_HOST)):
            place.ip(f"address add {address}/24 dev {end}")
        for place, letter in ((tester, "t"), (host, "h")):
            for number in (0, 1):
                place.ip(f"link set {letter}{number} up")
            offloads_off(place, f"{letter}0")
        if path:
            stack.enter_context(running(between, sys.executable, str(RELAY), "r0", "r1", *path, says="ready"))
        yield tester, host


@contextmanager
def running(place: Place, *command: str, says: str, **more: object) -> Iterator[subprocess.Popen[str]]:
    """A program at a place, once it has said that it is ready; killed in the end."""
    process = place.start(*command, stderr=subprocess.STDOUT, **more)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert says in line, line
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


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


def services(host: Place) -> AbstractContextManager[subprocess.Popen[str]]:
    """Echo, discard, and one that closes first, on ports 7, 9, 70."""
    return running(host, sys.executable, "-c", SERVICES, says="ready")


def agent(host: Place, token: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """The host's agent, at its control address."""
    command = (sys.executable, str(AGENT), "--listen", f"{CONTROL_HOST}:7413")
    return running(host, *command, says="listening", env={**os.environ, "CONFORMANCE_TOKEN": token})


def conformance(place: Place, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, run at a place."""
    return place.run(sys.executable, "-m", "conformance", *arguments, cwd=cwd, env={**os.environ, **environment})

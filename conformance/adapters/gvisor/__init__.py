"""gVisor's netstack from Debian's golang-gvisor-gvisor-dev, with an agent in Go (Apache-2.0)."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from conformance.adapters.base import Adapter, Program
from conformance.adapters.debian import packages, unpack
from conformance.adapters.machine import keep, run

_HERE = Path(__file__).parent
_VERSION = "0.0~20221219"
_LIBRARIES = (
    f"golang-gvisor-gvisor-dev={_VERSION}.0-2",
    "golang-github-google-btree-dev",
    "golang-golang-x-sys-dev",
    "golang-golang-x-time-dev",
)
_COMPILER = ("golang-1.19-go", "golang-1.19-src")
_RELEASES = range(18, 21)
"""Of Go 1: what the stack's sources can be built with."""
_PROFILES = {
    "library": "as a bare library: without SACK, Nagle's algorithm and tuning of the receive buffer",
    "sack-off": "without SACK",
    "rack-off": "without RACK and tail loss probes",
    "cubic": "CUBIC instead of Reno",
    "syncookies": "SYN cookies always",
    "unthrottled": "without a limit of challenge ACKs, as learning has it",
}


def prepare(profile: str, cache: Path) -> Program:
    """The agent, one for all profiles; what is downloaded comes by the machine's own package sources."""
    own = sorted(_HERE.glob("*.go"))
    parts = [*(file.read_bytes() for file in own), repr((_VERSION, _LIBRARIES, _COMPILER)).encode()]
    made = f"agent-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}"
    agent = keep(cache / made, lambda agent: _compile(own, agent, cache))
    return Program((str(agent), profile) if profile else (str(agent),))


def _compile(sources: list[Path], agent: Path, cache: Path) -> None:
    """Build the agent, with all that it takes beside it."""
    root = agent.with_name("root")
    unpack(packages("libraries", _LIBRARIES, cache), root)
    environment = {
        "GO111MODULE": "off",
        "GOPATH": str(root / "usr/share/gocode"),
        "GOCACHE": str(agent.with_name("compiled")),
        "GOENV": "off",
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
    go = _own_go()
    if go is None:
        unpack(packages("compiler", _COMPILER, cache), root)
        environment["GOROOT"] = str(root / "usr/lib/go-1.19")
        go = str(root / "usr/lib/go-1.19/bin/go")
    flags = ["-ldflags", f"-s -w -X main.version={_VERSION}"]
    run([go, "build", *flags, "-o", str(agent), *map(str, sources)], environment)


def _own_go() -> str | None:
    """The machine's Go, if it is there and of a release that will do."""
    go = shutil.which("go")
    if go is None:
        return None
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    found = re.match(r"go1\.(\d+)", done.stdout)
    return go if found is not None and int(found[1]) in _RELEASES else None


ADAPTER = Adapter(
    name="gvisor",
    summary="gVisor's netstack of 2022-12-19, in virtual time",
    install="apt-get update",
    prepare=prepare,
    profiles=_PROFILES,
    joined=True,
)

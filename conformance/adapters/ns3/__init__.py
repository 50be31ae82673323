"""TCP of the network simulator ns-3.37 from Debian's libns3-dev, with an agent in C++ (GPL-2.0-only)."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from conformance.adapters.base import Adapter, Program
from conformance.adapters.debian import packages, unpack
from conformance.adapters.machine import keep, need, run

_HERE = Path(__file__).parent
_CHANNEL = _HERE.parent / "lwip"
_SHARED = ("channel.c", "channel.h", "copies.h")
_VERSION = "3.37"
_PACKAGES = (
    f"libns3-dev={_VERSION}-2",
    f"libns3.37={_VERSION}-2",
    "libgsl27",
    "libgslcblas0",
    "libsqlite3-0",
)
_LINKED = ("internet", "network", "core")
_LOADED = (
    *(f"ns3-{name}" for name in (*_LINKED, "stats", "bridge", "traffic-control")),
    *("gsl", "gslcblas", "sqlite3"),
)
"""Those, and those without which they don't load."""
_PROFILES = {
    "small": "with segments of 536 octets, ns-3's default",
    "nagle": "with Nagle's algorithm",
    "ecn": "with ECN",
    "plain": "without timestamps, SACK and window scaling",
}


def prepare(profile: str, cache: Path) -> Program:
    """The agent, one for all profiles; what is downloaded comes by the machine's own package sources."""
    need("g++")
    own = sorted([*_HERE.glob("*.cc"), *_HERE.glob("*.h"), *(_CHANNEL / name for name in _SHARED)])
    parts = [*(file.read_bytes() for file in own), repr(_PACKAGES).encode()]
    made = f"agent-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}"
    built = keep(cache / made, lambda folder: _compile(folder, cache))
    agent = str(built / "agent")
    return Program((agent, profile) if profile else (agent,))


def _compile(built: Path, cache: Path) -> None:
    """Build the agent, and put the libraries that it loads into `lib` beside it."""
    (built / "lib").mkdir(parents=True)
    root = built.with_name("root")
    unpack(packages(f"packages-{_VERSION}", _PACKAGES, cache), root)
    libraries = next((file.parent for file in root.glob("usr/lib/*/libns3-core.so")), None)
    if libraries is None:
        raise RuntimeError("libns3-dev has no libns3-core.so")
    for name in _LOADED:
        for file in libraries.glob(f"lib{name}.so.*"):
            shutil.copy2(file, built / "lib")
    command = ["g++", "-std=c++20", "-O1", "-w", f'-DVERSION="{_VERSION}"', "-o", str(built / "agent")]
    command += [f"-I{_CHANNEL}", "-isystem", str(root / "usr/include")]
    command += ["-x", "c", str(_CHANNEL / "channel.c"), "-x", "c++", *map(str, sorted(_HERE.glob("*.cc")))]
    command += [
        "-x",
        "none",
        f"-L{libraries}",
        f"-Wl,-rpath-link,{built / 'lib'}",
        "-Wl,--disable-new-dtags,-rpath,$ORIGIN/lib",
    ]
    run([*command, *(f"-lns3-{name}" for name in _LINKED)])


ADAPTER = Adapter(
    name="ns3",
    summary="TCP of the network simulator ns-3.37, in virtual time",
    install="apt-get update && apt-get install -y g++",
    prepare=prepare,
    profiles=_PROFILES,
)

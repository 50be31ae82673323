"""lwIP 2.1.3 from Debian's source package, with an agent in C on its raw API (BSD-3-Clause)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.adapters import debian
from conformance.adapters.base import Adapter, Program
from conformance.adapters.machine import keep, need, run

_HERE = Path(__file__).parent
_PROFILES = {
    "timestamps": "with the timestamps option",
    "sack": "with SACK",
    "wscale": "with window scaling, and a window of 256 KiB",
    "small": "with a window of 4 KiB, so that a receive buffer can be asked for",
    "full": "with timestamps, SACK and window scaling",
}
_SOURCES = ("core/*.c", "core/ipv4/*.c", "core/ipv6/*.c", "netif/ethernet.c")


def prepare(profile: str, cache: Path) -> Program:
    """The agent, compiled with the profile's options."""
    name = f"agent-{profile or 'default'}-{digest(profile)}"
    return Program((str(keep(cache / name, lambda agent: _compile(profile, source(cache), agent))),))


def _compile(profile: str, source: Path, agent: Path) -> None:
    """Make the agent, its compiled files beside it."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            pool.submit(compile_file, profile, source, file, agent.with_name(f"{number}.o"))
            for number, file in enumerate(files(source))
        ]
        link([job.result() for job in jobs], agent)


def digest(profile: str) -> str:
    """Sixteen digits that change with the agent's own source and with the profile."""
    own = sorted([*_HERE.glob("*.[ch]"), *_HERE.glob("arch/*.h")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in own) + profile.encode()).hexdigest()[:16]


def files(source: Path) -> list[Path]:
    """The C files that the agent is made of: its own, and those of lwIP's `source`."""
    return [*sorted(_HERE.glob("*.c")), *(f for pattern in _SOURCES for f in sorted((source / "src").glob(pattern)))]


def compile_file(profile: str, source: Path, file: Path, result: Path) -> Path:
    """Compile one C file, of lwIP's `source` or a changed copy of it. Raises RuntimeError with the compiler's words."""
    command = ["cc", "-O1", "-g", "-w", "-c", "-o", str(result), f"-I{_HERE}", f"-I{source}/src/include"]
    if profile:
        command.append(f"-DPROFILE_{profile.upper()}")
    run([*command, str(file)])
    return result


def link(objects: Iterable[Path], agent: Path) -> None:
    """Make the agent of its compiled files. Raises RuntimeError."""
    run(["cc", "-o", str(agent), *map(str, objects)])


def source(cache: Path) -> Path:
    """lwIP's source, unpacked in the cache. Raises MissingError, RuntimeError."""
    need("cc")
    return debian.source("lwip", cache)


ADAPTER = Adapter(
    name="lwip",
    summary="lwIP 2.1.3, an embedded stack, in virtual time",
    install="apt-get install -y gcc libc6-dev dpkg-dev",
    prepare=prepare,
    profiles=_PROFILES,
)

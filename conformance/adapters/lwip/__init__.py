"""lwIP 2.1.3 from Debian's source package, with an agent in C on its raw API (BSD-3-Clause)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.adapters.base import Adapter, MissingError, Program

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
    agent = cache / f"agent-{profile or 'default'}-{digest(profile)}"
    if not agent.exists():
        unpacked = source(cache)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            folder = Path(name)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                jobs = [
                    pool.submit(compile_file, profile, unpacked, file, folder / f"{number}.o")
                    for number, file in enumerate(files(unpacked))
                ]
                link([job.result() for job in jobs], folder / "agent")
            (folder / "agent").rename(agent)
    return Program((str(agent),))


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
    _run([*command, str(file)])
    return result


def link(objects: Iterable[Path], agent: Path) -> None:
    """Make the agent of its compiled files. Raises RuntimeError."""
    _run(["cc", "-o", str(agent), *map(str, objects)])


def source(cache: Path) -> Path:
    """lwIP's source, unpacked in the cache; fetched by the machine's own package sources, which stay as they are.

    Raises MissingError, RuntimeError.
    """
    for tool in ("cc", "apt-get", "dpkg-source"):
        if shutil.which(tool) is None:
            raise MissingError(f"no {tool}")
    kept = cache / "source"
    if kept.exists():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        (folder / "lists" / "partial").mkdir(parents=True)
        lists = folder / "sources.list"
        options = [f"Dir::Etc::sourceparts={folder}/parts", f"Dir::State::lists={folder}/lists"]
        options += ["APT::Sandbox::User=", f"Dir::Cache={folder}/cache"]
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        (folder / "parts").mkdir()
        _write_sources(lists, folder / "parts")
        options.append(f"Dir::Etc::sourcelist={lists}")
        apt = ["apt-get", "-q", *(part for option in options for part in ("-o", option))]
        _run([*apt, "update"], cwd=folder)
        _run([*apt, "source", "lwip"], cwd=folder)
        unpacked = next((path for path in folder.glob("lwip-*") if path.is_dir()), None)
        if unpacked is None:
            raise MissingError("apt has no source package lwip")
        try:
            unpacked.rename(kept)
        except OSError:
            if not kept.exists():  # else another run was faster
                raise
    return kept


def _write_sources(lists: Path, parts: Path) -> None:
    """The machine's package sources once more, of type deb-src."""
    etc = Path("/etc/apt")
    lines = []
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        if file.exists():
            lines += [line for line in file.read_text().splitlines() if line.startswith("deb ")]
    lists.write_text("".join(f"deb-src {line.removeprefix('deb ')}\n" for line in lines))
    for file in (etc / "sources.list.d").glob("*.sources"):
        said = [
            "Types: deb-src" if line.lower().startswith("types:") else line for line in file.read_text().splitlines()
        ]
        (parts / file.name).write_text("\n".join(said) + "\n")


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr or done.stdout).strip()[-800:]}")


ADAPTER = Adapter(
    name="lwip",
    summary="lwIP 2.1.3, an embedded stack, in virtual time",
    install="apt-get install -y gcc libc6-dev dpkg-dev",
    prepare=prepare,
    profiles=_PROFILES,
)

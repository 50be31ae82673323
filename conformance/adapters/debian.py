"""Packages of Debian as files in a cache, unpacked there: nothing is installed. Imports the standard library only."""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.adapters.base import MissingError
from conformance.adapters.machine import keep, need, run

_LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


def packages(name: str, wanted: tuple[str, ...], cache: Path) -> list[Path]:
    """Packages as files below `name` in the cache, downloaded unless they are there.

    Raises MissingError when the machine's package sources don't have them.
    """

    def fetch(folder: Path) -> None:
        folder.mkdir()
        _download(wanted, folder)

    return sorted(keep(cache / name, fetch).glob("*.deb"))


def unpack(files: list[Path], root: Path) -> None:
    """Put what packages contain below a folder. Raises RuntimeError."""
    for file in files:
        run(["dpkg", "-x", str(file), str(root)])


def fetch(wanted: tuple[str, ...], root: Path) -> None:
    """Put what packages contain below a folder; they stay beside it. Raises MissingError, RuntimeError."""
    _download(wanted, root.parent)
    unpack(sorted(root.parent.glob("*.deb")), root)


def unpacked(wanted: tuple[str, ...], cache: Path) -> Path:
    """The folder of the cache with what packages contain. Raises MissingError, RuntimeError."""
    return keep(cache / "root", lambda root: fetch(wanted, root))


def library(name: str, wanted: tuple[str, ...], cache: Path) -> dict[str, str]:
    """What an interpreter's environment must say so that it can load a library: of the machine, else of these packages.

    Raises MissingError, RuntimeError.
    """
    environment: dict[str, str] = {}
    if not _loads(name, environment):
        folders = sorted({str(file.parent) for file in unpacked(wanted, cache).rglob("*.so.*")})
        environment["LD_LIBRARY_PATH"] = ":".join(folders)
        if not _loads(name, environment):
            raise MissingError(f"{name} can't be loaded")
    return environment


def depends(package: str) -> str:
    """What a package depends on, as apt-cache prints it. Raises MissingError."""
    return _apt(["apt-cache", "depends"], (package,))


def source(package: str, cache: Path) -> Path:
    """The folder of the cache with a package's source; by the machine's own package sources, which stay as they are.

    Raises MissingError, RuntimeError.
    """
    return keep(cache / "source", lambda folder: _fetch_source(package, folder))


def _fetch_source(package: str, unpacked: Path) -> None:
    need("apt-get", "dpkg-source")
    folder = unpacked.parent
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / name).mkdir(parents=True)
    lists = folder / "sources.list"
    _write_sources(lists, folder / "parts")
    options = [f"Dir::Etc::sourceparts={folder}/parts", f"Dir::State::lists={folder}/lists", "APT::Sandbox::User="]
    options += [f"Dir::Cache={folder}/cache", f"Dir::Etc::sourcelist={lists}"]
    apt = ["apt-get", "-q", *(part for option in options for part in ("-o", option))]
    run([*apt, "update"], cwd=folder)
    run([*apt, "source", package], cwd=folder)
    found = next((path for path in folder.glob(f"{package}-*") if path.is_dir()), None)
    if found is None:
        raise MissingError(f"apt has no source package {package}")
    found.rename(unpacked)


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


def _download(wanted: tuple[str, ...], folder: Path) -> None:
    need("dpkg")
    _apt(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"], wanted, folder)


def _apt(command: list[str], wanted: tuple[str, ...], folder: Path | None = None) -> str:
    need(command[0])
    try:
        return run([*command, *wanted], cwd=folder)
    except RuntimeError as problem:
        raise MissingError(f"apt does not bring {' '.join(wanted)}: {problem}") from problem


def _loads(name: str, environment: dict[str, str]) -> bool:
    try:
        run([sys.executable, "-S", "-c", _LOAD, name], environment)
    except RuntimeError:
        return False
    return True

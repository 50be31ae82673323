"""An initrd with a user space of this machine's own programs: busybox, ip, Python, and what each of them needs.

Imports the standard library only.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_FOLDER, _FILE, _LINK = 0o040755, 0o100755, 0o120777
_APPLETS = "sh mount insmod sleep poweroff stty".split()
_LOADED = """
import importlib, runpy, sys
del sys.argv[0]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit:
    pass
for name in ("encodings.ascii", "encodings.idna", "encodings.latin_1"):
    importlib.import_module(name)
for module in list(sys.modules.values()):
    for file in (getattr(module, "__file__", None), getattr(module, "__cached__", None)):
        print(file or "")
"""
"""Run by the machine's Python: which files it has read once a program has run, with nothing to read."""


def build(busybox: Path, programs: Mapping[str, Path], script: Sequence[str], files: Mapping[str, bytes]) -> bytes:
    """The archive: `programs` in /tools by their names, with their libraries; what the script imports; `files`.

    One of the programs is `python3`; `script` is one for it with its arguments, which ends when it has nothing to read.

    Raises RuntimeError when a program can't be looked into.
    """
    archive = Archive()
    archive.add("bin/busybox", busybox.read_bytes())
    for name in _APPLETS:
        archive.link(f"bin/{name}", "/bin/busybox")
    said = _output([str(programs["python3"]), "-S", "-E", "-c", _LOADED, *script])
    read = {Path(line) for line in said.splitlines() if line.startswith("/")}
    modules = {path for path in read if path.is_file()}
    tools = set(programs.values())
    for path in sorted({*tools, *modules, *libraries({*tools, *modules})}):
        archive.add(str(path), path.read_bytes(), path.stat().st_mtime)
    for name, path in programs.items():
        archive.link(f"tools/{name}", str(path))
    for name, octets in files.items():
        archive.add(name, octets)
    for folder in ("dev", "proc", "sys", "tmp"):
        archive.folder(folder)
    return archive.whole()  # not compressed: to unpack it takes an emulated processor long


def libraries(paths: Iterable[Path]) -> set[Path]:
    """What the loader would load for these programs and shared objects."""
    found = set()
    for path in paths:
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        for name in re.findall(r"(?:=> )?(/\S+) \(0x", _output(["ldd", str(path)])):
            found.add(Path(name))
    return found


def _output(command: list[str]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:2])}: {done.stderr.strip()[-400:]}")
    return done.stdout


class Archive:
    """A cpio archive in the format that Linux unpacks ("newc")."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._known: set[str] = set()

    def add(self, name: str, octets: bytes, time: float = 0) -> None:
        """A file that may be run, with the folders above it."""
        self._entry(name, _FILE, octets, time)

    def link(self, name: str, to: str) -> None:
        """A symbolic link."""
        self._entry(name, _LINK, to.encode(), 0)

    def folder(self, name: str) -> None:
        """An empty folder."""
        self._entry(name, _FOLDER, b"", 0)

    def whole(self) -> bytes:
        """The archive with its end."""
        self._write("TRAILER!!!", 0, b"", 0)
        return bytes(self._octets)

    def _entry(self, name: str, mode: int, octets: bytes, time: float) -> None:
        name = name.lstrip("/")
        above = name.rpartition("/")[0]
        if above and above not in self._known:
            self.folder(above)
        if name not in self._known:
            self._known.add(name)
            self._write(name, mode, octets, time)

    def _write(self, name: str, mode: int, octets: bytes, time: float) -> None:
        label = name.encode() + b"\0"
        fields = (len(self._known), mode, 0, 0, 1, int(time), len(octets), 0, 0, 0, 0, len(label), 0)
        self._octets += b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (label, octets):
            self._octets += part + bytes(-(len(self._octets) + len(part)) % 4)

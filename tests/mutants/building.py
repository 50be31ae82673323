"""lwIP with one place changed: every unchanged file is compiled once and kept, only the changed one anew.

What the unchanged stack is known to do wrong is mended first where the tables say how (lwip/repairs.yaml).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from conformance.adapters import lwip
from conformance.targets.stacks import cache_folder
from mutants.table import Mutant, mutated, repairs


def cache() -> Path:
    """Where lwIP's source and the compiled files are kept."""
    return cache_folder() / "lwip"


def objects(profile: str) -> dict[Path, Path]:
    """Every C file of the agent, compiled: file -> object. Raises MissingError, RuntimeError."""
    source = lwip.source(cache())
    mended = hashlib.sha256(repr(repairs()).encode()).hexdigest()[:8]
    kept = cache() / f"objects-{profile or 'default'}-{lwip.digest(profile)}-{mended}"
    sources = lwip.files(source)
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as name, ThreadPoolExecutor(os.cpu_count()) as pool:
            new = Path(name) / "objects"
            new.mkdir()
            jobs = [
                pool.submit(lwip.compile_file, profile, source, _mended(source, file, new), new / f"{number}.o")
                for number, file in enumerate(sources)
            ]
            for job in jobs:
                job.result()
            try:
                new.rename(kept)
            except OSError:
                if not kept.exists():  # else another run was faster
                    raise
    return {file: kept / f"{number}.o" for number, file in enumerate(sources)}


def _mended(source: Path, file: Path, folder: Path) -> Path:
    """The file with its repairs: a copy in `folder`, or the file itself where there are none."""
    some = [repair for repair in repairs() if file == source / "src" / repair.file]
    if not some:
        return file
    text = file.read_text(encoding="utf-8")
    for repair in some:
        text = mutated(repair, text)
    copy = folder / file.name
    copy.write_text(text, encoding="utf-8")
    return copy


@contextmanager
def agent(mutant: Mutant | None, profile: str) -> Iterator[Path]:
    """An agent with the mutant built in (None: none), there until the context ends.

    Raises TableError, MissingError, RuntimeError: the compiler's words.
    """
    source = lwip.source(cache())
    parts = objects(profile)
    with tempfile.TemporaryDirectory(dir=cache()) as name:
        folder = Path(name)
        if mutant is not None:
            file = source / "src" / mutant.file
            text = _mended(source, file, folder).read_text(encoding="utf-8")
            changed = folder / f"changed-{file.name}"
            changed.write_text(mutated(mutant, text), encoding="utf-8")
            parts = {**parts, file: lwip.compile_file(profile, source, changed, folder / "changed.o")}
        lwip.link(parts.values(), folder / "agent")
        yield folder / "agent"

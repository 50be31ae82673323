"""lwIP with one place changed: every unchanged file is compiled once and kept, only the changed one anew."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from conformance.adapters import lwip
from conformance.targets.stacks import cache_folder
from mutants.table import Mutant, mutated


def cache() -> Path:
    """Where lwIP's source and the compiled files are kept."""
    return cache_folder() / "lwip"


def objects(profile: str) -> dict[Path, Path]:
    """Every C file of the agent, compiled: file -> object. Raises MissingError, RuntimeError."""
    source = lwip.source(cache())
    kept = cache() / f"objects-{profile or 'default'}-{lwip.digest(profile)}"
    sources = lwip.files(source)
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as name, ThreadPoolExecutor(os.cpu_count()) as pool:
            new = Path(name) / "objects"
            new.mkdir()
            jobs = [
                pool.submit(lwip.compile_file, profile, source, file, new / f"{number}.o")
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


@contextmanager
def agent(mutant: Mutant | None, profile: str) -> Iterator[Path]:
    """An agent with the mutant built in (None: lwIP as it is), there until the context ends.

    Raises TableError, MissingError, RuntimeError: the compiler's words.
    """
    source = lwip.source(cache())
    parts = objects(profile)
    with tempfile.TemporaryDirectory(dir=cache()) as name:
        folder = Path(name)
        if mutant is not None:
            file = source / "src" / mutant.file
            changed = folder / file.name
            changed.write_text(mutated(mutant, file.read_text(encoding="utf-8")), encoding="utf-8")
            parts = {**parts, file: lwip.compile_file(profile, source, changed, folder / "changed.o")}
        lwip.link(parts.values(), folder / "agent")
        yield folder / "agent"

"""The tables of mutants, read and checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from conformance.catalogue import load as load_catalogue

HERE = Path(__file__).parent


class TableError(Exception):
    """An entry that is wrong; the message says which and why."""


@dataclass(frozen=True)
class Mutant:
    """One wrong stack. `file` and `old` are those of a source mutant, `alter` that of a reply mutant."""

    name: str
    breaks: tuple[str, ...]
    """Requirements that it breaks, or patterns of their ids."""
    wrong: str
    part: str
    """Which part of the stack is wrong: the table that it stands in."""
    profile: str = "full"
    file: str = ""
    within: str = ""
    old: str = ""
    new: str = ""
    alter: Mapping[str, Any] = field(default_factory=dict)
    only: str | None = None
    skip: int = 0
    from_start: bool = False
    """A reply mutant is wrong in the preamble, too."""
    equivalent: str = ""
    """Why no peer can tell it from the right stack; such a mutant is built and run, and not counted."""

    open: str = ""
    """Which case is missing that would catch it: it counts as a survivor, and is no surprise."""

    @property
    def kind(self) -> str:
        """`source` or `reply`."""
        return "source" if self.file else "reply"

    def named_by(self, requirements: tuple[str, ...]) -> bool:
        """Does one of these requirements name what is broken?"""
        return any(fnmatchcase(id_, pattern) for id_ in requirements for pattern in self.breaks)


@lru_cache(maxsize=1)
def mutants() -> tuple[Mutant, ...]:
    """Every mutant of every table. Raises TableError."""
    found = list(_source()) + list(_read(HERE / "replies.yaml", "replies"))
    names = [mutant.name for mutant in found]
    for name in names:
        if names.count(name) > 1:
            raise TableError(f"{name}: there are two of that name")
    return tuple(found)


def _source() -> Iterator[Mutant]:
    for path in sorted((HERE / "lwip").glob("*.yaml")):
        if path.stem != "repairs":
            yield from _read(path, path.stem)


@lru_cache(maxsize=1)
def repairs() -> tuple[Mutant, ...]:
    """What is mended in lwIP before mutants are made of it."""
    entries = yaml.safe_load((HERE / "lwip" / "repairs.yaml").read_text(encoding="utf-8"))
    return tuple(Mutant(name, (), entry.pop("why"), "repairs", **entry) for name, entry in entries.items())


def _read(path: Path, part: str) -> Iterator[Mutant]:
    known = [requirement.id for requirement in load_catalogue()]
    for name, entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items():
        try:
            mutant = Mutant(name, tuple(entry.pop("breaks").split()), part=part, **entry)
        except (TypeError, KeyError) as problem:
            raise TableError(f"{path.name}: {name}: {problem}") from None
        if bool(mutant.old) != bool(mutant.file) or bool(mutant.alter) == bool(mutant.file):
            raise TableError(f"{path.name}: {name}: either `file` with `old`, or `alter`")
        for pattern in mutant.breaks:
            if not any(fnmatchcase(id_, pattern) for id_ in known):
                raise TableError(f"{path.name}: {name}: no requirement is {pattern}")
        yield mutant


def mutated(mutant: Mutant, text: str) -> str:
    """The file's text with the one place changed. Raises TableError when the place is not there just once."""
    begin, end = 0, len(text)
    if mutant.within:
        head = re.search(rf"^{re.escape(mutant.within)}\([^;{{]*?\)\s*^\{{", text, re.MULTILINE)
        if head is None:
            raise TableError(f"{mutant.name}: {mutant.file} has no function {mutant.within}")
        begin, end = head.start(), text.index("\n}\n", head.end())
    words = [re.escape(word) for word in mutant.old.split()]
    places = list(re.finditer(r"\s+".join(words), text[begin:end]))
    if len(places) != 1:
        raise TableError(f"{mutant.name}: the text stands {len(places)} times in {mutant.within or mutant.file}")
    place = places[0]
    return text[: begin + place.start()] + mutant.new + text[begin + place.end() :]

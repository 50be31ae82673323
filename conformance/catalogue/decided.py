"""Which case decides which requirement: triples of case, step and mutation, computed from the tester's own tests.

A triple says that a stack wrong in just this way (`mutation`) fails just this step, and that the failure names the
requirement. The tests execute every one of them (`tests/mutations/`); `decided.json` is their table, made by
`python -m mutations.decided` in `tests/` and held against it by a test. Never a claim of a case's header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

DECIDED = Path(__file__).with_name("decided.json")
QUICK = Path(__file__).with_name("quick.json")
"""Ids of the variations that decide most requirements for the time; `python -m mutations.decided` makes it, too."""


@dataclass(frozen=True, slots=True)
class Triple:
    """One way in which one step of one case is shown to catch that a requirement is broken."""

    case: str
    line: int
    """Line of the step in the case's file, from 1; 0 for an invariant, which is held against every segment."""
    step: str
    mutation: str
    """How the replies were altered, as the table of mutations says it."""
    beside: int = 0
    """How many further requirements a failure of this step names: 0 when it breaks just this one."""
    variations: tuple[str, ...] = ()
    """The variations (`[ip=v4,...]`) in which the step is about the requirement; empty for all."""


@cache
def quick(path: Path = QUICK) -> frozenset[str]:
    """The variations of the quick tier."""
    return frozenset(json.loads(path.read_text(encoding="utf-8")))


@cache
def load(path: Path = DECIDED) -> Mapping[str, tuple[Triple, ...]]:
    """Requirement id -> what decides it; a requirement that nothing decides is not there."""
    data = json.loads(path.read_text(encoding="utf-8"))
    found = {}
    for id_, entries in data.items():
        triples = [Triple(**{**entry, "variations": tuple(entry.get("variations", ()))}) for entry in entries]
        found[id_] = tuple(triples)
    return MappingProxyType(found)

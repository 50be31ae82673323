"""The steps that bring a target to a state: written in the language, in `preambles`, one file for each way to open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode

from conformance.cases.model import Step
from conformance.cases.steps import StepReader
from conformance.cases.yamltree import Problems, compose, items
from conformance.tcp.states import State

_FOLDER = Path(__file__).parent / "preambles"
_CLOSES = {"shutdown": "shutdown(wr)", "close": "close()"}


@dataclass(frozen=True, slots=True)
class Start:
    """`start:` of a case: the state, how it was opened and closed, what the tester's SYN says, steps put in.

    `setup` runs first of all; `before` runs in ESTABLISHED (or last of all, for a state before it).
    """

    state: State = State.CLOSED
    open: str = "passive"
    close: str = "shutdown"
    syn: str = ""
    setup: Node | None = None
    before: Node | None = None


class _Entry(NamedTuple):
    state: State
    origin: State
    steps: Node


SERVICES: Mapping[str, str] = {"echo": "serves", "discard": "serves", "http": "serves", "closes": "closes"}
"""Services by which a target without an agent is brought to states: their preambles."""


_HALF_CLOSED = frozenset({State.FIN_WAIT_1, State.FIN_WAIT_2})


def by_service(start: Start, services: Iterable[str]) -> str | None:
    """The first of these services that leads to where a case starts, or None.

    A service that closes does not read on: it can't stand in for an application that has shut down one direction.
    """
    if start.open != "passive":
        return None
    for name in services:
        way = SERVICES.get(name)
        if way is None or start.state not in reachable(way):
            continue
        if way == "closes" and start.state in _HALF_CLOSED and start.close != "close":
            continue
        return name
    return None


@lru_cache(maxsize=4)
def _load(way: str) -> tuple[dict[State, _Entry], Problems]:
    path = _FOLDER / f"{way}.yaml"
    node, problems = compose(path.read_text(), f"preambles/{way}.yaml")
    entries = {}
    for name, _, value in items(node):
        assert isinstance(value, MappingNode)
        keys = {key: child for key, _, child in items(value)}
        origin = keys["from"]
        assert isinstance(origin, ScalarNode)
        entries[State(name)] = _Entry(State(name), State(origin.value), keys["steps"])
    return entries, problems


def reachable(way: str) -> frozenset[State]:
    """The states that a preamble of this way to open leads to, CLOSED among them."""
    return frozenset(_load(way)[0]) | {State.CLOSED}


@lru_cache(maxsize=512)
def _chain(way: str, state: State, syn: str, close: str) -> tuple[tuple[State, tuple[Step, ...]], ...]:
    entries, source = _load(way)
    links: list[_Entry] = []
    at = state
    while at is not State.CLOSED:
        entry = entries[at]
        links.append(entry)
        at = entry.origin
    problems = Problems(source.file, source.source)
    found = []
    for entry in reversed(links):
        reader = StepReader(problems, {"syn": syn, "close": _CLOSES[close]}, None)
        found.append((entry.state, reader.steps(entry.steps)))
    problems.check()
    return tuple(found)


def build(start: Start, reader: StepReader, values: Mapping[str, str]) -> list[Step]:
    """The preamble's steps for one variation. Raises CaseError when `syn` is not part of a SYN."""
    from conformance.cases.parameters import substitute

    syn = substitute(start.syn, values)
    steps: list[Step] = list(reader.steps(start.setup)) if start.setup is not None else []
    between = list(reader.steps(start.before)) if start.before is not None else []
    placed = False
    for state, part in _chain(start.open, start.state, syn, start.close):
        steps += part
        if state is State.ESTABLISHED:
            steps += between
            placed = True
    return steps if placed else steps + between

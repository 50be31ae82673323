"""Which requirements a run decided: computed from the triples of the tests and what the run saw, never from a header.

A requirement is met when a step that guards it held, deviating when a finding names it. Both are decided; a finding
outweighs. Imports the catalogue and this room's reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from conformance.catalogue import Catalogue, Requirement
from conformance.catalogue.decided import Triple


class State(StrEnum):
    """What is known of a requirement, from what was learned most to what was learned least."""

    DEVIATING = "deviating"
    MET = "met"
    UNSUPPORTED = "unsupported"
    UNDECIDED = "undecided"
    NOT_RUN = "not run"
    NOT_COVERED = "not covered"
    NO_WAY = "no way"


DECIDED = frozenset({State.MET, State.DEVIATING})
COLUMNS = (
    State.MET,
    State.DEVIATING,
    State.UNSUPPORTED,
    State.UNDECIDED,
    State.NOT_RUN,
    State.NOT_COVERED,
    State.NO_WAY,
)
_RANK = {state: rank for rank, state in enumerate(State)}


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement, and what the reports say of it."""

    requirement: Requirement
    state: State
    by: tuple[str, ...]
    """The cases whose triples decide it; of a deviating one, those that found it so."""
    targets: Mapping[str, State]
    """The same for each report alone, by the name of its target."""


@dataclass
class Seen:
    """What one report says: which guarding steps held, what was found, what could not be run."""

    held: dict[str, set[str]] = field(default_factory=dict)
    """Requirement -> cases in which a step that guards it held."""
    broken: dict[str, set[str]] = field(default_factory=dict)
    unsupported: set[str] = field(default_factory=set)
    """Cases that the target lacks something for."""
    run: set[str] = field(default_factory=set)
    """Cases of which a variation was run."""
    ways: dict[str, Counter[str]] = field(default_factory=dict)
    """Conflict -> the permitted ways that the stack went, and how often."""


def survey(results: Iterable[Mapping[str, Any]], decided: Mapping[str, Sequence[Triple]], catalogue: Catalogue) -> Seen:
    """Read the results of one report (`jsonl.read`)."""
    guards: dict[str, list[tuple[str, Triple]]] = {}
    for id_, triples in decided.items():
        for triple in triples:
            guards.setdefault(triple.case, []).append((id_, triple))
    seen = Seen()
    for result in results:
        case, bracket, rest = result["id"].partition("[")
        if result["verdict"] == "UNSUPPORTED":
            seen.unsupported.add(case)
            continue
        seen.run.add(case)
        _ways(seen, result, catalogue)
        finding = result["finding"]
        broken = _broken(result)
        for id_ in broken:
            seen.broken.setdefault(id_, set()).add(case)
        if result["verdict"] not in ("PASS", "DEVIATION", "FAIL"):
            continue
        upto = len(result["steps"]) if finding is None else finding["step"]
        lines = {0} if finding is None or result["verdict"] == "DEVIATION" else set()
        lines |= {step.get("line") for step in result["steps"][:upto] if step.get("file") == result["file"]}
        for id_, triple in guards.get(case, ()):
            if (
                triple.line in lines
                and id_ not in broken
                and (not triple.variations or bracket + rest in triple.variations)
            ):
                seen.held.setdefault(id_, set()).add(case)
    return seen


def _broken(result: Mapping[str, Any]) -> tuple[str, ...]:
    finding = result["finding"]
    if finding is None or result["verdict"] not in ("FAIL", "DEVIATION"):
        return ()
    return tuple(finding["requirements"] or result["requirements"])


def _ways(seen: Seen, result: Mapping[str, Any], catalogue: Catalogue) -> None:
    for place, label in result["observations"].items():
        ids = place.split(",") if place.startswith("RFC") else result["requirements"]
        for conflict in dict.fromkeys(c for id_ in ids for c in catalogue.conflicts_of(id_)):
            if label in {outcome.label for outcome in conflict.outcomes}:
                seen.ways.setdefault(conflict.id, Counter())[label] += 1


def _state(requirement: Requirement, triples: Sequence[Triple], seen: Seen) -> State:
    if not triples:
        return State.NO_WAY if requirement.reason else State.NOT_COVERED
    if seen.broken.get(requirement.id):
        return State.DEVIATING
    if seen.held.get(requirement.id):
        return State.MET
    cases = {triple.case for triple in triples}
    if cases & seen.run:
        return State.UNDECIDED
    return State.UNSUPPORTED if cases & seen.unsupported else State.NOT_RUN


def lines(catalogue: Catalogue, decided: Mapping[str, Sequence[Triple]], reports: Mapping[str, Seen]) -> list[Line]:
    """One line for each requirement, over all reports; without any report nothing has been run."""
    found = []
    for requirement in catalogue:
        triples = decided.get(requirement.id, ())
        targets = {name: _state(requirement, triples, seen) for name, seen in reports.items()}
        state = min(targets.values(), key=_RANK.__getitem__) if targets else _state(requirement, triples, Seen())
        by: Iterable[str] = {triple.case for triple in triples}
        if state is State.DEVIATING:
            by = {case for seen in reports.values() for case in seen.broken.get(requirement.id, ())}
        elif state is State.MET:
            by = {case for seen in reports.values() for case in seen.held.get(requirement.id, ())}
        found.append(Line(requirement, state, tuple(sorted(by)), targets))
    return found


def table(found: Iterable[Line], key: Callable[[Line], str], title: str) -> Iterator[str]:
    """Counts of each state as text, a row for each value of `key` in the order in which they are met, and a sum."""
    rows: dict[str, Counter[State]] = {}
    for line in found:
        rows.setdefault(key(line), Counter())[line.state] += 1
    width = max([len(title), 5, *map(len, rows)])
    yield f"{title:<{width}} {'all':>5} {'decided':>8} " + " ".join(f"{state:>11}" for state in COLUMNS)
    total: Counter[State] = Counter()
    for name, counts in rows.items():
        yield _row(name, counts, width)
        total += counts
    yield _row("sum", total, width)


def _row(name: str, counts: Counter[State], width: int) -> str:
    decided = sum(counts[state] for state in DECIDED)
    cells = " ".join(f"{counts[state]:>11}" for state in COLUMNS)
    return f"{name:<{width}} {counts.total():>5} {decided:>8} {cells}"


def by_section(line: Line) -> str:
    """`RFC 9293 3.10`: sections as deep as two numbers."""
    parts = line.requirement.section.split(".")
    return f"RFC {line.requirement.rfc} {'.'.join(parts[:2])}"


def ways(catalogue: Catalogue, reports: Mapping[str, Seen]) -> Iterator[str]:
    """Where the RFCs contradict one another: which of the permitted ways each target went."""
    for conflict in catalogue.conflicts:
        told = []
        for name, seen in reports.items():
            counts = seen.ways.get(conflict.id)
            if counts:
                told.append(f"{name}: {', '.join(f'{label} {count} x' for label, count in counts.most_common())}")
        yield f"{conflict.id}: {conflict.summary}"
        yield f"  {'; '.join(told) or 'not seen'}"


def as_json(found: Iterable[Line], decided: Mapping[str, Sequence[Triple]]) -> dict[str, Any]:
    """All of it as an object: what decides each requirement by its triples, and what each target showed."""
    requirements = {}
    for line in found:
        requirement = line.requirement
        entry: dict[str, Any] = {
            "rfc": requirement.rfc,
            "section": requirement.section,
            "level": str(requirement.level),
            "state": str(line.state),
            "cases": list(line.by),
            "targets": {name: str(state) for name, state in line.targets.items()},
            "triples": [
                {"case": t.case, "line": t.line, "step": t.step, "mutation": t.mutation}
                for t in decided.get(requirement.id, ())
            ],
        }
        if requirement.reason:
            entry |= {"reason": requirement.reason, "why": requirement.why}
        requirements[requirement.id] = entry
    return {"schema": "tcp-conformance-coverage", "version": 1, "requirements": requirements}

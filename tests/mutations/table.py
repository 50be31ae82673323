"""The table of mutations: which case, which guarding step, which wrong stack; and how one row is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from conformance.cases import model as m
from conformance.cases.loader import load_file
from conformance.catalogue import load as load_catalogue
from conformance.engine.clock import RealClock
from conformance.engine.result import Result
from conformance.engine.run import run_variation
from conformance.tcp.invariants import INVARIANTS
from mutations.altering import AlteringTarget, Mutation

HERE = Path(__file__).parent
SUITE = HERE.parent.parent / "cases"


@dataclass(frozen=True)
class Row:
    """One wrong stack for one guarding step."""

    case: str
    alter: dict[str, Any]
    because: str
    step: str = ""
    invariant: str = ""
    """The invariant that catches it, where no step does."""
    only: str | None = None
    skip: int = 0
    variation: str = ""
    since: str = ""
    """The step from which on replies are altered, where that is before the acts that precede the guarding one."""
    mends: bool = False
    """The alteration makes a right stack of one that this case finds wrong: altered it passes, as it is it does not."""
    requirement: str | list[str] | None = None
    """What the mutation breaks, where the step names more than that."""

    def __str__(self) -> str:
        where = f"[{self.variation}]" if self.variation else ""
        return f"{self.case}{where} | {self.step or self.invariant} | {self.alter} {self.requirement or ''}".rstrip()


@lru_cache(maxsize=1)
def rows() -> tuple[Row, ...]:
    """Every row of every file beside this one."""
    found = []
    for path in sorted(HERE.glob("*.yaml")):
        for case, entries in (yaml.safe_load(path.read_text()) or {}).items():
            found += [Row(case, **entry) for entry in entries]
    return tuple(found)


@lru_cache(maxsize=1024)
def case_of(name: str) -> m.Case:
    """The case of that id."""
    path = SUITE / f"{name}.yaml"
    return load_file(path, SUITE, frozenset(r.id for r in load_catalogue()))


def variations() -> Iterator[m.Variation]:
    """Every variation of the suite, its cases in the order of their names."""
    for path in sorted(SUITE.rglob("*.yaml")):
        yield from case_of(path.relative_to(SUITE).with_suffix("").as_posix()).variations


def guarded(row: Row, steps: Sequence[m.Step], lead: int) -> tuple[int, int]:
    """Index of the guarding step among the top-level steps, and of the first of the acts before it.

    A call whose outcome is altered is the only act: another before it may have the same verb.
    """
    if not row.step:
        return lead, lead
    index, first = _found(row, row.step, steps, lead)
    if "call" in row.alter and isinstance(steps[index], m.Call):
        first = index
    return index, _found(row, row.since, steps, lead)[1] if row.since else first


def _found(row: Row, step: str, steps: Sequence[m.Step], lead: int) -> tuple[int, int]:
    text, _, nth = step.partition("#")
    wanted = int(nth or 1)
    for index in range(lead, len(steps)):
        if any(inner.text.startswith(text.strip()) for inner in _within(steps[index])):
            wanted -= 1
            if not wanted:
                first = index
                while first > lead and isinstance(steps[first - 1], m.Send | m.Call | m.Wait):
                    first -= 1
                return index, first
    raise LookupError(f"{row}: no such step; there are {[step.text for step in steps[lead:]]}")


def _within(step: m.Step) -> list[m.Step]:
    if isinstance(step, m.AnyOf):
        return [step, *(inner for _, branch in step.branches for inner in branch)]
    if isinstance(step, m.Repeat):
        return [step, *(inner for n in range(1, step.count + 1) for inner in step.body(n))]
    return [step]


async def run_row(row: Row, target: Any) -> tuple[Result, Mutation, m.Step, m.Variation]:
    """Run the case against the mutated target."""
    case = case_of(row.case)
    variation = next(v for v in case.variations if row.variation in v.id)
    steps, lead = variation.build()
    index, first = guarded(row, steps, lead)
    mutation = Mutation(row.alter, row.only, row.skip)

    def observe(step: m.Step) -> None:
        if step is steps[first]:
            mutation.armed = True

    altered: Any = AlteringTarget(target, mutation)
    result = await run_variation(
        variation, altered, RealClock(), load_catalogue(), check_oracle=False, observer=observe
    )
    return result, mutation, steps[index], variation


def verdict_on(row: Row, result: Result, mutation: Mutation, step: m.Step, variation: m.Variation) -> str | None:
    """What is wrong with how the mutation was caught, or None when the guarding step caught it."""
    if not mutation.touched:
        return f"the mutation altered nothing; the case says {result.verdict}: {result.reason}"
    if row.mends:
        return None if result.verdict == "PASS" else f"not mended: {result.verdict}: {result.reason}"
    permitted = result.finding is not None and "not done" in result.observations.values()  # a MAY that was not taken
    if result.verdict not in ("FAIL", "DEVIATION") and not permitted:
        return f"not caught: {result.verdict}: {result.reason}"
    finding = result.finding
    assert finding is not None
    if row.invariant:
        told = f"(invariant {row.invariant})" in finding.message and INVARIANTS[row.invariant] in finding.requirements
        return None if told else f"the invariant is not told: {finding.message} {finding.requirements}"
    inner = {inner.text for inner in _within(step)} | {step.text}
    if finding.yaml not in inner:
        return f"another step failed: {finding.yaml!r} instead of {step.text!r} ({finding.message})"
    wanted = claims(row, step, variation)
    if not wanted <= set(finding.requirements):
        return f"the reason is {finding.requirements}, not {sorted(wanted)}"
    return None


def claims(row: Row, step: m.Step, variation: m.Variation) -> frozenset[str]:
    """The requirements that the mutation is caught for: all of them stand in the finding."""
    if row.invariant:
        return frozenset([INVARIANTS[row.invariant]])
    if row.requirement:
        return frozenset([row.requirement] if isinstance(row.requirement, str) else row.requirement)
    text = row.step.partition("#")[0].strip()
    if not step.text.startswith(text):
        step = next(inner for inner in _within(step) if inner.text.startswith(text))
    elif isinstance(step, m.Repeat):
        step = next((inner for inner in _within(step)[1:] if inner.requirements), step)
    return frozenset(step.requirements or variation.case.requirements)

"""Two reports compared: what changed, why, and both ladders side by side for a terminal.

Only what tells results apart is kept of each; ladders are made of the lines that are read again. Imports the Result,
this room's reading, ladder and text.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from conformance.engine.result import Verdict
from conformance.report.ladder import ladder
from conformance.report.reading import Reading, result_of
from conformance.report.text import printable

_SHOWN = 10
"""Changes whose ladders are printed, unless more are asked for."""
_MOST = 200
_ORDER = {
    verdict: number for number, verdict in enumerate("FAIL DEVIATION INCONCLUSIVE ERROR UNSUPPORTED PASS".split())
}


class Found(NamedTuple):
    """What is kept of a result: what it came to, and where its line stands."""

    verdict: str
    why: str
    finding: tuple[str, ...]
    """What the finding says, without what differs from run to run by its nature."""
    place: int


@dataclass(frozen=True, slots=True)
class Change:
    """A variation that is not the same in both; None for a run that has no result of it."""

    id: str
    before: Found | None
    after: Found | None

    @property
    def kind(self) -> tuple[str, str]:
        """The verdicts before and after."""
        return (self.before.verdict if self.before else "not run", self.after.verdict if self.after else "not run")


class Side:
    """One of the two: its results by id, in the order of the report."""

    def __init__(self, path: Path) -> None:
        self.reading = Reading(path)
        self.found: dict[str, Found] = {line["id"]: _found(line, place) for place, line in self.reading}

    @property
    def name(self) -> str:
        """The target, and when it was run."""
        target = self.reading.header["target"]
        kernel = f" ({printable(str(target['kernel']))})" if target.get("kernel") else ""
        return f"{printable(str(target.get('name') or 'a target'))}{kernel}"


def finding_says(line: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells a finding from another: step, message, requirements, what differs. Empty without a finding."""
    finding = line.get("finding")
    if finding is None:
        return ()
    differs = [
        f"{one.get('field')}: {one.get('expected') or 'none'} expected, {one.get('seen') or 'none'} seen"
        for one in finding.get("differences", ())
    ]
    return (str(finding.get("step")), str(finding.get("message")), *map(str, finding.get("requirements", ())), *differs)


def _found(line: Mapping[str, Any], place: int) -> Found:
    finding = line.get("finding") or {}
    why = "" if line["verdict"] == Verdict.PASS else str(finding.get("message") or line["reason"])
    return Found(line["verdict"], why, finding_says(line), place)


class Comparison:
    """What changed from report `a` to report `b`. Raises ReportError, OSError."""

    def __init__(self, a: Path, b: Path) -> None:
        self.a, self.b = Side(a), Side(b)
        self.changes: list[Change] = []
        self.same = 0
        for id_ in dict.fromkeys((*self.a.found, *self.b.found)):
            before, after = self.a.found.get(id_), self.b.found.get(id_)
            if before is None or after is None or _key(before) != _key(after):
                self.changes.append(Change(id_, before, after))
            else:
                self.same += 1
        self.changes.sort(key=lambda change: (_ORDER.get(change.kind[1], 9), change.kind[0]))

    @property
    def problems(self) -> list[str]:
        """Why one of the two is not the whole story."""
        return [f"{side.reading.path}: {problem}" for side in (self.a, self.b) for problem in side.reading.problems]

    def render(self, *, ladders: int = _SHOWN, width: int = 160) -> Iterator[str]:
        """The comparison as lines; `ladders` is how many pairs of ladders are shown, `width` characters wide."""
        yield f"a  {self.a.reading.path}: {self.a.name}"
        yield f"b  {self.b.reading.path}: {self.b.name}"
        yield from (f"   {printable(problem)}" for problem in self.problems)
        yield from self._circumstances()
        yield ""
        if not self.changes:
            yield f"no difference in {self.same} variations"
            return
        yield f"{len(self.changes)} of {len(self.changes) + self.same} variations differ:"
        for (before, after), count in Counter(change.kind for change in self.changes).items():
            yield f"  {count:>6}  {before} -> {after}"
        yield ""
        for change in self.changes[:_MOST]:
            yield f"{change.kind[0]} -> {change.kind[1]}  {printable(change.id)}"
            yield from (f"    {line}" for line in _why(change))
        if len(self.changes) > _MOST:
            yield f"... and {len(self.changes) - _MOST} more"
        if any(side.reading.header.get("brief") for side in (self.a, self.b)):
            return
        # What was not tried has no ladder.
        tried = [one for one in self.changes if one.before and one.after and "UNSUPPORTED" not in one.kind]
        for change in tried[:ladders]:
            yield ""
            yield f"=== {printable(change.id)}: {change.kind[0]} -> {change.kind[1]}"
            yield from self._beside(change, width)

    def _circumstances(self) -> Iterator[str]:
        """What is different between the targets and suites, since that may be why."""
        before, after = (dict(_flat(side.reading.header)) for side in (self.a, self.b))
        for name in dict.fromkeys((*before, *after)):
            one, other = before.get(name, "nothing"), after.get(name, "nothing")
            if one != other:
                yield f"   {printable(name)}: {printable(one)} -> {printable(other)}"

    def _beside(self, change: Change, width: int) -> Iterator[str]:
        half = (width - 3) // 2
        columns = []
        for side, found in ((self.a, change.before), (self.b, change.after)):
            result = result_of(side.reading.line_at(found.place)) if found is not None else None
            lines = ladder(result).splitlines() if result is not None else []
            columns.append([part for line in lines for part in _cut(line, half)])
        for left, right in zip_longest(*columns, fillvalue=""):
            yield f"{left:<{half}} | {right}".rstrip()


def _cut(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, drop_whitespace=False, subsequent_indent=" " * 20) or [""]


def _key(found: Found) -> tuple[object, ...]:
    # Without a finding the reason may name the target, or a time: the verdict is what counts.
    return (found.verdict, found.finding)


def _why(change: Change) -> Iterator[str]:
    for name, found in (("a", change.before), ("b", change.after)):
        if found is not None and found.why:
            details = "; ".join(part for part in found.finding[2:] if ": " in part)
            yield f"{name}: {printable(found.why)}{f' ({printable(details)})' if details else ''}"


def _flat(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "tester", str(header.get("tool"))
    yield "suite", str(header.get("case_set"))
    yield from _leaves(header["target"], "target")


def _leaves(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, f"{name} {key}")
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)

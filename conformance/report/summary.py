"""The end of a run for a terminal: verdicts, what was known and what was not, requirements touched, the exit code.

Results are fed one by one and only what the summary needs of them is kept. Imports the catalogue, the Result and
this room's baseline and text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from conformance.catalogue.catalogue import Catalogue, Level
from conformance.engine.result import Result, Verdict
from conformance.report.baseline import Baseline, Judgement, Kind, kernel_of
from conformance.report.text import printable

EXIT_EXPECTED = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_NOT_RUN = 3

_MOST = 50
"""Lines of one list that are shown before the rest is only counted."""


class Status(StrEnum):
    """What a run learned of a requirement. What was broken once is not met; what was never decided stays open."""

    MET = "met"
    DEVIATING = "deviating"
    NOT_MET = "not met"
    OPEN = "not decided"


RANK = {Status.OPEN: 0, Status.MET: 1, Status.DEVIATING: 2, Status.NOT_MET: 3}
"""Of several results the one with the highest rank is what holds of a requirement."""


class Line(NamedTuple):
    """What is kept of a result that the summary names."""

    id: str
    verdict: Verdict
    judgement: Judgement
    text: str


class Summary:
    """Collects what a run's summary tells. `target` is `Target.describe()`; `strict`: a new DEVIATION is a finding."""

    def __init__(
        self, catalogue: Catalogue, baseline: Baseline, target: Mapping[str, object], *, strict: bool = False
    ) -> None:
        self.catalogue = catalogue
        self.baseline = baseline
        self.target = target
        self.strict = strict
        self.verdicts: Counter[Verdict] = Counter()
        self.status: dict[str, Status] = {}
        self.observations: dict[str, Counter[str]] = {}
        self.lines: list[Line] = []

    def add(self, result: Result) -> Judgement:
        """Count a result, and say what it is worth in the light of the baseline."""
        judgement = self.baseline.judge(result, self.target, strict=self.strict)
        self.verdicts[result.verdict] += 1
        for requirement, status in statuses(result, self.catalogue).items():
            if RANK[status] >= RANK[self.status.get(requirement, Status.OPEN)]:
                self.status[requirement] = status
        for place, way in result.observations.items():
            self.observations.setdefault(place, Counter())[way] += 1
        if judgement.kind is not Kind.EXPECTED:
            self.lines.append(Line(result.id, result.verdict, judgement, _why(result, judgement)))
        return judgement

    def exit_code(self, *, finished: bool, report_failed: str | None = None) -> int:
        """0 all as expected, 1 findings, 3 when not all that was asked for could be decided and written.

        `finished` is false when selected variations were not run; `report_failed` is `Writer.failed`. Usage and case
        errors (2) are met before there is a summary. A finding outweighs what is undecided.
        """
        if any(line.judgement.finding for line in self.lines):
            return EXIT_FINDINGS
        undecided = any(line.judgement.kind is Kind.NOT_DECIDED for line in self.lines)
        if undecided or not finished or report_failed is not None or not self.verdicts:
            return EXIT_NOT_RUN
        return EXIT_EXPECTED

    def render(
        self,
        *,
        seconds: float,
        report: Path | None = None,
        report_failed: str | None = None,
        not_run: Iterable[str] = (),
        interrupted: str = "",
    ) -> str:
        """The summary as lines of text. `seconds` is the run's wall time; `interrupted` says why it ended early."""
        left = list(not_run)
        lines = [self._verdicts(seconds)]
        if interrupted:
            lines.append(f"ended early: {printable(interrupted)}")
        if left:
            lines += [f"not run: {len(left)}", *_short(f"  {printable(id_)}" for id_ in left)]
        for kind, title in _SECTIONS:
            found = [line for line in self.lines if line.judgement.kind is kind]
            if found:
                rows = _by_reason(found) if kind is Kind.KNOWN else [_row(line) for line in found]
                lines += ["", f"{title}: {len(found)}", *_short(rows)]
        if not self.baseline.reviewed(self.target):
            kernel = printable(kernel_of(self.target))
            lines += ["", f"unreviewed kernel: {self.baseline.path} was not reviewed for {kernel}"]
        lines += ["", *self._requirements()]
        if report is not None:
            trouble = f" (incomplete: {report_failed})" if report_failed else ""
            lines += ["", f"report: {printable(str(report))}{trouble}"]
        return "\n".join(lines)

    def _verdicts(self, seconds: float) -> str:
        counts = ", ".join(f"{self.verdicts[verdict]} {verdict}" for verdict in Verdict if self.verdicts[verdict])
        return f"{sum(self.verdicts.values())} run in {seconds:.1f} s: {counts or 'nothing'}"

    def _requirements(self) -> Iterator[str]:
        total = Counter(requirement.level for requirement in self.catalogue)
        by_level: dict[Level, Counter[Status]] = {level: Counter() for level in Level}
        for id_, status in self.status.items():
            if id_ in self.catalogue:
                by_level[self.catalogue.get(id_).level][status] += 1
        yield f"{'requirements':<12} {'touched':>8} {'of':>5} " + " ".join(f"{status:>12}" for status in _COLUMNS)
        for level in Level:
            found = by_level[level]
            cells = " ".join(f"{found[status]:>12}" for status in _COLUMNS)
            yield f"{level:<12} {sum(found.values()):>8} {total[level]:>5} {cells}"


_COLUMNS = (Status.MET, Status.DEVIATING, Status.NOT_MET, Status.OPEN)
_SECTIONS = (
    (Kind.KNOWN, "known deviations met"),
    (Kind.NEW_UNSUPPORTED, "unsupported, and not in the baseline"),
    (Kind.NEW_DEVIATION, "deviations (a SHOULD not met) that are not in the baseline"),
    (Kind.NOT_DECIDED, "not decided"),
    (Kind.UNEXPECTED_PASS, "UNEXPECTED PASS: the baseline is out of date"),
    (Kind.UNEXPECTED_FAIL, "UNEXPECTED FAIL"),
)


def statuses(result: Result, catalogue: Catalogue) -> dict[str, Status]:
    """What one result says of each requirement of its case.

    A pass meets them all. A finding breaks those that it names, by their level; the case's others stay open, since
    its later steps were not reached.
    """
    broken = result.finding.requirements if result.finding is not None else ()
    return statuses_of(result.verdict, result.requirements, broken, catalogue)


def statuses_of(
    verdict: Verdict, requirements: Iterable[str], broken: Iterable[str], catalogue: Catalogue
) -> dict[str, Status]:
    """What a verdict says of each requirement of its case; `broken` are those that the finding names."""
    if verdict is Verdict.PASS:
        return dict.fromkeys(requirements, Status.MET)
    found = dict.fromkeys(requirements, Status.OPEN)
    if verdict in (Verdict.FAIL, Verdict.DEVIATION):
        for id_ in tuple(broken) or tuple(found):
            unmet = catalogue.get(id_).level.unmet if id_ in catalogue else str(verdict)
            found[id_] = {"FAIL": Status.NOT_MET, "DEVIATION": Status.DEVIATING}.get(unmet, Status.OPEN)
        if verdict is Verdict.DEVIATION:
            for id_ in requirements:
                found[id_] = Status.MET if found[id_] is Status.OPEN else found[id_]
    return found


def _why(result: Result, judgement: Judgement) -> str:
    entry = judgement.entry
    if judgement.kind is Kind.KNOWN and entry is not None:
        return f"{entry.requirement}: {entry.reason}" if entry.requirement else entry.reason
    if judgement.kind is Kind.UNEXPECTED_PASS and entry is not None:
        return f"the baseline (line {entry.line}) expects {entry.verdict}: {entry.reason}"
    text = result.finding.message if result.finding is not None else result.reason
    if entry is not None:
        text += f" (the baseline, line {entry.line}, expects {entry.verdict} of {entry.requirement})"
    if result.finding is not None:
        text = f"{result.finding.place}: {text} [{', '.join(result.finding.requirements or result.requirements)}]"
    return text


def _row(line: Line) -> str:
    unreviewed = "unreviewed kernel: " if str(line.judgement) != str(line.judgement.kind) else ""
    return f"  {line.verdict:<12} {printable(line.id)}: {unreviewed}{printable(line.text)}"


def _by_reason(lines: Iterable[Line]) -> list[str]:
    """Known deviations with one row for each reason: how often it was met, in which cases."""
    groups: dict[tuple[Verdict, str], list[str]] = {}
    for line in lines:
        groups.setdefault((line.verdict, line.text), []).append(line.id)
    rows = []
    for (verdict, text), ids in groups.items():
        cases = list(dict.fromkeys(id_.partition("[")[0] for id_ in ids))
        more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
        rows.append(f"  {verdict:<10} {len(ids):>3} x {printable(cases[0])}{more}: {printable(text)}")
    return rows


def _short(lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return found if len(found) <= _MOST else [*found[:_MOST], f"  ... and {len(found) - _MOST} more, see the report"]

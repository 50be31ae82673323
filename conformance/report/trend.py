"""How runs went over time: one line for each run of a stack, and what changed since the run before it.

Imports the catalogue, this room's formats and reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from conformance.catalogue.catalogue import Catalogue, Level
from conformance.engine.result import Verdict
from conformance.report.baseline import kernel_of
from conformance.report.formats import Digest
from conformance.report.reading import ReportError
from conformance.report.summary import Status
from conformance.report.text import printable

_SHOWN = 5
"""Requirements that are named of each change."""


class Run(NamedTuple):
    """One run as the trend has it."""

    started: str
    target: str
    kernel: str
    verdicts: dict[Verdict, int]
    status: dict[str, Status]
    complete: bool
    path: Path


def runs(paths: Iterable[Path], catalogue: Catalogue) -> tuple[list[Run], list[str]]:
    """The runs of these reports in the order of time, and why others could not be read. Raises OSError."""
    found, problems = [], []
    for path in paths:
        try:
            digest = Digest(path, catalogue)
        except ReportError as error:
            problems.append(str(error))
            continue
        header = digest.reading.header
        target = header["target"]
        found.append(
            Run(
                str(header.get("started")),
                str(target.get("name") or "a target"),
                kernel_of(target),
                dict(digest.verdicts),
                digest.status,
                not digest.reading.problems,
                path,
            )
        )
    return sorted(found, key=lambda run: (run.target, run.started)), problems


def render(found: Iterable[Run], catalogue: Catalogue) -> Iterator[str]:
    """The trend as lines of text, stack by stack."""
    before: Run | None = None
    for run in found:
        if before is None or before.target != run.target:
            yield f"{'' if before is None else chr(10)}{printable(run.target)}"
            columns = f"{'PASS':>6} {'DEV':>5} {'FAIL':>5} {'UNSUP':>6} {'other':>6}  {'MUST met':>9}"
            yield f"  {'started':<20} {'kernel':<24} {columns}  since the run before"
            before = None
        counts = [
            run.verdicts.get(one, 0) for one in (Verdict.PASS, Verdict.DEVIATION, Verdict.FAIL, Verdict.UNSUPPORTED)
        ]
        rest = run.verdicts.get(Verdict.INCONCLUSIVE, 0) + run.verdicts.get(Verdict.ERROR, 0)
        numbers = f"{counts[0]:>6} {counts[1]:>5} {counts[2]:>5} {counts[3]:>6} {rest:>6}"
        must = musts(run, catalogue)
        changed = "" if before is None else _changed(before, run)
        mark = "" if run.complete else " (incomplete)"
        when, kernel = printable(run.started)[:19], printable(run.kernel)[:24]
        yield f"  {when:<20} {kernel:<24} {numbers}  {must:>9}  {changed}{mark}"
        before = run


def musts(run: Run, catalogue: Catalogue) -> str:
    """How many MUSTs are met, of how many that were decided."""
    found = [
        status
        for id_, status in run.status.items()
        if id_ in catalogue and catalogue.get(id_).level in (Level.MUST, Level.MUST_NOT) and status is not Status.OPEN
    ]
    return f"{found.count(Status.MET)}/{len(found)}"


def changed(before: Run, after: Run) -> tuple[list[str], list[str]]:
    """The requirements that became worse, and those that became better; what one run did not look at is neither."""
    worse, better = [], []
    for id_, status in after.status.items():
        was = before.status.get(id_)
        if was is None:
            continue  # it was not looked at then
        if status is Status.NOT_MET and was is not Status.NOT_MET:
            worse.append(id_)
        if was is Status.NOT_MET and status in (Status.MET, Status.DEVIATING):
            better.append(id_)
    return worse, better


def _changed(before: Run, after: Run) -> str:
    parts = []
    for sign, ids in zip(("worse", "better"), changed(before, after), strict=True):
        if ids:
            more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
            parts.append(f"{sign}: {', '.join(map(printable, ids[:_SHOWN]))}{more}")
    return "; ".join(parts) or "the same"

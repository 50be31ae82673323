"""Brings a baseline up to date with what runs have shown; what people wrote in it stays, reasons and comments alike.

An entry that is met stays as it is. One that is contradicted goes; where some profiles or variations still meet it,
entries for just these take its place, with its reason. What is new is added with a reason that says that nobody has
looked yet, and with a last day, so that it can't stay unread. Imports the catalogue, this room's baseline and
reading; yaml to write.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from conformance.catalogue.catalogue import Catalogue
from conformance.engine.result import Result, Verdict
from conformance.report.baseline import Baseline, BaselineError, Deviation, meets, profile_of
from conformance.report.baseline_file import load
from conformance.report.reading import Reading, result_of

_LISTED = (Verdict.FAIL, Verdict.DEVIATION, Verdict.UNSUPPORTED, Verdict.INCONCLUSIVE)
NOT_LOOKED_AT = "not looked at yet"


@dataclass
class Entry:
    """What runs have shown of one entry."""

    met: list[tuple[str, str]] = field(default_factory=list)
    """Variations that it was met by, each with the profile of its run."""
    contradicted: list[tuple[str, str]] = field(default_factory=list)

    def narrowed(self, entry: Deviation) -> list[Deviation]:
        """Entries for just what still meets it."""
        profiles = {profile for _, profile in self.met}
        if profiles.isdisjoint(profile for _, profile in self.contradicted):
            return [replace(entry, profile="|".join(sorted(profiles)))]
        against: dict[str, set[str]] = {}
        for id_, profile in self.contradicted:
            against.setdefault(id_, set()).add(profile)
        found: dict[str, set[str]] = {}
        for id_, profile in self.met:
            found.setdefault(id_, set()).add(profile)
        return [
            replace(entry, case=id_, profile="|".join(sorted(profiles)) if id_ in against else entry.profile)
            for id_, profiles in found.items()
        ]


@dataclass
class Update:
    """A baseline's new text, and what was done to it."""

    before: str
    after: str
    kept: int = 0
    added: list[Deviation] = field(default_factory=list)
    removed: list[Deviation] = field(default_factory=list)
    narrowed: list[Deviation] = field(default_factory=list)
    expired: list[Deviation] = field(default_factory=list)
    """Entries that are met and whose last day is over: only a person can give them another."""

    def difference(self, name: str) -> str:
        """The change as a unified diff."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, name, name))


def update(
    path: Path, reports: Iterable[Path], catalogue: Catalogue, *, reason: str = "", until: date | None = None
) -> Update:
    """What the baseline at `path` should say after these reports; nothing is written.

    A file that is not there is an empty one. `reason` and `until` are given to new entries. Raises BaselineError,
    ReportError, OSError.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else "reviewed:\n  kernel: []\ndeviations:\n"
    baseline = load(path) if path.exists() else Baseline()
    seen = {(entry.path, entry.line): Entry() for entry in baseline.deviations}
    own = tuple(entry for entry in baseline.deviations if entry.path == path)  # what another file says stays
    fresh: dict[tuple[object, ...], dict[str, Deviation]] = {}
    everything: dict[str, set[str]] = {}
    for report in reports:
        reading = Reading(report)
        for _, line in reading:
            result = result_of({**line, "trace": []})
            everything.setdefault(_case(result.id), set()).add(result.id)
            _count(result, reading.header["target"], baseline, seen, fresh, reason, until)
    done = Update(text, text)
    begin, blocks = _blocks(text, own, path)
    kept: list[str] = []
    for _, pairs in groupby(zip(own, blocks, strict=True), lambda pair: pair[0].group or -pair[0].line):
        head = ""
        lines: list[str] = []
        apart: list[str] = []
        for entry, (above, block) in pairs:
            head = above or head
            shown = seen[entry.path, entry.line]
            if not shown.contradicted:
                lines.append(block)
                done.kept += 1
                if shown.met and entry.expired(baseline.day):
                    done.expired.append(entry)
            elif shown.met:
                done.narrowed.append(entry)
                for one in shown.narrowed(entry):
                    member = one.group and one.profile == entry.profile
                    (lines if member else apart).append(_member(one) if member else _written(one))
            else:
                done.removed.append(entry)
        kept += [*([head] if lines else []), *lines, *apart]
    for group in fresh.values():
        done.added += _gathered(group, everything)
    done.after = "".join([_closed(begin), *map(_closed, kept), *(_written(entry) for entry in done.added)])
    return done


def _count(
    result: Result,
    target: Mapping[str, Any],
    baseline: Baseline,
    seen: Mapping[tuple[Path | None, int], Entry],
    fresh: dict[tuple[object, ...], dict[str, Deviation]],
    reason: str,
    until: date | None,
) -> None:
    applying = [entry for entry in baseline.deviations if entry.applies(result.id, target)]
    met = [entry for entry in applying if meets(result, entry)]
    for entry in met:
        seen[entry.path, entry.line].met.append((result.id, profile_of(target)))
    if result.verdict is Verdict.ERROR or (result.verdict is Verdict.INCONCLUSIVE and applying and not met):
        return  # it was not decided: that contradicts nothing
    if not met:
        for entry in applying:
            if entry.demands:
                seen[entry.path, entry.line].contradicted.append((result.id, profile_of(target)))
        if result.verdict in _LISTED:
            new = _entry(result, reason, until)
            fresh.setdefault((_case(result.id), new.verdict, new.requirement, new.reason), {})[result.id] = new


def _entry(result: Result, reason: str, until: date | None) -> Deviation:
    broken = result.finding.requirements if result.finding is not None else ()
    needed = result.verdict in (Verdict.FAIL, Verdict.DEVIATION)
    requirement = next(iter(broken or result.requirements), None) if needed else None
    said = result.finding.message if result.finding is not None else result.reason
    return Deviation(result.id, result.verdict, reason or f"{NOT_LOOKED_AT}: {said}", requirement, until=until)


def _gathered(group: Mapping[str, Deviation], everything: Mapping[str, set[str]]) -> list[Deviation]:
    """One entry for a case where all of its variations that were run came to the same; else one for each."""
    case = _case(next(iter(group)))
    if set(group) == everything[case]:
        return [replace(next(iter(group.values())), case=case)]
    return list(group.values())


def _case(id_: str) -> str:
    return id_.partition("[")[0]


def _blocks(text: str, entries: tuple[Deviation, ...], path: Path) -> tuple[str, list[tuple[str, str]]]:
    """The text before the first entry, then each one's with the comments above it. Raises BaselineError.

    Before the text of the first of several cases of one entry goes the entry's own, else "".
    """
    lines = text.splitlines(keepends=True)
    starts: list[tuple[int, int]] = []
    for before, entry in zip([0, *(entry.group for entry in entries)], entries, strict=False):
        heads = entry.group if entry.group != before else 0
        start = (heads or entry.line) - 1
        whole = bool(heads) or not entry.group
        if (whole and not lines[start].lstrip().startswith("- ")) or (starts and start <= starts[-1][1]):
            raise BaselineError(f"{path}:{entry.line}: each entry should begin on a line of its own, with '- '")
        while start > 0 and lines[start - 1].lstrip().startswith("#") and (not starts or start - 1 > starts[-1][1]):
            start -= 1
        starts.append((start, entry.line - 1 if heads else start))
    ends = [*(start for start, _ in starts[1:]), len(lines)][: len(starts)]
    begin = "".join(lines[: starts[0][0]] if starts else lines)
    return begin, [
        ("".join(lines[head:own]), "".join(lines[own:end])) for (head, own), end in zip(starts, ends, strict=True)
    ]


def _closed(block: str) -> str:
    """A block that ends its line. An empty list written out gives way to the entries that follow."""
    block = block.replace("deviations: []\n", "deviations:\n")
    return block if not block or block.endswith("\n") else f"{block}\n"


def _member(entry: Deviation) -> str:
    """A case of an entry with several, as it stands in a file."""
    import yaml

    text = yaml.safe_dump({entry.case: entry.requirement}, width=10_000, allow_unicode=True)
    return f"    {text.replace(': null', ':')}"


def _written(entry: Deviation) -> str:
    """An entry as it stands in a file."""
    import yaml

    fields: dict[str, object] = {"case": entry.case}
    if entry.requirement is not None:
        fields["requirement"] = entry.requirement
    fields |= {"verdict": str(entry.verdict), "reason": entry.reason}
    condition = {name: getattr(entry, name) for name in ("ip", "kernel", "option", "profile")}
    if any(condition.values()):
        fields["condition"] = {name: value for name, value in condition.items() if value is not None}
    if entry.chance is not None:
        fields["chance"] = entry.chance
    if entry.until is not None:
        fields["until"] = entry.until
    return yaml.safe_dump([fields], sort_keys=False, width=10_000, allow_unicode=True)

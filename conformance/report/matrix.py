"""The matrix of requirements x stacks as a page of Markdown, and what each stack does differently, reason by reason.

Made of reports, brief ones too; every reason is the one that the stack's baseline gave in that run. Imports the
catalogue, the Result and this room.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.catalogue.catalogue import Catalogue, Level, Requirement
from conformance.engine.result import Verdict
from conformance.report.baseline import kernel_of
from conformance.report.formats import SIGNS, Digest
from conformance.report.summary import Status
from conformance.report.text import printable

_MUSTS = (Level.MUST, Level.MUST_NOT)
_SHOULDS = (Level.SHOULD, Level.SHOULD_NOT)
_MET, _DEVIATING, _FAILED, _UNSUPPORTED, _UNDECIDED, _NOT_COVERED, _UNSEEN = "✓△✗∅?·○"
_STATUS = {
    Status.MET: _MET,
    Status.DEVIATING: _DEVIATING,
    Status.NOT_MET: _FAILED,
    Status.OPEN: _UNDECIDED,
}
_LEGEND = (
    f"{_MET} met, {_DEVIATING} deviating (a SHOULD), {_FAILED} failed, {_UNSUPPORTED} the stack lacks what it takes, "
    f"{_UNDECIDED} not decided, {_NOT_COVERED} not covered by the run, {_UNSEEN} can't be seen from outside"
)
_CASES = 3
"""Cases that are named of a deviation."""


@dataclass
class Deviation:
    """What a stack does differently, for one reason: the results that met it."""

    verdict: Verdict
    reason: str
    requirements: dict[str, None] = field(default_factory=dict)
    cases: Counter[str] = field(default_factory=Counter)


class Stack(Digest):
    """A column of the matrix. Raises ReportError, OSError."""

    def __init__(self, path: Path, catalogue: Catalogue) -> None:
        self.tried: set[str] = set()
        """Requirements of which some result is not UNSUPPORTED."""
        self.known: dict[tuple[Verdict, str], Deviation] = {}
        self.unknown: dict[tuple[Verdict, str], Deviation] = {}
        """What no baseline gives a reason for."""
        super().__init__(path, catalogue)
        self.name = str(self.reading.header["target"].get("name") or "a target")
        self.version = kernel_of(self.reading.header["target"])

    def add(self, line: Mapping[str, Any]) -> None:
        """Count a result."""
        super().add(line)
        verdict = Verdict(line["verdict"])
        if verdict is not Verdict.UNSUPPORTED:
            self.tried.update(line["requirements"])
        if verdict is Verdict.PASS:
            return
        finding = line.get("finding") or {}
        reason = str(line.get("known") or finding.get("message") or line["reason"])
        groups = self.known if line.get("known") else self.unknown
        group = groups.setdefault((verdict, reason), Deviation(verdict, reason))
        group.requirements.update(dict.fromkeys(finding.get("requirements") or line["requirements"]))
        group.cases[line["id"].partition("[")[0]] += 1

    def sign(self, requirement: Requirement) -> str:
        """What the run says of a requirement."""
        status = self.status.get(requirement.id)
        if status is None:
            return _UNSEEN if requirement.observable == "no" else _NOT_COVERED
        if status is Status.OPEN and requirement.id not in self.tried:
            return _UNSUPPORTED
        return _STATUS[status]

    def share(self, levels: Iterable[Level], rfc: int | None = None) -> str:
        """How many of the requirements of these levels are met, of how many that were decided."""
        wanted = frozenset(levels)
        found = Counter(
            self.sign(one) for one in self.catalogue if one.level in wanted and (rfc is None or one.rfc == rfc)
        )
        decided = found[_MET] + found[_DEVIATING] + found[_FAILED]
        return f"{found[_MET]} of {decided}" if decided else ""


def matrix(paths: Iterable[Path], catalogue: Catalogue, about: str = "") -> Iterator[str]:
    """The page as lines of GitHub-flavoured Markdown; `about` stands below its title. Raises ReportError, OSError."""
    stacks = [Stack(path, catalogue) for path in paths]
    yield "# How conformant the stacks are"
    yield ""
    if about:
        yield from (about.strip(), "")
    yield from _overview(stacks)
    yield from _by_rfc(stacks, catalogue)
    yield from _requirements(stacks, catalogue)
    yield "## What each stack does differently"
    yield ""
    yield "Reason by reason, as the stack's baseline gives it; with how many results met it, and in which cases."
    yield ""
    for stack in stacks:
        yield from _deviations(stack)


def _overview(stacks: Iterable[Stack]) -> Iterator[str]:
    yield (
        "| stack | version | run on | MUST met | SHOULD met | described behaviour met | "
        + " | ".join(f"{SIGNS[one]} {one}" for one in Verdict)
        + " |"
    )
    yield "|---|---|---|" + "--:|" * (3 + len(Verdict))
    for stack in stacks:
        header = stack.reading.header
        shares = [stack.share(levels) for levels in (_MUSTS, _SHOULDS, (Level.BEHAVIOUR,))]
        counts = [str(stack.verdicts[one]) for one in Verdict]
        facts = [f"[{_cell(stack.name)}](#{_anchor(stack)})", _cell(stack.version), _cell(str(header["started"])[:10])]
        yield f"| {' | '.join([*facts, *shares, *counts])} |"
    yield ""
    yield (
        "Met, of how many the run decided: a requirement counts as failed when one variation of one of its cases "
        "breaks it. Verdicts count variations."
    )
    yield ""
    for stack in stacks:
        for problem in stack.reading.problems:
            yield f"> {_cell(stack.name)} is not the whole story: {_cell(problem)}"
            yield ""


def _by_rfc(stacks: list[Stack], catalogue: Catalogue) -> Iterator[str]:
    yield "## By RFC and level"
    yield ""
    yield f"| | {' | '.join(_cell(stack.name) for stack in stacks)} |"
    yield f"|---|{'--:|' * len(stacks)}"
    for rfc in dict.fromkeys(requirement.rfc for requirement in catalogue):
        for level in Level:
            shares = [stack.share((level,), rfc) for stack in stacks]
            if any(shares):
                yield f"| RFC {rfc} {level} | {' | '.join(shares)} |"
    yield ""


def _requirements(stacks: list[Stack], catalogue: Catalogue) -> Iterator[str]:
    yield "## Requirements"
    yield ""
    yield f"{_LEGEND}."
    yield ""
    for rfc in dict.fromkeys(requirement.rfc for requirement in catalogue):
        rows = sorted((one for one in catalogue if one.rfc == rfc), key=lambda one: _numbers(one.section))
        signs = {one.id: [stack.sign(one) for stack in stacks] for one in rows}
        if not any(set(found) - {_NOT_COVERED, _UNSEEN} for found in signs.values()):
            continue
        yield f"<details><summary>RFC {rfc}: {len(rows)} requirements</summary>"
        yield ""
        yield f"| section | level | requirement | {' | '.join(_cell(stack.name) for stack in stacks)} |"
        yield f"|---|---|---|{':-:|' * len(stacks)}"
        for one in rows:
            what = f"`{one.id}` {_cell(one.summary)}"
            yield f"| {_cell(one.section)} | {one.level} | {what} | {' | '.join(signs[one.id])} |"
        yield ""
        yield "</details>"
        yield ""


def _deviations(stack: Stack) -> Iterator[str]:
    yield f"### {_cell(stack.name)}"
    yield ""
    for title, groups in (("", stack.known), ("Not in its baseline", stack.unknown)):
        if not groups:
            continue
        yield f"{title}:" if title else f"{_cell(stack.version)}, {_cell(' '.join(stack.reading.header['command']))}"
        yield ""
        yield "| | what it does instead | breaks | results | cases |"
        yield "|---|---|---|--:|---|"
        for group in sorted(groups.values(), key=lambda one: _rank(one, stack.catalogue)):
            yield f"| {' | '.join(_row(group, stack.catalogue))} |"
        yield ""
    if not stack.known and not stack.unknown:
        yield "Nothing."
        yield ""


def _row(group: Deviation, catalogue: Catalogue) -> tuple[str, ...]:
    cases = list(group.cases)
    more = f" and {len(cases) - _CASES} more" if len(cases) > _CASES else ""
    asked = "" if group.verdict is Verdict.UNSUPPORTED else "<br>".join(_broken(group.requirements, catalogue))
    named = ", ".join(f"`{case}`" for case in cases[:_CASES]) + more
    return (SIGNS[group.verdict], _cell(group.reason), asked, str(group.cases.total()), named)


def _broken(ids: Iterable[str], catalogue: Catalogue) -> Iterator[str]:
    """RFC, section and level of what is broken, each once, with the ids."""
    groups: dict[str, list[str]] = {}
    for id_ in ids:
        if id_ in catalogue:
            one = catalogue.get(id_)
            groups.setdefault(f"RFC {one.rfc} {_cell(one.section)} {one.level}", []).append(id_)
        else:
            groups.setdefault("not in the catalogue", []).append(id_)
    for place, found in groups.items():
        yield f"{place}: {', '.join(f'`{id_}`' for id_ in found)}"


def _rank(group: Deviation, catalogue: Catalogue) -> tuple[object, ...]:
    """Broken MUSTs first, by RFC and section."""
    order = [Verdict.FAIL, Verdict.DEVIATION, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.UNSUPPORTED]
    places = [
        (list(Level).index(one.level), one.rfc != 9293, one.rfc, _numbers(one.section))
        for one in map(catalogue.get, (id_ for id_ in group.requirements if id_ in catalogue))
    ]
    return (order.index(group.verdict), min(places, default=(len(Level), True, 0, ())), group.reason)


def _numbers(section: str) -> tuple[tuple[int, str], ...]:
    """A section as it is sorted: 3.10 after 3.9."""
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"[.\s]+", section))


def _cell(text: object) -> str:
    """A text as it stands in a table: none of it is markup, and it can be read as it is."""
    return re.sub(r"([\\`*_\[\]<>|~&@$]|:(?=//)|(?<=www)\.)", r"\\\1", printable(str(text)))


def _anchor(stack: Stack) -> str:
    """The fragment that a heading of this text gets: small letters, no punctuation."""
    return re.sub(r"[^\w\- ]", "", stack.name.lower()).replace(" ", "-")

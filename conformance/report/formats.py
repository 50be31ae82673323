"""A report in formats that other programs show: Markdown for a review, KTAP for kernel people, a badge.

Made of lines that are read one by one. Imports the catalogue, the Result and this room's reading and summary.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from conformance.catalogue.catalogue import Catalogue, Level
from conformance.engine.result import Verdict
from conformance.report.baseline import kernel_of
from conformance.report.reading import Reading
from conformance.report.summary import RANK, Status, statuses_of
from conformance.report.text import printable

SIGNS = {
    Verdict.PASS: "✓",
    Verdict.DEVIATION: "△",
    Verdict.FAIL: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.UNSUPPORTED: "∅",
    Verdict.ERROR: "!",
}
_MOST = 100
"""Rows of one table of the Markdown summary: services cut what is long."""
_MUSTS = (Level.MUST, Level.MUST_NOT)


class Digest:
    """What the short formats tell of a report. Raises ReportError, OSError."""

    def __init__(self, path: Path, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.reading = Reading(path)
        self.verdicts: Counter[Verdict] = Counter()
        self.judgements: Counter[str] = Counter()
        self.status: dict[str, Status] = {}
        self.news: list[Mapping[str, Any]] = []
        """Results that fail a run, or were not decided; without their traces."""
        for _, line in self.reading:
            self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        """Count a result."""
        verdict = Verdict(line["verdict"])
        judgement = str(line.get("judgement") or "")
        self.verdicts[verdict] += 1
        self.judgements[judgement] += 1
        broken = (line.get("finding") or {}).get("requirements") or ()
        for id_, status in statuses_of(verdict, line["requirements"], broken, self.catalogue).items():
            if RANK[status] >= RANK[self.status.get(id_, Status.OPEN)]:
                self.status[id_] = status
        unjudged = not judgement and verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE)
        if unjudged or judgement.endswith(("unexpected fail", "unexpected pass", "not decided")):
            self.news.append({key: value for key, value in line.items() if key not in ("trace", "steps")})

    def level(self, level: Level) -> Counter[Status]:
        """How many requirements of a level came to what."""
        found = (self.status[id_] for id_ in self.status if id_ in self.catalogue)
        levels = (self.catalogue.get(id_).level for id_ in self.status if id_ in self.catalogue)
        return Counter(status for status, one in zip(found, levels, strict=True) if one is level)


def _cell(text: object) -> str:
    """A text inside a Markdown table: none of it is markup."""
    safe = printable(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~@:$])", lambda found: f"&#{ord(found[1])};", safe)


def markdown(digest: Digest) -> Iterator[str]:
    """The summary of a run as lines of GitHub-flavoured Markdown."""
    target = digest.reading.header["target"]
    yield f"## TCP conformance: {_cell(target.get('name') or 'a target')} ({_cell(kernel_of(target))})"
    yield ""
    counts = [f"{SIGNS[one]} **{digest.verdicts[one]}** {one}" for one in Verdict if digest.verdicts[one]]
    yield ", ".join(counts) or "Nothing was run."
    yield ""
    for problem in digest.reading.problems:
        yield f"> Not the whole story: {_cell(problem)}"
        yield ""
    yield "| requirements | of | decided | ✓ met | △ deviating | ✗ not met | ? not decided |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    total = Counter(requirement.level for requirement in digest.catalogue)
    for level in Level:
        found = digest.level(level)
        decided = found[Status.MET] + found[Status.DEVIATING] + found[Status.NOT_MET]
        cells = [found[one] for one in (Status.MET, Status.DEVIATING, Status.NOT_MET, Status.OPEN)]
        yield f"| {level} | {total[level]} | {decided} | " + " | ".join(map(str, cells)) + " |"
    known = digest.judgements["known deviation"]
    yield ""
    yield f"{known} result(s) are known deviations." if known else "No known deviation was met."
    yield from _news(digest)


def _news(digest: Digest) -> Iterator[str]:
    if not digest.news:
        return
    yield ""
    yield f"### {len(digest.news)} that ask for somebody"
    yield ""
    yield "| | case | requirement | what | where |"
    yield "|---|---|---|---|---|"
    for line in digest.news[:_MOST]:
        finding = line.get("finding") or {}
        broken = finding.get("requirements") or line["requirements"]
        place = f"{finding['file']}:{finding['line']}" if finding.get("line") else line["file"]
        sign = f"{SIGNS[Verdict(line['verdict'])]} {line['verdict']}"
        cells = (sign, line["id"], ", ".join(map(str, broken)), finding.get("message") or line["reason"], place)
        yield f"| {' | '.join(map(_cell, cells))} |"
    if len(digest.news) > _MOST:
        yield ""
        yield f"... and {len(digest.news) - _MOST} more."


_EXPECTED = ("expected", "known deviation", "deviation not in the baseline", "unsupported, not in the baseline")


def ktap(path: Path) -> Iterator[str]:
    """A report as KTAP, version 1 (the kernel's Documentation/dev-tools/ktap.rst), line by line.

    What the baseline expects is `ok`, with `# XFAIL`; what was not tried or not decided is `ok` with `# SKIP` where the
    baseline knows of it and `not ok` otherwise. Raises ReportError, OSError.
    """
    reading = Reading(path)
    total = sum(1 for _ in reading)
    missing = len((reading.footer or {}).get("not_run") or ())
    yield "KTAP version 1"
    yield f"1..{total + missing}"
    number = 0
    for _, line in reading:
        number += 1
        verdict, judgement = (
            Verdict(line["verdict"]),
            str(line.get("judgement") or "").removeprefix("unreviewed kernel: "),
        )
        good = (
            judgement in _EXPECTED if judgement else verdict in (Verdict.PASS, Verdict.DEVIATION, Verdict.UNSUPPORTED)
        )
        directive = ""
        if verdict is Verdict.UNSUPPORTED or (good and verdict is Verdict.INCONCLUSIVE):
            directive = f" # SKIP {_words(line['reason'])}"
        elif good and verdict is Verdict.FAIL:
            directive = f" # XFAIL {_words(line.get('known') or line['reason'])}"
        finding = line.get("finding") or {}
        if not good:
            place = f"{finding['file']}:{finding['line']}: " if finding.get("line") else ""
            yield f"# {verdict}: {_words(place + str(finding.get('message') or line['reason']))}"
            for key in ("expected", "seen"):
                if finding.get(key):
                    yield f"# {key}: {_words(finding[key])}"
        yield f"{'ok' if good else 'not ok'} {number} {_words(line['id'])}{directive}"
    for id_ in (reading.footer or {}).get("not_run") or ():
        number += 1
        yield f"not ok {number} {_words(id_)}"


def _words(text: object) -> str:
    """A text of one line that begins no directive."""
    return printable(str(text)).replace("#", "\\#")


def badge(digest: Digest) -> str:
    """A badge as SVG: how many of the MUSTs that were decided are met."""
    found = sum((digest.level(level) for level in _MUSTS), Counter[Status]())
    met, decided = found[Status.MET], found[Status.MET] + found[Status.NOT_MET] + found[Status.DEVIATING]
    incomplete = bool(digest.reading.problems)
    says = f"{met} of {decided} MUST met" + (" (incomplete)" if incomplete else "") if decided else "nothing decided"
    colour = "#9f9f9f" if not decided or incomplete else "#2f7d4f" if met == decided else "#b35c00"
    if decided and met < decided // 2:
        colour = "#b3141f"
    title = "TCP conformance"
    left, right = len(title) * 7 + 12, len(says) * 7 + 12
    texts = ((title, left // 2), (says, left + right // 2))
    drawn = "".join(f'<text x="{x}" y="14" text-anchor="middle">{escape(text)}</text>' for text, x in texts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{title}: {says}"><title>{title}: {says}</title>'
        f'<rect width="{left}" height="20" fill="#444"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{drawn}</g></svg>\n'
    )

"""What the page knows at once: an index of all runs, small; and the results themselves, packed in chunks beside it.

The index has one character per variation and run, so that twenty thousand results are read in no time; a chunk is
opened only when somebody looks at one of its results. Imports the catalogue, the event table and this room.
"""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from conformance import __version__
from conformance.catalogue.catalogue import Catalogue, Level
from conformance.engine.result import Verdict
from conformance.jsonlines import encode
from conformance.report.baseline import kernel_of
from conformance.report.compare import finding_says
from conformance.report.reading import Reading
from conformance.report.summary import RANK, Status, statuses_of
from conformance.report.text import printable
from conformance.tcp.diagram import moves
from conformance.tcp.states import State

CHUNK = 100
"""Results of one chunk: about 30 KiB, unpacked in some milliseconds."""
_LONGEST = 300
_SPELT = {
    Verdict.PASS: "P",
    Verdict.DEVIATION: "D",
    Verdict.FAIL: "F",
    Verdict.INCONCLUSIVE: "I",
    Verdict.UNSUPPORTED: "U",
    Verdict.ERROR: "E",
}
ABSENT = "."
MET, DEVIATING, FAILED, UNSUPPORTED, UNDECIDED, NOT_COVERED, NOT_OBSERVABLE = "MDFUO-x"
_STATUS = {Status.MET: MET, Status.DEVIATING: DEVIATING, Status.NOT_MET: FAILED, Status.OPEN: UNDECIDED}
COLUMNS = {
    "met": MET,
    "deviating": DEVIATING,
    "failed": FAILED,
    "unsupported": UNSUPPORTED,
    "undecided": UNDECIDED,
    "not covered": NOT_COVERED + NOT_OBSERVABLE,
}


def pack(value: object) -> str:
    """An object as base64 of zlib of JSON: no character of it means anything to HTML."""
    return _squeezed(encode(value))


def _packed(lines: Iterable[bytes]) -> str:
    """Lines of JSON, as they stand in a report, as one packed list."""
    return _squeezed(b"[" + b",".join(lines) + b"]")


def _squeezed(octets: bytes) -> str:
    return base64.b64encode(zlib.compress(octets, 6)).decode("ascii")


class Run:
    """One run, as the index has it."""

    def __init__(self, header: Mapping[str, Any], source: str) -> None:
        self.header = header
        self.source = source
        self.footer: Mapping[str, Any] = {}
        self.problems: list[str] = []
        self.label = ""
        self.results: dict[int, tuple[str, int]] = {}
        """Variation -> verdict as one character, and its number in the run."""
        self.judged: dict[int, str] = {}
        self.why: dict[int, int] = {}
        """Variation -> number of a text."""
        self.prints: dict[int, int] = {}
        """Variation -> a checksum of what its finding says."""
        self.status: dict[str, Status] = {}
        self.unsupported: dict[str, bool] = {}
        """Requirement -> no result of it is anything but UNSUPPORTED."""
        self.states: dict[str, Counter[str]] = {}
        self.moves: dict[tuple[str, str], Counter[str]] = {}
        self.counts: Counter[str] = Counter()

    def add(self, line: Mapping[str, Any], variation: int, number: int, catalogue: Catalogue) -> None:
        """Count a result."""
        verdict = Verdict(line["verdict"])
        spelt = _SPELT[verdict]
        before = self.results.get(variation)
        if before is not None:
            self.problems.append(f"{printable(line['id'])} has more than one result; the last one is shown")
            self.counts[before[0]] -= 1
        self.results[variation] = (spelt, number)
        self.counts[spelt] += 1
        finding = line.get("finding") or {}
        found = statuses_of(verdict, line["requirements"], finding.get("requirements") or (), catalogue)
        for id_, status in found.items():
            if RANK[status] >= RANK[self.status.get(id_, Status.OPEN)]:
                self.status[id_] = status
            self.unsupported[id_] = self.unsupported.get(id_, True) and verdict is Verdict.UNSUPPORTED
        self._walk(line, spelt)

    def _walk(self, line: Mapping[str, Any], spelt: str) -> None:
        """Which states the target was seen in, and what led from one to the next."""
        named = [line["start"]] if line.get("start") and spelt in "PDF" else []
        named += [str(state.get("state")) for state in line["states"] if state.get("connection", "main") == "main"]
        missed = _missed(line)
        if missed is not None and named[-1:] != [missed]:
            named.append(missed)
        for state in dict.fromkeys(named):
            self.states.setdefault(state, Counter())[spelt] += 1
        steps = [pair for pair in pairwise(named) if pair[0] != pair[1]]
        for pair in dict.fromkeys(steps):
            # What came before the step that failed went as it should.
            here = spelt if missed is None or pair == steps[-1] else "P"
            self.moves.setdefault(pair, Counter())[here] += 1

    def spelt_status(self, catalogue: Catalogue) -> str:
        """One character for each requirement of the catalogue, in its order."""
        spelt = []
        for requirement in catalogue:
            status = self.status.get(requirement.id)
            if status is None:
                spelt.append(NOT_OBSERVABLE if requirement.observable == "no" else NOT_COVERED)
            elif status is Status.OPEN and self.unsupported[requirement.id]:
                spelt.append(UNSUPPORTED)
            else:
                spelt.append(_STATUS[status])
        return "".join(spelt)


def _missed(line: Mapping[str, Any]) -> str | None:
    """The state that the target should have been in, where just that is the finding."""
    step = (line.get("finding") or {}).get("step", -1)
    if not 0 <= step < len(line["steps"]):
        return None
    kind, _, state = str(line["steps"][step].get("text")).partition(": ")
    return state if kind == "state" and state in set(State) else None


class Model:
    """Everything that a page has, taken from reports one after the other."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.runs: list[Run] = []
        self.chunks: list[list[str]] = []
        self._numbers = {requirement.id: number for number, requirement in enumerate(catalogue)}
        self._extra: list[str] = []
        self._cases: dict[str, dict[str, Any]] = {}
        self._variations: dict[str, int] = {}
        self._spelling: list[tuple[int, str]] = []
        self._texts: dict[str, int] = {}

    def add(self, path: Path, label: str | None = None) -> None:
        """Take a report in. Raises ReportError, OSError."""
        reading = Reading(path)
        run = Run(reading.header, str(path))
        self.runs.append(run)
        packed: list[Future[str]] = []
        waiting: list[bytes] = []
        with ThreadPoolExecutor(1) as packing:  # a third of the work, and zlib lets others run meanwhile
            for number, (_, line) in enumerate(reading):
                variation = self._variation(line)
                run.add(line, variation, number, self.catalogue)
                run.judged[variation] = str(line.get("judgement") or "")
                if line["verdict"] != Verdict.PASS:
                    finding = line.get("finding") or {}
                    if finding:
                        run.prints[variation] = zlib.crc32("\0".join(finding_says(line)).encode("utf-8", "replace"))
                    run.why[variation] = self._text(str(finding.get("message") or line["reason"]))
                waiting.append(reading.octets)
                if len(waiting) == CHUNK:
                    packed.append(packing.submit(_packed, waiting))
                    waiting = []
            if waiting:
                packed.append(packing.submit(_packed, waiting))
        self.chunks.append([one.result() for one in packed])
        run.footer = reading.footer or {}
        run.problems += reading.problems
        run.label = label or self._label(run)

    def _label(self, run: Run) -> str:
        target = run.header["target"]
        name, kernel = str(target.get("name") or "a target"), kernel_of(target)
        label = printable(name if kernel == "unknown" else f"{name} ({kernel})")
        taken = {other.label for other in self.runs if other is not run}
        first, number = label, 1
        while label in taken:
            number += 1
            label = f"{first} #{number}"
        return label

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text[:_LONGEST], len(self._texts))

    def _requirement(self, id_: str) -> int:
        number = self._numbers.get(id_)
        if number is None:  # of a catalogue that is newer or older than ours
            number = self._numbers[id_] = len(self._numbers)
            self._extra.append(id_)
        return number

    def _variation(self, line: Mapping[str, Any]) -> int:
        id_ = line["id"]
        number = self._variations.get(id_)
        if number is None:
            number = self._variations[id_] = len(self._variations)
            path, bracket, rest = id_.partition("[")
            known = self._cases.get(path)
            if known is None:
                known = self._cases[path] = {
                    "number": len(self._cases),
                    "title": line["title"],
                    "file": line["file"],
                    "requirements": [self._requirement(one) for one in line["requirements"]],
                    "states": [],
                }
            self._spelling.append((known["number"], bracket + rest))
        states = self._cases[id_.partition("[")[0]]["states"]
        for state in (line.get("start") or "", *(str(one.get("state")) for one in line["states"])):
            if state and state not in states:
                states.append(state)
        return number

    def index(self) -> dict[str, object]:
        """The index, as the page's script reads it."""
        return {
            "tool": __version__,
            "chunk": CHUNK,
            "levels": [str(level) for level in Level],
            "requirements": [
                [
                    requirement.id,
                    requirement.rfc,
                    requirement.section,
                    str(requirement.level),
                    requirement.summary,
                    list(requirement.states),
                    requirement.observable,
                    requirement.why_not_observable,
                    [conflict.summary for conflict in self.catalogue.conflicts_of(requirement.id)],
                ]
                for requirement in self.catalogue
            ]
            + [[id_, 0, "", "", "not in this tester's catalogue", [], "yes", "", []] for id_ in self._extra],
            "states": [str(state) for state in State],
            "moves": [[str(origin), str(to), labels] for (origin, to), labels in moves().items()],
            "cases": [
                [id_, case["title"], case["file"], case["requirements"], case["states"]]
                for id_, case in self._cases.items()
            ],
            "variations": self._spelling,
            "texts": list(self._texts),
            "runs": [self._run(run) for run in self.runs],
        }

    def _run(self, run: Run) -> dict[str, object]:
        count = len(self._variations)
        judged = {text: number for number, text in enumerate(dict.fromkeys(run.judged.values()))}
        return {
            "label": run.label,
            "source": run.source,
            "header": run.header,
            "footer": {key: value for key, value in run.footer.items() if key != "not_run"},
            "not_run": len(run.footer.get("not_run") or ()),
            "problems": run.problems[:50],
            "verdicts": "".join(run.results.get(number, (ABSENT, 0))[0] for number in range(count)),
            "numbers": [run.results.get(number, ("", -1))[1] for number in range(count)],
            "judgements": list(judged),
            "judged": [judged.get(run.judged.get(number, ""), -1) for number in range(count)],
            "why": run.why,
            "prints": run.prints,
            "status": run.spelt_status(self.catalogue) + self._others(run),
            "states": {state: dict(found) for state, found in run.states.items()},
            "moves": [[a, b, dict(found)] for (a, b), found in run.moves.items()],
        }

    def _others(self, run: Run) -> str:
        return "".join(_STATUS[run.status[id_]] if id_ in run.status else NOT_COVERED for id_ in self._extra)

    def table(self) -> list[dict[str, object]]:
        """What is told where no script runs: for each run its verdicts, and its requirements by level."""
        return [
            {
                "label": run.label,
                "problems": run.problems[:50],
                "verdicts": {str(verdict): run.counts[spelt] for verdict, spelt in _SPELT.items()},
                "rows": list(self._rows(run)),
            }
            for run in self.runs
        ]

    def _rows(self, run: Run) -> Iterable[dict[str, object]]:
        spelt = run.spelt_status(self.catalogue)
        for level in Level:
            found = Counter(
                status for requirement, status in zip(self.catalogue, spelt, strict=True) if requirement.level is level
            )
            counts = {name: sum(found[one] for one in chars) for name, chars in COLUMNS.items()}
            decided = counts["met"] + counts["deviating"] + counts["failed"]
            yield {"level": str(level), "all": sum(found.values()), "decided": decided, "counts": counts}

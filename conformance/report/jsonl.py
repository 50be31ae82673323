"""The report: JSON lines, a header, one line per result as it is finished, a footer. docs/report.md documents it.

A run that crashed leaves a report without a footer; a full disk stops neither the run nor spoils what is on the disk
already. Imports the Result and this room's text.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from conformance import __version__
from conformance.engine.result import Event, Finding, Result, Verdict
from conformance.jsonlines import decode, encode
from conformance.report.text import event_text

SCHEMA = "tcp-conformance-report"
VERSION = 1
"""Raised when a line changes its meaning; a key that is only added leaves it as it is."""
JSON_SCHEMA = Path(__file__).with_name("schema.json")

How = Literal["complete", "interrupted", "crashed"]

_WITHOUT_FRAMES = frozenset({Verdict.PASS, Verdict.UNSUPPORTED})


def timestamp(ns: int) -> str:
    """Nanoseconds of CLOCK_REALTIME as `2026-11-20T23:50:59.123456789Z`."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def case_set_digest(files: Iterable[Path], root: Path) -> str:
    """A digest of the case files: two runs with the same digest ran the same suite. Paths count relative to `root`."""
    total = hashlib.sha256()
    for path in sorted(files):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        total.update(f"{name}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{total.hexdigest()}"


@dataclass(frozen=True, slots=True)
class Header:
    """What a report says of the run as a whole."""

    command: tuple[str, ...]
    """The command line, word by word."""
    case_set: str
    """`case_set_digest` of the suite."""
    target: Mapping[str, object]
    """What `Target.describe` says: kernel, addresses, settings."""
    options: Mapping[str, object] = field(default_factory=dict)
    """The options of the run, defaults included."""
    selected: int | None = None
    """How many variations were selected, when that is known."""
    started: int = field(default_factory=time.time_ns)
    """ns of CLOCK_REALTIME."""

    def line(self) -> dict[str, object]:
        """The header as the object that is written."""
        return {
            "type": "header",
            "schema": SCHEMA,
            "version": VERSION,
            "tool": __version__,
            "started": timestamp(self.started),
            "command": list(self.command),
            "case_set": self.case_set,
            "target": dict(self.target),
            "options": dict(self.options),
            "selected": self.selected,
        }


def result_line(
    result: Result,
    judgement: str | None = None,
    rerun: str | None = None,
    *,
    known: str | None = None,
    frames: bool = False,
) -> dict[str, object]:
    """A result as the object that is written.

    `judgement` is what the baseline says of it, `known` the reason that it gives, `rerun` the command that runs just
    this variation; `frames` keeps the octets of frames whatever the verdict.
    """
    frames = frames or result.verdict not in _WITHOUT_FRAMES
    return {
        "type": "result",
        "id": result.id,
        "file": result.file,
        "title": result.title,
        "requirements": list(result.requirements),
        "verdict": str(result.verdict),
        "reason": result.reason,
        "judgement": judgement,
        "known": known,
        "rerun": rerun,
        "start": result.start,
        "finding": None if result.finding is None else _finding_line(result.finding),
        "observations": dict(result.observations),
        "states": [
            {
                "step": named.step,
                "connection": named.connection,
                "state": named.state,
                "possible": list(named.possible),
                "evidence": named.evidence,
                "oracle": named.oracle,
            }
            for named in result.states
        ],
        "steps": [_step_line(result, index) for index in range(len(result.steps))],
        "trace": [_event_line(event, result, frames) for event in result.trace],
        "started": timestamp(result.started),
        "duration": round(result.duration, 9),
        "waited": round(result.waited, 9),
        "attempts": result.attempts,
        "settings": dict(result.settings),
        "pairs": {
            name: {"tester": pair[0], "tester_port": pair[1], "target": pair[2], "target_port": pair[3]}
            for name, pair in result.pairs.items()
        },
        "isns": {name: {"iss": iss, "irs": irs} for name, (iss, irs) in result.isns.items()},
    }


def _finding_line(finding: Finding) -> dict[str, object]:
    return {
        "file": finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "step": finding.step,
        "message": finding.message,
        "requirements": list(finding.requirements),
        "yaml": finding.yaml,
        "expected": finding.expected,
        "seen": finding.seen,
        "differences": [difference._asdict() for difference in finding.differences],
    }


def _step_line(result: Result, index: int) -> dict[str, object]:
    step: dict[str, object] = {"text": result.steps[index]}
    if index < len(result.places):
        place = result.places[index]
        step.update(file=place.file, line=place.line, column=place.column)
    return step


def _event_line(event: Event, result: Result, frames: bool) -> dict[str, object]:
    shown = event_text(event, result)
    line: dict[str, object] = {
        "at": event.time - result.started,
        "kind": event.kind,
        "connection": event.connection,
        "step": event.step,
        "text": shown.notation,
    }
    if shown.remark:
        line["remark"] = shown.remark
    if isinstance(event.data, bytes) and frames:
        line["frame"] = event.data.hex()
    return line


class Writer:
    """Writes a report. Every line is in the hands of the kernel when `write` returns. Safe to use from any thread.

    No OSError escapes: the first one is told once on `stderr` and stays in `failed`; what could not be written is
    kept in memory and tried again with every further line. What is on the disk is whole lines only.
    """

    def __init__(self, path: Path, header: Header, stderr: TextIO | None = None, *, frames: bool = False) -> None:
        self.path = path
        self._frames = frames
        self.failed: str | None = None
        """Why lines are missing on the disk, or were for a while; None when all went well."""
        self._stderr = stderr if stderr is not None else sys.stderr
        self._lock = threading.Lock()
        self._file = -1
        self._good = 0
        self._dirty = False
        self._seekable = True
        self._pending: list[bytes] = []
        self._counts: Counter[str] = Counter()
        self._closed = False
        self._put(encode(header.line()))

    @property
    def pending(self) -> int:
        """How many lines are only in memory."""
        return len(self._pending)

    def write(
        self, result: Result, judgement: str | None = None, rerun: str | None = None, *, known: str | None = None
    ) -> None:
        """Add a result; see `result_line`."""
        line = encode(result_line(result, judgement, rerun, known=known, frames=self._frames))
        with self._lock:
            if self._closed:
                raise ValueError(f"{self.path} has its footer already")
            self._counts[str(result.verdict)] += 1
            self._put(line)

    def close(self, how: How = "complete", reason: str = "", not_run: Iterable[str] = ()) -> None:
        """Add the footer. `how` the run ended, why when it is not complete, and the ids that were not run."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            footer = {
                "type": "footer",
                "ended": timestamp(time.time_ns()),
                "how": how,
                "reason": reason,
                "counts": {str(verdict): self._counts[verdict] for verdict in Verdict},
                "not_run": list(not_run),
                "writing": self.failed,
            }
            self._put(encode(footer))
            if self._pending:
                self._say(f"{len(self._pending)} line(s) of the report {self.path} are lost: {self.failed}")
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _put(self, line: bytes) -> None:
        self._pending.append(line)
        try:
            self._open()
            while self._pending:
                self._out(self._pending[0])
                del self._pending[0]
        except OSError as error:
            first = self.failed is None
            self.failed = self.failed or f"{os.strerror(error.errno) if error.errno else error}"
            self._clean()
            if first:
                hint = ": make room, the run goes on and tries again" if error.errno == errno.ENOSPC else ""
                self._say(f"the report {self.path} can't be written: {self.failed}{hint}")

    def _open(self) -> None:
        if self._file >= 0:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.lseek(self._file, 0, os.SEEK_CUR)
        except OSError:
            self._seekable = False

    def _out(self, line: bytes) -> None:
        self._clean()
        self._dirty = True
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._good += len(line)
        self._dirty = False

    def _clean(self) -> None:
        """Take a partly written line away."""
        if not self._dirty or self._file < 0 or not self._seekable:
            return
        try:
            os.ftruncate(self._file, self._good)
            os.lseek(self._file, self._good, os.SEEK_SET)
            self._dirty = False
        except OSError:
            self._seekable = False

    def _say(self, text: str) -> None:
        try:
            print(f"conformance: {text}", file=self._stderr, flush=True)
        except OSError:
            pass


class ReportError(ValueError):
    """What was read is no report of ours, or one of another version."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report as it was read: the objects of its lines, and what is wrong with them."""

    header: Mapping[str, Any]
    results: tuple[Mapping[str, Any], ...]
    footer: Mapping[str, Any] | None
    problems: tuple[str, ...]
    """Why the report is not the whole story, in sentences; empty for a complete run."""

    @property
    def complete(self) -> bool:
        """True when every selected variation was run and written."""
        return not self.problems


def read(path: Path) -> Report:
    """Read a report. A line that is cut or a footer that is missing is told in `problems`, never guessed.

    Raises ReportError when the file does not begin with a header of this schema, and OSError.
    """
    objects, problems = _objects(path)
    header = objects[0] if objects else {}
    if header.get("type") != "header" or header.get("schema") != SCHEMA:
        raise ReportError(f"{path}: this is no report: its first line should be a header of {SCHEMA}")
    if header.get("version") != VERSION:
        raise ReportError(f"{path}: version {header.get('version')} of the schema; this program reads {VERSION}")
    results = tuple(line for line in objects[1:] if line.get("type") == "result")
    footers = [line for line in objects[1:] if line.get("type") == "footer"]
    footer = footers[-1] if footers else None
    if footer is None:
        problems.append("no footer: the run crashed or was killed, or is still going on")
    else:
        problems += footer_problems(footer, len(results))
    return Report(header, results, footer, tuple(problems))


def _objects(path: Path) -> tuple[list[Mapping[str, Any]], list[str]]:
    objects: list[Mapping[str, Any]] = []
    problems: list[str] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                value = decode(line)
            except ValueError:
                value = None
            if not line.endswith(b"\n"):
                problems.append(f"line {number} is cut off")
            elif not isinstance(value, dict):
                problems.append(f"line {number} is no JSON object")
            if isinstance(value, dict) and line.endswith(b"\n"):
                objects.append(value)
    return objects, problems


def footer_problems(footer: Mapping[str, Any], results: int) -> Iterable[str]:
    """Why a report with that footer and so many results is not the whole story, in sentences."""
    counts, not_run = footer.get("counts", {}), footer.get("not_run", [])
    right = isinstance(not_run, list) and isinstance(counts, dict)
    if not right or not all(isinstance(count, int) for count in counts.values()):
        yield "the footer is not as the schema says"
        return
    if footer.get("how") != "complete":
        yield f"the run was {footer.get('how')}: {footer.get('reason') or 'no reason was given'}"
    if not_run:
        yield f"{len(not_run)} selected variation(s) were not run"
    counted = sum(counts.values())
    if counted != results:
        yield f"the footer counts {counted} result(s), the report has {results}"

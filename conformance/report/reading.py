"""Reads reports again, line by line: a run of a hundred thousand results never stands in memory as a whole.

A file whose name ends in `.xz` or `.gz` is unpacked on the way.
Imports the Result, the case's Place and this room's jsonl; does I/O.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from conformance.engine.result import Difference, Event, Finding, NamedState, Place, Result, Verdict
from conformance.jsonlines import decode
from conformance.report.jsonl import SCHEMA, VERSION, ReportError, footer_problems

__all__ = ["SUFFIXES", "Reading", "ReportError", "nanoseconds", "report_file", "result_of"]

_OPEN: Mapping[str, Any] = {".jsonl": open, ".xz": lzma.open, ".gz": gzip.open}
SUFFIXES = frozenset(_OPEN)
"""What the name of a report ends in, packed or not."""
_LISTS = ("requirements", "states", "steps", "trace")
_MAPPINGS = ("observations", "settings", "pairs", "isns")
_VERDICTS = {str(verdict): verdict for verdict in Verdict}


def report_file(path: Path) -> Path:
    """The report at `path`: the file, or `report.jsonl` in that folder. Raises ReportError when there is none."""
    found = path / "report.jsonl" if path.is_dir() else path
    if not found.is_file():
        raise ReportError(f"{found}: there is no such report")
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The octets of a report, unpacked. Raises ReportError where they can't be, OSError."""
    try:
        with _OPEN.get(path.suffix, open)(path, "rb") as file:
            yield file
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ReportError(f"{path}: it can't be unpacked: {error}") from error


class Reading:
    """One pass over a report: iterating yields each result's line with its place in the file.

    `header` is there at once; `footer`, `count` and `problems` are complete when the iteration has ended. Raises
    ReportError when the file is no report of this version, or a line is none of a result; OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as file:
            self.header = _header(path, file.readline())
        self.footer: Mapping[str, Any] | None = None
        self.problems: list[str] = []
        self.count = 0
        """Results read."""
        self.octets = b""
        """The line that was read last, as it stands in the file."""

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        self.footer, self.problems, self.count = None, [], 0
        at = 0
        with _opened(self.path) as file:
            for number, line in enumerate(file, 1):
                begun, at = at, at + len(line)
                value = _object(line)
                if not line.endswith(b"\n"):
                    self.problems.append(f"line {number} is cut off")
                elif value is None:
                    self.problems.append(f"line {number} is no JSON object")
                elif value.get("type") == "result":
                    wrong = _wrong(value)
                    if wrong:
                        raise ReportError(f"{self.path}:{number}: this is no result: {wrong}")
                    self.count += 1
                    self.octets = line
                    yield begun, value
                elif value.get("type") == "footer":
                    self.footer = value
        if self.footer is None:
            self.problems.append("no footer: the run crashed or was killed, or is still going on")
        else:
            self.problems += footer_problems(self.footer, self.count)

    def octets_at(self, places: Iterable[int]) -> Iterator[bytes]:
        """The lines of results at these places in the file, in ascending order, as they stand there."""
        with _opened(self.path) as file:
            for place in places:
                file.seek(place)
                yield file.readline()

    def line_at(self, place: int) -> Mapping[str, Any]:
        """The line of the result at that place in the file."""
        with _opened(self.path) as file:
            file.seek(place)
            return _object(file.readline()) or {}


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = decode(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _header(path: Path, line: bytes) -> Mapping[str, Any]:
    header = _object(line) or {}
    if header.get("type") != "header" or header.get("schema") != SCHEMA:
        raise ReportError(f"{path}: this is no report: its first line should be a header of {SCHEMA}")
    if header.get("version") != VERSION:
        raise ReportError(f"{path}: version {header.get('version')} of the schema; this program reads {VERSION}")
    if not isinstance(header.get("target"), dict):
        raise ReportError(f"{path}: its header says nothing of the target")
    return header


def _wrong(line: Mapping[str, Any]) -> str:
    """What a result's line lacks, or nothing."""
    for name in ("id", "title", "file", "reason"):
        if not isinstance(line.get(name), str):
            return f"{name!r} should be text"
    for name in _LISTS:
        if not isinstance(line.get(name), list):
            return f"{name!r} should be a list"
    if not all(isinstance(id_, str) for id_ in line["requirements"]):
        return "'requirements' should be ids"
    for name in ("states", "steps", "trace"):
        if not all(isinstance(item, dict) for item in line[name]):
            return f"{name!r} should be objects"
    for name in _MAPPINGS:
        if not isinstance(line.get(name, {}), dict):
            return f"{name!r} should be an object"
    if not isinstance(line.get("finding"), dict | None):
        return "'finding' should be an object or null"
    return "" if line.get("verdict") in _VERDICTS else f"{line.get('verdict')!r} is no verdict"


def nanoseconds(text: str) -> int:
    """A time stamp of a report as ns of CLOCK_REALTIME. Raises ValueError."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    whole = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return int(whole.timestamp()) * 1_000_000_000 + int((fraction or "0").ljust(9, "0")[:9])


def result_of(line: Mapping[str, Any]) -> Result:
    """A result as it was before it was written. Frames that were not recorded stay as their text.

    Raises ReportError when the line does not have what a result has.
    """
    try:
        started = nanoseconds(line["started"])
        return Result(
            id=line["id"],
            file=line["file"],
            title=line["title"],
            requirements=tuple(line["requirements"]),
            verdict=_VERDICTS[line["verdict"]],
            reason=line["reason"],
            finding=_finding(line["finding"]) if line.get("finding") else None,
            observations=dict(line["observations"]),
            states=[
                NamedState(
                    named["step"],
                    named["connection"],
                    named["state"],
                    tuple(named["possible"]),
                    named["evidence"],
                    named["oracle"],
                )
                for named in line["states"]
            ],
            trace=[_event(event, started) for event in line["trace"]],
            steps=tuple(step["text"] for step in line["steps"]),
            places=tuple(
                Place(step["file"], step["line"], step["column"]) for step in line["steps"] if step.get("line")
            ),
            started=started,
            duration=line["duration"],
            waited=line["waited"],
            attempts=line["attempts"],
            settings=dict(line["settings"]),
            pairs={
                name: (pair["tester"], pair["tester_port"], pair["target"], pair["target_port"])
                for name, pair in line["pairs"].items()
            },
            isns={name: (isn["iss"], isn["irs"]) for name, isn in line["isns"].items()},
            start=line.get("start", ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReportError(f"{line.get('id')}: its line in the report can't be read: {error!r}") from error


def _finding(line: Mapping[str, Any]) -> Finding:
    return Finding(
        Place(line["file"], line["line"], line["column"]),
        line["step"],
        line["message"],
        tuple(line["requirements"]),
        line["yaml"],
        line["expected"],
        line["seen"],
        tuple(Difference(one["field"], one["expected"], one["seen"]) for one in line["differences"]),
    )


def _event(line: Mapping[str, Any], started: int) -> Event:
    text: str = line["text"]
    data: bytes | str = f"{text} # {line['remark']}" if line.get("remark") else text
    if "frame" in line:
        data = bytes.fromhex(line["frame"])
    return Event(started + line["at"], line["kind"], line["connection"], line["step"], data)

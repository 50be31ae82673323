"""Merges the reports of one run's parts, which shards or several machines have made, into one.

Lines of results are copied as they stand. Imports this room's jsonl and reading.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from conformance.engine.result import Verdict
from conformance.jsonlines import encode
from conformance.report.baseline import Kind, kernel_of
from conformance.report.jsonl import ReportError, timestamp
from conformance.report.reading import Reading
from conformance.report.text import printable

_FINDINGS = (str(Kind.UNEXPECTED_FAIL), str(Kind.UNEXPECTED_PASS))


class _Line(NamedTuple):
    """What is kept of a result from the first pass to the second."""

    place: int
    id: str
    verdict: str
    judgement: str


@dataclass
class Merged:
    """What a merge came to."""

    results: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    findings: int = 0
    """Results that fail a run: unexpected fails, unexpected passes."""
    undecided: int = 0
    problems: list[str] = field(default_factory=list)
    """Why it is not the whole story, in sentences."""

    def count(self, line: _Line) -> None:
        """Count a result."""
        self.results += 1
        self.verdicts[line.verdict] += 1
        self.findings += line.judgement.endswith(_FINDINGS)
        self.undecided += line.judgement.endswith(str(Kind.NOT_DECIDED))

    @property
    def exit_code(self) -> int:
        """As of a run: 1 with findings, 3 when not everything was run and decided, 0 otherwise."""
        return 1 if self.findings else 3 if self.problems or self.undecided or not self.results else 0


def merge(paths: Sequence[Path], output: Path, *, last: bool = False, any_suite: bool = False) -> Merged:
    """Write one report of these. `last` takes the last result of a variation that has several.

    `any_suite` merges runs of different case files. Raises ReportError where they can't be parts of one run, OSError.
    """
    readings = [Reading(path) for path in paths]
    _alike(readings, any_suite)
    done = Merged()
    owner: dict[str, int] = {}
    lines: list[list[_Line]] = []
    for number, reading in enumerate(readings):
        lines.append([])
        for place, line in reading:
            lines[number].append(_Line(place, line["id"], line["verdict"], str(line.get("judgement") or "")))
            before = owner.setdefault(line["id"], number)
            if before != number and not last:
                also = readings[before].path
                raise ReportError(
                    f"{reading.path}: {printable(line['id'])} has a result in {also}, too; --last takes this"
                )
            owner[line["id"]] = number
        done.problems += [f"{reading.path}: {problem}" for problem in reading.problems]
    done.problems += _missing_shards(readings)
    part = output.with_name(output.name + ".part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(encode(_header(readings, len(owner))))
            for number, reading in enumerate(readings):
                wanted = [line for line in lines[number] if owner[line.id] == number]
                file.writelines(reading.octets_at(line.place for line in wanted))
                for kept in wanted:
                    done.count(kept)
            file.write(encode(_footer(readings, done, owner)))
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return done


def _alike(readings: Sequence[Reading], any_suite: bool) -> None:
    first = readings[0]
    for other in readings[1:]:
        for what, one, two in (
            ("target", first.header["target"].get("name"), other.header["target"].get("name")),
            ("kernel", kernel_of(first.header["target"]), kernel_of(other.header["target"])),
            ("tester", first.header.get("tool"), other.header.get("tool")),
        ):
            if one != two:
                said = f"{what} {printable(str(two))}, {first.path} of {printable(str(one))}"
                raise ReportError(f"{other.path} is of {said}: these are no parts of one run; see conformance report")
        if first.header.get("case_set") != other.header.get("case_set") and not any_suite:
            raise ReportError(f"{other.path}: its case files are not those of {first.path}; --any-suite merges them")


def _shard(reading: Reading) -> str | None:
    options = reading.header.get("options")
    said = options.get("shard") if isinstance(options, dict) else None
    return said if isinstance(said, str) else None


def _missing_shards(readings: Iterable[Reading]) -> Iterator[str]:
    there = {said for reading in readings if (said := _shard(reading)) is not None}
    for count in sorted({int(said.partition("/")[2]) for said in there}):
        for number in range(1, count + 1):
            if f"{number}/{count}" not in there:
                yield f"shard {number}/{count} is missing"


def _header(readings: Sequence[Reading], results: int) -> dict[str, Any]:
    first = readings[0].header
    options = first.get("options")
    selected = [reading.header.get("selected") for reading in readings]
    return {
        **first,
        "started": min(str(reading.header.get("started")) for reading in readings),
        "options": {**(options if isinstance(options, dict) else {}), "shard": None},
        **({"brief": True} if any(reading.header.get("brief") for reading in readings) else {}),
        "selected": sum(selected) if all(isinstance(one, int) for one in selected) else results,
        "merged": [
            {"report": reading.path.name, "started": reading.header.get("started"), "shard": _shard(reading)}
            for reading in readings
        ],
    }


def _footer(readings: Sequence[Reading], done: Merged, owner: Mapping[str, int]) -> dict[str, Any]:
    footers = [reading.footer or {} for reading in readings]
    left = dict.fromkeys(id_ for footer in footers for id_ in footer.get("not_run") or () if id_ not in owner)
    how = "crashed" if any(not footer for footer in footers) else "interrupted" if done.problems else "complete"
    return {
        "type": "footer",
        "ended": max(
            (str(footer["ended"]) for footer in footers if "ended" in footer), default=timestamp(time.time_ns())
        ),
        "how": how,
        "reason": "; ".join(done.problems),
        "counts": {str(verdict): done.verdicts[verdict] for verdict in Verdict},
        "not_run": list(left),
        "writing": next((footer["writing"] for footer in footers if footer.get("writing")), None),
    }

"""A report without its traces, small enough to be kept in git: what every variation came to, and why.

The lines are those of a report (`schema.json`), in the order of their ids and without what differs from run to run by
its nature, so that two runs with the same results make the same lines. Imports this room's jsonl and reading; does I/O.
"""

from __future__ import annotations

import contextlib
import lzma
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from conformance.engine.result import Verdict
from conformance.jsonlines import encode
from conformance.report.reading import Reading, report_file

SUFFIX = ".jsonl.xz"
_EMPTY: Mapping[str, object] = {
    "steps": [],
    "trace": [],
    "settings": {},
    "pairs": {},
    "isns": {},
    "duration": 0,
    "waited": 0,
    "attempts": 1,
}


def among(path: Path) -> list[Path]:
    """The brief reports of a folder, by name; else the report that is there. Raises ReportError when there is none."""
    found = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else []
    return found or [report_file(path)]


def write(path: Path, output: Path) -> int:
    """Write the brief form of the report at `path`, packed by xz; how many results it has.

    Raises ReportError for what is no report, OSError. The file is whole or not there.
    """
    reading = Reading(path)
    lines = [_brief(line, reading.header) for _, line in reading]
    lines.sort(key=lambda line: str(line["id"]))
    header = {**reading.header, "brief": True}
    part = output.with_name(output.name + ".part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with lzma.open(part, "wb", preset=9) as file:
            file.writelines(map(encode, (header, *lines, *([reading.footer] if reading.footer else []))))
        part.replace(output)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return len(lines)


def _brief(line: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, object]:
    found = {**line, **_EMPTY, "started": header["started"], "states": list(_states(line["states"]))}
    if line["verdict"] in (Verdict.PASS, Verdict.UNSUPPORTED):
        found["rerun"] = None  # ids stand in it once more, and nobody runs these again to see why
    return found


def _states(states: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, object]]:
    """Which states the target was told to be in, without what that was told from."""
    for state in states:
        yield {**state, "possible": [], "evidence": "", "oracle": None}

"""The trend of many runs as one HTML file, offline and without any script: a chart and a table for each stack.

What a target may have said is escaped by the template. Imports jinja2, the catalogue, this room's trend and the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from conformance import __version__
from conformance.catalogue.catalogue import Catalogue
from conformance.engine.result import Verdict
from conformance.report.html.page import HERE, digest, save
from conformance.report.summary import Status
from conformance.report.text import printable
from conformance.report.trend import Run, changed, musts

_WIDTH, _HEIGHT, _LEFT, _TOP = 900, 220, 44, 12
"""The plane of a chart and its margins, in units of its view box."""


class Line(NamedTuple):
    """How many requirements came to a status, run by run."""

    name: str
    look: str
    points: tuple[tuple[float, float, int], ...]
    """x, y and the number itself."""

    @property
    def path(self) -> str:
        """The points as SVG has them."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in self.points)


def write(runs: Sequence[Run], catalogue: Catalogue, output: Path) -> None:
    """Write the page of these runs, in the order of stack and time. Raises OSError; the file is whole or not there."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    style = (HERE / "style.css").read_text(encoding="utf-8")
    groups = groupby(runs, lambda run: run.target)
    stacks = [_stack(number, name, list(found), catalogue) for number, (name, found) in enumerate(groups)]
    page = environment.get_template("trend.html.j2").generate(
        stacks=stacks,
        verdicts=[str(verdict) for verdict in Verdict],
        style=Markup(style),  # noqa: S704 - ours
        style_hash=digest(style),
        tool=__version__,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
    )
    save(page, output)


def _stack(number: int, name: str, runs: Sequence[Run], catalogue: Catalogue) -> dict[str, Any]:
    most = max(1, *(len(run.status) for run in runs))
    return {
        "name": printable(name),
        "anchor": f"stack-{number}",
        "rows": list(_rows(runs, catalogue)),
        "lines": list(_lines(runs, most)),
        "grid": [(_y(count, most), count) for count in (0, most // 2, most)],
    }


def _rows(runs: Sequence[Run], catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    """The newest run first: it is what somebody asks for."""
    rows = []
    for before, run in pairwise((None, *runs)):
        assert run is not None
        worse, better = ([], []) if before is None else changed(before, run)
        rows.append(
            {
                "started": printable(run.started)[:19].replace("T", " "),
                "kernel": printable(run.kernel),
                "verdicts": [run.verdicts.get(verdict, 0) for verdict in Verdict],
                "must": musts(run, catalogue),
                "worse": [_named(id_, catalogue) for id_ in worse],
                "better": [_named(id_, catalogue) for id_ in better],
                "first": before is None,
                "complete": run.complete,
                "path": printable(str(run.path)),
            }
        )
    return reversed(rows)


def _named(id_: str, catalogue: Catalogue) -> tuple[str, str]:
    """A requirement, and what it asks for."""
    if id_ not in catalogue:
        return printable(id_), "not in this tester's catalogue"
    one = catalogue.get(id_)
    return id_, f"{one.level}, RFC {one.rfc} section {one.section}: {one.summary}"


def _lines(runs: Sequence[Run], most: int) -> Iterator[Line]:
    counts = [Counter(run.status.values()) for run in runs]
    for status, name, look in (
        (Status.MET, "✓ met", "pass"),
        (Status.DEVIATING, "△ deviating", "deviation"),
        (Status.NOT_MET, "✗ failed", "fail"),
        (Status.OPEN, "? not decided", "undecided"),
    ):
        points = ((_x(at, len(runs)), _y(count[status], most), count[status]) for at, count in enumerate(counts))
        yield Line(name, look, tuple(points))


def _x(at: int, count: int) -> float:
    return _LEFT + 14 + at * (_WIDTH - _LEFT - 28) / max(1, count - 1)


def _y(value: int, most: int) -> float:
    return _HEIGHT - _TOP - value * (_HEIGHT - 2 * _TOP) / most

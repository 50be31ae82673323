"""Makes `decided.json` and `quick.json` of `conformance/catalogue/`, and `checked.json` of `conformance/cases/`.

`python -m mutations.decided` in `tests/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.cases import model as m
from conformance.cases.checked import CHECKED
from conformance.catalogue.decided import DECIDED, QUICK
from mutations import checked, quick
from mutations.table import Row, case_of, claims, guarded, rows


def compute() -> dict[str, list[dict[str, Any]]]:
    """Requirement -> its triples, in the order of ids, cases and rows."""
    found: dict[str, list[dict[str, Any]]] = {}
    built: dict[str, list[tuple[m.Variation, Sequence[m.Step], int]]] = {}
    for row in rows():
        case = case_of(row.case)
        if row.case not in built:
            built[row.case] = [(v, *v.build()) for v in case.variations]
        for id_, entry in _entries(row, case, built[row.case]):
            found.setdefault(id_, []).append(entry)
    for entries in found.values():
        entries.sort(key=lambda entry: (entry["case"], entry["line"], entry["mutation"]))
    return dict(sorted(found.items()))


def _entries(
    row: Row, case: m.Case, built: list[tuple[m.Variation, Sequence[m.Step], int]]
) -> list[tuple[str, dict[str, Any]]]:
    run = next(v for v, _, _ in built if row.variation in v.id)
    where: dict[str, list[str]] = {}
    for variation, steps, lead in built:
        try:
            index, _ = guarded(row, steps, lead)
        except LookupError:
            continue  # this variation has no such step
        for id_ in claims(row, steps[index], variation):
            where.setdefault(id_, []).append(variation.id.removeprefix(case.id))
        if variation is run:
            step = steps[index]
            mine = claims(row, step, variation)
    found = []
    for id_ in sorted(mine):
        entry: dict[str, Any] = {
            "case": row.case,
            "line": 0 if row.invariant else step.place.line,
            "step": f"invariant {row.invariant}" if row.invariant else step.text,
            "mutation": _words(row),
        }
        if len(mine) > 1:
            entry["beside"] = len(mine) - 1
        if len(where[id_]) < len(built):
            entry["variations"] = where[id_]
        found.append((id_, entry))
    return found


def _words(row: Row) -> str:
    words = ", ".join(f"{what}: {value}" for what, value in row.alter.items())
    if row.only:
        words += f" of {row.only}"
    return f"{words} after the first {row.skip}" if row.skip else words


def text(found: dict[str, list[dict[str, Any]]]) -> str:
    """The file: one line for each triple, so that a difference is readable."""
    blocks = []
    for id_, entries in found.items():
        lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in entries)
        blocks.append(f"{json.dumps(id_)}: [\n{lines}\n]")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    table = compute()
    Path(DECIDED).write_text(text(table), encoding="utf-8")
    Path(QUICK).write_text(quick.text(quick.choose(table)), encoding="utf-8")
    Path(CHECKED).write_text(checked.text(checked.compute()), encoding="utf-8")

"""The table of the suite's cases whose steps need not be read before a run begins (`conformance.cases.checked`)."""

from __future__ import annotations

import json
from pathlib import Path

from conformance.cases.loader import find, load_file
from conformance.catalogue import load as load_catalogue
from conformance.engine.estimate import waits
from mutations.table import SUITE


def compute(suite: Path = SUITE) -> dict[str, list[float]]:
    """Digest -> seconds, of every case; raises CaseError where one is wrong."""
    known = frozenset(requirement.id for requirement in load_catalogue())
    found: dict[str, list[float]] = {}
    for path, root in find([suite]):
        case = load_file(path, root, known)
        versions = len({variation.version for variation in case.variations})
        each = [round(waits(variation.build()[0]), 3) for variation in case.variations[::versions]]
        found[case.digest] = each[:1] if len(set(each)) == 1 else each
    return dict(sorted(found.items()))


def text(found: dict[str, list[float]]) -> str:
    """The file: one line for each case."""
    return "{\n" + ",\n".join(f"{json.dumps(digest)}: {json.dumps(each)}" for digest, each in found.items()) + "\n}\n"

"""Which variations `conformance run --quick` takes: most requirements for the time, by the table of triples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from conformance.cases import model as m
from conformance.engine.estimate import waits
from conformance.tcp.notation import Kind, Retransmission
from mutations.table import case_of

LONGEST = 2.5
"""Seconds that a variation of the choice may wait."""


def choose(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Ids of variations, sorted: greedily those that decide most of what is not decided yet for what they cost."""
    decides: dict[str, set[str]] = {}
    for id_, entries in found.items():
        for entry in entries:
            case = case_of(entry["case"])
            if case.needs.settings.keys() <= {"timers"} and case.needs.tier == "default":
                for variation in case.variations:
                    name = variation.id.removeprefix(case.id)
                    if not entry.get("variations") or name in entry["variations"]:
                        decides.setdefault(variation.id, set()).add(id_)
    cost = {v.id: _cost(v) for v in _variations(decides)}
    left = {id_: ids for id_, ids in decides.items() if cost[id_] <= LONGEST}
    chosen: list[str] = []
    while left := {id_: ids for id_, ids in left.items() if ids}:
        # One IP version and the other by turns, where they are equals.
        version = f"ip=v{4 + 2 * (len(chosen) % 2)}"
        best = min(left, key=lambda id_: ((0.1 + cost[id_]) / len(left[id_]), version not in id_, id_))
        chosen.append(best)
        done = left[best]
        left = {id_: ids - done for id_, ids in left.items()}
    return sorted(chosen)


def _cost(variation: m.Variation) -> float:
    """Seconds that it waits; without end where a timer is waited for over and over, which backs off."""
    steps = variation.build()[0]
    rounds = [inner for step in steps if isinstance(step, m.Repeat) for inner in step.body(1)]
    timed = any(isinstance(step, m.Expect) and isinstance(step.line, Kind | Retransmission) for step in rounds)
    return float("inf") if timed else waits(steps)


def _variations(ids: Mapping[str, object]) -> list[m.Variation]:
    names = dict.fromkeys(id_.partition("[")[0] for id_ in ids)
    return [variation for name in names for variation in case_of(name).variations if variation.id in ids]


def text(chosen: Sequence[str]) -> str:
    """The file: one line for each variation."""
    return json.dumps(chosen, indent=0, ensure_ascii=False) + "\n"

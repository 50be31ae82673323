"""How much of the event table (conformance/tcp/states.py) the suite goes over: rows, and pairs of rows (1-switch).

`python tests/mutants/switches.py [--target NAME] [--json FILE]` runs the suite and follows each trace through it.
A 0-switch is a row in one of its states; a 1-switch is such a row and one of the state that it leads to, taken one
after the other on one connection. Of an arrival the row that decided it counts: the last one used. A state that the
suite named from replies corrects the following, and is counted where it had to.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conformance.engine.result import Event, Result  # noqa: E402
from conformance.targets.asked import Asked  # noqa: E402
from conformance.targets.base import TargetError  # noqa: E402
from conformance.targets.opening import opener  # noqa: E402
from conformance.tcp.segment import FIN, SYN, Segment  # noqa: E402
from conformance.tcp.states import OTHER_ROWS, SEGMENT_ROWS, State, arrive, classify  # noqa: E402
from conformance.tcp.tcb import TCB  # noqa: E402
from conformance.wire.codec import decode  # noqa: E402
from mutants.bench import Bench, variations  # noqa: E402

Step = tuple[str, str]
"""A state, and the row (`check: on`) or the call or timeout that was taken in it."""
CALLS = {"close": "CLOSE", "shutdown": "CLOSE", "abort": "ABORT", "listen": "passive OPEN", "connect": "active OPEN"}
TWICE_MSL = 60_000_000_000
"""ns without anything after which TIME-WAIT is over on every stack that is followed here."""


def table() -> dict[Step, State]:
    """Every row in each of its states, and where it leads."""
    rows = {(str(state), f"{row.check}: {row.on}"): row.to or state for row in SEGMENT_ROWS for state in row.states}
    rows |= {(str(state), f"{row.kind}: {row.on}"): row.to for row in OTHER_ROWS for state in row.states}
    return rows


def pairs(rows: dict[Step, State]) -> set[tuple[Step, Step]]:
    """Every row with every row of the state that it leads to."""
    return {(first, second) for first, to in rows.items() for second in rows if second[0] == to}


@dataclass
class Coverage:
    """What the suite went over."""

    rows: Counter[Step] = field(default_factory=Counter)
    pairs: Counter[tuple[Step, Step]] = field(default_factory=Counter)
    named: int = 0
    corrected: int = 0
    """States named from replies, and how many of them the following had otherwise."""

    def add(self, result: Result) -> None:
        """Follow one trace."""
        irs = result.isns.get("main", (None, None))[1]
        if irs is None:
            return
        path = _Path(TCB(irs, 6 if ":" in result.pairs["main"][0] else 4))
        names = {name.step: State(name.state) for name in result.states if name.connection == "main"}
        for event in result.trace:
            self._check(path, [names.pop(step) for step in list(names) if step < event.step])
            if event.connection == "main":
                before = path.last
                path.take(event)
                if path.last is not None and path.last is not before:
                    self.rows[path.last] += 1
                    if before is not None:
                        self.pairs[before, path.last] += 1
        self._check(path, list(names.values()))

    def _check(self, path: _Path, named: list[State]) -> None:
        for state in named:
            self.named += 1
            if state is not path.state and not (state is State.CLOSED and path.state is State.LISTEN):
                self.corrected += 1
                path.state, path.last = state, None


class _Path:
    def __init__(self, tcb: TCB) -> None:
        self.state, self.last, self._tcb, self._time = State.CLOSED, None, tcb, 0
        self.last: Step | None

    def take(self, event: Event) -> None:
        """One thing that was sent, seen or called."""
        if self.state is State.TIME_WAIT and event.time - self._time > TWICE_MSL:
            self._other("timeout: 2MSL")
        self._time = event.time
        if event.kind == "call":
            self._other(f"call: {CALLS.get(str(event.data).split('(')[0].split()[0], '')}")
            return
        segment = decode(event.data) if isinstance(event.data, bytes) else None
        if not isinstance(segment, Segment):
            return
        segment.time = event.time
        if event.kind == "seen":
            if segment.flags & FIN:
                self._other("call: CLOSE")
            if segment.flags & SYN and self.state is State.CLOSED:
                self._other("call: active OPEN")
            self._tcb.seen(segment)
            return
        if segment.checksum_ok:
            outcome = arrive(self.state, classify(segment, self._tcb.view()))[0]
            if outcome.rows:
                row = outcome.rows[-1]
                self.last = (str(self.state), f"{row.check}: {row.on}")
            self.state = outcome.to
        self._tcb.sent(segment)

    def _other(self, on: str) -> None:
        for row in OTHER_ROWS:
            if self.state in row.states and f"{row.kind}: {row.on}" == on:
                self.last, self.state = (str(self.state), on), row.to
                return


def measure(target: str) -> Coverage:
    """Run the suite, over IPv4, and follow it. Raises TargetError."""
    found = Coverage()
    bench = Bench(opener(Asked(target))({}))
    bench.on_result = found.add
    try:
        for _ in bench.run([v for v in variations() if v.version == 4 and bench.able(v)]):
            pass
    finally:
        bench.close()
    return found


def told(found: Coverage, target: str) -> str:
    """The figures, and the rows that nothing went over."""
    rows = table()
    every = pairs(rows)
    met, met_pairs = rows.keys() & found.rows.keys(), every & found.pairs.keys()
    lines = [
        f"{target}: rows {len(met)} of {len(rows)} = {100 * len(met) / len(rows):.1f} %, "
        f"pairs (1-switch) {len(met_pairs)} of {len(every)} = {100 * len(met_pairs) / len(every):.1f} %, "
        f"{found.named} states named, {found.corrected} of them not as followed"
    ]
    for state in State:
        of = [pair for pair in every if pair[0][0] == state]
        hit = sum(pair in met_pairs for pair in of)
        lines.append(f"  from {state!s:13} {hit:4} of {len(of):4} pairs")
    lines += [f"  not taken: {state}: {on}" for state, on in sorted(rows.keys() - met)]
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="How much of the event table the suite goes over.")
    parser.add_argument("--target", default="lwip:full")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write how often each row and pair was taken")
    asked = parser.parse_args()
    try:
        found = measure(asked.target)
    except TargetError as problem:
        print(problem, file=sys.stderr)
        return 3
    print(told(found, asked.target))
    if asked.json is not None:
        said = {
            "rows": [[*row, found.rows[row]] for row in sorted(table())],
            "pairs": [[*first, *second, found.pairs[first, second]] for first, second in sorted(pairs(table()))],
        }
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(said, indent=0) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The mutation score: `python tests/mutants/run.py [--sample N --seed S] [--target NAME] [NAME ...]`.

Prints a table of the mutants, what each breaks and which cases caught it, then survivors and the score; `--json FILE`
has all of it. Exit code 0 when every mutant was caught, is proven
equivalent or is known to survive (`open`), 1 when another survived, 2 for wrong usage,
3 when the stack can't be built here.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conformance.adapters.base import MissingError  # noqa: E402
from conformance.targets.base import TargetError  # noqa: E402
from mutants.measuring import Measurer, Score  # noqa: E402
from mutants.table import Mutant, TableError, mutants  # noqa: E402

PROCESSES = 2
_measurer: Measurer | None = None


def chosen(sample: int | None, seed: int, names: Sequence[str], kind: str, part: str | None = None) -> list[Mutant]:
    """Those of the table that were asked for. Raises TableError."""
    known = {
        mutant.name: mutant for mutant in mutants() if kind in ("all", mutant.kind) and part in (None, mutant.part)
    }
    for name in names:
        if name not in known:
            raise TableError(f"there is no mutant {name!r}")
    some = [known[name] for name in names] or list(known.values())
    if sample is not None and sample < len(some):
        some = random.Random(seed).sample(some, sample)
    return some


def _begin(thorough: bool, suite: Path | None) -> None:
    global _measurer
    _measurer = Measurer(thorough, suite=suite)


def _score(mutant: Mutant, target: str) -> Score:
    assert _measurer is not None
    return _measurer.score(mutant, target)


def measured(some: Sequence[Mutant], target: str, thorough: bool = False, suite: Path | None = None) -> Iterator[Score]:
    """The score of each, as they are done. Raises TargetError, MissingError, RuntimeError, TableError."""
    spawn = multiprocessing.get_context("spawn")  # never a copy of a process that holds agents
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn, initializer=_begin, initargs=(thorough, suite)) as pool:
        jobs = [pool.submit(_score, mutant, target) for mutant in some]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def line(score: Score) -> str:
    """One row of the table."""
    by = " ".join(dict.fromkeys(seen.id.partition("[")[0] for seen in score.caught or score.others)) or "-"
    named = next((id_ for seen in score.caught for id_ in seen.requirements), score.mutant.breaks[0])
    return (
        f"{score.mutant.kind:6} {score.mutant.part:10} {score.mutant.name:42} {named:42} {score.verdict:10} {by[:120]}"
    )


def told(scores: Sequence[Score]) -> str:
    """The survivors and the figures."""
    lines = []
    for score in scores:
        if score.verdict in ("caught", "equivalent"):
            continue
        known = f" (known: {score.mutant.open})" if score.mutant.open else ""
        lines.append(f"{score.verdict.upper()}: {score.mutant.name}: {score.mutant.wrong}{known}")
        if score.others:
            reasons = sorted({id_ for seen in score.others for id_ in seen.requirements})
            lines.append(f"    other reasons: {', '.join(reasons)}")
        if score.differ and not score.others:
            lines.append(f"    {len(score.differ)} variations differ: {', '.join(score.differ[:6])}")
    for kind in ("source", "reply"):
        some = [score for score in scores if score.mutant.kind == kind]
        counted = [score for score in some if score.verdict != "equivalent"]
        caught = sum(score.verdict == "caught" for score in counted)
        if some:
            share = f" = {100 * caught / len(counted):.1f} %" if counted else ""
            lines.append(
                f"{kind} mutants: {len(some)} built, {len(some) - len(counted)} proven equivalent, "
                f"caught {caught} of {len(counted)}{share}"
            )
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="How many wrong stacks the suite catches.")
    parser.add_argument("names", nargs="*", help="mutants by name; all of them when none is named")
    parser.add_argument("--sample", type=int, metavar="N", help="that many, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--kind", choices=("all", "source", "reply"), default="all")
    parser.add_argument("--target", default="lwip:full", help="before which reply mutants stand (default: lwip:full)")
    parser.add_argument("--thorough", action="store_true", help="with the variations over IPv6, too")
    parser.add_argument("--suite", type=Path, metavar="DIR", help="cases that are run instead of the suite's own")
    parser.add_argument("--part", help="only those of one table, such as states")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found")
    asked = parser.parse_args()
    if asked.sample is not None and asked.sample < 1:
        parser.error("--sample takes a number from 1 on")
    scores = []
    try:
        some = chosen(asked.sample, asked.seed, asked.names, asked.kind, asked.part)
        for score in measured(some, asked.target, asked.thorough, asked.suite):
            scores.append(score)
            print(line(score), flush=True)
    except TableError as problem:
        parser.error(str(problem))
    except (TargetError, MissingError, RuntimeError) as problem:
        print(problem, file=sys.stderr)
        return 3
    scores.sort(key=lambda score: (score.mutant.kind, score.mutant.part, score.mutant.name))
    print(told(scores))
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps([asdict(score) for score in scores], indent=1) + "\n", encoding="utf-8")
    return int(any(score.verdict not in ("caught", "equivalent") and not score.mutant.open for score in scores))


if __name__ == "__main__":
    sys.exit(main())

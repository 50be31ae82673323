"""Do verdicts depend on the machine's mood? The suite's short cases over and over, in several kinds of trouble.

Every verdict that is not the quiet run's is told. `python tests/benchmarks/run.py steady --ways idle,busy ...`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from conformance.cases.model import Variation
from conformance.engine.result import Result

Tell = Callable[..., None]
RunAll = Callable[[Any, Sequence[Variation]], list[Result]]
ROOT = Path(__file__).resolve().parents[2]
STALL, BETWEEN = 10_000, 0.05
"""us of a stall of our own process, and seconds between two, on average."""


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    """Busy processes. Programs of their own: a fork would keep copies of the agent's sockets."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in running:
            hog.kill()
            hog.wait()


@contextlib.contextmanager
def stalls() -> Iterator[None]:
    """Now and then nothing in this process runs: a thread keeps the interpreter to itself."""
    over = threading.Event()
    keeping = ctypes.PyDLL(None).usleep  # PyDLL: the call does not let go of the interpreter
    draw = random.Random(1)

    def stall() -> None:
        while not over.wait(draw.expovariate(1 / BETWEEN)):
            keeping(STALL)

    thread = threading.Thread(target=stall, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


WAYS: dict[str, tuple[str, Callable[[], contextlib.AbstractContextManager[None]]]] = {
    "idle": ("idle", contextlib.nullcontext),
    "busy": ("beside four busy processes", lambda: hogs(4)),
    "crowd": ("beside eight busy processes", lambda: hogs(8)),
    "stalls": (f"with stalls of {STALL / 1000:g} ms, every {BETWEEN * 1000:g} ms or so", stalls),
}
APART = ("split", "path")
"""Ways that are whole runs in processes of their own: two workers, and a host behind a bad path."""


def inside(tell: Tell, run_all: RunAll, running: Any, variations: Sequence[Variation], verdicts: int, way: str) -> None:
    """At least so many verdicts of one engine, one way."""
    quiet = {result.id: result.verdict for result in run_all(running, variations)}
    words, trouble = WAYS[way]
    rounds = -(-verdicts // len(variations))
    differing: list[str] = []
    again = count = 0
    begin = time.perf_counter()
    with trouble():
        for _ in range(rounds):
            for result in run_all(running, variations):
                count += 1
                again += result.attempts - 1
                if result.verdict is not quiet[result.id]:
                    differing.append(f"{result.id}: {quiet[result.id]} then {result.verdict}: {result.reason}")
    _told(tell, count, words, differing, again, time.perf_counter() - begin)


def _told(tell: Tell, count: int, words: str, differing: Sequence[str], again: int, took: float) -> None:
    tell(f"(d) {count} verdicts {words}: that differ", str(len(differing)), f"{took:.0f} s; {again} runs repeated")
    for line in differing[:20]:
        print(f"    {line}", flush=True)


def _read(report: Path) -> dict[str, tuple[str, str, int]]:
    lines = [json.loads(line) for line in (report / "report.jsonl").read_text().splitlines()]
    return {one["id"]: (one["verdict"], one["reason"], one["attempts"]) for one in lines if one["type"] == "result"}


def _compared(tell: Tell, words: str, quiet: Path, other: Path, took: float) -> None:
    """What a run decided otherwise. What it could not decide is told apart: it is no false alarm."""
    before, after = _read(quiet), _read(other)
    differing = [
        f"{id_}: {before[id_][0]} then {verdict}: {reason}"
        for id_, (verdict, reason, _) in after.items()
        if id_ in before and verdict != before[id_][0]
    ]
    _told(tell, len(after), words, differing, sum(attempts - 1 for _, _, attempts in after.values()), took)


def apart(tell: Tell, way: str) -> None:
    """The whole default tier, in processes of its own, against a quiet run of the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (_split if way == "split" else _path)(tell, folder)


def _split(tell: Tell, folder: Path) -> None:
    for number, workers in (("one", ()), ("two", ("-n", "2"))):
        begin = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "cases", "-q", "-p", "no:cacheprovider", "--report", folder / number]
        subprocess.run([*command, *workers], cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        took = time.perf_counter() - begin
    _compared(tell, "with -n 2", folder / "one", folder / "two", took)


def _path(tell: Tell, folder: Path) -> None:
    sys.path.append(str(ROOT / "tests"))
    from hosts import places

    token = "a token of the benchmarks, long enough"
    reached = ["--target", f"{places.HOST},{places.HOST6}", "--allow", places.HOST, "--allow", places.HOST6]
    reached += ["--interface", "t0", *(f"--source={prefix}" for prefix in places.SOURCES)]
    reached += ["--agent", places.CONTROL_HOST, "--baseline", "linux"]
    for number, bad in (("one", ()), ("two", ("--seed", "7", "--loss", "0.01", "--jitter", "0.02"))):
        begin = time.perf_counter()
        with places.two_hosts(*bad) as (tester, host), places.agent(host, token):
            arguments = [*reached, "--report", str(folder / number)]
            command = tester.argv(sys.executable, "-m", "conformance", "run", *arguments)
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "CONFORMANCE_TOKEN": token}
            subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False)
        took = time.perf_counter() - begin
    _compared(tell, "behind 1 % of loss and 20 ms of jitter", folder / "one", folder / "two", took)

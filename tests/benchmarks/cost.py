"""What a step and a case cost: where the time of a step goes, cases side by side, memory, cost against their number."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.cases.model import Variation
from conformance.catalogue import load as load_catalogue
from conformance.engine import acting, context, expecting, scheduler
from conformance.engine.clock import RealClock
from conformance.engine.result import Result, Verdict
from conformance.engine.run import run_variation
from conformance.engine.scheduler import Engine
from conformance.report.jsonl import Header, Writer
from conformance.targets.netns import OwnKernel
from conformance.targets.sockets import OwnSocket
from conformance.tcp.invariants import Watch
from conformance.tcp.tcb import TCB
from conformance.wire.codec import Encoder
from conformance.wire.packet import PacketWire

Tell = Callable[..., None]
Make = Callable[[Path, int, int], list[Variation]]
PARTS = {
    "craft": [(acting, "segment_of"), (expecting, "segment_of"), (Encoder, "encode")],
    "send": [(PacketWire, "send")],
    "target": [(OwnSocket, verb) for verb in "listen accept connect send recv shutdown close dispose".split()],
    "receive": [(PacketWire, "drain"), (context, "decode"), (TCB, "seen")],
    "match": [(acting, "differences"), (expecting, "differences"), (context, "own_accord"), (Watch, "violation")],
    "record": [(Writer, "write")],
}
"""On a veth what the kernel's TCP does with a segment is done inside `send`; `target` are the application's calls."""
SIDE_BY_SIDE = (1, 100, 1000, 5000)
WAITING = """title: One second between handshake and close, number {number}
requirements: [{known}]
vary:
  size: [{sizes}]
start: ESTABLISHED
steps:
  - wait: 1s
  - send: PSH,ACK ($size)
  - expect: ACK
"""


class Meter:
    """Seconds inside the functions of each part, without what they call of other parts. Used from one thread."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inner = [0.0]
        self._undo: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Meter:
        for part, places in PARTS.items():
            for owner, name in places:
                original = getattr(owner, name)
                self._undo.append((owner, name, original))
                setattr(owner, name, self._around(part, original))
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, original in self._undo:
            setattr(owner, name, original)

    def _around(self, part: str, original: Callable[..., Any]) -> Callable[..., Any]:
        spent, inner, clock = self.spent, self._inner, time.perf_counter

        @functools.wraps(original)
        def metered(*args: Any, **more: Any) -> Any:
            before, inner[0], begin = inner[0], 0.0, clock()
            try:
                return original(*args, **more)
            finally:
                took = clock() - begin
                spent[part] += took - inner[0]
                inner[0] = before + took

        return metered


def steps(tell: Tell, make: Make) -> None:
    """Time per step, split."""
    with tempfile.TemporaryDirectory() as name, OwnKernel.start() as target:
        folder = Path(name)
        variations = make(folder, 20, 20)
        asyncio.run(_run(target, variations[:100], folder / "warm.jsonl"))
        rest = variations[100:]
        with Meter() as meter:
            begin = time.perf_counter()
            count = asyncio.run(_run(target, rest, folder / "report.jsonl"))
            took = time.perf_counter() - begin
    tell(f"(e) a step, of {count} in {len(rest)} cases one after the other", f"{took / count * 1e6:.1f} us")
    for part in PARTS:
        tell(f"    {part}", f"{meter.spent[part] / count * 1e6:.1f} us")
    others = took - sum(meter.spent.values())
    tell("    the rest: steps, states, tasks, and the meter", f"{others / count * 1e6:.1f} us")


async def _run(target: OwnKernel, variations: list[Variation], path: Path) -> int:
    target.wire.watch()
    catalogue, clock, count = load_catalogue(), RealClock(), 0
    writer = Writer(path, Header((), "", {}))
    for variation in variations:
        result = await run_variation(variation, target, clock, catalogue, check_oracle=False)
        writer.write(result)
        count += len(result.steps)
        if result.verdict is not Verdict.PASS:
            sys.exit(f"{result.id}: {result.verdict} {result.reason}: these figures would mean nothing")
    writer.close()
    target.wire.unwatch()
    return count


def side_by_side(tell: Tell) -> None:
    """Cases that wait a second, so many at once: how many a second, and the memory that each takes."""
    for count in SIDE_BY_SIDE:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("run.py")), "--concurrent", str(count)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        took, memory, peak, passed = done.stdout.split()
        tell(
            f"(f) {count} cases at once, that wait 1 s each",
            f"{count / float(took):.0f} a second",
            f"{float(memory) / count / 1024:.0f} kB each, {float(peak) / 1e6:.0f} MB in all; {passed} PASS",
        )


def concurrent(count: int) -> None:
    """In a process of its own: `count` cases at once. Prints seconds, growth and peak in octets, passes."""
    from conformance.cases.loader import load_text

    known = next(r.id for r in load_catalogue())
    scheduler.AT_ONCE = max(count, scheduler.AT_ONCE)
    variations: list[Variation] = []
    sizes = ", ".join(f'"{size}"' for size in range(1, 26))
    while len(variations) < count:
        number = len(variations)
        text = WAITING.format(number=number, known=known, sizes=sizes)
        variations += load_text(text, f"{number}.yaml", f"{number}").variations
    engine = Engine(lambda settings: OwnKernel.start(), load_catalogue(), check_oracle=False)
    engine.start()
    before = _peak()
    begin = time.perf_counter()
    results: list[Result] = [future.result() for future in engine.submit(variations[:count]).values()]
    took = time.perf_counter() - begin
    peak = _peak()
    engine.stop()
    print(took, peak - before, peak, sum(result.verdict is Verdict.PASS for result in results))


def _peak() -> int:
    """Octets of memory that this process had at most; not by getrusage, which begins with its parent's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def numbers(tell: Tell, make: Make) -> None:
    """Cases without waits: what each costs among few and among many."""
    with tempfile.TemporaryDirectory() as name:
        for count in (500, 1000, 2000, 4000):
            variations = make(Path(name), count // 50, 25)
            engine = Engine(lambda settings: OwnKernel.start(), load_catalogue(), check_oracle=False)
            engine.start()
            begin = time.perf_counter()
            for future in engine.submit(variations).values():
                future.result()
            took = time.perf_counter() - begin
            engine.stop()
            tell(
                f"(g) {len(variations)} cases without waits",
                f"{took:.2f} s",
                f"{took / len(variations) * 1e6:.0f} us each",
            )

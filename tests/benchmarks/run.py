"""The figures of the tester: `python tests/benchmarks/run.py [part ...]`; `--help` names the parts.

Prints a table, and beside a figure the same work done by a peer in the same run where one is at hand: a bare loop over
the same sockets without cases, matching or verdicts, and scapy's own building. Times are told, never asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import cost  # noqa: E402
import stability  # noqa: E402
from bare import Bare, scapy_builds  # noqa: E402
from peer import beside_packetdrill  # noqa: E402

from conformance.cases.loader import find, load_file  # noqa: E402
from conformance.cases.model import Variation  # noqa: E402
from conformance.catalogue import load as load_catalogue  # noqa: E402
from conformance.engine.clock import RealClock  # noqa: E402
from conformance.engine.estimate import waits  # noqa: E402
from conformance.engine.result import Result, Verdict  # noqa: E402
from conformance.engine.run import run_variation  # noqa: E402
from conformance.engine.scheduler import Engine  # noqa: E402
from conformance.targets.asked import Asked  # noqa: E402
from conformance.targets.base import TargetError  # noqa: E402
from conformance.targets.netns import OwnKernel  # noqa: E402
from conformance.targets.opening import opener  # noqa: E402

NO_WAIT = """title: Handshake, data each way, close, number {number}
requirements: [RFC9293-3.10.7.4-TEXT-OK]
vary:
  size: [{sizes}]
start: ESTABLISHED
steps:
  - send: PSH,ACK ($size)
  - expect: ACK
  - call: recv(100)
    returns: ($size)
  - call: send(($size))
  - expect: PSH,ACK ($size)
    acked: true
  - state: ESTABLISHED
  - send: FIN,ACK
  - expect: ACK
  - call: recv(1)
    returns: eof
  - state: CLOSE-WAIT
  - call: close()
  - expect: FIN,ACK
    as: fin
  - send: ACK ack=fin.end
  - expect: nothing
  - state: CLOSED
"""

rows: list[tuple[str, str, str]] = []


def tell(what: str, figure: str, beside: str = "") -> None:
    """One line of the table, shown as soon as it is known."""
    rows.append((what, figure, beside))
    print(f"{what:<58} {figure:>16}  {beside}", flush=True)


def generate(folder: Path, files: int, sizes: int) -> list[Path]:
    """`files` different cases without waits, with `sizes` variations for each IP version."""
    known = next(r.id for r in load_catalogue())
    paths = []
    for number in range(files):
        path = folder / f"case-{number:05}.yaml"
        text = NO_WAIT.format(number=number, sizes=", ".join(f'"{size}"' for size in range(1, sizes + 1)))
        path.write_text(text.replace("RFC9293-3.10.7.4-TEXT-OK", known))
        paths.append(path)
    return paths


def load(paths: list[Path], folder: Path) -> list[Variation]:
    known = frozenset(r.id for r in load_catalogue())
    return [variation for path in paths for variation in load_file(path, folder, known).variations]


@contextlib.contextmanager
def engine(*, check_oracle: bool = False, **more: Any) -> Iterator[Engine]:
    running = Engine(lambda settings: OwnKernel.start(), load_catalogue(), check_oracle=check_oracle, **more)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def run_all(running: Engine, variations: list[Variation]) -> list[Result]:
    futures: dict[str, Future[Result]] = running.submit(variations)
    return [future.result() for future in futures.values()]


def expect_passes(results: list[Result]) -> None:
    wrong = [result for result in results if result.verdict is not Verdict.PASS]
    for result in wrong[:3]:
        print(f"  NOT PASSED {result.id}: {result.verdict} {result.reason}", file=sys.stderr)
    if wrong:
        sys.exit(f"{len(wrong)} of {len(results)} did not pass: these figures would mean nothing")


# -- (a) --------------------------------------------------------------------------------------------------------


def speed(options: argparse.Namespace) -> None:
    """A case without waits: alone, and thousands of them in one process; and the same work without a tester."""
    target = OwnKernel.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        variations = load(generate(folder, 50, 50), folder)
        times = asyncio.run(_alone(target, variations[:600]))
        tell("(a) a case without waits, alone: median", f"{statistics.median(times):.2f} ms")
        bare = Bare(target)
        bare.flows(200)
        spike = [bare.flows(100) / 100 * 1e3 for _ in range(5)]
        tell(
            "    the same segments and calls in a bare loop",
            f"{statistics.median(spike):.2f} ms",
            "no cases, no matching",
        )
        build = scapy_builds(200) * 1e3
        tell("    scapy alone building its 12 segments", f"{build * 12:.2f} ms", f"{build:.2f} ms a packet")
        if options.profile:
            _profile(target, variations)
        target.close()
        begin = time.perf_counter()
        variations = load(generate(folder, 50, 50), folder)
        loading = time.perf_counter() - begin
        with engine() as running:
            expect_passes(run_all(running, load(generate(folder, 4, 25), folder)))
            begin = time.perf_counter()
            results = run_all(running, variations)
            took = time.perf_counter() - begin
    expect_passes(results)
    rate = len(results) / took
    tell(
        f"    {len(results)} variations of 50 files in one process",
        f"{rate:.0f} a second",
        f"{rate * statistics.median(spike) / 1e3:.2f} of the bare loop; loaded in {loading:.2f} s",
    )


async def _alone(target: OwnKernel, variations: list[Variation]) -> list[float]:
    target.wire.watch()
    catalogue, clock, times = load_catalogue(), RealClock(), []
    results = []
    for variation in variations:
        begin = time.perf_counter()
        results.append(await run_variation(variation, target, clock, catalogue, check_oracle=False))
        times.append((time.perf_counter() - begin) * 1e3)
    target.wire.unwatch()
    expect_passes(results)
    return times[100:]


def _profile(target: OwnKernel, variations: list[Variation]) -> None:
    profile = cProfile.Profile()
    profile.enable()
    asyncio.run(_alone(target, variations[600:2100]))
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


# -- (b) --------------------------------------------------------------------------------------------------------


def default_tier() -> list[Variation]:
    """The suite's default tier."""
    known = frozenset(r.id for r in load_catalogue())
    found = (load_file(path, root, known, trust=True) for path, root in find([ROOT / "cases"]))
    return [v for case in found if case.needs.tier == "default" for v in case.variations]


def suite(options: argparse.Namespace) -> None:
    """The default tier: wall time against its longest case; and how soon the first segment goes out."""
    starts = [_first_segment() for _ in range(3)]
    tell("(b) process start to first segment, suite loaded: median", f"{statistics.median(starts):.2f} s")
    variations = default_tier()
    with engine(check_oracle=True) as running:
        begin = time.perf_counter()
        results = run_all(running, variations)
        wall = time.perf_counter() - begin
    longest = max(results, key=lambda result: result.duration)
    waited = sum(result.waited for result in results)
    tell(f"    {len(results)} variations of the default tier: wall time", f"{wall:.1f} s")
    tell("    its longest case", f"{longest.duration:.1f} s", longest.id)
    tell("    wall time / longest case", f"{wall / longest.duration:.2f}")
    again = sum(result.attempts - 1 for result in results)
    tell("    runs repeated because inconclusive", str(again))
    tell("    sum of all waits", f"{waited:.0f} s", f"{waited / wall:.0f} x the wall time")
    verdicts = {v: sum(r.verdict is v for r in results) for v in Verdict}
    tell("    verdicts", "", ", ".join(f"{count} {v}" for v, count in verdicts.items() if count))


def _first_segment() -> float:
    begin = time.time_ns()
    said = subprocess.run(
        [sys.executable, __file__, "--first-segment"], capture_output=True, text=True, check=True, timeout=60
    )
    return (int(said.stdout.split()[-1]) - begin) / 1e9


def first_segment() -> None:
    """In a process of its own: load the suite, start everything, and print when the first segment was sent."""
    variations = default_tier()
    sent: Future[int] = Future()

    def on_result(result: Result) -> None:
        times = [event.time for event in result.trace if event.kind == "sent"]
        if times and not sent.done():
            sent.set_result(min(times))

    with engine(on_result=on_result) as running:
        running.submit(variations)
        print(sent.result(30), flush=True)
        os._exit(0)


# -- (c) --------------------------------------------------------------------------------------------------------


def load_many(options: argparse.Namespace) -> None:
    """10,000 cases listed, and checked to their last step, by the commands for it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "cases"
        folder.mkdir()
        paths = generate(folder, options.files, 2)
        for what, command in (("(c) {} cases loaded and listed", "list"), ("    loaded and checked", "lint")):
            begin = time.perf_counter()
            said = subprocess.run(
                [sys.executable, "-m", "conformance", command, str(folder)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            took = time.perf_counter() - begin
            last = said.stdout.splitlines()[-1] if said.stdout else said.stderr
            named = f"`conformance {command}`"
            tell(f"{what.format(len(paths))} by {named}", f"{took:.2f} s", f"exit {said.returncode}; {last[:60]}")


# -- (d) --------------------------------------------------------------------------------------------------------


def steady(options: argparse.Namespace) -> None:
    """The suite's short cases over and over, quiet and in trouble: which verdicts differ."""
    variations = [v for v in default_tier() if waits(v.build()[0]) < options.short]
    for way in options.ways.split(","):
        if way in stability.APART:
            stability.apart(tell, way)
            continue
        with engine(check_oracle=True) as running:
            stability.inside(tell, run_all, running, variations, options.verdicts, way)


# -- (e), (f), (g) ----------------------------------------------------------------------------------------------


def cost_of(options: argparse.Namespace) -> None:
    """Time per step, cases side by side, memory per case, cost against the number of cases."""

    def make(folder: Path, files: int, sizes: int) -> list[Variation]:
        return load(generate(folder, files, sizes), folder)

    cost.steps(tell, make)
    cost.side_by_side(tell)
    cost.numbers(tell, make)


# -- (h) --------------------------------------------------------------------------------------------------------


def targets(options: argparse.Namespace) -> None:
    """Each stack in virtual time: how soon it answers its first SYN, and the wall time of all cases, both tiers."""
    for name in ("lwip", "libslirp", "gvisor", "pytcp", "ns3"):
        try:
            opened = opener(Asked(name))
        except TargetError as problem:
            tell(f"(h) {name}", "not here", str(problem))
            continue
        begin = time.perf_counter()
        opened({}).close()
        tell(f"(h) {name}: start-up, calibrated", f"{time.perf_counter() - begin:.2f} s")
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "conformance", "run", "--target", name, "--tier", "all", "--report"]
            begin = time.perf_counter()
            said = subprocess.run([*command, f"{folder}/report"], cwd=ROOT, capture_output=True, text=True, check=False)
            took = time.perf_counter() - begin
        counts = next((line for line in said.stdout.splitlines() if " run in " in line), said.stderr.strip()[-200:])
        tell("    all cases, both tiers: wall time", f"{took:.1f} s", f"exit {said.returncode}; {counts}")


# -- (i) --------------------------------------------------------------------------------------------------------


def peer(options: argparse.Namespace) -> None:
    """The same handshake and close by packetdrill, where there is one."""
    beside_packetdrill(tell)


PARTS = {
    "speed": speed,
    "suite": suite,
    "load": load_many,
    "steady": steady,
    "cost": cost_of,
    "targets": targets,
    "peer": peer,
}


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which to run; all when none is named")
    parser.add_argument("--profile", action="store_true", help="print where the time of (a) goes")
    parser.add_argument("--files", type=int, default=10_000, help="cases of (c)")
    parser.add_argument("--verdicts", type=int, default=2_000, help="verdicts of (d), each way")
    parser.add_argument("--ways", default="idle,busy", help="of (d): idle, busy, crowd, stalls, split, path")
    parser.add_argument("--short", type=float, default=4.0, help="(d): leave out what waits longer, in seconds")
    parser.add_argument("--first-segment", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--concurrent", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.concurrent:
        cost.concurrent(options.concurrent)
        return
    if options.first_segment:
        first_segment()
        return
    print(f"Python {sys.version.split()[0]}, {os.uname().release}, {os.cpu_count()} processors\n")
    for part in options.parts or PARTS:
        PARTS[part](options)


if __name__ == "__main__":
    main()

"""The same handshake and close as a packetdrill script, where `packetdrill` is on the PATH: one by one, side by side.

Each script has a network namespace of its own, as packetdrill's users run them side by side; ours share one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.cases.loader import load_file
from conformance.cases.model import Variation
from conformance.catalogue import load as load_catalogue
from conformance.engine.clock import RealClock
from conformance.engine.result import Verdict
from conformance.engine.run import run_variation
from conformance.engine.scheduler import Engine
from conformance.targets.netns import OwnKernel

SCRIPTS = 40
OURS = 1000
BESIDE = 16
"""Scripts of packetdrill at once."""
CASE = """title: Handshake and close
requirements: [{known}]
vary:
  size: [{sizes}]              # only so that there are enough of it
start: ESTABLISHED
steps:
  - send: FIN,ACK
  - expect: ACK
  - call: close()
  - expect: FIN,ACK
  - send: ACK
"""
SCRIPT = """0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535 <mss 1460>
+0 > S. 0:0(0) ack 1 <mss 1460>
+0 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
+0 < F. 1:1(0) ack 1 win 65535
+0 > . 1:1(0) ack 2
+0 close(4) = 0
+0 > F. 1:1(0) ack 2
+0 < . 2:2(0) ack 2 win 65535
"""


def beside_packetdrill(tell: Callable[..., None]) -> None:
    """Seconds of one such script and of one such case, and their ratio, serial and parallel."""
    binary = shutil.which("packetdrill")
    if binary is None:
        tell("(i) beside packetdrill", "not here", "put a packetdrill binary on the PATH")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = _cases(folder)
        serial, parallel = _serial(cases), _parallel(cases)
        script = folder / "handshake-and-close.pkt"
        script.write_text(SCRIPT)
        command = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net", binary, script]
        one, many = _scripts(command, 1), _scripts(command, BESIDE)
    tell(
        "(i) handshake and close, one by one", f"{serial * 1e3:.2f} ms", f"{one / serial:.0f} times packetdrill's speed"
    )
    tell(
        "    side by side", f"{parallel * 1e3:.2f} ms", f"{many / parallel:.0f} times, {BESIDE} of its scripts at once"
    )


def _cases(folder: Path) -> list[Variation]:
    known = next(requirement.id for requirement in load_catalogue())
    sizes = ", ".join(str(size) for size in range(OURS // 2))
    path = folder / "close.yaml"
    path.write_text(CASE.format(known=known, sizes=sizes))
    return list(load_file(path, folder, frozenset([known])).variations)


def _serial(cases: list[Variation]) -> float:
    async def run() -> list[float]:
        catalogue, clock, times = load_catalogue(), RealClock(), []
        with OwnKernel.start() as target:
            target.wire.watch()
            for case in cases[:200]:
                begin = time.perf_counter()
                result = await run_variation(case, target, clock, catalogue, check_oracle=False)
                times.append(time.perf_counter() - begin)
                _passed(result.verdict, result.reason)
            target.wire.unwatch()
        return times

    return statistics.median(asyncio.run(run()))


def _parallel(cases: list[Variation]) -> float:
    engine = Engine(lambda settings: OwnKernel.start(), load_catalogue(), check_oracle=False)
    engine.start()
    begin = time.perf_counter()
    results = [future.result() for future in engine.submit(cases).values()]
    took = time.perf_counter() - begin
    engine.stop()
    for result in results:
        _passed(result.verdict, result.reason)
    return took / len(results)


def _passed(verdict: Verdict, reason: str) -> None:
    if verdict is not Verdict.PASS:
        sys.exit(f"{verdict} {reason}: these figures would mean nothing")


def _scripts(command: list[str | Path], at_once: int) -> float:
    def one(_: int) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"packetdrill says: {done.stderr.strip()[-300:]}: these figures would mean nothing")

    begin = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(SCRIPTS)))
    return (time.perf_counter() - begin) / SCRIPTS

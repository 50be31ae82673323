"""`conformance doctor`: can this machine and this target give verdicts at all? One line for each thing that matters."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.common import NOT_RUN, asked_for, fail, say, targeting
from conformance.cli.verbs import trials
from conformance.targets.asked import Asked

if TYPE_CHECKING:
    from conformance.engine.scheduler import Engine, Opener
    from conformance.targets.base import Target

_RESETS = """
title: Nobody but the tester answers in the tester's name
requirements: [RFC9293-3.5-FIG6-3WHS]
start: LISTEN
steps:
  - send: SYN seq=irs
  - expect: SYN,ACK ack=irs+1
  - wait: 200ms
  - send: ACK
  - call: accept()
  - state: ESTABLISHED
"""
_SERVICE = """
title: A service answers, nobody resets its connection, and its state is told from replies
requirements: [RFC9293-3.5-FIG6-3WHS]
start: SYN-RECEIVED
steps:
  - wait: 200ms
  - state: SYN-RECEIVED
"""
_ECHO = """
title: A connection carries data both ways, and its end is seen
requirements: [RFC9293-3.5-FIG6-3WHS]
start: ESTABLISHED
steps:
  - deliver: tcp conformance
  - call: send("tcp conformance")
  - expect: ACK "tcp conformance"
    acked: true
  - send: FIN,ACK
  - expect: ACK
  - call: recv(1)
    returns: eof
"""
_STATE = """
title: The state of a connection is told from replies
requirements: [RFC9293-3.5-FIG6-3WHS]
start: CLOSE-WAIT
steps:
  - state: CLOSE-WAIT
"""
_CASES = (
    (
        "RST leaks",
        _RESETS,
        "none: a half-open connection lives",
        "is there a host, or this machine's own kernel, that owns the tester's addresses and resets its connections?",
        True,
    ),
    (
        "positive control",
        _ECHO,
        "handshake, data each way, end of file",
        "the tester and the target do not work together: nothing else can be believed",
        True,
    ),
    (
        "states",
        _STATE,
        "told from replies",
        "the stack answers as in no state of RFC 9293: cases that name states will fail",
        False,
    ),
)
"""Name, case, what is good about it, what to do else, and whether nothing can be believed then."""
_WITHOUT_AGENT = (("positive control", _SERVICE, "a service answers, and its state is told", _CASES[0][3], True),)
_RESOLUTION = 1e-6
_STEP = 0.005
"""Seconds by which the clock of the day may leave the steady one while we look."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was found: `remedy` is empty when all is well. What is not `grave` leaves verdicts their worth."""

    what: str
    found: str
    remedy: str = ""
    grave: bool = True

    def __str__(self) -> str:
        mark = ("bad" if self.grave else "odd") if self.remedy else "ok "
        return f"{mark}  {self.what:<17} {self.found}" + (f": {self.remedy}" if self.remedy else "")


@click.command()
@targeting
def doctor(**asked: Any) -> None:
    """Check the path to the target, the clock, and that the tester itself works.

    Exits with 3 when something is bad.
    """
    examine(asked_for(asked))


def examine(asked: Asked) -> None:
    """All checks of a target, a line for each; exits with 3 when something is bad."""
    from conformance.targets.base import TargetError
    from conformance.targets.opening import opener

    checks: list[Check] = []

    def tell(check: Check) -> None:
        checks.append(check)
        say(str(check))

    began = time.time_ns(), time.monotonic_ns()
    try:
        opened = opener(asked)({})
    except TargetError as error:
        tell(Check("target", str(error), "nothing can be run"))
        sys.exit(NOT_RUN)
    try:
        for look in (_target, _path, _offloads, _barrier):
            for check in look(opened):
                tell(check)
    finally:
        opened.close()
    for check in (*_controls(opener(asked)), *_clock(*began)):
        tell(check)
    if any(check.remedy and check.grave for check in checks):
        fail("verdicts can't be trusted until what is bad is mended", NOT_RUN)


def _target(target: Target) -> Iterator[Check]:
    said = target.describe()
    yield Check("target", f"{target.name}, {said.get('kernel', 'kernel not known')}")
    if "user_namespace" in said:
        kind = "inside a user namespace" if said["user_namespace"] else "as root"
        yield Check("namespace", f"a private network namespace, {kind}")
    able = target.capabilities
    yield Check("agent", f"calls: {', '.join(sorted(able.verbs)) or 'none'}")
    yield Check("options", ", ".join(sorted(able.options)) or "none")
    yield Check("settings", ", ".join(f"{name} {value}" for name, value in sorted(able.settings.items())) or "none")
    yield Check("oracle", _oracle(target) if target.oracle is not None else "none: states rest on replies alone")


def _oracle(target: Target) -> str:
    return "inet_diag" if target.oracle is not None and target.oracle.trusted else "the stack's own word"


def _path(target: Target) -> Iterator[Check]:
    measured = target.calibration
    versions = ", ".join(f"IPv{version}" for version in sorted(target.capabilities.ip))
    times = f"replies in {measured.reply_median * 1e6:.0f} us, 99 % within {measured.reply_p99 * 1e6:.0f} us"
    lost = target.wire.counters().get("dropped", 0)
    remedy = "the machine is too busy, or the path is lossy" if lost else ""
    yield Check("path", f"{versions}, {times}, {lost} frames lost", remedy)
    if measured.reply_p99 > 0.05:
        yield Check("latency", "more than 50 ms", "run it when the machine is less busy")


def _offloads(target: Target) -> Iterator[Check]:
    said = target.describe().get("offloads")
    if isinstance(said, dict):
        off = {name: set(found) for name, found in said.items()}
        needed = {"tx-checksum", "tso", "gso"}
        on = sorted(f"{what} on {name}" for name, found in off.items() for what in needed - found)
        yield Check("offloads", "off" if not on else ", ".join(on), "" if not on else "switch them off with ethtool -K")


def _barrier(target: Target) -> Iterator[Check]:
    measured = target.calibration
    found = f"width {measured.barrier_width}, {measured.trials} trials"
    if measured.barrier_sound:
        yield Check("barrier", f"sound, {found}: silence is proven")
    else:
        yield Check("barrier", f"not sound, {found}: silence is waited for, which takes longer")


def _controls(open_target: Opener) -> Iterator[Check]:
    """Cases that any stack passes, run by the engine as all others are: when they fail, the target is not to blame."""
    from conformance.cases.loader import load_text
    from conformance.catalogue import load
    from conformance.engine.result import Verdict
    from conformance.engine.scheduler import Engine

    engine = Engine(open_target, load(), deadline=30.0)
    engine.start()
    try:
        assert engine.target is not None
        for what, text, good, remedy, grave in _WITHOUT_AGENT if engine.target.capabilities.services else _CASES:
            case = load_text(text, f"doctor/{what}.yaml", f"doctor/{what.replace(' ', '-')}")
            results = [future.result() for future in engine.submit(case.variations).values()]
            bad = [result for result in results if result.verdict not in (Verdict.PASS, Verdict.UNSUPPORTED)]
            lacking = [result for result in results if result.verdict is Verdict.UNSUPPORTED]
            if len(lacking) == len(results):
                bad = lacking
            took = max(result.duration for result in results) * 1e3
            if not bad:
                yield Check(what, f"{good} ({', '.join(_version(result.id) for result in results)}, {took:.0f} ms)")
            for result in bad:
                yield Check(what, f"{_version(result.id)}: {result.verdict}: {result.reason}", remedy, grave)
        if not engine.target.capabilities.services:
            yield _verbs(engine)
    finally:
        engine.stop()


def _verbs(engine: Engine) -> Check:
    """Every verb that the agent declares, tried."""
    from conformance.cases.loader import load_text
    from conformance.engine.result import Verdict

    assert engine.target is not None
    wrong: list[str] = []
    tried = trials(engine.target.capabilities.verbs)
    for verb, text in tried.items():
        case = load_text(text, f"doctor/{verb}.yaml", f"doctor/{verb}")
        results = [future.result() for future in engine.submit(case.variations).values()]
        bad = [result for result in results if result.verdict not in (Verdict.PASS, Verdict.UNSUPPORTED)]
        wrong += [f"{verb} ({_version(result.id)}): {result.reason}" for result in bad]
    remedy = "an agent declares what works; cases that use these say nothing of the stack" if wrong else ""
    return Check("verbs", "; ".join(wrong) or f"do what they say: {', '.join(tried)}", remedy)


def _version(id_: str) -> str:
    return "IPv6" if "ip=v6" in id_ else "IPv4"


def _clock(day: int, steady: int) -> Iterator[Check]:
    resolution = time.clock_getres(time.CLOCK_REALTIME)
    coarse = "" if resolution <= _RESOLUTION else "use a clock source of a finer resolution (tsc, hpet)"
    yield Check("clock resolution", f"{resolution * 1e9:.0f} ns", coarse)
    stepped = abs((time.time_ns() - day) - (time.monotonic_ns() - steady)) / 1e9
    jumped = "something sets the clock; stop it while cases run" if stepped > _STEP else ""
    yield Check("clock steps", f"{stepped * 1e3:.3f} ms while we looked", jumped)

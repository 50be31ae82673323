"""Runs one variation: every step in order, then the verdict with its reason (cases/README.md, Verdicts)."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from weakref import WeakKeyDictionary

from conformance.cases.model import AnyOf, Call, Deliver, Repeat, ResultOf, StateIs, Step, Variation
from conformance.catalogue import Catalogue, Level
from conformance.engine.acting import begin
from conformance.engine.clock import Clock
from conformance.engine.context import MOST_SEEN, Run
from conformance.engine.ending import Inconclusive, StepFailed, Stopped, Unsupported
from conformance.engine.parting import address_texts
from conformance.engine.result import Finding, Result, Verdict
from conformance.engine.scope import HarnessError
from conformance.targets.base import AdapterError, StackDied, Target
from conformance.wire.base import Wire

_DROPPED: WeakKeyDictionary[Wire, int] = WeakKeyDictionary()
"""Frames lost by each wire when last asked: a loss counts against every case that ran since then."""
UNFINISHED = (
    "the target's frames come without checksums, as on a virtual link: "
    "on the host, ethtool -K DEVICE tx off tso off gso off"
)


def unmet_need(variation: Variation, target: Target) -> str | None:
    """Why this target can't run the variation, or None."""
    needs, able = variation.case.needs, target.capabilities
    if variation.version not in able.ip:
        return f"the target has no IPv{variation.version}"
    missing = needs.agent - able.verbs
    if missing:
        return f"the target's agent lacks {', '.join(sorted(missing))}"
    if needs.link not in able.links:
        return f"the path is not {needs.link}"
    missing = needs.options - able.options
    if missing:
        return f"the target does not offer {', '.join(sorted(missing))}"
    if needs.services:
        return f"the target runs no {', '.join(sorted(needs.services))} service that the tester knows of"
    if needs.half_open == "kept" and not able.half_open_kept:
        return "the target's listener keeps nothing of a SYN (SYN cookies)"
    for name, value in needs.settings.items():
        if able.settings.get(name) != value:
            return f"the target's {name} is {able.settings.get(name, 'not known')}, not {value}"
    return None


def _steps(variation: Variation, target: Target) -> tuple[tuple[Step, ...], int, str | None]:
    """All steps, how many are the preamble's, and the service that it uses on a target without an agent.

    Raises Unsupported: without an agent nothing is sent in a case whose calls nobody can make.
    """
    able = target.capabilities
    if not able.services:
        return *variation.build(), None
    try:
        steps, lead, service = variation.build.by_service(able.services)
    except LookupError as error:
        raise Unsupported(str(error)) from None
    for step in _all(steps):
        if isinstance(step, Call | ResultOf | Deliver):
            raise Unsupported(f"there is no agent: nobody makes the call of '{step.text}'")
    return steps, lead, service


def _all(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps, and those inside them."""
    for step in steps:
        yield step
        if isinstance(step, AnyOf):
            for _, branch in step.branches:
                yield from _all(branch)
        elif isinstance(step, Repeat):
            yield from _all(step.body(1))


def level_of(requirements: tuple[str, ...], catalogue: Catalogue) -> Verdict:
    """What breaking these requirements comes to: FAIL, DEVIATION, or PASS where all of them are MAY."""
    worst = Verdict.PASS
    for name in requirements:
        level = catalogue.get(name).level
        if level in (Level.SHOULD, Level.SHOULD_NOT):
            worst = Verdict.DEVIATION
        elif level is not Level.MAY:
            return Verdict.FAIL
    return worst


async def run_variation(
    variation: Variation,
    target: Target,
    clock: Clock,
    catalogue: Catalogue,
    *,
    check_oracle: bool = True,
    deadline: float | None = None,
    observer: Callable[[Step], None] | None = None,
) -> Result:
    """Run one variation against a target, within `deadline` seconds. Whatever goes wrong is a verdict."""
    case = variation.case
    result = Result(
        variation.id, case.file, case.title, case.requirements, Verdict.PASS, "every step held", start=str(case.start)
    )
    result.settings = dict(case.needs.settings)
    result.started = clock.now()
    lacking = unmet_need(variation, target)
    if lacking is not None:
        result.verdict, result.reason = Verdict.UNSUPPORTED, lacking
        return result
    try:
        steps, lead, service = _steps(variation, target)
        run = Run(variation, target, clock, service)
        life = target.life
    except Unsupported as error:
        result.verdict, result.reason = Verdict.UNSUPPORTED, str(error)
        return result
    except Exception as error:
        result.verdict, result.reason = Verdict.ERROR, _fault(error)
        return result
    run.check_oracle, run.observer = check_oracle, observer
    dropped = _DROPPED.get(target.wire, 0)
    received = target.wire.received
    index = 0
    try:
        async with asyncio.timeout(deadline) if deadline is not None else nullcontext():
            for index, step in enumerate(steps):  # noqa: B007 - the index says afterwards how far it came
                rest = begin(run, step)
                if rest is not None:
                    await rest
            await _finish(run)
    except Stopped:
        result.reason = "every step up to 'stop' held"
    except StepFailed as failure:
        died = None if life is None else life.died
        result.died = died is not None
        why = failure if died is None else run.fail(run.steps[-1], str(died))
        _judge(result, why.finding, catalogue, preamble=index < lead and not failure.breach)
        run.lateness.step(run.waited)
        flood = target.wire.received - received
        if flood > MOST_SEEN and not target.clean_path:
            result.verdict, result.late = Verdict.INCONCLUSIVE, True
            result.reason = f"the target floods: {flood} frames came during this case: {result.reason}"
        elif died is None and run.timers_ran and not failure.breach and result.verdict is not Verdict.INCONCLUSIVE:
            result.verdict = Verdict.INCONCLUSIVE
            result.reason = f"the target's timers may have run while silence was waited for: {result.reason}"
        elif died is None and run.lateness.too_much(timed=failure.timed):
            result.late = True
            if result.verdict is not Verdict.INCONCLUSIVE:
                result.verdict = Verdict.INCONCLUSIVE
                result.reason = f"our own process was {run.lateness.seconds:.2f} s late: {result.reason}"
    except StackDied as death:
        result.died = True
        step = run.steps[-1] if run.steps else steps[0]
        _judge(result, run.fail(step, str(death)).finding, catalogue, preamble=index < lead)
    except TimeoutError:
        result.verdict, result.reason = Verdict.INCONCLUSIVE, f"not done within its deadline of {deadline:g} s"
    except Inconclusive as error:
        result.verdict, result.reason = Verdict.INCONCLUSIVE, str(error)
        result.late = run.lateness.too_much(timed=True)
    except Unsupported as error:
        result.verdict, result.reason = Verdict.UNSUPPORTED, str(error)
    except Exception as error:
        result.verdict, result.reason = Verdict.ERROR, _fault(error)
    finally:
        if run.breach is not None and result.verdict is Verdict.PASS:
            _judge(result, run.breach, catalogue, preamble=False)
        if run.lateness.repeated and result.verdict is Verdict.PASS:
            result.verdict, result.late = Verdict.INCONCLUSIVE, True
            result.reason = f"our own process lost {run.lateness.repeated:.2f} s, and so a repeat came: {result.reason}"
        counters = target.wire.counters()
        _DROPPED[target.wire] = counters.get("dropped", 0)
        lost = _DROPPED[target.wire] - dropped
        if lost and not result.died and result.verdict is not Verdict.ERROR:
            result.verdict, result.reason = Verdict.INCONCLUSIVE, f"{lost} frames were lost on our side of the wire"
        if counters.get("unfinished"):
            result.verdict, result.reason = Verdict.INCONCLUSIVE, UNFINISHED
        _record(result, run)
        try:
            run.close()
        except Exception as error:
            result.verdict, result.reason = Verdict.ERROR, f"cleaning up: {_fault(error)}"
    return result


async def _finish(run: Run) -> None:
    """After the last step nothing may be left over, and nothing may still be on its way."""
    last = run.steps[-1] if run.steps else None
    if last is None:
        return
    if run.acted and not isinstance(last, StateIs):
        await run.prove()
    else:
        run.pump()
    run.admit_leftovers(last)


def _judge(result: Result, finding: Finding, catalogue: Catalogue, *, preamble: bool) -> None:
    result.finding = finding
    if preamble:
        result.verdict = Verdict.INCONCLUSIVE
        result.reason = f"the preamble was not completed: {finding.yaml}: {finding.message}"
        return
    result.verdict = level_of(finding.requirements, catalogue)
    result.reason = f"{finding.yaml}: {finding.message}"
    if result.verdict is Verdict.PASS:
        for name in finding.requirements:
            result.observations[name] = "not done"
        result.reason = f"a MAY was not taken: {result.reason}"


def _fault(error: Exception) -> str:
    if isinstance(error, HarnessError | AdapterError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def _record(result: Result, run: Run) -> None:
    result.trace = run.trace
    result.states = run.states
    result.observations = run.observations | result.observations
    result.steps = tuple([step.text for step in run.steps])
    result.places = tuple([step.place for step in run.steps])
    result.duration = (run.clock.now() - result.started) / 1e9
    result.waited = run.waited / 1e9
    result.unproven = run.unproven
    result.pairs = address_texts(run.scope)
    result.isns = {name: (conn.tcb.iss, conn.tcb.irs) for name, conn in run.scope.conns.items()}

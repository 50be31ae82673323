"""Many variations: attempts, targets with other settings, ends of runs."""

from __future__ import annotations

import asyncio
import time

import pytest
from engine.fakes import FakeTarget, VirtualClock, variation
from engine.playing import FAIL, INCONCLUSIVE, PASS, UNSUPPORTED

from conformance.cases.loader import load_text
from conformance.catalogue import load as load_catalogue
from conformance.engine.scheduler import Engine
from conformance.engine.tally import ATTEMPTS, IN_A_CROWD
from conformance.targets.base import TargetError


def engine(*targets: FakeTarget, clock: VirtualClock, **more) -> Engine:
    left = list(targets)
    return Engine(lambda settings: left.pop(0), load_catalogue(), clock=clock, check_oracle=False, **more)


def run_all(running: Engine, chosen) -> None:
    running.start()
    try:
        for future in running.submit(chosen).values():
            future.result(10)
    finally:
        running.stop()


def test_what_is_inconclusive_is_run_again_and_what_is_not_is_not():
    clock = VirtualClock()
    running = engine(FakeTarget(clock, {}), clock=clock)
    running.start()
    try:
        futures = running.submit([variation("- send: RST\n", "start: SYN-RECEIVED\n")])
        result = next(iter(futures.values())).result(10)
        assert (result.verdict, result.attempts) == (INCONCLUSIVE, ATTEMPTS)
        result = next(iter(running.submit([variation("- send: SYN\n- expect: RST\n")]).values())).result(10)
        assert (result.verdict, result.attempts) == (FAIL, 1)
    finally:
        running.stop()


def test_what_our_lateness_left_undecided_is_run_again_when_the_others_are_done():
    clock = VirtualClock()
    clock.late = 0.3
    text = "title: T\nrequirements: [RFC9293-MUST-12]\nneeds: {ip: v4}\nvary: {span: [1s, 2s]}\n"
    chosen = load_text(text + "steps:\n- send: SYN\n- expect: SYN,ACK\n  within: $span\n", "t.yaml", "t").variations
    started, done = [], []

    def start(variation):
        started.append(variation.id)
        if len(started) == len(chosen):  # from now on less is to be done
            clock.late = 0.0

    running = engine(FakeTarget(clock, {}), clock=clock, on_start=start, on_result=done.append)
    run_all(running, chosen)
    assert [(result.id, result.verdict, result.attempts) for result in done] == [
        (started[1], FAIL, 1),
        (started[0], FAIL, IN_A_CROWD + 1),
    ]


@pytest.mark.parametrize("calm_is_enough", [True, False])
def test_what_our_lateness_left_undecided_is_run_again_beside_few_others_and_alone_only_if_that_is_not_enough(
    calm_is_enough,
):
    clock = VirtualClock()
    clock.late = 0.3
    usual = clock.until
    over: asyncio.Event

    async def until(moment, wake):
        if moment - clock.now() > 50e9:
            await over.wait()
        await usual(moment, wake)

    clock.until = until
    text = "title: T\nrequirements: [RFC9293-MUST-12]\nneeds: {ip: v4}\n"
    late = load_text(
        text + "vary: {span: [1s, 2s]}\nsteps:\n- send: SYN\n- expect: SYN,ACK\n  within: $span\n", "t.yaml", "t"
    )
    (long,) = load_text(text + "steps:\n- wait: 60s\n- check: 1 == 1\n", "long.yaml", "long").variations
    chosen = [long, *late.variations]
    started, done = [], []

    def start(variation):
        nonlocal over
        if not started:
            over = asyncio.Event()
        started.append(variation.id)
        if calm_is_enough and len(started) == len(chosen):
            clock.late = 0.0

    def result(result):
        done.append(result)
        if result.id == long.id:
            clock.late = 0.0
        elif calm_is_enough and len(done) == 2:
            over.set()

    class Counting(Engine):
        begun = 0

        async def _run(self, variation, target):
            self.begun += 1
            if self.begun == len([long]) + 2 * IN_A_CROWD * len(late.variations):
                asyncio.get_running_loop().call_soon(over.set)  # the last attempt that is made beside the long one
            return await super()._run(variation, target)

    target = FakeTarget(clock, {})
    running = Counting(
        lambda settings: target,
        load_catalogue(),
        clock=clock,
        on_start=start,
        on_result=result,
        check_oracle=False,
    )
    run_all(running, chosen)
    verdicts = [(result.id == long.id, result.verdict) for result in done]
    if calm_is_enough:
        assert verdicts == [(False, FAIL), (False, FAIL), (True, PASS)]
    else:
        assert verdicts == [(True, PASS), (False, FAIL), (False, FAIL)]
        assert {result.attempts for result in done[1:]} == {2 * IN_A_CROWD + 1}


def test_a_variation_that_needs_other_settings_gets_another_target_or_is_unsupported():
    clock = VirtualClock()
    asked: list[dict[str, str]] = []

    def open_target(settings):
        asked.append(dict(settings))
        if "ecn" in settings:
            raise TargetError("no such setting here")
        return FakeTarget(clock, {}, settings={"syncookies": settings.get("syncookies", "never")})

    running = Engine(open_target, load_catalogue(), clock=clock, check_oracle=False)
    running.start()
    try:
        heads = [
            "",
            "needs: {ip: v4, settings: {syncookies: never}}\n",
            "needs: {ip: v4, settings: {syncookies: always}}\n",
        ]
        heads += ["needs: {ip: v4, settings: {ecn: on}}\n"]
        results = [
            next(iter(running.submit([variation("- check: 1 == 1\n", head)]).values())).result(10) for head in heads
        ]
    finally:
        running.stop()
    assert [result.verdict for result in results] == [PASS, PASS, PASS, UNSUPPORTED]
    assert results[-1].reason == "no such setting here"
    assert asked == [{}, {"syncookies": "always"}, {"ecn": "on"}]


def test_a_target_that_cannot_be_had_is_told_before_any_case():
    def refuse(settings):
        raise TargetError("no namespaces here")

    with pytest.raises(TargetError, match="no namespaces here"):
        Engine(refuse, load_catalogue()).start()


def test_what_is_not_done_when_the_run_ends_is_not_run():
    clock = VirtualClock()

    async def until(moment, wake):
        await asyncio.sleep(60)

    clock.until = until
    running = engine(FakeTarget(clock, {}), clock=clock)
    running.start()
    (future,) = running.submit([variation("- wait: 1s\n")]).values()
    while not future.running():
        time.sleep(0.001)
    running.stop()
    with pytest.raises(InterruptedError):
        future.result(1)


def test_what_never_began_when_the_run_ends_is_told_too():
    clock = VirtualClock()
    running = engine(FakeTarget(clock, {}), clock=clock)
    running.start()
    futures = running.submit([variation("- wait: 1s\n")])
    running.stop()
    for future in futures.values():
        assert future.cancelled() or future.result(1) or future.exception(1)

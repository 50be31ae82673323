"""How late our own process was, and how much of that may still be the reason for what is seen."""

from __future__ import annotations

from conformance.cases.model import Expect, Step
from conformance.engine.clock import Clock
from conformance.tcp.recognise import DUE, PROBE_DUE, is_keep_alive, is_window_probe
from conformance.tcp.segment import Segment
from conformance.tcp.tcb import TCB

SHARE = 0.02
"""How late, as a share of a wait, a timer may fire without harm: a hundredth of a second matters after a tenth of one,
not after a minute."""
FADES = 200
"""Seconds after which a second of lateness does no more harm, a tenth of them for a tenth of it: by then the target's
timers, which may have taken it for a round trip, have seen others."""

LATE = 0.03
"""Seconds of lateness of our own process from which on a failed step that may have to do with time says nothing about
the target."""
TIMER = DUE / 1e9
"""The same for any other: from then on a timer of the target may have run out that otherwise would not have."""
SPOILS = 10_000_000
"""ns lost between two copies from which on a second that no step takes says nothing about the target: the shortest of
its timers (a quarter of a round trip that a case has made long, RFC 8985 section 6.2) may have run out meanwhile."""
ORDINARY = 1_000_000
"""ns between two steps that are no lateness: what a step costs."""


class Lateness:
    """Of one case. Moments are ns of `clock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._most, self._at = 0.0, clock.now()
        self._marked, self._marked_waited = self._at, 0
        self._lost: list[tuple[int, int]] = []
        """From when until when our process was kept from running, or a call from returning."""
        self.repeated = 0.0
        """The most seconds so lost before a repeat that came of the stack's own accord, and only for that."""

    @property
    def seconds(self) -> float:
        """The most that a timer of ours fired late, or that our process was kept from running, less what has faded."""
        return max(0.0, self._most - (self._clock.now() - self._at) / (FADES * 1e9))

    def add(self, seconds: float) -> None:
        """Our process was so late."""
        if seconds > 0 and seconds > self.seconds:
            self._most, self._at = seconds, self._clock.now()

    def timer(self, begin: int, deadline: int, fired: int) -> None:
        """A wait that began at `begin` should have ended at `deadline`, and did at `fired`."""
        self.add((fired - deadline) / 1e9 - SHARE * (deadline - begin) / 1e9)
        self._lose(deadline, fired)

    def woken(self, at: int) -> None:
        """What was waited for came at `at`, and only now has the loop come round to us."""
        now = self._clock.now()
        self.add((now - at) / 1e9)
        self._lose(at, now)

    def step(self, waited: int) -> None:
        """A step begins, or is judged: time since the one before that was not `waited` for (ns in all) was lost."""
        now = self._clock.now()
        held = now - self._marked - waited + self._marked_waited
        self._marked, self._marked_waited = now, waited
        if held > ORDINARY:
            self.add(held / 1e9)
            self._lose(now - held, now)

    def call(self, begin: int, end: int) -> None:
        """An agent's answer was waited for. That is no lateness short of a timer's length, after which a stack that was
        idle may begin anew; but a timer of the target may have run meanwhile."""
        if end - begin >= DUE:
            self.add((end - begin) / 1e9)
        self._lose(begin, end)

    def _lose(self, begin: int, end: int) -> None:
        if end - begin > ORDINARY:
            self._lost.append((begin, end))

    def repeat(self, at: int, gap: float, *, fails: bool = False) -> None:
        """A repeat that no step expected came at `at`, `gap` seconds after the copy before; `fails`: a step for it."""
        begin = at - round(gap * 1e9)
        lost = sum(max(0, min(end, at) - max(start, begin)) for start, end in self._lost)
        if at - begin >= DUE > at - begin - lost or (fails and lost >= SPOILS):
            self.repeated = max(self.repeated, lost / 1e9)

    def too_much(self, *, timed: bool) -> bool:
        """Whether a step that failed now says nothing about the target; `timed` as of StepFailed."""
        return bool(self.repeated) or self.seconds > (LATE if timed else TIMER)


def timeless(step: Step) -> bool:
    """An expectation that says nothing of time."""
    return isinstance(step, Expect) and step.within is None and step.gap is None and step.since is None


def by_timer(segment: Segment, tcb: TCB) -> bool:
    """A timer of the target may have sent it: nothing was acknowledged, or sent for the first time, just before."""
    if is_window_probe(segment, tcb) or is_keep_alive(segment, tcb):
        return True
    first = tcb.copies.get(tcb.snd_una)
    due = PROBE_DUE if tcb.sack_on else DUE
    return bool(segment.length) and segment.time - max(tcb.una_time, first.time if first else 0) >= due

"""About how long a variation will wait: for the order of starting, the progress display, and the `timers` mark."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.cases import model as m
from conformance.tcp.expression import Range, Ratio, Seconds
from conformance.tcp.inference import LISTEN_LEAST
from conformance.tcp.states import State

_LISTENED_TO = frozenset({State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT})


def _upper(span: m.Span | None, gap: float) -> float:
    if span is None:
        return 0.0
    if isinstance(span, Range):
        end = span.high if span.high is not None else span.low
        return _upper(end, gap) if isinstance(end, Seconds | Ratio) else 0.0
    return span.value if isinstance(span, Seconds) else span.value * gap


def waits(steps: Sequence[m.Step]) -> float:
    """Seconds that the steps will spend waiting, roughly; 0 when nothing in them waits."""
    total, gap = 0.0, 1.0
    for step in steps:
        if isinstance(step, m.Expect):
            if step.gap is not None:
                gap = max(_upper(step.gap, gap) * 0.8, 0.2)
                total += gap
            total += _upper(step.lasting, gap) + (_upper(step.within, gap) if isinstance(step.within, Range) else 0.0)
        elif isinstance(step, m.Wait):
            total += _upper(step.span, gap)
        elif isinstance(step, m.StateIs) and step.state in _LISTENED_TO:
            total += LISTEN_LEAST
        elif isinstance(step, m.AnyOf):
            total += max((waits(branch) for _, branch in step.branches), default=0.0)
        elif isinstance(step, m.Repeat):
            total += waits(step.body(1)) * min(step.count, 100)
        elif isinstance(step, m.ResultOf | m.Call) and step.within is not None:
            total += _upper(step.within, gap) * 0.5
    return total


def expected_wait(variation: m.Variation) -> float:
    """Seconds that it will wait, roughly."""
    return variation.wait if variation.wait is not None else waits(variation.build()[0])


def rank(variation: m.Variation) -> tuple[bool, float]:
    """The longest first; floods last, for a stack that all share may be deaf for a while after one."""
    flood = any(declared.unwatched for declared in variation.case.connections.values())
    return flood, -expected_wait(variation)

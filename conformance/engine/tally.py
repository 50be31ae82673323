"""What the attempts at one variation came to, and when that is its verdict.

On a clean path the first attempt that decides something does. Where frames may be lost, doubled or reordered the same
must come of several, and what decided nothing is tried again.
"""

from __future__ import annotations

import re
from collections import Counter

from conformance.engine.result import Result, Verdict
from conformance.targets.base import Target

RETRY_AFTER = 0.5
"""Seconds before the second attempt; each later one of those that decided nothing waits three times as long, at most
`LONGER` times."""
LONGER = 3
ATTEMPTS = 5
"""How often a variation is run before INCONCLUSIVE is its verdict."""
IN_A_CROWD = 2
"""How often it is run beside others where what decided nothing was our own lateness: more of the same is no help, and
it will be run alone, but for a bad path."""
CONFIRMATIONS, ON_A_BAD_PATH, PASSES = 3, 8, 2
"""How often the same must be found on a path that may lose, double or reorder frames before it counts; on one that
was seen to do so; and how often a variation must pass there, for what did not come may have been lost."""

_NUMBER = re.compile(r"\d+(\.\d+)?")
_FOUND = (Verdict.FAIL, Verdict.DEVIATION)


class Tally:
    """The attempts at one variation; `alone` when nothing runs beside them."""

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone
        self._found: Counter[tuple[object, ...]] = Counter()
        self._attempts = self._undecided = 0
        self.missing = 0
        """How many more like the latest would decide; 0 where it decided nothing."""
        self.pause = RETRY_AFTER
        """Seconds to let pass before the next attempt."""

    def again(self) -> None:
        """One attempt was made that does not count."""
        self._attempts += 1

    def decides(self, result: Result, target: Target) -> bool:
        """Whether `result` is the verdict. It is told of the attempts, and that they differ where too many did."""
        self._attempts += 1
        result.attempts = self._attempts
        if result.verdict is Verdict.INCONCLUSIVE:
            self._undecided += 1
            self.missing = 0
            # What was in our way may be gone by then.
            self.pause = RETRY_AFTER * 3 ** (0 if self._alone else min(self._undecided - 1, LONGER))
            lossy = target.calibration.lossy
            enough = IN_A_CROWD if result.late and not lossy and not self._alone else ATTEMPTS
            return self._undecided >= enough + self._found.total()
        wanted, outcome = _wanted(result, target), _outcome(result)
        self._found[outcome] += 1
        self.missing, self.pause = wanted - self._found[outcome], 0.0 if self._alone else RETRY_AFTER
        if self.missing > 0 and self._found.total() >= ATTEMPTS + wanted:
            result.verdict = Verdict.INCONCLUSIVE
            result.reason = f"the path disturbs: {self._attempts} attempts found different things: {result.reason}"
            return True
        return self.missing <= 0


def _wanted(result: Result, target: Target) -> int:
    """How often an outcome must be seen before it counts."""
    bad = target.calibration.lossy
    if result.verdict is Verdict.PASS:
        return PASSES if bad and result.unproven else 1
    if target.clean_path or result.finding is None or result.verdict not in _FOUND:
        return 1
    return ON_A_BAD_PATH if bad else CONFIRMATIONS


def _outcome(result: Result) -> tuple[object, ...]:
    """What two attempts have in common that came to the same.

    What was measured differs, and what is said besides: a stack's last words have addresses in them, an invariant is
    broken as the moments fall. So does the step that hears of a stack's death.
    """
    if result.finding is None or result.verdict not in _FOUND:
        return (result.verdict,)
    said = _NUMBER.sub("#", result.finding.message.partition(";")[0])
    return None if result.died else result.finding.step, said

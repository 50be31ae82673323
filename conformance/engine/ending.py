"""The ways a step can end its case."""

from __future__ import annotations

from conformance.engine.result import Finding


class StepFailed(Exception):
    """A step did not hold; whether that is FAIL, DEVIATION or INCONCLUSIVE is decided outside."""

    def __init__(self, finding: Finding, *, breach: bool = False, timed: bool = True) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.breach = breach
        """An invariant was broken: that fails the case even in its preamble."""
        self.timed = timed
        """It may have to do with time: a little lateness of ours may be the reason."""


class Inconclusive(Exception):
    """Nothing can be said: health lost, or the harness was too late."""


class Unsupported(Exception):
    """The target lacks what the case needs."""


class Stopped(Exception):
    """A `stop` step: the case ends well."""

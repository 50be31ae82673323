"""How long to wait on a path, from what was calibrated on it and what the target says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.targets.base import Capabilities
from conformance.wire.base import Calibration

UNPROVEN = 0.2
"""Seconds to wait for silence where the barrier is not sound, at least."""
_ANSWERS = 5
"""How many times longer than nearly all answers take silence must last there."""


@dataclass(slots=True)
class Pace:
    """Times of one target on one path, in seconds."""

    slack: float
    """By which an answer may be late; where nothing is lost it is machines that make it late."""
    silence: float
    """After which silence counts where it can't be proven."""
    challenge_interval: float
    """Between two segments that draw challenge ACKs, where the target limits those; 0: it does not."""
    with_text: bool
    """Text outside the window counts among them."""

    @classmethod
    def of(cls, measured: Calibration, able: Capabilities) -> Pace:
        """The times that follow."""
        wide = 20 * measured.reply_p99
        slack = max(0.005, wide if measured.lossy else min(wide, 0.05 + 2 * measured.reply_p99))
        silence = max(UNPROVEN, _ANSWERS * measured.reply_p99)
        return cls(slack, silence, able.challenge_interval, able.throttles_text)

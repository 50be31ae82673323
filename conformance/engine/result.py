"""What a run of one variation yields: a Verdict with its reason, the finding, and the trace as evidence.

The trace keeps frames as octets and renders nothing: `report` decodes and prints. Everything is append-only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from conformance.cases.model import Place

__all__ = ["Difference", "Event", "Finding", "NamedState", "Place", "Result", "Verdict"]


class Verdict(StrEnum):
    """The six verdicts; see cases/README.md for when each is given."""

    PASS = "PASS"
    DEVIATION = "DEVIATION"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    UNSUPPORTED = "UNSUPPORTED"
    ERROR = "ERROR"


class Event(NamedTuple):
    """One thing seen or done. `time` is ns of CLOCK_REALTIME.

    kind    data
    sent    the frame's octets (from the Ethernet header on)
    seen    the frame's octets
    probe   the frame's octets: sent only to learn the state
    call    str: the application's call, and when it has ended its outcome
    note    str: anything else worth telling (a state named and why, a wait, a barrier lost, a clean-up)
    """

    time: int
    kind: str
    connection: str
    step: int
    """Index of the step in `Variation.steps`, counting preamble steps first; -1 outside any step."""
    data: bytes | str


class Difference(NamedTuple):
    """One field of a segment that is not as expected, both as text in the notation."""

    field: str
    expected: str
    seen: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A step that did not hold."""

    place: Place
    step: int
    message: str
    """What happened, in one sentence."""
    requirements: tuple[str, ...]
    """Ids of the requirements that it breaks."""
    yaml: str = ""
    """The step as it stands in the file, first line."""
    expected: str = ""
    """The expectation with its defaults written out, in the notation."""
    seen: str = ""
    """The segment that came instead, in the notation, or what else came (`nothing`, an errno)."""
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedState:
    """A state that was named from replies."""

    step: int
    connection: str
    state: str
    possible: tuple[str, ...]
    evidence: str
    """Which replies named it, in words."""
    oracle: str | None = None


@dataclass(slots=True)
class Result:
    """The outcome of one variation."""

    id: str
    """Path under cases/ without suffix, with the variation in brackets: `close/crossing-fins[ip=v4]`."""
    file: str
    title: str
    requirements: tuple[str, ...]
    verdict: Verdict
    reason: str
    finding: Finding | None = None
    observations: dict[str, str] = field(default_factory=dict)
    """MAY requirement or any-of place -> which way the stack chose."""
    states: list[NamedState] = field(default_factory=list)
    trace: list[Event] = field(default_factory=list)
    steps: tuple[str, ...] = ()
    """The text of every step, by step index, preamble included."""
    places: tuple[Place, ...] = ()
    """Where each of `steps` stands."""
    started: int = 0
    """ns of CLOCK_REALTIME."""
    duration: float = 0.0
    """Seconds, waiting for other cases not counted."""
    waited: float = 0.0
    """Seconds of it spent waiting for the target or for time to pass."""
    unproven: bool = False
    """Silence was waited for, for want of a proof: an answer may have been lost."""
    attempts: int = 1
    settings: dict[str, str] = field(default_factory=dict)
    """Target settings that this variation asked for."""
    pairs: dict[str, tuple[str, int, str, int]] = field(default_factory=dict)
    """Connection name -> tester address, tester port, target address, target port, as text."""
    isns: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)
    """Connection name -> (iss, irs): the target's and the tester's first number, the base of relative numbers."""
    start: str = ""
    """The state in which the case's own steps begin."""
    died: bool = False
    """The stack died while it ran."""
    late: bool = False
    """Undecided, and our own process was late, or flooded by what another case drew: it may be decided where less runs
    beside it."""

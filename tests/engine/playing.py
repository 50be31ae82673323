"""What the tests of the engine share: a handshake by script, and names of verdicts."""

from __future__ import annotations

import textwrap

from engine.fakes import R, play

from conformance.catalogue import Level
from conformance.catalogue import load as load_catalogue
from conformance.engine.result import Verdict
from conformance.tcp.segment import ACK, SYN

PASS, FAIL, ERROR = Verdict.PASS, Verdict.FAIL, Verdict.ERROR
INCONCLUSIVE, UNSUPPORTED, DEVIATION = Verdict.INCONCLUSIVE, Verdict.UNSUPPORTED, Verdict.DEVIATION

SHAKE = "- send: SYN\n- expect: SYN,ACK\n  as: synack\n- send: ACK\n"
SYNACK = R(SYN | ACK, 0, 1)


def id_of(*levels: Level) -> str:
    return next(r.id for r in load_catalogue() if r.level in levels)


MUST, SHOULD, MAY = id_of(Level.MUST), id_of(Level.SHOULD), id_of(Level.MAY)


def after_handshake(steps: str, script: dict[int, list[R]] | None = None, **more):
    """The script's indices count from the first segment after the handshake."""
    shifted = {0: [SYNACK], **{index + 2: replies for index, replies in (script or {}).items()}}
    return play(SHAKE + textwrap.dedent(steps), shifted, **more)


def fields(result) -> set[str]:
    assert result.finding is not None
    return {difference.field for difference in result.finding.differences}

"""The eleven states, each reached in every way that is to be told from outside: as YAML, run by the engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.cases.loader import load_text
from conformance.cases.model import Variation
from conformance.engine.acting import perform
from conformance.engine.clock import RealClock
from conformance.engine.context import Run
from conformance.targets.base import Target
from conformance.tcp.states import State
from conformance.wire.base import Frame

OPTIONS = {"plain": "<mss 1460>", "rich": "<mss 1460, sackOK, ts, wscale 7>"}
_DATA = """
    - deliver: (100)
    - call: send((200))
    - expect: ACK (200)
      acked: true
    - deliver: (30)"""
_NO_DATA_YET = frozenset({State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED})
_OWN_FIN = frozenset({State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT})
_NO_OPTIONS_YET = frozenset({State.CLOSED, State.LISTEN, State.SYN_SENT})
_GONE = """
  - send: RST
  - expect: nothing"""
_LAST = """
  - send: ACK ack=fin.end
  - expect: nothing"""
_FIN_ACK = """
  - send: FIN,ACK ack=fin.end
  - expect: ACK seq=fin.end"""


@dataclass(frozen=True)
class Scenario:
    """One way to one state: where the preamble leads, and what follows it (`then`)."""

    state: State
    version: int
    options: str
    data: bool
    opened: str
    closed: str
    start: State
    then: str = ""
    way: str = ""

    def __str__(self) -> str:
        data = "data" if self.data else "bare"
        parts = (str(self.state), f"v{self.version}", self.options, data, self.opened, self.closed, self.way)
        return "-".join(part for part in parts if part)

    def variation(self) -> Variation:
        """The case that leads there."""
        before = f"\n  before:{_DATA}" if self.data else ""
        steps = f"steps:{self.then}" if self.then else "steps: []"
        syn = "" if self.start in (State.CLOSED, State.LISTEN) else f'\n  syn: "{OPTIONS[self.options]}"'
        opened = "passive" if self.start is State.CLOSED else self.opened
        text = (
            f"title: {self}\nrequirements: [RFC9293-MUST-12]\nneeds: {{ip: v{self.version}}}\n"
            f"start:\n  state: {self.start}\n  open: {opened}\n  close: {self.closed}{syn}{before}\n{steps}\n"
        )
        return load_text(text, f"{self}.yaml", str(self)).variations[0]

    async def reach(self, target: Target) -> Run:
        """Bring a fresh pair of endpoints there; the run holds its sockets and must be closed."""
        run = Run(self.variation(), target, RealClock())
        try:
            for step in run.variation.build()[0]:
                await perform(run, step)
            await run.prove()
        except BaseException:
            run.close()
            raise
        return run


def frames(run: Run) -> list[Frame]:
    """What a capture of the run holds."""
    return [Frame(event.time, event.data) for event in run.trace if isinstance(event.data, bytes)]


# A state by another way than its preamble's: (state, preamble, steps, ways to open, name).
_OTHER_WAYS = (
    (State.CLOSED, State.ESTABLISHED, _GONE, ("active",), "reset"),
    (State.CLOSED, State.LAST_ACK, _LAST, ("active",), "closed"),
    (State.LISTEN, State.ESTABLISHED, _GONE, ("passive",), "reset"),
    (State.LISTEN, State.LAST_ACK, _LAST, ("passive",), "closed"),
    (State.LISTEN, State.SYN_RECEIVED, _GONE, ("passive",), "refused"),
    (State.TIME_WAIT, State.CLOSING, _LAST, ("passive", "active"), "crossed"),
    (State.TIME_WAIT, State.FIN_WAIT_1, _FIN_ACK, ("passive", "active"), "at-once"),
)


def scenarios() -> Iterator[Scenario]:
    """All of them."""
    ways = [(state, state, "", (("passive", "active")), "") for state in State]
    for state, start, then, opens, way in (*ways, *_OTHER_WAYS):
        options = ("plain",) if start in _NO_OPTIONS_YET else ("plain", "rich")
        data = (False,) if start in _NO_DATA_YET else (False, True)
        closes = ("shutdown", "close") if start in _OWN_FIN else ("shutdown",)
        if start in (State.CLOSED, State.LISTEN):
            opens = ("passive",)
        elif start is State.SYN_SENT:
            opens = ("active",)
        for version, kind, both, opened, closed in itertools.product((4, 6), options, data, opens, closes):
            yield Scenario(state, version, kind, both, opened, closed, start, then, way)

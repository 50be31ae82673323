"""What only the whole case shows: names that nothing defines, connections, running timers, times of no meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from conformance.cases import model as m
from conformance.cases.yamltree import Problems, near
from conformance.tcp import segment as s
from conformance.tcp.expression import ATTRIBUTES, Anything, Binary, Range, Variable, variables
from conformance.tcp.notation import Kind, Nothing, Positions, Retransmission, SegmentLine, Stream, names_read

_NAMELESS = frozenset({"seg"})


def check(steps: Sequence[m.Step], lead: int, variation: m.Variation, problems: Problems) -> None:
    """Note what is wrong with the steps of one variation, the first `lead` of which are its preamble's."""
    checker = _Checker(variation, problems)
    for index, step in enumerate(steps):
        checker.quiet = index < lead and step.place.file.startswith("preambles/")
        checker.step(step)


class _Checker:
    def __init__(self, variation: m.Variation, problems: Problems) -> None:
        self.names: set[str] = set()
        self.calls: set[str] = set()
        self.connections = variation.case.connections
        self.problems = problems
        self.quiet = False
        """The step is one of a preamble's, which know what they wait for."""
        self.timer: str | None = None
        """Why a retransmission timer of the target runs, or None."""
        self._looks: dict[type[m.Step], Callable[[Any], None]] = {
            m.Send: self._send,
            m.Expect: self._expect,
            m.Call: self._call,
            m.ResultOf: self._result,
            m.AnyOf: self._any_of,
            m.Repeat: self._repeat,
            m.Wait: self._wait,
            m.Check: self._check,
            m.Deliver: self._deliver,
        }

    def note(self, step: m.Step, message: str) -> None:
        self.problems.found.append((step.place, message))

    def step(self, step: m.Step) -> None:
        if not self._connection_known(step.conn):
            known = set(self.connections)
            self.note(step, f"{step.conn!r} is no connection of this case; {near(step.conn, known)}")
        look = self._looks.get(type(step))
        if look is not None:
            look(step)

    def _call(self, step: m.Call) -> None:
        if step.name:
            self.calls.add(step.name)
        if step.verb == "send":
            self.timer = "of data that nobody has acknowledged"

    def _result(self, step: m.ResultOf) -> None:
        if step.name not in self.calls:
            self.note(step, f"no call was left pending as {step.name!r}; {near(step.name, self.calls | {'connect'})}")

    def _repeat(self, step: m.Repeat) -> None:
        self._inside(step.body(1))

    def _inside(self, steps: Sequence[m.Step]) -> None:
        quiet, self.quiet = self.quiet, False
        for inner in steps:
            self.step(inner)
        self.quiet = quiet

    def _wait(self, step: m.Wait) -> None:
        if isinstance(step.span, Range):
            self.note(step, "wait takes one time, not a range")

    def _check(self, step: m.Check) -> None:
        self._read(step, variables(step.left))
        self._read(step, variables(step.right))

    def _deliver(self, step: m.Deliver) -> None:
        for part in step.payload:
            if isinstance(part, Positions):
                self._read(step, variables(part.count))

    def _any_of(self, step: m.AnyOf) -> None:
        before, names, timer = set(self.names), [], self.timer
        for _, branch in step.branches:
            self.names, self.timer = set(before), timer
            self._inside(branch)
            names.append(set(self.names))
        self.names = set().union(*names)

    def _connection_known(self, conn: str) -> bool:
        if conn in self.connections:
            return True
        return any(name.endswith("*") and conn.startswith(name[:-1]) for name in self.connections)

    def _read(self, step: m.Step, read: Iterable[Variable]) -> None:
        for variable in read:
            self._defined(step, variable)

    def _defined(self, step: m.Step, variable: Variable) -> None:
        owner = variable.owner
        if not owner or owner in _NAMELESS:
            return
        if variable.name in ATTRIBUTES:
            if owner not in self.names:
                self.note(step, f"no segment before this step is named {owner!r}; {near(owner, self.names | {'seg'})}")
        elif not self._connection_known(owner):
            self.note(step, f"{owner!r} is no connection of this case; {near(owner, set(self.connections))}")

    def _send(self, step: m.Send) -> None:
        self._read(step, names_read(step.line))
        if step.name:
            self.names.add(step.name)
        line = step.line
        if isinstance(line, SegmentLine):
            if line.field("sum") == "bad":
                return
            if line.flags & s.RST or (line.flags & s.ACK and _acknowledges(line.field("ack"))):
                self.timer = None

    def _expect(self, step: m.Expect) -> None:
        line = step.line
        self._read(step, names_read(line))
        if step.since and step.since not in self.names:
            self.note(step, f"no segment before this step is named {step.since!r}")
        if isinstance(line, Nothing):
            if step.lasting is None and self.timer and not line.new and not self.quiet:
                self.note(
                    step,
                    f"'nothing' under a running timer ({self.timer}) is a matter of luck: say 'for: TIME', "
                    "acknowledge first, or expect 'nothing new'",
                )
            return
        if step.name:
            self.names.add(step.name)
        if isinstance(line, Stream) and any(
            isinstance(part, Positions) and isinstance(part.count, Range | Anything) for part in line.payload
        ):
            self.note(step, "a stream has one length, 'stream (3000)': a range is for a segment, 'ACK (1..1000)'")
        if step.acked:
            self.timer = None
        elif isinstance(line, SegmentLine) and not line.flags & s.RST:
            if line.flags & (s.SYN | s.FIN) or line.payload:
                self.timer = f"of {step.name or s.flag_names(line.flags)}"
        elif isinstance(line, Stream):
            self.timer = "of the stream"
        elif isinstance(line, Retransmission | Kind):
            self.timer = self.timer or "of a retransmission"


def _acknowledges(ack: object) -> bool:
    """The default, a variable, or a named segment's number and one: an ACK of what the target sent."""
    if not isinstance(ack, Binary):
        return True
    return ack.op == "+" and isinstance(ack.left, Variable) and ack.left.name == "seq"

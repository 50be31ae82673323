"""What a case knows while it runs: connections, named segments, and how expressions read them.

Expressions are turned into closures once and kept by the expression; nothing is evaluated as text.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from conformance.cases.model import Connection
from conformance.targets.base import AgentSocket, Endpoints
from conformance.tcp.expression import (
    ATTRIBUTES,
    Anything,
    Binary,
    Expr,
    Extreme,
    Number,
    Range,
    Ratio,
    Seconds,
    Value,
    Variable,
)
from conformance.tcp.invariants import Watch
from conformance.tcp.segment import ACK, RST, SYN, Segment
from conformance.tcp.sequence import MASK, at_or_before, before, distance
from conformance.tcp.tcb import TCB
from conformance.wire.base import Inbox
from conformance.wire.codec import Encoder


class HarnessError(Exception):
    """A fault of ours or of the case, never of the target: the verdict is ERROR."""


class Named(NamedTuple):
    """A segment that a step named with `as`."""

    segment: Segment
    conn: str
    gap: float
    """Seconds since the copy before it, 0 for the first."""


_CLOCK_BASE = int.from_bytes(time.time_ns().to_bytes(8, "big")[4:], "big") & 0x3FFFFFFF


def timestamp_now() -> int:
    """The tester's TSval: milliseconds, from a base that differs from run to run (RFC 7323 section 5.4)."""
    return (_CLOCK_BASE + time.monotonic_ns() // 1_000_000) & MASK


@dataclass(slots=True)
class Conn:
    """One connection of a running case."""

    name: str
    declared: Connection
    pair: Endpoints
    encoder: Encoder
    tcb: TCB
    inbox: Inbox
    queue: deque[Segment] = field(default_factory=deque)
    """Seen, not yet looked at by a step."""
    socket: AgentSocket | None = None
    window: int = 65535
    last_sent: Segment | None = None
    last_seen: Segment | None = None
    last_gap: float = 0.0
    challenged: int = 0
    """When (ns) a segment was last sent whose answer a stack may rate-limit."""
    hold: int | None = None
    """Sequence number of a segment of the target that the tester plays not to have received."""
    read: int = 0
    """Octets that the application has read so far."""
    written: int = 0
    """Octets that the application has written so far."""
    highest: int = 0
    """The number after the last octet that the tester ever sent."""
    watch: Watch = field(default_factory=Watch)
    """What the invariants remember."""
    milliseconds: Callable[[], int] = timestamp_now
    """The clock of the tester's TSval."""

    @property
    def ack(self) -> int:
        """What the tester acknowledges by default."""
        nxt = self.tcb.snd_nxt
        return self.hold if self.hold is not None and before(self.hold, nxt) else nxt


@dataclass(slots=True)
class Scope:
    """All that expressions can name."""

    conns: dict[str, Conn]
    names: dict[str, Named]
    start_ns: int


Reader = Callable[[Scope, Conn], float]

_VARIABLES: dict[str, Callable[[Conn], int]] = {
    "iss": lambda c: c.tcb.iss if c.tcb.iss is not None else 0,
    "irs": lambda c: c.tcb.irs if c.tcb.syn_seq is None else c.tcb.syn_seq,
    "snd.una": lambda c: c.tcb.snd_una,
    "snd.nxt": lambda c: c.tcb.snd_nxt,
    "snd.wnd": lambda c: c.tcb.snd_wnd,
    "rcv.nxt": lambda c: c.tcb.rcv_nxt,
    "rcv.wnd": lambda c: c.tcb.rcv_wnd,
    "smss": lambda c: c.tcb.smss,
    "rmss": lambda c: c.tcb.rmss,
    "ts.recent": lambda c: c.tcb.ts_recent,
}


def _attribute(named: Named, name: str, scope: Scope) -> float:
    segment = named.segment
    if name == "seq":
        return segment.seq
    if name == "end":
        return segment.end
    if name == "len":
        return len(segment.payload)
    if name == "ack":
        return segment.ack
    if name == "win":
        return segment.win
    if name == "time":
        return (segment.time - scope.start_ns) / 1e9
    if name == "gap":
        return named.gap
    if name in ("tsval", "tsecr"):
        stamps = segment.timestamps
        if stamps is None:
            raise HarnessError(f"the segment has no timestamps, so no {name}")
        return stamps[name == "tsecr"]
    cookie = segment.option("fo")
    if cookie is None:
        raise HarnessError("the segment has no fast open cookie")
    return int.from_bytes(cookie[1], "big")


@lru_cache(maxsize=4096)
def reader(expr: Expr) -> Reader:
    """A function that reads the expression's value from a scope."""
    if isinstance(expr, Number):
        value = expr.value
        return lambda scope, conn: value
    if isinstance(expr, Seconds | Ratio):
        amount = expr.value
        return lambda scope, conn: amount
    if isinstance(expr, Variable):
        return _variable(expr)
    if isinstance(expr, Extreme):
        parts = [reader(arg) for arg in expr.args]
        pick = min if expr.name == "min" else max
        return lambda scope, conn: pick(part(scope, conn) for part in parts)
    assert isinstance(expr, Binary)
    left, right = reader(expr.left), reader(expr.right)
    if expr.op == "+":
        return lambda scope, conn: left(scope, conn) + right(scope, conn)
    if expr.op == "-":
        return lambda scope, conn: left(scope, conn) - right(scope, conn)
    return lambda scope, conn: left(scope, conn) * right(scope, conn)


def _variable(expr: Variable) -> Reader:
    name, owner = expr.name, expr.owner
    if name in ATTRIBUTES:

        def attribute(scope: Scope, conn: Conn) -> float:
            if owner == "seg":
                if conn.last_sent is None:
                    raise HarnessError("'seg' before anything was sent")
                return _attribute(Named(conn.last_sent, conn.name, 0.0), name, scope)
            named = scope.names.get(owner)
            if named is None:
                raise HarnessError(f"no segment is named {owner!r} yet")
            return _attribute(named, name, scope)

        return attribute
    get = _VARIABLES[name]
    if not owner:
        return lambda scope, conn: get(conn)

    def foreign(scope: Scope, conn: Conn) -> float:
        other = scope.conns.get(owner)
        if other is None:
            raise HarnessError(f"no connection is named {owner!r} yet")
        return get(other)

    return foreign


def number(expr: Expr, scope: Scope, conn: Conn) -> int:
    """The whole number that an expression says. Raises HarnessError for a fraction."""
    value = reader(expr)(scope, conn)
    if value != int(value):
        raise HarnessError(f"{expr} is {value}, not a whole number")
    return int(value)


def matches(value: Value, seen: int, scope: Scope, conn: Conn, *, circular: bool = False) -> bool:
    """True when `seen` is what the value allows; `circular` numbers are compared modulo 2**32."""
    if isinstance(value, Anything):
        return True
    if isinstance(value, Range):
        low = None if value.low is None else number(value.low, scope, conn)
        high = None if value.high is None else number(value.high, scope, conn)
        if circular:
            return (low is None or at_or_before(low & MASK, seen)) and (high is None or at_or_before(seen, high & MASK))
        return (low is None or low <= seen) and (high is None or seen <= high)
    wanted = number(value, scope, conn)
    return (wanted & MASK if circular else wanted) == seen


def compare(left: float, op: str, right: float) -> bool:
    """`left op right`; whole numbers of 32 bits are compared as sequence numbers when they are far apart."""
    difference = left - right
    if isinstance(left, int) and isinstance(right, int):
        difference = distance(right & MASK, left & MASK)
    return {
        "<=": difference <= 0,
        "<": difference < 0,
        ">=": difference >= 0,
        ">": difference > 0,
        "==": difference == 0,
        "!=": difference != 0,
    }[op]


__all__ = ["ACK", "RST", "SYN", "Conn", "HarnessError", "Named", "Scope", "compare", "matches", "number", "reader"]

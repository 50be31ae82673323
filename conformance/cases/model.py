"""Case, Variation and Step: what a case file says, frozen. Nothing here is bound to numbers yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from conformance.tcp.expression import Expr, Range, Ratio, Seconds
from conformance.tcp.notation import Line, Payload
from conformance.tcp.states import State


class Place(NamedTuple):
    """Where in a case file; `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


Span = Seconds | Ratio | Range
"""A time (`2s`), a multiple of the gap before (`2.5x`), or a range of either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all steps have. `text` is the step as it stands in the file."""

    place: Place
    text: str
    conn: str = "main"
    requirements: tuple[str, ...] = ()
    """What a failure of this step breaks; empty: all of the case's requirements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send(Step):
    """The tester sends a segment (or an ICMP message)."""

    line: Line
    name: str | None = None
    unpaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect(Step):
    """A segment must come, or nothing may. `within`, `since` and `gap` bound its time, `times` how often it comes."""

    line: Line
    name: str | None = None
    within: Span | None = None
    since: str | None = None
    lasting: Span | None = None
    gap: Span | None = None
    times: tuple[int, int | None] = (1, 1)
    lost: bool = False
    acked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf(Step):
    """One of several ways; the label of the one that was taken is reported."""

    branches: tuple[tuple[str, tuple[Step, ...]], ...]


class Argument(NamedTuple):
    """One argument of a call: a word (`nowait`, `SO_LINGER`, `wr`), a number or a payload."""

    word: str | None = None
    number: int | None = None
    payload: Payload | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited(Step):
    """What is wanted of a call: `returns` is `eof`, `any`, `sent`, names, a number or a payload; `raises` names."""

    returns: str | int | Payload | None = None
    raises: tuple[str, ...] = ()
    within: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Awaited):
    """The application on the target makes a call; with a `name` it may stay pending until a `result` step."""

    verb: str
    args: tuple[Argument, ...] = ()
    on_listener: bool = False
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOf(Awaited):
    """The outcome of a call that was left pending."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateIs(Step):
    """The replies must give this state away."""

    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Step):
    """Nothing is sent for a while; what comes is kept for the next expectations."""

    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Step):
    """A comparison of two expressions; `op` is one of <= < >= > == != ."""

    left: Expr
    op: str
    right: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat(Step):
    """Steps over and over: `count` times at most, until the condition holds. `body(n)` is the n-th round, from 1."""

    count: int
    until: Check | None
    body: Callable[[int], tuple[Step, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver(Step):
    """Data, its acknowledgement, and the application's read: the connection lives."""

    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Step):
    """The case ends here, well."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a case cannot do without."""

    ip: int | None = None
    agent: frozenset[str] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    link: str = "quick-ack"
    services: frozenset[str] = frozenset()
    half_open: str = ""
    """`kept`: the listener remembers the SYN until the handshake is done, and what it said."""
    tier: str = "default"


class Connection(NamedTuple):
    """A further connection: `same_pair_as` another, or a pair of its own; `unwatched` ones may stray."""

    name: str
    same_pair_as: str | None = None
    unwatched: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One YAML file. `id` is its path under the suite without suffix."""

    id: str
    file: str
    title: str
    requirements: tuple[str, ...]
    needs: Needs
    connections: Mapping[str, Connection]
    start: State
    variations: tuple[Variation, ...] = ()
    digest: str = ""


class Build(Protocol):
    """Builds the steps of a variation."""

    def __call__(self) -> tuple[tuple[Step, ...], int]:
        """All steps, the preamble's first, and how many of them are the preamble's."""

    def by_service(self, services: Iterable[str]) -> tuple[tuple[Step, ...], int, str | None]:
        """The same without an agent, and the service that the preamble uses: None when it needs none.

        Raises LookupError when none of these services leads to the state in which the case starts.
        """


@dataclass(frozen=True, slots=True)
class Variation:
    """A case with its parameters chosen: one pytest item. `steps` is built on first use by `build`."""

    id: str
    case: Case
    version: int
    parameters: Mapping[str, str]
    build: Build
    wait: float | None = None
    """Seconds that it will wait, roughly, where that is known without its steps."""

"""What every target offers the engine: pairs of endpoints, an agent for the application's calls, perhaps an oracle.

Imports only the wire's protocols; errors are split by blame: `TargetError` is a target that can't be used as asked
(told in one line before any case runs), everything else that escapes is a fault of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from conformance.wire.base import Barrier, Calibration, Wire

IpVersion = Literal[4, 6]
Link = Literal["quick-ack", "delayed-ack"]


class TargetError(Exception):
    """The target, or the machine, cannot do what was asked: the message says what, and what would help."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """One pair of endpoints; addresses are 4 or 16 octets in network order."""

    version: IpVersion
    tester: bytes
    target: bytes
    tester_port: int
    target_port: int


class Outcome(NamedTuple):
    """How a call ended: `error` is the errno's name, or None and `value` is what the call returned."""

    value: object = None
    error: str | None = None


class Pending(Protocol):
    """A call that has not ended yet."""

    def poll(self) -> Outcome | None:
        """Try once more without waiting; None while it is still pending."""

    async def wait(self, timeout: float) -> Outcome | None:
        """Wait up to `timeout` seconds for the outcome; None when it is still pending then."""

    def cancel(self) -> None:
        """Give the call up and forget it; the socket stays as it is."""


class AgentSocket(Protocol):
    """A socket of the application on the target. Every verb answers at once, with an Outcome or a Pending."""

    def listen(self, backlog: int) -> Outcome:
        """Bind to the pair's target address and port, and listen. SO_REUSEADDR is set."""

    def accept(self) -> Outcome | Pending:
        """The value is `(AgentSocket, peer address octets, peer port)`."""

    def connect(self) -> Outcome | Pending:
        """Bind to the pair's target address and port and connect to the tester's; the value is None."""

    def send(self, data: bytes, *, urgent: bool = False, wait: bool = True) -> Outcome | Pending:
        """The value is the number of octets taken; pending until all are, unless `wait` is false."""

    def recv(self, count: int, *, urgent: bool = False, wait: bool = True) -> Outcome | Pending:
        """The value is the octets read: up to `count`, at least one, or b"" at end of file.

        With `wait` false an empty buffer is the error EAGAIN.
        """

    def shutdown(self, how: Literal["rd", "wr", "rdwr"]) -> Outcome:
        """Shut one or both directions."""

    def close(self) -> Outcome:
        """Close; the kernel goes on by itself (orphan)."""

    def abort(self) -> Outcome:
        """Close with SO_LINGER on and 0 seconds: the ABORT call of RFC 9293 3.10.5."""

    def exit(self) -> Outcome | Pending:
        """Hand the socket to a process of its own, which then exits: the only holder of the socket is gone."""

    def setsockopt(self, name: str, value: int | tuple[int, int]) -> Outcome:
        """`name` as in the C headers (SO_LINGER takes on, seconds). Unknown names are the error ENOPROTOOPT."""

    def getsockopt(self, name: str) -> Outcome:
        """The value is an int."""

    def poll(self) -> Outcome:
        """The value is a frozenset of the names IN, OUT, PRI, ERR, HUP, RDHUP that are ready now."""

    def atmark(self) -> Outcome:
        """The value is 1 when the next octet to be read is at the urgent mark, else 0 (SIOCATMARK)."""

    def dispose(self, *, gone: bool = False) -> None:
        """Free the socket without leaving anything of it behind on the wire beyond a RST; never raises.

        `gone`: its connection is known to be over, so nothing of it can be left in the target.
        """


class Oracle(Protocol):
    """The target's own word on a connection's state."""

    trusted: bool
    """Beyond doubt: where it differs from what the replies say, the tester is at fault."""

    def state(self, pair: Endpoints) -> str:
        """The state's RFC name (`SYN-RECEIVED`), `LISTEN` when only a listener is there, `CLOSED` when nothing is."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a target can do; what a case needs beyond it makes the case UNSUPPORTED."""

    ip: frozenset[IpVersion] = frozenset({4, 6})
    verbs: frozenset[str] = frozenset()
    links: frozenset[Link] = frozenset({"quick-ack"})
    options: frozenset[str] = frozenset()
    """TCP options that it negotiates: mss wscale sackOK ts."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings that a case may need, and their value on this target: `syncookies: never`."""
    quick_ack: bool = True
    """Without `link: delayed-ack` data is acknowledged at once; otherwise a stack may take its time on any link."""
    services: Mapping[str, int] = field(default_factory=dict)
    """Without an agent: services that run on it, and their ports."""
    challenge_interval: float = 0.0
    """Seconds between two challenge-type ACKs of one connection (RFC 5961 section 7), 0 when not limited."""
    throttles_text: bool = False
    """It throttles the ACKs to all segments outside the window, those with text or FIN included."""
    first_repeat: float = 3.5
    """Seconds within which it repeats, for the first time, what is not acknowledged; 0: soon, for it has measured
    the round trip by the handshake."""
    msl: float = 120.0
    """Maximum segment lifetime in seconds that the stack claims (RFC 9293 3.4.2: 2 minutes)."""

    @property
    def half_open_kept(self) -> bool:
        """A listener remembers a SYN, and what it said; with SYN cookies it does not (RFC 4987 section 3.6)."""
        return self.settings.get("syncookies") != "always"


class StackDied(Exception):
    """The stack crashed or hangs: its own doing, and a finding. The message says how."""


class AdapterError(Exception):
    """A stack's agent breaks the protocol, or ended by itself: a fault of the adapter, never a verdict on the stack."""


EPOCH = 1_600_000_000_000_000_000
"""ns of CLOCK_REALTIME at which virtual time begins: any fixed moment does, as long as runs agree on it."""


class Timekeeper(Protocol):
    """The clock of a stack in virtual time: it stands still but for `advance`."""

    def now(self) -> int:
        """ns since the target was opened."""

    def advance(self, to: int) -> None:
        """Let time pass up to `to` (ns), or to the first moment at which the stack does something.

        What it did has then been delivered: frames to their inboxes, outcomes to their pending calls. Never raises:
        a stack that died in it is told by the next thing asked of it.
        """


class Life(Protocol):
    """Whether a stack that several cases share lives."""

    died: StackDied | AdapterError | None


class Target(Protocol):
    """A stack under test."""

    name: str
    wire: Wire
    barrier: Barrier
    calibration: Calibration
    capabilities: Capabilities
    oracle: Oracle | None
    clean_path: bool
    """Every frame arrives, once and in order. Elsewhere what was found must be found again before it counts."""
    time: Timekeeper | None
    """None: the machine's clock. With a clock of its own a stack runs one case at a time, each from a fresh start."""

    @property
    def life(self) -> Life | None:
        """Of the stack as it runs now, where cases share one that can die; it tells when the next one runs, too."""

    def describe(self) -> dict[str, object]:
        """For the report's header: kernel, addresses, every setting that touches a verdict."""

    def open_pair(self, version: IpVersion, link: Link) -> Endpoints:
        """A pair with a tester address, and a target port, that no other live case uses."""

    def sibling_pair(self, pair: Endpoints, *, same_target_port: bool) -> Endpoints:
        """A further pair from the same tester address: another tester port, and perhaps another target port."""

    def release(self, pair: Endpoints) -> None:
        """Give the address and the port back; they rest in quarantine before they are used again."""

    def socket(self, pair: Endpoints) -> AgentSocket:
        """A fresh socket of the application for this pair."""

    @property
    def at_once(self) -> int:
        """How many cases it can run at the same time."""

    @property
    def worlds(self) -> int:
        """How many of its kind are worth running side by side, each in a world of its own."""

    def health(self) -> dict[str, int]:
        """Counters whose rise makes silences doubtful: wire drops, TCPTimeWaitOverflow, ListenDrops, ..."""

    def close(self) -> None:
        """Tear everything down; nothing of it is left behind. Safe to call twice."""

"""The application's calls through a stack's agent: sockets over a channel (docs/adapters.md, Verbs).

Imports the channel, the targets' contracts and the standard library.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable
from typing import Any, Literal

from conformance.targets.base import AdapterError, Endpoints, Life, Outcome, Pending, StackDied
from conformance.targets.channel import Channel

_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
Reading = Callable[[Any], object]
"""From the value of an answer to the value of an Outcome; raises ValueError or TypeError where it can't be one."""


_QUIET = {"state"}
"""Verbs that look, and bring a stack to nothing."""


class Calls:
    """Requests to one agent, and those of them that are pending. `asked` is called after each that may stir it."""

    def __init__(
        self, channel: Channel, life: Life, *, asked: Callable[[], None], settle: Callable[[], object]
    ) -> None:
        self._channel, self._life = channel, life
        self._asked = asked
        self.settle = settle
        """Take in what the agent has said by now."""
        self._numbers = itertools.count(1)
        self._pending: dict[int, ChannelCall] = {}
        channel.on_settled = self._settled

    def forget(self) -> None:
        """The stack was reset: numbers begin anew, nothing is pending."""
        self._numbers = itertools.count(1)
        self._pending.clear()

    def number(self) -> int:
        """For a fresh socket."""
        return next(self._numbers)

    def socket(self, pair: Endpoints) -> ChannelSocket:
        """A fresh socket for a pair."""
        number = self.number()
        if self._life.died is not None:
            raise self._life.died
        local, remote = _ends(pair)
        self._channel.post("open", socket=number, local=local, remote=remote)
        return ChannelSocket(self, number, pair)

    def ask(self, verb: str, reading: Reading | None = None, **fields: object) -> Outcome | ChannelCall:
        """Make a request. Raises StackDied, AdapterError (a declared verb that the agent does not know, too)."""
        if self._life.died is not None:
            raise self._life.died
        try:
            id_, answer = self._channel.request(verb, **fields)
        except (StackDied, AdapterError) as problem:
            self._life.died = problem
            raise
        if verb not in _QUIET:
            self._asked()
        if "pending" in answer:
            call = ChannelCall(self, id_, verb, reading)
            if id_ in self._channel.settled:
                return self.outcome(verb, self._channel.settled.pop(id_), reading)
            self._pending[id_] = call
            return call
        return self.outcome(verb, answer, reading)

    def outcome(self, verb: str, answer: dict[str, Any], reading: Reading | None) -> Outcome:
        """What an answer comes to."""
        if "error" in answer:
            if answer["error"] == "ENOSYS":
                raise AdapterError(f"the agent declares the verb {verb!r} and does not know it")
            return Outcome(error=str(answer["error"]))
        if reading is None:
            return Outcome()
        try:
            return Outcome(reading(answer["ok"]))
        except (ValueError, TypeError, KeyError, IndexError, OSError, OverflowError):
            raise AdapterError(f"the agent answers {verb!r} by {str(answer['ok'])[:80]!r}") from None

    def _settled(self, id_: int) -> None:
        call = self._pending.pop(id_, None)
        if call is not None:
            call.settle(self._channel.settled.pop(id_))

    def drop(self, id_: int) -> None:
        """Nobody waits for that call any more."""
        if self._pending.pop(id_, None) is not None and self._life.died is None:
            self.ask("cancel", call=id_)


class ChannelCall:
    """A call that has not ended yet (`conformance.targets.base.Pending`)."""

    def __init__(self, calls: Calls, id_: int, verb: str, reading: Reading | None) -> None:
        self._calls, self._id, self._verb, self._reading = calls, id_, verb, reading
        self._answer: dict[str, Any] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def settle(self, answer: dict[str, Any]) -> None:
        """The agent's answer came."""
        self._answer = answer
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def poll(self) -> Outcome | None:
        """The outcome, or None while it is pending. Raises AdapterError, StackDied."""
        if self._answer is None:
            self._calls.settle()
        return None if self._answer is None else self._calls.outcome(self._verb, self._answer, self._reading)

    async def wait(self, timeout: float) -> Outcome | None:
        """Wait up to `timeout` seconds for the outcome; None when it is still pending then."""
        outcome = self.poll()
        if outcome is not None:
            return outcome
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await waiter
        return self.poll()

    def cancel(self) -> None:
        """Give the call up and forget it; the socket stays as it is."""
        with contextlib.suppress(StackDied, AdapterError):
            self._calls.drop(self._id)


class ChannelSocket:
    """A socket of the application in the agent (`conformance.targets.base.AgentSocket`).

    Every verb raises StackDied when the stack crashes or hangs, and AdapterError when the agent breaks the protocol.
    """

    def __init__(self, calls: Calls, number: int, pair: Endpoints) -> None:
        self._calls, self._number, self._pair = calls, number, pair

    def _ask(self, verb: str, reading: Reading | None = None, **fields: object) -> Any:
        return self._calls.ask(verb, reading, socket=self._number, **fields)

    def listen(self, backlog: int) -> Outcome:
        """Bind to the pair's target address and port, and listen."""
        return self._ask("listen", backlog=backlog)  # type: ignore[no-any-return]

    def accept(self) -> Outcome | Pending:
        """The value is `(AgentSocket, peer address octets, peer port)`."""
        number = self._calls.number()

        def peer(value: Any) -> object:
            family = socket.AF_INET6 if ":" in value[0] else socket.AF_INET
            accepted = ChannelSocket(self._calls, number, self._pair)
            return accepted, socket.inet_pton(family, value[0]), int(value[1])

        return self._ask("accept", peer, **{"as": number})  # type: ignore[no-any-return]

    def connect(self) -> Outcome | Pending:
        """The value is None."""
        return self._ask("connect")  # type: ignore[no-any-return]

    def send(self, data: bytes, *, urgent: bool = False, wait: bool = True) -> Outcome | Pending:
        """The value is the number of octets taken."""
        return self._ask("send", int, data=data.hex(), urgent=urgent, wait=wait)  # type: ignore[no-any-return]

    def recv(self, count: int, *, urgent: bool = False, wait: bool = True) -> Outcome | Pending:
        """The value is the octets read, b"" at end of file."""
        return self._ask("recv", bytes.fromhex, count=count, urgent=urgent, wait=wait)  # type: ignore[no-any-return]

    def shutdown(self, how: Literal["rd", "wr", "rdwr"]) -> Outcome:
        """Shut one or both directions."""
        return self._ask("shutdown", how=how)  # type: ignore[no-any-return]

    def close(self) -> Outcome:
        """Close; the stack finishes by itself."""
        return self._ask("close")  # type: ignore[no-any-return]

    def abort(self) -> Outcome:
        """The ABORT call (RFC 9293 section 3.10.5)."""
        return self._ask("abort")  # type: ignore[no-any-return]

    def exit(self) -> Outcome | Pending:
        """The application dies with its socket open."""
        return self._ask("exit")  # type: ignore[no-any-return]

    def setsockopt(self, name: str, value: int | tuple[int, int]) -> Outcome:
        """Set an option by its name in the C headers."""
        return self._ask("setsockopt", name=name, value=value)  # type: ignore[no-any-return]

    def getsockopt(self, name: str) -> Outcome:
        """The value is an int."""
        return self._ask("getsockopt", int, name=name)  # type: ignore[no-any-return]

    def poll(self) -> Outcome:
        """The value is a frozenset of names."""
        return self._ask("poll", frozenset)  # type: ignore[no-any-return]

    def atmark(self) -> Outcome:
        """The value is 1 at the urgent mark, else 0."""
        return self._ask("atmark", int)  # type: ignore[no-any-return]

    def dispose(self, *, gone: bool = False) -> None:
        """Free the socket; never raises."""
        with contextlib.suppress(StackDied, AdapterError):
            self._ask("dispose")


class AgentOracle:
    """The agent's word on a connection's state (`conformance.targets.base.Oracle`)."""

    trusted = False

    def __init__(self, calls: Callable[[], Calls]) -> None:
        self._calls = calls

    def state(self, pair: Endpoints) -> str:
        """The state's name. Raises StackDied, AdapterError."""
        local, remote = _ends(pair)
        outcome = self._calls().ask("state", str, local=local, remote=remote)
        if not isinstance(outcome, Outcome) or outcome.error is not None:
            raise AdapterError(f"the agent does not tell a state: {outcome}")
        return str(outcome.value)


def _ends(pair: Endpoints) -> tuple[list[object], list[object]]:
    family = _FAMILY[pair.version]
    return (
        [socket.inet_ntop(family, pair.target), pair.target_port],
        [socket.inet_ntop(family, pair.tester), pair.tester_port],
    )

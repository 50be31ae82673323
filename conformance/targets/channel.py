"""The channel to a stack's agent: lines of JSON, requests and frames in one order (docs/adapters.md).

`Channel` starts the agent and keeps the order; it knows nothing of sockets, cases or clocks. Blames are kept apart:
`StackDied` is the stack's doing (a signal, or no answer at all), `AdapterError` the agent's (it breaks the protocol, or
ends by itself). Imports the adapters' contract and its JSON.
"""

from __future__ import annotations

import collections
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from conformance.adapters.base import Program
from conformance.jsonlines import decode, encode
from conformance.targets.base import AdapterError, StackDied
from conformance.targets.process import Process
from conformance.targets.stream import Beside, Stream, WorksInVain

PROTOCOL = 1
LONGEST = 60.0
"""Seconds that one answer may take in all, however much is said before it."""
MAXIMUM_LINE = 1 << 18
PIECE = 1024
"""Characters of a long line that go to a serial line at a time: a driver holds 4096, and may hang when it is more."""
MOST_SAID = 20_000
"""Lines that may come before one answer: a stack that says more in one moment floods."""
Heard = Callable[[bytes, int], None]
"""Told of each frame of the stack: the octets, and when it was sent in the agent's time (ns)."""


class Channel:
    """A running agent. Not safe for several threads.

    `heard` is called for frames while `request` or `advance` read; outcomes of pending calls are kept in `settled`.
    """

    def __init__(
        self,
        connected: socket.socket,
        heard: Heard,
        process: Process | None = None,
        *,
        announces: bool = False,
        serial: bool = False,
        virtual: bool = False,
    ) -> None:
        self._stream = Stream(connected, process)
        self._announces, self._serial = announces, serial
        self._virtual = virtual
        self._heard = heard
        self._process = process
        self._until = float("inf")
        self._said = 0
        self._in = b""
        self._lines: collections.deque[dict[str, Any]] = collections.deque()
        self._out: list[bytes] = []
        self._next_id = 0
        self.sent = self.received = 0
        """Frames since the latest hello, to and from the stack."""
        self.settled: dict[int, dict[str, Any]] = {}
        """Answers to calls that had been pending, by id, until somebody takes them."""
        self.on_settled: Callable[[int], None] | None = None
        self.ended = 0
        """How many calls that were pending have ended."""
        self.waiting: set[int] = set()
        """Ids of calls that are pending."""
        self._posted: dict[int, str] = {}
        """Verbs that nobody waits for, by id, until they are answered."""
        self.alive = True

    @classmethod
    def start(cls, program: Program, heard: Heard, frames: socket.socket | None = None) -> Self:
        """Start an agent on this machine, with `frames` as its descriptor 4: without, its time is virtual.

        Raises AdapterError: no such program.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            process = Process(program, theirs, frames)
        except OSError as problem:
            ours.close()
            raise AdapterError(f"{program.argv[0]}: {problem.strerror}") from problem
        finally:
            theirs.close()
        how = {"announces": program.announces, "serial": program.serial, "virtual": frames is None}
        return cls(ours, heard, process, **how)

    def fileno(self) -> int:
        """For the loop that watches it."""
        return self._stream.fileno()

    def look_at(self, beside: Beside) -> None:
        """Take in what another descriptor has, too, while an answer is waited for."""
        self._stream.look_at(beside)

    # -- writing --------------------------------------------------------------------------------------------

    def frame(self, octets: bytes) -> None:
        """Hand a frame to the stack; it leaves with the next request."""
        self._out.append(b'{"frame":"%s"}\n' % octets.hex().encode())
        self.sent += 1

    def post(self, verb: str, **fields: object) -> None:
        """Ask for a verb whose outcome nobody needs; it leaves with the next request, which spares a round trip."""
        number = self._new_id()
        self._posted[number] = verb
        self._out.append(encode({"id": number, "do": verb, **fields}))

    def _write(self, message: Mapping[str, object]) -> None:
        line = encode(message)
        if self._serial and len(line) > 2 * PIECE:
            text = line[:-1].decode()
            *pieces, text = (text[at : at + PIECE] for at in range(0, len(text), PIECE))
            for piece in pieces:
                self.request("part", text=piece)
            line = encode({"do": "part", "text": text, "last": True})
        self._out.append(line)
        octets = b"".join(self._out)
        self._out.clear()
        try:
            self._stream.write(octets)
        except OSError as problem:
            raise self._gone(problem) from problem

    # -- reading --------------------------------------------------------------------------------------------

    def _line(self) -> dict[str, Any]:
        self._said += 1
        if self._said > MOST_SAID:
            raise self._flood()
        while not self._lines:
            try:
                octets = self._stream.read(self._until)
            except OSError as problem:
                raise self._gone(problem) from problem
            if not octets:
                raise self._gone(None)
            self._split(octets)
        return self._lines.popleft()

    def _flood(self) -> StackDied:
        self.close()
        return StackDied(f"the stack floods: more than {MOST_SAID} frames or answers in one moment")

    def _expect(self) -> None:
        """An answer is waited for from now on."""
        self._said, self._until = 0, time.monotonic() + LONGEST

    def _split(self, octets: bytes) -> None:
        *whole, self._in = (self._in + octets if self._in else octets).split(b"\n")
        if len(self._in) > MAXIMUM_LINE:
            raise self._breach(f"a line of more than {MAXIMUM_LINE} octets")
        for line in whole:
            self._lines.append(self._parsed(line))

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            message = decode(line)
        except ValueError:
            raise self._breach(f"not a line of JSON: {line[:80]!r}") from None
        if not isinstance(message, dict):
            raise self._breach(f"not an object: {line[:80]!r}")
        return message

    def _take(self, message: dict[str, Any]) -> None:
        """A frame, or the late answer to a call that was pending."""
        if "frame" in message:
            try:
                octets = bytes.fromhex(message["frame"])
            except (TypeError, ValueError):
                raise self._breach(f"a frame that is not hexadecimal: {str(message['frame'])[:40]!r}") from None
            at = message.get("at", 0)
            if not isinstance(at, int):
                raise self._breach(f"a frame's time that is no integer: {at!r}")
            self.received += 1
            self._heard(octets, at)
            return
        number = message.get("id")
        if isinstance(number, int) and number in self._posted and ("ok" in message or "error" in message):
            verb = self._posted.pop(number)
            if message.get("error") == "ENOSYS":
                raise self._breach(f"it does not know the verb {verb!r}")
            return
        if isinstance(number, int) and number in self.waiting and ("ok" in message or "error" in message):
            self.waiting.discard(number)
            self.settled[number] = message
            self.ended += 1
            if self.on_settled is not None:
                self.on_settled(number)
            return
        raise self._breach(f"an answer to nothing that was asked: {str(message)[:80]}")

    # -- asking ---------------------------------------------------------------------------------------------

    def hello(self, configure: Mapping[str, object], patience: float | None = None) -> dict[str, Any]:
        """Configure the stack and return what the agent says of it, within `patience` seconds."""
        usual = self._stream.patience
        patience = usual if patience is None else patience
        self._stream.patience = patience
        if self._announces and "ready" not in (said := self._line()):
            raise self._breach(f"something before it is ready: {str(said)[:80]}")
        self._write({"configure": {"protocol": PROTOCOL, **configure}})
        said = self._welcome(max(patience, LONGEST))
        self._stream.patience = usual
        self._stream.measured = self._process if self._virtual else None
        return said

    def reset(self) -> None:
        """Back to the moment of the hello; only for agents that declare it."""
        self._write({"id": self._new_id(), "do": "reset"})
        self._welcome()

    def _welcome(self, patience: float = LONGEST) -> dict[str, Any]:
        self._said, self._until = 0, time.monotonic() + patience
        while True:
            message = self._line()
            if "hello" in message:
                break
            number = message.get("id")
            known = isinstance(number, int) and (number in self.waiting or number in self._posted)
            if "frame" not in message and not known:
                raise self._breach(f"something before its hello: {str(message)[:80]}")
        said = message["hello"]
        if not isinstance(said, dict) or said.get("protocol") != PROTOCOL:
            raise self._breach(f"a hello that is not of protocol {PROTOCOL}")
        self.sent = self.received = 0
        self.waiting.clear()
        self.settled.clear()
        self._posted.clear()
        return said

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def request(self, verb: str, **fields: object) -> tuple[int, dict[str, Any]]:
        """Ask for a verb; return the request's id and the answer, which has `ok`, `error` or `pending`.

        Raises AdapterError, StackDied.
        """
        number = self._new_id()
        self._expect()
        self._write({"id": number, "do": verb, **fields})
        while True:
            message = self._line()
            if message.get("id") != number:
                self._take(message)
                continue
            if "pending" in message:
                self.waiting.add(number)
            elif "ok" not in message and "error" not in message:
                raise self._breach(f"an answer without ok, error or pending: {str(message)[:80]}")
            return number, message

    def advance(self, to: int, now: int) -> tuple[int, int | None]:
        """Let the stack's time pass from `now` up to `to` (ns); return the time reached and when its next timer is due.

        Raises AdapterError when counts or times don't agree, StackDied.
        """
        before, sent = (self.received, self.ended), self.sent
        _, message = self.request("advance", to=to, **{"in": sent})
        said = message.get("ok")
        if not isinstance(said, dict):
            raise self._breach(f"no answer to advance: {str(message)[:80]}")
        reached, next_ = said.get("now"), said.get("next")
        if said.get("in") != sent or said.get("out") != self.received:
            raise self._breach(
                f"{sent} frames in and {self.received} out, it counts {said.get('in')} and {said.get('out')}"
            )
        if not isinstance(reached, int) or not now <= reached <= max(to, now):
            raise self._breach(f"time went from {now} to {reached!r}, asked for {to}")
        if reached < to and (self.received, self.ended) == before:
            raise self._breach(f"it stopped at {reached} before {to} without a reason")
        if next_ is not None and (not isinstance(next_, int) or next_ < reached):
            raise self._breach(f"its next timer is due in the past: {next_!r}")
        return reached, next_

    def listen(self) -> None:
        """Take in what the agent has said by itself, without waiting: late answers. Raises AdapterError, StackDied."""
        self._expect()
        while self.alive:
            while self._lines:
                self._said += 1
                if self._said > MOST_SAID:
                    raise self._flood()
                self._take(self._lines.popleft())
            try:
                octets = self._stream.read_now()
            except OSError as problem:
                raise self._gone(problem) from problem
            if octets is None:
                break
            if not octets:
                raise self._gone(None)
            self._split(octets)

    # -- the end --------------------------------------------------------------------------------------------

    def _breach(self, what: str) -> AdapterError:
        self.close()
        return AdapterError(f"the agent breaks the protocol: {what}")

    def _gone(self, problem: OSError | None) -> Exception:
        """Why the channel ended."""
        hangs = isinstance(problem, TimeoutError)
        process = self._process
        if process is None:
            self.close()
            if hangs:
                return AdapterError(f"the agent has not answered for {self._stream.patience:g} s")
            return AdapterError("the agent has gone" + (f": {problem.strerror}" if problem is not None else ""))
        code = None if hangs else process.wait(1.0)
        words = process.last_words()
        self.close()
        said = f"; its last words: {words}" if words else ""
        if hangs:
            spent = str(problem) if isinstance(problem, WorksInVain) else f"{self._stream.patience:g} s"
            return StackDied(f"the stack hangs: no answer for {spent}{said}")
        if code is not None and code < 0:
            return StackDied(f"the stack crashed: {_signal(-code)}{said}")
        return AdapterError(f"the agent ended by itself (exit code {code}){said}")

    def close(self) -> None:
        """End the agent and whatever it started; safe to call twice."""
        if not self.alive:
            return
        self.alive = False
        self._stream.close()
        if self._process is not None:
            self._process.kill()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal, most of which have no name
        return f"signal {number}"

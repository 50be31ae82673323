"""The application's calls: made through the agent, their outcomes held against what the case wants."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable
from typing import Any

from conformance.cases.model import Argument, Awaited, Call, ResultOf, Step
from conformance.engine.context import SETTLE, Run
from conformance.engine.copies import chosen, copies
from conformance.engine.craft import FAR, payload_octets
from conformance.engine.ending import Unsupported
from conformance.engine.scope import Conn, HarnessError, reader
from conformance.targets.base import AgentSocket, Endpoints, Outcome
from conformance.tcp import pattern
from conformance.tcp.expression import Range, Seconds

FOREVER = 8 * 3600.0
"""Seconds: longer than any case."""
_LACKING = {
    "connect": ("EOPNOTSUPP",),
    "setsockopt": ("ENOPROTOOPT",),
    "getsockopt": ("ENOPROTOOPT",),
    "send": ("EOPNOTSUPP",),
    "recv": ("EOPNOTSUPP",),
}
"""Errors that say that a stack has no such option, or no urgent data, or that its agent may not connect there."""
_RETURNS_NOTHING = frozenset({"listen", "connect", "shutdown", "close", "abort", "exit", "setsockopt"})


def call(run: Run, step: Call) -> Awaitable[None] | None:
    """Make the call; unless it is left pending, judge its outcome, which may have to be awaited."""
    if run.flying and not run.target.clean_path:
        return _in_order(run, step)
    return _make(run, step)


async def _in_order(run: Run, step: Call) -> None:
    """Where calls take another way than frames, what was sent before the call is let arrive before it."""
    await run.prove()
    rest = _make(run, step)
    if rest is not None:
        await rest


def _make(run: Run, step: Call) -> Awaitable[None] | None:
    conn = run.conn(step.conn)
    run.begin_run(step)
    conn.watch.quiet_rst = 0
    outcome = _started(run, conn, step)
    run.base = run.clock.now()
    run.acted = True
    if isinstance(outcome, Outcome):
        if step.name is None:
            return _judge(run, conn, step, step, outcome)
        run.pending[step.name] = (_Done(outcome), step, run.base)
        return None
    run.note(f"{step.text.removeprefix('call: ')} is pending", conn.name, "call")
    if step.name is not None:
        run.pending[step.name] = (outcome, step, run.base)
        run.background.append(asyncio.create_task(outcome.wait(FOREVER)))
        return None
    return _await(run, conn, step, step, outcome, run.base)


async def _await(run: Run, conn: Conn, step: Awaited, made: Call, pending: Any, began: int) -> None:
    rest = _judge(run, conn, step, made, await _wait(run, step, pending, began))
    if rest is not None:
        await rest


async def result(run: Run, step: ResultOf) -> None:
    """Wait for the outcome of a call that was left pending."""
    entry = run.pending.pop(step.name, None)
    if entry is None:
        raise HarnessError(f"no call is pending as {step.name!r}")
    pending, made, began = entry
    assert isinstance(made, Call)
    await _await(run, run.conn(made.conn), step, made, pending, began)


async def once(run: Run, step: Step) -> Outcome:
    """The outcome of a call or result step, not yet judged: for `any-of`, whose ways differ in what they want."""
    if isinstance(step, ResultOf):
        entry = run.pending.get(step.name)
        if entry is None:
            raise HarnessError(f"no call is pending as {step.name!r}")
        return await _wait(run, step, entry[0], entry[2])
    assert isinstance(step, Call)
    if run.flying and not run.target.clean_path:
        await run.prove()
    run.begin_run(step)
    outcome = _started(run, run.conn(step.conn), step)
    run.base = run.clock.now()
    run.acted = True
    return outcome if isinstance(outcome, Outcome) else await _wait(run, step, outcome, run.base)


async def judge_as(run: Run, step: Step, made: Step, outcome: Outcome) -> None:
    """Hold an outcome against one of the steps that want something of it. Raises StepFailed."""
    assert isinstance(step, Awaited)
    if isinstance(made, ResultOf):
        made = run.pending[made.name][1]  # type: ignore[assignment]
    assert isinstance(made, Call)
    rest = _judge(run, run.conn(made.conn), step, made, outcome)
    if rest is not None:
        await rest


class _Done:
    """A call that ended at once, kept for its `result` step."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def poll(self) -> Outcome:
        return self._outcome

    def cancel(self) -> None:
        """Nothing to give up."""


async def _wait(run: Run, step: Awaited, pending: Any, began: int) -> Outcome:
    """The outcome of a call made at `began` (ns), within the bounds that the step says, else half a second from now."""
    low, limit = 0.0, SETTLE
    if isinstance(step.within, Seconds):
        limit = step.within.value
    elif isinstance(step.within, Range):
        low = step.within.low.value if isinstance(step.within.low, Seconds) else 0.0
        limit = step.within.high.value if isinstance(step.within.high, Seconds) else 8 * 3600.0
    outcome = pending.poll()
    if outcome is None:
        begin = run.clock.now()
        left = limit if step.within is None else limit - (begin - began) / 1e9
        outcome = await pending.wait(max(0.0, left) + run.pace.slack)
        run.waited += run.clock.now() - begin
        took = (run.clock.now() - began) / 1e9
        if outcome is not None and took < low - run.pace.slack:
            words = f"the call ended after {took:.3f} s"
            raise run.fail(step, words, expected=f"{_wanted(step)} within {step.within}", seen=_seen(outcome))
    elif low:
        raise run.fail(step, "the call had ended before", expected=f"within {step.within}", seen=_seen(outcome))
    if outcome is None:
        pending.cancel()
        raise run.fail(step, f"the call is still pending after {limit:g} s", expected=_wanted(step), seen="pending")
    return outcome  # type: ignore[no-any-return]


def _started(run: Run, conn: Conn, step: Call) -> Any:
    """As `start`; where the agent takes its time to answer, that is the target's, not ours."""
    begin = run.clock.now()
    outcome = start(run, conn, step)
    end = run.clock.now()
    run.waited += end - begin
    run.lateness.call(begin, end)
    return outcome


def start(run: Run, conn: Conn, step: Call) -> Any:
    """Make the call: an Outcome, or a Pending. Raises Unsupported, HarnessError."""
    verb = step.verb
    if verb not in run.target.capabilities.verbs:
        raise Unsupported(f"the target's agent has no verb {verb!r}")
    if verb == "listen":
        sock = run.listener
        if sock is None or run.listening:
            sock = run.target.socket(conn.pair)
            run.sockets.append(sock)
            run.listener = sock
        run.listening = True
        return sock.listen(step.args[0].number or 0 if step.args else 16)
    if verb == "accept" or step.on_listener:
        if run.listener is None and verb == "setsockopt":
            run.listener = run.target.socket(conn.pair)
            run.sockets.append(run.listener)
        if run.listener is None:
            raise HarnessError("no listener: call listen() first")
        return run.listener.accept() if verb == "accept" else _plain(run, conn, step, run.listener)
    if conn.socket is None:
        if verb in ("connect", "setsockopt"):
            conn.socket = run.target.socket(_pair(conn, step))
            run.sockets.append(conn.socket)
        else:
            raise HarnessError(f"the application has no socket for {conn.name}: accept() or connect() first")
    return _plain(run, conn, step, conn.socket)


def _pair(conn: Conn, step: Call) -> Endpoints:
    """The connection's endpoints; of `connect(broadcast)` and `connect(multicast)` the peer is no single host."""
    word = step.args[0].word if step.verb == "connect" and step.args else None
    if word is None:
        return conn.pair
    if word not in ("broadcast", "multicast"):
        raise HarnessError(f"connect() takes nothing, broadcast or multicast, not {word!r}")
    return dataclasses.replace(conn.pair, tester=FAR[conn.pair.version][word])


def _plain(run: Run, conn: Conn, step: Call, sock: AgentSocket) -> Any:
    verb, args = step.verb, step.args
    words = {arg.word for arg in args if arg.word}
    if verb == "send":
        data = _send_octets(run, conn, args)
        conn.written += len(data)
        return sock.send(data, urgent="urgent" in words, wait="nowait" not in words)
    if verb == "recv":
        if not args or args[0].number is None:
            raise HarnessError("recv takes how many octets: recv(10)")
        return sock.recv(args[0].number, urgent="urgent" in words, wait="nowait" not in words)
    if verb == "shutdown":
        how = next(iter(words), "wr")
        return sock.shutdown(how)  # type: ignore[arg-type]
    if verb == "setsockopt":
        name = args[0].word or ""
        values = [arg.number or 0 for arg in args[1:]]
        return sock.setsockopt(name, (values[0], values[1]) if len(values) == 2 else values[0])
    if verb == "getsockopt":
        return sock.getsockopt(args[0].word or "")
    return getattr(sock, verb)()


def _send_octets(run: Run, conn: Conn, args: tuple[Argument, ...]) -> bytes:
    if not args or (args[0].number is None and args[0].payload is None):
        raise HarnessError('send takes its octets: send(10) or send("text")')
    first = args[0]
    if first.number is not None:
        return pattern.octets(conn.written, first.number)
    assert first.payload is not None
    return payload_octets(first.payload, conn.written, run.scope, conn)


def _wanted(step: Awaited) -> str:
    words = []
    if step.raises:
        words.append("raises " + " or ".join(step.raises))
    if step.returns is not None or not step.raises:
        said = step.returns
        words.append("returns " + (" ".join(map(str, said)) if isinstance(said, tuple) else str(said or "ok")))
    return ", or ".join(words)


def _seen(outcome: Outcome) -> str:
    if outcome.error:
        return f"raises {outcome.error}"
    value = outcome.value
    if isinstance(value, bytes):
        return f"returns {len(value)} octets" if value else "returns eof"
    if isinstance(value, frozenset):
        return "returns " + ("|".join(sorted(value)) or "none")
    return f"returns {value if isinstance(value, int) else 'ok'}"


def _judge(run: Run, conn: Conn, step: Awaited, made: Call, outcome: Outcome) -> Awaitable[None] | None:
    run.note(f"{made.verb} {_seen(outcome)}", conn.name, "call")
    if outcome.error is not None:
        if outcome.error in _LACKING.get(made.verb, ()) and outcome.error not in step.raises:
            raise Unsupported(f"the target has nothing for {made.text.removeprefix('call: ')}: {outcome.error}")
        if outcome.error not in step.raises:
            raise run.fail(step, "the call ended otherwise", expected=_wanted(step), seen=_seen(outcome))
        return None
    if step.raises and step.returns is None:
        raise run.fail(step, "the call should have failed", expected=_wanted(step), seen=_seen(outcome))
    if made.verb == "accept":
        adopt(run, outcome)
    elif made.verb == "recv" and isinstance(outcome.value, bytes):
        return _judge_octets(run, conn, step, made, outcome.value)
    elif made.verb not in _RETURNS_NOTHING and step.returns not in (None, "any", "ok"):
        _judge_value(run, step, outcome)
    return None


def _judge_value(run: Run, step: Awaited, outcome: Outcome) -> None:
    value, wanted = outcome.value, step.returns
    if isinstance(value, frozenset):
        names = frozenset(str(wanted).split("|")) if wanted != "none" else frozenset()
        good = names <= value if names else not value
    else:
        good = value == wanted
    if not good:
        raise run.fail(step, "the call returned something else", expected=_wanted(step), seen=_seen(outcome))


def adopt(run: Run, outcome: Outcome) -> None:
    """Give an accepted socket to the connection whose tester endpoint it has."""
    value: Any = outcome.value
    sock, address, port = value
    run.sockets.append(sock)
    mine = [c for c in run.scope.conns.values() if c.pair.tester_port == port and c.pair.tester == address]
    free = [conn for conn in mine if conn.socket is None] or mine
    if free:
        free[0].socket, free[0].read, free[0].written = sock, 0, 0


def _judge_octets(run: Run, conn: Conn, step: Awaited, made: Call, data: bytes) -> Awaitable[None] | None:
    urgent = any(arg.word == "urgent" for arg in made.args)
    wanted = step.returns
    if wanted in ("eof", "ok"):
        if data:
            raise run.fail(step, "the call returned something else", expected="returns eof", seen=_seen(Outcome(data)))
        return None
    if wanted == "sent":
        return _read_on(run, conn, step, data, copies(run, conn))
    if isinstance(wanted, int) and len(data) != wanted:
        raise run.fail(step, "the call returned something else", expected=_wanted(step), seen=_seen(Outcome(data)))
    if isinstance(wanted, tuple):
        octets = payload_octets(wanted, conn.read, run.scope, conn)
        if data and len(data) < len(octets):
            return _read_on(run, conn, step, data, octets)
        if data != octets:
            raise run.fail(step, *_octet_words(data, octets))
    conn.read += 0 if urgent else len(data)
    return None


async def _read_on(run: Run, conn: Conn, step: Awaited, data: bytes, octets: bytes | list[bytes]) -> None:
    """A read may return less than was asked for: read until all is there, or nothing more comes.

    `octets` is what is wanted, or for each octet the copies of which it may be one.
    """
    while data and len(data) < len(octets):
        assert conn.socket is not None
        more = conn.socket.recv(len(octets) - len(data))
        outcome = more if isinstance(more, Outcome) else await _wait(run, step, more, run.clock.now())
        if outcome.error is not None or not isinstance(outcome.value, bytes) or not outcome.value:
            break
        data += outcome.value
    if isinstance(octets, list):
        _judge_copies(run, step, data, octets)
    elif data != octets:
        raise run.fail(step, *_octet_words(data, octets))
    conn.read += len(data)


def _judge_copies(run: Run, step: Awaited, data: bytes, sent: list[bytes]) -> None:
    wanted = f"returns {len(sent)} octets as they were sent"
    if len(data) != len(sent):
        raise run.fail(step, _count_words(data, sent), expected=wanted, seen=_seen(Outcome(data)))
    way = chosen(data, sent)
    if isinstance(way, int):
        words = f"the octet delivered at {way} is {data[way]:#04x}, and no segment had that there"
        raise run.fail(step, words, expected=wanted, seen=_seen(Outcome(data)))
    if way != "alike":
        run.observations["copy"] = way if run.observations.get("copy", way) == way else "mixed"


def _octet_words(data: bytes, wanted: bytes) -> tuple[str, ...]:
    if len(data) != len(wanted):
        return (_count_words(data, wanted),)
    at = next(i for i in range(len(data)) if data[i] != wanted[i])
    return (f"the octet delivered at {at} is {data[at]:#04x}, not {wanted[at]:#04x}",)


def _count_words(data: bytes, wanted: bytes | list[bytes]) -> str:
    return f"{len(data)} octets were delivered, not {len(wanted)}"


def seconds(value: Any, run: Run, conn: Conn) -> float:
    """A time or a multiple of the last gap, in seconds. Raises HarnessError where no gap is known."""
    amount = float(reader(value)(run.scope, conn))
    if isinstance(value, Seconds):
        return amount
    if conn.last_gap <= 0:
        raise HarnessError(f"{value}: no gap was measured yet")
    return amount * conn.last_gap


__all__ = ["adopt", "call", "result", "seconds", "start"]

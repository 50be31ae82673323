"""The altering wire and agent (see the package)."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

from conformance.targets.base import Endpoints, Outcome
from conformance.tcp import ip_options
from conformance.tcp.options import find
from conformance.tcp.pattern import octets
from conformance.tcp.segment import ACK, FIN, FLAG_BITS, RST, SYN, Segment
from conformance.wire.base import Frame, Inbox
from conformance.wire.codec import Encoder, decode


def bits(names: str) -> int:
    """The flag bits of `SYN,ACK`."""
    return sum(FLAG_BITS[name] for name in names.split(",") if name != "NONE")


@dataclasses.dataclass
class Mutation:
    """One way to be wrong; `armed` once the acts before the guarding step begin."""

    alter: dict[str, Any]
    only: str | None = None
    skip: int = 0
    armed: bool = False
    touched: int = 0
    last_ack: int = 0
    iss: int = 0
    stamps: Any = None
    seen: dict[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    """(ports, seq) of what occupied numbers -> its time: to know copies."""
    last: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)
    """Tester port -> seq and ack of the target's latest segment: to know what says nothing new."""
    shifted: dict[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    ahead: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)
    """Tester port -> the numbers of the text that came too early: it does not come again."""

    def applies(self, segment: Segment, copy: bool) -> bool:
        """Is this one of the segments to alter?"""
        only = self.only
        if only == "copy":
            return copy
        if only == "text":
            return bool(segment.payload)
        if only == "again":
            same = self.last.get(segment.dport) == (segment.seq, segment.ack)
            return same and not segment.length and not segment.flags & RST
        if only == "sack":
            return segment.option("sack") is not None
        if only == "bare":
            return not segment.length and not segment.flags & RST
        return only is None or bool(segment.flags & bits(only))

    def of(self, segment: Segment) -> list[tuple[Segment, float]]:
        """What comes instead of a segment of the target: segments, each with seconds of delay."""
        key = (segment.dport, segment.seq)
        before = self.seen.get(key) if segment.length else None
        if segment.length:
            self.seen[key] = segment.time
        if segment.flags & SYN:
            self.iss = segment.seq
        self.stamps = self.stamps or find(segment.options, "ts")
        wanted = self.armed and self.applies(segment, before is not None)
        self.last[segment.dport] = (segment.end, segment.ack)
        begin, size = self.ahead.get(segment.dport, (0, 0))
        if segment.payload and (segment.seq - begin) & 0xFFFFFFFF < size:
            return []
        if not wanted:
            return [(segment, 0.0)]
        if self.skip:
            self.skip -= 1
            return [(segment, 0.0)]
        self.touched += 1
        return self._altered(segment, before, key)

    def _altered(self, s: Segment, before: int | None, key: tuple[int, int]) -> list[tuple[Segment, float]]:
        a = self.alter
        delay = 0.0
        s = dataclasses.replace(s)
        copies = 1
        for what, value in a.items():
            if what == "drop" or (what == "copies" and before is not None):
                return []
            if what in ("ack", "seq"):
                setattr(s, what, (getattr(s, what) + value) & 0xFFFFFFFF)
            elif what in ("win", "urg", "ttl", "tos", "doff", "reserved"):
                setattr(s, what, value)
            elif what in ("tsval", "tsecr"):
                s.options = tuple(self._stamped(option, what, value) for option in s.options)
            elif what == "say":
                s.payload = value.encode()
            elif what == "extra" and s.payload:
                size = len(s.payload)
                begin = (s.seq - self.iss - 1) & 0xFFFFFFFF
                self.ahead[s.dport] = ((s.seq + size) & 0xFFFFFFFF, value * size)
                more = [
                    dataclasses.replace(s, seq=(s.seq + at) & 0xFFFFFFFF, payload=octets(begin + at, size))
                    for at in range(size, (value + 1) * size, size)
                ]
                return [(s, 0.0), *((each, 0.0) for each in more)]
            elif what == "back" and s.payload:  # what was sent that many octets before
                begin = (s.seq - self.iss - 1 - value) & 0xFFFFFFFF
                s.seq, s.payload = (s.seq - value) & 0xFFFFFFFF, octets(begin, len(s.payload))
            elif what == "shrink":
                s.win = max(0, s.win - value)
            elif what == "ts":
                s.options = _timestamps(s.options, **value)
            elif what == "sack":
                s.options = tuple(_blocks(o, value) if o[0] == "sack" else o for o in s.options)
            elif what == "set":
                s.flags |= bits(value)
            elif what == "clear":
                s.flags &= ~bits(value)
            elif what == "become":
                s.flags, s.payload = bits(value), b""
            elif what == "double":
                copies = 2
            elif what == "late":
                delay = float(value)
            elif what == "gap" and before is not None:
                base = self.shifted.get(key, before)
                s.time = self.shifted[key] = base + round((s.time - before) * value)
            elif what == "text":
                s.payload = _text(s.payload, value)
            elif what == "option":
                s.options, s.doff = _options(s.options, value), 0
            elif what == "ipopt":
                s.ip_options = ip_options.encode(value, b"\0" * 4)
            elif what == "sum":
                s.checksum_ok = False
        if "option" in a or "sack" in a:
            s.doff = 0  # whatever is right for them
        if "gap" in a and before is None:
            self.shifted[key] = s.time
        return [(s, delay)] * copies

    def _stamped(self, option: tuple[Any, ...], what: str, by: int | str) -> tuple[Any, ...]:
        """Timestamps moved on by a number, or `first`: those of the connection's first segment."""
        if option[0] != "ts":
            return option
        at = 1 if what == "tsval" else 2
        new = self.stamps[at] if by == "first" else (option[at] + by) & 0xFFFFFFFF
        return (*option[:at], new, *option[at + 1 :])

    def answers(self, segment: Segment) -> list[Segment]:
        """Answers to a segment of the tester that the target would not give."""
        if not self.armed or "reply" not in self.alter:
            return []
        self.touched += 1
        flags = bits(self.alter["reply"])
        seq = segment.ack if segment.flags & ACK else self.last_ack
        return [Segment(flags, seq, segment.end if flags & ACK else 0, 65535)]

    def outcome(self, verb: str, outcome: Outcome) -> Outcome:
        """The outcome of a call, altered."""
        said = self.alter.get("call")
        if not self.armed or said is None or said["verb"] != verb:
            return outcome
        self.touched += 1
        if "error" in said:
            return Outcome(None, said["error"])
        value = said.get("value")
        if value == "eof":
            return Outcome(b"")
        return Outcome(value.encode() if isinstance(value, str) else value)


def _text(payload: bytes, value: Any) -> bytes:
    if value == "corrupt":
        return payload[:-1] + bytes((payload[-1] ^ 0xFF,)) if payload else payload
    if isinstance(value, str) and value.startswith("+"):
        return payload + bytes(int(value)) if payload else payload
    return b"" if value == "drop" else payload[: int(value)]


def _timestamps(options: tuple[Any, ...], val: int = 0, ecr: int = 0) -> tuple[Any, ...]:
    def moved(option: Any) -> Any:
        return ("ts", (option[1] + val) & 0xFFFFFFFF, (option[2] + ecr) & 0xFFFFFFFF)

    return tuple(moved(option) if option[0] == "ts" else option for option in options)


def _blocks(option: Any, value: str) -> Any:
    blocks = option[1:]
    if value == "reverse":
        return ("sack", *reversed(blocks))
    if value == "wide":
        return ("sack", *((left, (right + 1) & 0xFFFFFFFF) for left, right in blocks))
    if value == "first":
        return ("sack", blocks[0])
    return ("sack", *((right, left) for left, right in blocks))


def _options(options: tuple[Any, ...], value: dict[str, Any]) -> tuple[Any, ...]:
    if "remove" in value:
        return tuple(option for option in options if option[0] not in (value["remove"], "nop", "eol"))
    new = tuple(tuple(part) if isinstance(part, list) else part for part in value["set"])
    return (*(option for option in options if option[0] not in (new[0], "nop", "eol")), new)


class AlteringWire:
    """A wire between a case and the real one."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._mutations: dict[bytes, tuple[Mutation, Inbox, Encoder]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def mutate(self, pair: Endpoints, mutation: Mutation) -> None:
        """Alter what goes to this pair's tester address from now on."""
        back = Encoder(pair.target, pair.tester, self._inner.target_mac, self._inner.tester_mac)
        self._mutations[pair.tester] = (mutation, Inbox(), back)

    def attach(self, address: bytes, inbox: Inbox) -> None:
        known = self._mutations.get(address)
        if known is None:
            self._inner.attach(address, inbox)
            return
        mutation, _, back = known
        self._mutations[address] = (mutation, inbox, back)
        shadow = Inbox()
        shadow.wake = lambda: self._move(shadow, inbox, mutation, back)
        self._inner.attach(address, shadow)

    def detach(self, address: bytes, late: Any = None) -> None:
        self._mutations.pop(address, None)
        self._inner.detach(address, late)

    def send(self, frame: bytes) -> int:
        time_ns: int = self._inner.send(frame)
        source = frame[26:30] if frame[12:14] == b"\x08\x00" else frame[22:38]
        known = self._mutations.get(source)
        if known is not None:
            mutation, inbox, back = known
            segment = decode(frame)
            if isinstance(segment, Segment):
                for answer in mutation.answers(segment):
                    answer.sport, answer.dport = segment.dport, segment.sport
                    self._put(Frame(time_ns + 1000, back.encode(answer)), inbox)
        return time_ns

    def _move(self, shadow: Inbox, inbox: Inbox, mutation: Mutation, back: Encoder) -> None:
        while shadow.frames:
            frame = shadow.frames.popleft()
            segment = decode(frame.data)
            if not isinstance(segment, Segment):
                self._put(frame, inbox)
                continue
            segment.time = frame.time
            mutation.last_ack = segment.end
            if mutation.armed and "icmp" in mutation.alter:
                mutation.touched += 1
                self._put(Frame(frame.time, back.icmp(mutation.alter["icmp"], Segment(ACK, 0, 0))), inbox)
            for altered, delay in mutation.of(segment):
                way = self._from_elsewhere(back) if "from" in mutation.alter and mutation.armed else back
                new = frame if altered is segment else Frame(altered.time + round(delay * 1e9), way.encode(altered))
                if delay:
                    asyncio.get_running_loop().call_later(delay, self._put, new, inbox)
                else:
                    self._put(new, inbox)

    def _from_elsewhere(self, back: Encoder) -> Encoder:
        other = back.source[:-1] + bytes((back.source[-1] ^ 1,))
        return Encoder(other, back.target, self._inner.target_mac, self._inner.tester_mac)

    @staticmethod
    def _put(frame: Frame, inbox: Inbox) -> None:
        inbox.frames.append(frame)
        if inbox.wake is not None:
            inbox.wake()


class _Pending:
    def __init__(self, inner: Any, alter: Callable[[Outcome], Outcome]) -> None:
        self._inner, self._alter = inner, alter

    def poll(self) -> Outcome | None:
        outcome = self._inner.poll()
        return None if outcome is None else self._alter(outcome)

    async def wait(self, timeout: float) -> Outcome | None:
        outcome = await self._inner.wait(timeout)
        return None if outcome is None else self._alter(outcome)

    def cancel(self) -> None:
        self._inner.cancel()


class AlteringSocket:
    """An agent's socket whose outcomes are altered."""

    def __init__(self, inner: Any, mutation: Mutation) -> None:
        self._inner, self._mutation = inner, mutation

    def __getattr__(self, verb: str) -> Any:
        inner = getattr(self._inner, verb)
        if verb == "dispose":
            return inner

        def called(*args: Any, **named: Any) -> Any:
            return self._after(verb, inner(*args, **named))

        return called

    def _after(self, verb: str, outcome: Any) -> Any:
        if not isinstance(outcome, Outcome):
            said = self._mutation.alter.get("call")
            if self._mutation.armed and said is not None and said["verb"] == verb:
                outcome.cancel()
                return self._mutation.outcome(verb, Outcome())
            return _Pending(outcome, lambda out: self._wrap(verb, out))
        return self._wrap(verb, outcome)

    def _wrap(self, verb: str, outcome: Outcome) -> Outcome:
        outcome = self._mutation.outcome(verb, outcome)
        if verb == "accept" and outcome.error is None and isinstance(outcome.value, tuple):
            sock, address, port = outcome.value
            return Outcome((AlteringSocket(sock, self._mutation), address, port))
        return outcome


class AlteringTarget:
    """A target whose one case meets one mutation; shares the real target with others."""

    def __init__(self, inner: Any, mutation: Mutation) -> None:
        self._inner, self._mutation = inner, mutation
        self.wire = AlteringWire(inner.wire)
        self.oracle = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def open_pair(self, *args: Any) -> Endpoints:
        pair: Endpoints = self._inner.open_pair(*args)
        self.wire.mutate(pair, self._mutation)
        return pair

    def socket(self, pair: Endpoints) -> AlteringSocket:
        return AlteringSocket(self._inner.socket(pair), self._mutation)


__all__ = ["FIN", "SYN", "AlteringTarget", "Mutation"]

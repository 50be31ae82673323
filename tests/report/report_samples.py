"""Results to report on: one stack, one connection, frames built by our own codec."""

from __future__ import annotations

import socket

from conformance.engine.result import Difference, Event, Finding, NamedState, Place, Result, Verdict
from conformance.tcp.pattern import octets
from conformance.tcp.segment import ACK, FIN, PSH, SYN, Segment
from conformance.wire.codec import Encoder

TESTER, TARGET = "198.18.0.1", "192.0.2.1"
TESTER_PORT, TARGET_PORT = 40000, 8080
IRS, ISS = 0xFFFFFFF0, 0x20000000
START = 1_763_682_659_123_456_789
MACS = (b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02")
OUT = Encoder(socket.inet_aton(TESTER), socket.inet_aton(TARGET), *MACS)
BACK = Encoder(socket.inet_aton(TARGET), socket.inet_aton(TESTER), *reversed(MACS))
REQUIREMENT = "RFC9293-3.10.7.4-FIN-WAIT-1-FIN"


def sent(flags: int, seq: int, ack: int = 0, **fields: object) -> bytes:
    segment = Segment(flags, (IRS + seq) & 0xFFFFFFFF, ISS + ack if flags & ACK else 0, **fields)
    segment.sport, segment.dport, segment.doff = TESTER_PORT, TARGET_PORT, 0
    return OUT.encode(segment)


def seen(flags: int, seq: int, ack: int = 0, **fields: object) -> bytes:
    segment = Segment(flags, ISS + seq, (IRS + ack) & 0xFFFFFFFF if flags & ACK else 0, **fields)
    segment.sport, segment.dport, segment.doff = TARGET_PORT, TESTER_PORT, 0
    return BACK.encode(segment)


def event(number: int, kind: str, step: int, data: bytes | str, connection: str = "main") -> Event:
    return Event(START + number * 10_000, kind, connection, step, data)


def passing(id_: str = "close/crossing-fins[ip=v4]", **fields: object) -> Result:
    trace = [
        event(0, "call", 0, "listen(1) -> None"),
        event(1, "sent", 1, sent(SYN, 0, win=65535, options=(("mss", 1460), ("sackOK",)))),
        event(2, "seen", 1, seen(SYN | ACK, 0, 1, win=65160, options=(("mss", 1460), ("nop",), ("wscale", 7)))),
        event(3, "sent", 2, sent(PSH | ACK, 1, 1, win=65535, payload=octets(0, 100))),
        event(4, "seen", 2, seen(ACK, 1, 101, win=502, options=(("sack", (ISS & 0, 5), (9, 12)),))),
        event(5, "note", 2, "the barrier came back"),
        event(6, "probe", 3, sent(ACK, 100, 1)),
        event(7, "sent", 4, sent(FIN | ACK, 101, 1)),
    ]
    result = Result(
        id_,
        "cases/close/crossing-fins.yaml",
        "Crossing FINs take FIN-WAIT-1 through CLOSING to TIME-WAIT",
        (REQUIREMENT,),
        Verdict.PASS,
        "every step held",
        trace=trace,
        steps=("call: listen(1)", "send: SYN", "send: PSH,ACK (100)", "state: ESTABLISHED", "expect: ACK seq=fin.end"),
        places=tuple(Place("cases/close/crossing-fins.yaml", line, 5) for line in range(4, 9)),
        states=[NamedState(3, "main", "ESTABLISHED", ("ESTABLISHED",), "P1 drew ACK", "ESTABLISHED")],
        started=START,
        duration=0.01,
        pairs={"main": (TESTER, TESTER_PORT, TARGET, TARGET_PORT)},
        isns={"main": (ISS, IRS)},
        observations={"RFC9293-MAY-2": "accepts"},
        settings={"tcp_syncookies": "0"},
    )
    for name, value in fields.items():
        setattr(result, name, value)
    return result


def failing(id_: str = "close/crossing-fins[ip=v4]", **fields: object) -> Result:
    result = passing(id_)
    result.verdict = Verdict.FAIL
    result.reason = "step 5 did not hold"
    result.finding = Finding(
        Place("cases/close/crossing-fins.yaml", 8, 5),
        4,
        "the ACK does not count our FIN",
        (REQUIREMENT,),
        "  - expect: ACK seq=fin.end",
        "ACK seq=iss+2 ack=irs+102",
        "FIN,ACK seq=iss+2 ack=irs+101",
        (Difference("flags", "ACK", "FIN,ACK"), Difference("ack", "irs+102", "irs+101")),
    )
    result.trace.append(event(8, "seen", 4, seen(FIN | ACK, 2, 101)))
    for name, value in fields.items():
        setattr(result, name, value)
    return result


def other(verdict: Verdict, id_: str, reason: str = "because") -> Result:
    return passing(id_, verdict=verdict, reason=reason)

"""Which copy of an octet the application was given, where the tester's segments differed (RFC 9293 section 3.10.7.4).

The RFC says that each octet of the stream is delivered once and in order. It does not say which of several segments it
is taken from: that is reported, not judged.
"""

from __future__ import annotations

from conformance.engine.context import Run
from conformance.engine.scope import Conn
from conformance.tcp.segment import SYN, Segment
from conformance.wire.codec import decode


def copies(run: Run, conn: Conn) -> list[bytes]:
    """What the tester sent at each octet that the target has acknowledged and the application has not read.

    The copies stand in the order in which they were sent.
    """
    tcb = conn.tcb
    end = tcb.peer_offset(tcb.peer_fin if tcb.peer_fin is not None else tcb.rcv_nxt)
    found = [bytearray() for _ in range(max(0, end - conn.read))]
    ports = conn.pair.tester_port, conn.pair.target_port
    for event in run.trace:
        segment = decode(event.data) if event.kind == "sent" and isinstance(event.data, bytes) else None
        if not isinstance(segment, Segment) or (segment.sport, segment.dport) != ports:
            continue
        at = tcb.peer_offset(segment.seq + bool(segment.flags & SYN)) - conn.read
        if at > 1 << 31:  # it begins before what was read
            at -= 1 << 32
        for index in range(max(0, -at), min(len(segment.payload), len(found) - at)):
            found[at + index].append(segment.payload[index])
    return [bytes(each) for each in found]


def chosen(data: bytes, sent: list[bytes]) -> str | int:
    """Whose octets `data` has: `first`, `last`, `mixed`, or `alike` of all; or where it has an octet of none."""
    ways = {"first", "last"}
    differed = False
    for at, (octet, each) in enumerate(zip(data, sent, strict=True)):
        if octet not in each:
            return at
        if len(set(each)) > 1:
            differed = True
            ways -= {"first"} if octet != each[0] else set()
            ways -= {"last"} if octet != each[-1] else set()
    if not differed:
        return "alike"
    return min(ways, default="mixed")

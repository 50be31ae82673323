"""What must hold of every segment that the target sends, in every case, without a line in the case.

Each check says which requirement a violation breaks. Fast: it runs on every segment seen.
"""

from __future__ import annotations

from typing import NamedTuple

from conformance.tcp.segment import ACK, RST, SYN, Segment, flag_names
from conformance.tcp.sequence import before
from conformance.tcp.tcb import TCB


class Violation(NamedTuple):
    """An invariant that a segment breaks, and the requirement it stems from."""

    requirement: str
    message: str


def violation(segment: Segment, tcb: TCB, highest_sent: int) -> Violation | None:
    """The first invariant that `segment` breaks; `highest_sent` is the number after the tester's last octet."""
    if not segment.checksum_ok:
        return Violation("RFC9293-MUST-2", "its checksum is wrong")
    if segment.doff < 5:
        return Violation("RFC9293-3.1-DOFFSET", f"its data offset is {segment.doff}")
    if segment.reserved:
        return Violation("RFC9293-3.1-RESERVED-SEND", f"its reserved bits are {segment.reserved}")
    flags = segment.flags
    if flags & RST:
        return None
    if not flags & (SYN | ACK):
        return Violation("RFC9293-3.5-FIG6-3WHS", f"{flag_names(flags)} without ACK after the handshake's first SYN")
    if flags & ACK and tcb.synchronized and before(highest_sent, segment.ack):
        return Violation("RFC9293-3.8-ALWAYS-ACK", "it acknowledges what was never sent to it")
    return None

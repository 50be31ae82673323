"""What must hold of every segment that the target sends, in every case, without a line in the case.

Each check says which requirement a violation breaks. It is fast, for it runs on every segment seen: what is plain in
the segment first, then what its connection's history says. Where a stack has a choice the check leaves it to the cases.
"""

from __future__ import annotations

from typing import NamedTuple

from conformance.tcp.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, IcmpMessage, Segment, flag_names
from conformance.tcp.sequence import add, at_or_before, before, distance
from conformance.tcp.tcb import TCB


class Violation(NamedTuple):
    """An invariant that a segment breaks, and the requirement it stems from."""

    name: str
    requirement: str
    message: str


INVARIANTS = {
    "address-of-open": "RFC9293-MUST-43",
    "address": "RFC9293-MUST-45",
    "checksum": "RFC9293-MUST-2",
    "data-offset": "RFC9293-3.1-DOFFSET",
    "reserved": "RFC9293-3.1-RESERVED-SEND",
    "ack-flag": "RFC9293-3.5-FIG6-3WHS",
    "rst-form": "RFC9293-3.5.2-G1",
    "rst-number": "RFC9293-3.5.2-G1",
    "rst-ack": "RFC9293-3.5.2-G1",
    "rst-to-rst": "RFC9293-3.5.2-NO-RST-TO-RST",
    "option-length": "RFC9293-MUST-68",
    "after-eol": "RFC9293-MUST-69",
    "mss-only-in-syn": "RFC9293-MUST-65",
    "mss-value": "RFC9293-MUST-67",
    "wscale-only-in-syn": "RFC7323-2.2-WS-SYNACK-ONLY-IF",
    "wscale-at-most-14": "RFC7323-2.3-WS-MAX14",
    "sack-permitted-only-in-syn": "RFC2018-2-PERM-SYN-ONLY",
    "sack-negotiated": "RFC2018-4-NO-PERM",
    "sack-blocks": "RFC2018-3-FORMAT",
    "timestamps-offered": "RFC7323-3.2-TS-SYNACK",
    "timestamps-always": "RFC7323-3.2-TS-ALWAYS",
    "timestamps-forward": "RFC7323-4.1-CLOCK",
    "timestamps-echo": "RFC7323-3.2-TSECR-ECHO",
    "timestamps-echo-zero": "RFC7323-3.2-TSECR-ZERO",
    "ack-beyond": "RFC9293-3.8-ALWAYS-ACK",
    "ack-back": "RFC9293-3.8-ALWAYS-ACK",
    "number-gap": "RFC9293-3.4-NUMBERS",
    "same-octets": "RFC9293-3.4-NUMBERS",
    "after-fin": "RFC9293-3.6-FIN-LAST",
    "fin-moved": "RFC9293-3.6-FIN-LAST",
    "offered-window": "RFC9293-3.8.6-OFFERED",
    "own-window": "RFC9293-SHLD-14",
    "mss": "RFC9293-MUST-16",
    "initial-window": "RFC5681-3.1-IW",
    "early-repeat": "RFC6298-5-EARLY",
    "ecn-syn": "RFC3168-6.1.1-SYN-NOT-ECT",
    "ecn-syn-ack": "RFC3168-6.1.1-SYNACK",
    "ecn-negotiated": "RFC3168-6.1.1-NO-ECT",
    "ecn-ack": "RFC3168-6.1.4-ACK-NOT-ECT",
    "ecn-repeat": "RFC3168-6.1.5-RTX-NOT-ECT",
    "ecn-probe": "RFC3168-6.1.6-PROBE",
    "source-quench": "RFC6633-3-NO-SEND",
}
"""Name of each invariant -> the requirement that it guards."""

SOFT = frozenset({"own-window", "timestamps-echo-zero"})
"""Those that guard a SHOULD: the case goes on, and what it finds besides counts more."""

BY_PATH = frozenset(
    {
        "timestamps-forward",
        "ack-back",
        "number-gap",
        "own-window",
        "early-repeat",
        "rst-to-rst",
        "ecn-repeat",
        "ecn-probe",
    }
)
"""Those that a right target's segments break, too, when the path loses, doubles, delays or reorders them."""

_HEADERS = {4: 40, 6: 60}
"""Octets of the least IP and TCP headers: what a link's MTU leaves is the largest MSS (RFC 9293 section 3.7.1)."""
_EARLY = 100_000_000
"""ns within which no retransmission timer ends: half of the shortest least RTO in use, a tenth of RFC 6298's."""
_ANSWER = 10_000_000
"""ns within which a segment counts as the answer to the latest one sent."""
_PLAIN = (("nop",), ("nop",))
_SOURCE_QUENCH = 4


def _broken(name: str, message: str) -> Violation:
    return Violation(name, INVARIANTS[name], message)


def violation_of_icmp(message: IcmpMessage) -> Violation | None:
    """What no ICMP message of a host may be."""
    if message.version == 4 and message.type == _SOURCE_QUENCH:
        return _broken("source-quench", "it is a Source Quench")
    return None


class Watch:
    """What the invariants need to know of a connection beside its TCB: what was sent, and its last words."""

    __slots__ = (
        "acks",
        "asked_ecn",
        "doubtful",
        "ecn",
        "edge",
        "iss",
        "quiet_rst",
        "tsval",
        "tsvals",
    )

    def __init__(self) -> None:
        self.acks: set[int] = {0}
        """Acknowledgement numbers that the tester sent: a RST may begin at each."""
        self.tsvals: set[int] = {0}
        self.tsval: int | None = None
        self.edge: int | None = None
        """The furthest right edge of a window that the tester offered."""
        self.iss: int | None = None
        self.doubtful = False
        """A duplicate ACK or an ICMP error was sent: a repeat may come before its timer ends."""
        self.asked_ecn = self.ecn = False
        self.quiet_rst = 0
        """ns: when a RST was sent that nothing was sent or called after; 0: it was something else."""

    def sent(self, segment: Segment, tcb: TCB) -> None:
        """The tester sent `segment`; `tcb` knows of it already."""
        flags = segment.flags
        for option in segment.options:
            if option[0] == "ts":
                self.tsvals.add(option[1])
        self.quiet_rst = segment.time if flags & RST else 0
        if flags & SYN:
            if flags & ACK:
                self.ecn = self.asked_ecn and flags & (ECE | CWR) == ECE
            else:
                self.asked_ecn = flags & (ECE | CWR) == ECE | CWR
        if not flags & ACK:
            return
        ack = segment.ack
        if ack in self.acks and not segment.length:
            self.doubtful = True
        self.acks.add(ack)
        edge = add(ack, segment.win if flags & SYN else segment.win << tcb.snd_shift)
        if self.edge is None or before(self.edge, edge):
            self.edge = edge

    def violation(self, segment: Segment, tcb: TCB, highest: int) -> Violation | None:
        """The first invariant that `segment` breaks; `highest` is the number after the tester's last octet.

        To be asked before the TCB is told of the segment. Nothing is learned here: `seen` does that.
        """
        if segment.foreign:
            opens = segment.flags & (SYN | ACK) == SYN
            return _broken("address-of-open" if opens else "address", "it comes from another address")
        if not segment.checksum_ok:
            return _broken("checksum", "its checksum is wrong")
        if segment.doff < 5:
            return _broken("data-offset", f"its data offset is {segment.doff}")
        if segment.reserved:
            return _broken("reserved", f"its reserved bits are {segment.reserved}")
        flags = segment.flags
        if segment.options and segment.options[:2] != _PLAIN:
            broken = self._options(segment, tcb)
            if broken is not None:
                return broken
        if flags & RST:
            return self._rst(segment, tcb, highest)
        if flags & SYN:
            return self._syn(segment, tcb, highest)
        if not flags & ACK:
            return _broken("ack-flag", f"{flag_names(flags)} without ACK after the handshake's first SYN")
        if not tcb.synchronized or tcb.iss is None or tcb.reset:
            return None
        if before(highest, segment.ack):
            return _broken("ack-beyond", "it acknowledges what was never sent to it")
        if tcb.last_ack is not None and before(segment.ack, tcb.last_ack):
            return _broken("ack-back", "it takes an acknowledgement back")
        return self._history(segment, tcb)

    def _options(self, segment: Segment, tcb: TCB) -> Violation | None:
        syn = segment.flags & SYN
        eol = False
        for option in segment.options:
            name = option[0]
            if name == "eol":
                eol = True
            elif name == "raw":
                if eol:
                    return _broken("after-eol", "octets after its End of Option List are not zero")
                if segment.doff * 4 - 20 >= len(option[1]):
                    return _broken("option-length", "one of its options has a length that does not fit")
                return _broken("data-offset", f"its data offset, {segment.doff}, lies beyond its end")
            elif name == "sack":
                broken = self._sack(segment, option[1:], tcb)
                if broken is not None:
                    return broken
            elif not syn:
                if name == "mss":
                    return _broken("mss-only-in-syn", "it has an MSS option and no SYN")
                if name == "wscale":
                    return _broken("wscale-only-in-syn", "it has a Window Scale option and no SYN")
                if name == "sackOK":
                    return _broken("sack-permitted-only-in-syn", "it permits SACK, and has no SYN")
            elif name == "mss" and option[1] > tcb.mtu - _HEADERS[tcb.version]:
                return _broken("mss-value", f"an MSS of {option[1]} is more than its link takes")
            elif name == "wscale" and option[1] > 14:
                return _broken("wscale-at-most-14", f"it offers a shift of {option[1]}")
        return None

    @staticmethod
    def _sack(segment: Segment, blocks: tuple[tuple[int, int], ...], tcb: TCB) -> Violation | None:
        if tcb.synchronized and not tcb.sack_on:
            return _broken("sack-negotiated", "it has a SACK option that was not permitted")
        ack = segment.ack
        for index, (left, right) in enumerate(blocks):
            if not before(left, right):
                return _broken("sack-blocks", "a SACK block is empty or turned round")
            if index and not before(ack, left):
                return _broken("sack-blocks", "a SACK block after the first is at or below its acknowledgement number")
            if not index and before(left, ack) and before(ack, right):
                return _broken("sack-blocks", "its first SACK block lies on both sides of its acknowledgement number")
            if index > 1 and any(before(left, r) and before(low, right) for low, r in blocks[1:index]):
                return _broken("sack-blocks", "two of its SACK blocks overlap")
        return None

    def _rst(self, segment: Segment, tcb: TCB, highest: int) -> Violation | None:
        flags = segment.flags
        if flags & ~(RST | ACK | PSH):
            return _broken("rst-form", f"a RST with {flag_names(flags & ~(RST | ACK))}")
        if self.quiet_rst and 0 <= segment.time - self.quiet_rst < _ANSWER:
            return _broken("rst-to-rst", "it answers a RST by a RST")
        if flags & ACK:
            if before(highest, segment.ack):
                return _broken("rst-ack", "its RST acknowledges what was never sent to it")
        elif segment.seq not in self.acks and segment.seq not in (tcb.snd_nxt, tcb.snd_una):
            return _broken("rst-number", "its RST has a number that no acknowledgement named, and is not SND.NXT")
        return None

    def _syn(self, segment: Segment, tcb: TCB, highest: int) -> Violation | None:
        flags = segment.flags
        if segment.tos & 3:
            return _broken("ecn-syn", "a SYN in a datagram that says ECT or CE")
        if not flags & ACK:
            stamps = segment.timestamps
            if stamps is not None and stamps[1]:
                return _broken("timestamps-echo-zero", f"a SYN without ACK echoes {stamps[1]}")
            return None
        if tcb.synchronized and before(highest, segment.ack):
            return _broken("ack-beyond", "it acknowledges what was never sent to it")
        if tcb.target_only_syn or (tcb.iss is not None and not tcb.synchronized):
            return None
        if tcb.syn_seq is None and not tcb.synchronized:
            return None
        if flags & ECE and not flags & CWR and not self.asked_ecn:
            return _broken("ecn-syn-ack", "its SYN,ACK agrees to ECN that the SYN did not ask for")
        asked = tcb.syn_options
        for option in segment.options:
            name = option[0]
            if name in asked:
                continue
            if name == "wscale":
                return _broken("wscale-only-in-syn", "its SYN,ACK scales windows, the SYN did not")
            if name == "ts":
                return _broken("timestamps-offered", "its SYN,ACK has timestamps, the SYN had none")
        return None

    def _history(self, segment: Segment, tcb: TCB) -> Violation | None:
        stamps = segment.timestamps
        if tcb.ts_on:
            if stamps is None:
                return _broken("timestamps-always", "it lacks the timestamps that were negotiated")
            if self.tsval is not None and self.iss == tcb.iss and before(stamps[0], self.tsval):
                return _broken("timestamps-forward", f"its clock goes back, from {self.tsval} to {stamps[0]}")
            if stamps[1] not in self.tsvals:
                return _broken("timestamps-echo", f"it echoes {stamps[1]}, which was never sent to it")
        elif stamps is not None:
            return _broken("timestamps-offered", "it has timestamps that were not negotiated")
        length = segment.length
        if segment.tos & 3:
            broken = self._marked(segment, tcb)
            if broken is not None:
                return broken
        if tcb.rcv_edge != tcb.rcv_nxt and tcb.last_ack is not None and not tcb.target_only_syn:
            edge = add(segment.ack, segment.win << tcb.rcv_shift)
            if distance(edge, tcb.rcv_edge) >= 1 << tcb.rcv_shift:
                lost = distance(edge, tcb.rcv_edge)
                return _broken("own-window", f"it takes {lost} octets of its window back")
        if before(tcb.snd_nxt, segment.seq):
            return _broken("number-gap", "it leaves out numbers")
        return self._text(segment, tcb) if length else None

    def _marked(self, segment: Segment, tcb: TCB) -> Violation | None:
        if tcb.snd_wnd == 0:
            return _broken("ecn-probe", "a window probe in a datagram that says ECT or CE")
        if not segment.length:
            return _broken("ecn-ack", "an ACK without text in a datagram that says ECT or CE")
        if not (self.ecn or self.asked_ecn):
            return _broken("ecn-negotiated", "a datagram that says ECT or CE, without ECN")
        if before(segment.seq, tcb.snd_nxt):
            return _broken("ecn-repeat", "a repeat in a datagram that says ECT or CE")
        return None

    def _text(self, segment: Segment, tcb: TCB) -> Violation | None:
        seq, end, payload = segment.seq, segment.end, segment.payload
        if tcb.fin_seq is not None:
            if payload and before(tcb.fin_seq, add(seq, len(payload))):
                return _broken("after-fin", "it has text beyond its FIN")
            if segment.flags & FIN and add(end, -1) != tcb.fin_seq:
                return _broken("fin-moved", "its FIN has another number than before")
        if not payload:
            return None
        if len(payload) + segment.doff * 4 - 20 > tcb.mss_tester:
            return _broken("mss", f"{len(payload)} octets of text, where {tcb.mss_tester} are taken, options included")
        if self.edge is not None and distance(self.edge, add(seq, len(payload))) > 1:
            return _broken("offered-window", "it has text beyond the window that was offered")
        if before(seq, tcb.snd_nxt):
            known = distance(seq, tcb.snd_nxt)
            if not tcb.same_text(seq, payload[:known]):
                return _broken("same-octets", "it repeats other octets than it sent under these numbers")
            copy = tcb.copies.get(seq)
            if (
                copy is not None
                and len(payload) > 1
                and not (self.doubtful or tcb.sack_on)
                and 0 <= segment.time - copy.time < _EARLY
            ):
                return _broken("early-repeat", f"it repeats after {(segment.time - copy.time) / 1e9:.3f} s")
        iss = tcb.iss or 0
        if at_or_before(tcb.snd_una, add(iss, 1)) and not self.doubtful:
            flight = distance(iss, end) - 1
            if flight > (11 if tcb.sack_on else 10) * tcb.mss_tester:  # RFC 8985 section 7.3: a probe may be new text
                return _broken("initial-window", f"{flight} octets before any was acknowledged")
        return None

    def seen(self, segment: Segment, tcb: TCB) -> None:
        """The target sent `segment`, and its TCB has been told."""
        flags = segment.flags
        if flags & RST:
            return
        if flags & SYN:
            if not flags & ACK:
                self.asked_ecn = flags & (ECE | CWR) == ECE | CWR
            elif self.asked_ecn:
                self.ecn = flags & (ECE | CWR) == ECE
            if self.iss != segment.seq:
                self.iss, self.tsval = segment.seq, None
        stamps = segment.timestamps
        if stamps is not None:
            self.tsval = stamps[0]


__all__ = ["BY_PATH", "INVARIANTS", "SOFT", "Violation", "Watch"]

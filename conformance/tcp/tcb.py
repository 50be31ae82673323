"""The target's variables as the tester knows them (RFC 9293 section 3.3.1), advanced by what is sent and seen.

`sent` applies the RFC's own acceptance tests to predict what the target takes; where the RFC allows several outcomes
the others are kept, and what comes decides. The variables outlive the target's TCB. No calls of the application are
known here: everything follows from segments.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.tcp.options import Option, encode
from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment
from conformance.tcp.sequence import MASK, acceptable, add, at_or_before, before, distance, later
from conformance.tcp.states import View

_TEXT_KEPT = 1 << 22


@dataclass(slots=True)
class Copy:
    """The last time a stretch of the target's sequence space was sent: for gaps and due retransmissions."""

    time: int
    gap: int = 0
    """ns since the copy before, 0 for the first."""
    count: int = 1


class TCB:
    """One connection of the target, seen from its peer. Times are ns; numbers are absolute, modulo 2**32."""

    __slots__ = (
        "_holes",
        "_lead",
        "alternatives",
        "copies",
        "fin_seq",
        "first_fin_ack",
        "first_repeat",
        "half_open_kept",
        "irs",
        "iss",
        "last_ack",
        "last_copy",
        "max_wnd",
        "mss_target",
        "mss_tester",
        "mtu",
        "owed",
        "peer_fin",
        "peer_options",
        "rcv_edge",
        "rcv_nxt",
        "rcv_shift",
        "reset",
        "sack_on",
        "snd_nxt",
        "snd_shift",
        "snd_una",
        "snd_wnd",
        "syn_options",
        "syn_seq",
        "synchronized",
        "target_only_syn",
        "text",
        "ts_echo",
        "ts_on",
        "ts_recent",
        "una_before",
        "una_time",
        "version",
        "window_field",
    )

    def __init__(self, irs: int, version: int, mtu: int = 1500) -> None:
        self.version = version
        self.mtu = mtu
        self.irs = irs
        self.iss: int | None = None
        self.snd_una = self.snd_nxt = 0
        self.una_before = self.una_time = 0
        """What snd_una was before the tester's latest acknowledgement of something new, and when (ns) that left."""
        self.snd_wnd = 0
        self.max_wnd = 0
        self.rcv_nxt = irs
        self.rcv_edge = irs
        self.rcv_shift = self.snd_shift = 0
        self.ts_on = self.sack_on = False
        self.ts_recent = self.ts_echo = 0
        self.mss_tester = self.mss_target = default_mss(version)
        self.syn_options: dict[str, tuple[object, ...]] = {}
        """What the tester's SYN offered."""
        self.peer_options: dict[str, tuple[object, ...]] = {}
        """What the target's SYN offered."""
        self.syn_seq: int | None = None
        """Number of a SYN that the tester sent and that no SYN,ACK has bound yet."""
        self.synchronized = False
        self.target_only_syn = False
        """The target's SYN came without an ACK: it opens actively."""
        self.fin_seq: int | None = None
        self.first_fin_ack: int | None = None
        self.peer_fin: int | None = None
        """Number of the tester's FIN once the target must have taken it."""
        self.last_ack: int | None = None
        self.owed = False
        """The target may still owe an acknowledgement of something that it took."""
        self.alternatives: set[int] = set()
        self.reset = False
        self.copies: dict[int, Copy] = {}
        self.last_copy: Copy | None = None
        self.text = bytearray()
        self.window_field = 65535
        self.first_repeat = 0.0
        """Seconds within which this stack repeats something for the first time, where that is known; 0: it is not."""
        self.half_open_kept = True
        """False: a listener that keeps nothing of a SYN; an ACK makes a connection of it (RFC 4987 section 3.6)."""
        self._lead = 0
        self._holes: list[tuple[int, int, bool]] = []

    # -- what cases read ------------------------------------------------------------------------------------

    @property
    def rcv_wnd(self) -> int:
        """Octets from rcv.nxt to the right edge of the window that the target advertised."""
        return max(0, distance(self.rcv_nxt, self.rcv_edge))

    @property
    def smss(self) -> int:
        """The most text that the target may put in a segment: what the tester accepts, options taken off (MUST-16)."""
        return min(self.mss_tester, 1460 if self.version == 4 else 1440) - (12 if self.ts_on else 0)

    @property
    def rmss(self) -> int:
        """The most text that the target is willing to take in a segment: its MSS option, or the default (MUST-15)."""
        return self.mss_target - (12 if self.ts_on else 0)

    @property
    def timer_runs(self) -> bool:
        """The target may have to repeat text, or to probe: some is not acknowledged, or it has no window."""
        if not self.synchronized or self.reset:
            return False
        text = before(self.snd_una, self.snd_nxt) and (self.fin_seq is None or before(self.snd_una, self.fin_seq))
        return text or not self.snd_wnd

    def view(self) -> View:
        """The variables that the event table's checks read."""
        return View(self.snd_una, self.snd_nxt, self.rcv_nxt, self.rcv_wnd, self.iss or 0, max(self.max_wnd, 1))

    def stream_offset(self, seq: int) -> int:
        """Offset in the target's stream of a sequence number of the target: 0 is the first octet after its SYN."""
        return (seq - (self.iss or 0) - 1) & MASK

    def peer_offset(self, seq: int) -> int:
        """Offset in the tester's stream of one of the tester's numbers."""
        return (seq - self.irs - 1) & MASK

    # -- what the tester sends ------------------------------------------------------------------------------

    def sent(self, segment: Segment) -> None:
        """The tester sent `segment`: predict what the target takes of it."""
        flags = segment.flags
        if not segment.checksum_ok or (segment.doff and not _header_fits(segment)):
            return
        if flags & SYN:
            self._sent_syn(segment)
            return
        if not self.synchronized:
            return
        if flags & RST:
            if segment.seq == self.rcv_nxt:
                self.reset = True
            return
        if self.reset or not flags & ACK or before(self.snd_nxt, segment.ack):
            return
        if before(segment.ack, add(self.snd_una, -max(self.max_wnd, 1))):
            return
        stamps = segment.timestamps
        if self.ts_on and (stamps is None or before(stamps[0], self.ts_recent)):
            return
        wnd = self.rcv_wnd
        length = segment.length
        if not acceptable(segment.seq, length, self.rcv_nxt, wnd):
            if not (length and wnd == 0 and segment.seq == self.rcv_nxt):
                return
            length = 0
        if stamps is not None and self.ts_on and at_or_before(segment.seq, self.last_ack or self.rcv_nxt):
            self.ts_recent = stamps[0]
        if before(self.snd_una, segment.ack):
            self.una_before, self.una_time = self.snd_una, segment.time
            self.snd_una = segment.ack
        self.snd_wnd = segment.win << self.snd_shift
        self.max_wnd = max(self.max_wnd, self.snd_wnd)
        if length and self.peer_fin is None:
            self._sent_text(segment, wnd)

    def _sent_text(self, segment: Segment, wnd: int) -> None:
        edge = add(self.rcv_nxt, wnd)
        start, end = segment.seq, segment.end
        fin = bool(segment.flags & FIN)
        whole = end
        if before(edge, end):
            end, fin = edge, False
        self.owed = True
        if before(self.rcv_nxt, start):
            self._holes.append((start, end, fin))
            self._holes.sort(key=lambda hole: distance(self.rcv_nxt, hole[0]))
            return
        self.alternatives.discard(self.rcv_nxt)
        if whole != end:
            self.alternatives |= {self.rcv_nxt, whole}
        if before(self.rcv_nxt, end):
            self.rcv_nxt = end
        if fin:
            self.peer_fin = add(end, -1)
            return
        after_hole = self.rcv_nxt
        while self._holes and at_or_before(self._holes[0][0], self.rcv_nxt):
            _, hole_end, hole_fin = self._holes.pop(0)
            if before(self.rcv_nxt, hole_end):
                self.alternatives.add(after_hole)
                self.rcv_nxt = hole_end
                if hole_fin:
                    self.peer_fin = add(hole_end, -1)

    def _sent_syn(self, segment: Segment) -> None:
        flags = segment.flags
        if flags & RST:
            return
        options = {str(option[0]): option for option in _offered(segment.options)}
        if flags & ACK:
            if self.target_only_syn and not self.synchronized and self._answers_syn(segment.ack):
                self._bind(segment.seq, options, segment)
                self.una_before, self.una_time = self.snd_una, segment.time
                self.snd_una = segment.ack
            return
        if self.synchronized and not self.reset:
            self.syn_seq = segment.seq
            self._offer(options)
            self._lead = len(segment.payload)
            self.snd_wnd = segment.win
            return
        if self.target_only_syn and not self.reset:
            self._bind(segment.seq, options, segment)
            return
        self.irs, self.rcv_nxt, self.rcv_edge = segment.seq, add(segment.seq, 1), add(segment.seq, 1)
        self.syn_seq = segment.seq
        self._lead = len(segment.payload)
        self._offer(options)
        self.snd_wnd = self.max_wnd = segment.win

    def _answers_syn(self, ack: int) -> bool:
        """True for an acknowledgement of the target's SYN, with all, a part or nothing of the text that it carried."""
        return self.iss is not None and 0 < distance(self.iss, ack) <= distance(self.iss, self.snd_nxt)

    def _offer(self, options: dict[str, tuple[object, ...]]) -> None:
        self.syn_options = options
        mss = options.get("mss")
        self.mss_tester = int(mss[1]) if mss else default_mss(self.version)  # type: ignore[call-overload]

    def _bind(self, irs: int, options: dict[str, tuple[object, ...]], segment: Segment) -> None:
        self._offer(options)
        self.irs, self.rcv_nxt = irs, add(irs, 1)
        if segment.payload:
            # Text on the SYN may be taken at once or left to be sent again (RFC 9293 section 3.10.7.3).
            self.alternatives = {self.rcv_nxt, add(self.rcv_nxt, len(segment.payload))}
        self.rcv_edge = add(self.rcv_nxt, self.window_field)
        self.snd_wnd = self.max_wnd = segment.win
        self.synchronized = True
        self.reset = False
        self.owed = True
        self._negotiate(segment.timestamps)

    def _negotiate(self, stamps: tuple[int, int] | None) -> None:
        both = self.syn_options.keys() & self.peer_options.keys()
        self.ts_on, self.sack_on = "ts" in both, "sackOK" in both
        mine, theirs = self.syn_options.get("wscale"), self.peer_options.get("wscale")
        shifts = (min(14, int(mine[1])), min(14, int(theirs[1]))) if mine and theirs else (0, 0)  # type: ignore[call-overload]
        self.snd_shift, self.rcv_shift = shifts
        offered = self.syn_options.get("ts")
        if self.ts_on and offered:
            self.ts_recent = int(offered[1])  # type: ignore[call-overload]

    # -- what the target sends ------------------------------------------------------------------------------

    def seen(self, segment: Segment) -> None:
        """The target sent `segment`: adopt its numbers."""
        flags = segment.flags
        stamps = segment.timestamps
        if stamps is not None and not flags & RST:
            self.ts_echo = stamps[0]
        if flags & RST:
            if self.synchronized and (not flags & ACK or segment.seq in (self.snd_nxt, self.snd_una)):
                self.reset = segment.seq == self.snd_nxt or self.reset
            return
        if flags & SYN:
            self._seen_syn(segment)
        elif self.iss is None:
            return
        length = segment.length
        if length:
            self._seen_text(segment, flags)
        if flags & ACK and not flags & SYN:
            ack = segment.ack
            if ack != self.rcv_nxt and ack in self.alternatives:
                self.rcv_nxt = ack
            if self.last_ack is None or at_or_before(self.last_ack, ack):
                self.last_ack = ack
            if ack == self.rcv_nxt:
                self.owed = False
                self.alternatives.clear()
            edge = add(ack, segment.win << self.rcv_shift)
            if before(self.rcv_edge, edge) or ack == self.last_ack:
                self.rcv_edge = edge

    def _seen_syn(self, segment: Segment) -> None:
        again = self.iss == segment.seq and not self.reset
        if not again:
            self.iss = segment.seq
            self.text.clear()
            self.copies.clear()
            self.snd_una = segment.seq
            self.snd_nxt = segment.seq
            self.fin_seq = self.first_fin_ack = self.peer_fin = None
            self.peer_options = {str(option[0]): option for option in segment.options}
            mss = self.peer_options.get("mss")
            self.mss_target = int(mss[1]) if mss else default_mss(self.version)  # type: ignore[call-overload]
            self._holes.clear()
        if not segment.flags & ACK:
            self.window_field = segment.win
            if not again:
                self.synchronized = False
                self.target_only_syn = True
                self.reset = False
                if self.syn_seq is not None:
                    self.syn_seq = None
            return
        if self.syn_seq is not None and distance(self.syn_seq, segment.ack) in range(1, self._lead + 2):
            self.irs, self.syn_seq = self.syn_seq, None
            self.rcv_nxt = segment.ack
            self.synchronized, self.target_only_syn, self.reset = True, False, False
            self.max_wnd = self.snd_wnd
            self._negotiate(None)
        if segment.ack == self.rcv_nxt:
            self.owed = False
        self.last_ack = segment.ack
        self.rcv_edge = add(segment.ack, segment.win)

    def _seen_text(self, segment: Segment, flags: int) -> None:
        seq, end = segment.seq, segment.end
        known = self.copies.get(seq)
        if known is None:
            self.copies[seq] = self.last_copy = Copy(segment.time)
        else:
            known.gap, known.time, known.count = segment.time - known.time, segment.time, known.count + 1
            self.last_copy = known
        if flags & FIN and self.fin_seq is None:
            self.fin_seq = add(end, -1)
            self.first_fin_ack = segment.ack
        if segment.payload:
            self._keep_text(add(seq, 1) if flags & SYN else seq, segment.payload)
        if self.snd_nxt == seq or before(self.snd_nxt, end):
            self.snd_nxt = later(self.snd_nxt, end)

    def _keep_text(self, seq: int, payload: bytes) -> None:
        at = distance(add(self.iss or 0, 1), seq)
        if at < 0 or at > _TEXT_KEPT:
            return
        if len(self.text) < at:
            self.text.extend(b"\0" * (at - len(self.text)))
        new = at + len(payload) - len(self.text)
        if new > 0:
            self.text.extend(payload[-new:])

    def same_text(self, seq: int, payload: bytes) -> bool:
        """True when `payload` at `seq` repeats, octet for octet, what the target sent there before."""
        at = distance(add(self.iss or 0, 1), seq)
        return at >= 0 and (at > _TEXT_KEPT or self.text[at : at + len(payload)] == payload)


def _offered(options: tuple[Option, ...]) -> tuple[Option, ...]:
    """The options up to the end of the list: what stands behind it is none (RFC 9293 section 3.2)."""
    for index, option in enumerate(options):
        if option[0] == "eol":
            return options[:index]
    return options


def _header_fits(segment: Segment) -> bool:
    """The data offset, where it is said, lies behind the fixed header and within the segment (RFC 9293 section 3.1)."""
    return 5 <= segment.doff <= (20 + len(encode(segment.options)) + len(segment.payload)) // 4


def default_mss(version: int) -> int:
    """The MSS to assume without the option (RFC 9293 section 3.7.1, MUST-15)."""
    return 536 if version == 4 else 1220

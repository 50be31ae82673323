"""A concrete TCP segment, as it was sent or seen, with the few fields of its IP header that cases can name."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.tcp.options import Option, find

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE = 1, 2, 4, 8, 16, 32, 64, 128, 256
FLAG_BITS = {"SYN": SYN, "FIN": FIN, "RST": RST, "PSH": PSH, "ACK": ACK, "URG": URG, "ECE": ECE, "CWR": CWR, "AE": AE}
_NAMES = tuple(FLAG_BITS.items())


def flag_names(bits: int) -> str:
    """The flags in the notation's order: `SYN,ACK`, or `NONE`."""
    return ",".join(name for name, bit in _NAMES if bits & bit) or "NONE"


@dataclass(slots=True)
class Segment:
    """One segment. Numbers are absolute; `time` is in ns of CLOCK_REALTIME; `win` is the raw field.

    `checksum_ok` is what the receiver of it would find; `options` are as decoded, padding included; a `doff` of 0 is
    the right one when the segment is sent.
    """

    flags: int
    seq: int
    ack: int = 0
    win: int = 0
    options: tuple[Option, ...] = ()
    payload: bytes = b""
    urg: int = 0
    sport: int = 0
    dport: int = 0
    doff: int = 0
    reserved: int = 0
    checksum_ok: bool = True
    ttl: int = 64
    tos: int = 0
    ident: int = 0
    df: bool = True
    flow: int = 0
    time: int = 0
    ip_options: bytes = b""
    foreign: bool = False
    """It came from another address than the one that was spoken to."""
    length: int = field(init=False, compare=False, repr=False)
    """SEG.LEN: octets of text, SYN and FIN counted (RFC 9293 section 3.3.1); of the segment as it was made."""

    def __post_init__(self) -> None:
        flags = self.flags
        self.length = len(self.payload) + (flags >> 1 & 1) + (flags & 1)

    @property
    def end(self) -> int:
        """The number after the last one that the segment occupies: SEG.SEQ+SEG.LEN."""
        return (self.seq + self.length) & 0xFFFFFFFF

    def option(self, name: str) -> Option | None:
        """The first option of that name, or None."""
        return find(self.options, name)

    @property
    def timestamps(self) -> tuple[int, int] | None:
        """TSval and TSecr, or None (RFC 7323 section 3.2)."""
        for option in self.options:
            if option[0] == "ts":
                return option[1], option[2]
        return None


@dataclass(slots=True)
class IcmpMessage:
    """An ICMP or ICMPv6 message that was seen; `quoted` is the datagram it carries, from its IP header on."""

    version: int
    type: int
    code: int
    quoted: bytes
    mtu: int = 0
    time: int = 0

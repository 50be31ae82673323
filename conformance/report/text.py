"""Events of a trace as text: a frame as a line of the notation with relative numbers, everything made safe to print.

Imports tcp, the wire's codec and the Result; does no I/O.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from conformance.engine.result import Event, Result
from conformance.tcp import ip_options
from conformance.tcp.expression import Number
from conformance.tcp.notation import ICMP_TYPES, Field, Icmp, Octets
from conformance.tcp.options import Option, encode
from conformance.tcp.pattern import octets
from conformance.tcp.segment import ACK, SYN, URG, IcmpMessage, Segment, flag_names
from conformance.wire.codec import ETHERNET, IP4_HEADER, IP6_HEADER, decode, icmp_number

Side = Literal["tester", "target"]

FRAME_KINDS = frozenset({"sent", "seen", "probe"})
_HALF = 1 << 31
_NEAR = 1 << 20
"""A number of 0 that is further than this from its base is a plain 0, as in the RST that answers no connection."""


class Numbers(NamedTuple):
    """The bases of relative numbers: `iss` is the target's first number, `irs` the tester's; None when unknown."""

    iss: int | None = None
    irs: int | None = None


class EventText(NamedTuple):
    """An event as text. `notation` parses back when the event is a frame with a TCP segment or an ICMP error."""

    side: Side | None
    """Who sent the frame; None for calls and notes."""
    notation: str
    remark: str = ""
    """What the notation can't say; goes behind ` # `, so that the line can still be pasted."""

    def __str__(self) -> str:
        return f"{self.notation} # {self.remark}" if self.remark else self.notation


def printable(text: str) -> str:
    r"""`text` on one line without control, format or private characters: each becomes \xNN or \uNNNN.

    What a target sends must reach neither the terminal's control sequences nor its bidirectional tricks.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def printable_lines(text: str) -> str:
    """As `printable`, of a text that may have several lines."""
    return "\n".join(map(printable, text.split("\n")))


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def relative(value: int, base: str, first: int | None) -> str:
    """A sequence number as an expression: `irs+1`, `irs-5`, `irs`; the plain number when `first` is not known."""
    if first is None:
        return str(value)
    distance = (value - first) & 0xFFFFFFFF
    if distance >= _HALF:
        distance -= 1 << 32
    if value == 0 and abs(distance) > _NEAR:
        return "0"
    return f"{base}{distance:+d}" if distance else base


def segment_text(segment: Segment, side: Side, numbers: Numbers) -> str:
    """The segment in the notation; `side` is who sent it. It parses to a line that prints as the same text.

    Built as text at once: a run prints some ten thousand segments.
    """
    own, other = ("irs", "iss") if side == "tester" else ("iss", "irs")
    first, other_first = (numbers.irs, numbers.iss) if side == "tester" else (numbers.iss, numbers.irs)
    flags = segment.flags
    words = [_flag_names(flags), f"seq={relative(segment.seq, own, first)}"]
    if flags & ACK or segment.ack:
        words.append(f"ack={relative(segment.ack, other, other_first)}")
    words.append(f"win={segment.win}")
    if flags & URG or segment.urg:
        words.append(f"urg={segment.urg}")
    options = segment.options
    if segment.doff < 5 or (options and options[0][0] == "raw" and segment.doff * 4 > _size(segment)):
        words.append(f"doff={segment.doff}")
    if segment.reserved:
        words.append(f"reserved={segment.reserved}")
    if not segment.checksum_ok:
        words.append("sum=bad")
    if segment.tos:
        words.append(f"tos={segment.tos}")
    if segment.ip_options:
        words += [f"ipopt={name}" for name in ip_options.names(segment.ip_options)[:1] if name in ip_options.KINDS]
    if side == "tester" and segment.ttl != 64:
        words.append(f"ttl={segment.ttl}")
    if options:
        if options[-1] == ("eol",) and encode(options[:-1]) == encode(options):
            options = options[:-1]  # it only pads, as building the line again would
        items = ", ".join(filter(None, (_option(option, other, other_first) for option in options)))
        if items:
            words.append(f"<{items}>")
    if segment.payload:
        offset = None if first is None else (segment.seq + (1 if flags & SYN else 0) - first - 1) & 0xFFFFFFFF
        words.append(_payload(segment.payload, offset))
    return " ".join(words)


_flag_names = lru_cache(maxsize=512)(flag_names)


def _size(segment: Segment) -> int:
    return 20 + sum(len(option[1]) for option in segment.options if option[0] == "raw") + len(segment.payload)


def _option(option: Option, base: str, first: int | None) -> str:
    """One option in the notation; nothing for raw octets that are none."""
    name = option[0]
    if name == "sack":
        blocks = (f"{relative(left, base, first)}..{relative(right, base, first)}" for left, right in option[1:])
        return " ".join(("sack", *blocks))
    if name == "kind":
        return f"kind {option[1]} 0x{option[2].hex()}" if option[2] else f"kind {option[1]}"
    if name in ("raw", "fo"):
        if option[1]:
            return f"{name} 0x{option[1].hex()}"
        return "fo" if name == "fo" else ""
    return " ".join(map(str, option))


def _payload(data: bytes, offset: int | None) -> str:
    if offset is not None and offset < _HALF and octets(offset, len(data)) == data:
        return f"({len(data)})"
    if len(data) > 8 and data == data[:1] * len(data):
        return str(Octets(data[:1], len(data)))
    return str(Octets(data))


@lru_cache(maxsize=64)
def icmp_name(version: int, type_: int, code: int) -> str:
    """The notation's name of an ICMP message; `other` when it has none."""
    for name in sorted(ICMP_TYPES - {"other"}):
        try:
            if icmp_number(version, name) == (type_, code):
                return name
        except ValueError:
            continue
    return "other"


def icmp_line(message: IcmpMessage) -> Icmp:
    """The ICMP message in the notation, quoting `seg`, the segment sent last."""
    name = icmp_name(message.version, message.type, message.code)
    fields = [Field("type", Number(message.type)), Field("code", Number(message.code))] if name == "other" else []
    if message.mtu:
        fields.append(Field("mtu", Number(message.mtu)))
    return Icmp(name, "seg", tuple(fields))


def _quoted(message: IcmpMessage, sender: Side, numbers: Numbers) -> str:
    """What an ICMP message quotes, in words; at least the first 8 octets of TCP should be there (RFC 792)."""
    data = message.quoted
    size = (data[0] & 15) * 4 if message.version == 4 and data else IP6_HEADER
    if len(data) < max(size, IP4_HEADER) + 8:
        return f"quoted: {len(data)} octets"
    head = data[size:]
    seq = int.from_bytes(head[4:8], "big")
    base, first = ("irs", numbers.irs) if sender == "target" else ("iss", numbers.iss)
    ports = f"{int.from_bytes(head[:2], 'big')} to {int.from_bytes(head[2:4], 'big')}"
    return f"quoted: seq={relative(seq, base, first)}, ports {ports}"


def event_text(event: Event, result: Result) -> EventText:
    """One event of the result's trace as text, safe to print."""
    data = event.data
    if isinstance(data, str):  # a frame, too, where only its text was recorded
        who: Side | None = None if event.kind not in FRAME_KINDS else "target" if event.kind == "seen" else "tester"
        return EventText(who, printable(data))
    if event.kind not in FRAME_KINDS:
        return EventText(None, printable(repr(data)))
    side: Side = "target" if event.kind == "seen" else "tester"
    numbers = Numbers(*result.isns.get(event.connection, (None, None)))
    carried = decode(data)
    if carried is None:
        return EventText(side, f"a frame of {len(data)} octets, neither TCP nor an ICMP error: {_glimpse(data)}")
    if isinstance(carried, IcmpMessage):
        return EventText(side, str(icmp_line(carried)), _quoted(carried, side, numbers))
    return EventText(side, segment_text(carried, side, numbers), _ports(carried, side, event, result))


def _glimpse(data: bytes) -> str:
    body = data[ETHERNET : ETHERNET + 40]
    return f"type 0x{data[12:14].hex()}, {body.hex()}{'...' if len(data) > ETHERNET + 40 else ''}"


def _ports(segment: Segment, side: Side, event: Event, result: Result) -> str:
    pair = result.pairs.get(event.connection)
    if pair is None:
        return f"ports {segment.sport} to {segment.dport}"
    ports = (pair[1], pair[3]) if side == "tester" else (pair[3], pair[1])
    return "" if (segment.sport, segment.dport) == ports else f"other ports: {segment.sport} to {segment.dport}"

"""From a line that is sent to concrete segments: defaults filled in, numbers bound (cases/README.md, Defaults)."""

from __future__ import annotations

import socket
from functools import lru_cache

from conformance.engine.scope import Conn, HarnessError, Scope, number
from conformance.tcp import ip_options, pattern
from conformance.tcp.expression import Range
from conformance.tcp.notation import (
    Field,
    Icmp,
    OptionItem,
    OptionList,
    Payload,
    Positions,
    Retransmission,
    SegmentLine,
    Stream,
)
from conformance.tcp.options import Option
from conformance.tcp.segment import ACK, PSH, SYN, Segment
from conformance.tcp.sequence import MASK, add
from conformance.wire.codec import Encoder

_ECN = {"not": 0, "ect1": 1, "ect0": 2, "ce": 3}
FAR = {
    4: {
        "broadcast": socket.inet_aton("255.255.255.255"),
        "multicast": socket.inet_aton("224.0.0.1"),
        "unspecified": b"\0\0\0\0",
        "loopback": socket.inet_aton("127.0.0.1"),
    },
    6: {
        "broadcast": socket.inet_pton(socket.AF_INET6, "ff02::1"),
        "multicast": socket.inet_pton(socket.AF_INET6, "ff02::1"),
        "unspecified": b"\0" * 16,
        "loopback": b"\0" * 15 + b"\1",
    },
}


@lru_cache(maxsize=4096)
def _plan(fields: tuple[Field, ...]) -> dict[str, object]:
    return {field.key: field.value for field in fields}


def payload_octets(payload: Payload, offset: int, scope: Scope, conn: Conn) -> bytes:
    """The octets of a payload that stands at stream offset `offset`."""
    if not payload:
        return b""
    parts = []
    for part in payload:
        if isinstance(part, Positions):
            count = number(part.count, scope, conn)  # type: ignore[arg-type]
            if not 0 <= count <= 1 << 26:
                raise HarnessError(f"a payload of {count} octets")
            octets = pattern.octets(offset, count)
        else:
            octets = part.data * part.times
        parts.append(octets)
        offset += len(octets)
    return b"".join(parts)


def stamp(conn: Conn) -> Option:
    """The timestamps option that a correct peer would send now."""
    return ("ts", conn.milliseconds(), conn.tcb.ts_echo)


_NOP: Option = ("nop",)


def options_for(line: SegmentLine, scope: Scope, conn: Conn) -> tuple[Option, ...]:
    """The options of a segment to send: the usual ones, with the differences that the line names."""
    said = line.options
    if said is None:
        if line.flags & SYN:
            return (("mss", 1460 if conn.pair.version == 4 else 1440),)
        return (_NOP, _NOP, stamp(conn)) if conn.tcb.ts_on and not line.flags & 4 else ()
    usual: list[Option] = []
    if not said.only:
        names = {item.name for item in said.items}
        if line.flags & SYN:
            if "mss" not in names:
                usual.append(("mss", 1460 if conn.pair.version == 4 else 1440))
        elif conn.tcb.ts_on and "ts" not in names:
            usual += [_NOP, _NOP, stamp(conn)]
    return (*usual, *_said(said, scope, conn))


def _said(said: OptionList, scope: Scope, conn: Conn) -> list[Option]:
    return [_option(item, scope, conn) for item in said.items if not item.absent]


def _option(item: OptionItem, scope: Scope, conn: Conn) -> Option:
    name = item.name
    if name == "ts":
        value, echo = stamp(conn)[1:]
        args = [number(arg, scope, conn) for arg in item.args]  # type: ignore[arg-type]
        return ("ts", (args[0] if args else value) & MASK, (args[1] if len(args) > 1 else echo) & MASK)
    if name == "sack":
        return ("sack", *(_block(arg, scope, conn) for arg in item.args))
    if name == "raw":
        return ("raw", item.args[0])
    if name == "kind":
        data = item.args[1] if len(item.args) > 1 else b""
        length = None if item.length is None else number(item.length, scope, conn)
        return ("kind", number(item.args[0], scope, conn), data, length)  # type: ignore[arg-type]
    if name == "fo":
        return ("fo", _cookie(item, scope, conn))
    return (name, *(number(arg, scope, conn) for arg in item.args))  # type: ignore[arg-type]


def _cookie(item: OptionItem, scope: Scope, conn: Conn) -> bytes:
    if not item.args:
        return b""
    arg = item.args[0]
    return arg if isinstance(arg, bytes) else number(arg, scope, conn).to_bytes(8, "big")  # type: ignore[arg-type]


def _block(arg: object, scope: Scope, conn: Conn) -> tuple[int, int]:
    if isinstance(arg, str):
        named = scope.names.get(arg)
        if named is None:
            raise HarnessError(f"no segment is named {arg!r} yet")
        return named.segment.seq, named.segment.end
    if isinstance(arg, Range) and arg.low is not None and arg.high is not None:
        return number(arg.low, scope, conn) & MASK, number(arg.high, scope, conn) & MASK
    raise HarnessError("a SACK block is a segment's name or left..right")


def segment_of(line: SegmentLine, scope: Scope, conn: Conn) -> Segment:
    """The segment that a line says, bound to the numbers of now."""
    said = _plan(line.fields) if line.fields else {}
    flags = line.flags
    tcb = conn.tcb
    if "seq" in said:
        seq = number(said["seq"], scope, conn) & MASK  # type: ignore[arg-type]
    else:
        seq = tcb.irs if flags & SYN else tcb.rcv_nxt
    if "ack" in said:
        ack = number(said["ack"], scope, conn) & MASK  # type: ignore[arg-type]
    else:
        ack = conn.ack if flags & ACK else 0
    if "win" in said:
        conn.window = number(said["win"], scope, conn)  # type: ignore[arg-type]
    payload = b""
    if line.payload:
        payload = payload_octets(line.payload, (seq - tcb.irs - (0 if flags & SYN else 1)) & MASK, scope, conn)
    segment = Segment(flags, seq, ack, conn.window, options_for(line, scope, conn), payload)
    segment.sport, segment.dport = conn.pair.tester_port, conn.pair.target_port
    if said:
        _unusual(segment, said, scope, conn)
    return segment


_PLAIN = {"urg": "urg", "doff": "doff", "reserved": "reserved", "sport": "sport", "dport": "dport", "ttl": "ttl"}
_PLAIN |= {"tos": "tos", "id": "ident", "flow": "flow"}


def _unusual(segment: Segment, said: dict[str, object], scope: Scope, conn: Conn) -> None:
    for key, value in said.items():
        if key in _PLAIN:
            setattr(segment, _PLAIN[key], number(value, scope, conn))  # type: ignore[arg-type]
        elif key == "sum":
            segment.checksum_ok = value != "bad"
        elif key == "ecn":
            segment.tos = segment.tos & ~3 | _ECN[str(value)]
        elif key == "df":
            segment.df = value == "1"
        elif key == "ipopt":
            if conn.pair.version == 6:
                raise HarnessError("IPv6 has no options of the IP header: say needs: {ip: v4}")
            segment.ip_options = ip_options.encode(str(value), conn.pair.tester)


def encoder_of(line: SegmentLine, conn: Conn, tester_mac: bytes, target_mac: bytes) -> Encoder:
    """The connection's encoder, or one for the addresses that `from=` and `to=` say."""
    said = _plan(line.fields) if line.fields else {}
    if "from" not in said and "to" not in said:
        return conn.encoder
    far = FAR[conn.pair.version]
    source, target = conn.pair.tester, conn.pair.target
    if "from" in said:
        source = conn.pair.target if said["from"] == "target" else far[str(said["from"])]
    if "to" in said:
        target = far[str(said["to"])]
    return Encoder(source, target, tester_mac, target_mac)


def again(line: Retransmission, scope: Scope, conn: Conn) -> Segment:
    """A segment of the tester once more: the same octets, with ack, window and options current."""
    named = scope.names.get(line.of)
    if named is None:
        raise HarnessError(f"no segment is named {line.of!r} yet")
    old = named.segment
    payload = payload_octets(line.payload, conn.tcb.peer_offset(old.seq), scope, conn) if line.payload else old.payload
    ack = conn.ack if old.flags & ACK and not old.flags & SYN else old.ack
    options = old.options
    if old.timestamps is not None and not old.flags & SYN:
        options = (_NOP, _NOP, stamp(conn))
    return Segment(
        old.flags, old.seq, ack, conn.window, options, payload, old.urg, conn.pair.tester_port, conn.pair.target_port
    )


def stream_of(line: Stream, scope: Scope, conn: Conn) -> list[Segment]:
    """A stream to send, cut at the size that the target is willing to take."""
    tcb = conn.tcb
    seq = tcb.rcv_nxt if line.start is None else number(line.start, scope, conn) & MASK
    data = payload_octets(line.payload, tcb.peer_offset(seq), scope, conn)
    size = max(1, tcb.rmss)
    found = []
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        last = at + size >= len(data)
        flags = ACK | (PSH if last else 0) | (1 if last and line.fin else 0)
        plain = SegmentLine(flags)
        segment = Segment(flags, add(seq, at), conn.ack, conn.window, options_for(plain, scope, conn), piece)
        segment.sport, segment.dport = conn.pair.tester_port, conn.pair.target_port
        found.append(segment)
    return found


def icmp_frame(line: Icmp, scope: Scope, conn: Conn) -> bytes:
    """The ICMP message that quotes a segment of the target. Raises HarnessError where this IP version has none."""
    named = scope.names.get(line.quoting)
    if named is None:
        raise HarnessError(f"no segment is named {line.quoting!r} yet")
    from dataclasses import replace

    quoted = replace(named.segment, time=0)
    said: dict[str, object] = {field.key: field.value for field in line.quoted}
    for key, value in said.items():
        if key in ("seq", "ack"):
            setattr(quoted, key, number(value, scope, conn) & MASK)  # type: ignore[arg-type]
    _unusual(quoted, said, scope, conn)
    numbers = {field.key: number(field.value, scope, conn) for field in line.fields}  # type: ignore[arg-type]
    try:
        return conn.encoder.icmp(
            line.type, quoted, mtu=numbers.get("mtu", 0), number=numbers.get("type"), code=numbers.get("code")
        )
    except ValueError as error:
        raise HarnessError(str(error)) from None

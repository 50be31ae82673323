"""Is this the segment that the step expects? Strict by default, every difference named (cases/README.md, Matching)."""

from __future__ import annotations

from functools import lru_cache

from conformance.cases.model import Expect
from conformance.engine.craft import payload_octets
from conformance.engine.result import Difference
from conformance.engine.scope import Conn, HarnessError, Scope, matches, number
from conformance.tcp import ip_options, recognise
from conformance.tcp.expression import Anything, Number, Range, Value, Variable
from conformance.tcp.notation import Field, Kind, OptionItem, OptionList, Positions, Retransmission, SegmentLine, Stream
from conformance.tcp.options import Option, find
from conformance.tcp.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, Segment, flag_names
from conformance.tcp.sequence import MASK, add, at_or_before, before

Differences = tuple[Difference, ...]
_MATCH: Differences = ()


@lru_cache(maxsize=4096)
def _said(fields: tuple[Field, ...]) -> dict[str, Value | str]:
    return {field.key: field.value for field in fields}


_ENDS = SYN | ACK | FIN | RST
_SETUP = SYN | ACK | ECE | CWR
_ISS = Variable("", "iss")
_NOTHING_SAID: dict[str, Value | str] = {}


def differences(step: Expect, segment: Segment, scope: Scope, conn: Conn) -> Differences:
    """Every field of `segment` that is not as the step expects; empty when it matches."""
    line = step.line
    if isinstance(line, SegmentLine):
        return _segment(line, segment, scope, conn)
    if isinstance(line, Retransmission):
        return _retransmission(line, segment, scope, conn)
    if isinstance(line, Kind):
        return _kind(line, segment, conn)
    if isinstance(line, Stream):
        return _stream(line, segment, conn)
    raise HarnessError(f"{line} cannot be matched against a segment")


def _segment(line: SegmentLine, segment: Segment, scope: Scope, conn: Conn) -> Differences:
    found: list[Difference] = []
    flags = segment.flags
    if flags & FIN and line.flags & _ENDS == ACK and not line.payload and recognise.rides_on_fin(segment, conn.tcb):
        segment = recognise.plain_ack(segment)
        flags = segment.flags
    free = PSH | line.optional
    if flags & _SETUP == SYN | ECE | CWR and line.flags & (_SETUP | AE) == SYN:
        free |= ECE | CWR | AE  # a SYN may ask for ECN (RFC 3168 section 6.1.1), or for AccECN (RFC 9768 section 3.1.1)
    if (flags ^ line.flags) & ~free or (line.flags & PSH and not flags & PSH):
        found.append(Difference("flags", flag_names(line.flags), flag_names(flags)))
    said = _said(line.fields) if line.fields else _NOTHING_SAID
    tcb = conn.tcb
    fresh = tcb.iss is None or tcb.syn_seq is not None or tcb.reset
    if "seq" in said and not (flags & SYN and fresh and said["seq"] == _ISS):
        if not matches(said["seq"], segment.seq, scope, conn, circular=True):  # type: ignore[arg-type]
            found.append(Difference("seq", str(said["seq"]), relative(segment.seq, conn, own=True)))
    elif flags & SYN:
        if not fresh and tcb.iss != segment.seq and tcb.last_ack is None:
            found.append(Difference("seq", "iss", relative(segment.seq, conn, own=True)))
    elif not line.flags & RST and segment.seq != tcb.snd_nxt:
        found.append(Difference("seq", relative(tcb.snd_nxt, conn, own=True), relative(segment.seq, conn, own=True)))
    if flags & ACK:
        _ack(said, segment, scope, conn, found)
    if said:
        _fields(said, segment, scope, conn, found)
    if line.options is not None:
        _options(line.options, segment, scope, conn, found)
    _payload(line, segment, scope, conn, found)
    return tuple(found) if found else _MATCH


def _ack(said: dict[str, Value | str], segment: Segment, scope: Scope, conn: Conn, found: list[Difference]) -> None:
    tcb = conn.tcb
    if "ack" in said:
        if not matches(said["ack"], segment.ack, scope, conn, circular=True):  # type: ignore[arg-type]
            found.append(Difference("ack", str(said["ack"]), relative(segment.ack, conn, own=False)))
        return
    if segment.flags & SYN and tcb.syn_seq is not None:
        if (segment.ack - tcb.syn_seq) & MASK != 1:
            found.append(Difference("ack", "irs+1", relative(segment.ack, conn, own=False)))
        return
    if segment.flags & RST and (not tcb.synchronized or segment.ack == tcb.last_ack):
        return  # a RST need not count what it refuses
    if segment.ack != tcb.rcv_nxt and segment.ack not in tcb.alternatives:
        found.append(Difference("ack", relative(tcb.rcv_nxt, conn, own=False), relative(segment.ack, conn, own=False)))


_NUMBERS = {"win": "win", "urg": "urg", "doff": "doff", "reserved": "reserved", "sport": "sport", "dport": "dport"}
_NUMBERS |= {"ttl": "ttl", "tos": "tos", "id": "ident", "flow": "flow"}


def _fields(said: dict[str, Value | str], segment: Segment, scope: Scope, conn: Conn, found: list[Difference]) -> None:
    for key, value in said.items():
        if key in _NUMBERS:
            seen = getattr(segment, _NUMBERS[key])
            if not matches(value, seen, scope, conn):  # type: ignore[arg-type]
                found.append(Difference(key, str(value), str(seen)))
        elif key == "ecn":
            seen_ecn = ("not", "ect1", "ect0", "ce")[segment.tos & 3]
            if value != seen_ecn:
                found.append(Difference("ecn", str(value), seen_ecn))
        elif key == "df" and segment.df != (value == "1"):
            found.append(Difference("df", str(value), str(int(segment.df))))
        elif key == "ipopt":
            seen_names = ip_options.names(segment.ip_options) or ("none",)
            if value not in seen_names:
                found.append(Difference("ipopt", str(value), ",".join(seen_names)))


def _options(said: OptionList, segment: Segment, scope: Scope, conn: Conn, found: list[Difference]) -> None:
    for item in said.items:
        option = _find(item, segment, scope, conn)
        if item.absent:
            if option is not None:
                found.append(Difference("options", str(item), option_text(option)))
        elif option is None:
            found.append(Difference("options", str(item), f"no {item.name}"))
        elif not _option_fits(item, option, scope, conn):
            found.append(Difference("options", str(item), option_text(option)))
    if said.only:
        wanted = {item.name for item in said.items if not item.absent}
        for option in segment.options:
            if option[0] not in wanted and option[0] not in ("nop", "eol"):
                found.append(Difference("options", str(said), option_text(option)))


def _find(item: OptionItem, segment: Segment, scope: Scope, conn: Conn) -> Option | None:
    if item.name != "kind":
        return find(segment.options, item.name)
    kind = number(item.args[0], scope, conn)  # type: ignore[arg-type]
    for option in segment.options:
        if option[0] == "kind" and option[1] == kind:
            return option
    return None


def _option_fits(item: OptionItem, option: Option, scope: Scope, conn: Conn) -> bool:
    if item.name in ("kind", "raw"):
        return len(item.args) < 2 or item.args[1] == option[2]
    if item.name == "sack":
        blocks = [_block(arg, scope, conn) for arg in item.args]
        return list(option[1:]) == blocks
    if item.name == "fo":
        return not item.args or isinstance(item.args[0], Anything) or option[1] == item.args[0]
    circular = item.name == "ts"
    return all(
        matches(arg, seen, scope, conn, circular=circular)  # type: ignore[arg-type]
        for arg, seen in zip(item.args, option[1:], strict=False)
    )


def _block(arg: object, scope: Scope, conn: Conn) -> tuple[int, int]:
    if isinstance(arg, str):
        return scope.names[arg].segment.seq, scope.names[arg].segment.end
    assert isinstance(arg, Range)
    assert arg.low is not None
    assert arg.high is not None
    return number(arg.low, scope, conn) & MASK, number(arg.high, scope, conn) & MASK


def _payload(line: SegmentLine, segment: Segment, scope: Scope, conn: Conn, found: list[Difference]) -> None:
    seen = segment.payload
    if not line.payload:
        if seen:
            found.append(Difference("payload", "none", f"({len(seen)})"))
        return
    first = line.payload[0]
    offset = conn.tcb.stream_offset(add(segment.seq, 1) if segment.flags & SYN else segment.seq)
    if len(line.payload) == 1 and isinstance(first, Positions) and isinstance(first.count, Anything | Range):
        if not matches(first.count, len(seen), scope, conn):
            found.append(Difference("payload", f"({first.count})", f"({len(seen)})"))
            return
        wanted = payload_octets((Positions(Number(len(seen))),), offset, scope, conn)
    else:
        wanted = payload_octets(line.payload, offset, scope, conn)
    if len(seen) != len(wanted):
        found.append(Difference("payload", f"({len(wanted)})", f"({len(seen)})"))
    elif seen != wanted:
        at = next(i for i in range(len(seen)) if seen[i] != wanted[i])
        found.append(Difference("payload", f"octet {at} = {wanted[at]:#04x}", f"{seen[at]:#04x}"))


def _retransmission(line: Retransmission, segment: Segment, scope: Scope, conn: Conn) -> Differences:
    named = scope.names.get(line.of)
    if named is None:
        raise HarnessError(f"no segment is named {line.of!r} yet")
    old = named.segment
    found: list[Difference] = []
    mask = SYN | RST | FIN
    ends_alike = segment.end == old.end
    if (segment.flags ^ old.flags) & (SYN | RST | ACK) or (ends_alike and (segment.flags ^ old.flags) & mask):
        found.append(Difference("flags", flag_names(old.flags), flag_names(segment.flags)))
    inside = at_or_before(old.seq, segment.seq) and before(segment.seq, old.end) and segment.length > 0
    # What follows may ride along, for it was sent before as well: cut anywhere.
    inside = inside and (at_or_before(segment.end, old.end) or recognise.is_copy(segment, conn.tcb))
    if not inside:
        found.append(
            Difference(
                "seq",
                f"{relative(old.seq, conn, own=True)}..{relative(old.end, conn, own=True)}",
                f"{relative(segment.seq, conn, own=True)}..{relative(segment.end, conn, own=True)}",
            )
        )
    elif segment.payload and not conn.tcb.same_text(
        add(segment.seq, 1) if segment.flags & SYN else segment.seq, segment.payload
    ):
        found.append(Difference("payload", "the same octets", "other octets"))
    if line.payload:
        wanted = payload_octets(line.payload, conn.tcb.stream_offset(segment.seq), scope, conn)
        if wanted != segment.payload:
            found.append(Difference("payload", f"({len(wanted)})", f"({len(segment.payload)})"))
    tcb = conn.tcb
    if segment.flags & ACK and tcb.synchronized and segment.ack != tcb.rcv_nxt and segment.ack not in tcb.alternatives:
        found.append(Difference("ack", relative(tcb.rcv_nxt, conn, own=False), relative(segment.ack, conn, own=False)))
    return tuple(found)


def _kind(line: Kind, segment: Segment, conn: Conn) -> Differences:
    test = {
        "window probe": recognise.is_window_probe,
        "window update": recognise.is_window_update,
        "keep-alive": recognise.is_keep_alive,
    }[line.name]
    return _MATCH if test(segment, conn.tcb) else (Difference("kind", line.name, "something else"),)


def _stream(line: Stream, segment: Segment, conn: Conn) -> Differences:
    if segment.flags & (SYN | RST) or not segment.length:
        return (Difference("flags", "text", flag_names(segment.flags)),)
    if segment.seq != conn.tcb.snd_nxt:
        wanted = relative(conn.tcb.snd_nxt, conn, own=True)
        return (Difference("seq", wanted, relative(segment.seq, conn, own=True)),)
    return _MATCH


def relative(value: int, conn: Conn, *, own: bool) -> str:
    """A sequence number in the words of the notation: `iss+1`, `irs+11`; `own` numbers are the target's."""
    base, name = (conn.tcb.iss, "iss") if own else (conn.tcb.irs, "irs")
    if base is None:
        return str(value)
    delta = (value - base) & MASK
    if delta == 0:
        return name
    if delta < 1 << 24:
        return f"{name}+{delta}"
    back = (base - value) & MASK
    return f"{name}-{back}" if back < 1 << 24 else str(value)


def expected_text(step: Expect, conn: Conn) -> str:
    """The expectation with its defaults written out."""
    line = step.line
    if not isinstance(line, SegmentLine):
        return str(line)
    words = [str(line).split(" ", 1)[0]]
    tcb = conn.tcb
    if line.field("seq") is None and not line.flags & RST:
        words.append("seq=iss" if line.flags & SYN else f"seq={relative(tcb.snd_nxt, conn, own=True)}")
    if line.field("ack") is None and line.flags & ACK and not (line.flags & RST and not tcb.synchronized):
        wanted = "irs+1" if line.flags & SYN and tcb.syn_seq is not None else relative(tcb.rcv_nxt, conn, own=False)
        words.append(f"ack={wanted}")
    rest = str(line).split(" ", 1)[1:]
    return " ".join(words + rest)


def seen_text(segment: Segment, conn: Conn) -> str:
    """A segment that was seen, in the notation, numbers relative."""
    words = [flag_names(segment.flags), f"seq={relative(segment.seq, conn, own=True)}"]
    if segment.flags & ACK:
        words.append(f"ack={relative(segment.ack, conn, own=False)}")
    words.append(f"win={segment.win}")
    shown = [option_text(option) for option in segment.options if option[0] not in ("nop", "eol")]
    if shown:
        words.append(f"<{', '.join(shown)}>")
    if segment.payload:
        words.append(f"({len(segment.payload)})")
    return " ".join(words)


def option_text(option: Option) -> str:
    """An option in the notation."""
    name = option[0]
    if name == "sack":
        return "sack " + " ".join(f"{left}..{right}" for left, right in option[1:])
    if name == "kind":
        return f"kind {option[1]} 0x{bytes(option[2]).hex()}" if option[2] else f"kind {option[1]}"
    if name in ("raw", "fo"):
        return f"{name} 0x{bytes(option[1]).hex()}" if option[1] else str(name)
    return " ".join(map(str, option))

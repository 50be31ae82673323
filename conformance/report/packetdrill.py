"""A failing result as a packetdrill script, where that language can say it: one connection that the target accepts.

The script expects what was expected, so that it fails on a stack that has the finding. packetdrill can't wait for
silence, has no second connection and no ICMP here, and sends whole segments only: such results are refused.
Imports tcp, the codec, the Result and this room.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from conformance.engine.result import Event, Finding, Result
from conformance.report.exporting import ExportError
from conformance.report.text import FRAME_KINDS, Numbers, printable, segment_text
from conformance.tcp.options import Option, encode_one
from conformance.tcp.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, Segment
from conformance.wire.codec import decode

_LETTERS = ((FIN, "F"), (SYN, "S"), (RST, "R"), (PSH, "P"), (ECE, "E"), (CWR, "W"), (ACK, "."))
_NAMES = {"FIN": FIN, "SYN": SYN, "RST": RST, "PSH": PSH, "ECE": ECE, "CWR": CWR, "ACK": ACK, "URG": URG}
_CALLS = {
    r"accept\(\)": "accept(3, ..., ...) = 4",
    r"close\(\)": "close({fd}) = 0",
    r"shutdown\(wr\)": "shutdown({fd}, SHUT_WR) = 0",
    r"send\(\(?(\d+)\)?\)": r"write({fd}, ..., \1) = \1",
}
_CONNECT = (
    "socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
    "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
    "connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)",
)
_LISTEN = (
    "socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
    "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0",
    "bind(3, ..., ...) = 0",
    "listen(3, 16) = 0",
)


def packetdrill_script(result: Result) -> Iterator[str]:
    """The script as lines. Raises ExportError, which says what packetdrill has no words for."""
    finding = result.finding
    if finding is None or not finding.differences or not finding.seen:
        raise ExportError(_cant(result, "a finding that is no segment with another field than expected"))
    lines = [f"// {printable(result.id)}: {printable(result.title)}"]
    lines += [f"// breaks {printable(id_)}" for id_ in finding.requirements or result.requirements]
    before = result.trace[0].time if result.trace else 0
    called, told, counted = -1, False, 0
    ends = [0]
    for event in result.trace:
        if event.kind == "note":
            continue
        gap = max(0, event.time - before) / 1e9
        before = event.time
        pause = f"+{gap:.6f}".rstrip("0").rstrip(".")
        if event.kind == "call":
            if event.step == called:
                continue  # its outcome
            called = event.step
            lines += [f"{pause if not number else '+0'} {line}" for number, line in enumerate(_call(event, result))]
            continue
        segment, text = _segment(event, result)
        numbers = _numbers(event, result)
        if called < 0:
            raise ExportError(_cant(result, "a port without a socket"))
        if event.kind != "seen":
            ends.append(_end(segment, numbers[0]))
            lines.append(f"{pause} < {_spelt(segment, numbers, outbound=False)}")
            continue
        # packetdrill waits for what it expects, however long; +0 would be too strict on a real machine.
        culprit = event.step == finding.step and text == finding.seen
        told = told or culprit
        expected = _expected(segment, finding, result) if culprit else segment
        if segment.flags & ACK:
            counted = (segment.ack - numbers[1]) & 0xFFFFFFFF
        elif expected.flags & ACK and expected.ack == segment.ack:
            if counted != max(ends):
                raise ExportError(_cant(result, "what the missing acknowledgment should count"))
            expected = replace(expected, ack=(counted + numbers[1]) & 0xFFFFFFFF)
        lines.append(f"{pause}~+{gap + 1:.3f} > {_spelt(expected, numbers, outbound=True)}")
        if culprit:
            lines.append(f"// seen instead: {printable(finding.seen)}")
            break
    if not told:
        raise ExportError(_cant(result, "a finding that is no segment of its trace"))
    yield from lines


def _cant(result: Result, what: str) -> str:
    return f"{printable(result.id)}: packetdrill can't say {what}"


def _call(event: Event, result: Result) -> tuple[str, ...]:
    text = result.steps[event.step].partition(": ")[2] if 0 <= event.step < len(result.steps) else ""
    if re.fullmatch(r"listen\(\d*\)", text):
        return _LISTEN
    if text == "connect()":
        return _CONNECT
    connects = any(step == "call: connect()" for step in result.steps)
    for pattern, said in _CALLS.items():
        found = re.fullmatch(pattern, text)
        if found is not None:
            return (found.expand(said).format(fd=3 if connects else 4),)
    raise ExportError(_cant(result, f"the call {printable(text or str(event.data))}"))


def _segment(event: Event, result: Result) -> tuple[Segment, str]:
    if not isinstance(event.data, bytes) or event.kind not in FRAME_KINDS:
        raise ExportError(f"{printable(result.id)}: its frames were not recorded: only those of what is not passed are")
    segment = decode(event.data)
    if not isinstance(segment, Segment):
        raise ExportError(_cant(result, "a frame without a TCP segment"))
    if len(result.pairs) != 1 or event.connection not in result.pairs:
        raise ExportError(_cant(result, "more than one connection"))
    text = segment_text(
        segment, "target" if event.kind == "seen" else "tester", Numbers(*result.isns[event.connection])
    )
    unusual = [word for word in ("doff=", "reserved=", "sum=", "tos=", "raw ", "kind ", "fo") if f" {word}" in text]
    if unusual or segment.flags & URG or not segment.flags:
        raise ExportError(_cant(result, f"the segment {printable(text)}"))
    return segment, text


def _end(segment: Segment, first: int) -> int:
    """The number after a segment's last, from the sender's first on."""
    return (
        segment.seq - first + len(segment.payload) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
    ) & 0xFFFFFFFF


def _numbers(event: Event, result: Result) -> tuple[int, int]:
    """The first numbers of sender and receiver."""
    iss, irs = result.isns[event.connection]
    return (iss or 0, irs or 0) if event.kind == "seen" else (irs or 0, iss or 0)


def _spelt(segment: Segment, numbers: tuple[int, int], *, outbound: bool) -> str:
    flags = "".join(letter for bit, letter in _LETTERS if segment.flags & bit)
    seq = (segment.seq - numbers[0]) & 0xFFFFFFFF
    size = len(segment.payload)
    words = [flags, f"{seq}:{(seq + size) & 0xFFFFFFFF}({size})"]
    if segment.flags & ACK:
        words.append(f"ack {(segment.ack - numbers[1]) & 0xFFFFFFFF}")
    if not outbound:
        words.append(f"win {segment.win}")
        said = [option for option in segment.options if option[0] != "eol"]
        named = [_option(option, numbers[1]) for option in said]
        # packetdrill pads nothing: as many octets as there are make a whole number of words.
        named += ["eol"] * (-sum(len(encode_one(option)) for option in said) % 4)
        options = ",".join(named)
        return " ".join([*words, f"<{options}>"] if options else words)
    return " ".join([*words, "<...>"] if segment.options else words)


def _option(option: Option, base: int) -> str:
    name = option[0]
    if name == "ts":
        return f"TS val {option[1]} ecr {option[2]}"
    if name == "sack":
        return "sack " + " ".join(f"{(a - base) & 0xFFFFFFFF}:{(b - base) & 0xFFFFFFFF}" for a, b in option[1:])
    return " ".join(map(str, option))


def _expected(seen: Segment, finding: Finding, result: Result) -> Segment:
    """What should have come: what came, with the fields that differ set right."""
    iss, irs = next(iter(result.isns.values()))
    changed: dict[str, int] = {}
    for difference in finding.differences:
        text = difference.expected
        number = re.fullmatch(r"(iss|irs)([+-]\d+)?", text)
        if difference.field == "flags" and text and set(text.split(",")) <= set(_NAMES):
            changed["flags"] = sum(_NAMES[name] for name in text.split(","))
        elif difference.field in ("seq", "ack") and number is not None:
            base = iss if number[1] == "iss" else irs
            changed[difference.field] = ((base or 0) + int(number[2] or 0)) & 0xFFFFFFFF
        else:
            raise ExportError(
                _cant(result, f"that {printable(difference.field)} should be {printable(text) or 'absent'}")
            )
    return replace(seen, **changed)  # type: ignore[arg-type]

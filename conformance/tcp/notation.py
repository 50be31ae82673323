"""The one-line notation of segments: `parse` and `str` are inverses. The grammar stands in cases/README.md.

The same classes (`lines`) print what was seen, so a line of a report can be pasted into a case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from conformance.tcp.expression import RFC_VARIABLES, Expr, NotationError, Token, Tokens, Value, parse_expr, parse_value
from conformance.tcp.ip_options import KINDS as IP_OPTIONS
from conformance.tcp.lines import (
    Field,
    Icmp,
    Kind,
    Line,
    Nothing,
    Octets,
    OptionItem,
    OptionList,
    Payload,
    Positions,
    Retransmission,
    SegmentLine,
    Stream,
    names_read,
    open_values,
)
from conformance.tcp.segment import FLAG_BITS

__all__ = [
    "Field",
    "Icmp",
    "Kind",
    "Line",
    "Nothing",
    "Octets",
    "OptionItem",
    "OptionList",
    "Payload",
    "Positions",
    "Retransmission",
    "SegmentLine",
    "Stream",
    "names_read",
    "open_values",
    "parse",
    "parse_payload",
]

NUMBER_FIELDS = frozenset("seq ack win urg doff reserved sport dport ttl tos id flow frag".split())
WORD_FIELDS = {
    "sum": ("bad", "good"),
    "ecn": ("ce", "ect0", "ect1", "not"),
    "df": ("0", "1"),
    "ipopt": ("none", *IP_OPTIONS),
    "from": ("target", "broadcast", "multicast", "unspecified", "loopback"),
    "to": ("broadcast", "multicast"),
}
FIELDS = NUMBER_FIELDS | frozenset(WORD_FIELDS)
OPTION_NAMES = frozenset("mss wscale sackOK sack ts nop eol fo uto".split())
ICMP_TYPES = frozenset(
    (
        "net-unreachable host-unreachable protocol-unreachable port-unreachable fragmentation-needed "
        "source-route-failed admin-prohibited packet-too-big time-exceeded reassembly-timeout parameter-problem "
        "source-quench redirect other"
    ).split()
)
_KINDS = ("window probe", "window update", "keep-alive")


_ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", '"': b'"', "\\": b"\\", "0": b"\0"}


def _string(text: str, column: int) -> bytes:
    out = bytearray()
    at, body = 0, text[1:-1]
    while at < len(body):
        if body[at] != "\\":
            out += body[at].encode()
            at += 1
        elif body[at + 1] == "x" and re.fullmatch("[0-9A-Fa-f]{2}", body[at + 2 : at + 4]):
            out.append(int(body[at + 2 : at + 4], 16))
            at += 4
        elif body[at + 1] in _ESCAPES:
            out += _ESCAPES[body[at + 1]]
            at += 2
        else:
            raise NotationError(r"an escape that is none of \n \r \t \0 \" \\ \xNN", column + 1 + at)
    return bytes(out)


def _payload(tokens: Tokens) -> Iterator[Positions | Octets]:
    while True:
        token, ahead = tokens.peek(), tokens.peek(1)
        if token.text == "(" and token.kind == "op":
            tokens.next()
            value = parse_value(tokens)
            tokens.expect(")")
            yield Positions(value)
        elif token.kind == "str":
            tokens.next()
            yield Octets(_string(token.text, token.column))
        elif token.kind == "int" and ahead.text == "*" and tokens.peek(2).kind == "str":
            times = int(token.text)
            if times > 1 << 20:
                raise NotationError("at most 1048576 repetitions", token.column)
            tokens.next()
            tokens.next()
            string = tokens.next()
            yield Octets(_string(string.text, string.column), times)
        elif token.kind == "hex":
            tokens.next()
            yield Octets(_hex(token.text, token.column))
        else:
            return


def _hex(text: str, column: int) -> bytes:
    if len(text) % 2:
        raise NotationError("an odd number of hexadecimal digits: two make an octet", column)
    return bytes.fromhex(text[2:])


def _fields(tokens: Tokens, allowed: frozenset[str]) -> Iterator[Field]:
    seen: set[str] = set()
    while tokens.peek().kind == "name" and tokens.peek(1).text == "=":
        key = tokens.next()
        if key.text not in allowed:
            raise NotationError(f"{key.text!r} is no field; there are {', '.join(sorted(allowed))}", key.column)
        if key.text in seen:
            raise NotationError(f"{key.text!r} is said twice", key.column)
        seen.add(key.text)
        tokens.next()
        words = WORD_FIELDS.get(key.text)
        if words is None:
            yield Field(key.text, parse_value(tokens))
            continue
        word = tokens.next()
        if word.text not in words:
            raise NotationError(f"{key.text}= takes one of {', '.join(words)}", word.column)
        yield Field(key.text, word.text)
    token = tokens.peek()
    if token.kind == "name" and token.text in allowed:
        raise NotationError(f"{token.text!r} lacks its value: {token.text}=...", token.column)


_ARGS = {"mss": (1, 1), "wscale": (1, 1), "sackOK": (0, 0), "ts": (0, 2), "nop": (0, 0), "eol": (0, 0), "uto": (1, 1)}
_ARGS |= {"sack": (1, 4), "fo": (0, 1)}


def _names_segment(token: Token, after: Token) -> bool:
    if token.text in ("min", "max") and after.text == "(":
        return False
    return token.kind == "name" and "." not in token.text and token.text not in RFC_VARIABLES


def _option(tokens: Tokens) -> OptionItem:
    token = tokens.next()
    if token.text == "no":
        name = tokens.next()
        if name.text not in OPTION_NAMES:
            raise NotationError(f"'no' takes an option: {', '.join(sorted(OPTION_NAMES))}", name.column)
        return OptionItem(name.text, absent=True)
    if token.text == "raw":
        data = tokens.next()
        if data.kind != "hex":
            raise NotationError("'raw' takes octets: raw 0x0204", data.column)
        return OptionItem("raw", (_hex(data.text, data.column),))
    if token.text == "kind":
        number = parse_expr(tokens)
        length: Expr | None = None
        if tokens.peek().text == "len":
            tokens.next()
            tokens.expect("=")
            length = parse_expr(tokens)
        data = tokens.peek()
        octets: tuple[bytes, ...] = ()
        if data.kind == "hex":
            tokens.next()
            octets = (_hex(data.text, data.column),)
        return OptionItem("kind", (number, *octets), length=length)
    if token.text not in OPTION_NAMES:
        known = ", ".join(sorted(OPTION_NAMES))
        raise NotationError(
            f"{token.text or 'nothing'!r} is no option; there are {known}, kind N, raw 0x..", token.column
        )
    args: list[Value | str | bytes] = []
    while tokens.peek().text not in (",", ">") and not tokens.done():
        ahead = tokens.peek()
        if ahead.kind == "hex" and token.text == "fo":
            tokens.next()
            args.append(_hex(ahead.text, ahead.column))
        elif token.text == "sack" and _names_segment(ahead, tokens.peek(1)):
            args.append(tokens.next().text)
        else:
            args.append(parse_value(tokens))
    least, most = _ARGS[token.text]
    if not least <= len(args) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise NotationError(f"{token.text} takes {wanted} argument(s), not {len(args)}", token.column)
    return OptionItem(token.text, tuple(args))


def _options(tokens: Tokens) -> OptionList:
    tokens.expect("<")
    only = tokens.accept("only")
    items: list[OptionItem] = []
    while not tokens.accept(">"):
        if tokens.done():
            raise NotationError("options that are never closed: end them with '>'", tokens.peek().column)
        if items:
            tokens.expect(",")
        items.append(_option(tokens))
    return OptionList(tuple(items), only)


def _flags(tokens: Tokens) -> tuple[int, int]:
    flags = optional = 0
    token = tokens.peek()
    if token.text == "NONE":
        tokens.next()
        return 0, 0
    while True:
        token = tokens.next()
        bit = FLAG_BITS.get(token.text)
        if bit is None:
            known = ", ".join(FLAG_BITS)
            raise NotationError(f"{token.text or 'nothing'!r} is no flag; there are {known}, NONE", token.column)
        if (flags | optional) & bit:
            raise NotationError(f"{token.text} is said twice", token.column)
        if tokens.accept("?"):
            optional |= bit
        else:
            flags |= bit
        if not tokens.accept(","):
            return flags, optional


def _segment(tokens: Tokens) -> SegmentLine:
    flags, optional = _flags(tokens)
    fields = tuple(_fields(tokens, FIELDS))
    options: OptionList | None = None
    payload: list[Positions | Octets] = list(_payload(tokens))
    if tokens.peek().text == "<":
        options = _options(tokens)
        after = list(_payload(tokens))
        if payload and after:
            raise NotationError("a payload on both sides of the options", tokens.peek().column)
        payload = payload or after
    return SegmentLine(flags, optional, fields, options, tuple(payload))


def _name(tokens: Tokens, what: str) -> str:
    token = tokens.next()
    if token.kind != "name" or not re.fullmatch(r"[a-z][a-z0-9_]*", token.text):
        raise NotationError(f"{what} takes the name of a segment", token.column)
    return token.text


_ICMP = re.compile(r"ICMP\s+([a-z][a-z-]*)\s*")
_ICMP_FIELDS = frozenset({"mtu", "type", "code"})


def _icmp(text: str) -> Icmp:
    match = _ICMP.match(text)
    if match is None or match.group(1) not in ICMP_TYPES:
        raise NotationError(f"ICMP takes one of {', '.join(sorted(ICMP_TYPES))}", 5)
    tokens = Tokens(" " * match.end() + text[match.end() :])
    fields = tuple(_fields(tokens, _ICMP_FIELDS | FIELDS))
    tokens.expect("quoting")
    name = _name(tokens, "quoting")
    quoted = tuple(_fields(tokens, FIELDS))
    _end(tokens)
    return Icmp(match.group(1), name, fields, quoted)


def _end(tokens: Tokens) -> None:
    if not tokens.done():
        token = tokens.peek()
        raise NotationError(f"{token.text!r} is too much here", token.column)


@lru_cache(maxsize=8192)
def parse(text: str) -> Line:
    """The line of notation that `text` says. Raises NotationError with the column of the mistake."""
    stripped = " ".join(text.split())
    if stripped in ("nothing", "nothing new"):
        return Nothing(stripped.endswith("new"))
    if stripped in _KINDS:
        return Kind(stripped)
    if stripped.startswith("ICMP"):
        return _icmp(text.strip())
    tokens = Tokens(text)
    if stripped.startswith("retransmission"):
        tokens.next()
        tokens.expect("of")
        name = _name(tokens, "'retransmission of'")
        line: Line = Retransmission(name, tuple(_payload(tokens)))
    elif stripped.startswith("stream"):
        tokens.next()
        start = parse_expr(tokens) if tokens.accept("from") else None
        payload = tuple(_payload(tokens))
        if not payload:
            raise NotationError("a stream takes its payload: stream (1000)", tokens.peek().column)
        line = Stream(payload, start, tokens.accept("FIN"))
    else:
        line = _segment(tokens)
    _end(tokens)
    return line


def parse_payload(text: str) -> Payload:
    """The payload that `text` says, as in `returns:`. Raises NotationError."""
    tokens = Tokens(text)
    payload = tuple(_payload(tokens))
    if not payload:
        raise NotationError('a payload is (n) or "text" or 0x..', tokens.peek().column)
    _end(tokens)
    return payload

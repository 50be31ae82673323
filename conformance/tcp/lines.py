"""What a line of the notation can be, as frozen objects; `str` prints the line. `notation.parse` makes them.

A line is a template: its fields are values (expressions, in an expectation also ranges and `*`), bound to numbers by
whoever knows the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.tcp.expression import Anything, Expr, Range, Value, Variable, variables
from conformance.tcp.segment import FLAG_BITS, flag_names


@dataclass(frozen=True, slots=True)
class Field:
    """`key=value`; a word (`sum=bad`) is a str."""

    key: str
    value: Value | str

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class OptionItem:
    """One option of `<...>`: `mss 1460`, `ts * synack.tsval`, `sack b`, `no ts`, `kind 254 len=4 0xab`, `raw 0x02`."""

    name: str
    args: tuple[Value | str | bytes, ...] = ()
    absent: bool = False
    length: Expr | None = None

    def __str__(self) -> str:
        if self.absent:
            return f"no {self.name}"
        words = [self.name]
        for arg in self.args:
            words.append("0x" + arg.hex() if isinstance(arg, bytes) else str(arg))
        if self.length is not None:
            words.insert(2, f"len={self.length}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class OptionList:
    """`<...>`: what differs from the usual; with `only`, all there is."""

    items: tuple[OptionItem, ...]
    only: bool = False

    def __str__(self) -> str:
        body = ", ".join(map(str, self.items))
        return f"<{'only ' if self.only else ''}{body}>" if body or not self.only else "<only>"


@dataclass(frozen=True, slots=True)
class Positions:
    """`(n)`: n octets that tell their position in the stream."""

    count: Value

    def __str__(self) -> str:
        return f"({self.count})"


@dataclass(frozen=True, slots=True)
class Octets:
    """Literal octets, `times` over: a string, or 0x... ."""

    data: bytes
    times: int = 1

    def __str__(self) -> str:
        body = "".join(_escape(octet) for octet in self.data)
        return f'{self.times}*"{body}"' if self.times != 1 else f'"{body}"'


Payload = tuple[Positions | Octets, ...]


@dataclass(frozen=True, slots=True)
class SegmentLine:
    """Flags, fields, options, payload. `flags` are required, `optional` may be there too (`PSH?`)."""

    flags: int
    optional: int = 0
    fields: tuple[Field, ...] = ()
    options: OptionList | None = None
    payload: Payload = ()

    def __str__(self) -> str:
        names = []
        for name, bit in FLAG_BITS.items():
            if self.optional & bit:
                names.append(f"{name}?")
            elif self.flags & bit:
                names.append(name)
        words = [",".join(names) or "NONE", *map(str, self.fields)]
        if self.options is not None:
            words.append(str(self.options))
        words.extend(map(str, self.payload))
        return " ".join(words)

    def field(self, key: str) -> Value | str | None:
        """The value of a field, or None when it is not said."""
        for field in self.fields:
            if field.key == key:
                return field.value
        return None


@dataclass(frozen=True, slots=True)
class Retransmission:
    """`retransmission of NAME [payload]`: the same octets again, cut anywhere."""

    of: str
    payload: Payload = ()

    def __str__(self) -> str:
        return " ".join([f"retransmission of {self.of}", *map(str, self.payload)])


@dataclass(frozen=True, slots=True)
class Kind:
    """`window probe`, `window update` or `keep-alive`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Stream:
    """`stream [from EXPR] payload [FIN]`: in order, cut into segments anywhere."""

    payload: Payload
    start: Expr | None = None
    fin: bool = False

    def __str__(self) -> str:
        words = ["stream"]
        if self.start is not None:
            words.append(f"from {self.start}")
        words.extend(map(str, self.payload))
        return " ".join(words + (["FIN"] if self.fin else []))


@dataclass(frozen=True, slots=True)
class Icmp:
    """`ICMP TYPE {field} quoting NAME {field}`: an ICMP or ICMPv6 message that quotes a named segment."""

    type: str
    quoting: str
    fields: tuple[Field, ...] = ()
    quoted: tuple[Field, ...] = ()

    def __str__(self) -> str:
        return " ".join(
            [f"ICMP {self.type}", *map(str, self.fields), f"quoting {self.quoting}", *map(str, self.quoted)]
        )


@dataclass(frozen=True, slots=True)
class Nothing:
    """`nothing`, or `nothing new`, which admits what a stack may send of its own accord."""

    new: bool = False

    def __str__(self) -> str:
        return "nothing new" if self.new else "nothing"


Line = SegmentLine | Retransmission | Kind | Stream | Icmp | Nothing


def _escape(octet: int) -> str:
    if octet in (0x22, 0x5C):
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\x{octet:02x}"


def open_values(line: Line) -> Iterator[str]:
    """Whatever only an expectation may say (ranges, `*`, `FLAG?`), in words; a line that is sent has none."""
    if isinstance(line, SegmentLine):
        if line.optional:
            yield f"{flag_names(line.optional)}?"
        values: list[object] = [field.value for field in line.fields]
        for item in line.options.items if line.options else ():
            values += [arg for arg in item.args if not (item.name == "sack" and isinstance(arg, Range))]
        values += [part.count for part in line.payload if isinstance(part, Positions)]
        for value in values:
            if isinstance(value, (Anything, Range)):
                yield str(value)


def names_read(line: Line) -> Iterator[Variable]:
    """Every variable that the line reads, and every segment it names (as a Variable with an attribute)."""
    payload: Payload = ()
    if isinstance(line, Retransmission):
        yield Variable(line.of, "seq")
        payload = line.payload
    elif isinstance(line, Icmp):
        yield Variable(line.quoting, "seq")
        for field in line.fields + line.quoted:
            if not isinstance(field.value, str):
                yield from variables(field.value)
    elif isinstance(line, Stream):
        payload = line.payload
        yield from variables(line.start)
    elif isinstance(line, SegmentLine):
        payload = line.payload
        for field in line.fields:
            if not isinstance(field.value, str):
                yield from variables(field.value)
        for item in line.options.items if line.options else ():
            for arg in item.args:
                if isinstance(arg, str):
                    yield Variable(arg, "seq")
                elif not isinstance(arg, bytes):
                    yield from variables(arg)
    for part in payload:
        if isinstance(part, Positions):
            yield from variables(part.count)

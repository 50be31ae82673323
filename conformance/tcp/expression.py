"""Expressions of the notation: sequence numbers by name, sums, products, ranges. Parsed to a tree, never evaluated
as code; `str` of a tree parses to the same tree.

    expr  = term {("+"|"-") term}      term = atom {"*" atom}
    atom  = int | hex | time | var | ("min"|"max") "(" expr {"," expr} ")" | "(" expr ")"
    value = expr | [expr] ".." [expr] | "*"

A range's upper end follows its `..` at once: in `win=1.. (10)` the payload is a payload.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

RFC_VARIABLES = frozenset("iss irs snd.una snd.nxt snd.wnd rcv.nxt rcv.wnd smss rmss ts.recent".split())
ATTRIBUTES = frozenset("seq end len ack win time gap tsval tsecr cookie".split())


class NotationError(ValueError):
    """What is wrong with a line of notation, at which column (0 is its first character), and what would be right."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


MOST_ATOMS = 100
"""Numbers, names and parentheses of a line at most: no line needs more, and a tree of them stays shallow."""
LONGEST_NUMBER = 20
"""Characters of a decimal number at most."""


class Token(NamedTuple):
    """One token: `kind` is time, ratio, hex, int, str, name, dots, op or end."""

    kind: str
    text: str
    column: int


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<time>\d+(?:\.\d+)?(?:ms|us|s)(?![A-Za-z0-9_]))
    | (?P<ratio>\d+(?:\.\d+)?x(?![A-Za-z0-9_]))
    | (?P<hex>0x[0-9A-Fa-f]+)
    | (?P<int>\d+(?![A-Za-z_]))
    | (?P<str>"(?:[^"\\]|\\.)*")
    | (?P<dots>\.\.)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)
    | (?P<op>[-+*(),<>=?$])
    )""",
    re.VERBOSE,
)


class Tokens:
    """The tokens of one line, with one token of look-ahead."""

    __slots__ = ("_at", "_atoms", "_tokens", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._atoms = 0
        self._tokens = list(_scan(text))
        self._at = 0

    def peek(self, ahead: int = 0) -> Token:
        """The next token but `ahead`, left where it is."""
        at = min(self._at + ahead, len(self._tokens) - 1)
        return self._tokens[at]

    def next(self) -> Token:
        """Take the next token; the end is returned again and again."""
        token = self._tokens[self._at]
        if self._at < len(self._tokens) - 1:
            self._at += 1
        return token

    def next_atom(self) -> Token:
        """Take the next token as part of an expression, of which a line has so many. Raises NotationError."""
        self._atoms += 1
        token = self.next()
        if self._atoms > MOST_ATOMS:
            raise NotationError(f"more than {MOST_ATOMS} numbers, names and parentheses in one line", token.column)
        return token

    def accept(self, text: str) -> bool:
        """Take the next token if it reads `text`."""
        token = self._tokens[self._at]
        if token.text == text and token.kind != "str":
            self.next()
            return True
        return False

    def expect(self, text: str) -> Token:
        """Take the next token, which must read `text`. Raises NotationError."""
        token = self.peek()
        if token.text != text or token.kind == "str":
            raise NotationError(f"{_shown(token)} where {text!r} should stand", token.column)
        return self.next()

    def done(self) -> bool:
        """True when every token was taken."""
        return self._tokens[self._at].kind == "end"


def _shown(token: Token) -> str:
    return "the line ends" if token.kind == "end" else repr(token.text)


def _scan(text: str) -> Iterator[Token]:
    at, end = 0, len(text)
    while True:
        while at < end and text[at].isspace():
            at += 1
        if at >= end:
            yield Token("end", "", end)
            return
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            if text[at] == '"':
                raise NotationError("a string that is never closed: end it with '\"'", at)
            raise NotationError(f"{text[at]!r} has no meaning here", at)
        if match.lastgroup in ("int", "time", "ratio") and len(match.group().lstrip()) > LONGEST_NUMBER:
            raise NotationError(f"a number has at most {LONGEST_NUMBER} characters", at)
        yield Token(match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup))
        at = match.end()


@dataclass(frozen=True, slots=True)
class Number:
    """A plain number."""

    value: int

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Seconds:
    """A time in seconds."""

    value: float

    def __str__(self) -> str:
        return f"{_plain(self.value)}s"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A multiple of the gap before: `2.5x`."""

    value: float

    def __str__(self) -> str:
        return f"{_plain(self.value)}x"


@dataclass(frozen=True, slots=True)
class Variable:
    """`rcv.nxt`, `main.irs`, `fin.end`: `owner` is a connection, a segment's name, or empty for this connection."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}" if self.owner else self.name


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right` with op one of + - *."""

    op: str
    left: Expr
    right: Expr

    def __str__(self) -> str:
        right = f"({self.right})" if isinstance(self.right, Binary) else str(self.right)
        left = (
            f"({self.left})" if self.op == "*" and isinstance(self.left, Binary) and self.left.op != "*" else self.left
        )
        return f"{left}{self.op}{right}"


@dataclass(frozen=True, slots=True)
class Extreme:
    """`min(...)` or `max(...)`."""

    name: str
    args: tuple[Expr, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.args))})"


Expr = Number | Seconds | Ratio | Variable | Binary | Extreme


def reads_times(expr: Expr) -> bool:
    """Whether an expression asks when a segment came, or how long after the one before."""
    if isinstance(expr, Variable):
        return expr.name in ("time", "gap")
    if isinstance(expr, Binary):
        return reads_times(expr.left) or reads_times(expr.right)
    return isinstance(expr, Extreme) and any(map(reads_times, expr.args))


@dataclass(frozen=True, slots=True)
class Range:
    """`low..high`, both ends included; an end that is left out is open."""

    low: Expr | None
    high: Expr | None

    def __str__(self) -> str:
        return f"{'' if self.low is None else self.low}..{'' if self.high is None else self.high}"


@dataclass(frozen=True, slots=True)
class Anything:
    """`*`: any value."""

    def __str__(self) -> str:
        return "*"


Value = Expr | Range | Anything


def _plain(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


_UNITS = {"us": 1e-6, "ms": 1e-3}


def seconds_of(text: str) -> float:
    """The seconds that a time token means: `200ms`, `1.5s`."""
    unit = text[-2:]
    return round(float(text[:-2]) * _UNITS[unit] if unit in _UNITS else float(text[:-1]), 9)


def _variable(token: Token) -> Variable:
    name = token.text
    if name in RFC_VARIABLES:
        return Variable("", name)
    owner, _, rest = name.partition(".")
    if rest in RFC_VARIABLES or rest in ATTRIBUTES:
        return Variable(owner, rest)
    if rest:
        known = ", ".join(sorted(RFC_VARIABLES | ATTRIBUTES))
        raise NotationError(f"{rest!r} is no variable or attribute; there are {known}", token.column)
    raise NotationError(
        f"{name!r} is no variable; a named segment needs an attribute: {name}.seq, {name}.end", token.column
    )


def _atom(tokens: Tokens) -> Expr:
    token = tokens.next_atom()
    if token.kind == "int":
        return Number(int(token.text))
    if token.kind == "hex":
        value = int(token.text, 16)
        if value >= 10**LONGEST_NUMBER:
            raise NotationError(f"a number has at most {LONGEST_NUMBER} decimal digits", token.column)
        return Number(value)
    if token.kind == "time":
        return Seconds(seconds_of(token.text))
    if token.kind == "ratio":
        return Ratio(round(float(token.text[:-1]), 9))
    if token.text in ("min", "max") and tokens.peek().text == "(":
        tokens.expect("(")
        args = [parse_expr(tokens)]
        while tokens.accept(","):
            args.append(parse_expr(tokens))
        tokens.expect(")")
        return Extreme(token.text, tuple(args))
    if token.kind == "name":
        return _variable(token)
    if token.text == "(":
        inner = parse_expr(tokens)
        tokens.expect(")")
        return inner
    if token.text == "$":
        raise NotationError("a parameter that 'vary' does not define", token.column)
    raise NotationError(f"{_shown(token)} where a number or a variable should stand", token.column)


def _term(tokens: Tokens) -> Expr:
    left = _atom(tokens)
    while tokens.peek().text == "*" and tokens.peek(1).kind not in ("str", "end"):
        tokens.next()
        left = Binary("*", left, _atom(tokens))
    return left


def parse_expr(tokens: Tokens) -> Expr:
    """Take an expression. Raises NotationError."""
    left = _term(tokens)
    while tokens.peek().kind == "op" and tokens.peek().text in "+-":
        op = tokens.next().text
        left = Binary(op, left, _term(tokens))
    return left


def parse_value(tokens: Tokens) -> Value:
    """Take a value: an expression, a range or `*`. Raises NotationError."""
    if tokens.accept("*"):
        return Anything()
    low = None if tokens.peek().kind == "dots" else parse_expr(tokens)
    if tokens.peek().kind != "dots":
        assert low is not None
        return low
    dots = tokens.next()
    ahead = tokens.peek()
    starts = ahead.kind in ("int", "hex", "time", "ratio", "name") or ahead.text == "("
    high = parse_expr(tokens) if starts and ahead.column == dots.column + 2 else None
    return Range(low, high)


def variables(value: Value | None) -> Iterator[Variable]:
    """Every variable that a value reads."""
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, Binary):
        yield from variables(value.left)
        yield from variables(value.right)
    elif isinstance(value, Extreme):
        for arg in value.args:
            yield from variables(arg)
    elif isinstance(value, Range):
        yield from variables(value.low)
        yield from variables(value.high)

"""Expressions: what they parse to, how they print, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from tcp.lines import exprs, spans, values

from conformance.tcp import expression as e


def parse(text: str) -> e.Value:
    tokens = e.Tokens(text)
    value = e.parse_value(tokens)
    assert tokens.done()
    return value


def calculate(expr: e.Expr) -> int:
    """The value of an expression without variables."""
    if isinstance(expr, e.Number):
        return expr.value
    if isinstance(expr, e.Extreme):
        return (min if expr.name == "min" else max)(calculate(arg) for arg in expr.args)
    assert isinstance(expr, e.Binary)
    left, right = calculate(expr.left), calculate(expr.right)
    return {"+": left + right, "-": left - right, "*": left * right}[expr.op]


@given(values)
def test_values_print_to_what_they_are(value):
    assert parse(str(value)) == value


@given(spans)
def test_times_and_multiples_print_to_what_they_are(span):
    assert parse(str(span)) == span


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1+2*3", 7),
        ("(1+2)*3", 9),
        ("10-2-3", 5),
        ("10-(2-3)", 11),
        ("2*3*4", 24),
        ("2*(3-1)-1", 3),
        ("max(1, 2+3, min(9, 4))", 5),
        ("0x10+1", 17),
        ("0xFFFFFFFF", 0xFFFFFFFF),
    ],
)
def test_operators_bind_as_in_arithmetic(text, value):
    assert calculate(parse(text)) == value
    assert calculate(parse(str(parse(text)))) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("1.5s", 1.5), ("7us", 7e-6), ("0s", 0), ("3600s", 3600), ("0.0000000001s", 0)],
)
def test_times(text, seconds):
    assert parse(text) == e.Seconds(seconds)


def test_variables():
    assert parse("rcv.nxt") == e.Variable("", "rcv.nxt")
    assert parse("main.rcv.nxt") == e.Variable("main", "rcv.nxt")
    assert parse("fin.end") == e.Variable("fin", "end")
    assert {v.owner for v in e.variables(parse("a.seq..max(b.ack, c.end*2)"))} == {"a", "b", "c"}


def test_ranges():
    assert parse("1..2") == e.Range(e.Number(1), e.Number(2))
    assert parse("..") == e.Range(None, None)
    assert parse("1..") == e.Range(e.Number(1), None)
    assert parse("*") == e.Anything()


def test_what_follows_an_open_range_after_a_blank_is_not_its_end():
    tokens = e.Tokens("1.. (10)")
    assert e.parse_value(tokens) == e.Range(e.Number(1), None)
    assert not tokens.done()


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 0),
        ("1+", 2),
        ("(1", 2),
        ("1+*2", 2),
        ("foo", 0),
        ("foo.bar", 0),
        ("max()", 4),
        ("max(1,", 6),
        ("$x", 0),
        ("1 + ,", 4),
        ("1s2", 0),
        ("%", 0),
        ("9" * 21, 0),
        ("1+" * 101 + "1", 200),
        ("(" * 101, 100),
    ],
)
def test_what_is_refused_and_where(text, column):
    with pytest.raises(e.NotationError) as caught:
        parse(text)
    assert caught.value.column == column


@given(exprs)
def test_equal_trees_are_equal_keys(expr):
    assert hash(parse(str(expr))) == hash(expr)

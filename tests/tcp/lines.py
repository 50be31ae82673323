"""Random lines of the notation, as trees: for every kind of line, whatever the grammar lets be said."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.tcp import notation as n
from conformance.tcp.expression import (
    ATTRIBUTES,
    RFC_VARIABLES,
    Anything,
    Binary,
    Extreme,
    Number,
    Range,
    Ratio,
    Seconds,
    Variable,
)
from conformance.tcp.segment import FLAG_BITS

_WORDS = {"min", "max", "only", "no", "len", "kind", "raw", "quoting", "from", "of", "stream", "nothing"}
_WORDS |= n.FIELDS | n.OPTION_NAMES
names = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True).filter(lambda word: word not in _WORDS)
numbers = st.integers(0, 1 << 33).map(Number)
times = st.integers(0, 10**10).map(lambda us: us / 1e6)
variables = st.one_of(
    st.sampled_from(sorted(RFC_VARIABLES)).map(lambda name: Variable("", name)),
    st.builds(Variable, names, st.sampled_from(sorted(RFC_VARIABLES | ATTRIBUTES))),
)
atoms = st.one_of(numbers, variables)


def _wider(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(
        st.builds(Binary, st.sampled_from("+-*"), inner, inner),
        st.builds(Extreme, st.sampled_from(("min", "max")), st.lists(inner, min_size=1, max_size=3).map(tuple)),
    )


exprs = st.recursive(atoms, _wider, max_leaves=5)
spans = st.one_of(times.map(Seconds), times.map(Ratio))
ranges = st.builds(Range, st.one_of(st.none(), exprs), st.one_of(st.none(), exprs))
values = st.one_of(exprs, ranges, st.just(Anything()))

octets = st.binary(max_size=12)
payload_parts = st.one_of(
    st.builds(n.Positions, values),
    st.builds(n.Octets, octets, st.just(1)),
    st.builds(n.Octets, octets, st.integers(2, 1000)),
)
payloads = st.lists(payload_parts, max_size=3).map(tuple)
some_payload = st.lists(payload_parts, min_size=1, max_size=3).map(tuple)

number_fields = st.builds(n.Field, st.sampled_from(sorted(n.NUMBER_FIELDS)), values)
word_fields = st.sampled_from(sorted(n.WORD_FIELDS)).flatmap(
    lambda key: st.builds(n.Field, st.just(key), st.sampled_from(n.WORD_FIELDS[key]))
)
fields = st.lists(st.one_of(number_fields, word_fields), max_size=4, unique_by=lambda field: field.key).map(tuple)

# Two arguments stand side by side, so an open range or a bare `*` before another one would say something else.
_whole = st.one_of(exprs, st.builds(Range, exprs, exprs))
items = st.one_of(
    st.builds(n.OptionItem, st.sampled_from(("mss", "wscale", "uto")), st.tuples(values)),
    st.builds(n.OptionItem, st.sampled_from(("sackOK", "nop", "eol"))),
    st.builds(n.OptionItem, st.just("ts"), st.one_of(st.just(()), st.tuples(_whole), st.tuples(_whole, _whole))),
    st.builds(
        n.OptionItem,
        st.just("sack"),
        st.lists(st.one_of(names, st.builds(Range, exprs, exprs)), min_size=1, max_size=4).map(tuple),
    ),
    st.builds(n.OptionItem, st.just("fo"), st.one_of(st.just(()), st.tuples(octets.filter(bool)))),
    st.builds(n.OptionItem, st.sampled_from(sorted(n.OPTION_NAMES)), absent=st.just(True)),
    st.builds(n.OptionItem, st.just("raw"), st.tuples(octets.filter(bool))),
    st.builds(
        n.OptionItem,
        st.just("kind"),
        st.one_of(st.tuples(atoms), st.tuples(atoms, octets.filter(bool))),
        length=st.one_of(st.none(), atoms),
    ),
)
option_lists = st.builds(n.OptionList, st.lists(items, max_size=4).map(tuple), st.booleans())

flag_sets = st.sets(st.sampled_from(sorted(FLAG_BITS)), max_size=5)


@st.composite
def segments(draw: st.DrawFn) -> n.SegmentLine:
    """A segment with anything that may be said about one."""
    said = sorted(draw(flag_sets))
    optional = draw(st.sets(st.sampled_from(said))) if said else set()
    flags = sum(FLAG_BITS[name] for name in said if name not in optional)
    free = sum(FLAG_BITS[name] for name in optional)
    options = draw(st.one_of(st.none(), option_lists))
    return n.SegmentLine(flags, free, draw(fields), options, draw(payloads))


icmp_fields = st.lists(
    st.builds(n.Field, st.sampled_from(("mtu", "type", "code")), exprs), max_size=3, unique_by=lambda field: field.key
).map(tuple)

lines = st.one_of(
    segments(),
    st.builds(n.Retransmission, names, payloads),
    st.sampled_from(("window probe", "window update", "keep-alive")).map(n.Kind),
    st.builds(n.Stream, some_payload, st.one_of(st.none(), exprs), st.booleans()),
    st.builds(n.Icmp, st.sampled_from(sorted(n.ICMP_TYPES)), names, icmp_fields, fields),
    st.booleans().map(n.Nothing),
)

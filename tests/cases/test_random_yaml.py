"""Whatever stands in a file, the loader raises CaseError or nothing."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from conformance.cases.loader import CASE_KEYS, START_KEYS, load_text
from conformance.cases.steps import KEYS, VERBS
from conformance.cases.yamltree import CaseError

WORDS = [*CASE_KEYS, *START_KEYS, *KEYS, *VERBS, "as", "within", "for", "gap", "times", "until", "requirement", "conn"]
TEXTS = [
    *"""
SYN
SYN,ACK
ACK (10)
RST seq=$x
nothing
nothing new
retransmission of syn
stream (100)
ESTABLISHED
LISTEN
FIN-WAIT-1
2s
1s..2s
2x
1.5x..2.5x
listen()
accept()
recv(10)
send((10))
close()
connect()
recv(1, nowait)
listener.close()
$n
$x
$ip
true
3
1..2
2..
rcv.wnd <= 1
eof
any
ECONNRESET
active
passive
close
shutdown
same pair as main
unwatched
*
..
seq
main
b
ICMP port-unreachable quoting syn
ACK <sack a>
window probe
""".strip().splitlines(),
    "",
]
scalars = st.one_of(st.sampled_from(TEXTS), st.sampled_from(WORDS), st.text(max_size=12))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), inner, max_size=4),
    ),
    max_leaves=12,
)
steps = st.lists(
    st.one_of(
        st.dictionaries(
            st.sampled_from(
                sorted({*KEYS, "as", "within", "for", "gap", "times", "returns", "raises", "steps", "until"})
            ),
            trees,
            min_size=1,
            max_size=3,
        ),
        st.sampled_from(sorted(KEYS)).flatmap(lambda key: st.builds(lambda value: {key: value}, scalars)),
        trees,
    ),
    max_size=4,
)
cases = st.fixed_dictionaries(
    {"title": scalars, "requirements": st.just(["R"]), "steps": steps},
    optional={"start": trees, "vary": trees, "needs": trees, "connections": trees},
)


def load(text: str) -> None:
    try:
        case = load_text(text, "x.yaml", "x", None)
    except CaseError as error:
        told = error.problems
    else:
        for variation in case.variations:
            variation.build()
        return
    assert told
    assert all(place.line >= 1 and place.column >= 1 and message for place, message in told)


@given(cases)
@settings(max_examples=800, deadline=None)
@example({"title": "t", "requirements": ["R"], "steps": [], "vary": {"x": ["$x"]}})
@example({"title": "t", "requirements": ["R"], "steps": [{"send": "ACK win=$x"}], "vary": {"x": ["$x$x$x$x$x$x$x$x"]}})
@example({"title": "t", "requirements": ["R"], "steps": [{"any-of": {"a": []}}]})
@example({"title": "t", "requirements": ["R"], "steps": [{"repeat": "2", "steps": []}]})
@example({"title": "t", "requirements": ["R"], "steps": [{"repeat": "2", "steps": "x"}]})
@example({"title": "t", "requirements": ["R"], "steps": [], "connections": {"": {}}})
@example({"title": "t", "requirements": ["R"], "steps": [], "connections": {"*": {}}})
@example(
    {
        "title": "t",
        "requirements": ["R"],
        "steps": [],
        "start": {"state": "ESTABLISHED", "syn": "win=$x", "before": "x"},
    }
)
@example({"title": "t", "requirements": ["R"], "steps": [], "start": {"state": "ESTABLISHED", "syn": ["x"]}})
@example({"title": "t", "requirements": ["R"], "steps": [{"call": "listen((10))"}]})
@example({"title": "t", "requirements": ["R"], "steps": [{"call": "recv(" + "9" * 5000 + ")"}]})
@example({"title": "t", "requirements": ["R"], "steps": [{"expect": "RST", "times": "9" * 5000}]})
@example({"title": "t", "requirements": ["R"], "steps": [{"repeat": "9" * 5000, "steps": []}]})
@example({"title": "t", "requirements": ["R"], "steps": [{"call": "recv(1)", "returns": "9" * 5000}]})
@example(
    {
        "title": "t",
        "requirements": ["R"],
        "steps": [{"repeat": "2", "steps": [{"repeat": "2", "steps": [{"send": "ACK win=$n"}]}]}],
    }
)
def test_random_cases(tree):
    load(json.dumps(tree, ensure_ascii=False))


_PIECES = [
    *"abzT0159:-[]{},\"'#&*!|>%@` \n\t?$.()=",
    "\n  ",
    "\n- ",
    "title: x\n",
    "steps:\n",
    "  - send: SYN\n",
    "requirements: [R]\n",
]


@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(_PIECES), max_size=40).map("".join)))
@settings(max_examples=1200, deadline=None)
def test_random_text(text):
    load(text)


GOOD = """title: T
requirements: [R]
vary:
  x: ["1", "2"]
start: {state: ESTABLISHED, close: close, before: [{deliver: "(3)"}]}
steps:
  - send: FIN,ACK win=$x
    as: fin
  - expect: ACK
    within: 1s..2s
  - any-of:
      a:
        - expect: nothing
  - repeat: 2
    steps:
      - call: recv($n)
        returns: eof
"""


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 3), st.sampled_from(_PIECES))
@settings(max_examples=800, deadline=None)
def test_a_good_case_with_something_changed(at, cut, piece):
    load(GOOD[:at] + piece + GOOD[at + cut :])


def test_the_good_case_is_good():
    assert len(load_text(GOOD, "x", "x").variations) == 4

"""Every mistake of a case file is told, all of them at once, each at its line and column, with what would be right."""

from __future__ import annotations

import re
import textwrap

import pytest

from conformance.cases.loader import load_file, load_text
from conformance.cases.yamltree import CaseError

IDS = frozenset({"RFC9293-MUST-12", "RFC9293-MUST-13"})
HEAD = "title: T\nrequirements: [RFC9293-MUST-12]\n"


def problems(text: str) -> list[tuple[int, int, str]]:
    """(line, column, message) of everything that is wrong."""
    with pytest.raises(CaseError) as caught:
        load_text(text, "x.yaml", "x", IDS)
    for place, _ in caught.value.problems:
        assert place.file == "x.yaml"
    assert str(caught.value).splitlines()[0].startswith("x.yaml:")
    return [(place.line, place.column, message) for place, message in caught.value.problems]


def case(steps: str, head: str = "start: LISTEN\n") -> str:
    return HEAD + head + "steps:\n" + textwrap.indent(textwrap.dedent(steps).strip("\n"), "  ") + "\n"


# (name, text, [(line, column, a part of the message)])
WRONG: list[tuple[str, str, list[tuple[int, int, str]]]] = [
    ("not a mapping", "- a\n- b\n", [(1, 1, "a case is a mapping with title, requirements and steps")]),
    ("empty", "", [(1, 1, "a case is a mapping")]),
    (
        "all keys missing",
        "start: LISTEN\n",
        [(1, 1, "a case needs 'title'"), (1, 1, "a case needs 'requirements'"), (1, 1, "a case needs 'steps'")],
    ),
    ("unknown key", HEAD + "stepps: []\nsteps: []\n", [(3, 1, "'stepps' is no key of a case; did you mean 'steps'?")]),
    ("unknown step", case("- sned: SYN"), [(5, 5, "did you mean 'send'?")]),
    ("unknown key of a step", case("- send: SYN\n  az: syn"), [(6, 5, "'az' means nothing to send")]),
    ("two steps in one", case("- send: SYN\n  expect: RST"), [(5, 5, "a step has exactly one of")]),
    ("a step that is a word", case("- sned"), [(5, 5, "a step is one of")]),
    ("steps that are no list", HEAD + "steps: {send: stop}\n", [(3, 8, "steps is a list of steps")]),
    (
        "unknown requirement",
        "title: T\nrequirements: [RFC9293-MUST-21]\nsteps: []\n",
        [(2, 16, "'RFC9293-MUST-21' is not in the catalogue; near it: RFC9293-MUST-1")],
    ),
    (
        "unknown requirement of a step",
        case("- send: SYN\n  requirement: NO-SUCH"),
        [(6, 18, "is not in the catalogue")],
    ),
    ("no requirement", "title: T\nrequirements: []\nsteps: []\n", [(2, 15, "a case decides at least one requirement")]),
    (
        "title that is a list",
        "title: [a]\nrequirements: [RFC9293-MUST-12]\nsteps: []\n",
        [(1, 8, "title takes a plain value")],
    ),
    (
        "unknown state",
        HEAD + "start: ESTABLISHT\nsteps: []\n",
        [(3, 8, "none of the eleven states; did you mean 'ESTABLISHED'?")],
    ),
    ("state in lower case", case("- state: closed"), [(5, 12, "none of the eleven states")]),
    (
        "a state that this open does not reach",
        HEAD + "start: {state: LISTEN, open: active}\nsteps: []\n",
        [(3, 8, "LISTEN is not reached by active open")],
    ),
    (
        "unknown key of start",
        HEAD + "start: {state: LISTEN, opne: active}\nsteps: []\n",
        [(3, 24, "'opne' is no key of start; did you mean 'open'?")],
    ),
    ("unknown need", HEAD + "needs: {ipp: v4}\nsteps: []\n", [(3, 9, "can't be needed; did you mean 'ip'?")]),
    ("wrong half-open", HEAD + "needs: {half-open: lost}\nsteps: []\n", [(3, 20, "half-open is one of kept")]),
    ("wrong need", HEAD + "needs: {ip: v5}\nsteps: []\n", [(3, 13, "ip is one of v4, v6")]),
    (
        "unknown setting",
        HEAD + "needs: {settings: {syncookie: always}}\nsteps: []\n",
        [(3, 20, "is no setting; did you mean 'syncookies'?")],
    ),
    (
        "wrong setting",
        HEAD + "needs: {settings: {syncookies: maybe}}\nsteps: []\n",
        [(3, 32, "syncookies is one of never, when-full, always")],
    ),
    (
        "setting that is no number",
        HEAD + "needs: {settings: {retries2: many}}\nsteps: []\n",
        [(3, 30, "retries2 is a number")],
    ),
    ("bad segment", case("- send: SYN seq=irs sek=1"), [(5, 23, "'sek' is no field")]),
    ("bad segment in quotes", case('- send: "SYN sek=1"'), [(5, 16, "'sek' is no field")]),
    ("bad flag", case("- expect: SNY"), [(5, 13, "'SNY' is no flag")]),
    ("undefined parameter", case("- send: SYN win=$width"), [(5, 19, "$width is not defined; parameters here: $ip")]),
    (
        "undefined parameter in start",
        HEAD + 'start: {state: ESTABLISHED, syn: "win=$w"}\nsteps: []\n',
        [(1, 1, "start uses $w, which vary does not define")],
    ),
    (
        "undefined segment",
        case("- send: SYN\n- send: ACK ack=synack.end"),
        [(6, 5, "no segment before this step is named 'synack'")],
    ),
    (
        "undefined in a retransmission",
        case("- send: SYN\n  as: syn\n- send: retransmission of sin"),
        [(7, 5, "named 'sin'; did you mean 'syn'?")],
    ),
    (
        "named only in one way before it",
        case("- check: x.win == 1\n- send: SYN\n  as: x"),
        [(5, 5, "no segment before this step is named 'x'")],
    ),
    ("undefined variable", case("- send: ACK seq=rcv.nxxt"), [(5, 19, "is no variable or attribute")]),
    ("undefined connection", case("- send: SYN\n  conn: b"), [(5, 5, "'b' is no connection of this case")]),
    (
        "undefined since",
        case("- send: SYN\n- expect: SYN,ACK\n  since: z"),
        [(6, 5, "no segment before this step is named 'z'")],
    ),
    ("result of no call", case("- result: x"), [(5, 5, "no call was left pending as 'x'")]),
    (
        "nothing under a running timer",
        case("- send: SYN\n- expect: SYN,ACK\n  as: synack\n- expect: nothing"),
        [(8, 5, "'nothing' under a running timer (of synack) is a matter of luck: say 'for: TIME'")],
    ),
    (
        "nothing after data",
        case("- call: send((10))\n- expect: ACK (10)\n- expect: nothing", "start: ESTABLISHED\n"),
        [(7, 5, "running timer")],
    ),
    ("something to send left open", case("- send: ACK seq=1..2"), [(5, 11, "leaves open what to send")]),
    ("flag to send left open", case("- send: ACK,PSH?"), [(5, 11, "leaves open what to send")]),
    ("nothing sent", case("- send: nothing"), [(5, 11, "only expect takes this")]),
    ("a stream of some length", case("- expect: stream (1..3000)"), [(5, 5, "a stream has one length")]),
    ("a stream of any length", case("- expect: stream from iss+1 (*)"), [(5, 5, "a stream has one length")]),
    ("for with a segment", case("- expect: RST\n  for: 2s"), [(6, 10, "'for' goes with 'expect: nothing'")]),
    (
        "within with nothing",
        case("- expect: nothing\n  within: 2s"),
        [(6, 13, "within means nothing where nothing is expected")],
    ),
    ("a time without a unit", case("- expect: nothing\n  for: 2"), [(6, 10, "for takes a time (500ms, 2s)")]),
    (
        "a range the wrong way round",
        case("- expect: RST\n  within: 6s..4s"),
        [(6, 13, "from the lesser to the greater")],
    ),
    ("a range of two kinds", case("- expect: RST\n  gap: 1s..2x"), [(6, 10, "both ends of one kind")]),
    ("a range to wait", case("- wait: 1s..2s"), [(5, 5, "wait takes one time, not a range")]),
    ("far too long", case("- wait: 90000s"), [(5, 11, "at most 28800s")]),
    ("unknown call", case("- call: conect()"), [(5, 11, "did you mean 'connect'?")]),
    ("a call without parentheses", case("- call: listen"), [(5, 11, "a call is a verb with parentheses")]),
    (
        "unknown errno",
        case("- call: recv(1)\n  raises: ECONRESET", "start: ESTABLISHED\n"),
        [(6, 13, "did you mean 'ECONNRESET'?")],
    ),
    ("a bad name", case("- send: SYN\n  as: Syn"), [(6, 9, "as takes a name: lower-case letters")]),
    ("a flag that is no boolean", case("- send: SYN\n  unpaced: yes"), [(6, 14, "unpaced takes true or false")]),
    ("bad times", case("- expect: RST\n  times: some"), [(6, 12, "times takes a number or a range")]),
    ("a check without a comparison", case("- check: rcv.wnd"), [(5, 12, "check takes a comparison")]),
    ("any-of that is a list", case("- any-of: [a]"), [(5, 13, "any-of is a mapping")]),
    (
        "a way that begins with a send",
        case("- any-of:\n    a:\n      - send: SYN"),
        [(6, 7, "a way begins with what tells it apart")],
    ),
    ("repeat without steps", case("- repeat: 3"), [(5, 13, "repeat takes its steps beside it")]),
    ("repeat too often", case("- repeat: 100000\n  steps: [stop]"), [(5, 13, "repeat takes how often, 1 to 5000")]),
    ("vary that is a list", HEAD + "vary: [a]\nsteps: []\n", [(3, 7, "vary is a mapping")]),
    ("vary without values", HEAD + "vary: {a: []}\nsteps: []\n", [(3, 11, "a takes a list of values")]),
    ("a reserved parameter", HEAD + "vary: {ip: [v4]}\nsteps: []\n", [(3, 8, "'ip' can't be a parameter")]),
    (
        "rows with different fields",
        HEAD + "vary: {r: {A: {x: 1}, B: {y: 2}}}\nsteps: []\n",
        [(3, 23, "row B must have the same fields as the first: r.x")],
    ),
    (
        "too many variations",
        HEAD + "vary:\n" + "".join(f"  v{i}: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n" for i in range(4)) + "steps: []\n",
        [(4, 3, "10000 variations; at most 2000")],
    ),
    ("connections that are a list", HEAD + "connections: [b]\nsteps: []\n", [(3, 14, "connections is a mapping")]),
    (
        "a connection like none",
        HEAD + "connections: {b: same pair as c}\nsteps: []\n",
        [(3, 18, "'c' is no connection")],
    ),
    # YAML traps
    ("duplicate keys", HEAD + "steps: []\ntitle: U\n", [(4, 1, "'title' is said twice, first in line 1")]),
    (
        "duplicate keys of a step",
        case("- send: SYN\n  as: a\n  as: b"),
        [(7, 5, "'as' is said twice, first in line 6")],
    ),
    ("a tab", HEAD + "steps:\n\t- send: SYN\n", [(4, 1, "indent with spaces, not tabs")]),
    (
        "unquoted segments in a flow list",
        HEAD + "vary: {x: [ACK, RST,ACK]}\nsteps: []\n",
        [(3, 12, "quote 'ACK'"), (3, 17, "quote 'RST'"), (3, 21, "quote 'ACK'")],
    ),
    ("unquoted step in a flow mapping", HEAD + "steps: [{send: SYN}]\n", [(3, 16, "quote 'SYN'")]),
    ("unquoted call in a flow mapping", HEAD + "steps: [{call: recv(1)}]\n", [(3, 16, "quote 'recv(1)'")]),
    (
        "a comment that cuts a payload",
        case('- send: ACK "a # b"'),
        [(5, 15, "' #' begins a comment in YAML: quote the whole value")],
    ),
    (
        "a value that begins with a quote",
        case('- expect: "abc" (1)'),
        [(5, 19, "quote a value with quotes in it as a whole")],
    ),
    ("a colon in a value", case("- send: ACK: x"), [(5, 14, "a value that contains ': ' must be quoted")]),
    ("a star", case("- check: *a"), [(5, 12, "a value that begins with '*' must be quoted")]),
    ("a quote never closed", case("- send: 'ACK"), [(6, 1, "a quote that is never closed")]),
    ("a list never closed", HEAD + "vary: {x: ['a'\nsteps: []\n", [(4, 1, "close the list with ']'")]),
    (
        "an anchor and its alias",
        HEAD + "vary: {x: &a ['1'], y: *a}\nsteps: []\n",
        [(3, 11, "anchors and aliases are not part of the language")],
    ),
    ("a tag", HEAD + "steps: !!python/name:os.system []\n", [(3, 8, "tags are not part of the language")]),
    ("a tag of one's own", HEAD + "vary: {x: !foo ['1']}\nsteps: []\n", [(3, 11, "tags are not part of the language")]),
    ("a control character", HEAD + "steps: []\nx: \x07\n", [(4, 4, "use printable characters")]),
    ("two documents", HEAD + "steps: []\n---\ntitle: U\n", [(4, 1, "one case")]),
    ("a key that is a list", HEAD + "? [a]\n: b\nsteps: []\n", [(3, 3, "a key is a word")]),
    ("no is no boolean", case("- send: SYN\n  unpaced: no"), [(6, 14, "unpaced takes true or false")]),
]


@pytest.mark.parametrize(
    ("text", "wanted"), [(text, wanted) for _, text, wanted in WRONG], ids=[name for name, *_ in WRONG]
)
def test_each_mistake_is_told_at_its_place(text, wanted):
    found = problems(text)
    for line, column, message in wanted:
        assert any((line, column) == (f[0], f[1]) and message in f[2] for f in found), found
    assert len(found) == len(wanted), found


def test_all_mistakes_of_a_file_are_told_at_once_in_order():
    found = problems(
        case(
            """
            - send: SYM
            - expect: RST
              fro: 2s
            - call: recv(1)
              raises: ENOPE
            - state: OPEN
            - send: ACK ack=nobody.end
            - wait: soon
            """,
            "start: LISTEN\nneeds: {ip: v7}\n",
        )
    )
    assert [line for line, _, _ in found] == [4, 6, 8, 10, 11, 12, 13]
    assert len({message for _, _, message in found}) == 7


def test_values_that_yaml_would_twist_stay_words():
    (first, *_) = load_text(
        case(
            "- send: SYN\n  as: on\n- expect: SYN,ACK\n  as: y\n  acked: true",
            "vary:\n  x:\n    - no\n    - 1:1\n    - 0x10\nstart: LISTEN\n",
        ),
        "x",
        "x",
    ).variations
    assert first.parameters["x"] == "no"
    assert first.build()[0][1].name == "on"


def test_a_file_of_10_mb_is_refused(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_bytes(HEAD.encode() + b"steps: []\n" + b"# x\n" * 2_600_000)
    with pytest.raises(CaseError, match=re.escape(f"{path}:1:1: a case file of")):
        load_file(path, tmp_path)


def test_a_file_a_little_too_large_is_refused_too(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_text(HEAD + "steps: []\n" + "# x\n" * 300_000)
    with pytest.raises(CaseError, match="at most 1048576 characters"):
        load_file(path, tmp_path)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"title: \xe9\n")
    with pytest.raises(CaseError, match="not UTF-8 at octet 7"):
        load_file(path, tmp_path)


def test_a_bomb_of_aliases_is_refused():
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    found = problems("\n".join(lines) + "\n")
    assert any("anchors and aliases" in message for _, _, message in found)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 50_000, "a: " + "[" * 30 + "]" * 30])
def test_nesting_without_end_is_refused(text):
    assert problems(text)


def test_deep_expressions_are_refused():
    assert problems(case("- send: ACK seq=" + "(" * 3000 + "1" + ")" * 3000))
    assert problems(case("- send: ACK seq=" + "1+" * 3000 + "1"))
    assert problems(case("- send: ACK seq=" + "9" * 5000))


def test_nothing_is_evaluated_as_code(tmp_path):
    mark = tmp_path / "mark"
    for text in (
        f"title: !!python/object/apply:os.system ['touch {mark}']\n",
        HEAD + f"steps: !!python/object/apply:os.system ['touch {mark}']\n",
        case(f"- check: \"__import__('os').system('touch {mark}') == 0\""),
        case(f"- call: \"__import__('os').system('touch {mark}')\""),
    ):
        assert problems(text)
    assert not mark.exists()

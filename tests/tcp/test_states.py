"""The event table: every row is reached, and it says what catalogue/states.yaml says, reply for reply."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml

from conformance import catalogue
from conformance.tcp import states as t
from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment
from conformance.tcp.states import Reply, State

STATES = yaml.safe_load((Path(catalogue.__file__).parent / "states.yaml").read_text())
ISS, IRS, WINDOW = 5_000, 1_000_000, 60_000
OWN_DATA, PEER_DATA, OFFERED = 20_000, 500, 8_000
SYN_ONLY = (State.SYN_SENT, State.SYN_RECEIVED)


def numbers(state: State) -> dict[str, int]:
    """N, U, D and F as states.yaml defines them, when both sides have sent data."""
    if state in SYN_ONLY or state in t.NO_TCB:
        return {"N": IRS + 1, "U": ISS, "D": ISS + 1, "F": ISS + 1, "NXT": ISS + 1}
    data = ISS + 1 + OWN_DATA
    received = IRS + 1 + PEER_DATA + (state in t.PEER_FIN_TAKEN)
    sent = data + (state in t.OWN_FIN_SENT)
    acked = data + (state in (State.FIN_WAIT_2, State.TIME_WAIT))
    return {"N": received, "U": acked, "D": data, "F": data, "NXT": sent}


def view(state: State) -> t.View:
    n = numbers(state)
    return t.View(n["U"], n["NXT"], 0 if state is State.SYN_SENT else n["N"], WINDOW, ISS, OFFERED)


def probe(name: str, state: State) -> Segment:
    """The probes of states.yaml, in this conversation."""
    n = numbers(state)
    return {
        "P1": Segment(ACK, n["N"] - 1, n["U"]),
        "P2": Segment(0, n["N"]),
        "P3": Segment(ACK, IRS, ISS + 1),
        "P4": Segment(ACK, n["N"], n["NXT"] + 1000),
        "P5": Segment(FIN | ACK, n["N"] - 1, n["U"]),
        "P6": Segment(SYN, n["N"] - 5000),
        "P8": Segment(ACK, n["N"], n["F"] - OFFERED),
        "P9": Segment(ACK, n["N"], n["F"] + 1),
        "P10": Segment(ACK, n["N"] - 1, n["U"], payload=b"\0"),
        "P11": Segment(SYN, n["N"] + 100_000),
    }[name]


def arrive(state: State, segment: Segment) -> list[t.Outcome]:
    return t.arrive(state, t.classify(segment, view(state)))


_KINDS = {
    Reply.SILENCE: "silence",
    Reply.ACK: "ACK",
    Reply.SYN_ACK: "SYN,ACK",
    Reply.RST_OF_ACK: "RST",
    Reply.RST_ACK: "RST,ACK",
}
ROWS = [(State(entry["state"]), name, said) for entry in STATES["states"] for name, said in entry["replies"].items()]


def kinds(said: str) -> set[str]:
    """`SYN,ACK (MAY-2) or ACK` -> both."""
    return {re.match(r"[A-Za-z,]+", part.strip())[0] for part in said.split(" or ")}  # type: ignore[index]


@pytest.mark.parametrize(("state", "name", "said"), ROWS, ids=[f"{state}-{name}" for state, name, _ in ROWS])
def test_the_foretold_reply_is_the_one_that_states_yaml_tells(state, name, said):
    if name == "P7":
        repeats = t.REPEATS.get(state, 0)
        shown = {SYN: "SYN", SYN | ACK: "SYN,ACK", FIN: "FIN", 0: "nothing"}[repeats]
        assert said.split()[0] == shown
        return
    outcome = arrive(state, probe(name, state))[0]
    if name == "P9":
        outcome = arrive(outcome.to, probe("P1", outcome.to))[0]
        assert f"(now {outcome.to})" in said
    assert _KINDS[outcome.reply] in kinds(said)


DISTURBING = {("P6", State.LISTEN), ("P6", State.SYN_SENT), ("P11", State.TIME_WAIT), ("P11", State.LISTEN)}
DISTURBING |= {("P9", state) for state in (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)}


@pytest.mark.parametrize(("state", "name"), [(state, name) for state, name, _ in ROWS if name != "P7"])
def test_a_probe_moves_only_the_states_that_states_yaml_says_it_disturbs(state, name):
    moved = arrive(state, probe(name, state))[0].to is not state
    assert moved == ((name, state) in DISTURBING)


def everything() -> list[tuple[State, Segment]]:
    """Every set of flags, at and around every edge that a check looks at."""
    found = []
    for state in State:
        n = numbers(state)
        seqs = {n["N"] + d for d in (-5001, -1, 0, 1, WINDOW - 1, WINDOW, 100_000)} | {IRS}
        acks = {n["U"] + d for d in (-OFFERED - 1, -OFFERED, -1, 0, 1)} | {n["NXT"], n["NXT"] + 1}
        flags = [sum(c) for r in range(5) for c in itertools.combinations((SYN, FIN, RST, ACK), r)]
        for bits, seq, ack, text in itertools.product(flags, sorted(seqs), sorted(acks), (b"", b"x", b"x" * 10)):
            found.append((state, Segment(bits, seq, ack, payload=text)))
    return found


def test_every_row_is_reached_and_every_segment_finds_a_way_through():
    used = set()
    for state, segment in everything():
        for outcome in arrive(state, segment):
            used.update(outcome.rows)
            assert outcome.to in State
    assert used == set(t.SEGMENT_ROWS)


def test_a_reset_is_never_answered_by_a_reset_nor_anything_by_more_than_its_rows_allow():
    for state, segment in everything():
        for outcome in arrive(state, segment):
            if segment.flags & RST:
                assert outcome.reply not in (Reply.RST_OF_ACK, Reply.RST_ACK)
                assert outcome.to in (state, State.CLOSED, State.LISTEN)
            if outcome.reply is Reply.RST_OF_ACK:
                assert segment.flags & ACK or not outcome.foretold


N = "N"
SEGMENT_TRANSITIONS: dict[str, tuple[State, Segment, Reply, State]] = {
    "T04": (State.LISTEN, Segment(SYN, 7), Reply.SYN_ACK, State.SYN_RECEIVED),
    "T07": (State.SYN_SENT, Segment(SYN, 7), Reply.SYN_ACK, State.SYN_RECEIVED),
    "T08": (State.SYN_SENT, Segment(SYN | ACK, 7, ISS + 1), Reply.ACK, State.ESTABLISHED),
    "T09": (State.SYN_RECEIVED, Segment(ACK, IRS + 1, ISS + 1), Reply.SILENCE, State.ESTABLISHED),
    "T11": (State.SYN_RECEIVED, Segment(RST, IRS + 1), Reply.SILENCE, State.LISTEN),
    "X08": (State.SYN_RECEIVED, Segment(ACK, IRS + 1, ISS + 9), Reply.RST_OF_ACK, State.SYN_RECEIVED),
    "X09": (State.SYN_RECEIVED, Segment(SYN, IRS + 2), Reply.SILENCE, State.LISTEN),
    "X10": (State.SYN_RECEIVED, Segment(FIN | ACK, IRS + 1, ISS + 1), Reply.ACK, State.CLOSE_WAIT),
    "X01": (State.SYN_SENT, Segment(RST | ACK, 0, ISS + 1), Reply.SILENCE, State.CLOSED),
    "X02": (State.SYN_SENT, Segment(ACK, 7, ISS), Reply.RST_OF_ACK, State.SYN_SENT),
    "X03": (State.SYN_SENT, Segment(ACK, 7, ISS + 1), Reply.SILENCE, State.SYN_SENT),
    "X05": (State.LISTEN, Segment(ACK, 7, 9), Reply.RST_OF_ACK, State.LISTEN),
    "X06": (State.LISTEN, Segment(RST, 7), Reply.SILENCE, State.LISTEN),
    "X07": (State.CLOSED, Segment(SYN, 7), Reply.RST_ACK, State.CLOSED),
}


def _synchronized(state: State, flags: int, **fields: int) -> Segment:
    n = numbers(state)
    return Segment(flags, fields.get("seq", n["N"]), fields.get("ack", n["U"]))


_S = State
SEGMENT_TRANSITIONS |= {
    "T13": (_S.ESTABLISHED, _synchronized(_S.ESTABLISHED, FIN | ACK), Reply.ACK, _S.CLOSE_WAIT),
    "T14": (
        _S.FIN_WAIT_1,
        _synchronized(_S.FIN_WAIT_1, ACK, ack=numbers(_S.FIN_WAIT_1)["NXT"]),
        Reply.SILENCE,
        _S.FIN_WAIT_2,
    ),
    "T15": (_S.FIN_WAIT_1, _synchronized(_S.FIN_WAIT_1, FIN | ACK), Reply.ACK, _S.CLOSING),
    "N2": (
        _S.FIN_WAIT_1,
        _synchronized(_S.FIN_WAIT_1, FIN | ACK, ack=numbers(_S.FIN_WAIT_1)["NXT"]),
        Reply.ACK,
        _S.TIME_WAIT,
    ),
    "T16": (_S.FIN_WAIT_2, _synchronized(_S.FIN_WAIT_2, FIN | ACK), Reply.ACK, _S.TIME_WAIT),
    "T17": (_S.CLOSING, _synchronized(_S.CLOSING, ACK, ack=numbers(_S.CLOSING)["NXT"]), Reply.SILENCE, _S.TIME_WAIT),
    "T19": (_S.LAST_ACK, _synchronized(_S.LAST_ACK, ACK, ack=numbers(_S.LAST_ACK)["NXT"]), Reply.SILENCE, _S.CLOSED),
    "N3b": (_S.ESTABLISHED, _synchronized(_S.ESTABLISHED, RST), Reply.SILENCE, _S.CLOSED),
    "X15": (_S.TIME_WAIT, probe("P5", _S.TIME_WAIT), Reply.ACK, _S.TIME_WAIT),
    "X16": (_S.TIME_WAIT, probe("P11", _S.TIME_WAIT), Reply.SYN_ACK, _S.SYN_RECEIVED),
    "X17": (_S.TIME_WAIT, probe("P6", _S.TIME_WAIT), Reply.ACK, _S.TIME_WAIT),
    "X18": (_S.LAST_ACK, probe("P5", _S.LAST_ACK), Reply.ACK, _S.LAST_ACK),
    "X19": (_S.ESTABLISHED, probe("P1", _S.ESTABLISHED), Reply.ACK, _S.ESTABLISHED),
    "X20": (_S.ESTABLISHED, Segment(RST, numbers(_S.ESTABLISHED)["N"] + 1), Reply.ACK, _S.ESTABLISHED),
    "X21": (_S.ESTABLISHED, Segment(SYN, numbers(_S.ESTABLISHED)["N"]), Reply.ACK, _S.ESTABLISHED),
}


@pytest.mark.parametrize("name", SEGMENT_TRANSITIONS)
def test_transitions_that_a_segment_causes(name):
    state, segment, reply, to = SEGMENT_TRANSITIONS[name]
    first = arrive(state, segment)[0]
    assert (first.reply, first.to) == (reply, to)
    assert first.foretold


def test_text_after_a_full_close_may_be_reset():
    state = State.FIN_WAIT_2
    segment = Segment(ACK, numbers(state)["N"], numbers(state)["U"], payload=b"x")
    outcomes = {(outcome.reply, outcome.to, outcome.foretold) for outcome in arrive(state, segment)}
    assert (Reply.RST_OF_ACK, State.CLOSED, False) in outcomes  # X22


# Told elsewhere: a RST in a SYN-RECEIVED that was opened actively (N1: the table's is the passive one), X22 above, and
# X23, which is no rule of the RFC.
ELSEWHERE = {"N1", "X22", "X23"}


def test_every_transition_of_states_yaml_is_in_the_table():
    names = {entry["id"] for entry in STATES["transitions"]}
    assert names == set(SEGMENT_TRANSITIONS) | {row.id for row in t.OTHER_ROWS} | ELSEWHERE


@pytest.mark.parametrize("row", t.OTHER_ROWS, ids=lambda row: row.id)
def test_transitions_that_no_segment_causes_are_those_of_states_yaml(row):
    entry = next(entry for entry in STATES["transitions"] if entry["id"] == row.id)
    kind = {"user call": "call", "timeout": "timeout", "ICMP": "ICMP"}[entry["event_type"]]
    assert row.kind == kind
    assert str(row.to) in entry["to"]
    assert all(str(state) in entry["from"] or "any" in entry["from"] or ".." in entry["from"] for state in row.states)

"""Each bug automaton finds the bug that it is for, and lets the right machine pass."""

from __future__ import annotations

import pytest

from conformance.learn.alphabet import load
from conformance.learn.model import Model
from conformance.learn.properties import PROPERTIES, verify

SERVER = load("server")
ACK, FIN, SYN_ACK = "ACK seq=snd.nxt ack=rcv.nxt", "FIN,ACK seq=snd.nxt ack=rcv.nxt", "SYN,ACK seq=iss ack=seg.end"
RST, TEXT = "RST seq=seg.ack", "ACK seq=snd.nxt ack=rcv.nxt (1)"
LIFE = (
    ("SYN", SYN_ACK),
    ("ACK", "nothing"),
    ("accept", "accept returns ok"),
    ("data", ACK),
    ("receive", "recv returns data"),
    ("FIN", ACK),
    ("receive", "recv returns eof"),
    ("close", f"close returns ok; {FIN}"),
    ("ACK", "nothing"),
)
ACTIVE = (
    ("SYN", SYN_ACK),
    ("ACK", "nothing"),
    ("accept", "accept returns ok"),
    ("close", f"close returns ok; {FIN}"),
    ("FIN", ACK),
    ("FIN", ACK),
)


def machine(life, **first):
    """A machine that lives through `life` and is silent to all else; `first` are answers of its first state."""
    rows = []
    for index in range(len(life) + 1):
        row = {
            letter: ("RST seq=seg.ack" if letter == "ACK" and not index else "nothing", index)
            for letter in SERVER.letters
        }
        row |= {letter: (output, index) for letter, output in (first.items() if not index else ())}
        if index < len(life):
            row[life[index][0]] = (life[index][1], index + 1)
        rows.append(row)
    return Model(SERVER.letters, rows)


BUGS = {
    "no-early-data": machine((("SYN", SYN_ACK), ("receive", "recv returns data"))),
    "no-rst-to-rst": machine((), RST=RST),
    "time-wait-acks": machine((*ACTIVE[:-1], ("FIN", FIN))),
    "nothing-after-fin": machine((*ACTIVE[:-2], ("ACK", TEXT))),
    "no-early-end": machine((*LIFE[:3], ("receive", "recv returns eof"))),
    "end-is-final": machine((*LIFE[:7], ("receive", "recv returns data"))),
    "one-handshake": machine((*LIFE[:5], ("ACK", SYN_ACK))),
    "listen-resets": machine((), ACK="nothing"),
}


@pytest.mark.parametrize("life", [LIFE, ACTIVE], ids=["passive close", "active close"])
def test_a_right_life_keeps_every_property(life):
    assert [verdict.property.name for verdict in verify(machine(life), SERVER) if verdict.word is not None] == []


def test_what_holds_of_a_handshake_is_not_asked_of_a_connection_that_is_there():
    opened = load("full-once")
    said = dict.fromkeys(opened.letters, ("nothing", 0)) | {"receive": ("recv returns data", 0)}
    verdicts = verify(Model(opened.letters, [said]), opened)
    assert [verdict.property.name for verdict in verdicts if verdict.word is not None] == []


@pytest.mark.parametrize("one", PROPERTIES, ids=lambda one: one.name)
def test_each_property_finds_its_bug(one):
    broken = {verdict.property.name for verdict in verify(BUGS[one.name], SERVER) if verdict.word is not None}
    assert one.name in broken

"""The event table's own machine, the suites that cover it, and cases that the loader takes."""

from __future__ import annotations

import pytest

from conformance.cases.loader import load_text
from conformance.catalogue import load as load_catalogue
from conformance.learn import diff, generate
from conformance.learn.alphabet import load
from conformance.learn.files import from_dot
from conformance.learn.model import Model
from conformance.learn.reference import IN, Reference
from conformance.tcp.states import State

pytest.importorskip("aalpy")
CATALOGUE = load_catalogue()


@pytest.fixture(scope="module", params=["table", "table-active"])
def made(request):
    reference = Reference(load(request.param), CATALOGUE)
    return reference, generate.machine(reference)


def test_the_table_has_its_states(made):
    reference, model = made
    named = {output.split(IN)[1] for row in model.edges for output, _ in row.values() if IN in output}
    passive = bool(reference.alphabet.setup)
    assert named == {str(state) for state in State} - {"SYN-SENT" if passive else "LISTEN"}


def test_stronger_covers_tell_more_faults(made):
    _, model = made
    transition = generate.strength(model, generate.words(model, "transition"))
    switch = generate.strength(model, generate.words(model, "switch"))
    assert transition.output[0] == transition.output[1]
    assert transition.transfer[0] < switch.transfer[0] <= switch.transfer[1]
    assert generate.strength(model, []).transfer[0] == 0


def test_every_generated_case_is_read(made):
    reference, model = made
    known = frozenset(CATALOGUE.requirements)
    for word in generate.words(model, "transition"):
        text = generate.case_of(reference.alphabet, CATALOGUE, reference, word)
        load_text(text, "generated.yaml", "generated", known)


PUBLISHED = """digraph G {
s0 [label="s0"];
s0 -> s1[label="LISTEN/TIMEOUT"];
s0 -> s0[label="SYN(V,V,0)/ACK+RST(ZERO,NEXT,0)"];
s0 -> s0[label="ACK(V,V,0)/RST(ZERO,ZERO,0)"];
s1 -> s1[label="LISTEN/TIMEOUT"];
s1 -> s2[label="SYN(V,V,0)/ACK+SYN(FRESH,NEXT,0)"];
s1 -> s1[label="ACK(V,V,0)/RST(ZERO,ZERO,0)"];
s2 -> s2[label="LISTEN/TIMEOUT"];
s2 -> s2[label="SYN(V,V,0)/ACK(NEXT,CURRENT,0)"];
s2 -> s1[label="ACK(V,V,0)/TIMEOUT"];
}"""
"""In the form of the published models: a server, three inputs."""


def ours(second: str) -> Model:
    return Model(
        ("SYN", "ACK"),
        [
            {"SYN": ("SYN,ACK seq=iss ack=seg.end", 1), "ACK": ("RST seq=seg.ack", 0)},
            {"SYN": (second, 1), "ACK": ("nothing", 0)},
        ],
        ["LISTEN", "SYN-RECEIVED"],
    )


def test_published_models_are_compared_by_flags():
    published = diff.Side("published", from_dot(PUBLISHED))
    same = diff.Side("same", ours("ACK seq=snd.nxt ack=rcv.nxt"))
    other = diff.Side("other", ours("nothing"))
    assert diff.compare(same, published) == []
    (found,) = diff.compare(other, published)
    assert found.word == ("SYN", "SYN")
    assert found.outputs == ("nothing", "ACK(NEXT,CURRENT,0)")


def test_a_difference_that_a_live_target_denies_is_said_to_be_none():
    live = ours("ACK seq=snd.nxt ack=rcv.nxt")
    wrong = diff.Side("wrong", ours("nothing"), ask=lambda word: live.run(word)[0])
    (found,) = diff.compare(wrong, diff.Side("right", live))
    assert not found.confirmed
    assert "NOT SO" in "\n".join(diff.told(found, wrong, diff.Side("right", live)))

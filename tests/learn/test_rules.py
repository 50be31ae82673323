"""The event table as judge: right walks pass, each kind of wrong one is found, findings are cases that are read."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from conformance.cases.loader import load_text
from conformance.catalogue import load as load_catalogue
from conformance.learn.alphabet import load, parse_word
from conformance.learn.check import Found, as_case, check, judge_word, start_of, told
from conformance.learn.explore import Explorer
from conformance.learn.learner import Effort
from conformance.learn.naming import joined
from conformance.learn.rules import Judge
from conformance.learn.session import open_asker, run
from conformance.targets.base import TargetError
from conformance.tcp.segment import ACK, FIN, RST, SYN, Segment

CATALOGUE = load_catalogue()


@contextlib.contextmanager
def asking(target, alphabet):
    try:
        asker = open_asker(target, load(alphabet))
    except TargetError as problem:
        pytest.skip(str(problem))
    try:
        yield asker
    finally:
        asker.close()


@pytest.fixture(scope="module")
def linux():
    with asking("linux", "server") as asker:
        yield asker


@pytest.fixture(scope="module")
def client():
    with asking("linux", "client") as asker:
        yield asker


@pytest.fixture(scope="module")
def opened():
    with asking("linux", "full-once") as asker:
        yield asker


@pytest.fixture(scope="module")
def lwip():
    with asking("lwip", "server") as asker:
        yield asker


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("", "ESTABLISHED"),
        ("data; receive; send; ACK; FIN", "CLOSE-WAIT"),
        ("data; half-close; ACK; FIN", "TIME-WAIT"),
        ("FIN; close; ACK; SYN", "CLOSED"),
        ("near RST; wrong ACK; abort; SYN again", "CLOSED"),
    ],
)
def test_words_of_an_accepted_connection_begin_in_established(opened, text, state):
    assert start_of(opened.alphabet) == "ESTABLISHED"
    assert "accept" not in opened.alphabet.letters
    walk, breaches = judge_word(opened, parse_word(text), CATALOGUE) if text else ([], [])
    assert [observed.output for observed, breach in zip(walk, breaches, strict=True) if breach] == []
    assert opened.names([parse_word(text)])[0] == state


@pytest.mark.parametrize(
    "text",
    [
        "SYN; ACK; accept; data; receive; send; ACK; FIN; ACK; close; ACK",
        "SYN; ACK; accept; close; ACK; FIN; FIN; ACK",
        "SYN; ACK; RST",
        "ACK; SYN,ACK; RST; data; FIN",
        "SYN; ACK; accept; data; close",
    ],
)
def test_right_walks_are_in_order(linux, text):
    walk, breaches = judge_word(linux, parse_word(text), CATALOGUE)
    assert [
        (observed.letter, observed.output, breach) for observed, breach in zip(walk, breaches, strict=True) if breach
    ] == []


@pytest.mark.parametrize(
    "text",
    [
        "connect; SYN,ACK; close; FIN; ACK",
        "connect; close; SYN,ACK",
        "connect; SYN; SYN,ACK; data",  # Figure 7 and Table 6 differ: the SYN,ACK may complete the handshake
        "connect; SYN; close; ACK; FIN",
        "connect; SYN,ACK; close; connect; ACK",  # an OPEN of a pair that is in use: an error
    ],
)
def test_right_walks_of_a_client_are_in_order(client, text):
    walk, breaches = judge_word(client, parse_word(text), CATALOGUE)
    assert [observed.letter for observed, breach in zip(walk, breaches, strict=True) if breach] == []


def test_a_rst_that_a_call_sends_answers_no_rst():
    with asking("linux", "full") as asker:
        aborted = asker.watch(parse_word("SYN; ACK; accept; far RST; abort"))[-1]
    assert any(reply.flags & RST for reply in aborted.replies)
    assert not aborted.broken


def judged(asker, text, change):
    """The last breach when the last input's observation is changed before it is judged."""
    walk = asker.watch(parse_word(text), oracle=True)
    change(walk[-1])
    judge = Judge(CATALOGUE, start_of(asker.alphabet))
    breach = None
    for observed in walk:
        step = asker.alphabet.inputs[observed.letter]
        breach = judge.look(observed, "" if observed.sent is not None else step.verb)
    return breach


def assert_breach(asker, text, change, requirement):
    """The word is right as it is, and breaks the requirement once it is changed."""
    assert judged(asker, text, lambda observed: None) is None
    breach = judged(asker, text, change)
    assert breach is not None
    assert breach.requirement == requirement


def silence(observed):
    observed.replies, observed.at, observed.parts = [], [], []


def shift(field):
    def change(observed):
        observed.replies = [dataclasses.replace(s, **{field: getattr(s, field) + 1}) for s in observed.replies]

    return change


def reset(observed):
    snd_nxt, rcv_nxt = observed.sent.ack, observed.sent.end
    observed.replies, observed.at = [Segment(RST | ACK, snd_nxt, rcv_nxt)], [(snd_nxt, rcv_nxt)]
    observed.parts = [joined(["RST,ACK seq=snd.nxt ack=rcv.nxt"])]


def elsewhere(observed):
    observed.oracle = "CLOSING"


@pytest.mark.parametrize(
    ("text", "change", "requirement"),
    [
        ("SYN", silence, "RFC9293-3.10.7.2-SYN"),
        ("SYN", shift("ack"), "RFC9293-3.10.7.2-SYN"),
        ("ACK", silence, "RFC9293-3.10.7.2-ACK"),
        ("ACK", shift("seq"), "RFC9293-3.10.7.2-ACK"),
        ("SYN; ACK; data", silence, "RFC9293-3.10.7.4-ESTABLISHED-DATA"),
        ("SYN; ACK; data", shift("ack"), "RFC9293-3.10.7.4-ESTABLISHED-DATA"),
        ("SYN; ACK; FIN", shift("seq"), "RFC9293-3.10.7.4-ESTABLISHED-FIN"),
        ("SYN; ACK; SYN", silence, "RFC9293-3.10.7.4-ESTABLISHED-SYN-OOW"),
        ("SYN; ACK; ACK", reset, "RFC9293-3.10.7.4-ESTABLISHED-ACK-DUP"),
        ("SYN; ACK; RST", reset, "RFC9293-3.10.7.4-ESTABLISHED-RST-EXACT"),
        ("SYN; ACK; accept; close; ACK", elsewhere, "RFC9293-3.10.7.4-FIN-WAIT-1-ACK-OK"),
        ("SYN; ACK; accept; close", silence, "RFC9293-3.10.4-ESTABLISHED-CLOSE"),
    ],
)
def test_each_wrong_answer_is_a_breach_of_its_requirement(linux, text, change, requirement):
    assert_breach(linux, text, change, requirement)


def rides(more):
    """The ACK comes on the FIN sent once more, and acknowledges so much more."""

    def change(observed):
        (ack,) = observed.replies
        observed.replies = [dataclasses.replace(ack, flags=FIN | ACK, seq=ack.seq - 1, ack=ack.ack + more)]

    return change


@pytest.mark.parametrize("text", ["half-close; wrong ACK", "half-close; far data", "FIN; half-close; SYN"])
def test_an_acknowledgement_may_ride_on_the_fin_sent_again(opened, text):
    assert judged(opened, text, rides(0)) is None
    assert judged(opened, text, rides(1)) is not None


def resets_unread(observed):
    (fin,) = observed.replies
    observed.replies = [dataclasses.replace(fin, flags=RST | ACK)]
    observed.oracle = "CLOSED"


@pytest.mark.parametrize("text", ["data; receive; close", "FIN; close"])
def test_a_close_with_nothing_unread_sends_a_fin(opened, text):
    assert judged(opened, text, lambda observed: None) is None
    assert judged(opened, text, resets_unread) is not None


@pytest.mark.parametrize("text", ["data; urgent; receive; close", "urgent; data; receive; close"])
def test_what_lies_behind_an_urgent_mark_may_be_unread(opened, text):
    walk = opened.watch(parse_word(text))
    assert "recv returns data" in walk[-2].output
    assert judged(opened, text, lambda observed: None) is None


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("linux", "SYN; ACK; RST; SYN; ACK; data; FIN"),
        ("linux", "SYN; RST; SYN; ACK; RST,ACK; ACK; SYN"),
        ("linux:syncookies", "SYN; RST; ACK; data"),
    ],
)
def test_what_tells_no_state_is_judged_by_what_may_be(target, text):
    with asking(target, "flags") as asker:
        walk = asker.watch(parse_word(text))
    assert all(observed.oracle is None for observed in walk)
    judge = Judge(CATALOGUE, start_of(asker.alphabet))
    assert [judge.look(observed) for observed in walk] == [None] * len(walk)


@pytest.mark.parametrize("sent", [False, True])
def test_an_abort_resets_where_the_fin_still_waits_behind_text(opened, sent):
    def change(observed):
        observed.fin_sent = sent
        observed.replies = [Segment(RST | ACK, 1, 1)]
        observed.at = [(1, 1)]

    breach = judged(opened, "FIN; half-close; abort", change)
    assert (breach is not None) is sent


def still_opening(observed):
    observed.oracle = "SYN-SENT"


def opens(observed):
    observed.replies, observed.at = [Segment(SYN, 1, 0)], [(1, 1)]


@pytest.mark.parametrize(
    ("text", "change", "requirement"),
    [
        ("connect; close", still_opening, "RFC9293-3.10.4-SYN-SENT-CLOSE"),
        ("connect; SYN; close", silence, "RFC9293-3.10.4-SYN-RECEIVED-CLOSE"),
        ("connect; SYN,ACK; close; connect", opens, "RFC9293-3.10.1-SYNCHRONIZED-OPEN"),
        ("connect; SYN; SYN,ACK", reset, "RFC9293-3.10.7.4-SYN-RECEIVED-SYN-OOW"),
    ],
)
def test_each_wrong_answer_of_a_client_is_a_breach(client, text, change, requirement):
    assert_breach(client, text, change, requirement)


def test_what_lwip_does_wrong_is_found_and_its_cases_are_read(lwip, tmp_path):
    session = run(lwip, tmp_path, Effort(words=50, depth=0, seeds=lwip.alphabet.seeds), limit=1200)
    findings = check(lwip, session.model, CATALOGUE)
    shown = {(found.breach.requirement, found.word) for found in findings}
    assert ("RFC9293-3.10.7.4-SYN-RECEIVED-SYN-INWIN", ("SYN", "SYN,ACK")) in shown  # a SYN,ACK establishes
    assert any(name == "RFC9293-3.10.7.2-ACK" and len(word) == 1 for name, word in shown)  # a RST with an ACK
    for found in findings:
        case = load_text(as_case(lwip.alphabet, found), "found.yaml", "found", frozenset(CATALOGUE.requirements))
        assert case.requirements == (found.breach.requirement,)
        assert found.breach.requirement in told(found, CATALOGUE)


def test_exploring_finds_the_same_and_makes_it_short(lwip):
    explorer = Explorer(lwip, CATALOGUE, seed=3)
    found = list(explorer.explore(lambda: explorer.walks > 250))
    words = {one.breach.requirement: one.word for one in found}
    assert words["RFC9293-3.10.7.4-SYN-RECEIVED-SYN-INWIN"] == ("SYN", "SYN,ACK")
    assert len({word for word in words.values() if len(word) == 1}) == 1
    for one in found:
        for index in range(len(one.word) - 1):
            shorter = one.word[:index] + one.word[index + 1 :]
            assert Found(one.breach, shorter, []).breach not in judge_word(lwip, shorter, CATALOGUE)[1]

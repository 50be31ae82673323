"""Real stacks are learned, and what they say is what was learned of them."""

from __future__ import annotations

import json
import random
import signal

import pytest

from conformance.engine.ending import Inconclusive
from conformance.learn import files
from conformance.learn.alphabet import builtin, load
from conformance.learn.learner import Effort
from conformance.learn.query import LATE
from conformance.learn.session import open_asker, run
from conformance.targets.base import StackDied, TargetError

pytest.importorskip("aalpy")


def asker_of(name, alphabet):
    try:
        return open_asker(name, load(alphabet))
    except TargetError as problem:
        pytest.skip(str(problem))


@pytest.mark.parametrize("name", ["lwip", "linux"])
def test_a_stack_is_learned_and_its_model_foretells_it(name, tmp_path):
    asker = asker_of(name, "flags")
    try:
        session = run(asker, tmp_path, Effort(words=300, depth=0, seeds=asker.alphabet.seeds))
        model = session.model
        assert session.learned.finished
        assert not session.flaws
        assert model.names[0] == "LISTEN"
        assert {"SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT"} <= set(model.names)
        draw = random.Random(7)
        for _ in range(50):
            word = tuple(draw.choice(model.letters) for _ in range(12))
            assert asker.ask(word) == model.run(word)[0]
    finally:
        asker.close()
    assert files.read(tmp_path / "model.json").edges == files.read(tmp_path / "model.dot").edges == model.edges
    assert (tmp_path / "model.svg").read_text().startswith("<svg")
    assert json.loads((tmp_path / "model.json").read_text())["target"] == name


@pytest.mark.parametrize("alphabet", builtin())
def test_every_alphabet_works_and_repeats(alphabet):
    asker = asker_of("lwip", alphabet)
    try:
        assert asker.alphabet.seeds
        for word in asker.alphabet.seeds:
            said = asker.ask(word)
            assert len(said) == len(word)
            assert asker.ask(word) == said
    finally:
        asker.close()


@pytest.mark.parametrize(("name", "asked"), [("gvisor", ":unthrottled"), ("gvisor:sack-off", "+unthrottled")])
def test_challenge_acks_are_not_limited_whatever_the_profile(name, asked):
    asker = asker_of(name, "flags")
    try:
        assert asker.target.name == name + asked
        assert asker.target.capabilities.challenge_interval == 0
        said = asker.ask(("SYN", "ACK", "SYN", "SYN", "SYN"))
        assert [str(one) for one in said[2:]] == ["ACK seq=snd.nxt ack=rcv.nxt"] * 3
    finally:
        asker.close()


def test_where_challenge_acks_stay_limited_words_rest_side_by_side():
    try:
        asker = open_asker("linux", load("flags"), sysctls={"tcp_invalid_ratelimit": "100"})
    except TargetError as problem:
        pytest.skip(str(problem))
    try:
        assert asker.target.capabilities.challenge_interval > LATE  # each rest alone is longer than a query may take
        words = [("SYN", "ACK", "SYN", "SYN", last) for last in asker.alphabet.letters] * 3
        said = asker.ask_all(words)
        for word, answers in zip(words, said, strict=True):
            assert answers[:4] == ("SYN,ACK seq=iss ack=seg.end", "nothing", *["ACK seq=snd.nxt ack=rcv.nxt"] * 2), word
        assert said[:7] == said[7:14] == said[14:]
        assert asker.names([("SYN",), ("SYN", "ACK"), ("SYN", "ACK", "FIN")]) == [
            "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT",
        ]  # fmt: skip
    finally:
        asker.close()


@pytest.mark.timeout(120)
def test_a_linux_in_a_machine_is_asked_without_its_limit_and_is_heard_at_once():
    asker = asker_of("linux-6.12", "client")
    try:
        assert asker.target.capabilities.challenge_interval == 0
        for _ in range(20):
            assert asker.ask(("connect", "SYN,ACK", "SYN", "SYN")) == (
                "connect blocks; SYN seq=iss",
                "connect returns ok; ACK seq=snd.nxt ack=rcv.nxt",
                *["ACK seq=snd.nxt ack=rcv.nxt"] * 2,
            )
    finally:
        asker.close()


def test_a_stack_that_can_not_be_begun_with_is_begun_with_again(monkeypatch):
    asker = asker_of("lwip", "flags")
    word = ("SYN", "ACK", "data")
    said = asker.ask(word)
    open_pair, failures = asker.target.open_pair, []

    def dies(version, link):
        if len(failures) < 3:
            failures.append("the stack hangs")
            raise StackDied(failures[-1])
        return open_pair(version, link)

    try:
        monkeypatch.setattr(asker.target, "open_pair", dies)
        assert asker.ask(word) == said
        assert asker.repeated == 3
        failures.clear()
        monkeypatch.setattr("conformance.learn.query.ATTEMPTS", 2)
        with pytest.raises(Inconclusive, match="disturbed 2 times: the stack hangs"):
            asker.ask(word)
    finally:
        asker.close()


def test_a_host_is_refused():
    with pytest.raises(TargetError, match="no host can be learned"):
        open_asker("192.0.2.1", load("flags"))


def test_a_call_that_is_made_once_comes_to_nothing_the_second_time():
    asker = asker_of("lwip", "client-once")
    try:
        said = asker.ask(("connect", "RST,ACK", "close", "connect"))
        assert said[0] == "connect blocks; SYN seq=iss"
        assert said[-1] == "no socket"
    finally:
        asker.close()


def test_an_interrupt_takes_effect_between_two_queries(tmp_path):
    asker = asker_of("lwip", "flags")
    ask = asker.ask
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted(word):
        if asker.queries == 30:
            signal.raise_signal(signal.SIGINT)
        return ask(word)

    asker.ask = interrupted
    try:
        session = run(asker, tmp_path, Effort(words=300, depth=0))
        assert session.learned.proof == "not finished: ended by Ctrl-C"
        assert asker.queries == 31 + len(session.model)  # each state was named, in the end
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        asker.close()
    assert not files.read(tmp_path / "model.json").facts["finished"]

"""Words that are shared out among askers in processes of their own are answered as one asker answers them."""

from __future__ import annotations

import os
import random

import pytest

from conformance.learn.alphabet import load
from conformance.learn.crowd import Crowd
from conformance.learn.query import Asker
from conformance.learn.session import open_asker
from conformance.targets.base import TargetError


@pytest.fixture
def asker():
    try:
        opened = open_asker("lwip", load("server"))
    except TargetError as problem:
        pytest.skip(str(problem))
    yield opened
    opened.close()


def _words(asker: Asker, count: int) -> list[tuple[str, ...]]:
    draw = random.Random(3)
    letters = asker.alphabet.letters
    return [tuple(draw.choice(letters) for _ in range(draw.randint(1, 12))) for _ in range(count)]


def test_a_crowd_answers_as_one_does(asker):
    asker.processors = [min(asker.processors)] * 2  # two members, however many processors there are
    words = _words(asker, 150)
    crowd = Crowd(asker)
    try:
        before = asker.queries
        said = crowd.ask_all(words)
        assert asker.queries == before  # others were asked
        assert said == asker.ask_all(words)
        assert crowd.ask_all(words) == said
        few = crowd.ask_all(words[:5])
        assert few == said[:5]
        members = [member.process for member in crowd._members]
        assert len(members) == 2
    finally:
        crowd.close()
    assert not any(process.is_alive() for process in members)
    assert asker.ask(words[0]) == said[0]  # which the members have left whole


def test_what_a_member_meets_is_raised(asker):
    asker.processors = [min(asker.processors)] * 2

    def another():
        raise TargetError("no more of these")

    asker.another = another
    crowd = Crowd(asker)
    try:
        with pytest.raises(TargetError, match="no more of these"):
            crowd.ask_all(_words(asker, 100))
    finally:
        crowd.close()


def test_a_stack_in_virtual_time_and_its_tester_are_kept_to_one_processor():
    before = os.sched_getaffinity(0)
    try:
        asker = open_asker("lwip", load("flags"))
    except TargetError as problem:
        pytest.skip(str(problem))
    try:
        assert len(os.sched_getaffinity(0)) == 1
        assert set(asker.processors) == before
    finally:
        asker.close()
    assert os.sched_getaffinity(0) == before


def test_who_could_not_open_it_keeps_its_processors():
    before = os.sched_getaffinity(0)
    with pytest.raises(TargetError):
        open_asker("ns3", load("full"))  # its agent can't abort, or it is not there
    assert os.sched_getaffinity(0) == before

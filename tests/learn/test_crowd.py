"""Words that are shared out among askers in processes of their own are answered as one asker answers them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.learn.alphabet import load
from conformance.learn.crowd import Crowd
from conformance.learn.query import Asker
from conformance.learn.session import open_asker
from conformance.targets.base import TargetError


def _asker(name: str = "lwip", alphabet: str = "server") -> Asker:
    try:
        return open_asker(name, load(alphabet))
    except TargetError as problem:
        pytest.skip(str(problem))


def _words(asker: Asker, count: int) -> list[tuple[str, ...]]:
    draw = random.Random(3)
    letters = asker.alphabet.letters
    return [tuple(draw.choice(letters) for _ in range(draw.randint(1, 12))) for _ in range(count)]


def _two(asker: Asker) -> Crowd:
    asker.processors = [min(asker.processors)] * 2  # two members, however many processors there are
    return Crowd(asker)


def answers_as_one() -> None:
    asker = _asker()
    words, crowd = _words(asker, 150), _two(asker)
    before = asker.queries
    said = crowd.ask_all(words)
    assert asker.queries == before  # others were asked
    assert said == asker.ask_all(words)
    assert crowd.ask_all(words) == said
    assert crowd.ask_all(words[:5]) == said[:5]
    members = [member.process for member in crowd._members]
    assert len(members) == 2
    crowd.close()
    assert not any(process.is_alive() for process in members)
    assert asker.ask(words[0]) == said[0]  # which the members have left whole
    asker.close()


def raises_what_a_member_meets() -> None:
    asker = _asker()

    def another():
        raise TargetError("no more of these")

    asker.another = another
    crowd = _two(asker)
    with pytest.raises(TargetError, match="no more of these"):
        crowd.ask_all(_words(asker, 100))
    crowd.close()
    asker.close()


@pytest.mark.parametrize("what", [answers_as_one, raises_what_a_member_meets], ids=lambda what: what.__name__)
def test_a_crowd(what):
    _asker().close()
    # In a process of its own: one that has threads forks no others, and pytest's may have some.
    code = f"from learn import test_crowd; test_crowd.{what.__name__}()"
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env=where,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_process_with_threads_asks_alone(monkeypatch):
    asker = _asker()
    try:
        monkeypatch.setattr("threading.active_count", lambda: 2)
        crowd = _two(asker)
        words = _words(asker, 100)
        assert crowd.side_by_side == 1
        assert crowd.ask_all(words) == asker.ask_all(words)
        assert not crowd._members
    finally:
        asker.close()


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

"""A model becomes a picture, with Graphviz and without: each state and each change of state is in it."""

from __future__ import annotations

import shutil
from xml.etree import ElementTree

import pytest
from learn.machines import COFFEE

from conformance.learn import draw


def texts(picture):
    found = " ".join(element.text or "" for element in ElementTree.fromstring(picture).iter())
    return found.replace("\xa0", " ")


@pytest.mark.parametrize("graphviz", [True, False], ids=["by dot", "by itself"])
def test_every_state_and_answer_is_drawn(graphviz, monkeypatch):
    if not graphviz:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif shutil.which("dot") is None:
        pytest.skip("graphviz is not installed")
    shown = texts(draw.svg(COFFEE))
    for state in range(len(COFFEE)):
        assert COFFEE.name(state) in shown
    for words in ("button / coffee", "water / full", "coin / ok"):
        assert words in shown


def test_only_what_a_right_peer_expects_is_left_out():
    assert draw.short("ACK seq=snd.nxt ack=rcv.nxt") == "ACK"
    assert draw.short("close returns ok; FIN,ACK seq=snd.nxt ack=rcv.nxt") == "close; FIN,ACK"
    assert draw.short("ACK seq=snd.nxt ack=rcv.nxt+1") == "ACK ack=rcv.nxt+1"
    assert draw.short("ACK seq=snd.nxt-1 ack=*") == "ACK seq=snd.nxt-1 ack=*"


def test_a_slow_graphviz_is_not_waited_for(monkeypatch, tmp_path):
    slow = tmp_path / "dot"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(slow))
    monkeypatch.setattr(draw, "PATIENCE", 0.2)
    assert "ready" in texts(draw.svg(COFFEE))

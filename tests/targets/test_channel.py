"""The channel to an agent, against agents that keep the protocol and agents that cheat (docs/adapters.md)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import conformance
from conformance.adapters.base import Program
from conformance.targets import stream
from conformance.targets.adapted import AdaptedStack
from conformance.targets.base import AdapterError, StackDied, TargetError
from conformance.targets.channel import Channel
from conformance.targets.stacks import program

HONEST = """
    import json, os, socket, sys
    channel = socket.socket(fileno=3)
    lines = channel.makefile("r")
    now = taken = given = 0
    HELLO = {"protocol": 1, "stack": "none", "clock": "virtual", "frames": "channel", "ip": [4], "verbs": ["listen"],
             "reset": True}
    def say(message):
        channel.sendall(json.dumps(message).encode() + b"\\n")
    def frame(octets, at):
        global given
        given += 1
        say({"frame": octets.hex(), "at": at})
    def advance(message):
        global now
        now = max(now, message["to"])
        say({"id": message["id"], "ok": {"now": now, "in": taken, "out": given, "next": None}})
    def other(message):
        say({"id": message["id"], "error": "ENOSYS"})
"""
LOOP = """
    for line in lines:
        message = json.loads(line)
        if "configure" in message:
            say({"hello": HELLO})
        elif "frame" in message:
            taken += 1
        elif message["do"] == "advance":
            advance(message)
        elif message["do"] == "reset":
            now = taken = given = 0
            say({"hello": HELLO})
        else:
            other(message)
"""


@pytest.fixture
def agent():
    channels = []

    def start(changes: str = "") -> Channel:
        heard = []
        code = textwrap.dedent(HONEST) + textwrap.dedent(changes) + textwrap.dedent(LOOP)
        channel = Channel.start(Program((sys.executable, "-c", code)), lambda octets, at: heard.append((octets, at)))
        channel.frames = heard  # type: ignore[attr-defined]
        channels.append(channel)
        return channel

    yield start
    for channel in channels:
        channel.close()


def test_hello_requests_frames_and_time(agent):
    channel = agent(
        """
        def advance(message):
            global now
            if taken and not given:
                frame(b"\\x01\\x02", now + 5)
                now += 5
            else:
                now = max(now, message["to"])
            say({"id": message["id"], "ok": {"now": now, "in": taken, "out": given, "next": now + 7}})
        """
    )
    assert channel.hello({"seed": 1})["stack"] == "none"
    assert channel.request("sing")[1]["error"] == "ENOSYS"
    channel.frame(b"abc")
    assert channel.advance(100, 0) == (5, 12)
    assert channel.frames == [(b"\1\2", 5)]
    assert channel.advance(100, 5) == (100, 107)
    channel.reset()
    assert (channel.sent, channel.received) == (0, 0)
    assert channel.advance(3, 0) == (3, 10)


def test_what_is_posted_leaves_with_the_next_request_and_must_be_known(agent):
    channel = agent(
        """
        def other(message):
            outcome = {"ok": None} if message["do"] == "open" else {"error": "ENOSYS"}
            say({"id": message["id"], **outcome})
        """
    )
    channel.hello({})
    channel.post("open", socket=1)
    assert channel.advance(100, 0)[0] == 100
    channel.post("open", socket=2)
    channel.reset()
    channel.post("sing")
    with pytest.raises(AdapterError, match="does not know the verb 'sing'"):
        channel.advance(100, 0)
    assert not channel.alive


def test_a_pending_call_is_settled_later(agent):
    channel = agent(
        """
        def other(message):
            say({"id": message["id"], "pending": True})
            global waiting
            waiting = message["id"]
        def advance(message):
            global now
            now = 4
            say({"id": waiting, "ok": 9})
            say({"id": message["id"], "ok": {"now": now, "in": taken, "out": given, "next": None}})
        """
    )
    channel.hello({})
    number, answer = channel.request("recv")
    assert "pending" in answer
    assert channel.advance(10, 0) == (4, None)
    assert channel.settled[number]["ok"] == 9


CHEATS = {
    "frames that went in are miscounted": 'say({"id": message["id"], "ok": {"now": message["to"], "in": 7, "out": 0}})',
    "frames that came out are not counted": """
        say({"frame": "00", "at": 1})
        say({"id": message["id"], "ok": {"now": message["to"], "in": 0, "out": 0}})
    """,
    "frames are counted that never came": 'say({"id": message["id"], "ok": {"now": message["to"], "in": 0, "out": 3}})',
    "time goes beyond what is asked": 'say({"id": message["id"], "ok": {"now": message["to"] + 1, "in": 0, "out": 0}})',
    "time goes back": 'say({"id": message["id"], "ok": {"now": -1, "in": 0, "out": 0}})',
    "time is no number": 'say({"id": message["id"], "ok": {"now": "noon", "in": 0, "out": 0}})',
    "it stops early without a reason": 'say({"id": message["id"], "ok": {"now": 1, "in": 0, "out": 0}})',
    "its next timer is past": 'say({"id": message["id"], "ok": {"now": message["to"], "in": 0, "out": 0, "next": 1}})',
    "not JSON": 'channel.sendall(b"what?\\n")',
    "no object": "say([1, 2])",
    "nested without end": 'channel.sendall(b"[" * 100000 + b"\\n")',
    "a line without end": 'channel.sendall(b"x" * 300000)',
    "an answer to nothing": 'say({"id": 999, "ok": None})',
    "no answer in the answer": 'say({"id": message["id"]})',
    "a frame that is none": 'say({"frame": "xyz", "at": 1})',
    "a frame of no time": 'say({"frame": "00", "at": "now"})',
    "it ends by itself": "sys.exit(3)",
}


@pytest.mark.parametrize("what", CHEATS)
def test_an_agent_that_cheats_is_found_out(agent, what):
    body = textwrap.indent(textwrap.dedent(CHEATS[what]).strip(), "            ")
    channel = agent(f"\n        def advance(message):\n{body}\n")
    channel.hello({})
    with pytest.raises(AdapterError):
        channel.advance(1000, 0)
    assert not channel.alive


def test_a_crash_is_the_stacks_doing_and_its_last_words_are_told(agent):
    channel = agent(
        """
        def other(message):
            print("assertion failed: pcb != NULL", flush=True)
            os.abort()
        """
    )
    channel.hello({})
    with pytest.raises(StackDied, match=r"crashed: SIGABRT.*assertion failed: pcb != NULL"):
        channel.request("listen")


def test_a_hang_is_the_stacks_doing(agent, monkeypatch):
    monkeypatch.setattr("conformance.targets.stream.PATIENCE", 0.2)
    channel = agent("\n        def other(message):\n            import time; time.sleep(60)\n")
    channel.hello({})
    with pytest.raises(StackDied, match="hangs"):
        channel.request("listen")


def test_no_such_program():
    with pytest.raises(AdapterError, match="No such file"):
        Channel.start(Program(("/no/such/agent",)), lambda octets, at: None)


def test_a_program_that_says_nothing_at_all():
    channel = Channel.start(Program((sys.executable, "-c", "print('no module')")), lambda octets, at: None)
    with pytest.raises(AdapterError, match="no module"):
        channel.hello({})


def test_what_is_said_is_one_line_of_json(agent):
    channel = agent(
        """
        def other(message):
            say({"id": message["id"], "ok": line})
        """
    )
    channel.hello({})
    said = channel.request("send", data="00ff")[1]["ok"]
    assert said.endswith("\n")
    assert json.loads(said)["data"] == "00ff"


TEMPLATES = Path(conformance.__file__).parent.parent / "docs" / "templates"


def test_the_templates_keep_the_protocol(tmp_path):
    agents = [TEMPLATES / "agent.py"]
    if shutil.which("cc"):
        lwip = Path(conformance.__file__).parent / "adapters" / "lwip"
        agents.append(tmp_path / "agent")
        sources = [str(TEMPLATES / "agent.c"), str(lwip / "channel.c")]
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", f"-I{lwip}", *sources, "-o", str(agents[1])], check=True)
    for path in agents:
        stack = AdaptedStack("mine", program(str(path)))
        pair = stack.open_pair(4, "quick-ack")
        stack.wire.send(b"\2" * 60)
        assert stack.barrier.prove_now()
        begun = stack.time.now()
        stack.time.advance(begun + 7_200_000_000_000)
        assert stack.time.now() - begun == 7_200_000_000_000
        with pytest.raises(AdapterError, match="declares the verb 'listen' and does not know it"):
            stack.socket(pair).listen(1)
        stack.close()


def test_an_agent_of_ones_own_that_is_not_there(tmp_path):
    with pytest.raises(TargetError, match="no such agent"):
        program(str(tmp_path / "agent"))
    (tmp_path / "agent").write_text("")
    with pytest.raises(TargetError, match="chmod"):
        program(str(tmp_path / "agent"))


def test_a_stack_that_gets_no_processor_does_not_hang_and_one_that_burns_it_does(agent, monkeypatch):
    monkeypatch.setattr(stream, "PATIENCE", 0.2)
    monkeypatch.setattr(stream, "_LOOK", 0.3)
    burning = """
        def other(message):
            end = __import__("time").monotonic() + message["for"]
            while __import__("time").monotonic() < end:
                pass
            say({"id": message["id"], "ok": None})
    """
    channel = agent(burning)
    channel.hello({})
    monkeypatch.setattr(channel._process, "work", lambda: (time.monotonic(), True))  # a processor of its own
    with pytest.raises(StackDied, match="hangs"):
        channel.request("burn", **{"for": 30})
    starved = agent(burning)
    starved.hello({})
    monkeypatch.setattr(starved._process, "work", lambda: (1.0, True))  # it wants to run, and was not let
    _, answer = starved.request("burn", **{"for": 1.5})
    assert answer["ok"] is None


def test_in_virtual_time_a_stack_hangs_by_the_processor_time_that_it_spent_itself(agent, monkeypatch):
    monkeypatch.setattr(stream, "PATIENCE", 50.0)
    monkeypatch.setattr(stream, "WORK", 0.3)
    monkeypatch.setattr(stream, "_PIECE", 0.05)
    body = """
        def other(message):
            import time
            end = time.monotonic() + message["for"]
            while time.monotonic() < end:
                pass
            say({"id": message["id"], "ok": None})
    """
    waiting = agent(body)
    waiting.hello({})
    monkeypatch.setattr(waiting._process, "work", lambda: (1.0, True))  # the machine gives it nothing
    assert waiting.request("burn", **{"for": 1.5})[1]["ok"] is None
    burning = agent(body)
    burning.hello({})
    with pytest.raises(StackDied, match=r"hangs: no answer for 0\.3 s of its work"):
        burning.request("burn", **{"for": 40})


def test_where_no_more_frames_can_come_the_answer_is_still_waited_for():
    ours, theirs = socket.socketpair()
    frames, gone = os.pipe()
    os.close(gone)
    heard = stream.Stream(ours, None)
    heard.look_at((frames, lambda: pytest.fail("there is nothing to take")))
    threading.Timer(0.1, theirs.sendall, (b"late\n",)).start()
    assert heard.read(time.monotonic() + 10) == b"late\n"
    os.close(frames)
    ours.close()
    theirs.close()

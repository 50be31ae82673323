"""What is fuzzed: one function for each place that takes octets from outside, which raises only where the tester errs.

An entry swallows the errors that its place promises; everything else is a finding. Used by the tests beside it, which
give each entry some hundred inputs, and by `run.py`, which gives it as many as there is time for.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import conformance
from conformance.cases.loader import load_text
from conformance.cases.yamltree import CaseError
from conformance.engine.result import Event, Result, Verdict
from conformance.report import jsonl
from conformance.report.text import event_text, printable
from conformance.targets.agent import Calls
from conformance.targets.base import AdapterError, Endpoints, StackDied, TargetError
from conformance.targets.channel import Channel
from conformance.targets.declared import capabilities
from conformance.tcp.expression import NotationError
from conformance.tcp.notation import parse, parse_payload
from conformance.wire.base import Frame, Inbox
from conformance.wire.codec import decode
from conformance.wire.neighbours import Resolver, answer
from conformance.wire.sorting import Sorter

TESTER4, TESTER6 = bytes([198, 18, 0, 1]), bytes(15) + b"\1"
PAIR = Endpoints(4, TESTER4, bytes([192, 0, 2, 1]), 20_000, 1024)
MOST = 1 << 15
"""Octets that a socket takes at once without anybody reading."""


def _told(problem: Exception) -> None:
    """An error that a place promises, which says something."""
    if not str(problem):
        raise AssertionError(f"an empty {type(problem).__name__}")


def codec(data: bytes) -> None:
    """A frame of the target: decoded, and shown."""
    decode(data)
    result = Result("fuzz[ip=v4]", "fuzz.yaml", "fuzz", (), Verdict.PASS, "")
    shown = str(event_text(Event(0, "seen", "main", 0, data), result))
    assert printable(shown) == shown


def sorting(data: bytes) -> None:
    """Frames of the target, each with its length before it: sorted, and answered where they ask for a neighbour."""
    inbox4, inbox6, late, resolver = Inbox(), Inbox(), [], Resolver()
    sorter = Sorter(lambda frame: answer(frame.data, bytes(6)) is not None)
    sorter.attach(TESTER4, inbox4)
    sorter.attach(TESTER6, inbox6)
    sorter.detach(TESTER6, late.append)
    frames = []
    while data:
        frames.append(Frame(0, data[1 : 1 + data[0]]))
        data = data[1 + data[0] :]
    for frame in frames:
        resolver.hear(frame.data)
    moved = sorter.sort(frames)
    assert moved == len(inbox4.frames)
    for frame in inbox4.frames:
        assert frame.data[30:34] == TESTER4, "a frame of another case"


class _Life:
    died: StackDied | AdapterError | None = None


def channel(data: bytes) -> None:
    """Everything that an agent says, to the tester's end of the channel."""
    ours, theirs = socket.socketpair()
    spoken = Channel(ours, lambda octets, at: None)
    life = _Life()
    calls = Calls(spoken, life, asked=lambda: None, settle=lambda: None)
    try:
        theirs.sendall(data[:MOST])
        theirs.shutdown(socket.SHUT_WR)
        capabilities(spoken.hello({}))
        opened = calls.socket(PAIR)
        opened.listen(1)
        opened.accept()
        opened.recv(10, wait=False)
        opened.getsockopt("SO_LINGER")
        opened.poll()
        spoken.advance(1000, 0)
        spoken.listen()
        spoken.reset()
    except (AdapterError, StackDied, TargetError) as problem:
        _told(problem)
    finally:
        spoken.close()
        theirs.close()


@cache
def host_agent() -> ModuleType:
    """The host's agent, which is one file and no module of the package."""
    path = Path(conformance.__file__).parent / "adapters" / "host" / "agent.py"
    spec = importlib.util.spec_from_file_location("host_agent", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class Session(module.Session):  # type: ignore[name-defined, misc]
        """Whatever it is told, it has this machine's loopback and nothing else to talk to."""

        def configure(self, said: dict[str, Any]) -> None:
            super().configure(said)
            self.local = ("127.0.0.1", "::1")
            self.testers = [module.ipaddress.ip_network("127.0.0.0/8")]

    module.VERBS.remove("exit")  # it forks
    module.tell = lambda text: None  # type: ignore[attr-defined]
    module.Session = Session  # type: ignore[attr-defined]
    return module


def agent(data: bytes) -> None:
    """Everything that a controller says, to the host's agent."""
    module = host_agent()
    ours, theirs = socket.socketpair()
    session = module.Session(theirs.fileno(), theirs.fileno())
    try:
        ours.sendall(b'{"configure":{"protocol":1}}\n' + data[:MOST])
        ours.shutdown(socket.SHUT_WR)
        session.serve()
        said = b""
        ours.settimeout(0.1)
        theirs.close()
        while more := ours.recv(1 << 16):
            said += more
        for line in said.splitlines():
            assert isinstance(json.loads(line), dict)
    finally:
        ours.close()
        theirs.close()
        for held in session.sockets.values():
            assert held.inner.fileno() < 0, "a socket outlives its controller"


def case(data: bytes) -> None:
    """A case file, with all its variations built."""
    text = data.decode(errors="replace")
    try:
        loaded = load_text(text, "fuzz.yaml", "fuzz")
        for variation in loaded.variations[:4]:
            variation.build()
    except CaseError as problem:
        _told(problem)


def notation(data: bytes) -> None:
    """A line of a case, and expressions in it; what is understood prints as a line that means the same."""
    text = data.decode(errors="replace")
    for reading in (parse, parse_payload):
        try:
            line = reading(text)
        except NotationError as problem:
            _told(problem)
            continue
        if reading is parse:
            assert parse(str(line)) == line, f"{text!r} prints as {line}"


def results(data: bytes) -> None:
    """A report, read back."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as file:
        file.write(data)
        file.flush()
        try:
            jsonl.read(Path(file.name))
        except jsonl.ReportError as problem:
            _told(problem)


ENTRIES: dict[str, Callable[[bytes], None]] = {
    entry.__name__: entry for entry in (codec, sorting, channel, agent, case, notation, results)
}
CORPUS = Path(__file__).parent / "corpus"


def replay(name: str) -> int:
    """Give an entry all that is kept for it; return how much that is."""
    files = sorted((CORPUS / name).iterdir())
    for file in files:
        try:
            ENTRIES[name](file.read_bytes())
        except BaseException:
            print(f"{file}:", file=sys.stderr)
            raise
    return len(files)

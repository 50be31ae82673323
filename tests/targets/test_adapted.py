"""Stacks in virtual time, through their agents; skipped where one can't be had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from conformance import suite
from conformance.adapters.base import MissingError
from conformance.cases.loader import load_file, load_text
from conformance.cases.model import Variation
from conformance.catalogue import load as load_catalogue
from conformance.engine.crew import Crew
from conformance.engine.result import Result, Verdict
from conformance.engine.scheduler import Engine
from conformance.targets.asked import Asked
from conformance.targets.base import TargetError
from conformance.targets.opening import Opener, opener

SOME = (
    "open/syn-received-retransmits",
    "close/time-wait-lasts",
    "data/receive-stream",
    "timers/back-off",
    "states/closing",
)


def or_skipped(name: str) -> Opener:
    try:
        return opener(Asked(target=name))
    except TargetError as missing:
        if not isinstance(missing.__cause__, MissingError):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def lwip() -> Opener:
    return or_skipped("lwip")


@pytest.fixture(scope="module", params=["lwip", "libslirp", "ns3"])
def repeating(request: pytest.FixtureRequest) -> Opener:
    return or_skipped(request.param)


@pytest.fixture(scope="module")
def ns3() -> Opener:
    return or_skipped("ns3")


@pytest.fixture(scope="module")
def pytcp() -> Opener:
    return or_skipped("pytcp")


def some() -> Iterator[Variation]:
    for name in SOME:
        yield from load_file(suite.cases() / f"{name}.yaml", suite.cases()).variations


def run(open_target: Opener, variations: Iterable[Variation]) -> dict[str, Result]:
    engine = Engine(open_target, load_catalogue())
    engine.start()
    try:
        return {id_: future.result(120) for id_, future in engine.submit(variations).items()}
    finally:
        engine.stop()


def traced(result: Result) -> list[tuple[object, ...]]:
    """Everything seen, done and said, with its time since the case began."""
    return [(event.time - result.started, *event[1:]) for event in result.trace]


def test_a_run_repeats_octet_for_octet_and_a_case_does_alone_what_it_does_among_others(repeating):
    first, second = run(repeating, some()), run(repeating, some())
    assert first.keys() == second.keys()
    for id_, result in first.items():
        assert traced(result) == traced(second[id_]), id_
    alone = run(repeating, list(some())[-1:])
    for id_, result in alone.items():
        assert traced(result) == traced(first[id_])
    assert sum(result.waited for result in first.values()) > 60


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_crew_finds_octet_for_octet_what_one_engine_finds(lwip):
    variations = list(some())
    crew = Crew(lwip, load_catalogue(), variations, 3)
    crew.start()
    try:
        found = {id_: future.result(120) for id_, future in crew.submit(variations).items()}
    finally:
        crew.stop()
    alone = run(lwip, variations)
    assert found.keys() == alone.keys()
    for id_, result in found.items():
        assert traced(result) == traced(alone[id_]), id_
        assert (result.verdict, result.reason) == (alone[id_].verdict, alone[id_].reason)


def test_two_hours_are_nothing(lwip):
    case = load_text(
        """
        title: A keep-alive after two hours
        requirements: [RFC9293-MUST-28]
        needs: {tier: long}
        start: ESTABLISHED
        steps:
          - call: setsockopt(SO_KEEPALIVE, 1)
          - expect: nothing
            for: 7190s
          - expect: keep-alive
            within: 7200s..7210s
        """.replace("\n        ", "\n"),
        "two.yaml",
        "two",
    )
    results = run(lwip, case.variations)
    assert {result.verdict for result in results.values()} == {Verdict.PASS}
    assert all(result.waited > 7190 for result in results.values())


@pytest.mark.parametrize("name", ["lwip", "libslirp"])
def test_handshake_data_and_close_either_way(name):
    names = ("states/established", "states/close-wait", "open/three-way-handshake-active", "data/receive-stream")
    cases = [load_file(suite.cases() / f"{case}.yaml", suite.cases()) for case in names]
    results = run(or_skipped(name), [variation for case in cases for variation in case.variations])
    assert {result.verdict for result in results.values()} == {Verdict.PASS}


def test_a_stack_in_python_repeats_octet_for_octet_and_each_case_finds_it_fresh(pytcp):
    first, second = run(pytcp, some()), run(pytcp, some())
    assert first.keys() == second.keys()
    for id_, result in first.items():
        assert traced(result) == traced(second[id_]), id_
    alone = run(pytcp, list(some())[-1:])
    for id_, result in alone.items():
        assert traced(result) == traced(first[id_])
    assert Verdict.PASS in {result.verdict for result in first.values()}
    assert not {Verdict.ERROR, Verdict.INCONCLUSIVE} & {result.verdict for result in first.values()}


def test_a_syn_that_asks_for_accurate_ecn_is_a_syn(pytcp):
    variations = load_file(Path(suite.cases()) / "open" / "three-way-handshake-active.yaml", suite.cases()).variations
    results = run(pytcp, variations)
    assert {result.verdict for result in results.values()} == {Verdict.PASS}
    first = [next(event.data for event in result.trace if event.kind == "seen") for result in results.values()]
    for frame in map(bytes, first):  # type: ignore[arg-type]
        offset = 14 + (20 if frame[12:14] == b"\x08\x00" else 40) + 12
        assert int.from_bytes(frame[offset : offset + 2], "big") & 0x1FF == 0x1C2  # AE, CWR, ECE, SYN


def test_minutes_of_a_stack_that_ticks_every_millisecond_are_short(pytcp):
    case = load_text(
        """
        title: A SYN that nobody answers is repeated, and given up
        requirements: [RFC9293-MUST-20]
        needs: {tier: long}
        start: SYN-SENT
        steps:
          - wait: 170s
        """.replace("\n        ", "\n"),
        "unanswered.yaml",
        "unanswered",
    )
    results = run(pytcp, case.variations)
    assert all("hangs" not in result.reason for result in results.values())
    assert all(result.waited > 169 for result in results.values())


def test_a_broken_environment_is_made_anew_and_a_whole_one_kept(pytcp, tmp_path, monkeypatch):
    from conformance.adapters import pypi
    from conformance.adapters import pytcp as adapter

    made = []

    def make(environment, packages):
        made.append(packages)
        (environment / "bin").mkdir(parents=True)
        (environment / "bin" / "python").touch(mode=0o755)

    monkeypatch.setattr(pypi, "_make", make)
    first = adapter.prepare("", tmp_path)
    assert adapter.prepare("long-time-wait", tmp_path).argv[0] == first.argv[0]
    assert len(made) == 1
    python = Path(first.argv[0])
    python.unlink()
    python.parent.rmdir()
    assert adapter.prepare("", tmp_path).argv == first.argv
    assert len(made) == 2


def test_without_the_package_it_is_told_in_a_line_and_nothing_stays(tmp_path, monkeypatch):
    from conformance.adapters import pytcp as adapter

    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(MissingError, match="pip does not bring pmd-pytcp") as missing:
        adapter.prepare("", tmp_path)
    assert "\n" not in str(missing.value)
    assert not list(tmp_path.iterdir())


DYING = """
title: A stack that dies is told with its last words, and the next case has a fresh one
requirements: [RFC9293-MUST-7]
start: ESTABLISHED
steps:
  - send: PSH,ACK "deadly"
  - expect: ACK
"""


def test_a_crash_is_a_finding_of_its_case_and_the_others_go_on(lwip, monkeypatch, tmp_path):
    from conformance.adapters.base import Program
    from conformance.targets import opening

    agent = opening.program("lwip").argv[0]
    # In front of the real agent: it kills it when a payload says so, as a bug in the stack would.
    between = tmp_path / "between.py"
    between.write_text(
        "import os, select, signal, socket, subprocess, sys\n"
        "ours, theirs = socket.socketpair()\n"
        "tester = socket.socket(fileno=3)\n"
        "os.dup2(theirs.fileno(), 9)\n"
        f"child = subprocess.Popen(['/bin/sh', '-c', 'exec 3<&9 9<&-; exec {agent}'], pass_fds=[9])\n"
        "theirs.close(); os.close(9)\n"
        "while True:\n"
        "    for ready in select.select([ours, tester], [], [])[0]:\n"
        "        octets = ready.recv(65536)\n"
        "        if b'deadly'.hex().encode() in octets or not octets:\n"
        "            os.kill(os.getpid(), signal.SIGSEGV if octets else signal.SIGKILL)\n"
        "        (tester if ready is ours else ours).sendall(octets)\n"
    )
    import sys

    monkeypatch.setattr(opening, "program", lambda name: Program((sys.executable, str(between))))
    dying = load_text(DYING, "dying.yaml", "dying").variations
    results = run(opener(Asked(target="lwip")), [*dying, *list(some())[-2:]])
    for variation in dying:
        result = results[variation.id]
        assert result.verdict is Verdict.FAIL
        assert "crashed: SIGSEGV" in result.reason
        assert any(event.kind == "sent" and b"deadly" in event.data for event in result.trace)  # type: ignore[operator]
    assert [results[variation.id].verdict for variation in list(some())[-2:]] == [Verdict.PASS, Verdict.PASS]


OWN_CRASH = """
title: An option whose length can't be
requirements: [RFC9293-MUST-7]
start: LISTEN
steps:
  - send: SYN seq=irs <raw 0x02000000>
  - expect: SYN,ACK
"""


def test_a_stack_that_aborts_by_itself_is_told_with_its_last_words_and_the_next_case_has_a_fresh_one(ns3):
    dying = load_text(OWN_CRASH, "dying.yaml", "dying").variations
    living = list(load_file(suite.cases() / "open/three-way-handshake.yaml", suite.cases()).variations)
    results = run(ns3, [*dying, *living])
    for variation in dying:
        result = results[variation.id]
        assert result.verdict is Verdict.FAIL
        assert "crashed: SIGABRT" in result.reason
        assert "tcp-option" in result.reason  # where the simulator gave up, in its own words
    assert {results[variation.id].verdict for variation in living} == {Verdict.PASS}


def test_an_agent_of_a_simulator_stops_at_the_first_frame_and_tells_its_state(ns3):
    case = load_text(
        """
        title: SYNs, each at its own time, and the state in between
        requirements: [RFC9293-3.10.8-RTO]
        start: CLOSED
        steps:
          - call: connect()
            as: connect
          - expect: SYN
            as: first
          - expect: retransmission of first
          - expect: retransmission of first
            gap: 1.5x..2.5x
          - send: SYN,ACK seq=irs ack=first.end
          - expect: ACK
          - result: connect
            returns: ok
          - state: ESTABLISHED
        """.replace("\n        ", "\n"),
        "syns.yaml",
        "syns",
    )
    results = run(ns3, case.variations)
    assert {result.verdict for result in results.values()} == {Verdict.PASS}
    for result in results.values():
        assert [state.oracle for state in result.states] == ["ESTABLISHED"]


def test_a_profile_is_another_configuration_of_the_same_agent(ns3):
    offered = list(load_file(suite.cases() / "open/timestamps-active.yaml", suite.cases()).variations)
    assert {result.verdict for result in run(ns3, offered).values()} == {Verdict.PASS}
    plain = run(or_skipped("ns3:plain"), offered)
    assert {result.verdict for result in plain.values()} == {Verdict.UNSUPPORTED}


def test_a_missing_compiler_is_told_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match=r"no g\+\+; to install: apt-get update && apt-get install -y g\+\+"):
        opener(Asked(target="ns3"))


def test_a_processor_that_a_stack_can_t_bear_is_told_and_no_installation_is_promised(monkeypatch, tmp_path):
    processor = tmp_path / "cpuinfo"
    processor.write_text("flags\t\t: fpu avx512f amx_tile amx_int8\n")
    monkeypatch.setattr("conformance.adapters.uml._PROCESSOR", processor)
    with pytest.raises(TargetError, match=r"^target linux-6\.1: can't run here: this processor has [^;]*$"):
        opener(Asked(target="linux-6.1"))


def test_packages_that_apt_does_not_have_are_missing_and_leave_nothing(tmp_path):
    from conformance.adapters.debian import packages

    with pytest.raises(MissingError, match=r"no-such-package-anywhere|no apt-get|no dpkg"):
        packages("kept", ("no-such-package-anywhere",), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_the_stack_has_no_call_for_is_unsupported(lwip):
    variations = load_file(Path(suite.cases()) / "flags" / "urgent-sent.yaml", suite.cases()).variations
    results = run(lwip, variations)
    assert {result.verdict for result in results.values()} == {Verdict.UNSUPPORTED}


def test_names_of_targets_are_told_when_one_is_wrong():
    with pytest.raises(TargetError, match="not one of: linux"):
        opener(Asked(target="bsd"))
    with pytest.raises(TargetError, match="no profile 'fast'"):
        opener(Asked(target="linux:fast"))
    with pytest.raises(TargetError, match="--agent is for a host"):
        opener(Asked(target="linux", agent="127.0.0.1"))

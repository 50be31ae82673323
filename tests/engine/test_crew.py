"""A crew does what an engine does, in processes of its own; whatever ends it or one of them, nobody waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from engine.fakes import FakeTarget, VirtualClock, variation
from engine.playing import FAIL, PASS

from conformance.catalogue import load as load_catalogue
from conformance.engine import scheduler
from conformance.engine.crew import MOST, Crew, size
from conformance.targets.base import TargetError

# Under pytest-xdist this process has a thread that only listens.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

SHORT = [variation(f"- check: {number} == {number}\n", name=f"t{number}") for number in range(40)]
LONG = [variation("- wait: 60s\n", name=f"l{number}") for number in range(6)]


class Opener:
    """Opens a target that waits by the machine's clock; leaves the number of its process behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, settings):
        (self.folder / str(os.getpid())).touch()
        return FakeTarget(VirtualClock(), {})

    @property
    def opened(self) -> set[int]:
        return {int(path.name) for path in self.folder.iterdir()}


@pytest.fixture
def opener(tmp_path):
    return Opener(tmp_path)


def started(opener, variations, **more) -> Crew:
    crew = Crew(opener, load_catalogue(), variations, 2, check_oracle=False, **more)
    crew.start()
    return crew


def living(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids) -> bool:
    end = time.monotonic() + 20
    while any(map(living, pids)) and time.monotonic() < end:
        time.sleep(0.01)
    return not any(map(living, pids))


def test_every_variation_is_run_once_in_two_processes_that_are_not_this_one(opener):
    wrong = variation("- check: 1 == 2\n", name="wrong")
    begun = []
    crew = started(opener, [*SHORT, wrong], on_start=lambda one: begun.append(one.id))
    try:
        futures = crew.submit([*SHORT, wrong])
        results = {id_: future.result(20) for id_, future in futures.items()}
        assert crew.alive
    finally:
        crew.stop()
    assert {id_: result.verdict for id_, result in results.items()} == {
        **{one.id: PASS for one in SHORT},
        wrong.id: FAIL,
    }
    assert sorted(begun) == sorted(results)
    assert len(opener.opened) == 2
    assert os.getpid() not in opener.opened
    assert gone(opener.opened)
    assert crew.failure is None
    assert not crew.alive


def test_a_target_that_cannot_be_had_is_told_before_any_case():
    def refuse(settings):
        raise TargetError("no such stack")

    with pytest.raises(TargetError, match="no such stack"):
        started(refuse, SHORT)


def test_what_is_not_done_when_the_run_ends_is_not_run(opener):
    crew = started(opener, LONG)
    futures = list(crew.submit(LONG).values())
    while not any(future.running() for future in futures):
        time.sleep(0.001)
    crew.stop()
    for future in futures:
        assert future.cancelled() or isinstance(future.exception(0), InterruptedError)
    assert gone(opener.opened)
    crew.stop()


def test_when_a_process_dies_whoever_waits_hears_of_it_and_what_was_found_stays(opener):
    crew = started(opener, [*SHORT, *LONG])
    done = [future.result(20) for future in crew.submit(SHORT).values()]
    futures = list(crew.submit(LONG).values())
    os.kill(min(opener.opened), signal.SIGKILL)
    for future in futures:
        with pytest.raises(BaseException, match=r"a process of the engine has died \(exit code -9\)|^$"):
            future.result(20)
    assert "exit code -9" in str(crew.gone(10))
    crew.stop()
    assert {result.verdict for result in done} == {PASS}
    assert gone(opener.opened)


def test_a_fault_of_a_member_is_told_where_it_was(opener, monkeypatch):
    async def broken(*_, **__):
        raise KeyError("a fault of ours")

    monkeypatch.setattr(scheduler, "run_variation", broken)
    crew = started(opener, SHORT)
    try:
        for future in crew.submit(SHORT[:3]).values():
            with pytest.raises(RuntimeError, match="KeyError: 'a fault of ours'"):
                future.result(10)
    finally:
        crew.stop()


def test_when_the_tester_is_killed_its_engines_end(tmp_path):
    program = f"""
        import sys, time
        sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]!r}
        from pathlib import Path
        from engine.test_crew import LONG, Opener, started
        crew = started(Opener(Path({str(tmp_path)!r})), LONG)
        crew.submit(LONG)
        print("begun", flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        pids = Opener(tmp_path).opened
        assert len(pids) == 2
        assert all(map(living, pids))
        process.kill()
    assert gone(pids)


def test_a_crew_is_as_large_as_the_work_and_what_the_target_gains_by_it(monkeypatch):
    target = FakeTarget(VirtualClock(), {})
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    assert size(target, 100_000) == 1
    target.worlds = 4
    assert [size(target, count) for count in (0, 99, 100, 150, 100_000)] == [0, 1, 2, 3, 4]
    target.worlds = 1000
    assert size(target, 100_000) == MOST
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert size(target, 100_000) == 0


def test_a_member_runs_as_many_at_once_as_its_target_bears_the_longest_first(tmp_path):
    class Noting(FakeTarget):
        def open_pair(self, version, link):
            (tmp_path / str(time.monotonic_ns())).touch()
            return super().open_pair(version, link)

    spans = [1.2, 1.0, 1.3, 2.0, 1.1, 1.4, 1.7, 1.5, 1.9, 1.6, 2.1, 1.8]  # s, by the machine's clock
    chosen = [variation(f"- wait: {span}s\n- check: 1 == 1\n", name=f"w{span}") for span in spans]
    handed, begun = [], []
    crew = Crew(lambda settings: Noting(VirtualClock(), {}), load_catalogue(), chosen, 2, at_once=6, check_oracle=False)
    crew.on_start = lambda one: handed.append(one.id.partition("[")[0])
    crew.start()
    try:
        futures = crew.submit(chosen)
        for future in futures.values():
            future.add_done_callback(lambda done: begun.append(len(list(tmp_path.iterdir()))))
        assert {future.result(10).verdict for future in futures.values()} == {PASS}
    finally:
        crew.stop()
    assert begun[0] == len(spans)  # all run before the first has ended
    assert handed == [f"w{span}" for span in sorted(spans, reverse=True)]

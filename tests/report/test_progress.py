from __future__ import annotations

import io
import subprocess
import sys
import threading

import pytest
from report_samples import failing, passing

from conformance.report.progress import PLAIN_INTERVAL, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_come_at_most_one_per_interval():
    clock, out = Clock(), io.StringIO()
    with Progress(100, out, clock=clock) as progress:
        for number in range(40):
            progress.started(f"c{number}", 1.0)
            clock.now += 0.5
            progress.finished(passing(f"c{number}"))
    lines = out.getvalue().splitlines()
    assert len(lines) == 20 / PLAIN_INTERVAL + 1
    assert lines[0].startswith("10/100 done (10 PASS), ")
    assert "running" not in lines[0] or "1 running" in lines[0]
    assert lines[-1].startswith("40/100 done (40 PASS)")


def test_a_short_run_says_nothing_of_its_progress():
    out = io.StringIO()
    with Progress(1, out, clock=Clock()) as progress:
        progress.started("a", 1.0)
        progress.finished(passing("a"))
    assert out.getvalue() == ""


def test_a_tick_says_that_a_long_case_still_runs():
    clock, out = Clock(), io.StringIO()
    with Progress(1, out, clock=clock) as progress:
        progress.started("timers/r2[ip=v4]", 130.0)
        clock.now += 10
        progress.tick()
    assert "0/1 done, 1 running: timers/r2[ip=v4], about 2 min 0 s left" in out.getvalue()


def test_time_left_is_bounded_by_the_longest_wait_and_by_the_pace():
    clock = Clock()
    progress = Progress(10, io.StringIO(), ahead=60.0, clock=clock)
    assert progress.seconds_left() == 60.0
    progress.started("long", 50.0)
    progress.started("a", 1.0)
    clock.now += 4
    progress.finished(failing("a"))
    assert progress.seconds_left() == 46.0
    progress.finished(passing("long"))
    assert progress.seconds_left() == pytest.approx(8 * 4 / 2)
    assert Progress(3, io.StringIO(), clock=clock).seconds_left() is None
    clock.now += 500
    assert progress.text().startswith("2/10 done (1 PASS, 1 FAIL), about 33 min")


def test_an_overdue_case_is_not_expected_in_the_past():
    clock = Clock()
    progress = Progress(1, io.StringIO(), clock=clock)
    progress.started("a", 1.0)
    clock.now += 100
    assert progress.seconds_left() == 0.0


def test_a_terminal_gets_a_bar_that_is_taken_away_again():
    out = Terminal()
    with Progress(2, out) as progress:
        progress.started("close/[red]x[ip=v4]\x1b[2J", 1.0)
        progress.finished(passing("close/[red]x[ip=v4]\x1b[2J"))
        progress.started("b[ip=v6]", 1.0)
    shown = out.getvalue()
    assert "1/2 done (1 PASS)" in shown
    assert "b[ip=v6]" in shown
    assert "\x1b[2J" not in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")


def test_threads_may_feed_it_while_it_draws():
    with Progress(400, Terminal()) as progress:

        def feed(name: str) -> None:
            for number in range(100):
                progress.started(f"{name}{number}", 0.1)
                progress.finished(passing(f"{name}{number}"))

        threads = [threading.Thread(target=feed, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert progress.done == 400


def test_a_stream_that_is_gone_does_not_end_the_run():
    clock, out = Clock(), io.StringIO()
    with Progress(2, out, clock=clock) as progress:
        progress.started("a", 1.0)
        clock.now += 10
        progress._stream = open("/dev/full", "w")  # noqa: PTH123, SIM115
        progress.finished(passing("a"))


def test_without_a_terminal_rich_is_not_imported():
    code = (
        "import io, sys; from conformance.report.progress import Progress\n"
        "with Progress(1, io.StringIO()): pass\nsys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

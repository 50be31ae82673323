"""Live progress: cases done, running, time left. A bar on a terminal, now and then a plain line elsewhere.

Fed by `started` and `finished`, from any thread. Imports the Result; rich only for a terminal.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from conformance.engine.result import Result, Verdict
from conformance.report.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_INTERVAL = 5.0
"""Seconds between two plain lines, at least."""
_NAMED = 3


class Progress:
    """Shows how far a run is. A context manager; nothing is shown before it is entered.

    `total` is the number of variations selected; `ahead` the expected seconds of the longest of them, when known.
    """

    def __init__(
        self,
        total: int,
        stream: TextIO,
        *,
        ahead: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self._stream = stream
        self._ahead = ahead
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, tuple[float, float]] = {}
        self._verdicts: Counter[Verdict] = Counter()
        self._begun = clock()
        self._told = self._begun
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    @property
    def done(self) -> int:
        """How many variations are finished."""
        return sum(self._verdicts[verdict] for verdict in Verdict)

    def __enter__(self) -> Self:
        self._begun = self._told = self._clock()
        if self._stream.isatty():
            self._start_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()  # not under the lock: it waits for the thread that draws
        elif self._told > self._begun:
            self._say()

    def started(self, id_: str, expected_seconds: float) -> None:
        """A variation begins, which is expected to take that long."""
        with self._lock:
            self._running[id_] = (self._clock(), max(expected_seconds, 0.0))
            self._show()

    def finished(self, result: Result) -> None:
        """A variation has its result."""
        with self._lock:
            self._running.pop(result.id, None)
            self._verdicts[result.verdict] += 1
            self._show()

    def tick(self) -> None:
        """Say a plain line if one is due, though nothing starts or finishes; the bar draws itself."""
        with self._lock:
            self._show()

    def seconds_left(self) -> float | None:
        """An estimate of the seconds that are left, or None when nothing is known yet.

        The longest wait that is still running or to come bounds it from below; the pace so far says the rest.
        """
        now = self._clock()
        running = dict(self._running)  # a copy: the bar asks from a thread of its own
        rest = max((begun + expected - now for begun, expected in running.values()), default=0.0)
        waiting = self.total - self.done - len(running)
        spent = now - self._begun
        if waiting > 0:
            if not self.done:
                return max(rest, self._ahead - spent) or None
            rest = max(rest, waiting * spent / self.done)
        return max(rest, 0.0)

    def text(self) -> str:
        """The state of the run on one line."""
        counts = ", ".join(f"{self._verdicts[verdict]} {verdict}" for verdict in Verdict if self._verdicts[verdict])
        line = f"{self.done}/{self.total} done"
        if counts:
            line += f" ({counts})"
        running = dict(self._running)
        if running:
            longest = sorted(running, key=lambda id_: sum(running[id_]), reverse=True)
            more = ", ..." if len(longest) > _NAMED else ""
            line += f", {len(longest)} running: {', '.join(map(printable, longest[:_NAMED]))}{more}"
        left = self.seconds_left()
        if left is not None and self.done < self.total:
            line += f", about {_duration(left)} left"
        return line

    def _show(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done)
            return
        now = self._clock()
        if not self._stream.isatty() and now - self._told >= PLAIN_INTERVAL:
            self._told = now
            self._say()

    def _say(self) -> None:
        try:
            print(self.text(), file=self._stream, flush=True)
        except (OSError, ValueError):
            pass

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, Task
        from rich.progress import Progress as RichProgress
        from rich.table import Column
        from rich.text import Text

        owner = self

        class State(ProgressColumn):
            max_refresh = 0.25

            def render(self, task: Task) -> Text:
                return Text(owner.text())

        state = State(table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
        console = Console(file=self._stream, highlight=False)
        columns = (BarColumn(bar_width=20), state)
        self._bar = RichProgress(*columns, console=console, transient=True, refresh_per_second=4, expand=True)
        self._task = self._bar.add_task("", total=self.total)
        self._bar.start()


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 1:
        return "1 s"
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"

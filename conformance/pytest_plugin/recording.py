"""What is kept of a run: report, captures, summary, and the progress display where there is one."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self, TextIO

import pytest

from conformance import suite
from conformance.catalogue import load as load_catalogue
from conformance.pytest_plugin import options
from conformance.report.baseline import Baseline, BaselineError, Judgement, Kind
from conformance.report.baseline_file import load as load_baseline
from conformance.report.jsonl import Header, Writer, case_set_digest
from conformance.report.pcapng import Captures
from conformance.report.progress import Progress
from conformance.report.summary import EXIT_NOT_RUN, Summary
from conformance.report.text import printable_lines

if TYPE_CHECKING:
    from conformance.engine.result import Result

PROGRESS: pytest.StashKey[TextIO] = pytest.StashKey()
"""In the config's stash: where a progress display goes; without it there is none."""


def baseline_of(config: pytest.Config) -> Baseline:
    """The baseline that was asked for, or the target's own. Raises UsageError."""
    asked = config.option.conformance_baseline
    if asked is not None:
        path: Path | None = config.invocation_params.dir / asked
        if not (config.invocation_params.dir / asked).exists():
            path = suite.baseline(asked) or path
    else:
        path = suite.baseline(config.option.conformance_target)
    if path is None:
        return Baseline()
    try:
        return load_baseline(path)
    except OSError as error:
        raise pytest.UsageError(f"--baseline {path}: {error.strerror}") from None
    except BaselineError as error:
        raise pytest.UsageError(str(error)) from None


def check_baseline(config: pytest.Config, roots: Iterable[Path], ids: Iterable[str]) -> None:
    """Refuse a baseline with entries that no case has; `ids` is all that there is below `roots`. Raises UsageError."""
    own = suite.cases()
    if config.option.conformance_baseline is None and not any(root.absolute() == own for root in roots):
        return  # the baseline that comes with a target speaks of the suite that comes with the tester
    try:
        baseline_of(config).check(ids, load_catalogue())
    except BaselineError as error:
        raise pytest.UsageError(str(error)) from None


class Whole:
    """A block that Ctrl-C does not cut in two: it takes effect at its end. In the main thread; nothing elsewhere."""

    def __init__(self) -> None:
        self._before: Callable[[int, FrameType | None], object] | None = None
        self._came: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        if callable(before) and threading.current_thread() is threading.main_thread():
            self._before, self._came = before, None
            signal.signal(signal.SIGINT, self._later)

    def _later(self, number: int, frame: FrameType | None) -> None:
        self._came = number, frame

    def __exit__(self, *_: object) -> None:
        before, self._before = self._before, None
        if before is not None:
            signal.signal(signal.SIGINT, before)
            if self._came is not None:
                before(*self._came)


class Recorder:
    """Takes results in the order in which they are finished. A context manager: the display lives inside.

    `ids` are the variations that were selected, each with the name of its item.
    """

    def __init__(
        self,
        config: pytest.Config,
        target: dict[str, object],
        ids: Mapping[str, str],
        files: Iterable[Path],
        *,
        ahead: float = 0.0,
    ) -> None:
        self.summary = Summary(load_catalogue(), baseline_of(config), target, strict=config.option.conformance_strict)
        self.folder = report_folder(config)
        header = Header(
            command=tuple(getattr(config.option, "conformance_command", ("pytest", *config.invocation_params.args))),
            case_set=case_set_digest(set(files), config.rootpath),
            target=target,
            options=options.said(config),
            selected=len(ids),
        )
        all_frames = config.option.conformance_captures == "all"
        self.writer = Writer(self.folder / "report.jsonl", header, frames=all_frames)
        self.captures = Captures(self.folder / "captures", config.option.conformance_captures)
        stream = config.stash.get(PROGRESS, None)
        self.progress = Progress(len(ids), stream, ahead=ahead) if stream is not None else None
        self.results: list[Result] = []
        """Findings and what was not decided, for who prints pages at the end."""
        self.how, self.reason = "complete", ""
        self._config = config
        self._ids = ids
        self._done: set[str] = set()
        self._begun = time.monotonic()
        self._seconds = 0.0

    def __enter__(self) -> Self:
        if self.progress is not None:
            self.progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress is not None:
            self.progress.__exit__(kind, error, trace)

    def add(self, result: Result) -> Judgement:
        """Write a result down; what it is worth. Ctrl-C finds it written and counted, or neither."""
        with Whole():
            return self._add(result)

    def _add(self, result: Result) -> Judgement:
        judgement = self.summary.add(result)
        known = judgement.entry.reason if judgement.kind is Kind.KNOWN and judgement.entry is not None else None
        self.writer.write(result, str(judgement), self.rerun(result.id), known=known)
        self.captures.add(result)
        self._done.add(result.id)
        if self.progress is not None:
            self.progress.finished(result)
        if judgement.finding or str(judgement.kind) == "not decided":
            self.results.append(result)
        return judgement

    def rerun(self, id_: str) -> str:
        """The command that runs just that variation."""
        return options.rerun(self._config, self._ids[id_])

    @property
    def not_run(self) -> list[str]:
        """The ids that were selected and have no result."""
        return [id_ for id_ in self._ids if id_ not in self._done]

    def close(self, how: str, reason: str) -> None:
        """Write the footer."""
        self.how, self.reason = how, reason
        self._seconds = time.monotonic() - self._begun
        self.writer.close(how, reason, self.not_run)  # type: ignore[arg-type]

    def exit_code(self) -> int:
        """The exit code of `conformance run` (docs/report.md)."""
        return self.summary.exit_code(finished=not self.not_run, report_failed=self.failed)

    @property
    def failed(self) -> str | None:
        """Why the report or a capture is incomplete on the disk, or None."""
        return self.writer.failed or self.captures.failed

    def render(self) -> str:
        """The summary as text."""
        return self.summary.render(
            seconds=self._seconds,
            report=suite.near(self.folder),
            report_failed=self.failed,
            not_run=self.not_run,
            interrupted=self.reason if self.how != "complete" else "",
        )


def report_folder(config: pytest.Config) -> Path:
    """The folder of the report, made and found writable. Exits with 3 otherwise."""
    from conformance.pytest_plugin.running import timestamp

    folder = options.report_folder(config, timestamp())
    if config.option.conformance_report is None:
        number, first = 1, folder
        while folder.exists():
            number += 1
            folder = first.with_name(f"{first.name}_{number}")
    probe = folder / "report.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with probe.open("ab"):
            pass
    except OSError as error:
        cannot(f"the report can't be written to {folder}: {error.strerror}; say --report DIR for another place")
    return folder


def cannot(message: str) -> None:
    """End the session: the run could not be done."""
    raise pytest.exit.Exception(printable_lines(message), EXIT_NOT_RUN)

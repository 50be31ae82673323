"""What `conformance run` shows in place of pytest's terminal, and the exit code that it ends with."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from _pytest.runner import runtestprotocol

from conformance.cli.common import NOT_RUN, USAGE, fail, say

if TYPE_CHECKING:
    from conformance.pytest_plugin.recording import Recorder
    from conformance.targets.opening import Early

_PAGES = 20
"""Failures that are printed in full; the report has them all."""


def _silent(loud: Any) -> Any:
    """The class of a terminal like that one, but that it does nothing for any of thousands of reports."""

    class Silent(type(loud)):  # type: ignore[misc]
        def pytest_runtest_logstart(self) -> None: ...

        def pytest_runtest_logreport(self) -> None: ...

    return Silent


class Front:
    """A pytest plugin that shows what we show in place of what pytest shows."""

    def __init__(self, asked: dict[str, Any], folders: list[Path], folder: Path, early: Early) -> None:
        self._asked = asked
        self._early = early
        self._folder = folder
        self._folders = folders
        self._mistakes: list[str] = []
        self._internal = self._ended = ""
        self._recorder: Recorder | None = None
        self._config: pytest.Config | None = None
        self._silence = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the session is over

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Silence pytest's terminal, and ask the plugin for a progress display."""
        from conformance.pytest_plugin.lifecycle import EARLY
        from conformance.pytest_plugin.recording import PROGRESS

        config.stash[EARLY] = self._early

        self._config = config
        config.option.conformance_program = "conformance run"
        config.option.conformance_command = ("conformance", *sys.argv[1:])
        config.option.conformance_folders = self._folders
        if self._asked["timeout"] is not None:
            config.option.timeout = self._asked["timeout"]
        config.stash[PROGRESS] = sys.stdout
        loud = config.pluginmanager.get_plugin("terminalreporter")
        if loud is not None:
            config.pluginmanager.unregister(loud)
            config.pluginmanager.register(_silent(loud)(config, self._silence), "terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """What there is by now stays."""
        gc.freeze()
        gc.enable()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool:
        """What passed needs nothing of what pytest does around a test of Python, but to be told to its plugins."""
        from conformance.pytest_plugin.items import CaseItem

        if not isinstance(item, CaseItem) or not item.tell():
            runtestprotocol(item, nextitem=None)  # with nothing left over: the next one may pass
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the mistakes of a case file."""
        if report.failed:
            self._mistakes.append(str(report.longrepr))

    def pytest_internalerror(self, excrepr: object) -> None:
        """Keep a fault of ours."""
        self._internal = str(excrepr)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Keep why the run could not be done, or was ended."""
        self._ended = str(excinfo.value) if isinstance(excinfo.value, pytest.exit.Exception) else "Ctrl-C"

    def pytest_sessionfinish(self) -> None:
        """Keep what the run has recorded."""
        from conformance.pytest_plugin.lifecycle import RECORDER

        if self._config is not None:
            self._recorder = self._config.stash.get(RECORDER, None)

    def finish(self, code: int) -> int:
        """Print what there is to say; the exit code of the program."""
        self._early.close()
        self._silence.close()
        for text in self._mistakes:
            say(text, err=True)
        if self._internal:
            say(self._internal, err=True)
            fail("this is a fault of the tester: please report it with the lines above", NOT_RUN)
        if self._recorder is not None:
            self._print_pages(self._recorder)
            say(self._recorder.render())
            if (self._recorder.folder / "report.jsonl").is_file():  # a device may have no end
                self._write_page(self._recorder)
                self._write_step_summary(self._recorder)
            return self._recorder.exit_code()
        return self._nothing_run(code)

    def _nothing_run(self, code: int) -> NoReturn:
        _tidy(self._folder)
        if self._mistakes:
            count = len("\n".join(self._mistakes).splitlines())
            fail(f"{count} mistake(s) in case files: nothing was run", USAGE)
        if code == 5:
            fail("no case fits what was asked for: see conformance list", USAGE)
        if self._ended:
            fail(self._ended, NOT_RUN)
        fail(f"nothing was run: pytest ended with {code}", USAGE if code == 4 else NOT_RUN)

    def _print_pages(self, recorder: Recorder) -> None:
        from conformance.catalogue import load
        from conformance.report.ladder import render_failure

        for result in recorder.results[:_PAGES]:
            say(render_failure(result, load(), recorder.rerun(result.id)) + "\n")
        if len(recorder.results) > _PAGES:
            say(f"... and {len(recorder.results) - _PAGES} more: their captures are in {recorder.folder}\n")

    @staticmethod
    def _write_page(recorder: Recorder) -> None:
        """The page for people, beside the report; that it can't be made changes nothing of the run."""
        from conformance import suite
        from conformance.report.html.page import write
        from conformance.report.reading import ReportError

        page = recorder.folder / "report.html"
        try:
            write([recorder.folder / "report.jsonl"], page)
        except (OSError, ReportError) as error:
            say(f"conformance: the page {page} can't be written: {error}", err=True)
        else:
            say(f"page:   {suite.near(page)}")

    @staticmethod
    def _write_step_summary(recorder: Recorder) -> None:
        """The summary in Markdown, where a CI service says that it wants one."""
        asked = os.environ.get("GITHUB_STEP_SUMMARY")
        if not asked:
            return
        from conformance.catalogue import load
        from conformance.report.formats import Digest, markdown
        from conformance.report.reading import ReportError

        try:
            text = "\n".join(markdown(Digest(recorder.folder / "report.jsonl", load())))
            with Path(asked).open("a", encoding="utf-8") as file:
                file.write(f"{text}\n\n")
        except (OSError, ReportError) as error:
            say(f"conformance: GITHUB_STEP_SUMMARY {asked} can't be written: {error}", err=True)


def _tidy(folder: Path) -> None:
    """Nothing was run, so there is no report: leave none that is empty."""
    for name in ("report.jsonl", "junit.xml"):
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()

"""pytest runs conformance cases: every variation of a case file below a folder `cases` is an item.

Only hooks stand here; they do nothing, and import nothing that takes time, until a case file is met. The rest of the
package: `options`, `items` (what is collected), `running` (the engine inside a session), `recording` (the report),
`lifecycle` (when what begins and ends) and `distributed` (pytest-xdist).
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from conformance.pytest_plugin import options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Our marks."""
    options.configure(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Case files."""
    if file_path.suffix != ".yaml":
        return None
    from conformance.pytest_plugin import items, lifecycle

    if not items.wanted(file_path, parent):
        return None
    lifecycle.open_early(parent.config)
    return items.CaseFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what was not asked for."""
    from conformance.pytest_plugin.items import CaseItem

    if any(isinstance(item, CaseItem) for item in items):
        from conformance.pytest_plugin.choosing import choose

        choose(config, items)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """The engine runs while pytest goes through the items."""
    from conformance.pytest_plugin import lifecycle

    if session.config.pluginmanager.has_plugin("dsession"):
        return (yield from lifecycle.around_workers(session.config))
    return (yield from lifecycle.around_loop(session))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Durations are the engine's; pages are ours."""
    report = yield
    from conformance.pytest_plugin.items import CaseFailure, CaseItem, Page

    if isinstance(item, CaseItem):
        from conformance.pytest_plugin.lifecycle import adjust

        adjust(item, report)
        if call.excinfo is not None and isinstance(call.excinfo.value, CaseFailure):
            report.longrepr = Page(call.excinfo.value, (item.location[0], 1))  # type: ignore[assignment]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """At a controller: what a worker sent."""
    packed = getattr(report, "conformance_result", None)
    if packed is None:
        return  # so it is with all items but those that a worker of pytest-xdist ran
    config = getattr(getattr(report, "node", None), "config", None)
    if config is not None:
        from conformance.pytest_plugin.lifecycle import take

        take(config, report)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The summary of a run."""
    from conformance.pytest_plugin.lifecycle import RECORDER

    recorder = config.stash.get(RECORDER, None)
    if recorder is not None and not options.is_worker(config):
        terminalreporter.section("conformance")
        terminalreporter.write_line(recorder.render())


def pytest_unconfigure(config: pytest.Config) -> None:
    """A target that was opened and never used goes."""
    from conformance.pytest_plugin.lifecycle import close_early

    close_early(config)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item) -> bool | None:
    """pytest-timeout leaves our items alone: the engine keeps their time, and waiting for others does not count."""
    from conformance.pytest_plugin.items import CaseItem

    return True if isinstance(item, CaseItem) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Shares of our own where pytest-xdist would deal items out bit by bit."""
    if config.getvalue("dist") not in ("load", "worksteal"):
        return None
    from conformance.pytest_plugin.distributed import Shares

    return Shares(config, log)

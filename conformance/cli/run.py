"""`conformance run`: pytest with our plugin, a progress display in place of its dots, and exit codes of our own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance import suite
from conformance.cli.common import NOT_RUN, USAGE, fail, near, selecting

if TYPE_CHECKING:
    import pytest

    from conformance.pytest_plugin.recording import Recorder

_PAGES = 20
"""Failures that are printed in full; the report has them all."""


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--target", default="linux", metavar="TARGET", help="The stack under test; linux is this kernel.")
@click.option("--sysctl", multiple=True, metavar="NAME=VALUE", help="Set in the target's namespace. Repeatable.")
@click.option("--report", metavar="DIR", help="Where the report goes; reports/<time> otherwise.")
@click.option("--capture", type=click.Choice(["failed", "all"]), default="failed", help="Which cases leave a capture.")
@click.option("--baseline", metavar="FILE", help="Known deviations; those that come with the target otherwise.")
@click.option("--strict", is_flag=True, help="A SHOULD that is not met fails, too.")
@selecting
@click.option("--timeout", type=float, metavar="SECONDS", help="What one variation may take; 0 for no limit.")
@click.option("--no-oracle", is_flag=True, help="Never compare a state with what the target says of itself.")
@click.option("-k", "keyword", metavar="EXPRESSION", help="Only variations whose id matches, as in pytest.")
@click.option("-m", "mark", metavar="EXPRESSION", help="Only variations with these marks, as in pytest.")
@click.option("-x", "first", is_flag=True, help="Stop at the first failure.")
@click.option("--lf", "last_failed", is_flag=True, help="Only what failed last time.")
def run(paths: tuple[str, ...], **asked: Any) -> None:
    """Run cases, the suite's own without PATHS, and write a report.

    PATHS are folders, files, or single variations as failures name them: 'cases/open/x.yaml::[ip=v4]'.
    """
    folder = _report_folder(asked["report"])
    # Neither configuration nor plugins that happen to be around have a say.
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import pytest

    front = Front(asked, [Path(path) for path in paths if Path(path).is_dir()])
    code = int(pytest.main(_arguments(paths, asked, folder), plugins=[front]))
    sys.exit(front.finish(code))


def _report_folder(asked: str | None) -> Path:
    folder = Path(asked) if asked else Path("reports") / time.strftime("%Y-%m-%d_%H-%M-%S")
    number, first = 1, folder
    while not asked and folder.exists():
        number += 1
        folder = first.with_name(f"{first.name}_{number}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / "report.jsonl"
        probe.write_bytes(b"")
    except OSError as error:
        fail(f"the report can't be written to {folder}: {error.strerror}; say --report DIR for another place", NOT_RUN)
    return folder


def _arguments(paths: tuple[str, ...], asked: dict[str, Any], folder: Path) -> list[str]:
    arguments = [
        *("-c", os.devnull, "--rootdir", str(Path.cwd()), "--noconftest", "-p", "conformance.pytest_plugin"),
        *("-o", "python_files=", "-o", f"cache_dir={Path.cwd() / 'reports' / '.cache'}", "-s", "--assert=plain"),
        *("-p", "no:doctest", "-p", "no:unittest", "-p", "no:faulthandler", "-W", "ignore::pytest.PytestCacheWarning"),
        f"--junitxml={folder / 'junit.xml'}",
        f"--report={folder}",
        f"--target={asked['target']}",
        f"--captures={asked['capture']}",
        f"--tier={asked['tier'] or 'default'}",
    ]
    for name in ("sysctl", "requirement", "section", "level", "state"):
        arguments += [f"--{name}={value}" for value in asked[name]]
    for name, option in (("baseline", "--baseline"), ("keyword", "-k"), ("mark", "-m")):
        if asked[name] is not None:
            arguments += [option, asked[name]]
    switches = {"strict": "--strict-verdicts", "no_oracle": "--no-oracle", "first": "-x", "last_failed": "--lf"}
    arguments += [option for name, option in switches.items() if asked[name]]
    return [*arguments, "--", *(paths or (str(near(suite.cases())),))]


class Front:
    """A pytest plugin that shows what we show in place of what pytest shows."""

    def __init__(self, asked: dict[str, Any], folders: list[Path]) -> None:
        self._asked = asked
        self._folders = folders
        self._mistakes: list[str] = []
        self._internal = ""
        self._recorder: Recorder | None = None
        self._config: pytest.Config | None = None
        self._silence = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the session is over

    def pytest_configure(self, config: pytest.Config) -> None:
        """Silence pytest's terminal, and ask the plugin for a progress display."""
        from conformance.pytest_plugin.recording import PROGRESS

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
            config.pluginmanager.register(type(loud)(config, self._silence), "terminalreporter")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the mistakes of a case file."""
        if report.failed:
            self._mistakes.append(str(report.longrepr))

    def pytest_internalerror(self, excrepr: object) -> None:
        """Keep a fault of ours."""
        self._internal = str(excrepr)

    def pytest_sessionfinish(self) -> None:
        """Keep what the run has recorded."""
        from conformance.pytest_plugin.lifecycle import RECORDER

        if self._config is not None:
            self._recorder = self._config.stash.get(RECORDER, None)

    def finish(self, code: int) -> int:
        """Print what there is to say; the exit code of the program."""
        self._silence.close()
        for text in self._mistakes:
            click.echo(text, err=True)
        if self._internal:
            click.echo(self._internal, err=True)
            fail("this is a fault of the tester: please report it with the lines above", NOT_RUN)
        if self._recorder is not None:
            self._print_pages(self._recorder)
            click.echo(self._recorder.render())
            return self._recorder.exit_code()
        if self._mistakes:
            count = len("\n".join(self._mistakes).splitlines())
            fail(f"{count} mistake(s) in case files: nothing was run", USAGE)
        if code == 5:
            fail("no case fits what was asked for: see conformance list", USAGE)
        return USAGE if code == 4 else NOT_RUN

    def _print_pages(self, recorder: Recorder) -> None:
        from conformance.catalogue import load
        from conformance.report.ladder import render_failure

        for result in recorder.results[:_PAGES]:
            click.echo(render_failure(result, load(), recorder.rerun(result.id)) + "\n")
        if len(recorder.results) > _PAGES:
            click.echo(f"... and {len(recorder.results) - _PAGES} more: their captures are in {recorder.folder}\n")

"""`conformance run`: pytest with our plugin, a progress display in place of its dots, and exit codes of our own."""

from __future__ import annotations

import gc
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import click

from conformance import suite
from conformance.cli.common import NOT_RUN, USAGE, asked_for, fail, selecting, targeting
from conformance.targets.asked import OPTIONS


@click.command()
@click.argument("paths", nargs=-1)
@targeting
@click.option("--report", metavar="DIR", help="Where the report goes; reports/<time> otherwise.")
@click.option("--capture", type=click.Choice(["failed", "all"]), default="failed", help="Which cases leave a capture.")
@click.option(
    "--baseline",
    metavar="FILE",
    help="Known deviations: a file, or a target whose they are; those of the target otherwise.",
)
@click.option("--strict", is_flag=True, help="A SHOULD that is not met fails, too.")
@selecting
@click.option("--quick", is_flag=True, help="What decides most requirements in seconds: --tier quick.")
@click.option("--shard", metavar="I/N", help="Only the I-th of N parts of what is selected; see conformance merge.")
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
    if asked.pop("quick"):
        asked["tier"] = "quick"
    if asked["shard"] is not None:
        from conformance.selection import shard_of

        try:
            shard_of(asked["shard"])
        except ValueError as error:
            fail(str(error), USAGE)
    gc.disable()  # until the first case runs: there is nothing to collect, and looking for it takes a fifth of the time
    wanted = asked_for(asked)
    folder = _report_folder(asked["report"])
    # Neither configuration nor plugins that happen to be around have a say.
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    from conformance.targets.opening import Early, opener

    # The namespace is made by another process: that takes as long as pytest takes to get ready.
    early = Early(lambda settings: opener(wanted)(settings))  # noqa: PLW0108 - raises where it is used
    import pytest

    from conformance.cli.front import Front

    warnings.simplefilter("ignore", pytest.PytestWarning)  # it can't write its cache, say: nothing of ours needs that
    front = Front(asked, [Path(path) for path in paths if Path(path).is_dir()], folder, early)
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
        *(
            "-o",
            "python_files=",
            "-o",
            "junit_family=xunit1",
            "-o",
            f"cache_dir={Path.cwd() / 'reports' / '.cache'}",
            "-s",
            "--assert=plain",
        ),
        # What only tests of Python need is done for every one of thousands of items otherwise.
        *(f"-pno:{plugin}" for plugin in ("doctest", "unittest", "faulthandler", "logging", "unraisableexception")),
        *(f"-pno:{plugin}" for plugin in ("threadexception", "warnings", "subtests", "tmpdir")),
        f"--junitxml={folder / 'junit.xml'}",
        f"--report={folder}",
        f"--target={asked['target']}",
        f"--captures={asked['capture']}",
        f"--tier={asked['tier'] or 'default'}",
    ]
    repeated = [option.name for option in OPTIONS if option.repeated]
    for name in ("sysctl", "requirement", "section", "level", "state", *repeated):
        arguments += [f"--{name}={value}" for value in asked[name]]
    for option in OPTIONS:
        value = asked[option.name.replace("-", "_")]
        if not option.repeated and value is not None:
            arguments.append(f"--{option.name}={value}")
    for name, flag in (("baseline", "--baseline"), ("shard", "--shard"), ("keyword", "-k"), ("mark", "-m")):
        if asked[name] is not None:
            arguments += [flag, asked[name]]
    switches = {"strict": "--strict-verdicts", "no_oracle": "--no-oracle", "first": "-x", "last_failed": "--lf"}
    arguments += [flag for name, flag in switches.items() if asked[name]]
    return [*arguments, "--", *(paths or (str(suite.near(suite.cases())),))]

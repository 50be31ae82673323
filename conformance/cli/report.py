"""`conformance report` and `diff`: one HTML file of one or many reports; two of them compared."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from pathlib import Path

import click

from conformance.cli.common import NOT_RUN, USAGE, fail, say

REPORTS = click.argument("reports", nargs=-1, required=True, metavar="REPORT...")


def found(paths: Iterable[str]) -> list[Path]:
    """The report files that were named, by file or folder; exits with 2 when one is not there."""
    from conformance.report.reading import ReportError, report_file

    try:
        return [report_file(Path(path)) for path in paths]
    except ReportError as error:
        fail(str(error), USAGE)


@click.command()
@REPORTS
@click.option(
    "-o", "--output", default="report.html", metavar="FILE", help="Where the page goes; report.html otherwise."
)
@click.option("--title", default="", help="The page's title.")
def report(reports: tuple[str, ...], output: str, title: str) -> None:
    """Make one HTML page of reports: what is met, a matrix, every case with its ladder. It needs no network.

    REPORT is a report.jsonl, or the folder of one.
    """
    gc.disable()  # what is read is let go of again line by line: nothing goes around in circles
    from conformance.report.html.page import write
    from conformance.report.reading import ReportError

    paths = found(reports)
    try:
        model = write(paths, Path(output), title=title)
    except ReportError as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror}", NOT_RUN)
    for run in model.runs:
        for problem in run.problems[:5]:
            say(f"conformance: {run.source}: {problem}", err=True)
    say(output)


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("-o", "--output", metavar="FILE", help="An HTML page of both, too, which opens with what changed.")
@click.option(
    "--ladders", type=int, default=10, metavar="N", help="How many pairs of ladders are printed; 10 otherwise."
)
def diff(before: str, after: str, output: str | None, ladders: int) -> None:
    """Say what changed from report A to report B, and why, with both ladders side by side.

    Two runs, versions, stacks or profiles. Exits with 1 when a verdict or a finding is not the same, 0 otherwise.
    """
    gc.disable()
    import shutil
    import sys

    from conformance.report.compare import Comparison
    from conformance.report.reading import ReportError

    paths = found((before, after))
    try:
        comparison = Comparison(*paths)
        for line in comparison.render(ladders=ladders, width=max(120, shutil.get_terminal_size((160, 40)).columns)):
            say(line)
        if output is not None:
            from conformance.report.html.page import write

            write(paths, Path(output), start="#/diff?a=0&b=1")
            say(f"\npage: {output}")
    except ReportError as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror}", NOT_RUN)
    sys.exit(1 if comparison.changes else 0)


@click.command()
@REPORTS
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the merged report goes, or a folder for it.")
@click.option("--last", is_flag=True, help="Of several results of a variation take the last.")
@click.option("--any-suite", is_flag=True, help="Merge runs of different case files, too.")
def merge(reports: tuple[str, ...], output: str, *, last: bool, any_suite: bool) -> None:
    """Make one report of the parts of a run: of shards (--shard I/N), or of several machines with the same target.

    Exits as the whole run would have: 1 with findings, 3 where a shard is missing or something was not decided.
    """
    gc.disable()
    import sys

    from conformance.report.merging import merge as merge_reports
    from conformance.report.reading import ReportError

    path = Path(output) / "report.jsonl" if Path(output).is_dir() or output.endswith("/") else Path(output)
    try:
        done = merge_reports(found(reports), path, last=last, any_suite=any_suite)
    except ReportError as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror}", NOT_RUN)
    say(f"{path}: {done.results} results: " + ", ".join(f"{n} {word}" for word, n in done.verdicts.items()))
    for problem in done.problems:
        say(f"conformance: {problem}", err=True)
    sys.exit(done.exit_code)


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option("-o", "--output", metavar="FILE", help="An HTML page of it, too, with charts.")
def trend(folders: tuple[str, ...], output: str | None) -> None:
    """Say how the runs below these folders went: for each stack, verdicts and what changed from run to run."""
    gc.disable()
    from conformance.catalogue import load
    from conformance.report.reading import SUFFIXES
    from conformance.report.trend import render, runs

    paths: list[Path] = []
    for folder in map(Path, folders):
        if not folder.exists():
            fail(f"{folder}: there is no such folder", USAGE)
        paths += (
            [folder] if folder.is_file() else sorted(one for one in folder.rglob("*.jsonl*") if one.suffix in SUFFIXES)
        )
    try:
        found_runs, problems = runs(paths, load())
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", NOT_RUN)
    for problem in problems:
        say(f"conformance: {problem}", err=True)
    if not found_runs:
        fail("there is no report there", USAGE)
    for line in render(found_runs, load()):
        say(line)
    if output is not None:
        from conformance.report.html.trend import write

        try:
            write(found_runs, load(), Path(output))
        except OSError as error:
            fail(f"{error.filename or output}: {error.strerror}", NOT_RUN)
        say(f"\npage: {output}")

"""`conformance report`: one HTML file of one or many reports."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from pathlib import Path

import click

from conformance.cli.common import NOT_RUN, USAGE, fail

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
            click.echo(f"conformance: {run.source}: {problem}", err=True)
    click.echo(output)

"""`conformance export`: a report, or one result of it, in formats that others can use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from conformance.cli.common import NOT_RUN, USAGE, fail
from conformance.cli.report import found


@click.group()
def export() -> None:
    """Write a report as Markdown, KTAP or a badge; a result as a bug report or a script."""


def _output(function: Callable[..., None]) -> Callable[..., None]:
    return click.option("-o", "--output", metavar="FILE", help="A file; standard output otherwise.")(function)


def _write(lines: Callable[[], Iterable[str]], output: str | None) -> None:
    from conformance.report.reading import ReportError

    try:
        text = "\n".join(lines()).rstrip("\n") + "\n"
        if output is None:
            click.echo(text, nl=False)
        else:
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            Path(output).write_text(text, encoding="utf-8", errors="backslashreplace")
    except (ReportError, ValueError) as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror}", NOT_RUN)


@export.command()
@click.argument("report")
@_output
def markdown(report: str, output: str | None) -> None:
    """The summary of a REPORT in Markdown, as a run writes it to $GITHUB_STEP_SUMMARY."""
    from conformance.catalogue import load
    from conformance.report import formats

    _write(lambda: formats.markdown(formats.Digest(found([report])[0], load())), output)


@export.command()
@click.argument("report")
@_output
def ktap(report: str, output: str | None) -> None:
    """A REPORT as KTAP, version 1."""
    from conformance.report import formats

    _write(lambda: formats.ktap(found([report])[0]), output)


@export.command()
@click.argument("report")
@_output
def badge(report: str, output: str | None) -> None:
    """A badge as SVG: how many of the MUSTs that a REPORT decides are met."""
    from conformance.catalogue import load
    from conformance.report import formats

    _write(lambda: [formats.badge(formats.Digest(found([report])[0], load()))], output)


@export.command("schema")
@_output
def report_schema(output: str | None) -> None:
    """The JSON Schema of a line of report.jsonl. Keys may be added; what goes or changes raises its version."""
    from conformance.report.jsonl import JSON_SCHEMA

    _write(lambda: [json.dumps(json.loads(JSON_SCHEMA.read_text(encoding="utf-8")), indent=2)], output)

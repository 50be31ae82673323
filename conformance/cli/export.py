"""`conformance export`: a report, or one result of it, in formats that others can use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from conformance.cli.common import NOT_RUN, USAGE, fail
from conformance.cli.report import REPORTS, found


@click.group()
def export() -> None:
    """Write a report as Markdown, KTAP, a badge or a file for git, several as a matrix; a result as a script."""


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


@export.command("brief")
@click.argument("report")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where it goes; its name ends in .jsonl.xz.")
def export_brief(report: str, output: str) -> None:
    """A REPORT without traces, packed: small enough for git, and read by report, diff and trend as any other."""
    from conformance.report import brief
    from conformance.report.reading import ReportError

    if not output.endswith(brief.SUFFIX):
        fail(f"-o {output}: its name should end in {brief.SUFFIX}", USAGE)
    try:
        count = brief.write(found([report])[0], Path(output))
    except ReportError as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror}", NOT_RUN)
    click.echo(f"{output}: {count} results, {Path(output).stat().st_size} octets")


@export.command("matrix")
@REPORTS
@click.option("--about", metavar="FILE", help="Markdown that stands below the title.")
@_output
def export_matrix(reports: tuple[str, ...], about: str | None, output: str | None) -> None:
    """Reports of several stacks as one page of Markdown: requirements x stacks, and what each does differently.

    REPORT is a report, or a folder of brief ones.
    """
    from conformance.catalogue import load
    from conformance.report.brief import among
    from conformance.report.matrix import matrix

    def lines() -> Iterable[str]:
        text = Path(about).read_text(encoding="utf-8") if about else ""
        return matrix([path for one in reports for path in among(Path(one))], load(), text)

    _write(lines, output)


@export.command("schema")
@_output
def report_schema(output: str | None) -> None:
    """The JSON Schema of a line of report.jsonl. Keys may be added; what goes or changes raises its version."""
    from conformance.report.jsonl import JSON_SCHEMA

    _write(lambda: [json.dumps(json.loads(JSON_SCHEMA.read_text(encoding="utf-8")), indent=2)], output)


def _one(report: str, id_: str) -> tuple[dict[str, object], dict[str, object]]:
    """The header of a report and the line of one variation of it; a case without brackets has its worst one."""
    from conformance.report.reading import Reading, ReportError

    order = {
        verdict: number for number, verdict in enumerate("FAIL DEVIATION ERROR INCONCLUSIVE UNSUPPORTED PASS".split())
    }
    try:
        reading = Reading(found([report])[0])
        lines = [line for _, line in reading if id_ in (line["id"], line["id"].partition("[")[0])]
    except ReportError as error:
        fail(str(error), USAGE)
    if not lines:
        fail(f"{report}: there is no result of {id_!r}", USAGE)
    if reading.header.get("brief"):
        fail(f"{report}: it was kept without its traces; first run it again: {lines[0].get('rerun') or id_}", USAGE)
    return dict(reading.header), dict(min(lines, key=lambda line: order[line["verdict"]]))


@export.command()
@click.argument("report")
@click.argument("case", metavar="CASE")
@_output
def bug(report: str, case: str, output: str | None) -> None:
    """A bug report in Markdown of one CASE of a REPORT: requirement, ladder, how to see it again."""
    from conformance.catalogue import load
    from conformance.report.exporting import bug_report
    from conformance.report.reading import result_of

    header, line = _one(report, case)
    rerun = line.get("rerun")
    _write(lambda: bug_report(result_of(line), header, load(), str(rerun) if rerun else None), output)


@export.command()
@click.argument("report")
@click.argument("case", metavar="CASE")
@_output
def scapy(report: str, case: str, output: str | None) -> None:
    """One CASE of a REPORT as a Python script that needs nothing but scapy."""
    from conformance.report.exporting import scapy_script
    from conformance.report.reading import result_of

    header, line = _one(report, case)
    _write(lambda: [scapy_script(result_of(line), header)], output)


@export.command()
@click.argument("report")
@click.argument("case", metavar="CASE")
@_output
def packetdrill(report: str, case: str, output: str | None) -> None:
    """One CASE of a REPORT as a packetdrill script, where packetdrill has words for it."""
    from conformance.report.packetdrill import packetdrill_script
    from conformance.report.reading import result_of

    _, line = _one(report, case)
    _write(lambda: packetdrill_script(result_of(line)), output)

"""The command line, thin: `run` is a front to pytest, the others read cases. Exit codes stand in README.md."""

from __future__ import annotations

import sys

import click

from conformance import __version__
from conformance.cli.baseline import baseline
from conformance.cli.coverage import coverage
from conformance.cli.doctor import doctor
from conformance.cli.explain import explain
from conformance.cli.explore import explore
from conformance.cli.export import export
from conformance.cli.generate import generate
from conformance.cli.learn import learn
from conformance.cli.listing import lint, list_cases, schema
from conformance.cli.report import diff, merge, report, trend
from conformance.cli.run import run
from conformance.cli.target import target


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="conformance")
def main() -> None:
    """Test a TCP stack against RFC 9293: crafted segments go in, what comes out is checked.

    Exit codes: 0 all as expected, 1 findings, 2 wrong usage or wrong cases, 3 it could not run, or not all of it.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


for command in (
    run,
    lint,
    list_cases,
    schema,
    explain,
    doctor,
    target,
    report,
    diff,
    baseline,
    merge,
    export,
    trend,
    coverage,
    explore,
    generate,
    learn,
):
    main.add_command(command)

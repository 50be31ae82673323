"""`conformance baseline`: what a stack is known to do differently, brought up to date with what runs have shown."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import click

from conformance.cli.common import NOT_RUN, USAGE, fail
from conformance.cli.report import REPORTS, found

_DAYS = 30
"""What nobody has looked at excuses a failure for so long."""


@click.group()
def baseline() -> None:
    """Keep lists of known deviations."""


@baseline.command("update")
@REPORTS
@click.option(
    "--baseline", "file", required=True, metavar="FILE", help="The list; a file that is not there begins empty."
)
@click.option("--reason", default="", metavar="TEXT", help="The reason of new entries, for who has looked at them.")
@click.option("--until", metavar="DATE", help="The last day of new entries; 30 days from now without a reason.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
def update_baseline(reports: tuple[str, ...], file: str, reason: str, until: str | None, *, dry_run: bool) -> None:
    """Write what these reports show into a baseline, and say what changed.

    Entries that are met stay as they are, with reasons and comments. Contradicted ones go, or are narrowed to those
    variations that still meet them. New ones come with a last day unless a reason is given. Exits with 1 where an entry
    that is still met has expired: that asks for a person.
    """
    from conformance.catalogue import load as load_catalogue
    from conformance.report.baseline import BaselineError, today
    from conformance.report.reading import ReportError
    from conformance.report.text import printable
    from conformance.report.updating import update

    try:
        last = date.fromisoformat(until) if until else None if reason else today() + timedelta(days=_DAYS)
    except ValueError:
        fail(f"--until {until!r}: say a date such as {today()}", USAGE)
    path = Path(file)
    try:
        done = update(path, found(reports), load_catalogue(), reason=reason.strip(), until=last)
        click.echo(done.difference(file), nl=False)
        if not dry_run and done.after != done.before:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(done.after, encoding="utf-8")
    except (BaselineError, ReportError) as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror}", NOT_RUN)
    counts = f"{done.kept} kept, {len(done.added)} added, {len(done.removed)} removed, {len(done.narrowed)} narrowed"
    click.echo(f"{file}: {counts}{' (nothing was written)' if dry_run else ''}")
    for entry in done.expired:
        click.echo(f"{file}:{entry.line}: {printable(entry.case)} is still so, and expired on {entry.until}", err=True)
    sys.exit(1 if done.expired else 0)

"""`conformance explore`: random walks through a target until stopped, judged by the RFC's event table."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from conformance.cli.common import NOT_RUN, fail, say, sysctls


@click.command()
@click.argument("target")
@click.option(
    "--alphabet", default="full", show_default=True, help="A built-in one (docs/learning.md), or a YAML file."
)
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after so long; without it Ctrl-C stops it.")
@click.option("--walks", type=click.IntRange(1), help="Stop after so many walks.")
@click.option("--seed", default=1, show_default=True, help="What walks are drawn from.")
@click.option("--ip", type=click.Choice(["v4", "v6"]), default="v4", show_default=True)
@click.option("--out", metavar="DIR", help="Where findings go as cases; reports/explored/TARGET-ALPHABET otherwise.")
@click.option("--sysctl", multiple=True, metavar="NAME=VALUE", help="Set in the own kernel's namespace. Repeatable.")
def explore(
    target: str,
    alphabet: str,
    seconds: float | None,
    walks: int | None,
    seed: int,
    ip: str,
    out: str | None,
    sysctl: tuple[str, ...],
) -> None:
    """Walk through TARGET at random; what the RFC does not permit is made short and written as a case.

    Exit codes: 0 nothing found, 1 findings, 2 wrong usage, 3 it could not run.
    """
    from conformance.catalogue import load as load_catalogue
    from conformance.cli.learn import alphabet_of, failures
    from conformance.learn.check import as_case, told
    from conformance.learn.explore import Explorer
    from conformance.learn.session import open_asker

    inputs = alphabet_of(alphabet)
    name = f"{target.replace(':', '-').replace('/', '_')}-{inputs.name}"
    folder = Path(out) if out else Path("reports") / "explored" / name
    catalogue = load_catalogue()
    began = time.monotonic()

    def enough() -> bool:
        over = seconds is not None and time.monotonic() - began >= seconds
        return over or (walks is not None and explorer.walks >= walks)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        asker = open_asker(target, inputs, version=int(ip[1]), sysctls=sysctls(sysctl))
        try:
            explorer = Explorer(asker, catalogue, seed)
            try:
                for number, found in enumerate(explorer.explore(enough), 1):
                    file = folder / f"finding-{number:02}.yaml"
                    file.write_text(as_case(inputs, found), encoding="utf-8")
                    say(f"{told(found, catalogue)}; {file}")
            except KeyboardInterrupt:
                say("stopped", err=True)
        finally:
            asker.close()
    except failures() as error:
        fail(str(error), NOT_RUN)
    took = time.monotonic() - began
    say(
        f"{len(explorer.found)} findings in {explorer.walks} walks, {explorer.steps} steps, {took:.1f} s;"
        f" {len(explorer.met)} combinations of state, input and answer met"
    )
    sys.exit(1 if explorer.found else 0)

"""`conformance generate`: a suite of cases from the RFC's event table."""

from __future__ import annotations

from pathlib import Path

import click

from conformance.cli.common import NOT_RUN, USAGE, fail


@click.command()
@click.argument("folder", metavar="DIR")
@click.option(
    "--cover",
    type=click.Choice(["transition", "switch", "w"]),
    default="transition",
    show_default=True,
    help="Each transition; each two in a row; the Wp-method's words.",
)
@click.option("--depth", default=0, show_default=True, type=click.IntRange(0, 2), help="Depth of the Wp-method.")
@click.option(
    "--alphabet", multiple=True, default=("table", "table-active"), show_default=True, help="Whose inputs. Repeatable."
)
def generate(folder: str, cover: str, depth: int, alphabet: tuple[str, ...]) -> None:
    """Write cases from the event table of RFC 9293 to DIR/cases: 'conformance run DIR/cases' runs them.

    What the RFC leaves open is not asked for. Prints how many faults of such a machine the suite tells.
    """
    from conformance.catalogue import load as load_catalogue
    from conformance.cli.learn import alphabet_of
    from conformance.learn import generate as made
    from conformance.learn.learner import NotInstalledError
    from conformance.learn.reference import Reference

    catalogue = load_catalogue()
    place = Path(folder) / "cases" / "generated"
    try:
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            fail(f"{place} is not empty: say another DIR, or remove it", USAGE)
        for name in alphabet:
            inputs = alphabet_of(name)
            reference = Reference(inputs, catalogue)
            model = made.machine(reference)
            suite = made.words(model, cover, depth)
            for number, word in enumerate(suite, 1):
                file = place / f"{inputs.name}-{number:04}.yaml"
                file.write_text(made.case_of(inputs, catalogue, reference, word), encoding="utf-8")
            told = made.strength(model, suite)
            click.echo(
                f"{inputs.name}: {len(model)} states, {len(suite)} cases; tells {told.transfer[0]} of"
                f" {told.transfer[1]} wrong next states and {told.output[0]} of {told.output[1]} wrong replies"
            )
    except (OSError, NotInstalledError) as error:
        fail(str(error), NOT_RUN)

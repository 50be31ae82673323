"""Every case is able to fail: each row of the table is caught by just the guarding step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from mutations.table import SUITE, Row, case_of, rows, run_row, verdict_on

from conformance.targets.base import Target, TargetError
from conformance.targets.opening import opener


@pytest.fixture(scope="module")
def caught() -> Iterator[dict[str, str | None]]:
    """All rows, run side by side: what is wrong with each, or None."""
    targets: dict[frozenset[tuple[str, str]], Target] = {}
    open_target = opener("linux", {})
    try:
        for row in rows():
            settings = case_of(row.case).needs.settings
            key = frozenset(settings.items())
            if key not in targets:
                targets[key] = open_target(settings)
    except TargetError as error:
        pytest.skip(str(error))
    try:
        yield asyncio.run(_all(targets))
    finally:
        for target in targets.values():
            target.close()


async def _all(targets: dict[frozenset[tuple[str, str]], Target]) -> dict[str, str | None]:
    for target in targets.values():
        target.wire.watch()
    slots = asyncio.Semaphore(400)

    async def one(row: Row) -> str | None:
        target = targets[frozenset(case_of(row.case).needs.settings.items())]
        async with slots:
            await asyncio.sleep(0)
            try:
                return verdict_on(row, *await run_row(row, target))
            except Exception as error:  # noqa: BLE001
                return f"{type(error).__name__}: {error}"

    found = await asyncio.gather(*(one(row) for row in rows()))
    for target in targets.values():
        target.wire.unwatch()
    return {str(row): verdict for row, verdict in zip(rows(), found, strict=True)}


@pytest.mark.parametrize("row", rows(), ids=str)
def test_the_guarding_step_catches_the_mutation(row: Row, caught: dict[str, str | None]) -> None:
    assert caught[str(row)] is None


def test_every_case_has_a_mutation() -> None:
    cases = {path.relative_to(SUITE).with_suffix("").as_posix() for path in Path(SUITE).rglob("*.yaml")}
    assert cases - {row.case for row in rows()} == set()

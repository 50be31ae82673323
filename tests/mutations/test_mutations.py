"""Every case is able to fail: each row of the table is caught by just the guarding step."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from mutations.table import SUITE, Row, rows, run_row, verdict_on

from conformance.targets.base import TargetError
from conformance.targets.netns import OwnKernel


@pytest.fixture(scope="module")
def caught() -> dict[str, str | None]:
    """All rows, run side by side: what is wrong with each, or None."""
    try:
        target = OwnKernel.start()
    except TargetError as error:
        pytest.skip(str(error))
    try:
        return asyncio.run(_all(target))
    finally:
        target.close()


async def _all(target: OwnKernel) -> dict[str, str | None]:
    target.wire.watch()

    async def one(row: Row) -> str | None:
        try:
            return verdict_on(row, *await run_row(row, target))
        except Exception as error:  # noqa: BLE001
            return f"{type(error).__name__}: {error}"

    found = await asyncio.gather(*(one(row) for row in rows()))
    target.wire.unwatch()
    return {str(row): verdict for row, verdict in zip(rows(), found, strict=True)}


@pytest.mark.parametrize("row", rows(), ids=str)
def test_the_guarding_step_catches_the_mutation(row: Row, caught: dict[str, str | None]) -> None:
    assert caught[str(row)] is None


def test_every_case_has_a_mutation() -> None:
    cases = {path.relative_to(SUITE).with_suffix("").as_posix() for path in Path(SUITE).rglob("*.yaml")}
    assert cases - {row.case for row in rows()} == set()

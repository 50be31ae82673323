"""Every case is able to fail: each row of the table is caught by just the guarding step."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.engine.estimate import waits
from conformance.targets.asked import Asked
from conformance.targets.base import Target, TargetError
from conformance.targets.opening import opener
from conformance.tcp.invariants import INVARIANTS
from mutations.table import SUITE, Row, case_of, rows, run_row, verdict_on

NIGHTLY = bool(os.environ.get("CONFORMANCE_NIGHTLY"))


@pytest.fixture(scope="module")
def caught() -> Iterator[dict[str, str | None]]:
    """All rows, run side by side: what is wrong with each, or None."""
    targets: dict[frozenset[tuple[str, str]], Target] = {}
    open_target = opener(Asked())
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
    """Side by side; what was not caught so, when our process may have been kept from running, in less of a crowd."""
    for target in targets.values():
        target.wire.watch()
    rows_left = sorted(chosen(), key=lambda row: -waits(case_of(row.case).variations[0].build()[0]))
    found: dict[str, str | None] = {}
    for width in (300, 20, 5, 5, 1, 1, 1, 1):  # other tests run beside these
        slots = asyncio.Semaphore(width)
        async with asyncio.TaskGroup() as group:
            for row in rows_left:
                await slots.acquire()
                group.create_task(_one(row, targets, found)).add_done_callback(lambda _, slots=slots: slots.release())
                await asyncio.sleep(0)  # those that wait are woken between two starts
        rows_left = [row for row in rows_left if found[str(row)] is not None]
    for target in targets.values():
        target.wire.unwatch()
    return found


async def _one(row: Row, targets: dict[frozenset[tuple[str, str]], Target], found: dict[str, str | None]) -> None:
    target = targets[frozenset(case_of(row.case).needs.settings.items())]
    try:
        found[str(row)] = verdict_on(row, *await run_row(row, target))
        if row.mends and found[str(row)] is None:
            unaltered = await run_row(dataclasses.replace(row, alter={}), target)
            found[str(row)] = verdict_on(dataclasses.replace(row, mends=False), *unaltered)
    except Exception as error:
        found[str(row)] = f"{type(error).__name__}: {error}"


def chosen() -> list[Row]:
    """The rows of this run: those of the long tier only at night."""
    return [row for row in rows() if NIGHTLY or case_of(row.case).needs.tier != "long"]


@pytest.mark.parametrize("row", rows(), ids=str)
def test_the_guarding_step_catches_the_mutation(row: Row, caught: dict[str, str | None]) -> None:
    if str(row) not in caught:
        pytest.skip("a case of the long tier: CONFORMANCE_NIGHTLY=1 runs it")
    assert caught[str(row)] is None


def test_every_case_has_a_mutation() -> None:
    cases = {path.relative_to(SUITE).with_suffix("").as_posix() for path in Path(SUITE).rglob("*.yaml")}
    assert cases - {row.case for row in rows()} == set()


def test_every_invariant_has_a_mutation() -> None:
    assert {row.invariant for row in rows() if row.invariant} == set(INVARIANTS)

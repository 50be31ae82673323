"""Which of the collected items are run: the selections, and the marks that are only made when `-m` asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.pytest_plugin import options
from conformance.pytest_plugin.items import CaseItem
from conformance.suite import root_of

FILES: pytest.StashKey[list[Path]] = pytest.StashKey()
"""In the config's stash: the case files that were selected, those of other shards included."""


def choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out of `items` what was not asked for. Raises UsageError."""
    selection = options.selection(config)
    options.sysctls(config)
    cases = [item for item in items if isinstance(item, CaseItem)]
    _check_baseline(config, cases)
    marks = config.option.markexpr or ""
    if "timers" in marks or "state" in marks:
        for item in cases:
            item.mark_steps()
    taken = [item for item in cases if selection.takes(item.variation)]
    config.stash[FILES] = sorted({item.path for item in taken})
    part = options.shard(config)
    if part is not None:
        taken = taken[part[0] - 1 :: part[1]]  # dealt out in turn: the long ones of a file are spread
    left_out = set(cases).difference(taken)
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def _check_baseline(config: pytest.Config, cases: list[CaseItem]) -> None:
    """Look for stale entries, when whole suites were collected."""
    if options.is_worker(config) or getattr(config.option, "lf", False) or config.option.collectonly:
        return
    folders = options.folders(config)
    roots = {root_of(path, folders).resolve() for path in {item.path for item in cases}}
    named = {Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in config.args}
    if roots <= named:
        from conformance.pytest_plugin.recording import check_baseline

        check_baseline(config, roots, (item.variation.id for item in cases))
